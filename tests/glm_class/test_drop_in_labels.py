"""Tables whose rows have labels of different samples, or the same in another order, are refused by the drop-in."""

import numpy as np
import pandas as pd
import pytest

from popglm import glm_class as glm

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.standard_normal((40, 2)), index=[f"row {k}" for k in range(40)])
Y = pd.DataFrame(RNG.poisson(1.0, (40, 2)), index=X.index)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (lambda table: table.iloc[::-1], "Y has the row labels of X in another order"),
        (lambda table: table.set_axis(table.index + "x"), "Y and X have different row labels"),
    ],
)
def test_rows_of_other_labels(turn, message):
    model = glm.GLM(lambda_series=[0.1])
    with pytest.raises(ValueError, match=message):
        model.fit(X, turn(Y), verbose=False)
    model.fit(X, Y, verbose=False)
    with pytest.raises(ValueError, match=message.replace("Y ", "Y_val ").replace("X ", "X_val ")):
        model.select_model(X, turn(Y), make_fig=False)

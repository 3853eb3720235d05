"""Fits of several classes against what adelie and scikit-learn found: `tests/reference/make_multinomial.py`."""

from pathlib import Path

import numpy as np
import pytest
from categorical import EXACT

import popglm as pg

REFERENCE = Path(__file__).parents[1] / "reference" / "multinomial.npz"


@pytest.mark.parametrize("penalty", ["group_lasso", "ridge"])
def test_weights_and_objectives_are_theirs(penalty):
    with np.load(REFERENCE) as kept:
        data = dict(kept)
    X, strengths = data["X"].astype(float), data["strengths"]
    model = pg.ClassifierGLM(
        penalty, feature_groups=data["sizes"].tolist(), lambdas=strengths, **EXACT | {"tol": 1e-14}
    )
    model.fit(X, data["codes"])
    for k, row in enumerate(data[penalty]):
        # neither lies above the other by more than their tolerances
        np.testing.assert_allclose(model.loss_path_[k, 0], row[-1], atol=1e-8)
        theirs = row[:-1].reshape(-1, 4).T
        np.testing.assert_allclose(model.coef_path_[k, 0], theirs, atol=2e-4 if penalty == "group_lasso" else 3e-6)
        np.testing.assert_array_equal(model.coef_path_[k, 0] == 0, theirs == 0)
    single = pg.ClassifierGLM(penalty, feature_groups=data["sizes"].tolist(), lambdas=strengths).fit(X, data["codes"])
    np.testing.assert_allclose(single.loss_path_, model.loss_path_, rtol=1e-4)

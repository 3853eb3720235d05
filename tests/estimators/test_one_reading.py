"""What one door refuses, the other does not take: infinite labels, text of digits, repeated strengths."""

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm import glm_class

N = 12
X = np.random.default_rng(0).normal(size=(N, 2))
Y = np.random.default_rng(1).poisson(1.0, (N, 2))
DIGITS = ["1", "2", "0"] * 4


def test_infinite_labels_of_trials_and_categories():
    labels = np.r_[np.zeros(N - 2), np.inf, np.inf]
    for column in (labels, labels.astype(object), pd.Series(labels, dtype="category")):
        session = {"speed": X[:, 0], "trial": column}
        with pytest.raises(ValueError, match="variable 'trial' is infinite in row 10, which is no label; give"):
            pg.Design([pg.linear("speed")], trial="trial").fit(session)
        with pytest.raises(ValueError, match="variable 'trial' is infinite in row 10, which is no label; give"):
            pg.Design([pg.categories("trial")]).fit(session)
        with pytest.raises(ValueError, match="groups is infinite in row 10"):
            pg.GLMCV(cv=2).fit(X, Y, groups=column)
    with pytest.raises(ValueError, match="none of them missing or infinite"):
        pg.categories("trial", levels=[0, np.inf])
    known = pg.Design([pg.categories("trial", levels=[0])], standardize=False).fit({"trial": labels[:5]})
    with pytest.raises(ValueError, match="variable 'trial' is infinite in row 10"):
        known.transform({"trial": labels})
    # a name is a name
    assert pg.Design([pg.categories("a")]).fit({"a": ["inf", "nan"] * 6}).groups_ == ["a"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.column_stack([DIGITS, DIGITS]),
        lambda: np.column_stack([X[:, 0].astype(object), np.array(DIGITS, object)]),
        lambda: [[value, 1.0] for value in DIGITS],
        lambda: pd.DataFrame({"a": X[:, 0], "b": DIGITS}),
        lambda: pd.DataFrame({"a": X[:, 0], "b": pd.Series(DIGITS, dtype="category")}),
        lambda: pd.DataFrame({"a": X[:, 0], "b": pd.array(DIGITS, dtype="string")}),
        lambda: pd.DataFrame({"a": X[:, 0], "b": [value.encode() for value in DIGITS]}),
    ],
)
def test_digits_are_text(make):
    data = make()
    with pytest.raises(ValueError, match=r"X holds text in column \d.*, first in row 0: "):
        pg.GLM(lambdas=[0.1]).fit(data, Y)
    with pytest.raises(ValueError, match=r"Y must hold numbers, one column per neuron: found the text b?'1'; make"):
        pg.GLM(lambdas=[0.1]).fit(X, data)


def test_digits_are_text_in_whatever_goes_beside():
    for name in ("sample_weight", "offset"):
        with pytest.raises(ValueError, match=f"{name} must hold numbers: found the text '1'"):
            pg.GLM(lambdas=[0.1]).fit(X, Y, **{name: DIGITS})
    with pytest.raises(ValueError, match=r"lambdas must hold numbers: found the text '0.1'"):
        pg.GLM(lambdas=["0.1"]).fit(X, Y)
    with pytest.raises(ValueError, match="bins: values must hold numbers: found the text '1'"):
        pg.bins(DIGITS, [0, 1], 1)


def test_predictions_that_are_infinite_or_of_another_shape_are_named():
    events = np.arange(N) % 4 == 0
    with pytest.raises(
        ValueError, match=r"predicted holds an infinite value .* for neuron 1 \('neuron1'\), first in row"
    ):
        pg.psth(Y, events, before=1, after=1, predicted=np.where(np.arange(2) == 1, np.inf, np.ones((N, 2))))
    with pytest.raises(ValueError, match=r"predicted has shape \(12, 3\), but Y has \(12, 2\); give them alike"):
        pg.psth(Y, events, before=1, after=1, predicted=np.full((N, 3), np.inf))
    column = pg.psth(Y[:, 0], events, before=1, after=1, predicted=np.ones((N, 1)))
    assert float(column["predicted"].sel(neuron="neuron0", time_from_event=0)) == 1


def test_repeated_strengths():
    with pytest.raises(ValueError, match=r"lambdas holds 0.1 twice, in entries 1 and 2; give each strength once"):
        pg.GLM(lambdas=[0.2, 0.1, 0.1]).fit(X, Y)
    # a grid of its own for each neuron may be filled up
    own = pg.GLM(lambdas=[[0.2, 0.1], [0.1, 0.1]]).fit(X, Y)
    np.testing.assert_allclose(own.coef_path_[0, 1], own.coef_path_[1, 1], atol=1e-3)
    with pytest.raises(glm_class.UsageError, match=r"lambda_series holds 0.1 more than once"):
        glm_class.GLM(lambda_series=[0.1, 0.1])

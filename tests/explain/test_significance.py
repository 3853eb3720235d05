"""Significance by circular shifts: re-fits, neurons and variables with nothing to find, labels and complaints."""

import numpy as np
import pytest
from signals import PATH, smooth, standardised
from sklearn.base import clone

import popglm as pg
from popglm.explain import breakdown, significance
from popglm.explain.surrogates import draw_offsets

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


@pytest.mark.thorough(keep=1)
def test_refit_is_the_model_fitted_to_rolled_activity(fitted):
    model, X, Y, trial = fitted
    model = clone(model).set_params(cv=3, feature_groups=[2, 2, 1]).fit(X, Y, groups=trial)
    result = significance(model, X, Y, ["group0"], trial=trial, n_shifts=2, refit=True)
    offsets = draw_offsets(360, 8, 2, 3, seed=0)
    rolled = np.stack([np.roll(Y[:, j], offsets[1, j]) for j in range(3)], axis=1)
    again = clone(model).fit(X, rolled, groups=trial)
    np.testing.assert_allclose(result.deviance_explained_null[1], again.cv_deviance_explained_, atol=1e-12)
    np.testing.assert_allclose(result.deviance_explained, model.cv_deviance_explained_)
    np.testing.assert_allclose(result.contribution, breakdown(model, X, Y, ["group0"]).fraction_null_deviance)
    assert np.isfinite(result.contribution_null).all()
    with pytest.raises(ValueError, match="rows are never held out"):
        significance(*fitted[:3], trial=trial, n_shifts=2, refit=True)


def test_neurons_without_a_fit_are_not_significant_and_change_no_other():
    rng = np.random.default_rng(0)
    X = standardised(smooth(rng, 500, 3, 3))
    Y = rng.poisson(np.exp(0.7 * X[:, :2])).astype(float)
    silent = np.column_stack([Y, np.zeros(500), np.full(500, 2.0)])
    trial = np.arange(500) // 10
    results = []
    for y in (Y, silent):
        model = pg.GLMCV(penalty="lasso", lambdas=PATH, refit=False).fit(X, y, groups=trial)
        results.append(significance(model, X, y, ["feature0"], trial=trial, n_shifts=50))
    np.testing.assert_array_equal(results[1].p_value[2:], 1)
    np.testing.assert_array_equal(results[1].contribution_p_value[2:], 1)
    np.testing.assert_array_equal(results[1].p_value[:2], results[0].p_value)
    for name in ("deviance_explained", "p_value", "q_value", "contribution", "contribution_p_value"):
        assert not np.isnan(results[1][name]).any()


def test_a_variable_that_never_got_a_weight_ties_with_its_shifts():
    rng = np.random.default_rng(0)
    X = standardised(smooth(rng, 500, 3, 3))
    Y = rng.poisson(np.exp(0.7 * X[:, :1]))
    trial = np.arange(500) // 10
    model = pg.GLMCV(penalty="lasso", lambdas=[0.3], refit=False).fit(X, Y, groups=trial)
    result = significance(model, X, Y, ["feature0", "feature2"], trial=trial, n_shifts=50)
    assert (model.cv_coef_path_[..., 2] == 0).all()
    np.testing.assert_array_equal(result.contribution_p_value.sel(variable="feature2"), 1)


def test_labels_and_seed(fitted):
    model, X, Y, trial = fitted
    one, two, other = (
        significance(model, X, Y, ["group1"], trial=trial, n_shifts=9, seed=s, refit=False) for s in (0, 0, 1)
    )
    assert one.identical(two)
    assert not one.equals(other)
    assert one.contribution_null.dims == ("shift", "neuron", "variable")
    assert one.deviance_explained_null.dims == ("shift", "neuron")
    assert one.attrs == {
        "method": "circular_shift", "reason": "refit=False was asked for", "refit": "none", "n_shifts": 9, "seed": 0
    }  # fmt: skip
    assert list(one.neuron.values) == ["neuron0", "neuron1", "neuron2"]
    assert "contribution" not in significance(model, X, Y, trial=trial, n_shifts=9)


def test_complaints(fitted):
    model, X, Y, trial = fitted
    with pytest.raises(ValueError, match=r"needs a fitted popglm\.GLMCV; found GLM"):
        significance(pg.GLM(lambdas=[1.0]).fit(X, np.abs(np.nan_to_num(Y))), X, Y, trial=trial)
    with pytest.raises(ValueError, match="needs a fitted"):
        significance(pg.GLMCV(), X, Y, trial=trial)
    with pytest.raises(ValueError, match=r"trial must have shape \(360,\)"):
        significance(model, X, Y, trial=trial[:-1])
    with pytest.raises(ValueError, match=r"trial must have shape \(360,\)"):
        significance(model, X, Y, trial=trial[:, None])
    with pytest.raises(ValueError, match="no label in row 7"):
        significance(model, X, Y, trial=np.where(np.arange(360) == 7, np.nan, trial))
    with pytest.raises(ValueError, match=r"trial \d comes back in row"):
        significance(model, X, Y, trial=trial % 5)
    with pytest.raises(ValueError, match="have 0 trial-safe offsets, fewer than n_shifts=1000"):
        significance(model, X, Y, trial=np.zeros(360))
    with pytest.raises(ValueError, match="fewer than n_shifts=1000; use fewer shifts"):
        significance(model, X, Y, trial=trial)
    with pytest.raises(ValueError, match="n_shifts must be an integer"):
        significance(model, X, Y, trial=trial, n_shifts=0)
    with pytest.raises(ValueError, match=r"no group fits 'grup0'.*group0"):
        significance(model, X, Y, ["grup0"], trial=trial, n_shifts=9)

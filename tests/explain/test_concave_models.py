"""Re-fits of concave models walk down the whole path, in every statistic that fits again."""

import warnings

import numpy as np
import pytest

import popglm as pg
from popglm import GLM, GLMCV
from popglm.explain.data_of_fit import way_down

N, SIZES = 400, [2, 3, 1, 2]
GROUP = np.repeat(np.arange(4), SIZES)
TRIAL = np.arange(N) // 10
GIVEN = {"penalty": "group_mcp", "feature_groups": SIZES, "precision": "float64", "tol": 1e-9}


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(N, 8))
    X[:, 2] += X[:, 0]
    X /= X.std(axis=0)
    Y = rng.poisson(np.exp(X @ (0.4 * rng.normal(size=(8, 3)) * (rng.random((8, 3)) < 0.6)))).astype(float)
    return X, Y


@pytest.fixture(scope="module")
def model(recording):
    X, Y = recording
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return GLMCV("poisson", lambdas=np.geomspace(0.5, 0.02, 5), cv=3, **GIVEN).fit(X, Y, groups=TRIAL)


def test_way_down(model):
    assert model.penalty == "group_mcp"
    found = way_down(model, np.array([2, 0, 1]))
    path = model.lambdas_
    np.testing.assert_array_equal(found, [[path[0]] * 3, [path[1], path[0], path[1]], [path[2], path[0], path[1]]])
    convex = GLM("gaussian", penalty="lasso", lambdas=[2.0, 1.0]).fit(np.eye(4), np.eye(4)[:, :2])
    np.testing.assert_array_equal(way_down(convex, np.array([1, 0])), [[1.0, 2.0]])


def of_groups(model, recording, *groups):
    """The same fit to some groups alone, by a user's hand."""
    X, Y = recording
    own = GIVEN | {"feature_groups": [SIZES[g] for g in groups]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        again = GLMCV("poisson", lambdas=model.lambdas_, cv=model.splits_, **own)
        return again.fit(X[:, np.isin(GROUP, groups)], Y)


@pytest.mark.thorough
def test_compare_and_shapley_fit_as_a_user_would(recording, model):
    X, Y = recording
    variables = {"a": ["group0"], "b": ["group1"]}
    worth = {
        groups: of_groups(model, recording, *groups).take_strengths(model.lambda_index_).cv_deviance_explained_
        for groups in ((0, 1, 2, 3), (1, 2, 3), (0, 2, 3), (2, 3))
    }
    np.testing.assert_allclose(worth[0, 1, 2, 3], model.cv_deviance_explained_, atol=1e-7)
    found = pg.compare(model, X, Y, variables, reselect=False)["fraction_null_deviance"]
    np.testing.assert_allclose(found.sel(variable="a"), worth[0, 1, 2, 3] - worth[1, 2, 3], atol=1e-6)
    again = pg.compare(model, X, Y, {"b": ["group1"]}, weaker=None)["fraction_null_deviance"]
    selected = of_groups(model, recording, 0, 2, 3).cv_deviance_explained_
    np.testing.assert_allclose(again.sel(variable="b"), worth[0, 1, 2, 3] - selected, atol=1e-6)
    shares = pg.shapley(model, X, Y, variables, method="refit")["fraction_null_deviance"]
    of_a = (worth[0, 1, 2, 3] - worth[1, 2, 3] + worth[0, 2, 3] - worth[2, 3]) / 2
    np.testing.assert_allclose(shares.sel(variable="a"), of_a, atol=1e-6)


def test_bootstrap_walks_down_in_every_draw(recording, model):
    session = {f"v{i}": recording[0][:, i] for i in range(8)} | {"trial": TRIAL}
    design = pg.Design([pg.linear(f"v{i}") for i in range(8)], trial="trial")
    X, Y = design.fit_transform(session), recording[1]
    own = GLM("poisson", penalty="mcp", lambdas=[0.3, 0.1, 0.03], precision="float64", tol=1e-10).fit(X, Y)
    found = pg.bootstrap(own, design, X, Y, trial=TRIAL, n_resamples=2, seed=1, level=0.5)
    drawn = np.random.default_rng(1).integers(N // 10, size=(2, N // 10))
    weights = [np.bincount(trials, minlength=N // 10)[TRIAL] for trials in drawn]
    slopes = [GLM(**own.get_params()).fit(X, Y, sample_weight=w).coef_[:, 0] for w in weights]
    kernel = found["v0"]
    span = np.ptp(kernel.coords["v0"].values)
    wide = np.abs(np.diff(slopes, axis=0)[0]) / design.scales_[0]
    # between the ends of the variable, bands of two draws differ as their slopes do
    ends = kernel["upper"].values[:, [0, -1]] - kernel["lower"].values[:, [0, -1]]
    assert (ends.max(axis=1) <= wide * span + 1e-9).all()
    np.testing.assert_allclose(kernel["sem"].values.max(axis=1) > 0, wide > 0)


@pytest.mark.thorough
def test_stability_selection_and_goodness(recording, model):
    X, Y = recording
    found = pg.stability_selection(model, X, Y, trial=TRIAL, n_pairs=3, n_false=1.0, threshold=0.7)
    assert ((found["frequency"] >= 0) & (found["frequency"] <= 1)).all()
    single = GLM("poisson", penalty="mcp", lambdas=[0.2, 0.1], precision="float64", tol=1e-10).fit(X, Y)
    df = pg.goodness_of_fit(single, X, Y)["degrees_of_freedom"]
    np.testing.assert_allclose(df, (single.coef_ != 0).sum(axis=1) + 1, rtol=1e-10)
    grouped = pg.goodness_of_fit(model, X, Y)["degrees_of_freedom"].to_numpy()
    used = (model.coef_ != 0).sum(axis=1)
    # those that are flat count whole, those that are bent for less
    assert (grouped <= used + 1 + 1e-9).all()
    assert (grouped >= 1).all()


def test_significance(recording, model):
    X, Y = recording
    with pytest.raises(ValueError, match=r"local refits are least squares under a convex penalty.*use refit=True"):
        pg.significance(model, X, Y, trial=TRIAL)
    found = pg.significance(model, X, Y, trial=TRIAL, refit=True, n_shifts=3)
    assert ((found["p_value"] > 0) & (found["p_value"] <= 1)).all()

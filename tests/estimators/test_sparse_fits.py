"""A sparse X gives the fits of the dense one: through a Gram matrix, and around a diagonal where X is wide."""

import warnings

import numpy as np
import pytest
from estimators.sparse_designs import N, P, activity, design, kept_sparse, objectives, sparse

from popglm import GLM, GLMCV, PopglmWarning
from popglm.statistics.penalties import inward

PENALTIES = {"ridge": 0.0, "lasso": 1.0, "elastic_net": 0.5, "group_lasso": 1.0}
SIZES = [10, 10, 10, 5, 1]
GROUPS = np.repeat(["a", "b", "c", "d", "e"], SIZES).tolist()
EXACT = {"precision": "float64", "tol": 1e-7, "max_iter": 500}


@pytest.mark.thorough(keep=10)
@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gaussian", "gamma"])
def test_the_minimum_is_that_of_the_dense_fit(monkeypatch, family, penalty, wide):
    X = design()
    Y = activity(X, family)
    link = {"gamma": {"inverse_link": "exp"}}.get(family, {})
    settings = {"family": family, "penalty": penalty, "lambdas": [0.1, 0.01], "feature_groups": GROUPS, **link, **EXACT}
    dense = GLM(**settings).fit(X, Y)
    kept_sparse(monkeypatch, wide)
    found = GLM(**settings).fit(sparse(X), Y)
    assert (found.gap_ <= EXACT["tol"]).all()
    sizes = SIZES if penalty == "group_lasso" else [1] * P
    values = [objectives(m, family, X, Y, 0.01, PENALTIES[penalty], np.array(sizes)) for m in (found, dense)]
    apart, unit = np.abs(values[0][0] - values[1][0]), values[1][1]
    assert (apart <= 2 * EXACT["tol"] * unit).all()
    np.testing.assert_allclose(found.coef_, dense.coef_, atol=2e-3)
    np.testing.assert_allclose(found.predict(sparse(X)), dense.predict(X), rtol=3e-3, atol=3e-3)
    assert found.score(sparse(X), Y) == pytest.approx(dense.score(X, Y), abs=1e-5)


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
@pytest.mark.parametrize("penalty", ["ridge", "lasso", "elastic_net"])
@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_weights_within_bounds(monkeypatch, family, penalty, wide):
    X = design()
    Y = activity(X, family)
    constraints = {"a": (-0.1, 0.2), "b": "positive", "d": (None, [0.05, 0.1, 0, 0.1, 0.3])}
    settings = {"penalty": penalty, "lambdas": [0.01], "feature_groups": GROUPS, "constraints": constraints, **EXACT}
    dense = GLM(family, **settings).fit(X, Y)
    kept_sparse(monkeypatch, wide)
    found = GLM(family, **settings).fit(sparse(X), Y)
    assert (found.gap_ <= EXACT["tol"]).all()
    values = [objectives(m, family, X, Y, 0.01, PENALTIES[penalty], np.ones(P, int)) for m in (found, dense)]
    assert (np.abs(values[0][0] - values[1][0]) <= 2 * EXACT["tol"] * values[1][1]).all()
    np.testing.assert_allclose(found.coef_, dense.coef_, atol=2e-3)
    lower, upper = found.penalty_.bounds
    assert ((found.coef_ >= lower) & (found.coef_ <= upper)).all()
    assert ((found.coef_ == upper) & (upper > 0)).any()
    single = GLM(family, **settings | {"precision": "float32", "tol": 1e-4}).fit(sparse(X), Y).coef_.astype(float)
    assert ((single >= lower) & (single <= upper)).all()
    beside = np.isclose(single, upper, rtol=1e-5) & (upper > 0)
    assert beside.any()
    np.testing.assert_array_equal(single[beside], np.broadcast_to(inward(upper, np.float32), single.shape)[beside])


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_weights_offset_missing_samples_and_no_intercept(monkeypatch, family, wide):
    X, rng = design(), np.random.default_rng(3)
    Y = activity(X, family)
    Y[50:150, 1] = np.nan
    weights, offset = rng.integers(0, 3, N).astype(float), 0.3 * rng.standard_normal(N)
    for intercept in (True, False):
        model = GLM(family, penalty="elastic_net", lambdas=[0.05, 0.02], fit_intercept=intercept, **EXACT)
        kept_sparse(monkeypatch, wide)
        found = model.fit(sparse(X), Y, sample_weight=weights, offset=offset)
        paths, start = found.coef_path_, found.intercept_path_
        monkeypatch.undo()
        dense = model.fit(X, Y, sample_weight=weights, offset=offset)
        np.testing.assert_allclose(paths, dense.coef_path_, atol=2e-3)
        # an intercept makes up for what a column far from 0 has of a weight
        level = start + paths @ X.mean(axis=0)
        np.testing.assert_allclose(level, dense.intercept_path_ + dense.coef_path_ @ X.mean(axis=0), atol=2e-3)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
def test_masks_and_factors(monkeypatch, wide):
    X = design()
    Y = activity(X, "poisson")
    mask = np.random.default_rng(4).random((P, Y.shape[1])) < 0.7
    factors = {"a": 0.5, "b": 2.0, "c": 1.0, "d": 1.0, "e": 0.0}
    for penalty in ("ridge", "lasso", "group_lasso"):
        settings = {"penalty": penalty, "lambdas": [0.1, 0.02], "feature_groups": GROUPS, **EXACT}
        model = GLM(feature_mask=mask, penalty_factors=factors, **settings)
        kept_sparse(monkeypatch, wide)
        found = model.fit(sparse(X), Y).coef_path_
        assert (found[:, ~mask.T] == 0).all()
        monkeypatch.undo()
        np.testing.assert_allclose(found, model.fit(X, Y).coef_path_, atol=2e-3)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_cross_validation_by_trial(monkeypatch, family, wide):
    X = design()
    Y = activity(X, family)
    Y[100:130, 0] = np.nan
    trials = np.arange(N) // 20
    model = GLMCV(family, penalty="lasso", n_lambdas=4, lambda_min_ratio=1e-2, cv=3, **EXACT)
    dense = model.fit(X, Y, groups=trials)
    kept = {name: getattr(dense, name) for name in ("cv_deviance_", "coef_", "lambda_index_", "lambda_path_", "fold_")}
    predicted = dense.predict_held_out(X)
    kept_sparse(monkeypatch, wide)
    found = model.fit(sparse(X), Y, groups=trials)
    np.testing.assert_allclose(found.lambda_path_, kept["lambda_path_"], rtol=1e-6)
    np.testing.assert_allclose(found.cv_deviance_, kept["cv_deviance_"], rtol=1e-3)
    np.testing.assert_array_equal(found.lambda_index_, kept["lambda_index_"])
    np.testing.assert_allclose(found.coef_, kept["coef_"], atol=2e-3)
    np.testing.assert_allclose(found.predict_held_out(sparse(X)), predicted, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
def test_splits_that_are_no_partition(monkeypatch, wide):
    X = design()
    Y = activity(X, "poisson")
    rows = np.arange(N)
    cv = [(rows[:200], rows[200:300]), (rows[:300], rows[300:450])]
    model = GLMCV(penalty="ridge", lambdas=[0.1, 0.01], cv=cv, **EXACT)
    dense = model.fit(X, Y).cv_deviance_
    kept_sparse(monkeypatch, wide)
    np.testing.assert_allclose(model.fit(sparse(X), Y).cv_deviance_, dense, rtol=1e-4)


def test_the_grid_of_a_ridge_is_that_of_the_dense_fit(monkeypatch):
    X = design()
    Y = activity(X, "poisson")
    model = GLM(penalty="ridge", n_lambdas=4, lambda_min_ratio=0.1, precision="float64")
    dense = model.fit(X, Y).lambda_path_
    kept_sparse(monkeypatch, wide=True)
    np.testing.assert_allclose(model.fit(sparse(X), Y).lambda_path_, dense, rtol=1e-5)


def test_without_a_penalty_there_is_a_gram_matrix_or_a_refusal(monkeypatch):
    X = design()[:, [*range(9), 30, 31, 35]]
    Y = activity(design(), "poisson")
    model = GLM(penalty="none", precision="float64", tol=1e-8)
    dense = model.fit(X, Y).coef_
    kept_sparse(monkeypatch)
    np.testing.assert_allclose(model.fit(sparse(X), Y).coef_, dense, atol=1e-4)
    kept_sparse(monkeypatch, wide=True)
    with pytest.raises(ValueError, match=r"X is sparse and has 12 columns; with more than 8 of them a fit without"):
        model.fit(sparse(X), Y)
    with pytest.raises(ValueError, match=r"more than 8 of them smoothness=0.5 is not supported. Use smoothness=0."):
        GLM(smoothness=0.5, feature_groups=[9, 3], lambdas=[0.1]).fit(sparse(X), Y)
    with pytest.raises(ValueError, match=r"at most 8 may have penalty factor 0; 9 have"):
        GLM(feature_groups=[9, 3], penalty_factors=[0.0, 1.0], lambdas=[0.1]).fit(sparse(X), Y)


def test_other_engines_are_refused(monkeypatch):
    X = design()
    kept_sparse(monkeypatch)
    with pytest.raises(ValueError, match="A sparse X is fitted by NumPy alone; use engine='numpy'"):
        GLM(schedule="device").fit(sparse(X), activity(X, "poisson"))


@pytest.mark.parametrize("wide", [False, True], ids=["gram", "wide"])
def test_a_neurons_bits_do_not_depend_on_its_company(monkeypatch, wide):
    X = design()
    Y = activity(X, "poisson")
    kept_sparse(monkeypatch, wide)
    model = GLM(penalty="group_lasso", lambdas=[0.05, 0.02], feature_groups=GROUPS)
    together = model.fit(sparse(X), Y).coef_path_
    np.testing.assert_array_equal(model.fit(sparse(X), Y[:, 1:2]).coef_path_[:, 0], together[:, 1])


def test_a_parameter_of_the_family_and_a_loss_that_is_not_convex(monkeypatch):
    X = design()
    Y = activity(X, "poisson")
    for settings in ({"family": "negative_binomial"}, {"family": "poisson", "inverse_link": "softplus"}):
        model = GLM(penalty="ridge", lambdas=[0.1, 0.02], tol=1e-6, precision="float64", **settings)
        dense = model.fit(X, Y).coef_
        kept_sparse(monkeypatch, wide=True)
        np.testing.assert_allclose(model.fit(sparse(X), Y).coef_, dense, atol=3e-3)
        monkeypatch.undo()


def test_optimisers_that_draw_rows(monkeypatch):
    X = design()[:, :30]
    Y = activity(design(), "poisson")
    model = GLM(solver="adam", lambdas=[0.1], max_iter=30, precision="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dense = model.fit(X, Y).coef_
        kept_sparse(monkeypatch, wide=True)
        np.testing.assert_allclose(model.fit(sparse(X), Y).coef_, dense, atol=1e-6)


def test_a_wide_fit_is_no_further_from_its_minimum_than_it_says(monkeypatch):
    rng = np.random.default_rng(5)
    # six columns that hardly differ, so that the diagonal is far from the curvature, and others
    X = np.repeat(rng.standard_normal((N, 6)), [6, 1, 1, 1, 1, 1], axis=1) * (rng.random((N, 1)) < 0.5)
    X += 0.05 * rng.standard_normal(X.shape) * (X != 0)
    Y = rng.poisson(np.exp(0.4 * X[:, [0, 7]] - 0.5 * X[:, [1, 8]] + 2 * (X[:, [2]] - X[:, [3]]))).astype(float)
    sizes = np.ones(X.shape[1], int)
    for penalty, lam in (("lasso", 1e-3), ("ridge", 1e-3)):
        model = GLM(penalty=penalty, lambdas=[lam], precision="float64", max_iter=2000)
        exact = objectives(model.set_params(tol=1e-10).fit(X, Y), "poisson", X, Y, lam, PENALTIES[penalty], sizes)[0]
        kept_sparse(monkeypatch, wide=True)
        for tol in (1e-1, 1e-2, 1e-3):
            found = model.set_params(tol=tol).fit(sparse(X), Y)
            value, unit = objectives(found, "poisson", X, Y, lam, PENALTIES[penalty], sizes)
            assert (found.gap_[0] <= tol).all()
            assert (value - exact <= found.gap_[0] * unit + 1e-10).all(), (penalty, tol)
        monkeypatch.undo()


def test_a_checkpoint_of_a_wide_fit(monkeypatch, tmp_path):
    X = design()
    Y = activity(X, "poisson")
    kept_sparse(monkeypatch, wide=True)
    model = GLMCV(penalty="lasso", lambdas=[0.05, 0.02], cv=2)
    plain = model.fit(sparse(X), Y).coef_
    for _ in range(2):
        np.testing.assert_array_equal(model.fit(sparse(X), Y, checkpoint=tmp_path / "fit").coef_, plain)
    other = X.copy()
    other[0, 30] += 1
    with pytest.raises(ValueError, match="X"):
        model.fit(sparse(other), Y, checkpoint=tmp_path / "fit")


def test_a_column_that_is_the_activity_is_found(monkeypatch):
    X = design()
    Y = activity(X, "poisson")
    X[:, 30] = Y[:, 2]
    kept_sparse(monkeypatch)
    with pytest.warns(PopglmWarning, match="holds a neuron's own activity"):
        GLM(lambdas=[0.1]).fit(sparse(X), Y)

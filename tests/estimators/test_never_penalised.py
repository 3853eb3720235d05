"""Feature groups with a penalty factor of 0: never penalised, and part of the null model."""

import warnings

import numpy as np
import pytest
from factored import (
    ENGINES,
    FAMILIES,
    PENALTIES,
    SIZES,
    TRIAL,
    N,
    Q,
    assert_as_numpy,
    distance_from_stationary,
    quietly,
    recorded,
    settings_of,
)

import popglm as pg
from popglm import GLM, GLMCV
from popglm.solve.stream import RowStream
from popglm.statistics.responses import response_sums

FACTORS = np.array([0.5, 0.0, 1.0, 0.0])
FREE = np.repeat(FACTORS == 0, SIZES)


@pytest.fixture(scope="module")
def recording():
    return recorded()


@pytest.mark.thorough(keep=16)
@pytest.mark.parametrize(("penalty", "l1_ratio", "smoothness"), PENALTIES)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_minimum(recording, name, penalty, l1_ratio, smoothness):
    X, Y = recording[0], recording[1][name]
    # whatever is asked for, such fits are the host's
    schedule = "device" if name in ("poisson", "gaussian") else "host"
    given = settings_of(name, penalty, l1_ratio, smoothness, schedule=schedule, precision="float64", tol=1e-11)
    model = quietly(GLM(**given, penalty_factors=FACTORS, n_lambdas=2, lambda_min_ratio=1e-2), X, Y)
    for k, lam in enumerate(model.lambda_path_):
        for j in range(Q):
            w, b = model.coef_path_[k, j], model.intercept_path_[k, j]
            own = [path[k, j] for path in model.family_parameters_path_.values()]
            at = X, Y[:, j], w, b, lam[j], *own
            left = distance_from_stationary(name, penalty, l1_ratio, smoothness, FACTORS, *at)
            assert left < 3e-5
    # the null model is the fit of these columns alone
    assert not model.null_coef_[:, ~FREE].any()
    if not smoothness:
        alone = GLM(given["family"], given["inverse_link"], "none", tol=1e-10, precision="float64").fit(X[:, FREE], Y)
        np.testing.assert_allclose(model.null_coef_[:, FREE], alone.coef_, atol=1e-5)
        np.testing.assert_allclose(model.null_intercept_, alone.intercept_, atol=1e-5)
    if penalty in ("lasso", "group_lasso") and l1_ratio is None:
        # the first strength is the smallest at which all others are 0
        np.testing.assert_allclose(model.coef_path_[0], model.null_coef_, atol=1e-5)
        assert not model.coef_path_[0][:, ~FREE].any()
        own = model.null_family_parameters_.values()
        g = FAMILIES[name][1](X @ model.null_coef_.T + model.null_intercept_, Y, *own).T @ X / N
        size, first = np.array(SIZES), np.cumsum(SIZES) - SIZES
        if penalty == "group_lasso":
            force = (np.sqrt(np.add.reduceat(g**2, first, axis=1)) / np.sqrt(size))[:, [0, 2]] / FACTORS[[0, 2]]
        else:
            force = np.abs(g[:, ~FREE]) / np.repeat(FACTORS, SIZES)[~FREE]
        np.testing.assert_allclose(model.lambda_path_[0], 1.001 * force.max(axis=1), rtol=1e-4)


@pytest.mark.parametrize(("penalty", "l1_ratio"), [("ridge", None), ("elastic_net", 0.3), ("group_lasso", None)])
@pytest.mark.parametrize("name", ["gaussian", "poisson"])
def test_no_penalty_at_all(recording, name, penalty, l1_ratio):
    X, Y = recording[0], recording[1][name]
    given = {"tol": 1e-9, "precision": "float64"}
    none = GLM(settings_of(name, "ridge")["family"], penalty="none", **given).fit(X, Y)
    all_free = settings_of(name, penalty, l1_ratio, lambdas=[10.0, 0.1], **given)
    model = GLM(**all_free, penalty_factors=np.zeros(4)).fit(X, Y)
    for k in range(2):
        np.testing.assert_allclose(model.coef_path_[k], none.coef_, atol=1e-4)
        np.testing.assert_allclose(model.loss_path_[k], none.loss_path_[0], atol=1e-8)


def hard_recording(seed=0, n=600, q=6):
    """Columns without a penalty that sum to 1, and slow ones in a small unit; neurons with fewer and fewer events."""
    rng = np.random.default_rng(seed)
    phase = np.eye(4)[rng.integers(4, size=n)]
    slow = np.cumsum(rng.normal(size=(n, 2)), axis=0)
    slow /= slow.std(axis=0)
    P = rng.normal(size=(n, 20)) @ (np.eye(20) + 0.3 * rng.normal(size=(20, 20)))
    X = np.column_stack([phase, P[:, :10], 1e-3 * slow, P[:, 10:]])
    eta = 0.15 * X @ rng.normal(size=(26, q)) + 0.4 * slow @ rng.normal(size=(2, q)) - np.linspace(0, 2.5, q)
    counts = rng.poisson(np.exp(np.clip(eta, -8, 2))).astype(float)
    events = (rng.random((n, q)) < 1 / (1 + np.exp(-eta))).astype(float)
    Y = {"gaussian": eta + rng.normal(size=(n, q)), "poisson": counts, "softplus": counts, "bernoulli": events}
    return X, Y, {"feature_groups": [4, 5, 5, 2, 5, 5], "penalty_factors": [0, 1, 2, 0, 0.5, 1]}


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize(("penalty", "l1_ratio"), [("ridge", None), ("elastic_net", 0.3), ("group_lasso", None)])
@pytest.mark.parametrize("name", ["gaussian", "poisson", "softplus", "bernoulli"])
def test_certificates_bound_the_distance_from_the_minimum(name, penalty, l1_ratio):
    X, Y, groups = hard_recording()
    Y = Y[name]
    given = settings_of(name, penalty, l1_ratio, n_lambdas=2, lambda_min_ratio=1e-2) | groups
    best = quietly(GLM(**given | {"precision": "float64", "tol": 1e-9, "max_iter": 1000}), X, Y)
    scale = response_sums(best.loss_, np.ascontiguousarray(Y.T), np.ones(len(X)), [(0, len(X))]).null

    def objective(model, k):
        w = model.coef_path_[k].astype(float)
        eta = w @ X.T + model.intercept_path_[k][:, None]
        loss = model.loss_.deviance(eta, Y.T).mean(axis=1) / 2
        return loss + model.penalty_.value(w, best.lambda_path_[k])

    for tol in (1e-2, 1e-4):
        model = GLM(**given | {"lambdas": best.lambda_path_, "n_lambdas": 20}, tol=tol).fit(X, Y)
        for k in range(2):
            excess = (objective(model, k) - objective(best, k)) / scale
            assert (excess <= model.gap_[k] + 1e-6).all()
            assert (model.gap_[k] <= tol).all()
    assert model.n_iter_.mean() < 15


@pytest.mark.parametrize("penalty", ["ridge", "group_lasso"])
def test_the_units_of_free_columns_do_not_matter(recording, penalty):
    X, Y = recording[0], recording[1]["poisson"]
    given = settings_of("poisson", penalty, lambdas=[0.1, 0.01], penalty_factors=FACTORS, tol=1e-6)
    unit = np.where(FREE, [1e3, 1e-3, 1, 1e2, 1, 1, 1, 1, 1e-3, 10], 1)
    plain, other = GLM(**given).fit(X, Y), GLM(**given).fit(X / unit, Y)
    np.testing.assert_allclose(other.coef_path_, plain.coef_path_ * unit, rtol=1e-2, atol=2e-3)
    np.testing.assert_allclose(other.loss_path_, plain.loss_path_, atol=1e-5)
    np.testing.assert_array_less(other.n_iter_.mean(), plain.n_iter_.mean() + 2)
    # nor do they for an automatic grid
    grids = [GLM(**given | {"lambdas": None, "n_lambdas": 2}).fit(x, Y).lambda_path_ for x in (X, X / unit)]
    np.testing.assert_allclose(*grids, rtol=1e-3)
    if penalty == "ridge":
        # ten times the mean count times the largest variance of penalised columns over their factors
        held = X[:, ~FREE] / np.sqrt(np.repeat(FACTORS, SIZES)[~FREE])
        largest = np.linalg.eigvalsh(np.cov(held.T, ddof=0))[-1]
        np.testing.assert_allclose(grids[0][0], 10.01 * Y.mean(axis=0) * largest, rtol=1e-4)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("penalty", ["ridge", "elastic_net", "group_lasso"])
@pytest.mark.parametrize("name", ["gaussian", "poisson"])
def test_folds_weights_offsets_missing_samples_and_masks(recording, name, penalty):
    X, Y = recording[0], recording[1][name].copy()
    rng = np.random.default_rng(1)
    Y[rng.random(N) < 0.1, 0] = np.nan
    options = {"sample_weight": rng.uniform(0.5, 2, N), "offset": 0.3 * rng.normal(size=N)}
    given = settings_of(name, penalty, lambdas=[0.1, 0.01], penalty_factors=FACTORS, tol=1e-8, precision="float64")
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1]], bool)
    model = quietly(GLMCV(**given, feature_mask=mask, cv=3), X, Y, **options, groups=TRIAL)
    for fold, (train, test) in enumerate(model.splits_):
        own = {key: value[train] for key, value in options.items()}
        alone = quietly(GLM(**given, feature_mask=mask), X[train], Y[train], **own)
        np.testing.assert_allclose(model.cv_coef_path_[fold], alone.coef_path_, atol=1e-4)
        np.testing.assert_allclose(model.cv_null_coef_[fold], alone.null_coef_, atol=1e-4)
        np.testing.assert_allclose(model.cv_null_intercept_[fold], alone.null_intercept_, atol=1e-4)
        eta = X[test] @ alone.null_coef_.T + alone.null_intercept_ + options["offset"][test, None]
        unit = alone.loss_.deviance(eta, np.nan_to_num(Y[test])) * options["sample_weight"][test, None]
        expected = np.where(np.isnan(Y[test]), 0, unit).sum(axis=0)
        np.testing.assert_allclose(model.cv_null_model_deviance_[fold], expected, rtol=1e-4)
    assert not model.coef_path_[:, ~np.repeat(mask, SIZES, axis=0).T].any()
    again = quietly(GLMCV(**given, feature_mask=mask, cv=3), X, Y, **options, groups=TRIAL, start=model)
    assert again.cv_n_iter_.mean() <= 2


@pytest.mark.parametrize(("engine", "penalty"), ENGINES)
def test_other_engines(recording, engine, penalty):
    assert_as_numpy(engine, penalty, FACTORS, recording)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
def test_streams_and_first_order_steps(recording, penalty):
    X, Y = recording[0], recording[1]["poisson"]
    given = settings_of("poisson", penalty, lambdas=[1.0, 0.03], tol=1e-6, penalty_factors=FACTORS)
    plain = GLM(**given).fit(X, Y)
    streamed = GLM(**given).fit(RowStream(X, memory=20_000), Y)
    np.testing.assert_allclose(streamed.coef_path_, plain.coef_path_, atol=3e-3)
    stepped = quietly(GLM(**given | {"tol": 1e-3, "solver": "adam"}), X, Y)
    np.testing.assert_allclose(stepped.loss_path_, plain.loss_path_, atol=1e-3)
    assert (stepped.gap_ <= 3e-3).all()


@pytest.fixture(scope="module")
def driven():
    """A neuron that speed drives and nothing else, one that a cue drives too, and one that nothing drives."""
    rng = np.random.default_rng(3)
    n = 900
    X = rng.normal(size=(n, 8))
    eta = np.column_stack([0.6 * X[:, 0], 0.4 * X[:, 0] + 0.6 * X[:, 4], np.zeros(n)]) - 0.5
    return X, rng.poisson(np.exp(eta)).astype(float), np.arange(n) // 30


GROUPS = {"feature_groups": ["speed", "speed", *("noise",) * 2, *("cue",) * 4], "penalty_factors": {"speed": 0}}


def test_a_neuron_whose_penalised_groups_say_nothing_keeps_the_others(driven, tmp_path):
    X, Y, trial = driven
    model = quietly(GLMCV(penalty="group_lasso", **GROUPS, cv=5, tol=1e-6), X, Y, groups=trial)
    alone = quietly(GLMCV(penalty="none", cv=5, tol=1e-7), X[:, :2], Y, groups=trial)
    assert np.isfinite(model.lambda_).tolist() == [False, True, False]
    for j in (0, 2):
        np.testing.assert_allclose(model.coef_[j, :2], alone.coef_path_[0, j], atol=1e-3)
        assert not model.coef_[j, 2:].any()
        np.testing.assert_allclose(model.intercept_[j], alone.intercept_path_[0, j], atol=1e-3)
        np.testing.assert_allclose(model.cv_coef_[:, j, :2], alone.cv_coef_path_[:, 0, j], atol=1e-3)
        explained = 1 - alone.cv_deviance_[:, 0, j].sum() / alone.cv_null_deviance_[j]
        np.testing.assert_allclose(model.cv_deviance_explained_[j], explained, atol=1e-4)
    assert model.cv_deviance_explained_[0] > 0.1
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.coef_, model.coef_)
    np.testing.assert_array_equal(again.cv_coef_, model.cv_coef_)
    np.testing.assert_array_equal(again.cv_constant_deviance_, model.cv_constant_deviance_)
    np.testing.assert_array_equal(again.penalty_factors_, [0, 1, 1])
    # and so does a selection on validation data
    path = quietly(GLM(penalty="group_lasso", **GROUPS, tol=1e-6), X, Y)
    path.select(X[:300], np.roll(Y[:300], 150, axis=0) * 0 + np.exp(0.6 * X[:300, :1] - 0.5))
    assert np.isinf(path.lambda_[0])
    np.testing.assert_array_equal(path.coef_[0], path.null_coef_[0])


@pytest.mark.parametrize("reselect", [False, True])
def test_compare_misses_free_groups_of_null_models(driven, reselect):
    X, Y, trial = driven
    given = {"penalty": "group_lasso", "cv": 3, "tol": 1e-6, "lambdas": [0.1, 0.02]}
    model = quietly(GLMCV(**given, **GROUPS), X, Y, groups=trial)
    assert np.isinf(model.lambda_[0])
    shares = pg.compare(model, X, Y, {"speed": ["speed"], "cue": ["cue"]}, reselect=reselect)
    found = shares.fraction_explained_deviance.to_numpy()
    # without the speed, this neuron has the intercepts of its folds
    constant, full = (a[:, 0].sum() for a in (model.cv_constant_deviance_, model.cv_null_model_deviance_))
    np.testing.assert_allclose(shares.reduced_deviance[0], [constant, full], rtol=1e-4)
    np.testing.assert_allclose(found[0], [1, 0], atol=1e-6)
    assert found[1].min() > 0.1


def test_explanations(driven):
    rng = np.random.default_rng(0)
    n = 900
    session = {"speed": rng.uniform(0, 10, n), "noise": rng.normal(size=n), "trial": np.arange(n) // 30}
    Y = rng.poisson(np.exp(0.15 * session["speed"] - 0.5))
    design = pg.Design([pg.linear("speed"), pg.bumps("noise", n=4, low=-2, high=2)])
    X = design.fit_transform(session)
    given = {"penalty": "group_lasso", "lambdas": [0.5, 0.3], "penalty_factors": {"speed": 0}, "tol": 1e-5}
    model = quietly(GLMCV(**given, cv=5), X, Y, groups=session["trial"])
    assert np.isinf(model.lambda_).all()
    bands = pg.bootstrap(model, design, X, Y, trial=session["trial"], n_resamples=10)
    speed, noise = bands["speed"], bands["noise"]
    assert (speed.lower.isel(speed=-1) <= speed.kernel.isel(speed=-1)).all()
    assert (speed.upper.isel(speed=-1) > speed.lower.isel(speed=-1)).all()
    assert not noise.upper.any()
    found = quietly_significance(model, X, Y, trial=session["trial"], n_shifts=40, variables={"speed": ["speed"]})
    assert found.p_value.item() < 0.1
    assert found.contribution_p_value.item() < 0.1


def quietly_significance(*data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.significance(*data, **more)


def test_separation_by_free_columns_is_warned_of(recording):
    X, Y = recording[0], (recording[1]["poisson"] > 0).astype(float)
    both = np.column_stack([X, Y[:, 1]])
    given = {"family": "bernoulli", "penalty": "lasso", "lambdas": [0.05], "max_iter": 30}
    groups = [*(f"g{k}" for k in range(10)), "events"]
    for factor in (0, 1):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            GLM(**given, feature_groups=groups, penalty_factors={"events": factor, "g0": 0}).fit(both, Y)
        told = [str(w.message) for w in said if "no finite weights are best" in str(w.message)]
        assert bool(told) == (factor == 0)
        assert all("neuron1" in text and "neuron0" not in text for text in told)


@pytest.mark.parametrize("penalty", ["group_lasso", "ridge", "none"])
def test_a_column_that_is_still_where_a_neuron_is_known_has_no_weight(penalty):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 6))
    X[:, 5] = np.arange(400) >= 200
    # what the others say of it elsewhere must not stay with it here
    X[:, 0] += X[:, 5]
    Y = rng.poisson(np.exp(0.4 * X[:, :2])).astype(float)
    Y[200:, 0] = np.nan
    given = {"penalty": penalty, "feature_groups": [3, 2, 1], "precision": "float64", "tol": 1e-9}
    given |= {} if penalty == "none" else {"lambdas": [0.05, 0.01], "penalty_factors": [1, 1, 0]}
    known = np.arange(400) < 200
    alone = quietly(GLM(**given), X[known], Y[known, 0])
    for Z in (X, RowStream(X, 2**20)):
        model = quietly(GLM(**given), Z, Y)
        assert not model.coef_path_[:, 0, 5].any()
        assert model.coef_path_[:, 1, 5].all()
        np.testing.assert_allclose(model.coef_path_[:, 0], alone.coef_path_[:, 0], atol=1e-4)
    # a fold's own rows decide for that fold: a column that only its held-out rows have
    folds = np.repeat(np.arange(4), 100)
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(4)]
    Y[:100, 1] = np.nan
    X[:, 5] = (folds == 1) & (np.arange(400) % 2 > 0)
    model = quietly(GLMCV(**given, cv=splits), X, Y)
    assert not model.cv_coef_path_[1, :, :, 5].any()
    assert model.cv_coef_path_[2, :, :, 5].all()

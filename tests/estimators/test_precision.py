"""Large counts, large means and large offsets in float32, against closed forms, scikit-learn and float64."""

import warnings

import numpy as np
import pytest
from scipy.special import xlogy
from sklearn.linear_model import LinearRegression
from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance

import popglm as pg
from popglm.engines import get_engine
from popglm.estimators.deviance_loss import fitted_loss
from popglm.estimators.predictions import means_on_device
from popglm.solve.held_out import HeldOut
from popglm.solve.passes.samples import Samples
from popglm.statistics.families import get_family
from popglm.statistics.responses import response_sums

ENGINES = ["numpy", "torch", "jax", "tensorflow"]


def large_counts(mean, seed=8):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((1500, 5))
    # as deep a modulation as the Poisson noise
    return X, rng.poisson(mean * np.exp(X[:, 0] / np.sqrt(mean))).astype(float)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("mean", [1e6, 1e9])
@pytest.mark.parametrize("penalty", ["lasso", "ridge"])
def test_large_counts_are_fitted_and_scored_in_float32(mean, penalty):
    X, y = large_counts(mean)
    model = pg.GLMCV(penalty=penalty, n_lambdas=6, cv=3).fit(X, y)
    exact = pg.GLMCV(penalty=penalty, n_lambdas=6, cv=3, precision="float64").fit(X, y)
    # weighted least squares of log y, to first order the same for a modulation this small
    reference = LinearRegression().fit(X, np.log(y)).score(X, np.log(y))
    assert abs(model.evaluate(X, y).deviance_explained.iloc[0] - reference) < 0.01
    np.testing.assert_allclose(model.cv_deviance_explained_path_, exact.cv_deviance_explained_path_, atol=5e-4)
    held_out = np.zeros(len(y))
    for fold in range(3):
        at, k = model.fold_ == fold, model.lambda_index_[0]
        held_out[at] = np.exp(
            X[at] @ model.cv_coef_path_[fold, k, 0].astype(float) + model.cv_intercept_path_[fold, k, 0]
        )
    assert abs(model.cv_deviance_explained_[0] - d2_tweedie_score(y, held_out, power=1)) < 1e-4
    assert abs(model.score(X, y) - d2_tweedie_score(y, model.predict(X).astype(float), power=1)) < 1e-3


@pytest.mark.parametrize("name", ENGINES)
def test_held_out_deviance_of_large_counts_on_every_engine(name):
    pytest.importorskip(name)
    X, y = large_counts(1e6)
    engine = get_engine(name, "cpu", "float32")
    X32, W = X.astype(np.float32), np.zeros((2, 1, 5))
    W[1, 0, 0] = 1e-3
    # in the units of a fit: counts over their mean
    unit, b = y.mean(), np.zeros((2, 1))
    with engine.session():
        samples = Samples(X32, (y / unit)[None].astype(np.float32))
        found = HeldOut(engine, get_family("poisson"), samples, [(0, len(y))]).deviance(W, b)
    for k in range(2):
        expected = len(y) * mean_poisson_deviance(y, unit * np.exp(X32.astype(float) @ W[k, 0]))
        assert found[k, 0] * unit == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("link", ["exp", "softplus", "identity", "relu", "sigmoid"])
def test_excess_keeps_its_digits_near_the_optimum(link):
    y = np.array([0.9]) if link == "sigmoid" else np.array([1e9])
    for relative in (1e-7, 3e-5, 0.05, 0.099, 0.101):
        # Taylor's series of μ − y + y log(y/μ) in μ/y − 1
        powers = np.arange(2, 40)
        expected = y[0] * np.sum((-relative) ** powers / powers)
        loss = get_family("poisson", link)
        if link == "exp":
            found = loss.excess(np, np.log1p(relative) + np.zeros(1), np.ones(1)) * y
        else:
            found = loss.excess(np, loss.link.link(y * (1 + relative)), y)
        assert found[0] == pytest.approx(expected, rel=1e-6 + 1e-16 / relative**2)


def test_deviance_of_probabilities_vanishes_without_rounding():
    p = np.array([0.3, 0.5, 0.999], np.float32)
    eta = (np.log(p.astype(float)) - np.log1p(-p.astype(float))).astype(np.float32)
    moved = (eta + np.float32(1e-3)).astype(np.float32)
    found = get_family("bernoulli").excess(np, moved, p)
    mu = 1 / (1 + np.exp(-moved.astype(float)))
    y = p.astype(float)
    np.testing.assert_allclose(found, xlogy(y, y / mu) + xlogy(1 - y, (1 - y) / (1 - mu)), rtol=2e-3)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_null_deviance_of_a_large_mean(family):
    rng = np.random.default_rng(0)
    scale = {"gaussian": 1e9, "poisson": 1e9, "bernoulli": 0.5}[family]
    y = scale + rng.normal(size=(1, 5000)) * {"gaussian": 1e-1, "poisson": 3e4, "bernoulli": 1e-6}[family]
    sums = response_sums(get_family(family), y, None, [(0, 5000)])
    curvature = {"gaussian": 1, "poisson": 1 / scale, "bernoulli": 4}[family]
    assert sums.null[0] == pytest.approx(0.5 * curvature * np.var(y - scale), rel=1e-3)
    assert get_family(family).unit_deviance(y[0], y.mean()).mean() / 2 == pytest.approx(sums.null[0], rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_with_a_large_mean(dtype):
    rng = np.random.default_rng(0)
    day = (7.39e5 + np.arange(3000) / (86400 if dtype == np.float64 else 8)).astype(dtype)
    x = rng.normal(size=3000)
    clock = (day - day.mean(dtype=float)) / day.std(dtype=float)
    X = np.column_stack([x, day]).astype(dtype)
    y = 0.4 * x + 0.3 * clock + rng.normal(size=3000)
    right = LinearRegression().fit(np.column_stack([x, clock]), y).score(np.column_stack([x, clock]), y)
    model = pg.GLMCV("gaussian", penalty="ridge", lambdas=[1e-9], cv=3).fit(X, y)
    assert abs(model.score(X, y) - right) < 1e-4
    assert abs(1 - np.var(y - model.predict(X)) / np.var(y) - right) < 1e-3
    held_out = model.predict_held_out()
    assert abs(1 - np.var(y - held_out) / np.var(y) - model.cv_deviance_explained_[0]) < 1e-3
    shares = pg.breakdown(model, X, y)
    assert abs(float(shares.deviance_explained[0]) - model.cv_deviance_explained_[0]) < 1e-3


def test_a_group_of_columns_with_large_means():
    rng = np.random.default_rng(1)
    day = 7.39e5 + np.arange(3000) / 86400
    clock = (day - day.mean()) / day.std()
    X = np.column_stack([day, day + 0.02 * np.sin(clock)])
    y = rng.poisson(np.exp(0.4 * clock)).astype(float)
    model = pg.GLM(penalty="group_lasso", feature_groups=[2], lambdas=[1e-4]).fit(X, y)
    # an intercept solved exactly makes the mean prediction that of the counts
    assert model.predict(X).mean() == pytest.approx(y.mean(), rel=1e-4)


def test_objective_and_held_out_deviance_with_a_large_constant_offset():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((800, 3))
    y = rng.poisson(np.exp(0.3 * X[:, 0])).astype(float)
    model = pg.GLMCV(penalty="lasso", lambdas=[0.1, 0.01], cv=3).fit(X, y, offset=np.full(800, 40.0))
    for k, lam in enumerate(model.lambdas_):
        w, b = model.coef_path_[k, 0].astype(float), model.intercept_path_[k, 0]
        eta = X @ w + b + 40
        assert model.loss_path_[k, 0] == pytest.approx(np.mean(np.exp(eta) - y * eta) + lam * np.abs(w).sum(), rel=1e-6)
        for fold in range(3):
            at = model.fold_ == fold
            w, b = model.cv_coef_path_[fold, k, 0].astype(float), model.cv_intercept_path_[fold, k, 0]
            expected = at.sum() * mean_poisson_deviance(y[at], np.exp(X[at] @ w + b + 40))
            assert model.cv_deviance_[fold, k, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_gaussian_activity_far_from_zero_is_predicted_with_all_its_digits(name, tmp_path):
    library = pytest.importorskip(name)
    rng = np.random.default_rng(3)
    X = rng.standard_normal((400, 2)).astype(np.float32)
    effect = X[:, :1].astype(float) * [1.0, 0.1]
    Y = np.array([1e8, 5e4]) + effect
    make = {"numpy": np.asarray, "torch": getattr(library, "from_numpy", None)}.get(name)
    if make is None:
        make = library.numpy.asarray if name == "jax" else library.convert_to_tensor
    given = make(X)
    model = pg.GLMCV(family="gaussian", lambdas=[1e-6], cv=3).fit(given, Y)
    model.save(tmp_path / "model.nc")
    for fitted in (model, pg.load(tmp_path / "model.nc")):
        for predicted in (fitted.predict(given), fitted.predict_held_out(given), fitted.predict(given[:1])):
            assert type(predicted) is type(given)
            found = np.asarray(predicted)
            assert found.dtype == np.float64
            np.testing.assert_allclose(found - [1e8, 5e4], effect[: len(found)], rtol=1e-3, atol=1e-3)
    by = pg.bins(X[:, 0], [-0.5, 0.5], 0.5)
    curves = pg.predicted_tuning(model, given, Y, by)
    np.testing.assert_allclose(curves["predicted"], curves["average"], rtol=0, atol=1e-3)
    near = pg.GLM(family="gaussian", lambdas=[1e-6]).fit(given, effect + 10)
    assert near.predict(given).dtype == given.dtype


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_an_accelerator_predicts_far_from_zero_alike(name):
    pytest.importorskip(name)
    rng = np.random.default_rng(4)
    X, offset = rng.standard_normal((300, 2)).astype(np.float32), rng.normal(size=300)
    Y = np.array([1e8, 5e4]) + X[:, :1].astype(float) + offset[:, None]
    model = pg.GLM(family="gaussian", lambdas=[1e-6], engine=name).fit(X, Y, offset=offset)
    expected = model.predict(X, offset)

    engine, center = get_engine(name, "cpu"), X.mean(axis=0)
    intercept = model.intercept_ + model.coef_.astype(float) @ center.astype(float)
    found = means_on_device(engine, model.loss_, X, center, model.coef_, intercept, offset, exact=True)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
@pytest.mark.parametrize("exact", [False, True])
def test_an_accelerator_has_the_parameters_of_every_neuron(name, exact):
    pytest.importorskip(name)
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 2)).astype(np.float32)
    Y = np.maximum(X + [0.5, -0.5] + [0.3, 2] * rng.standard_normal((300, 2)), 0)
    model = pg.GLM("censored_gaussian", penalty="none").fit(X, Y)
    engine, center = get_engine(name, "cpu"), X.mean(axis=0)
    intercept = model.intercept_ + model.coef_.astype(float) @ center.astype(float)
    found = means_on_device(engine, fitted_loss(model), X, center, model.coef_, intercept, None, exact=exact)
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-4, atol=1e-6)


def test_predictions_are_made_on_the_device_that_is_asked_for():
    pytest.importorskip("torch")
    X = np.random.default_rng(4).standard_normal((300, 2)).astype(np.float32)
    model = pg.GLM(family="gaussian", lambdas=[1e-6]).fit(X, X)
    # arrays on PyTorch's device "meta" have shapes and no numbers: none can be had back
    with pytest.raises(NotImplementedError, match="meta tensor"):
        model.set_params(engine="torch", device="meta").predict(X)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_a_group_that_is_no_longer_penalised_does_not_follow_rounding(family):
    """A column that is the sum of others but for 1e-9: float32 does not hold the difference, and no weight grows by it.

    A norm of no strength must end where a ridge of none does.
    """
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 800)
    bumps = np.exp(-0.5 * ((t[:, None] * 3 % 1 - np.linspace(0, 1, 8)) / 0.15) ** 2)
    total = bumps.sum(axis=1, keepdims=True) + 1e-9 * rng.normal(size=(800, 1))
    X = np.column_stack([bumps, total, rng.normal(size=(800, 5))])
    eta = X @ np.concatenate([rng.normal(0, 0.5, 8), [0], rng.normal(0, 0.3, 5)])
    draw = {
        "gaussian": lambda: eta + rng.normal(size=800),
        "poisson": lambda: rng.poisson(np.exp(np.minimum(eta, 3))),
        "bernoulli": lambda: rng.random(800) < 1 / (1 + np.exp(-eta)),
    }
    y = draw[family]().astype(float)
    settings = {"family": family, "feature_groups": [9, 5], "lambdas": [0.1, 0]}
    models = [pg.GLM(penalty=penalty, **settings).fit(X, y[:, None]) for penalty in ("group_lasso", "ridge")]
    for model in models:
        eta = X @ model.coef_path_[-1, 0].astype(float) + model.intercept_path_[-1, 0]
        loss = {
            "gaussian": 0.5 * (y - eta) ** 2,
            "poisson": np.exp(eta) - y * eta,
            "bernoulli": np.logaddexp(0, eta) - y * eta,
        }[family].mean()
        assert abs(model.loss_path_[-1, 0] - loss) < 1e-6
        assert np.abs(model.coef_path_[-1]).max() < 10
        assert model.gap_[-1, 0] <= 1e-4
    assert abs(models[0].loss_path_[-1, 0] - models[1].loss_path_[-1, 0]) < 1e-4


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_what_is_certified_in_float32_of_a_neuron_that_is_silent_in_most_places(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, 3000)
    X = pg.Design([pg.bumps("x", n=8, low=0, high=1)]).fit_transform({"x": x})
    y = rng.poisson(np.where(x > 0.85, 0.6, 0.0))[:, None]
    settings = {"penalty": "group_lasso", "lambdas": 10.0 ** np.arange(-1, -6, -1) * y.mean()}
    with warnings.catch_warnings():
        # where rates are below the rounding of others, precision can end before tol is met, and is told
        warnings.simplefilter("ignore", pg.ConvergenceWarning)
        low, high = (pg.GLM(precision=name, **settings).fit(X, y) for name in ("float32", "float64"))
    null = mean_poisson_deviance(y[:, 0], np.full(len(y), y.mean())) / 2
    excess = (low.loss_path_ - high.loss_path_)[:, 0] / null
    assert (excess <= low.gap_[:, 0] + 2e-6).all()

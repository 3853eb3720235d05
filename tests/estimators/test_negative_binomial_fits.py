"""Negative binomial fits against statsmodels, scipy's optimiser and the conditions of a minimum.

The dispersion is estimated beside the weights: what holds of it is what holds of any nuisance parameter of a family.
"""

from pathlib import Path

import numpy as np
import pytest
from overdispersed import best_alpha, counts, mean_excess, mean_loss, quietly
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln

import popglm as pg
from popglm.solve.first_order import FirstOrder
from popglm.solve.stream import RowStream

REFERENCE = Path(__file__).parents[1] / "reference" / "negative_binomial.npz"
SIZES = [2, 3, 3]
EXACT = {"precision": "float64", "tol": 1e-10}


@pytest.fixture(scope="module")
def recording():
    return counts()


def test_without_a_penalty_it_is_statsmodels():
    data = np.load(REFERENCE)
    X, Y, offset, found = data["X"], data["Y"], data["offset"], data["found"]
    model = pg.GLM("negative_binomial", penalty="none", **EXACT).fit(X, Y, offset=offset)
    np.testing.assert_allclose(model.coef_, found[:, :-3], atol=2e-5)
    np.testing.assert_allclose(model.intercept_, found[:, -3], atol=2e-5)
    np.testing.assert_allclose(model.family_parameters_["alpha"], found[:, -2], rtol=2e-6)
    likelihood = -len(X) * model.loss_path_[-1] - gammaln(Y + 1).sum(axis=0)
    np.testing.assert_allclose(likelihood, found[:, -1], rtol=1e-10)


def test_ridge_weights_and_dispersion_are_those_of_a_joint_search(recording):
    X, Y, s = recording
    offset, strengths = 0.4 * np.sin(np.arange(len(X))), [0.5, 0.02]
    model = pg.GLM("negative_binomial", lambdas=strengths, **EXACT).fit(X, Y, sample_weight=s, offset=offset)
    for k, lam in enumerate(strengths):
        for j in (1, 2, 3):

            def objective(v, j=j, lam=lam):
                mu = np.exp(X @ v[:8] + v[8] + offset)
                return mean_loss(Y[:, j], mu, np.exp(v[9]), s) + lam / 2 * v[:8] @ v[:8]

            best = minimize(objective, np.zeros(10), method="BFGS", options={"gtol": 1e-7})
            np.testing.assert_allclose(model.coef_path_[k, j], best.x[:8], atol=2e-5)
            np.testing.assert_allclose(model.family_parameters_path_["alpha"][k, j], np.exp(best.x[9]), rtol=1e-4)
            assert model.loss_path_[k, j] == pytest.approx(best.fun, abs=1e-8)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("penalty", "ratio"), [("lasso", 1.0), ("elastic_net", 0.4), ("group_lasso", 1.0)])
def test_weights_and_dispersion_are_stationary_together(recording, penalty, ratio, precision):
    X, Y, s = recording
    labels = np.repeat(["a", "b", "c"], SIZES).tolist() if penalty == "group_lasso" else None
    groups = np.split(np.arange(8), np.cumsum(SIZES)[:-1] if labels else np.arange(1, 8))
    tight = precision == "float64"
    options = {"l1_ratio": ratio} if penalty == "elastic_net" else {}
    options |= {"penalty": penalty, "feature_groups": labels, "precision": precision, "tol": 1e-11 if tight else 1e-6}
    model = quietly(pg.GLM("negative_binomial", n_lambdas=3, **options).fit, X, Y, sample_weight=s)
    assert (model.gap_ <= options["tol"]).all()
    for k, lam in enumerate(model.lambda_path_):
        for j, y in enumerate(Y.T):
            w, alpha = model.coef_path_[k, j].astype(float), model.family_parameters_path_["alpha"][k, j]
            mu = np.exp(X @ w + model.intercept_path_[k, j])
            r = s * (mu - y) / (1 + alpha * mu) / s.sum()
            grad, slack = X.T @ r + lam[j] * (1 - ratio) * w, 3e-5 if tight else 3e-2
            assert abs(r.sum()) < slack
            for own in groups:
                bound, size = lam[j] * ratio * np.sqrt(len(own)), np.linalg.norm(w[own])
                # a weight that rounding left beside 0 has the subgradients of 0
                if size > (1e-8 if tight else 1e-3):
                    np.testing.assert_allclose(grad[own], -bound * w[own] / size, atol=slack)
                else:
                    assert np.linalg.norm(grad[own]) <= bound + slack
            # and no other dispersion is likelier beside these weights
            if alpha > 0:
                np.testing.assert_allclose(alpha, best_alpha(y, mu, s), rtol=1e-5 if tight else 1e-3)
            else:
                assert s @ ((y - mu) ** 2 - y) <= 1e-6 * s @ y


def test_the_gap_bounds_the_distance_from_the_minimum_at_its_dispersion(recording):
    X, Y, s = recording
    loose = quietly(
        pg.GLM("negative_binomial", penalty="lasso", lambdas=[0.1, 0.03], tol=1e-3).fit, X, Y, sample_weight=s
    )
    for j in (1, 2, 3):
        alpha = loose.family_parameters_["alpha"][j]

        def objective(v, j=j, alpha=alpha):
            # halves of weights, both at least 0
            w = v[:8] - v[8:16]
            mu = np.exp(X @ w + v[16])
            r = s * (mu - Y[:, j]) / (1 + alpha * mu) / s.sum()
            value = mean_loss(Y[:, j], mu, alpha, s) + 0.03 * v[:16].sum()
            return value, np.concatenate([X.T @ r + 0.03, 0.03 - X.T @ r, [r.sum()]])

        bounds = [(0, None)] * 16 + [(None, None)]
        best = minimize(objective, np.zeros(17), jac=True, bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9})
        w = loose.coef_[j].astype(float)
        here = objective(np.concatenate([np.maximum(w, 0), np.maximum(-w, 0), [loose.intercept_[j]]]))[0]
        null_alpha, mean = loose.deviance_parameters_["alpha"][j], np.average(Y[:, j], weights=s)
        unit = mean_excess(Y[:, j], mean, null_alpha, s)
        assert -1e-8 < (here - best.fun) / unit <= loose.gap_[-1, j] + 1e-6


def test_without_overdispersion_it_is_poisson(recording):
    X, _, s = recording
    # fewer counts in a sample than a Poisson neuron has now and then
    rng = np.random.default_rng(1)
    Y = rng.binomial(4, 0.2 + 0.1 * np.tanh(X[:, :2])).astype(float)
    strengths = [0.1, 0.01]
    fits = {
        family: pg.GLM(family, penalty="group_lasso", feature_groups=SIZES, lambdas=strengths, **EXACT).fit(
            X, Y, sample_weight=s
        )
        for family in ("poisson", "negative_binomial")
    }
    mine, poisson = fits["negative_binomial"], fits["poisson"]
    np.testing.assert_array_equal(mine.family_parameters_path_["alpha"], 0)
    np.testing.assert_array_equal(mine.null_family_parameters_["alpha"], 0)
    np.testing.assert_allclose(mine.coef_path_, poisson.coef_path_, atol=1e-5)
    np.testing.assert_allclose(mine.loss_path_, poisson.loss_path_, rtol=1e-9)
    np.testing.assert_allclose(mine.evaluate(X, Y), poisson.evaluate(X, Y), rtol=1e-5)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(("penalty", "schedule"), [("ridge", "host"), ("group_lasso", "device")])
def test_a_fold_knows_nothing_of_what_it_holds_out(recording, penalty, schedule):
    X, Y, s = recording
    options = {"penalty": penalty, "feature_groups": SIZES, "cv": 3, "n_lambdas": 3, "schedule": schedule}
    strengths = pg.GLM("negative_binomial", penalty=penalty, feature_groups=SIZES, n_lambdas=3).fit(X, Y).lambda_path_
    options["lambdas"] = strengths
    one = quietly(pg.GLMCV("negative_binomial", **options).fit, X, Y, sample_weight=s)
    other = Y.copy()
    held = one.fold_ == 1
    other[held] = np.random.default_rng(5).poisson(9.0, other[held].shape)
    two = quietly(pg.GLMCV("negative_binomial", **options).fit, X, other, sample_weight=s)
    for name in ("cv_coef_path_", "cv_intercept_path_", "cv_gap_", "cv_n_iter_"):
        np.testing.assert_array_equal(getattr(one, name)[1], getattr(two, name)[1])
    for name in ("cv_family_parameters_path_", "cv_deviance_parameters_", "cv_null_family_parameters_"):
        mine, yours = getattr(one, name)["alpha"], getattr(two, name)["alpha"]
        np.testing.assert_array_equal(mine[1], yours[1])
        assert (mine[0] != yours[0]).any()
    # and it ends where a fit to its training rows ends
    alone = quietly(
        pg.GLM("negative_binomial", **{k: v for k, v in options.items() if k != "cv"}).fit,
        X[~held], Y[~held], sample_weight=s[~held],
    )  # fmt: skip
    alpha = one.cv_family_parameters_path_["alpha"][1]
    np.testing.assert_allclose(alone.family_parameters_path_["alpha"], alpha, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize(("rate", "dispersion"), [(2e-3, 50.0), (1e5, 0.5)])
def test_rates_of_any_size(rate, dispersion):
    # fitted in other units than counts, in which the likelihood is not the same
    rng = np.random.default_rng(2)
    n = 60_000 if rate < 1 else 500
    X = rng.standard_normal((n, 3))
    mu = rate * np.exp(X @ [0.5, -0.3, 0.0])
    Y = rng.poisson(mu * rng.gamma(1 / dispersion, dispersion, n))[:, None].astype(float)
    loose = pg.GLM("negative_binomial", penalty="none", tol=1e-7).fit(X, Y)
    model = pg.GLM("negative_binomial", penalty="none", **EXACT).fit(X, Y)
    eta = X @ model.coef_[0] + model.intercept_[0]
    alpha = model.family_parameters_["alpha"][0]
    np.testing.assert_allclose(alpha, best_alpha(Y[:, 0], np.exp(eta)), rtol=1e-4)
    r = (np.exp(eta) - Y[:, 0]) / (1 + alpha * np.exp(eta))
    assert np.abs(X.T @ r).max() <= 1e-5 * np.abs(r).sum()
    assert model.loss_path_[0, 0] == pytest.approx(mean_loss(Y[:, 0], np.exp(eta), alpha), rel=1e-9)
    np.testing.assert_allclose(loose.coef_, model.coef_, atol=2e-3)
    np.testing.assert_allclose(loose.family_parameters_["alpha"], alpha, rtol=1e-3)


def test_one_neuron_spoils_no_other(recording):
    X, Y, s = recording
    options = {"n_lambdas": 3, "cv": 3, "precision": "float64"}
    plain = quietly(pg.GLMCV("negative_binomial", **options).fit, X, Y, sample_weight=s)
    once, often = np.zeros(600), np.zeros(600)
    once[7], often[7] = 1, 300
    odd = np.column_stack([Y, np.zeros(600), np.full(600, 2.0), np.full(600, np.nan), once, often])
    model = quietly(pg.GLMCV("negative_binomial", **options).fit, X, odd, sample_weight=s)
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.family_parameters_path_["alpha"]).all()
    np.testing.assert_array_equal(model.coef_path_[:, :4], plain.coef_path_)
    np.testing.assert_array_equal(
        model.cv_family_parameters_path_["alpha"][..., :4], plain.cv_family_parameters_path_["alpha"]
    )
    # silent, all equal, never recorded, a single event: nothing says that they are overdispersed
    np.testing.assert_array_equal(model.family_parameters_["alpha"][4:8], 0)
    np.testing.assert_array_equal(model.coef_[4:], 0)


def test_counts_may_be_fractions_and_never_negative(recording):
    X, Y, _ = recording
    # deconvolved calcium: the likelihood with Γ in place of factorials
    model = pg.GLM("negative_binomial", penalty="none", **EXACT).fit(X, Y[:, 1:] * 0.7)
    for j in range(3):
        y, mu = 0.7 * Y[:, 1 + j], np.exp(X @ model.coef_[j] + model.intercept_[j])

        def loss(x, y=y, mu=mu):
            t = np.exp(-x)
            return -np.mean(gammaln(y + t) - gammaln(t) - (y + t) * np.log1p(mu / t) + y * np.log(mu / t))

        best = minimize_scalar(loss, bounds=(-8, 3), method="bounded", options={"xatol": 1e-10})
        np.testing.assert_allclose(model.family_parameters_["alpha"][j], np.exp(best.x), rtol=1e-5)
    Y = Y.copy()
    Y[7, 2] = -1
    with pytest.raises(
        ValueError, match=r"negative value for neuron 2 .*row 7.*family='negative_binomial' needs counts"
    ):
        pg.GLM("negative_binomial").fit(X, Y)
    with pytest.raises(ValueError, match="inverse_link='identity' is not there for a negative binomial"):
        pg.GLM("negative_binomial", inverse_link="identity").fit(X, np.abs(Y))


WAYS = ["torch", "jax", "tensorflow", "device", "torch device", "stream", "adam", "guided"]


@pytest.mark.thorough(keep=3)
@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_finds_the_same(recording, way, penalty):
    X, Y, s = recording
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.1, np.nan, Y)
    if way == "adam":
        # which takes its time with every dispersion
        Y = Y[:, 1:2]
    strengths = [0.2] if way == "adam" else [0.2, 0.05]
    options = {"penalty": penalty, "lambdas": strengths, "precision": "float64", "tol": 1e-8}
    expected = pg.GLM("negative_binomial", **options).fit(X, Y, sample_weight=s)
    more, start = {}, None
    if way.split()[0] in ("torch", "jax", "tensorflow"):
        pytest.importorskip(way.split()[0])
        more["engine"] = way.split()[0]
    if way.endswith("device"):
        more["schedule"] = "device"
    if way == "adam":
        more |= {"solver": FirstOrder("adam"), "tol": 1e-5, "max_iter": 12}
    if way == "guided":
        start = expected
    model = pg.GLM("negative_binomial", **(options | more))
    quietly(model.fit, RowStream(X) if way == "stream" else X, Y, sample_weight=s, start=start)
    tolerance = 5e-3 if way == "adam" else 1e-4
    np.testing.assert_allclose(model.coef_path_, expected.coef_path_, atol=tolerance)
    alpha = expected.family_parameters_path_["alpha"]
    np.testing.assert_allclose(model.family_parameters_path_["alpha"], alpha, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(model.loss_path_, expected.loss_path_, rtol=1e-4 if way == "adam" else 1e-8)


def test_masks_factors_smoothness_and_no_intercept(recording):
    X, Y, s = recording
    mask = np.ones((8, 4), bool)
    mask[2:5, 1] = False
    options = {"lambdas": [0.1, 0.02], **EXACT}
    masked = pg.GLM("negative_binomial", feature_mask=mask, **options).fit(X, Y, sample_weight=s)
    without = pg.GLM("negative_binomial", **options).fit(np.delete(X, [2, 3, 4], 1), Y[:, 1:2], sample_weight=s)
    np.testing.assert_allclose(np.delete(masked.coef_[1], [2, 3, 4]), without.coef_[0], atol=1e-5)
    np.testing.assert_allclose(masked.family_parameters_["alpha"][1], without.family_parameters_["alpha"][0], rtol=1e-4)
    free = pg.GLM(
        "negative_binomial", penalty="group_lasso", feature_groups=SIZES, penalty_factors=[0, 1, 1],
        lambdas=[5.0, 0.02], **EXACT,
    ).fit(X, Y, sample_weight=s)  # fmt: skip
    bare = pg.GLM("negative_binomial", penalty="none", **EXACT).fit(X[:, :2], Y, sample_weight=s)
    for alpha in (free.null_family_parameters_["alpha"], free.family_parameters_path_["alpha"][0]):
        np.testing.assert_allclose(alpha, bare.family_parameters_["alpha"], rtol=1e-4, atol=1e-6)
    plain = pg.GLM("negative_binomial", fit_intercept=False, smoothness=0.05, feature_groups=SIZES, **options)
    plain.fit(X, Y, sample_weight=s)
    R = np.zeros((8, 8))
    for a, b in ((0, 2), (2, 5), (5, 8)):
        R[a:b, a:b] = 2 * np.eye(b - a) - np.eye(b - a, k=1) - np.eye(b - a, k=-1)
    for j in (1, 2, 3):
        w, alpha = plain.coef_[j], plain.family_parameters_["alpha"][j]
        mu = np.exp(X @ w)
        np.testing.assert_allclose(alpha, best_alpha(Y[:, j], mu, s), rtol=1e-5)
        grad = X.T @ (s * (mu - Y[:, j]) / (1 + alpha * mu)) / s.sum() + 0.02 * w + 0.05 * R @ w
        np.testing.assert_allclose(grad, 0, atol=1e-5)


def test_samples_of_tiny_rates_say_next_to_nothing():
    rng = np.random.default_rng(0)
    speed = rng.exponential(2, (5000, 1))
    speed[:3] = 90
    y = rng.poisson(rng.gamma(2, 0.5 * np.exp(1 - 0.5 * speed)))
    model = pg.GLM("negative_binomial", penalty="none", tol=1e-8).fit(speed, y)
    without = pg.GLM("negative_binomial", penalty="none", tol=1e-8).fit(speed[3:], y[3:])
    assert y[:3].sum() == 0
    np.testing.assert_allclose(model.coef_, without.coef_, rtol=1e-2)
    np.testing.assert_allclose(model.family_parameters_["alpha"], without.family_parameters_["alpha"], rtol=1e-3)
    whole, part = pg.goodness_of_fit(model, speed, y), pg.goodness_of_fit(without, speed[3:], y[3:])
    np.testing.assert_allclose(whole["log_likelihood"], part["log_likelihood"], atol=0.05)

"""Censored Gaussian fits against a direct search of the tobit likelihood, and what is done with a fitted model."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from explained import driven_session
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import norm

import popglm as pg
from popglm.solve.first_order import FirstOrder
from popglm.solve.stream import RowStream

REFERENCE = Path(__file__).parents[1] / "reference" / "mroz.npz"
EXACT = {"precision": "float64", "tol": 1e-11}
SIZES = [2, 2, 1]


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


@pytest.fixture(scope="module")
def recording():
    """X, activity of neurons from few samples at 0 to nearly all, and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((700, 5)) @ (np.eye(5) + 0.3 * rng.standard_normal((5, 5))) + rng.normal(0, 0.5, 5)
    W = 0.5 * rng.standard_normal((5, 4)) * (rng.random((5, 4)) < 0.7)
    eta = X @ W - (X @ W).mean(axis=0) + np.array([1.5, 0, -1, -2])
    return X, np.maximum(eta + np.array([0.5, 1, 1, 1.5]) * rng.normal(size=eta.shape), 0), rng.uniform(0.2, 2, 700)


def tobit(X, y, s=None, offset=0.0):
    """Weights, intercept and σ of the largest likelihood, in (w/σ, log 1/σ), where it is concave (Olsen 1978)."""
    Z, events = np.column_stack([X, np.ones(len(X))]), y > 0
    s = np.ones(len(y)) if s is None else s

    def loss(v):
        h = np.exp(v[-1])
        z = Z @ v[:-1] + h * offset
        mills = np.exp(norm.logpdf(z) - log_ndtr(-z))
        value = np.where(events, 0.5 * (h * y - z) ** 2 - v[-1], -log_ndtr(-z))
        r = np.where(events, z - h * y, mills)
        slope = np.where(events, (h * y - z) * h * (y - offset) - 1, mills * h * offset)
        return s @ value, np.append(Z.T @ (s * r), s @ slope)

    best = minimize(loss, np.zeros(Z.shape[1] + 1), jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 5000})
    h = np.exp(best.x[-1])
    return best.x[:-2] / h, best.x[-2] / h, 1 / h, best.fun


def test_the_search_for_comparison_has_the_right_gradient():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 1))
    y = np.maximum(X[:, 0] + rng.normal(size=50), 0)
    *at, least = tobit(X, y)
    for change in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3:
        w, b, sigma = np.array([at[0][0], at[1], at[2]]) + change
        eta = X[:, 0] * w + b
        own = np.where(y > 0, 0.5 * ((y - eta) / sigma) ** 2 + np.log(sigma), -log_ndtr(-eta / sigma))
        assert own.sum() > least


def test_hours_of_work_have_the_published_tobit_model():
    """Table 17.2 of Wooldridge, *Introductory Econometrics*: weights with errors, likelihood, σ, in all its digits."""
    data = np.load(REFERENCE)
    X, hours = data["X"], data["hours"].astype(float)
    model = pg.GLM("censored_gaussian", penalty="none", max_iter=500, **EXACT).fit(X, hours)
    errors, fit = pg.wald(model, X, hours), pg.goodness_of_fit(model, X, hours).iloc[0]
    assert model.coef_.round(2).tolist() == [-8.81, 80.65, 131.56, -1.86, -54.41, -894.02, -16.22]
    assert errors["standard_error"].values[0].round(2).tolist() == [4.46, 21.58, 17.28, 0.54, 7.42, 111.88, 38.64]
    assert round(model.intercept_, 2) == 965.31
    assert round(errors["intercept_standard_error"].item(), 2) == 446.44
    assert round(fit["log_likelihood"], 2) == -3819.09
    assert round(model.family_parameters_["sigma"].item(), 2) == 1122.02
    # hours are no spikes
    assert np.isnan(fit["bits_per_spike"])


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("beside", [False, True], ids=["plain", "weights, offset, missing"])
def test_without_a_penalty_it_is_the_tobit_model(recording, beside):
    X, Y, s = recording
    Y, offset = Y.copy(), 0.5 * np.sin(np.arange(len(X))) if beside else np.zeros(len(X))
    more = {"sample_weight": s, "offset": offset} if beside else {}
    if beside:
        Y[:90, 1] = np.nan
    model = pg.GLM("censored_gaussian", penalty="none", **EXACT).fit(X, Y, **more)
    for j, y in enumerate(Y.T):
        known = ~np.isnan(y)
        w, b, sigma, least = tobit(X[known], y[known], s[known] if beside else None, offset[known])
        np.testing.assert_allclose(model.coef_[j], w, atol=2e-5)
        np.testing.assert_allclose(model.intercept_[j], b, atol=2e-5)
        np.testing.assert_allclose(model.family_parameters_["sigma"][j], sigma, rtol=2e-5)
        # and what it reports is the whole likelihood
        total = s[known].sum() if beside else known.sum()
        events = (s if beside else np.ones(len(y)))[known] @ (y[known] > 0)
        found = total * model.loss_path_[-1, j] - events * 0.5 * np.log(2 * np.pi)
        assert found == pytest.approx(least, rel=1e-8)


def test_ridge_weights_and_sigma_are_those_of_a_joint_search(recording):
    X, Y, s = recording
    strengths = [0.5, 0.02]
    model = pg.GLM("censored_gaussian", lambdas=strengths, **EXACT).fit(X, Y, sample_weight=s)
    for k, lam in enumerate(strengths):
        for j in range(4):

            def objective(v, j=j, lam=lam):
                eta, sigma, y = X @ v[:5] + v[5], np.exp(v[6]), Y[:, j]
                own = np.where(y > 0, 0.5 * ((y - eta) / sigma) ** 2 + v[6], -log_ndtr(-eta / sigma))
                return s @ own / s.sum() + lam / 2 * v[:5] @ v[:5]

            best = minimize(objective, np.zeros(7), method="BFGS", options={"gtol": 1e-7})
            np.testing.assert_allclose(model.coef_path_[k, j], best.x[:5], atol=3e-5)
            np.testing.assert_allclose(model.family_parameters_path_["sigma"][k, j], np.exp(best.x[6]), rtol=1e-4)


@pytest.mark.parametrize("penalty", ["none", "ridge", "group_lasso"])
def test_without_a_zero_it_is_gaussian(recording, penalty):
    """Under λ divided by the variance of the noise, since ℓ is in units of it."""
    X = recording[0]
    # where weights explain nearly all, a norm has several minima together with σ
    weight = 0.3 if penalty == "group_lasso" else 1.0
    Y = 40 + weight * X @ np.ones((5, 2)) + np.random.default_rng(2).normal(size=(len(X), 2)) * [0.8, 2]
    given = {"penalty": penalty, "feature_groups": SIZES, **EXACT}
    for j in range(2):
        more = {} if penalty == "none" else {"lambdas": [0.1]}
        plain = pg.GLM("gaussian", **given, **more).fit(X, Y[:, j])
        variance = np.mean((Y[:, j] - plain.predict(X)) ** 2)
        more = {} if penalty == "none" else {"lambdas": [0.1 / variance]}
        model = pg.GLM("censored_gaussian", **given, **more).fit(X, Y[:, j])
        np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-5)
        np.testing.assert_allclose(model.intercept_, plain.intercept_, atol=1e-4)
        np.testing.assert_allclose(model.family_parameters_["sigma"], np.sqrt(variance), rtol=1e-6)
        np.testing.assert_allclose(model.predict(X), plain.predict(X), atol=1e-4)
        np.testing.assert_allclose(model.score(X, Y[:, j]), plain.score(X, Y[:, j]), rtol=1e-6)


@pytest.mark.thorough
def test_predictions_are_means_at_each_neurons_own_sigma(recording):
    X, Y, _ = recording
    model = quietly(pg.GLMCV("censored_gaussian", n_lambdas=3, cv=3, precision="float64").fit, X, Y)
    eta, sigma = X @ model.coef_.T + model.intercept_, model.family_parameters_["sigma"]
    z = eta / sigma
    np.testing.assert_allclose(model.predict(X), eta * norm.cdf(z) + sigma * norm.pdf(z), rtol=1e-9)
    held = model.predict_held_out(X)
    for fold in range(3):
        rows, sigma = model.fold_ == fold, model.cv_family_parameters_["sigma"][fold]
        eta = X[rows] @ model.cv_coef_[fold].T + model.cv_intercept_[fold]
        expected = eta * norm.cdf(eta / sigma) + sigma * norm.pdf(eta / sigma)
        np.testing.assert_allclose(held[rows], expected, rtol=1e-9)
    # deviances are at one σ each, and the null model is the best constant there
    table, found = model.evaluate(X, Y), model.deviance_parameters_["sigma"]
    for j, y in enumerate(Y.T):

        def deviance(eta, y=y, sigma=found[j]):
            return 2 * np.sum(np.where(y > 0, 0.5 * ((y - eta) / sigma) ** 2, -log_ndtr(-eta / sigma)))

        eta = X @ model.coef_[j] + model.intercept_[j]
        assert table["deviance"].iloc[j] == pytest.approx(deviance(eta), rel=1e-9)
        best = minimize(deviance, [0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9})
        assert table["null_deviance"].iloc[j] == pytest.approx(best.fun, rel=1e-9)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("schedule", ["host", "device"])
def test_a_fold_knows_nothing_of_what_it_holds_out(recording, schedule):
    X, Y, s = recording
    options = {"penalty": "group_lasso", "feature_groups": SIZES, "cv": 3, "schedule": schedule, "lambdas": [0.1, 0.01]}
    one = quietly(pg.GLMCV("censored_gaussian", **options).fit, X, Y, sample_weight=s)
    other, held = Y.copy(), one.fold_ == 1
    other[held] = 5 + np.random.default_rng(5).normal(size=other[held].shape)
    two = quietly(pg.GLMCV("censored_gaussian", **options).fit, X, other, sample_weight=s)
    for name in ("cv_coef_path_", "cv_intercept_path_", "cv_gap_"):
        np.testing.assert_array_equal(getattr(one, name)[1], getattr(two, name)[1])
    for name in ("cv_family_parameters_path_", "cv_deviance_parameters_", "cv_null_family_parameters_"):
        mine, yours = getattr(one, name)["sigma"], getattr(two, name)["sigma"]
        np.testing.assert_array_equal(mine[1], yours[1])
        assert (mine[0] != yours[0]).all()


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    ("penalty", "power", "unit"),
    [("group_lasso", 1, 1e-6), ("group_lasso", 1, 1e5), ("ridge", 2, 1e-6), ("none", 0, 1e5)],
)
def test_another_unit_changes_nothing_but_the_unit(recording, penalty, power, unit):
    X, Y, _ = recording
    given = {"penalty": penalty, "feature_groups": SIZES, **EXACT}
    strengths = {} if penalty == "none" else {"n_lambdas": 3}
    one, two = (quietly(pg.GLM("censored_gaussian", **given, **strengths).fit, X, size * Y) for size in (1, unit))
    np.testing.assert_allclose(two.coef_path_, unit * one.coef_path_, rtol=1e-4, atol=1e-5 * unit)
    sigma = two.family_parameters_path_["sigma"]
    np.testing.assert_allclose(sigma, unit * one.family_parameters_path_["sigma"], rtol=1e-5)
    if power:
        np.testing.assert_allclose(two.lambda_path_, one.lambda_path_ / unit**power, rtol=1e-5)
    np.testing.assert_allclose(two.evaluate(X, unit * Y), one.evaluate(X, Y), rtol=1e-5)
    level = np.log(unit) * (Y > 0).mean(axis=0)
    np.testing.assert_allclose(two.loss_path_, one.loss_path_ + level, rtol=1e-6, atol=1e-6)


@pytest.mark.thorough
def test_streams_first_order_solvers_and_no_intercept(recording):
    X, Y, s = recording
    given = {"penalty": "ridge", "lambdas": [0.05], "precision": "float64", "tol": 1e-9}
    whole = pg.GLM("censored_gaussian", **given).fit(X, Y, sample_weight=s)
    stream = pg.GLM("censored_gaussian", **given).fit(RowStream(X, memory=8_000), Y, sample_weight=s)
    np.testing.assert_allclose(stream.coef_, whole.coef_, atol=1e-6)
    given |= {"tol": 1e-6, "solver": FirstOrder("adam"), "max_iter": 300}
    slow = quietly(pg.GLM("censored_gaussian", **given).fit, X, Y, sample_weight=s)
    np.testing.assert_allclose(slow.loss_path_, whole.loss_path_, atol=1e-4)
    bare = pg.GLM("censored_gaussian", penalty="none", fit_intercept=False, **EXACT).fit(X, Y)
    ones = np.column_stack([X, np.ones(len(X))])
    column = pg.GLM("censored_gaussian", penalty="none", fit_intercept=False, **EXACT).fit(ones, Y)
    for j, y in enumerate(Y.T):
        w, b, sigma, _ = tobit(X, y)
        np.testing.assert_allclose(column.coef_[j], np.append(w, b), atol=5e-5)
        np.testing.assert_allclose(column.family_parameters_["sigma"][j], sigma, rtol=1e-4)
        z = X @ bare.coef_[j] / (sigma := bare.family_parameters_["sigma"][j])
        r = np.where(y > 0, z - y / sigma, np.exp(norm.logpdf(z) - log_ndtr(-z)))
        np.testing.assert_allclose(X.T @ r / len(y), 0, atol=1e-4)


def test_neurons_with_little_to_say_spoil_no_other(recording):
    X, Y, _ = recording
    bad = np.column_stack([Y, np.zeros(len(X)), np.zeros(len(X)), np.full(len(X), 3.0), np.full(len(X), np.nan)])
    bad[17, 5] = 2.0
    bad = np.column_stack([bad, Y[:, 0] + 0.5, 1e-9 * Y[:, 0]])
    bad[5:40, 8] = np.nan
    settings = {"n_lambdas": 2, "cv": 2, "penalty": "lasso"}
    model = quietly(pg.GLMCV("censored_gaussian", **settings).fit, X, bad)
    alone = quietly(pg.GLMCV("censored_gaussian", **settings).fit, X, Y)
    np.testing.assert_allclose(model.coef_[:4], alone.coef_, rtol=1e-5, atol=1e-7)
    for array in (model.coef_path_, model.intercept_path_, model.family_parameters_path_["sigma"], model.predict(X)):
        assert np.isfinite(array).all()
    assert not model.coef_[4:8].any()
    assert model.null_fitted_.tolist() == [False] * 4 + [True] * 4 + [False] * 2
    np.testing.assert_allclose(model.predict(X)[:, 6], 3, rtol=1e-5)
    assert (model.predict(X)[:, 4] < 1e-3).all()
    np.testing.assert_allclose(model.coef_[9], 1e-9 * model.coef_[0], rtol=1e-2, atol=1e-12)


def test_files_keep_sigma(recording, tmp_path):
    X, Y, _ = recording
    model = quietly(pg.GLMCV("censored_gaussian", n_lambdas=2, cv=2).fit, X, Y[:, :2])
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.family_parameters_["sigma"], model.family_parameters_["sigma"])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.predict_held_out(X), model.predict_held_out(X))
    np.testing.assert_array_equal(again.evaluate(X, Y[:, :2]), model.evaluate(X, Y[:, :2]))


def test_wald_errors_are_those_of_the_whole_information(recording):
    X, Y, s = recording
    model = pg.GLM("censored_gaussian", penalty="none", **EXACT).fit(X, Y, sample_weight=s)
    trial = np.arange(len(X)) // 7
    plain, over = (pg.wald(model, X, Y, sample_weight=s, trial=own) for own in (None, trial))
    for j, y in enumerate(Y.T):

        def each(v, y=y):
            eta, sigma = X @ v[:5] + v[5], v[6]
            return np.where(y > 0, 0.5 * ((y - eta) / sigma) ** 2 + np.log(sigma), -log_ndtr(-eta / sigma))

        at = np.concatenate([model.coef_[j], [model.intercept_[j], model.family_parameters_["sigma"][j]]])
        steps = 1e-4 * np.eye(7)
        slopes = np.array([(each(at + e) - each(at - e)) / 2e-4 for e in steps])

        def second(e, f, at=at, each=each):
            return s @ (each(at + e + f) - each(at + e - f) - each(at - e + f) + each(at - e - f)) / 4e-8

        bend = np.array([[second(e, f) for f in steps] for e in steps])
        inverse = np.linalg.inv(bend)
        found = np.append(plain["standard_error"][j], plain["intercept_standard_error"][j])
        np.testing.assert_allclose(found, np.sqrt(np.diag(inverse))[:6], rtol=1e-4)
        sums = np.stack([np.bincount(trial, s * slope) for slope in slopes], axis=1)
        n, groups = s.sum(), len(sums)
        sandwich = inverse @ sums.T @ sums @ inverse * groups / (groups - 1) * (n - 1) / (n - 6)
        found = np.append(over["standard_error"][j], over["intercept_standard_error"][j])
        np.testing.assert_allclose(found, np.sqrt(np.diag(sandwich))[:6], rtol=1e-4)


def test_nested_tests_leave_sigma_free(recording):
    X, Y, s = recording
    model = pg.GLM("censored_gaussian", penalty="none", feature_groups=["a", "a", "a", "b", "b"], **EXACT)
    model.fit(X, Y, sample_weight=s)
    found = pg.likelihood_ratio(model, X, Y, ["b"], sample_weight=s)
    for j, y in enumerate(Y.T):
        (*_, full), (w, b, sigma, least) = tobit(X, y, s), tobit(X[:, :3], y, s)
        assert found["chi2"].values[j, 0] == pytest.approx(2 * (least - full), rel=1e-6)

        # Rao's: the slope of the likelihood at the smaller model, in its second derivatives in all that is estimated
        def each(v, y=y):
            eta, sigma = X @ v[:5] + v[5], v[6]
            return np.where(y > 0, 0.5 * ((y - eta) / sigma) ** 2 + np.log(sigma), -log_ndtr(-eta / sigma))

        at, steps = np.concatenate([w, [0, 0, b, sigma]]), 1e-4 * np.eye(7)
        slope = np.array([s @ (each(at + e) - each(at - e)) / 2e-4 for e in steps])
        bend = np.array([[s @ (each(at + e + f) - each(at + e - f) - each(at - e + f) + each(at - e - f))
                          for f in steps] for e in steps]) / 4e-8  # fmt: skip
        assert found["score"].values[j, 0] == pytest.approx(slope @ np.linalg.solve(bend, slope), rel=1e-3)
        assert found["df"].values[j, 0] == 2


def test_calibration_lines_have_the_largest_likelihood(recording):
    X, Y, _ = recording
    model = quietly(pg.GLMCV("censored_gaussian", n_lambdas=3, cv=3, precision="float64").fit, X, Y)
    found, fold = pg.calibration(model, X, Y), model.fold_
    eta = np.einsum("ij,ikj->ik", X, model.cv_coef_[fold]) + model.cv_intercept_[fold]
    for j, y in enumerate(Y.T):
        sigma = model.cv_deviance_parameters_["sigma"][fold, j]

        def loss(line, j=j, y=y, sigma=sigma):
            z = line[0] + line[1] * eta[:, j]
            return np.sum(np.where(y > 0, 0.5 * ((y - z) / sigma) ** 2, -log_ndtr(-z / sigma)))

        best = minimize(loss, [0, 1], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x
        np.testing.assert_allclose([found["intercept"][j], found["slope"][j]], best, atol=1e-4)
        held = model.predict_held_out(X)[:, j]
        np.testing.assert_allclose(found["predicted"][j].mean(), held.mean(), rtol=0.02)


def test_positions_are_decoded_by_the_censored_likelihood():
    rng = np.random.default_rng(0)
    position, trial = rng.uniform(0, 1, 1200), np.arange(1200) // 40
    design = pg.Design([pg.bumps("position", n=8, low=0, high=1)])
    X = design.fit_transform({"position": position})
    fields = 2 * np.exp(-0.5 * ((position[:, None] - np.linspace(0, 1, 12)) / 0.1) ** 2) - 0.5
    Y = np.maximum(fields + 0.6 * rng.normal(size=fields.shape), 0)
    model = quietly(pg.GLMCV("censored_gaussian", lambdas=[0.01], cv=2).fit, X, Y, groups=trial)
    found = quietly(pg.decode, model, design, {"position": position}, Y, "position", np.linspace(0, 1, 41))
    best = found["posterior"].values.argmax(axis=1) / 40
    assert np.median(np.abs(best - position)) < 0.05


@pytest.mark.thorough
def test_all_that_is_done_with_a_model(recording):
    design, X, eta, trial = driven_session()
    eta = eta / eta.std(axis=0) * 0.7
    rng = np.random.default_rng(0)
    Y = np.maximum(eta - 0.5 + 0.7 * rng.normal(size=eta.shape), 0)
    model = quietly(pg.GLMCV("censored_gaussian", penalty="group_lasso", n_lambdas=4, cv=3).fit, X, Y, groups=trial)
    first = design.groups_[0]
    variables = {"first": [first], "rest": list(design.groups_[1:])}
    assert (model.cv_deviance_explained_ > 0.05).all()
    for call in (pg.breakdown, pg.compare, pg.shapley):
        table = quietly(call, model, X, Y, variables)
        share = table["fraction_null_deviance" if "fraction_null_deviance" in table else "shapley_value"]
        assert (share.sel(variable="first") > share.sel(variable="rest")).all()
        if "deviance_explained" in table:
            np.testing.assert_allclose(table["deviance_explained"], model.cv_deviance_explained_, atol=1e-5)
    found = pg.calibration(model, X, Y)
    assert ((found["slope"] > 0.7) & (found["slope"] < 1.5)).all()
    bands = quietly(pg.bootstrap, model, design, X, Y, trial=trial, n_resamples=3, n_points=10)
    assert all(np.isfinite(part["kernel"]).all() for part in bands.values())
    with pytest.raises(ValueError, match=r"significance: a censored_gaussian response .*; take compare"):
        pg.significance(model, X, Y, variables, trial=trial, n_shifts=29)
    with pytest.raises(ValueError, match=r"debiased: the weights of a censored_gaussian model .* take wald"):
        pg.debiased(model, X, Y)


def test_goodness_of_fit_has_the_likelihood_of_zeros_and_densities(recording):
    X, Y, _ = recording
    model = pg.GLM("censored_gaussian", penalty="none", **EXACT).fit(X, Y)
    found = pg.goodness_of_fit(model, X, Y)
    for j, y in enumerate(Y.T):
        *_, least = tobit(X, y)
        likelihood = -least - (y > 0).sum() * 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(found["log_likelihood"].iloc[j], likelihood, rtol=1e-8)
        assert found["degrees_of_freedom"].iloc[j] == pytest.approx(7)
        np.testing.assert_allclose(found["aic"].iloc[j], 2 * 7 - 2 * likelihood, rtol=1e-8)


def test_bad_activity_and_arguments_are_told(recording):
    X, Y, _ = recording
    with pytest.raises(ValueError, match=r"negative value.*censored_gaussian.*use family='gaussian'.*dF/F"):
        pg.GLM("censored_gaussian").fit(X, Y - 1)
    with pytest.raises(ValueError, match="inverse_link='exp' has no meaning for a censored Gaussian"):
        pg.GLM("censored_gaussian", "exp").fit(X, Y)
    with pytest.raises(ValueError, match="power=2 has no effect under family='censored_gaussian'"):
        pg.GLM("censored_gaussian", power=2).fit(X, Y)


def test_fewer_events_than_weights_are_told_before_the_fit():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((60, 8)), np.zeros((60, 3))
    Y[:50, 0] = rng.uniform(1, 2, 50)
    # seven events, and a fold that has six of them, beside eight weights and an intercept
    Y[[3, 13, 23, 33, 43, 53, 58], 1] = rng.uniform(1, 2, 7)
    # enough in all rows, too few in a fold
    Y[[0, 1, 2, 20, 21, 22, 23, 40, 41, 42], 2] = rng.uniform(1, 2, 10)
    given = {"lambdas": [1.0], "tol": 1e-2}
    with pytest.warns(pg.PopglmWarning, match=r"Fewer samples above 0 than weights.*sigma runs to 0.*: neuron1\.$"):
        pg.GLM("censored_gaussian", **given).fit(X, Y)
    with pytest.warns(pg.PopglmWarning, match=r"Fewer samples above 0 than weights.*: neuron1, neuron2\.$"):
        pg.GLMCV("censored_gaussian", cv=3, **given).fit(X, Y)
    closed = np.ones((8, 3), bool)
    closed[3:, 1] = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pg.GLM("censored_gaussian", feature_mask=closed, **given).fit(X, Y)
    assert not any("Fewer samples above 0" in str(one.message) for one in caught)

"""Debiased weights: identities with least squares and Wald's errors, regressions by scikit-learn, and coverage."""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from complaints import assert_complaint
from scipy import stats
from scipy.special import expit
from sklearn.linear_model import Lasso

import popglm as pg
from popglm.explain.nodewise import STRENGTHS, Nodewise
from popglm.statistics.penalties import Penalty

N, SIZES = 300, [3, 2, 4]
TRIAL = np.arange(N) // 6
RECORDINGS = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(N, 9)) @ (np.eye(9) + 0.3 * rng.normal(size=(9, 9)))
    eta = 0.3 * X @ (rng.normal(size=(9, 2)) * (np.repeat([1, 0, 1], SIZES) > 0)[:, None])
    rate = np.exp(np.clip(eta, -3, 2))
    return X, {
        "gaussian": eta + rng.normal(size=(N, 2)) + 4,
        "poisson": rng.poisson(rate).astype(float),
        "bernoulli": (rng.random((N, 2)) < expit(eta)).astype(float),
        "gamma": rate * rng.gamma(2, 0.5, (N, 2)),
        "negative_binomial": rng.poisson(rate * rng.gamma(2, 0.5, (N, 2))).astype(float),
    }


def fitted(family, X, Y, penalty="group_lasso", lam=0.1, **more):
    given = {"feature_groups": SIZES, "precision": "float64", "tol": 1e-12, "lambdas": [lam]}
    options = {name: more.pop(name) for name in ("sample_weight", "offset") if name in more}
    if penalty == "none":
        given["lambdas"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.GLM(family, penalty=penalty, **given | more).fit(X, Y, **options)


NAMES = ("coef", "standard_error", "z", "p_value", "lower", "upper", "intercept", "intercept_standard_error")
TESTS = ("group_chi2", "group_df", "group_p_value", "dispersion")


@pytest.mark.parametrize("trial", [None, TRIAL])
@pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "ridge"])
def test_gaussian_is_least_squares_at_any_strength(recording, penalty, trial):
    X, Y = recording[0], recording[1]["gaussian"]
    s = np.random.default_rng(0).uniform(0.5, 2, N)
    usual = pg.wald(fitted("gaussian", X, Y, "none", sample_weight=s), X, Y, trial=trial, sample_weight=s)
    Z = np.sqrt(s)[:, None] * np.column_stack([X, np.ones(N)])
    least = np.linalg.lstsq(Z, np.sqrt(s)[:, None] * Y, rcond=None)[0]
    for lam in (1.0, 0.1):
        model = fitted("gaussian", X, Y, penalty, lam, sample_weight=s)
        found = pg.debiased(model, X, Y, trial=trial, sample_weight=s)
        np.testing.assert_allclose(found["coef"], least[:-1].T, rtol=1e-9)
        np.testing.assert_allclose(found["intercept"], least[-1], rtol=1e-9)
        np.testing.assert_array_equal(found["penalised"], model.coef_)
        for name in (*NAMES, *TESTS):
            np.testing.assert_allclose(found[name], usual[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("penalty", ["none", "lasso", "group_lasso"])
def test_from_weights_at_bounds_it_is_least_squares_without_them(recording, penalty):
    X, Y = recording[0], recording[1]["gaussian"]
    held = {"group0": (-0.01, 0.01), "group2": "negative"}
    model = fitted("gaussian", X, Y, penalty, constraints=held)
    assert (np.abs(model.coef_) == 0.01).any()
    found = pg.debiased(model, X, Y)
    least = np.linalg.lstsq(np.column_stack([X, np.ones(N)]), Y, rcond=None)[0]
    np.testing.assert_allclose(found["coef"], least[:-1].T, atol=1e-8)
    # they are not confined
    assert (np.abs(found["coef"].values[:, :3]) > 0.01).any()
    assert (found["coef"].values[:, 5:] > 0).any()


def test_coverage_from_weights_at_bounds():
    """Poisson, a truth beyond its bound: the step takes away what the bound holds back, here and in other columns."""
    rng = np.random.default_rng(4)
    X, truth = rng.normal(size=(400, 4)), np.array([0.4, 0.3, -0.2, 0.0])
    X[:, 1:3] += 0.7 * X[:, :1]
    Y = rng.poisson(np.exp(X @ truth)[:, None], (400, 150)).astype(float)
    model = fitted(
        "poisson", X, Y, "lasso", 0.02, feature_groups=list("abcd"), constraints={"a": (None, 0.1)}, tol=1e-6
    )
    np.testing.assert_allclose(model.coef_[:, 0], 0.1, rtol=1e-6)
    found = pg.debiased(model, X, Y)
    held = ((found["lower"] <= truth) & (truth <= found["upper"])).mean("neuron").values
    # 150 intervals of 95 % hold within three standard errors of a share
    assert (np.abs(held - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 150)).all()


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize("trial", [None, TRIAL])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli", "gamma", "negative_binomial"])
def test_without_strength_it_is_wald(recording, family, trial):
    X, Y = recording[0], recording[1][family]
    usual_model = fitted(family, X, Y, "none")
    usual = pg.wald(usual_model, X, Y, trial=trial)
    # the same model, and one whose strength is next to nothing
    for model, far in ((usual_model, 1e-5), (fitted(family, X, Y, lam=1e-9), 1e-4)):
        found = pg.debiased(model, X, Y, trial=trial)
        for name in ("coef", "standard_error", "intercept", "intercept_standard_error", "group_chi2", "dispersion"):
            np.testing.assert_allclose(found[name], usual[name], rtol=far, atol=1e-6)
        np.testing.assert_array_equal(found["group_df"], usual["group_df"])


def test_one_step_by_hand(recording):
    X, Y = recording[0], recording[1]["poisson"].copy()
    Y[:40, 1] = np.nan
    rng = np.random.default_rng(1)
    s, offset = rng.uniform(0.5, 2, N), 0.2 * rng.normal(size=N)
    model = fitted("poisson", X, Y, sample_weight=s, offset=offset)
    found = pg.debiased(model, X, Y, sample_weight=s, offset=offset)
    for j in range(2):
        known = ~np.isnan(Y[:, j])
        Z, w = np.column_stack([X, np.ones(N)])[known], s[known]
        mu = np.exp(Z @ np.append(model.coef_[j], model.intercept_[j]) + offset[known])
        A = Z.T @ (Z * (w * mu)[:, None])
        wanted = np.append(model.coef_[j], model.intercept_[j]) + np.linalg.solve(A, Z.T @ (w * (Y[known, j] - mu)))
        error = np.sqrt(np.diag(np.linalg.inv(A)))
        np.testing.assert_allclose([*found["coef"][j].values, found["intercept"][j]], wanted, rtol=1e-8)
        np.testing.assert_allclose(found["standard_error"][j], error[:-1], rtol=1e-8)
        np.testing.assert_allclose(found["intercept_standard_error"][j], error[-1], rtol=1e-8)
        far = stats.norm.ppf(0.975) * error[:-1]
        np.testing.assert_allclose(found["lower"][j], wanted[:-1] - far, rtol=1e-7)
        group = wanted[:3] @ np.linalg.solve(np.linalg.inv(A)[:3, :3], wanted[:3])
        np.testing.assert_allclose(found["group_chi2"][j, 0], group, rtol=1e-7)


@pytest.mark.thorough
def test_regressions_are_those_of_scikit_learn():
    rng = np.random.default_rng(2)
    n, p = 40, 50
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.1 * rng.normal(size=(p, p)))
    v = rng.uniform(0.5, 2, n)
    D, center, determined = Nodewise(X, Penalty.make("lasso", None, 0.0, [1] * p), True).directions(v, np.ones(p, bool))
    assert determined.all()
    np.testing.assert_allclose(center, np.average(X, axis=0, weights=v))
    Z = X - center
    Z /= np.sqrt(np.average(Z**2, axis=0, weights=v))
    universal = np.sqrt(2 * np.log(p) / (v.sum() ** 2 / np.sum(v**2)))
    for k in (0, 17, 49):
        others = np.delete(Z, k, axis=1)
        spreads, directions = [], []
        for lam in universal * STRENGTHS:
            own = Lasso(alpha=lam, tol=1e-8, max_iter=100_000).fit(others, Z[:, k], sample_weight=v)
            left = Z[:, k] - own.predict(others)
            directions.append(left / (left @ (v * (X - center)[:, k])))
            spreads.append(directions[-1] ** 2 @ v)
        # the weakest strength before the variance has grown by a quarter
        grown = np.flatnonzero(np.array(spreads) > 1.25 * spreads[0])
        last = grown[0] - 1 if len(grown) else len(STRENGTHS) - 1
        nearest = min(
            np.abs(D[:, k] - one).max() / np.abs(one).max() for one in directions[max(last - 1, 0) : last + 2]
        )
        assert nearest < 0.05
    # the unit matrix in blocks, and little beside it
    M = D.T @ (v[:, None] * (X - center))
    np.testing.assert_allclose(np.diag(M), 1, rtol=1e-8)


def test_blocks_of_groups_are_exact_whatever_the_regressions():
    rng = np.random.default_rng(3)
    sizes = [4] * 12
    X, v, group = rng.normal(size=(40, 48)), rng.uniform(0.5, 2, 40), np.repeat(np.arange(12), 4)
    D, center, determined = Nodewise(X, Penalty.make("group_lasso", None, 0.0, sizes), True).directions(
        v, np.ones(48, bool)
    )
    assert determined.all()
    M = D.T @ (v[:, None] * (X - center))
    for g in range(12):
        np.testing.assert_allclose(M[np.ix_(group == g, group == g)], np.eye(4), atol=1e-8)
    assert np.abs(M[group[:, None] != group]).max() < 0.9
    # nodes and the inverse agree where there are many samples
    X = rng.normal(size=(4000, 9))
    Y = rng.poisson(np.exp(0.2 * X[:, :2]))
    model = fitted("poisson", X, Y, lam=0.02)
    one, other = (pg.debiased(model, X, Y, inverse=inverse) for inverse in ("hessian", "nodewise"))
    np.testing.assert_allclose(one["coef"], other["coef"], atol=0.01)
    np.testing.assert_allclose(one["standard_error"], other["standard_error"], rtol=0.03)
    np.testing.assert_allclose(one["intercept"], other["intercept"], atol=0.01)
    np.testing.assert_array_equal(other["nodewise"], True)


def simulated(family, n, n_groups, repeats, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5 * n_groups))
    X[:, 1:] = 0.4 * X[:, :-1] + np.sqrt(0.84) * X[:, 1:]
    w = np.zeros(5 * n_groups)
    w[:10] = rng.normal(size=10)
    eta = ({"gaussian": 1.0, "poisson": 0.5, "bernoulli": 1.0}[family] / np.std(X @ w)) * X @ w[:, None]
    w *= {"gaussian": 1.0, "poisson": 0.5, "bernoulli": 1.0}[family] / np.std(X @ w)
    size = (n, repeats)
    Y = {
        "gaussian": lambda: eta + rng.normal(size=size),
        "poisson": lambda: rng.poisson(np.exp(np.broadcast_to(eta, size))).astype(float),
        "bernoulli": lambda: (rng.random(size) < expit(eta)).astype(float),
    }[family]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        model = pg.GLMCV(family, penalty="group_lasso", feature_groups=[5] * n_groups, n_lambdas=8, cv=3, tol=1e-3)
        return X, w, Y, model.fit(X, Y)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_coverage(family):
    X, w, Y, model = simulated(family, 500, 12, 40)
    found = pg.debiased(model, X, Y)
    assert not found["nodewise"].any()
    used, far = w != 0, stats.norm.ppf(0.975) * found["standard_error"].values
    held = (found["lower"].values <= w) & (w <= found["upper"].values)
    naive = np.abs(model.coef_ - w) <= far
    # 2,000 intervals of columns without weights, 400 of those with some
    assert 0.93 <= held[:, ~used].mean() <= 0.97
    assert 0.91 <= held[:, used].mean() <= 0.98
    assert naive[:, used].mean() < held[:, used].mean() - 0.05
    zero = found["group_p_value"].values[:, 2:]
    assert 0.02 <= (zero < 0.05).mean() <= 0.09
    assert (found["group_p_value"].values[:, :2] < 0.05).mean() > 0.9


@pytest.mark.thorough
def test_coverage_with_more_columns_than_samples():
    X, w, Y, model = simulated("gaussian", 100, 24, 30)
    found = pg.debiased(model, X, Y)
    assert found["nodewise"].all()
    assert np.isfinite(found["standard_error"]).all()
    used = w != 0
    held = (found["lower"].values <= w) & (w <= found["upper"].values)
    assert held[:, ~used].mean() >= 0.93
    assert held[:, used].mean() >= 0.88
    assert (found["group_p_value"].values[:, 2:] < 0.05).mean() <= 0.07
    # unbiased, where the penalised weights are not
    slope = [float(np.mean(b[:, used] @ w[used] / (w[used] @ w[used]))) for b in (found["coef"].values, model.coef_)]
    assert slope[0] > 0.85 > slope[1] + 0.1


@pytest.mark.thorough
def test_regressions_that_leave_bias_are_told():
    rng = np.random.default_rng(0)
    n, p = 100, 110
    X = rng.normal(size=(n, p))
    for k in range(1, p):
        X[:, k] = 0.5 * X[:, k - 1] + np.sqrt(0.75) * X[:, k]
    y = X[:, :6].sum(axis=1) + rng.normal(size=n)
    told = [fitted("gaussian", X, y, lam=lam, penalty="lasso", feature_groups=None) for lam in (0.05, 0.5)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pg.debiased(told[0], X, y)
    assert ((found["lower"] < 1) & (found["upper"] > 1)).values[0, :6].all()
    with pytest.warns(pg.PopglmWarning, match="debiased: one step is not enough for neuron0"):
        found = pg.debiased(told[1], X, y)
    assert not ((found["lower"] < 1) & (found["upper"] > 1)).values[0, :6].all()


def test_columns_that_say_nothing(recording):
    X, Y = recording[0].copy(), recording[1]["poisson"].copy()
    X[:, 1] = 2.0
    X[:, 8] = X[:, 7]
    Y[:, 1] = 0
    for inverse in ("hessian", "nodewise"):
        model = fitted("poisson", X, Y, penalty="lasso")
        found = pg.debiased(model, X, Y, inverse=inverse)
        assert not any(np.isnan(found[name]).any() for name in (*NAMES, *TESTS) if name not in ("lower", "upper"))
        assert np.isinf(found["standard_error"][0, [1, 7, 8]]).all()
        assert np.isfinite(found["standard_error"][0, [0, 2, 3, 4, 5, 6]]).all()
        np.testing.assert_array_equal(found["p_value"][0, [1, 7, 8]], 1)
        # a neuron that never fires
        assert np.isinf(found["standard_error"][1]).all()
        np.testing.assert_array_equal(found["group_p_value"][1], 1)
    mask = np.ones((9, 2), bool)
    mask[:3] = False
    masked = fitted("poisson", recording[0], recording[1]["poisson"], feature_mask=mask)
    for inverse in ("hessian", "nodewise"):
        found = pg.debiased(masked, recording[0], recording[1]["poisson"], inverse=inverse)
        assert np.isinf(found["standard_error"][:, :3]).all()
        np.testing.assert_array_equal(found["coef"][:, :3], 0)
        np.testing.assert_array_equal(found["group_df"][:, 0], 0)
        assert np.isfinite(found["standard_error"][:, 3:]).all()


def test_models_of_every_kind(recording):
    X, Y = recording[0], recording[1]["poisson"]
    usual = pg.wald(fitted("poisson", X, Y, "none"), X, Y)
    given = {"penalty": "group_lasso", "feature_groups": SIZES, "n_lambdas": 4, "cv": 3}
    for more in ({}, {"relaxed": True}, {"penalty_factors": pg.AdaptiveFactors()}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pg.PopglmWarning)
            model = pg.GLMCV(**given | more).fit(X, Y)
        # where the null model was selected, from there
        model.take_strengths(np.array([len(model.lambda_path_), int(model.lambda_index_[1])]))
        found = pg.debiased(model, X, Y)
        assert not found["penalised"][0].any()
        np.testing.assert_allclose(found["coef"], usual["coef"], atol=0.08)
        np.testing.assert_allclose(found["standard_error"], usual["standard_error"], rtol=0.35)


def test_as_published_of_a_place_cell():
    file = RECORDINGS / "kramer_eden.npz"
    if not file.exists():
        pytest.skip("the recording kramer_eden.npz is not in ../shared/data")
    with np.load(file) as data:
        x, y = data["ch9_x_cm"], data["ch9_spikes_1"]
    # its model 3: quadratic in the position, maximum likelihood
    X = np.column_stack([x, x**2])
    scale = X.std(axis=0)
    published, error = np.array([0.690114, -0.005463]), np.array([0.056151634, 0.000423260])
    model = pg.GLM("poisson", lambdas=[1e-4, 3e-8], precision="float64", tol=1e-10).fit(X / scale, y)
    found = pg.debiased(model, X / scale, y)
    assert (np.abs(model.coef_ / scale - published) > 0.4 * error).all()
    assert (np.abs(found["coef"][0] / scale - published) < 0.2 * error).all()
    np.testing.assert_allclose(found["standard_error"][0] / scale, error, rtol=0.1)
    # of a field that a penalty has nearly flattened, one step does not make the field
    model.take_strengths(0)
    with pytest.warns(pg.PopglmWarning, match="debiased: one step is not enough for neuron0: a second one would be"):
        pg.debiased(model, X / scale, y)


def test_picture(recording):
    X, Y = recording[0], recording[1]["poisson"]
    ax = pg.plot.coefficients(pg.debiased(fitted("poisson", X, Y), X, Y), neurons="neuron0")
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    np.testing.assert_array_equal(crosses[0].get_xdata(), fitted("poisson", X, Y).coef_[0])
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("level", 1.0), ("level", "high"), ("inverse", "exact"), ("trial", np.zeros(N)), ("model", None)],
)
def test_bad_arguments(recording, argument, value):
    X, Y = recording[0], recording[1]["poisson"]
    model = fitted("poisson", X, Y)

    def call(found):
        given = {"model": model, argument: found}
        return pg.debiased(given.pop("model"), X, Y, **given)

    assert_complaint(argument, call, value)


def test_what_has_no_inverse(recording):
    X, Y = recording[0][:9], recording[1]["poisson"][:9]
    with pytest.raises(ValueError, match=r"neuron 'neuron0' has 9 samples for 10 columns.*use inverse='nodewise'"):
        pg.debiased(fitted("poisson", X, Y), X, Y, inverse="hessian")
    X, Y = recording[0], recording[1]["poisson"]
    kinked = pg.GLM("poisson", inverse_link="relu", lambdas=[0.1], max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinked.fit(np.abs(X), Y)
    with pytest.raises(ValueError, match="the loss of inverse_link='relu' has kinks"):
        pg.debiased(kinked, np.abs(X), Y)
    with pytest.warns(pg.PopglmWarning, match="debiased: 2 trials are few for tests of 'group0', 'group1', 'group2'"):
        pg.debiased(fitted("poisson", X, Y), X, Y, trial=np.arange(N) > 100)


def test_other_data_and_other_models_are_told(recording):
    X, Y = recording[0], recording[1]["poisson"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pg.GLMCV(penalty="lasso", n_lambdas=4, cv=3).fit(X, Y)
        smooth = pg.SmoothGLM("poisson").fit(X, Y)
        free = pg.GLMCV(penalty="none", cv=3).fit(X, Y)
    assert np.isfinite(pg.debiased(model, X, Y)["coef"]).all()
    for ask in (lambda X: pg.debiased(model, X, Y), lambda X: pg.wald(free, X, Y)):
        with pytest.raises(ValueError, match=r"X, Y, sample_weight or offset are not those of the fit.*neuron0"):
            ask(X[::-1])
    with pytest.raises(TypeError, match=r"debiased: .*popglm\.GLMCV, and a SmoothGLM has others"):
        pg.debiased(smooth, X, Y)
    censored = pg.GLM("censored_gaussian", lambdas=[0.1]).fit(X, Y.astype(float))
    with pytest.raises(ValueError, match="weights of a censored_gaussian model depend on what else"):
        pg.debiased(censored, X, Y.astype(float))


@pytest.mark.parametrize(("n", "inverse"), [(N, "nodewise"), (15, "auto"), (9, "hessian")])
def test_bounds_and_regressions_do_not_go_together(recording, n, inverse):
    X, Y = recording[0][:n], recording[1]["gaussian"][:n]
    model = fitted("gaussian", X, Y, constraints={"group0": "positive"})
    assert_complaint(
        "the model has constraints, and inverse='nodewise'", lambda i: pg.debiased(model, X, Y, inverse=i), inverse
    )

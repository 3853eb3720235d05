"""MCP and SCAD: against closed forms, skglm and the conditions of a stationary point, in folds, files and engines."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from few_groups import GROUP, SIZES, Q, recorded
from scipy import sparse
from scipy.special import expit

import popglm as pg
from popglm import GLM, GLMCV
from popglm.solve.stream import RowStream

N = 300
TRIAL = np.arange(N) // 10
STRENGTHS = [0.3, 0.1, 0.05]
KINDS = ["mcp", "scad", "group_mcp", "group_scad"]


@pytest.fixture(scope="module")
def recording():
    X, Y, _ = recorded(N, 0.4, seed=5)
    return X / X.std(axis=0), Y


def exact(family, penalty, model=GLM, **more):
    given = {"lambdas": STRENGTHS, "precision": "float64", "tol": 1e-13, "engine": "numpy"}
    if penalty.startswith("group"):
        given["feature_groups"] = SIZES
    return model(family, penalty=penalty, **given | more)


def fitted(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **more)


def slope(kind, t, gamma):
    """Of the penalty at a norm, over that at 0; t in units of the latter."""
    if kind.endswith("mcp"):
        return np.maximum(1 - t / gamma, 0)
    return np.where(t <= 1, 1.0, np.maximum(gamma - t, 0) / (gamma - 1))


def orthonormal(p):
    rng = np.random.default_rng(1)
    columns = np.column_stack([np.ones(N), rng.normal(size=(N, p))])
    X = np.linalg.qr(columns)[0][:, 1:] * np.sqrt(N)
    Y = X @ (rng.normal(size=(p, 6)) * (rng.random((p, 6)) < 0.5)) + 3 * rng.normal(size=(N, 6))
    return X, Y, (X.T @ (Y - Y.mean(axis=0)) / N).T


def threshold(kind, z, lam, gamma):
    """Where ½(z − t)² and the penalty of t ≥ 0 are least (Zhang 2010; Fan & Li 2001, equation 2.8)."""
    soft = np.maximum(z - lam, 0)
    if kind.endswith("mcp"):
        return np.where(z <= gamma * lam, soft / (1 - 1 / gamma), z)
    middle = ((gamma - 1) * z - gamma * lam) / (gamma - 2)
    return np.where(z <= 2 * lam, soft, np.where(z <= gamma * lam, middle, z))


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(("kind", "gamma"), [("mcp", 3), ("mcp", 1.5), ("scad", 3.7), ("scad", 2.5)])
def test_firm_thresholds_of_orthonormal_columns_and_groups(kind, gamma):
    X, Y, z = orthonormal(10)
    model = exact("gaussian", kind, lambdas=[1.0, 0.5, 0.2], concavity=gamma, tol=1e-15).fit(X, Y)
    for k, lam in enumerate(model.lambdas_):
        np.testing.assert_allclose(model.coef_path_[k], np.sign(z) * threshold(kind, np.abs(z), lam, gamma), atol=1e-6)
    assert (model.gap_ <= 1e-13).all()
    model = exact("gaussian", f"group_{kind}", lambdas=[0.5, 0.2], concavity=gamma, tol=1e-15).fit(X, Y)
    for k, lam in enumerate(model.lambdas_):
        for g, size in enumerate(SIZES):
            own = z[:, g == GROUP]
            norm = np.linalg.norm(own, axis=1)
            wanted = own * (threshold(kind, norm, lam * np.sqrt(size), gamma) / norm)[:, None]
            np.testing.assert_allclose(model.coef_path_[k][:, g == GROUP], wanted, atol=1e-6)


#: Of skglm 0.5: GeneralizedLinearEstimator with Quadratic or Poisson, MCPenalty(λ, 3) or SCAD(λ, 3.7), along the path,
#: by AndersonCD or ProxNewton with tol=1e-12.
SKGLM = {
    ("gaussian", "mcp"): [
        [0.6889272, -0.16342596, 0, 0.08581571, 0, 0, 0, 0, 0],
        [0.9650681, -0.56470082, 0, 0.32787272, 0, 0, 0, 0, 0],
        [0.96025082, -0.55965386, 0, 0.36378449, 0.0325129, 0, 0.0806763, 0, 0],
    ],
    ("gaussian", "scad"): [
        [0.41748559, 0, 0, 0.05605292, 0, 0, 0, 0, 0],
        [0.96497581, -0.56165273, 0, 0.25871728, 0, 0, 0, 0, 0],
        [0.9617225, -0.5617162, 0, 0.36525502, 0.02259494, 0, 0.0564491, 0, 0],
    ],
    ("poisson", "mcp"): [
        [0, 0, 0, 0, 0, 0, 0, 0, 0.84586827],
        [0.13091819, -0.00581972, 0, 0.1060529, 0, 0, 0, 0, 0.83169265],
        [0.38275902, -0.25824055, 0, 0.20854829, 0, 0, 0.05755247, 0, 0.76814102],
    ],
}


@pytest.mark.parametrize(("family", "kind"), SKGLM)
def test_paths_of_skglm(family, kind):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(200, 8))
    X[:, 1] += 0.5 * X[:, 0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    eta = X @ [0.8, -0.5, 0, 0.3, 0, 0, 0.15, 0]
    normal, counts = eta + rng.normal(size=200), rng.poisson(np.exp(0.5 * eta + 0.7)).astype(float)
    y, lambdas, gamma = normal - normal.mean(), [0.3, 0.15, 0.05], {"mcp": 3, "scad": 3.7}[kind]
    if family == "poisson":
        # skglm takes γ in units of 1, whatever the curvature of the loss
        y, lambdas, gamma = counts, [0.6, 0.3, 0.1], 3 * counts.mean()
    model = exact(family, kind, lambdas=lambdas, concavity=gamma).fit(X, y)
    found = np.column_stack([model.coef_path_[:, 0], model.intercept_path_])
    np.testing.assert_allclose(found, SKGLM[family, kind], atol=1e-6)


MEAN = {"gaussian": lambda eta: eta, "poisson": np.exp, "bernoulli": expit}
CURVATURE = {"gaussian": lambda mu: 1.0, "poisson": lambda mu: mu, "bernoulli": lambda mu: mu * (1 - mu)}


def assert_stationary(family, kind, model, X, Y, s=None, smooth=0.0, factors=(1, 1, 1, 1), mask=None):
    """The conditions of a stationary point, by their formulas; returns how many blocks were flat, and how many bent."""
    s = np.ones(len(X)) if s is None else s
    gamma = 3.0 if kind.endswith("mcp") else 3.7
    blocks = [np.flatnonzero(g == GROUP) for g in range(4)] if kind.startswith("group") else np.arange(10)[:, None]
    flat = bent = 0
    for k, lam in enumerate(model.lambdas_):
        for j in range(Y.shape[1]):
            known = ~np.isnan(Y[:, j])
            x, y, v, w = X[known], Y[known, j], s[known] / s[known].sum(), np.asarray(model.coef_path_[k, j])
            h = CURVATURE[family](v @ y)
            gradient = x.T @ (v * (MEAN[family](x @ w + model.intercept_path_[k, j]) - y))
            if smooth:
                R = model.penalty_.R
                gradient = gradient + smooth * R @ w
            for own in blocks:
                open_ = own if mask is None else own[mask[own, j]]
                if not len(open_):
                    assert not w[own].any()
                    continue
                tau, norm = lam * factors[GROUP[own[0]]] * np.sqrt(len(open_)), np.linalg.norm(w[open_])
                if norm == 0:
                    assert np.linalg.norm(gradient[open_]) <= tau * (1 + 1e-6)
                    continue
                share = slope(kind, h * norm / tau, gamma) if tau > 0 else 0.0
                np.testing.assert_allclose(gradient[open_], -tau * share * w[open_] / norm, atol=1e-5)
                flat, bent = flat + (share == 0), bent + (0 < share < 1)
    return flat, bent


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
@pytest.mark.parametrize("kind", KINDS)
def test_stationary_points(recording, family, kind):
    X, activity = recording
    s = np.random.default_rng(3).uniform(0.5, 2, N)
    model = fitted(exact(family, kind, lambdas=[0.2, 0.05, 0.02]), X, activity[family], sample_weight=s)
    flat, bent = assert_stationary(family, kind, model, X, activity[family], s)
    assert flat >= 4
    assert bent >= 1
    assert (model.gap_ <= 1e-13).all()


def test_masks_factors_and_smoothness(recording):
    X, activity = recording
    Y = activity["poisson"]
    mask = np.ones((10, Q), bool)
    mask[3:5, 0] = mask[7, 1] = False
    given = {"feature_mask": mask, "penalty_factors": [2, 1, 0.5, 1], "smoothness": 0.01, "lambdas": [0.1, 0.03]}
    model = fitted(exact("poisson", "group_mcp", **given), X, Y)
    assert_stationary("poisson", "group_mcp", model, X, Y, None, 0.01, given["penalty_factors"], mask)
    # a group that is never penalised, and factors of each neuron's own
    free = fitted(exact("poisson", "group_scad", penalty_factors=[0, 1, 1, 2]), X, Y)
    assert_stationary("poisson", "group_scad", free, X, Y, factors=[0, 1, 1, 2])
    assert free.coef_path_[:, :, :3].all()
    own = np.array([[1, 1, 2, 1], [1, 2, 1, 1], [2, 1, 1, 1], [1, 1, 1, 1]], float)
    each = fitted(exact("poisson", "group_mcp", penalty_factors=own), X, Y)
    one = fitted(exact("poisson", "group_mcp", penalty_factors=own[:, 2]), X, Y[:, [2]])
    np.testing.assert_allclose(each.coef_path_[:, 2], one.coef_path_[:, 0], atol=1e-7)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("kind", ["mcp", "group_scad"])
def test_far_from_concave_it_is_the_lasso(recording, kind):
    X, activity = recording
    convex = "group_lasso" if kind.startswith("group") else "lasso"
    for family in ("gaussian", "poisson"):
        bent = fitted(exact(family, kind, concavity=1e9), X, activity[family])
        straight = fitted(exact(family, convex), X, activity[family])
        np.testing.assert_allclose(bent.coef_path_, straight.coef_path_, atol=1e-6)
        np.testing.assert_allclose(bent.loss_path_, straight.loss_path_, rtol=1e-6)


def test_objective_is_that_of_the_penalty(recording):
    X, activity = recording
    y = activity["gaussian"][:, 0]
    for kind, gamma in (("mcp", 3.0), ("scad", 3.7)):
        model = exact("gaussian", kind).fit(X, y)
        for k, lam in enumerate(model.lambdas_):
            w = model.coef_path_[k, 0]
            # the penalty is the integral of its slope
            grid = np.linspace(0, 1, 20001)[:, None] * np.abs(w)
            penalty = np.trapezoid(lam * slope(kind, grid / lam, gamma), grid, axis=0).sum()
            loss = np.mean((y - X @ w - model.intercept_path_[k, 0]) ** 2) / 2
            np.testing.assert_allclose(model.loss_path_[k, 0], loss + penalty, rtol=1e-7)
            value = model.penalty_.at_null(np.ones(1)).value(w[None], np.array([lam]))
            np.testing.assert_allclose(value, penalty, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kind", ["lasso", "ridge", "group_lasso", "mcp", "group_scad"])
def test_the_penalty_of_a_null_model_is_0(kind):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((200, 3)), rng.poisson(1.0, (200, 2))
    model = pg.GLMCV(penalty=kind, lambdas=[0.05], cv=2, feature_groups=["a", "b", "c"]).fit(X, Y)
    bent = {"null_curvature": np.ones(2)} if kind in ("mcp", "group_scad") else {}
    W, strengths = np.array([[0.0, 0, 0], [0, 1, 0]]), np.array([np.inf, np.inf])
    np.testing.assert_array_equal(replace(model.penalty_, **bent).value(W, strengths), [0, np.inf])
    kept = replace(model.penalty_, **bent, factors=np.array([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(kept.value(W, strengths), [0, 0])


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_units_of_the_activity_do_not_matter(recording, family):
    X, activity = recording
    given = {"lambdas": None, "n_lambdas": 5, "lambda_min_ratio": 0.05}
    kind, Y, unit = "group_mcp", activity[family], 1e-3 if family == "gaussian" else 10.0
    one, other = (fitted(exact(family, kind, **given), X, c * Y) for c in (1.0, unit))
    size = unit if family == "gaussian" else 1.0
    np.testing.assert_allclose(other.coef_path_ / size, one.coef_path_, atol=1e-5)
    np.testing.assert_allclose(other.lambda_path_ / unit, one.lambda_path_, rtol=1e-5)


def test_folds_end_where_fits_to_their_rows_do(recording, tmp_path):
    X, activity = recording
    for family, kind in (("poisson", "group_mcp"), ("gaussian", "scad")):
        Y = activity[family][:, 2:]
        model = fitted(exact(family, kind, GLMCV, cv=2, tol=1e-10), X, Y, groups=TRIAL)
        for i, (train, _) in enumerate(model.splits_):
            alone = fitted(exact(family, kind, tol=1e-10), X[train], Y[train])
            np.testing.assert_allclose(model.cv_coef_path_[i], alone.coef_path_, atol=1e-5)
        # a fold knows nothing of what it holds out
        other = Y.copy()
        other[model.splits_[1][1]] += 1
        again = fitted(exact(family, kind, GLMCV, cv=2, tol=1e-10), X, other, groups=TRIAL)
        np.testing.assert_array_equal(again.cv_coef_path_[1], model.cv_coef_path_[1])
        assert (again.cv_coef_path_[0] != model.cv_coef_path_[0]).any()
    model.save(tmp_path / "model.nc")
    for same in (pg.load(tmp_path / "model.nc"), pickle.loads(pickle.dumps(model))):
        assert (same.penalty, same.concavity) == ("scad", None)
        for name in ("coef_", "cv_coef_", "lambda_", "gap_", "loss_path_"):
            np.testing.assert_array_equal(getattr(same, name), getattr(model, name))
        w = model.coef_path_[1]
        np.testing.assert_array_equal(same.penalty_.value(w, model.lambda_), model.penalty_.value(w, model.lambda_))


@pytest.fixture(scope="module")
def usual(recording):
    """A fit to X in memory, in float64."""
    X, activity = recording
    return fitted(exact("poisson", "group_mcp", GLMCV, cv=3), X, activity["poisson"], groups=TRIAL)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["stream", "sparse", "float32"])
def test_every_kind_of_design(recording, usual, kind):
    X, activity = recording
    Y = activity["poisson"]
    given = {"stream": RowStream, "sparse": sparse.csr_array, "float32": lambda a: a.astype(np.float32)}[kind](X)
    more = {"precision": "float32", "tol": 1e-5} if kind == "float32" else {"tol": 1e-10}
    found = fitted(exact("poisson", "group_mcp", GLMCV, cv=3, **more), given, Y, groups=TRIAL)
    np.testing.assert_allclose(found.cv_coef_path_, usual.cv_coef_path_, atol=0.02 if kind == "float32" else 1e-4)
    np.testing.assert_array_equal(found.lambda_, usual.lambda_)


@pytest.mark.parametrize("engine", ["torch", "jax", "tensorflow"])
def test_every_engine(recording, engine):
    pytest.importorskip(engine)
    X, activity = recording
    for family, kind in (("poisson", "group_mcp"), ("gaussian", "scad")):
        given = {"cv": 3, "lambdas": [0.1, 0.03], "tol": 1e-10, "schedule": "device"}
        found = fitted(exact(family, kind, GLMCV, **given | {"engine": engine}), X, activity[family], groups=TRIAL)
        usual = fitted(exact(family, kind, GLMCV, **given), X, activity[family], groups=TRIAL)
        np.testing.assert_allclose(found.cv_coef_path_, usual.cv_coef_path_, atol=1e-5)
        np.testing.assert_array_equal(found.lambda_, usual.lambda_)


def test_families_with_a_parameter(recording):
    X, activity = recording
    y = np.maximum(activity["gaussian"][:, [2]], 0)
    model = fitted(exact("censored_gaussian", "mcp", tol=1e-9), X, y)
    # σ ends where it maximises the likelihood beside the weights, and these are stationary beside σ
    assert (model.gap_ <= 1e-9).all()
    w = model.coef_path_[:, 0]
    assert (w[-1] != 0).sum() < 10
    assert 0.5 < model.family_parameters_["sigma"][0] < 2


def test_relaxed_and_adaptive_on_top(recording):
    X, activity = recording
    Y = activity["poisson"][:, 2:]
    model = fitted(exact("poisson", "group_mcp", GLMCV, cv=3, tol=1e-6, relaxed=True), X, Y, groups=TRIAL)
    assert np.isfinite(model.relaxed_coef_path_).all()
    given = {"cv": 3, "tol": 1e-6, "penalty_factors": pg.AdaptiveFactors(first="group_lasso")}
    twice = fitted(exact("poisson", "group_mcp", GLMCV, **given), X, Y, groups=TRIAL)
    left = np.isfinite(twice.adaptive_factors_)
    assert not twice.coef_path_[:, ~left.T].any()
    assert left.any()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"concavity": 1}, "concavity=1 must be above 1"),
        ({"penalty": "group_scad", "concavity": 2.0}, "concavity=2.0 must be above 2"),
        ({"concavity": np.inf}, "concavity=inf must be a finite number"),
        ({"concavity": "3"}, "concavity='3' must be a finite number"),
        ({"penalty": "lasso", "concavity": 3}, "concavity=3 has no effect under penalty='lasso'; leave it None"),
        ({"l1_ratio": 0.5}, "l1_ratio=0.5 has no effect under penalty='mcp'"),
        ({"solver": "adam"}, "penalty='mcp' needs the quasi-Newton solver"),
        ({"inverse_link": "relu"}, "penalty='mcp' needs the quasi-Newton solver"),
        ({"penalty": "MCP"}, "penalty='MCP' is unknown; use one of .* mcp, scad, group_mcp, group_scad"),
    ],
)
def test_bad_arguments(recording, given, sentence):
    X, activity = recording
    with pytest.raises(ValueError, match=sentence):
        GLM(**{"penalty": "mcp"} | given).fit(X, activity["poisson"])


def test_what_is_refused(recording):
    X, activity = recording
    with pytest.raises(ValueError, match="penalty='mcp' is not one that ClassifierGLM has; use one of none"):
        pg.ClassifierGLM(penalty="mcp").fit(X, TRIAL % 3)
    wide = sparse.random_array((50, 2100), density=0.01, rng=np.random.default_rng(0), format="csr")
    with pytest.raises(ValueError, match="fits under a concave penalty have no certificate"):
        GLM(penalty="mcp").fit(wide, activity["poisson"][:50, 0])

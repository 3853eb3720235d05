"""Weights within bounds: scipy's minima, conditions of a minimum by hand, limits, and what refuses them."""

import warnings
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from few_groups import GROUP, SIZES, recorded
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import poisson as poisson_density
from sklearn.base import clone

import popglm as pg
from popglm.solve.stream import RowStream

LABELS = np.array(list("abcd"))[GROUP].tolist()
#: Group a has bounds for each of its three columns, b an upper one, c a sign, d none.
BOX = {"a": ([-0.1, 0, None], [0.1, 0.05, 0.4]), "b": (None, 0.12), "c": "negative"}
INF = np.inf
LOWER = np.array([-0.1, 0, -INF, -INF, -INF, -INF, -INF, -INF, -INF, -INF])
UPPER = np.array([0.1, 0.05, 0.4, 0.12, 0.12, 0, 0, 0, 0, INF])
#: All of them bounded on both sides.
SMALL = {"a": (-0.1, 0.1), "b": (-0.2, 0.05), "c": ([-0.3, -0.2, -0.1, 0], 0.15), "d": (0, 0.1)}


@cache
def drawn():
    X, Y, _ = recorded(240, 0.3, 5)
    return X, Y


def model(family="poisson", penalty="lasso", kind=pg.GLM, **settings):
    given = {"feature_groups": LABELS, "constraints": BOX, "precision": "float64", "tol": 1e-9}
    given |= {} if "lambdas" in settings or penalty == "none" else {"n_lambdas": 4, "lambda_min_ratio": 0.03}
    return kind(family, penalty=penalty, **{**given, **settings})


def limits(constraints):
    """Bounds of every column, from what a model has, column by column."""
    found = np.array([[-INF] * 10, [INF] * 10])
    for k, label in enumerate(LABELS):
        kind = constraints.get(label, (None, None))
        pair = {"positive": (0, None), "negative": (None, 0)}[kind] if isinstance(kind, str) else kind
        for i, side in enumerate(pair):
            one = side[k - LABELS.index(label)] if isinstance(side, list) else side
            found[i, k] = found[i, k] if one is None else one
    return found


def assert_within(coef, lower=LOWER, upper=UPPER):
    assert ((coef.astype(float) >= lower) & (coef.astype(float) <= upper)).all()


def loss_and_slope(family, eta, y):
    if family == "gaussian":
        return np.mean((eta - y) ** 2) / 2, (eta - y) / len(y)
    if family == "poisson":
        return np.mean(np.exp(eta) - y * eta), (np.exp(eta) - y) / len(y)
    return np.mean(np.logaddexp(0, eta) - y * eta), (1 / (1 + np.exp(-eta)) - y) / len(y)


def best_within(family, X, y, lam, ratio, bounds):
    """Weights, intercept and objective of the minimum: both signs of a weight are variables of L-BFGS-B."""
    p = X.shape[1]

    def objective(at):
        w, b = at[:p] - at[p : 2 * p], at[-1]
        loss, slope = loss_and_slope(family, X @ w + b, y)
        smooth = slope @ X + lam * (1 - ratio) * w
        value = loss + lam * (ratio * at[: 2 * p].sum() + (1 - ratio) / 2 * w @ w)
        return value, np.concatenate([smooth + lam * ratio, -smooth + lam * ratio, [slope.sum()]])

    lower, upper = bounds
    sides = [*((0, u) for u in upper), *((0, -low) for low in lower), (None, None)]
    found = minimize(
        objective, np.zeros(2 * p + 1), jac=True, bounds=sides, method="L-BFGS-B",
        options={"ftol": 1e-16, "gtol": 1e-11, "maxiter": 20_000, "maxfun": 10**6},
    )  # fmt: skip
    return found.x[:p] - found.x[p : 2 * p], found.x[-1], found.fun


@pytest.mark.parametrize("constraints", [BOX, SMALL], ids=["some", "all"])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
@pytest.mark.parametrize(("penalty", "ratio", "lam"), [("none", 0, 0), ("ridge", 0, 0.03), ("elastic_net", 0.6, 0.02)])
def test_minima_of_scipy(family, penalty, ratio, lam, constraints):
    X, Y = drawn()
    y = Y[family][:, 2]
    given = {"lambdas": [lam]} if lam else {}
    found = model(family, penalty, l1_ratio=ratio or None, constraints=constraints, **given).fit(X, y)
    bounds = limits(constraints)
    assert_within(found.coef_, *bounds)
    assert found.gap_.max() <= 1e-9
    w, b, _ = best_within(family, X, y, lam, ratio, bounds)
    np.testing.assert_allclose(found.coef_, w, atol=1e-4)
    assert found.intercept_ == pytest.approx(b, abs=1e-4)
    # weights lie at bounds to the bit, of which some are not 0
    held = (found.coef_ == bounds[0]) | (found.coef_ == bounds[1])
    assert (held & (found.coef_ != 0)).any()
    # between bounds too
    assert (~held).any()


@pytest.mark.parametrize("schedule", ["host", "device"])
@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
def test_in_single_precision_weights_lie_at_their_bounds_and_not_beside(penalty, schedule):
    X, Y = drawn()
    given = {"constraints": SMALL, "precision": "float32", "tol": 1e-5, "schedule": schedule}
    found = model(penalty=penalty, **given).fit(X, Y["poisson"]).coef_path_
    at = 0
    for bound in limits(SMALL):
        # the nearest number towards 0
        single = np.float32(bound)
        single = np.where(np.abs(single.astype(float)) > np.abs(bound), np.nextafter(single, np.float32(0)), single)
        near = np.isclose(found, bound, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(found[near], np.broadcast_to(single, found.shape)[near])
        at += (near & (bound != 0)).sum()
    assert at > 5


def test_a_lasso_meets_the_conditions_of_a_minimum():
    X, Y = drawn()
    y = Y["poisson"]
    found = model().fit(X, y)
    assert found.gap_.max() <= 1e-9
    assert_within(found.coef_path_)
    pressed = 0
    for W, b, lam in zip(found.coef_path_, found.intercept_path_, found.lambda_path_, strict=True):
        residual = np.nan_to_num(np.exp(X @ W.T + b) - y)
        push = -residual.T @ X / np.isfinite(y).sum(axis=0)[:, None]
        for w, f, strength in zip(W, push, lam, strict=True):
            at_upper, at_lower = w == UPPER, w == LOWER
            used, rest = w != 0, 1e-2 * strength
            inside = used & ~at_upper & ~at_lower
            np.testing.assert_allclose(f[inside], (strength * np.sign(w))[inside], atol=rest)
            # at a bound a force may be as large as it likes, outwards
            assert (f[at_upper & used] >= strength - rest).all()
            assert (f[at_lower & used] <= -strength + rest).all()
            # at 0 no force is beyond the strength, but for one against a bound there
            assert (f[~used & (UPPER > 0)] <= strength + rest).all()
            assert (f[~used & (LOWER < 0)] >= -strength - rest).all()
            pressed += (f[at_upper & used] > 1.5 * strength).sum()
    assert pressed


GROUPED = [("group_lasso", None), ("group_lasso", 0.6), ("sparse_group_lasso", 0.3)]


def strengths(penalty, ratio, lam, size):
    """What columns and the norm of their group are multiplied by, and the ridge part."""
    share, of_norms = (ratio, 1.0) if penalty.startswith("sparse") else (0.0, ratio or 1.0)
    return share * lam, (1 - share) * of_norms * np.sqrt(size) * lam, (1 - of_norms) * lam


@pytest.mark.parametrize("constraints", [BOX, SMALL], ids=["some", "all"])
@pytest.mark.parametrize(("penalty", "ratio"), GROUPED)
def test_groups_meet_the_conditions_of_a_minimum(penalty, ratio, constraints):
    X, Y = drawn()
    y, (lower, upper) = Y["poisson"], limits(constraints)
    found = model("poisson", penalty, l1_ratio=ratio, constraints=constraints).fit(X, y)
    assert found.gap_.max() <= 1e-9
    assert_within(found.coef_path_, lower, upper)
    held = inside = 0
    for W, b, lam in zip(found.coef_path_, found.intercept_path_, found.lambda_path_, strict=True):
        residual = np.nan_to_num(np.exp(X @ W.T + b) - y)
        push = -residual.T @ X / np.isfinite(y).sum(axis=0)[:, None]
        for w, force, strength in zip(W, push, lam, strict=True):
            for block, size in enumerate(SIZES):
                at, rest = block == GROUP, 1e-2 * strength
                own, f, low, high = w[at], force[at], lower[at], upper[at]
                column, group, ridge = strengths(penalty, ratio, strength, size)
                f = np.where((own == 0) & ((f > 0) & (high == 0) | (f < 0) & (low == 0)), 0, f)
                if not own.any():
                    assert np.linalg.norm(np.maximum(np.abs(f) - column, 0)) <= group + rest / 10
                    continue
                pull = column * np.sign(own) + group * own / np.linalg.norm(own) + ridge * own
                used, at_upper, at_lower = own != 0, own == high, own == low
                free = used & ~at_upper & ~at_lower
                np.testing.assert_allclose(f[free], pull[free], atol=rest)
                assert (f[used & at_upper] >= pull[used & at_upper] - rest).all()
                assert (f[used & at_lower] <= pull[used & at_lower] + rest).all()
                assert (np.abs(f[~used]) <= column + rest).all()
                held += (used & (at_upper | at_lower)).sum()
                inside += free.sum()
    assert held > 5
    assert inside > 5


@pytest.mark.parametrize("constraints", [BOX, SMALL], ids=["some", "all"])
@pytest.mark.parametrize(("penalty", "ratio"), GROUPED)
@pytest.mark.filterwarnings("ignore::popglm.ConvergenceWarning")
def test_the_gap_bounds_the_excess_of_groups_that_were_stopped(penalty, ratio, constraints):
    X, Y = drawn()
    y, lam = Y["poisson"][:, 0], 0.02

    def fitted(**settings):
        found = model("poisson", penalty, l1_ratio=ratio, constraints=constraints, lambdas=[lam], **settings).fit(X, y)
        return found, found.loss_path_[0, 0]

    best, least = fitted(tol=1e-11)
    assert best.gap_.max() <= 1e-11
    scale = loss_and_slope("poisson", np.full(len(y), np.log(y.mean())), y)[0]
    scale -= loss_and_slope("poisson", np.log(np.maximum(y, 1e-300)), y)[0]
    gaps = []
    for steps in (1, 2, 3, 6):
        found, value = fitted(max_iter=steps, tol=1e-12)
        w = found.coef_
        by_hand = loss_and_slope("poisson", X @ w + found.intercept_, y)[0]
        for block, size in enumerate(SIZES):
            column, group, ridge = strengths(penalty, ratio, lam, size)
            own = w[block == GROUP]
            by_hand += column * np.abs(own).sum() + group * np.linalg.norm(own) + ridge / 2 * own @ own
        assert value == pytest.approx(by_hand, abs=1e-12)
        assert -1e-10 <= (value - least) / scale <= found.gap_[0, 0] + 1e-10
        gaps.append(found.gap_[0, 0])
    assert gaps[-1] < 0.1 * gaps[0]


@pytest.mark.parametrize("constraints", [BOX, SMALL], ids=["some", "all"])
@pytest.mark.parametrize(("penalty", "ratio", "lam"), [("none", 0, 0), ("ridge", 0, 0.01), ("lasso", 1, 0.02)])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
@pytest.mark.filterwarnings("ignore::popglm.ConvergenceWarning")
def test_the_gap_bounds_the_excess_of_fits_that_were_stopped(family, penalty, ratio, lam, constraints):
    X, Y = drawn()
    y, bounds = Y[family][:, 0], limits(constraints)
    *_, least = best_within(family, X, y, lam, ratio, bounds)
    mean = y.mean()
    scale = loss_and_slope(family, np.full(len(y), np.log(mean / (1 - mean * (family == "bernoulli")))), y)[0]
    scale -= loss_and_slope(family, np.log(np.maximum(y, 1e-300)), y)[0] if family == "poisson" else 0
    gaps = []
    for steps in (1, 2, 3, 6):
        given = {"lambdas": [lam]} if lam else {}
        found = model(family, penalty, constraints=constraints, max_iter=steps, tol=1e-12, **given).fit(X, y)
        w, value = found.coef_, loss_and_slope(family, X @ found.coef_ + found.intercept_, y)[0]
        value += lam * (ratio * np.abs(w).sum() + (1 - ratio) / 2 * w @ w)
        assert_within(w, *bounds)
        excess = (value - least) / scale
        assert -1e-9 <= excess <= found.gap_[0, 0] + 1e-9
        gaps.append(found.gap_[0, 0])
    assert gaps[-1] < 0.1 * gaps[0]
    assert np.isfinite(gaps).all()


class TestLimits:
    @pytest.mark.parametrize("penalty", ["none", "ridge", "lasso", "elastic_net", "group_lasso", "sparse_group_lasso"])
    def test_wide_bounds_are_none(self, penalty):
        X, Y = drawn()
        wide = model(penalty=penalty, constraints=dict.fromkeys("abcd", (-1e6, 1e6))).fit(X, Y["poisson"])
        free = model(penalty=penalty, constraints=None).fit(X, Y["poisson"])
        np.testing.assert_allclose(wide.lambda_path_, free.lambda_path_, rtol=1e-12)
        np.testing.assert_allclose(wide.coef_path_, free.coef_path_, atol=1e-4)
        assert wide.gap_.max() <= 1e-9
        # scales of the dual point are those of a fit without bounds, not 1e6 times a rounding
        loose = {"penalty": penalty, "precision": "float32", "tol": 1e-5}
        found = [model(constraints=c, **loose).fit(X, Y["poisson"]) for c in (wide.constraints, None)]
        assert found[0].n_iter_.sum() <= 1.5 * found[1].n_iter_.sum()

    @pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso", "sparse_group_lasso"])
    def test_a_bound_of_zero_is_a_sign(self, penalty):
        X, Y = drawn()
        sign = model(penalty=penalty, constraints={"a": "positive", "c": "negative"}, tol=1e-6).fit(X, Y["poisson"])
        pair = model(penalty=penalty, constraints={"a": (0, None), "c": (-INF, [0] * 4)}, tol=1e-6).fit(X, Y["poisson"])
        np.testing.assert_array_equal(pair.coef_path_, sign.coef_path_)
        np.testing.assert_array_equal(pair.gap_, sign.gap_)

    def test_bounds_of_nothing_are_no_bounds(self):
        X, Y = drawn()
        none = model(constraints={"a": (None, INF), "b": ([-INF, None], None)}).fit(X, Y["poisson"])
        assert none.penalty_.bounds is None
        np.testing.assert_array_equal(none.coef_path_, model(constraints=None).fit(X, Y["poisson"]).coef_path_)

    def test_a_group_between_zero_and_zero_is_closed(self):
        X, Y = drawn()
        found = model(constraints={"a": (0, 0)}, lambdas=[0.02]).fit(X, Y["poisson"])
        mask = np.broadcast_to((GROUP != 0)[:, None], (10, 4))
        other = model(constraints=None, feature_mask=mask, lambdas=[0.02]).fit(X, Y["poisson"])
        assert not found.coef_[:, GROUP == 0].any()
        np.testing.assert_allclose(found.coef_, other.coef_, atol=1e-5)


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax", "tensorflow"])
@pytest.mark.parametrize("penalty", ["ridge", "lasso", "none"])
def test_accelerators_and_other_engines(engine, penalty):
    pytest.importorskip(engine)
    X, Y = drawn()
    # compiling takes long there
    schedule = "host" if engine in ("jax", "tensorflow") else "device"
    given = {"penalty": penalty, "tol": 1e-6} | ({} if penalty == "none" else {"lambdas": [0.02]})
    found = model(engine=engine, schedule=schedule, **given).fit(X, Y["poisson"])
    assert_within(found.coef_)
    assert found.gap_.max() <= 1e-6
    np.testing.assert_allclose(found.coef_, model(**given).fit(X, Y["poisson"]).coef_, atol=2e-3)
    if schedule == "device":
        single = model(engine=engine, schedule=schedule, **given | {"precision": "float32", "tol": 1e-4})
        assert_within(single.fit(X, Y["poisson"]).coef_)


class TestUnits:
    @pytest.mark.parametrize("penalty", ["ridge", "lasso", "none"])
    @pytest.mark.parametrize("size", [1e-5, 3e6])
    def test_of_the_activity(self, penalty, size):
        """Bounds are those of `coef_`, whatever unit a fit works in."""
        X, Y = drawn()
        box = {"a": (-0.1 * size, 0.1 * size), "b": (None, 0.12 * size)}
        given = {"penalty": penalty, "constraints": box, "precision": "float32", "tol": 1e-6}
        given |= {} if penalty == "none" else {"lambdas": [0.02 if penalty == "ridge" else 0.02 * size]}
        plain = {**given, "constraints": {"a": (-0.1, 0.1), "b": (None, 0.12)}}
        plain |= {} if penalty == "none" else {"lambdas": [0.02]}
        found = model("gaussian", **given).fit(X, size * Y["gaussian"])
        expected = model("gaussian", **plain).fit(X, Y["gaussian"])
        np.testing.assert_allclose(found.coef_ / size, expected.coef_, atol=1e-3)
        bounded = found.coef_[:, :5].astype(float)
        upper = size * np.array([0.1, 0.1, 0.1, 0.12, 0.12])
        assert (bounded <= upper).all()
        assert np.isclose(bounded, upper, rtol=3e-7, atol=0).any()

    def test_of_columns_with_factors_of_a_ridge(self):
        X, Y = drawn()
        given = {"penalty": "ridge", "penalty_factors": {"a": 3, "b": 0.2}, "lambdas": [0.02]}
        found = model(precision="float32", tol=1e-6, **given).fit(X, Y["poisson"])
        assert_within(found.coef_)
        assert np.isclose(found.coef_, UPPER, rtol=3e-7, atol=0).any()
        y, factors = Y["poisson"][:, 0], np.array([3, 3, 3, 0.2, 0.2, 1, 1, 1, 1, 1])
        # a ridge with factors is one of columns divided by their roots, within bounds times them
        root = np.sqrt(factors)
        w, *_ = best_within("poisson", X / root, y, 0.02, 0, np.array([LOWER, UPPER]) * root)
        np.testing.assert_allclose(found.coef_[0], w / root, atol=1e-3)


class TestTheRestOfTheModel:
    def test_masks_free_groups_and_starts_in_float32(self):
        X, Y = drawn()
        mask = np.ones((10, 4), bool)
        mask[0] = False
        given = {"penalty": "ridge", "feature_mask": mask, "penalty_factors": {"d": 0}}
        given |= {"precision": "float32", "tol": 1e-5}
        found = model(**given).fit(X, Y["poisson"])
        assert_within(found.coef_path_)
        assert not found.coef_path_[..., 0].any()
        free = model(**given | {"constraints": None}).fit(X, Y["poisson"])
        assert (free.coef_path_ > UPPER).any()
        # the start leaves the bounds
        begun = model(**given).fit(X, Y["poisson"], start=free)
        assert_within(begun.coef_path_)
        np.testing.assert_allclose(begun.coef_path_, found.coef_path_, atol=5e-3)

    def test_chosen_by_folds_kept_and_compared(self, tmp_path):
        X, Y = drawn()
        given = {"kind": pg.GLMCV, "cv": 3, "precision": "float32", "tol": 1e-5}
        found = model(**given).fit(X, Y["poisson"], groups=np.arange(240) // 20)
        assert_within(found.coef_)
        assert_within(found.cv_coef_path_)
        assert clone(found).constraints == BOX
        found.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        assert again.constraints == BOX
        np.testing.assert_array_equal(again.penalty_.bounds, [LOWER, UPPER])
        reduced = pg.compare(found, X, Y["poisson"], variables={"b": "b"}, reselect=False)
        without = model(**given | {"cv": found.splits_}, lambdas=[found.lambda_[2]])
        without.set_params(feature_mask=(GROUP != 1)[:, None]).fit(X, Y["poisson"][:, [2]])
        lost = float(reduced["reduced_deviance"].isel(neuron=2, variable=0))
        assert lost == pytest.approx(without.cv_deviance_.sum(axis=0)[0, 0], rel=1e-3)
        # a weight at its bound is not free to move
        moving = (found.coef_ != 0) & ~np.isclose(found.coef_, LOWER) & ~np.isclose(found.coef_, UPPER)
        freedom = pg.goodness_of_fit(found, X, Y["poisson"])["degrees_of_freedom"]
        assert (moving.sum(axis=1) < (found.coef_ != 0).sum(axis=1)).any()
        np.testing.assert_allclose(freedom, 1 + moving.sum(axis=1), atol=1e-6)

    def test_refits_of_explanations_stay_within(self):
        rng = np.random.default_rng(8)
        session = pd.DataFrame(rng.normal(size=(240, 3)), columns=["speed", "lick", "turn"])
        trial = np.arange(240) // 20
        design = pg.Design([pg.linear(name) for name in session], standardize=False)
        X = design.fit_transform(session)
        Y = rng.poisson(np.exp(session @ [0.3, 0.3, -0.4])).astype(float)
        box = {"speed": (-0.1, 0.1), "turn": "positive"}
        found = pg.GLMCV(penalty="lasso", cv=3, lambdas=[0.01, 0.001], tol=1e-3, constraints=box)
        found.fit(X, Y, groups=trial)
        np.testing.assert_allclose(found.coef_[[0, 2]], [0.1, 0], rtol=1e-6)
        bands = pg.bootstrap(found, design, X, Y, trial=trial, n_resamples=5)["speed"]
        at = bands["speed"].to_numpy()
        for side in ("kernel", "lower", "upper"):
            np.testing.assert_allclose(bands[side].to_numpy().reshape(-1), 0.1 * at, rtol=1e-5)
        shares = pg.shapley(found, X, Y)["shapley"].to_series().droplevel(0)
        # without lick, speed would have more than its bound
        lost = {name: float(value) for name, value in shares.items()}
        assert lost["lick"] > lost["speed"] > 0
        assert lost["turn"] == pytest.approx(0, abs=1e-6)

    def test_norms_of_groups_are_fitted_on_the_host(self):
        X, Y = drawn()
        given = {"penalty": "sparse_group_lasso", "lambdas": [0.02], "tol": 1e-6}
        found = model(schedule="device", **given).fit(X, Y["poisson"])
        np.testing.assert_array_equal(found.coef_, model(schedule="host", **given).fit(X, Y["poisson"]).coef_)

    def test_checkpoints_tell_long_lists_of_bounds_apart(self, tmp_path):
        rng = np.random.default_rng(1)
        X, y, upper = rng.normal(size=(40, 1200)), rng.normal(size=40), np.ones(1200)
        upper[600] = 0.5
        for k, bounds in enumerate((np.ones(1200), upper)):
            kept = pg.GLM(
                "gaussian",
                penalty="lasso",
                feature_groups=["a"] * 1200,
                lambdas=[0.5],
                constraints={"a": (None, bounds)},
            )
            if k == 0:
                kept.fit(X, y, checkpoint=tmp_path)
            else:
                assert_complaint("constraints", partial(kept.fit, X, checkpoint=tmp_path), y)

    def test_an_adaptive_lasso(self):
        X, Y = drawn()
        adaptive = {"penalty_factors": pg.AdaptiveFactors(), "precision": "float32", "tol": 1e-4}
        assert_within(model(kind=pg.GLMCV, cv=3, **adaptive).fit(X, Y["poisson"]).coef_)

    def test_rows_on_disk_and_sparse_rows(self, tmp_path):
        X, Y = drawn()
        given = {"lambdas": [0.02], "precision": "float32", "tol": 1e-5}
        whole = model(**given).fit(X, Y["poisson"])
        stream = RowStream(X.astype(np.float32), memory=4e5)
        found = model(**given).fit(stream, Y["poisson"])
        assert_within(found.coef_)
        np.testing.assert_allclose(found.coef_, whole.coef_, atol=1e-3)
        kept = np.where(np.abs(X) > 0.5, X, 0)
        sparse, dense = (model(**given).fit(rows, Y["poisson"]) for rows in (csr_matrix(kept), kept))
        assert_within(sparse.coef_)
        np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=1e-3)

    @pytest.mark.parametrize(("penalty", "solver"), [("elastic_net", "adam"), ("sparse_group_lasso", "sgd")])
    def test_first_order_steps(self, penalty, solver):
        X, Y = drawn()
        given = {"penalty": penalty, "lambdas": [0.02], "tol": 1e-4}
        found = model(solver=solver, max_iter=400, **given).fit(X, Y["poisson"])
        assert_within(found.coef_)
        np.testing.assert_allclose(found.coef_, model(**given).fit(X, Y["poisson"]).coef_, atol=0.02)

    def test_a_loss_that_is_not_convex(self):
        """Activity that is Gaussian about exp(η): no force moves a weight that its bounds do not stop."""
        X, Y = drawn()
        y = np.exp(0.6 * Y["gaussian"][:, 0] - 1)
        found = model("gaussian", "ridge", inverse_link="exp", lambdas=[0.02]).fit(X, y)
        assert_within(found.coef_)
        mean = np.exp(X @ found.coef_ + found.intercept_)
        push = -((mean - y) * mean) @ X / len(y) - 0.02 * found.coef_
        stopped = ((found.coef_ == UPPER) & (push > 0)) | ((found.coef_ == LOWER) & (push < 0))
        assert (stopped & (found.coef_ != 0)).any()
        np.testing.assert_allclose(push[~stopped], 0, atol=1e-3)


class TestSeparation:
    """A weight that separates, and is stopped by a bound, is at its best there."""

    @pytest.mark.parametrize("constraints", [{"a": (-3, 3), "b": (-3, 3)}, {"a": (-3, 3)}, {"a": "negative"}])
    def test_where_a_bound_stops_it(self, constraints):
        X, y = separable()
        with warnings.catch_warnings():
            warnings.simplefilter("error", pg.PopglmWarning)
            found = alone("bernoulli", constraints).fit(X, y)
        assert found.coef_[0] == {"negative": 0}.get(constraints["a"], 3)

    def test_of_a_poisson_neuron(self):
        X, y = separable()
        X[:, 0] = y  # a condition without events
        y *= np.arange(len(y)) % 3
        with warnings.catch_warnings():
            warnings.simplefilter("error", pg.PopglmWarning)
            found = alone("poisson", {"a": (-3, 3), "b": (-3, 3)}).fit(X, y)
        assert found.coef_[0] == 3
        with pytest.warns(pg.PopglmWarning, match="no finite weights are best"):
            alone("poisson", {"b": (-3, 3)}).fit(X, y)

    @pytest.mark.parametrize("constraints", [{"a": (-3, None)}, {"a": "positive", "b": (-1, 1)}, {"b": "positive"}])
    def test_where_no_bound_stops_it(self, constraints):
        X, y = separable()
        with pytest.warns(pg.PopglmWarning, match="no finite weights are best"):
            alone("bernoulli", constraints).fit(X, y)


def separable() -> tuple[np.ndarray, np.ndarray]:
    """Two columns (200, 2), and events (200,) wherever the first one is above 0."""
    X = np.random.default_rng(5).normal(size=(200, 2))
    return X, (X[:, 0] > 0) * 1.0


def alone(family: str, constraints: dict) -> pg.GLM:
    return pg.GLM(family, penalty="none", feature_groups=["a", "b"], constraints=constraints)


class TestGoodnessOfFit:
    def test_of_a_neuron_with_all_its_weights_at_bounds(self):
        rng = np.random.default_rng(6)
        X = rng.normal(size=(300, 2))
        Y = rng.poisson(np.exp(X @ [[0.5, 0.0], [0.5, 0.0]])).astype(float)
        found = alone("poisson", {"a": (0, 0.1), "b": (0, 0.1)}).fit(X, Y)
        np.testing.assert_allclose(found.coef_[0], 0.1, rtol=1e-6)
        table = pg.goodness_of_fit(found, X, Y)
        # the intercept is all that is free, and its best value has a closed form
        assert table["degrees_of_freedom"].iloc[0] == 1
        eta = X.sum(axis=1) * 0.1
        eta += np.log(Y[:, 0].sum() / np.exp(eta).sum())
        likely = poisson_density.logpmf(Y[:, 0], np.exp(eta)).sum()
        assert table["log_likelihood"].iloc[0] == pytest.approx(likely, rel=1e-6)
        assert table["aic"].iloc[0] == pytest.approx(2 - 2 * likely, rel=1e-6)


class TestBadInput:
    @pytest.mark.parametrize(
        ("constraints", "said"),
        [
            ({"a": 0.5}, "constraints of group 'a' must be 'positive', 'negative' or a pair (lower, upper); found 0.5"),
            ({"a": (0, 1, 2)}, "or a pair (lower, upper); found (0, 1, 2)"),
            ({"a": {"lower": 0, "upper": 1}}, "or a pair (lower, upper); found {'lower': 0, 'upper': 1}"),
            ({"a": (0.1, 1)}, "constraints of group 'a': the lower bound is 0.1, which leaves no weight of 0"),
            ({"a": (-1, -0.1)}, "the upper bound is -0.1, which leaves no weight of 0"),
            ({"a": (INF, None)}, "the lower bound is inf, which leaves no weight of 0"),
            ({"a": (None, [1, -2, 1])}, "the upper bound is -2"),
            ({"a": (1, -1)}, "constraints of group 'a': the lower bound 1 is above the upper bound -1; swap them"),
            ({"a": (INF, -INF)}, "the lower bound inf is above the upper bound -inf"),
            ({"a": (0, [1, -2, 1])}, "the lower bound 0 is above the upper bound -2"),
            ({"a": [np.nan, 1]}, "the lower bound must be a number, or -inf where there is none; found nan"),
            ({"a": (0, "much")}, "the upper bound must be a number, or inf where there is none; found 'much'"),
            ({"a": (False, 1)}, "the lower bound must be a number, or -inf where there is none; found False"),
            ({"a": [(None, None), (0, None), (0, 1)]}, "all upper bounds, as in ([l1, l2], [u1, u2]) for two columns"),
            (
                {"a": [[-1, 1], [-2, 2], [-3, 3]]},
                "found what may be a pair for each column, [[-1, 1], [-2, 2], [-3, 3]]",
            ),
            (
                {"b": [(None, None), (0, None)]},
                "constraints of group 'b' must have all lower bounds first and then all",
            ),
            ({"b": ((-1, 1), (0, 2))}, "as in ([l1, l2], [u1, u2]) for two columns; found what may be a pair"),
            ({"a": (0, [1, 2])}, "constraints of group 'a' has 2 upper bounds for 3 columns; give one number"),
            ({"a": (0, [[1, 2, 3]])}, "the upper bound must be one number, or a list of one per column"),
            ({"z": (0, 1)}, "constraints names 'z', which is no feature group"),
        ],
    )
    def test_bounds(self, constraints, said):
        X, Y = drawn()
        assert_complaint(said, partial(model(constraints=constraints).fit, X), Y["poisson"])

    @pytest.mark.parametrize("kind", [tuple, list, np.array])
    def test_two_lists_for_two_columns_are_lower_and_upper_bounds(self, kind):
        X, Y = drawn()
        found = model(constraints={"b": kind([[-0.5, 0], [0.25, 1]])}, lambdas=[0.02]).fit(X, Y["poisson"])
        np.testing.assert_array_equal(found.penalty_.bounds[:, 3:5], [[-0.5, 0], [0.25, 1]])

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"smoothness": 0.1}, "constraints need smoothness=0"),
            ({"penalty": "mcp"}, "constraints need a convex penalty"),
            ({"penalty_factors": {"b": 0}}, "constraints of group 'b' need a penalty factor above 0"),
            ({"kind": pg.GLMCV, "relaxed": True}, "relaxed weights know no constraints"),
        ],
    )
    def test_models_without_bounds(self, settings, said):
        X, Y = drawn()
        assert_complaint(said, partial(model(**settings).fit, X), Y["poisson"])

    def test_tests_of_weights(self):
        X, Y = drawn()
        found = model(penalty="none", tol=1e-6).fit(X, Y["poisson"])
        assert_complaint("wald: the model has constraints", partial(pg.wald, found, X), Y["poisson"])
        assert_complaint("the model has constraints, under which", partial(pg.likelihood_ratio, found, X), Y["poisson"])
        chosen = model(kind=pg.GLMCV, cv=3, precision="float32", tol=1e-3).fit(X, Y["poisson"])
        test = partial(pg.significance, chosen, X, trial=np.arange(240) // 20, n_shifts=19)
        assert_complaint("local refits do not know of constraints", lambda Y: test(Y=Y), Y["poisson"])

    def test_norms_of_groups_of_a_wide_sparse_design(self):
        wide = {"feature_groups": [2400], "constraints": {"group0": (0, 1)}, "penalty": "group_lasso"}
        fit = partial(model(**wide).fit, csr_matrix((20, 2400)))
        assert_complaint("norms of groups do not go with constraints", fit, np.arange(20.0))


def test_sizes_of_the_recording():
    # what the tests above take for granted
    assert [LABELS.count(label) for label in "abcd"] == SIZES
    np.testing.assert_array_equal(limits(BOX), [LOWER, UPPER])

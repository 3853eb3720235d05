"""Weights within bounds: scipy's minima, conditions of a minimum by hand, gaps, limits, units and engines."""

import numpy as np
import pytest
from bounded import BOX, INF, LABELS, LOWER, SMALL, UPPER, assert_within, drawn, limits, model
from few_groups import GROUP, SIZES
from scipy.optimize import minimize


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


def test_sizes_of_the_recording():
    # what the tests above take for granted
    assert [LABELS.count(label) for label in "abcd"] == SIZES
    np.testing.assert_array_equal(limits(BOX), [LOWER, UPPER])

"""The split model, against dense matrices and another library's coordinate descent."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet

from popglm import GLM
from popglm.engines import NumpyEngine
from popglm.solve.curvature.compact import Pairs, thin_product
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.step_solvers.splitting import resolvent, split_steps
from popglm.statistics.penalties import Penalty

N_NEURONS, MEMORY, P = 3, 6, 24


def make(n_pairs, strength=0.05, l1_ratio=1.0, seed=0, collinear=False):
    """(model, W, grad, [B per neuron], eigenvectors); pairs come from a matrix that is not cG."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((300, P)) @ rng.standard_normal((P, P)) / np.sqrt(P)
    if collinear:
        X[:, P // 2 :] = X[:, : P // 2] + 1e-3 * X[:, P // 2 :]
    G = X.T @ X / len(X)
    values, vectors = np.linalg.eigh(G)
    c = rng.uniform(0.5, 2, N_NEURONS)
    S, Y = np.zeros((2, N_NEURONS, MEMORY, P))
    matrices = []
    for j in range(N_NEURONS):
        H = (X * rng.gamma(1.0, 1.0, len(X))[:, None]).T @ X / len(X)
        for k in range(n_pairs):
            s = rng.standard_normal(P)
            s /= np.sqrt(s @ H @ s)
            S[j, k % MEMORY], Y[j, k % MEMORY] = s, H @ s
        B = c[j] * G
        for k in range(max(0, n_pairs - MEMORY), n_pairs):
            s, y = S[j, k % MEMORY], Y[j, k % MEMORY]
            B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (y @ s)
        matrices.append(B)
    penalty = Penalty(l1_ratio, 0.0, np.ones(P, int), np.ones(P), None)
    lam = np.full(N_NEURONS, strength)
    model = LocalModel(
        NumpyEngine("float64").product, np.diag(values)[None], values[None], vectors[None], vectors.T.copy()[None],
        np.zeros(N_NEURONS, int), penalty, c, (1 - l1_ratio) * lam, l1_ratio * lam[:, None] * np.ones(P),
        np.arange(N_NEURONS), Pairs(S @ vectors, Y @ vectors, (S @ vectors) * values, np.full(N_NEURONS, n_pairs)),
    )  # fmt: skip
    W = rng.standard_normal((N_NEURONS, P))
    grad = np.stack([B @ rng.normal(0, 0.5, P) for B in matrices])
    return model, W, grad, matrices, vectors


def grad_at(matrices, grad, D):
    """Gradient of the quadratic models after steps D."""
    return grad + np.stack([B @ d for B, d in zip(matrices, D, strict=True)])


def value(B, g, tau, lam2, w, d):
    return g @ d + 0.5 * d @ B @ d + tau @ np.abs(w + d) + 0.5 * lam2 * (w + d) @ (w + d)


def coordinate_descent(B, g, tau, lam2, w):
    """scikit-learn's minimiser: ½‖Lᵀv − t‖² has the Hessian B = LLᵀ and at v = w the gradient g."""
    L = np.linalg.cholesky(B + 1e-12 * np.trace(B) * np.eye(P))
    target = np.linalg.solve(L, B @ w - g)
    strength = tau[0] + lam2
    fit = ElasticNet(strength / P, l1_ratio=tau[0] / strength, fit_intercept=False, tol=1e-14, max_iter=50_000)
    with warnings.catch_warnings():
        # coordinates that depend on each other creep; what they have found is still an upper bound
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit.fit(L.T, target).coef_ - w


@pytest.mark.parametrize("strength", [1e-6, 1e-3, 0.05])
@pytest.mark.parametrize("most", [0.0, 1e6])
def test_a_model_without_a_minimum_tells_of_none_and_leaves_the_others_alone(most, strength):
    sound, W, grad, _, _ = make(3, strength)
    broken = sound.pairs.GS.copy()
    # as if rounding had lost a column of GS: what BFGS takes away along s is more than there is
    broken[1] *= 4.0
    model = replace(sound, pairs=sound.pairs._replace(GS=broken))
    core = resolvent(model, np.full(N_NEURONS, 1e-3))[1]
    assert np.isnan(core[1, :6, :6]).all()
    assert np.isfinite(core[[0, 2]]).all()
    found, expected = (
        split_steps(m, W, grad, np.zeros(N_NEURONS), most=np.full(N_NEURONS, most)) for m in (model, sound)
    )
    assert np.isnan(found[2][1])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[[0, 2]], other[[0, 2]], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_pairs", [0, 1, 4, 6, 15])
def test_products_and_solutions_are_those_of_the_dense_bfgs_matrix(n_pairs):
    model, W, _, matrices, V = make(n_pairs)
    expected = np.stack([B @ w for B, w in zip(matrices, W, strict=True)])
    np.testing.assert_allclose(model.times_B(W @ V) @ V.T, expected, rtol=1e-8, atol=1e-10)
    shift = np.array([0.3, 0.01, 2.0])
    inverse, core = resolvent(model, shift)
    scaled = inverse * (W @ V)
    solved = (scaled + inverse * model.low_rank(core, scaled)) @ V.T
    for B, t, w, x in zip(matrices, shift, W, solved, strict=True):
        np.testing.assert_allclose(x, np.linalg.solve(B + t * np.eye(P), w), rtol=1e-7, atol=1e-9)


@pytest.mark.thorough(keep=7)
@pytest.mark.parametrize("collinear", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("strength", [0.003, 0.05, 1.0])
@pytest.mark.parametrize("n_pairs", [0, 15])
def test_steps_reach_the_minimum_of_the_model(n_pairs, strength, l1_ratio, collinear):
    model, W, grad, matrices, _ = make(n_pairs, strength, l1_ratio, collinear=collinear)
    D, gained, left, rho = split_steps(model, W, grad, np.zeros(N_NEURONS))
    total = D
    for _ in range(30):
        more, _, _, rho = split_steps(model, W + total, grad_at(matrices, grad, total), rho)
        total = total + more
    for j, B in enumerate(matrices):
        args = B, grad[j], model.tau[j], model.lam2[j], W[j]
        exact = coordinate_descent(*args)
        start, best, found, end = (value(*args, d) for d in (np.zeros(P), exact, D[j], total[j]))
        assert found <= start - 0.85 * (start - best)
        assert end <= start - (0.999 if collinear else 0.9999) * (start - best)
        # what is left is said, within a factor
        np.testing.assert_allclose(gained[j], start - found, rtol=1e-8, atol=1e-9 * abs(start))
        assert -1e-9 * start <= left[j] <= 0.1 * (start - best)
        assert found - best <= 5 * left[j] + 1e-3 * (start - best)
        if not collinear:
            assert ((W[j] + total[j] == 0) == (np.abs(W[j] + exact) < 1e-9)).mean() > 0.9


@pytest.mark.parametrize("ridge", [False, True])
@pytest.mark.parametrize("strength", [0.003, 0.05])
@pytest.mark.parametrize("n_pairs", [0, 15])
def test_what_is_left_is_a_bound_where_that_is_asked_for(n_pairs, strength, ridge):
    # columns that nearly are others have directions with a millionth of the variance, far less than ρ
    model, W, grad, matrices, _ = make(n_pairs, strength, collinear=True)
    more = 0.1 * strength * np.random.default_rng(1).random(W.shape) if ridge else np.zeros_like(W)

    def total(j, d):
        return value(matrices[j], grad[j], model.tau[j], 0.0, W[j], d) + 0.5 * more[j] @ (W[j] + d) ** 2

    D, gained, left, rho = split_steps(model, W, grad, np.zeros(N_NEURONS), more, most=np.full(N_NEURONS, np.inf))
    end = D
    for _ in range(100):
        step, *_, rho = split_steps(model, W + end, grad_at(matrices, grad, end), rho, more)
        end = end + step
    for j in range(N_NEURONS):
        np.testing.assert_allclose(gained[j], total(j, np.zeros(P)) - total(j, D[j]), rtol=1e-8)
        assert total(j, D[j]) - total(j, end[j]) <= left[j] * (1 + 1e-6)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("n_pairs", [0, 15])
def test_steps_within_bounds_reach_the_minimum_there(n_pairs, l1_ratio):
    model, W, grad, matrices, _ = make(n_pairs, 0.05, l1_ratio)
    rng = np.random.default_rng(4)
    lower, upper = -rng.uniform(0.01, 0.3, W.shape), rng.uniform(0.01, 0.3, W.shape)
    lower[:, ::3], upper[:, 1::3], lower[:, 2] = -np.inf, np.inf, 0
    model.lower, model.upper = lower, upper
    W = np.clip(W, lower, upper)
    D, gained, left, rho = split_steps(model, W, grad, np.zeros(N_NEURONS), most=np.full(N_NEURONS, np.inf))
    total = D
    for _ in range(60):
        more, _, _, rho = split_steps(model, W + total, grad_at(matrices, grad, total), rho)
        total = total + more
    for j, B in enumerate(matrices):
        start, found = (value(B, grad[j], model.tau[j], model.lam2[j], W[j], d) for d in (np.zeros(P), D[j]))
        np.testing.assert_allclose(gained[j], start - found, rtol=1e-8)

        def both(at, j=j, B=B):
            # a weight as the difference of two that are not negative
            w = at[:P] - at[P:]
            smooth = grad[j] + B @ (w - W[j]) + model.lam2[j] * w
            rest = model.tau[j] @ (at[:P] + at[P:])
            value = (w - W[j]) @ (grad[j] + B @ (w - W[j]) / 2) + model.lam2[j] / 2 * w @ w
            return value + rest, np.concatenate([smooth + model.tau[j], -smooth + model.tau[j]])

        sides = [(0, u) for u in upper[j]] + [(0, -low) for low in lower[j]]
        tight = {"ftol": 1e-16, "gtol": 1e-10, "maxiter": 10_000}
        best = minimize(both, np.zeros(2 * P), jac=True, bounds=sides, method="L-BFGS-B", options=tight)
        end = W[j] + total[j]
        assert ((end >= lower[j] - 1e-15) & (end <= upper[j] + 1e-15)).all()
        np.testing.assert_allclose(end, best.x[:P] - best.x[P:], atol=1e-4)
        assert found - best.fun <= left[j] * (1 + 1e-6)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_a_minimum_is_left_alone(l1_ratio):
    model, W, grad, matrices, _ = make(4, l1_ratio=l1_ratio)
    rho = np.zeros(N_NEURONS)
    for _ in range(20):
        D, gained, left, rho = split_steps(model, W, grad, rho)
        W, grad = W + D, grad_at(matrices, grad, D)
    assert np.abs(D).max() < 1e-6 * np.abs(W).max()
    assert (gained + left < 1e-12).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 7, 5), (6, 16, 16), (3, 29, 1)])
def test_a_product_of_few_rows_is_the_product(shape, dtype):
    rng = np.random.default_rng(0)
    n, p, m = shape
    A, M = rng.normal(size=(n, p)).astype(dtype), rng.normal(size=(p, m)).astype(dtype)
    found = thin_product(A, M)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, A @ M, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


def test_steps_are_the_same_with_products_of_few_rows():
    model, W, grad, _, _ = make(6)
    expected = split_steps(model, W, grad, np.zeros(N_NEURONS))
    found = split_steps(replace(model, product=thin_product), W, grad, np.zeros(N_NEURONS))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-10)


def test_a_neuron_s_step_does_not_depend_on_its_company():
    model, W, grad, _, _ = make(4)
    D, *_ = split_steps(model, W, grad, np.zeros(N_NEURONS))
    one = np.array([1])
    single, *_ = split_steps(model.take(one), W[one], grad[one], np.zeros(1))
    np.testing.assert_array_equal(D[one], single)


def test_pairs_that_overflowed_are_seen_and_spoil_no_other_neuron():
    model, W, grad, _, _ = make(4)
    expected, *_ = split_steps(model, W, grad, np.zeros(N_NEURONS))
    model.pairs.Y[1, 2] = np.inf
    model = replace(model, middle=None)
    with np.errstate(all="ignore"):
        D, gained, left, _ = split_steps(model, W, grad, np.zeros(N_NEURONS))
    usable = np.isfinite(D).all(axis=1) & ~np.isnan(gained + left)
    assert usable.tolist() == [True, False, True]
    np.testing.assert_array_equal(D[usable], expected[usable])


def test_directions_without_variance_do_not_blow_up_in_float32():
    """Columns that are sums of others, at a strength that hardly binds: ρ would fall with it."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 12))
    X = np.hstack([base, base @ rng.normal(size=(12, 48))])
    Y = base @ rng.normal(size=(12, 5)) + rng.normal(size=(400, 5))
    fits = [
        GLM(family="gaussian", penalty="lasso", lambdas=10.0 ** np.linspace(-1, -7, 13), precision=precision).fit(X, Y)
        for precision in ("float32", "float64")
    ]
    assert fits[0].gap_.max() <= 1e-4
    np.testing.assert_allclose(fits[0].loss_path_, fits[1].loss_path_, atol=1e-4)

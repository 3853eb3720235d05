"""Newton steps on the penalised model, against dense matrices and proximal gradients."""

from dataclasses import replace

import numpy as np
import pytest

from popglm.engines import NumpyEngine
from popglm.solve.curvature.compact import Pairs
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.step_solvers.newton import newton_steps, precondition
from popglm.statistics.penalties import Penalty

N_NEURONS, MEMORY = 3, 6
SIZES = np.array([8] * 5 + [1, 1, 6])
P = SIZES.sum()
BLOCK = np.repeat(np.arange(len(SIZES)), SIZES)


def make(n_pairs, l1_ratio=1.0, strength=0.02, seed=0):
    """(model, W, grad, [B per neuron]); pairs come from a matrix that is not cG, so that they matter."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((400, P)) @ rng.standard_normal((P, P)) / np.sqrt(P)
    G = X.T @ X / len(X)
    c = rng.uniform(0.5, 2, N_NEURONS)
    S, Y = np.zeros((2, N_NEURONS, MEMORY, P))
    matrices = []
    for j in range(N_NEURONS):
        H = (X * rng.gamma(1.0, 1.0, len(X))[:, None]).T @ X / len(X)
        B = c[j] * G
        for k in range(n_pairs):
            s = rng.standard_normal(P)
            s /= np.sqrt(s @ H @ s)
            S[j, k % MEMORY], Y[j, k % MEMORY] = s, H @ s
        for k in range(max(0, n_pairs - MEMORY), n_pairs):
            s, y = S[j, k % MEMORY], Y[j, k % MEMORY]
            B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (y @ s)
        matrices.append(B)
    penalty = Penalty(l1_ratio, 0.0, SIZES, np.sqrt(SIZES), None)
    values, vectors = np.linalg.eigh(G)
    lam = np.full(N_NEURONS, strength)
    model = LocalModel(
        NumpyEngine("float64").product, G[None], values[None], vectors[None], vectors.T.copy()[None],
        np.zeros(N_NEURONS, int), penalty, c, (1 - l1_ratio) * lam,
        l1_ratio * lam[:, None] * penalty.block_weights, np.arange(N_NEURONS),
        Pairs(S, Y, S @ G, np.full(N_NEURONS, n_pairs)),
    )  # fmt: skip
    W = rng.standard_normal((N_NEURONS, P))
    # a minimum of the smooth part that is as near as one step along a path takes it
    grad = np.stack([B @ rng.normal(0, 0.5, P) for B in matrices])
    return model, W, grad, matrices


def value(B, g, tau, lam2, w, d):
    norms = np.sqrt(np.bincount(BLOCK, (w + d) ** 2))
    return g @ d + 0.5 * d @ B @ d + tau @ norms + 0.5 * lam2 * (w + d) @ (w + d)


def proximal_gradient(B, g, tau, lam2, w):
    """The minimiser, by accelerated proximal gradient steps until they stand still, or 20,000."""
    step = 1 / (np.linalg.eigvalsh(B)[-1] + lam2)
    d, k = np.zeros(P), 0
    momentum = d
    for _ in range(20_000):
        z = w + momentum - step * (g + B @ momentum + lam2 * (w + momentum))
        norms = np.sqrt(np.bincount(BLOCK, z**2))
        new = (z * np.maximum(1 - step * tau / np.maximum(norms, 1e-300), 0)[BLOCK]) - w
        # momentum that points uphill is given up (O'Donoghue & Candès 2015)
        k = 0 if (momentum - new) @ (new - d) > 0 else k + 1
        momentum = new + k / (k + 3) * (new - d)
        still = np.abs(new - d).max() <= 1e-14 * np.abs(new).max() and np.abs(momentum - d).max() <= 1e-13
        d = new
        if still:
            break
    return d


@pytest.mark.parametrize("n_pairs", [0, 1, 4, 6, 15])
def test_products_with_the_compact_form_are_those_with_the_dense_bfgs_matrix(n_pairs):
    model, W, _, matrices = make(n_pairs)
    expected = np.stack([B @ w for B, w in zip(matrices, W, strict=True)])
    np.testing.assert_allclose(model.times_B(W), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_pairs", [0, 4, 15])
def test_the_preconditioner_inverts_the_model_without_a_penalty(n_pairs):
    model, W, _, matrices = make(n_pairs)
    found = precondition(model, W, np.zeros(N_NEURONS))
    np.testing.assert_allclose(found, [np.linalg.solve(B, w) for B, w in zip(matrices, W, strict=True)], rtol=1e-6)


@pytest.mark.parametrize(
    ("n_pairs", "strength", "l1_ratio"),
    [(0, 0.002, 1.0), (15, 0.002, 0.6), (0, 0.02, 0.6), (15, 0.02, 1.0), (0, 0.3, 0.6), (15, 0.3, 1.0)],
)
def test_steps_reach_the_minimum_of_the_model(n_pairs, strength, l1_ratio):
    model, W, grad, matrices = make(n_pairs, l1_ratio, strength)
    W[:, :8] = 0  # a block that comes in, at least at weak strengths
    D, slope, left = newton_steps(model, W, grad)
    for j, B in enumerate(matrices):
        args = B, grad[j], model.tau[j], model.lam2[j], W[j]
        start, best, found = (value(*args, d) for d in (np.zeros(P), proximal_gradient(*args), D[j]))
        assert found <= start - 0.95 * (start - best)
        np.testing.assert_allclose(slope[j], grad[j] + B @ D[j], rtol=1e-7, atol=1e-8)
        # what is left is said, within a factor
        assert found - best <= 3 * left[j] + 1e-3 * (start - best)


def test_what_is_left_counts_a_block_at_zero_that_wants_to_leave():
    model, W, grad, matrices = make(4)
    W[:, :8] = 0
    # stationary, but for the first block
    norms = model.penalty.block_norms(W)
    grad[:] = (-model.tau / np.maximum(norms, 1e-300))[:, BLOCK] * W
    grad[:, 0] = 1.1 * model.tau[:, 0]
    _, _, left = newton_steps(model, W, grad, max_steps=0, n_sweeps=0)
    for j, B in enumerate(matrices):
        args = B, grad[j], model.tau[j], model.lam2[j], W[j]
        decrease = value(*args, np.zeros(P)) - value(*args, proximal_gradient(*args))
        assert 0 < decrease <= left[j] <= 20 * decrease


def test_a_neuron_s_step_does_not_depend_on_its_company():
    model, W, grad, _ = make(4)
    D, slope, left = newton_steps(model, W, grad)
    alone = newton_steps(model.take(np.array([1])), W[1:2], grad[1:2])
    for together, single in zip((D, slope, left), alone, strict=True):
        np.testing.assert_array_equal(together[1:2], single)


@pytest.mark.parametrize("strength", [0.002, 0.05])
def test_neurons_with_different_gram_matrices_step_as_they_do_alone(strength):
    # of the third model one neuron alone
    each = [make(n_pairs, strength=strength, seed=seed) for seed, n_pairs in enumerate((4, 2, 7))]
    each[2] = each[2][0].take(slice(1, 2)), *(a[1:2] for a in each[2][1:3])
    models, W, grad = ([one[i] for one in each] for i in range(3))
    first = np.cumsum([0, *(len(model.pairs.kept) for model in models)])

    def stacked(name):
        return np.concatenate([getattr(model, name) for model in models])

    joined = replace(
        models[0],
        G=[model.G[0] for model in models],
        values=stacked("values"),
        vectors=[model.vectors[0] for model in models],
        transposed=[model.transposed[0] for model in models],
        slots=np.repeat(np.arange(3), [len(w) for w in W]),
        pairs=Pairs(*(np.concatenate(arrays) for arrays in zip(*(model.pairs for model in models), strict=True))),
        rows=np.concatenate([model.rows + at for model, at in zip(models, first[:-1], strict=True)]),
        **{name: stacked(name) for name in ("c", "lam2", "tau", "lower", "upper", "K", "middle")},
    )
    found = newton_steps(joined, np.concatenate(W), np.concatenate(grad))
    alone = zip(*(newton_steps(*one[:3]) for one in each), strict=True)
    for together, parts in zip(found, alone, strict=True):
        np.testing.assert_array_equal(together, np.concatenate(parts))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_pairs_that_overflowed_are_seen_and_spoil_no_other_neuron(value):
    model, W, grad, _ = make(4)
    expected, _, _ = newton_steps(model, W, grad)
    Y = model.pairs.Y.copy()
    Y[1, 2] = value
    broken = replace(model, pairs=model.pairs._replace(Y=Y), middle=None)
    with np.errstate(invalid="ignore"):
        D, _, left = newton_steps(broken, W, grad)
    usable = np.isfinite(D).all(axis=1) & ~np.isnan(left)
    assert usable.tolist() == [True, False, True]
    np.testing.assert_array_equal(D[usable], expected[usable])

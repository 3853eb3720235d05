"""Fits whose problems walk in one batch end with the bits that each has by itself."""

import numpy as np
import pytest
from begun import begun
from quadratics import MEMORY, curvature

from popglm.engines import NumpyEngine, get_engine
from popglm.solve.curvature.compact import inverse_middles, middles
from popglm.solve.curvature.curvature_memory import CurvatureMemory, plain_step
from popglm.solve.fits.rows import evaluate_fits
from popglm.solve.local_models.given_models import GivenModels
from popglm.solve.local_models.own import OwnModels
from popglm.solve.local_models.rotated import RotatedModel
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.samples import FitData, Samples
from popglm.solve.population import Settings, fit_population
from popglm.solve.walk.joined import join
from popglm.solve.walk.rounds import Course, walk_paths
from popglm.statistics.concave import ConcavePenalty
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

SIZES, Q, N = np.array([3, 1, 4]), 4, 600
P = int(SIZES.sum())
PARTS = [[(0, N)], [(200, N)], [(0, 200), (400, N)], [(0, 400)]]


def rows(family="poisson", precision="float32"):
    """Neurons whose events crowd, so that some get a model of their own."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, P)) * np.where(rng.random((N, P)) < 0.1, 3, 0.5)
    mean = np.exp(np.minimum(X @ rng.normal(0, 0.7, (P, Q)) - 1, 3))
    Y = {
        "poisson": rng.poisson(mean),
        "bernoulli": rng.random((N, Q)) < mean / (1 + mean),
        "negative_binomial": rng.negative_binomial(1.5, 1.5 / (1.5 + mean)),
        "censored_gaussian": np.maximum(mean + rng.standard_normal((N, Q)) - 1, 0),
    }[family]
    X, Y = ((a - 0.0).astype(precision) for a in (X - X.mean(axis=0), Y.T.astype(float)))
    return RowObjective(NumpyEngine(precision), get_family(family), Samples(X, np.ascontiguousarray(Y)), PARTS)


def penalty_of(name):
    if name == "group_mcp":
        return ConcavePenalty.of_kind(name, None, 0.0, SIZES)
    factors = np.array([0.0, 1, 2]) if name == "group_lasso, free" else None
    return Penalty.make(name.partition(",")[0], None, 0.0, SIZES, factors)


def walked(objective, penalty, arrange):
    fits = arrange(begun(objective, penalty))
    lambdas = np.repeat(10.0 ** -np.arange(0.5, 4)[:, None], Q, axis=1)
    with objective.engine.session():
        return fits, walk_paths(fits, evaluate_fits, Course(lambdas, 1e-6, 100))


@pytest.mark.parametrize(
    ("family", "penalty"),
    [
        ("poisson", "group_lasso"),
        ("poisson", "lasso"),
        ("poisson", "ridge"),
        ("poisson", "none"),
        ("poisson", "group_lasso, free"),
        ("bernoulli", "group_mcp"),
        ("negative_binomial", "group_lasso"),
        ("censored_gaussian", "elastic_net"),
    ],
)
def test_joined_fits_end_with_the_bits_of_single_ones(family, penalty):
    objective, terms = rows(family), penalty_of(penalty)
    single, alone = walked(objective, terms, list)
    joint, together = walked(rows(family), terms, join)
    assert (len(single), len(joint), len(alone), len(together)) == (4, 1, 4, 4)
    assert max(path.n_iter.max() for path in alone) > 1
    for one, other in zip(alone, together, strict=True):
        for name in ("W", "b", "gap", "objective", "parameters", "n_iter"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
        assert one.trace == other.trace


@pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "ridge", "none"])
def test_gaussian_folds_are_those_of_fits_to_their_rows(penalty):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N, P))
    Y = X @ rng.normal(0, 0.5, (P, Q)) + rng.standard_normal((N, Q))
    tests = [np.arange(i * 200, (i + 1) * 200) for i in range(3)]
    splits = [(np.setdiff1d(np.arange(N), test), test) for test in tests]
    engine = get_engine("numpy", None, "float64", [])
    terms = Penalty.make(penalty, None, 0.0, SIZES)
    lambdas = np.zeros((1, Q)) if penalty == "none" else np.repeat(10.0 ** -np.arange(4)[:, None], Q, axis=1)
    settings = Settings(get_family("gaussian"), terms, lambdas, tol=1e-10)
    with engine.session():
        found = fit_population(FitData(engine, X, Y, None, None, splits), settings)
        for (train, _), coef, gap in zip(splits, found.cv_coef, found.cv_gap, strict=True):
            alone = fit_population(FitData(engine, X[train], Y[train], None, None, []), settings)
            np.testing.assert_allclose(coef, alone.coef, atol=1e-4)
            assert max(gap.max(), alone.gap.max()) <= 1e-10


def test_fits_whose_smoothness_is_in_axes_of_their_own_stay_apart():
    fits = begun(rows(), Penalty.make("group_lasso", None, 0.1, SIZES))
    assert join(fits) == fits


def test_joined_fits_are_given_the_models_of_each():
    fits, given = begun(rows(), penalty_of("group_lasso")), GivenModels.empty(4, Q, SIZES)
    roots = np.random.default_rng(2).standard_normal((2, 30, P))
    given.put(2, np.array([1, 3]), np.einsum("ntp,ntq->npq", roots, roots))
    coordinates = [fit.objective.coordinates for fit in fits]
    given.give(fits, coordinates)
    (joint,) = join(begun(rows(), penalty_of("group_lasso")))
    given.give([joint], coordinates)
    assert np.flatnonzero(joint.together.has(np.arange(4 * Q))).tolist() == [2 * Q + 1, 2 * Q + 3]
    for neuron in (1, 3):
        own, theirs = joint.together.slot[2 * Q + neuron], fits[2].together.slot[neuron]
        np.testing.assert_array_equal(joint.together.G[own], fits[2].together.G[theirs])
        np.testing.assert_array_equal(joint.together.V[own], fits[2].together.V[theirs])


def test_no_fit_takes_the_room_for_models_of_another():
    shared = [fit.model for fit in begun(rows(), penalty_of("group_lasso"))]
    models = OwnModels(shared[0], 4 * Q, 2.5 * 4 * P**2, shared)
    first = np.arange(Q)
    assert models.make_room(first).sum() == 2
    assert models.make_room(first + 2 * Q).sum() == 2
    models.drop(first)
    assert models.make_room(first[::-1]).sum() == 2
    assert len(set(models.slot[models.slot >= 0])) == 4


def test_no_fit_takes_the_room_of_another_where_models_are_single_ones(monkeypatch):
    monkeypatch.setattr("popglm.solve.local_models.rotated.SINGLE_BYTES", 2.5 * RotatedModel.n_bytes(P))
    (joined,) = join(begun(rows(), penalty_of("group_lasso")))
    joined.together = None
    joined.give_own_models(np.arange(4 * Q))
    assert sorted(joined.own) == [fold * Q + k for fold in range(4) for k in range(2)]


def test_pairs_of_joined_fits_have_what_those_of_single_ones_have():
    for name in ("ridge", "group_lasso"):
        single = begun(rows(), penalty_of(name))
        (joined,) = join(single)
        shapes = [[array.shape[1:] for array in one.memory.pairs] for one in (joined, single[0])]
        assert shapes[0] == shapes[1]


def memory_of(rng, G, c, n_pairs):
    """Curvature pairs of two neurons of which the second has none, in float64."""
    S, Y, _ = curvature(rng, G, c, n_pairs)
    memory = CurvatureMemory(2, MEMORY, len(G), np.dtype(float))
    unit = 1 / np.sqrt(np.maximum(np.einsum("ij,ij->i", S, Y), 1e-300))[:, None] * (np.abs(S).sum(axis=1) > 0)[:, None]
    memory.pairs.S[0], memory.pairs.Y[0], memory.pairs.GS[0] = S * unit, Y * unit, S * unit @ G
    memory.pairs.kept[0] = n_pairs
    return memory


@pytest.mark.parametrize("n_pairs", [1, 3, 4, 7])
def test_small_inverses_are_those_of_lapack(n_pairs):
    rng = np.random.default_rng(3)
    root = rng.standard_normal((40, P))
    memory = memory_of(rng, root.T @ root / 40, 0.7, n_pairs)
    held, given = min(n_pairs, MEMORY), (np.array([0.7, 0.7]), np.arange(2), memory.pairs)
    K, diagonal = middles(*given), rng.uniform(0.1, 1, (2, P))
    Q_rows = np.concatenate([0.7 * memory.pairs.GS[0, :held], memory.pairs.Y[0, :held]])
    for found, inner in (
        (inverse_middles(*given, K, np.zeros((2, 0))), K[0, : 2 * held, : 2 * held]),
        (inverse_middles(*given, K, diagonal), K[0, : 2 * held, : 2 * held] - (Q_rows * diagonal[0]) @ Q_rows.T),
    ):
        np.testing.assert_allclose(found[0, : 2 * held, : 2 * held], np.linalg.inv(inner), rtol=1e-8, atol=1e-10)
        assert not found[1].any()
    # what is singular, or not a number, has no inverse that could pass for one
    for wrong in (0.0, np.nan, np.inf):
        broken = K.copy()
        broken[0, :, held] = broken[0, held] = wrong
        assert not np.isfinite(inverse_middles(*given, broken, np.zeros((2, 0)))[0, : 2 * held, : 2 * held]).all()


@pytest.mark.parametrize("smoothness", [0.0, 0.3])
@pytest.mark.parametrize("n_pairs", [0, 2, 7])
def test_steps_without_a_norm_are_newtons_of_the_dense_matrix(n_pairs, smoothness):
    rng, lam2, c = np.random.default_rng(4), np.array([0.2, 0.2]), 0.7
    root = rng.standard_normal((40, P))
    penalty, G = Penalty.make("ridge", None, smoothness, SIZES), root.T @ root / 40
    memory = memory_of(rng, G, c, n_pairs)
    more = 0.2 * np.eye(P) + (smoothness * penalty.R if smoothness else 0)
    start, gradient = c * G + more, rng.standard_normal((2, P))
    d, promise = plain_step(
        penalty, memory, np.arange(2), gradient, lam2, lambda r: np.linalg.solve(start, r.T).T.copy()
    )
    # the loops invert the update of the whole metric by pairs that have the penalty's share
    whole = start
    pairs = [(memory.pairs.S[0, i % MEMORY], memory.pairs.Y[0, i % MEMORY]) for i in range(n_pairs)][-MEMORY:]
    for s, y in pairs:
        y = y + more @ s
        whole = whole - np.outer(whole @ s, whole @ s) / (s @ whole @ s) + np.outer(y, y) / (y @ s)
    expected = np.stack([-np.linalg.solve(whole, gradient[0]), -np.linalg.solve(start, gradient[1])])
    np.testing.assert_allclose(d, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(promise, -0.5 * np.einsum("ij,ij->i", d, gradient), rtol=1e-12)

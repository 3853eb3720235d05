"""Models around the axes of problems' own Gram matrices, many in one call."""

import numpy as np
import pytest

from popglm.engines import NumpyEngine
from popglm.solve.local_models.own_spectra import OwnSpectra
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.statistics.penalties import Penalty

P, Q = 7, 5
STRENGTHS = np.array([0.02, 0.1, 0.3, 0.1, 0.05])
CURVATURES = np.array([1.0, 0.5, 2.0, 1.5, 0.7])


def problems_of(seed=0):
    """Gram matrices of collinear columns in units far apart, and the gradients at rest."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(Q, 60, P)) @ rng.normal(size=(P, P)) * np.array([1, 1, 0.1, 1, 10, 1, 1])
    G = np.einsum("qti,qtj->qij", roots, roots) / 60
    return G, np.einsum("qij,qj->qi", G, rng.normal(size=(Q, P)))


def models_of(engine, penalty, G, n_bytes=1e9):
    """The models, a memory without pairs, and the places of all problems."""
    shared = QuadraticModel(engine, G.mean(axis=0), penalty)
    own, memory = OwnSpectra(shared, Q, n_bytes), shared.memory(Q)
    problems = np.arange(Q)
    problems = problems[own.make_room(problems)]
    own.put(problems, G[problems])
    return own, memory, problems


def minimisers(own, memory, problems, G, grad, lam, times=60):
    """Where repeated steps lead, each from the gradient of the quadratic there; and the last promises."""
    d, c = np.zeros((len(problems), P)), CURVATURES[problems]
    for _ in range(times):
        slope = grad[problems] + c[:, None] * np.einsum("qij,qj->qi", G[problems], d)
        step, promise = own.step(memory, problems, d, slope, c, lam[problems])
        before, d = slope, d + step
        after = grad[problems] + c[:, None] * np.einsum("qij,qj->qi", G[problems], d)
        own.remember(memory, problems, step, after - before)
    return d, promise


@pytest.mark.parametrize("lam", [STRENGTHS, np.where(np.arange(Q) == 2, 0.0, STRENGTHS)], ids=["penalised", "one free"])
def test_a_ridge_ends_where_the_normal_equations_say(lam):
    G, grad = problems_of()
    engine = NumpyEngine("float64")
    with engine.session():
        found, promise = minimisers(
            *models_of(engine, Penalty.make("ridge", None, 0.0, np.ones(P, int)), G), G, grad, lam
        )
    for j in range(Q):
        expected = -np.linalg.solve(CURVATURES[j] * G[j] + lam[j] * np.eye(P), grad[j])
        np.testing.assert_allclose(found[j], expected, rtol=1e-6, atol=1e-9)
    assert (promise < 1e-12).all()


@pytest.mark.parametrize(("penalty", "ratio"), [("lasso", None), ("elastic_net", 0.5)])
def test_norms_of_single_weights_end_where_their_subgradients_balance(penalty, ratio):
    G, grad = problems_of()
    terms = Penalty.make(penalty, ratio, 0.0, np.ones(P, int))
    engine = NumpyEngine("float64")
    with engine.session():
        found, promise = minimisers(*models_of(engine, terms, G), G, grad, STRENGTHS)
    assert (promise < 1e-9).all()
    assert (found == 0).any()
    assert (found != 0).any(axis=1).all()
    share = 1.0 if ratio is None else ratio
    for d, g, matrix, c, lam in zip(found, grad, G, CURVATURES, STRENGTHS, strict=True):
        slope = g + c * matrix @ d + (1 - share) * lam * d
        used = d != 0
        np.testing.assert_allclose(slope[used], -share * lam * np.sign(d[used]), atol=1e-4 * lam)
        assert (np.abs(slope[~used]) <= share * lam * (1 + 1e-6)).all()


def test_a_model_that_is_the_only_one():
    G, grad = problems_of()
    terms = Penalty.make("lasso", None, 0.0, np.ones(P, int))
    engine = NumpyEngine("float64")
    with engine.session():
        many, _ = minimisers(*models_of(engine, terms, G), G, grad, STRENGTHS)
        own, memory, problems = models_of(engine, terms, G, n_bytes=8 * P**2)
        assert problems.tolist() == [0]
        found, _ = minimisers(own, memory, problems, G, grad, STRENGTHS)
    np.testing.assert_allclose(found[0], many[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
def test_a_step_does_not_depend_on_the_problems_beside_it(penalty):
    G, grad = problems_of()
    terms = Penalty.make(penalty, None, 0.0, np.ones(P, int))
    engine = NumpyEngine("float64")
    with engine.session():
        own, memory, problems = models_of(engine, terms, G)
        minimisers(own, memory, problems, G, grad, STRENGTHS, times=3)
        W = np.zeros((Q, P))
        memory.rho[:] = 0
        expected, promised = own.step(memory, problems, W, grad, CURVATURES, STRENGTHS)
        memory.rho[:] = 0
        for j in problems:
            at = np.array([j])
            found, promise = own.step(memory, at, W[at], grad[at], CURVATURES[at], STRENGTHS[at])
            np.testing.assert_allclose(found[0], expected[j], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(promise[0], promised[j], rtol=1e-6)


def test_problems_beyond_the_memory_have_none_until_others_let_go():
    G, _ = problems_of()
    terms = Penalty.make("lasso", None, 0.0, np.ones(P, int))
    engine = NumpyEngine("float64")
    with engine.session():
        own, _, problems = models_of(engine, terms, G, n_bytes=2 * 8 * P**2)
        assert problems.tolist() == [0, 1]
        own.drop(np.array([0]))
        assert own.make_room(np.arange(2, Q)).tolist() == [True, False, False]
        assert own.has(np.arange(Q)).tolist() == [False, True, True, False, False]

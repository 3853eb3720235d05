"""Models that are given before a fit begins stand in its coordinates, as those that it makes itself."""

import numpy as np
import pytest
from begun import begun
from scipy.linalg import block_diag

from popglm.engines.numpy_engine import NumpyEngine
from popglm.solve.local_models.given_models import GivenModels
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.samples import Samples
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

SIZES = np.array([3, 1, 2])


@pytest.fixture(scope="module")
def fits():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)) @ (np.eye(6) + 0.4 * rng.normal(size=(6, 6)))
    X -= X.mean(axis=0)
    Y = rng.poisson(1.0, (4, 300)).astype(float)
    Y[2] = 0
    rows = RowObjective(NumpyEngine("float64"), get_family("poisson"), Samples(X, Y), [[(0, 200)], [(100, 300)]])
    return begun(rows, Penalty.make("group_lasso", None, 0.0, SIZES))


def covariances(n, p, seed=0):
    A = np.random.default_rng(seed).normal(size=(n, 2 * p, p))
    return A.transpose(0, 2, 1) @ A


def in_solver_columns(fit, problem):
    """The model of a problem, of the axes of its own."""
    slot = fit.together.slot[problem]
    axes = np.split(fit.together.V[slot].astype(float), np.cumsum(SIZES**2)[:-1])
    V = block_diag(*(own.reshape(size, size) for own, size in zip(axes, SIZES, strict=True)))
    return V @ fit.together.G[slot] @ V.T


def test_every_problem_has_its_own_in_the_coordinates_of_its_fit(fits):
    given, C = GivenModels.empty(2, 4, SIZES), [covariances(4, 6, seed) for seed in range(2)]
    for number in range(2):
        given.put(number, np.array([3, 0, 2]), C[number][[3, 0, 2]])
    given.give(fits, [fit.objective.coordinates for fit in fits])
    for number, fit in enumerate(fits):
        # 1 has none, and 2 is silent and not fitted
        assert fit.together.has(np.arange(4)).tolist() == [True, False, False, True]
        for problem in (0, 3):
            expected = fit.objective.coordinates.rotate_matrix(C[number][problem])
            np.testing.assert_allclose(in_solver_columns(fit, problem), expected, atol=1e-4)


def test_some_neurons_and_some_blocks():
    given, C = GivenModels.empty(1, 3, SIZES), covariances(3, 6)
    given.put(0, np.arange(3), C)
    columns = np.array([0, 1, 2, 4, 5])
    part = given.of(np.array([2, 0])).of_blocks(np.array([0, 2]), columns)
    assert [own.shape[-1] for own in part.axes] == [3, 2]
    axes = np.zeros((5, 5))
    axes[:3, :3], axes[3:, 3:] = part.axes[0][0, 0], part.axes[1][0, 0]
    np.testing.assert_allclose(axes @ part.G[0, 0] @ axes.T, C[2][np.ix_(columns, columns)], atol=1e-4)


def test_what_is_not_finite_is_left_out_and_what_is_not_definite_is_raised():
    given, C = GivenModels.empty(1, 3, SIZES), covariances(3, 6)
    C[1, 2, 3] = np.nan
    C[2] -= (np.linalg.eigvalsh(C[2])[0] + 0.01) * np.eye(6)
    given.put(0, np.arange(3), C)
    assert given.known.tolist() == [[True, False, True]]
    assert np.linalg.eigvalsh(C[2])[0] < -0.009
    assert np.linalg.eigvalsh(given.G[0, 2].astype(float))[0] > -1e-4


def test_neurons_share_a_model_until_they_get_one_of_their_own():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 6))
    Y = rng.poisson(1.0, (4, 300)).astype(float)
    rows = RowObjective(NumpyEngine("float64"), get_family("poisson"), Samples(X - X.mean(axis=0), Y), [[(0, 300)]])
    (fit,) = begun(rows, Penalty.make("group_lasso", None, 0.0, SIZES))
    given, C = GivenModels.empty(1, 2, SIZES), covariances(2, 6)
    given.put(0, np.arange(2), C)
    given.of(np.array([1, 0, 1, 1])).give([fit], [fit.objective.coordinates])
    models, everyone = fit.together, np.arange(4)
    assert models.slot[0] == models.slot[2] == models.slot[3] != models.slot[1]
    assert sorted(models.users.tolist())[-2:] == [1, 3]
    for problem, model in enumerate([1, 0, 1, 1]):
        expected = fit.objective.coordinates.rotate_matrix(C[model])
        np.testing.assert_allclose(in_solver_columns(fit, problem), expected, atol=1e-4)
    # there is room for one each: what one writes the others do not see
    assert models.make_room(np.array([2, 1])).tolist() == [True, True]
    models.put(np.array([2]), 3.0 * np.eye(6)[None])
    np.testing.assert_allclose(in_solver_columns(fit, 2), 3.0 * np.eye(6), atol=1e-6)
    for problem in (0, 3):
        expected = fit.objective.coordinates.rotate_matrix(C[1])
        np.testing.assert_allclose(in_solver_columns(fit, problem), expected, atol=1e-4)
    models.drop(everyone)
    assert not models.users.any()
    assert models.make_room(everyone).all()
    assert len(set(models.slot)) == 4

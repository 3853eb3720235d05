"""Anderson's extrapolation on linear maps, where it is a Krylov method, and where there is nothing to extrapolate."""

import numpy as np
import pytest

from popglm.solve.compiled.compiling import for_python
from popglm.solve.step_solvers import extrapolation
from popglm.solve.step_solvers.extrapolation import MEMORY, empty_past

extrapolate = for_python(extrapolation.extrapolate)


def iterate(F, v, n_times, extrapolated=True):
    past = [a[0] for a in empty_past(1, len(v), v.dtype)]
    v, errors = v.copy(), []
    for held in range(n_times):
        mapped = F(v)
        errors.append(np.linalg.norm(mapped - v))
        extrapolate(v, mapped, past[0], past[1], held, extrapolated)
    return v, np.array(errors)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_linear_map_with_few_eigenvalues_is_solved_in_as_many_steps(dtype):
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    M = Q @ np.diag(rng.choice([0.2, 0.5, 0.8], 40)) @ Q.T
    shift = rng.normal(size=40)
    exact = np.linalg.solve(np.eye(40) - M, shift)
    v, _ = iterate(lambda v: (M @ v + shift).astype(dtype), np.zeros(40, dtype), 2 + MEMORY + 3)
    plain, _ = iterate(lambda v: (M @ v + shift).astype(dtype), np.zeros(40, dtype), 2 + MEMORY + 3, False)
    np.testing.assert_allclose(plain, exact, atol=np.linalg.norm(exact))
    # RIDGE keeps it from the last digits
    assert np.linalg.norm(v - exact) < 1e-2 * np.linalg.norm(plain - exact)


def test_without_extrapolation_it_is_the_plain_iteration():
    v, errors = iterate(lambda v: 0.5 * v + 1, np.zeros(3), 20, extrapolated=False)
    np.testing.assert_allclose(v, 2, rtol=1e-5)
    np.testing.assert_allclose(errors[1:] / errors[:-1], 0.5)


def test_points_that_do_not_move_and_points_that_are_lost_are_kept_as_they_are():
    v, _ = iterate(lambda v: v, np.ones(4), 12)
    np.testing.assert_array_equal(v, 1)
    v, _ = iterate(lambda v: v * np.nan, np.ones(4), 3)
    assert np.isnan(v).all()

"""Penalties of curves against what they say of polynomials, and their determinants against eigenvalues."""

import numpy as np
import pytest

from popglm.shapes import Shape
from popglm.statistics.curve_penalties import CurvePenalty, curve_penalties

PLACE = Shape((("line", 5), ("line", 4)))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_differences_leave_polynomials_free(order):
    found = curve_penalties(Shape.of("line", 9), order, True)
    t = np.linspace(-1, 1, 9)
    for power in range(order + 2):
        bent = t**power @ found["axis 1"] @ t**power
        assert (bent < 1e-20) == (power < order)
    # and what is free is all that the other penalty holds
    np.testing.assert_allclose(found["null space"] @ found["axis 1"], 0, atol=1e-12)
    assert np.linalg.matrix_rank(found["null space"]) == order


def test_differences_are_sums_of_squares():
    w = np.random.default_rng(0).standard_normal(6)
    found = curve_penalties(Shape.of("line", 6), 2, False)
    np.testing.assert_allclose(w @ found["axis 1"] @ w, (np.diff(w, n=2) ** 2).sum())
    round_ = curve_penalties(Shape.of("circle", 6), 1, False)
    np.testing.assert_allclose(w @ round_["axis 1"] @ w, ((np.roll(w, -1) - w) ** 2).sum())


def test_maps_have_a_penalty_along_each_axis():
    W = np.random.default_rng(1).standard_normal((5, 4))
    found = curve_penalties(PLACE, 2, True)
    assert list(found) == ["axis 1", "axis 2", "null space"]
    np.testing.assert_allclose(W.ravel() @ found["axis 1"] @ W.ravel(), (np.diff(W, n=2, axis=0) ** 2).sum())
    np.testing.assert_allclose(W.ravel() @ found["axis 2"] @ W.ravel(), (np.diff(W, n=2, axis=1) ** 2).sum())
    assert np.linalg.matrix_rank(found["null space"]) == 4


def test_levels_are_held_one_by_one_and_curves_within_each():
    np.testing.assert_array_equal(curve_penalties(Shape.of("levels", 3), 2, False)["ridge"], np.eye(3))
    W = np.random.default_rng(2).standard_normal((6, 2))
    found = curve_penalties(Shape((("line", 6), ("levels", 2))), 2, True)
    np.testing.assert_allclose(W.ravel() @ found["axis 1"] @ W.ravel(), (np.diff(W, n=2, axis=0) ** 2).sum())
    assert np.linalg.matrix_rank(found["null space"]) == 4


def test_single_columns_and_parts_of_maps():
    assert list(curve_penalties(Shape.of("line", 1), 2, True)) == ["null space"]
    assert curve_penalties(Shape.of("line", 1), 2, False) == {}
    assert list(curve_penalties(Shape.of("line", 2), 2, True)) == ["axis 1", "null space"]
    part = curve_penalties(PLACE.ordered([7, 0, 5]), 2, True)
    np.testing.assert_array_equal(
        part["axis 1"], curve_penalties(PLACE, 2, True)["axis 1"][np.ix_([7, 0, 5], [7, 0, 5])]
    )


@pytest.mark.parametrize("is_part", [False, True])
@pytest.mark.parametrize("ratio", [1.0, 1e6, 1e-6])
def test_determinants(is_part, ratio):
    shape = PLACE.ordered([19, 3, 7, 8, 0, 11]) if is_part else PLACE
    first = list(curve_penalties(shape, 2, True).values())
    second = [curve_penalties(Shape.of("circle", 4), 2, False)["axis 1"]]
    n = len(first[0])
    penalty = CurvePenalty([*((slice(0, n), S) for S in first), (slice(n, n + 4), second[0])], n + 4)
    assert penalty.rank == n + 3
    rng = np.random.default_rng(3)
    strengths = rng.uniform(0.5, 2, len(first) + 1) * ratio ** (np.arange(len(first) + 1) == 0)

    def log_determinant(strengths):
        values = np.linalg.eigvalsh(penalty.total(strengths))
        return np.log(np.sort(values)[1:]).sum()

    value, slopes = penalty.log_determinant(strengths)
    even, _ = penalty.log_determinant(np.ones(len(strengths)))
    np.testing.assert_allclose(
        value - even, log_determinant(strengths) - log_determinant(np.ones(len(strengths))), rtol=1e-6
    )
    step = 1e-4
    for k, e in enumerate(np.eye(len(strengths))):
        above, below = (log_determinant(strengths * np.exp(sign * step * e)) for sign in (1, -1))
        np.testing.assert_allclose(slopes[k], (above - below) / (2 * step), rtol=1e-4, atol=1e-4)
    w, A = rng.standard_normal(n + 4), rng.standard_normal((n + 4, n + 4))
    np.testing.assert_allclose(strengths @ penalty.products(w), penalty.total(strengths) @ w)
    np.testing.assert_allclose(strengths @ penalty.traces(A + A.T), np.trace((A + A.T) @ penalty.total(strengths)))

"""Roughness over axes against sums of squared differences between the cells of a grid, cell by cell."""

from itertools import product

import numpy as np
import pytest

from popglm.shapes import Shape
from popglm.statistics.roughness import roughness_matrix, smoothness_matrix


def by_cells(w, axes):
    """Σ (w − w')² over neighbours along each axis; beyond the ends of a line stands a weight of 0."""
    W, total = np.asarray(w).reshape([n for _, n in axes]), 0.0
    for cell in product(*(range(n) for _, n in axes)):
        for k, (kind, n) in enumerate(axes):
            if kind == "levels" or n == 1:
                continue
            following = list(cell)
            following[k] += 1
            if kind == "circle":
                following[k] %= n
                total += (2 - 2 * np.cos(np.pi / (n + 1))) * W[cell] ** 2
            total += (W[cell] - (W[tuple(following)] if following[k] < n else 0)) ** 2
            total += W[cell] ** 2 if kind == "line" and cell[k] == 0 else 0
    return total


@pytest.mark.parametrize(
    "axes",
    [
        (("line", 5),),
        (("circle", 6),),
        (("circle", 2),),
        (("line", 4), ("line", 3)),
        (("line", 4), ("circle", 3)),
        (("circle", 5), ("circle", 3)),
        (("line", 3), ("levels", 4)),
        (("levels", 2), ("circle", 4), ("line", 3)),
        (("line", 2), ("line", 3), ("line", 4)),
    ],
)
def test_roughness_adds_up_over_axes(axes):
    R = roughness_matrix(Shape(axes))
    rng = np.random.default_rng(0)
    for w in rng.standard_normal((5, len(R))):
        np.testing.assert_allclose(w @ R @ w, by_cells(w, axes), rtol=1e-12)
    np.testing.assert_array_equal(R, R.T)
    assert np.linalg.eigvalsh(R).min() > 1e-3


def test_levels_by_themselves_are_held_one_by_one():
    np.testing.assert_array_equal(roughness_matrix(Shape((("levels", 2), ("levels", 3)))), np.eye(6))
    np.testing.assert_array_equal(roughness_matrix(Shape.of("line", 1)), np.eye(1))


def test_a_circle_holds_equal_weights_as_loosely_as_the_smoothest_ones_of_a_line():
    flat, line = np.ones(8) / np.sqrt(8), np.linalg.eigvalsh(roughness_matrix(Shape.of("line", 8)))
    np.testing.assert_allclose(flat @ roughness_matrix(Shape.of("circle", 8)) @ flat, line[0], rtol=1e-12)
    # turning the circle changes nothing
    w = np.random.default_rng(1).standard_normal(8)
    R = roughness_matrix(Shape.of("circle", 8))
    np.testing.assert_allclose(np.roll(w, 3) @ R @ np.roll(w, 3), w @ R @ w, rtol=1e-12)


def test_cells_without_a_column_have_a_weight_of_zero():
    axes, kept = (("line", 4), ("line", 3)), [7, 0, 5, 4]
    R = roughness_matrix(Shape(axes, tuple(kept)))
    for w in np.random.default_rng(2).standard_normal((5, 4)):
        whole = np.zeros(12)
        whole[kept] = w
        np.testing.assert_allclose(w @ R @ w, by_cells(whole, axes), rtol=1e-12)


def test_groups_are_no_neighbours():
    shapes = [Shape((("line", 2), ("circle", 3))), Shape.of("line", 1), Shape.of("levels", 2)]
    R = smoothness_matrix([6, 1, 2], shapes)
    np.testing.assert_array_equal(R[:6, :6], roughness_matrix(shapes[0]))
    np.testing.assert_array_equal(R[6:, 6:], np.eye(3))
    assert not R[:6, 6:].any()

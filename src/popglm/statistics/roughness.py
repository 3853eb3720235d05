"""How much neighbouring weights differ, as a quadratic form over one or several axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import circulant

from popglm.shapes import Shape

__all__ = ["roughness_matrix", "smoothness_matrix"]


def smoothness_matrix(sizes: np.ndarray | Sequence[int], shapes: Sequence[Shape] | None = None) -> np.ndarray:
    """Block-diagonal second-difference matrix R.

    Parameters
    ----------
    sizes : sequence of int
        Columns per group, in order.
    shapes : sequence of Shape, optional
        Along which axes the columns of each group lie; all along one line unless given.

    Returns
    -------
    ndarray, shape (n_features, n_features)
        ``[-1, 2, -1]`` along the diagonal of each group of at least two columns; 1 for a single column. See
        `roughness_matrix` for other shapes.

    Examples
    --------
    >>> smoothness_matrix([3, 1]).astype(int)
    array([[ 2, -1,  0,  0],
           [-1,  2, -1,  0],
           [ 0, -1,  2,  0],
           [ 0,  0,  0,  1]])
    """
    sizes = np.asarray(sizes, int)
    shapes = [Shape.of("line", int(n)) for n in sizes] if shapes is None else shapes
    R = np.zeros((sizes.sum(), sizes.sum()))
    for shape, stop, n in zip(shapes, np.cumsum(sizes), sizes, strict=True):
        R[stop - n : stop, stop - n : stop] = roughness_matrix(shape)
    return R


def roughness_matrix(shape: Shape) -> np.ndarray:
    """Second differences along every axis, summed: R₁⊗I + I⊗R₂ for two of them.

    Parameters
    ----------
    shape : Shape

    Returns
    -------
    ndarray, shape (n_columns, n_columns)
        Positive definite unless axes of "levels" stand alone, where it is the identity: each column is by itself. Of
        some of the cells of the grid it is the part of the whole: a cell without a column counts as one of weight 0.

    Notes
    -----
    Along a line R₁ has [-1, 2, -1] on its diagonals, where beyond both ends a weight of 0 counts. A circle has no
    ends, and equal weights no differences. To them it gives the least that a line of as many columns gives to any
    weights, 2 - 2cos(π / (n + 1)) for weights of norm 1, so that R stays positive definite.

    References
    ----------
    Eilers & Marx, "Multivariate calibration with temperature interaction using two-dimensional penalized signal
    regression", *Chemometrics and Intelligent Laboratory Systems* 66 (2003), eq. 10: the sum over the axes.

    Examples
    --------
    >>> roughness_matrix(Shape((("line", 2), ("levels", 2)))).astype(int)
    array([[ 2,  0, -1,  0],
           [ 0,  2,  0, -1],
           [-1,  0,  2,  0],
           [ 0, -1,  0,  2]])
    """
    lengths = [n for _, n in shape.axes]
    smooth = [k for k, (kind, n) in enumerate(shape.axes) if kind != "levels" and n > 1]
    if not smooth:
        return np.eye(shape.n_columns)
    R = np.zeros((shape.n_cells, shape.n_cells))
    for k in smooth:
        before, after = np.eye(int(np.prod(lengths[:k]))), np.eye(int(np.prod(lengths[k + 1 :])))
        R += np.kron(np.kron(before, _along(*shape.axes[k])), after)
    return R if shape.places is None else R[np.ix_(shape.places, shape.places)]


def _along(kind: str, n: int) -> np.ndarray:
    """R₁ of one axis of at least two columns."""
    R = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    if kind == "line":
        return R
    least = 2 - 2 * np.cos(np.pi / (n + 1))
    step = circulant(np.eye(n)[1])
    return (2 + least) * np.eye(n) - step - step.T

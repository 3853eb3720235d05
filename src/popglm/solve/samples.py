"""The arrays over samples that the sums of a fit are over, and what a compiled pass takes of them."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Points", "Samples", "Shape", "Window"]

Array = Any


class Samples(NamedTuple):
    """Arrays over samples.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
        Or anything with such rows under ``X[first:last]``, or `RemoteRows`.
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    """

    X: Any
    Y: Array
    weights: Array = None
    offset: Array = None


class Shape(NamedTuple):
    """What a pass over a window is compiled for.

    Attributes
    ----------
    ops : type
        The class of an engine: its namespace ``ops.xp`` and its few kernels.
    size : int
        Rows of the window.
    masked : bool
        Whether windows have one size, of which only some rows count.
    """

    ops: Any
    size: int
    masked: bool = False


class Window(NamedTuple):
    """The samples of a window; ``at`` is (row in X, row in the other arrays, first, last row that counts)."""

    X: Array
    Y: Array
    weights: Array
    offset: Array
    at: Array


class Points(NamedTuple):
    """Where some neurons are.

    Attributes
    ----------
    neurons : array of int, shape (n_points,), or None
        Rows of Y; None for all.
    W : array, shape (n_points, n_features), or None
        None where linear predictors are known.
    b : array, shape (n_points,)
    theta : array, shape (n_points, n_parameters), or None
        Parameters of a family that has some.
    """

    neurons: Array
    W: Array
    b: Array
    theta: Array = None

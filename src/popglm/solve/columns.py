"""Columns that are evaluated together: those of one fit, or of several fits that count the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Columns", "stacked"]


@dataclass
class Columns:
    """The columns of one fit, or those of several one below the other.

    Attributes
    ----------
    fit : int, or tuple of int
    at : ndarray of int
        Their positions among the evaluated columns, the last one of a fit repeated to a size that the engine likes.
    n : int
        Those of the first fit without the repeated ones.
    neurons : index of the engine, or None
        Their rows of Y; None for all in order.
    W : array of the engine, shape (len(at), n_features)
    theta : array of the engine, shape (len(at), n_parameters), or None
        Parameters of the family, where it has some.
    """

    fit: Any
    at: np.ndarray
    n: int
    neurons: Any
    W: Any
    theta: Any


def stacked(some: list[Columns], n_neurons: int) -> Columns:
    """The columns of several fits, one fit below the other."""
    neurons = [np.arange(n_neurons) if batch.neurons is None else batch.neurons for batch in some]
    at, W = (np.concatenate([getattr(batch, name) for batch in some]) for name in ("at", "W"))
    return Columns(tuple(batch.fit for batch in some), at, some[0].n, np.concatenate(neurons), W, None)

"""The units in which neurons are fitted, so that no result depends on those of the recording."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

__all__ = ["Units"]


@dataclass(frozen=True)
class Units:
    """The activity y = shift + size·y′ of every neuron: y′ is fitted, and what comes out is translated.

    All attributes have shape (n_neurons,).

    Attributes
    ----------
    size, shift : ndarray
    weight : ndarray
        A coefficient is so many times that of y′.
    intercept : ndarray
        What is added to that multiple of its intercept.
    loss : ndarray
        An objective or a deviance is so many times that of y′.
    strength : ndarray
        λ is.
    per_mean, level : ndarray
        What is added to the mean loss of y′ for every unit of its mean, and to that of any activity, before it is
        multiplied: the loss itself, unlike its excess over the saturated model, knows the unit of a count.
    """

    size: np.ndarray
    shift: np.ndarray
    weight: np.ndarray
    intercept: np.ndarray
    loss: np.ndarray
    strength: np.ndarray
    per_mean: np.ndarray
    level: np.ndarray

    @classmethod
    def of(cls, n_neurons: int, **found: np.ndarray) -> Units:
        """Those of the activity as it is, but for what is given."""
        ones = dict.fromkeys(("size", "weight", "loss", "strength"), np.ones(n_neurons))
        zeros = dict.fromkeys(("shift", "intercept", "per_mean", "level"), np.zeros(n_neurons))
        return cls(**(ones | zeros | found))

    @classmethod
    def plain(cls, n_neurons: int) -> Units:
        """Those of the activity as it is."""
        return cls.of(n_neurons)

    def take(self, neurons: np.ndarray) -> Units:
        """Those of some neurons."""
        return Units(*(getattr(self, f.name)[neurons] for f in fields(Units)))

    def saturated(self, sums: Any) -> np.ndarray:
        """Mean loss of the saturated model in the recording's units, for one fit or several, one after the other.

        With what a loss leaves out of the likelihood where that depends on parameters, so that these may change.

        ``sums`` are the `ResponseSums` of y′.
        """
        n_fits = len(sums.mean) // len(self.size)
        loss, per_mean, level = (np.tile(v, n_fits) for v in (self.loss, self.per_mean, self.level))
        return loss * (sums.saturated + sums.mean * per_mean + level) + sums.normaliser

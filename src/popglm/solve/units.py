"""The units in which neurons are fitted, so that no result depends on those of the recording."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from popglm.model.losses import Loss
from popglm.model.penalties import Penalty
from popglm.solve.responses import ResponseSums

__all__ = ["Units", "in_units", "shared_decade"]

#: Counts of at most so many decades above or below 1 are fitted as they are where all neurons must share a unit.
SHARED = 2


@dataclass(frozen=True)
class Units:
    """The activity y = shift + size·y′ of every neuron: y′ is fitted, and what comes out is translated.

    Counts are divided by the null model's rate, so that predictors are near 0 and float32 has all its digits for what
    the model explains. A Gaussian activity is centred, and scaled to about unit variance where the penalty allows. All
    attributes have shape (n_neurons,).

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
    log : ndarray
        Logarithm of the size where counts are scaled by it, else 0.
    """

    size: np.ndarray
    shift: np.ndarray
    weight: np.ndarray
    intercept: np.ndarray
    loss: np.ndarray
    strength: np.ndarray
    log: np.ndarray

    @classmethod
    def plain(cls, n_neurons: int) -> Units:
        """Those of the activity as it is."""
        one, zero = np.ones(n_neurons), np.zeros(n_neurons)
        return cls(one, zero, one, zero, one, one, zero)

    @classmethod
    def of_counts(cls, size: np.ndarray) -> Units:
        """Poisson activity with an exponential link, divided by ``size``."""
        one, zero = np.ones(len(size)), np.zeros(len(size))
        return cls(size, zero, one, np.log(size), size, size, np.log(size))

    @classmethod
    def of_gaussian(cls, size: np.ndarray, shift: np.ndarray, has_norm: bool) -> Units:
        """Gaussian activity; the ridge part of a penalty knows no unit, its norm has that of the activity."""
        return cls(size, shift, size, shift, size**2, size if has_norm else np.ones(len(size)), np.zeros(len(size)))

    def take(self, neurons: np.ndarray) -> Units:
        """Those of some neurons."""
        return Units(*(getattr(self, f.name)[neurons] for f in fields(Units)))

    def saturated(self, sums: ResponseSums) -> np.ndarray:
        """Mean loss of the saturated model in the recording's units, for one fit or several, one after the other."""
        n_fits = len(sums.mean) // len(self.size)
        return np.tile(self.loss, n_fits) * (sums.saturated - sums.mean * np.tile(self.log, n_fits))


def in_units(
    loss: Loss, penalty: Penalty, fit_intercept: bool, Y: np.ndarray, weights: np.ndarray | None,
    offset: np.ndarray | None, decade: float = 0.0,
) -> Units:  # fmt: skip
    """Put Y (n_neurons, n_samples), in float64, into the units of its neurons.

    Parameters
    ----------
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
        Of counts.
    decade : float
        As `shared_decade` says for all of them; of use where they must share a unit.
    """
    if not fit_intercept or loss.inverse_link not in ("exp", "identity") or loss.family == "bernoulli":
        return Units.plain(len(Y))
    if loss.family == "poisson":
        if loss.inverse_link == "identity":
            return Units.plain(len(Y))
        # σ is one number for all neurons
        size = _rates(Y, weights, offset) if penalty.R is None else np.full(len(Y), 10.0**decade)
        units = Units.of_counts(size)
        Y /= units.size[:, None]
        return units
    if loss.inverse_link == "exp":
        return Units.plain(len(Y))
    size, shift = np.ones(len(Y)), np.zeros(len(Y))
    for j, y in enumerate(Y):
        s = None if weights is None else weights if weights.ndim == 1 else weights[j]
        if s is not None and not s.sum() > 0:
            continue
        shift[j] = np.average(y, weights=s)
        y -= shift[j]
        # what rounding left of the mean; 0 stays 0, and samples of weight 0 may hold anything
        deviation = np.sqrt(np.average(y * y, weights=s))
        if deviation > 0 and penalty.l1_ratio in (0, 1):
            # a power of two: no digit changes
            size[j] = np.exp2(np.round(np.log2(deviation)))
            y /= size[j]
    return Units.of_gaussian(size, shift, penalty.l1_ratio > 0)


def shared_decade(Y: np.ndarray) -> np.ndarray:
    """Power of ten of each mean response, NaN left out, 0 for ordinary ones; Y (n_samples, n_neurons)."""
    recorded = ~np.isnan(Y)
    mean = np.sum(Y, axis=0, where=recorded) / np.maximum(recorded.sum(axis=0), 1)
    with np.errstate(divide="ignore"):
        decade = np.round(np.log10(mean))
    return np.where((mean > 0) & (np.abs(decade) > SHARED), decade, 0.0)


def _rates(Y: np.ndarray, weights: np.ndarray | None, offset: np.ndarray | None) -> np.ndarray:
    """Events per exposure, exp(offset), of every neuron; of a silent one the inverse of the mean exposure."""
    s = np.ones(Y.shape[1]) if weights is None else weights
    top = 0.0 if offset is None else float(offset.max())
    exposure = s if offset is None else s * np.exp(offset - top)
    events = Y @ s if s.ndim == 1 else np.einsum("ij,ij->i", Y, s)
    exposed = np.broadcast_to(exposure.sum(axis=-1), len(Y))
    total = np.broadcast_to(s.sum(axis=-1), len(Y))
    usable = exposed > 0
    rate = np.where(events > 0, events, total) / np.where(usable, exposed, 1)
    return np.where(usable & (rate > 0), rate, 1.0) * np.exp(-top)

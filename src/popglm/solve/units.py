"""The units in which neurons are fitted, so that no result depends on those of the recording."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from popglm.statistics.losses import Loss
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import ResponseSums

__all__ = ["Units", "decades", "in_units"]

#: Activity of at most so many decades above or below 1 is fitted as it is.
ORDINARY = 2
#: A Gaussian activity whose mean is at most so many standard deviations is not centred on rows.
NEAR = 64.0
#: Neurons whose deviations are taken at a time.
BATCH = 32


@dataclass(frozen=True)
class Units:
    """The activity y = shift + size·y′ of every neuron: y′ is fitted, and what comes out is translated.

    Very large and very small counts are divided by a power of ten near their rate, so that predictors are near 0 and
    float32 has all its digits for what the model explains. A Gaussian activity is scaled likewise where the penalty
    allows, and centred where its mean is far from 0. All attributes have shape (n_neurons,).

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


def decades(
    loss: Loss, penalty: Penalty, fit_intercept: bool, Y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Power of ten that every fit takes for the unit of a neuron, 0 for ordinary activity; and whether it is far off.

    A fit's own rows decide: a unit from all rows would leave the rounding of held-out activity in a fold.

    Parameters
    ----------
    Y : ndarray, shape (n_neurons, n_samples)
        NaN where a neuron was not recorded.
    weights : ndarray, shape (n_fits, n_samples)
        0 for rows that a fit does not count.

    Returns
    -------
    decade : ndarray, shape (n_fits, n_neurons)
    far : ndarray of bool, shape (n_fits, n_neurons)
        Whether the mean of a Gaussian activity is so far from 0 that float32 would lose what varies.
    """
    shape = len(weights), len(Y)
    size, far = np.ones(shape), np.zeros(shape, bool)
    gaussian = (loss.family, loss.inverse_link) == ("gaussian", "identity")
    if not gaussian and not (fit_intercept and (loss.family, loss.inverse_link) == ("poisson", "exp")):
        return np.zeros(shape), far
    for a in range(0, len(Y), BATCH):
        y = Y[a : a + BATCH]
        recorded, y = ~np.isnan(y), np.nan_to_num(y, nan=0.0)
        for f, s in enumerate(weights):
            total = recorded @ s
            total = np.where(total > 0, total, 1)
            mean = y @ s / total
            if gaussian:
                apart = np.where(recorded, y - mean[:, None], 0)
                deviation = np.sqrt((apart * apart) @ s / total)
                far[f, a : a + BATCH] = fit_intercept & (np.abs(mean) > NEAR * deviation) & (deviation > 0)
                mean = deviation
            size[f, a : a + BATCH] = np.where(mean > 0, mean, 1)
    decade = np.round(np.log10(size))
    if gaussian and penalty.l1_ratio not in (0, 1):
        # a mixture of two powers of the weights knows the unit
        return np.zeros(shape), far
    return np.where(np.abs(decade) > ORDINARY, decade, 0.0), far


def in_units(loss: Loss, penalty: Penalty, decade: float, shift: np.ndarray) -> Units:
    """Units of neurons that are fitted together; ``shift`` (n_neurons,) is taken from a Gaussian activity."""
    n_neurons = len(shift)
    if loss.family == "gaussian":
        # a power of two: no digit changes
        size = np.full(n_neurons, np.exp2(np.round(decade * np.log2(10))))
        return Units.of_gaussian(size, shift, penalty.l1_ratio > 0)
    return Units.of_counts(np.full(n_neurons, 10.0**decade)) if decade else Units.plain(n_neurons)

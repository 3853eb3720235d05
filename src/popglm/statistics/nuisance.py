"""Estimates of a family's nuisance parameters, in the units in which neurons are fitted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from popglm.statistics.families import Family, Samples, Units
from popglm.statistics.families.elementary import row_totals
from popglm.statistics.nodes import Nodes

__all__ = ["estimate_at_nodes", "estimate_parameters", "first_parameters", "mean_levels"]


def first_parameters(loss: Family, n_neurons: int) -> np.ndarray:
    """Where estimates start, shape (n_neurons, n_parameters)."""
    return np.tile([own.start for own in loss.parameters], (n_neurons, 1)).reshape(n_neurons, -1)


def _parameter_units(loss: Family, units: Units | None) -> np.ndarray | float:
    """What parameters of the activity in ``units`` are multiplied by in the recording's, (n_neurons, n_parameters)."""
    return 1.0 if units is None else units.size[:, None] ** np.array([own.power for own in loss.parameters])


def estimate_parameters(
    loss: Family, samples: Samples, start: np.ndarray, units: Units | None, with_intercept: bool = False
) -> np.ndarray:
    """Parameters (n_neurons, n_parameters) of the largest likelihood; all but the likelihood is in ``units``.

    A likelihood of counts knows their unit: it is that of the recording. ``with_intercept`` as in `Family.estimate`.
    """
    factor = _parameter_units(loss, units)
    return _within(loss, loss.estimate(_recorded(samples, units), start * factor, with_intercept)) / factor


def estimate_at_nodes(
    loss: Family, nodes: Nodes, responses: tuple[np.ndarray, np.ndarray], start: np.ndarray, units: Units | None
) -> np.ndarray:
    """The same from `Nodes`, and responses, each once, with the sums of their weights (n_neurons, n_responses)."""
    factor, (y, s) = _parameter_units(loss, units), responses
    if units is not None:
        y = units.shift[:, None] + units.size[:, None] * y
    return _within(loss, loss.estimate_at_nodes(nodes.recorded(units), (y, s), start * factor)) / factor


def _within(loss: Family, values: np.ndarray) -> np.ndarray:
    """Values of the parameters, inside their ranges."""
    low, high = np.array([own.range for own in loss.parameters]).T
    return np.clip(values, low, high)


def mean_levels(loss: Family, samples: Samples, values: np.ndarray, units: Units | None) -> np.ndarray:
    """Weighted means of `Family.saturated` and `Family.normaliser`, shape (2, n_neurons), in the recording's units.

    The parameters ``values`` are in ``units``.
    """
    known = loss.at(values * _parameter_units(loss, units))
    sums, total = np.zeros((2, len(values))), np.zeros(len(values))
    for y, s, _ in _recorded(samples, units)(np.arange(len(values))):
        for own, level in zip(sums, (known.saturated(y), known.normaliser(y)), strict=True):
            own += row_totals(np.where(s != 0, s * level, 0))
        total += row_totals(s)
    return sums / np.where(total > 0, total, 1)


def _recorded(samples: Samples, units: Units | None) -> Samples:
    """Samples in the units of the recording."""
    if units is None:
        return samples

    def recorded(neurons: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        own = units.take(neurons)
        shift, size, weight, intercept = (a[:, None] for a in (own.shift, own.size, own.weight, own.intercept))
        for y, s, eta in samples(neurons):
            yield shift + size * y, s, weight * eta + intercept

    return recorded

"""Samples gathered at nodes of their predictors, where sums over them take a few hundred terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.statistics.families import Family, Units
from popglm.statistics.families.elementary import row_totals

__all__ = ["Nodes"]


@dataclass(frozen=True)
class Nodes:
    """What sums over samples of functions a(η) + y·d(η) are told by: Σ weight·a + response·d over nodes.

    The losses of exponential families are such functions up to what responses alone say, and so are their derivatives;
    see `popglm.solve.gathering` for the nodes, and for the error. Weights of nodes may be negative.

    Attributes
    ----------
    eta : ndarray, shape (n_problems, n_nodes)
    weight, response : ndarray, shape (n_problems, n_nodes)
        Σs and Σsy; both 0 at nodes that a problem has only because others have as many.
    """

    eta: np.ndarray
    weight: np.ndarray
    response: np.ndarray

    def take(self, problems: np.ndarray) -> Nodes:
        """Those of some problems."""
        return Nodes(self.eta[problems], self.weight[problems], self.response[problems])

    def moved(self, b: np.ndarray) -> Nodes:
        """At other intercepts, by b (n_problems,)."""
        return Nodes(self.eta + b[:, None], self.weight, self.response)

    def recorded(self, units: Units | None) -> Nodes:
        """In the units of the recording."""
        if units is None:
            return self
        shift, size, weight, intercept = (a[:, None] for a in (units.shift, units.size, units.weight, units.intercept))
        return Nodes(weight * self.eta + intercept, self.weight, size * self.response + shift * self.weight)

    def loss(self, loss: Family) -> np.ndarray:
        """Σsℓ less what `Family.constant` says of the responses, shape (n_problems,)."""
        none, one = (loss.value(np, self.eta, np.float64(y)) - loss.constant(y) for y in (0.0, 1.0))
        return row_totals(self.weight * none + self.response * (one - none))

    def derivatives(self, loss: Family) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Σsr, Σsh, and the size of what the first is a sum of, each of shape (n_problems,)."""
        (none, h), (one, _) = (loss.derivatives(np, self.eta, np.float64(y)) for y in (0.0, 1.0))
        parts = self.weight * none, self.response * (one - none)
        return (
            row_totals(parts[0] + parts[1]),
            row_totals(self.weight * h),
            row_totals(np.abs(parts[0]) + np.abs(parts[1])),
        )

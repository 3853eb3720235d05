"""Samples gathered at nodes of their predictors, where sums over them take a few hundred terms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popglm.statistics.families import Family, Units
from popglm.statistics.families.elementary import row_totals

__all__ = ["Nodes"]


@dataclass(frozen=True)
class Nodes:
    """What sums over samples of functions a(η) + y·d(η) are told by: Σ weight·a + response·d over nodes.

    The losses of exponential families are such functions up to what responses alone say, and so are their derivatives;
    see `popglm.solve.passes.gathering` for the nodes, and for the error. Weights of nodes may be negative.

    Attributes
    ----------
    eta : ndarray, shape (n_problems, n_nodes)
    weight, response : ndarray, shape (n_problems, n_nodes)
        Σs and Σsy; both 0 at nodes that a problem has only because others have as many.
    size : ndarray of int, shape (n_problems,)
        Nodes that a problem has itself, the first of its row.
    """

    eta: np.ndarray
    weight: np.ndarray
    response: np.ndarray
    size: np.ndarray

    def take(self, problems: np.ndarray) -> Nodes:
        """Those of some problems."""
        size = self.size[problems]
        width = slice(size.max(initial=0))
        return Nodes(self.eta[problems, width], self.weight[problems, width], self.response[problems, width], size)

    def moved(self, b: np.ndarray) -> Nodes:
        """At other intercepts, by b (n_problems,)."""
        return replace(self, eta=self.eta + b[:, None])

    def recorded(self, units: Units | None) -> Nodes:
        """In the units of the recording."""
        if units is None:
            return self
        shift, size, weight, intercept = (a[:, None] for a in (units.shift, units.size, units.weight, units.intercept))
        response = size * self.response + shift * self.weight
        return replace(self, eta=weight * self.eta + intercept, response=response)

    def loss(self, loss: Family) -> np.ndarray:
        """Σsℓ less what `Family.constant` says of the responses, shape (n_problems,)."""
        none = loss.value(np, self.eta, np.float64(0)) - loss.constant(0.0)
        # under a canonical link responses are in the loss as −yη
        more = -self.eta
        if not loss.is_canonical:
            more = loss.value(np, self.eta, np.float64(1)) - loss.constant(1.0) - none
        return row_totals(self.weight * none + self.response * more)

    def derivatives(self, loss: Family) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Σsr, Σsh, and the size of what the first is a sum of, each of shape (n_problems,)."""
        none, h = loss.derivatives(np, self.eta, np.float64(0))
        # under a canonical link a residual is μ − y, and h does not ask for y
        more = -1.0 if loss.is_canonical else loss.derivatives(np, self.eta, np.float64(1))[0] - none
        parts = self.weight * none, self.response * more
        return (
            row_totals(parts[0] + parts[1]),
            row_totals(self.weight * h),
            row_totals(np.abs(parts[0]) + np.abs(parts[1])),
        )

"""A penalty under which every problem has its own feature groups: in one batch, on one set of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from popglm.statistics.penalties import Penalty

__all__ = ["ClosingPenalty"]

#: What the norm of a closed group is multiplied by: no force of a loss in units of its own is near it, and its square
#: is a number of single precision.
CLOSED = 1e15


@dataclass(frozen=True)
class ClosingPenalty(Penalty):
    """Norms of groups, or of single columns, some of which have no weight in some problems.

    Their norms there are so strong that a weight of 0 stays where it is. `Penalty.mask` closes columns for all problems
    of a fit, and spares the products with them.

    Attributes
    ----------
    closed : ndarray of bool, shape (n_problems, n_blocks)

    Examples
    --------
    >>> plain = Penalty.make("group_lasso", None, 0.0, [1, 4])
    >>> penalty = ClosingPenalty.beside(plain, closed=np.array([[False, False], [False, True]]))
    >>> penalty.norm_strengths(np.array([0.5, 0.5]), np.zeros((2, 5)), np.array([0, 1]))
    array([[5.e-01, 1.e+00],
           [5.e-01, 1.e+15]])
    """

    closed: np.ndarray = field(kw_only=True)

    def of(self, neurons: np.ndarray) -> Self:
        """See `Penalty.of`."""
        return replace(self, closed=self.closed[neurons])

    def joined(self, parts: Sequence[Any]) -> Self:
        """See `Penalty.joined`."""
        return replace(self, closed=np.concatenate([own.closed for own in parts]))

    def norm_strengths(
        self, lam: np.ndarray, W: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Penalty.norm_strengths`; of groups that are closed in some ``problems``, no less than `CLOSED`."""
        tau = super().norm_strengths(lam)
        return tau if problems is None else np.where(self.closed[problems], np.maximum(tau, CLOSED), tau)

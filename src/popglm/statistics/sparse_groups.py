"""The sparse group lasso: norms of groups, and of every column within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from popglm.shapes import Shape
from popglm.statistics import norms
from popglm.statistics.blockwise import HostBlocks, from_zero
from popglm.statistics.penalties import Penalty

__all__ = ["SPARSE_GROUPS", "SparseGroupPenalty"]

#: Its name.
SPARSE_GROUPS = "sparse_group_lasso"
#: Share of single columns unless given.
COLUMN_SHARE = 0.5


@dataclass(frozen=True)
class SparseGroupPenalty(Penalty):
    """λ Σ_b c_b (a Σ_k |w_k| + (1−a) ω_b‖w_b‖₂) over feature groups b and their columns k.

    Groups that explain nothing are left out whole, and of the others the columns that explain nothing. a = 1 is the
    lasso, and a = 0 the group lasso. Strengths of norms are those of the columns, and then those of the groups.

    Attributes
    ----------
    column_share : float
        a.

    References
    ----------
    Simon, Friedman, Hastie & Tibshirani, *Journal of Computational and Graphical Statistics* 22 (2013).
    """

    column_share: float = COLUMN_SHARE

    @classmethod
    def of_share(
        cls,
        column_share: float | None,
        group_sizes: np.ndarray,
        group_factors: np.ndarray | None = None,
        shapes: Sequence[Shape] | None = None,
    ) -> Self:
        """As `Penalty.make`.

        Examples
        --------
        >>> penalty = SparseGroupPenalty.of_share(0.25, [4, 1])
        >>> penalty.value(np.array([[3.0, 0, 0, 4, 0]]), np.array([0.1]))
        array([0.925])
        """
        made = Penalty.make("group_lasso", None, 0.0, group_sizes, group_factors, shapes=shapes)
        share = COLUMN_SHARE if column_share is None else float(column_share)
        return cls.beside(made, column_share=share)

    @cached_property
    def blocks(self) -> HostBlocks:
        """See `Penalty.blocks`."""
        return HostBlocks(self.starts[:-1], self.block_of_column, True, *self.limits)

    @property
    def turning_sizes(self) -> np.ndarray:
        """See `Penalty.turning_sizes`: sums of absolute values change with any axis."""
        return np.ones(len(self.block_of_column), int)

    @property
    def shrinks_columns(self) -> bool:
        """See `Penalty.shrinks_columns`."""
        return True

    @cached_property
    def norm_weights(self) -> np.ndarray:
        """c a of every column, and c (1−a) ω of every group, shape (n_features + n_blocks,)."""
        factors = np.ones(len(self.block_sizes)) if self.factors is None else self.factors
        columns = self.column_share * factors[self.block_of_column]
        return np.concatenate([columns, (1 - self.column_share) * factors * self.block_weights])

    def norm(
        self, W: np.ndarray, lam: np.ndarray, at: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Penalty.norm`."""
        return norms.value(np, self.blocks, W, self.norm_strengths(lam))

    def prox(self, V: np.ndarray, step: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """See `Penalty.prox`."""
        steps = np.concatenate([step[:, self.block_of_column], step], axis=1)
        return norms.shrink(np, self.blocks, self._open(V), steps * self.norm_strengths(lam))

    def dual_norm(self, gradient: np.ndarray) -> np.ndarray:
        """See `Penalty.dual_norm`: the largest ν of a group with ‖S(g_b, νc_b a)‖ = νc_b(1−a)ω_b."""
        free = np.zeros(len(self.block_of_column), bool) if self.free is None else self.free
        gradient = np.where(free, 0, self._open(gradient))
        n = len(free)
        own, of_block = self.norm_weights[:n], self.norm_weights[n:]
        # by Cauchy and Schwarz the norm is at least this; there the dual ball is left, or just reached
        most = own[self.starts[:-1]] * np.sqrt(self.block_sizes) + of_block
        held = most > 0
        forces = from_zero(np, self.blocks, -gradient)
        least = (self.block_norms(forces)[:, held] / most[held]).max(axis=1, initial=0)
        some = np.where(least > 0, least, 1)
        theta, _ = norms.dual_scale(np, self.blocks, forces / some[:, None], self.norm_weights[None])
        return np.where(least > 0, least / theta, 0) / self.l1_ratio

"""Variables of a descent: along principal axes of columns, and in units of the curvature there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popglm.solve.low_rank.layout import Layout, Weights

__all__ = ["Axes", "Metric"]

#: A curvature below this share of the largest of its kind counts as much.
LEAST = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Axes:
    """Principal axes of the columns, and mean squares along them.

    Attributes
    ----------
    low : list of (places, squares, vectors)
        Of blocks of the columns of low rank; None for vectors where columns are taken one by one.
    common : (squares, vectors)
        Of the common columns; no rotation where some neurons do without some of them.
    own : (squares, vectors)
        Of the gathered columns with free weights, shape (n_neurons, n_gathered) and (…, n_gathered).
    """

    low: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]
    common: tuple[np.ndarray, np.ndarray | None]
    own: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, layout: Layout, moments: Sequence[np.ndarray], n_rows: int) -> Axes:
        """Those of columns with the second moments Σxxᵀ of `Layout.blocks`, or the diagonals of these, over rows."""
        n = len(layout.low_blocks)
        means = [np.asarray(M, float) / max(n_rows, 1) for M in moments]
        low = [(places, *_principal(M)) for places, M in zip(layout.low_blocks, means[:n], strict=True)]
        shared = means[n]
        common = _principal(shared if layout.common_open.all() or shared.ndim == 1 else np.diag(shared))
        q, k = layout.columns.shape
        is_open = layout.own_open[:, :, None] & layout.own_open[:, None, :]
        # a diagonal stands for a matrix where columns are too many for one
        own = [np.diag(M) if M.ndim == 1 else M for M in means[n + 1 :]]
        squares = np.where(is_open, np.array(own).reshape(q, k, k), 0.0)
        return cls(low, common, np.linalg.eigh(squares))


def _principal(M: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean squares along the principal axes of some columns, and the axes; of a diagonal, along the columns."""
    return (M, None) if M.ndim == 1 else np.linalg.eigh(M)


def _along(Q: np.ndarray | None, A: np.ndarray) -> np.ndarray:
    """QᵀA, or A where there is no rotation."""
    return A if Q is None else Q.T @ A


def _back(Q: np.ndarray | None, A: np.ndarray) -> np.ndarray:
    """QA, or A where there is no rotation."""
    return A if Q is None else Q @ A


class Metric:
    """Variables in which the objective curves about alike in all directions, near some weights.

    Parameters
    ----------
    axes : Axes
    layout : Layout
    weights : Weights
    curvature : ndarray, shape (n_neurons,)
        Mean Fisher weights.
    latent : ndarray, shape (rank,)
        Mean squares of the latent signals.
    strength, ridge : float
    """

    def __init__(
        self,
        axes: Axes,
        layout: Layout,
        weights: Weights,
        curvature: np.ndarray,
        latent: np.ndarray,
        strength: float,
        ridge: float,
    ) -> None:
        self.axes, self.open = axes, layout.own_open
        rank = max(weights.rank, 1)
        # the sizes of factors change much on the way, and each by itself would make the variables of some far too long
        heard, told = (curvature @ weights.B**2).sum() / rank, latent.sum() / rank
        self.low = [_sizes(heard * squares + strength) for _, squares, _ in axes.low]
        self.B = _sizes(curvature * told + strength)[:, None]
        self.common = _sizes(np.outer(curvature, axes.common[0]) + ridge)
        self.own = _sizes(curvature[:, None] * axes.own[0] + ridge)
        self.b = _sizes(curvature)

    def variables(self, weights: Weights) -> np.ndarray:
        """Those of some weights."""
        A = np.empty_like(weights.A)
        for (places, _, Q), sizes in zip(self.axes.low, self.low, strict=True):
            A[places] = sizes[:, None] * _along(Q, weights.A[places])
        common = self.common * _along(self.axes.common[1], weights.common.T).T
        own = self.own * np.einsum("jk,jkl->jl", weights.own, self.axes.own[1])
        return Weights(A, self.B * weights.B, common, own, self.b * weights.b).vector()

    def weights(self, variables: np.ndarray, like: Weights) -> Weights:
        """Weights of the shapes of others from their variables."""
        z = like.like(variables)
        A = np.empty_like(z.A)
        for (places, _, Q), sizes in zip(self.axes.low, self.low, strict=True):
            A[places] = _back(Q, z.A[places] / sizes[:, None])
        common = _back(self.axes.common[1], (z.common / self.common).T).T
        own = np.einsum("jl,jkl->jk", z.own / self.own, self.axes.own[1])
        return Weights(A, z.B / self.B, common, np.where(self.open, own, 0.0), z.b / self.b)

    def gradient(self, gradient: Weights) -> np.ndarray:
        """The gradient in the variables, from that in the weights."""
        A = np.empty_like(gradient.A)
        for (places, _, Q), sizes in zip(self.axes.low, self.low, strict=True):
            A[places] = _along(Q, gradient.A[places]) / sizes[:, None]
        common = _along(self.axes.common[1], gradient.common.T).T / self.common
        own = np.einsum("jk,jkl->jl", gradient.own, self.axes.own[1]) / self.own
        return Weights(A, gradient.B / self.B, common, own, gradient.b / self.b).vector()


def _sizes(curvature: np.ndarray) -> np.ndarray:
    """Units of variables; none is 0."""
    return np.sqrt(np.maximum(curvature, max(LEAST * curvature.max(initial=0.0), np.finfo(float).tiny)))

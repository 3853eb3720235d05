"""Variables of a descent: along principal axes of columns, and in units of the curvature there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.solve.low_rank.layout import Layout, Weights

__all__ = ["Axes", "Metric"]

#: Columns of low rank up to which their principal axes are those of all; of more, those of each group by itself.
TOGETHER = 512
#: A curvature below this share of the largest of its kind counts as much.
LEAST = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Axes:
    """Principal axes of the columns, and mean squares along them.

    Attributes
    ----------
    low : list of (places, squares, vectors)
        Of blocks of the columns of low rank.
    common : (squares, vectors)
        Of the common columns; no rotation where some neurons do without some of them.
    own : (squares, vectors)
        Of the gathered columns with free weights, shape (n_neurons, n_gathered) and (…, n_gathered).
    """

    low: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    common: tuple[np.ndarray, np.ndarray]
    own: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, layout: Layout, X: np.ndarray, own: np.ndarray | None) -> Axes:
        """Those of X (n_samples, n_low + n_common) and the gathered columns (n_neurons · n_gathered, n_samples)."""
        m = len(layout.low)
        numbers = np.zeros(m, int) if m <= TOGETHER else layout.group[layout.low]
        blocks = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
        low = [(places, *_principal(X[:, places])) for places in blocks]
        common = _principal(X[:, m:])
        if not layout.common_open.all():
            common = np.einsum("ij,ij->j", X[:, m:], X[:, m:]) / len(X), np.eye(X.shape[1] - m)
        q, k = layout.columns.shape
        squares = np.zeros((q, k, k))
        if own is not None:
            columns = own.reshape(q, k, -1) * layout.own_open[:, :, None]
            squares = np.matmul(columns, columns.transpose(0, 2, 1)).astype(float) / len(X)
        return cls(low, common, np.linalg.eigh(squares))


def _principal(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares along the principal axes of some columns, and the axes."""
    return np.linalg.eigh((X.T @ X).astype(float) / len(X))


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
            A[places] = sizes[:, None] * (Q.T @ weights.A[places])
        common = self.common * (weights.common @ self.axes.common[1])
        own = self.own * np.einsum("jk,jkl->jl", weights.own, self.axes.own[1])
        return Weights(A, self.B * weights.B, common, own, self.b * weights.b).vector()

    def weights(self, variables: np.ndarray, like: Weights) -> Weights:
        """Weights of the shapes of others from their variables."""
        z = like.like(variables)
        A = np.empty_like(z.A)
        for (places, _, Q), sizes in zip(self.axes.low, self.low, strict=True):
            A[places] = Q @ (z.A[places] / sizes[:, None])
        common = (z.common / self.common) @ self.axes.common[1].T
        own = np.einsum("jl,jkl->jk", z.own / self.own, self.axes.own[1])
        return Weights(A, z.B / self.B, common, np.where(self.open, own, 0.0), z.b / self.b)

    def gradient(self, gradient: Weights) -> np.ndarray:
        """The gradient in the variables, from that in the weights."""
        A = np.empty_like(gradient.A)
        for (places, _, Q), sizes in zip(self.axes.low, self.low, strict=True):
            A[places] = (Q.T @ gradient.A[places]) / sizes[:, None]
        common = (gradient.common @ self.axes.common[1]) / self.common
        own = np.einsum("jk,jkl->jl", gradient.own, self.axes.own[1]) / self.own
        return Weights(A, gradient.B / self.B, common, own, gradient.b / self.b).vector()


def _sizes(curvature: np.ndarray) -> np.ndarray:
    """Units of variables; none is 0."""
    return np.sqrt(np.maximum(curvature, max(LEAST * curvature.max(initial=0.0), np.finfo(float).tiny)))

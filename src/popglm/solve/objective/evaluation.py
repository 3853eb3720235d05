"""The objective at one point per neuron, and that of the Gaussian loss, which needs no samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.snapshot import Resumable
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["Evaluation", "GramObjective", "null_models"]


@dataclass
class Evaluation(Resumable):
    """One point per neuron.

    Attributes
    ----------
    loss, b, curvature, chi2, spread : ndarray, shape (n_neurons,)
        Mean loss above that of the saturated model; intercept; mean of the curvature weights h = d²ℓ/dη²; mean of
        r²/h; and the mean of mean(h)/h, 1 where all weights are equal.
    grad : ndarray, shape (n_neurons, n_features)
    smooth : ndarray of bool, shape (n_neurons,)
        Whether no sample lies near a kink of its loss, or beyond.
    slope : ndarray, shape (n_neurons,)
        Size of dloss/db at the intercept: 0 but where the best one puts a sample on the kink of its loss.
    """

    loss: np.ndarray
    b: np.ndarray
    grad: np.ndarray
    curvature: np.ndarray
    chi2: np.ndarray
    spread: np.ndarray
    smooth: np.ndarray
    slope: np.ndarray

    def take(self, index: np.ndarray | slice) -> Evaluation:
        """Rows ``index``."""
        return Evaluation(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def take_numbers(self, index: np.ndarray | slice) -> Evaluation:
        """Rows ``index`` of all but the gradient, which has no columns then."""
        grad = np.zeros((len(self.loss), 0))
        return replace(self, grad=grad).take(index)

    @staticmethod
    def join(parts: list[Evaluation]) -> Evaluation:
        """Points of several evaluations, one after the other."""
        names = Evaluation.__dataclass_fields__
        return Evaluation(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def put(self, index: np.ndarray, other: Evaluation, chosen: np.ndarray) -> None:
        """Overwrite rows ``index[chosen]`` by those of ``other``."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[index[chosen]] = getattr(other, name)[chosen]


def null_models(loss: Family, sums: ResponseSums, x_mean: np.ndarray, YX: np.ndarray) -> Evaluation:
    """Null models with an intercept and without an offset, under a canonical link: sums say all of them.

    Residuals are mean − y, and no sample's curvature differs from another's.

    Parameters
    ----------
    x_mean : ndarray, shape (n_features,)
        Σsx/Σs.
    YX : ndarray, shape (n_neurons, n_features)
        Σsyx/Σs.
    """
    _, h = loss.derivatives(np, sums.intercept, sums.mean)
    grad, one = np.outer(sums.mean, x_mean) - YX, np.ones(len(h))
    return Evaluation(sums.null.copy(), sums.intercept.copy(), grad, h, sums.variance / h, one, one > 0, 0 * one)


class GramObjective:
    """Gaussian loss from second moments alone: no array over samples is touched.

    Parameters
    ----------
    engine : engine
    G : ndarray, shape (n_features, n_features), or (n_features,)
        Weighted covariance of the features; its diagonal where they are its principal axes.
    C : ndarray, shape (n_neurons, n_features)
        Weighted covariance of responses and features.
    y_variance, y_mean : ndarray, shape (n_neurons,)
        The features have mean 0, so that the mean of a response is its intercept.
    """

    nuisance = None

    def __init__(
        self, engine: Engine, G: np.ndarray, C: np.ndarray, y_variance: np.ndarray, y_mean: np.ndarray
    ) -> None:
        self.engine, self.G, self.C, self.y_variance, self.y_mean = engine, G, C, y_variance, y_mean

    def at_null(self, neurons: np.ndarray, b: np.ndarray) -> Evaluation:
        """Where the weights are 0."""
        return self.evaluate(neurons, np.zeros((len(neurons), len(self.G))), b)

    def times_G(self, _neurons: np.ndarray, W: np.ndarray) -> np.ndarray:
        """WG, row by row."""
        return W * self.G if self.G.ndim == 1 else self.engine.product(W, self.G)

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `popglm.solve.objective.row_objective`."""
        WG, C = self.times_G(neurons, W), self.C[neurons]
        loss = 0.5 * (self.y_variance[neurons] + np.einsum("ij,ij->i", W, WG - 2 * C))
        loss = np.maximum(loss, 0)
        return Evaluation(
            loss,
            self.y_mean[neurons],
            WG - C,
            np.ones(len(W)),
            2 * loss,
            np.ones(len(W)),
            np.ones(len(W), bool),
            np.zeros(len(W)),
        )

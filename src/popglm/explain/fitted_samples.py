"""The samples of a fit with the predictors that the fit gives them, for statistics of how well it describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from popglm.estimators.base import PopulationGLM
from popglm.explain.data_of_fit import data_of_fit
from popglm.explain.fitted_objective import null_curvature
from popglm.explain.trials import check_trials
from popglm.solve.passes.coordinates import product64
from popglm.statistics.concave import CONCAVE
from popglm.statistics.families.contract import Family
from popglm.statistics.penalties import Penalty

__all__ = ["FLAT", "FittedSamples", "family_of", "pearson_dispersion", "samples_of_fit"]

#: A direction of the weights with less than this share of the largest information has none.
FLAT = 1e-9


@dataclass(frozen=True)
class FittedSamples:
    """What was fitted, in the order of the fit.

    Attributes
    ----------
    model : PopulationGLM
    X : ndarray, shape (n_samples, n_features)
    y, eta, null_eta : ndarray, shape (n_samples, n_neurons)
        Activity, the neuron's mean where it was not recorded, and linear predictors of the model and of the null model.
    known : ndarray of bool, shape (n_samples, n_neurons)
        Where a neuron was recorded.
    weight : ndarray, shape (n_samples,) or (n_samples, n_neurons)
        Ones where the fit had no weights; 0 where a neuron was not recorded.
    trials : ndarray of int, shape (n_samples,), or None
        Numbers of trials.
    offset : ndarray, shape (n_samples,), or None
    index : pandas.Index or None
        Labels of the rows, where they have some.
    null_curvature : ndarray, shape (n_neurons,), or None
        Mean curvature of the losses where every weight is 0, where the penalty asks for it.
    """

    model: PopulationGLM
    X: np.ndarray
    y: np.ndarray
    eta: np.ndarray
    null_eta: np.ndarray
    known: np.ndarray
    weight: np.ndarray
    trials: np.ndarray | None
    offset: np.ndarray | None
    index: pd.Index | None = None
    null_curvature: np.ndarray | None = None

    def weights(self, j: int) -> np.ndarray:
        """Sample weights of a neuron."""
        return self.weight if self.weight.ndim == 1 else self.weight[:, j]

    def count(self, j: int) -> float:
        """How many samples a neuron has: a weight of 2 counts as two, but where weights are numbers of trials."""
        w = self.weights(j)
        return float(np.count_nonzero(w) if self.model.loss_.has_trials else w.sum())

    def family(self, j: int) -> Family:
        """The loss of a neuron, with its parameters."""
        return family_of(self.model, self.model.family_parameters_, j)

    def null_family(self, j: int) -> Family:
        """The loss of a neuron under the null model."""
        return family_of(self.model, self.model.null_family_parameters_, j)

    def penalty(self, j: int) -> Penalty:
        """The penalty of a neuron: of the columns that it may have a weight for."""
        penalty = self.model.penalty_of(j)
        return penalty if self.null_curvature is None else penalty.at_null(self.null_curvature[[j]])

    @property
    def coef(self) -> np.ndarray:
        """Weights, shape (n_neurons, n_features)."""
        return np.atleast_2d(np.asarray(self.model.coef_, float))

    def columns(self, j: int) -> np.ndarray:
        """X, 0 in columns that a neuron may not have a weight for."""
        mask = self.model.feature_mask_
        return self.X if mask is None else np.where(mask[:, j], self.X, 0)

    @property
    def null(self) -> np.ndarray:
        """Neurons whose model is the null model, shape (n_neurons,)."""
        return self.model.null_fitted_ | ~np.isfinite(self.model.lambda_)


def family_of(model: PopulationGLM, parameters: dict[str, np.ndarray], j: int) -> Family:
    """The loss of a neuron, with its own of the family's parameters."""
    return model.loss_.given(*(value[j] for value in parameters.values())) if parameters else model.loss_


def pearson_dispersion(samples: FittedSamples, j: int, n_columns: int, eta: np.ndarray | None = None) -> float:
    """Pearson's χ² of a neuron over its samples less the columns that are determined, the intercept's among them.

    ``eta`` (n_samples,) is another predictor than that of the fit.
    """
    family, w = samples.family(j), samples.weights(j)
    mean = family.link.mean(np, samples.eta[:, j] if eta is None else eta)
    squares = w @ ((samples.y[:, j] - mean) ** 2 / family.variance(mean))
    return float(squares / max(samples.count(j) - n_columns, 1))


def samples_of_fit(
    model: Any, X: Any, Y: Any, trial: Any, sample_weight: Any, offset: Any, who: str, strict: bool = True
) -> FittedSamples:
    """The arguments of a statistic, if they are those of the fit; ``who`` asks, for the complaints.

    ``strict`` as in `data_of_fit`.
    """
    X, y, weight, offset, labels = data_of_fit(model, X, Y, sample_weight, offset, who, strict=strict)
    X = np.asarray(X, float)
    beside = 0.0 if offset is None else offset[:, None]
    eta = product64(X, np.atleast_2d(model.coef_)) + np.atleast_1d(model.intercept_) + beside
    null_eta = np.broadcast_to(np.atleast_1d(model.null_intercept_) + beside, eta.shape)
    if model.null_coef_ is not None:
        null_eta = null_eta + product64(X, np.atleast_2d(model.null_coef_))
    weight = np.ones(len(X)) if weight is None else weight
    if not (known := ~np.isnan(y)).all():
        # a sample in which a neuron was not recorded has no weight there, whatever stands for its activity
        weight = np.where(known, weight if weight.ndim == 2 else weight[:, None], 0.0)
        total = np.where(known, y, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        y = np.where(known, y, total)
    trials = None if trial is None else check_trials(trial, len(X), labels)
    curvature = null_curvature(model, y, weight, offset) if model.penalty in CONCAVE else None
    return FittedSamples(model, X, y, eta, null_eta, known, weight, trials, offset, labels.labels, curvature)

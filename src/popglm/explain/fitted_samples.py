"""The samples of a fit with the predictors that the fit gives them, for statistics of how well it describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.estimators.base import PopulationGLM
from popglm.estimators.validation import check_as_in_fit
from popglm.explain.contributions import check_activity, check_design_matrix, check_model, rows_of
from popglm.explain.trials import check_trials
from popglm.solve.coordinates import product64
from popglm.statistics.families.contract import Family

__all__ = ["FittedSamples", "samples_of_fit"]


@dataclass(frozen=True)
class FittedSamples:
    """What was fitted, in the order of the fit.

    Attributes
    ----------
    model : PopulationGLM
    X : ndarray, shape (n_samples, n_features)
    y, eta : ndarray, shape (n_samples, n_neurons)
        Activity, and linear predictors.
    weight : ndarray, shape (n_samples,)
        Ones where the fit had no weights.
    trials : ndarray of int, shape (n_samples,), or None
        Numbers of trials.
    """

    model: PopulationGLM
    X: np.ndarray
    y: np.ndarray
    eta: np.ndarray
    weight: np.ndarray
    trials: np.ndarray | None

    def family(self, j: int) -> Family:
        """The loss of a neuron, with its parameters."""
        values = self.model.family_parameters_.values()
        return self.model.loss_.given(*(value[j] for value in values)) if values else self.model.loss_

    @property
    def null(self) -> np.ndarray:
        """Neurons whose model is the null model, shape (n_neurons,)."""
        return self.model.null_fitted_ | ~np.isfinite(self.model.lambda_)


def samples_of_fit(model: Any, X: Any, Y: Any, trial: Any, sample_weight: Any, offset: Any, who: str) -> FittedSamples:
    """The arguments of a statistic, if they are those of the fit; ``who`` asks, for the complaints."""
    check_model(model, who)
    labels = rows_of(model, X, held_out=True)
    order = labels.order(X, "X")
    X = np.asarray(check_design_matrix(model, X, who, held_out=False, whole=True), float)
    X = X if order is None else X[order]
    y = check_activity(model, Y, len(X), labels)
    weight, offset = check_as_in_fit(model, sample_weight, offset, len(X), labels, who, refits=True)
    eta = product64(X, model.coef_) + model.intercept_ + (0.0 if offset is None else offset[:, None])
    weight = np.ones(len(X)) if weight is None else weight
    return FittedSamples(model, X, y, eta, weight, None if trial is None else check_trials(trial, len(X), labels))

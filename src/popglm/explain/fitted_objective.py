"""Whether data are those of a fit without folds that tell it: the objective of the fit is the same on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.estimators import GLM, GLMCV, LowRankGLM
from popglm.explain.contributions import SAME, Activity, Predictor, neuron_blocks
from popglm.statistics.concave import CONCAVE
from popglm.statistics.null import null_models

__all__ = ["check_objective", "null_curvature"]


def check_objective(
    model: Any, X: Any, Y: np.ndarray, weight: np.ndarray | None, offset: np.ndarray | None, who: str
) -> None:
    """Complain of checked data on which the objective of a neuron is not that of the fit.

    At the weakest strength that the neuron went down to, whichever was chosen: there it knows most of the data.

    Raises
    ------
    ValueError
    """
    paths = np.asarray(model.loss_path_, float)
    n, q = paths.shape
    finite = np.isfinite(paths)
    last, neurons = n - 1 - finite[::-1].argmax(axis=0), np.arange(q)
    coef, intercept = np.asarray(model.coef_path_[last, neurons], float), model.intercept_path_[last, neurons]
    predictor = Predictor(X, offset, [(np.arange(len(X)), coef, intercept)])
    activity = Activity.make(model, Y, len(X), np.arange(len(X)), weight, None)
    parameters = [own[last, neurons] for own in model.family_parameters_path_.values()]
    curvature = null_curvature(model, Y, weight, offset) if model.penalty in CONCAVE else None
    for some in neuron_blocks(len(X), q):
        s, null = activity.weights[:, some], activity.null_deviance(some)[0]
        loss = model.loss_.given(*(own[some] for own in parameters)) if parameters else model.loss_
        unit = _losses(model, loss, predictor.eta(some), activity.y[:, some])
        summed = np.where(s > 0, s * np.where(s > 0, unit, 0), 0).sum(axis=0)
        for i, j in enumerate(some):
            if model.null_fitted_[j] or not finite[:, j].any():
                continue
            total = s[:, i].sum()
            found = summed[i] / total + _penalty(model, int(j), coef[j], model.lambda_path_[last[j], j], curvature)
            fitted = paths[last[j], j]
            if not abs(found - fitted) <= SAME * max(null[i] / (2 * total), abs(fitted)):
                raise ValueError(
                    f"{who}: X, Y, sample_weight or offset are not those of the fit: the objective of neuron "
                    f"{model.neuron_names_[j]!r} is {found:.4g}, and was {fitted:.4g} in the fit. Give the data that "
                    "the model was fitted to, in its order."
                )


def _losses(model: Any, loss: Any, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of samples, as the path of this kind of model has them: with the saturated loss, or above it."""
    if not isinstance(model, GLM | GLMCV):
        return loss.deviance(eta, y) / 2
    with np.errstate(over="ignore", invalid="ignore"):
        # parameters that are estimated are part of what is minimised
        return loss.value(np, eta, y) + (loss.normaliser(y) if loss.parameters else 0.0)


def _penalty(model: Any, j: int, w: np.ndarray, lam: float, curvature: np.ndarray | None) -> float:
    """What the penalty of a neuron adds at weights (n_features,)."""
    if isinstance(model, LowRankGLM):
        # it is of all neurons together, and what a neuron has is its loss
        return 0.0
    penalty = model.penalty_of(j)
    penalty = penalty if curvature is None else penalty.at_null(curvature[[j]])
    return float(penalty.value(w[None], np.array([lam]))[0])


def null_curvature(model: Any, y: np.ndarray, weight: np.ndarray | None, offset: np.ndarray | None) -> np.ndarray:
    """Mean curvature of every neuron's loss at its best intercept without weights, shape (n_neurons,)."""
    null = null_models(model.loss_, y, weight, offset, [], bool(model.fit_intercept))
    found = np.empty(y.shape[1])
    for j, b in enumerate(null.intercept):
        family = model.loss_.given(*null.parameters[j]) if model.loss_.parameters else model.loss_
        known = ~np.isnan(y[:, j])
        eta = np.full(len(y), b) if offset is None else b + offset
        s = np.ones(len(y)) if weight is None else weight if weight.ndim == 1 else weight[:, j]
        curvature = family.derivatives(np, eta[known], y[known, j])[1]
        found[j] = np.average(curvature, weights=s[known]) if (s[known] > 0).any() else 1.0
    return found

"""Models and their activity as statistics are given them."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.checks import check_fitted
from popglm.estimators import GLMCV, LowRankGLM, TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.cross_validated import WITHOUT_FOLDS, CrossValidated
from popglm.estimators.validation import check_responses, name_neurons
from popglm.labels import Rows

__all__ = ["check_activity", "check_cross_validated", "check_model"]

#: Families of the parts of a `TwoPartGLM` that refuse its activity as it is.
OF_PARTS = ("bernoulli", "gamma", "inverse_gaussian")

#: What takes the fit to all rows where ``held_out=False`` asks for that.
MAY_TAKE_ALL = ("breakdown", "calibration", "decode", "predicted_tuning")

#: What says of a classifier what others say of models of activity.
INSTEAD = {
    **dict.fromkeys(("predicted_tuning", "simulate"), "its predict_proba"),
    **dict.fromkeys(("goodness_of_fit", "time_rescaling"), "its evaluate, or cv_deviance_explained_"),
    "stability_selection": "compare, which scores without a variable, held out",
    **dict.fromkeys(("wald", "debiased", "likelihood_ratio"), "compare, which scores without a variable, held out"),
    "connectivity": "kernels",
}


def _check_activity_model(model: Any, who: str) -> None:
    """Complain of a model of categorical responses."""
    if isinstance(model, CategoricalGLM):
        instead = INSTEAD.get(who, "breakdown, compare, shapley or kernels")
        raise TypeError(f"{who} has no form for classes, and found a {type(model).__name__}; use {instead}.")


def check_model(model: Any, who: str) -> None:
    """Complain unless it is a fitted model of a population."""
    _check_activity_model(model, who)
    _check_whole(model, who)
    if not isinstance(model, PopulationGLM):
        raise TypeError(f"{who}: model must be a popglm.GLM or popglm.GLMCV; found {type(model).__name__}.")
    check_fitted(model, "lambda_index_", who)


def check_cross_validated(model: Any, who: str) -> None:
    """Complain unless the model has a held-out prediction of every row that a fold holds out."""
    _check_activity_model(model, who)
    _check_whole(model, who)
    if not isinstance(model, CrossValidated) or not hasattr(model, "fold_"):
        found = f"{'an unfitted ' if isinstance(model, GLMCV) else ''}{type(model).__name__}"
        if isinstance(model, LowRankGLM):
            found = WITHOUT_FOLDS
        otherwise = ", or held_out=False" if who in MAY_TAKE_ALL else ""
        raise ValueError(
            f"{who} scores held-out predictions and needs a fitted popglm.GLMCV{otherwise}; found {found}."
        )
    if not model.held_out_once_:
        raise ValueError(
            f"{who}: cv holds some rows out more than once, so their held-out prediction is not one number."
        )


def check_activity(model: PopulationGLM, Y: Any, n_samples: int, rows: Rows | None = None) -> np.ndarray:
    """Y as float64 (n_samples, n_neurons), if it has the neurons of the fit, put in its order."""
    try:
        return check_responses(Y, n_samples, model.loss_, name_neurons(Y), rows, model)
    except ValueError as error:
        if model.loss_.name in OF_PARTS and "family=" in str(error):
            raise ValueError(f"{error} The activity of a part of a TwoPartGLM comes from its split(Y).") from error
        raise


def _check_whole(model: Any, who: str) -> None:
    """Complain of a model in two parts, where one is asked for."""
    if isinstance(model, TwoPartGLM):
        raise TypeError(
            f"{who} takes one part of a TwoPartGLM; found both. Give model.events_ or model.amounts_, with its "
            f"activity: happened, amount = model.split(Y){'; model.draw draws of both' if who == 'simulate' else ''}."
        )

"""Where a fit may begin, so that no fold learns of what it holds out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator

from popglm.checks import check_fitted
from popglm.estimators.parameters import Parameters
from popglm.labels import Rows, column_text
from popglm.numbers import numbers_of
from popglm.solve.local_models.given_models import GivenModels
from popglm.statistics.ends import Ends
from popglm.statistics.families import Family
from popglm.statistics.null import NullModels

__all__ = ["OwnPaths", "check_same_activity", "check_start", "positions", "start_from_array", "start_from_model"]

#: Held-out deviances of null models that differ by more, as a share, are of other activity.
SAME = 1e-6


@dataclass(frozen=True)
class OwnPaths:
    """A start that the library has made of the paths of the same fits to the same rows, and where their paths end.

    Attributes
    ----------
    coef : ndarray, shape (n_fits, n_lambdas, n_neurons, n_features), or None
        NaN at strengths for which a fit has no start; all later ones have none then.
    ends : Ends or None
        In place of the estimator's patience.
    models : GivenModels, optional
        Of the curvature near where the fits end, from the same fits to the same rows.
    null : NullModels, optional
        Of the activity that is fitted, where they are known: many fits to few columns spend most of their time on them.
    closed : ndarray of bool, shape (n_neurons, n_blocks), optional
        Blocks of a penalty of norms that have no weight in a neuron's fits: they begin without one. All strengths are
        above 0 then.
    """

    coef: np.ndarray | None
    ends: Ends | None
    null: NullModels | None = None
    models: GivenModels | None = None
    closed: np.ndarray | None = None


def check_start(
    start: Any,
    estimator: Any,
    loss: Family,
    n_lambdas: int,
    splits: list[tuple[np.ndarray, np.ndarray]],
    refit: bool,
    cv_null_deviance: np.ndarray,
) -> np.ndarray | None:
    """Coefficients (n_fits, n_lambdas, n_neurons, n_features) that a fit begins at; see `GLM.fit` and `GLMCV.fit`.

    Parameters
    ----------
    estimator : GLM or GLMCV
        It knows the names of the neurons, the features and the samples that it is about to fit.
    cv_null_deviance : ndarray, shape (n_folds, n_neurons)
        Of the folds' intercepts alone on what they hold out, by which a start of other activity is told.

    Raises
    ------
    TypeError, ValueError
        If it has other strengths, neurons or features, or if a fold could learn from it of what it holds out.
    sklearn.exceptions.NotFittedError
    """
    if start is None:
        return None
    if isinstance(start, OwnPaths):
        return start.coef
    if not isinstance(start, BaseEstimator):
        shape = len(estimator.neuron_names_), estimator.n_features_in_
        return start_from_array(start, shape, n_lambdas, "GLMCV" if splits else None)[None]
    if not isinstance(start, Parameters) or start.noun != estimator.noun:
        raise TypeError(f"start must be a GLM, a GLMCV or an array; found {type(start).__name__}.")
    paths, neurons = start_from_model(start, estimator, n_lambdas, splits, refit)
    if splits:
        _check_loss(start, estimator, loss)
        check_same_activity(start, neurons, cv_null_deviance, estimator)
    return paths


def start_from_model(
    start: Any, estimator: Any, n_lambdas: int, splits: list[tuple[np.ndarray, np.ndarray]], refit: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Paths (n_fits, n_lambdas, n_neurons, …, n_features) of a fitted model for those of the fit, and their neurons.

    Raises
    ------
    ValueError
        If it has other strengths, neurons, features or folds.
    sklearn.exceptions.NotFittedError
    """
    _check_model(start, n_lambdas, refit)
    neurons, features = _neurons(start, estimator), _features(start, estimator)
    paths = start.coef_path_[None] if refit else np.empty((0, *start.cv_coef_path_.shape[1:]))
    if splits:
        _check_folds(start, estimator, splits)
        paths = np.concatenate([paths, start.cv_coef_path_])
    return paths[:, :, neurons][..., features], neurons


def start_from_array(start: Any, shape: tuple[int, ...], n_lambdas: int, crossed: str | None) -> np.ndarray:
    """Coefficients (n_lambdas, *shape) from an array of them, or of those of a single strength.

    Parameters
    ----------
    shape : tuple of int
        Of the coefficients of a strength, the number of neurons first.
    crossed : str or None
        What a start of cross-validated fits has to be; no array is.

    Raises
    ------
    TypeError, ValueError
    """
    if crossed is not None:
        raise TypeError(
            f"start must be a {crossed} fitted to the same folds; found {type(start).__name__}, which does not tell "
            "what activity it has seen, and a fold may not begin at anything that has seen what it holds out."
        )
    if isinstance(start, pd.DataFrame | pd.Series | xr.DataArray):
        raise TypeError(
            f"start must be an array or a fitted model; found {type(start).__name__}, whose labels are not read. Give "
            "the model itself, whose neurons and features are matched by name, or start.to_numpy()."
        )
    path, whole = numbers_of(start, "start"), (n_lambdas, *shape)
    if path.shape == shape[1:] and shape[0] == 1:
        path = path[None]
    if path.shape not in (shape, whole):
        axes = "neurons and features" if len(shape) == 2 else "responses, classes and features"
        raise ValueError(
            f"start must have shape {whole}, for strengths, {axes}, or {shape}, the same for all strengths; it has "
            f"{path.shape}."
        )
    if not np.isfinite(path).all():
        raise ValueError(f"start must be finite; entry {tuple(np.argwhere(~np.isfinite(path))[0].tolist())} is not.")
    return np.broadcast_to(path, whole)


def _check_model(start: Any, n_lambdas: int, refit: bool) -> None:
    check_fitted(start, "lambda_path_", "fit: start")
    if len(start.lambda_path_) != n_lambdas:
        raise ValueError(
            f"start has {len(start.lambda_path_)} strengths, and this fit has {n_lambdas}; give a model with as many."
        )
    if refit and start.coef_path_ is None:
        raise ValueError("start was fitted with refit=False and has no weights of all rows; use refit=True there.")


def _neurons(start: Any, estimator: Any) -> np.ndarray:
    """Where the neurons of the fit stand in the start."""
    wanted, present = estimator.neuron_names_, start.neuron_names_
    if (estimator.neurons_are_named_ and start.neurons_are_named_) or set(wanted) == set(present):
        return positions(wanted, present, estimator.noun)
    return _counted(len(wanted), len(present), f"{estimator.noun}s")


def _features(start: Any, estimator: Any) -> np.ndarray:
    """Where the features of the fit stand in the start."""
    wanted, present = (getattr(model, "feature_names_in_", None) for model in (estimator, start))
    count = _counted(estimator.n_features_in_, start.n_features_in_, "features")
    if wanted is None or present is None:
        return count
    return positions([column_text(label) for label in wanted], [column_text(label) for label in present], "feature")


def positions(wanted: Sequence[Any], present: Sequence[Any], what: str) -> np.ndarray:
    """Where those of the fit stand in the start.

    Raises
    ------
    ValueError
        If one is missing there.
    """
    position = {name: k for k, name in enumerate(present)}
    if missing := [name for name in wanted if name not in position]:
        raise ValueError(
            f"start lacks {what} {missing[0]!r} of this fit ({len(missing)} missing); give a model that has them all."
        )
    return np.array([position[name] for name in wanted])


def _counted(wanted: int, present: int, what: str) -> np.ndarray:
    if wanted != present:
        raise ValueError(f"start has {present} {what}, and this fit has {wanted}; give a model of the same {what}.")
    return np.arange(wanted)


def _check_loss(start: Any, estimator: Any, loss: Family) -> None:
    if start.loss_ != loss and (start.loss_.name, start.loss_.link) == (loss.name, loss.link):
        raise ValueError(
            f"start was fitted with power={start.power}; this fit has {estimator.power}. Give a model of the same."
        )
    if start.loss_ != loss:
        raise ValueError(
            f"start was fitted with family={start.family!r} and inverse_link={start.loss_.link.name!r}; this fit "
            f"has {loss.name!r} and {loss.link.name!r}. Give a model of the same."
        )


def _check_folds(start: Any, estimator: Any, splits: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Complain unless every fold of the start was trained on the samples that this fit trains that fold on."""
    own = getattr(start, "splits_", None)
    if own is None:
        raise ValueError(
            f"start must be a {type(estimator).__name__} that knows its folds; this {type(start).__name__} does not. A "
            "fold may not begin at anything that has seen what it holds out."
        )
    same = len(own) == len(splits) and all(
        np.array_equal(np.sort(a), np.sort(b))
        for pair, other in zip(own, splits, strict=True)
        for a, b in zip(pair, other, strict=True)
    )
    labels, found = estimator.sample_labels_, start.sample_labels_
    if same and labels is not None and found is not None:
        # rows of the same number are other samples where they stand in another order
        same = Rows(labels, "X").order(pd.Series(0, index=found), "start") is None
    if not same:
        raise ValueError(
            "start was fitted to other folds, or to samples in another order. A fold may not begin at anything that "
            "has seen what it holds out: give a model with the same cv, groups and samples."
        )


def check_same_activity(start: Any, neurons: np.ndarray, cv_null_deviance: np.ndarray, estimator: Any) -> None:
    """Complain of other activity, weights or offsets, by which a start may have seen what a fold holds out.

    Parameters
    ----------
    neurons : ndarray of int
        Those of the start that the fit has.
    cv_null_deviance : ndarray, shape (n_folds, n_neurons)
        As in `check_start`.

    Raises
    ------
    ValueError
    """
    # files of earlier revisions have that of their null models alone, which is the same
    found = getattr(start, "cv_constant_deviance_", start.cv_null_model_deviance_)[:, neurons]
    same = np.isclose(found, cv_null_deviance, rtol=SAME, atol=0, equal_nan=True)
    if not same.all():
        fold, neuron = np.argwhere(~same)[0]
        what = "activity, sample weights or offset" if estimator.noun == "neuron" else "labels or weights"
        name = f"{estimator.noun} {estimator.neuron_names_[neuron]!r}"
        raise ValueError(
            f"start was fitted to other {what}: the held-out deviance of the null model of {name} in fold "
            f"{fold} was {found[fold, neuron]:.6g}, and is "
            f"{cv_null_deviance[fold, neuron]:.6g}. Give a model that was fitted to the same."
        )

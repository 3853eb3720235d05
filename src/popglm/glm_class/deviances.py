"""Predictions and deviances of given means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from popglm.estimators.validation import check_responses, name_neurons
from popglm.glm_class.checks import FAMILIES, LINKS, UsageError, as_features, as_matrix, check_name
from popglm.solve.passes.coordinates import product64
from popglm.statistics.families import INVERSE_LINKS, get_family
from popglm.statistics.selection import fraction_explained

__all__ = [
    "deviance",
    "make_prediction",
    "null_deviance",
    "pointwise_deviance",
    "pointwise_null_deviance",
    "recorded_sum",
]


def make_prediction(X: ArrayLike, w: ArrayLike, w0: ArrayLike, activation: str = "exp") -> np.ndarray:
    """Mean response h(w0 + Xw).

    Parameters
    ----------
    X : array-like, shape (n_samples, n_features)
    w : array-like, shape (n_features, n_responses)
    w0 : array-like, shape (n_responses,) or (1, n_responses), or float
    activation : {"exp", "linear", "sigmoid", "relu", "softplus"}

    Returns
    -------
    ndarray, shape (n_samples, n_responses)

    Raises
    ------
    UsageError
        For an unknown activation, shapes that do not fit together, or NaN or infinity in X.

    Examples
    --------
    >>> make_prediction([[1.0, 2.0]], [[0.5], [0.25]], 0.0, activation="linear")
    array([[1.]])
    """
    check_name("activation", activation, LINKS)
    X, w, w0 = as_features("X", X), as_matrix("w", w), np.asarray(w0, float).reshape(-1)
    if X.shape[1] != len(w) or w0.size not in (1, w.shape[1]):
        raise UsageError(
            f"X {X.shape}, w {w.shape} and w0 {w0.shape} do not fit together; they must be (n_samples, n_features), "
            "(n_features, n_responses) and (n_responses,)."
        )
    # a rate too large for a float is infinite, which says what it is
    with np.errstate(over="ignore"):
        return INVERSE_LINKS[LINKS[activation]].mean(np, product64(X, w.T) + w0)


def deviance(
    y_pred: ArrayLike, y_true: ArrayLike, loss_type: str = "poisson"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fraction deviance explained, deviance of a prediction and null deviance. The prediction comes first.

    Parameters
    ----------
    y_pred, y_true : array-like, shape (n_samples, n_responses) or (n_samples,)
        Predicted mean and response. NaN in y_true drops that sample of that response.
    loss_type : {"poisson", "gaussian", "binominal"}

    Returns
    -------
    frac_dev_expl, d_model, d_null : ndarray, shape (n_responses,)
        1 − d_model/d_null, 0 where d_null is 0, and the deviances summed over samples.

    Raises
    ------
    UsageError, ValueError
        For an unknown loss_type, shapes that differ, or responses outside the family's range.

    Examples
    --------
    >>> deviance([[1.0], [3.0]], [[0.0], [4.0]], loss_type="gaussian")
    (array([0.75]), array([2.]), array([8.]))
    """
    model, null = recorded_sum(pointwise_deviance(y_true, y_pred, loss_type), y_true), null_deviance(y_true, loss_type)
    return fraction_explained(model, null), model, null


def null_deviance(y: ArrayLike, loss_type: str = "poisson") -> np.ndarray:
    """Deviance of each response around its mean, summed over samples.

    Parameters
    ----------
    y : array-like, shape (n_samples, n_responses) or (n_samples,)
    loss_type : {"poisson", "gaussian", "binominal"}

    Returns
    -------
    ndarray, shape (n_responses,)

    Raises
    ------
    UsageError, ValueError
        For an unknown loss_type or responses outside the family's range.

    Examples
    --------
    >>> null_deviance([[0.0], [4.0]], loss_type="gaussian")
    array([8.])
    """
    return recorded_sum(pointwise_null_deviance(y, loss_type), y)


def pointwise_deviance(y_true: ArrayLike, y_pred: ArrayLike, loss_type: str = "poisson") -> np.ndarray:
    """Deviance of a prediction at each sample. The response comes first.

    (y − ŷ)² for gaussian; 2[y log(y/ŷ) − y + ŷ] for poisson, where a rate below 0 counts as 0;
    2[y log(y/ŷ) + (1 − y) log((1 − y)/(1 − ŷ))] for binominal.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n_samples, n_responses) or (n_samples,)
    loss_type : {"poisson", "gaussian", "binominal"}

    Returns
    -------
    ndarray, shape (n_samples, n_responses)
        Of the shape of y_true. Infinite where the prediction rules out what happened, NaN where y_true is.

    Raises
    ------
    UsageError, ValueError
        For an unknown loss_type, shapes that differ, or responses outside the family's range.

    Examples
    --------
    >>> pointwise_deviance([0.0, 2.0], [0.5, 2.0], loss_type="poisson")
    array([1., 0.])
    """
    family = get_family(FAMILIES[check_name("loss_type", loss_type, FAMILIES)])
    shape = np.shape(y_true)
    true, predicted = as_matrix("y_true", y_true).astype(float), as_matrix("y_pred", y_pred).astype(float)
    if true.shape != predicted.shape:
        raise UsageError(f"y_true has shape {true.shape} and y_pred {predicted.shape}; they must be the same.")
    true = check_responses(true, len(true), family, name_neurons(true))
    low, high = family.valid_range
    if np.isfinite(high) and np.any((predicted < low) | (predicted > high), where=~np.isnan(true)):
        raise UsageError(f"y_pred runs from {predicted.min():g} to {predicted.max():g}; probabilities lie in [0, 1].")
    return family.unit_deviance(true, np.maximum(predicted, low)).reshape(shape)


def pointwise_null_deviance(y: ArrayLike, loss_type: str = "poisson") -> np.ndarray:
    """Deviance around the mean of each response, at each sample.

    Parameters
    ----------
    y : array-like, shape (n_samples, n_responses) or (n_samples,)
    loss_type : {"poisson", "gaussian", "binominal"}

    Returns
    -------
    ndarray, shape (n_samples, n_responses)
        Of the shape of y; NaN where y is.

    Raises
    ------
    UsageError, ValueError
        For an unknown loss_type or responses outside the family's range.

    Examples
    --------
    >>> pointwise_null_deviance([[0.0], [4.0]], loss_type="gaussian").T
    array([[4., 4.]])
    """
    values = np.asarray(y, float)
    recorded = ~np.isnan(values)
    mean = np.sum(values, axis=0, where=recorded) / np.maximum(recorded.sum(axis=0), 1)
    low = np.min(values, axis=0, where=recorded, initial=np.inf)
    high = np.max(values, axis=0, where=recorded, initial=-np.inf)
    unit = pointwise_deviance(values, np.broadcast_to(mean, values.shape), loss_type)
    # a constant does not deviate from its mean, whatever the rounding of a sum says
    return np.where((low < high) | ~recorded, unit, 0.0)


def recorded_sum(unit: np.ndarray, y: ArrayLike) -> np.ndarray:
    """Sum over the samples that were recorded."""
    return np.sum(unit, axis=0, where=~np.isnan(np.asarray(y, float)))

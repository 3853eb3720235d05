"""The two parts of activity with zeros, whether something happened and how much, and what both say together."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import polygamma, psi
from sklearn.base import clone

from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.validation import check_responses, name_neurons
from popglm.labels import neuron_labels, row_labels
from popglm.messages import shown
from popglm.numbers import shape_of
from popglm.solve.coordinates import product64
from popglm.solve.sparse.rows import parts_of
from popglm.statistics.selection import at_strengths
from popglm.warnings import warn

__all__ = [
    "check_parts",
    "fit_part",
    "held_out_deviances",
    "joint_log_density",
    "likeliest_dispersion",
    "linear_predictors",
    "split_activity",
]

#: Families of the amounts; under the Gaussian one their logarithm is fitted.
AMOUNTS = ("gamma", "inverse_gaussian", "gaussian")
#: Newton steps for the dispersion of gamma amounts.
STEPS = 12


def check_parts(amounts: Any, events: Any) -> tuple[GLMCV, GLMCV]:
    """Models of the amounts and the events, not fitted, from what a `TwoPartGLM` is given.

    Raises
    ------
    TypeError, ValueError
    """
    amounts = GLMCV("gamma") if amounts is None else amounts
    for name, part in (("amounts", amounts), ("events", events)):
        if part is not None and not isinstance(part, GLMCV):
            raise TypeError(f"TwoPartGLM: {name} must be a GLMCV that is not fitted yet, or None; found {shown(part)}.")
    if amounts.family not in AMOUNTS:
        instead = "; for counts use GLMCV('negative_binomial')" if "binomial" in str(amounts.family) else ""
        instead = instead or "; for counts use GLMCV('negative_binomial')" * (amounts.family == "poisson")
        raise ValueError(
            f"TwoPartGLM: amounts has family={amounts.family!r}, but must have one of {', '.join(AMOUNTS)}{instead}."
        )
    if amounts.family == "gaussian" and amounts.inverse_link not in (None, "identity"):
        raise ValueError(
            f"TwoPartGLM: amounts has inverse_link={amounts.inverse_link!r}, but the logarithm of amounts is a line; "
            "leave it None."
        )
    if events is None:
        events = clone(amounts).set_params(family="bernoulli", inverse_link=None, power=None)
    else:
        events = clone(events)
        if events.family != "bernoulli":
            raise ValueError(f"TwoPartGLM: events has family={events.family!r}, but must have family='bernoulli'.")
        if shown(events.cv) != shown(amounts.cv):
            raise ValueError(
                f"TwoPartGLM: events has cv={shown(events.cv)} and amounts cv={shown(amounts.cv)}; both parts have "
                "the same folds, so give them the same."
            )
    for name, part in (("amounts", amounts), ("events", events)):
        if not part.refit:
            raise ValueError(f"TwoPartGLM: {name} has refit=False, and leaves no weights for both; use refit=True.")
    return clone(amounts), events


def split_activity(Y: Any) -> tuple[Any, Any]:
    """See `TwoPartGLM.split`."""
    names = name_neurons(Y)
    values = check_responses(Y, shape_of(Y)[0] if shape_of(Y) else 0, None, names)
    if (values < 0).any():
        row, neuron = np.argwhere(values < 0)[0]
        raise ValueError(
            f"Y holds a negative value for neuron {neuron} ({names[neuron]!r}), first in row {row}: "
            f"{values[row, neuron]:g}. A TwoPartGLM needs activity ≥ 0 that is 0 where nothing happened; set tiny "
            "negative values of a deconvolution to 0, and use GLMCV(family='gaussian') for dF/F."
        )
    known = ~np.isnan(values)
    happened, amount = np.where(known, values > 0, np.nan), np.where(known & (values > 0), values, np.nan)
    rows, neurons = row_labels(Y), neuron_labels(Y)
    if len(shape_of(Y)) == 1:
        if rows is None:
            return happened[:, 0], amount[:, 0]
        name = None if neurons is None else neurons[0]
        return pd.Series(happened[:, 0], rows, name=name), pd.Series(amount[:, 0], rows, name=name)
    if rows is None and neurons is None:
        return happened, amount
    return pd.DataFrame(happened, rows, neurons), pd.DataFrame(amount, rows, neurons)


def fit_part(name: str, model: GLMCV, X: Any, Y: Any, **beside: Any) -> GLMCV:
    """A fitted part, whose warnings say which it is."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(X, Y, **beside)
    for one in found:
        warn(f"{name}: {one.message}", one.category)
    return model


def joint_log_density(
    model: Any, etas: tuple[np.ndarray, np.ndarray], z: np.ndarray, y: np.ndarray, phi: np.ndarray
) -> np.ndarray:
    """Logarithm of the probability of 0, or of the density of what is above, NaN where a sample is not known.

    Parameters
    ----------
    model : TwoPartGLM
        With fitted parts.
    etas : (chance, amount)
        Linear predictors of both parts, shape (n_samples, n_neurons).
    z, y : ndarray, shape (n_samples, n_neurons)
        Whether a sample is above 0, and by how much, NaN where it is not.
    phi : ndarray, shape (n_neurons,)
    """
    events, amounts = model.events_.loss_, model.amounts_.loss_
    amount = np.where(y > 0, y, 1.0)
    v = np.log(amount) if amounts.name == "gaussian" else amount
    density = np.stack([amounts.log_density(etas[1][:, j], v[:, j], phi[j]) for j in range(len(phi))], axis=1)
    # of the amount itself, not of its logarithm
    density = density - v if amounts.name == "gaussian" else density
    known = ~np.isnan(z)
    found = events.log_density(etas[0], np.where(known, z, 0.0)) + np.where(y > 0, density, 0.0)
    return np.where(known, found, np.nan)


def linear_predictors(values: Any, coef: np.ndarray, intercept: np.ndarray | float) -> np.ndarray:
    """η (n_samples, n_neurons) in float64, of checked features."""
    found = [product64(rows, np.atleast_2d(coef)) for _, _, rows in parts_of(values)]
    return np.concatenate(found) + np.atleast_1d(intercept)


def likeliest_dispersion(family: str, unit: np.ndarray, s: np.ndarray) -> np.ndarray:
    """φ of the largest likelihood from unit deviances and weights (n_samples, n_neurons); 1 where nothing varies."""
    total = s.sum(axis=0)
    mean = np.where(s > 0, s * np.where(s > 0, unit, 0), 0).sum(axis=0) / np.where(total > 0, total, 1)
    usable = np.isfinite(mean) & (mean > 0)
    mean = np.where(usable, mean, 1.0)
    if family != "gamma":
        return np.where(usable, mean, 1.0)
    # log k − ψ(k) is half the mean deviance, for the shape k; Minka's start is within 1.5 % of it
    half = mean / 2
    k = (3 - half + np.sqrt((half - 3) ** 2 + 24 * half)) / (12 * half)
    for _ in range(STEPS):
        ahead = k - (np.log(k) - psi(k) - half) / (1 / k - polygamma(1, k))
        k = np.where(ahead > 0, ahead, k / 2)
    return np.where(usable, 1 / k, 1.0)


def held_out_deviances(model: GLMCV) -> tuple[np.ndarray, np.ndarray]:
    """Deviance of held-out samples at the selected strengths, and around their mean; 0 where there are none."""
    own = at_strengths(model.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1)
    return np.nansum(own, axis=0), np.nan_to_num(model.cv_null_deviance_)

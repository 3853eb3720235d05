"""Relaxed fits of a `GLMCV`: blends of penalised and unpenalised weights, their held-out deviance, and the choice."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from popglm.checks import is_iterable, is_number
from popglm.estimators.attributes import Attributes
from popglm.estimators.deviance_loss import deviance_loss
from popglm.estimators.progress import fit_progress
from popglm.estimators.validation import warn_neurons
from popglm.messages import shown
from popglm.numbers import holds_flags, numbers_of
from popglm.solve.passes.coordinates import product64
from popglm.solve.passes.samples import FitData
from popglm.solve.relaxed import RelaxedFits, relax
from popglm.solve.result import PopulationFit
from popglm.solve.settings import Settings
from popglm.solve.sparse.rows import parts_of, some_rows
from popglm.statistics.selection import at_strengths, select_strengths
from popglm.warnings import ConvergenceWarning

__all__ = [
    "blend_weights",
    "check_relaxed",
    "fit_relaxed",
    "forget_relaxed",
    "of_gammas",
    "select_blends",
]

#: Shares of the penalised weights that are tried unless others are given, as in glmnet.
GAMMAS = (1.0, 0.75, 0.5, 0.25, 0.0)
#: Shares at most: beyond, neighbours differ by less than any selection can tell.
MOST_GAMMAS = 100
#: What relaxed fits leave on a model; arrays, and dicts of those of the family's parameters.
ARRAYS = (
    *("gammas_", "gamma_", "relaxed_coef_path_", "relaxed_intercept_path_", "relaxed_gap_"),
    *("cv_relaxed_coef_path_", "cv_relaxed_intercept_path_", "cv_relaxed_gap_", "cv_relaxed_deviance_"),
)
PARAMETERS = ("relaxed_family_parameters_path_", "cv_relaxed_family_parameters_path_")


def check_relaxed(model: Attributes, settings: Settings) -> np.ndarray | None:
    """The shares γ of the penalised weights to try, falling; None where nothing is to be relaxed.

    Raises
    ------
    ValueError
    """
    found = model.relaxed
    if found is None or (isinstance(found, bool | np.bool_) and not found):
        return None
    gammas = np.array(GAMMAS)
    if not isinstance(found, bool | np.bool_):
        if is_number(found) or not is_iterable(found) or isinstance(found, str | bytes):
            raise ValueError(
                f"relaxed={shown(found)} must be True, False or a sequence of shares of the penalised weights, each "
                "from 0 (all weights without a penalty) to 1."
            )
        given = numbers_of(found, "relaxed")
        if holds_flags(found):
            raise ValueError("relaxed holds True or False in a sequence; give relaxed=True, or numbers from 0 to 1.")
        if given.ndim != 1 or not 1 <= len(given) <= MOST_GAMMAS:
            raise ValueError(
                f"relaxed must be True, False or a sequence of 1 to {MOST_GAMMAS} numbers; it has shape {given.shape}."
            )
        bad = np.flatnonzero(~((given >= 0) & (given <= 1)))
        if len(bad):
            raise ValueError(
                f"relaxed: shares of the penalised weights lie from 0 to 1; entry {bad[0]} is {given[bad[0]]:g}."
            )
        gammas = np.unique(given.astype(float))[::-1]
    if not settings.penalty.l1_ratio > 0:
        raise ValueError(
            f"relaxed has nothing to relax under penalty={model.penalty!r}, which chooses no columns; use 'lasso', "
            "'group_lasso', 'sparse_group_lasso', 'elastic_net' or a concave penalty such as 'mcp'."
        )
    if settings.penalty.bounds is not None:
        raise ValueError("relaxed weights know no constraints, and would leave them; use relaxed=False.")
    if settings.first_order is not None:
        raise ValueError(
            "relaxed needs fits that end at a minimum, and first-order solvers do not; use solver='auto' and a smooth "
            "inverse_link."
        )
    return gammas


def forget_relaxed(model: Attributes) -> None:
    """Take what an earlier fit has relaxed off a model."""
    for name in ARRAYS:
        setattr(model, name, None)
    for name in PARAMETERS:
        setattr(model, name, {})


def fit_relaxed(
    model: Attributes, gammas: np.ndarray, data: FitData, settings: Settings, fit: PopulationFit, refit: bool
) -> None:
    """Set paths of relaxed weights and the held-out deviance of blends.

    Parameters
    ----------
    data : FitData

    Warns
    -----
    PopglmWarning
        Names neurons that keep penalised weights, since no finite ones are best.
    ConvergenceWarning
        Names neurons whose relaxed fits did not reach `tol`.
    """
    began = time.perf_counter()
    n_neurons, n_fits = data.Y.shape[1], len(data.splits) + int(refit)
    with (
        np.errstate(all="ignore"),
        data.engine.session(),
        fit_progress(model.verbose, n_neurons, n_fits, 1, "relaxed fit") as advance,
    ):
        told = None if advance is None else lambda i, share: advance(i, -1, share=share)
        found = relax(data, settings, fit, refit, told)
        first = int(refit)
        model.gammas_ = gammas
        model.relaxed_coef_path_ = found.coef[0] if refit else None
        model.relaxed_intercept_path_ = found.intercept[0] if refit else None
        model.relaxed_gap_ = found.gap[0] if refit else None
        model.cv_relaxed_coef_path_, model.cv_relaxed_intercept_path_ = found.coef[first:], found.intercept[first:]
        model.cv_relaxed_gap_ = found.gap[first:]
        kinds = [kind.name for kind in model.loss_.parameters]
        for name, each in zip(PARAMETERS, (found.parameters[0], found.parameters[first:]), strict=True):
            setattr(model, name, {kind: each[..., i].copy() for i, kind in enumerate(kinds)})
        if not refit:
            model.relaxed_family_parameters_path_ = {}
        model.cv_relaxed_deviance_ = _held_out(model, data, fit, found, first)
    model.timings_["relaxed"] = time.perf_counter() - began
    names = model.neuron_names_
    warn_neurons(
        "Without a penalty no finite weights are best in the columns that were chosen, at some strength or in a fold: "
        "a column, or a combination, tells samples with events from those without. There relaxed weights are the "
        "penalised ones",
        np.flatnonzero(found.unbounded.any(axis=(0, 1))),
        names,
    )
    precise = "" if model.precision == "float64" else ", or use precision='float64'"
    warn_neurons(
        f"Relaxed fits are not within tol={model.tol:g} of the minimum after max_iter={model.max_iter} steps, or as "
        f"far as precision={model.precision!r} goes (raise max_iter or tol{precise})",
        np.flatnonzero((~(found.gap <= model.tol)).any(axis=(0, 1))),
        names,
        ConvergenceWarning,
    )


def _held_out(model: Any, data: FitData, fit: PopulationFit, found: RelaxedFits, first: int) -> np.ndarray:
    """Held-out deviance of all blends, shape (n_gammas, n_folds, n_lambdas, n_neurons)."""
    _, X, Y, weights, offset, splits = data
    deviance = np.stack([fit.cv_deviance] * len(model.gammas_))
    # the penalised weights alone have theirs from the fit, and so have those that nothing has changed; a neuron that
    # went no further has none
    coef, intercept = found.coef[first:], found.intercept[first:]
    moved = ((coef != fit.cv_coef).any(axis=-1) | (intercept != fit.cv_intercept)) & ~np.isnan(fit.cv_deviance)
    deviance[np.asarray(model.gammas_) < 1] *= ~moved
    for begin, end, block in parts_of(X):
        for i, (_, test) in enumerate(splits):
            rows = test[(test >= begin) & (test < end)]
            x, y = some_rows(block, rows - begin), Y[rows]
            shift = 0.0 if offset is None else np.asarray(offset, float)[rows, None]
            s = ~np.isnan(y) * (1.0 if weights is None else np.reshape(weights[rows], (len(rows), -1)))
            y = np.nan_to_num(y, nan=0.0)
            for k, own in ((k, np.flatnonzero(one)) for k, one in enumerate(moved[i])):
                penalised = product64(x, fit.cv_coef[i, k, own]) + fit.cv_intercept[i, k, own] + shift
                free = product64(x, coef[i, k, own]) + intercept[i, k, own] + shift
                loss = deviance_loss(model, own, folds=i)
                for g, gamma in enumerate(model.gammas_):
                    if gamma < 1:
                        unit = loss.deviance(gamma * penalised + (1 - gamma) * free, y[:, own])
                        deviance[g, i, k, own] += np.sum(s[:, own] * unit, axis=0, where=s[:, own] > 0)
    return deviance


def select_blends(model: Any, se_fraction: float, min_lambda: float) -> tuple[np.ndarray, np.ndarray]:
    """The strength of every neuron as `select_strengths` returns it, and its share γ; of equal ones the larger."""
    deviance, grid = model.cv_relaxed_deviance_, model.lambda_path_
    n_gammas, n_folds, n_lambdas, q = deviance.shape
    # strengths fall, and at each of them the shares
    every = np.moveaxis(deviance, 0, 2).reshape(n_folds, n_lambdas * n_gammas, q)
    rule = se_fraction, min_lambda, model.cv_null_model_deviance_, model.null_margin_
    found = select_strengths(every, np.repeat(grid, n_gammas, axis=0), *rule)
    null = found == n_lambdas * n_gammas
    return np.where(null, n_lambdas, found // n_gammas), np.where(null, 1.0, model.gammas_[found % n_gammas])


def of_gammas(model: Any) -> np.ndarray:
    """Held-out deviance at the share γ of every neuron, shape (n_folds, n_lambdas, n_neurons)."""
    place = np.abs(model.gammas_[:, None] - model.gamma_).argmin(axis=0)
    chosen = model.cv_relaxed_deviance_[place, :, :, np.arange(len(place))]
    return np.moveaxis(chosen, 0, 2)


def blended(gamma: np.ndarray, penalised: np.ndarray, path: np.ndarray, index: np.ndarray, axis: int = 0) -> np.ndarray:
    """γ of the penalised weights and 1 − γ of those at the strengths of a relaxed path; the first for the null model.

    In float64: rounded, blends of weights would not fit those of intercepts where a column has a large mean.

    Parameters
    ----------
    gamma : ndarray, shape (n_neurons,)
    penalised : ndarray, shape (..., n_neurons, ...)
    path : ndarray, shape (..., n_lambdas, n_neurons, ...)
        With the strengths along ``axis``.
    index : ndarray of int, shape (n_neurons,)

    Examples
    --------
    >>> path = np.array([[4.0, 4.0], [2.0, 2.0]])
    >>> blended(np.array([1.0, 0.5]), np.array([1.0, 1.0]), path, np.array([1, 1]))
    array([1. , 1.5])
    """
    relaxed = at_strengths(path, index, np.nan, axis)
    shape = [1] * penalised.ndim
    shape[axis] = len(gamma)
    share = np.where(index == path.shape[axis], 1.0, gamma).reshape(shape)
    mixed = share * penalised + (1 - share) * np.where(share < 1, relaxed, 0)
    return np.where(share < 1, mixed, penalised)


def blend_weights(model: Any) -> None:
    """Put blends in the place of the penalised weights at the chosen strengths."""
    index, gamma = model.lambda_index_, model.gamma_
    if model.coef_path_ is not None:
        coef, intercept = (
            blended(gamma, np.reshape(getattr(model, f"{name}_"), path.shape[1:]), path, index)
            for name, path in (("coef", model.relaxed_coef_path_), ("intercept", model.relaxed_intercept_path_))
        )
        model.coef_ = np.reshape(coef, np.shape(model.coef_))
        model.intercept_ = float(intercept[0]) if np.ndim(model.intercept_) == 0 else intercept
        for name, path in model.relaxed_family_parameters_path_.items():
            model.family_parameters_[name] = blended(gamma, model.family_parameters_[name], path, index)
    if model.cv_relaxed_coef_path_ is None:
        return
    for name in ("coef", "intercept"):
        path = getattr(model, f"cv_relaxed_{name}_path_")
        setattr(model, f"cv_{name}_", blended(gamma, getattr(model, f"cv_{name}_"), path, index, axis=1))
    for name, path in model.cv_relaxed_family_parameters_path_.items():
        model.cv_family_parameters_[name] = blended(gamma, model.cv_family_parameters_[name], path, index, axis=1)

"""Paths of fits to some of the columns: what the full model knows of them, and what re-fits found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.estimators import GLMCV
from popglm.explain.contributions import take_columns

__all__ = ["Found", "ReducedPaths"]


@dataclass(eq=False)
class ReducedPaths:
    """Paths of fits to some of the columns, as far as they are known.

    Attributes
    ----------
    coef : ndarray, shape (n_fits, n_lambdas, n_neurons, n_kept)
        The fit to all rows comes first if there is one. Those of the full model at strengths that are not fitted yet.
    intercept : ndarray, shape (n_fits, n_lambdas, n_neurons)
    deviance : ndarray, shape (n_folds, n_lambdas, n_neurons)
        Of held-out rows.
    known, fitted : ndarray of int, shape (n_neurons,)
        Strengths at which every fit is known, and down to which the full model was fitted.
    null_deviance, null_coef, null_intercept : ndarray, shape (n_folds, n_neurons), (n_fits, n_neurons, n_kept), \
(n_fits, n_neurons)
        Of the null models.
    """

    coef: np.ndarray
    intercept: np.ndarray
    deviance: np.ndarray
    known: np.ndarray
    fitted: np.ndarray
    null_deviance: np.ndarray
    null_coef: np.ndarray
    null_intercept: np.ndarray

    @classmethod
    def make(cls, model: GLMCV, kept: np.ndarray, on_all_rows: bool) -> ReducedPaths:
        """What the full model knows of the columns ``kept`` alone."""
        coef, intercept = _paths(model, on_all_rows)
        null_coef, null_intercept = _nulls(model, on_all_rows)
        removed = np.setdiff1d(np.arange(coef.shape[-1]), kept)
        has_weight = (coef[..., removed] != 0).any(axis=(0, -1))
        fitted = model.n_lambdas_fitted_
        # until the first strength at which the other columns have a weight, the full model's path is the reduced one's
        entry = np.minimum(np.where(has_weight.any(axis=0), has_weight.argmax(axis=0), len(has_weight)), fitted)
        return cls(
            take_columns(coef, kept), intercept.copy(), model.cv_deviance_.copy(), entry, fitted,
            model.cv_null_model_deviance_.copy(), take_columns(null_coef, kept), null_intercept.copy(),
        )  # fmt: skip

    def starts(self, neurons: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Where fits of some neurons begin at the strengths ``index`` (n, m): (n_fits, n, m, n_kept).

        That is where the same fit of the full model ended, without the other columns.
        """
        return np.where((index < self.fitted[neurons])[..., None], self.coef[:, index, neurons], np.nan)

    def put(self, found: Found, neurons: np.ndarray, index: np.ndarray) -> None:
        """Take in what was found for some neurons at the strengths ``index`` (n, m), as far as these were fitted."""
        k, m = np.nonzero(np.arange(len(index))[:, None] < found.fitted)
        at = index[k, m], neurons[m]
        self.coef[:, *at], self.intercept[:, *at] = found.coef[:, k, m], found.intercept[:, k, m]
        self.deviance[:, *at] = found.deviance[:, k, m]
        self.null_deviance[:, neurons] = found.null_deviance
        self.null_coef[:, neurons], self.null_intercept[:, neurons] = found.null_coef, found.null_intercept
        np.maximum.at(self.known, at[1], at[0] + 1)

    def known_deviance(self) -> np.ndarray:
        """The deviance, NaN at strengths that are not fitted yet."""
        return np.where(np.arange(self.deviance.shape[1])[:, None] < self.known, self.deviance, np.nan)


@dataclass(eq=False)
class Found:
    """What re-fits of some neurons found; attributes as of `ReducedPaths`, with neurons in the order of the re-fits.

    Attributes
    ----------
    fitted : ndarray of int, shape (n,)
        Strengths.
    late : ndarray of bool, shape (n,)
        Whether one of a neuron's fits ended outside `tol`.
    """

    fitted: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    deviance: np.ndarray
    null_deviance: np.ndarray
    null_coef: np.ndarray
    null_intercept: np.ndarray
    late: np.ndarray

    @classmethod
    def of(cls, refit: GLMCV, on_all_rows: bool, late: np.ndarray) -> Found:
        """That of fitted models."""
        return cls(
            refit.n_lambdas_fitted_, *_paths(refit, on_all_rows), refit.cv_deviance_, refit.cv_null_model_deviance_,
            *_nulls(refit, on_all_rows), late,
        )  # fmt: skip

    def part(self, some: slice, kept: np.ndarray) -> Found:
        """Some of the neurons, with the columns ``kept`` alone."""
        return Found(
            self.fitted[some], take_columns(self.coef[:, :, some], kept), self.intercept[:, :, some],
            self.deviance[:, :, some], self.null_deviance[:, some], take_columns(self.null_coef[:, some], kept),
            self.null_intercept[:, some], self.late[some],
        )  # fmt: skip


def _paths(model: GLMCV, on_all_rows: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts of all fits, that to all rows first if it is asked for."""
    if not on_all_rows:
        return model.cv_coef_path_, model.cv_intercept_path_
    coef = np.concatenate([model.coef_path_[None], model.cv_coef_path_])
    return coef, np.concatenate([model.intercept_path_[None], model.cv_intercept_path_])


def _nulls(model: GLMCV, on_all_rows: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same of the null models."""
    coef, intercept = model.cv_null_coef_, model.cv_null_intercept_
    if coef is None:
        coef = np.zeros_like(model.cv_coef_path_[:, 0])
    if not on_all_rows:
        return coef, intercept
    of_all = np.zeros_like(coef[0]) if model.null_coef_ is None else model.null_coef_
    return np.concatenate([of_all[None], coef]), np.concatenate([model.null_intercept_[None], intercept])

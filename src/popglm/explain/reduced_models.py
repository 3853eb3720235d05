"""Fits of a model's data to some of its columns: where they begin, and how far they go."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from popglm.estimators import GLMCV
from popglm.estimators.starts import OwnPaths
from popglm.explain.contributions import Predictor, take_columns
from popglm.explain.data_of_fit import has_one_minimum, has_stages
from popglm.messages import listed
from popglm.solve.given_models import GivenModels
from popglm.solve.stream import RowStream
from popglm.statistics.ends import ClearTurn, strengths_to_last_fall, turned_strengths
from popglm.statistics.null import null_models
from popglm.statistics.selection import at_strengths, select_strengths
from popglm.warnings import ConvergenceWarning, warn

__all__ = ["OF_TOL", "Refits", "settings_of_columns", "warn_of_late_refits"]

#: Re-fits that begin near their minima end just within a tolerance, fits that come from afar well within it: for the
#: same accuracy they need a smaller one.
OF_TOL = 0.5
#: With models of the full model's fits steps are nearly Newton's, and a smaller share costs hardly more.
OF_TOL_NEAR = 0.2


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

    def put(self, refit: GLMCV, neurons: np.ndarray, index: np.ndarray, on_all_rows: bool) -> None:
        """Take in what was found for some neurons at the strengths ``index`` (n, m), as far as these were fitted."""
        k, m = np.nonzero(np.arange(len(index))[:, None] < refit.n_lambdas_fitted_)
        at = index[k, m], neurons[m]
        coef, intercept = _paths(refit, on_all_rows)
        self.coef[:, *at], self.intercept[:, *at] = coef[:, k, m], intercept[:, k, m]
        self.deviance[:, *at] = refit.cv_deviance_[:, k, m]
        self.null_deviance[:, neurons] = refit.cv_null_model_deviance_
        self.null_coef[:, neurons], self.null_intercept[:, neurons] = _nulls(refit, on_all_rows)
        np.maximum.at(self.known, at[1], at[0] + 1)

    def known_deviance(self) -> np.ndarray:
        """The deviance, NaN at strengths that are not fitted yet."""
        return np.where(np.arange(self.deviance.shape[1])[:, None] < self.known, self.deviance, np.nan)


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


def settings_of_columns(model: Any, kept: np.ndarray, neurons: np.ndarray | slice = slice(None)) -> dict[str, Any]:
    """What an estimator of the columns ``kept`` alone, of some neurons, has of a model's groups, mask and factors."""
    groups, factors, mask = model.feature_group_names_, model.penalty_factors_, model.feature_mask_
    factors = _of_groups(model, factors if factors is None or factors.ndim == 1 else factors[:, neurons], kept)
    labels = np.repeat(groups, model.feature_group_sizes_)[kept].tolist()
    held = {str(name): kind for name, kind in (model.constraints or {}).items() if str(name) in labels}
    return {
        **({"constraints": held or None} if model.constraints else {}),
        "feature_groups": labels or ["none"],
        "feature_shapes": _of_groups(model, model.feature_shapes_, kept),
        # no columns are a fit to one of zeros, which every neuron may have
        "feature_mask": None if mask is None or not len(kept) else mask[kept][:, neurons],
        # those of the adaptive lasso are found anew
        "penalty_factors": factors if model.adaptive_factors_ is None else model.penalty_factors,
    }


def _of_groups(model: Any, values: Sequence[Any] | np.ndarray | None, kept: np.ndarray) -> list[Any] | None:
    """Those of the feature groups that have some of the columns ``kept``; groups are kept whole."""
    if values is None or not len(kept):
        return None
    group = np.repeat(np.arange(len(model.feature_group_sizes_)), model.feature_group_sizes_)
    return [values[g] for g in np.unique(group[kept])]


@dataclass(eq=False)
class ReducedFit:
    """A fit to some of the columns, at the strengths chosen for it.

    Attributes
    ----------
    variable : str
    kept : ndarray of int
        Its columns.
    coef : ndarray, shape (n_fits, n_neurons, n_kept)
    intercept : ndarray, shape (n_fits, n_neurons)
    strength : ndarray, shape (n_neurons,)
    late : int
        Neurons outside `tol`.
    """

    variable: str
    kept: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    strength: np.ndarray
    late: int

    def predictor(self, full: Predictor) -> Predictor:
        """Its predictions of the rows of the full model's."""
        reduced = full.restricted(self.kept)
        # what is scored by the fit to all rows has that alone
        for (_, own_coef, own_intercept), w, b in zip(reduced.parts, self.coef, self.intercept, strict=False):
            own_coef[:], own_intercept[:] = w, b
        return reduced


@dataclass(eq=False)
class Refits:
    """Fits of a model's data to some of its columns.

    Attributes
    ----------
    Y : DataFrame, shape (n_samples, n_neurons)
    sample_weight : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    on_all_rows : bool
        Whether there are fits to all rows.
    reselect, weaker
        As in `compare`.
    models : GivenModels, optional
        Of the full model's fits.
    """

    model: GLMCV
    X: np.ndarray | RowStream
    Y: pd.DataFrame
    sample_weight: np.ndarray | None
    offset: np.ndarray | None
    on_all_rows: bool
    reselect: bool = True
    weaker: int | None = 1
    models: GivenModels | None = None

    def __post_init__(self) -> None:
        model = self.model
        self.n_lambdas = len(model.lambda_path_)
        # optimisers that see gradients alone begin nowhere but at the null model
        smooth = model.loss_.is_smooth and model.solver in ("auto", "quasi-newton")
        # where there is more than one minimum, a start would say which
        self.has_starts = smooth and has_one_minimum(model)
        weight, splits = self.sample_weight, model.splits_ or []
        self.null = null_models(model.loss_, self.Y.to_numpy(), weight, self.offset, splits, bool(model.fit_intercept))

    def fit(self, variable: str, kept: np.ndarray) -> ReducedFit:
        """The fit to the columns ``kept`` alone; ``variable`` is what messages call it."""
        model, late = self.model, 0
        if has_stages(model):
            return self._in_stages(variable, kept)
        paths = ReducedPaths.make(model, kept, self.on_all_rows)
        if not self.has_starts:
            paths.known = np.zeros_like(paths.known)
        before, goal, ends = paths.known.copy(), self._goal(kept), None
        if self.reselect and self.weaker is not None:
            ends = ClearTurn(paths.known_deviance(), before, self._least(self.weaker), paths.null_deviance.copy())
            # a neuron may have turned before the other columns had a weight
            goal = np.where(turned_strengths(ends.before, ends.least, ends.null) < self.n_lambdas, 0, goal)
        going = np.flatnonzero(paths.known < goal)
        if len(going):
            late = self._walk(kept, paths, going, goal[going], ends and ends.of(going, np.ones(len(going))))
        index = model.lambda_index_
        if self.reselect:
            found = select_strengths(
                paths.known_deviance(), model.lambda_path_, *model.selection_rule_, paths.null_deviance,
                model.null_margin_,
            )  # fmt: skip
            index = np.where(paths.known > before, found, index)
        coef = at_strengths(paths.coef, index, paths.null_coef, axis=1)
        intercept = at_strengths(paths.intercept, index, paths.null_intercept, axis=1)
        return ReducedFit(variable, kept, coef, intercept, at_strengths(model.lambda_path_, index, np.inf), late)

    def _in_stages(self, variable: str, kept: np.ndarray) -> ReducedFit:
        """`fit` of a model whose adaptive factors are found anew, and whose relaxed fits are made again."""
        model = self.model
        refit, late = self._refit(kept, np.arange(self.Y.shape[1]), model.lambda_path_, None)
        if self.reselect:
            se_fraction, min_lambda = model.selection_rule_
            refit.select(se_fraction=se_fraction, min_lambda=min_lambda)
        else:
            refit.gamma_ = model.gamma_
            refit.take_strengths(model.lambda_index_)
        coef, intercept = refit.cv_coef_, refit.cv_intercept_
        if self.on_all_rows:
            coef = np.concatenate([np.reshape(refit.coef_, (1, *coef.shape[1:])), coef])
            intercept = np.concatenate([np.reshape(refit.intercept_, (1, -1)), intercept])
        return ReducedFit(variable, kept, coef, intercept, refit.lambda_, late)

    def _goal(self, kept: np.ndarray) -> np.ndarray:
        """Strengths down to which every re-fit goes at most, (n_neurons,)."""
        model = self.model
        if self.reselect:
            # those that could be selected
            return np.maximum((model.lambda_path_ >= model.selection_rule_[1]).sum(axis=0), 1)
        free = model.penalty_.free
        removed = np.setdiff1d(np.arange(self.X.shape[1]), kept)
        # the null model has no column to lose but those that are never penalised
        lost = int(free is not None and free[removed].any())
        return np.where(model.lambda_index_ == self.n_lambdas, lost, model.lambda_index_ + 1)

    def _least(self, weaker: int) -> np.ndarray:
        """Strengths down to which every re-fit goes at least, (n_neurons,)."""
        model, deviance = self.model, self.model.cv_deviance_
        # by another rule than the best, the best counts all the same
        best = select_strengths(deviance, model.lambda_path_, 0.0, model.selection_rule_[1])
        best = np.where(model.lambda_index_ == self.n_lambdas, 0, np.maximum(best, model.lambda_index_))
        last_fall = strengths_to_last_fall(deviance, model.cv_null_model_deviance_)
        return np.maximum(best + 1 + min(weaker, self.n_lambdas), last_fall)

    def _walk(
        self, kept: np.ndarray, paths: ReducedPaths, going: np.ndarray, goal: np.ndarray, ends: ClearTurn | None
    ) -> int:
        """Fit some neurons at the strengths from those that are known to ``goal`` (m,), or at the last alone.

        Returns how many ended outside `tol`.
        """
        model, known = self.model, paths.known[going]
        index = np.minimum(known + np.arange((goal - known).max())[:, None], goal - 1)
        if not self.reselect and has_one_minimum(model):
            index = index[-1:]
        models = None
        if self.models is not None and self.has_starts and len(kept):
            blocks = np.unique(model.penalty_.block_of_column[kept])
            models = self.models.of(going).of_blocks(blocks, kept)
        start = OwnPaths(paths.starts(going, index) if self.has_starts else None, ends, self.null.take(going), models)
        refit, late = self._refit(kept, going, model.lambda_path_[index, going], start)
        paths.put(refit, going, index, self.on_all_rows)
        return late

    def _refit(
        self, kept: np.ndarray, going: np.ndarray, lambdas: np.ndarray, start: OwnPaths | None
    ) -> tuple[GLMCV, int]:
        """Some neurons fitted to the columns ``kept`` at strengths (n, m), and how many ended outside `tol`."""
        model = self.model
        refit = clone(model).set_params(
            **settings_of_columns(model, kept, going),
            lambdas=None if model.penalty == "none" else lambdas,
            cv=model.splits_,
            refit=self.on_all_rows,
            patience=None,
            tol=model.tol * (OF_TOL if start is None or start.models is None else OF_TOL_NEAR),
            verbose=0,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            X, Y = take_columns(self.X, kept), self.Y.iloc[:, going]
            weight = self.sample_weight
            weight = weight if weight is None or weight.ndim == 1 else weight[:, going]
            refit.fit(X, Y, sample_weight=weight, offset=self.offset, start=start)
        if not any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            return refit, 0
        gaps = np.concatenate([refit.cv_gap_, refit.gap_[None]]) if self.on_all_rows else refit.cv_gap_
        return refit, int((gaps > model.tol).any(axis=(0, 1)).sum())


def warn_of_late_refits(model: Any, late: dict[str, int]) -> None:
    """Tell of re-fits that left so many neurons outside the model's `tol`, by variable."""
    if any(late.values()):
        told = listed(f"{name!r} ({count} {model.noun}s)" for name, count in late.items() if count)
        warn(
            f"compare: re-fits left {model.noun}s outside tol={model.tol:g}: {told}. Fit the model with a larger "
            f"max_iter or tol{'' if model.precision == 'float64' else ', or precision=' + repr('float64')}.",
            ConvergenceWarning,
        )

"""Fits of a model's data to some of its columns: where they begin, and how far they go."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from popglm.estimators import GLMCV
from popglm.estimators.starts import OwnPaths
from popglm.explain.contributions import Predictor, take_columns
from popglm.explain.data_of_fit import has_one_minimum, has_stages, may_close_groups
from popglm.explain.reduced_paths import Found, ReducedPaths
from popglm.messages import listed
from popglm.solve.local_models.given_models import GivenModels
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
#: Bytes of what neurons of re-fits hold that are fitted in one batch.
BATCH_BYTES = 2**28
#: Share of the columns that a re-fit keeps at least where it goes with others, who share all of them.
LEAST_KEPT = 0.5


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
class _Task:
    """The neurons that are to be fitted without a variable.

    Attributes
    ----------
    variable : str
    kept : ndarray of int
        Columns.
    paths : ReducedPaths
    before : ndarray of int, shape (n_neurons,)
        Strengths that were known of every neuron.
    going, goal : ndarray of int, shape (n,)
        Neurons, and down to which strengths they are fitted at most.
    ends : ClearTurn or None
        Of these neurons.
    late : int
        How many of them ended outside `tol`.
    """

    variable: str
    kept: np.ndarray
    paths: ReducedPaths
    before: np.ndarray
    going: np.ndarray
    goal: np.ndarray
    ends: ClearTurn | None
    late: int = 0


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
        if has_stages(self.model):
            return self._in_stages(variable, kept)
        task = self._task(variable, kept)
        if len(task.going):
            self._walk(task)
        return self._chosen(task)

    def fit_together(self, variables: Sequence[str], kept: Sequence[np.ndarray]) -> Iterator[ReducedFit]:
        """`fit` of several variables, in order: in one batch as many as there is room for, where they may be."""
        if not (self.has_starts and may_close_groups(self.model, self.X)):
            yield from map(self.fit, variables, kept)
            return
        waiting: list[_Task] = []
        most = max(int(BATCH_BYTES // self._bytes_of_neuron), 1)
        for task in map(self._task, variables, kept):
            if waiting and sum(len(own.going) for own in (*waiting, task)) > most:
                yield from self._conclude(waiting)
                waiting = []
            waiting.append(task)
        yield from self._conclude(waiting)

    @property
    def _n_fits(self) -> int:
        """Of every re-fit."""
        return len(self.model.splits_ or []) + self.on_all_rows

    @property
    def _bytes_of_neuron(self) -> float:
        """About what a neuron of a re-fit holds: activity in two precisions, paths in two places, curvature pairs."""
        return 12 * len(self.Y) + 8 * self.X.shape[1] * self._n_fits * (2 * self.n_lambdas + 30)

    def _conclude(self, tasks: list[_Task]) -> Iterator[ReducedFit]:
        """Fits of some variables in one batch; one by one those that would have few columns, or are by themselves."""
        going = [task for task in tasks if len(task.going)]
        wide = [task for task in going if len(task.kept) >= LEAST_KEPT * self.X.shape[1]]
        if len(wide) > 1:
            self._walk_together(wide)
            going = [task for task in going if task not in wide]
        for task in going:
            self._walk(task)
        yield from map(self._chosen, tasks)

    def _task(self, variable: str, kept: np.ndarray) -> _Task:
        """What is to be fitted of a variable."""
        paths = ReducedPaths.make(self.model, kept, self.on_all_rows)
        if not self.has_starts:
            paths.known = np.zeros_like(paths.known)
        before, goal, ends = paths.known.copy(), self._goal(kept), None
        if self.reselect and self.weaker is not None:
            ends = ClearTurn(paths.known_deviance(), before, self._least(self.weaker), paths.null_deviance.copy())
            # a neuron may have turned before the other columns had a weight
            goal = np.where(turned_strengths(ends.before, ends.least, ends.null) < self.n_lambdas, 0, goal)
        going = np.flatnonzero(paths.known < goal)
        own = ends and ends.of(going, np.ones(len(going)))
        return _Task(variable, kept, paths, before, going, goal[going], own)

    def _chosen(self, task: _Task) -> ReducedFit:
        """The fits at the strengths that are selected."""
        model, paths = self.model, task.paths
        index = model.lambda_index_
        if self.reselect:
            found = select_strengths(
                paths.known_deviance(), model.lambda_path_, *model.selection_rule_, paths.null_deviance,
                model.null_margin_,
            )  # fmt: skip
            index = np.where(paths.known > task.before, found, index)
        coef = at_strengths(paths.coef, index, paths.null_coef, axis=1)
        intercept = at_strengths(paths.intercept, index, paths.null_intercept, axis=1)
        strength = at_strengths(model.lambda_path_, index, np.inf)
        return ReducedFit(task.variable, task.kept, coef, intercept, strength, task.late)

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
        return ReducedFit(variable, kept, coef, intercept, refit.lambda_, int(late.sum()))

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

    def _index(self, known: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Numbers of the strengths (n, m) from those that are known to ``goal`` (m,), or of the last alone."""
        index = np.minimum(known + np.arange((goal - known).max())[:, None], goal - 1)
        return index[-1:] if not self.reselect and has_one_minimum(self.model) else index

    def _walk(self, task: _Task) -> None:
        """Fit the neurons of a task to the columns that it keeps."""
        model, paths, kept, going = self.model, task.paths, task.kept, task.going
        index = self._index(paths.known[going], task.goal)
        models = None
        if self.models is not None and self.has_starts and len(kept):
            blocks = np.unique(model.penalty_.block_of_column[kept])
            models = self.models.of(going).of_blocks(blocks, kept)
        coef = paths.starts(going, index) if self.has_starts else None
        start = OwnPaths(coef, task.ends, self.null.take(going), models)
        refit, late = self._refit(kept, going, model.lambda_path_[index, going], start)
        found = Found.of(refit, self.on_all_rows, late)
        paths.put(found, going, index)
        task.late = int(found.late.sum())

    def _walk_together(self, tasks: list[_Task]) -> None:
        """Fit the neurons of several tasks at once, to all columns: those that a task leaves out are closed to it."""
        model, p = self.model, self.X.shape[1]
        going = np.concatenate([task.going for task in tasks])
        known = np.concatenate([task.paths.known[task.going] for task in tasks])
        index = self._index(known, np.concatenate([task.goal for task in tasks]))
        edges = np.cumsum([0, *(len(task.going) for task in tasks)])
        parts = [slice(*own) for own in pairwise(edges)]
        coef = np.zeros((self._n_fits, *index.shape, p), tasks[0].paths.coef.dtype)
        closed = np.ones((len(going), len(model.penalty_.block_sizes)), bool)
        for task, some in zip(tasks, parts, strict=True):
            # no start is NaN in all columns
            starts = task.paths.starts(task.going, index[:, some])
            coef[:, :, some] = np.where(np.isnan(starts[..., :1]), np.nan, 0)
            coef[:, :, some, task.kept] = starts
            closed[some, np.unique(model.penalty_.block_of_column[task.kept])] = False
        ends = [task.ends for task in tasks if task.ends]
        models = None if self.models is None else self.models.of(going)
        start = OwnPaths(coef, ClearTurn.joined(ends) if ends else None, self.null.take(going), models, closed)
        refit, late = self._refit(np.arange(p), going, model.lambda_path_[index, going], start)
        found = Found.of(refit, self.on_all_rows, late)
        for task, some in zip(tasks, parts, strict=True):
            own = found.part(some, task.kept)
            task.paths.put(own, task.going, index[:, some])
            task.late = int(own.late.sum())

    def _refit(
        self, kept: np.ndarray, going: np.ndarray, lambdas: np.ndarray, start: OwnPaths | None
    ) -> tuple[GLMCV, np.ndarray]:
        """Some neurons (m,) fitted to the columns ``kept`` at strengths (n, m), and which ended outside `tol`."""
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
            # in a batch a neuron comes once for every variable: names would be told to be doubled
            X, Y = take_columns(self.X, kept), self.Y.to_numpy()[:, going]
            weight = self.sample_weight
            weight = weight if weight is None or weight.ndim == 1 else weight[:, going]
            refit.fit(X, Y, sample_weight=weight, offset=self.offset, start=start)
        if not any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            return refit, np.zeros(len(going), bool)
        gaps = np.concatenate([refit.cv_gap_, refit.gap_[None]]) if self.on_all_rows else refit.cv_gap_
        return refit, np.any(gaps > model.tol, axis=(0, 1))


def warn_of_late_refits(model: Any, late: dict[str, int]) -> None:
    """Tell of re-fits that left so many neurons outside the model's `tol`, by variable."""
    if any(late.values()):
        told = listed(f"{name!r} ({count} {model.noun}s)" for name, count in late.items() if count)
        warn(
            f"compare: re-fits left {model.noun}s outside tol={model.tol:g}: {told}. Fit the model with a larger "
            f"max_iter or tol{'' if model.precision == 'float64' else ', or precision=' + repr('float64')}.",
            ConvergenceWarning,
        )

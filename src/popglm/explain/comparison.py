"""Model comparison: how much worse the best model does that never had a variable."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import clone

from popglm.checks import check_flag, is_number
from popglm.estimators import GLMCV
from popglm.estimators.validation import check_as_in_fit, check_offset
from popglm.explain.binning import Bins, check_bins
from popglm.explain.contributions import (
    Activity,
    Predictor,
    Tally,
    check_activity,
    check_data_of_fit,
    check_design_matrix,
    check_splits,
    neuron_blocks,
    rows_of,
    take_columns,
)
from popglm.explain.variables import Variables, group_columns, resolve_variables
from popglm.messages import listed, shown
from popglm.solve.stream import RowStream
from popglm.warnings import ConvergenceWarning, warn

__all__ = ["compare"]


def compare(
    model: GLMCV,
    X: Any,
    Y: Any,
    variables: Variables = None,
    by: Bins | Iterable[Bins] | None = None,
    *,
    method: str = "remove",
    test: tuple[Any, ...] | None = None,
    reselect: bool = True,
    weaker: int | None = 1,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    """Deviance that only a variable can explain, by fitting again without it.

    For every variable a model without its columns is fitted, cross-validated on the folds of the full model and
    selected by the same rule; the rise of the deviance is the variable's unique contribution. What correlated variables
    explain together belongs to none of them: see `breakdown` for the other view.

    Parameters
    ----------
    model : GLMCV
        Fitted to X and Y: the full model.
    X : array-like, DataFrame or RowStream, shape (n_samples, n_features)
        The design matrix of the fit.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
        The activity of the fit.
    variables : None, list of str, or mapping, optional
        As in `breakdown`.
    by : Bins or list of Bins, optional
        Bins made by `bins` from the rows that are scored: those of X, or of the test data.
    method : {"remove", "add"}
        "remove": all columns but the variable's. "add": the variable's columns alone, on top of the null model; its
        contribution is what that model explains.
    test : tuple of (X_test, Y_test) or (X_test, Y_test, offset_test), optional
        Score all models on these rows by the weights of the fits to all rows of X; unless given, each row of X is
        scored by the fold that held it out. The offset is needed if the fit had one; 0 asks for none.
    reselect : bool
        Select a strength for every re-fit; without, a neuron keeps the strength of the full model, which most would
        select again, and the re-fits take a third of the time.
    weaker : int or None
        With ``reselect``, a re-fit ends this many strengths below the one that the full model selected for a neuron,
        since a smaller model seldom wants a weaker penalty and the weakest take the longest; None walks the whole
        path. It is the one to ask for where outliers of a variable spoil the full model: its strength says nothing of
        models without that variable.
    sample_weight, offset : array-like, shape (n_samples,), optional
        As in the fit, and needed if that had them. With ``test`` they enter the fits alone.

    Returns
    -------
    xarray.Dataset
        As of `breakdown`, and ``selected_strength`` (neuron, variable), the λ of each re-fit.

    Raises
    ------
    ValueError
        If the model is not cross-validated, X or Y are not those of its fit by number, labels or held-out deviance, a
        variable fits no group (the nearest are named), or variables overlap; if the fit had sample weights or an offset
        that are not given, or those given it did not have.

    Warns
    -----
    ConvergenceWarning
        Names the variables whose re-fits left neurons outside `tol`.

    Notes
    -----
    Re-fits have the folds of the full model and walk their own paths from the null model, so that a contribution does
    not depend on where they began. Neurons in whose paths those columns are 0 throughout, as a group lasso leaves them,
    keep their fit as it is.

    References
    ----------
    Tseng, Chettih, Arlt, Barroso-Luque & Harvey (2022), Neuron 110, 2484-2502.

    Examples
    --------
    A variable and its copy: each can do without the other, so neither has anything to itself.

    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> speed, touch, trial = rng.normal(size=900), rng.normal(size=900), np.arange(900) // 10
    >>> session = {"speed": speed, "pace": speed, "touch": touch, "trial": trial}
    >>> X = pg.Design([pg.linear(v) for v in ("speed", "pace", "touch")], trial="trial").fit_transform(session)
    >>> Y = rng.poisson(np.exp(0.5 * speed + 0.5 * touch))
    >>> model = pg.GLMCV(penalty="ridge", n_lambdas=5).fit(X, Y, groups=trial)
    >>> pg.compare(model, X, Y).fraction_explained_deviance[0].to_series().round(1).abs().to_dict()
    {'speed': 0.0, 'pace': 0.0, 'touch': 0.6}
    >>> pg.breakdown(model, X, Y).fraction_explained_deviance[0].to_series().round(1).to_dict()
    {'speed': 0.1, 'pace': 0.1, 'touch': 0.6}
    """
    if not isinstance(method, str) or method not in ("remove", "add"):
        raise ValueError(f"compare: method={shown(method)} is unknown; use remove or add.")
    if weaker is not None and (not is_number(weaker, whole=True) or weaker < 0):
        raise ValueError(f"compare: weaker={shown(weaker)} must be a whole number of strengths, 0 or more, or None.")
    check_flag("compare", "reselect", reselect)
    values = check_design_matrix(model, X, "compare", held_out=True)
    check_splits(model, "compare")
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, groups)
    labels = rows_of(model, X, held_out=True)
    sample_weight, offset = check_as_in_fit(model, sample_weight, offset, len(values), labels, "compare", refits=True)
    Y = check_activity(model, Y, len(values), labels)
    check_data_of_fit(model, values, Y, sample_weight, offset, "compare")
    X_scored, Y_scored, scored_offset = (values, Y, offset) if test is None else _check_test(model, test)
    scored_weight = sample_weight if test is None else None
    full = Predictor.make(model, X_scored, scored_offset, test is None)
    axis = check_bins(by, len(X_scored), labels if test is None else rows_of(model, test[0], held_out=False))
    fold = model.fold_ if test is None else None
    activity = Activity.make(model, Y_scored, len(X_scored), full.rows, scored_weight, axis, folds=fold)
    tally = Tally(activity, list(chosen))
    index = _strengths(model, reselect, weaker)
    refits = Refits.make(model, values, Y, sample_weight, offset, index, test is not None, reselect)
    blocks = list(neuron_blocks(len(X_scored), len(model.neuron_names_)))
    for neurons in blocks:
        tally.add_models(neurons, full.eta(neurons))
    strengths = np.zeros(tally.reduced.shape)
    for v, (name, names) in enumerate(chosen.items()):
        own = group_columns(names, groups, sizes)
        kept = own if method == "add" else np.setdiff1d(np.arange(values.shape[1]), own)
        reduced, strengths[:, v] = refits.fit(name, kept, full)
        for neurons in blocks:
            tally.add_reduced(neurons, v, reduced.eta(neurons))
    refits.warn()
    result = tally.dataset(method == "add", kind="comparison", method=method, held_out=int(test is None))
    return result.assign(selected_strength=(("neuron", "variable"), strengths))


def _check_test(model: GLMCV, test: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """X_test, Y_test and the offset as arrays, in the order of the model's columns and neurons."""
    if not isinstance(test, tuple | list) or len(test) not in (2, 3):
        found = f"a {type(test).__name__} of {len(test)}" if isinstance(test, tuple | list) else type(test).__name__
        raise ValueError(f"compare: test must be (X_test, Y_test) or (X_test, Y_test, offset_test); found {found}.")
    X, labels = check_design_matrix(model, test[0], "compare", False), rows_of(model, test[0], held_out=False)
    offset = check_offset(model, test[2] if len(test) == 3 else None, len(X), labels, "compare: test")
    return X, check_activity(model, test[1], len(X), labels), offset


def _strengths(model: GLMCV, reselect: bool, weaker: int | None) -> np.ndarray:
    """For every strength of a re-fit, the index of the model's, shape (n_strengths, n_neurons)."""
    n_lambdas = len(model.lambda_path_)
    # the null model comes before the first strength
    selected = np.where(model.lambda_index_ == n_lambdas, -1, model.lambda_index_)
    if not reselect:
        return np.maximum(selected, 0)[None]
    ends = np.full(len(selected), n_lambdas - 1) if weaker is None else selected + min(weaker, n_lambdas)
    return np.minimum(np.arange(n_lambdas)[:, None], np.clip(ends, 0, n_lambdas - 1))


def _factors_of(model: GLMCV, kept: np.ndarray) -> np.ndarray | None:
    """Penalty factors of the feature groups that have some of the columns ``kept``."""
    if model.penalty_factors_ is None or not len(kept):
        return None
    group = np.repeat(np.arange(len(model.feature_group_sizes_)), model.feature_group_sizes_)
    return model.penalty_factors_[np.unique(group[kept])]


def _has_free(model: GLMCV, columns: np.ndarray) -> bool:
    """Whether some of the columns are never penalised."""
    free = model.penalty_.free
    return free is not None and bool(free[columns].any())


@dataclass(eq=False)
class Refits:
    """Fits of a model's data to some of its columns.

    Attributes
    ----------
    Y : DataFrame, shape (n_samples, n_neurons)
    path : ndarray, shape (n_fits, n_strengths, n_neurons, n_features)
        Coefficients of the model there; its fit to all rows comes first if the re-fits have one.
    index : ndarray of int, shape (n_strengths, n_neurons)
        For every strength of a re-fit, that of the model.
    reselect : bool
        Whether a neuron of the re-fits may end at another strength, or at the null model.
    late : dict of str to int
        Neurons outside `tol`, by variable.
    """

    model: GLMCV
    X: np.ndarray | RowStream
    Y: pd.DataFrame
    sample_weight: Any
    offset: np.ndarray | None
    on_all_rows: bool
    reselect: bool
    path: np.ndarray
    index: np.ndarray
    late: dict[str, int] = field(default_factory=dict)

    @classmethod
    def make(cls, model: GLMCV, X, Y, sample_weight, offset, index: np.ndarray, on_all_rows: bool, reselect: bool):
        """Re-fits of a model at some of its strengths, by ``index``."""
        Y = pd.DataFrame(check_activity(model, Y, len(X)), columns=model.neuron_names_)
        path = model.cv_coef_path_
        if on_all_rows:
            path = np.concatenate([model.coef_path_[None], path])
        path = path[:, index, np.arange(path.shape[2])]
        return cls(model, X, Y, sample_weight, offset, on_all_rows, reselect, path, index)

    def fit(self, variable: str, kept: np.ndarray, full: Predictor) -> tuple[Predictor, np.ndarray]:
        """Predictions by the columns ``kept`` alone, of the rows of ``full``, and each neuron's λ (n_neurons,)."""
        model = self.model
        removed = np.setdiff1d(np.arange(self.X.shape[1]), kept)
        strengths = model.lambda_.astype(float)
        reduced = full.restricted(kept)
        # where the removed columns never had a weight, the full model's path is the solution already
        changed = (self.path[..., removed] != 0).any(axis=(0, 1, 3))
        selected = np.isfinite(model.lambda_)
        if not self.reselect:
            # the null model has no variable to lose but those that are never penalised
            changed &= selected | _has_free(model, removed)
        changed = np.flatnonzero(changed)
        if not len(changed):
            return reduced, strengths
        lambdas = model.lambda_path_[self.index[:, changed], changed]
        refit = clone(model).set_params(
            lambdas=None if model.penalty == "none" else lambdas,
            feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_)[kept].tolist() or ["none"],
            cv=model.splits_,
            refit=self.on_all_rows,
            feature_mask=None if model.feature_mask_ is None else model.feature_mask_[np.ix_(kept, changed)],
            penalty_factors=_factors_of(model, kept),
            **dict(zip(("se_fraction", "min_lambda"), model.selection_rule_, strict=True)),
            verbose=0,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Y = self.Y.iloc[:, changed]
            refit.fit(take_columns(self.X, kept), Y, sample_weight=self.sample_weight, offset=self.offset)
        if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            gaps = np.concatenate([refit.cv_gap_, refit.gap_[None]]) if self.on_all_rows else refit.cv_gap_
            self.late[variable] = int((gaps > refit.tol).any(axis=(0, 1)).sum())
        if not self.reselect:
            refit.take_strengths(np.where(selected[changed], 0, len(lambdas)))
        strengths[changed] = refit.lambda_
        own = Predictor.make(refit, reduced.X, reduced.offset, not self.on_all_rows)
        for (_, coef, intercept), (_, own_coef, own_intercept) in zip(reduced.parts, own.parts, strict=True):
            coef[changed], intercept[changed] = own_coef, own_intercept
        return reduced, strengths

    def warn(self) -> None:
        """Tell of re-fits that did not converge."""
        if self.late:
            late = listed(f"{name!r} ({count} neurons)" for name, count in self.late.items())
            warn(
                f"compare: re-fits left neurons outside tol={self.model.tol:g}: {late}. Fit the model with a larger "
                "max_iter or tol, or precision='float64'.",
                ConvergenceWarning,
            )

"""Deviance of full and reduced models, overall and per bin, and the shares of it that variables carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_flag
from popglm.estimators import GLMCV
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.deviance_loss import deviance_loss, null_unit_deviance, scored_by_folds
from popglm.estimators.features import check_features
from popglm.estimators.sparse_features import stays_sparse
from popglm.estimators.validation import check_weights, over_neurons
from popglm.explain.binning import BinAxis
from popglm.explain.given_models import check_activity, check_cross_validated, check_model
from popglm.labels import Rows
from popglm.solve.passes.coordinates import product64
from popglm.solve.sparse.rows import some_rows
from popglm.solve.stream import RowStream, is_streamed, read_rows
from popglm.statistics.selection import at_strengths, fraction_explained
from popglm.warnings import PopglmWarning, warn

__all__ = [
    "Activity",
    "Predictor",
    "Tally",
    "check_data_of_fit",
    "check_design_matrix",
    "check_held_out_rows",
    "check_splits",
    "check_whole",
    "neuron_blocks",
    "other_than_in_fit",
    "rows_of",
    "take_columns",
    "warn_of_other_data",
]

#: Elements (samples × neurons) that are scored at once: some 64 MB in float64 per array.
BLOCK_ELEMENTS = 2**23


def neuron_blocks(n_samples: int, n_neurons: int) -> Iterator[np.ndarray]:
    """Consecutive neurons, few enough to score at once."""
    width = max(1, BLOCK_ELEMENTS // max(n_samples, 1))
    for first in range(0, n_neurons, width):
        yield np.arange(first, min(first + width, n_neurons))


def check_design_matrix(model: PopulationGLM, X: Any, who: str, held_out: bool, whole: bool = False) -> Any:
    """X as an array or a `RowStream`, if its columns are those of the fit, and its rows those that the folds held out.

    Columns and, with ``held_out``, rows that have labels are put in the order of the fit. ``who`` asks, for the
    complaints; with ``whole`` it needs an array.
    """
    if whole:
        check_whole(X, who)
    check_flag(who, "held_out", held_out)
    if held_out:
        check_cross_validated(model, who)
    check_model(model, who)
    if not held_out and model.coef_path_ is None:
        raise ValueError(f"{who}: the model was fitted with refit=False and has no weights for new data.")
    if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex) and model.feature_groups is None:
        fitted = Counter(np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist())
        found = Counter(str(group) for group in X.columns.get_level_values(0))
        other = next((group for group in [*found, *fitted] if found[group] != fitted[group]), None)
        if other is not None:
            raise ValueError(
                f"{who}: X comes from another design: it has {found[other]} columns of {other!r} where the model was "
                f"fitted to {fitted[other]} ({sum(found.values())} columns in all, and {sum(fitted.values())}). "
                "Transform the session by the fitted one."
            )
    values = check_features(model, X, reset=False, who=who)
    if held_out:
        check_held_out_rows(model, len(values), who)
    order = rows_of(model, X, held_out).given
    return values if order is None else some_rows(values, order)


def check_whole(X: Any, who: str) -> None:
    """Complain of rows that are not all in memory, and dense.

    Raises
    ------
    TypeError
    """
    if stays_sparse(X):
        raise TypeError(
            f"{who} needs all rows of X at once, dense; this sparse X is large. Give X.toarray(), if memory holds it."
        )
    if is_streamed(X):
        raise TypeError(
            f"{who} needs all rows of X at once and cannot read them in blocks; give X in memory, np.asarray(array) of "
            "the array on disk."
        )


def check_held_out_rows(model: Any, n_samples: int, who: str, found: str = "X has {} rows") -> None:
    """Complain of other samples than those that the folds of a model held out; ``found`` says what has how many.

    Raises
    ------
    ValueError
    """
    if n_samples != len(model.fold_):
        raise ValueError(
            f"{who}: {found.format(n_samples)}, but the model was cross-validated on {len(model.fold_)}, and its "
            "held-out predictions are of those."
        )


def rows_of(model: Any, X: Any, held_out: bool) -> Rows:
    """Labels of the samples: those of the fit, if the rows are of the fit, else those of X as it is given."""
    return Rows.of_fit(model.sample_labels_ if held_out else None, X)


def check_splits(model: GLMCV, who: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of every fold."""
    if model.splits_ is None:
        raise ValueError(f"{who}: a model from a file carries no folds that train on part of the rest; fit it again.")
    return model.splits_


#: Fractions of held-out deviance of the fit and of the data given differ by less than this, which is rounding.
SAME = 0.001


def check_data_of_fit(
    model: GLMCV, X: Any, Y: np.ndarray, sample_weight: np.ndarray | None, offset: np.ndarray | None, who: str
) -> None:
    """Complain of checked data whose held-out deviance is not that of the fit.

    Raises
    ------
    ValueError
    """
    if len(X) != len(model.fold_):
        raise ValueError(f"{who}: X has {len(X)} rows, but the model was fitted to {len(model.fold_)}.")
    predictor = Predictor.make(model, X, offset, held_out=True)
    activity = Activity.make(model, Y, len(X), predictor.rows, sample_weight, None, folds=model.fold_)
    for neurons in neuron_blocks(len(X), len(model.neuron_names_)):
        deviance, null = activity.deviance(predictor.eta(neurons), neurons)[0], activity.null_deviance(neurons)[0]
        if said := other_than_in_fit(model, neurons, deviance, null):
            raise ValueError(
                f"{who}: X, Y, sample_weight or offset are not those of the fit: {said}. Give the data that the model "
                "was fitted to, in its order."
            )


def warn_of_other_data(
    model: GLMCV, X: Any, Y: np.ndarray, sample_weight: np.ndarray | None, offset: Any, who: str
) -> None:
    """Warn of data with another held-out deviance than in the fit, where a part of the samples may be meant.

    Nothing is said where the fit had sample weights or an offset that are not given: its deviance has them.
    """
    weighted = getattr(model, "fitted_with_sample_weight_", False) and sample_weight is None
    beside = getattr(model, "fitted_with_offset_", False) and not np.any(0 if offset is None else offset)
    if weighted or beside:
        return
    try:
        check_data_of_fit(model, X, Y, sample_weight, offset, who)
    except ValueError as error:
        warn(f"{error} Predictions here are those of the fold that held out the row of this number.", PopglmWarning)


def other_than_in_fit(model: GLMCV, neurons: np.ndarray, deviance: np.ndarray, null_deviance: np.ndarray) -> str:
    """Which of the neurons has another held-out deviance than in the fit, in words; empty if none has."""
    path = at_strengths(model.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1)
    # as fractions, which know no unit of weights
    fitted = fraction_explained(np.nansum(path, axis=0), model.cv_null_deviance_)[neurons]
    found = fraction_explained(deviance, null_deviance)
    with np.errstate(invalid="ignore"):
        other = np.flatnonzero(np.abs(found - fitted) > SAME * np.maximum(1, 1 - fitted))
    if not len(other):
        return ""
    j, kind = other[0], "response" if isinstance(model, CategoricalGLM) else "neuron"
    return (
        f"the held-out deviance explained of {kind} {model.neuron_names_[neurons[j]]!r} is {found[j]:.3g}, and was "
        f"{fitted[j]:.3g} in the fit"
    )


@dataclass(frozen=True, eq=False)
class Predictor:
    """Linear predictors of a fitted model, whole or from some columns alone.

    Attributes
    ----------
    parts : list of (rows, coef, intercept)
        Ascending row indices, and the weights (n_neurons, n_features) and intercepts (n_neurons,) that predict them:
        one entry per fold for held-out predictions, one in all for others.
    """

    X: np.ndarray | RowStream
    offset: np.ndarray | None
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @classmethod
    def make(cls, model: PopulationGLM, X: Any, offset: np.ndarray | None, held_out: bool) -> Predictor:
        """Read the weights from a model."""
        if not held_out:
            everything = np.arange(len(X)), np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
            return cls(X, offset, [everything])
        parts = [
            (np.flatnonzero(model.fold_ == fold), coef, intercept)
            for fold, (coef, intercept) in enumerate(zip(model.cv_coef_, model.cv_intercept_, strict=True))
        ]
        return cls(X, offset, parts)

    @property
    def rows(self) -> np.ndarray:
        """The rows that are predicted."""
        return np.sort(np.concatenate([rows for rows, _, _ in self.parts]))

    def restricted(self, kept: np.ndarray) -> Predictor:
        """A copy that has the columns ``kept`` alone."""
        parts = [(rows, take_columns(coef, kept), intercept.copy()) for rows, coef, intercept in self.parts]
        return Predictor(take_columns(self.X, kept), self.offset, parts)

    def eta(self, neurons: np.ndarray) -> np.ndarray:
        """The linear predictor, shape (n_samples, n_neurons)."""
        return self.constant(neurons) + self.part(slice(None), neurons)

    def constant(self, neurons: np.ndarray) -> np.ndarray:
        """Intercept and offset, shape (n_samples, n_neurons)."""
        eta = np.zeros((len(self.X), len(neurons)))
        for rows, _, intercept in self.parts:
            eta[rows] = intercept[neurons]
        return eta if self.offset is None else eta + self.offset[:, None]

    def part(self, columns: np.ndarray | slice, neurons: np.ndarray, source: np.ndarray | None = None) -> np.ndarray:
        """What some columns add, shape (n_samples, n_neurons).

        With ``source`` row t takes the columns of row source[t]; X is an array then.
        """
        eta = np.zeros((len(self.X), len(neurons)))
        for first, last, block in read_rows(self.X):
            for rows, coef, _ in self.parts:
                here = rows[slice(*np.searchsorted(rows, [first, last]))]
                x = block[here - first if source is None else source[here]][:, columns]
                eta[here] = product64(x, coef[neurons][:, columns])
        return eta


def take_columns(A: Any, kept: np.ndarray) -> Any:
    """A with the entries ``kept`` of its last axis, as a copy; one of zeros, which is as good as none, for none."""
    if isinstance(A, RowStream):
        return A.with_columns(kept)
    return A[..., kept] if len(kept) else np.zeros((*A.shape[:-1], 1), A.dtype)


@dataclass(eq=False)
class Activity:
    """What the predictions of some rows are scored against.

    Attributes
    ----------
    y, weights : ndarray, shape (n_samples, n_neurons)
        Activity with 0 where it is not known, and the weight of every entry: 0 there, and in rows that are not scored.
    axis : BinAxis or None
    folds : ndarray of int, shape (n_samples,), or None
        Fold of every sample, where each is predicted by the fold that holds it out.
    """

    model: Any
    y: np.ndarray
    weights: np.ndarray
    axis: BinAxis | None
    folds: np.ndarray | None

    @classmethod
    def make(
        cls,
        model: PopulationGLM,
        Y: Any,
        n_samples: int,
        rows: np.ndarray,
        sample_weight: Any,
        axis: BinAxis | None,
        labels: Rows | None = None,
        folds: np.ndarray | None = None,
    ) -> Activity:
        """Check Y; only ``rows`` are scored, in the order of ``labels``."""
        y = check_activity(model, Y, n_samples, labels)
        weight = check_weights(sample_weight, n_samples, model.neuron_names_, labels)
        scored = np.zeros((n_samples, 1))
        scored[rows] = 1.0
        s = ~np.isnan(y) * scored * over_neurons(weight)
        s = s if folds is None else scored_by_folds(model, s, folds)
        return cls(model, np.nan_to_num(y, nan=0.0), s, axis, folds)

    def deviance(self, eta: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Deviance of linear predictors, summed (n_neurons,) and the mean in every bin (n_neurons, n_bins).

        NaN where nothing is known of a neuron.
        """
        return self._sum(deviance_loss(self.model, neurons, self.folds).deviance(eta, self.y[:, neurons]), neurons)

    def null_deviance(self, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of each neuron's mean over the scored samples."""
        y, s = self.y[:, neurons], self.weights[:, neurons]
        return self._sum(null_unit_deviance(self.model, y, s, self.folds, neurons), neurons)

    def _sum(self, unit: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = self.weights[:, neurons]
        # where, since a sample that does not count may have an infinite deviance
        weighted = np.where(s > 0, s * np.where(s > 0, unit, 0), 0)
        total = np.where((s > 0).any(axis=0), weighted.sum(axis=0), np.nan)
        if self.axis is None:
            return total, np.empty((len(neurons), 0))
        counted = self.axis.sums(s)
        with np.errstate(invalid="ignore", divide="ignore"):
            return total, (self.axis.sums(weighted) / counted).T


@dataclass(eq=False)
class Tally:
    """Deviances as they come in, a block of neurons at a time, and the Dataset made of them in the end.

    Attributes
    ----------
    null, full : ndarray, shape (n_neurons,)
    reduced : ndarray, shape (n_neurons, n_variables)
    binned_null, binned_full : ndarray, shape (n_neurons, n_bins)
    binned_reduced : ndarray, shape (n_neurons, n_variables, n_bins)
    """

    activity: Activity
    variables: list[str]

    def __post_init__(self) -> None:
        q, v = len(self.activity.model.neuron_names_), len(self.variables)
        n_bins = 0 if self.activity.axis is None else self.activity.axis.n_bins
        self.null, self.full, self.reduced = np.zeros(q), np.zeros(q), np.zeros((q, v))
        self.binned_null, self.binned_full = np.zeros((q, n_bins)), np.zeros((q, n_bins))
        self.binned_reduced = np.zeros((q, v, n_bins))

    def add_models(self, neurons: np.ndarray, eta: np.ndarray) -> None:
        """Score the null and the full model."""
        self.null[neurons], self.binned_null[neurons] = self.activity.null_deviance(neurons)
        self.full[neurons], self.binned_full[neurons] = self.activity.deviance(eta, neurons)

    def add_reduced(self, neurons: np.ndarray, variable: int, eta: np.ndarray) -> None:
        """Score the model without a variable (or with it alone)."""
        total, binned = self.activity.deviance(eta, neurons)
        self.reduced[neurons, variable], self.binned_reduced[neurons, variable] = total, binned

    def dataset(self, alone: bool, **attrs: Any) -> xr.Dataset:
        """All of it with names.

        Parameters
        ----------
        alone : bool
            The reduced models have one variable alone, and it carries what they explain; else they lack it, and it
            carries what they miss.
        """
        null, full, reduced = self.null[:, None], self.full[:, None], self.reduced
        carried = _carried(null, full, reduced, alone)
        variables: dict[str, Any] = {
            "null_deviance": ("neuron", self.null),
            "full_deviance": ("neuron", self.full),
            "reduced_deviance": (("neuron", "variable"), self.reduced),
            "deviance_explained": ("neuron", fraction_explained(self.full, self.null)),
            "fraction_null_deviance": (("neuron", "variable"), _share(carried, null, null, empty=0.0)),
            "fraction_explained_deviance": (("neuron", "variable"), _share(carried, null - full, null - full)),
        }
        coords: dict[str, Any] = {"neuron": self.activity.model.neuron_names_, "variable": self.variables}
        if self.activity.axis is not None:
            bin_null, bin_full = self.binned_null[:, None], self.binned_full[:, None]
            carried = _carried(bin_null, bin_full, self.binned_reduced, alone)
            samples = self.activity.weights.sum(axis=0)[:, None, None]
            with np.errstate(invalid="ignore", divide="ignore"):
                null, explained = null[..., None] / samples, (null - full)[..., None] / samples
            dims = ("neuron", "variable", "bin")
            variables |= {
                "binned_null_deviance": (("neuron", "bin"), self.binned_null),
                "binned_full_deviance": (("neuron", "bin"), self.binned_full),
                "binned_reduced_deviance": (dims, self.binned_reduced),
                "binned_fraction_null_deviance": (dims, _share(carried, bin_null, null, empty=0.0)),
                "binned_fraction_explained_deviance": (
                    dims,
                    _share(carried, np.maximum(bin_null - bin_full, 0), explained),
                ),
            }
            coords |= self.activity.axis.coords()
        return xr.Dataset(variables, coords=coords, attrs=attrs)


def _carried(null: np.ndarray, full: np.ndarray, reduced: np.ndarray, alone: bool) -> np.ndarray:
    """Deviance that a variable carries, NaN where two infinite ones are compared."""
    with np.errstate(invalid="ignore"):
        return null - reduced if alone else reduced - full


def _share(carried: np.ndarray, cap: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """What is carried, ``cap`` at most, as a fraction of the whole; ``empty`` where the whole is not positive."""
    shares = np.minimum(carried, cap) / np.where(whole > 0, whole, np.nan)
    return np.where(np.isnan(whole) | (whole > 0), shares, empty)

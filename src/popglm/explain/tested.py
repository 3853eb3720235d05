"""What a test of significance is given: checked activity of all rows, the rows held out, their trials and strata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import false_discovery_control

from popglm.estimators import GLMCV
from popglm.estimators.splits import check_labels
from popglm.estimators.validation import check_as_in_fit
from popglm.explain.contributions import check_data_of_fit, rows_of
from popglm.explain.given_models import check_activity
from popglm.explain.trials import check_trials
from popglm.labels import Rows, check_order

__all__ = ["Tested", "TestedData", "table_of_tests", "trials_of_rows"]


class Tested(Protocol):
    """What surrogates are made of, of activity or of labels: see `TestedData`."""

    model: Any
    y: np.ndarray
    rows: np.ndarray
    trial: np.ndarray
    strata: np.ndarray | None

    @property
    def longest(self) -> int:
        """Samples of the longest trial."""

    @property
    def empty(self) -> np.ndarray:
        """Neurons whose model has no weights, shape (n_neurons,)."""


@dataclass(eq=False)
class TestedData:
    """What is tested: checked arrays of all rows, and which rows folds hold out.

    Attributes
    ----------
    rows : ndarray of int
        Rows held out, in order of time.
    trial, strata : ndarray of int, shape (n_rows,)
        Numbered from 0.
    """

    model: GLMCV
    X: np.ndarray
    given: Any
    y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    rows: np.ndarray
    trial: np.ndarray
    strata: np.ndarray | None

    @classmethod
    def make(cls, model, values, X, Y, trial, strata, sample_weight, offset) -> TestedData:
        labels = rows_of(model, X, held_out=True)
        y = check_activity(model, Y, len(values), labels)
        weight, offset = check_as_in_fit(model, sample_weight, offset, len(values), labels, "significance", refits=True)
        if weight is not None and weight.ndim == 2:
            raise ValueError(
                "significance: sample_weight differs between neurons, whose surrogates are fitted together; fit and "
                "test neurons with other weights by themselves, or take compare or likelihood_ratio."
            )
        check_data_of_fit(model, values, y, weight, offset, "significance")
        rows = np.flatnonzero(model.fold_ >= 0)
        if labels.given is not None:
            # as all else is now, for it is fitted and scored again beside what has no labels
            X = X.iloc[labels.given] if isinstance(X, pd.DataFrame) else X[labels.given]
        return cls(model, values, X, y, weight, offset, rows, *trials_of_rows(labels, rows, len(values), trial, strata))

    @property
    def longest(self) -> int:
        """Samples of the longest trial."""
        return int(np.bincount(self.trial).max())

    @property
    def null(self) -> np.ndarray:
        """Neurons whose model is the null model, shape (n_neurons,)."""
        return self.model.null_fitted_ | ~np.isfinite(self.model.lambda_)

    @property
    def empty(self) -> np.ndarray:
        """Neurons whose model has no weights, shape (n_neurons,): null models, but for columns never penalised."""
        return self.null if self.model.null_coef_ is None else self.model.null_fitted_

    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Training and test rows of every fold, numbered among the rows held out."""
        number = np.full(len(self.y), -1)
        number[self.rows] = np.arange(len(self.rows))
        known = getattr(self.model, "splits_", None)
        if known is None:
            # a model from a file knows what its folds held out alone
            folds = [np.flatnonzero(self.model.fold_ == k) for k in range(len(self.model.cv_coef_path_))]
            known = [(np.setdiff1d(self.rows, test), test) for test in folds]
        splits = [(number[train], number[test]) for train, test in known]
        splits = [(train[train >= 0], test) for train, test in splits]
        empty = [fold for fold, (train, _) in enumerate(splits) if len(train) < 2]
        if empty:
            raise ValueError(
                f"significance: fold {empty[0]} trains on rows that no fold holds out, and surrogates are of rows held "
                "out alone. Fit with folds that together hold out all rows, or use refit=False."
            )
        return splits

    def taken(self, a: np.ndarray | None) -> np.ndarray | None:
        """The rows held out of an array."""
        return None if a is None else a[self.rows]


def trials_of_rows(
    labels: Rows, rows: np.ndarray, n_samples: int, trial: Any, strata: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers of the trials of some rows, in order of time, and of their strata, if there are any.

    Raises
    ------
    ValueError
        If labels are missing, the rows of a trial do not follow each other, or a trial has several strata.
    """
    order, codes = labels.order(trial, "trial"), check_trials(trial, n_samples, labels)
    # as messages name them
    trial = np.asarray(trial) if order is None else np.asarray(trial)[order]
    codes = _check_order(codes, rows, trial)
    check_order(None if labels.labels is None else labels.labels[rows], labels.owner, "significance", codes)
    if strata is not None:
        strata = _check_strata(check_labels(strata, "strata", n_samples, labels)[0], codes, rows, trial)
    return codes, strata


def _check_order(codes: np.ndarray, rows: np.ndarray, trial: np.ndarray) -> np.ndarray:
    """Trials of the rows, numbered anew, if the rows of each follow each other."""
    numbers = pd.factorize(codes[rows])[0]
    back = np.flatnonzero(np.diff(numbers) < 0)
    if len(back):
        row = rows[back[0] + 1]
        raise ValueError(
            f"trial {trial[row]} comes back in row {row} after other trials; the rows of a trial must "
            "follow each other in time, and every trial of several sessions needs its own label."
        )
    return numbers


def _check_strata(strata: np.ndarray, codes: np.ndarray, rows: np.ndarray, trial: np.ndarray) -> np.ndarray:
    """Number of every row's stratum, if it is one for a whole trial."""
    numbers = pd.factorize(strata[rows])[0]
    torn = np.flatnonzero((np.diff(codes) == 0) & (np.diff(numbers) != 0))
    if len(torn):
        row = rows[torn[0] + 1]
        raise ValueError(f"strata changes in row {row}, within trial {trial[row]}; a trial has one stratum.")
    return numbers


def table_of_tests(
    model: Any, variables, share, statistic, null, p, attrs, explained: np.ndarray | None = None
) -> xr.Dataset:
    """``statistic`` and ``p`` (n_neurons, 1 + n_variables), ``null`` (n_draws, the same); the model comes first."""
    q = false_discovery_control(p, axis=0)
    contents: dict[str, Any] = {
        "deviance_explained": ("neuron", model.cv_deviance_explained_ if explained is None else explained),
        "statistic": ("neuron", statistic[:, 0]),
        "deviance_explained_null": (("shift", "neuron"), null[..., 0]),
        "p_value": ("neuron", p[:, 0]),
        "q_value": ("neuron", q[:, 0]),
    }
    coords: dict[str, Any] = {"neuron": model.neuron_names_}
    if variables:
        coords["variable"] = variables
        dims = ("neuron", "variable")
        contents |= {
            "contribution": (dims, share),
            "contribution_statistic": (dims, statistic[:, 1:]),
            "contribution_null": (("shift", *dims), null[..., 1:]),
            "contribution_p_value": (dims, p[:, 1:]),
            "contribution_q_value": (dims, q[:, 1:]),
        }
    return xr.Dataset(contents, coords=coords, attrs=attrs)

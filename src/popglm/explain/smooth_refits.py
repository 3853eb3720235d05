"""Fits of a `SmoothGLM`'s data to some of its terms, or to trials that were drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from popglm.estimators import SmoothGLM
from popglm.explain.contributions import Predictor, Tally, neuron_blocks
from popglm.explain.data_of_fit import DataOfFit, data_of_fit
from popglm.explain.reduced_models import warn_of_late_refits
from popglm.scaling import note_scaling
from popglm.solve.stream import RowStream
from popglm.variables import group_columns
from popglm.warnings import ConvergenceWarning, PopglmWarning

__all__ = ["add_smooth_refits", "curves_of_fit", "refit_curves"]


@dataclass(frozen=True, eq=False)
class SmoothRefits:
    """Fits to some terms of a model.

    Attributes
    ----------
    reselect : bool
        Whether strengths are chosen anew, unless they were given; else they stay those of the model.
    """

    model: SmoothGLM
    data: DataOfFit
    reselect: bool

    def fit(self, variable: str, kept: np.ndarray) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, int]:
        """Fit the columns ``kept``, which are whole groups, alone.

        Returns the variable, the columns, weights (n_neurons, n_kept), intercepts (n_neurons,), and how many neurons
        have strengths that are not at a minimum.
        """
        model, data, q = self.model, self.data, len(self.model.neuron_names_)
        coef, intercept = np.zeros((q, max(len(kept), 1))), np.array(model.null_intercept_, float)
        mask = model.feature_mask_
        neurons = np.arange(q) if mask is None else np.flatnonzero(mask[kept].any(axis=0))
        if not len(kept) or not len(neurons):
            return variable, kept, coef, intercept, 0
        refit, chooses = unfitted_smooth(model, kept, neurons), self.reselect and model.smoothing is None
        if chooses:
            refit.set_params(smoothing=None)
        weight = data.weight if data.weight is None or data.weight.ndim == 1 else data.weight[:, neurons]
        with warnings.catch_warnings():
            # the model's own fit has told of neurons without a fit, and what does not converge is counted
            warnings.simplefilter("ignore", PopglmWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            refit.fit(table_of(model, data.X, kept), data.Y[:, neurons], sample_weight=weight, offset=data.offset)
        coef[neurons], intercept[neurons] = refit.coef_, refit.intercept_
        return variable, kept, coef, intercept, int((refit.slope_ > refit.tol).sum()) if chooses else 0


def add_smooth_refits(
    model: SmoothGLM, data: DataOfFit, full: Predictor, tally: Tally, chosen: dict[str, list[str]], method: str,
    reselect: bool, map: Callable[..., Iterable[Any]],
) -> None:  # fmt: skip
    """Score the whole model and those of `compare`, as the predictor and the tally have the rows."""
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    blocks = list(neuron_blocks(len(full.X), len(model.neuron_names_)))
    for neurons in blocks:
        tally.add_models(neurons, full.eta(neurons))
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    kept = columns if method == "add" else [np.setdiff1d(np.arange(full.X.shape[1]), own) for own in columns]
    late = {}
    for v, fitted in enumerate(map(SmoothRefits(model, data, reselect).fit, list(chosen), kept)):
        own, coef, intercept, late[fitted[0]] = fitted[1:]
        reduced = full.restricted(own)
        reduced = Predictor(reduced.X, reduced.offset, [(reduced.rows, coef, intercept)])
        for neurons in blocks:
            tally.add_reduced(neurons, v, reduced.eta(neurons))
    warn_of_late_refits(model, late)


def curves_of_fit(
    model: SmoothGLM, X: Any, Y: Any, sample_weight: Any, offset: Any, who: str, whole: bool = True
) -> DataOfFit:
    """The arguments of a statistic, if they are those of the fit, and such that curves can be fitted to them again.

    Parameters
    ----------
    whole : bool
        Whether X must be an array, and no stream.

    Raises
    ------
    TypeError, ValueError
    """
    data = data_of_fit(model, X, Y, sample_weight, offset, who, whole)
    if isinstance(data.X, RowStream) and model.feature_scaling_ is not None:
        raise TypeError(
            f"{who} fits curves again, which are smooth in the units from before z-scoring; only the table that the "
            "model was fitted to knows these. Give X as that DataFrame of its Design."
        )
    return data


def refit_curves(
    model: SmoothGLM, data: DataOfFit, codes: np.ndarray, trials: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The model fitted to trials that were drawn, at its strengths.

    Returns coefficients (n_neurons, n_features), gaps (n_neurons,), and which neurons had nothing to fit.
    """
    times = np.bincount(trials, minlength=codes.max() + 1)[codes]
    weight = np.ones(len(times)) if data.weight is None else data.weight
    everything = np.arange(model.n_features_in_)
    refit = unfitted_smooth(model, everything, np.arange(len(model.neuron_names_)))
    with warnings.catch_warnings():
        # `bootstrap` sums them up
        warnings.simplefilter("ignore", PopglmWarning)
        sample_weight = weight * (times if weight.ndim == 1 else times[:, None])
        refit.fit(table_of(model, data.X, everything), data.Y, sample_weight=sample_weight, offset=data.offset)
    return np.atleast_2d(refit.coef_), refit.gap_[-1], refit.null_fitted_


def unfitted_smooth(model: SmoothGLM, kept: np.ndarray, neurons: np.ndarray) -> SmoothGLM:
    """An estimator of the columns ``kept``, which are whole groups, and some neurons, at the strengths of a model."""
    group = np.repeat(np.arange(len(model.feature_group_sizes_)), model.feature_group_sizes_)
    there = np.unique(group[kept])
    names = [model.feature_group_names_[g] for g in there]
    shapes = model.feature_shapes_
    strengths = model.smoothing_.loc[:, [own in names for own, _ in model.smoothing_.columns]].to_numpy()[neurons]
    # a neuron that is fitted as its null model has none, nor has a term that is closed
    strengths = np.where(np.isnan(strengths), 1.0, strengths)

    def of_names(given: Any) -> Any:
        return {name: own for name, own in given.items() if str(name) in names} or None if given else None

    return clone(model).set_params(
        feature_groups=np.repeat(names, model.feature_group_sizes_[there]).tolist(),
        feature_shapes=None if shapes is None else [shapes[g] for g in there],
        penalties=of_names(model.penalties),
        constraints=of_names(model.constraints),
        smoothing=strengths if strengths.shape[1] else None,
        feature_mask=None if model.feature_mask_ is None else model.feature_mask_[np.ix_(kept, neurons)],
    )


def table_of(model: SmoothGLM, X: np.ndarray | RowStream, kept: np.ndarray) -> pd.DataFrame | RowStream:
    """Some columns, with the scales that penalties and constraints count from; those of a stream have none."""
    if isinstance(X, RowStream):
        return X.with_columns(kept)
    groups = np.repeat(model.feature_group_names_, model.feature_group_sizes_)
    columns = pd.MultiIndex.from_tuples([(str(groups[k]), str(k)) for k in kept])
    table = pd.DataFrame(X[:, kept], columns=columns)
    if model.feature_scaling_ is not None:
        note_scaling(table, *model.feature_scaling_[:, kept])
    return table

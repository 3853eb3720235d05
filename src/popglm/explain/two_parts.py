"""Deviances of the two parts of a `TwoPartGLM`, added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import check_fitted
from popglm.estimators import TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.part_arguments import PARTS, check_offset_given, offset_of
from popglm.estimators.parts_of_activity import share_of
from popglm.explain.contributions import Tally
from popglm.statistics.selection import fraction_explained

__all__ = ["part_of_test", "shares_of_parts", "tally_of_parts"]


def tally_of_parts(
    model: TwoPartGLM, Y: Any, offset: Any, tally: Callable[[PopulationGLM, Any, Any], Tally], who: str
) -> Tally:
    """Joint deviances: those of the events, and those of the amounts over their dispersion.

    Parameters
    ----------
    model : TwoPartGLM
        Fitted.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
    offset : mapping, 0 or None
        Of the parts.
    tally : callable
        Takes a part, its activity and its offset, and returns the deviances of that.
    who : str
        Asks, for the complaint of a model that is not fitted.
    """
    check_fitted(model, "cv_deviance_explained_", who)
    happened, amount = model.split(Y)
    check_offset_given(model, offset, who, refits=who == "compare")
    events = tally(model.events_, happened, offset_of(offset, "events"))
    amounts = tally(model.amounts_, amount, offset_of(offset, "amounts"))
    share = share_of(model.deviance_dispersion_)
    # a neuron without an amount has nothing to add
    events.null += np.nan_to_num(amounts.null) * share
    events.full += np.nan_to_num(amounts.full) * share
    events.reduced += np.nan_to_num(amounts.reduced) * share[:, None]
    axis = events.activity.axis
    if axis is not None:
        # means per sample of a bin, of which some hold an amount
        with np.errstate(invalid="ignore", divide="ignore"):
            held = (axis.sums(amounts.activity.weights) / axis.sums(events.activity.weights)).T * share[:, None]
        for total, own in (
            (events.binned_null, amounts.binned_null),
            (events.binned_full, amounts.binned_full),
            (events.binned_reduced, amounts.binned_reduced),
        ):
            total += np.nan_to_num(own) * np.nan_to_num(held if own.ndim == 2 else held[:, None])
    return events


def part_of_test(model: TwoPartGLM, part: PopulationGLM, test: Any) -> Any:
    """The ``test`` of `compare` with the activity and offset of a part; as it is where it is none, for complaints."""
    if not isinstance(test, tuple | list) or len(test) not in (2, 3):
        return test
    at = 0 if part is model.events_ else 1
    return (test[0], model.split(test[1])[at], *(offset_of(given, PARTS[at]) for given in test[2:]))


def shares_of_parts(model: TwoPartGLM, of_part: Callable[..., xr.Dataset], Y: Any, offset: Any) -> xr.Dataset:
    """Shapley values of the joint deviance, which is a sum, and so are its values.

    Parameters
    ----------
    of_part : callable
        Takes a part, its activity and its offset, and returns what `shapley` does.
    """
    check_fitted(model, "cv_deviance_explained_", "shapley")
    check_offset_given(model, offset, "shapley", refits=True)
    happened, amount = model.split(Y)
    events = of_part(model.events_, happened, offset_of(offset, "events"))
    amounts = of_part(model.amounts_, amount, offset_of(offset, "amounts"))
    share = xr.DataArray(share_of(model.deviance_dispersion_), dims="neuron")
    # a neuron without an amount has nothing to add
    sums = {
        name: events[name] + amounts[name].fillna(0) * share
        for name in ("shapley", "rest", "null_deviance", "full_deviance")
    }
    null, explained = sums["null_deviance"], sums["null_deviance"] - sums["full_deviance"]
    unknown = np.isnan(null)
    of_null = xr.where(null > 0, sums["shapley"] / null.where(null > 0), 0.0).where(~unknown)
    found = events.assign(sums).assign(
        fraction_null_deviance=of_null.transpose("neuron", "variable"),
        fraction_explained_deviance=sums["shapley"] / explained.where(explained > 0),
        deviance_explained=("neuron", fraction_explained(sums["full_deviance"].values, null.values)),
    )
    return found

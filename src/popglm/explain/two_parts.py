"""Deviances of the two parts of a `TwoPartGLM`, added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popglm.checks import check_fitted
from popglm.estimators import TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.parts_of_activity import share_of
from popglm.explain.contributions import Tally

__all__ = ["part_of_test", "tally_of_parts"]


def tally_of_parts(model: TwoPartGLM, Y: Any, tally: Callable[[PopulationGLM, Any], Tally], who: str) -> Tally:
    """Joint deviances: those of the events, and those of the amounts over their dispersion.

    Parameters
    ----------
    model : TwoPartGLM
        Fitted.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
    tally : callable
        Takes a part and its activity, and returns the deviances of that.
    who : str
        Asks, for the complaint of a model that is not fitted.
    """
    check_fitted(model, "cv_deviance_explained_", who)
    happened, amount = model.split(Y)
    events = tally(model.events_, happened)
    amounts = tally(model.amounts_, amount)
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
    """The ``test`` of `compare` with the activity of a part; as it is where it is none, for complaints."""
    if not isinstance(test, tuple | list) or len(test) < 2:
        return test
    happened, amount = model.split(test[1])
    return (test[0], happened if part is model.events_ else amount, *test[2:])

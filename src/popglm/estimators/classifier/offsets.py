"""Offsets of classes: what users add to the predictors of every class, as arrays in the order of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import LARGEST, is_number
from popglm.labels import Rows, neuron_order
from popglm.messages import listed, shown
from popglm.numbers import numbers_of

__all__ = ["beside_classes", "check_class_offset", "check_class_reach", "of_occurring"]

#: Share of a predictor that may be rounded away beside an offset.
LOST = 1e-3


def check_class_offset(
    values: Any, n_samples: int, rows: Rows | None, classes: np.ndarray, names: list[str]
) -> np.ndarray | None:
    """What is added to the predictors, less its mean over the classes, which changes no probability.

    Parameters
    ----------
    values : array-like, DataFrame, DataArray, mapping or number, or None
        Of shape (n_samples, n_classes), the same for all responses, or (n_samples, n_responses, n_classes). Columns
        that are named like classes may stand in any order. A mapping has a column by the label of each class that has
        one. A single number is the same for all classes, and as good as none.
    classes : ndarray, shape (n_classes,)
    names : list of str
        Of the responses.

    Returns
    -------
    ndarray, shape (n_samples, n_classes) or (n_samples, n_responses, n_classes), or None
        0 in samples where it is the same for all classes.

    Raises
    ------
    ValueError
        If it has another shape, names other classes, or holds a number that is not finite.

    Examples
    --------
    >>> check_class_offset({"right": [1.0, 2.0]}, 2, None, np.array(["left", "right"]), ["choice"])
    array([[-0.5,  0.5],
           [-1. ,  1. ]])
    """
    if values is None:
        return None
    n_classes, n_responses = len(classes), len(names)
    if isinstance(values, Mapping) and not isinstance(values, xr.Dataset):
        # in the shared order from here on
        values, rows = _of_columns(values, n_samples, rows, classes), None
    if is_number(values):
        values = np.full((n_samples, n_classes), float(values))
    order = None if rows is None else rows.order(values, "offset")
    places = _places(values, classes, names)
    found = numbers_of(values, "offset")
    if found.shape == (n_samples,):
        raise ValueError(
            f"offset has shape ({n_samples},), one number per sample, which is the same for all classes and changes no "
            f"probability; give a column for each of the {n_classes} classes {listed(map(repr, classes.tolist()))}, "
            "or a mapping from some of them to such columns."
        )
    if found.shape not in ((n_samples, n_classes), (n_samples, n_responses, n_classes)):
        raise ValueError(
            f"offset must have shape ({n_samples}, {n_classes}), one value per sample and class, or ({n_samples}, "
            f"{n_responses}, {n_classes}) for responses of their own; it has {found.shape}. Classes are in the order "
            f"{listed(map(repr, classes.tolist()))}."
        )
    for axis, place in places.items():
        found = np.take(found, place, axis)
    found = found if order is None else found[order]
    bad = ~(np.abs(found) <= LARGEST)
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"offset must be finite and not exceed {LARGEST:g} in size; row {at[0]} holds {found[at]:g} for class "
            f"{classes.tolist()[at[-1]]!r}{_of_response(at, names)}. A class that a sample cannot have gets a number "
            "such as -30."
        )
    found = found[:, 0] if found.ndim == 3 and n_responses == 1 else found
    alike = (found == found[..., :1]).all(axis=-1, keepdims=True)
    return np.where(alike, 0.0, found - found.mean(axis=-1, keepdims=True))


def check_class_reach(offset: np.ndarray | None, precision: Any, classes: np.ndarray, names: list[str]) -> None:
    """Complain of a checked offset beside which numbers of a precision do not hold what the weights add.

    Raises
    ------
    ValueError
    """
    if offset is None:
        return
    at = tuple(map(int, np.unravel_index(int(np.abs(offset).argmax()), offset.shape)))
    if abs(offset[at]) * np.finfo(precision).eps > LOST:
        precise = "" if np.finfo(precision).bits == 64 else ", or fit with precision='float64'"
        raise ValueError(
            f"offset is {offset[at]:g} above the mean of the classes in row {at[0]} for class "
            f"{classes.tolist()[at[-1]]!r}{_of_response(at, names)}, beside which what the weights add is rounded "
            f"away; give logarithms of probabilities or odds{precise}."
        )


def beside_classes(offset: np.ndarray, responses: np.ndarray | slice = slice(None)) -> np.ndarray:
    """A checked offset as it is added to predictors (n_samples, n_responses, n_classes) of some responses."""
    return offset[:, None] if offset.ndim == 2 else offset[:, responses]


def of_occurring(offset: np.ndarray | None, classes: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """The offset of the classes that occur among labels y of object, as a fit to these has them."""
    if offset is None:
        return None
    found = set(y.ravel().tolist())
    return offset[..., [kind in found for kind in classes.tolist()]]


def _of_columns(given: Mapping, n_samples: int, rows: Rows | None, classes: np.ndarray) -> np.ndarray:
    """Columns by class as one table, rows in their shared order, 0 for classes that are not named."""
    place = {kind: k for k, kind in enumerate(classes.tolist())}
    found = np.zeros((n_samples, len(classes)))
    for label, column in given.items():
        if label not in place:
            raise ValueError(
                f"offset names {label!r}, which is no class of y ({shown(classes.tolist())}); leave it out."
            )
        order = None if rows is None else rows.order(column, "offset")
        own = numbers_of(column, "offset")
        if own.ndim and own.shape != (n_samples,):
            raise ValueError(
                f"offset of {label!r} must have shape ({n_samples},), one value per sample; it has {own.shape}."
            )
        found[:, place[label]] = own if order is None or not own.ndim else own[order]
    return found


def _places(values: Any, classes: np.ndarray, names: list[str]) -> dict[int, np.ndarray]:
    """By axis, where classes, or responses, of the fit stand among those that labels name."""
    texts = [str(kind) for kind in classes.tolist()]
    if isinstance(values, xr.DataArray) and values.ndim == 3:
        found = {}
        for axis, (own, what) in enumerate([(names, "response"), (texts, "class")], 1):
            index = values.indexes.get(values.dims[axis])
            if index is not None:
                stand_in = pd.DataFrame(columns=list(map(str, index)))
                found[axis] = neuron_order(stand_in, own, True, "offset", "the model", what)
    else:
        found = {1: neuron_order(values, texts, True, "offset", "the model", "class")}
    return {axis: place for axis, place in found.items() if place is not None}


def _of_response(at: tuple[int, ...], names: list[str]) -> str:
    return f" of response {names[at[1]]!r}" if len(at) == 3 else ""

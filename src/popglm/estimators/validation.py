"""Checks of the activity and of what stands beside it; every complaint names the argument, the place, the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import LARGEST
from popglm.labels import Rows, check_distinct, column_labels, column_text, neuron_labels, neuron_order
from popglm.messages import listed
from popglm.numbers import as_numbers, numbers_of, shape_of
from popglm.statistics.families import Family
from popglm.warnings import PopglmWarning, warn

__all__ = [
    "as_given",
    "check_as_in_fit",
    "check_offset",
    "check_reach",
    "check_responses",
    "check_vector",
    "far_from_zero",
    "has_effect",
    "name_neurons",
    "warn_neurons",
]


def name_neurons(Y: Any, name: str = "Y", what: str = "neuron") -> list[str]:
    """Column names of a DataFrame (or of xarray's, pynapple's), the name of a Series, else ``neuron0`` …

    Parameters
    ----------
    Y : array-like
    name, what : str
        The argument's, and what a column of it is, to messages.

    Raises
    ------
    ValueError
        If two neurons have the same name.
    """
    _check_activity_kind(Y, name)
    if isinstance(Y, pd.Series) and Y.name is not None:
        return [column_text(Y.name)]
    labels = list(Y.columns) if isinstance(Y, pd.DataFrame) else column_labels(Y)
    if labels is None:
        shape = shape_of(Y)
        return [f"neuron{j}" for j in range(1 if len(shape) < 2 else shape[1])]
    names = [column_text(label) for label in labels]
    check_distinct(names, name, what)
    return names


def _check_activity_kind(Y: Any, name: str = "Y") -> None:
    """Complain of what is no matrix at all."""
    if Y is None or isinstance(Y, Mapping | str | bytes | bytearray | set | xr.Dataset):
        raise TypeError(f"{name} must be an array or a table with one column per neuron; found {type(Y).__name__}.")


def check_responses(
    Y: Any,
    n_samples: int,
    family: Family | None,
    names: list[str],
    rows: Rows | None = None,
    fitted: Any = None,
    name: str = "Y",
) -> np.ndarray:
    """Y as float64 (n_samples, n_neurons) in the family's range; NaN (not recorded) may stand anywhere.

    Parameters
    ----------
    family : Family or None
        None for activity that may be any number.
    rows : Rows, optional
        Labels that the samples are put in order by.
    fitted : GLM or GLMCV, optional
        In the order of whose neurons the columns are put.
    name : str
        What the argument is called where the call was made.

    Raises
    ------
    ValueError
        If Y has another shape, other neurons than the model, or values outside of the range of the family.
    """
    _check_activity_kind(Y, name)
    order = None if rows is None else rows.order(Y, name)
    neurons = None if fitted is None else neuron_order(Y, fitted.neuron_names_, fitted.neurons_are_named_)
    try:
        values = as_numbers(Y)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers, one column per neuron: {str(error).rstrip('.')}.") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"{name} must have shape (n_samples, n_neurons) or (n_samples,); it has {values.shape}.")
    if len(values) != n_samples:
        raise ValueError(
            f"X has {n_samples} samples and {name} has {len(values)} (inconsistent numbers of samples); both need one "
            "row per time point."
        )
    if fitted is not None and values.shape[1] != len(fitted.neuron_names_):
        raise ValueError(
            f"{name} has {values.shape[1]} neurons; the model was fitted to {len(fitted.neuron_names_)}. Give a column "
            "for every neuron of the fit, NaN where it was not recorded."
        )

    def complain(bad: np.ndarray, what: str, remedy: str) -> None:
        if bad.any():
            row, neuron = np.argwhere(bad)[0]
            raise ValueError(
                f"{name} holds {what} for neuron {neuron} ({names[neuron]!r}), first in row {row}: "
                f"{values[row, neuron]:g}. {remedy}"
            )

    # reduced without arrays of the size of Y
    largest = np.maximum(np.fmax.reduce(values, axis=0, initial=0.0), -np.fmin.reduce(values, axis=0, initial=0.0))
    complain(
        np.isinf(values) if np.isinf(largest).any() else largest[None] < 0,
        "an infinite value (Input y contains infinity or a value too large for dtype('float64').)",
        "Use NaN for samples that were not recorded.",
    )
    complain(
        np.abs(values) > LARGEST if largest.max() > LARGEST else largest[None] < 0,
        f"a value above {LARGEST:g} in size",
        "Give the activity in another unit: squares of such values overflow.",
    )
    vanishing = (largest > 0) & (largest < 1 / LARGEST)
    complain(
        (values != 0) & ~np.isnan(values) & vanishing if vanishing.any() else vanishing[None],
        f"no value above {1 / LARGEST:g} in size",
        "Give the activity in another unit: squares of such values vanish.",
    )
    if family is not None:
        complain(family.is_outside(values), *family.out_of_range)
    values = values if order is None else values[order]
    return np.ascontiguousarray(values if neurons is None else values[:, neurons])


def as_given(given: Any, responses: np.ndarray) -> np.ndarray:
    """The user's own array of an activity, where that holds the same numbers as ``responses``; else these.

    Examples
    --------
    >>> counts = np.array([[1, 0], [2, 3]])
    >>> as_given(counts, counts.astype(float)) is counts, as_given(counts, counts + 0.5) is counts
    (True, False)
    """
    plain = type(given) is np.ndarray and given.dtype.kind in "iuf" and given.flags.forc
    if not plain or given.shape != responses.shape or not np.array_equal(given, responses, equal_nan=True):
        return responses
    return given


#: Share of the standard deviation of an activity by which rounding to float32 may move it.
ROUNDING = 1e-4


def far_from_zero(responses: np.ndarray) -> bool:
    """Whether rounding to float32 would move some neuron's activity by more than `ROUNDING` of its deviation.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [np.nan]])
    >>> far_from_zero(x), far_from_zero(1e8 + x)
    (False, True)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean = responses.mean(axis=0)
        if np.isnan(mean).any():
            recorded = responses[:, ~np.isnan(responses).all(axis=0)]
            mean, deviation = np.nanmean(recorded, axis=0), np.nanstd(recorded, axis=0)
        else:
            deviation = responses.std(axis=0)
        return bool(((deviation > 0) & (np.abs(mean) * np.finfo(np.float32).eps > ROUNDING * deviation)).any())


def check_vector(
    values: Any, name: str, n_samples: int, non_negative: bool = False, rows: Rows | None = None
) -> np.ndarray | None:
    """A vector with one finite number per sample, or None; a single number stands for all samples."""
    if values is None:
        return None
    order = None if rows is None else rows.order(values, name)
    vector = numbers_of(values, name)
    if vector.ndim == 0:
        vector = np.full(n_samples, float(vector))
    if vector.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one value per sample; it has {vector.shape}.")
    bad = ~np.isfinite(vector) | ((vector < 0) if non_negative else False)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be finite{' and ≥ 0' if non_negative else ''}; row {row} holds {vector[row]:g}.")
    if (np.abs(vector) > LARGEST).any():
        row = int(np.abs(vector).argmax())
        raise ValueError(f"{name} must not exceed {LARGEST:g} in size; row {row} holds {vector[row]:g}.")
    if non_negative and not (vector > 0).any():
        raise ValueError(f"{name} is zero in every row; at least one sample must count.")
    return vector if order is None else vector[order]


def check_weights(
    values: Any, n_samples: int, names: list[str], rows: Rows | None = None, what: str = "neuron"
) -> np.ndarray | None:
    """Sample weights: `check_vector`, or finite numbers per sample and neuron (n_samples, n_neurons).

    Parameters
    ----------
    names : list of str
        Of the neurons, in whose order named columns are put. Columns that are all alike are as good as a vector.
    what : str
        What has a name.

    Raises
    ------
    ValueError
    """
    if not _has_columns(values):
        return check_vector(values, "sample_weight", n_samples, non_negative=True, rows=rows)
    order = None if rows is None else rows.order(values, "sample_weight")
    columns = neuron_order(values, names, neuron_labels(values) is not None, "sample_weight", "Y", what)
    matrix = numbers_of(values, "sample_weight")
    if matrix.shape != (n_samples, len(names)):
        raise ValueError(
            f"sample_weight must have shape ({n_samples},), one value per sample, or ({n_samples}, {len(names)}), one "
            f"per sample and {what}; it has {matrix.shape}."
        )
    matrix = matrix if columns is None else matrix[:, columns]
    matrix = matrix if order is None else matrix[order]
    bad = ~np.isfinite(matrix) | (matrix < 0) | (matrix > LARGEST)
    if bad.any():
        row, neuron = np.argwhere(bad)[0]
        raise ValueError(
            f"sample_weight must be finite, ≥ 0 and at most {LARGEST:g}; row {row} holds {matrix[row, neuron]:g} for "
            f"{what} {neuron} ({names[neuron]!r})."
        )
    if not (matrix > 0).any():
        raise ValueError("sample_weight is zero everywhere; at least one sample must count.")
    alike = bool((matrix == matrix[:, :1]).all())
    return matrix[:, 0].copy() if alike else matrix


def _has_columns(values: Any) -> bool:
    """Whether values stand in rows and columns; others are looked at as a vector."""
    if isinstance(values, list | tuple):
        return any(len(shape_of(row)) == 1 for row in values[:1] if isinstance(row, list | tuple | np.ndarray))
    return len(getattr(values, "shape", ())) == 2


def over_neurons(weights: np.ndarray | None) -> np.ndarray | float:
    """Checked weights as they multiply (n_samples, n_neurons)."""
    if weights is None:
        return 1.0
    return weights if weights.ndim == 2 else weights[:, None]


#: Share of the linear predictor's reach that may be rounded away beside an offset.
LOST = 1e-3


#: What a fit may have had beside X and Y: what it is called, what goes without it, and how to ask for none on purpose.
_BESIDE = {
    "offset": ("an offset", "without it the predictions are of another size", "offset=0"),
    "sample_weight": ("sample weights", "without them all samples count alike", "sample_weight=1"),
}


def has_effect(name: str, vector: np.ndarray | None, are_trials: bool = False) -> bool:
    """Whether an offset is other than 0, or sample weights are not all alike: else it is as good as none.

    Numbers of trials tell how much is known, and are as good as none where they are 1.
    """
    if vector is None:
        return False
    if are_trials and name == "sample_weight":
        return bool((vector != 1).any())
    return bool(vector.any()) if name == "offset" else bool((vector != vector.flat[0]).any())


def check_offset(model: Any, offset: Any, n_samples: int, rows: Rows | None, who: str) -> np.ndarray | None:
    """The offset as the model takes it, which one that was fitted with some cannot do without.

    A single number is the offset of all samples: 0 asks for none on purpose.
    """
    if offset is None and getattr(model, "fitted_with_offset_", False):
        raise _lacking(who, "offset", "Give the offset of these rows, or offset=0 for the prediction without one.")
    return model.offset_values(offset, n_samples, rows)


def check_reach(offset: np.ndarray | None, responses: np.ndarray, loss: Family, fit_intercept: bool) -> None:
    """Complain of a checked offset beside which float64 does not hold what the weights add, or whose mean is infinite.

    A fit finds a constant of any other size again in its intercept.
    """
    if offset is None:
        return
    # means of other links change where the predictor changes by 1, whatever the unit of the activity
    in_units = loss.link.in_units
    needed = np.nanmax(np.abs(responses), initial=0.0) if in_units else 1.0
    row = int(np.abs(offset).argmax())
    if np.abs(offset[row]) * np.finfo(float).eps > LOST * needed > 0:
        lost, remedy = "what the weights add", "give the logarithm of an exposure, not the exposure"
        if in_units:
            lost, remedy = f"activity of {needed:g} at most", "give both in the same unit"
        raise ValueError(f"offset is {offset[row]:g} in row {row}, beside which {lost} is rounded away; {remedy}.")
    if not fit_intercept:
        with np.errstate(over="ignore"):
            infinite = np.flatnonzero(np.isinf(loss.link.mean(np, offset)))
        if len(infinite):
            raise ValueError(
                f"offset is {offset[infinite[0]]:g} in row {infinite[0]}, where the mean is infinite without an "
                "intercept; use fit_intercept=True, or give the logarithm of an exposure, not the exposure."
            )


def check_as_in_fit(
    model: Any, sample_weight: Any, offset: Any, n_samples: int, rows: Rows | None, who: str, refits: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Sample weights and offset of the rows of the fit, checked: given as to the fit, or not as there.

    Parameters
    ----------
    refits : bool
        Whether the model is fitted again, and needs what it had. Else a single number asks on purpose for none.

    Raises
    ------
    ValueError
        If the fit had one that is not given, or one is given that the fit did not have.
    """
    found = {"offset": offset, "sample_weight": sample_weight}
    for name, values in found.items():
        if name == "sample_weight":
            vector = check_weights(values, n_samples, model.neuron_names_, rows)
        else:
            vector = model.offset_values(values, n_samples, rows)
        # files of earlier revisions do not say, and leave it at None
        fitted, given = getattr(model, f"fitted_with_{name}_", None), has_effect(name, vector, model.loss_.has_trials)
        what, _, none = _BESIDE[name]
        if fitted and refits and not given:
            raise _lacking(who, name, f"Give {name} as in the fit: re-fits without are not comparable with the model.")
        if fitted and vector is None:
            raise _lacking(who, name, f"Give {name} as in the fit, or {none} to do without on purpose.")
        if fitted is False and given:
            raise ValueError(
                f"{who} has {name}=, but the model was fitted without {what}. Leave {name} out, or fit the model with "
                "it as well."
            )
        found[name] = vector
    return found["sample_weight"], found["offset"]


def _lacking(who: str, name: str, remedy: str) -> ValueError:
    what, without, _ = _BESIDE[name]
    return ValueError(f"{who} needs {name}=: the model was fitted with {what}, and {without}. {remedy}")


def warn_neurons(what: str, neurons: np.ndarray, names: list[str], category: type = PopglmWarning) -> None:
    """One warning that names the neurons (the first ten of them)."""
    if len(neurons):
        warn(f"{what}: {listed(names[j] for j in neurons)}.", category)

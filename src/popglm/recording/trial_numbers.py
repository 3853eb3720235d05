"""Signals of trial numbers: which signals are some, and the number that stands for no trial."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popglm import toml_text
from popglm.recording.parts import Parts

__all__ = ["lines_of_trials", "number_of_no_trial", "signals_of_trials", "whole_numbers"]

#: Samples of a signal that are looked at to tell whether it counts trials.
LOOKED_AT = 20_000


def signals_of_trials(session: Parts) -> dict[str, int | None]:
    """Signals that look like trial numbers, those of such a name first, and the number that stands for no trial.

    Trial numbers are whole, none is below the one before, and each is held for some samples. What is below 0, or NaN,
    is no trial and may stand between them; so may one other number, which is told: 0 in many files of MATLAB.
    """
    found = {}
    for name, part in session.signals.items():
        if part.ndim == 1 and (numbers := _trial_numbers(part)) is not None:
            between = number_of_no_trial(numbers)
            if _count_up(numbers if between is None else numbers[numbers != between], "trial" in name.lower()):
                found[name] = between
    return dict(sorted(found.items(), key=lambda one: "trial" not in one[0].lower()))


def number_of_no_trial(numbers: np.ndarray) -> int | None:
    """The one number that comes back after others; None where none does, or several do.

    Parameters
    ----------
    numbers : ndarray, shape (n_samples,)
        Whole, without NaN.

    Examples
    --------
    >>> number_of_no_trial(np.array([0, 1, 1, 0, 2, 0, 3])), number_of_no_trial(np.array([0, 0, 1, 2, 2]))
    (0, None)
    """
    runs = numbers[np.flatnonzero(np.diff(numbers, prepend=np.nan) != 0)]
    labels, n_runs = np.unique(runs, return_counts=True)
    again = labels[n_runs > 1]
    return int(again[0]) if len(again) == 1 and len(labels) > 1 else None


def lines_of_trials(name: str, no_trial: int | None) -> list[str]:
    """The lines of a recipe that take trials from a signal of their numbers.

    Examples
    --------
    >>> lines_of_trials("trial", 0)
    ['trials.source = "trial"', 'trials.none = 0']
    """
    none = [] if no_trial is None else [f"trials.none = {no_trial}"]
    return [f"trials.source = {toml_text.text(name)}", *none]


def whole_numbers(values: np.ndarray) -> np.ndarray | None:
    """Values as float64, shape (n_samples,), where all that are known are whole numbers; None where they are not."""
    if values.dtype.kind not in "biuf":
        return None
    numbers = values.astype(np.float64)
    return numbers if (numbers[~np.isnan(numbers)] % 1 == 0).all() else None


def _trial_numbers(part: xr.DataArray) -> np.ndarray | None:
    """The numbers of trials among the first samples of a signal; None where it holds something else, or none."""
    values = np.asarray(part[:LOOKED_AT].values)
    numbers = None if values.dtype.kind == "b" else whole_numbers(values)
    if numbers is None:
        return None
    # NaN is not at least 0
    numbers = numbers[numbers >= 0]
    return numbers if len(numbers) else None


def _count_up(numbers: np.ndarray, is_named: bool) -> bool:
    """Whether numbers count up, or stay in a first trial where their name says that there are any."""
    steps = np.diff(numbers)
    rising = (steps != 0).sum()
    return bool((steps >= 0).all() and rising < 0.2 * len(steps) and (rising or is_named))

"""A first recipe for a session: what it holds, and guesses that say that they are guesses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popglm import toml_text
from popglm.analysis.guessed_terms import bin_lines, kernel, splines, variable_lines
from popglm.analysis.naming import OPEN
from popglm.recording import Session
from popglm.recording.clocks import clock_faults
from popglm.recording.trial_numbers import lines_of_trials, signals_of_trials

__all__ = ["bare_recipe", "guess_recipe"]

#: Columns of unit and ROI tables that say which neurons to keep, and the query that does so.
_QUALITY = {
    "iscell": "iscell",
    "is_accepted": "is_accepted",
    "quality": "quality == 'good'",
    "group": "group == 'good'",
    "KSLabel": "KSLabel == 'good'",
    "ibl_quality_score": "ibl_quality_score == 1",
    "phy_annotations": "phy_annotations >= 2",
}
#: Formats that hold no behaviour.
BARE_FORMATS = ("suite2p", "kilosort", "caiman")


def guess_recipe(
    session: Session,
    path: str | Path,
    format: str,
    options: Mapping[str, Any] | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """The text of a recipe for a session, in TOML, with comments.

    Parameters
    ----------
    path : path-like
        Of the recording, as the recipe shall name it.
    format : str
        Of the file.
    options : mapping, optional
        Of the reader, which the recipe names as well.
    remarks : sequence of str
        Lines of comments on them.

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np
    >>> from popglm.recording import signal, traces
    >>> session = Session({"dff": traces(np.zeros((9, 1)), rate=6)}, {"speed": signal(np.arange(9.0), rate=6)})
    >>> [line for line in guess_recipe(session, "session.nwb", "nwb").splitlines() if "basis" in line]
    ['basis = "splines"']
    """
    lines = [
        "# A recipe of popglm. What is marked as a guess was told by names and kinds alone: look at it.",
        "# popglm check says what the data are; popglm fit carries the recipe out.",
        "",
        # lines of these stand before the tables
        *_neuron_lines(session),
        *_clock_lines(session),
        *_trial_lines(session),
        "",
        "[data]",
        f"path = {toml_text.text(path)}",
        f"format = {toml_text.text(format)}",
        *option_lines(options or {}, remarks),
        *_activity_lines(session),
        *_behaviour_lines(session, format),
        "",
        *variable_lines(session),
        *_model_lines(session),
        *bin_lines(session),
    ]
    return "\n".join(lines) + "\n"


def bare_recipe(
    path: str | Path, format: str, options: Mapping[str, Any], remarks: Sequence[str], events: Sequence[str] = ()
) -> str:
    """The text of a recipe that waits for answers, for a file of which nobody can guess what its activity is.

    A file that holds ``events`` alone has none: the recipe asks for the file that has it.

    Examples
    --------
    >>> print(bare_recipe("a.npz", "arrays", {"activity": "?"}, ["there is F: float64 90"]).partition("[data]")[2])
    <BLANKLINE>
    path = "a.npz"
    format = "arrays"
    # there is F: float64 90
    options = {activity = "?"}  # a guess; put the answer where there is a "?"
    <BLANKLINE>
    [[terms]]
    basis = "splines"
    variable = "?"
    n = 7
    quantiles = true
    <BLANKLINE>
    [model]
    family = "gaussian"  # a guess: "poisson" for spikes
    penalty = "group_lasso"
    n_lambdas = 11
    cv = 5
    <BLANKLINE>
    """
    lines = [
        '# A recipe of popglm that waits for answers: say what belongs where there is a "?".',
        "# popglm check names those that are left.",
        "",
        "trials.source = 30  # a guess: blocks of 30 s; the name of a signal of trial numbers takes their place",
        "",
        "[data]",
        f"path = {toml_text.text(path)}",
        f"format = {toml_text.text(format)}",
        *option_lines(options, remarks),
        *([f'also = ["{OPEN}"]  # the file or folder that holds the activity'] if events else ()),
        "",
        *(line for name in events for line in ("[[terms]]  # a guess", *kernel(name), "")),
        *(() if events else ("[[terms]]", *splines(OPEN), "")),
        "[model]",
        'family = "gaussian"  # a guess: "poisson" for spikes',
        'penalty = "group_lasso"',
        "n_lambdas = 11",
        "cv = 5",
    ]
    return "\n".join(lines) + "\n"


def option_lines(options: Mapping[str, Any], remarks: Sequence[str]) -> list[str]:
    """Options of the reader, and comments on them."""
    if not options:
        return []
    waits = '; put the answer where there is a "?"' if OPEN in json.dumps(options) else ""
    # what comes without a remark was given
    mark = f"  # a guess{waits}" if remarks else ""
    return [*(f"# {remark}" for remark in remarks), f"options = {toml_text.in_line(options)}{mark}"]


def _behaviour_lines(session: Session, format: str) -> list[str]:
    """How the behaviour comes beside activity that has none with it."""
    if format not in BARE_FORMATS or session.signals or session.events:
        return []
    name = next(iter(session.activity)).partition("/")[0]
    start = "frame" if format == "suite2p" else "sample"
    return [
        "# other files of the same recording, with their own times (s):",
        '# also = [{path = "behaviour.csv", options = {times = "time"}}]',
        f"# times of {name} count from the first {start}; where those of the behaviour do not, say when that was by",
        f"# their clock (s), at the top: clock_shift.{name} = 1.7",
    ]


def _activity_lines(session: Session) -> list[str]:
    """Which activity is fitted, and what else there is."""
    lines = []
    names = list(session.activity)
    alike = [name for name in names if re.sub(r"\d+", "#", name) == re.sub(r"\d+", "#", names[0])]
    chosen = toml_text.text(alike[0]) if len(alike) == 1 else "[" + ", ".join(map(toml_text.text, alike)) + "]"
    lines.append(f"activity = {chosen}  # a guess")
    for name in names:
        lines.append(f"# there is {name}: {_about(session.activity[name])}")
    return lines


def _about(part: xr.DataArray | xr.Dataset) -> str:
    """Size of a part, and its rate or unit."""
    if isinstance(part, xr.Dataset):
        return f"{part.sizes['spike']:,} spikes of {part.sizes['neuron']:,} units"
    rate = part["time"].attrs.get("rate")
    unit = part.attrs.get("units", "")
    told = [f"{rate:g} Hz" if rate else "", f"in {unit}" if unit else ""]
    return ", ".join([" × ".join(f"{n:,}" for n in part.shape), *filter(None, told)])


def _neuron_lines(session: Session) -> list[str]:
    """Which neurons stay."""
    part = next(iter(session.activity.values()))
    columns = [str(name) for name, at in part.coords.items() if at.dims == ("neuron",) and name != "neuron"]
    query = next((query for column, query in _QUALITY.items() if column in columns), None)
    lines = [f"neurons = {toml_text.text(query)}  # a guess"] if query else []
    if columns:
        lines.append(f"# neurons may be chosen by {', '.join(columns)}")
    return lines


def _clock_lines(session: Session) -> list[str]:
    """The grid of time, and clocks that cannot be right."""
    lines = [f"# {fault.sentence}\n# if so: {fault.remedy}" for fault in clock_faults(session)]
    part = next(iter(session.activity.values()))
    if isinstance(part, xr.Dataset):
        return [*lines, 'grid.dt = "1/40"  # a guess: bins of 25 ms']
    return [*lines, f"# bins are the samples of {next(iter(session.activity))}; for others: grid.dt = 0.1"]


def _trial_lines(session: Session) -> list[str]:
    """Where trials come from."""
    if session.trials is not None:
        others = [name for name in session.intervals if name != "trials"]
        return [f"# other intervals: {', '.join(others)}"] if others else []
    likely = [name for name in session.intervals if "trial" in name.lower()]
    if likely:
        return [f"trials.source = {toml_text.text(likely[0])}  # a guess"]
    for name, no_trial in signals_of_trials(session).items():
        if "trial" in name.lower():
            source, *none = lines_of_trials(name, no_trial)
            return [f"{source}  # a guess", *(f"{line}  # a guess: stands between trials" for line in none)]
    length = _block_length(session)
    return [
        f"trials.source = {length:g}  # a guess: the session has no trials; blocks of {length:g} s take their place"
    ]


def _block_length(session: Session) -> float:
    """Half a minute (s), or a twentieth of a recording that is shorter than ten."""
    part = next(iter(session.activity.values()))
    if isinstance(part, xr.Dataset):
        times = part["spike_time"].values
        times = times[np.isfinite(times)]
        span = float(times.max() - times.min()) if len(times) else 0.0
    else:
        ends = part["time"][:: max(part["time"].size - 1, 1)].values.astype(float)
        span = float(ends[-1] - ends[0])
    return 30.0 if not 0 < span < 600 else float(f"{span / 20:.2g}")


def _model_lines(session: Session) -> list[str]:
    """The model that suits the activity."""
    name, part = next(iter(session.activity.items()))
    is_rate = isinstance(part, xr.Dataset) or re.search(r"deconv|spks|spike|event|count|^s$", name.lower())
    family = "poisson" if is_rate else "gaussian"
    n_trials = len(session.trials) if session.trials is not None else 10
    return [
        "[model]",
        f"family = {toml_text.text(family)}  # a guess",
        'penalty = "group_lasso"',
        "n_lambdas = 11",
        f"cv = {max(min(5, n_trials // 2), 2)}",
        "",
        *(("[test]  # trials that are kept from the fit", "fraction = 0.15", "") if n_trials >= 10 else ()),
        "[explain]",
        "compare = false  # true: fit again without each variable",
        "bootstrap = 0  # resamples for bands of the kernels",
    ]

"""A first recipe for a session: what it holds, and guesses that say that they are guesses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm import toml_text
from popglm.analysis.naming import OPEN
from popglm.recording import Session
from popglm.recording.clocks import clock_faults, longest_step
from popglm.recording.regrid_notes import holds_events
from popglm.recording.series import CONTINUOUS
from popglm.recording.sources import all_variables, find_source, is_empty_text, signal_values
from popglm.recording.trials import signals_of_trials

__all__ = ["bare_recipe", "guess_recipe"]

#: Variables of a first recipe at most; all others stand in it as comments.
MOST_VARIABLES = 12
#: A variable of so many values is taken for categories; samples of a signal that are looked at to tell.
FEW, LOOKED_AT = 6, 20_000
#: A column of times is one if this share of them lie in their trials.
MOSTLY = 0.9
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
#: Names of variables along which contributions are told as well.
_PLACE = re.compile(r"position|(^|_)(pos|place|location|distance|heading|angle|phase)(_|$)", re.IGNORECASE)
#: Columns of trials that say when something was, not what.
_TIME = re.compile(r"(^|_)(time|times|start|stop|onset|offset|idx|index|id)(_|$)|_time")


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
        *_variable_lines(session),
        *_model_lines(session),
        *_bin_lines(session),
    ]
    return "\n".join(lines) + "\n"


def bare_recipe(path: str | Path, format: str, options: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """The text of a recipe that waits for answers, for a file of which nobody can guess what its activity is.

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
        "",
        "[[terms]]",
        *_splines(OPEN),
        "",
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
    likely += [name for name in signals_of_trials(session) if "trial" in name.lower()]
    if likely:
        return [f"trials.source = {toml_text.text(likely[0])}  # a guess"]
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


def _variable_lines(session: Session) -> list[str]:
    """Variables, and a term for each."""
    chosen, left = _chosen(session)
    lines = ["[variables]"]
    for name, (source, kind) in chosen.items():
        counted = kind is _kernel and source not in session.events
        how = toml_text.text(source)
        lines.append(
            f'{name} = {{source = {how}, rule = "count"}}  # a guess: events' if counted else f"{name} = {how}"
        )
    lines += [f"# there is {name}" for name in left]
    for name, (_, kind) in chosen.items():
        lines += ["", "[[terms]]  # a guess", *kind(name)]
    if not chosen:
        lines += ["", "# no variable was found; name one", "[[terms]]", *_linear(OPEN)]
    return [*lines, ""]


def _chosen(session: Session) -> tuple[dict[str, tuple[str, Any]], list[str]]:
    """Variables of a first recipe by their names there, with their sources and kinds of terms; and all others."""
    chosen: dict[str, tuple[str, Any]] = {}
    left = []
    for name, variable in all_variables(session).items():
        kind = _kind(session, variable.source)
        if kind is None or len(chosen) >= MOST_VARIABLES:
            left.append(name)
        else:
            chosen[_plain_name(name, chosen)] = (variable.source, kind)
    return chosen, left


def _bin_lines(session: Session) -> list[str]:
    """Bins along the first variable that is called like a place."""
    for name, (source, kind) in _chosen(session)[0].items():
        if kind is not _splines or not _PLACE.search(name):
            continue
        found = find_source(session, source)
        part = session.signals[found.part]
        column = part if found.column is None else part.isel(column=list(part["column"].values).index(found.column))
        values = np.asarray(column[:LOOKED_AT].values, np.float64)
        low, high = (float(f"{end:.3g}") for end in np.percentile(values[np.isfinite(values)], (1, 99)))
        unit = part.attrs.get("units")
        return [
            "",
            f"[explain.by.{name}]  # a guess: bins in which contributions are told as well",
            f"low = {low}",
            f"high = {high}",
            "n = 20",
            *([f"unit = {toml_text.text(unit)}"] if unit else []),
        ]
    return []


def _plain_name(name: str, taken: Any) -> str:
    """A name that TOML and formulas can hold without quotes."""
    plain = re.sub(r"\W+", "_", name.rsplit("/", 1)[-1].removeprefix("trials.").removeprefix("frame_aligned_"))
    plain = plain.strip("_") or "variable"
    while plain in taken:
        plain += "_"
    return plain


def _kind(session: Session, source: str) -> Any:
    """The lines of a term that suits a variable; None for one that is no variable of a model."""
    found = find_source(session, source)
    if found.kind == "events":
        return _kernel
    if found.kind == "trials":
        column = session.trials[found.column] if session.trials is not None else pd.Series()
        column = column[~is_empty_text(column.to_numpy())]
        if _are_times_of_trials(session.trials, found.column):
            return _kernel
        if _TIME.search(str(found.column)) or column.isna().all() or column.nunique() < 2:
            return None
        return _categories if column.nunique() <= FEW else (_linear if pd.api.types.is_numeric_dtype(column) else None)
    part = session.signals[found.part]
    if re.search(r"trial|(^|_)(idx|index|id)(_|$)|timestamp", found.part.lower()):
        return None
    # a part is enough to tell a signal of a few values
    some = signal_values(part[:LOOKED_AT], found)
    if holds_events(some) or _is_one_at_events(some, part["time"][:LOOKED_AT].values):
        return _kernel
    values = pd.unique(pd.Series(some[~is_empty_text(some)]).dropna())
    if len(values) < 2:
        return None
    return _categories if len(values) <= FEW or part.attrs["between_samples"] != CONTINUOUS else _splines


def _are_times_of_trials(trials: pd.DataFrame | None, column: str | None) -> bool:
    """Whether a column of the trials holds times of something that happened in each, such as "reward_time"."""
    if trials is None or not str(column).endswith("_time") or not pd.api.types.is_numeric_dtype(trials[column]):
        return False
    times = trials[column].to_numpy(np.float64, na_value=np.nan)
    known = ~np.isnan(times)
    # times since the start of each trial are none of the recording's clock
    inside = (times >= trials["start_time"].to_numpy()) & ~(times > trials["stop_time"].to_numpy())
    return bool(known.sum() > 1 and inside[known].mean() >= MOSTLY)


def _is_one_at_events(values: np.ndarray, times: np.ndarray) -> bool:
    """Whether a signal is 1 in all its samples, which were taken at no regular times: when something happened."""
    times = np.asarray(times, float)
    is_regular = np.isfinite(longest_step(times[~np.isnan(times)]))
    return values.dtype.kind in "biuf" and len(values) > 2 and bool((values == 1).all()) and not is_regular


def _splines(name: str) -> list[str]:
    return ['basis = "splines"', f"variable = {toml_text.text(name)}", "n = 7", "quantiles = true"]


def _linear(name: str) -> list[str]:
    return ['basis = "linear"', f"variable = {toml_text.text(name)}"]


def _categories(name: str) -> list[str]:
    return ['basis = "categories"', f"variable = {toml_text.text(name)}"]


def _kernel(name: str) -> list[str]:
    return [
        'basis = "kernel"  # one second after each event',
        f"variable = {toml_text.text(name)}",
        'of = {basis = "bumps", n = 5, low = 0, high = 1}',
    ]


def _model_lines(session: Session) -> list[str]:
    """The model that suits the activity."""
    name, part = next(iter(session.activity.items()))
    is_rate = isinstance(part, xr.Dataset) or re.search(r"deconv|spks|spike|event|count", name.lower())
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

"""A first recipe for a session: what it holds, and guesses that say that they are guesses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.recording import Session
from popglm.recording.clocks import clock_faults
from popglm.recording.series import CONTINUOUS
from popglm.recording.sources import all_variables, find_source

__all__ = ["guess_recipe"]

#: Variables of a first recipe at most; all others stand in it as comments.
MOST_VARIABLES = 12
#: A variable of so many values is taken for categories; samples of a signal that are looked at to tell.
FEW, LOOKED_AT = 6, 20_000
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
#: Columns of trials that say when something was, not what.
_TIME = re.compile(r"(^|_)(time|times|start|stop|onset|offset|idx|index|id)(_|$)|_time")


def guess_recipe(session: Session, path: str | Path, format: str, options: Mapping[str, Any] | None = None) -> str:
    """The text of a recipe for a session, in TOML, with comments.

    Parameters
    ----------
    path : path-like
        Of the recording, as the recipe shall name it.
    format : str
        Of the file.
    options : mapping, optional
        With which it was read.

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
        f"path = {_text(path)}",
        f"format = {_text(format)}",
        *([f"options = {_in_toml(dict(options))}"] if options else []),
        *_activity_lines(session),
        "",
        *_variable_lines(session),
        *_model_lines(session),
    ]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    """A text as TOML writes it."""
    return json.dumps(str(value), ensure_ascii=False)


def _in_toml(value: Any) -> str:
    """A value that TOML gave, as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(name)} = {_in_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_in_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def _activity_lines(session: Session) -> list[str]:
    """Which activity is fitted, and what else there is."""
    lines = []
    names = list(session.activity)
    alike = [name for name in names if re.sub(r"\d+", "#", name) == re.sub(r"\d+", "#", names[0])]
    chosen = _text(alike[0]) if len(alike) == 1 else "[" + ", ".join(map(_text, alike)) + "]"
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
    lines = [f"neurons = {_text(query)}  # a guess"] if query else []
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
    likely += [name for name, part in session.signals.items() if "trial" in name.lower() and _counts(part)]
    if likely:
        return [f"trials.source = {_text(likely[0])}  # a guess"]
    length = _block_length(session)
    return [
        f"trials.source = {length:g}  # a guess: the session has no trials; blocks of {length:g} s take their place"
    ]


def _block_length(session: Session) -> float:
    """Half a minute (s), or a twentieth of a recording that is shorter than ten."""
    part = next(iter(session.activity.values()))
    if isinstance(part, xr.Dataset):
        times = part["spike_time"].values
        span = float(times.max() - times.min()) if len(times) else 0.0
    else:
        ends = part["time"][:: max(part["time"].size - 1, 1)].values.astype(float)
        span = float(ends[-1] - ends[0])
    return 30.0 if not 0 < span < 600 else float(f"{span / 20:.2g}")


def _counts(part: xr.DataArray) -> bool:
    """Whether a signal holds whole numbers, or NaN, and one for long."""
    values = np.asarray(part[:LOOKED_AT].values)
    if part.ndim != 1 or values.dtype.kind not in "iuf":
        return False
    known = values[~np.isnan(values.astype(float))]
    return bool(len(known) and (known % 1 == 0).all() and (np.diff(known) != 0).mean() < 0.2)


def _variable_lines(session: Session) -> list[str]:
    """Variables, and a term for each."""
    found = all_variables(session)
    chosen: dict[str, tuple[str, Any]] = {}
    left = []
    for name, variable in found.items():
        kind = _kind(session, variable.source)
        if kind is None or len(chosen) >= MOST_VARIABLES:
            left.append(name)
        else:
            chosen[_plain_name(name, chosen)] = (variable.source, kind)
    lines = ["[variables]", *(f"{name} = {_text(source)}" for name, (source, _) in chosen.items())]
    lines += [f"# there is {name}" for name in left]
    for name, (_, kind) in chosen.items():
        lines += ["", "[[terms]]  # a guess", *kind(name)]
    if not chosen:
        lines += ["", "# no variable was found; name one", "[[terms]]", 'basis = "linear"', 'variable = "?"']
    return [*lines, ""]


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
        if _TIME.search(str(found.column)) or column.isna().all() or column.nunique() < 2:
            return None
        return _categories if column.nunique() <= FEW else (_linear if pd.api.types.is_numeric_dtype(column) else None)
    part = session.signals[found.part]
    if re.search(r"trial|(^|_)(idx|index|id)(_|$)|timestamp", found.part.lower()):
        return None
    # a part is enough to tell a signal of a few values
    values = np.unique(np.asarray(part[:LOOKED_AT].values, dtype=object if part.dtype.kind == "O" else None))
    if len(values) < 2:
        return None
    return _categories if len(values) <= FEW or part.attrs["between_samples"] != CONTINUOUS else _splines


def _splines(name: str) -> list[str]:
    return ['basis = "splines"', f"variable = {_text(name)}", "n = 7", "quantiles = true"]


def _linear(name: str) -> list[str]:
    return ['basis = "linear"', f"variable = {_text(name)}"]


def _categories(name: str) -> list[str]:
    return ['basis = "categories"', f"variable = {_text(name)}"]


def _kernel(name: str) -> list[str]:
    return [
        'basis = "kernel"  # one second after each event',
        f"variable = {_text(name)}",
        'of = {basis = "bumps", n = 5, low = 0, high = 1}',
    ]


def _model_lines(session: Session) -> list[str]:
    """The model that suits the activity."""
    name, part = next(iter(session.activity.items()))
    is_rate = isinstance(part, xr.Dataset) or re.search(r"deconv|spks|spike|event", name.lower())
    family = "poisson" if is_rate else "gaussian"
    n_trials = len(session.trials) if session.trials is not None else 10
    return [
        "[model]",
        f"family = {_text(family)}  # a guess",
        'penalty = "group_lasso"',
        "n_lambdas = 11",
        f"cv = {max(min(5, n_trials // 2), 2)}",
        "",
        *(("[test]  # trials that are kept from the fit", "fraction = 0.15", "") if n_trials >= 10 else ()),
        "[explain]",
        "compare = false  # true: fit again without each variable",
        "bootstrap = 0  # resamples for bands of the kernels",
    ]

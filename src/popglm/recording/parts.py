"""What a recording consists of: activity, signals, events and intervals by name, each with a clock of its own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pandas as pd
import xarray as xr

from popglm.messages import listed, shown

__all__ = ["Parts"]

KINDS = ("activity", "signals", "events", "intervals")
#: What a part of each kind may be called.
EXAMPLES = {"activity": "dff", "signals": "speed", "events": "licks", "intervals": "trials"}


@dataclass(frozen=True, repr=False)
class Parts:
    """The parts of a recording; `Session` is what one does with them.

    Parameters
    ----------
    activity, signals, events, intervals, attrs, files
        As for `Session`.
    whole : mapping of str to DataFrame
        Intervals of which `Session.where` has kept some, as they were: the trial before one may be none that is kept.
    """

    activity: Mapping[str, xr.DataArray | xr.Dataset] = field(default_factory=dict)
    signals: Mapping[str, xr.DataArray] = field(default_factory=dict)
    events: Mapping[str, xr.Dataset] = field(default_factory=dict)
    intervals: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Any] = field(default=(), compare=False)
    whole: Mapping[str, pd.DataFrame] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        """Check of what kind the parts are."""
        kinds = {
            "activity": ((xr.DataArray, xr.Dataset), "traces or spike_trains"),
            "signals": (xr.DataArray, "signal"),
            "events": (xr.Dataset, "events"),
            "intervals": (pd.DataFrame, "intervals"),
        }
        for part, (kind, maker) in kinds.items():
            given = getattr(self, part)
            if not isinstance(given, Mapping):
                raise TypeError(
                    f"Session: {part} must be a mapping of names, such as {{{EXAMPLES[part]!r}: …}} with what {maker} "
                    f"made; found {shown(given)}"
                )
            for name, found in given.items():
                if not isinstance(found, kind):
                    raise TypeError(f"Session: {part}[{name!r}] must come from {maker}; found {shown(found)}")
        if not isinstance(self.attrs, Mapping):
            raise TypeError(f'Session: attrs must be a mapping, such as {{"subject": "m1"}}; found {shown(self.attrs)}')

    def __repr__(self) -> str:
        """Name the parts on one line."""
        parts = {
            "activity": [f"{name} ({_size(found)})" for name, found in self.activity.items()],
            "signals": list(self.signals),
            "events": [f"{name} ({found.sizes['event']:,})" for name, found in self.events.items()],
            "intervals": [f"{name} ({len(found):,})" for name, found in self.intervals.items()],
        }
        return "Session: " + "; ".join(f"{part} {listed(names)}" for part, names in parts.items() if names)

    def close(self) -> None:
        """Close the files; values that were not read yet cannot be read afterwards."""
        for file in self.files:
            file.close()

    def __enter__(self) -> Self:
        """Use the session in a ``with`` statement, at whose end its files are closed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the files."""
        self.close()

    @property
    def trials(self) -> pd.DataFrame | None:
        """The table of trials, None where there is none."""
        return self.intervals.get("trials")

    def find(self, name: str, who: str) -> tuple[str, Any]:
        """Of which kind a part is, and the part."""
        for parts in KINDS:
            if name in getattr(self, parts):
                return parts, getattr(self, parts)[name]
        known = [known for parts in KINDS for known in getattr(self, parts)]
        near = difflib.get_close_matches(str(name), known, n=3) or known
        raise ValueError(
            f"{who}: the session has no part {shown(name)}; nearest names: {listed(map(repr, near)) or 'none'}"
        )

    def joined(self, other: Parts, prefix: str) -> Self:
        """Both recordings as one; a part of the other whose name is taken is called ``prefix/name``."""
        both: dict[str, Any] = {"files": (*self.files, *other.files)}
        for parts in KINDS:
            own = dict(getattr(self, parts))
            for name, part in getattr(other, parts).items():
                own[f"{prefix}/{name}" if name in own else name] = part
            both[parts] = own
        return replace(self, **both, attrs={**other.attrs, **self.attrs})

    def with_part(self, parts: str, name: str, part: Any) -> Self:
        """The session with another part of that name."""
        changed: dict[str, Any] = {parts: {**getattr(self, parts), name: part}}
        return replace(self, **changed)


def _size(activity: xr.DataArray | xr.Dataset) -> str:
    """Samples, or spikes, and neurons."""
    first = "spike" if "spike" in activity.sizes else "sample"
    return f"{activity.sizes[first]:,} {first}s × {activity.sizes['neuron']:,} neurons"

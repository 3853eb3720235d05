"""A recording as it lies in a lab's files: activity, signals, events and intervals, each with a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import xarray as xr

from popglm.messages import listed, shown

__all__ = ["Session"]


@dataclass(frozen=True)
class Session:
    """One recording.

    Parameters
    ----------
    activity : mapping of str to DataArray or Dataset, optional
        What `traces` or `spike_trains` made: planes, probes, or kinds of activity of the same neurons. The first is
        the one that is fitted unless another is named.
    signals : mapping of str to DataArray, optional
        What `signal` made.
    events : mapping of str to Dataset, optional
        What `events` made.
    intervals : mapping of str to DataFrame, optional
        What `intervals` made; those called "trials" are the trials.
    attrs : mapping, optional
        What is known of the whole: "source", "session_id", "subject", …

    Raises
    ------
    TypeError
        If a part is not what its maker returns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from popglm.recording import intervals, signal, traces
    >>> session = Session(
    ...     activity={"dff": traces(np.ones((6, 2)), rate=2, neurons=["a", "b"])},
    ...     signals={"speed": signal(np.arange(12.0), rate=4, unit="cm/s")},
    ...     intervals={"trials": intervals(pd.DataFrame({"start_time": [0.0, 1.5], "stop_time": [1.5, 3.0]}))},
    ... )
    >>> session
    Session: activity dff (6 samples × 2 neurons); signals speed; intervals trials (2)
    """

    activity: Mapping[str, xr.DataArray | xr.Dataset] = field(default_factory=dict)
    signals: Mapping[str, xr.DataArray] = field(default_factory=dict)
    events: Mapping[str, xr.Dataset] = field(default_factory=dict)
    intervals: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check of what kind the parts are."""
        kinds = {
            "activity": ((xr.DataArray, xr.Dataset), "traces or spike_trains"),
            "signals": (xr.DataArray, "signal"),
            "events": (xr.Dataset, "events"),
            "intervals": (pd.DataFrame, "intervals"),
        }
        for part, (kind, maker) in kinds.items():
            for name, found in getattr(self, part).items():
                if not isinstance(found, kind):
                    raise TypeError(f"Session: {part}[{name!r}] must come from {maker}; found {shown(found)}")

    def __repr__(self) -> str:
        """Name the parts on one line."""
        parts = {
            "activity": [f"{name} ({_size(found)})" for name, found in self.activity.items()],
            "signals": list(self.signals),
            "events": [f"{name} ({found.sizes['event']:,})" for name, found in self.events.items()],
            "intervals": [f"{name} ({len(found):,})" for name, found in self.intervals.items()],
        }
        return "Session: " + "; ".join(f"{part} {listed(names)}" for part, names in parts.items() if names)

    @property
    def trials(self) -> pd.DataFrame | None:
        """The table of trials, None where there is none."""
        return self.intervals.get("trials")


def _size(activity: xr.DataArray | xr.Dataset) -> str:
    """Samples, or spikes, and neurons."""
    first = "spike" if "spike" in activity.sizes else "sample"
    return f"{activity.sizes[first]:,} {first}s × {activity.sizes['neuron']:,} neurons"

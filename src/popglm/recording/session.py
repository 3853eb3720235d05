"""A recording as it lies in a lab's files: activity, signals, events and intervals, each with a clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_number
from popglm.messages import shown
from popglm.recording.clocks import Fault, clock_faults, mended, mended_table
from popglm.recording.neuron_query import select
from popglm.recording.parts import KINDS, Parts
from popglm.recording.regridding import regrid
from popglm.recording.sources import Variable

__all__ = ["Session"]


@dataclass(frozen=True, repr=False)
class Session(Parts):
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
    files : sequence, optional
        Open files in which values lie; they stay open as long as the session lives, or until its ``close``.

    Raises
    ------
    TypeError
        If parts are no mapping of names, or a part is not what its maker returns.

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

    def check(self) -> list[Fault]:
        """Clocks that cannot be right: of periods given as rates, of other units than seconds, of another start.

        Events are doubted where most lie outside of the recording, or all at its start as if they were in minutes. Only
        the ends of every clock are read, but all times of events. `regrid` refuses such a clock where it is needed;
        nothing is mended that you do not mend.

        Returns
        -------
        list of Fault
            Each says what was found, its likely cause and the line of a recipe that mends it; in the line, ``<…>``
            stands for a number that the recording does not tell, such as a shift.

        Examples
        --------
        >>> from popglm.recording import signal
        >>> wheel = signal(np.zeros(2_000), rate=0.01)
        >>> print(Session(signals={"wheel": wheel}).check()[0])
        'wheel' has 2,000 samples at a rate of 0.01 Hz, 55.6 hours; the rate is likely the period, and the true rate \
100 Hz; if so, mend it with the line clock_rate.wheel = 100
        """
        return clock_faults(self)

    def mend_clock(
        self,
        name: str,
        *,
        scale: float = 1.0,
        shift: float = 0.0,
        rate: float | None = None,
        order: Literal["sort"] | None = None,
    ) -> Session:
        """The session with another clock for one of its parts, which `check` then takes to be right.

        With the name alone the clock stays as it is: so you say that it is right. With a scale or a rate alone, `check`
        still says if it counts from another start.

        Parameters
        ----------
        name : str
            Of activity, a signal, events or intervals.
        scale, shift : float, optional
            Times become ``scale × time + shift`` seconds: a scale of 0.0005 for samples of a board at 2,000 Hz.
        rate : float, optional
            Samples per second, for a part whose rate is wrong; its start stays.
        order : {"sort"}, optional
            Put samples in the order of their times, and keep the first of those at one time.

        Returns
        -------
        Session

        Raises
        ------
        ValueError
            If there is no part of that name, or a number is not finite, or scale or rate not above 0.

        Examples
        --------
        >>> from popglm.recording import signal
        >>> session = Session(signals={"speed": signal([1.0, 2.0], [2000, 4000])})
        >>> session.mend_clock("speed", scale=0.0005).signals["speed"].time.values
        array([1., 2.])
        """
        for argument, value, positive in (("scale", scale, True), ("shift", shift, False), ("rate", rate, True)):
            if value is not None and not (is_number(value) and np.isfinite(value) and (value > 0 or not positive)):
                kind = "a number above 0" if positive else "a number"
                raise ValueError(f"mend_clock: {argument} must be {kind}; found {shown(value)}")
        if order not in (None, "sort"):
            raise ValueError(f"mend_clock: order must be 'sort' or None; found {shown(order)}")
        parts, part = self.find(name, "mend_clock")
        if parts == "intervals":
            return self.with_part(parts, name, mended_table(part, scale, shift))
        if "time" not in part.coords and (rate is not None or order is not None):
            raise ValueError(f"mend_clock: {name!r} are spike times; give their scale or shift")
        return self.with_part(parts, name, mended(part, scale, shift, rate, order))

    def where(self, name: str, query: str) -> Session:
        """The session with some of its intervals or events: those that meet a query over their columns.

        What was the trial before one stays so, kept or not: see ``previous`` of `Variable`.

        Parameters
        ----------
        name : str
            Of intervals, such as "trials", or events.
        query : str
            Comparisons of columns, joined by ``and``, ``or`` and ``not``: ``"outcome == 'hit' and stop_time < 900"``.

        Returns
        -------
        Session

        Raises
        ------
        ValueError
            If there is no part of that name, or the query is none.

        Examples
        --------
        >>> import pandas as pd
        >>> from popglm.recording import intervals
        >>> trials = intervals(pd.DataFrame({"start_time": [0.0, 1.0], "good": [True, False]}))
        >>> len(Session(intervals={"trials": trials}).where("trials", "good").trials)
        1
        """
        parts, part = self.find(name, "where")
        if parts == "intervals":
            kept = self.with_part(parts, name, part[select(part, query)])
            return replace(kept, whole={name: part, **self.whole})
        if parts == "events":
            table = part.reset_coords("time").to_dataframe()
            return self.with_part(parts, name, part.isel(event=np.flatnonzero(select(table, query))))
        raise ValueError(f"where: {name!r} are {parts}; a query is for intervals and events")

    def regrid(
        self,
        dt: float | Fraction | str | None = None,
        *,
        clock: str | None = None,
        activity: str | Iterable[str] | None = None,
        variables: Mapping[str, str | Variable | Mapping[str, Any]] | Iterable[str] | None = None,
        trials: Any = None,
        neurons: str | None = None,
        no_trial: int | None = None,
    ) -> xr.Dataset:
        """Put activity, variables and trials on one grid of time.

        A bin is [t, t + Δt). Spikes and events are counted in it. Signals with several samples per bin are averaged
        over it, slower ones are taken at its middle on the straight line between samples, and steps (trial numbers,
        texts, booleans) keep the last value at or before t; a column that has a 1 for each event is counted by
        ``Variable(source, rule="count")``. A series whose samples lie on the bins' starts is taken as
        it is. Nothing is carried across a gap, a step of more than 1.5 times the median step of a regular clock: there
        a series is unknown, NaN. Traces with about the grid's own rate, such as the other planes of a volume, take
        their latest sample at or before t. Columns of trials are held over their trial, and bins outside of all trials
        are left out. A bin belongs to the trial in which it begins, and may reach past its end. A grid of a period
        begins with the activity's samples; that of spikes with the first trial, or without trials the first spike; a
        last bin that would be short is left out. Bins in which a neuron was not observed all the time, or which touch
        the intervals called "invalid_times", are NaN. Edges are computed from integers; no period is added up.

        Parameters
        ----------
        dt : float, Fraction or str, optional
            Width of a bin (s): 1/30 and "1/30" are the same.
        clock : str, optional
            In place of dt: activity or a signal whose samples are the bins. Without both, the activity's own clock.
        activity : str or iterable of str, optional
            Which activity; several are put side by side, planes or probes: "spks" is all of "spks/plane_0",
            "spks/plane_1" … The first unless given.
        variables : mapping or iterable of str, optional
            Names, or a mapping of new names to sources: see `Variable`. All unless given.
        trials : str, tuple of str, DataFrame or float, optional
            Intervals, a signal of trial numbers (NaN or below 0 outside of trials), a pair of events that begin and end
            trials, a table as for `intervals`, or the length (s) of blocks. The intervals called "trials" unless given.
        neurons : str, optional
            A query over the table of ROIs or units: ``"iscell and depth < 300"``.
        no_trial : int, optional
            What a signal of trial numbers holds where there is no trial, besides NaN and what is below 0. With 0,
            trials are numbered from 1, as are the rows of a table of trials.

        Returns
        -------
        Dataset
            "activity" (time, neuron) and every variable (time,); coordinates "time" (starts of bins, s), "trial"
            (time,), "neuron" and the columns of its table. Its attribute "notes" tells what was left out or moved.

        Raises
        ------
        TypeError
            If neither a period nor a clock can be told, or both are given.
        ValueError
            If a part is not there, if a clock that is used cannot be right, or if trials overlap.

        Examples
        --------
        >>> import pandas as pd
        >>> from popglm.recording import intervals, signal, spike_trains
        >>> session = Session(
        ...     activity={"units": spike_trains([[0.1, 0.2, 0.7], [0.5]])},
        ...     signals={"speed": signal([0.0, 1.0, 2.0, 3.0], rate=4, unit="cm/s")},
        ...     intervals={"trials": intervals(pd.DataFrame({"start_time": [0.0], "stop_time": [1.0]}))},
        ... )
        >>> data = session.regrid(0.5)
        >>> data["activity"].values
        array([[2., 0.],
               [1., 1.]], dtype=float32)
        >>> data["speed"].values
        array([0.5, 2.5])
        """
        return regrid(self, dt, clock, activity, variables, trials, neurons, no_trial)

    def to_xarray(self) -> xr.DataTree:
        """All parts as one tree: "/activity/NAME", "/signals/NAME", "/events/NAME" and "/intervals/NAME".

        Examples
        --------
        >>> from popglm.recording import signal
        >>> Session(signals={"speed": signal([1.0, 2.0], rate=2)}).to_xarray()["signals/speed/speed"].values
        array([1., 2.])
        """
        tree = {"/": xr.Dataset(attrs=dict(self.attrs))}
        for parts in KINDS:
            for name, part in getattr(self, parts).items():
                if isinstance(part, pd.DataFrame):
                    part = xr.Dataset.from_dataframe(part)
                elif isinstance(part, xr.DataArray):
                    part = part.to_dataset(name=name.replace("/", "_"), promote_attrs=False)
                tree[f"/{parts}/{name.replace('/', '_')}"] = part
        return xr.DataTree.from_dict(tree)

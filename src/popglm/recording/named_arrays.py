"""A session from arrays of which the user says what is what, whatever kind of file they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_iterable, is_number
from popglm.messages import listed, shown
from popglm.recording.files import OnDemand, Turned, nearest
from popglm.recording.lazy import lazily
from popglm.recording.named_tables import columns_of, table_of_fields
from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session
from popglm.recording.spikes_by_unit import by_unit
from popglm.recording.written_times import as_seconds
from popglm.warnings import warn

__all__ = ["NamedArrays"]

#: What a mapping may say of a part, by the argument that it stands in.
ARGUMENTS = {
    "activity": ("values", "times", "rate", "start", "neurons", "unit", "description", "clusters"),
    "signals": ("values", "times", "rate", "start", "columns", "unit", "description", "steps"),
    "events": ("times", "stops", "columns", "description"),
}


class NamedArrays:
    """Arrays by name, and what is made of them.

    Parameters
    ----------
    reader : str
        Who reads, for messages.
    names : callable
        Gives the names that there are.
    get : callable
        Gives what has a name: an array (in memory, or `OnDemand`), a text, a list of arrays or texts, or a mapping of
        fields to these; raises KeyError.
    """

    def __init__(self, reader: str, names: Callable[[], Iterable[str]], get: Callable[[str], Any]) -> None:
        self.reader, self.names, self.get = reader, names, get
        self.default: dict[str, Any] = {}

    def session(
        self, activity: Any, neurons: Any, signals: Any, events: Any, trials: Any, times: Any, rate: Any,
        attrs: dict[str, Any],
    ) -> Session:  # fmt: skip
        """The session that the arguments of a reader describe."""
        if times is not None and rate is not None:
            raise TypeError(f"{self.reader}: give times or a rate; found both")
        self.default = {"times": times, "rate": rate}
        found: dict[str, Any] = {"activity": {}, "signals": {}, "events": {}, "intervals": {}}
        for label, spec in self._specs("activity", activity).items():
            found["activity"][label] = self._activity(label, {"neurons": neurons} | spec)
        for label, spec in self._specs("signals", signals).items():
            found["signals"][label] = self._signal(label, spec)
        for label, spec in self._specs("events", events).items():
            found["events"][label] = self._events(label, spec)
        if trials is not None:
            self._add_trials(found, trials)
        if not any(found.values()):
            raise ValueError(
                f"{self.reader}: nothing is named; say what is what with activity=, signals=, events= and trials=. "
                f"There are: {listed(self.names())}"
            )
        return Session(**found, attrs=attrs)

    def _specs(self, argument: str, given: Any) -> dict[str, dict[str, Any]]:
        """What is said of each part, by its label."""
        if given is None:
            return {}
        if isinstance(given, str):
            given = [given]
        if not isinstance(given, Mapping):
            if not is_iterable(given) or not all(isinstance(name, str) for name in given):
                raise TypeError(
                    f"{self.reader}: {argument} must be names, or a mapping of labels to names; found {shown(given)}"
                )
            short = [name.removesuffix(".T").rpartition(".")[2] for name in given]
            given = {one if short.count(one) == 1 else name: name for one, name in zip(short, given, strict=True)}
        first = "times" if argument == "events" else "values"
        specs = {
            str(label): dict(spec) if isinstance(spec, Mapping) else {first: spec} for label, spec in given.items()
        }
        for label, spec in specs.items():
            for key in spec:
                if key not in ARGUMENTS[argument]:
                    raise ValueError(
                        f"{self.reader}: {argument}[{label!r}] has an unknown entry {key!r}; "
                        f"{nearest(str(key), ARGUMENTS[argument])}"
                    )
        return specs

    def value(self, name: Any, what: str) -> Any:
        """What has a name; ``.T`` at its end turns a matrix. What is no name is itself the value."""
        if not isinstance(name, str):
            return name
        try:
            return self.get(name)
        except KeyError:
            pass
        if name.endswith(".T"):
            turned = self.value(name[:-2], what)
            if isinstance(turned, np.ndarray):
                return turned.T
            if isinstance(turned, OnDemand) and turned.ndim == 2:
                return Turned(turned)
        raise ValueError(f"{self.reader}: {what}: there is no {name!r}; {nearest(name, self.names())}")

    def vector(self, name: Any, what: str) -> np.ndarray:
        """One value per row, whichever way a vector lies."""
        value = self.value(name, what)
        if isinstance(value, Mapping):
            raise ValueError(f"{self.reader}: {what}: {shown(name)} is a struct; name a field of it: {listed(value)}")
        array = np.asarray(value[...] if isinstance(value, OnDemand) else value)
        if array.size != max(array.shape, default=1) and array.size:
            raise ValueError(f"{self.reader}: {what}: {shown(name)} must be a vector; found shape {array.shape}")
        return array.reshape(-1)

    def _numbers(self, name: Any, what: str) -> np.ndarray:
        """A vector of numbers; dates and durations in seconds."""
        vector = self.vector(name, what)
        if (seconds := as_seconds(vector) if vector.dtype.kind in "mM" else None) is not None:
            return seconds
        if vector.dtype.kind not in "biuf":
            raise ValueError(
                f"{self.reader}: {what}: {shown(name)} must hold numbers; found {shown(vector[:3].tolist())}"
            )
        return vector.astype(np.float64)

    def _clock(self, spec: dict[str, Any], what: str) -> dict[str, Any]:
        """Times of samples, or their rate: those of the part, or those of all."""
        own = {key: spec[key] for key in ("times", "rate") if spec.get(key) is not None}
        clock = own or {key: value for key, value in self.default.items() if value is not None}
        if len(clock) != 1:
            found = "both" if clock else "neither"
            raise TypeError(f"{self.reader}: {what} needs times= or rate= (samples per second); found {found}")
        ((key, given),) = clock.items()
        if key == "times":
            return {"times": self._numbers(given, what)}
        rate = self._numbers(given, what) if isinstance(given, str) else np.atleast_1d(given)
        if len(rate) != 1 or not is_number(rate[0]):
            raise ValueError(f"{self.reader}: {what}: the rate must be one number; found {shown(given)}")
        return {"rate": float(rate[0]), "start": float(spec.get("start", 0.0))}

    def _samples(self, spec: dict[str, Any], what: str, dims: tuple[str, str]) -> tuple[Any, dict[str, Any]]:
        """Values with samples first, and their clock."""
        name = spec.get("values")
        value, clock = self.value(name, what), self._clock(spec, what)
        if not isinstance(value, np.ndarray | OnDemand):
            value = np.asarray(self.vector(name, what))
        is_matrix = value.ndim == 2 and (dims[1] == "neuron" or min(value.shape) != 1)
        if not is_matrix:
            value = self.vector(name, what) if value.ndim == 2 or value.ndim == 0 else value
        if value.ndim > 2 or 0 in value.shape[1:]:
            raise ValueError(f"{self.reader}: {what}: {shown(name)} must be samples × {dims[1]}s; found {value.shape}")
        n_times = len(clock["times"]) if "times" in clock else value.shape[0]
        turned = value.shape[0] != n_times and value.ndim == 2 and value.shape[1] == n_times
        if turned:
            warn(
                f"{self.reader}: {what}: {shown(name)} has {dims[1]}s first and samples second, as its times say; "
                "turned round"
            )
        elif value.shape[0] != n_times:
            raise ValueError(
                f"{self.reader}: {what}: {shown(name)} has shape {tuple(value.shape)}, but there are {n_times:,} "
                "times; give the times of its own samples"
            )
        if isinstance(value, OnDemand):
            return lazily(dims[: value.ndim], value.stored(transpose=turned)), clock
        return (value.T if turned else value), clock

    def _activity(self, label: str, spec: dict[str, Any]) -> xr.DataArray | xr.Dataset:
        """Traces, or spike trains."""
        what = f"activity {label!r}"
        texts = {key: spec[key] for key in ("unit", "description") if key in spec}
        if "values" not in spec:
            return self._spikes(spec, what)
        if isinstance(trains := self.value(spec["values"], what), list):
            times = [self._numbers(np.asarray(train), what) for train in trains]
            return spike_trains(times, neurons=self._neurons(spec, len(times), what))
        values, clock = self._samples(spec, what, ("sample", "neuron"))
        if values.ndim != 2:
            raise ValueError(
                f"{self.reader}: {what} must be samples × neurons, or a list of spike trains; found shape "
                f"{values.shape}. Of all spikes in one vector, give a mapping with times and clusters"
            )
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{self.reader}: {what} must hold numbers; found {values.dtype}")
        try:
            return traces(values, **clock, neurons=self._neurons(spec, values.shape[1], what), **texts)
        except ValueError as error:
            raise ValueError(f"{self.reader}: {what}: {error}") from None

    def _spikes(self, spec: dict[str, Any], what: str) -> xr.Dataset:
        """Spike trains from the times of all spikes, and the unit of each."""
        if not {"times", "clusters"} <= set(spec):
            raise ValueError(
                f"{self.reader}: {what} needs values, or times and clusters of spikes; found {listed(spec)}"
            )
        times, clusters = self._numbers(spec["times"], what), self._numbers(spec["clusters"], what)
        if len(times) != len(clusters):
            raise ValueError(
                f"{self.reader}: {what} has {len(times):,} times, but {len(clusters):,} clusters of spikes"
            )
        if np.any(clusters % 1 != 0):
            raise ValueError(
                f"{self.reader}: {what}: clusters must be whole numbers; found {clusters[clusters % 1 != 0][0]}"
            )
        units, times, counts = by_unit(times, clusters.astype(np.int64))
        neurons = self._neurons(spec, len(units), what)
        return spike_trains(times, counts, neurons=units if neurons is None else neurons)

    def _neurons(self, spec: dict[str, Any], n: int, what: str) -> Any:
        """The table of neurons, or their names."""
        given = spec.get("neurons")
        if given is None or isinstance(given, pd.DataFrame):
            return given
        value = self.value(given, f"neurons of {what}")
        if isinstance(given, Mapping):
            value = {column: self.value(name, f"neurons of {what}") for column, name in given.items()}
        if isinstance(value, Mapping):
            return table_of_fields(value, n, f"{self.reader}: neurons of {what}")
        return self.vector(value, f"neurons of {what}")

    def _signal(self, label: str, spec: dict[str, Any]) -> xr.DataArray:
        """A signal."""
        values, clock = self._samples(spec, f"signal {label!r}", ("sample", "column"))
        kept = {key: spec[key] for key in ("columns", "unit", "description", "steps") if key in spec}
        return signal(values, **clock, **kept)

    def _events(self, label: str, spec: dict[str, Any]) -> xr.Dataset:
        """Events; those of one list per trial are put in a row."""
        what = f"events {label!r}"
        if "times" not in spec:
            raise ValueError(f"{self.reader}: {what} need times; found {listed(spec)}")
        times = self.value(spec["times"], what)
        if isinstance(times, str):
            raise ValueError(f"{self.reader}: {what}: {shown(spec['times'])} is a text, {shown(times)}; name its times")
        if isinstance(times, list) and not {"stops", "columns"} & set(spec):
            each = [self._numbers(np.asarray(one), what) for one in times]
            return events(np.sort(np.concatenate(each)) if each else np.zeros(0))
        stops = None if spec.get("stops") is None else self._numbers(spec["stops"], what)
        columns = {name: self.vector(one, what) for name, one in (spec.get("columns") or {}).items()}
        return events(
            self._numbers(spec["times"], what), stops, columns=columns, description=spec.get("description", "")
        )

    def _add_trials(self, found: dict[str, Any], trials: Any) -> None:
        """A table of trials, or the trial number of each sample as a signal."""
        if isinstance(trials, Mapping):
            fields = {column: self.value(name, f"trials {column!r}") for column, name in trials.items()}
            start = fields.get("start_time")
            n = None if start is None else len(columns_of("start_time", start).get("start_time", ()))
            found["intervals"]["trials"] = intervals(table_of_fields(fields, n, f"{self.reader}: trials", strict=True))
            return
        value = self.value(trials, "trials")
        if not isinstance(value, Mapping):
            label = str(trials).removesuffix(".T").rpartition(".")[2] if isinstance(trials, str) else "trial"
            found["signals"][label] = self._signal(label, {"values": trials, "steps": True})
            return
        if "start_time" not in value:
            raise ValueError(
                f"{self.reader}: trials {shown(trials)} has no field 'start_time'; it has {listed(value)}: name its "
                "start with "
                f'trials={{"start_time": "{trials}.…", "stop_time": …}} and what else is wanted'
            )
        n = len(columns_of("start_time", value["start_time"]).get("start_time", ()))
        found["intervals"]["trials"] = intervals(table_of_fields(value, n, f"{self.reader}: trials"))

"""Objects of pynapple, and stand-ins that have what these have."""

import re
import warnings
from collections import UserDict
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

from popglm.recording import read_pynapple
from popglm.warnings import PopglmWarning


class StandIns:
    """Classes with the attributes of pynapple's; nothing is restricted to its time support here."""

    @staticmethod
    def IntervalSet(start, end, metadata=None):
        start, end = np.atleast_1d(start).astype(float), np.atleast_1d(end).astype(float)
        end[:-1] -= np.where(end[:-1] == start[1:], 1e-6, 0)
        return SimpleNamespace(start=start, end=end, metadata=pd.DataFrame(metadata or {}))

    @staticmethod
    def Ts(t, time_support=None):
        return SimpleNamespace(t=np.asarray(t, dtype=float))

    @staticmethod
    def Tsd(t, d, time_support=None):
        t = np.asarray(t, dtype=float)
        support = StandIns.IntervalSet(t[0], t[-1]) if time_support is None else time_support
        return SimpleNamespace(t=t, values=np.asarray(d), time_support=support)

    @staticmethod
    def TsdFrame(t, d, columns, time_support=None, metadata=None):
        made = StandIns.Tsd(t, d, time_support)
        made.columns, made.metadata = np.asarray(columns), pd.DataFrame(metadata or {})
        return made

    @staticmethod
    def TsdTensor(t, d):
        return StandIns.Tsd(t, d)

    @staticmethod
    def TsGroup(trains, time_support, metadata=None):
        group = UserDict(trains)
        group.time_support, group.metadata = time_support, pd.DataFrame(metadata or {})
        return group


@pytest.fixture(params=["stand-ins", "pynapple"])
def nap(request):
    if request.param == "stand-ins":
        yield StandIns
        return
    pynapple = pytest.importorskip("pynapple")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that it takes a microsecond off
        yield pynapple


def test_spike_trains(nap):
    support = nap.IntervalSet([0.0, 20.0], [10.0, 30.0])
    spikes = {3: nap.Ts([0.5, 2.5, 15.0, 25.0]), 8: nap.Ts([1.0, 20.0])}
    group = nap.TsGroup(spikes, time_support=support, metadata={"area": np.array(["V1", "PM"])})
    session = read_pynapple({"units": group})
    units = session.activity["units"]
    assert units.neuron.values.tolist() == [3, 8]
    assert units.area.values.tolist() == ["V1", "PM"]
    # the spike at 15 s lies outside of the time support
    assert units.n_spikes.values.tolist() == [3, 2]
    assert units.spike_time.values.tolist() == [0.5, 2.5, 25.0, 1.0, 20.0]
    counts = session.regrid(dt=5.0, trials=None).activity.values
    assert np.isnan(counts).any()
    found = session.regrid(dt=5.0)
    for start, row in zip(found.time.values, counts, strict=True):
        inside = (start >= 0 and start + 5 <= 10) or (start >= 20 and start + 5 <= 30)
        assert np.isnan(row).any() != inside


def test_epochs_that_touch_hide_no_bin(nap):
    support = nap.IntervalSet([0.0, 10.0, 20.0], [10.0, 20.0, 30.0])
    group = nap.TsGroup({0: nap.Ts([0.5, 9.9, 10.1, 29.5])}, time_support=support)
    units = read_pynapple({"units": group}).activity["units"]
    assert units.observed.values.tolist() == [[0, 30]]


def test_trials_that_touch_stay_apart(nap):
    trials = nap.IntervalSet([0.0, 1.0, 2.5], [1.0, 2.0, 3.0], metadata={"cue": np.array(["a", "b", "c"])})
    speed = nap.Tsd(np.arange(30) / 10, np.arange(30.0))
    session = read_pynapple({"trials": trials, "speed": speed})
    assert session.trials.start_time.tolist() == [0, 1, 2.5]
    assert session.trials.stop_time.tolist() == [1, 2, 3]
    assert session.trials.cue.tolist() == ["a", "b", "c"]
    found = session.regrid(dt=0.1)
    np.testing.assert_array_equal(found.trial.values, np.repeat([0, 1, 2], [10, 10, 5]))


def test_signals(nap):
    t = np.arange(100) / 10
    speed, place = np.sin(t), np.column_stack([t, -t])
    session = read_pynapple({"speed": nap.Tsd(t, speed), "place": nap.TsdFrame(t, place, columns=["x", "y"])})
    np.testing.assert_array_equal(session.signals["speed"].values, speed)
    np.testing.assert_array_equal(session.signals["speed"].time.values, t)
    np.testing.assert_array_equal(session.signals["place"].sel(column="y").values, -t)


@pytest.mark.parametrize("kind", ["steps", "irregular", "regular"])
def test_signals_are_unknown_between_epochs(nap, kind):
    rng = np.random.default_rng(0)
    t = np.arange(300) / 10
    if kind == "irregular":
        t = np.sort(rng.choice(t, 120, replace=False))
    t = t[(t <= 10) | (t >= 20)]
    values = np.arange(len(t)) if kind == "steps" else 2 * t
    support = nap.IntervalSet([0.0, 20.0], [10.0, 30.0])
    session = read_pynapple(
        {"x": nap.Tsd(t, values, time_support=support), "clock": nap.Tsd(np.arange(29) + 0.25, np.ones(29))}
    )
    found = session.regrid(clock="clock", variables=["x"], trials=None)
    at, x = found.time.values, found.x.values
    outside = (at > 10) & (at + 1 < 20)  # bins last a second
    assert np.isnan(x[outside]).all()
    inside = (at > t[0]) & (at < t[t <= 10][-1]) | (at > t[t >= 20][0]) & (at < t[-1])
    assert np.isfinite(x[inside]).mean() > 0.85
    if kind == "steps":
        expected = values[np.searchsorted(t, at, side="right") - 1]
        np.testing.assert_array_equal(x[inside], expected[inside])


def test_a_sample_at_the_end_of_its_epoch_stays(nap):
    support = nap.IntervalSet([0.0, 5.0], [2.0, 6.0])
    session = read_pynapple({"x": nap.Tsd([0, 1, 2, 5, 6], np.array([1, 2, 3, 4, 5]), time_support=support)})
    x = session.signals["x"]
    np.testing.assert_array_equal(x.values, [1, 2, 3, np.nan, 4, 5])
    assert x.time.values[2] == 2
    assert 2 < x.time.values[3] < 2 + 1e-12


def test_traces(nap):
    t = np.arange(40) / 4
    frame = nap.TsdFrame(t, np.outer(t, [1, 2, 3]), columns=[7, 8, 9], metadata={"depth": np.array([1, 2, 3])})
    group = nap.TsGroup({0: nap.Ts([0.5, 1.0])}, time_support=nap.IntervalSet(0, 10))
    session = read_pynapple({"units": group, "dff": frame}, activity="dff")
    assert list(session.activity) == ["dff", "units"]
    dff = session.activity["dff"]
    np.testing.assert_array_equal(dff.values, np.outer(t, [1, 2, 3]))
    assert dff.neuron.values.tolist() == [7, 8, 9]
    assert dff.depth.values.tolist() == [1, 2, 3]
    assert not session.signals


def test_events(nap):
    licks = nap.Ts([0.1, 0.5], time_support=nap.IntervalSet(0, 1))
    assert read_pynapple({"licks": licks}).events["licks"].time.values.tolist() == [0.1, 0.5]


def test_a_series_that_lies_in_a_file_stays_there(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["d"] = np.arange(20.0)
        series = SimpleNamespace(t=np.arange(20.0), d=file["d"], time_support=StandIns.IntervalSet(0, 19))
        found = read_pynapple({"x": series}).signals["x"]
        assert not found.variable._in_memory
        assert found[3:5].values.tolist() == [3, 4]


def test_a_tensor_is_left_out_with_a_warning(nap):
    t = np.arange(5.0)
    objects = {"movie": nap.TsdTensor(t, np.ones((5, 2, 3))), "speed": nap.Tsd(t, t)}
    with pytest.warns(PopglmWarning, match=re.escape("'movie' (its shape is (5, 2, 3)); left out")):
        session = read_pynapple(objects)
    assert list(session.signals) == ["speed"]
    assert list(session.attrs["left_out"]) == ["movie"]
    complaint = "'movie' must be a TsGroup or a TsdFrame"
    assert_complaint(complaint, lambda name: read_pynapple(objects, activity=name), "movie")


def test_what_is_refused(nap):
    t = np.arange(5.0)
    objects = {"speed": nap.Tsd(t, t), "pair": nap.TsdFrame(t, np.ones((5, 2)), columns=[0, 1]), "other": 3}
    group = nap.TsGroup({0: nap.Ts([0.5, 1.0])}, time_support=nap.IntervalSet(0, 10))
    assert_complaint("objects must be a mapping", read_pynapple, group)
    assert_complaint("objects must be a mapping", read_pynapple, [group])
    assert_complaint("'other' must be a TsGroup, TsdFrame, Tsd, Ts or IntervalSet; found 3", read_pynapple, objects)
    assert_complaint("there is no 'pairs'; did you mean 'pair'", lambda n: read_pynapple(objects, activity=n), "pairs")
    assert_complaint("'speed' must be a TsGroup or a TsdFrame", lambda n: read_pynapple(objects, activity=n), "speed")

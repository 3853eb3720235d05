"""Signals, events and intervals of an NWB file, in every form that they come in."""

import numpy as np
import pytest

pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
from importlib.util import find_spec

import h5py
from hdmf.build import BuildManager
from hdmf.common import DynamicTable, VectorData, VectorIndex
from nwb_files import add_trials, module, ndx_events, new_file, put, write
from pynwb import NWBHDF5IO, TimeSeries, get_type_map
from pynwb.behavior import BehavioralTimeSeries, Position
from pynwb.epoch import TimeIntervals
from pynwb.image import ImageSeries
from pynwb.misc import AnnotationSeries, IntervalSeries

import popglm as pg

RNG = np.random.default_rng(0)


def equal(found, expected):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def read(path, **options):
    return pg.read_nwb(path, activity=[], **options)


def series_file(folder, **series):
    """A file with series in processing/behavior: name to arguments of TimeSeries."""
    nwb = new_file()
    for name, arguments in series.items():
        module(nwb, "behavior").add(TimeSeries(name=name, **{"unit": "a.u.", **arguments}))
    return write(nwb, folder / "series.nwb")


def table(name, **columns):
    """A DynamicTable; lists are ragged columns."""
    made = []
    for column, values in columns.items():
        if isinstance(values, list):
            flat = VectorData(name=column, description=column, data=np.concatenate(values))
            made += [flat, VectorIndex(name=f"{column}_index", data=np.cumsum(list(map(len, values))), target=flat)]
        else:
            made.append(VectorData(name=column, description=column, data=values))
    return DynamicTable(name=name, description=f"the {name}", columns=made)


@pytest.mark.parametrize("upright", [False, True])
def test_timestamps_of_two_rows_are_an_error_that_says_what_to_do(tmp_path, upright):
    path = series_file(
        tmp_path, pupil={"data": np.arange(5.0), "timestamps": np.arange(5.0)}, speed={"data": np.ones(3), "rate": 1.0}
    )
    rows = np.stack([np.arange(5) + 0.1, np.arange(5) + 0.9])
    put(path, "processing/behavior/pupil/timestamps", rows.T if upright else rows)
    with pytest.raises(
        ValueError, match=r"timestamps of 'pupil' have 2 rows .*start and the stop.*time_rows=\{'pupil': 0\}"
    ):
        read(path)
    with read(path, leave_out=["pupil"]) as session:
        assert list(session.signals) == ["speed"]
        assert session.attrs["left_out"] == {"pupil": "left out by the caller"}
    with read(path, time_rows={"pupil": 1}) as session:
        equal(session.signals["pupil"].time, rows[1])
    with pytest.raises(ValueError, match="time_rows names row 2 of 'pupil', which has 2"):
        read(path, time_rows={"pupil": 2})
    with pytest.raises(ValueError, match=r"time_rows names 'eye', which is not in the file; it has pupil, speed"):
        read(path, time_rows={"eye": 0})
    with pytest.raises(ValueError, match=r"leave_out names 'eye', which is not in the file; it has pupil, speed"):
        read(path, leave_out=["eye"])
    with pytest.raises(TypeError, match="leave_out must be a list of names; found 'pupil'"):
        read(path, leave_out="pupil")


def test_times_in_a_column_of_one_are_times(tmp_path):
    path = series_file(tmp_path, pupil={"data": np.arange(5.0), "timestamps": np.arange(5.0)})
    put(path, "processing/behavior/pupil/timestamps", np.arange(5.0)[:, None] / 2)
    equal(read(path).signals["pupil"].time, np.arange(5) / 2)


def test_series_that_share_timestamps_of_two_rows(tmp_path):
    nwb = new_file()
    first = TimeSeries(name="first", data=np.arange(5.0), unit="1", timestamps=np.arange(5.0))
    module(nwb, "behavior").add([first, TimeSeries(name="second", data=np.arange(5.0), unit="1", timestamps=first)])
    path = write(nwb, tmp_path / "shared.nwb")
    with h5py.File(path, "a") as file:
        folder, rows = file["processing/behavior"], np.stack([np.arange(5) + 0.1, np.arange(5) + 0.9])
        attributes = dict(folder["first/timestamps"].attrs)
        del folder["first/timestamps"]
        folder.create_dataset("first/timestamps", data=rows).attrs.update(attributes)
    with pytest.raises(ValueError, match="timestamps of 'second' have 2 rows"):
        read(path, time_rows={"first": 0})
    session = read(path, time_rows={"first": 0, "second": 1})
    equal(session.signals["first"].time, rows[0])
    equal(session.signals["second"].time, rows[1])


def test_a_series_that_pynwb_refuses_leaves_the_others(tmp_path):
    speed = {"data": np.arange(5.0), "rate": 1.0}
    path = series_file(tmp_path, broken={"data": np.arange(5.0), "timestamps": np.arange(5.0)}, speed=speed)
    put(path, "processing/behavior/broken/timestamps", np.zeros((5, 2, 2)))
    with pytest.warns(pg.PopglmWarning, match=r"pynwb refuses 'processing/behavior/broken' .*timestamps.*; left out"):
        session = read(path)
    equal(session.signals["speed"], np.arange(5.0))
    assert list(session.attrs["left_out"]) == ["processing/behavior/broken"]


@pytest.mark.parametrize("rate", [np.nan, 0.0])
def test_a_rate_that_is_none_is_handed_on_and_named(tmp_path, rate):
    path = series_file(tmp_path, speed={"data": np.arange(5.0), "rate": 1.0})
    with h5py.File(path, "a") as file:
        file["processing/behavior/speed/starting_time"].attrs["rate"] = rate
    with read(path) as session:
        equal(session.signals["speed"], np.arange(5.0))
        equal(session.signals["speed"].time.attrs["rate"], rate)
        assert [fault.part for fault in session.check()] == ["speed"]


def test_samples_along_the_second_axis_are_transposed_with_a_warning(tmp_path):
    data = RNG.random((20, 3))
    path = series_file(tmp_path, velocity={"data": data, "timestamps": np.arange(20.0)})
    put(path, "processing/behavior/velocity/data", data.T)
    with pytest.warns(pg.PopglmWarning, match="second axis of 'velocity'"):
        equal(read(path).signals["velocity"], data)


def test_what_is_no_signal_is_left_out_with_the_reason(tmp_path):
    nwb = new_file()
    group = nwb.create_electrode_group("probe", "a probe", "brain", nwb.create_device("probe"))
    for _ in range(2):
        nwb.add_electrode(location="CA1", group=group)
    from pynwb.ecephys import ElectricalSeries

    region = nwb.create_electrode_table_region([0, 1], "all")
    nwb.add_acquisition(ElectricalSeries(name="voltage", data=np.ones((5, 2)), electrodes=region, rate=1e4))
    nwb.add_acquisition(ImageSeries(name="video", data=np.ones((5, 4, 4)), unit="1", rate=30.0))
    nwb.add_acquisition(TimeSeries(name="spectrum", data=np.ones((100, 65)), unit="1", rate=30.0))
    nwb.add_acquisition(TimeSeries(name="many", data=np.ones((100, 64)), unit="1", rate=30.0))
    nwb.add_acquisition(TimeSeries(name="words", data=["a", "b"], unit="1", rate=30.0))
    nwb.add_acquisition(TimeSeries(name="late", data=np.ones(5), unit="1", timestamps=np.arange(5.0)))
    path = write(nwb, tmp_path / "others.nwb")
    put(path, "acquisition/late/timestamps", np.arange(4.0))
    session = read(path)
    assert list(session.signals) == ["many"]
    assert session.attrs["left_out"] == {
        "voltage": "it holds voltages of electrodes",
        "video": "it holds images",
        "spectrum": "its data have the shape (100, 65)",
        "words": "its data are no numbers",
        "late": "it has 4 times for data of shape (5,)",
    }


def test_names_are_the_shortest_that_tell_apart(tmp_path):
    nwb = new_file()
    position, other = Position(), BehavioralTimeSeries(name="others")
    module(nwb, "behavior").add([position, other])
    position.create_spatial_series(name="speed", data=np.ones(3), reference_frame="x", rate=1.0)
    for name in ("speed", "yaw"):
        other.create_timeseries(name=name, data=np.ones(3), unit="1", rate=1.0)
    nwb.add_acquisition(TimeSeries(name="TimeSeries", data=np.ones(3), unit="1", rate=1.0))
    session = read(write(nwb, tmp_path / "names.nwb"))
    assert sorted(session.signals) == ["Position/speed", "acquisition/TimeSeries", "others/speed", "yaw"]


@pytest.mark.parametrize(
    ("description", "columns"),
    [
        ("velocity; columns: pitch, roll, yaw", ["pitch", "roll", "yaw"]),
        ("the columns are pitch, roll and yaw.", ["pitch", "roll", "yaw"]),
        ("(smoothed, filtered, centred) velocity", ["0", "1", "2"]),
        ("columns: pitch, roll", ["0", "1", "2"]),
    ],
)
def test_names_of_columns_in_the_description(tmp_path, description, columns):
    path = series_file(tmp_path, velocity={"data": np.ones((4, 3)), "rate": 1.0, "description": description})
    assert read(path).signals["velocity"].column.values.tolist() == columns


def test_what_is_between_samples(tmp_path):
    path = series_file(
        tmp_path,
        counter={"data": np.arange(4), "rate": 1.0},
        trial={"data": np.arange(4.0), "rate": 1.0, "continuity": "step"},
        ticks={"data": np.arange(4), "rate": 1.0, "continuity": "continuous"},
        wheel={"data": np.arange(4), "rate": 1.0, "conversion": 0.5},
        lit={"data": np.array([True, False, True, True]), "rate": 1.0},
    )  # fmt: skip
    found = {name: one.attrs["between_samples"] for name, one in read(path).signals.items()}
    steps = {"counter": "steps", "trial": "steps", "lit": "steps"}
    assert found == {**steps, "ticks": "continuous", "wheel": "continuous"}


def test_events_of_ndx_events_that_is_not_installed(tmp_path):
    types = ndx_events(tmp_path)
    times = np.array([0.1, 0.5, 2.0])
    nwb = new_file()
    labelled = types.get_dt_container_cls("LabeledEvents", "ndx-events")
    nwb.add_acquisition(
        labelled(
            name="ports",
            description="pokes",
            timestamps=times,
            data=np.array([1, 0, 1], np.uint8),
            data__labels=["left", "right"],
        )
    )
    flat = VectorData(name="event_times", description="times", data=np.array([1.0, 2.0, 3.0]))
    kinds = types.get_dt_container_cls("AnnotatedEventsTable", "ndx-events")(
        name="kinds", description="kinds",
        columns=[flat, VectorIndex(name="event_times_index", data=np.array([1, 3]), target=flat),
                 VectorData(name="label", description="label", data=["lick", "reward"])],
    )  # fmt: skip
    module(nwb, "events").add(kinds)
    session = read(write(nwb, tmp_path / "events.nwb", BuildManager(types)))
    equal(session.events["ports"].time, times)
    assert session.events["ports"].label.values.tolist() == ["right", "left", "right"]
    equal(session.events["kinds.lick"].time, [1])
    equal(session.events["kinds.reward"].time, [2, 3])


def test_tables_of_events_of_the_core_and_of_ndx_events(tmp_path):
    times, durations = np.array([0.5, 1.0]), np.array([0.2, np.nan])
    nwb = new_file()
    licks = nwb.create_events_table(name="licks", description="licks") if hasattr(nwb, "create_events_table") else None
    if licks is None:
        pytest.skip("this pynwb has no table of events")
    licks.add_column("side", "side")
    for k in range(2):
        licks.add_event(timestamp=times[k], duration=durations[k], side=["left", "right"][k])
    with read(write(nwb, tmp_path / "core.nwb")) as session:
        equal(session.events["licks"].time, times)
        equal(session.events["licks"].stop_time, times + durations)
        assert session.events["licks"].side.values.tolist() == ["left", "right"]
    if find_spec("ndx_events") is None:
        return
    folder = find_spec("ndx_events").submodule_search_locations[0]
    types = get_type_map(copy=True)
    types.load_namespaces(f"{folder}/spec/ndx-events.namespace.yaml")
    cls, stamps = (types.get_dt_container_cls(name, "ndx-events") for name in ("EventsTable", "TimestampVectorData"))
    nwb = new_file()
    column = stamps(name="timestamp", description="times", data=times)
    module(nwb, "events").add(cls(name="rewards", description="rewards", columns=[column]))
    equal(read(write(nwb, tmp_path / "ndx.nwb", BuildManager(types))).events["rewards"].time, times)


def test_annotations_and_samples_that_stand_for_themselves(tmp_path):
    nwb = new_file()
    nwb.add_acquisition(AnnotationSeries(name="notes", data=["in", "out"], timestamps=[1.0, 2.0]))
    nwb.add_stimulus(
        TimeSeries(
            name="flash",
            data=np.array([1, 2]),
            unit="cd",
            conversion=0.5,
            timestamps=[1.0, 3.0],
            continuity="instantaneous",
        )
    )
    session = read(write(nwb, tmp_path / "notes.nwb"))
    assert session.events["notes"].annotation.values.tolist() == ["in", "out"]
    equal(session.events["flash"].value, [0.5, 1.0])
    assert not session.signals


def test_a_table_with_times(tmp_path):
    nwb = new_file()
    module(nwb, "behavior").add(
        table(
            "stimuli", stim_on_time=np.array([0.1, 0.5]), stim_off_time=np.array([0.2, 0.9]), kind=np.array(["a", "b"])
        )
    )
    module(nwb, "behavior").add(
        table("bouts", lick_times=[np.array([0.1]), np.array([0.4, 0.6])], size=np.array([1, 2]))
    )
    module(nwb, "behavior").add(table("settings", gain=np.array([0.1, 0.5])))
    session = read(write(nwb, tmp_path / "tables.nwb"))
    equal(session.events["stimuli"].time, [0.1, 0.5])
    equal(session.events["stimuli"].stim_off_time, [0.2, 0.9])
    assert session.events["stimuli"].kind.values.tolist() == ["a", "b"]
    equal(session.events["bouts.lick_times"].time, [0.1, 0.4, 0.6])
    equal(session.events["bouts.lick_times"].row, [0, 1, 1])
    assert session.attrs["left_out"] == {"settings": "it has no column of times"}


def test_intervals_without_a_negative_code_are_plain_events(tmp_path):
    nwb = new_file()
    nwb.add_acquisition(IntervalSeries(name="cues", data=np.array([1, 2], np.int8), timestamps=np.array([0.5, 1.0])))
    cues = read(write(nwb, tmp_path / "cues.nwb")).events["cues"]
    equal(cues.time, [0.5, 1.0])
    equal(cues.code, [1, 2])
    assert "stop_time" not in cues


def test_an_interval_that_starts_again_before_it_ends_has_no_end(tmp_path):
    codes, times = np.array([1, 1, -1, 1], np.int8), np.array([0.5, 1.0, 2.0, 3.0])
    nwb = new_file()
    nwb.add_acquisition(IntervalSeries(name="runs", data=codes, timestamps=times))
    runs = read(write(nwb, tmp_path / "runs.nwb")).events["runs"]
    equal(runs.time, [0.5, 1.0, 3.0])
    equal(runs.stop_time, [np.nan, 2.0, np.nan])


def test_categories_of_a_table_are_their_texts(tmp_path):
    nwb = new_file()
    add_trials(nwb, 3, {})
    nwb.trials.add_column("kind", "kind", data=[1, 0, 1], enum=["easy", "hard"])
    assert read(write(nwb, tmp_path / "enum.nwb")).trials["kind"].tolist() == ["hard", "easy", "hard"]


def test_trials_without_a_stop_end_where_the_next_one_starts_with_a_warning(tmp_path):
    nwb = new_file()
    add_trials(nwb, 3, {})
    path = write(nwb, tmp_path / "trials.nwb")
    put(path, "intervals/trials/stop_time", np.array([1.0, np.nan, 4.0]))
    with pytest.warns(pg.PopglmWarning, match="1 of 3 rows of 'trials' have no stop_time"):
        trials = read(path).trials
    equal(trials["stop_time"], [1, 3, 4])


def test_intervals_that_are_wrong(tmp_path):
    nwb = new_file()
    add_trials(nwb, 2, {})
    other = TimeIntervals(name="others", description="others")
    for k in range(2):
        other.add_interval(start_time=float(k), stop_time=k + 0.5)
    nwb.add_time_intervals(other)
    nwb.add_invalid_time_interval(start_time=0.2, stop_time=0.3)
    path = write(nwb, tmp_path / "intervals.nwb")
    put(path, "intervals/others/stop_time", np.array([0.5, 0.5]))
    with pytest.warns(pg.PopglmWarning, match="'others' is no table of intervals.*left out"):
        session = read(path)
    with session:
        assert set(session.intervals) == {"trials", "invalid_times"}
        assert "before it begins" in session.attrs["left_out"]["others"]
    put(path, "intervals/trials/start_time", np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match=r"'trials' is no table of intervals: .*row 1.*leave_out=\['trials'\]"):
        read(path, leave_out=["others"])
    assert set(read(path, leave_out=["others", "trials"]).intervals) == {"invalid_times"}


def test_columns_of_trials_of_every_kind(tmp_path):
    nwb = new_file()
    columns = {
        "go_cue_time": np.array([0.1, 1.6, np.nan]), "outcome": np.array(["hit", "miss", "hit"]),
        "correct": np.array([True, False, True]), "frames": [[1, 2], [3], [4]], "lick_onsets": [[0.1], [], [3.1, 3.2]],
        "image": np.ones((3, 9, 9)),
    }  # fmt: skip
    add_trials(nwb, 3, columns)
    session = read(write(nwb, tmp_path / "columns.nwb"))
    assert list(session.trials) == ["start_time", "stop_time", "go_cue_time", "outcome", "correct"]
    assert session.trials["outcome"].tolist() == ["hit", "miss", "hit"]
    assert session.trials["correct"].dtype == bool
    assert list(session.events) == ["trials.lick_onsets"]
    equal(session.events["trials.lick_onsets"].time, [0.1, 3.1, 3.2])
    assert session.attrs["left_out"] == {
        "trials.frames": "it is ragged, and nothing says that it holds times",
        "trials.image": "its shape is (3, 9, 9)",
    }


def test_tags_of_intervals_are_joined(tmp_path):
    nwb = new_file()
    nwb.add_epoch(start_time=0.0, stop_time=1.0, tags=["maze", "dark"])
    nwb.add_epoch(start_time=1.0, stop_time=2.0, tags=["rest"])
    path = tmp_path / "tags.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    assert read(path).intervals["epochs"]["tags"].tolist() == ["maze, dark", "rest"]

"""A session on one grid: every rule against plain loops or arrays made beforehand."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import popglm as pg
from popglm.recording import Session, Variable, events, intervals, signal, spike_trains, traces
from popglm.recording.lazy import StoredArray, lazily

RNG = np.random.default_rng(0)


def a_trial_table(n=10, length=10.0, **columns):
    starts = np.arange(n) * length
    return intervals(pd.DataFrame({"start_time": starts, "stop_time": starts + length} | columns))


# ---------------------------------------------------------------------------------------------- activity


def test_spikes_are_counted_as_by_a_plain_loop():
    trains = [np.sort(RNG.uniform(0, 20, n)) for n in (0, 1, 50, 200)]
    data = Session(activity={"units": spike_trains(trains, neurons=list("abcd"))}).regrid(
        0.1, trials=intervals(pd.DataFrame({"start_time": [0.0], "stop_time": [20.0]}))
    )
    edges = np.arange(data.sizes["time"] + 1) * 0.1
    for name, train in zip("abcd", trains, strict=True):
        expected = [((train >= lo) & (train < hi)).sum() for lo, hi in pairwise(edges)]
        np.testing.assert_array_equal(data["activity"].sel(neuron=name), expected)


def test_a_lone_spike_is_counted_once():
    session = Session(activity={"units": spike_trains([[3.0]])}, intervals={"trials": a_trial_table(1)})
    counts = session.regrid("1/60")["activity"].values
    assert counts.sum() == 1
    assert counts[180, 0] == 1


def test_a_neuron_is_unknown_in_bins_in_which_it_was_not_observed_all_the_time():
    units = spike_trains([[0.1, 5.2], [0.1, 5.2]], observed=[[[0.0, 2.0], [5.1, 10.0]], None])
    counts = Session(activity={"units": units}, intervals={"trials": a_trial_table(1)}).regrid(1.0)["activity"].values
    np.testing.assert_array_equal(counts[:, 0], [1, 0, np.nan, np.nan, np.nan, np.nan, 0, 0, 0, 0])
    np.testing.assert_array_equal(counts[:, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0])


def test_fast_traces_are_averaged_bin_by_bin():
    values = RNG.normal(size=(600, 3)).astype(np.float32)
    values[10:17, 1] = np.nan
    data = Session(activity={"dff": traces(values, rate=60)}).regrid(0.1)
    expected = np.nanmean(values.reshape(100, 6, 3), axis=1)
    np.testing.assert_allclose(data["activity"], expected, atol=1e-6)
    assert data["activity"].dtype == np.float32


def test_averages_do_not_depend_on_the_blocks_that_are_read(monkeypatch):
    values = RNG.normal(size=(5_000, 7))
    session = Session(activity={"dff": traces(values, rate=50)})
    # bins that are shorter than a block, and longer
    whole = [session.regrid(dt)["activity"].values for dt in (0.13, 1.7)]
    monkeypatch.setattr("popglm.recording.activity.BLOCK", 1_000)
    for dt, expected in zip((0.13, 1.7), whole, strict=True):
        np.testing.assert_allclose(session.regrid(dt)["activity"].values, expected, rtol=1e-12, atol=1e-14)


def test_slow_traces_lie_on_the_straight_line_and_stop_at_a_gap():
    times = np.array([0.0, 1.0, 2.0, 3.0, 8.0, 9.0])
    session = Session(activity={"dff": traces(times[:, None] * 2, times)})
    data = session.regrid(0.5)
    middle = data["time"].values + 0.25
    expected = np.where((middle > 3) & (middle < 8), np.nan, 2 * middle)
    np.testing.assert_allclose(data["activity"][:, 0], np.where(middle > 9, np.nan, expected))


def test_planes_are_put_on_one_grid_by_their_latest_frame_and_the_shift_is_told():
    planes = {
        f"plane_{p}": traces(np.arange(30.0)[:, None] + 100 * p, p / 30 + np.arange(30) / 6, neurons=[0])
        for p in range(4)
    }
    data = Session(activity=planes).regrid(activity=list(planes))
    assert list(data["neuron"].values) == [f"plane_{p}/0" for p in range(4)]
    assert list(data["part"].values) == list(planes)
    np.testing.assert_array_equal(data["activity"][:, 0], np.arange(30))
    # the frame of the others that precedes the first plane's
    np.testing.assert_array_equal(data["activity"][1:, 3], 300 + np.arange(29))
    assert np.isnan(data["activity"][0, 1:]).all()
    assert "'plane_1' are up to 0.1333 s older" in data.attrs["notes"]


def test_paused_imaging_leaves_a_gap_that_nothing_is_carried_over():
    times = np.concatenate([np.arange(20) / 6, 60 + np.arange(20) / 6])
    session = Session(
        activity={"dff": traces(np.ones((40, 1)), times)},
        signals={"speed": signal(np.arange(40.0), times), "lab_speed": signal(np.arange(90.0), rate=1)},
    )
    data = session.regrid()
    np.testing.assert_array_equal(data["time"], times)
    np.testing.assert_array_equal(data["speed"], np.arange(40.0))
    assert np.isfinite(data["lab_speed"]).all()
    lag = pg.Design([pg.shifts("speed", [1])], standardize=False).fit_transform(data)
    assert np.isnan(lag.iloc[20]).all() or lag.iloc[20].eq(0).all()


def test_a_query_keeps_neurons_and_says_how_many():
    table = pd.DataFrame({"quality": ["good", "mua", "good"], "depth": [1.0, 2.0, 3.0]}, index=["a", "b", "c"])
    trains = [[0.5], [1.5], [2.5]]
    for part in (
        spike_trains(trains, neurons=table, observed=[[[0, 3]], [[0, 1]], [[0, 3]]]),
        traces(np.eye(3), rate=1, neurons=table),
    ):
        data = Session(activity={"units": part}, intervals={"trials": a_trial_table(1, 3.0)}).regrid(
            1.0, neurons="quality == 'good'"
        )
        assert list(data["neuron"].values) == ["a", "c"]
        np.testing.assert_array_equal(data["activity"], np.eye(3)[:, [0, 2]])
        assert data["depth"].values.tolist() == [1, 3]
        assert "2 of 3 neurons of 'units' stay (quality == 'good')" in data.attrs["notes"]


def test_invalid_times_are_unknown():
    session = Session(
        activity={"dff": traces(np.ones((10, 1)), rate=1)},
        signals={"speed": signal(np.ones(10), rate=1), "n": signal(np.arange(10), rate=1)},
        intervals={"invalid_times": intervals(pd.DataFrame({"start_time": [2.5], "stop_time": [4.0]}))},
    )
    data = session.regrid()
    lost = [2, 3]
    assert np.flatnonzero(np.isnan(data["activity"][:, 0])).tolist() == lost
    assert np.flatnonzero(np.isnan(data["speed"])).tolist() == lost
    assert data["n"].values.tolist() == list(range(10))


# ---------------------------------------------------------------------------------------------- variables


def test_variables_of_every_kind():
    session = Session(
        activity={"dff": traces(np.zeros((100, 1)), rate=10)},
        signals={
            "speed": signal(np.arange(1_000.0), rate=100, unit="cm/s"),
            "pupil": signal(np.arange(20.0), rate=2),
            "state": signal(np.array(["rest", "run"]), [0.0, 5.05]),
            "velocity": signal(np.arange(200.0).reshape(100, 2), rate=10, columns=["yaw", "pitch"]),
        },
        events={"lick": events([0.05, 0.06, 3.0, np.nan])},
        intervals={"trials": a_trial_table(5, 2.0, cue=[1, 0, 1, 1, 0], side=list("lrlrl"))},
    )
    data = session.regrid()
    np.testing.assert_allclose(data["speed"], np.arange(1_000.0).reshape(100, 10).mean(axis=1))
    assert data["speed"].attrs["units"] == "cm/s"
    np.testing.assert_allclose(data["pupil"][:90], 2 * (data["time"][:90] + 0.05))
    assert data["state"].values.tolist() == ["rest"] * 51 + ["run"] * 49
    np.testing.assert_array_equal(data["velocity.pitch"], np.arange(1, 200, 2))
    assert data["lick"].values[[0, 30]].tolist() == [2, 1]
    assert data["lick"].values.sum() == 3
    np.testing.assert_array_equal(data["cue"], np.repeat([1, 0, 1, 1, 0], 20))
    assert "".join(data["side"].values) == "l" * 20 + "r" * 20 + "l" * 20 + "r" * 20 + "l" * 20
    np.testing.assert_array_equal(data["trial"], np.repeat(np.arange(5), 20))


def test_scale_where_and_the_trial_before():
    session = Session(
        activity={"dff": traces(np.zeros((8, 1)), rate=1)},
        signals={"t": signal(np.array([-2.0, -1, 0, 1, -1, 0, 1, 2]), rate=1)},
        intervals={"trials": a_trial_table(2, 4.0, is_correct=[True, False], kind=["a", "b"])},
    )
    data = session.regrid(
        variables={
            "corr": Variable("is_correct", scale=2, offset=-1),
            "prevCorr": {"source": "trials.is_correct", "scale": 2, "offset": -1, "previous": True},
            "prevKind": Variable("kind", previous=True),
            "elapsed": Variable("t", where="elapsed >= 0"),
            "kind": Variable("kind", where="corr == 1"),
        }
    )
    np.testing.assert_array_equal(data["corr"], [1] * 4 + [-1] * 4)
    np.testing.assert_array_equal(data["prevCorr"], [np.nan] * 4 + [1] * 4)
    assert data["prevKind"].isnull().values.tolist() == [True] * 4 + [False] * 4
    assert data["prevKind"].values.tolist()[4:] == ["a"] * 4
    np.testing.assert_array_equal(data["elapsed"], [np.nan, np.nan, 0, 1, np.nan, 0, 1, 2])
    assert data["kind"].isnull().values.tolist() == [False] * 4 + [True] * 4


def test_frames_of_a_plane_take_the_behaviour_of_their_own_frame():
    # five frames a volume: behaviour at every frame, activity at every fifth
    frames = 1.7e9 + np.arange(1_000) / 30
    session = Session(
        activity={"plane_2": traces(np.zeros((200, 1)), frames[2::5])},
        signals={"position": signal(np.arange(1_000.0), frames)},
    )
    data = session.regrid(variables={"position": Variable("position", rule="hold")})
    np.testing.assert_array_equal(data["position"], np.arange(1_000.0)[2::5])


def test_samples_without_a_time_are_left_out():
    times = np.arange(10.0)
    times[[3, 7]] = np.nan
    session = Session(activity={"dff": traces(np.arange(10.0)[:, None], times)})
    data = session.regrid()
    assert data["activity"][:, 0].values.tolist() == [0, 1, 2, 4, 5, 6, 8, 9]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (["velocity"], "'velocity' has 2 columns; name one of them: 'velocity.yaw', 'velocity.pitch'"),
        (["spede"], "no variable 'spede'; nearest names: 'speed'"),
        ({"a": Variable("state", rule="mean")}, "holds 'rest', which has no mean; give the rule 'hold'"),
        ({"a": Variable("state", scale=2)}, "holds 'rest', which cannot be scaled"),
        ({"a": Variable("lick", rule="hold")}, "'lick' cannot be put on a grid by the rule 'hold'; possible: 'count'"),
        ({"a": Variable("speed", rule="median")}, "rule 'median'; possible: 'mean' or 'interpolate' or 'hold'"),
        ({"a": Variable("speed", previous=True)}, "'speed' is no column of the trials"),
        ({"a": Variable("cue", rule="mean")}, "possible: 'hold'"),
        ({"a": Variable("speed", where="b > 0")}, "asks for 'b', which is no column; nearest names: 'a'"),
    ],
)
def test_a_variable_that_cannot_be_is_told(variables, words):
    session = Session(
        activity={"dff": traces(np.zeros((10, 1)), rate=1)},
        signals={
            "speed": signal(np.zeros(10), rate=1),
            "state": signal(np.array(["rest"]), [0.0]),
            "velocity": signal(np.zeros((10, 2)), rate=1, columns=["yaw", "pitch"]),
        },
        events={"lick": events([1.0])},
        intervals={"trials": a_trial_table(1, cue=[1])},
    )
    with pytest.raises(ValueError, match=words):
        session.regrid(variables=variables)


# ------------------------------------------------------------------------------------------------- trials


def test_bins_outside_of_the_trials_are_left_out_and_told():
    session = Session(
        activity={"dff": traces(np.zeros((100, 1)), rate=1)},
        intervals={"trials": intervals(pd.DataFrame({"start_time": [10.0, 50.0], "stop_time": [20.0, 52.5]}))},
    )
    data = session.regrid()
    assert data["time"].values.tolist() == [*range(10, 20), 50, 51, 52]
    assert "87 of 100 bins lie outside of the trials" in data.attrs["notes"]


def test_trials_that_touch_up_to_one_bit_do_not_overlap():
    edge = 1.6e9 + 5.1
    table = pd.DataFrame({"start_time": [1.6e9, np.nextafter(edge, 0)], "stop_time": [edge, 1.6e9 + 10]})
    activity = {"dff": traces(np.zeros((100, 1)), 1.6e9 + np.arange(100) / 10)}
    data = Session(activity=activity, intervals={"trials": intervals(table)}).regrid()
    np.testing.assert_array_equal(data["trial"], np.repeat([0, 1], [51, 49]))


def test_trials_that_overlap_are_told_unless_they_are_filtered():
    table = intervals(pd.DataFrame({"start_time": [0.0, 0, 5], "stop_time": [10.0, 5, 10], "kind": ["all", "a", "b"]}))
    session = Session(activity={"dff": traces(np.zeros((10, 1)), rate=1)}, intervals={"epochs": table})
    with pytest.raises(ValueError, match="trials 0 and 1 overlap: the first ends at 10 s, the other begins at 0 s"):
        session.regrid(trials="epochs")
    data = session.where("epochs", "kind != 'all'").regrid(trials="epochs")
    assert data["trial"].values.tolist() == [1] * 5 + [2] * 5
    assert data["kind"].values.tolist() == ["a"] * 5 + ["b"] * 5


@pytest.mark.parametrize(
    "trials",
    [
        "number",
        ("begin", "end"),
        ["begin", "end"],
        pd.DataFrame({"start_time": [2.0, 6.0], "stop_time": [4.0, 8.0]}),
    ],
)
def test_trials_come_from_many_sources(trials):
    number = np.array([np.nan, np.nan, 0, 0, np.nan, np.nan, 1, 1, np.nan, np.nan])
    session = Session(
        activity={"dff": traces(np.zeros((10, 1)), rate=1)},
        signals={"number": signal(number, rate=1)},
        events={"begin": events([6.0, 2.0]), "end": events([4.0, 8.0])},
    )
    data = session.regrid(trials=trials)
    assert data["trial"].values.tolist() == [0, 0, 1, 1]
    assert data["time"].values.tolist() == [2, 3, 6, 7]


def test_blocks_of_time_are_trials():
    data = Session(activity={"dff": traces(np.zeros((10, 1)), rate=1)}).regrid(trials=4)
    assert data["trial"].values.tolist() == [0] * 4 + [1] * 4 + [2] * 2


def test_trial_numbers_lead_to_their_row_of_the_table():
    session = Session(
        activity={"dff": traces(np.zeros((6, 1)), rate=1)},
        signals={"number": signal(np.array([np.nan, 2, 2, 0, 0, 1]), rate=1)},
        intervals={"trials": a_trial_table(3, 2.0, cue=[10, 20, 30])},
    )
    data = session.regrid(trials="number")
    assert data["cue"].values.tolist() == [30, 30, 10, 10, 20]
    short = Session(session.activity, session.signals, intervals={"trials": a_trial_table(2, 2.0, cue=[1, 2])})
    with pytest.raises(ValueError, match=r"'trials\.cue' has 2 rows, but trial numbers go up to 2"):
        short.regrid(trials="number")


def test_a_missing_stop_is_the_next_start():
    with pytest.warns(pg.PopglmWarning, match="2 of 2 rows of the intervals have no stop_time"):
        table = intervals(pd.DataFrame({"start_time": [0.0, 4.0], "stop_time": [np.nan, np.nan]}))
    data = Session(activity={"dff": traces(np.zeros((8, 1)), rate=1)}, intervals={"trials": table}).regrid()
    assert data["trial"].values.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("trials", ["nothing", 0, -1, ("begin",), ("begin", "x"), {}, np.nan, "speed"])
def test_what_is_no_source_of_trials_is_told(trials):
    session = Session(
        activity={"dff": traces(np.zeros((4, 1)), rate=1)},
        signals={"speed": signal([0.5, 0.1, 0.2, 0.3], rate=1)},
        events={"begin": events([1.0])},
    )
    with pytest.raises(ValueError, match="trials"):
        session.regrid(trials=trials)


# ---------------------------------------------------------------------------------------------- the grid


def test_what_is_no_grid_is_told():
    session = Session(activity={"units": spike_trains([[1.0, 2.0]])}, signals={"speed": signal([1.0, 2.0], rate=1)})
    with pytest.raises(TypeError, match="give a period, dt, or as clock the name of a sampled series: 'speed'"):
        session.regrid()
    with pytest.raises(TypeError, match="dt or clock, not both"):
        session.regrid(1.0, clock="speed")
    with pytest.raises(TypeError, match="'speed'"):
        session.regrid(clock="units")
    with pytest.raises(ValueError, match="no activity 'dff'; the session has 'units'"):
        session.regrid(1.0, activity="dff")
    with pytest.raises(ValueError, match="no bin lies in any trial"):
        session.regrid(clock="speed", trials=intervals(pd.DataFrame({"start_time": [9.0], "stop_time": [10.0]})))
    with pytest.raises(ValueError, match="neither activity, trials nor signals"):
        Session().regrid(1.0)


def test_a_signal_may_be_the_clock():
    units = spike_trains([[0.05, 0.15, 0.16]])
    session = Session(activity={"units": units}, signals={"camera": signal([1.0, 2.0, 3.0], [0.0, 0.1, 0.2])})
    data = session.regrid(clock="camera")
    assert data["activity"].values[:, 0].tolist() == [1, 2, 0]
    assert data["camera"].values.tolist() == [1, 2, 3]


def test_behaviour_alone_has_a_grid_too():
    data = Session(signals={"speed": signal(np.arange(10.0), rate=10)}).regrid(0.5)
    assert data["speed"].values.tolist() == [2, 7]
    assert "activity" not in data


# ------------------------------------------------------------------------------------ what takes the result


def test_a_design_and_a_model_take_the_dataset():
    rng = np.random.default_rng(0)
    speed = rng.normal(size=600)
    rate = np.exp(0.3 * speed[:, None] + rng.normal(0, 0.1, 2))
    session = Session(
        activity={"dff": traces(rng.poisson(rate).astype(float), rate=6, neurons=["a", "b"], unit="events")},
        signals={"speed": signal(speed, rate=6, unit="cm/s")},
        intervals={"trials": a_trial_table(10, 10.0)},
    )
    data = session.regrid()
    design = pg.Design([pg.linear("speed")], trial="trial")
    X = design.fit_transform(data)
    model = pg.GLMCV(cv=5, n_lambdas=5).fit(X, data["activity"], groups=data["trial"])
    assert list(model.neuron_names_) == ["a", "b"]
    assert (model.cv_deviance_explained_ > 0).all()
    np.testing.assert_array_equal(X.index, data["time"])
    # units and names go along to the results and the pictures
    assert pg.kernels(model, design)["speed"]["speed"].attrs["units"] == "cm/s"
    ax = pg.plot.session_overview(data, data["activity"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["speed (cm/s)", "a", "b"]
    by_neuron = pg.breakdown(model, X, data["activity"], by=pg.bins(data["speed"], [-1, 0, 1], 0.5))
    assert by_neuron["neuron"].values.tolist() == ["a", "b"]


def test_the_dataset_and_the_tree_survive_a_file(tmp_path):
    session = Session(
        activity={"units": spike_trains([[0.5], [1.5]], neurons=["a", "b"])},
        signals={"speed": signal([0.0, 1.0, 2.0], rate=1, unit="cm/s")},
        events={"licks": events([0.7])},
        intervals={"trials": a_trial_table(1, 2.0, kind=["x"])},
        attrs={"source": "made here"},
    )
    data = session.regrid(1.0)
    data.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "grid.nc", engine="h5netcdf"), data)
    session.to_xarray().to_netcdf(tmp_path / "session.nc", engine="h5netcdf")
    tree = xr.open_datatree(tmp_path / "session.nc", engine="h5netcdf")
    np.testing.assert_array_equal(tree["signals/speed/speed"], [0, 1, 2])
    np.testing.assert_array_equal(tree["activity/units/spike_time"], [0.5, 1.5])
    assert tree["intervals/trials/kind"].values.tolist() == ["x"]
    assert tree.attrs["source"] == "made here"


def test_names_that_two_things_have_are_kept_apart_and_told():
    table = pd.DataFrame({"depth": [1.0]}, index=["a"])
    session = Session(
        activity={"dff": traces(np.zeros((2, 1)), rate=1, neurons=table)},
        signals={name: signal([1.0, 2.0], rate=1) for name in ("depth", "trial", "time", "activity")},
        intervals={"trials": a_trial_table(1)},
    )
    data = session.regrid()
    assert data["neuron_depth"].values.tolist() == [1.0]
    for name in ("depth", "trial_", "time_", "activity_"):
        assert data[name].values.tolist() == [1, 2]
    assert "'trial' is called 'trial_'" in data.attrs["notes"]


def test_a_kind_of_activity_is_all_of_its_planes():
    planes = {f"spks/plane_{p}": traces(np.full((4, 1), float(p)), rate=1, neurons=[f"plane_{p}/0"]) for p in range(2)}
    session = Session(activity=planes | {"F/plane_0": traces(np.zeros((4, 1)), rate=1)})
    data = session.regrid(activity="spks")
    assert data["neuron"].values.tolist() == ["plane_0/0", "plane_1/0"]
    assert data["activity"].values[0].tolist() == [0, 1]


def test_a_column_of_the_table_of_neurons_never_takes_the_place_of_the_clock():
    table = pd.DataFrame({"time": [5.0], "sample": [1]}, index=["a"])
    session = Session(activity={"dff": traces(np.zeros((3, 1)), [1.0, 2.0, 3.0], neurons=table)})
    data = session.regrid()
    assert data["time"].values.tolist() == [1, 2, 3]
    assert data["time_"].values.tolist() == [5]


def test_the_trial_before_may_be_one_that_is_left_out():
    table = a_trial_table(6, 2.0, c=np.arange(6.0), good=np.arange(6) % 2 == 0)
    session = Session(activity={"dff": traces(np.zeros((12, 1)), rate=1)}, intervals={"trials": table, "all": table})
    wanted = {"c": "trials.c", "before": Variable("trials.c", previous=True)}
    for data in (
        session.where("trials", "good").regrid(variables=wanted),
        session.where("trials", "good").where("trials", "c < 100").regrid(variables=wanted),
        session.where("all", "good").regrid(variables=wanted, trials="all"),
    ):
        np.testing.assert_array_equal(data["c"], np.repeat([0, 2, 4], 2))
        np.testing.assert_array_equal(data["before"], np.repeat([np.nan, 1, 3], 2))


def test_trials_that_hold_no_bin_are_told_and_the_grid_begins_with_the_first():
    units = {"units": spike_trains([np.arange(1.0, 60.0)])}
    table = a_trial_table(12, 5.0)
    given = Session(units, intervals={"trials": table}).regrid(7.0)
    without = 12 - len(np.unique(np.arange(0, 56, 7) // 5))
    assert f"{without} trials have no bin" in given.attrs["notes"]
    for other in (
        Session(units).regrid(7.0, trials=table),
        Session(units, intervals={"t": table}).regrid(7.0, trials="t"),
    ):
        np.testing.assert_array_equal(other["time"], given["time"])
        np.testing.assert_array_equal(other["activity"], given["activity"])


def test_the_last_trial_without_a_stop_goes_on_to_the_last_spike():
    with pytest.warns(pg.PopglmWarning, match="have no stop_time"):
        table = intervals(pd.DataFrame({"start_time": [0.0, 5.0]}))
    session = Session({"units": spike_trains([[1.0, 6.0, 9.5]])}, intervals={"trials": table})
    data = session.regrid(0.5)
    assert data["trial"].values[[0, -1]].tolist() == [0, 1]
    assert data["activity"].values.sum() == 2


def test_what_lies_apart_from_the_trials_is_told():
    session = Session(
        {"dff": traces(np.zeros((100, 1)), rate=1), "other": traces(np.zeros((100, 1)), rate=1)},
        intervals={"trials": a_trial_table(1, 10.0)},
    )
    notes = session.regrid().attrs["notes"]
    assert "do their clocks count from the same start?" in notes
    assert "activity is that of 'dff'; there is also 'other'" in notes


def test_neurons_are_chosen_by_name_and_some_must_stay():
    session = Session({"units": spike_trains([[0.5], [0.5]], neurons=[3, 7])}, intervals={"trials": a_trial_table(1)})
    assert session.regrid(1.0, neurons="neuron == 7")["neuron"].values.tolist() == [7]
    with pytest.raises(ValueError, match="none of 2 neurons of 'units' meets 'neuron == 8'"):
        session.regrid(1.0, neurons="neuron == 8")


def test_durations_are_seconds_and_dates_are_none():
    steps = pd.to_timedelta(np.arange(6) / 2, unit="s")
    session = Session({"dff": traces(np.zeros((6, 1)), steps)}, events={"lick": events(steps[:2])})
    assert session.regrid()["time"].values.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    for make in (lambda t: signal(np.zeros(6), t), events, lambda t: spike_trains([t])):
        with pytest.raises(TypeError, match="times must be seconds; found dates"):
            make(pd.Timestamp("2026-01-01") + steps)


def test_more_bins_than_fit_into_the_memory_are_refused():
    session = Session({"units": spike_trains([[0.0, 3_600.0]])})
    with pytest.raises(ValueError, match=r"a grid of .* bins would take"):
        session.regrid(1e-7)


def test_no_more_is_read_than_the_bins_need():
    """Every sample once, a block at a time; of what is not asked for, nothing."""
    reads = []

    class Counted:
        shape, dtype, chunks = (5_000, 4), np.dtype(float), None

        def __getitem__(self, key):
            reads.append(key)
            return np.zeros(self.shape)[key]

    def in_file():
        return lazily(("sample", "neuron"), StoredArray(Counted()))

    session = Session(
        {"dff": traces(in_file(), rate=50), "other": traces(in_file(), rate=50)},
        {"camera": signal(in_file(), rate=50)},
        intervals={"trials": a_trial_table(10)},
    )
    assert session.check() == []
    assert session.mend_clock("dff").mend_clock("camera", shift=0.5).signals["camera"].shape == (5_000, 4)
    assert reads == []
    for dt in (None, 0.1):
        session.regrid(dt, variables=[])
        assert sum(len(range(*rows.indices(5_000))) for rows, _ in reads) == 5_000
        reads.clear()


@pytest.mark.parametrize("other", [1.0, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dt", [0.01, 0.05, 0.1, 0.5, 20.0])
@pytest.mark.parametrize("block", [24, 64_000_000])
def test_infinite_activity_stays_infinite_on_every_grid(dt, other, block, monkeypatch):
    # so small a block that bins go on in the next, or one that has them all
    monkeypatch.setattr("popglm.recording.activity.BLOCK", block)
    values = np.ones((400, 2))
    values[201], values[202, 0] = (-np.inf, 1.0), other
    activity = Session({"dff": traces(values, rate=10)}).regrid(dt)["activity"]
    assert (~np.isfinite(activity[:, 0])).any()
    wrong = activity.time.values[np.isinf(activity.values[:, 0])]
    assert len(wrong)
    assert ((wrong > 20.0 - dt) & (wrong < 20.4)).all()
    if not np.isnan(other):
        # nothing is unknown between two samples that are known, or in their bin
        within = (activity.time.values > 20.05) & (activity.time.values < 20.15)
        assert np.isinf(activity.values[within, 0]).all()
        assert not np.isnan(activity.values[:-20, 0] if dt < 1 else activity.values[:, 0]).any()
    # the other neuron is as it was, and what is unknown is left out of averages
    np.testing.assert_array_equal(activity[:-20, 1] if dt < 1 else activity[:, 1], 1.0)


def test_a_plane_that_is_a_frame_short_ends_a_frame_early():
    planes = {
        "long": traces(np.arange(1_200.0).reshape(600, 2), rate=30, neurons=["a", "b"]),
        "short": traces(np.arange(1_198.0).reshape(599, 2), rate=30, neurons=["c", "d"]),
    }
    data = Session(planes).regrid(activity=["long", "short"], clock="long")
    np.testing.assert_array_equal(data["activity"].values[:599, 2:], planes["short"].values)
    assert np.isnan(data["activity"].values[599, 2:]).all()
    assert "older" not in data.attrs["notes"]

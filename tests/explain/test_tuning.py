"""Averages and standard errors against pandas, scipy and numbers made by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import popglm as pg
from popglm.explain import tuning


@pytest.fixture(scope="module")
def session():
    session = pg.maze_session(n_samples=3000, n_neurons=4)
    activity = session.activity.astype(float)
    activity.iloc[:900, 2] = np.nan
    activity.iloc[:, 3] = np.nan
    return session.behavior, activity


@pytest.fixture(scope="module")
def position(session):
    return pg.bins(session[0]["position"], centers=[40, 60, 200], half_width=20, unit="cm")


def test_average_and_standard_error_over_samples(session, position):
    behavior, activity = session
    got = tuning(activity, position, behavior["cue"])
    assert got["average"].dims == ("cue", "bin", "neuron")
    assert got["cue"].values.tolist() == [-1, 1]
    for i, center in enumerate((40, 60, 200)):
        for cue in (-1, 1):
            near = (behavior["position"] >= center - 20) & (behavior["position"] < center + 20)
            values = activity[near & (behavior["cue"] == cue)].to_numpy()
            here = got.isel(bin=i).sel(cue=cue)
            assert here["n_samples"] == len(values)
            for j in range(3):
                known = values[~np.isnan(values[:, j]), j]
                assert_allclose(here["average"][j], np.mean(known))
                assert_allclose(here["sem"][j], stats.sem(known))
    # a neuron that was never recorded
    assert got.isel(neuron=3)[["average", "sem"]].isnull().all().to_array().all()


def test_standard_error_over_trials(session, position):
    behavior, activity = session
    got = tuning(activity, position, trial=behavior["trial"])
    assert got["average"].dims == ("bin", "neuron")
    near = (behavior["position"] >= 180) & (behavior["position"] < 220)
    for j in (0, 2):
        of_trials = [
            np.nanmean(values)
            for _, values in activity[near].iloc[:, j].groupby(behavior["trial"][near])
            if values.notna().any()
        ]
        assert_allclose(got["sem"][2, j], stats.sem(of_trials))
    over_samples = tuning(activity, position)
    assert got["average"].equals(over_samples["average"])
    assert not np.allclose(got["sem"][:, 0], over_samples["sem"][:, 0])


def test_several_bins_and_several_labels(session, position):
    behavior, activity = session
    elapsed = pg.bins(behavior["time_from_choice"], centers=[0.5, 2], half_width=0.5, unit="s")
    got = tuning(activity, [position, elapsed], behavior[["cue", "cho"]])
    assert got["average"].dims == ("level", "bin", "neuron")
    assert got["level"].values.tolist() == ["cue=-1, cho=-1", "cue=-1, cho=1", "cue=1, cho=-1", "cue=1, cho=1"]
    assert got["axis"].values.tolist() == ["position"] * 3 + ["time_from_choice"] * 2
    assert got["unit"].values.tolist() == ["cm"] * 3 + ["s"] * 2
    assert_allclose(got["center"], [40, 60, 200, 0.5, 2])
    left = (behavior["cue"] == 1) & (behavior["cho"] == -1)
    one = got.sel(level="cue=1, cho=-1").sel(bin=got["axis"] == "time_from_choice")
    inside = behavior["time_from_choice"].between(1.5, 2.5, inclusive="left") & left
    assert_allclose(one["average"][1, :2], activity[inside].mean().iloc[:2])
    alone = tuning(activity, elapsed, behavior[["cue", "cho"]])
    assert_allclose(alone["average"], got["average"][:, 3:])
    with_names = tuning(activity, elapsed, pd.DataFrame({"left": behavior["cue"] > 0, "day": 1.5}))
    assert with_names["level"].values.tolist() == ["left=False, day=1.5", "left=True, day=1.5"]


def test_what_no_sample_falls_into_is_nan():
    with pytest.warns(pg.PopglmWarning, match="hold no sample"):
        place = pg.bins([0.0, 1.0, 1.0, np.nan], centers=[0, 1, 2], half_width=0.5)
    got = tuning(np.arange(4.0), place, ["a", "a", "b", "b"])
    nan = np.nan
    assert_allclose(got["average"].values[..., 0], [[0, 1, nan], [nan, 2, nan]])
    assert_allclose(got["sem"], np.full((2, 3, 1), nan))
    assert got["n_samples"].values.tolist() == [[1, 1, 0], [0, 1, 0]]
    assert got["level"].values.tolist() == ["a", "b"]


def test_missing_labels_are_left_out():
    place = pg.bins(np.zeros(4), centers=[0], half_width=1)
    by_series = tuning(np.arange(4.0), place, pd.Series([1.0, 1.0, 2.0, np.nan], name="block"))
    assert by_series["block"].values.tolist() == [1.0, 2.0]
    assert_allclose(by_series["average"].values.ravel(), [0.5, 2])
    by_frame = tuning(np.arange(4.0), place, pd.DataFrame({"a": [1, 1, 2, 2], "b": ["x", "x", "x", None]}))
    assert by_frame["level"].values.tolist() == ["a=1, b=x", "a=2, b=x"]
    assert_allclose(by_frame["average"].values.ravel(), [0.5, 2])
    over_trials = tuning(np.arange(4.0), place, trial=[0, 0, 1, np.nan])
    assert_allclose(over_trials["sem"], stats.sem([0.5, 2.0]))
    assert_allclose(over_trials["average"], 1.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"by": None}, TypeError, r"by must be popglm.bins"),
        ({"by": [1.0, 2.0]}, TypeError, r"by must be popglm.bins"),
        ({"Y": np.zeros((3, 2))}, ValueError, "made from 4 samples, but the data has 3"),
        ({"Y": [0.0, np.inf, 0.0, 0.0]}, ValueError, "inf"),
        ({"split": [1, 2]}, ValueError, r"split must have shape \(4,\), one label per sample; it has \(2,\)"),
        ({"split": pd.DataFrame({"a": [1]})}, ValueError, "split must have 4 rows"),
        ({"split": pd.Series([1, 1, 2, 2], name="neuron")}, ValueError, "split is named 'neuron'"),
        ({"trial": [0, 1]}, ValueError, r"trial must have shape \(4,\)"),
    ],
)
def test_arguments(arguments, error, message):
    good = {"Y": np.zeros(4), "by": pg.bins(np.zeros(4), centers=[0], half_width=1)}
    with pytest.raises(error, match=message):
        tuning(**good | arguments)

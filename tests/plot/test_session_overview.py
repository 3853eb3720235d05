"""The overview of a session: traces, shades, trial borders and gaps are where they belong."""

import numpy as np
import pandas as pd
import pytest
from labelled_results import segments
from numpy.testing import assert_allclose

import popglm as pg
from popglm.plot import session_overview


def overview(n_neurons, rows=slice(0, 300), **options):
    session = pg.maze_session(n_samples=300, n_neurons=n_neurons, n_task_variables=2)
    behavior, activity = session.behavior.iloc[rows], session.activity.iloc[rows]
    options = {"time": "time", "trial": "trial", "variables": ["position", "cue"], **options}
    return behavior, activity, session_overview(behavior, activity, **options)


@pytest.mark.parametrize("n_neurons", [1, 12, 1000])
def test_traces_and_shades_are_the_scaled_numbers(n_neurons):
    behavior, activity, ax = overview(n_neurons, units={"position": "cm"})
    height = {1: 1, 12: 6, 1000: 6}[n_neurons]
    position, cue = ax.lines
    assert_allclose(position.get_xdata(), behavior["time"])
    low, high = behavior["position"].min(), behavior["position"].max()
    assert_allclose(position.get_ydata(), height + 1.15 + 0.7 * (behavior["position"] - low) / (high - low))
    assert_allclose(cue.get_ydata(), height + 0.15 + 0.7 * (behavior["cue"] + 1) / 2)

    (image,) = ax.images
    y = activity.to_numpy(dtype=float)
    top = np.percentile(y, 99, axis=0)
    top = np.where(top > y.min(axis=0), top, y.max(axis=0))
    shades = (y - y.min(axis=0)) / np.where(top > y.min(axis=0), top - y.min(axis=0), 1)
    step = -(-n_neurons // len(image.get_array()))  # neighbours share a row where there are more than pixels
    assert (step > 1) == (n_neurons == 1000)
    rows = np.array([shades.T[j : j + step].mean(axis=0) for j in range(0, n_neurons, step)])
    if step > 1:
        rows -= rows.min(axis=1, keepdims=True)
        rows /= np.percentile(rows, 99, axis=1, keepdims=True)
    upwards = step > 1  # as matplotlib keeps rows of unequal heights
    assert_allclose(image.get_array(), rows[::-1] if upwards else rows)
    assert_allclose(image.get_extent()[:2], [-1 / 12, 300 / 6 - 1 / 12])

    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels[:2] == ["position (cm)", "cue"]
    assert labels[2:] == (
        [f"neuron{j}" for j in range(n_neurons)] if n_neurons <= 12 else ["activity of\n1,000 neurons"]
    )
    assert [text.get_text() for text in ax.texts] == [f"{low:.3g} to {high:.3g}", "-1 to 1"]
    assert ax.get_xlabel() == "Time (s)"
    ax.figure.canvas.draw()


def test_a_line_marks_where_each_trial_begins():
    behavior, _, ax = overview(2)
    (lines,) = segments(ax)
    starts = behavior["time"][behavior["trial"].diff() > 0]
    assert len(starts)
    assert_allclose(lines[:, 0, 0], starts - 1 / 12)
    assert not segments(overview(2, trial=None)[2])


def test_gaps_in_time_stay_empty():
    rows = np.r_[0:100, 160:300]
    behavior, _, ax = overview(2, rows)
    (image,) = ax.images
    shades = image.get_array()
    empty = np.flatnonzero(np.isnan(np.ma.filled(shades, np.nan)).all(axis=0))
    assert empty.tolist() == [100]
    edges = np.sort(image._Ax)  # of a non-uniform image matplotlib has no public name
    assert_allclose(edges[100:102], [100 / 6 - 1 / 12, 160 / 6 - 1 / 12], atol=1e-9)
    trace = ax.lines[1].get_ydata()
    assert np.flatnonzero(np.isnan(trace)).tolist() == [100, 101]
    times = ax.lines[1].get_xdata()
    assert_allclose(np.delete(times, [100, 101]), behavior["time"])
    assert ax.lines[1].get_drawstyle() == "steps-mid"  # steps end halfway to the next point: where the gap begins
    assert_allclose((times[[99, 102]] + times[[100, 101]]) / 2, [100 / 6 - 1 / 12, 160 / 6 - 1 / 12])
    starts = behavior["time"][behavior["trial"].diff() > 0]
    assert_allclose(segments(ax)[0][:, 0, 0], starts - 1 / 12)
    ax.figure.canvas.draw()


def test_no_event_and_no_gap_is_lost_among_many_samples():
    n = 30_000
    time = np.arange(n) * 0.01
    time[20_000:] += 40.0
    events = np.zeros(n)
    events[[7, 12_345, 20_001]] = 1.0
    ax = session_overview({"speed": np.sin(time), "t": time}, events, time="t")
    (image,) = ax.images
    shades, edges = np.ma.filled(image.get_array(), np.nan)[0], np.sort(image._Ax)
    assert len(shades) < 1000
    shown = np.flatnonzero(shades > 0.1)
    assert (edges[shown] <= time[events > 0]).all()
    assert (edges[shown + 1] >= time[events > 0]).all()
    (gap,) = np.flatnonzero(np.isnan(shades))
    assert_allclose(edges[[gap, gap + 1]], [199.995, 239.995])


def test_many_trials_have_marks_that_hide_nothing():
    for n_trials, bottom in ((50, 0.0), (500, 0.97)):
        trial = np.repeat(np.arange(n_trials), 4)
        ax = session_overview({"speed": trial * 1.0, "trial": trial}, trial * 1.0, trial="trial")
        (lines,) = segments(ax)
        assert_allclose(lines[:, 0, 0], np.arange(1, n_trials) * 4 - 0.5)
        assert_allclose(lines[:, :, 1], np.tile([bottom, 1.0], (n_trials - 1, 1)))


def test_categories_constants_and_missing_values():
    session = {
        "odour": np.array(["rose", None, "mint", "rose"], object),
        "constant": [2.0] * 4,
        "unknown": [np.nan] * 4,
        "lit": [True, False, True, True],
    }
    activity = np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan], [4.0, np.nan]])
    ax = session_overview(session, activity)
    odour, constant, unknown, lit = (line.get_ydata() for line in ax.lines)
    assert_allclose(odour, 4 + np.array([0.85, np.nan, 0.15, 0.85]))
    assert_allclose(constant, np.full(4, 3.5))
    assert np.isnan(unknown).all()
    assert {line.get_drawstyle() for line in ax.lines} == {"steps-mid"}  # no slope from rose to mint
    assert session_overview({"speed": np.arange(50.0)}, np.ones(50)).lines[0].get_drawstyle() == "default"
    assert_allclose(lit, 1 + np.array([0.85, 0.15, 0.85, 0.85]))
    assert [text.get_text() for text in ax.texts] == ["mint to rose", "2", "no value", "0 to 1"]
    assert ax.get_xlabel() == "Sample"
    shades = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert np.isnan(shades[1]).all()
    assert_allclose(shades[0] * np.nanpercentile(activity[:, 0], 99), activity[:, 0])
    ax.figure.canvas.draw()


def test_all_variables_but_time_and_trial_are_drawn_unless_named():
    _, _, ax = overview(1, variables=None)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["position", "time_from_choice", "cue", "cho", "pitch", "roll", "yaw", "neuron0"]


def test_a_series_and_a_single_sample():
    ax = session_overview({"speed": [1.0]}, pd.Series([3.0], name="cell"))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["speed", "cell"]
    ax.figure.canvas.draw()


def test_a_population_that_was_never_recorded():
    ax = session_overview({"speed": [1.0, 2.0]}, np.full((2, 3), np.nan))
    assert np.isnan(np.ma.filled(ax.images[0].get_array(), np.nan)).all()
    ax.figure.canvas.draw()


def test_bad_input():
    with pytest.raises(ValueError, match="variable 'positon' is not in the session; nearest names: 'position'"):
        overview(1, variables=["positon"])
    with pytest.raises(ValueError, match="variables is empty"):
        overview(1, variables=[])
    with pytest.raises(ValueError, match="activity has 3 samples and the session has 2"):
        session_overview({"speed": [1.0, 2.0]}, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="time variable 't' must increase"):
        session_overview({"speed": [1.0, 2.0], "t": [0.1, 0.1]}, np.zeros(2), time="t")

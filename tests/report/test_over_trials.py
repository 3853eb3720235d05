"""Averages over trials against pandas."""

import numpy as np
import pandas as pd
import pytest

from popglm.report.over_trials import Cells, TrialTimes, average_over_trials, bins_of, mean_of_cells

RNG = np.random.default_rng(0)
LENGTHS = [30, 31, 29, 12, 60, 30, 30]
TRIAL = np.repeat([4, 5, 7, 9, 10, 11, 20], LENGTHS)
DT = 0.1
TIME = np.arange(len(TRIAL)) * DT + 1e4
Y = RNG.gamma(2, 1, (len(TRIAL), 3)).astype(np.float32)
Y[RNG.random(Y.shape) < 0.1] = np.nan


@pytest.fixture
def times():
    return TrialTimes.of(TRIAL, TIME, DT)


def test_times_count_from_the_first_sample_of_a_trial(times):
    frame = pd.DataFrame({"trial": TRIAL, "time": TIME})
    since = frame["time"] - frame.groupby("trial")["time"].transform("min")
    np.testing.assert_allclose(times.since, since)
    assert times.labels[times.trial].tolist() == TRIAL.tolist()


def test_a_single_long_trial_does_not_stretch_the_axis(times):
    # two of seven trials must still run: those of 60 and of 31 bins do
    assert times.longest == pytest.approx(3.0)
    column, middles = times.columns(1_000)
    assert len(middles) == 31
    assert (column[times.since > 3.05] == -1).all()
    np.testing.assert_array_equal(column[times.since < 3.05], np.rint(times.since[times.since < 3.05] / DT))


@pytest.mark.parametrize("most", [4, 7, 31])
def test_columns_are_no_more_than_asked_for(times, most):
    column, middles = times.columns(most)
    assert len(middles) <= most
    assert column.max() == len(middles) - 1
    inside = column >= 0
    width = times.column_width(most)
    assert (np.abs(middles[column[inside]] - times.since[inside]) <= width / 2 + 1e-6).all()


def test_neighbouring_trials_share_a_row(times):
    rows, together = times.rows(3)
    assert together == 3
    assert pd.Series(rows).groupby(TRIAL).first().tolist() == [0, 0, 0, 1, 1, 1, 2]


def test_means_and_standard_errors_are_those_of_pandas(times):
    column, middles = times.columns(10)
    shape = (len(LENGTHS), len(middles))
    means = mean_of_cells(Cells(times.trial, column, shape).members, Y, np.isfinite(Y))
    mean, sem = average_over_trials(means, shape)
    for j in range(Y.shape[1]):
        frame = pd.DataFrame({"trial": TRIAL, "column": column, "y": Y[:, j].astype(float)})
        by_trial = frame[frame["column"] >= 0].groupby(["trial", "column"])["y"].mean().unstack("column")
        np.testing.assert_allclose(mean[:, j], by_trial.mean(), rtol=1e-5)
        np.testing.assert_allclose(sem[:, j], by_trial.sem(), rtol=1e-4)


def test_a_single_trial_has_no_standard_error():
    mean, sem = average_over_trials(np.array([[1.0], [2.0]]), (1, 2))
    assert mean.ravel().tolist() == [1.0, 2.0]
    assert np.isnan(sem).all()


def test_bins_reach_half_way_to_their_neighbours():
    centers = np.array([10.0, 20.0, 40.0])
    values = np.array([4.9, 5.0, 14.9, 15.1, 29.9, 30.1, 50.0, 50.1, np.nan])
    assert bins_of(values, centers).tolist() == [-1, 0, 0, 1, 1, 2, 2, -1, -1]
    assert bins_of(values, centers[:1]).tolist() == [0] * 8 + [-1]

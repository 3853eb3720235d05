"""Averages around events against plain loops over events, and predicted tuning against averages of predictions."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import popglm as pg
from popglm.explain import psth

N, DT = 600, 0.05


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame(rng.poisson(2.0, (N, 3)).astype(float), columns=["a", "b", "c"])
    Y.iloc[100:180, 1] = np.nan
    time = np.arange(N) * DT
    time[250:] += 3.0  # a gap within a trial
    return {
        "Y": Y,
        "lick": (rng.random(N) < 0.1).astype(float),
        "cue": pd.Series(rng.choice(["left", "right"], N), name="cue"),
        "trial": np.arange(N) // 40,
        "time": time,
    }


def window(recording, event, lag):
    """The row at a distance from an event, or None if a trial's border, a gap or an end lies between."""
    row = event + lag
    low, high = min(event, row), max(event, row)
    inside = 0 <= row < N
    if not inside or recording["trial"][row] != recording["trial"][event] or low < 250 <= high:
        return None
    return row


def by_hand(recording, values, events, lag):
    """Average, standard error over trials, and number of events, by a loop over the events."""
    rows = [(window(recording, event, lag), recording["trial"][event]) for event in events]
    rows = [(row, trial) for row, trial in rows if row is not None]
    known = [(values[row], trial) for row, trial in rows if not np.isnan(values[row])]
    per_trial = [np.mean([v for v, t in known if t == trial]) for trial in {t for _, t in known}]
    return np.mean([v for v, _ in known]), stats.sem(per_trial), len(rows)


@pytest.mark.parametrize("dt", [None, DT])
def test_averages_around_an_event_stay_in_their_trial_and_out_of_gaps(recording, dt):
    before, after = (4, 9) if dt is None else (0.2, 0.45)
    arguments = {name: recording[name] for name in ("trial", "time")}
    got = psth(
        recording["Y"], recording["lick"], before=before, after=after, dt=dt, split=recording["cue"], **arguments
    )
    assert got["average"].dims == ("cue", "time_from_event", "neuron")
    assert_allclose(got["time_from_event"], np.arange(-4, 10) * (dt or 1))
    unit = "samples" if dt is None else "s"
    assert got["time_from_event"].attrs == {"units": unit, "long_name": "Time from event"}
    assert got.attrs == {"units": "per sample" if dt is None else "per second"}
    for cue in ("left", "right"):
        events = np.flatnonzero((recording["lick"] > 0) & (recording["cue"] == cue))
        for i, lag in enumerate(range(-4, 10)):
            for j, neuron in enumerate("abc"):
                average, sem, n = by_hand(recording, recording["Y"].to_numpy()[:, j], events, lag)
                here = got.sel(cue=cue, neuron=neuron).isel(time_from_event=i)
                assert_allclose(here["average"], average / (dt or 1))
                assert_allclose(here["sem"], sem / (dt or 1))
                assert here["n_events"] == n
    assert got["n_events"].min() < got["n_events"].max()


def test_without_an_event_windows_start_with_the_trials(recording):
    got = psth(recording["Y"], before=0, after=5, trial=recording["trial"])
    assert got["average"].dims == ("time_from_event", "neuron")
    by_trial = recording["Y"]["a"].to_numpy().reshape(15, 40)[:, :6]
    assert_allclose(got["average"].sel(neuron="a"), by_trial.mean(axis=0))
    assert_allclose(got["sem"].sel(neuron="a"), stats.sem(by_trial))
    # without trials, over events
    alone = psth(recording["Y"]["a"], np.arange(N) % 40 == 0, before=0, after=5)
    assert_allclose(alone["sem"].sel(neuron="a"), stats.sem(by_trial))
    # beyond the last row of a trial there is nothing
    beyond = psth(recording["Y"], before=3, after=50, trial=recording["trial"])
    assert (beyond["n_events"].sel(time_from_event=[-1, 40, 50]) == 0).all()
    assert beyond["average"].sel(time_from_event=[-1, 40]).isnull().all()


def test_samples_without_a_trial_and_labels_that_no_event_has(recording):
    trial = pd.Series(recording["trial"].astype(float))
    trial[:40] = np.nan
    split = np.where(np.arange(N) < 40, "never", "then")
    got = psth(recording["Y"], before=0, after=2, trial=trial, split=split)
    assert got["level"].values.tolist() == ["then"]
    assert (got["n_events"] == 14).all()


def test_predictions_are_averaged_over_the_same_samples(recording):
    predicted = recording["Y"].to_numpy() + 1
    predicted[:, 0] = np.where(np.arange(N) < 300, np.nan, predicted[:, 0])
    predicted[:, 1] = 5.0
    arguments = {"before": 2, "after": 3, "trial": recording["trial"]}
    got = psth(recording["Y"], recording["lick"], predicted=predicted, **arguments)
    assert_allclose(got["predicted"].sel(neuron="a"), got["average"].sel(neuron="a") + 1)
    assert_allclose(got["predicted_sem"].sel(neuron="c"), got["sem"].sel(neuron="c"))
    assert_allclose(got["predicted"].sel(neuron="b"), 5.0)
    half = np.where(np.arange(N) < 300, 0, recording["lick"])
    late = psth(recording["Y"], half, **arguments)
    assert_allclose(got["average"].sel(neuron="a"), late["average"].sel(neuron="a"), rtol=0.2)


T = np.r_[0:4, 100:104] * 0.1
LABELS = [pd.Index(T), pd.Timestamp("2026-01-01") + pd.to_timedelta(T, unit="s"), pd.to_timedelta(T, unit="s")]


class TestLabels:
    ACTIVITY = np.array([0.0, 0, 0, 0, 9, 9, 9, 9])
    EVENT = np.array([0.0, 0, 0, 1, 0, 0, 0, 0])

    @pytest.mark.parametrize("labels", LABELS, ids=["numbers", "dates", "durations"])
    def test_windows_stay_out_of_gaps_in_the_labels(self, labels):
        activity, event = pd.Series(self.ACTIVITY, labels), pd.Series(self.EVENT, labels)
        expected = psth(self.ACTIVITY, self.EVENT, before=1, after=2, time=T)
        assert expected["n_events"].values.tolist() == [1, 1, 0, 0]
        for Y, events in ((activity, event), (activity, self.EVENT), (self.ACTIVITY, event)):
            assert psth(Y, events, before=1, after=2).equals(expected)
        # times that are given come first, those of the labels cross nothing in a count
        assert psth(activity, event, before=1, after=2, time=np.arange(8))["n_events"].values.tolist() == [1] * 4
        assert (
            psth(pd.Series(self.ACTIVITY), event.to_numpy(), before=1, after=2)["n_events"].values.tolist() == [1] * 4
        )

    @pytest.mark.parametrize("labels", [pd.RangeIndex(8), *LABELS])
    @pytest.mark.parametrize("order", [np.arange(8)[::-1], np.array([0, 2, 1, 3, 4, 5, 6, 7])])
    def test_rows_that_are_not_in_order_of_time_are_refused(self, labels, order):
        activity, event = pd.Series(self.ACTIVITY, labels), pd.Series(self.EVENT, labels)
        with pytest.raises(ValueError, match=r"the row labels of Y do not increase: row \d has (?!np).* after (?!np)"):
            psth(activity.iloc[order], event, before=1, after=2)
        # events may stand in any order
        assert psth(activity, event.iloc[order], before=1, after=2).equals(psth(activity, event, before=1, after=2))

    def test_every_trial_has_its_own_time(self):
        again, trial = np.r_[0:4, 0:4] * 0.1, np.repeat([1, 2], 4)
        events = np.array([0.0, 0, 1, 0, 0, 1, 0, 0])
        expected = psth(self.ACTIVITY, events, before=1, after=2, trial=trial)
        assert psth(pd.Series(self.ACTIVITY, again), events, before=1, after=2, trial=trial).equals(expected)
        # the label of a trial is no time, nor is a name
        for labels in (trial, list("aabbccdd")):
            assert psth(pd.Series(self.ACTIVITY, labels), events, before=1, after=2, trial=trial).equals(expected)
        with pytest.raises(ValueError, match=r"row 4 has 0\.0 after 0\.3"):
            psth(pd.Series(self.ACTIVITY, again), events, before=1, after=2)
        with pytest.raises(ValueError, match="row 6 has"):
            psth(pd.Series(self.ACTIVITY, again).iloc[[0, 1, 2, 3, 4, 6, 5, 7]], events, before=1, after=2, trial=trial)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"time": np.full(N, "late")}, TypeError, "time must hold numbers or dates; found"),
        ({"events": np.zeros(N)}, ValueError, "events is 0 in all samples"),
        ({"events": np.full(N, "lick")}, TypeError, "events must hold numbers or bool"),
        ({"events": None}, ValueError, "give events, or trial"),
        ({"events": [1, 0]}, ValueError, rf"events must have shape \({N},\)"),
        ({"before": -1}, ValueError, "before must be a number of at least 0; found -1"),
        ({"after": 1e9}, ValueError, f"after=1000000000.0 samples reaches further than the {N} samples"),
        ({"dt": 0}, ValueError, "dt must be a positive number; found 0"),
        ({"predicted": np.ones((N, 2))}, ValueError, rf"predicted has shape \({N}, 2\), but Y has \({N}, 3\)"),
        ({"time": np.zeros(N)}, ValueError, "time must increase"),
    ],
)
def test_bad_arguments(recording, changes, error, message):
    arguments = {"events": recording["lick"], "before": 1, "after": 1} | changes
    with pytest.raises(error, match=message):
        psth(recording["Y"], **arguments)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    session = pd.DataFrame({"position": rng.uniform(0, 100, N), "cue": rng.choice([-1, 1], N)})
    Y = pd.DataFrame(rng.poisson(np.exp(-(((session["position"] - 60) / 20) ** 2)), N), columns=["place"]).astype(float)
    Y["noise"] = rng.poisson(1.0, N)
    Y.iloc[30:90, 1] = np.nan
    trial = np.arange(N) // 30
    design = pg.Design([pg.bumps("position", n=6, low=0, high=100), pg.linear("cue")])
    X = design.fit_transform(session)
    model = pg.GLMCV(n_lambdas=4, cv=4).fit(X, Y, groups=trial)
    return model, X, Y, session, trial


@pytest.mark.parametrize("held_out", [True, False])
def test_predicted_tuning_is_the_average_of_predictions_in_the_same_samples(fitted, held_out):
    model, X, Y, session, trial = fitted
    by = pg.bins(session["position"], [20, 60, 80], 10, unit="cm")
    got = pg.predicted_tuning(model, X, Y, by, session["cue"], trial=trial, dt=0.1, held_out=held_out)
    assert got.drop_vars(["predicted", "predicted_sem"]).equals(pg.tuning(Y, by, session["cue"], trial=trial, dt=0.1))
    predicted = np.asarray(model.predict_held_out() if held_out else model.predict(X), float)
    for i, center in enumerate((20, 60, 80)):
        for cue in (-1, 1):
            inside = ((session["position"] - center).abs() < 10) & (session["cue"] == cue)
            for j, neuron in enumerate(Y):
                rows = inside & Y[neuron].notna()
                here = got.sel(cue=cue, neuron=neuron).isel(bin=i)
                assert_allclose(here["average"], Y.loc[rows, neuron].mean() / 0.1)
                assert_allclose(here["predicted"], predicted[rows, j].mean() / 0.1)
                of_trials = pd.Series(predicted[rows, j]).groupby(trial[rows]).mean()
                assert_allclose(here["predicted_sem"], stats.sem(of_trials) / 0.1)
    assert got.attrs == {"units": "per second"}


def test_rows_that_no_fold_held_out_are_in_neither(fitted):
    _, X, Y, session, _ = fitted
    rows = np.arange(N)
    model = pg.GLMCV(n_lambdas=3, cv=[(rows[rows >= 200], rows[rows < 200])]).fit(X, Y)
    by = pg.bins(session["position"], [60], 10)
    got = pg.predicted_tuning(model, X, Y, by)
    early = (session["position"] - 60).abs()[:200] < 10
    assert_allclose(got["average"].sel(neuron="place"), [Y["place"][:200][early].mean()])
    assert_allclose(got["predicted"].sel(neuron="place"), [model.predict_held_out()[:200][early, 0].mean()])


def test_predicted_tuning_needs_folds_or_to_be_told(fitted):
    _, X, Y, session, _ = fitted
    by = pg.bins(session["position"], [60], 10)
    one = pg.GLM(lambdas=[0.1]).fit(X, Y["place"])
    with pytest.raises(
        ValueError,
        match=r"predicted_tuning scores held-out predictions and needs a fitted popglm\.GLMCV, or held_out=False",
    ):
        pg.predicted_tuning(one, X, Y["place"], by)
    got = pg.predicted_tuning(one, X, Y["place"], by, held_out=False)
    near = (session["position"] - 60).abs() < 10
    assert_allclose(got["predicted"].sel(neuron="place"), [one.predict(X)[near].mean()])

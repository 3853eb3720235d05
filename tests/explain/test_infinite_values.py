"""An infinite value is no event, no time, no place and no kind of trial: each is named in one sentence."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

import popglm as pg

N = 60
Y = np.random.default_rng(0).poisson(1.0, (N, 2))
TRIALS = np.arange(N) // 6.0
INFINITE = np.where(np.arange(N) == 5, -np.inf, TRIALS)
PLACES = pg.bins(np.zeros(N), [0], 1)
EVENTS = np.arange(N) % 7 == 3
CALLS = {
    "events": lambda v: pg.psth(Y, v, before=2, after=2),
    "time": lambda v: pg.psth(Y, EVENTS, before=2, after=2, time=v),
    "split": lambda v: pg.psth(Y, EVENTS, before=2, after=2, split=v),
    "trial": lambda v: pg.psth(Y, before=2, after=2, trial=v),
    "tuning's split": lambda v: pg.tuning(Y, PLACES, v),
    "tuning's trial": lambda v: pg.tuning(Y, PLACES, trial=v),
    "column 'cue'": lambda v: pg.tuning(Y, PLACES, pd.DataFrame({"cue": v})),
    "values": lambda v: pg.bins(v, [0], 1),
    "groups": lambda v: pg.GLMCV(lambdas=[0.1], cv=2).fit(np.eye(N)[:, :2], Y, groups=v),
}


@pytest.mark.parametrize("argument", CALLS)
@pytest.mark.parametrize("kind", [np.array, pd.Series, list, lambda v: pd.array(v, "Float64")])
def test_they_are_refused(argument, kind):
    name = argument.removeprefix("tuning's ")
    assert_complaint(f"{name} is infinite in row 5; give a finite value there, or NaN", CALLS[argument], kind(INFINITE))


def test_an_event_of_a_missing_value_is_none():
    events = np.where(np.arange(N) == 5, np.nan, EVENTS)
    around = pg.psth(Y, events, before=2, after=2)
    assert around["n_events"].sel(time_from_event=0) == EVENTS.sum()

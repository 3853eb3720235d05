from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
around = pg.psth(
    s.activity, before=0, after=8, dt=s.dt, split=s.behavior["cue"], trial=s.behavior["trial"],
    predicted=s.model.predict_held_out(),
)  # fmt: skip
plot.psth(around, neurons=s.best[0])  # from the start of each trial

from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
curves = pg.predicted_tuning(
    s.model, s.X, s.activity, s.position, s.behavior["cue"], trial=s.behavior["trial"], dt=s.dt
)
plot.tuning_curves(curves, neurons=s.best[0])

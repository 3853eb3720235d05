from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
plot.calibration(pg.calibration(s.model, s.X, s.activity, trial=s.behavior["trial"]))

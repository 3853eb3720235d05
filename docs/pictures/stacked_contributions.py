from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
variables = {"position": "position", "time": "time_from_choice", "cue": "* × cue", "running": ["pitch", "roll", "yaw"]}
plot.stacked_contributions(pg.shapley(s.model, s.X, s.activity, variables))

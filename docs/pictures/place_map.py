from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
plot.place_map(pg.tuning(s.activity, s.position))

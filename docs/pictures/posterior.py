import numpy as np
from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
found = pg.decode(
    s.model, s.design, s.behavior, s.activity, "position", np.arange(0, 251, 10.0), step=15, trial=s.behavior["trial"]
)
some = slice(0, 400)
plot.posterior(found.isel(sample=some), s.behavior["time"][some], unit="cm")

from pooled import pooled

import popglm as pg
from popglm import plot

found = pg.hierarchical_bootstrap(pooled(), ["position", "cue"], by="area", n_resamples=1_000, seed=0)
plot.group_averages(found)

from pooled import pooled

import popglm as pg
from popglm import plot

plot.cell_types(pg.cell_types(pooled(), ["position", "cue"], n_resamples=20))

from pooled import pooled

import popglm as pg
from popglm import plot

plot.type_stability(pg.cell_types(pooled(), ["position", "cue"], n_resamples=20))

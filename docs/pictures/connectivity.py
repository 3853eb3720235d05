import numpy as np
import pandas as pd

import popglm as pg
from popglm import plot

# twelve refractory neurons, of which each excites the next one, and every third inhibits the one after that
rng = np.random.default_rng(0)
names = [f"n{j}" for j in range(12)]
W = -2.0 * np.eye(12) + 0.9 * np.eye(12, k=1)
W[::3] -= 1.2 * np.eye(12, k=2)[::3]
spikes = np.zeros((20_000, 12))
for t in range(1, len(spikes)):
    spikes[t] = rng.poisson(np.exp(-1.5 + np.clip(spikes[t - 1], 0, 3) @ W))
spikes = pd.DataFrame(spikes, columns=names)
design = pg.Design(pg.coupling(names, pg.log_bumps("lag", n=3, low=1, high=8)))
model = pg.GLM(penalty="group_lasso", lambdas=[0.003]).fit(design.fit_transform(spikes), spikes)
plot.connectivity(pg.connectivity(model, design), quantity="peak")

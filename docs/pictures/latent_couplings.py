import numpy as np
import pandas as pd

import popglm as pg
from popglm import plot

# twelve refractory neurons that move each other through two signals
rng = np.random.default_rng(0)
names = [f"n{j}" for j in range(12)]
sends, hears = np.zeros((2, 2, 12))
sends[0, :3], sends[1, 3:6], hears[0, 4:9], hears[1, 8:] = [1, 1, -1], 1, 0.4, [0.4, 0.4, -0.4, -0.4]
W = sends.T @ hears - 1.5 * np.eye(12)
spikes = np.zeros((6000, 12))
for t in range(1, len(spikes)):
    spikes[t] = rng.poisson(np.exp(-1.5 + np.clip(spikes[t - 1], 0, 3) @ W))
spikes = pd.DataFrame(spikes, columns=names)
design = pg.Design(pg.coupling(names, pg.log_bumps("lag", n=3, low=1, high=8)))
model = pg.LowRankGLM(low_rank=range(5), lambdas=[0.02]).fit(design.fit_transform(spikes), spikes)
plot.latent_couplings(pg.latent_couplings(model, design))

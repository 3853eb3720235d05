import matplotlib.pyplot as plt
import numpy as np

import popglm as pg
from popglm import plot

# twenty neurons that follow a signal; every third is silent for some samples after a spike, which the model leaves out
rng = np.random.default_rng(0)
X = np.convolve(rng.normal(size=8_000), np.ones(20) / 5, "same")[:, None]
Y = np.zeros((8_000, 20))
for row in range(8_000):
    recent = Y[max(row - 3, 0) : row].any(axis=0) & (np.arange(20) % 3 == 0)
    Y[row] = (rng.random(20) < 1 / (1 + np.exp(2 - X[row]))) & ~recent
found = pg.rescaled_quantiles(pg.GLM("bernoulli", penalty="none").fit(X, Y), X, Y)
_, axes = plt.subplots(1, 2, figsize=(7.6, 3.6), layout="constrained")
plot.time_rescaling(found, axes[0], neurons="neuron0")
plot.time_rescaling(found, axes[1])

import numpy as np

import popglm as pg
from popglm import plot

# twenty repeats of a film of 300 frames; the model knows one of the two features that drive the neurons
rng = np.random.default_rng(0)
features = np.stack([np.convolve(rng.normal(size=300), np.ones(5) / 2, "same") for _ in range(2)], axis=1)
frame, trial = np.tile(np.arange(300), 20), np.repeat(np.arange(20), 300)
weights = rng.uniform(0, 0.5, (2, 60))
Y = rng.poisson(np.exp(features @ weights + rng.uniform(-2, 1, 60))[frame])
X = features[frame, :1]
model = pg.GLMCV(lambdas=[1e-3], cv=5).fit(X, Y, groups=trial)
plot.noise_ceiling(pg.noise_ceiling(Y, frame, trial=trial, predicted=model.predict_held_out()))

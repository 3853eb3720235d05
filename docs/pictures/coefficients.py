from simulated import simulated

import popglm as pg
from popglm import plot

s = simulated()
X = pg.Design([pg.linear(name) for name in ("pitch", "roll", "yaw")]).fit_transform(s.behavior)
activity = s.activity[s.best[:3]]
model = pg.GLM(penalty="none").fit(X, activity)
plot.coefficients(pg.wald(model, X, activity, trial=s.behavior["trial"]))

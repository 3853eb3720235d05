from simulated import simulated

from popglm import plot

s = simulated()
plot.deviance_cumulative({"fitted": s.scores, "held out": s.model.cv_deviance_explained_})

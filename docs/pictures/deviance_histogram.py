from simulated import simulated

from popglm import plot

s = simulated()
plot.deviance_histogram(s.model.cv_deviance_explained_)

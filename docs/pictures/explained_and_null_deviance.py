from simulated import simulated

from popglm import plot

s = simulated()
plot.explained_and_null_deviance(s.scores)

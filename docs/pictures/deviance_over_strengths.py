from simulated import simulated

from popglm import plot

s = simulated()
plot.deviance_over_strengths(s.model)

from simulated import simulated

from popglm import plot

s = simulated()
plot.contribution_distribution(s.breakdown)

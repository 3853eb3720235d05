from simulated import simulated

from popglm import plot

s = simulated()
plot.breakdown_and_comparison(s.breakdown, s.comparison)

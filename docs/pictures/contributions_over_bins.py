from simulated import simulated

from popglm import plot

s = simulated()
plot.contributions_over_bins(s.breakdown)

from simulated import simulated

from popglm import plot

s = simulated()
plot.full_and_reduced(s.comparison, variable="cue")

from simulated import simulated

from popglm import plot

s = simulated()
plot.mean_absolute_kernels(s.kernels, groups="position*")

from simulated import simulated

from popglm import plot

s = simulated()
plot.kernel_image(s.kernels, group="position")

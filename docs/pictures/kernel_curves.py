from simulated import simulated

from popglm import plot

s = simulated()
plot.kernel_curves(s.kernels, group="position", neurons=s.best, quantity="gain")

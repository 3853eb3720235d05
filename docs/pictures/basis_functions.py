from simulated import simulated

from popglm import plot

s = simulated()
plot.basis_functions(s.design, group="position", unit="cm")

from simulated import simulated

from popglm import plot

s = simulated()
plot.design_matrix(s.X[:400])

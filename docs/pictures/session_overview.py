from simulated import simulated

from popglm import plot

s = simulated()
rows = slice(0, 400)
plot.session_overview(
    s.behavior[rows], s.activity[rows], variables=["position", "cue", "cho"], time="time", trial="trial", units=s.units
)

from simulated import simulated

from popglm import plot

s = simulated()
rows = slice(0, 500)
plot.predicted_and_recorded(
    s.activity[s.best[0]][rows],
    s.model.predict_held_out()[rows, s.activity.columns.get_loc(s.best[0])],
    s.behavior["time"][rows],
    trial=s.behavior["trial"][rows],
)

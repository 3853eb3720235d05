"""A small result whose names would be markup if they were read as such, before and after it was explained."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.analysis import running
from popglm.analysis.explaining import explain_result
from popglm.analysis.recipe import parse_recipe
from popglm.analysis.result import make_result
from popglm.recording import Session, intervals, signal, traces

N_NEURONS = 24
#: What a page that reads names as markup would run.
EVIL = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "a&amp;b \"c\" 'd' %41#")
# no slash: a DataTree allows none in the names of its variables
SPEED = "<img src=x onerror=alert(4)>"
RECIPE = f"""
# </pre><script>alert(3)</script>
data.path = "session.npz"
data.format = "nwb"
trials.source = "trials"

[variables]
position = "position"
"{SPEED}" = "pitch"
cue = "cue"
place2 = "position"

[[terms]]
basis = "bumps"
variable = "position"
n = 6
low = 10
high = 250
times = ["cue"]

[[terms]]
basis = "splines"
variable = "{SPEED}"
n = 5

[[terms]]
basis = "categories"
variable = "cue"

[model]
penalty = "group_lasso"
n_lambdas = 6
cv = 3
tol = 1e-3

[test]
fraction = 0.2

[explain]
compare = true
bootstrap = 4
n_points = 90

[explain.by.position]
low = 20
high = 240
n = 8
unit = "cm"

[explain.by."{SPEED}"]
low = 0
high = 60
n = 4
"""


def recording(n_neurons=N_NEURONS):
    """A session of a simulated maze, with places and areas of neurons."""
    maze = pg.maze_session(n_samples=3_000, n_neurons=n_neurons, n_task_variables=1, seed=1)
    behavior, time = maze.behavior, np.arange(3_000) / 6
    names = [*EVIL, *(f"n{k}" for k in range(n_neurons - len(EVIL)))]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"x": rng.uniform(0, 500, n_neurons), "y": rng.uniform(0, 500, n_neurons), "area": ["<i>V1</i>", "PM"] * 12},
        index=names,
    )
    activity = maze.activity.to_numpy().copy()
    activity[:400, 5] = np.nan
    activity[:, 6] = 0
    starts = time[np.unique(behavior["trial"], return_index=True)[1]]
    trials = pd.DataFrame({"start_time": starts, "stop_time": [*starts[1:], time[-1] + 1 / 6]})
    return Session(
        activity={"deconvolved": traces(activity, time, neurons=table, unit="A.U.")},
        signals={
            "position": signal(behavior["position"].to_numpy(), time, unit="cm"),
            "pitch": signal(behavior["pitch"].to_numpy(), time, unit="cm/s"),
            "cue": signal(behavior.iloc[:, list(behavior).index("cue")].to_numpy(float), time),
        },
        intervals={"trials": intervals(trials)},
    )


@cache
def made_results():
    """By "bare" and "explained": the result before and after it was explained."""
    recipe = parse_recipe(RECIPE, Path("recipe.toml"))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # of a silent neuron, and of the test trials that reach a little further
        warnings.simplefilter("ignore", pg.PopglmWarning)
        patch.setattr(running, "read", lambda path, *_, **__: recording())
        data = running.grid_of(recipe, running.session_of(recipe))
        matrices = running.build(recipe, data)
        bare = make_result(recipe, data, matrices, running.fit_recipe(recipe, matrices), None)
        return {"bare": bare, "explained": explain_result(recipe, bare)}

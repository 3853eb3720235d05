"""The session and the models of the pictures; each is made once."""

from functools import cache
from types import SimpleNamespace

import numpy as np

import popglm as pg


@cache
def simulated() -> SimpleNamespace:
    """A session of the virtual-maze task, its design, a cross-validated model and what it explains."""
    session = pg.maze_session(n_samples=4_000, n_neurons=30, n_task_variables=2)
    behavior, activity = session.behavior, session.activity
    design = pg.maze_design(2)
    X = design.fit_transform(behavior)
    model = pg.GLMCV(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -3.5, 8), cv=4)
    model.fit(X, activity, groups=behavior["trial"])
    position = pg.bins(behavior["position"], np.linspace(10, 250, 20), 12.6, unit="cm")
    variables = {"position": "position", "cue": "* × cue", "running": ["pitch", "roll", "yaw"]}
    best = activity.columns[np.argsort(-model.cv_deviance_explained_)[:4]].tolist()
    return SimpleNamespace(
        behavior=behavior, activity=activity, design=design, X=X, model=model, position=position, best=best,
        units={"position": "cm", "time_from_choice": "s"},
        kernels=pg.kernels(model, design, units={"position": "cm"}),
        breakdown=pg.breakdown(model, X, activity, variables, by=position),
        comparison=pg.compare(model, X, activity, variables),
        scores=model.evaluate(X, activity), dt=float(behavior["time"].diff().median()),
    )  # fmt: skip

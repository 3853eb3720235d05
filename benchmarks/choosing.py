"""Ways to choose groups: CPU time, groups with weights, deviance of trials never fitted.

    python benchmarks/choosing.py --samples 6000 --neurons 20

Simulates a session in a virtual maze. A group lasso, concave penalties, a relaxed fit and adaptive factors have as many
strengths and the same folds of whole trials.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd

import popglm as pg

KINDS = {
    "group lasso": {},
    "group MCP": {"penalty": "group_mcp"},
    "group SCAD": {"penalty": "group_scad"},
    "relaxed": {"relaxed": True},
    "adaptive": {"penalty_factors": pg.AdaptiveFactors()},
    "adaptive, ridge first": {"penalty_factors": pg.AdaptiveFactors(first="ridge")},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--neurons", type=int, default=20)
    parser.add_argument("--variables", type=int, default=3)
    given = parser.parse_args()
    session = pg.maze_session(
        n_samples=given.samples, n_neurons=given.neurons, n_task_variables=given.variables, seed=0
    )
    trial = session.behavior["trial"].to_numpy()
    train = trial % 4 != 0
    design = pg.maze_design(given.variables)
    X, Y = design.fit_transform(session.behavior[train]), session.activity[train]
    X_test, Y_test = design.transform(session.behavior[~train]), session.activity[~train]
    sizes = X.columns.get_level_values(0)
    starts = np.flatnonzero(np.r_[True, sizes[1:] != sizes[:-1]])
    rows = {}
    # kernels are compiled before anything is timed
    pg.GLMCV(penalty="group_lasso", n_lambdas=3, cv=3, relaxed=True).fit(X[:600], Y[:600])
    for name, more in KINDS.items():
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = pg.GLMCV(**{"penalty": "group_lasso", "n_lambdas": 12, "cv": 5, "tol": 1e-3} | more)
            model.fit(X, Y, groups=trial[train])
        chosen = np.logical_or.reduceat(model.coef_ != 0, starts, axis=1).sum(axis=1)
        rows[name] = {
            "CPU seconds": time.process_time() - began,
            f"groups of {len(starts)}": chosen.mean(),
            "held-out deviance explained": model.cv_deviance_explained_.mean(),
            "new deviance explained": model.evaluate(X_test, Y_test)["deviance_explained"].mean(),
        }
    print(f"{X.shape[0]:,} samples, {X.shape[1]} columns, {given.neurons} neurons")
    print(pd.DataFrame(rows).T.round(4).to_string())


if __name__ == "__main__":
    main()

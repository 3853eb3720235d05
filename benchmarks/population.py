"""The tutorial-size Poisson group lasso by popglm, beside adelie's loop over neurons.

Run in popglm's environment::

    python benchmarks/population.py write problem.npz
    python benchmarks/population.py compare problem.npz adelie.npz

`write` simulates the session (27,396 × 318, 100 neurons, 11 strengths). `compare`, after `adelie_loop.py` has made
`adelie.npz` from the same file, fits all neurons with five folds by trial, and prints seconds by phase, evaluations
per strength, peak memory, the ratio of times, and how far the objectives lie apart.
"""

import argparse
import resource
from time import perf_counter

import numpy as np
from adelie_objective import poisson_group_lasso_objective

import popglm as pg

LAMBDAS = 10.0 ** np.linspace(-1, -6, 11)


def write(path: str) -> None:
    """Simulate, and save arrays that adelie's environment can read."""
    session = pg.maze_session()
    X = pg.maze_design().fit_transform(session.behavior)
    sizes = X.columns.get_level_values("group").value_counts(sort=False)
    trial = session.behavior["trial"].to_numpy()
    np.savez(path, X=X, Y=session.activity, sizes=sizes, lambdas=LAMBDAS, trial=trial)


def compare(problem: str, peer: str) -> None:
    """Fit with popglm and print both sides."""
    data, adelie = np.load(problem), np.load(peer)
    X, Y, sizes, lambdas = data["X"], data["Y"], data["sizes"], data["lambdas"]
    settings = {"penalty": "group_lasso", "feature_groups": sizes.tolist()}
    # compiles the block descent, which adelie's wheel brings compiled
    pg.GLM(lambdas=lambdas[:2], **settings).fit(X[:600], Y[:600, :3])
    began = perf_counter()
    model = pg.GLMCV(lambdas=lambdas, cv=5, **settings).fit(X, Y, groups=data["trial"])
    seconds = perf_counter() - began
    loop = np.median(adelie["seconds"]) * Y.shape[1] * 5
    print(f"popglm {seconds:.1f} s; adelie loop {loop:.0f} s (5 full-data equivalents); ratio {loop / seconds:.1f}")
    print("seconds by phase:", {name: round(value, 1) for name, value in model.timings_.items()})
    print(f"evaluations per strength: all rows {model.n_iter_.mean():.1f}, folds {model.cv_n_iter_.mean():.1f}")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    wide = X.astype(float)
    unit = model.evaluate(X, Y)["null_deviance"].to_numpy() / (2 * len(X))
    for j in range(len(adelie["seconds"])):
        mine = poisson_group_lasso_objective(
            wide,
            Y[:, j].astype(float),
            sizes,
            lambdas,
            model.intercept_path_[:, j],
            model.coef_path_[:, j].astype(float),
        )
        excess = (mine - adelie["objective"][:, j]) / unit[j]
        print(f"neuron {j}: (popglm − adelie) / half null deviance from {excess.min():.1e} to {excess.max():.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["write", "compare"])
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    {"write": write, "compare": compare}[options.task](*options.files)

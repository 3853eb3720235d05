"""Model comparison: re-fits from the full model's path beside fits from scratch, on the tutorial-size session.

Run in popglm's environment::

    python benchmarks/comparison.py [--neurons 100] [--samples 27396] [--penalty group_lasso] [--together]

With ``--together`` it prints how long one call for all variables takes, by the clock and of CPU time, over the full
fit. Otherwise, for every variable, it prints the seconds of the re-fit inside `popglm.compare`, with strengths selected
again and with those of the full model; of a fresh `GLMCV` (held-out fits alone, no fit to all rows, the whole path) on
the same columns; the ratios; and for either re-fit the largest difference over neurons of the fraction of null deviance
to the fresh one.
"""

import argparse
from fnmatch import fnmatchcase
from time import perf_counter, process_time

import numpy as np
import pandas as pd

import popglm as pg
from popglm.simulated_maze import TASK_VARIABLES, VELOCITIES

LAMBDAS = 10.0 ** np.linspace(-1, -6, 11)
VARIABLES = {
    "position and time": ["position", "time_from_choice"],
    **{name: f"* × {name}" for name in TASK_VARIABLES[:8]},
    **{name: name for name in VELOCITIES},
}


def main(n_samples: int, n_neurons: int, penalty: str, together: bool) -> None:
    """Fit, compare, fit again from scratch, print."""
    session = pg.maze_session(n_samples, n_neurons)
    X = pg.maze_design().fit_transform(session.behavior)
    Y, trial = session.activity, session.behavior["trial"]
    settings = {"penalty": penalty, "lambdas": LAMBDAS}
    # compiles the block descent
    pg.GLM(penalty=penalty, lambdas=LAMBDAS[:2]).fit(X[:600], Y.iloc[:600, :3])
    if together:
        small = pg.GLMCV(**settings).fit(X[:2000], Y.iloc[:2000, :3], groups=trial[:2000])
        pg.compare(small, X[:2000], Y.iloc[:2000, :3], {"position": "position"})
        began = perf_counter(), process_time()
        model = pg.GLMCV(**settings).fit(X, Y, groups=trial)
        fitted = perf_counter(), process_time()
        pg.compare(model, X, Y, VARIABLES)
        ended = perf_counter(), process_time()
        for what, a, b, c in zip(("clock", "CPU"), began, fitted, ended, strict=True):
            print(f"{what}: full fit {b - a:.1f} s, compare {c - b:.1f} s, {(c - b) / (b - a):.2f} ×")
        return
    began = perf_counter()
    model = pg.GLMCV(**settings).fit(X, Y, groups=trial)
    print(f"full model: {perf_counter() - began:.1f} s, of that all rows and 5 folds × {len(LAMBDAS)} strengths")

    rows = []
    group = X.columns.get_level_values("group")
    for name, chosen in VARIABLES.items():
        began = perf_counter()
        result = pg.compare(model, X, Y, {name: chosen})
        warm = perf_counter() - began
        began = perf_counter()
        fixed = pg.compare(model, X, Y, {name: chosen}, reselect=False)
        at_once = perf_counter() - began
        own = [g for g in group.unique() if any(fnmatchcase(g, pattern) for pattern in np.ravel(chosen))]
        began = perf_counter()
        fresh = pg.GLMCV(**settings, refit=False).fit(X.loc[:, ~group.isin(own)], Y, groups=trial)
        cold = perf_counter() - began
        null = fresh.cv_null_deviance_
        scratch = fresh.cv_deviance_[:, fresh.lambda_index_, np.arange(n_neurons)].sum(axis=0) / null
        off, fixed_off = (np.abs(r.reduced_deviance[:, 0].to_numpy() / null - scratch).max() for r in (result, fixed))
        rows.append((name, warm, at_once, cold, cold / warm, cold / at_once, off, fixed_off))
    columns = ["variable", "re-fit (s)", "same strength (s)", "fresh (s)", "ratio", "ratio, same", "off", "off, same"]
    table = pd.DataFrame(rows, columns=columns)
    print(table.round(4).to_string(index=False))
    warm, at_once, cold = table[["re-fit (s)", "same strength (s)", "fresh (s)"]].sum()
    print(f"all: {warm:.0f} and {at_once:.0f} s against {cold:.0f} s, {cold / warm:.1f} and {cold / at_once:.1f} ×")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=27_396)
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--penalty", default="group_lasso")
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    main(options.samples, options.neurons, options.penalty, options.together)

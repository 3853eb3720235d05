"""Time of one cross-validated fit against samples, neurons and columns.

Run in popglm's environment::

    python benchmarks/growth.py [--size reduced]

Poisson group lasso, 11 strengths, 5 folds and refit. Samples and neurons are doubled four times, columns grow about
twofold from step to step. One session is simulated per design; smaller problems are its first samples and neurons.
Writes docs/benchmark_growth.csv and docs/images/benchmark_growth.png. The last column is the exponent of the power law
through a row and the one before it: 1 is linear.
"""

import argparse
import warnings
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from jobs import LAMBDAS, N_FOLDS
from pictures import draw_growth

import popglm as pg

DOCS = Path(__file__).parent.parent / "docs"
# samples, task variables and neurons where they are not varied; where doubling starts; task variables of the columns
SIZES = {
    "tiny": ((1_000, 1, 4), (500, 2), (0, 1)),
    "reduced": ((8_000, 2, 20), (4_000, 10), (0, 1, 3, 6, 12)),
    "headline": ((30_000, 8, 100), (7_500, 25), (0, 1, 3, 8, 17, 29)),
}
N_DOUBLINGS = 4


@lru_cache(maxsize=1)
def simulate(n_samples: int, n_task_variables: int, n_neurons: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Design matrix, activity and trials, for which everything is compiled."""
    session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables)
    X = pg.maze_design(n_task_variables).fit_transform(session.behavior)
    pg.GLMCV(penalty="group_lasso", lambdas=LAMBDAS[::2], cv=2).fit(X[:1000], session.activity.iloc[:1000, :3])
    return X, session.activity, session.behavior["trial"]


def measure(X: pd.DataFrame, Y: pd.DataFrame, trial: pd.Series) -> dict[str, float]:
    """Sizes, seconds, and evaluations of loss and gradient per strength."""
    began = perf_counter()
    model = pg.GLMCV(penalty="group_lasso", lambdas=LAMBDAS, cv=N_FOLDS).fit(X, Y, groups=trial)
    return {
        "samples": X.shape[0],
        "neurons": Y.shape[1],
        "columns": X.shape[1],
        "seconds": perf_counter() - began,
        "evaluations per strength": np.concatenate([model.n_iter_[None], model.cv_n_iter_]).mean(),
    }


def main(size: str) -> None:
    """Three series of fits, a table, a picture."""
    (n, v, q), (first_n, first_q), designs = SIZES[size]
    doubled = 2 ** np.arange(N_DOUBLINGS + 1)
    series = {
        "samples": [(int(n_now), v, q) for n_now in first_n * doubled],
        "neurons": [(n, v, int(q_now)) for q_now in first_q * doubled],
        "columns": [(n, v_now, q) for v_now in designs],
    }
    rows = []
    for varied, cases in series.items():
        longest, most = max(n_now for n_now, _, _ in cases), max(q_now for _, _, q_now in cases)
        for n_now, v_now, q_now in cases:
            X, Y, trial = simulate(longest, v_now, most)
            rows.append({"varied": varied, **measure(X.iloc[:n_now], Y.iloc[:n_now, :q_now], trial.iloc[:n_now])})
            print(", ".join(f"{name} {value:.4g}" for name, value in list(rows[-1].items())[1:]), flush=True)
    table = pd.DataFrame(rows)
    table["exponent"] = np.nan
    for varied, part in table.groupby("varied", sort=False):
        slope = np.diff(np.log(part["seconds"])) / np.diff(np.log(part[varied]))
        table.loc[part.index[1:], "exponent"] = slope
    print(table.round(2).to_string(index=False))
    if size == "tiny":
        return
    draw_growth(table, DOCS / "images" / "benchmark_growth.png")
    table["seconds"] = table["seconds"].map("{:.3g}".format)
    table = table.round({"evaluations per strength": 1, "exponent": 2})
    table.rename(columns=str.capitalize).to_csv(DOCS / "benchmark_growth.csv", index=False)


if __name__ == "__main__":
    # at the weakest penalties of short sessions neurons may be named; the table is about time
    warnings.simplefilter("ignore", pg.PopglmWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="reduced", help="tiny writes nothing")
    main(parser.parse_args().size)

"""Certificates beside the true distance from the minimum, for simulated sessions from long to far too short.

Run in popglm's environment::

    python benchmarks/certificates.py [--jobs poisson-group-lasso ...] [--sessions 27396x8x16 ...]
    python benchmarks/certificates.py --schedule device [--engine torch]

Fits at default settings are compared with float64 fits to tol 1e-7 (1e-8 for the Poisson group lasso), both by the
objective that all libraries are held to. Prints, and writes to docs/benchmark_certificates.csv: evaluations per
strength, the largest certificate and true excess, in units of half the mean null deviance, and the largest ratio of the
two over strengths and neurons, with 2e-6 of float32 rounding taken off the excess. A session is samples × task
variables × neurons. The table is that of fits on the host; with another schedule or engine it is printed alone.
"""

import argparse
import warnings
from pathlib import Path

import pandas as pd
from jobs import JOBS, LAMBDAS
from objectives import half_null_deviance, objective

import popglm as pg

TABLE = Path(__file__).parent.parent / "docs" / "benchmark_certificates.csv"
SESSIONS = ("27396x8x16", "8000x8x40", "8000x2x40", "6000x1x40", "1000x1x40")
POISSON = ("poisson-group-lasso", "poisson-lasso", "poisson-elastic-net", "poisson-ridge")


def compare(name: str, n_samples: int, n_task_variables: int, n_neurons: int, where: dict) -> dict[str, object]:
    """Fit twice, the first time with the settings ``where``; one row of the table."""
    job = JOBS[name]
    session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables)
    X = pg.maze_design(n_task_variables).fit_transform(session.behavior)
    Y = session.activity.to_numpy(float)
    if job.family == "bernoulli":
        Y = (Y > 0).astype(float)
    sizes = X.columns.get_level_values("group").value_counts(sort=False).to_numpy()
    settings = {"family": job.family, "penalty": job.penalty, "lambdas": LAMBDAS}
    if job.penalty == "elastic_net":
        settings["l1_ratio"] = 0.5
    tol = 1e-8 if name == POISSON[0] else 1e-7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        fast = pg.GLM(**settings, **where).fit(X, Y)
        exact = pg.GLM(**settings, precision="float64", tol=tol, max_iter=2000).fit(X, Y)
    problem = X.to_numpy(), Y, job.family, job.penalty, sizes, LAMBDAS
    found, lowest = (objective(*problem, fit.intercept_path_, fit.coef_path_) for fit in (fast, exact))
    excess = (found - lowest) / half_null_deviance(Y, job.family)
    ratio = (excess - 2e-6) / fast.gap_.clip(1e-7)
    return {
        "job": job.title,
        "samples": n_samples,
        "columns": X.shape[1],
        "neurons": n_neurons,
        "evaluations per strength": round(fast.n_iter_.mean(), 1),
        "exact to": f"{exact.gap_.max():.0e}",
        "largest certificate": f"{fast.gap_.max():.0e}",
        "largest excess": f"{excess.max():.1e}",
        "excess over certificate": round(max(ratio.max(), 0), 2),
        "share above 1 (%)": round(100 * (ratio > 1).mean(), 2),
    }


def main(jobs: list[str], sessions: list[str], where: dict[str, str]) -> None:
    """The table, printed, and written where it is that of the host."""
    rows = []
    for name in jobs:
        for session in sessions:
            rows.append(compare(name, *map(int, session.split("x")), where))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if set(where.values()) <= {"auto", "numpy"}:
        table = pd.DataFrame(rows)
        table.rename(columns=str.capitalize).to_csv(TABLE, index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name, job in JOBS.items() if job.family != "gaussian" and not job.one_neuron]
    parser.add_argument("--jobs", nargs="+", choices=names, default=[*POISSON, "bernoulli-group-lasso"])
    parser.add_argument("--sessions", nargs="+", default=SESSIONS)
    parser.add_argument("--schedule", choices=["auto", "device"], default="auto")
    parser.add_argument("--engine", choices=["numpy", "torch", "jax", "tensorflow"], default="numpy")
    options = parser.parse_args()
    main(options.jobs, options.sessions, {"schedule": options.schedule, "engine": options.engine})

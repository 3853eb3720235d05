"""Where the time of one fit goes, and how near its matrix products are to what the machine can do.

Run in popglm's environment::

    python benchmarks/phases.py [--size reduced]

Poisson group lasso, 11 strengths, 5 folds and refit. Prints and writes docs/benchmark_phases.csv: seconds by phase
(``GLMCV.timings_``), evaluations of loss and gradient per strength, and rates in GFLOP/s of the pair of products WXᵀ
and RX in float32: by the BLAS with all its threads on whole arrays; chunk by chunk in worker threads, as the solver
calls them; and inside the solver's evaluations, which hold the elementwise pass as well.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from jobs import LAMBDAS, N_FOLDS, SIZES

import popglm as pg
from popglm.engines import NumpyEngine

DOCS = Path(__file__).parent.parent / "docs"
FLOPS = 4  # per sample, column and neuron: a multiplication and an addition in either product


def best_seconds(work, repeats: int = 5) -> float:
    """The fastest of a few calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        began = perf_counter()
        work()
        seconds.append(perf_counter() - began)
    return min(seconds)


def product_rates(X: np.ndarray, q: int) -> dict[str, float]:
    """GFLOP/s of both products with all neurons."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((q, X.shape[1])).astype(np.float32)
    R = rng.standard_normal((q, len(X))).astype(np.float32)
    engine = NumpyEngine()

    def whole() -> None:
        W @ X.T
        R @ X

    def chunk(first: int, last: int) -> None:
        W @ X[first:last].T
        R[:, first:last] @ X[first:last]

    flops = FLOPS * X.size * q / 1e9
    rates = {"products of whole arrays (GFLOP/s)": flops / best_seconds(whole)}
    chunks = engine.row_chunks(len(X))
    with engine.session():
        rates["products of chunks (GFLOP/s)"] = flops / best_seconds(lambda: engine.map(chunk, chunks))
    return rates


def main(size_name: str) -> None:
    """One fit, its phases, the rates."""
    size = SIZES[size_name]
    session = pg.maze_session(size.n_samples, size.n_neurons, n_task_variables=size.n_task_variables)
    X = pg.maze_design(size.n_task_variables).fit_transform(session.behavior)
    Y, trial = session.activity, session.behavior["trial"]
    settings = {"penalty": "group_lasso"}
    # compiles
    pg.GLMCV(lambdas=LAMBDAS[::2], cv=2, **settings).fit(X[:1000], Y.iloc[:1000, :3])
    model = pg.GLMCV(lambdas=LAMBDAS, cv=N_FOLDS, **settings).fit(X, Y, groups=trial)

    rows = {f"{phase} (s)": seconds for phase, seconds in model.timings_.items()}
    rows["evaluations per strength, all rows"] = model.n_iter_.mean()
    rows["evaluations per strength, folds"] = model.cv_n_iter_.mean()
    rates = product_rates(np.ascontiguousarray(X.to_numpy()), size.n_neurons)
    training = [(model.fold_ != fold).sum() for fold in range(N_FOLDS)]
    passes = len(X) * model.n_iter_.sum() + training @ model.cv_n_iter_.sum(axis=(1, 2))
    flops = FLOPS * X.shape[1] * passes / 1e9
    rows |= rates
    rows["products within evaluations (GFLOP/s)"] = flops / model.timings_["evaluate"]
    best = max(rates.values())
    rows["time of the fit if it were products alone (s)"] = flops / best
    rows["share of the fit (%)"] = 100 * flops / best / model.timings_["total"]
    table = pd.Series(rows).map("{:.3g}".format).rename_axis("What").rename("Value").reset_index()
    print(f"{len(X):,} × {X.shape[1]:,}, {size.n_neurons} neurons")
    print(table.to_string(index=False))
    if size_name != "tiny":
        table.insert(0, "Size", size_name)
        path = DOCS / "benchmark_phases.csv"
        if path.exists():
            earlier = pd.read_csv(path, dtype=str)
            table = pd.concat([earlier[earlier["Size"] != size_name], table])
        table.to_csv(path, index=False)


if __name__ == "__main__":
    warnings.simplefilter("ignore", pg.PopglmWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="reduced", help="tiny writes nothing")
    main(parser.parse_args().size)

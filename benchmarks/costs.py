"""What fits cost: the measurements behind popglm's model of it, its coefficients, and how well it predicts others.

Run in popglm's environment, on an idle machine::

    python benchmarks/costs.py measure          # fits of known and of unseen shapes, about ten minutes
    python benchmarks/costs.py fit              # the constants of src/popglm/analysis/cost.py, from the known shapes
    python benchmarks/costs.py predict          # the unseen shapes by the model as it stands in popglm
    python benchmarks/costs.py large            # 10^6 neurons, samples and 10^4 columns on clusters

``measure`` writes docs/benchmark_costs.csv, ``predict`` docs/benchmark_costs_predicted.csv, and ``large``
docs/costs_large.csv. Fits are of simulated maze sessions. Coefficients minimise squared relative errors, and none is
negative. Times are seconds of CPU, which other processes disturb less than those of a clock.
"""

import argparse
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls

import popglm as pg
from popglm.analysis.cost import PARTS, FitShape, Rates, cpu_seconds, units_of_cost
from popglm.scale.division import Cluster, divide

DOCS = Path(__file__).parent.parent / "docs"
MEASURED, PREDICTED = DOCS / "benchmark_costs.csv", DOCS / "benchmark_costs_predicted.csv"
LARGE_PREDICTED = DOCS / "costs_large.csv"
POISSON, GAUSSIAN = ("poisson", "group_lasso"), ("gaussian", "group_lasso")
# samples, task variables, neurons; family, penalty; folds, strengths
KNOWN = [
    *((n, v, q, *POISSON, 5, 11) for n, v, q in [
        (4_000, 2, 20), (16_000, 2, 20), (8_000, 6, 20), (8_000, 12, 20), (8_000, 2, 80), (60_000, 1, 20),
        (40_000, 6, 12), (4_000, 12, 12), (4_000, 4, 100), (30_000, 10, 15), (2_000, 8, 40), (12_000, 4, 150),
        (16_000, 17, 20), (30_000, 29, 100),
    ]),
    (12_000, 5, 30, *POISSON, 3, 6),
    *((n, v, q, "poisson", "lasso", 5, 11) for n, v, q in [(8_000, 4, 40), (30_000, 2, 30)]),
    *((n, v, q, "poisson", "ridge", 5, 11) for n, v, q in [(8_000, 4, 40), (4_000, 8, 30), (40_000, 2, 30)]),
    (8_000, 4, 40, "poisson", "elastic_net", 5, 11),
    *((n, v, q, "bernoulli", "group_lasso", 5, 11) for n, v, q in [(8_000, 4, 40), (8_000, 10, 15)]),
    *((n, v, q, *GAUSSIAN, 5, 11) for n, v, q in [
        (8_000, 4, 40), (16_000, 8, 40), (8_000, 2, 200), (40_000, 4, 60), (8_000, 15, 30),
    ]),
    (16_000, 8, 40, "gaussian", "lasso", 5, 11), (20_000, 8, 100, "gaussian", "ridge", 5, 11),
    (8_000, 4, 20, "gamma", "group_lasso", 5, 11), (8_000, 2, 12, "negative_binomial", "group_lasso", 5, 11),
]  # fmt: skip
UNSEEN = [
    (27_396, 8, 100, *POISSON, 5, 11), (30_000, 3, 60, *POISSON, 5, 11), (6_000, 7, 50, *POISSON, 4, 15),
    (20_000, 20, 50, *POISSON, 5, 11), (20_000, 5, 24, *POISSON, 10, 8), (20_000, 8, 30, "poisson", "lasso", 5, 11),
    (20_000, 8, 30, "poisson", "ridge", 5, 11), (20_000, 3, 40, "bernoulli", "group_lasso", 5, 11),
    (24_000, 6, 80, *GAUSSIAN, 5, 11),
]  # fmt: skip
LARGE = FitShape(n_samples=10**6, n_features=10**4, n_neurons=10**6, n_strengths=20, n_fits=6)
RECORDINGS = (1, 1_000)
CLUSTERS = {
    f"{nodes:,} nodes, 64 cores, {gigabytes} GB": Cluster(nodes, 64, gigabytes * 1e9)
    for nodes, gigabytes in product((10, 100, 1_000), (128, 512))
}


def arrays(n: int, v: int, q: int, family: str) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
    """Design matrix, activity and trials of a simulated session."""
    session = pg.maze_session(n, q, n_task_variables=v)
    Y = session.activity.to_numpy().astype(float)
    if family == "gaussian":
        Y = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    elif family == "bernoulli":
        Y = (Y > 0).astype(float)
    elif family == "gamma":
        Y = np.where(Y > 0, Y, np.mean(Y)) + 0.1
    return pg.maze_design(v).fit_transform(session.behavior), Y, session.behavior["trial"]


def measure_fit(n: int, v: int, q: int, family: str, penalty: str, folds: int, strengths: int) -> dict[str, object]:
    """A fit: its shape, seconds of CPU, evaluations of a problem per strength."""
    X, Y, trial = arrays(n, v, q, family)
    model = pg.GLMCV(family, penalty=penalty, lambdas=10.0 ** np.linspace(-1, -4, strengths), cv=folds)
    # what a first fit of a process compiles is no cost of a fit
    pg.GLMCV(family, penalty=penalty, n_lambdas=3, cv=2).fit(X[:1000], Y[:1000, :3], groups=trial[:1000])
    began, clock = time.process_time(), time.perf_counter()
    model.fit(X, Y, groups=trial)
    seconds, elapsed = time.process_time() - began, time.perf_counter() - clock
    per_problem = (model.n_iter_.sum() + model.cv_n_iter_.sum()) / (q * strengths * (folds + 1))
    return {
        "samples": n, "columns": X.shape[1], "neurons": q, "family": family, "penalty": penalty, "folds": folds,
        "strengths": strengths, "evaluations": per_problem, "cpu_seconds": seconds, "seconds": elapsed,
    }  # fmt: skip


def measure() -> None:
    """All fits, and how fast this machine is."""
    rows = []
    for kind, jobs in (("known", KNOWN), ("unseen", UNSEEN)):
        for job in jobs:
            rows.append({"kind": kind, **measure_fit(*job)})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    for name, rate in vars(Rates.here()).items():
        table[name] = f"{rate:.3g}"
    table.to_csv(MEASURED, index=False, float_format="%.4g")


def shapes_of(table: pd.DataFrame) -> list[FitShape]:
    """The shapes of measured fits."""
    return [
        FitShape(row.samples, row.columns, row.neurons, row.strengths, row.folds + 1, row.family, row.penalty)
        for row in table.itertuples()
    ]


def fit() -> None:
    """The constants: seconds of the parts, and the power law of evaluations."""
    table = pd.read_csv(MEASURED).query("kind == 'known'")
    table = table.assign(shape=shapes_of(table))
    for name, own in (("SECONDS", table.query("family in ['poisson', 'bernoulli']")),
                      ("SECONDS_GAUSSIAN", table.query("family == 'gaussian'"))):  # fmt: skip
        units = np.array([units_of_cost(*pair) for pair in zip(own["shape"], own["evaluations"], strict=True)])
        seconds = own["cpu_seconds"].to_numpy()
        # a product takes what it takes: its rate is measured by itself
        products = units[:, 0] / own["products"].to_numpy()
        kept = np.array([1, 2, 3, 4] if name == "SECONDS" else [2, 4])
        found = nnls(units[:, kept] / seconds[:, None], 1 - products / seconds)[0]
        print(name, dict(zip(np.array(PARTS)[kept], found, strict=True)))
    law = table.query("family == 'poisson' and penalty == 'group_lasso'")
    logs = np.log(law[["columns", "samples", "strengths"]].to_numpy(float))
    found = np.linalg.lstsq(np.column_stack([np.ones(len(law)), logs]), np.log(law["evaluations"]), rcond=None)[0]
    print("EVALUATIONS, COLUMNS, SAMPLES, STRENGTHS", np.exp(found[0]), *found[1:])
    ratio = table["evaluations"] / [np.exp(found[0]) * s.n_features ** found[1] * s.n_samples ** found[2]
                                    * s.n_strengths ** found[3] for s in table["shape"]]  # fmt: skip
    print(ratio.groupby([table["family"], table["penalty"]]).median())


def predict() -> None:
    """Predicted over measured seconds of CPU of the unseen fits, with their evaluations known and not."""
    table = pd.read_csv(MEASURED).query("kind == 'unseen'")
    shapes = shapes_of(table)
    known = [cpu_seconds(*pair) for pair in zip(shapes, table["evaluations"], strict=True)]
    unknown = [cpu_seconds(shape) for shape in shapes]
    named = table[["samples", "columns", "neurons", "family", "penalty", "folds", "strengths"]].assign(
        measured=table["cpu_seconds"], predicted=np.round(known, 2), ratio=np.round(known / table["cpu_seconds"], 2),
        from_shape=np.round(unknown / table["cpu_seconds"], 2),
    )  # fmt: skip
    named.to_csv(PREDICTED, index=False)
    print(named.to_string())


def large() -> None:
    """What a job takes that no machine here can run."""
    rows = []
    for (name, cluster), n in product(CLUSTERS.items(), RECORDINGS):
        try:
            found = divide(dict.fromkeys(map(str, range(n)), LARGE.of_neurons(LARGE.n_neurons // n)), cluster)
        except MemoryError as error:
            print(name, n, error)
            continue
        rows.append({
            "cluster": name, "recordings": n, "days": round(found.seconds / 86_400, 2), "divided_over": found.over,
            "tasks": found.n_tasks, "neurons_per_task": found.neurons_per_task,
            "nodes_per_task": found.nodes_per_task, "longest_part": found.bottleneck,
            "share": round(found.parts[found.bottleneck] / found.seconds, 2), "rows_per_chunk": found.rows_per_chunk,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(LARGE_PREDICTED, index=False)
    print(table.to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "fit", "predict", "large"])
    warnings.simplefilter("ignore")
    {"measure": measure, "fit": fit, "predict": predict, "large": large}[parser.parse_args().what]()

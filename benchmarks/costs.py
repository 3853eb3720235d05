"""What fits cost: the measurements behind popglm's model of it, its coefficients, and how well it predicts others.

Run in popglm's environment, on an idle machine::

    python benchmarks/costs.py measure          # fits of known and of unseen shapes, about ten minutes
    python benchmarks/costs.py fit              # the constants of src/popglm/analysis/cost.py, from the known shapes
    python benchmarks/costs.py predict          # the unseen shapes by the model as it stands in popglm
    python benchmarks/costs.py pilot            # whole fits of recordings beside what a plan says of them
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
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.optimize import nnls

import popglm as pg
from popglm.analysis.cost import PARTS, FitShape, Rates, cpu_seconds, units_of_cost
from popglm.analysis.recipe import read_recipe
from popglm.analysis.running import build, fit_recipe, grid_of, session_of
from popglm.engines.threads import at_most_threads
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
    (8_000, 4, 20, "inverse_gaussian", "group_lasso", 5, 11), (8_000, 4, 20, "tweedie", "group_lasso", 5, 11),
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
    f"{nodes:,} nodes of {gigabytes} GB": Cluster(nodes, 64, gigabytes * 1e9)
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
    elif family in ("gamma", "inverse_gaussian"):
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
    named = table[["samples", "columns", "neurons"]].assign(
        model=table["family"] + " " + table["penalty"].str.replace("_", " "), measured=table["cpu_seconds"],
        predicted=np.round(known, 2), ratio=np.round(known / table["cpu_seconds"], 2),
        shape=np.round(unknown / table["cpu_seconds"], 2),
    )  # fmt: skip
    named.to_csv(PREDICTED, index=False)
    print(named.to_string())


RECIPE = """\
trials.source = "trial"
[data]
path = "session.npz"
format = "arrays"
options = {{activity = "spikes", signals = ["position", "cue", "speed", "lick", "trial"], rate = 15}}
[[terms]]
basis = "bumps"
variable = "position"
n = 20
low = 0
high = 250
times = [{{basis = "categories", variable = "cue"}}]
[[terms]]
basis = "splines"
variable = "speed"
n = 8
[[terms]]
basis = "kernel"
variable = "lick"
of = {{basis = "bumps", n = 8, low = 0, high = 1.0}}
[model]
penalty = "{penalty}"
n_lambdas = 11
"""


def write_session(path: Path, n: int, q: int) -> None:
    """Spikes that follow place and cue, speed, and licks."""
    rng = np.random.default_rng(n + q)
    position, trial = np.arange(n) * 1.7 % 250, np.arange(n) // 150
    cue, lick = trial % 3, (rng.random(n) < 0.05).astype(float)
    speed = np.convolve(rng.normal(size=n), np.ones(20) / 6, "same")
    place = np.exp(-0.5 * ((position[:, None] - rng.uniform(0, 250, q)) / 15) ** 2)
    place *= cue[:, None] == rng.integers(0, 3, q)
    gains = rng.normal(size=(2, q)) * [[0.3], [0.5]]
    rate = np.exp(-1.5 + 1.5 * place + speed[:, None] * gains[0] + np.roll(lick, 4)[:, None] * gains[1])
    np.savez(path, spikes=rng.poisson(rate), position=position, cue=cue, speed=speed, lick=lick, trial=trial)


def pilot() -> None:
    """Seconds of CPU of whole fits with one thread, over what a pilot fit of 48 neurons says of them."""
    rows = []
    for n, q, penalty in ((16_000, 220, "group_lasso"), (6_000, 400, "group_lasso"), (16_000, 220, "ridge")):
        with TemporaryDirectory() as folder:
            recording, recipe = Path(folder) / "session.npz", Path(folder) / "recipe.toml"
            write_session(recording, n, q)
            recipe.write_text(RECIPE.format(penalty=penalty))
            found = pg.plan([recording], recipe, Cluster(cores=1))
            own = read_recipe(recipe)
            matrices = build(own, grid_of(own, session_of(own)))
            with at_most_threads(1):
                began = time.process_time()
                fit_recipe(own, matrices)
                seconds = time.process_time() - began
        predicted = float(found.table["cpu_seconds"].iloc[0])
        rows.append({
            "samples": n, "columns": matrices.X.shape[1], "neurons": q, "penalty": penalty,
            "measured": round(seconds, 2), "predicted": round(predicted, 2), "ratio": round(predicted / seconds, 2),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(DOCS / "benchmark_costs_pilot.csv", index=False)
    print(table.to_string())


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
            "nodes": cluster.nodes, "GB": round(cluster.memory / 1e9), "recordings": n,
            "days": round(found.seconds / 86_400, 2), "divided": found.over, "tasks": found.n_tasks,
            "nodes per task": found.nodes_per_task, "longest": found.bottleneck,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(LARGE_PREDICTED, index=False)
    print(table.to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "fit", "predict", "pilot", "large"])
    warnings.simplefilter("ignore")
    {"measure": measure, "fit": fit, "predict": predict, "pilot": pilot, "large": large}[parser.parse_args().what]()

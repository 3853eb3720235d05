"""Time to certificate of whole jobs on an accelerator, and how near they come to its own rate of matrix products.

Run in popglm's environment, with the libraries of the engines installed::

    python benchmarks/gpu.py [--engine torch jax tensorflow] [--job tutorial headline large] [--device cuda]
                             [--minutes 10] [--results gpu.jsonl]

Poisson group lasso, 11 strengths, 5 folds by trial and refit, all as one batch (`popglm.solve.device`), from arrays on
the host to coefficients and held-out deviance. Every engine runs each job in a process of its own, once to compile and
then ``--repeats`` times; the median is printed. TFLOP/s counts the two matrix products with X of every evaluation and
nothing else, and the share compares them with a plain product of large matrices on the same device in the same
precision. In the end a few neurons are fitted by NumPy on the CPU: where both are certified, neither objective may lie
above the other by more than its certificate.

Every run is a line of ``--results`` as soon as it is over. When the minutes are up, the same command goes on where it
stopped, and checks what was not checked, which needs no accelerator. ``--size tiny --device cpu`` takes the same steps
with small arrays, so that everything but the figures can be tried on a CPU; with ``--compile`` also what PyTorch
compiles on a GPU alone.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, time

import numpy as np
from jobs import LAMBDAS, N_FOLDS

import popglm as pg
from popglm.engines import get_engine
from popglm.solve.passes.samples import FitData
from popglm.solve.population import Settings, fit_population
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

# the libraries tell of peaks of what is used, not of what was set aside
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

ENGINES = ("torch", "jax", "tensorflow")
# samples, task variables (33 (v + 1) + 21 columns), neurons
JOBS = {
    "tutorial": (27_396, 8, 100),
    "headline": (30_000, 29, 250),
    "large": (100_000, 29, 2_500),
}
TINY = {"tutorial": (1_000, 0, 3), "headline": (4_000, 1, 3), "large": (1_500, 0, 5)}
TOL, MAX_ITER = 1e-4, 200
CHECKED = 3
#: Of float32 sums, in units of half the mean null deviance.
ROUNDING = 2e-6
#: What tells one result from another.
KEY = ("job", "engine", "size", "asked_device", "precision", "compile")


def arrays_of(job: str, size: str, folder: Path) -> Path:
    """File with the arrays of a job, simulated once."""
    path = folder / f"{job}.npz"
    if not path.exists():
        n_samples, n_variables, n_neurons = (TINY if size == "tiny" else JOBS)[job]
        session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_variables)
        X = pg.maze_design(n_variables).fit_transform(session.behavior)
        sizes = X.columns.get_level_values("group").value_counts(sort=False).to_numpy()
        fold = session.behavior["trial"].to_numpy() % N_FOLDS
        np.savez(path, X=X.to_numpy(np.float32), Y=session.activity.to_numpy(np.float32), sizes=sizes, fold=fold)
    return path


# in the process of one engine and one job


def fit(engine, arrays):
    """The whole job."""
    X, Y, fold = arrays["X"], arrays["Y"], arrays["fold"]
    settings = Settings(
        get_family("poisson"), Penalty.make("group_lasso", None, 0.0, arrays["sizes"]),
        np.tile(LAMBDAS[:, None], (1, Y.shape[1])), tol=TOL, max_iter=MAX_ITER,
    )  # fmt: skip
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(N_FOLDS)]
    with engine.session():
        found = fit_population(FitData(engine, X, Y, None, None, splits), settings, schedule="device")
        engine.synchronize()
    return found


def product_rate(engine, size: int) -> float:
    """TFLOP/s of a product of square matrices."""
    rng = np.random.default_rng(0)
    A = engine.asarray(rng.standard_normal((size, size)))
    multiply = engine.compile(_product, engine.xp)
    seconds = []
    with engine.session(), engine.fast_products():
        for _ in range(6):
            began = perf_counter()
            engine.to_numpy(multiply(A, A)[:1, :1])
            engine.synchronize()
            seconds.append(perf_counter() - began)
    return 2 * size**3 / min(seconds[1:]) / 1e12


def _product(xp, A, B):
    return xp.matmul(A, B)


def describe(name: str, device: str) -> tuple[str, float]:
    """Name of the device, and the most bytes that were in use on it (0 where the library does not say)."""
    match name:
        case "torch" if device.startswith("cuda"):
            import torch

            return torch.cuda.get_device_name(device), torch.cuda.max_memory_allocated(device)
        case "jax":
            import jax

            found = jax.devices(device.partition(":")[0])[int(device.partition(":")[2] or 0)]
            return found.device_kind, (found.memory_stats() or {}).get("peak_bytes_in_use", 0)
        case "tensorflow" if not device.startswith("cpu"):
            import tensorflow as tf

            number = int(device.partition(":")[2] or 0)
            details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[number])
            return details.get("device_name", device), tf.config.experimental.get_memory_info(f"GPU:{number}")["peak"]
    return device, 0


def measure(options: argparse.Namespace) -> None:
    """Run one job on one engine, and add a line to the results after every run."""
    (name,), (job,) = options.engine, options.job
    with np.load(options.arrays) as file:
        arrays = dict(file)
    (n, p), q = arrays["X"].shape, arrays["Y"].shape[1]
    engine = get_engine(name, options.device, options.precision)
    if name == "torch" and options.compile:
        engine.compiler = "inductor"
    record = key_of(options, job, name) | {
        "shape": [n, p, q], "dtype": str(engine.dtype), "library": sys.modules[name].__version__, "seconds": []
    }  # fmt: skip
    for run in range(1 + options.repeats):
        began = perf_counter()
        found = fit(engine, arrays)
        seconds = perf_counter() - began
        n_iter = np.concatenate([found.n_iter[None], found.cv_n_iter])
        fitted = np.concatenate([found.fittable[None], found.cv_fittable])[:, None]
        gap = np.concatenate([found.gap[None], found.cv_gap])[np.broadcast_to(fitted, n_iter.shape)]
        title, peak = describe(name, engine.device)
        if not run:
            record["rate"] = product_rate(engine, 8192 if engine.is_accelerator else 1024)
            record["peak"] = peak
        record["seconds"].append(seconds)
        record |= {
            "device": title, "phases": found.seconds, "evaluations": float(n_iter.mean()),
            "tflop": 4 * n * p * n_iter.sum() / 1e12, "certified": float((gap <= TOL).mean()),
            "objective": found.objective[:, :CHECKED].tolist(), "gap": found.gap[:, :CHECKED].tolist(),
            "done": run == options.repeats,
        }  # fmt: skip
        add_line(options.results, record)
        if time() + seconds > options.deadline:
            break


# in the process that was started


def key_of(options: argparse.Namespace, job: str, engine: str) -> dict:
    """What tells a result from others."""
    asked = options.size, options.device, options.precision, options.compile
    return dict(zip(KEY, (job, engine, *asked), strict=True))


def add_line(path: Path, record: dict) -> None:
    """Add a result to the file."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_lines(path: Path) -> dict[tuple, dict]:
    """The last result for every key."""
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return {tuple(record[name] for name in KEY): record for record in records}


def start(options: argparse.Namespace, job: str, engine: str, arrays: Path) -> None:
    """Run `measure` in a process of its own, until the minutes are up."""
    command = [
        sys.executable, __file__, "--engine", engine, "--job", job, "--size", options.size,
        "--precision", options.precision, "--repeats", str(options.repeats), "--results", str(options.results),
        "--arrays", str(arrays), "--deadline", str(options.deadline),
        *(["--device", options.device] if options.device else []),
        *(["--compile"] if options.compile else []),
    ]  # fmt: skip
    try:
        left = max(options.deadline - time(), 1)
        process = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        print(f"{job}, {engine}: the minutes are up", flush=True)
        return
    if process.returncode:
        print(f"{job}, {engine}: {(process.stderr.strip().splitlines() or ['ended'])[-1]}", flush=True)


def check(record: dict, arrays: Path, known: dict[str, pg.GLM]) -> dict:
    """Largest difference of the refit's objective to NumPy's, and whether both keep what they certify."""
    with np.load(arrays) as file:
        X, Y, sizes = file["X"], file["Y"][:, :CHECKED].astype(float), file["sizes"]
    if record["job"] not in known:
        model = pg.GLM(penalty="group_lasso", feature_groups=sizes, lambdas=LAMBDAS, tol=TOL, max_iter=MAX_ITER)
        known[record["job"]] = model.fit(X, Y)
    model, loss = known[record["job"]], get_family("poisson")
    unit = loss.saturated(Y.mean(axis=0)) - loss.saturated(Y).mean(axis=0)
    difference = (np.array(record["objective"]) - model.loss_path_) / unit
    within = (difference <= np.array(record["gap"]) + ROUNDING) & (-difference <= model.gap_ + ROUNDING)
    return record | {"difference": float(np.abs(difference).max()), "within": bool(within.all())}


def show(record: dict) -> None:
    """Print a result."""
    n, p, q = record["shape"]
    first, *others = record["seconds"]
    middle = median(others or [first])
    phases = ", ".join(f"{phase} {value:.2f} s" for phase, value in record["phases"].items())
    rate, peak = record["tflop"] / middle, record["peak"]
    print(
        f"{record['job']} ({n:,} × {p:,}, {q:,} neurons), {record['engine']} {record['library']} on "
        f"{record['device']}, {record['precision']}\n"
        f"  time to certificate {middle:.2f} s ({phases}), median of {len(others)} runs\n"
        f"  the first run, with compilation, {first:.1f} s\n"
        f"  {rate:.3f} TFLOP/s in products with X, {100 * rate / record['rate']:.0f}% of {record['rate']:.3f}\n"
        f"  {record['evaluations']:.1f} evaluations per strength; {record['certified']:.1%} certified to {TOL:g}\n"
        f"  peak memory on the device: {f'{peak / 1e9:.2f} GB' if peak else 'not known'}"
    )
    if "within" in record:
        print(
            f"  objective against NumPy on the CPU: {record['difference']:.1e} of half the null deviance at most, "
            f"{'within' if record['within'] else 'NOT within'} the certificates"
        )
    sys.stdout.flush()


def main(options: argparse.Namespace) -> None:
    """Every engine on every job, then the checks."""
    options.deadline = time() + 60 * options.minutes
    wanted = [(job, engine) for engine in options.engine for job in options.job]
    keys = {pair: tuple(key_of(options, *pair).values()) for pair in wanted}
    with TemporaryDirectory() as folder:
        for job, engine in wanted:
            if read_lines(options.results).get(keys[job, engine], {}).get("done") or time() > options.deadline:
                continue
            start(options, job, engine, arrays_of(job, options.size, Path(folder)))
            if keys[job, engine] in read_lines(options.results):
                show(read_lines(options.results)[keys[job, engine]])
        models: dict[str, pg.GLM] = {}
        for job, engine in wanted:
            record = read_lines(options.results).get(keys[job, engine])
            if record is not None and "within" not in record:
                record = check(record, arrays_of(job, options.size, Path(folder)), models)
                add_line(options.results, record)
    print("\nAll results")
    for pair in wanted:
        if keys[pair] in read_lines(options.results):
            show(read_lines(options.results)[keys[pair]])


if __name__ == "__main__":
    # at the weakest penalties of short sessions neurons may be named
    warnings.simplefilter("ignore", pg.PopglmWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", nargs="+", choices=["numpy", *ENGINES], default=list(ENGINES))
    parser.add_argument("--job", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--device", help="cuda, cuda:1, cpu, …; the library's own choice unless given")
    parser.add_argument("--precision", choices=["float32", "tf32", "float64"], default="float32")
    parser.add_argument("--compile", action="store_true", help="PyTorch's compiler on a CPU too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", choices=["tiny", "full"], default="full")
    parser.add_argument("--minutes", type=float, default=10, help="after which no run is begun, and a run is ended")
    parser.add_argument("--results", type=Path, default=Path("gpu.jsonl"))
    parser.add_argument("--arrays", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    main(options) if options.arrays is None else measure(options)

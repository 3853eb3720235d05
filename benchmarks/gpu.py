"""Time to certificate of whole jobs on an accelerator, and how near they come to its own rate of matrix products.

Run in popglm's environment, with the libraries of the engines installed::

    python benchmarks/gpu.py [--engine torch jax tensorflow] [--job tutorial headline large] [--device cuda]

Poisson group lasso, 11 strengths, 5 folds by trial and refit, all as one batch (`popglm.solve.devices`). A job is run
once to compile and then ``--repeats`` times; the median is printed. TFLOP/s counts the two matrix products with X of
every evaluation and nothing else, and the share compares them with a plain product of large matrices on the same
device in the same precision. A few neurons are fitted again with NumPy on the CPU: where both are certified, neither
objective may lie above the other by more than its certificate. ``--size tiny`` takes the same steps with small arrays,
so that everything but the figures can be tried on a CPU, with ``--compile`` also what PyTorch compiles on a GPU alone.
"""

import argparse
import os
import warnings
from statistics import median
from time import perf_counter

import numpy as np
from jobs import LAMBDAS, N_FOLDS

import popglm as pg
from popglm.engines import NumpyEngine, get_engine
from popglm.model.losses import get_loss
from popglm.model.penalties import Penalty
from popglm.solve.coordinates import Coordinates
from popglm.solve.devices import walk_lockstep
from popglm.solve.quadratic import QuadraticModel

# the libraries share the card: none may take its memory when it starts
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

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


class Job:
    """A simulated session, and what the solver is given of it."""

    def __init__(self, n_samples: int, n_task_variables: int, n_neurons: int) -> None:
        session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables)
        X = pg.maze_design(n_task_variables).fit_transform(session.behavior)
        fold = session.behavior["trial"].to_numpy() % N_FOLDS
        self.sizes = X.columns.get_level_values("group").value_counts(sort=False).to_numpy()
        self.X = np.asarray(X, np.float32)
        self.Y = np.ascontiguousarray(session.activity.to_numpy(np.float32).T)
        self.counts = np.stack([np.ones(len(fold)), *(fold != k for k in range(N_FOLDS))])
        self.loss = get_loss("poisson")

    def fit(self, engine, neurons: slice = slice(None)):
        """Paths of the refit and of the folds; the Gram matrix and the rotation are part of the time."""
        host = NumpyEngine("float32")
        penalty = Penalty.make("group_lasso", None, 0.0, self.sizes)
        center = self.X.mean(axis=0, dtype=float)
        X = (self.X - center).astype(np.float32)
        G = (X.T @ X).astype(float) / len(X)
        coordinates = Coordinates.fit(host, center, G, penalty.block_sizes)
        model = QuadraticModel(host, coordinates.rotate_matrix(G), penalty)
        Y = self.Y[neurons]
        lambdas = np.tile(LAMBDAS[:, None], (1, len(Y)))
        with engine.session():
            paths, fittable = walk_lockstep(
                engine, self.loss, model, coordinates.rotate(X), Y, None, None, self.counts, lambdas, TOL, MAX_ITER
            )
            engine.synchronize()
        return paths, fittable

    def excess_over_numpy(self, path) -> tuple[float, bool]:
        """Largest difference of the refit's objective to NumPy's, and whether both keep what they certify."""
        some = slice(0, CHECKED)
        model = pg.GLM(penalty="group_lasso", feature_groups=self.sizes, lambdas=LAMBDAS, tol=TOL, max_iter=MAX_ITER)
        model.fit(self.X, self.Y[some].T.astype(float))
        y = self.Y[some].astype(float)
        mean = y.mean(axis=1)
        unit = self.loss.saturated(mean) - self.loss.saturated(y).mean(axis=1)
        difference = (path.objective[:, some] - model.loss_path_) / unit
        held = (difference <= path.gap[:, some] + ROUNDING) & (-difference <= model.gap_ + ROUNDING)
        return float(np.abs(difference).max()), bool(held.all())


def product_rate(engine, size: int) -> float:
    """TFLOP/s of a product of square matrices."""
    rng = np.random.default_rng(0)
    A = engine.asarray(rng.standard_normal((size, size)))
    multiply = engine.compile(_product, engine.xp)
    seconds = []
    with engine.session():
        for _ in range(6):
            began = perf_counter()
            engine.to_numpy(multiply(A, A)[:1, :1])
            engine.synchronize()
            seconds.append(perf_counter() - began)
    return 2 * size**3 / min(seconds[1:]) / 1e12


def _product(xp, A, B):
    return xp.matmul(A, B)


def describe(name: str, device: str) -> tuple[str, float]:
    """Name of the device, and the most bytes that were allocated on it (0 where the library does not say)."""
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

            details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
            return details.get("device_name", device), tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return device, 0


def main(options: argparse.Namespace) -> None:
    """Every job on every engine."""
    sizes = TINY if options.size == "tiny" else JOBS
    for job_name in options.job:
        job = Job(*sizes[job_name])
        n, p, q = *job.X.shape, len(job.Y)
        for name in options.engine:
            try:
                engine = get_engine(name, options.device, options.precision)
            except (ImportError, ValueError) as error:
                print(f"{name}: {error}")
                continue
            if name == "torch" and options.compile:
                engine.compiler = "inductor"
            rate = product_rate(engine, 8192 if engine.is_accelerator else 1024)
            began = perf_counter()
            paths, fittable = job.fit(engine)
            first, seconds = perf_counter() - began, []
            for _ in range(options.repeats):
                began = perf_counter()
                paths, fittable = job.fit(engine)
                seconds.append(perf_counter() - began)
            n_iter = np.stack([path.n_iter for path in paths])
            gap = np.stack([path.gap for path in paths])[np.broadcast_to(fittable[:, None], n_iter.shape)]
            flops = 4 * n * p * n_iter.sum() / 1e12
            middle = median(seconds)
            title, peak = describe(name, engine.device)
            difference, held = job.excess_over_numpy(paths[0])
            phases = ", ".join(f"{phase} {value:.2f} s" for phase, value in paths[0].seconds.items())
            print(
                f"{job_name} ({n:,} × {p:,}, {q:,} neurons), {name} on {title}, {engine.dtype}\n"
                f"  time to certificate {middle:.2f} s ({phases}); the first time, with compilation, {first:.1f} s\n"
                f"  {flops / middle:.3f} TFLOP/s in products with X, {100 * flops / middle / rate:.0f}% of {rate:.3f}\n"
                f"  {n_iter.mean():.1f} evaluations per strength; {(gap <= TOL).mean():.1%} certified to {TOL:g}\n"
                f"  peak memory on the device: {f'{peak / 1e9:.2f} GB' if peak else 'not known'}\n"
                f"  objective against NumPy on the CPU: {difference:.1e} of half the null deviance at most, "
                f"{'within' if held else 'NOT within'} the certificates",
                flush=True,
            )


if __name__ == "__main__":
    # at the weakest penalties of short sessions neurons may be named
    warnings.simplefilter("ignore", pg.PopglmWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engines = ["torch", "jax", "tensorflow"]
    parser.add_argument("--engine", nargs="+", choices=["numpy", *engines], default=engines)
    parser.add_argument("--job", nargs="+", choices=list(JOBS), default=["tutorial", "headline", "large"])
    parser.add_argument("--device", help="cuda, cuda:1, cpu, …; the library's own choice unless given")
    parser.add_argument("--precision", choices=["float32", "tf32", "float64"], default="float32")
    parser.add_argument("--compile", action="store_true", help="PyTorch's compiler on a CPU too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", choices=["tiny", "full"], default="full")
    main(parser.parse_args())

"""One session whose rows lie on two workers of a Dask cluster, beside the same fit in one process of two threads.

Run in popglm's environment, on Linux::

    python benchmarks/rows_over_workers.py [--size 40000 400 60] [--times 3]

X is a Zarr array, which the workers read by themselves; Poisson group lasso, three folds by trial and refit. Both ways
are timed in turns, in one run, after a fit of each that is not counted. Prints the medians of wall time and of the CPU
time of all processes, their ratios, how far weights and objectives are apart, what one question to the workers takes
beside the work on it, and how much private memory a worker and this process gain beside the share and X.
"""

import argparse
import os
import tempfile
import threading
import warnings
from pathlib import Path
from time import perf_counter, process_time, sleep

os.environ |= {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}

import numpy as np
import zarr
from distributed import Client, LocalCluster

import popglm as pg

GROUP, TRIAL, MB = 10, 100, 2**20
CHUNK = 2_000


def write(path: Path, n: int, p: int, q: int) -> np.ndarray:
    """X on disk, in chunks of rows; returns Y."""
    stored = zarr.open(str(path), mode="w", shape=(n, p), chunks=(CHUNK, p), dtype="float32")
    W = np.zeros((p, q), np.float32)
    for j in range(q):
        W[(np.arange(8) * 7 + j) % p, j] = 0.15
    Y = np.empty((n, q))
    for first in range(0, n, CHUNK):
        rng = np.random.default_rng(first)
        rows = rng.standard_normal((min(CHUNK, n - first), p), np.float32)
        stored[first : first + len(rows)] = rows
        Y[first : first + len(rows)] = rng.poisson(np.exp(rows @ W - 1))
    return Y


def fit(X: object, Y: np.ndarray) -> pg.GLMCV:
    """The model that is timed."""
    p = X.shape[1]
    model = pg.GLMCV(penalty="group_lasso", feature_groups=[GROUP] * (p // GROUP), n_lambdas=8, cv=3)
    return model.fit(X, Y, groups=np.arange(len(Y)) // TRIAL)


def private_memory() -> int:
    """Bytes of private memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Watch:
    """The most private memory of a process while a fit runs."""

    def __enter__(self) -> "Watch":
        self.peak, self.going = private_memory(), True
        self.first, self.thread = self.peak, threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def look(self) -> None:
        """Look every 20 ms."""
        while self.going:
            self.peak = max(self.peak, private_memory())
            sleep(0.02)

    def __exit__(self, *error: object) -> None:
        self.going = False
        self.thread.join()

    @property
    def gain(self) -> float:
        """In MB."""
        return (self.peak - self.first) / MB


def begin_watch(dask_worker: object) -> None:
    """Watch a worker."""
    dask_worker.watch = Watch().__enter__()


def end_watch(dask_worker: object) -> float:
    """What a worker has gained at most, in MB."""
    dask_worker.watch.__exit__()
    return dask_worker.watch.gain


def latency(X: object, times: int = 100) -> float:
    """Milliseconds of a question to all workers that is no work."""
    X.shares.hold()
    # names that no share knows
    given = [([-1],)] * len(X.shares)
    X.shares.ask("drop", given)
    began = perf_counter()
    for _ in range(times):
        X.shares.ask("drop", given)
    X.release()
    return (perf_counter() - began) / times * 1e3


def main() -> None:
    """Time both ways in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, nargs=3, default=[40_000, 400, 60], metavar=("SAMPLES", "FEATURES", "NEURONS")
    )
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    n, p, q = options.size
    warnings.simplefilter("ignore")
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=name
        ) as cluster,
        Client(cluster) as client,
    ):
        path = Path(name) / "X.zarr"
        Y = write(path, n, p, q)
        ways = {
            "one process, 2 threads": lambda: zarr.open(str(path), mode="r")[:],
            "2 workers, 1 thread each": lambda: pg.rows_on_workers(zarr.open(str(path), mode="r"), client),
        }
        models, seconds = {}, {way: [] for way in ways}
        for turn in range(options.times + 1):
            for way in list(ways)[:: 1 if turn % 2 else -1]:
                worked = sum(client.run(process_time).values())
                wall, cpu = perf_counter(), process_time()
                models[way] = fit(ways[way](), Y)
                wall, cpu = perf_counter() - wall, process_time() - cpu
                cpu += sum(client.run(process_time).values()) - worked
                if turn:
                    seconds[way].append((wall, cpu))
                    print(f"  {way}: {wall:.2f} s wall, {cpu:.2f} s CPU", flush=True)
        near, far = (np.array(seconds[way]) for way in ways)
        one, other = (models[way] for way in ways)
        print(f"{n:,} x {p:,} x {q}, {int(one.n_iter_.sum() + one.cv_n_iter_.sum()):,} evaluations of neurons")
        for way, found in zip(ways, (near, far), strict=True):
            print(f"{way:26}{np.median(found[:, 0]):8.2f} s wall{np.median(found[:, 1]):8.2f} s CPU")
        ratio = np.median(far / near, axis=0)
        print(f"ratio, median of pairs: {ratio[0]:.2f} wall, {ratio[1]:.2f} CPU")
        apart = np.abs(one.loss_path_ - other.loss_path_).max(), np.abs(one.coef_path_ - other.coef_path_).max()
        print(
            f"objectives at most {apart[0]:.1e} apart, weights {apart[1]:.1e}; gap at most {np.nanmax(other.gap_):.1e}"
        )
        X = ways["2 workers, 1 thread each"]()
        print(f"a question without work: {latency(X):.2f} ms")
        client.run(begin_watch)
        with Watch() as here:
            fit(X, Y)
        gains = client.run(end_watch).values()
        share = n * p * 4 / 2 / MB
        print(
            f"a worker gained at most {max(gains):.0f} MB with a share of {share:.0f} MB; this process "
            f"{here.gain:.0f} MB, without an X of {2 * share:.0f} MB"
        )


if __name__ == "__main__":
    main()

"""A fit to a design matrix of three times the memory that the process may have.

Run in popglm's environment, on Linux::

    python benchmarks/streaming.py [--cap-mb 600] [--cold] [--classes]

Writes a float32 X of 3 × the cap to a temporary file and fits it in a process of its own, whose ``RLIMIT_DATA`` is the
cap above what Python and the libraries have reserved after a first small fit. All private writable memory counts: Y,
the fit, the blocks of X; pages of the mapped file do not. The same fit in memory is shown to fail under the cap, and is
then timed without a cap on the first third of the rows. Poisson group lasso, three strengths, three folds by trial and
refit.

With ``--cold`` the kernel is told to forget every block after it was read, so that each pass reads the disk; without,
passes after the first come from the page cache as far as the machine has room. With ``--classes`` a classifier is
fitted, to which of three neurons is the most active.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

N_FEATURES, GROUP, N_NEURONS, TRIAL = 1_000, 20, 20, 200
LAMBDAS = [3e-2, 1e-2, 3e-3]
MB = 2**20


class ColdFile:
    """Rows of a file, which the page cache forgets after each read."""

    def __init__(self, path: Path) -> None:
        self.dtype = np.dtype(np.float32)
        self.file = path.open("rb")
        self.row = N_FEATURES * self.dtype.itemsize
        self.shape = (path.stat().st_size // self.row, N_FEATURES)

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, last, _ = rows.indices(self.shape[0])
        place = first * self.row, (last - first) * self.row
        data = np.frombuffer(os.pread(self.file.fileno(), place[1], place[0]), self.dtype)
        os.posix_fadvise(self.file.fileno(), *place, os.POSIX_FADV_DONTNEED)
        return data.reshape(-1, N_FEATURES)


def write(folder: Path, n_samples: int) -> None:
    """X and Y, in pieces."""
    W = np.zeros((N_FEATURES, N_NEURONS), np.float32)
    for j in range(N_NEURONS):
        for g in range(3):
            W[GROUP * (j + g) : GROUP * (j + g + 1), j] = 0.1
    activity = np.empty((n_samples, N_NEURONS), np.float32)
    with (folder / "X.bin").open("wb") as file:
        for first in range(0, n_samples, 10_000):
            rng = np.random.default_rng(first)
            rows = rng.standard_normal((min(10_000, n_samples - first), N_FEATURES), np.float32)
            activity[first : first + len(rows)] = rng.poisson(np.exp(rows @ W - 1.5))
            file.write(rows.tobytes())
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    np.save(folder / "Y.npy", activity)


def fit(folder: Path, way: str, n_samples: int, cap: int, held: int, classes: int) -> dict[str, float]:
    """One fit under the cap (0: none); ``way`` is how X is given, ``held`` the bytes of rows of a stream."""
    import popglm as pg
    from popglm.solve.stream import RowStream

    settings = {"penalty": "group_lasso", "feature_groups": [GROUP] * (N_FEATURES // GROUP), "tol": 1e-3}
    small = np.random.default_rng(0).standard_normal((600, N_FEATURES), np.float32)
    counts = np.random.default_rng(1).poisson(1.0, (600, 2))
    estimator = pg.ClassifierGLMCV if classes else pg.GLMCV
    with warnings.catch_warnings():
        # compiles everything; too small a problem to reach the tolerance
        warnings.simplefilter("ignore")
        estimator(lambdas=LAMBDAS[:1], cv=2, max_iter=2, **settings).fit(small, counts)
    before = status()["RssAnon"]
    if cap:
        limit = status()["VmData"] + cap
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    Y = np.load(folder / "Y.npy")[:n_samples]
    Y = Y[:, :3].argmax(axis=1) if classes else Y
    path = folder / "X.bin"
    if way == "memory":
        X = np.fromfile(path, np.float32, n_samples * N_FEATURES).reshape(-1, N_FEATURES)
    elif way == "cold":
        X = RowStream(ColdFile(path), memory=held)
    else:
        X = RowStream(np.memmap(path, np.float32, "r").reshape(-1, N_FEATURES), memory=held)
    began = perf_counter()
    model = estimator(lambdas=LAMBDAS, cv=3, **settings).fit(X, Y, groups=np.arange(n_samples) // TRIAL)
    return {
        "seconds": perf_counter() - began,
        "libraries": before,
        "evaluations": int(model.n_iter_.max(axis=1).sum() + model.cv_n_iter_.max(axis=2).sum()),
        "deviance explained": float(np.median(model.cv_deviance_explained_)),
    }


def status() -> dict[str, int]:
    """Private memory of this process in bytes: reserved (VmData) and in use (RssAnon)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmData", "RssAnon"))}


def watch(peak: dict[str, int]) -> None:
    """Keep the largest memory in use."""
    while True:
        peak["peak"] = max(peak["peak"], status()["RssAnon"])
        sleep(0.02)


def child(folder: Path, way: str, n_samples: int, cap: int, held: int, classes: int) -> None:
    """Fit and print what came of it, as JSON."""
    peak = {"peak": 0}
    threading.Thread(target=watch, args=(peak,), daemon=True).start()
    try:
        result = fit(folder, way, n_samples, cap, held, classes)
    except MemoryError as error:
        result = {"error": f"MemoryError: {error}"}
    print(json.dumps(result | peak))


def run(folder: Path, way: str, n_samples: int, cap: int, held: int, classes: bool) -> dict[str, float]:
    """`child` in a process of its own."""
    arguments = [sys.executable, __file__, "--child", str(folder), way, *map(str, (n_samples, cap, held, int(classes)))]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main(cap_mb: int, cold: bool, classes: bool) -> None:
    """Write X, fit it three ways, print a table."""
    cap = cap_mb * MB
    n_samples = 3 * cap // (4 * N_FEATURES)
    way = "cold" if cold else "memmap"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = perf_counter()
        write(folder, n_samples)
        print(f"X: {n_samples:,} x {N_FEATURES:,} float32, {3 * cap_mb:,} MB on disk; {N_NEURONS} neurons", end="; ")
        print(f"written in {perf_counter() - began:.0f} s. Cap: {cap_mb:,} MB above the libraries (RLIMIT_DATA).")
        whole = run(folder, "memory", n_samples, cap, 0, classes)
        print(f"in memory, capped: {whole.get('error', 'was fitted: the cap does not bite here')}")
        n_part = n_samples // 3
        fits = {
            (f"streamed ({way}), capped", n_samples): run(folder, way, n_samples, cap, cap // 6, classes),
            ("in memory, no cap", n_part): run(folder, "memory", n_part, 0, 0, classes),
        }
        # peak: memory in use above that of the libraries
        print(f"{'':26}{'samples':>10}{'seconds':>9}{'passes':>8}{'s/100,000 rows':>16}{'peak MB':>12}{'D.E.':>7}")
        for (label, n), result in fits.items():
            if "error" in result:
                raise SystemExit(f"{label}: {result['error']}; raise --cap-mb.")
            each = result["seconds"] / (n / 100_000)
            print(
                f"{label:26}{n:10,}{result['seconds']:9.1f}{result['evaluations']:8}{each:16.2f}"
                f"{(result['peak'] - result['libraries']) / MB:12.0f}{result['deviance explained']:7.3f}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--cap-mb", type=int, default=600, help="memory for arrays, in MB; X is three times this")
        parser.add_argument("--cold", action="store_true", help="read the disk in every pass")
        parser.add_argument("--classes", action="store_true", help="fit a classifier")
        arguments = parser.parse_args()
        main(arguments.cap_mb, arguments.cold, arguments.classes)

"""What keeping a fit in a folder costs: the same fit with and without a checkpoint, in pairs.

Run in popglm's environment, from the repository::

    python benchmarks/checkpoints.py [--size reduced] [--job poisson-group-lasso] [--pairs 7] [--folder FOLDER]

The two take turns in going first. Prints medians of CPU and wall time over the pairs, the ratio as the median of pairs,
the CPU and wall time inside what a checkpoint adds (hashes, states and files) as a share of the fit, which other work
on the machine disturbs less, how many files were written and how large they were, and what a call costs that finds the
fit ended. Fits run on the host, where nothing else goes on while a state is written.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from jobs import JOBS, SIZES, write_arrays

from popglm import GLMCV
from popglm.estimators.base import PopulationGLM
from popglm.io import checkpoints


def timed(model: GLMCV, X: np.ndarray, Y: np.ndarray, fold: np.ndarray, folder: str | None) -> tuple[float, float]:
    """CPU and wall seconds of a fit."""
    began = time.process_time(), time.perf_counter()
    model.fit(X, Y, groups=fold, checkpoint=folder)
    return time.process_time() - began[0], time.perf_counter() - began[1]


def clocked(owner: type, name: str, inside: list[tuple[float, float]]) -> None:
    """Note CPU and wall seconds of every call of a method."""
    method = getattr(owner, name)

    def call(*arguments):
        began = time.process_time(), time.perf_counter()
        try:
            return method(*arguments)
        finally:
            inside.append((time.process_time() - began[0], time.perf_counter() - began[1]))

    setattr(owner, name, call)


def main() -> None:
    """One job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="reduced")
    parser.add_argument("--job", choices=list(JOBS), default="poisson-group-lasso")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--folder", help="where the checkpoints are made; the system's temporary folder unless given")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "arrays.npz"
        write_arrays(JOBS[options.job], SIZES[options.size], path)
        data = dict(np.load(path))
    written: list[int] = []
    write = checkpoints.CheckpointFolder.write

    def counted(self, name, state):
        written.append(checkpoints.size_of(state))
        return write(self, name, state)

    checkpoints.CheckpointFolder.write = counted
    inside: list[tuple[float, float]] = []
    for owner, name in (
        (PopulationGLM, "_about"), (checkpoints.CheckpointFolder, "open"), (checkpoints.CheckpointFolder, "end"),
        (checkpoints.KeptPart, "pause"), (checkpoints.KeptPart, "last"), (checkpoints.KeptPart, "result"),
    ):  # fmt: skip
        clocked(owner, name, inside)
    job = JOBS[options.job]

    def model() -> GLMCV:
        return GLMCV(job.family, penalty=job.penalty, feature_groups=data["sizes"].tolist(), lambdas=data["lambdas"])

    timed(model(), data["X"][:500], data["Y"][:500], data["fold"][:500], None)
    found, shares = [], []
    for pair in range(options.pairs):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            turns = {}
            for kept in (folder, None) if pair % 2 else (None, folder):
                inside.clear()
                turns[kept] = timed(model(), data["X"], data["Y"], data["fold"], kept)
                if kept:
                    shares.append(np.sum(inside, axis=0) / turns[kept])
            again = timed(model(), data["X"], data["Y"], data["fold"], folder)
        found.append((*turns[None], *turns[folder], *again))
        print("  " + ", ".join(f"{seconds:.2f}" for seconds in found[-1]) + " s", flush=True)
    cpu, wall, cpu_kept, wall_kept, cpu_again, _ = np.array(found).T
    print(f"{options.size}/{options.job}, medians of {options.pairs} pairs")
    for name, plain, kept in (("CPU", cpu, cpu_kept), ("wall", wall, wall_kept)):
        ratio = np.median(kept / plain)
        print(f"{name}: {np.median(plain):.2f} s without, {np.median(kept):.2f} s with a checkpoint, ratio {ratio:.3f}")
    cpu, wall = np.median(shares, axis=0)
    print(f"inside what a checkpoint adds: {cpu:.2%} of the CPU time, {wall:.2%} of the wall time")
    sizes = ", ".join(f"{size / 1e6:.3g}" for size in sorted(set(written)))
    print(f"{len(written) / options.pairs:.1f} files a fit, of {sizes} MB")
    print(f"a call that finds the fit ended: {np.median(cpu_again):.2f} s of CPU")


if __name__ == "__main__":
    main()

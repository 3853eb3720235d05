"""Fits that are killed with ``kill -9`` again and again until they end, beside one that is not.

Run in popglm's environment, from the repository::

    python tests/killed.py [--kills 20] [--seed 0] [--at time] [--job poisson] [--samples 4000] [--neurons 20]

Every fit is in a process of its own. With ``--at time`` it is killed at a random moment of the time that it takes as a
whole; with ``round`` or ``write`` it kills itself, in a random round of the walk or inside the writing of a file. Where
a fit ends before it is killed, its bits are compared, and another one begins, until there were as many kills as asked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import popglm.io.files as files
from popglm import GLM, GLMCV, LowRankGLM, SmoothGLM
from popglm.io import checkpoints
from popglm.solve.first_order import FirstOrder
from popglm.solve.walk.walk import Walk

CV = {"cv": 3, "n_lambdas": 6, "tol": 1e-6}
JOBS = {
    "poisson": lambda **more: GLMCV(penalty="group_lasso", **CV, **more),
    "lasso": lambda **more: GLMCV(penalty="lasso", **CV, **more),
    "gaussian": lambda **more: GLMCV("gaussian", penalty="lasso", **CV, **more),
    "negative_binomial": lambda **more: GLMCV("negative_binomial", **CV, **more),
    "device": lambda **more: GLMCV(penalty="group_lasso", schedule="device", **CV, **more),
    "low_rank": lambda **more: LowRankGLM(low_rank=[0, 1, 2], n_lambdas=2, cv=3, **more),
    "smooth": lambda feature_groups, engine: SmoothGLM(feature_groups=feature_groups),
    "adam": lambda **more: GLM(solver=FirstOrder("adam", batch_size=64), n_lambdas=4, max_iter=20, **more),
}


def fit(options: argparse.Namespace, folder: str | None) -> str:
    """The hash of all arrays that the job ends with."""
    rng = np.random.default_rng(7)
    sizes = [4, 4, 1, 3] * options.columns
    X = rng.standard_normal((options.samples, sum(sizes)))
    eta = X @ rng.normal(scale=0.5 / np.sqrt(len(sizes)), size=(sum(sizes), options.neurons))
    Y = rng.poisson(np.exp(np.clip(eta - 1, -9, 3)))
    warnings.simplefilter("ignore")
    model = JOBS[options.job](feature_groups=sizes, engine=options.engine)
    model.fit(X, Y, checkpoint=folder)
    found = hashlib.blake2b()
    for name, value in sorted(vars(model).items()):
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def die() -> None:
    """What ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(call: object, number: int) -> object:
    """The same function, until it is called for the time ``number``."""
    count = [0]

    def counted(*arguments, **more):
        count[0] += 1
        if count[0] == number:
            die()
        return call(*arguments, **more)

    return counted


def child(options: argparse.Namespace, folder: str | None, at: str, number: int) -> str:
    """A fit that keeps a state after every round, or as often as the time allows, and dies where it is told to."""
    if at != "time":
        checkpoints.LEAST_SECONDS, checkpoints.SHARE = 0.0, np.inf
    if at == "round":
        Walk.accept_or_stay = dying(Walk.accept_or_stay, number)
    elif at == "write":
        # before a file is on the disk, before it takes its place, and after
        name = ("fsync", "replace", "chmod")[number % 3]
        setattr(files.os, name, dying(getattr(files.os, name), number))
    return fit(options, folder)


def forked(options: argparse.Namespace, folder: str | None, at: str, number: int) -> str | None:
    """What `child` returns in a process that is forked off; None where it was killed."""
    read, write = os.pipe()
    process = os.fork()
    if not process:
        os.write(write, child(options, folder, at, number).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.read()
    os.waitpid(process, 0)
    return found or None


def started(options: argparse.Namespace, folder: str | None, seconds: float | None) -> tuple[str | None, float]:
    """The same in a new Python that is killed after some seconds; and the time that it took."""
    command = [sys.executable, __file__, "--child", folder or "-", "--least", str(options.least)]
    for name in ("job", "samples", "neurons", "columns", "engine"):
        command += [f"--{name}", str(getattr(options, name))]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        found, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"A fit ended in an error ({process.returncode}).")
    return found.strip(), time.perf_counter() - began


def main(options: argparse.Namespace) -> None:
    """Kill fits until there were enough kills, and compare what the fits end with."""
    rng = np.random.default_rng(options.seed)
    expected, whole = started(options, None, None) if options.at == "time" else (forked(options, None, "", 0), 0.0)
    kills = ended = 0
    while kills < options.kills:
        with tempfile.TemporaryDirectory() as folder:
            found, own = None, 0
            while found is None:
                if options.at == "time":
                    found, _ = started(options, folder, rng.uniform(0, whole) if kills < options.kills else None)
                else:
                    number = int(rng.integers(2, 12)) if kills < options.kills else 10**9
                    found = forked(options, folder, options.at, number)
                own += found is None
                kills += found is None
            ended += 1
            kept = sorted(path.name for path in Path(folder).iterdir())
            print(
                f"a fit ended after {own} kills: {'the same bits' if found == expected else 'OTHER BITS'}", flush=True
            )
            if found != expected or kept != ["fit.end.npz", "lock", "popglm_checkpoint.json"]:
                raise SystemExit(f"After {own} kills a fit ended with {found}, not {expected}; its folder has {kept}.")
    print(f"{kills} kills, {ended} fits, all of them with the bits of one that was not killed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", choices=["time", "round", "write"], default="time")
    parser.add_argument("--job", choices=list(JOBS), default="poisson")
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--neurons", type=int, default=40)
    parser.add_argument("--columns", type=int, default=8, help="twelves of columns")
    parser.add_argument("--engine", default="numpy")
    parser.add_argument("--least", type=float, default=0.1, help="seconds between two states of a part, at least")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        checkpoints.LEAST_SECONDS = options.least
        print(fit(options, None if options.child == "-" else options.child))
    else:
        main(options)

"""Many small sessions on two worker processes of Dask, beside one process and two that know nothing of each other.

Run in popglm's environment, from the repository::

    python benchmarks/cluster.py [--sessions 50] [--samples 4000] [--columns 60] [--neurons 30] [--repeats 3]

Every fit has one thread. The three ways take turns, each in a folder of its own, and each process or worker has fitted
one session before the clock runs: what is compared is a long run, not how fast Python and numba start. Prints medians
of wall seconds and their ratios over the repeats, and what a task adds in seconds: the client's and scheduler's time
from submitting a call to having its result, for a call that does nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

import popglm as pg
from popglm.scale.jobs import DaskJobs, Job

TERM = '[[terms]]\nbasis = "splines"\nvariable = "v{}"\nn = {}\n'
RECIPE = """\
trials.source = 2

[data]
path = "none.npz"
format = "arrays"
options = {{activity = "spikes", signals = {signals}, rate = 20}}

{terms}
[model]
penalty = "group_lasso"
n_lambdas = 8
cv = 4
"""
VARIABLES = 4


def write(folder: Path, options: argparse.Namespace) -> tuple[list[Path], Path]:
    """Recordings, the first of which is there to warm up, and their recipe."""
    paths, rng = [], np.random.default_rng(0)
    for k in range(options.sessions + 1):
        signals = {f"v{v}": rng.normal(size=options.samples).astype(np.float32) for v in range(VARIABLES)}
        eta = np.stack(list(signals.values()), axis=1) @ rng.normal(scale=0.3, size=(VARIABLES, options.neurons)) - 1
        np.savez(folder / f"s{k}.npz", spikes=rng.poisson(np.exp(eta)).astype(np.float32), **signals)
        paths.append(folder / f"s{k}.npz")
    terms = "".join(TERM.format(v, options.columns // VARIABLES) for v in range(VARIABLES))
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(signals=[f"v{v}" for v in range(VARIABLES)], terms=terms), encoding="utf-8")
    return paths, recipe


def fitted(paths: list[Path], recipe: Path, output: Path, client: Any = None) -> float:
    """Wall seconds of `fit_sessions`."""
    began = time.perf_counter()
    found = pg.fit_sessions(paths, recipe, output, client, threads_per_task=1)
    if not found.is_complete:
        raise SystemExit(f"some sessions were not fitted: {found.facts()}")
    return time.perf_counter() - began


def alone(work: Any, warm: Path, recipe: Path, output: Path) -> None:
    """A process that fits what it is sent, and answers when it has."""
    warnings.simplefilter("ignore")
    fitted([warm], recipe, output / "warm")
    work.send(None)
    for number, paths in enumerate(iter(work.recv, None)):
        fitted(paths, recipe, output / str(number))
        work.send(None)


def warmed(warm: Path, recipe: Path, folder: Path) -> None:
    """Have this worker fit a session."""
    fitted([warm], recipe, folder / f"warm{os.getpid()}")


class Pair:
    """Two processes that know nothing of each other."""

    def __init__(self, warm: Path, recipe: Path, folder: Path) -> None:
        self.pipes = []
        for k in range(2):
            here, there = multiprocessing.Pipe()
            (folder / f"alone{k}").mkdir()
            arguments = (there, warm, recipe, folder / f"alone{k}")
            multiprocessing.Process(target=alone, args=arguments, daemon=True).start()
            self.pipes.append(here)
        for pipe in self.pipes:
            pipe.recv()

    def fit(self, paths: list[Path]) -> float:
        """Wall seconds of half of the sessions each."""
        began = time.perf_counter()
        for k, pipe in enumerate(self.pipes):
            pipe.send(paths[k::2])
        for pipe in self.pipes:
            pipe.recv()
        return time.perf_counter() - began


def nothing(number: int) -> int:
    """A call that does nothing."""
    return number


def overhead(client: Client, n_calls: int = 300) -> float:
    """Seconds per call that does nothing, one after the other, as `fit_sessions` hands them out."""
    jobs = DaskJobs(client)
    began = time.perf_counter()
    for _ in jobs.run(deque(Job("nothing", nothing, (number,)) for number in range(n_calls))):
        pass
    return (time.perf_counter() - began) * jobs.n_places / n_calls


def main() -> None:
    """All three ways, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("sessions", 50), ("samples", 4000), ("columns", 60), ("neurons", 30), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=number)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        (warm, *paths), recipe = write(folder, options)
        pair = Pair(warm, recipe, folder)
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                local_directory=str(folder / "dask"),
            ) as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            fitted([warm], recipe, folder / "warm")
            client.run(warmed, warm, recipe, folder)
            seconds: dict[str, list[float]] = {"one process": [], "two processes": [], "two workers": []}
            for k in range(options.repeats):
                seconds["two workers"].append(fitted(paths, recipe, folder / f"dask{k}", client))
                seconds["two processes"].append(pair.fit(paths))
                seconds["one process"].append(fitted(paths, recipe, folder / f"one{k}"))
            per_task = overhead(client)
    print(f"{options.sessions} sessions of {options.samples:,} × {options.columns} × {options.neurons}, wall seconds:")
    for way, own in seconds.items():
        print(f"  {way:<14} {statistics.median(own):7.2f}   ({', '.join(f'{one:.2f}' for one in own)})")
    for way in ("one process", "two processes"):
        ratios = [other / own for other, own in zip(seconds[way], seconds["two workers"], strict=True)]
        print(f"two workers are {statistics.median(ratios):.2f} × as fast as {way}")
    print(f"a call that does nothing takes {1e3 * per_task:.1f} ms of a worker's time")


if __name__ == "__main__":
    main()

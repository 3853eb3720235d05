"""Sessions whose workers are killed with ``kill -9`` at random moments, beside those that nothing disturbs.

Run in popglm's environment, from the repository::

    python tests/scale/killed_workers.py [--kills 20] [--seed 0] [--sessions 4] [--workers 2]

A worker is drawn at random, and the moment too, but not before all of them are up again: Dask starts none in the place
of one that dies while it starts. Where all sessions have ended before there were as many kills as asked, they are
fitted anew in another folder. Every store is compared, bit by bit, with that of the same session fitted in this
process. Fits are slowed down, and kept after every round.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import dask
import faults
from distributed import Client, LocalCluster, WorkerPlugin
from many import assert_same_store, left_over, write_sessions

import popglm as pg
from popglm.scale import sessions

#: Seconds until a kill, once all workers are up, at most.
SECONDS = 2.0


class Slow(WorkerPlugin):
    """Every worker, and every one in its place, fits slowly."""

    name = "slow"

    def __init__(self, seconds: float, notes: str) -> None:
        self.seconds, self.notes = seconds, notes

    def setup(self, worker: object) -> None:
        """Before the first task."""
        faults.slow(self.seconds, self.notes)


def killed_now_and_then(client: Client, rng: np.random.Generator, most: int, n_workers: int, done: list[int]) -> None:
    """Kill workers until there were as many kills, or ``done`` says that the sessions have ended."""
    while len(done) < most and -1 not in done:
        client.wait_for_workers(n_workers)
        time.sleep(rng.uniform(0, SECONDS))
        pids = list(client.run(os.getpid).values())
        if -1 not in done:
            done.append(int(rng.choice(pids)))
            os.kill(done[-1], signal.SIGKILL)
            # until the scheduler knows
            time.sleep(0.5)


def main(kills: int, seed: int, n_sessions: int, n_workers: int, folder: Path, pause: float = 0.03) -> tuple[int, int]:
    """How many workers were killed, and how many stores were compared."""
    rng = np.random.default_rng(seed)
    (folder / "notes").mkdir()
    paths, recipe = write_sessions(folder / "data", n_sessions)
    pg.fit_sessions(paths, recipe, folder / "here", threads_per_task=1)
    n_killed = n_compared = 0
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None,
            local_directory=str(folder / "dask"),
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        client.register_plugin(Slow(pause, str(folder / "notes")))
        while n_killed < kills:
            output, done = folder / f"out{n_compared}", []
            arguments = client, rng, kills - n_killed, n_workers, done
            killer = threading.Thread(target=killed_now_and_then, args=arguments, daemon=True)
            killer.start()
            found = pg.fit_sessions(paths, recipe, output, client, neurons_per_task=int(rng.choice([4, 100])))
            done.append(-1)
            killer.join()
            own = len(done) - 1
            if not found.is_complete:
                raise SystemExit(f"After {own} kills some sessions were not fitted: {found.facts()}")
            for path in paths:
                assert_same_store(output / f"{path.stem}.nc", folder / "here" / f"{path.stem}.nc")
            if left_over(output):
                raise SystemExit(f"After {own} kills there is left {left_over(output)}.")
            n_killed, n_compared = n_killed + own, n_compared + len(paths)
            print(f"{len(paths)} sessions ended after {own} kills with the same bits", flush=True)
    return n_killed, n_compared


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # small fits are kept as large ones are
    sessions.KEPT_SECONDS = 0.0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        found = main(options.kills, options.seed, options.sessions, options.workers, Path(place))
    print("{} kills, {} stores, all of them with the bits of those that nothing disturbed".format(*found))

#!/usr/bin/env bash
# distributed 2026.8.0, LocalCluster: a worker that takes more than 15 seconds to restart is closed for good at its
# work.
#
# Expectation: a worker process that dies, killed for its memory, say, is started again: "The nanny spins up Worker
# processes, watches them, and kills or restarts them as necessary", says its documentation. The cluster then has as
# many workers as before, and tasks go on there.
#
# Behaviour: 15 seconds after the death LocalCluster looks whether a worker of the same name is there
# (distributed.deploy.lost-worker-timeout, SpecCluster._update_worker_status). If the new process is still importing,
# the worker is no longer counted, and its nanny is told to close: it does so as soon as the process is up, and ends it
# with the task that it has just begun. No worker takes its place. Nothing is said but that a process was "still alive
# after 4.0 seconds". When this has happened to every worker, the cluster has none, and results are waited for for
# ever.
#
# Why an analysis suffers: a new process imports the user's script first, and with it NumPy, xarray, numba, PyTorch …
# On a busy machine, or from a network drive, that takes longer than 15 seconds. A run over night in which a session
# now and then takes too much memory loses a worker each time, and stands still in the end, without an error.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check distributed==2026.8.0 2>/dev/null

cat >"$work/night.py" <<'PY'
import os
import signal
import sys
import time

import dask
from distributed import Client, LocalCluster

if __name__ == "__mp_main__" and os.path.exists("busy"):
    time.sleep(20)  # imports of the script, while the machine is busy


def fit(session):
    time.sleep(2)
    return session


def night(timeout):
    """How many of three fits ended within 50 seconds after a worker's death, and workers that there are then."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": timeout}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        (pid,) = client.run(os.getpid).values()
        open("busy", "w").close()
        fits = client.map(fit, range(3), pure=False)
        time.sleep(1)
        os.kill(pid, signal.SIGKILL)
        time.sleep(50)
        os.remove("busy")
        return sum(one.done() for one in fits), len(client.nthreads())


if __name__ == "__main__":
    as_it_is, patient = night("15s"), night("10 minutes")
    print("fits that ended, and workers: with the default", as_it_is, "and with ten minutes", patient)
    sys.exit(0 if as_it_is == (0, 0) and patient == (3, 1) else "The behaviour has changed.")
PY
cd "$work"
"$work/venv/bin/python" night.py 2>"$work/log" || { cat "$work/log"; exit 1; }

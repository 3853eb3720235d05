#!/usr/bin/env bash
# distributed 2026.8.0 on Linux: NumPy on arrays of a megabyte takes ten times as long in a worker process as without
# Dask.
#
# Expectation: a function takes as long on a worker as in a process of its own, but for the milliseconds in which it is
# sent. The documentation says that workers set MALLOC_TRIM_THRESHOLD_ so that memory goes back to the system, and that
# a low number makes more system calls and may cost performance.
#
# Behaviour: a nanny starts its worker with MALLOC_TRIM_THRESHOLD_=65536. For glibc any such setting also turns off the
# dynamic threshold from which on an array is a mapping of its own (mallopt(3), under M_MMAP_THRESHOLD); it stays at
# 128 kB. So each temporary array of more than 128 kB is mapped, cleared by the kernel page by page, and unmapped. Four
# lines of a Poisson loss for 4,000 samples of 30 neurons cause 280,000 page faults in 300 rounds, and none in a plain
# process; they take ten times the CPU time. Raising MALLOC_TRIM_THRESHOLD_ alone does not help. Setting
# MALLOC_MMAP_THRESHOLD_ as well gives the speed back.
#
# Why an analysis suffers: whole fits with GLM solvers in NumPy took 1.5 times the CPU time on workers. Twenty workers
# do the work of thirteen, and nothing says so: the dashboard shows busy workers.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
unset MALLOC_TRIM_THRESHOLD_ MALLOC_MMAP_THRESHOLD_
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 distributed==2026.8.0 2>/dev/null

cat >"$work/rounds.py" <<'PY'
import resource
import subprocess
import sys
import time

import dask
import numpy as np
from distributed import Client, LocalCluster


def rounds():
    """CPU seconds and page faults of some rounds of a fit: arrays of 4,000 samples × 30 neurons."""
    eta, y = np.zeros((4000, 30)), np.ones((4000, 30))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
    for _ in range(300):
        mu = np.exp(eta)
        loss = np.sum(mu - y * eta)
        residual = mu - y
        assert loss > 0 and residual.shape == y.shape
    return time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def measured(where):
    """CPU seconds and page faults, the best of three."""
    if where == "this process":
        return min(rounds() for _ in range(3))
    environ = dask.config.get("distributed.nanny.pre-spawn-environ")
    if where == "a worker with larger thresholds":
        environ = {**environ, "MALLOC_TRIM_THRESHOLD_": 2**26, "MALLOC_MMAP_THRESHOLD_": 2**25}
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": environ}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        return min(client.submit(rounds, pure=False).result() for _ in range(3))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*measured(sys.argv[1]))
        sys.exit()
    # a cluster leaves variables behind in the process that starts it, so each has a process of its own
    found = {}
    for where in ("this process", "a worker", "a worker with larger thresholds"):
        seconds, faults = subprocess.check_output([sys.executable, __file__, where], text=True).split()
        found[where] = float(seconds), int(faults)
        print(f"{where}: {float(seconds):.3f} s of CPU, {int(faults):,} page faults")
    here, worker, mended = found.values()
    as_described = worker[1] > 20 * max(here[1], mended[1], 1000) and worker[0] > 2 * max(here[0], mended[0])
    sys.exit(0 if as_described else "The behaviour has changed.")
PY
cd "$work"
"$work/venv/bin/python" rounds.py 2>"$work/log" || { tail -20 "$work/log"; exit 1; }

#!/usr/bin/env bash
# distributed 2026.8.0: with resources=, one task that ends its worker makes tasks fail that never ran.
#
# Expectation: tasks declare what they need, client.map(..., resources={"memory": ...}), so that no worker has too many
# at a time; memory is an example of the documentation. One task still ends its worker process each time. After three
# retries it is given up with KilledWorker, "Attempted to run task ... on 4 different workers, but all those workers
# died while running it". The others end well, as nearly all do without resources.
#
# Behaviour: tasks with resources do not wait at the scheduler: all are sent to workers at once. When a worker dies,
# every task that was sent to it is suspected, begun or not; those of the queue wander on together with the one that is
# to blame, and at the fourth death all of them fail with the same KilledWorker. Of 40 tasks about half fail, of which
# one ran at all. Without resources= one or two fail.
#
# Why an analysis suffers: of 40 sessions, 19 are reported to have killed four workers each. Nothing tells which one
# did, and the text says of each that it ran. Raising the allowed failures, as the page on killed workers suggests,
# makes the bad one end more workers first.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check distributed==2026.8.0 2>/dev/null

cat >"$work/sessions.py" <<'PY'
import os
import signal
import sys
import time
from pathlib import Path

from distributed import Client, LocalCluster

SESSIONS, BAD = 40, 3


def fit(session, folder):
    Path(folder, str(session)).touch()
    if session == BAD:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return session


def failed(resources, folder):
    """Sessions that failed, and those of them that were ever begun."""
    os.mkdir(folder)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, resources={"memory": 1}) as cluster,
        Client(cluster) as client,
    ):
        fits = client.map(fit, range(SESSIONS), folder=folder, pure=False, resources=resources)
        while not all(one.status in ("finished", "error") for one in fits):
            time.sleep(0.1)
        errors = [k for k, one in enumerate(fits) if one.status == "error"]
        assert {type(fits[k].exception()).__name__ for k in errors} == {"KilledWorker"}
        return errors, [k for k in errors if Path(folder, str(k)).exists()]


if __name__ == "__main__":
    plain, with_resources = failed(None, "plain"), failed({"memory": 1}, "declared")
    for how, (errors, begun) in (("without resources", plain), ("with resources", with_resources)):
        print(f"{how}: {len(errors)} of {SESSIONS} failed, of which {len(begun)} had begun")
    errors, begun = with_resources
    as_described = len(plain[0]) <= 4 and len(errors) >= 10 and len(begun) <= 4
    sys.exit(0 if as_described else "The behaviour has changed.")
PY
cd "$work"
"$work/venv/bin/python" sessions.py 2>"$work/log" || { tail -20 "$work/log"; exit 1; }

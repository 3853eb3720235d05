#!/usr/bin/env bash
# numba 0.68.1, njit(cache=True): processes that compile one function at once may leave wrong results in the cache for good.
#
# Expectation: the cache on disk is shared by processes, and files are replaced in one step, so that jobs of an array may
# start side by side in a fresh installation. A function that is called with a gain of 2 in one job and of 0.5 in another
# has a file for each type. At worst one of them is compiled twice.
#
# Behaviour: the files of a function are numbered, and an index says which number has which types. Two processes that
# look at the index at the same time take the same number for different types. The index then gives the code for the
# types of the one to calls with the types of the other. Every later process reads it so, until __pycache__ is removed.
# It takes a coincidence: eight processes with 20 such functions showed it in three of three runs on two cores, two
# processes with 30 in none of three. The script arranges the moment.
# Where scalars differ the call returns wrong numbers: 0.5 is read as the integer 0. Where arrays differ it raises a
# TypeError, "can't unbox array".
#
# Why an analysis suffers: a lab sends its sessions to a cluster as an array of jobs, one with gain=2 and one with
# gain=0.5. From then on results are wrong on that installation, silently, for whoever uses it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 numba==0.68.1

cd "$work"
cat >kernels.py <<'PY'
from numba import njit


@njit(cache=True)
def scaled_sum(a, gain):
    total = 0.0
    for x in a:
        total += x * gain
    return total
PY

cat >jobs.py <<'PY'
"""Two jobs that compile one function at once. Only their timing is arranged, so that every run shows what some would."""

import sys
from multiprocessing import get_context

import numpy as np
from numba.core.caching import IndexDataCacheFile


def job(gain, turns):
    """The sum by a job that looks for the index when the other does, writes it second if gain is 0.5, and data first."""
    from kernels import scaled_sum

    def in_turn(method, first, barrier):
        def write(*arguments):
            barrier.wait(60)
            if first:
                method(*arguments)
            barrier.wait(60)
            if not first:
                method(*arguments)
            barrier.wait(60)

        return write

    IndexDataCacheFile._save_index = in_turn(IndexDataCacheFile._save_index, gain == 2, turns)
    IndexDataCacheFile._save_data = in_turn(IndexDataCacheFile._save_data, gain == 0.5, turns)
    print(f"job with gain={gain}: {scaled_sum(np.ones(4), gain)}", flush=True)


if __name__ == "__main__":
    context = get_context("spawn")
    turns = context.Barrier(2)
    jobs = [context.Process(target=job, args=(gain, turns)) for gain in (2, 0.5)]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    sys.exit(max(each.exitcode for each in jobs))
PY

call="import numpy as np, kernels; print(kernels.scaled_sum(np.ones(4), 0.5))"
one=$(venv/bin/python -c "$call")
echo "gain=0.5 on a cache that one job wrote: $one"
rm -rf __pycache__
venv/bin/python jobs.py
two=$(venv/bin/python -c "$call")
echo "gain=0.5 in a later process:            $two"
if [[ "$one $two" != "2.0 0.0" ]]; then
    echo "The behaviour has changed."
    exit 1
fi

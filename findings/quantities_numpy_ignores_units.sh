#!/usr/bin/env bash
# quantities 0.16.4 and neo 0.14.6 under numpy 2.4.6: some numpy functions convert units, others compare bare numbers.
#
# Expectation: neo keeps spike times as quantities. `train < 0.5 s` is right for a train in milliseconds, so sorting its
# spikes into bins whose edges are in seconds converts as well, or is refused, as adding seconds to a plain number is.
#
# Behaviour: np.histogram, np.searchsorted and np.digitize drop the units without a word and compare 100 (ms) with 0.5
# (s). np.concatenate of milliseconds and seconds strings the bare numbers together and calls them dimensionless.
#
# Why an analysis suffers: np.histogram leaves out what lies beyond the last edge, so a neuron of which the spike times
# are in ms gets counts of 0 in all bins of a session in s, like a silent neuron. np.searchsorted cuts the train at the
# wrong spike. Where the trains of several files differ in their unit, only some neurons of a population are hit.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 quantities==0.16.4 neo==0.14.6

"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import neo
import numpy as np
import quantities as pq

train = neo.SpikeTrain([100, 200, 600, 900] * pq.ms, t_stop=1000 * pq.ms)
in_seconds = train.rescale("s")
edges = [0, 0.5, 1] * pq.s
with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)
    below = np.asarray(train < 0.5 * pq.s)
    counts = np.histogram(train, edges)[0]
    counts_in_seconds = np.histogram(in_seconds, edges)[0]
    cut = int(np.asarray(np.searchsorted(train, 0.5 * pq.s)))
    cut_in_seconds = int(np.asarray(np.searchsorted(in_seconds, 0.5 * pq.s)))
    bins = np.digitize(train, edges)
    joined = np.concatenate([train.times, [1, 2] * pq.s])

print("train < 0.5 s                      ", below)
print("np.histogram, train in ms / in s   ", counts, counts_in_seconds)
print("np.searchsorted of 0.5 s, ms / s   ", cut, cut_in_seconds)
print("np.digitize, train in ms           ", bins)
print("np.concatenate of ms and s         ", joined)
as_described = (
    below.tolist() == [True, True, False, False]
    and counts.tolist() == [0, 0]
    and counts_in_seconds.tolist() == [2, 2]
    and (cut, cut_in_seconds) == (0, 2)
    and bins.tolist() == [3, 3, 3, 3]
    and joined.magnitude.tolist() == [100, 200, 600, 900, 1, 2]
    and joined.dimensionality == pq.dimensionless.dimensionality
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

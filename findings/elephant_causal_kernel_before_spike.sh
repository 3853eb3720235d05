#!/usr/bin/env bash
# elephant 1.2.1: a rate smoothed with a causal kernel rises before the spike.
#
# Expectation: an exponential kernel that is zero for negative times lets a spike act on later times only. elephant's
# ExponentialKernel is such a kernel, and instantaneous_rate convolves the train with it. The rate is 0 up to the spike.
#
# Behaviour: instantaneous_rate first shifts the kernel so that its median lies on the spike. The rate jumps to its peak
# 0.69 (ln 2) of the kernel's standard deviation ahead of the spike, and has fallen to half when the spike comes. With
# center_kernel=False it starts at the spike.
#
# Why an analysis suffers: such a rate is taken for the recent past of a neuron, and becomes a regressor of its own
# spikes or of another neuron's. It then holds the spike that it is to predict. Held-out tests cannot tell, since the
# leak is in the test set too. Latencies that are read off the rate come out too early.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 quantities==0.16.4 neo==0.14.6 elephant==1.2.1

"$work/venv/bin/python" - <<'PY'
import sys

import neo
import numpy as np
import quantities as pq
from elephant.kernels import ExponentialKernel
from elephant.statistics import instantaneous_rate

train = neo.SpikeTrain([500] * pq.ms, t_stop=1000 * pq.ms)
kernel = ExponentialKernel(sigma=50 * pq.ms)
print("the kernel at -1 ms and at 1 ms:", kernel(np.array([-1.0, 1.0]) * pq.ms))
start, peak = {}, {}
for centred in (None, False):
    options = {} if centred is None else {"center_kernel": centred}
    rate = instantaneous_rate(train, 1 * pq.ms, kernel=kernel, **options)
    values, times = rate.magnitude.ravel(), rate.times.rescale("ms").magnitude
    start[centred], peak[centred] = times[values > 1e-3 * values.max()][0], times[values.argmax()]
    print(f"spike at 500 ms, options {options}: rate starts at {start[centred]:.0f} ms, peak at {peak[centred]:.0f} ms")

as_described = (
    kernel(np.array([-1.0]) * pq.ms).magnitude[0] == 0
    and 455 <= start[None] <= peak[None] <= 485
    and 499 <= start[False] <= peak[False] <= 502
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

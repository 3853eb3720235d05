#!/usr/bin/env bash
# pynapple 0.11.4: a tuning curve counts the spikes that fell while the position was unknown.
#
# Expectation: dropping the video frames in which tracking failed, or setting them to NaN, gives the same tuning curve.
# Either way a spike at a time of unknown position belongs to no bin.
#
# Behaviour: each spike takes the value of the sample closest in time, however far away that sample is. With the frames
# dropped, all spikes of a gap of 20 s land in the two bins at its edges. The sampling rate that turns samples into
# seconds is the number of samples over the whole span, so the gap lowers the rates in all other bins too. With NaN in
# place of the frames, neither happens. Neither way warns.
#
# Why an analysis suffers: a neuron that fired only while tracking was lost gets a place field at the border of the gap.
# A neuron with a steady rate loses the share of its rate that the gap has of the session. Where a camera loses the
# animal at the same place in each trial, the false field repeats across trials.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 xarray==2026.9.0 pynapple==0.11.4

"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
import pynapple as nap

warnings.simplefilter("error", UserWarning)
times = np.arange(1000) / 10 + 0.05  # 100 s at 10 Hz; the animal crosses the track once, from 0 to 1
position = times / 100
tracked = (times < 40) | (times > 60)
every_100_ms = np.arange(1000) / 10 + 0.07
while_lost = (every_100_ms > 40) & (every_100_ms < 60)
spikes = nap.TsGroup(
    {0: nap.Ts(every_100_ms[while_lost]), 1: nap.Ts(every_100_ms[~while_lost])}, time_support=nap.IntervalSet(0, 100)
)
edges = [np.linspace(0, 1, 6)]
dropped = nap.compute_tuning_curves(spikes, nap.Tsd(times[tracked], position[tracked]), bins=edges)
as_nan = nap.compute_tuning_curves(spikes, nap.Tsd(times, np.where(tracked, position, np.nan)), bins=edges)

np.set_printoptions(precision=2, suppress=True)
for name, neuron in (("fires at 10 Hz, only while lost   ", 0), ("fires at 10 Hz, only while tracked", 1)):
    print(f"{name}: frames dropped {dropped.values[neuron]}  frames NaN {as_nan.values[neuron]}")

known = [0, 1, 3, 4]  # the bin in the middle was never seen
as_described = (
    np.allclose(as_nan.values[0, known], 0)
    and np.allclose(as_nan.values[1, known], 10, atol=0.1)
    and np.allclose(dropped.values[0, [0, 4]], 0)
    and np.allclose(dropped.values[0, [1, 3]], 4, atol=0.1)
    and np.allclose(dropped.values[1, known], 8, atol=0.1)
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

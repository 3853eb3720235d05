#!/usr/bin/env bash
# pynapple 0.11.4: a Tsd made from times out of order sorts the times, and leaves the values where they were.
#
# Expectation: samples that arrive out of order (two files joined in the wrong order, packets that overtook each other)
# are either refused, or sorted with each value kept beside its own time, as pandas' sort_index does.
#
# Behaviour: the times are sorted alone. Each value then stands beside the time of another sample. The one sign is a
# warning, "timestamps are not sorted". It reads as if nothing was changed, or as if the sorting was taken care of.
# TsdFrame does the same to whole rows.
#
# Why an analysis suffers: the result has increasing times and all of the values, so each later step accepts it.
# Position, speed or fluorescence is paired with the wrong moments, and the tuning curves and fits are of scrambled
# data.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 pynapple==0.11.4

"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
import pandas as pd
import pynapple as nap

# Two halves of a ramp, joined in the wrong order: the position is 10 times the time throughout.
times = np.array([3.0, 4.0, 5.0, 0.0, 1.0, 2.0])
position = 10 * times
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    series = nap.Tsd(t=times, d=position)
    frame = nap.TsdFrame(t=times, d=np.column_stack([position, -position]))
texts = {str(w.message) for w in caught}
pandas_sorted = pd.Series(position, index=times).sort_index()

print("times given     ", times)
print("values given    ", position)
print("Tsd times       ", series.t)
print("Tsd values      ", series.d)
print("pandas values   ", pandas_sorted.to_numpy())
print("value at 0 s    ", series.get(0.0), "(recorded: 0.0)")
print("warnings        ", texts)

as_described = (
    np.array_equal(series.t, np.sort(times))
    and np.array_equal(series.d, position)
    and np.array_equal(frame.t, np.sort(times))
    and np.array_equal(frame.d, np.column_stack([position, -position]))
    and not np.array_equal(series.d, pandas_sorted)
    and texts == {"timestamps are not sorted"}
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

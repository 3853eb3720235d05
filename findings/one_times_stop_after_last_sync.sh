#!/usr/bin/env bash
# ONE-api 3.6.1: beyond its synchronisation points, all samples of an ALF time series get one and the same time.
#
# Expectation: a timestamps file of the ALF convention may hold a few synchronisation points, a sample's number and its
# time. "The times corresponding to all samples are then found by linear interpolation", says the convention. It does
# not say that the first and the last sample are among the points. So samples beyond them lie on the line, or are NaN,
# or the file is refused.
#
# Behaviour: load_object takes numpy.interp, which repeats the last time for every sample after the last point, and the
# first time for all before the first. There is no warning.
#
# Why an analysis suffers: a recording whose last pulse came a minute before its end has a minute of samples at one
# time. Binned by time, a single bin averages all of them, and the minute after it is empty. A speed by differences is
# infinite or NaN there. Trials after the last pulse have no behaviour, although it was recorded.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 HOME="$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 ONE-api==3.6.1 2>/dev/null

"$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings
from pathlib import Path

import numpy as np
from one.alf.io import load_object

warnings.simplefilter("error", UserWarning)
folder = Path(sys.argv[1], "alf")
folder.mkdir()
times = 100 + np.arange(1000) / 100  # 10 s at 100 Hz
np.save(folder / "wheel.position.npy", np.arange(1000.0))
# pulses at samples 50 and 800; the clock is regular throughout
np.save(folder / "wheel.timestamps.npy", np.array([[50, times[50]], [800, times[800]]]))

found = load_object(folder, "wheel")["timestamps"]
between = slice(50, 801)
print("largest error between the points (s):", np.abs(found - times)[between].max())
print("last sample: recorded at", times[-1], "s, loaded as", found[-1], "s")
print("samples at the time of the last point:", int((found == found[-1]).sum()), "and of the first:", int((found == found[0]).sum()))
as_described = (
    np.allclose(found[between], times[between])
    and np.all(found[800:] == times[800])
    and np.all(found[:51] == times[50])
    and not np.allclose(found, times)
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

#!/usr/bin/env bash
# pynapple 0.11.4 and pynwb 4.2.0: pynapple reads the stored integers of an NWB series, not its physical values.
#
# Expectation: an NWB TimeSeries may store raw integers beside `conversion` and `offset`, which turn them into its unit:
# value = data * conversion + offset. A reader that gives a ready-made time series of an NWB file applies them.
#
# Behaviour: pynapple.load_file returns the raw integers, and mentions neither number. The same series through pynwb's
# get_data_in_units is in the stated unit.
#
# Why an analysis suffers: the running speed is in digitiser steps, and its zero is not rest. A threshold of "faster
# than 0.05 m/s" keeps every sample. Sessions that were digitised with different gains look like different behaviour,
# and weights cannot be compared across them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 pynwb==4.2.0 pynapple==0.11.4

"$work/venv/bin/python" - "$work/session.nwb" <<'PY'
import sys
import warnings
from datetime import UTC, datetime

import numpy as np
import pynapple as nap
from pynwb import NWBHDF5IO, NWBFile, TimeSeries

path = sys.argv[1]
raw = np.array([2000, 2010, 2100, 2400], dtype="int16")
session = NWBFile(session_description="treadmill", identifier="1", session_start_time=datetime(2024, 1, 1, tzinfo=UTC))
session.add_acquisition(
    TimeSeries(name="speed", data=raw, unit="m/s", conversion=0.001, offset=-2.0, starting_time=0.0, rate=10.0)
)
with NWBHDF5IO(path, "w") as io:
    io.write(session)
with NWBHDF5IO(path, "r") as io:
    physical = np.asarray(io.read().acquisition["speed"].get_data_in_units())

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    file = nap.load_file(path)
    speed = file["speed"]
    values = np.asarray(speed.values)
    file.close()

print("pynwb, in m/s:   ", physical)
print("pynapple:        ", values, values.dtype)
print("samples faster than 0.05 m/s, pynwb / pynapple:", int((physical > 0.05).sum()), "/", int((values > 0.05).sum()))
spoken = [str(w.message) for w in caught if "conversion" in str(w.message) or "offset" in str(w.message)]
as_described = (
    np.allclose(physical, [0.0, 0.01, 0.1, 0.4])
    and values.dtype == np.int16
    and np.array_equal(values, raw)
    and not spoken
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

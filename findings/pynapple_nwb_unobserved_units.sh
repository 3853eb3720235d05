#!/usr/bin/env bash
# pynapple 0.11.4 and pynwb 4.2.0: pynapple forgets when the units of an NWB file were observed.
#
# Expectation: `obs_intervals` of an NWB table of units say when each unit was recorded. A reader that gives the units a
# time support and firing rates takes the time from there, or says that it does not.
#
# Behaviour: pynapple.load_file does not read the column. The time support goes from the first to the last spike of all
# units together, and `rate` counts spikes over that span. There is no warning.
#
# Why an analysis suffers: the rate depends on which other units are in the file. Here a unit fires 4 times in 100 s of
# recording, and its rate is given as 1 Hz in place of 0.04 Hz: it passes a threshold of 0.5 Hz that it should fail.
# Counts in bins stop at the last spike, so that silent stretches at the ends are no samples. A unit that was lost
# halfway looks silent for the rest of the session.
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
from pynwb import NWBHDF5IO, NWBFile

path = sys.argv[1]
session = NWBFile(session_description="sleep", identifier="1", session_start_time=datetime(2024, 1, 1, tzinfo=UTC))
session.add_unit(spike_times=[5.0, 6.0, 7.0, 8.0], obs_intervals=[[0.0, 100.0]])
session.add_unit(spike_times=[5.5, 6.5, 7.5, 9.0], obs_intervals=[[0.0, 10.0]])
with NWBHDF5IO(path, "w") as io:
    io.write(session)
with NWBHDF5IO(path, "r") as io:
    units = io.read().units
    observed = [np.diff(units["obs_intervals"][k], axis=1).sum() for k in range(2)]
    true = np.array([len(units["spike_times"][k]) for k in range(2)]) / observed

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    file = nap.load_file(path)
    units = file["units"]
    rates, support = units["rate"].to_numpy(), units.time_support.values
    columns = set(units.metadata_columns)
    file.close()

print("spikes over the time observed (Hz):", true)
print("rate of pynapple (Hz):             ", rates)
print("time support of pynapple (s):      ", support.tolist())
spoken = [str(w.message) for w in caught if "obs_intervals" in str(w.message) or "support" in str(w.message)]
as_described = (
    np.allclose(true, [0.04, 0.4])
    and np.allclose(rates, 1.0)
    and np.allclose(support, [[5.0, 9.0]])
    and "obs_intervals" not in columns
    and not spoken
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY

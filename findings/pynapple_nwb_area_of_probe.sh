#!/usr/bin/env bash
# pynapple 0.11.4 and pynwb 4.2.0: pynapple gives every unit the location of its probe, not that of its electrode.
#
# Expectation: in an NWB file the table of electrodes has a location each, and a unit points to its electrodes. A probe
# that crosses several areas has a location of its own, often only "brain". The `location` that a reader gives a unit is
# that of its electrode.
#
# Behaviour: pynapple.load_file takes `location` from the column `electrode_group`, which is the probe. It does not follow
# a unit to its electrodes, a list per unit as pynwb writes it. Without `electrode_group` the units have no location at
# all. There is no warning.
#
# Why an analysis suffers: units of cortex, hippocampus and thalamus are all of one area. A comparison of areas by
# `units["location"]` compares probes, and a selection of an area by its name is empty or everything.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 pynwb==4.2.0 pynapple==0.11.4

"$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings
from datetime import UTC, datetime

import pynapple as nap
from pynwb import NWBHDF5IO, NWBFile

AREAS = ["VISp", "CA1", "LP"]


def locations(path, with_group):
    """Locations of the units by pynapple, and what it said."""
    session = NWBFile(session_description="maze", identifier="1", session_start_time=datetime(2024, 1, 1, tzinfo=UTC))
    probe = session.create_electrode_group("Probe1", "a probe", "brain", session.create_device("Neuropixels"))
    for area in AREAS:
        session.add_electrode(location=area, group=probe)
    for k in range(len(AREAS)):
        group = {"electrode_group": probe} if with_group else {}
        session.add_unit(spike_times=[0.1, 0.2 + k], electrodes=[k], **group)
    with NWBHDF5IO(path, "w") as io:
        io.write(session)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file = nap.load_file(path)
        units = file["units"]
        found = list(map(str, units["location"])) if "location" in units.metadata_columns else None
        file.close()
    return found, [str(w.message) for w in caught if "location" in str(w.message)]


both, spoken = locations(f"{sys.argv[1]}/both.nwb", with_group=True)
alone, _ = locations(f"{sys.argv[1]}/alone.nwb", with_group=False)
print("locations of the electrodes:                ", AREAS)
print("pynapple, units with electrodes and a group:", both)
print("pynapple, units with electrodes alone:      ", alone)
as_described = both == ["brain"] * 3 and alone is None and not spoken
sys.exit(0 if as_described else "The behaviour has changed.")
PY

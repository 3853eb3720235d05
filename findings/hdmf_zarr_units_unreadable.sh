#!/usr/bin/env bash
# hdmf-zarr 0.13.0 and numcodecs 0.15.2: hdmf-zarr writes tables of units that it cannot read again.
#
# Expectation: what NWBZarrIO writes without further options, NWBZarrIO reads.
#
# Behaviour: references to objects, such as the column `electrode_group` of units and `group` of electrodes, are written
# with the codec Pickle, the default. numcodecs 0.15.2 refuses to decode it, since unpickling can run code. The file is
# written without a warning, and opens; `units.to_dataframe()` and `electrodes.to_dataframe()` raise UnsafeDecodeError.
# Numbers and texts are not concerned. The option object_codec_class=numcodecs.JSON changes nothing here.
#
# Why an analysis suffers: a session that was converted to Zarr, its original deleted, has no table of units that opens
# until the reader allows code in data to run. Until then nothing says which unit is on which probe.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 pynwb==4.2.0 hdmf-zarr==0.13.0 zarr==2.18.7 numcodecs==0.15.2

"$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings
from datetime import UTC, datetime

import numcodecs
from hdmf_zarr import NWBZarrIO
from pynwb import NWBFile


def reading(folder, **options):
    """Write units with a group, and what reading their table comes to."""
    session = NWBFile(session_description="maze", identifier="1", session_start_time=datetime(2024, 1, 1, tzinfo=UTC))
    probe = session.create_electrode_group("Probe1", "a probe", "brain", session.create_device("Neuropixels"))
    session.add_electrode(location="CA1", group=probe)
    session.add_unit(spike_times=[0.1, 0.2], electrodes=[0], electrode_group=probe)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with NWBZarrIO(folder, mode="w", **options) as io:
            io.write(session)
    spoken = [str(w.message) for w in caught if "ickle" in str(w.message)]
    with warnings.catch_warnings(), NWBZarrIO(folder, mode="r") as io:
        warnings.simplefilter("ignore")
        units = io.read().units
        try:
            return units.to_dataframe()["electrode_group"].iloc[0].name, spoken
        except Exception as error:
            return type(error).__name__, spoken


default, spoken = reading(f"{sys.argv[1]}/default.zarr")
json, _ = reading(f"{sys.argv[1]}/json.zarr", object_codec_class=numcodecs.JSON)
print("group of the unit, default codec:", default)
print("group of the unit, JSON:         ", json)
sys.exit(0 if default == json == "UnsafeDecodeError" and not spoken else "The behaviour has changed.")
PY

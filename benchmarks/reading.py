"""An hour of a recording from an NWB file on one grid of time: popglm beside pynapple and pandas.

Run in popglm's environment::

    python benchmarks/reading.py [--neurons 1000] [--minutes 60] [--units 500] [--spikes 10e6] [--runs 3]

Writes two files to a temporary folder. One has fluorescence and deconvolved activity at 30 Hz, and behaviour; it is put
on bins of 100 ms, and on its own clock. The other has spikes, which are counted in bins of 1/30 s. pynapple runs in an
environment of its own. Every job is a process: its seconds are those of reading and binning, without imports, and its
memory is what it took above what the imports left, beside the size of what it returns. Shown are medians of runs in
turn, after one that is not counted. CPU seconds are there too, for a machine that others use.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from environments import Peer, interpreter

HERE = Path(__file__).parent
POPGLM = Peer("popglm", "read_with_popglm.py")
PYNAPPLE = Peer("pynapple", "read_with_pynapple.py", ("pynapple==0.11.4", "pynwb==4.2.0"))
JOBS = ("traces in bins of 100 ms", "traces on their own clock", "spikes in bins of 1/30 s")


def new_file():
    """An empty NWB file."""
    from pynwb import NWBFile

    start = datetime(2026, 1, 1, tzinfo=UTC)
    return NWBFile(session_description="a benchmark", identifier="1", session_start_time=start)


def write_traces(path: Path, n_samples: int, n_neurons: int) -> None:
    """Deconvolved activity in float64, fluorescence in float32 and behaviour, all at 30 Hz."""
    from hdmf.data_utils import DataChunkIterator
    from pynwb import NWBHDF5IO
    from pynwb.behavior import Position
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    nwb, rng = new_file(), np.random.default_rng(0)
    scope = nwb.create_device("microscope")
    channel = OpticalChannel(name="green", description="green", emission_lambda=510.0)
    plane = nwb.create_imaging_plane(
        name="plane", optical_channel=channel, description="a plane", device=scope, excitation_lambda=920.0,
        indicator="GCaMP", location="V1",
    )  # fmt: skip
    module = nwb.create_processing_module("ophys", "activity")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(name="PlaneSegmentation", description="ROIs", imaging_plane=plane)
    for roi in range(n_neurons):
        table.add_roi(id=roi, pixel_mask=[(roi, 1, 1.0)])
    fluorescence = Fluorescence()
    module.add(fluorescence)
    for name, kind in (("Deconvolved", "f8"), ("RoiResponseSeries", "f4")):
        rows = (rng.gamma(0.1, size=n_neurons).astype(kind) for _ in range(n_samples))
        data = DataChunkIterator(rows, buffer_size=1_000, maxshape=(n_samples, n_neurons), dtype=np.dtype(kind))
        rois = table.create_roi_table_region(region=list(range(n_neurons)), description="all")
        fluorescence.add_roi_response_series(
            RoiResponseSeries(name=name, data=data, rois=rois, unit="n.a.", rate=30.0, starting_time=0.0)
        )
    place = Position()
    nwb.create_processing_module("behavior", "behaviour").add(place)
    place.create_spatial_series(
        name="position", data=rng.random((n_samples, 2)), rate=30.0, unit="m", reference_frame="the start"
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)


def write_spikes(path: Path, seconds: float, n_units: int, n_spikes: int) -> None:
    """Units with as many spikes each."""
    from pynwb import NWBHDF5IO

    nwb, rng = new_file(), np.random.default_rng(1)
    for _ in range(n_units):
        nwb.add_unit(spike_times=np.sort(rng.uniform(0, seconds, n_spikes // n_units)))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)


def run(peer: Peer, job: str, path: Path) -> dict[str, float]:
    """Seconds, memory and a sum of what a job returned."""
    command = [str(interpreter(peer)), str(HERE / "runners" / peer.runner), job, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{peer.label} failed at {job}: {found.stderr[-2_000:]}")
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    """Write the files, run every job with both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("neurons", 1_000), ("minutes", 60), ("units", 500), ("spikes", 10e6)):
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        traces, spikes = Path(folder) / "traces.nwb", Path(folder) / "spikes.nwb"
        write_traces(traces, int(asked.minutes * 1_800), int(asked.neurons))
        write_spikes(spikes, asked.minutes * 60, int(asked.units), int(asked.spikes))
        print(f"{traces.stat().st_size / 1e9:.2f} GB of traces, {spikes.stat().st_size / 1e9:.2f} GB of spikes")
        print(
            f"{'':28}{'popglm (s)':>12}{'pynapple (s)':>14}{'ratio':>8}{'CPU (s)':>9}"
            f"{'(pynapple)':>12}{'ratio':>8}{'memory / result':>17}{'(pynapple)':>12}"
        )
        for job in JOBS:
            path = spikes if job.startswith("spikes") else traces
            # in turn, after a first time that warms the page cache for all
            found = [(run(POPGLM, job, path), run(PYNAPPLE, job, path)) for _ in range(1 + asked.runs)][1:]
            own, other = (
                {name: median(one[name] for one in runs) for name in runs[0]} for runs in zip(*found, strict=True)
            )
            np.testing.assert_allclose(own["sum"], other["sum"], rtol=1e-3)
            print(
                f"{job:28}{own['seconds']:>12.2f}{other['seconds']:>14.2f}{other['seconds'] / own['seconds']:>8.1f}"
                f"{own['cpu']:>9.2f}{other['cpu']:>12.2f}{other['cpu'] / own['cpu']:>8.1f}"
                f"{own['memory'] / own['size']:>17.2f}{other['memory'] / other['size']:>12.2f}"
            )


if __name__ == "__main__":
    sys.exit(main())

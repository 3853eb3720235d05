"""Read an NWB file and put it on a grid with popglm; prints seconds, memory and a sum as JSON."""

import json
import re
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

import popglm as pg

#: What the first session that is read imports; xarray asks for dask where that is installed.
LIBRARIES = ("pynwb", "dask.array")
GRIDS = {"traces in bins of 100 ms": 0.1, "traces on their own clock": None, "spikes in bins of 1/30 s": "1/30"}


def memory() -> float:
    """Peak of this process in bytes (Linux); that of getrusage would begin with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


def main() -> None:
    """Do one job."""
    job, path = sys.argv[1:]
    pg.read_nwb  # noqa: B018  (imports are not what is timed)
    for library in LIBRARIES:
        with suppress(ImportError):
            import_module(library)
    before, began, cpu = memory(), perf_counter(), process_time()
    data = pg.read_nwb(path).regrid(GRIDS[job])
    seconds, cpu, peak = perf_counter() - began, process_time() - cpu, memory()
    total = float(np.nansum(data["activity"].values, dtype=float))
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": peak - before, "size": data.nbytes, "sum": total}))


if __name__ == "__main__":
    main()

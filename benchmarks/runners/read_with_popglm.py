"""Read an NWB file and put it on a grid with popglm; prints seconds, memory and a sum as JSON."""

import json
import re
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

import popglm as pg

GRIDS = {"traces in bins of 100 ms": 0.1, "traces on their own clock": None, "spikes in bins of 1/30 s": "1/30"}


def memory() -> float:
    """Peak of this process in bytes (Linux); that of getrusage would begin with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


def main() -> None:
    """Do one job."""
    job, path = sys.argv[1:]
    pg.read_nwb  # noqa: B018  (its import is not what is timed)
    before, began = memory(), perf_counter()
    data = pg.read_nwb(path).regrid(GRIDS[job])
    seconds, peak = perf_counter() - began, memory()
    total = float(np.nansum(data["activity"].values, dtype=float))
    print(json.dumps({"seconds": seconds, "memory": peak - before, "size": data.nbytes, "sum": total}))


if __name__ == "__main__":
    main()

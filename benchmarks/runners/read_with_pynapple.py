"""Read an NWB file and put it on a grid with pynapple and pandas; prints seconds, memory and a sum as JSON."""

import json
import re
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
import pynapple as nap
import pynwb  # noqa: F401  (imports are not what is timed)


def memory() -> float:
    """Peak of this process in bytes (Linux); that of getrusage would begin with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


def on_grid(job: str, data: nap.NWBFile) -> pd.DataFrame:
    """Activity in bins, and behaviour beside it."""
    if job.startswith("spikes"):
        counts = data["units"].count(1 / 30)
        return pd.DataFrame(counts.values, index=counts.t)
    activity = data["Deconvolved"]
    place = data["position"]
    if "100 ms" in job:
        activity, place = activity.bin_average(0.1), place.bin_average(0.1)
    else:
        place = place.interpolate(nap.Ts(activity.t))
    table = pd.DataFrame(np.asarray(activity.values), index=np.asarray(activity.t))
    return table.join(pd.DataFrame(np.asarray(place.values), index=np.asarray(place.t), columns=["x", "y"]))


def main() -> None:
    """Do one job."""
    job, path = sys.argv[1:]
    before, began, cpu = memory(), perf_counter(), process_time()
    table = on_grid(job, nap.load_file(path))
    seconds, cpu, peak = perf_counter() - began, process_time() - cpu, memory()
    activity = table.drop(columns=["x", "y"], errors="ignore")
    total, size = float(np.nansum(activity.to_numpy(), dtype=float)), int(table.memory_usage().sum())
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": peak - before, "size": size, "sum": total}))


if __name__ == "__main__":
    main()

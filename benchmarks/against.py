"""The working tree beside an earlier revision of popglm, on the same arrays, in pairs.

Run in popglm's environment, from the repository::

    python benchmarks/against.py REVISION [--jobs tutorial/poisson-group-lasso real ...] [--times 3] [--threads 2]

A job is SIZE/JOB as in `peers.py`, or ``real`` or ``simulated`` as in `real.py`, of which ``--units`` fits some. The
revision is checked out into a temporary folder. Both run one after the other in processes of their own, in turns
(tree, revision, revision, tree, ...), so that what else the machine does falls on both alike. Prints the medians of
wall time, CPU time and peak memory, the evaluations of loss and gradient, the fits above ``tol``, and the ratio of the
tree to the revision: the median over pairs. Held-out deviance explained is compared neuron by neuron.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import real
from jobs import ALONE, JOBS, SIZES, write_arrays

HERE = Path(__file__).parent
ROOT = HERE.parent
MEASURES = {"wall": "wall (s)", "cpu": "CPU (s)", "evaluations": "evaluations", "peak": "peak (MB)"}


def run(source: Path, arrays: Path, threads: int, *options: str) -> str:
    """What the runner prints with the popglm in a folder."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names} | {"PYTHONPATH": str(source)}
    command = [sys.executable, str(HERE / "runners" / "one_revision.py"), str(arrays), "-", "--threads", str(threads)]
    command += options
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{source}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def measure(source: Path, arrays: Path, threads: int) -> dict:
    """What the popglm in a folder needs for a job."""
    result = json.loads(run(source, arrays, threads).split("result ", 1)[1])
    if not Path(result["module"]).is_relative_to(source):
        raise SystemExit(
            f"{source}: Python imported popglm from elsewhere; run this with the environment's own python."
        )
    return result


def compare(job: str, trees: dict[str, Path], arrays: Path, times: int, threads: int) -> None:
    """Print one job's table."""
    results: dict[str, list[dict]] = {name: [] for name in trees}
    for source in trees.values():
        run(source, arrays, threads, "--compile")
    for turn in range(times):
        for name in list(trees)[:: 1 if turn % 2 == 0 else -1]:
            results[name].append(measure(trees[name], arrays, threads))
            last = results[name][-1]
            print(f"  {name}: {last['wall']:.2f} s wall, {last['cpu']:.2f} s CPU", flush=True)
    tables = {name: pd.DataFrame(found).drop(columns=["held_out", "module"]) for name, found in results.items()}
    ours, theirs = tables.values()
    medians = pd.DataFrame({name: table[list(MEASURES)].median() for name, table in tables.items()})
    medians["ratio"] = (ours[list(MEASURES)] / theirs[list(MEASURES)]).median()
    print(f"{job}: medians of {times}")
    print(medians.rename(index=MEASURES).to_string(float_format="{:,.2f}".format))
    above = ", ".join(f"{name} {table['above_tol'].max()}" for name, table in tables.items())
    one, other = (np.array(found[0]["held_out"]) for found in results.values())
    apart = np.nanmax(np.abs(one - other)) if np.isfinite(one - other).any() else np.nan
    print(f"fits above tol, of {ours['fits'][0]:,}: {above}; held-out deviance explained at most {apart:.1e} apart\n")


def main() -> None:
    """Every job asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = [*(f"{size}/{job}" for size in SIZES for job in JOBS | ALONE), "real", "simulated"]
    parser.add_argument("revision", help="a commit, tag or branch")
    parser.add_argument("--jobs", nargs="+", choices=jobs, default=["tutorial/poisson-group-lasso"], metavar="JOB")
    parser.add_argument("--units", type=int, help="of the jobs real and simulated, drawn with seed 0")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkout, arrays = Path(folder) / "revision", Path(folder) / "arrays.npz"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(checkout), options.revision], check=True)
        try:
            trees = {"tree": ROOT / "src", options.revision: checkout / "src"}
            for job in options.jobs:
                if job in ("real", "simulated"):
                    np.savez(arrays, **real.job(job == "simulated", options.units))
                else:
                    size, name = job.split("/")
                    write_arrays((JOBS | ALONE)[name], SIZES[size], arrays)
                compare(job, trees, arrays, options.times, options.threads)
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)


if __name__ == "__main__":
    main()

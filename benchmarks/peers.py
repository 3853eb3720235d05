"""popglm and its peers on the same arrays, in one run: seconds, objectives, memory.

Run in popglm's environment::

    python benchmarks/peers.py [--size reduced] [--jobs ...] [--peers ...]

Makes the peers' environments (benchmarks/.envs), simulates the session, runs popglm and every peer that can do a job
or a stated part of it, one after the other and in two threads each, and holds all to one objective. Prints the table,
and writes docs/benchmark_peers.csv (rows of other sizes, jobs and peers are kept), docs/benchmark_machine.txt and
docs/images/benchmark_peers_<size>.png; with --table that file alone.

A peer that can be told a tolerance is run with several. Its row has the loosest one whose objective is everywhere
within 1e-4 of half the null deviance of the lowest that was found, popglm's own default, or else the tightest.
"""

import argparse
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from environments import PEERS, POPGLM, run
from jobs import JOBS, SIZES, write_arrays
from objectives import half_null_deviance, objective
from pictures import draw_peers

DOCS = Path(__file__).parent.parent / "docs"
TABLE = DOCS / "benchmark_peers.csv"
KEY = ["Size", "Job", "Library"]
CLOSE = 1e-4


class Judge:
    """Objectives of the compared neurons of one job, and the lowest that any library found."""

    def __init__(self, arrays: Path) -> None:
        with np.load(arrays) as data:
            self.X, self.Y = data["X"], data["Y"][:, : int(data["n_compared"])]
            self.family, self.penalty = str(data["family"]), str(data["penalty"])
            self.sizes, self.lambdas, self.l1_ratio = data["sizes"], data["lambdas"], float(data["l1_ratio"])
        self.unit = half_null_deviance(self.Y, self.family)
        self.lowest = np.full((len(self.lambdas), self.Y.shape[1]), np.inf)

    def objectives(self, fits: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Objective (strengths, neurons) at every tolerance, in units of half the null deviance."""
        problem = (self.X, self.Y, self.family, self.penalty, self.sizes, self.lambdas)
        paths = zip(fits["intercept_path"], fits["coef_path"], strict=True)
        values = [objective(*problem, b, W, self.l1_ratio) / self.unit for b, W in paths]
        self.lowest = np.fmin.reduce([self.lowest, *values])
        return values


def largest(difference: np.ndarray) -> float:
    """The largest difference, of those that are numbers; 0 if none is positive."""
    return float(max(np.nanmax(difference), 0))


def run_all(name: str, options: argparse.Namespace, folder: Path) -> tuple[Judge, dict, dict]:
    """Run popglm and its peers on a job: the judge, the results by runner, what went wrong by peer."""
    arrays = folder / f"{name}.npz"
    write_arrays(JOBS[name], SIZES[options.size], arrays)
    tolerances = ("--tol", *map(str, options.tol))
    runs = [
        ("popglm", POPGLM, (), np.inf),
        ("reference", POPGLM, ("--reference",), np.inf),
        ("tolerances", POPGLM, tolerances, options.budget),
        *((peer, PEERS[peer], (), options.budget) for peer in chosen_peers(name, options)),
    ]
    judge, results, trouble = Judge(arrays), {}, {}
    for label, peer, arguments, budget in runs:
        print(f"{JOBS[name].title}: {label}", flush=True)
        result = folder / f"{name}-{label}.npz"
        trouble[label] = run(peer, arrays, result, options.threads, budget, arguments)
        if trouble[label]:
            print(f"{label}: {trouble[label]}", flush=True)
        if result.exists():
            with np.load(result) as data:
                results[label] = {key: data[key] for key in data.files}
            results[label]["objective"] = judge.objectives(results[label])
        elif label in ("popglm", "reference"):
            raise SystemExit("popglm itself failed.")
    return judge, results, trouble


def chosen_peers(name: str, options: argparse.Namespace) -> list[str]:
    """The peers of a job, of those asked for."""
    peers = [*JOBS[name].peers, "popglm-adam"] if options.adam else JOBS[name].peers
    return [peer for peer in peers if options.peers is None or peer in options.peers]


def compare(name: str, options: argparse.Namespace, folder: Path) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Rows of the table of one job, and seconds and largest excess (tolerances, 2) of every library."""
    judge, results, trouble = run_all(name, options, folder)
    curves = {
        label: np.array([(s, largest(v - judge.lowest)) for s, v in zip(r["seconds"], r["objective"], strict=True)])
        for label, r in results.items()
    }
    own = results["popglm"]
    seconds, mine = own["seconds"][0], own["objective"][0]
    rows = []
    for peer in chosen_peers(name, options):
        row = {
            "Size": options.size,
            "Job": JOBS[name].title,
            "Library": PEERS[peer].label,
            "Run": f"no fit: {trouble[peer]}",
            "Seconds": "",
            "popglm (s)": f"{seconds:.3g}",
            "Ratio": "",
            "Above popglm": "",
            "Below popglm": "",
            "popglm (MB)": f"{float(own['peak']):.0f}",
        }
        if peer in results:
            result = results[peer]
            close = np.flatnonzero(curves[peer][:, 1] <= CLOSE)
            t = close[0] if len(close) else -1
            row |= {
                "Run": str(result["how"]),
                "Seconds": f"{result['seconds'][t]:.3g}",
                "Ratio": f"{result['seconds'][t] / seconds:.3g}",
                "Above popglm": f"{largest(result['objective'][t] - mine):.0e}",
                "Below popglm": f"{largest(mine - result['objective'][t]):.0e}",
            }
        rows.append(row)
    merged = np.concatenate([curves.pop("popglm"), curves.pop("tolerances", np.empty((0, 2)))])
    curves["popglm"] = merged[np.argsort(merged[:, 0])]
    del curves["reference"]
    return rows, curves


def save_table(rows: list[dict], path: Path) -> None:
    """Write the rows in the order of sizes and jobs, in place of those of an earlier run."""
    table = pd.DataFrame(rows)
    if path.exists():
        earlier = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = pd.concat([earlier, table]).drop_duplicates(KEY, keep="last")
    titles = [job.title for job in JOBS.values()]
    table = table.sort_values(
        KEY[:2], key=lambda column: column.map(list(SIZES).index if column.name == "Size" else titles.index)
    )
    table.to_csv(path, index=False)


def markdown(table: pd.DataFrame) -> str:
    """The table as a README takes it."""
    lines = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe_machine(threads: int) -> str:
    """Processor, threads, versions."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [line.split(":")[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    packages = ", ".join(f"{package} {version(package)}" for package in ("popglm", "numpy", "numba"))
    return f"{name}, {threads} threads, {packages}, Python {platform.python_version()}.\n"


def main(options: argparse.Namespace) -> None:
    """All jobs, the table, the picture."""
    if os.getloadavg()[0] > 0.5:
        print("Other processes are running; libraries whose threads wait for each other suffer most from them.")
    rows, curves = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.jobs:
            new_rows, curves[JOBS[name].title] = compare(name, options, Path(folder))
            rows += new_rows
            if options.size != "tiny":
                save_table(rows, options.table)
    print(markdown(pd.DataFrame(rows)))
    if options.size == "tiny" or options.table != TABLE:
        return
    (DOCS / "benchmark_machine.txt").write_text(describe_machine(options.threads))
    # the picture has no place for what an earlier run measured
    if len(options.jobs) == len(JOBS) and options.peers is None:
        draw_peers(curves, SIZES[options.size], DOCS / "images" / f"benchmark_peers_{options.size}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="reduced", help="tiny writes nothing")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="of those that can do a job")
    parser.add_argument("--adam", action="store_true", help='also run popglm with solver="adam"')
    parser.add_argument("--tol", nargs="+", type=float, default=[1e-1, 1e-2, 1e-3, 1e-5], help="of popglm's curve")
    parser.add_argument("--table", type=Path, default=TABLE, help="where a second machine's rows go")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--budget", type=float, default=15, help="seconds after which a run begins nothing new; twice that ends it"
    )
    main(parser.parse_args())

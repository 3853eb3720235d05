"""A population with coupling between all its neurons, fitted by popglm and by NeMoS to one and the same objective.

Run in popglm's environment::

    python benchmarks/coupling.py [--neurons 20] [--functions 8] [--samples 5000] [--strength 1e-3] [--repeats 3]
        [--tightest 0]

Every neuron of a random network of refractory Poisson neurons is explained by the past of all, on one and the same
design matrix with a ridge penalty, in float32. Runs popglm and NeMoS in turn, each in a process and an environment of
its own and on as many cores as threads. Prints, for each tolerance, median seconds by the clock and of CPU, those of
CPU that compiling takes in each fit, and the gap: by how much the objective of the worst neuron, in float64, is above
the least that any fit reached, over what the least is below that without weights. The ratio is of the fits that are
cheapest in CPU and have no gap above --gap, with compiling and without. The first fit of each process is not counted.
NeMoS is not fitted to tolerances below --tightest, which take many minutes where neurons are many.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from environments import COUPLED, run

import popglm as pg


def coupled_activity(n_samples: int, n_neurons: int) -> pd.DataFrame:
    """Counts of neurons that hold themselves down, each moved by three others at random."""
    rng = np.random.default_rng(0)
    weights = -1.5 * np.eye(n_neurons)
    for target in range(n_neurons):
        sources = rng.choice(np.delete(np.arange(n_neurons), target), 3, replace=False)
        weights[sources, target] = rng.normal(0, 0.5, 3)
    trace, counts = np.zeros(n_neurons), np.zeros((n_samples, n_neurons))
    for t in range(n_samples):
        counts[t] = rng.poisson(np.exp(np.clip(-1.5 + trace @ weights, None, 1.0)))
        trace = 0.5 * trace + 0.5 * counts[t]
    return pd.DataFrame(counts, columns=[f"n{j}" for j in range(n_neurons)])


def write_arrays(options: argparse.Namespace, path: Path) -> None:
    """The columns of all couplings, z-scored, and the counts."""
    counts = coupled_activity(options.samples, options.neurons)
    basis = pg.log_bumps("lag", n=options.functions, low=1, high=40)
    X = pg.Design(pg.coupling(counts.columns, basis)).fit_transform(counts)
    np.savez(path, X=X.to_numpy(np.float32), Y=counts.to_numpy(np.float32), lam=options.strength)


def objectives(arrays: dict[str, np.ndarray], intercept: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Mean negative log-likelihood, less what does not depend on the fit, and the penalty, for each neuron."""
    eta = arrays["X"].astype(float) @ coef.T.astype(float) + intercept
    loss = (np.exp(eta) - arrays["Y"] * eta).mean(axis=0)
    return loss + arrays["lam"] / 2 * (coef.astype(float) ** 2).sum(axis=1)


def gaps(arrays: dict[str, np.ndarray], found: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Of each library, the worst gap at each tolerance."""
    mean = arrays["Y"].mean(axis=0, dtype=float)
    reached = {
        name: np.stack([objectives(arrays, *one) for one in zip(runs[0]["intercept"], runs[0]["coef"], strict=True)])
        for name, runs in found.items()
    }
    least = np.concatenate(list(reached.values())).min(axis=0)
    without = mean - mean * np.log(mean)
    return {name: ((one - least) / (without - least)).max(axis=1) for name, one in reached.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("neurons", 20), ("functions", 8), ("samples", 5000), ("repeats", 3), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--strength", type=float, default=1e-3)
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--tightest", type=float, default=0.0)
    options = parser.parse_args()
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in COUPLED}
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder) / "arrays.npz", Path(folder) / "result.npz"
        write_arrays(options, path)
        with np.load(path) as data:
            arrays = dict(data)
        for _ in range(options.repeats):
            for name, peer in COUPLED.items():
                tightest = ("--tightest", str(options.tightest if name == "nemos" else 0.0))
                if trouble := run(peer, path, result, options.threads, float("inf"), tightest):
                    raise SystemExit(f"{peer.label}: {trouble}")
                with np.load(result) as data:
                    found[name].append(dict(data))
    cheapest: dict[str, tuple[float, float]] = {}
    for name, worst in gaps(arrays, found).items():
        seconds, cpu, compiling = (
            np.median([one[key] for one in found[name]], axis=0) for key in ("seconds", "cpu", "compiling")
        )
        for k, tolerance in enumerate(found[name][0]["tolerance"]):
            print(
                f"{COUPLED[name].label}, tolerance {tolerance:g}: {seconds[k]:.2f} s, {cpu[k]:.2f} of CPU, of which "
                f"{compiling:.2f} compile; gap {worst[k]:.1e}"
            )
            if worst[k] <= options.gap and cpu[k] < cheapest.get(name, (np.inf,))[0]:
                cheapest[name] = float(cpu[k]), max(float(cpu[k] - compiling), 0.0)
    if len(cheapest) < len(COUPLED):
        raise SystemExit(f"no ratio: {', '.join(set(COUPLED) - set(cheapest))} did not come within {options.gap:g}")
    (ours, ours_alone), (theirs, theirs_alone) = cheapest["popglm"], cheapest["nemos"]
    _, columns = arrays["X"].shape
    print(
        f"{options.neurons} neurons, {columns} columns, {options.samples:,} samples: CPU of NeMoS over that of popglm "
        f"{theirs / ours:.1f}, without compiling {theirs_alone / ours_alone:.1f}"
    )


if __name__ == "__main__":
    main()

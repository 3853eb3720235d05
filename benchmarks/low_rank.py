"""Couplings of low rank beside own pasts alone and ridges of all weights: time, memory, and deviance of later samples.

Run in popglm's environment::

    python benchmarks/low_rank.py [--neurons 60] [--functions 8] [--samples 8000] [--rank 5] [--strength 0.1] [--quick]

Two recordings: of `benchmarks/coupling.py`, in which every neuron is moved by three others at random, and of a network
in which all are moved by three latent signals. The second ridge leaves a neuron's own past as free as `LowRankGLM`
does, by factors of each neuron, which take longer; ``--quick`` leaves it out. Each fit has a process of its own, and
takes four fifths of the samples.
Prints seconds by the clock and of CPU, the peak of memory in GB with X in it, evaluations, the rank, the gap above the
minimum over all ranks and the slope within the rank, in units of the null deviance; and the deviance explained of the
last fifth.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from coupling import coupled_activity

import popglm as pg

FITS = ("low rank", "own pasts alone", "ridge", "ridge, own pasts free")


def latent_activity(n_samples: int, n_neurons: int, n_signals: int = 3) -> pd.DataFrame:
    """Counts of neurons that hold themselves down, all of them moved by a few sums of the population's past."""
    rng = np.random.default_rng(0)
    sends = rng.normal(0, 1, (n_neurons, n_signals)) / np.sqrt(n_neurons)
    hears = rng.normal(0, 0.6, (n_signals, n_neurons))
    trace, counts = np.zeros(n_neurons), np.zeros((n_samples, n_neurons))
    for t in range(n_samples):
        eta = -1.5 - 1.5 * trace + (trace @ sends) @ hears
        counts[t] = rng.poisson(np.exp(np.clip(eta, None, 1.0)))
        trace = 0.5 * trace + 0.5 * counts[t]
    return pd.DataFrame(counts, columns=[f"n{j}" for j in range(n_neurons)])


def fitted(name: str, options: argparse.Namespace, path: Path) -> dict[str, float]:
    """One fit, and what it took; Y has the names of the neurons, and X those of the groups."""
    with np.load(path) as data:
        X, Y = data["X"], pd.DataFrame(data["Y"], columns=[f"n{j}" for j in range(options.neurons)])
    groups = np.repeat([f"n{j} coupling" for j in range(options.neurons)], options.functions).tolist()
    stop = 4 * len(X) // 5
    rank = options.rank if name == "low rank" else 0
    model = pg.LowRankGLM(low_rank=rank, lambdas=options.strength, feature_groups=groups)
    if name.startswith("ridge"):
        free = np.where(np.eye(options.neurons, dtype=bool), model.ridge / options.ridge, 1.0)
        factors = free if name.endswith("free") else None
        model = pg.GLM(lambdas=[options.ridge], feature_groups=groups, penalty_factors=factors)
    clock, cpu = time.perf_counter(), time.process_time()
    model.fit(X[:stop], Y.iloc[:stop])
    found = {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found |= {"gap": float(np.max(model.gap_)), "evaluations": float(np.max(model.n_iter_))}
    if isinstance(model, pg.LowRankGLM):
        found |= {"rank": model.rank_, "slope": model.slope_}
    return found | {"score": model.score(X[stop:], Y.iloc[stop:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("neurons", 60), ("functions", 8), ("samples", 8000), ("rank", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--strength", type=float, default=0.1)
    parser.add_argument("--ridge", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", choices=FITS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(fitted(options.one, options, options.path)))
        return
    basis = pg.log_bumps("lag", n=options.functions, low=1, high=40)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        for recording, counts in (
            ("three others at random", coupled_activity(options.samples, options.neurons)),
            ("three latent signals", latent_activity(options.samples, options.neurons)),
        ):
            X = pg.Design(pg.coupling(counts.columns, basis)).fit_transform(counts)
            np.savez(path, X=X.to_numpy(np.float32), Y=counts.to_numpy(np.float32))
            print(f"{recording}: {options.neurons} neurons, {X.shape[1]:,} columns, {len(X):,} samples")
            for name in FITS[: 3 if options.quick else 4]:
                command = [sys.executable, __file__, *sys.argv[1:], "--one", name, "--path", str(path)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(out.splitlines()[-1])
                print(f"  {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()))


if __name__ == "__main__":
    main()

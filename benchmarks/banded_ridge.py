"""A search over weights of feature spaces beside himalaya's, over the same weights, strengths and folds, in one run.

Run in popglm's environment::

    python benchmarks/banded_ridge.py [--samples 2000] [--columns 300] [--neurons 250] [--candidates 100] [--repeats 1]

Runs popglm and himalaya in turn, each in a process and an environment of its own and on as many cores as threads.
Prints median seconds, by the clock and of CPU, their ratios, and how far least held-out errors of neurons are apart.
himalaya has float32 as popglm has. With --kernels himalaya's multiple-kernel solver, which is for more columns than
samples.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from environments import BANDED, run


def write_arrays(options: argparse.Namespace, path: Path) -> None:
    """Activity of neurons that draw on three spaces in unlike shares."""
    rng, n, q, spaces = np.random.default_rng(0), options.samples, options.neurons, 3
    sizes = np.full(spaces, options.columns // spaces)
    p = int(sizes.sum())
    X = rng.standard_normal((n, p)) @ (np.eye(p) + rng.standard_normal((p, p)) / np.sqrt(p))
    shares = np.repeat(rng.dirichlet(np.full(spaces, 0.3), q).T, sizes, axis=0)
    Y = X @ (np.sqrt(shares * spaces / p) * rng.standard_normal((p, q))) + 3 * rng.standard_normal((n, q))
    weights = rng.dirichlet(np.ones(spaces), options.candidates)
    weights[0] = 1 / spaces
    np.savez(
        path, X=X.astype(np.float32), Y=Y.astype(np.float32), sizes=sizes, weights=weights,
        lambdas=10.0 ** np.linspace(1, -3, 20), n_folds=5,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("samples", 2000), ("columns", 300), ("neurons", 250), ("candidates", 100), ("repeats", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernels", action="store_true")
    options = parser.parse_args()
    peers = {"popglm": BANDED["popglm"], "himalaya": BANDED["himalaya-kernels" if options.kernels else "himalaya"]}
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in peers}
    with tempfile.TemporaryDirectory() as folder:
        arrays, result = Path(folder) / "arrays.npz", Path(folder) / "result.npz"
        write_arrays(options, arrays)
        for _ in range(options.repeats):
            for name, peer in peers.items():
                if trouble := run(peer, arrays, result, options.threads, float("inf")):
                    raise SystemExit(f"{peer.label}: {trouble}")
                with np.load(result) as data:
                    found[name].append(dict(data))
                print(
                    f"{peer.label}: {found[name][-1]['seconds']:.1f} s, {found[name][-1]['cpu']:.1f} of CPU", flush=True
                )
    (ours_clock, ours_cpu), (clock, cpu) = (
        [float(np.median([one[key] for one in found[name]])) for key in ("seconds", "cpu")] for name in peers
    )
    ours, theirs = found["popglm"][0], found["himalaya"][0]
    apart = np.abs(ours["error"] / theirs["error"] - 1).max()
    same = np.mean(ours["chosen"] == theirs["chosen"])
    print(
        f"{options.samples:,} x {options.columns} x {options.neurons}, {options.candidates} candidates: popglm "
        f"{ours_clock:.1f} s ({ours_cpu:.1f} of CPU), {peers['himalaya'].label} {clock:.1f} s ({cpu:.1f}), "
        f"{clock / ours_clock:.1f} x ({cpu / ours_cpu:.1f} x); errors within {apart:.1e}, the same candidate for "
        f"{same:.1%}"
    )


if __name__ == "__main__":
    main()

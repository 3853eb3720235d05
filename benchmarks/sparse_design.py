"""A sparse design of 10⁶ samples and 10⁴ columns: popglm for a population, and glum and skglm for one of its neurons.

Run in popglm's environment, on Linux::

    python benchmarks/sparse_design.py [--samples 1000000] [--levels 1000] [--neurons 100] [--penalty lasso]

Ten categories of a thousand levels, of which every sample has one each (0.1 % filled), Poisson activity at weights on
a fifth of the levels, two strengths. Each library runs in an environment and a process of its own with two threads;
peers fit ``--peer-neurons`` of the neurons, and their time is scaled to all. Objectives are compared in float64: how
far they lie above the best that any library reached, over half the null deviance, the unit of the certificate. Peak
memory is that of the whole process, libraries and arrays counted.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from environments import HERE, PEERS, POPGLM, interpreter
from scipy import sparse, special

FACTORS, SHARE, BLOCK = 10, 0.2, 50_000
RUNNERS = {"popglm": (POPGLM, ()), "glum": (PEERS["glum"], (1e-4, 1e-5, 1e-6)), "skglm": (PEERS["skglm"], (1e-4, 1e-5))}


def write(folder: Path, n_samples: int, n_levels: int, n_neurons: int) -> None:
    """X and Y, in pieces."""
    rng = np.random.default_rng(0)
    often = 1 / np.sqrt(np.arange(1, n_levels + 1))
    levels = [rng.choice(n_levels, n_samples, p=often / often.sum()) + k * n_levels for k in range(FACTORS)]
    columns = np.stack(levels, axis=1).astype(np.int32).ravel()
    X = sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns, np.arange(0, len(columns) + 1, FACTORS, dtype=np.int32)),
        (n_samples, FACTORS * n_levels),
    )
    sparse.save_npz(folder / "X.npz", X)
    W = 0.5 * rng.standard_normal((X.shape[1], n_neurons)) * (rng.random((X.shape[1], n_neurons)) < SHARE)
    Y = np.lib.format.open_memmap(folder / "Y.npy", "w+", np.float32, (n_samples, n_neurons))
    for first in range(0, n_samples, BLOCK):
        eta = X[first : first + BLOCK] @ W - 1.5
        Y[first : first + BLOCK] = rng.poisson(np.exp(np.minimum(eta, 3)))


def objectives(folder: Path, result: dict[str, np.ndarray], lambdas: list[float], l1_ratio: float) -> np.ndarray:
    """Mean deviance loss above the saturated model's, with the penalty, of every tolerance, strength and neuron."""
    X, n = sparse.load_npz(folder / "X.npz").astype(float), result["coef_path"].shape[2]
    Y = np.load(folder / "Y.npy", mmap_mode="r")[:, :n].astype(float)
    found = np.empty(result["intercept_path"].shape)
    for place in np.ndindex(found.shape[:2]):
        W, lam = result["coef_path"][place].astype(float), lambdas[place[1]]
        eta = X @ W.T + result["intercept_path"][place]
        loss = (np.exp(eta) - Y * eta + special.xlogy(Y, Y) - Y).mean(axis=0)
        found[place] = loss + lam * (l1_ratio * np.abs(W).sum(axis=1) + (1 - l1_ratio) / 2 * (W**2).sum(axis=1))
    return found


def run(name: str, folder: Path, options: argparse.Namespace) -> dict[str, np.ndarray] | None:
    """A library's paths, at each of its tolerances, or None if it ended early."""
    peer, tolerances = RUNNERS[name]
    neurons = options.neurons if name == "popglm" else options.peer_neurons
    result = folder / f"{name}.npz"
    threads = {f"{library}_NUM_THREADS": "2" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    command = [
        str(interpreter(peer)), str(HERE / "runners" / f"sparse_with_{name}.py"), str(folder), str(result),
        "--neurons", str(neurons), "--penalty", options.penalty, "--lambdas", *map(str, options.lambdas),
    ]  # fmt: skip
    if tolerances:
        command += ["--tolerances", *map(str, tolerances)]
    try:
        subprocess.run(command, env=os.environ | threads, check=True, timeout=options.budget)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        # what was saved of the first tolerances counts
        print(f"{name}: {error}", flush=True)
    if not result.exists():
        return None
    with np.load(result) as data:
        return {key: data[key] for key in data.files}


def main() -> None:
    """Write the arrays, run all, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--levels", type=int, default=1_000)
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--peer-neurons", type=int, default=1)
    parser.add_argument("--penalty", default="lasso", choices=["lasso", "ridge"])
    parser.add_argument("--lambdas", type=float, nargs="+", default=[3e-4, 1e-4])
    parser.add_argument("--only", nargs="+", default=list(RUNNERS))
    parser.add_argument("--budget", type=float, default=3600, help="seconds after which a library is ended")
    options = parser.parse_args()
    names = [name for name in options.only if not (name == "skglm" and options.penalty == "ridge")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder, options.samples, options.levels, options.neurons)
        results = {name: found for name in names if (found := run(name, folder, options)) is not None}
        l1_ratio = {"lasso": 1.0, "ridge": 0.0}[options.penalty]
        shown = min(options.peer_neurons, options.neurons)
        for found in results.values():
            found["coef_path"], found["intercept_path"] = (
                found[key][:, :, :shown] for key in ("coef_path", "intercept_path")
            )
        values = {name: objectives(folder, found, options.lambdas, l1_ratio) for name, found in results.items()}
        Y = np.load(folder / "Y.npy", mmap_mode="r")[:, :shown].astype(float)
    null = (special.xlogy(Y, Y) - Y - special.xlogy(Y.mean(axis=0), Y.mean(axis=0)) + Y.mean(axis=0)).mean(axis=0)
    null -= (np.log(Y.mean(axis=0)) * (Y - Y.mean(axis=0))).mean(axis=0)
    best = np.min([value.min(axis=0) for value in values.values()], axis=0)
    for name, value in values.items():
        found, scale = results[name], options.neurons / (options.neurons if name == "popglm" else options.peer_neurons)
        for k, tolerance in enumerate(found["tolerance"]):
            row = {
                "library": name,
                "tolerance": float(tolerance),
                "above the best": float(((value[k] - best) / null).max()),
                "seconds": round(float(found["seconds"][k]) * scale, 1),
                "CPU seconds": round(float(found["cpu"][k]) * scale, 1),
                "peak MB": round(float(found["peak"])),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

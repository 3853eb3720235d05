"""Paths of softmax regressions by popglm, adelie and scikit-learn on the same columns and objective.

Run in popglm's environment::

    python benchmarks/classes.py [--samples 10000] [--groups 20] [--columns 10] [--classes 4] [--strengths 10]

Slow columns in groups, of which a third drive a response of several classes; a group lasso whose groups hold the
weights of all classes, and a ridge. Each library runs in a process and an environment of its own, on as many cores as
threads. Prints, for each tolerance, seconds by the clock and of CPU of the whole path, and the gap: by how much the
objective of the worst strength, in float64, is above the least that any fit reached, over that of the null model. The
ratios are of the first fits that have no gap above --gap. A library begins no further tolerance after --budget seconds.
The first fit of each process is not counted.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from environments import CLASSES, run
from scipy.ndimage import gaussian_filter1d
from scipy.special import logsumexp


def arrays_of(options: argparse.Namespace, penalty: str) -> dict[str, np.ndarray]:
    """Columns, classes, and strengths from where the first group enters, or from the largest curvature of the ridge."""
    rng = np.random.default_rng(0)
    n, p, K = options.samples, options.groups * options.columns, options.classes
    X = gaussian_filter1d(rng.standard_normal((n, p)), 4, axis=0)
    X = X + 0.5 * np.repeat(X[:, :: options.columns], options.columns, axis=1)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    on = np.repeat(rng.random(options.groups) < 0.33, options.columns)
    eta = X @ (0.4 * on[:, None] * rng.standard_normal((p, K))) - np.linspace(0, 2, K)
    codes = (eta + rng.gumbel(size=(n, K))).argmax(axis=1)
    sizes, shares = np.full(options.groups, options.columns), np.bincount(codes, minlength=K) / n
    force = (shares - np.eye(K)[codes]).T @ X / n
    norms = [np.linalg.norm(part) for part in np.split(force, options.groups, axis=1)]
    top = max(norms) / np.sqrt(K * options.columns) if penalty == "group_lasso" else 1.0
    strengths = 0.9 * top * np.geomspace(1, 1e-3, options.strengths)
    return {"X": X, "codes": codes, "sizes": sizes, "strengths": strengths, "penalty": np.array(penalty)}


def objectives(arrays: dict[str, np.ndarray], intercept: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Mean of −log p and the penalty, at each strength."""
    X, codes = arrays["X"].astype(float), arrays["codes"]
    found = np.zeros(len(coef))
    for k, (b, W) in enumerate(zip(intercept.astype(float), coef.astype(float), strict=True)):
        eta = X @ W.T + b
        if str(arrays["penalty"]) == "ridge":
            norm = 0.5 * np.sum(W**2)
        else:
            parts = np.split(W, np.cumsum(arrays["sizes"])[:-1], axis=1)
            norm = sum(np.sqrt(part.size) * np.linalg.norm(part) for part in parts)
        found[k] = np.mean(logsumexp(eta, axis=1) - eta[np.arange(len(X)), codes]) + arrays["strengths"][k] * norm
    return found


def compare(options: argparse.Namespace, penalty: str) -> None:
    """Run all libraries that have the penalty, and print what they took."""
    arrays, found = arrays_of(options, penalty), {}
    shares = np.bincount(arrays["codes"]) / len(arrays["codes"])
    null = -shares @ np.log(shares)
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder) / "arrays.npz", Path(folder) / "result.npz"
        np.savez(path, **arrays)
        for name, peer in CLASSES.items():
            if name == ("adelie" if penalty == "ridge" else "scikit-learn"):
                continue
            if trouble := run(peer, path, result, options.threads, options.budget):
                print(f"{peer.label}: {trouble}")
                continue
            with np.load(result) as data:
                found[name] = dict(data)
    reached = {
        name: np.stack([objectives(arrays, *one) for one in zip(runs["intercept"], runs["coef"], strict=True)])
        for name, runs in found.items()
    }
    least = np.concatenate(list(reached.values())).min(axis=0)
    first: dict[str, float] = {}
    for name, runs in found.items():
        worst = (reached[name] - least).max(axis=1) / null
        for tolerance, seconds, cpu, gap in zip(runs["tolerance"], runs["seconds"], runs["cpu"], worst, strict=True):
            label = CLASSES[name].label
            print(f"{penalty}, {label}, tolerance {tolerance:g}: {seconds:.2f} s, {cpu:.2f} of CPU; gap {gap:.1e}")
            if gap <= options.gap and name not in first:
                first[name] = float(cpu)
    for name, cpu in first.items():
        if name != "popglm" and "popglm" in first:
            print(f"{penalty}: CPU of {CLASSES[name].label} over that of popglm {cpu / first['popglm']:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"samples": 10_000, "groups": 20, "columns": 10, "classes": 4, "strengths": 10, "threads": 2}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--budget", type=float, default=60.0)
    options = parser.parse_args()
    for penalty in ("group_lasso", "ridge"):
        compare(options, penalty)


if __name__ == "__main__":
    main()

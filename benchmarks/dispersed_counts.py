"""Negative binomial models of a population beside loops over its neurons in statsmodels and glum.

Run in popglm's environment::

    python benchmarks/dispersed_counts.py [--size tutorial] [--neurons 3]

popglm fits the whole job: a group lasso over 11 strengths, five folds by trial and a fit to all rows, dispersions
estimated by every fit. No peer has that. statsmodels fits each neuron once, without a penalty, with its dispersion;
glum a path of lassos whose dispersions it is given. Each library runs in a process and an environment of its own.
Prints CPU seconds: those of the peers are medians of the first --neurons neurons, times all neurons, times the
full-data equivalents of the folds and the refit. They are held to popglm's answers, in float64: log-likelihoods
without a penalty, and objectives of the lasso, over the log-likelihood of the null model.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from environments import DISPERSED, run
from jobs import ALONE, SIZES, write_arrays
from scipy.special import gammaln


def log_likelihood(Y: np.ndarray, eta: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Mean over the samples, for each neuron; without the part of the counts alone."""
    parts = gammaln(Y + 1 / alpha) - gammaln(1 / alpha) + Y * (np.log(alpha) + eta)
    return (parts - (Y + 1 / alpha) * np.logaddexp(0, np.log(alpha) + eta)).mean(axis=0)


def compare(arrays: dict[str, np.ndarray], found: dict[str, dict[str, np.ndarray]], n: int) -> None:
    """Print how far peers are from popglm, per sample, in units of the null model's part."""
    X, Y = arrays["X"].astype(float), arrays["Y"][:, :n].astype(float)
    ours, other, glum = (found[name] for name in ("popglm", "statsmodels", "glum"))
    bare = [
        log_likelihood(Y, X @ one["bare_coef"].T + one["bare_intercept"], one["bare_alpha"]) for one in (ours, other)
    ]
    unit = np.abs(log_likelihood(Y, np.log(Y.mean(axis=0))[None], ours["bare_alpha"]))
    print(f"without a penalty, popglm's log-likelihood above that of statsmodels: {spread((bare[0] - bare[1]) / unit)}")
    less = []
    for k, strength in enumerate(arrays["lambdas"]):
        mine, theirs = (
            strength * np.abs(one["coef"][k].astype(float)).sum(axis=-1)
            - log_likelihood(Y, X @ one["coef"][k].astype(float).T + one["intercept"][k], ours["alpha"][k])
            for one in (ours, glum)
        )
        less.append((theirs - mine) / unit)
    print(f"lasso, popglm's objective below that of glum: {spread(np.array(less))}")


def spread(values: np.ndarray) -> str:
    """From the smallest to the largest."""
    return f"{values.min():.1e} to {values.max():.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="tutorial")
    parser.add_argument("--neurons", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    found: dict[str, dict[str, np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder) / "arrays.npz", Path(folder) / "result.npz"
        write_arrays(ALONE["negative-binomial-group-lasso"], SIZES[options.size], path)
        with np.load(path) as data:
            arrays = dict(data) | {"n_compared": np.array(options.neurons)}
        for name, peer in DISPERSED.items():
            np.savez(path, **arrays)
            if trouble := run(peer, path, result, options.threads, float("inf")):
                raise SystemExit(f"{peer.label}: {trouble}")
            with np.load(result) as data:
                found[name] = dict(data)
            arrays.setdefault("alpha", found["popglm"]["alpha"])
    fold, ours = arrays["fold"], found["popglm"]
    full_fits = sum((fold != f).mean() for f in np.unique(fold)) + 1
    print(f"popglm, the whole job: {ours['cpu']:.1f} s of CPU")
    for name in ("statsmodels", "glum"):
        each = np.median(found[name]["cpu"])
        loop = each * arrays["Y"].shape[1] * full_fits
        print(f"{DISPERSED[name].label}: {each:.1f} s for a neuron, {loop:.0f} s for all: {loop / ours['cpu']:.0f} ×")
    compare(arrays, found, options.neurons)


if __name__ == "__main__":
    main()

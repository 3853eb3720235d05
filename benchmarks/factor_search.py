"""Cost of a search over weights of feature spaces beside a plain ridge of the same activity, in one process.

Run in popglm's environment::

    python benchmarks/factor_search.py [--family gaussian] [--samples 2000] [--columns 300] [--neurons 250]

Prints seconds of CPU of both, and their ratio. What a first fit compiles is no part of them.
"""

import argparse
from time import process_time

import numpy as np

import popglm as pg


def recording(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """X, Y and the sizes of three spaces, on which neurons draw in unlike shares."""
    rng, n, q = np.random.default_rng(0), options.samples, options.neurons
    sizes = [options.columns // 3] * 3
    p = sum(sizes)
    X = rng.standard_normal((n, p)).astype(np.float32)
    shares = np.repeat(rng.dirichlet(np.full(3, 0.3), q).T, sizes, axis=0)
    eta = X @ (np.sqrt(shares * 0.5 / sizes[0]) * rng.standard_normal((p, q)))
    Y = rng.poisson(np.exp(eta - 1)) if options.family == "poisson" else eta + rng.standard_normal((n, q))
    return X, Y.astype(np.float32), sizes


def cpu_seconds(model: pg.GLMCV, X: np.ndarray, Y: np.ndarray) -> float:
    """CPU time of a fit, after one that compiles."""
    model.fit(X[:600], Y[:600, :3])
    began = process_time()
    model.fit(X, Y)
    return process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("samples", 2000), ("columns", 300), ("neurons", 250), ("candidates", 100)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--family", default="gaussian", choices=["gaussian", "poisson"])
    options = parser.parse_args()
    X, Y, sizes = recording(options)
    settings = {"family": options.family, "penalty": "ridge", "feature_groups": sizes}
    settings["lambdas"] = 10.0 ** np.linspace(1, -3, 20)
    plain = cpu_seconds(pg.GLMCV(**settings), X, Y)
    search = pg.FactorSearch(n_candidates=options.candidates, seed=0)
    searched = cpu_seconds(pg.GLMCV(**settings, penalty_factors=search), X, Y)
    size = f"{options.samples:,} x {options.columns} x {options.neurons}"
    print(
        f"{options.family}, {size}, {options.candidates} candidates: search {searched:.1f} s of CPU, "
        f"plain ridge {plain:.1f} s, {searched / plain:.1f} x"
    )


if __name__ == "__main__":
    main()

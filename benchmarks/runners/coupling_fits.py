"""Poisson ridge of coupled neurons to a few tolerances, with popglm or, with --nemos, with NeMoS.

`arrays.npz` holds X, Y and lam. `result.npz` gets, for each tolerance, seconds by the clock and of CPU, seconds of CPU
that compiling takes, intercepts (n_neurons,) and coefficients (n_neurons, n_features).
"""

import argparse
import warnings
from collections.abc import Callable
from time import perf_counter, process_time

import numpy as np

Fit = Callable[[float, int], tuple[np.ndarray, np.ndarray]]  # from a tolerance and the most iterations


def with_popglm(X: np.ndarray, Y: np.ndarray, lam: float) -> tuple[Fit, list[float]]:
    """How popglm fits, and its tolerances, from loose to tight."""
    import popglm as pg

    def fit(tolerance: float, max_iter: int) -> tuple[np.ndarray, np.ndarray]:
        model = pg.GLM("poisson", penalty="ridge", lambdas=[lam], tol=tolerance, max_iter=max_iter).fit(X, Y)
        return model.intercept_, model.coef_

    return fit, [1e-2, 1e-3, 1e-4, 1e-5]


def with_nemos(X: np.ndarray, Y: np.ndarray, lam: float) -> tuple[Fit, list[float]]:
    """The same of NeMoS, with L-BFGS."""
    from nemos.glm import PopulationGLM

    def fit(tolerance: float, max_iter: int) -> tuple[np.ndarray, np.ndarray]:
        model = PopulationGLM(
            observation_model="Poisson",
            regularizer="Ridge",
            regularizer_strength=lam,
            solver_name="LBFGS",
            solver_kwargs={"tol": tolerance, "maxiter": max_iter},
        ).fit(X, Y)
        return np.asarray(model.intercept_), np.asarray(model.coef_).T

    return fit, [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]


def timed(fit: Fit, tolerance: float, max_iter: int) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Seconds by the clock and of CPU, and what was fitted."""
    began, cpu = perf_counter(), process_time()
    found = fit(tolerance, max_iter)
    return perf_counter() - began, process_time() - cpu, *found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays")
    parser.add_argument("result")
    parser.add_argument("--nemos", action="store_true")
    parser.add_argument("--tightest", type=float, default=0.0)
    # what every runner is given
    parser.add_argument("--threads", type=int)
    parser.add_argument("--budget", type=float)
    options = parser.parse_args()
    with np.load(options.arrays) as file:
        X, Y, lam = file["X"], file["Y"], float(file["lam"])
    fit, tolerances = (with_nemos if options.nemos else with_popglm)(X, Y, lam)
    tolerances = [tolerance for tolerance in tolerances if tolerance >= options.tightest]
    fit(tolerances[0], 1000)  # what the first fit of a process compiles is no part of the others
    # popglm compiles once, NeMoS in every fit: one of a single iteration tells how long
    compiling = min(timed(fit, tolerances[0], 1)[1] for _ in range(3)) if options.nemos else 0.0
    found = [timed(fit, tolerance, 1000) for tolerance in tolerances]
    names = ("seconds", "cpu", "intercept", "coef")
    values = {name: np.stack([one[k] for one in found]) for k, name in enumerate(names)}
    np.savez(options.result, tolerance=tolerances, compiling=compiling, **values)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # fits that were not let go on are compared by the objective they reached
    main()

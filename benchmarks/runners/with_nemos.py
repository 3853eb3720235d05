"""NeMoS: Poisson ridge of the whole population, `PopulationGLM` with L-BFGS, each strength from the last.

It fits every fifth strength to all rows; the others and the folds are counted as equivalents.
"""

import warnings
from time import perf_counter

import numpy as np
from nemos.glm import PopulationGLM
from problem import Fit, Problem, read_problem, write_result

TOLERANCES = (1e-4, 1e-6)
MAX_ITER = 2000
EVERY = slice(None, None, 5)  # strength


def fit_path(problem: Problem, tolerance: float, max_iter: int, lambdas: np.ndarray, until: float = np.inf) -> Fit:
    """Intercepts (L, q) and coefficients (L, q, p), NaN from the strength that would begin after the time ``until``."""
    L, p, q = len(lambdas), problem.X.shape[1], problem.Y.shape[1]
    b, W = np.full((L, q), np.nan), np.full((L, q, p), np.nan)
    start = None
    for k, lam in enumerate(lambdas):
        if perf_counter() > until:
            break
        model = PopulationGLM(
            observation_model="Poisson",
            regularizer="Ridge",
            regularizer_strength=float(lam),
            solver_name="LBFGS",
            solver_kwargs={"tol": tolerance, "maxiter": max_iter},
        )
        model.fit(problem.X, problem.Y, init_params=start)
        start = model.coef_, model.intercept_
        b[k], W[k] = np.asarray(model.intercept_), np.asarray(model.coef_).T
    return b, W


def main() -> None:
    problem = read_problem()
    K, L, budget = problem.n_compared, len(problem.lambdas), problem.options.budget
    compiling = seconds_to_compile(problem)
    fits, seconds = [], []
    began = perf_counter()
    for tolerance in TOLERANCES:
        if fits and perf_counter() - began > budget:
            break
        start = perf_counter()
        some_b, some_W = fit_path(problem, tolerance, MAX_ITER, problem.lambdas[EVERY], began + budget)
        passed = perf_counter() - start
        b, W = np.full((L, K), np.nan), np.full((L, K, problem.X.shape[1]), np.nan)
        b[EVERY], W[EVERY] = some_b[:, :K], some_W[:, :K]
        done = int(np.isfinite(b[:, 0]).sum())
        if fits and done < len(some_b):
            break  # a tighter tolerance counts only if it is complete
        seconds.append(max(passed - done * compiling, 0) * L / done * problem.full_fits)
        fits.append((b, W))
        part = f"population, {done} of {L} strengths, all rows, scaled"
        write_result(problem, TOLERANCES[: len(fits)], fits, seconds, part)


def seconds_to_compile(problem: Problem) -> float:
    """Every fit compiles anew; what one of a single iteration takes is not counted."""
    times = []
    for _ in range(3):
        start = perf_counter()
        fit_path(problem, 1e-4, 1, problem.lambdas[:1])
        times.append(perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    # a fit that did not get to its tolerance is in the table, with the objective it reached
    warnings.simplefilter("ignore")
    main()

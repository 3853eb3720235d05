"""popglm: the whole job at once, its own tolerances or others, and a reference to hold all libraries to.

``--tol`` takes one or several tolerances; ``--reference`` fits the compared neurons alone, all rows, in float64 to a
certificate of 1e-7. With ``--all-rows`` the folds are left out, and their seconds reckoned from those of all rows.
What numba compiles is compiled on a small slice first.
"""

import warnings
from time import perf_counter

import numpy as np
from problem import Problem, read_problem, write_result
from sklearn.base import clone

import popglm as pg


def settings_of(problem: Problem) -> dict:
    """The job in popglm's words."""
    settings = {"family": problem.family, "penalty": problem.penalty}
    if problem.penalty == "group_lasso":
        settings["feature_groups"] = problem.sizes.tolist()
    if problem.penalty == "elastic_net":
        settings["l1_ratio"] = problem.l1_ratio
    return settings


def warm_up(problem: Problem) -> float:
    """Seconds until everything is compiled."""
    began = perf_counter()
    rows = slice(0, 1000)
    model = pg.GLMCV(
        lambdas=problem.lambdas[::2], tol=1e-2, cv=2, solver=problem.options.solver, **settings_of(problem)
    )
    model.fit(problem.X[rows], problem.Y[rows, :3])
    return perf_counter() - began


def reference(problem: Problem) -> None:
    """Minima of the compared neurons, far beyond what any library is asked for."""
    Y = problem.Y[:, : problem.n_compared]
    settings = settings_of(problem)
    began = perf_counter()
    model = pg.GLM(lambdas=problem.lambdas, tol=1e-7, max_iter=1000, precision="float64", **settings)
    model.fit(problem.X, Y)
    fit = model.intercept_path_, model.coef_path_
    write_result(problem, [1e-7], [fit], [perf_counter() - began], f"reference, gap {np.nanmax(model.gap_):.0e}")


def main(problem: Problem) -> None:
    """Every tolerance from scratch."""
    print(f"popglm: {warm_up(problem):.1f} s to compile or load what is compiled", flush=True)
    K, splits, fits, seconds = problem.n_compared, problem.splits, [], []
    start = perf_counter()
    for tol in problem.options.tol:
        if fits and perf_counter() - start > problem.options.budget:
            break
        settings = {"lambdas": problem.lambdas, "tol": tol, "solver": problem.options.solver, **settings_of(problem)}
        model, fold_equivalents, how = pg.GLMCV(cv=splits, **settings), 1.0, "whole job"
        if problem.options.all_rows:
            part = f"median of {K} neurons" if problem.one_neuron else "population"
            model, fold_equivalents, how = pg.GLM(**settings), problem.full_fits, f"{part}, all rows, scaled"
        if problem.one_neuron:
            times, models = [], []
            for j in range(K):
                began = perf_counter()
                models.append(clone(model).fit(problem.X, problem.Y[:, j]))
                times.append(perf_counter() - began)
            b, W = (np.concatenate([getattr(m, name) for m in models], axis=1) for name in PATHS)
            seconds.append(np.median(times) * fold_equivalents)
        else:
            began = perf_counter()
            model.fit(problem.X, problem.Y)
            seconds.append((perf_counter() - began) * fold_equivalents)
            b, W = (getattr(model, name)[:, :K] for name in PATHS)
        fits.append((b, W))
        write_result(problem, problem.options.tol[: len(fits)], fits, seconds, how)


PATHS = ("intercept_path_", "coef_path_")

if __name__ == "__main__":
    # at tolerances below what float32 holds every neuron is named; the table shows what was reached
    warnings.simplefilter("ignore", pg.PopglmWarning)
    job = read_problem(
        ("--tol", {"type": float, "nargs": "+", "default": [1e-4]}),
        ("--solver", {"default": "auto"}),
        ("--reference", {"action": "store_true"}),
        ("--all-rows", {"action": "store_true"}),
    )
    reference(job) if job.options.reference else main(job)

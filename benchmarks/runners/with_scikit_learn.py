"""scikit-learn: Gaussian ridge of the whole population, Gaussian lasso and Poisson ridge neuron by neuron.

`Ridge` sums over samples (alpha = n λ) and is fitted per strength and fold; `enet_path` gets XᵀX once;
`PoissonRegressor` starts each strength from the last.
"""

from time import perf_counter

import numpy as np
from problem import Fit, Problem, loop_over_neurons, read_problem, write_result
from sklearn.linear_model import PoissonRegressor, Ridge, enet_path

TOLERANCES = (1e-4, 1e-6, 1e-8)  # the first is the default


def ridge(problem: Problem) -> None:
    """Folds, held-out errors and fit to all rows, in the precision of the arrays."""
    X, Y, K = problem.X, problem.Y, problem.n_compared
    began = perf_counter()
    error = np.zeros((len(problem.lambdas), Y.shape[1]))
    for train, test in problem.splits:
        x, y, x_test, y_test = X[train], Y[train], X[test], Y[test]
        for k, lam in enumerate(problem.lambdas):
            model = Ridge(alpha=len(train) * lam).fit(x, y)
            error[k] += ((y_test - model.predict(x_test)) ** 2).sum(axis=0)
    models = [Ridge(alpha=len(X) * lam).fit(X, Y) for lam in problem.lambdas]
    seconds = perf_counter() - began
    b, W = np.stack([m.intercept_[:K] for m in models]), np.stack([m.coef_[:K] for m in models])
    write_result(problem, [np.nan], [(b, W)], [seconds], "whole job, Ridge per strength and fold")


def lasso(problem: Problem) -> None:
    """Coordinate descent on XᵀX, which all neurons share."""
    X = np.asfortranarray(problem.X, dtype=float)
    began = perf_counter()
    mean = X.mean(axis=0)
    X -= mean
    gram = X.T @ X
    shared = perf_counter() - began

    def fit_path(y: np.ndarray, tolerance: float) -> Fit:
        settings = {"tol": tolerance, "max_iter": 100_000, "copy_X": False, "check_input": False}
        r = y - y.mean()
        W = enet_path(X, r, l1_ratio=1.0, alphas=problem.lambdas, precompute=gram, Xy=X.T @ r, **settings)[1].T
        return y.mean() - W @ mean, W

    loop_over_neurons(problem, fit_path, TOLERANCES, shared)


def poisson_ridge(problem: Problem) -> None:
    """Newton's method with Cholesky factors: at these sizes faster than the default, L-BFGS."""
    X = np.ascontiguousarray(problem.X, dtype=float)

    def fit_path(y: np.ndarray, tolerance: float) -> Fit:
        model = PoissonRegressor(solver="newton-cholesky", tol=tolerance, max_iter=1000, warm_start=True)
        b, W = [], []
        for lam in problem.lambdas:
            model.set_params(alpha=lam).fit(X, y)
            b.append(model.intercept_)
            W.append(model.coef_.copy())
        return np.array(b), np.array(W)

    loop_over_neurons(problem, fit_path, TOLERANCES)


if __name__ == "__main__":
    job = read_problem()
    {("gaussian", "ridge"): ridge, ("gaussian", "lasso"): lasso, ("poisson", "ridge"): poisson_ridge}[
        job.family, job.penalty
    ](job)

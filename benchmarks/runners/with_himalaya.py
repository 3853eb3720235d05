"""himalaya: ridge with the strength selected per neuron, `RidgeCV` on its NumPy backend, whole population.

Its objective is a sum over samples: alpha = n λ. It keeps the coefficients of each neuron's selected strength alone.
"""

from time import perf_counter

import numpy as np
from himalaya.backend import set_backend
from himalaya.ridge import RidgeCV
from problem import read_problem, write_result


def main() -> None:
    problem = read_problem()
    set_backend("numpy")
    n, p, L, K = *problem.X.shape, len(problem.lambdas), problem.n_compared
    alphas = n * problem.lambdas
    began = perf_counter()
    model = RidgeCV(alphas=alphas, fit_intercept=True, cv=problem.splits).fit(problem.X, problem.Y)
    seconds = perf_counter() - began
    W, b = np.full((L, K, p), np.nan), np.full((L, K), np.nan)
    for j in range(K):
        chosen = np.argmin(np.abs(alphas - model.best_alphas_[j]))
        W[chosen, j], b[chosen, j] = model.coef_[:, j], model.intercept_[j]
    write_result(problem, [np.nan], [(b, W)], [seconds], "whole job, RidgeCV")


if __name__ == "__main__":
    main()

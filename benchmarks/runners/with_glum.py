"""glum: Poisson ridge, lasso and elastic net, one neuron after the other, each strength from the last."""

import warnings

import numpy as np
from glum import GeneralizedLinearRegressor
from problem import Fit, loop_over_neurons, read_problem

TOLERANCES = (1e-4, 1e-6, 1e-8)  # the first is the default


def main() -> None:
    problem = read_problem()
    X = np.asfortranarray(problem.X, dtype=float)
    l1_ratio = {"ridge": 0.0, "lasso": 1.0, "elastic_net": problem.l1_ratio}[problem.penalty]

    def fit_path(y: np.ndarray, tolerance: float) -> Fit:
        model = GeneralizedLinearRegressor(
            family=problem.family, l1_ratio=l1_ratio, gradient_tol=tolerance, max_iter=1000, warm_start=True
        )
        b, W = [], []
        for strength in problem.lambdas:
            model.set_params(alpha=strength).fit(X, y)
            b.append(model.intercept_)
            W.append(model.coef_.copy())
        return np.array(b), np.array(W)

    loop_over_neurons(problem, fit_path, TOLERANCES)


if __name__ == "__main__":
    # a path that did not get to its tolerance is in the table, with the objective it reached
    warnings.simplefilter("ignore")
    main()

"""skglm: lasso, elastic net and group lasso, one neuron after the other, each strength from the last."""

import warnings

import numpy as np
from problem import Fit, loop_over_neurons, read_problem
from skglm import datafits, penalties, solvers
from skglm.utils.jit_compilation import compiled_clone

TOLERANCES = (1e-4, 1e-6, 1e-8)  # the first is the default of skglm's estimators


def main() -> None:
    problem = read_problem()
    X = np.asfortranarray(problem.X, dtype=float)
    p = X.shape[1]
    grouped = problem.penalty == "group_lasso"
    kind = {"gaussian": "Quadratic", "poisson": "Poisson", "bernoulli": "Logistic"}[problem.family]
    layout = np.cumsum((0, *problem.sizes)).astype(np.int32), np.arange(p, dtype=np.int32)
    datafit = compiled_clone(getattr(datafits, kind + "Group")(*layout) if grouped else getattr(datafits, kind)())

    def penalty_at(strength: float):
        match problem.penalty:
            case "group_lasso":
                return penalties.WeightedGroupL2(strength, np.sqrt(problem.sizes.astype(float)), *layout)
            case "lasso":
                return penalties.L1(strength)
            case "elastic_net":
                return penalties.L1_plus_L2(strength, problem.l1_ratio)
        raise ValueError(f"skglm has no {problem.penalty}.")

    gaussian = problem.family == "gaussian"
    if grouped:
        solver_class = solvers.GroupBCD if gaussian else solvers.GroupProxNewton
    else:
        solver_class = solvers.AndersonCD if gaussian else solvers.ProxNewton

    def fit_path(y: np.ndarray, tolerance: float, lambdas: np.ndarray = problem.lambdas) -> Fit:
        target = 2 * y - 1 if problem.family == "bernoulli" else y
        solver = solver_class(tol=tolerance, fit_intercept=True, max_iter=1000, warm_start=True)
        if gaussian:
            datafit.initialize(X, target)
        # the linear predictor of the start is skglm's to keep, too: weights, intercept last, and Xw
        w, eta, path = None, None, []
        for strength in lambdas:
            w = solver.solve(X, target, datafit, compiled_clone(penalty_at(strength)), w_init=w, Xw_init=eta)[0]
            eta = X @ w[:-1] + w[-1]
            path.append(w.copy())
        path = np.array(path)
        return path[:, -1], path[:, :-1]

    fit_path(problem.Y[:, 0].astype(float), 1e-1, problem.lambdas[:2])  # compiles
    loop_over_neurons(problem, fit_path, TOLERANCES)


if __name__ == "__main__":
    # a path that did not get to its tolerance is in the table, with the objective it reached
    warnings.simplefilter("ignore")
    main()

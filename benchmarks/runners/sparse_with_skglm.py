"""skglm: lassos, one neuron after the other, each strength from the last."""

import warnings

import numpy as np
from skglm.datafits import Poisson
from skglm.penalties import L1
from skglm.solvers import ProxNewton
from skglm.utils.jit_compilation import compiled_clone
from sparse_job import Job, Paths


def main() -> None:
    job = Job()
    X, datafit = job.columns(), compiled_clone(Poisson())

    def path(A, y: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        solver = ProxNewton(tol=tolerance, fit_intercept=True, max_iter=1000, warm_start=True)
        w, eta, found = None, None, []
        for strength in job.lambdas:
            w = solver.solve(A, y, datafit, compiled_clone(L1(strength)), w_init=w, Xw_init=eta)[0]
            eta = A @ w[:-1] + w[-1]
            found.append(w.copy())
        found = np.array(found)
        return found[:, -1], found[:, :-1]

    # compiles
    path(X[:5000], np.array(job.Y[:5000, 0], float), 1e-1)

    def fit(tolerance: float) -> Paths:
        each = [path(X, y.astype(float), tolerance) for y in job.Y.T]
        return np.stack([b for b, _ in each], axis=1), np.stack([W for _, W in each], axis=1)

    job.run(fit, (1e-4,))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()

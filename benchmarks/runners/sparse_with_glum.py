"""glum: one neuron after the other, each strength from the last."""

import warnings

import numpy as np
from glum import GeneralizedLinearRegressor
from sparse_job import Job, Paths


def main() -> None:
    job = Job()
    X, l1_ratio = job.columns(), {"lasso": 1.0, "ridge": 0.0}[job.options.penalty]

    def path(y: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        model = GeneralizedLinearRegressor(
            family="poisson", l1_ratio=l1_ratio, gradient_tol=tolerance, max_iter=1000, warm_start=True
        )
        b, W = [], []
        for strength in job.lambdas:
            model.set_params(alpha=strength).fit(X, y)
            b.append(model.intercept_)
            W.append(model.coef_.copy())
        return np.array(b), np.array(W)

    def fit(tolerance: float) -> Paths:
        each = [path(y.astype(float), tolerance) for y in job.Y.T]
        return np.stack([b for b, _ in each], axis=1), np.stack([W for _, W in each], axis=1)

    job.run(fit, (1e-4,))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()

"""popglm: all neurons in one fit."""

import warnings

import numpy as np
from sparse_job import Job, Paths

import popglm as pg


def main() -> None:
    job = Job()
    settings = {"penalty": job.options.penalty, "lambdas": job.lambdas}
    # compiles
    few = np.arange(0, job.X.shape[0], max(job.X.shape[0] // 2000, 1))
    pg.GLM(max_iter=4, **settings).fit(job.X[few], job.Y[few, :2])
    Y = np.array(job.Y)

    def fit(tolerance: float) -> Paths:
        model = pg.GLM(tol=tolerance, **settings).fit(job.X, Y)
        evaluations = model.n_iter_.mean(axis=1).round(1).tolist()
        print(model.timings_, evaluations, "largest gap", np.nanmax(model.gap_), flush=True)
        return model.intercept_path_, model.coef_path_

    job.run(fit, (1e-4,))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()

"""Certificates beside the true distance from the minimum, for a Poisson group lasso of a simulated session.

Run in popglm's environment::

    python benchmarks/certificates.py [--samples 27396] [--task-variables 8] [--neurons 16]

The fit at default settings is compared with a float64 fit to tol 1e-8, both by an objective written out here. Printed
are the largest true excess, the largest certificate, and, by strength, the largest ratio of the two over neurons (with
2e-6 of float32 rounding taken off the excess), all in units of half the mean null deviance.
"""

import argparse
import warnings

import numpy as np
from jobs import LAMBDAS
from scipy.special import xlogy

import popglm as pg


def main(n_samples: int, n_task_variables: int, n_neurons: int) -> None:
    """Fit twice, compare, print."""
    session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables)
    X = pg.maze_design(n_task_variables).fit_transform(session.behavior).astype(float)
    Y = session.activity.to_numpy(float)
    sizes = X.columns.get_level_values("group").value_counts(sort=False).to_numpy()
    starts = np.cumsum(sizes) - sizes

    def objective(model: pg.GLM) -> np.ndarray:
        values = np.empty((len(LAMBDAS), n_neurons))
        for k, (W, b) in enumerate(zip(model.coef_path_.astype(float), model.intercept_path_, strict=True)):
            eta = X.to_numpy() @ W.T + b
            norms = np.sqrt(np.add.reduceat(W**2, starts, axis=1)) @ np.sqrt(sizes)
            values[k] = (np.exp(eta) - Y * eta).mean(axis=0) + LAMBDAS[k] * norms
        return values

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fast = pg.GLM(penalty="group_lasso", lambdas=LAMBDAS).fit(X.astype(np.float32), Y)
        exact = pg.GLM(penalty="group_lasso", lambdas=LAMBDAS, precision="float64", tol=1e-8, max_iter=2000).fit(X, Y)
    mean = Y.mean(axis=0)
    unit = mean - xlogy(mean, mean) - (Y - xlogy(Y, Y)).mean(axis=0)
    excess = (objective(fast) - objective(exact)) / unit
    ratio = np.where(fast.gap_ > 1e-7, (excess - 2e-6) / np.maximum(fast.gap_, 1e-7), 0)
    print(f"evaluations per strength: {fast.n_iter_.mean():.1f}; certificate of the exact fit: {exact.gap_.max():.1e}")
    print(f"largest true excess {excess.max():.1e}, largest certificate {fast.gap_.max():.1e}")
    print(f"excess over certificate, largest {ratio.max():.2f}; by strength {ratio.max(axis=1).round(2).tolist()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=27_396)
    parser.add_argument("--task-variables", type=int, default=8)
    parser.add_argument("--neurons", type=int, default=16)
    options = parser.parse_args()
    main(options.samples, options.task_variables, options.neurons)

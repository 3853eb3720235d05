"""Selected strengths and held-out deviance at default settings beside a float64 fit to a certificate of 1e-7.

Run in popglm's environment::

    python benchmarks/agreement.py [--samples 27396] [--task-variables 8] [--neurons 12]

Poisson group lasso of a simulated session, 11 strengths, five folds by trial. Printed are how many neurons choose
another strength, by how many places, and the largest differences of held-out deviance explained, at every strength and
at the chosen one.
"""

import argparse
import warnings

import numpy as np
from jobs import LAMBDAS

import popglm as pg


def main(n_samples: int, n_task_variables: int, n_neurons: int) -> None:
    """Fit twice, compare, print."""
    session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables)
    X = pg.maze_design(n_task_variables).fit_transform(session.behavior)
    settings = {"penalty": "group_lasso", "lambdas": LAMBDAS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [
            pg.GLMCV(**settings, **more).fit(X, session.activity, groups=session.behavior["trial"])
            for more in ({}, {"precision": "float64", "tol": 1e-7, "max_iter": 2000})
        ]
    fast, exact = fits
    moved = np.abs(fast.lambda_index_ - exact.lambda_index_)
    path = np.abs(fast.cv_deviance_explained_path_ - exact.cv_deviance_explained_path_)
    chosen = np.abs(fast.cv_deviance_explained_ - exact.cv_deviance_explained_)
    print(f"certificate of the exact fits: {max(np.nanmax(exact.gap_), np.nanmax(exact.cv_gap_)):.1e}")
    print(f"other strengths: {(moved > 0).sum()} of {n_neurons} neurons, by {moved.max()} places at most")
    print(f"deviance explained, largest difference by strength: {path.max(axis=1).round(5).tolist()}")
    print(f"deviance explained at the chosen strength: largest {chosen.max():.1e}, median {np.median(chosen):.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=27_396)
    parser.add_argument("--task-variables", type=int, default=8)
    parser.add_argument("--neurons", type=int, default=12)
    options = parser.parse_args()
    main(options.samples, options.task_variables, options.neurons)

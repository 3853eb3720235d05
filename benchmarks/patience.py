"""What `GLMCV(patience=...)` saves, and what it does to selection.

Run in popglm's environment::

    python benchmarks/patience.py [--samples 27396] [--task-variables 8] [--neurons 100] [--strengths 11] [--seed 0]

Group lasso of a simulated session's Poisson activity, strengths from 0.1 to 1e-6, five folds by trial. Printed are, for
each patience, CPU seconds beside those of a whole path fitted just before, evaluations that count, strengths that
neurons went down to, how many choose another strength, and the most held-out deviance explained that one loses by that.
"""

import argparse
import time
import warnings

import numpy as np

import popglm as pg


def main(n_samples: int, n_task_variables: int, n_neurons: int, n_lambdas: int, seed: int) -> None:
    """Fit with and without, compare, print."""
    session = pg.maze_session(n_samples, n_neurons, n_task_variables=n_task_variables, seed=seed)
    X = pg.maze_design(n_task_variables).fit_transform(session.behavior)

    def fit(patience: int | None) -> tuple[pg.GLMCV, float]:
        model = pg.GLMCV(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -6, n_lambdas), patience=patience)
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, session.activity, groups=session.behavior["trial"])
        return model, time.process_time() - began

    # compile
    fit(1)
    for patience in (1, 2, 3):
        (whole, before), (model, after) = fit(None), fit(patience)
        evaluations, all_evaluations = (m.n_iter_.sum() + m.cv_n_iter_.sum() for m in (model, whole))
        loss = whole.cv_deviance_explained_ - model.cv_deviance_explained_
        print(
            f"patience {patience}: {after:.1f} s for {before:.1f} s; {evaluations} evaluations for {all_evaluations}; "
            f"strengths, median {np.median(model.n_lambdas_fitted_):g} of {n_lambdas}; "
            f"other strengths: {(model.lambda_index_ != whole.lambda_index_).sum()} of {n_neurons} neurons; "
            f"deviance explained lost, at most {loss.max():.4f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=27_396)
    parser.add_argument("--task-variables", type=int, default=8)
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--strengths", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.samples, options.task_variables, options.neurons, options.strengths, options.seed)

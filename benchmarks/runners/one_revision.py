"""The whole job with the popglm on PYTHONPATH: one line of JSON per fit. What any revision of popglm can run.

What is compiled on first use is compiled, or loaded, on a few neurons before the clock starts. ``--compile`` ends
there, so that a later process has no compiler in its memory.
"""

import json
import resource
import time
import warnings

import numpy as np
from problem import Problem, read_problem
from with_popglm import settings_of

import popglm as pg


def fit(problem: Problem, Y: np.ndarray) -> pg.GLMCV:
    """Five folds and a fit to all rows."""
    return pg.GLMCV(lambdas=problem.lambdas, cv=problem.splits, **settings_of(problem)).fit(problem.X, Y)


def main(problem: Problem) -> None:
    """Fit a few neurons, then all of them with the clock running."""
    Y = problem.Y[:, :1] if problem.one_neuron else problem.Y
    fit(problem, Y[:, :4])
    if problem.options.compile:
        return
    wall, cpu = time.perf_counter(), time.process_time()
    model = fit(problem, Y)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    gaps = np.concatenate([np.ravel(model.gap_), np.ravel(model.cv_gap_)])
    line = {
        "wall": wall,
        "cpu": cpu,
        "evaluations": int(model.n_iter_.sum() + model.cv_n_iter_.sum()),
        "above_tol": int((~(gaps <= model.tol)).sum()),
        "fits": gaps.size,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "held_out": [float(v) for v in np.ravel(model.cv_deviance_explained_)],
        "module": pg.__file__,
    }
    print("result", json.dumps(line), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", pg.PopglmWarning)
    main(read_problem(("--compile", {"action": "store_true"})))

"""adelie: lasso, elastic net and group lasso, one neuron after the other.

Nothing standardised, intercept unpenalised, adelie's own default tolerances, the whole path (no early exit). In
float64, because adelie's block Newton stops in float32 before it reaches its default tolerance. With ``--gram``
(Gaussian only) all neurons share one XᵀX, which adelie does not do by itself, but lets its user do.
"""

from time import perf_counter

import adelie
import numpy as np
from problem import Fit, Problem, loop_over_neurons, read_problem

DEFAULT = np.nan  # adelie has several tolerances; none of them is touched


def settings_of(problem: Problem) -> dict:
    """The penalty in adelie's words."""
    common = {
        "lmda_path": problem.lambdas,
        "n_threads": problem.options.threads,
        "early_exit": False,
        "progress_bar": False,
    }
    match problem.penalty:
        case "group_lasso":
            return {**common, "groups": np.cumsum((0, *problem.sizes[:-1]))}
        case "lasso":
            return common
        case "elastic_net":
            return {**common, "alpha": problem.l1_ratio}
    raise ValueError(f"adelie has no {problem.penalty}.")


def complete(state, problem: Problem) -> Fit:
    """Intercepts and coefficients, NaN at strengths that adelie did not get to."""
    done, p = len(state.intercepts), problem.X.shape[1]
    b, W = np.full(len(problem.lambdas), np.nan), np.full((len(problem.lambdas), p), np.nan)
    if done:
        b[:done], W[:done] = state.intercepts, state.betas.toarray()
    return b, W


def from_rows(problem: Problem) -> None:
    """grpnet, the usual way."""
    X = np.asfortranarray(problem.X, dtype=float)
    settings = settings_of(problem)
    glm = {"gaussian": adelie.glm.gaussian, "poisson": adelie.glm.poisson, "bernoulli": adelie.glm.binomial}

    def fit_path(y: np.ndarray, _: float) -> Fit:
        return complete(adelie.grpnet(X=X, glm=glm[problem.family](y=y), **settings), problem)

    loop_over_neurons(problem, fit_path, [DEFAULT])


def from_gram(problem: Problem) -> None:
    """The covariance method, with one covariance for all neurons."""
    X = np.asfortranarray(problem.X, dtype=float)
    settings = settings_of(problem)
    began = perf_counter()
    mean = X.mean(axis=0)
    centred = X - mean
    A = np.asfortranarray(centred.T @ centred / len(X))
    shared = perf_counter() - began

    def fit_path(y: np.ndarray, _: float) -> Fit:
        state = adelie.gaussian_cov(A=A, v=centred.T @ (y - y.mean()) / len(y), **settings)
        W = complete(state, problem)[1]
        return y.mean() - W @ mean, W

    loop_over_neurons(problem, fit_path, [DEFAULT], shared)


if __name__ == "__main__":
    job = read_problem(("--gram", {"action": "store_true"}))
    from_gram(job) if job.options.gram else from_rows(job)

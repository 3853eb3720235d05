"""Whatever the problem, no fit lies further above its minimum than its certificate says."""

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="the property suite needs hypothesis, of the dev extra")

from hypothesis import example, given
from lowest import lowest_objective, problem_objective, unit_of_gap
from random_problems import Problem, problems, quietly

from popglm import GLM

#: What rounding may add, in units of the certificate.
ROUNDING = {"float32": 3e-6, "float64": 1e-8}


def check_certificates(problem: Problem) -> None:
    """Every strength and neuron of a fit at default settings."""
    model = problem.fit()
    X, Y, weights, offset = problem.arrays()
    exact = quietly(
        GLM(**{**problem.settings(), "precision": "float64", "tol": 1e-10, "max_iter": 500}),
        X, Y, sample_weight=weights, offset=offset,
    )  # fmt: skip
    lambdas = [0.0] if problem.lambdas is None else problem.lambdas
    for k, lam in enumerate(lambdas):
        for j in np.flatnonzero(~model.null_fitted_):
            b, w = model.intercept_path_[k, j], model.coef_path_[k, j]
            assert np.isfinite(w).all()
            found = problem_objective(problem, j, lam, b, w)
            near = exact.intercept_path_[k, j], exact.coef_path_[k, j].astype(float)
            lowest = min(problem_objective(problem, j, lam, *near), lowest_objective(problem, j, lam, [near]))
            excess = (found - lowest) / unit_of_gap(problem, j)
            gap = model.gap_[k, j]
            assert excess <= gap + ROUNDING[problem.precision], f"strength {k}, neuron {j}: {excess:.2e} for {gap:.2e}"


#: Name of each property to its check and what it is drawn from.
PROPERTIES = {"certificates": (check_certificates, (problems(),))}


#: A rate that is its own predictor, whose best intercept puts a sample on the kink of its loss.
INTERCEPT_AT_A_KINK = Problem(
    seed=68741, n_samples=42, n_neurons=1, sizes=(1, 2, 4, 4), family="poisson", link="identity",
    penalty=("elastic_net", 0.3), smoothness=0.0, strengths=(0.01, 0.002, 0.0004), weights="integers", offset="large",
    missing=0.0, column_scales="uneven", collinear=True, precision="float64",
)  # fmt: skip


@example(INTERCEPT_AT_A_KINK)
@given(*PROPERTIES["certificates"][1])
def test_certificates(problem):
    check_certificates(problem)

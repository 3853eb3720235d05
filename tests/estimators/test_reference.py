"""popglm against the frozen solutions of adelie, glum, skglm, statsmodels and scikit-learn.

`tests/reference/make.py` tells how they were made. The objective that judges both sides is the plain NumPy
one of `tests/reference/problems.py`.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
from problems import L1_RATIO, PROBLEMS, SHARED, null_deviance, objective, solutions

from popglm import GLM

CASES = [(name, penalty) for name, found in solutions()["cases"].items() for penalty in found]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def case(request):
    """Problem, penalty and its frozen solution."""
    name, penalty = request.param
    if not name.startswith("simulated") and not SHARED.is_dir():
        pytest.skip("the recordings are not in ../shared/data")
    return PROBLEMS[name](), penalty, solutions()["cases"][name][penalty]


def fit(problem, penalty, frozen, **settings):
    model = GLM(
        family=problem.family,
        inverse_link=problem.inverse_link,
        penalty=penalty,
        l1_ratio=L1_RATIO if penalty == "elastic_net" else None,
        feature_groups=list(problem.sizes),
        lambdas=None if penalty == "none" else frozen["lambdas"],
        **settings,
    )
    return model.fit(problem.X, problem.Y, sample_weight=problem.sample_weight, offset=problem.offset)


def objectives(problem, penalty, lambdas, intercepts, coefs):
    """Objective (n_lambdas, q) in float64 of (n_lambdas, q) intercepts and (n_lambdas, q, p) weights."""
    return np.array(
        [
            [objective(problem, j, penalty, lambdas[k], b, w) for j, (b, w) in enumerate(zip(*row, strict=True))]
            for k, row in enumerate(zip(np.float64(intercepts), np.float64(coefs), strict=True))
        ]
    )


@pytest.mark.thorough(keep=18)
def test_float64_reaches_the_frozen_optimum(case):
    problem, penalty, frozen = case
    # coefficients are right to about the square root of the objective's error, hence a tol below both
    model = fit(problem, penalty, frozen, tol=1e-14, max_iter=2000, precision="float64")
    reached = objectives(problem, penalty, frozen["lambdas"], model.intercept_path_, model.coef_path_)
    np.testing.assert_allclose(reached, frozen["objective"], rtol=1e-7)
    np.testing.assert_allclose(model.coef_path_, frozen["coef"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.intercept_path_, frozen["intercept"], rtol=0, atol=1e-5)


@pytest.mark.thorough(keep=18)
def test_float32_stays_within_its_own_certificate(case):
    problem, penalty, frozen = case
    tol = 1e-5
    model = fit(problem, penalty, frozen, tol=tol, max_iter=500, precision="float32")
    reached = objectives(problem, penalty, frozen["lambdas"], model.intercept_path_, model.coef_path_)
    half_null = [null_deviance(problem, j) / 2 for j in range(problem.Y.shape[1])]
    excess = (reached - frozen["objective"]) / half_null
    rounding = 4 * np.finfo(np.float32).eps
    # without a penalty there is no duality gap; `gap_` is then the Newton decrement, right to a small factor
    slack = 4 if penalty == "none" else 1
    assert np.all(excess <= slack * model.gap_ + rounding)
    assert np.all(excess <= slack * tol + rounding)
    assert np.all(model.gap_ < 0.05), "a certificate this wide says nothing"

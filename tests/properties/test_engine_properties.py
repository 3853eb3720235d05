"""Whatever the problem, every array library finds the same minimum, and certifies it."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="the property suite needs hypothesis, of the dev extra")

from hypothesis import given, settings
from hypothesis import strategies as st
from lowest import problem_objective, unit_of_gap
from random_problems import Problem, problems

ENGINES = [name for name in ("torch", "jax", "tensorflow") if find_spec(name) is not None]


def check_engines(problem: Problem, engine: str) -> None:
    """The objectives of an engine and of NumPy lie within their certificates of each other."""
    ours, theirs = problem.fit(), replace(problem, engine=engine).fit()
    np.testing.assert_array_equal(ours.null_fitted_, theirs.null_fitted_)
    rounding = 5e-6 if problem.precision == "float32" else 1e-8
    for k, lam in enumerate([0.0] if problem.lambdas is None else problem.lambdas):
        for j in np.flatnonzero(~ours.null_fitted_):
            one, other = (
                problem_objective(problem, j, lam, model.intercept_path_[k, j], model.coef_path_[k, j])
                for model in (ours, theirs)
            )
            difference = (other - one) / unit_of_gap(problem, j)
            allowed = theirs.gap_[k, j] if difference > 0 else ours.gap_[k, j]
            assert abs(difference) <= allowed + rounding, f"strength {k}, neuron {j}: {difference:.1e}, {allowed:.1e}"


#: Name of each property to its check and what it is drawn from. Few sizes: JAX compiles for each.
PROPERTIES = {
    "engines": (
        check_engines,
        (problems(n_samples=st.just(96), n_neurons=st.just(2), sizes=st.just((3, 2))), st.sampled_from(ENGINES)),
    )
} if ENGINES else {}  # fmt: skip


@pytest.mark.skipif(not ENGINES, reason="no array library but NumPy is installed")
@settings(max_examples=12)
@given(st.data())
def test_engines(data):
    check_engines(*(data.draw(strategy) for strategy in PROPERTIES["engines"][1]))

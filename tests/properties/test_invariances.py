"""The same problem in other words has the same answer: other units, other orders, rows repeated instead of weighted."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("hypothesis", reason="the property suite needs hypothesis, of the dev extra")

from hypothesis import given
from hypothesis import strategies as st
from lowest import problem_objective, unit_of_gap
from random_problems import PENALTIES, Problem, problems, quietly

from popglm import GLM, GLMCV

#: Penalties of one power of the weights: a mixture of two has no answer that does not depend on units.
PURE = [penalty for penalty in PENALTIES if penalty[0] in ("ridge", "lasso", "group_lasso") and penalty[1] is None]

#: What is said in other words, and the problems for which it is the same problem.
REWORDINGS = ("weights in another unit", "repeated rows", "columns in another order", "groups in another order",
              "intercept moved into the offset", "columns moved")  # fmt: skip


def reworded(problem: Problem, how: str) -> tuple[tuple, Callable, list[int]] | None:
    """Arrays of the same problem in other words, how to take weights back, and the new group sizes."""
    X, Y, weights, offset = problem.arrays()
    rng = np.random.default_rng(problem.seed + 2)
    p, sizes = problem.n_features, list(problem.sizes)
    starts = np.cumsum([0, *sizes[:-1]])

    def same(b, w):
        return b, w

    match how:
        case "weights in another unit":
            unit = 10.0 ** rng.integers(-12, 13)
            return (X, Y, unit * (np.ones(len(X)) if weights is None else weights), offset), same, sizes
        case "repeated rows":
            times = rng.integers(0, 3, len(X))
            repeat = [np.repeat(a, times, axis=0) if a is not None else None for a in (X, Y, offset)]
            if weights is not None:
                return None
            return (repeat[0], repeat[1], None, repeat[2]), same, sizes
        case "columns in another order":
            if problem.smoothness:
                return None
            order = np.concatenate([a + rng.permutation(size) for a, size in zip(starts, sizes, strict=True)])
            return (X[:, order], Y, weights, offset), lambda b, w: (b, w[np.argsort(order)]), sizes
        case "groups in another order":
            moved = rng.permutation(len(sizes))
            order = np.concatenate([np.arange(starts[g], starts[g] + sizes[g]) for g in moved])
            back = np.argsort(order)
            return (X[:, order], Y, weights, offset), lambda b, w: (b, w[back]), [sizes[g] for g in moved]
        case "intercept moved into the offset":
            if not problem.fit_intercept:
                return None
            o = (np.zeros(len(X)) if offset is None else offset) + 0.7
            return (X, Y, weights, o), lambda b, w: (b + 0.7, w), sizes
    shift = rng.normal(0, 3, p)
    if not problem.fit_intercept:
        return None
    return (X + shift, Y, weights, offset), lambda b, w: (b + shift @ w.astype(float), w), sizes


def check_rewording(problem: Problem, how: str) -> None:
    """Both answers, at the objective of the first wording, lie within their certificates of each other."""
    if (other := reworded(problem, how)) is None:
        return
    (X, Y, weights, offset), back, sizes = other
    labels = [f"group {i}" for i, size in enumerate(sizes) for _ in range(size)]
    settings = {**problem.settings(), "feature_groups": labels}
    model = quietly(GLM(**settings), X, Y, sample_weight=weights, offset=offset)
    if how == "repeated rows":
        # the times of the rows are the weights of the first wording
        times = np.random.default_rng(problem.seed + 2).integers(0, 3, problem.n_samples).astype(float)
        problem = problem.weighted(times)
    first = problem.fit()
    rounding = 1e-5 if problem.precision == "float32" else 1e-7
    lambdas = [0.0] if problem.lambdas is None else problem.lambdas
    for k, lam in enumerate(lambdas):
        for j in np.flatnonzero(~first.null_fitted_ & ~model.null_fitted_):
            here = first.intercept_path_[k, j], first.coef_path_[k, j]
            there = back(model.intercept_path_[k, j], model.coef_path_[k, j])
            values = [problem_objective(problem, j, lam, *point) for point in (here, there)]
            difference = (values[1] - values[0]) / unit_of_gap(problem, j)
            allowed = first.gap_[k, j] if difference < 0 else model.gap_[k, j]
            assert abs(difference) <= allowed + rounding, (
                f"strength {k}, neuron {j}: {difference:.1e} for {allowed:.1e}"
            )


def check_units_of_gaussian_activity(problem: Problem, exponent: int) -> None:
    """Activity in another unit, strengths chosen automatically: the same held-out deviance explained, other weights."""
    X, Y, weights, _ = problem.arrays()
    unit = 10.0**exponent
    settings = {**problem.settings(), "lambdas": None, "n_lambdas": 6, "cv": 3}
    one, other = (quietly(GLMCV(**settings), X, u * Y, sample_weight=weights) for u in (1.0, unit))
    kept = ~(one.null_fitted_ | other.null_fitted_)
    np.testing.assert_allclose(other.cv_deviance_explained_[kept], one.cv_deviance_explained_[kept], rtol=0, atol=2e-3)


def check_labels(problem: Problem) -> None:
    """Columns, neurons and rows under labels in another order are the same data."""
    X, Y, weights, offset = problem.arrays()
    rng = np.random.default_rng(problem.seed + 3)
    groups = np.repeat([f"g{i}" for i in range(len(problem.sizes))], problem.sizes)
    columns = pd.MultiIndex.from_arrays([groups, [f"f{i}" for i in range(len(groups))]], names=["group", "feature"])
    times = 5.0 + 0.1 * np.arange(len(X))
    frame = pd.DataFrame(X, index=times, columns=columns)
    activity = pd.DataFrame(Y, index=times, columns=[f"cell {j}" for j in range(Y.shape[1])])
    settings = {**problem.settings(), "feature_groups": None}
    model = quietly(GLM(**settings), frame, activity, sample_weight=weights, offset=offset)
    order = rng.permutation(len(X))
    cells, features = rng.permutation(activity.columns), rng.permutation(len(columns))
    expected = model.evaluate(frame, activity, sample_weight=weights, offset=offset)
    found = model.evaluate(frame.iloc[:, features], activity.iloc[order][cells], sample_weight=weights, offset=offset)
    pd.testing.assert_frame_equal(found.loc[expected.index], expected, rtol=1e-6)


#: Name of each property to its check and what it is drawn from.
PROPERTIES = {
    "rewording": (check_rewording, (problems(), st.sampled_from(REWORDINGS))),
    "units of Gaussian activity": (
        check_units_of_gaussian_activity,
        (
            problems(
                family="gaussian", link="identity", offset="none", smoothness=0.0, n_samples=st.integers(60, 200),
                penalty=st.sampled_from(PURE),
            ),
            st.integers(-12, 12),
        ),
    ),
    "labels": (check_labels, (problems(),)),
}  # fmt: skip


@given(*PROPERTIES["rewording"][1])
def test_rewording(problem, how):
    check_rewording(problem, how)


@given(*PROPERTIES["units of Gaussian activity"][1])
def test_units_of_gaussian_activity(problem, exponent):
    check_units_of_gaussian_activity(problem, exponent)


@given(*PROPERTIES["labels"][1])
def test_labels(problem):
    check_labels(problem)

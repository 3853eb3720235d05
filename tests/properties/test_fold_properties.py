"""Whatever the problem, a fold has not seen its held-out rows, and is what it would be alone."""

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="the property suite needs hypothesis, of the dev extra")

from hypothesis import example, given
from hypothesis import strategies as st
from independent import unit_loss
from lowest import loss_link, problem_objective, unit_of_gap
from random_problems import Problem, cross_validated, problems, quietly
from scipy.special import xlogy
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, ShuffleSplit

from popglm import GLM

SPLITTERS = ("blocks", "shuffled", "trials", "overlapping", "uneven")


def splits_of(problem: Problem, splitter: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and held-out rows."""
    n = problem.n_samples
    rows, trials = np.zeros((n, 1)), np.arange(n) // 7
    match splitter:
        case "blocks":
            return list(KFold(3).split(rows))
        case "shuffled":
            return list(KFold(3, shuffle=True, random_state=problem.seed).split(rows))
        case "trials":
            return list(GroupKFold(3).split(rows, groups=trials))
        case "overlapping":
            return list(ShuffleSplit(3, test_size=0.3, random_state=problem.seed).split(rows))
    return list(RepeatedKFold(n_splits=2, n_repeats=2, random_state=problem.seed).split(rows))[:3]


def changed(problem: Problem, Y: np.ndarray, rows: np.ndarray, how: str) -> np.ndarray:
    """Y with other activity in some rows."""
    Y = Y.copy()
    match how:
        case "permuted":
            Y[rows] = np.random.default_rng(problem.seed + 1).permutation(Y[rows])
        case "larger":
            Y[rows] = 1 - Y[rows] if problem.family == "bernoulli" else 10 * Y[rows]
        case "missing":
            Y[rows] = np.nan
    return Y


def check_held_out_activity(problem: Problem, splitter: str, how: str, refit: bool) -> None:
    """No bit of a fold's weights depends on its held-out activity."""
    splits = splits_of(problem, splitter)
    _, Y, _, _ = problem.arrays()
    fold = problem.seed % len(splits)
    _, test = splits[fold]
    one = cross_validated(problem, splits, refit=refit)
    other = cross_validated(problem, splits, refit=refit, Y=changed(problem, Y, test, how))
    np.testing.assert_array_equal(one.cv_coef_path_[fold], other.cv_coef_path_[fold])
    np.testing.assert_array_equal(one.cv_intercept_path_[fold], other.cv_intercept_path_[fold])


def check_folds_alone(problem: Problem, splitter: str, tol: float) -> None:
    """Folds beside a refit, without one, and alone: the same objectives, the same held-out deviance explained."""
    splits = splits_of(problem, splitter)
    X, Y, weights, offset = problem.arrays()
    models = [cross_validated(problem, splits, refit=refit, tol=tol) for refit in (True, False)]
    for fold, (train, test) in enumerate(splits):
        alone = quietly(
            GLM(**problem.settings(), tol=tol), X[train], Y[train],
            sample_weight=None if weights is None else weights[train],
            offset=None if offset is None else offset[train],
        )  # fmt: skip
        paths = [(m.cv_coef_path_[fold], m.cv_intercept_path_[fold], m.cv_gap_[fold] <= tol) for m in models]
        path_alone = alone.coef_path_, alone.intercept_path_, alone.gap_ <= tol
        for path in paths:
            certified = path[2] & path_alone[2]
            check_objectives(training_problem(problem, train), path, path_alone, certified, tol, fold)
            found, expected = (deviance_explained(problem, *one[:2], test) for one in (path, path_alone))
            difference = np.where(certified, np.abs(found - expected), 0)
            # an excess of tol lets the weights move by √tol; a fold that fails by far, as one without a minimum whose
            # events can be told from all other samples, is held to its own scale
            allowed = np.where(np.abs(expected) > 1, 0.05 * np.abs(expected), np.sqrt(tol))
            assert (difference <= allowed).all(), f"fold {fold}: held-out deviances differ by {difference.max():.1e}"


def training_problem(problem: Problem, rows: np.ndarray) -> Problem:
    """The problem with weights of 0 outside of some rows."""
    weights = problem.arrays()[2]
    counted = np.zeros(problem.n_samples)
    counted[rows] = 1 if weights is None else weights[rows]
    return problem.weighted(counted)


def check_objectives(problem: Problem, path: tuple, other: tuple, certified: np.ndarray, tol: float, fold: int) -> None:
    """Objectives of two paths of (weights, intercepts, …) lie within 2 × tol of each other where both are certified."""
    rounding = 5e-6 if problem.precision == "float32" else 1e-8
    for k, lam in enumerate([0.0] if problem.lambdas is None else problem.lambdas):
        for j in np.flatnonzero(certified[k]):
            if np.array_equal(path[0][k, j], other[0][k, j]):
                continue  # a neuron with nothing to fit has no unit either
            one, two = (problem_objective(problem, j, lam, b[k, j], coef[k, j]) for coef, b, _ in (path, other))
            difference = abs(one - two) / unit_of_gap(problem, j)
            assert difference <= 2 * tol + rounding, f"fold {fold}, strength {k}, neuron {j}: {difference:.1e} apart"


def deviance_explained(problem: Problem, coef: np.ndarray, intercept: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """1 − D/D_null on some rows, of paths (n_lambdas, n_neurons, n_features), by the tests' own loss."""
    X, Y, weights, offset = problem.arrays()
    s = np.ones(len(X)) if weights is None else weights
    o = np.zeros(len(X)) if offset is None else offset
    explained = np.zeros(intercept.shape)
    for j, y in enumerate(Y.T):
        kept = rows[~np.isnan(y[rows]) & (s[rows] > 0)]
        if not len(kept):
            continue
        mean = s[kept] @ y[kept] / s[kept].sum()
        with np.errstate(all="ignore"):
            null = s[kept] @ (unit_of(problem, mean, y[kept]) - unit_of(problem, y[kept], y[kept]))
            for k in range(len(intercept)):
                eta = X[kept] @ coef[k, j].astype(float) + intercept[k, j] + o[kept]
                loss = unit_loss(problem.family, loss_link(problem), eta, y[kept])
                excess = s[kept] @ (loss - unit_of(problem, y[kept], y[kept]))
                explained[k, j] = 1 - excess / null if null > 0 else 0
    return np.nan_to_num(explained, nan=-np.inf, neginf=-1e30)


def unit_of(problem: Problem, mu, y: np.ndarray) -> np.ndarray:
    """ℓ(y, μ) per sample."""
    if problem.family == "gaussian":
        return (y - mu) ** 2 / 2
    if problem.family == "poisson":
        return mu - xlogy(y, mu)
    return -xlogy(y, mu) - xlogy(1 - y, 1 - mu)


#: Name of each property to its check and what it is drawn from.
PROPERTIES = {
    "held-out activity": (
        check_held_out_activity,
        (
            problems(n_samples=st.integers(60, 150)),
            st.sampled_from(SPLITTERS),
            st.sampled_from(["permuted", "larger", "missing"]),
            st.booleans(),
        ),
    ),
    "folds alone": (
        check_folds_alone,
        (problems(n_samples=st.integers(60, 150)), st.sampled_from(SPLITTERS), st.sampled_from([1e-4, 1e-6])),
    ),
}


@given(*PROPERTIES["held-out activity"][1])
def test_held_out_activity(problem, splitter, how, refit):
    check_held_out_activity(problem, splitter, how, refit)


#: A rate that is its own predictor, near its kink, where the promise of a model is a third of what is left.
NEAR_ITS_KINK = Problem(
    seed=95459, n_samples=60, n_neurons=3, sizes=(3, 3, 1, 1), family="poisson", link="identity",
    penalty=("elastic_net", 0.3), smoothness=0.0, strengths=(0.3,), weights="with zeros", offset="none", missing=0.2,
    column_scales="uneven", collinear=False,
)  # fmt: skip


@example(NEAR_ITS_KINK, "blocks", 1e-4)
@given(*PROPERTIES["folds alone"][1])
def test_folds_alone(problem, splitter, tol):
    check_folds_alone(problem, splitter, tol)

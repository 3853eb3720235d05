"""Local refits of classifiers: by their definition, with minima found by hand; the level they hold, and their power."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import eigh
from signals import smooth

import popglm as pg
from popglm.explain.class_local_significance import LocallyTestedClasses
from popglm.explain.surrogates import CircularShifts, TrialPermutations, draw_offsets

N, LENGTH = 240, 8
TRIAL = np.arange(N) // LENGTH
LAMBDAS = [0.1, 0.01]
GROUPS = ["a", "b", "b"]


def recorded():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((N, 3))
    X[:, 1] += 0.7 * X[:, 0]
    drive = np.column_stack([1.0 * X[:, 0], -1.0 * X[:, 0], X[:, 2]]) + rng.gumbel(size=(N, 3))
    return X, np.array(["run", "rest", "groom"])[drive.argmax(axis=1)]


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


def fit(X, y, penalty, **more):
    groups = {"feature_groups": GROUPS} if penalty == "group_lasso" else {"feature_groups": ["a", "b", "c"]}
    model = pg.ClassifierGLMCV(penalty, lambdas=LAMBDAS, cv=2, tol=1e-4, **groups, **more)
    return quietly(model.fit, X, y, groups=TRIAL)


def least(G, S, C, penalty, lam):
    """Weights (p, K) of least ½ tr(BᵀGBS) − tr(BᵀC) + λP(B): the ridge in closed form, the others by small steps."""
    p, K = C.shape
    if penalty == "ridge":
        return np.linalg.solve(np.kron(G, S) + lam * np.eye(p * K), C.reshape(-1)).reshape(p, K)
    step = 1 / (np.linalg.eigvalsh(G)[-1] * np.linalg.eigvalsh(S)[-1])
    B = np.zeros((p, K))
    for _ in range(4000):
        V = B - step * (G @ B @ S - C)
        if penalty == "lasso":
            B = np.sign(V) * np.maximum(np.abs(V) - step * lam, 0)
            continue
        for own in ([0], [1, 2]):
            size = np.linalg.norm(V[own])
            B[own] = V[own] * max(1 - step * lam * np.sqrt(len(own) * K) / max(size, 1e-300), 0)
    return B


def statistic(X, R, S, model, penalty):
    """Gain on held-out rows of fits to residuals R (n, K), at the strength that is best over the folds."""
    inverse, gains, whole = np.linalg.pinv(S), np.zeros(len(LAMBDAS)), 0.0
    for train, test in model.splits_:
        x, r = X - X[train].mean(axis=0), R - R[train].mean(axis=0)
        G, C = x[train].T @ x[train] / len(train), x[train].T @ r[train] / len(train)
        for k, lam in enumerate(LAMBDAS):
            B = least(G, S, C, penalty, lam)
            eta = x[test] @ B
            gains[k] += 2 * np.sum(eta * r[test]) - np.sum((eta @ S) * eta)
        whole += np.einsum("ti,ij,tj->", R[test], inverse, R[test])
    return gains.max() / whole


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["ridge", "group_lasso", "lasso"])
def test_statistics_of_labels_and_of_their_shifts(penalty):
    X, y = recorded()
    weighted = {"class_weight": {"groom": 2.0}} if penalty == "ridge" else {}
    model = fit(X, y, penalty, **weighted)
    found = quietly(pg.significance, model, X, y, trial=TRIAL, n_shifts=24, seed=1)
    assert (found.attrs["refit"], found.attrs["method"]) == ("local", "circular_shift")
    codes = np.searchsorted(model.classes_, y)
    weight = np.where(y == "groom", 2.0, 1.0) if weighted else np.ones(N)
    weight = weight / weight.mean()
    share = np.bincount(codes, weight) / N
    S = np.diag(share) - np.outer(share, share)

    weight_of = np.array([weight[codes == k][0] for k in range(3)])

    def of(codes):
        return statistic(X, weight_of[codes][:, None] * (np.eye(3)[codes] - share), S, model, penalty)

    np.testing.assert_allclose(found.statistic[0], of(codes), rtol=2e-4)
    surrogates = CircularShifts(draw_offsets(N, LENGTH, 24, 1, 1))
    for k in (0, 3):
        moved = surrogates.apply(codes, 0, slice(k, k + 1), np.arange(N))[0]
        np.testing.assert_allclose(found.deviance_explained_null[k, 0], of(moved), rtol=2e-3, atol=1e-5)
    # near the deviance explained, and no surrogate does as well
    assert 0.5 < found.statistic[0] / found.deviance_explained[0] < 1.5
    assert found.p_value[0] < 0.05


def test_statistic_of_a_variable():
    X, y = recorded()
    model = fit(X, y, "group_lasso")
    found = quietly(pg.significance, model, X, y, ["a", "b"], trial=TRIAL, n_shifts=24, seed=1)
    centred = X - X.mean(axis=0)
    alone = centred[:, 1:] - centred[:, :1] @ np.linalg.lstsq(centred[:, :1], centred[:, 1:], rcond=None)[0]
    eta = np.zeros((N, 3))
    for fold in range(2):
        held = model.fold_ == fold
        eta[held] = X[held] @ model.cv_coef_[fold, 0].T + model.cv_intercept_[fold, 0]
        eta[held] -= alone[held] @ model.cv_coef_[fold, 0][:, 1:].T
    p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    R = np.eye(3)[np.searchsorted(model.classes_, y)] - p
    S = np.mean([np.diag(one) - np.outer(one, one) for one in p], axis=0)
    inverse, gains, whole = np.linalg.pinv(S), np.zeros(2), 0.0
    values, U = eigh(S)
    U = U[:, values > 1e-9]
    for train, test in model.splits_:
        x, r = alone - alone[train].mean(axis=0), R - R[train].mean(axis=0)
        G, C = x[train].T @ x[train] / len(train), x[train].T @ r[train] / len(train) @ U
        for k, lam in enumerate(LAMBDAS):
            B = np.zeros((2, 2))
            for _ in range(4000):
                V = B - (G @ B @ np.diag(values[values > 1e-9]) - C)
                B = V * max(1 - lam * np.sqrt(2 * 3) / np.linalg.norm(V), 0)
            fitted = x[test] @ B @ U.T
            gains[k] += 2 * np.sum(fitted * r[test]) - np.sum((fitted @ S) * fitted)
        whole += np.einsum("ti,ij,tj->", R[test], inverse, R[test])
    np.testing.assert_allclose(found.contribution_statistic.sel(variable="b")[0], gains.max() / whole, rtol=2e-3)
    assert (found.contribution_p_value[0] < 0.06).all()


def test_labels_of_trials_of_unlike_lengths():
    rng = np.random.default_rng(0)
    trial = np.repeat(np.arange(12), [8, 9, 10] * 4)
    side = rng.permutation(np.repeat(["left", "right"], 6))
    X = rng.standard_normal((len(trial), 1)) + 2.0 * (side[trial] == "left")[:, None]
    model = quietly(pg.ClassifierGLMCV(lambdas=LAMBDAS, cv=2).fit, X, side[trial], groups=trial)
    found = quietly(pg.significance, model, X, side[trial], trial=trial, n_shifts=30)
    assert found.attrs["method"] == "trial_permutation"
    orders = TrialPermutations(trial, np.zeros(12, int), 30, 0, False).orders
    codes = (side == "right").astype(int)
    share = np.bincount(codes[trial]) / len(trial)
    S = np.diag(share) - np.outer(share, share)
    for k in (0, 4):
        R = np.eye(2)[codes[orders[k]][trial]] - share
        by_hand = statistic(X, R, S, model, "ridge")
        np.testing.assert_allclose(found.deviance_explained_null[k, 0], by_hand, rtol=1e-6)
    assert found.p_value[0] < 0.05


def switching(rng, n, q, stay=0.9):
    """Labels (n, q) of three states that last, and follow nothing."""
    states = rng.integers(3, size=(n, q))
    for t in range(1, n):
        keeps = rng.random(q) < stay
        states[t, keeps] = states[t - 1, keeps]
    return states


def test_labels_without_an_effect_are_seldom_significant(monkeypatch):
    """36 responses of states that last beside an X that is slow, in recordings of 1,200 samples."""
    # all are tested, though the null model be best
    monkeypatch.setattr(LocallyTestedClasses, "empty", property(lambda self: self.model.null_fitted_))
    p, n = [], 1200
    trial = np.arange(n) // 20
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X, Y = smooth(rng, n, 4, 4), switching(rng, n, 18)
        model = pg.ClassifierGLMCV("group_lasso", lambdas=[0.002], feature_groups=["a", "a", "b", "b"], cv=3, tol=1e-3)
        quietly(model.fit, X, Y, groups=trial)
        found = quietly(pg.significance, model, X, Y, trial=trial, n_shifts=99, seed=seed)
        p.append(found.p_value.values)
    p = np.concatenate(p)
    assert 0.2 < np.median(p) < 0.8
    assert (p <= 0.05).sum() <= 0.05 * 36 + 2 * np.sqrt(0.05 * 0.95 * 36)


@pytest.mark.thorough
def test_a_variable_without_an_effect_is_seldom_found_and_one_with_an_effect_is():
    rng, n, q = np.random.default_rng(1), 900, 24
    trial = np.arange(n) // 20
    A = smooth(rng, n, 2, 4)
    X = pd.DataFrame(np.hstack([A, 0.6 * A + 0.8 * smooth(rng, n, 2, 4)]), columns=list("abcd"))
    drive = np.stack([A @ rng.normal(0, 0.8, (2, q)) for _ in range(3)], axis=2) + rng.gumbel(size=(n, q, 3))
    model = pg.ClassifierGLMCV("ridge", lambdas=[0.003], feature_groups=["A", "A", "B", "B"], cv=3, tol=1e-3)
    quietly(model.fit, X, drive.argmax(axis=2), groups=trial)
    found = quietly(pg.significance, model, X, drive.argmax(axis=2), ["A", "B"], trial=trial, n_shifts=99)
    p = found.contribution_p_value
    assert (p.sel(variable="B") <= 0.05).sum() <= 0.05 * q + 2 * np.sqrt(0.05 * 0.95 * q)
    assert (p.sel(variable="A") <= 0.05).mean() > 0.8


@pytest.mark.thorough
def test_p_values_are_those_of_fits_of_the_classifier_itself():
    X, y = recorded()
    # two groups with an effect, and one without
    X = np.column_stack([X, np.random.default_rng(9).standard_normal(N)])
    model = pg.ClassifierGLMCV("ridge", lambdas=[0.01], cv=2, tol=1e-3, feature_groups=list("abbc"))
    quietly(model.fit, X, y, groups=TRIAL)
    given = {"trial": TRIAL, "n_shifts": 39}
    local, full = (quietly(pg.significance, model, X, y, list("abc"), refit=refit, **given) for refit in (None, True))
    np.testing.assert_allclose(local.p_value, full.p_value, atol=0.03)
    np.testing.assert_allclose(local.contribution_p_value, full.contribution_p_value, atol=0.15)


def test_masks_factors_and_unknown_labels():
    X, y = recorded()
    rng = np.random.default_rng(0)
    Y = pd.DataFrame({"a": y, "b": np.where(rng.random(N) < 0.2, None, y)}).astype(object)
    mask, factors = np.array([[True, True], [True, False]]), np.array([[1.0, 2.0], [0.5, 1.0]])
    model = pg.ClassifierGLMCV(
        "group_lasso", lambdas=LAMBDAS, cv=2, feature_groups=GROUPS, feature_mask=mask, penalty_factors=factors
    )
    quietly(model.fit, X, Y, groups=TRIAL)
    found = quietly(pg.significance, model, X, Y, ["a", "b"], trial=TRIAL, n_shifts=24)
    # what a mask closes says nothing
    assert found.contribution_p_value.sel(neuron="b", variable="b") == 1
    assert (found.p_value < 0.05).all()
    alone = pg.ClassifierGLMCV("group_lasso", lambdas=LAMBDAS, cv=2, feature_groups=["a"], penalty_factors=[2.0])
    quietly(alone.fit, X[:, :1], Y["b"], groups=TRIAL)
    same = quietly(pg.significance, alone, X[:, :1], Y["b"], trial=TRIAL, n_shifts=24)
    np.testing.assert_allclose(found.statistic[1], same.statistic[0], rtol=1e-5)


@pytest.mark.thorough
def test_adaptive_factors_need_fits():
    X, y = recorded()
    given = {"lambdas": LAMBDAS, "cv": 3, "feature_groups": GROUPS, "penalty_factors": pg.AdaptiveFactors()}
    model = quietly(pg.ClassifierGLMCV("group_lasso", **given).fit, X, y, groups=TRIAL)
    with pytest.raises(ValueError, match="local refits are penalised fits in one stage, and the model has Adaptive"):
        pg.significance(model, X, y, trial=TRIAL)
    found = quietly(pg.significance, model, X, y, trial=TRIAL, n_shifts=5, refit=True)
    assert found.attrs["refit"] == "full"

"""Curvature of the full model's fits, with which re-fits without a variable begin: of their fold alone."""

import numpy as np
import pytest

import popglm as pg
from popglm.explain import near_models
from popglm.explain.near_models import models_of_fits, slow_neurons
from popglm.explain.reduced_models import Refits

N, SIZES = 400, [3, 1, 4, 2, 2]
VARIABLES = ["0", "1", "2", "3", "4"]
ALL = np.arange(3)
SETTINGS = {"penalty": "group_lasso", "feature_groups": np.repeat(VARIABLES, SIZES).tolist(), "cv": 3}


def population(family="poisson", seed=0, scale=0.4):
    """Correlated columns with means of their own, and three neurons whose curvature differs much between samples."""
    rng = np.random.default_rng(seed)
    p = sum(SIZES)
    X = rng.normal(size=(N, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p))) + np.arange(p)
    eta = (X - X.mean(axis=0)) @ rng.normal(0, scale, (p, 3)) - 0.5
    draws = {
        "poisson": rng.poisson(np.exp(np.clip(eta, -5, 3))),
        "bernoulli": rng.random(eta.shape) < 1 / (1 + np.exp(-eta)),
        "negative_binomial": rng.poisson(np.exp(np.clip(eta, -5, 3)) * rng.gamma(2, 0.5, eta.shape)),
    }
    return X, draws[family].astype(float), np.repeat(np.arange(N // 10), 10)


def in_columns(found, fit, neuron):
    """A model as a covariance (n_features, n_features) of the columns."""
    axes, first = np.zeros(found.G.shape[-2:]), 0
    for own in found.axes:
        last = first + own.shape[-1]
        axes[first:last, first:last] = own[fit, neuron]
        first = last
    return axes @ found.G[fit, neuron] @ axes.T


def test_of_many_samples_some_are_enough():
    rng, n = np.random.default_rng(3), 6000
    X, Y = rng.normal(size=(n, sum(SIZES))), rng.poisson(1.0, (n, 3)).astype(float)
    # in every second sample alone, as what two planes of a scan see in turn
    X[::2, 4:8] = 0
    Y[:, 1] = rng.poisson(np.exp(2 * X[:, 0] - 1))
    model = pg.GLMCV(**SETTINGS, lambdas=[0.1, 0.01]).fit(X, Y, groups=np.arange(n) // 10)
    found, strides = models_of_fits(model, X, Y, None, None, False, ALL), set()
    for i, (rows, _) in enumerate(model.splits_):
        for j in range(3):
            rate = np.exp(X[rows] @ model.cv_coef_[i][j] + model.cv_intercept_[i][j])
            # Kish's number of samples, over eight for every feature
            effective = rate.sum() ** 2 / (rate**2).sum()
            stride = int(np.clip(effective / (8 * sum(SIZES)), 1, 4))
            strides.add(stride)
            C = np.cov(X[rows].T, aweights=rate, ddof=0)
            # an entry of a covariance of as many samples as are left is as uncertain as this; none of these is rare
            size = np.sqrt(np.outer(np.diag(C), np.diag(C)) * stride / effective)
            off = np.abs(in_columns(found, i, j) - C) / size
            assert (off.max() < 1e-2) if stride == 1 else (0.1 < off.max() < 6)
    assert len(strides) > 1


@pytest.mark.parametrize("on_all_rows", [False, True])
def test_they_are_covariances_of_training_rows_weighted_by_curvature(on_all_rows):
    X, Y, trial = population()
    rng = np.random.default_rng(1)
    weight, offset = rng.uniform(0.5, 2, N), 0.2 * rng.normal(size=N)
    Y[30:90, 1] = np.nan
    model = pg.GLMCV(**SETTINGS, lambdas=[0.1, 0.01]).fit(X, Y, groups=trial, sample_weight=weight, offset=offset)
    found = models_of_fits(model, X, Y, weight, offset, on_all_rows, ALL)
    folds = [(train, model.cv_coef_[f], model.cv_intercept_[f]) for f, (train, _) in enumerate(model.splits_)]
    fits = [(np.arange(N), model.coef_, model.intercept_), *folds] if on_all_rows else folds
    assert found.known.shape == (len(fits), 3)
    for i, (rows, coef, intercept) in enumerate(fits):
        for j in range(3):
            own = rows[~np.isnan(Y[rows, j])]
            rate = np.exp(X[own] @ coef[j] + intercept[j] + offset[own])
            C = np.cov(X[own].T, aweights=rate * weight[own], ddof=0)
            np.testing.assert_allclose(in_columns(found, i, j), C, atol=2e-5 * np.abs(C).max())
    # every block is diagonal
    assert np.abs(found.G[0, 0][4:8, 4:8] - np.diag(np.diag(found.G[0, 0][4:8, 4:8]))).max() < 1e-5
    kept = np.r_[0:3, 4:8, 10:12]
    part = found.of(np.array([2])).of_blocks(np.array([0, 2, 4]), kept)
    C = in_columns(found, 1, 2)[np.ix_(kept, kept)]
    np.testing.assert_allclose(in_columns(part, 1, 0), C, atol=1e-5 * np.abs(C).max())


def test_a_fold_knows_nothing_of_what_it_holds_out():
    X, Y, trial = population("negative_binomial")
    model = pg.GLMCV("negative_binomial", **SETTINGS, lambdas=[0.1, 0.01]).fit(X, Y, groups=trial)
    found = models_of_fits(model, X, Y, None, None, False, ALL)
    others = Y.copy()
    others[model.splits_[0][1]] = 50.0
    changed = models_of_fits(model, X, others, None, None, False, ALL)
    np.testing.assert_array_equal(changed.G[0], found.G[0])
    X_changed = X.copy()
    X_changed[model.splits_[0][1]] *= 2
    changed = models_of_fits(model, X_changed, Y, None, None, False, ALL)
    np.testing.assert_array_equal(changed.G[0], found.G[0])
    assert not np.allclose(changed.G[1], found.G[1])


def evaluations(monkeypatch):
    """A list that gets the number of evaluations of every re-fit."""
    counts, refit = [], Refits._refit

    def counted(self, *args):
        found = refit(self, *args)
        counts.append(int(found[0].cv_n_iter_.sum()))
        return found

    monkeypatch.setattr(Refits, "_refit", counted)
    return counts


def test_together_variables_are_compared_in_fewer_steps_to_the_same_end(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 48))
    # seldom large, so that curvature differs much between samples
    X = np.abs(X) ** 1.5 * (rng.random(X.shape) < 0.3) + 0.3 * X[:, :1]
    eta = X @ (0.23 * rng.random((48, 2)))
    Y = rng.poisson(np.exp(np.clip(eta - eta.mean(axis=0) - 1, -6, 3.5))).astype(float)
    names = [str(g) for g in range(6)]
    settings = SETTINGS | {"feature_groups": np.repeat(names, 8).tolist(), "cv": 2, "lambdas": [0.1, 0.03, 0.01, 0.003]}
    model = pg.GLMCV(**settings, refit=False, tol=1e-6, precision="float64").fit(X, Y, groups=np.arange(500) // 10)
    # no neuron of so small a session is slow
    monkeypatch.setattr(near_models, "LEAST_EVALUATIONS", 0.0)
    monkeypatch.setattr(near_models, "MAKING", 0.0)
    counts = evaluations(monkeypatch)
    together = pg.compare(model, X, Y, names)
    few, counts[:] = sum(counts), []
    monkeypatch.setattr(near_models, "LEAST_EVALUATIONS", np.inf)
    apart = pg.compare(model, X, Y, names)
    np.testing.assert_allclose(together.fraction_null_deviance, apart.fraction_null_deviance, atol=1e-4)
    np.testing.assert_allclose(together.selected_strength, apart.selected_strength)
    assert few < 0.95 * sum(counts)


def test_which_neurons_are_slow():
    X, Y, trial = population()
    model = pg.GLMCV(**SETTINGS, lambdas=[0.1, 0.03, 0.01]).fit(X, Y, groups=trial)
    model.take_strengths([0, 1, 3])
    model.cv_n_iter_ = np.tile(np.array([[5, 1, 9], [1, 2, 3], [9, 9, 9]]), (3, 1, 1))
    assert slow_neurons(model, 1).tolist() == []
    # 4 + 16 / 4 evaluations; what lies beyond the next strength does not count, and a null model stands at the first
    assert slow_neurons(model, 4).tolist() == [1, 2]
    assert slow_neurons(model, 16).tolist() == [0, 1, 2]


def test_where_they_cannot_serve_there_are_none():
    X, Y, trial = population()
    for more in (
        {"penalty": "ridge"},
        {"penalty": "lasso"},
        {"smoothness": 0.1},
        {"feature_mask": np.tile(np.arange(12)[:, None] > 0, 3)},
        {"penalty_factors": {"0": 2.0}},
        {"schedule": "device"},
        {"family": "gaussian"},
        {"penalty": "group_mcp"},
    ):
        model = pg.GLMCV(**SETTINGS | {"lambdas": [0.1, 0.01]} | more).fit(X, Y, groups=trial)
        assert models_of_fits(model, X, Y, None, None, False, ALL) is None


def test_silent_neurons_have_none():
    X, Y, trial = population()
    Y[:, 1] = 0
    with pytest.warns(pg.PopglmWarning):
        model = pg.GLMCV(**SETTINGS, lambdas=[0.1, 0.01]).fit(X, Y, groups=trial)
    found = models_of_fits(model, X, Y, None, None, False, ALL)
    assert found.known.tolist() == [[True, False, True]] * 3
    result = pg.compare(model, X, Y, VARIABLES)
    assert np.isfinite(result.reduced_deviance).all()
    np.testing.assert_allclose(result.fraction_null_deviance[1], 0, atol=1e-9)

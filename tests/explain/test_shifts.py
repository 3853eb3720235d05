"""Circular shifts by Fourier transforms are shifts by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control
from signals import PATH, smooth, standardised

import popglm as pg
from popglm.explain import breakdown, significance
from popglm.explain.shifts import ShiftTest, unique_columns
from popglm.explain.surrogates import draw_offsets
from popglm.statistics.families import get_family

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


def held_out_eta(model, X, fold_of_row, k, j):
    """Linear predictor of the rows by the weights of their folds; by their null models after the last strength."""
    if k == len(model.lambda_path_):
        return model.cv_null_intercept_[fold_of_row, j]
    return (X * model.cv_coef_path_[fold_of_row, k, j]).sum(axis=1) + model.cv_intercept_path_[fold_of_row, k, j]


def deviances_by_hand(model, X, y, j, shift):
    """Held-out deviance (n_folds, n_lambdas) of one neuron's activity, rolled."""
    scored = model.fold_ >= 0
    fold, rolled = model.fold_[scored], np.roll(y[scored], shift)
    result = np.full((len(model.cv_coef_path_), len(model.lambda_path_)), np.nan)
    for k in range(result.shape[1]):
        unit = model.loss_.deviance(held_out_eta(model, X[scored], fold, k, j), np.nan_to_num(rolled))
        for f in range(len(result)):
            rows = (fold == f) & ~np.isnan(rolled)
            if rows.any():
                result[f, k] = unit[rows].sum()
    return result


def select_by_hand(model, deviances):
    """The largest strength within se_fraction of the best."""
    mean = np.nanmean(deviances, axis=0)
    error = np.nanstd(deviances, axis=0) / np.sqrt((~np.isnan(deviances)).sum(axis=0))
    best = mean.argmin()
    return np.flatnonzero(mean <= mean[best] + model.se_fraction * error[best])[0]


def gain_by_hand(columns, series, fold, longest):
    """Mean over standard deviation of Σ_k g_k Σ x_k y x_k' y' over pairs of samples in different folds, one by one."""
    n, n_folds = len(series), len(np.unique(fold))
    scores = (columns - columns.mean(axis=0)) @ np.linalg.svd(columns - columns.mean(axis=0))[2].T
    scores = scores[:, scores.var(axis=0) > 1e-6 * scores.var(axis=0).max()]
    centred = np.nan_to_num(series - np.nanmean(series))

    def correlations(v):
        return np.array([v @ np.roll(v, h) for h in range(n)]) / (v @ v)

    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    lag = np.minimum(lag, n - lag)
    near, other = lag <= min(2 * longest, n // 2), fold[:, None] != fold
    joint = [(correlations(centred) * correlations(v))[lag] * near for v in scores.T]
    between, within = (np.array([r[pairs].sum() / n for r in joint]) for pairs in (other, ~other))
    gains = [
        (g * between).sum() / np.sqrt(2 * (1 - 1 / n_folds) * (g**2 * within**2).sum())
        for g in (scores.var(axis=0), np.ones(scores.shape[1]))
    ]
    return max(*gains, 0)


#: Of the model in `fitted`.
RULE = 0.5, 0.0


def make_shifts(model, X, Y, longest):
    rows = np.flatnonzero(model.fold_ >= 0)
    known = ~np.isnan(Y[rows])
    offsets = np.full((1, Y.shape[1]), longest)
    return ShiftTest(model, X, None, rows, np.nan_to_num(Y[rows]), known.astype(float), offsets, longest, RULE)


def test_deviance_at_every_shift_is_that_of_rolled_activity(fitted):
    model, X, Y, _ = fitted
    shifts = make_shifts(model, X, Y, 8)
    for j in range(3):
        eta = shifts.linear_predictors(np.array([j]))[0]
        every = shifts.deviances(eta, j)
        for s in (0, 8, 77, 200, len(shifts.rows) - 8):
            np.testing.assert_allclose(every[..., s], deviances_by_hand(model, X, Y[:, j], j, s), rtol=1e-9)


def test_a_fold_that_a_shift_leaves_without_activity_has_no_deviance():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((120, 2)), rng.standard_normal((120, 1))
    model = pg.GLMCV("gaussian", lambdas=[0.1], cv=3, refit=False, precision="float64").fit(X, Y)
    Y[70:] = np.nan
    shifts = make_shifts(model, X, Y, 10)
    every = shifts.deviances(shifts.linear_predictors(np.array([0]))[0], 0)
    expected = np.stack([deviances_by_hand(model, X, Y[:, 0], 0, s) for s in range(120)], axis=-1)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(every, expected, rtol=1e-9)


def test_a_rate_of_zero_rules_out_events_that_land_on_it():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    Y = rng.poisson(np.maximum(0.3 + 0.3 * X[:, :1], 0)).astype(float)
    model = pg.GLMCV(inverse_link="identity", lambdas=[0.001], cv=2, refit=False, precision="float64").fit(X, Y)
    shifts = make_shifts(model, X, Y, 10)
    every = shifts.deviances(shifts.linear_predictors(np.array([0]))[0], 0)
    expected = np.stack([deviances_by_hand(model, X, Y[:, 0], 0, s) for s in range(200)], axis=-1)
    assert np.isinf(expected).any()
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(every, expected, rtol=1e-9)


def test_null_selects_again_and_is_spread_and_moved(fitted):
    model, X, Y, trial = fitted
    result = significance(model, X, Y, trial=trial, n_shifts=6, refit=False, seed=3)
    n = int((model.fold_ >= 0).sum())
    offsets = draw_offsets(n, 8, 6, 3, seed=3)
    np.testing.assert_allclose(result.deviance_explained, model.cv_deviance_explained_, atol=1e-9)
    for j in (0, 1):
        safe = np.array([deviances_by_hand(model, X, Y[:, j], j, s) for s in range(8, n - 7)])
        center, deviation = safe.mean(axis=0), safe.mean(axis=1).std(axis=0)
        scored = model.fold_ >= 0
        gain = gain_by_hand(X[scored], Y[scored, j], model.fold_[scored], 8)
        for k in range(6):
            deviances = deviances_by_hand(model, X, Y[:, j], j, offsets[k, j])
            deviances = deviances + (np.sqrt(2) - 1) * (deviances - center).mean(axis=0) - np.sqrt(2) * gain * deviation
            at = select_by_hand(model, deviances)
            expected = 1 - deviances[:, at].sum() / model.cv_null_deviance_[j]
            assert result.deviance_explained_null[k, j] == pytest.approx(expected, abs=1e-9)
    above = (result.deviance_explained_null >= result.deviance_explained).sum("shift")
    np.testing.assert_allclose(result.p_value, (1 + above) / 7)
    np.testing.assert_allclose(result.q_value, false_discovery_control((1 + above) / 7))


def test_contribution_null_is_that_of_shifted_residuals(fitted):
    model, X, Y, trial = fitted
    names = {"first": ["group0"], "last": ["group2"]}
    result = significance(model, X, Y, names, trial=trial, n_shifts=5, refit=False, seed=1)
    expected = breakdown(model, X, Y, names).fraction_null_deviance
    np.testing.assert_allclose(result.contribution, expected, atol=1e-9)
    scored = model.fold_ >= 0
    x, fold, n = X[scored], model.fold_[scored], scored.sum()
    offsets = draw_offsets(n, 8, 5, 3, seed=1)
    for v, own in enumerate(([0, 1], [4])):
        others = np.setdiff1d(np.arange(5), own)
        around = np.column_stack([np.ones(n), x[:, others]])
        without, taken_over = x.copy(), x.copy()
        without[:, own] = 0
        taken_over[:, own] = around @ np.linalg.lstsq(around, x[:, own])[0]
        for j in range(3):
            k = model.lambda_index_[j]
            y = Y[scored, j]
            full, reduced, null = (held_out_eta(model, a, fold, k, j) for a in (x, without, taken_over))
            mean = model.loss_.link.mean(np, null)
            rank = np.argsort(np.argsort(mean))
            parts = np.array_split(np.arange(n), 20)
            part = np.repeat(np.arange(20), [len(p) for p in parts])[rank]
            square = pd.Series((y - mean) ** 2)
            variance = np.maximum(square.groupby(part).transform("mean"), 0.01 * square.mean()).to_numpy()
            residual = (y - mean) / np.sqrt(variance)

            def share(s, full=full, reduced=reduced, mean=mean, variance=variance, residual=residual, j=j):
                surrogate = mean + np.sqrt(variance) * np.roll(residual, s)
                there = ~np.isnan(surrogate)
                value = [model.loss_.value(np, eta[there], surrogate[there]).sum() for eta in (reduced, full)]
                return 2 * (value[0] - value[1]) / model.cv_null_deviance_[j]

            safe = np.array([share(s) for s in range(8, n - 7)])
            gain = gain_by_hand(x[:, own] - taken_over[:, own], residual, fold, 8)
            center = safe.mean() + np.sqrt(2) * gain * safe.std()
            expected = [center + np.sqrt(2) * (share(s) - safe.mean()) for s in offsets[:, j]]
            np.testing.assert_allclose(result.contribution_null[:, j, v], expected, atol=1e-9)


def test_expected_gain_is_that_of_unrelated_signals():
    rng = np.random.default_rng(0)
    n, tau, trial = 1200, 8, np.arange(1200) // 20
    fold = rng.permutation(60)[trial] % 5
    sums, gains = [], []
    for _ in range(300):
        X, y = standardised(smooth(rng, n, 6, tau)), smooth(rng, n, 1, tau)[:, 0]
        model = pg.GLMCV("gaussian", lambdas=[1.0], refit=False, cv=5)
        by_fold = np.array([X[fold == f].T @ y[fold == f] for f in range(5)])
        sums.append((by_fold.sum(axis=0) ** 2).sum() - (by_fold**2).sum())
        if len(gains) < 20:
            model.cv_coef_path_, model.fold_, model.loss_ = np.zeros((5, 1, 1, 6)), fold, get_family("gaussian")
            shifts = make_shifts(model, X, y[:, None], 20)
            gains.append(shifts.chance_gain(y, 0, shifts.memory(X)))
    # the standard deviation that the gain is in is of signals whose fluctuations do not join the folds
    assert np.mean(gains) == pytest.approx(np.mean(sums) / np.std(sums), rel=0.35)
    assert np.mean(gains) > 0.25


def test_sample_weights_and_offset_are_those_of_the_fit():
    rng = np.random.default_rng(0)
    X = standardised(smooth(rng, 600, 4, 3))
    offset = 0.3 * rng.standard_normal(600)
    Y = rng.poisson(np.exp(X[:, :2] * 0.5 + offset[:, None]))
    weight, trial = rng.integers(0, 3, 600), np.arange(600) // 12
    options = {"sample_weight": weight, "offset": offset}
    model = pg.GLMCV(lambdas=PATH, refit=False, precision="float64", tol=1e-8).fit(X, Y, groups=trial, **options)
    result = significance(model, X, Y, ["feature0"], trial=trial, n_shifts=10, refit=False, **options)
    np.testing.assert_allclose(result.deviance_explained, model.cv_deviance_explained_, atol=1e-9)
    expected = breakdown(model, X, Y, ["feature0"], **options).fraction_null_deviance
    np.testing.assert_allclose(result.contribution, expected, atol=1e-9)


def test_no_activity_lands_in_its_own_trial():
    lengths = np.random.default_rng(0).integers(3, 20, 30)
    trial = np.repeat(np.arange(30), lengths)
    n, longest = len(trial), lengths.max()
    offsets = draw_offsets(n, longest, n - 2 * longest + 1, 2, seed=0)
    assert (np.sort(offsets[:, 1]) == np.arange(longest, n - longest + 1)).all()
    assert not (offsets[:, 0] == offsets[:, 1]).all()
    assert not any((np.roll(trial, s) == trial).any() for s in offsets[:, 0])
    # and any shorter offset would, where the longest trial is
    assert (np.roll(trial, longest - 1) == trial).any()


def test_what_a_column_has_to_itself_follows_its_unit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) @ np.array([[1, 0.5, 0.2], [0, 1, 0.4], [0, 0, 1]])
    unit = np.array([1.0, 1e5, 1e-4])
    own = [np.array([0]), np.array([1, 2])]
    for plain, odd, columns in zip(unique_columns(X, own), unique_columns(X * unit, own), own, strict=True):
        np.testing.assert_allclose(odd / unit[columns], plain, rtol=1e-6, atol=1e-9)

"""Surrogates by local refits: shifts, permutations and signs by hand, levels, and what is chosen when."""

from itertools import permutations, product

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, chisquare
from signals import PATH, smooth, standardised

import popglm as pg
from popglm.explain.choice import drift_together
from popglm.explain.surrogates import CircularShifts, TrialPermutations, TrialSigns, draw_offsets

#: p-value of a neuron beyond all 99 shifts: a little more than .01 in recordings of 400 samples.
FIRST_OF_99 = pytest.approx(0.0115, abs=0.0015)

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


def gain_by_hand(predict, z, folds):
    """Largest gain over the training mean on held-out rows, over Σz²; predict() gives (n_strengths, n_test)."""
    alone, error = 0.0, 0.0
    for test in folds:
        train = np.setdiff1d(np.arange(len(z)), test)
        alone += ((z[test] - z[train].mean()) ** 2).sum()
        error = error + ((z[test] - predict(train, test, z)) ** 2).sum(axis=1)
    return (alone - error.min()) / (z**2).sum()


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso", "elastic_net", "group_lasso"])
def test_a_shift_scores_what_a_fit_to_it_would(penalty):
    rng = np.random.default_rng(0)
    # units may differ between blocks of columns
    X = standardised(smooth(rng, 300, 5, 4)) * ([1, 1, 3, 3, 3] if penalty == "group_lasso" else [1, 30, 1, 0.1, 1])
    Y = X[:, :1] * 0.8 + smooth(rng, 300, 2, 4) + 7
    trial = np.arange(300) // 10
    kind = {"penalty": penalty, "feature_groups": [2, 3], "precision": "float64", "tol": 1e-7}
    kind |= {} if penalty == "none" else {"lambdas": [0.3, 0.05]}
    model = pg.GLMCV("gaussian", cv=3, **kind).fit(X, Y, groups=trial)
    result = pg.significance(model, X, Y, trial=trial, n_shifts=3, seed=5)
    offsets = draw_offsets(300, 10, 3, 2, seed=5)
    folds = [np.flatnonzero(model.fold_ == k) for k in range(3)]

    def predict(train, test, z):
        fit = pg.GLM("gaussian", **kind).fit(X[train], z[train])
        return fit.coef_path_[:, 0] @ X[test].T + fit.intercept_path_

    for j in range(2):
        z = Y[:, j] - Y[:, j].mean()
        assert float(result.statistic[j]) == pytest.approx(gain_by_hand(predict, z, folds), abs=1e-4)
        for k in (0, 2):
            by_hand = gain_by_hand(predict, np.roll(z, offsets[k, j]), folds)
            assert float(result.deviance_explained_null[k, j]) == pytest.approx(by_hand, abs=1e-4)


def ordinary(X):
    """Held-out predictions by least squares."""

    def predict(train, test, z):
        around = np.column_stack([np.ones(len(X)), X])
        return (around[test] @ np.linalg.lstsq(around[train], z[train])[0])[None]

    return predict


def test_all_permutations_of_few_trials_are_done():
    rng = np.random.default_rng(1)
    cue = np.array([0.0, 1.0, 0.5, 2.0, 1.2])
    trial = np.repeat(np.arange(5), 4)
    X, y = cue[trial][:, None], 0.5 * cue[trial] + rng.standard_normal(20)
    model = pg.GLMCV("gaussian", penalty="none", cv=5, precision="float64").fit(X, y, groups=trial)
    result = pg.significance(model, X, y, trial=trial)
    assert result.attrs["method"] == "trial_permutation"
    folds, z = [np.flatnonzero(model.fold_ == k) for k in range(5)], (y - y.mean()).reshape(5, 4)
    scores = np.array([gain_by_hand(ordinary(X), z[list(p)].ravel(), folds) for p in permutations(range(5))])
    assert float(result.statistic[0]) == pytest.approx(scores[0])
    np.testing.assert_allclose(np.sort(result.deviance_explained_null[:, 0]), np.sort(scores[1:]), atol=1e-9)
    assert float(result.p_value[0]) == pytest.approx((scores >= scores[0] - 1e-9).mean())


def test_patterns_of_signs_are_drawn_once_and_are_never_the_activity():
    trial = np.repeat(np.arange(100), 3)
    drawn = TrialSigns(trial, 400, seed=0)
    patterns = drawn.apply(np.ones(300), 0, slice(None), np.arange(300))
    assert len(np.unique(patterns, axis=0)) == 400
    assert (np.abs(patterns.sum(axis=1)) < 300).all()
    # ten runs of ten trials: neighbours share a sign but where a run ends
    assert (np.count_nonzero(np.diff(patterns, axis=1), axis=1) <= 9).all()
    assert not drawn.complete


def test_all_signs_of_few_trials_are_done():
    rng = np.random.default_rng(1)
    trial, t = np.repeat(np.arange(6), 5), np.tile(np.arange(5.0), 6)
    # trials with levels of their own, for which there is nothing slow to take out
    X, y = t[:, None], 0.3 * t + rng.standard_normal(30) + 3 * rng.standard_normal(6)[trial]
    model = pg.GLMCV("gaussian", penalty="none", cv=3, precision="float64").fit(X, y, groups=trial)
    result = pg.significance(model, X, y, trial=trial)
    assert result.attrs["method"] == "time_in_trial"
    folds, z = [np.flatnonzero(model.fold_ == k) for k in range(3)], y - y.mean()
    scores = np.array(
        [gain_by_hand(ordinary(X), z * np.array((1.0, *s))[trial], folds) for s in product([1, -1], repeat=5)]
    )
    np.testing.assert_allclose(np.sort(result.deviance_explained_null[:, 0]), np.sort(scores[1:]), atol=1e-9)
    assert float(result.p_value[0]) == pytest.approx((scores >= scores[0] - 1e-9).mean())


def test_time_in_trial_is_found_where_a_chi_square_test_finds_it_and_shifts_do_not():
    rng = np.random.default_rng(0)
    trial, t = np.repeat(np.arange(60), 20), np.tile(np.arange(20), 60)
    X = standardised(np.exp(-0.5 * ((t[:, None] - [3, 8, 13, 18]) / 3) ** 2))
    gain = np.where(np.arange(40) < 20, 0.5, 0)
    Y = rng.poisson(np.exp(gain * X[:, [1]] - 0.5)).astype(float)
    model = pg.GLMCV(lambdas=PATH, refit=False, tol=1e-3).fit(X, Y, groups=trial)
    histogram = Y.reshape(60, 20, 40).sum(axis=0)
    chi_square = chisquare(histogram).pvalue
    assert (chi_square[:20] < 1e-4).all()
    result = pg.significance(model, X, Y, trial=trial, n_shifts=199)
    assert result.attrs["method"] == "time_in_trial"
    assert "time in trial" in result.attrs["reason"]
    assert (result.p_value[:20] == 1 / 200).all()
    assert (result.p_value[20:] <= 0.05).sum() <= binom.ppf(0.999, 20, 0.05)
    shifted = pg.significance(model, X, Y, trial=trial, n_shifts=99, method="circular_shift")
    assert (shifted.q_value[:20] > 0.05).all()


def test_slow_neurons_are_found_as_by_fits_of_the_model_and_not_by_given_weights():
    rng = np.random.default_rng(0)
    X = standardised(smooth(rng, 1137, 5, 40))
    gain = np.where(np.arange(16) < 8, 1.5, 0)
    Y = gain * (X @ rng.standard_normal((5, 16))) / 2 + smooth(rng, 1137, 16, 40)
    trial = np.arange(1137) // 20
    model = pg.GLMCV("gaussian", lambdas=PATH, refit=False).fit(X, Y, groups=trial)
    options = {"trial": trial, "n_shifts": 39, "seed": 0}
    local, full, given = (pg.significance(model, X, Y, refit=refit, **options) for refit in (None, True, False))
    found, sought, without = (int((r.p_value[:8] <= 0.05).sum()) for r in (local, full, given))
    assert found >= 0.9 * sought
    assert sought >= 5
    assert without < sought


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("kind", ["white", "bursting", "drifting", "time in trial", "cue"])
def test_levels(kind):
    rng = np.random.default_rng(0)
    n_trials, q, bound = 60, 150, 0.05
    n, trial, t = n_trials * 10, np.repeat(np.arange(n_trials), 10), np.tile(np.arange(10), n_trials)
    bumps = np.exp(-0.5 * ((t[:, None] - [2, 5, 8]) / 1.5) ** 2)
    X, rate, variables, groups = smooth(rng, n, 4, 3), np.full((n, q), 0.5), None, [4]
    match kind:
        case "bursting":
            rate = np.where(smooth(rng, n, q, 5) > 1.3, 3, 0.2)
        case "drifting":
            rate = np.exp(np.linspace(-1, 1, n)[:, None] * rng.normal(0, 0.7, q) - 0.5)
        case "time in trial":
            X, groups = bumps, [3]
            rate = np.exp(rng.normal(0, 0.5, (n_trials, q))[trial] - 0.5)
        case "cue":
            cue = rng.choice([-1.0, 1.0], n_trials)[trial]
            X, groups, variables = np.column_stack([bumps, cue]), [3, 1], ["group1"]
            rate = np.exp(bumps @ rng.normal(0, 1, (3, q)) + rng.normal(0, 0.5, (n_trials, q))[trial] - 1)
    X, Y = standardised(X), rng.poisson(rate).astype(float)
    model = pg.GLMCV(lambdas=PATH[:3], refit=False, tol=1e-2, feature_groups=groups).fit(X, Y, groups=trial)
    result = pg.significance(model, X, Y, variables, trial=trial, n_shifts=99)
    p = result.contribution_p_value if variables else result.p_value
    assert binom.ppf(0.0005, q, bound) <= (p <= 0.05).sum() <= binom.ppf(0.9995, q, bound)


def session(n_trials=40, length=10, lengths=None):
    rng = np.random.default_rng(0)
    lengths = np.full(n_trials, length) if lengths is None else lengths
    trial = np.repeat(np.arange(len(lengths)), lengths)
    cue = rng.choice([-1.0, 1.0], len(lengths))[trial]
    speed = smooth(rng, len(trial), 1, 2)[:, 0]
    return rng, trial, cue, speed


def test_the_method_suits_the_variable_and_says_why():
    rng, trial, cue, speed = session()
    t = np.tile(np.linspace(-1, 1, 10), 40)
    block = np.where(trial // 10 % 2, 1.0, -1.0)
    X = standardised(np.column_stack([cue, speed, t, block]))
    Y = X[:, :3] @ rng.normal(0, 0.3, (3, 4)) + smooth(rng, 400, 4, 60) + rng.standard_normal((400, 4))
    model = pg.GLMCV("gaussian", lambdas=PATH, feature_groups=["cue", "speed", "time", "block"]).fit(X, Y, groups=trial)
    result = pg.significance(model, X, Y, ["cue", "speed", "time", "block"], trial=trial, n_shifts=19)
    assert dict(zip(result.variable.values, result.contribution_method.values, strict=True)) == {
        "cue": "trial_permutation",
        "speed": "circular_shift",
        "time": "time_in_trial",
        "block": "circular_shift",
    }
    assert "slowly over trials" in str(result.contribution_reason.sel(variable="block").values)
    assert result.attrs["refit"] == "local"


def test_trials_of_different_lengths_exchange_their_means():
    rng, trial, cue, speed = session(lengths=np.random.default_rng(1).integers(3, 15, 60))
    X = standardised(np.column_stack([cue, speed]))
    Y = rng.poisson(np.exp(np.outer(cue, np.where(np.arange(80) < 10, 0.6, 0.0)) - 0.5)).astype(float)
    model = pg.GLMCV(lambdas=PATH, feature_groups=["cue", "speed"], refit=False).fit(X, Y, groups=trial)
    result = pg.significance(model, X, Y, ["cue"], trial=trial, n_shifts=199)
    p = result.contribution_p_value[:, 0]
    assert str(result.contribution_method.values[0]) == "trial_permutation"
    assert (p[:10] <= 0.01).all()
    assert (p[10:] <= 0.05).sum() <= binom.ppf(0.999, 70, 0.05)
    with pytest.raises(ValueError, match="trials of different lengths cannot be exchanged to test the model"):
        pg.significance(model, X, Y, trial=trial, method="trial_permutation")


def test_trials_of_one_sample_are_exchanged_and_strata_that_play_no_part_are_told():
    rng = np.random.default_rng(2)
    n = 40
    X = rng.standard_normal((n, 1))
    Y = X @ [[1.0, 0.0]] + rng.standard_normal((n, 2))
    model = pg.GLMCV("gaussian", penalty="none", cv=4, precision="float64").fit(X, Y)
    asked = {"trial": np.arange(n), "n_shifts": 199, "seed": 3}
    found, same = (pg.significance(model, X, Y, **asked, method=how) for how in ("auto", "trial_permutation"))
    xr.testing.assert_equal(found, same)
    assert found.attrs["method"] == "trial_permutation"
    assert found.attrs["reason"].startswith("trials have one sample each, and activity and the model do not go on")
    orders = TrialPermutations(np.arange(n), np.zeros(n, int), 199, 3, False).orders
    folds = [np.flatnonzero(model.fold_ == k) for k in range(4)]
    z = Y[:, 0] - Y[:, 0].mean()
    by_hand = [gain_by_hand(ordinary(X), z[order], folds) for order in orders[:5]]
    np.testing.assert_allclose(found.deviance_explained_null[:5, 0], by_hand, atol=1e-9)
    assert found.p_value[0] == pytest.approx(1 / 200)
    strata = np.arange(n) // 20
    for refit in (None, False, True):
        told = r"strata play no part in the test of the model, 'feature0': .* circular_shift exchanges none"
        with pytest.warns(pg.PopglmWarning, match=told):
            pg.significance(
                model, X, Y, ["feature0"], trial=np.arange(n), n_shifts=19, method="circular_shift", strata=strata,
                refit=refit,
            )  # fmt: skip


def test_trials_stay_in_their_stratum():
    trial, strata = np.repeat(np.arange(8), 3), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    surrogates = TrialPermutations(trial, strata, 50, 0, means=False)
    assert (strata[surrogates.orders] == strata).all()
    assert not (surrogates.orders == np.arange(8)).all(axis=1).any() or not surrogates.complete
    moved = surrogates.apply(np.arange(24.0), 0, slice(0, 1), np.arange(24))[0]
    np.testing.assert_array_equal(moved.reshape(8, 3)[:, 0] / 3, surrogates.orders[0])


def test_every_other_shift_runs_backwards():
    values, order = np.arange(10.0), np.array([3, 1, 4, 0])
    shifts = CircularShifts(np.array([[3], [7], [4]]))
    expected = [np.roll(values, 3)[order], np.roll(values[::-1], 7)[order], np.roll(values, 4)[order]]
    np.testing.assert_array_equal(shifts.apply(values, 0, slice(0, 3), order), expected)
    np.testing.assert_array_equal(shifts.apply(values, 0, slice(1, 3), order), expected[1:])


@pytest.mark.parametrize("kind", ["goes on", "jumps"])
def test_time_in_trial_where_activity_goes_on_through_trials_and_where_their_levels_jump(kind):
    rng = np.random.default_rng(0)
    n_trials, length, q = 30, 10, 300
    trial, t = np.repeat(np.arange(n_trials), length), np.tile(np.arange(length), n_trials)
    X = standardised(np.exp(-0.5 * ((t[:, None] - [0, 3, 6, 9]) / 1.5) ** 2))
    Y = smooth(rng, len(trial), q, 2 * length)
    if kind == "jumps":
        Y = 3 * rng.standard_normal((n_trials, q))[trial] + rng.standard_normal((len(trial), q))
    model = pg.GLMCV("gaussian", lambdas=PATH[:3], refit=False).fit(X, Y, groups=trial)
    # a model that is the null model is not tested; here all are, for p-values up to .2 tell more than those up to .05
    model.lambda_ = np.where(np.isfinite(model.lambda_), model.lambda_, PATH[0])
    result = pg.significance(model, X, Y, trial=trial, n_shifts=99)
    assert result.attrs["method"] == "time_in_trial"
    assert binom.ppf(0.001, q, 0.2) <= (result.p_value <= 0.2).sum() <= binom.ppf(0.999, q, 0.2)


def test_slow_fluctuations_are_taken_out_and_columns_keep_what_they_explain():
    rng = np.random.default_rng(0)
    trial, X = np.repeat(np.arange(40), 10), np.tile(rng.standard_normal((10, 2)), (40, 1))
    seconds = np.arange(400) / 10
    slow = np.sin(2 * np.pi * seconds / 20)[:, None]
    fast = X[:, :1] + np.sin(2 * np.pi * seconds / 2.5)[:, None]
    jumping = 5 * rng.standard_normal((40, 1))[trial] + rng.standard_normal((400, 1))
    signs = TrialSigns(trial, 19, 0)
    np.testing.assert_allclose(signs.without_slow(slow + fast, X), fast, atol=1e-12)
    np.testing.assert_array_equal(signs.without_slow(jumping, X), jumping)


def test_strengths_selected_by_another_rule_are_tested_as_they_are():
    rng, trial, cue, speed = session()
    X, Y = standardised(np.column_stack([cue, speed])), rng.poisson(np.exp(0.3 * np.outer(speed, [1, 0]))).astype(float)
    own = pg.GLMCV(lambdas=PATH, refit=False).fit(X, Y, groups=trial).select(se_fraction=1.0)
    constructed = pg.GLMCV(lambdas=PATH, refit=False, se_fraction=1.0).fit(X, Y, groups=trial)
    for refit in (False, True):
        one, two = (pg.significance(m, X, Y, trial=trial, n_shifts=9, refit=refit) for m in (own, constructed))
        assert one.equals(two)
    assert float(pg.significance(own, X, Y, trial=trial, n_shifts=99).p_value[0]) == FIRST_OF_99
    # strengths that no rule selected are held
    own.take_strengths(0)
    held = pg.significance(own, X, Y, trial=trial, n_shifts=9, refit=False)
    assert float(held.statistic[0]) == pytest.approx(own.cv_deviance_explained_path_[0, 0], abs=1e-6)


def test_a_neuron_whose_model_is_the_null_model_is_not_significant():
    rng, trial, cue, speed = session()
    X, Y = standardised(np.column_stack([cue, speed])), rng.poisson(np.exp(np.outer(speed, [0.8, 0.8]))).astype(float)
    model = pg.GLMCV(lambdas=PATH, refit=False).fit(X, Y, groups=trial)
    assert pg.significance(model, X, Y, trial=trial, n_shifts=99).p_value.values == FIRST_OF_99
    model.lambda_ = np.array([np.inf, model.lambda_[1]])
    p = pg.significance(model, X, Y, trial=trial, n_shifts=99).p_value.values
    assert p[0] == 1
    assert p[1] == FIRST_OF_99


def test_weights_offsets_and_missing_samples():
    rng, trial, cue, speed = session()
    X, exposure = standardised(np.column_stack([cue, speed])), np.exp(0.5 * smooth(rng, 400, 1, 2)[:, 0])
    # a neuron that follows its exposure alone, which speed follows too, and one that follows speed
    X[:, 1] = standardised(np.log(exposure))
    Y = rng.poisson(exposure[:, None] * np.exp(np.outer(X[:, 1], [0, 1]) - 1)).astype(float)
    offset = np.log(exposure)
    model = pg.GLMCV(lambdas=PATH, refit=False).fit(X, Y, groups=trial, offset=offset)
    p = pg.significance(model, X, Y, trial=trial, n_shifts=99, offset=offset).p_value.values
    assert p[0] > 0.05
    assert p[1] == FIRST_OF_99
    plain = pg.GLMCV(lambdas=PATH, refit=False).fit(X, Y, groups=trial)
    assert pg.significance(plain, X, Y, trial=trial, n_shifts=99).p_value.values == FIRST_OF_99

    weighted, alike = (
        pg.significance(plain, X, Y, trial=trial, n_shifts=19, sample_weight=w) for w in (None, np.full(400, 3.0))
    )
    np.testing.assert_allclose(weighted.deviance_explained_null, alike.deviance_explained_null)
    gaps = Y.copy()
    gaps[rng.random(400) < 0.3, 1] = np.nan
    model = pg.GLMCV(lambdas=PATH, refit=False).fit(X, gaps, groups=trial)
    missing = pg.significance(model, X, gaps, trial=trial, n_shifts=99)
    assert float(missing.p_value[1]) == FIRST_OF_99
    assert np.isfinite(missing.deviance_explained_null[:10]).all()


def test_warnings_and_complaints():
    rng, trial, cue, speed = session(6)
    X, Y = standardised(np.column_stack([cue, speed])), rng.poisson(1, (60, 3)).astype(float)
    model = pg.GLMCV(lambdas=PATH, refit=False, feature_groups=["cue", "speed"], cv=3).fit(X, Y, groups=trial)
    with pytest.warns(pg.PopglmWarning, match="'cue' is tested by 6 trials"):
        pg.significance(model, X, Y, ["cue"], trial=trial, n_shifts=19, method="trial_permutation")
    strata = trial // 2
    with pytest.warns(pg.PopglmWarning, match=r"tested against 7 surrogates, all that there are.*below 0\.12"):
        pg.significance(model, X, Y, ["cue"], trial=trial, n_shifts=19, method="trial_permutation", strata=strata)
    with pytest.warns(pg.PopglmWarning, match=r"tested against n_shifts=9 surrogates: no p-value is below 0\.1\. Ask"):
        pg.significance(model, X, Y, trial=trial, n_shifts=9)
    drift = np.linspace(0, 1, 60)[:, None] * [1, 1, 1]
    slow = np.column_stack([cue, drift[:, 0]])
    fitted = pg.GLMCV("gaussian", lambdas=PATH, refit=False, cv=3).fit(slow, drift, groups=trial)
    with pytest.warns(pg.PopglmWarning, match=r"of 3 neurons fluctuate so slowly together"):
        pg.significance(fitted, slow, drift, trial=trial, n_shifts=19, method="circular_shift")
    trend, trials = np.linspace(-0.5, 0.5, 2000)[:, None], np.arange(2000) // 20
    slow, drift = trend + 0.3 * rng.standard_normal((2000, 2)), trend * [0, 1, 1] + rng.standard_normal((2000, 3))
    fitted = pg.GLMCV("gaussian", lambdas=PATH, refit=False, cv=3).fit(slow, drift, groups=trials)
    with pytest.warns(pg.PopglmWarning, match=r"the model and 2 of \d neurons drift through the whole recording"):
        pg.significance(fitted, slow, drift, trial=trials, n_shifts=19)
    with pytest.raises(ValueError, match="method='shift' is unknown; use auto, circular_shift"):
        pg.significance(model, X, Y, trial=trial, method="shift")
    with pytest.raises(ValueError, match="has its own refit"):
        pg.significance(model, X, Y, trial=trial, method="time_in_trial", refit=True)
    with pytest.raises(ValueError, match="strata changes in row 3, within trial 0"):
        pg.significance(model, X, Y, trial=trial, strata=np.arange(60) // 3)
    with pytest.raises(ValueError, match=r"strata must have shape \(60,\)"):
        pg.significance(model, X, Y, trial=trial, strata=[0])


def test_a_drift_is_told_from_fluctuations_and_from_drifts_of_one_side():
    found = {"both": [], "activity alone": [], "X alone": [], "neither": []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, Y = standardised(smooth(rng, 1500, 6, 5)), smooth(rng, 1500, 10, 10)
        walk = np.cumsum(rng.standard_normal((1500, 10)), axis=0) / np.sqrt(1500)
        trend = X + np.linspace(-1, 1, 1500)[:, None] * [0, 0, 2, 0, 0, 0]
        for name, x, y in (
            ("both", trend, Y + 3 * walk), ("activity alone", X, Y + 3 * walk), ("X alone", trend, Y), ("neither", X, Y)
        ):  # fmt: skip
            found[name].append(drift_together(x, y).mean())
    assert np.mean(found["both"]) > 0.65
    assert np.mean(found["X alone"]) < 0.03
    assert max(np.mean(found["activity alone"]), np.mean(found["neither"])) < 0.02

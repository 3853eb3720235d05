"""Tests of classifiers against chance, beside fits by hand to the same surrogates."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.explain.surrogates import CircularShifts, TrialPermutations, draw_offsets

N, LENGTH = 160, 8
TRIAL = np.arange(N) // LENGTH
SETTINGS = {"lambdas": [0.1, 0.01], "cv": 2, "tol": 1e-3}


def recorded():
    """A response that follows the first group, and one of noise, which lacks some labels; columns that share a part."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((N, 3))
    X[:, 1] += 0.7 * X[:, 0]
    drive = np.column_stack([1.5 * X[:, 0], -1.5 * X[:, 0]]) + rng.gumbel(size=(N, 2))
    noise = np.where(rng.random(N) < 0.2, None, np.array(["u", "v", "w"], object)[rng.integers(3, size=N)])
    Y = pd.DataFrame({"state": np.array(["run", "rest"], object)[drive.argmax(axis=1)], "noise": noise})
    return X, Y


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


def fit(X, Y):
    return quietly(pg.ClassifierGLMCV(feature_groups=["a", "b", "b"], **SETTINGS).fit, X, Y, groups=TRIAL)


@pytest.fixture(scope="module")
def model():
    return fit(*recorded())


@pytest.fixture(scope="module")
def shifted(model):
    X, Y = recorded()
    return quietly(pg.significance, model, X, Y, ["a", "b"], trial=TRIAL, n_shifts=24, seed=1, refit=True)


@pytest.mark.thorough
def test_surrogates_of_labels_are_fitted_as_the_labels_were(model, shifted):
    X, Y = recorded()
    assert shifted.attrs["method"] == "circular_shift"
    assert shifted.attrs["reason"] == "labels change within trials"
    surrogates = CircularShifts(draw_offsets(N, LENGTH, 24, 2, 1))
    for j, name in enumerate(Y):
        for k in (0, 3):
            own = surrogates.apply(Y[name].to_numpy(), j, slice(k, k + 1), np.arange(N))[0]
            by_hand = fit(X, own).cv_deviance_explained_[0]
            np.testing.assert_allclose(shifted.deviance_explained_null[k, j], by_hand, rtol=1e-6)
    np.testing.assert_array_equal(shifted.statistic, model.cv_deviance_explained_)
    # no surrogate does as well, and one in 25 is the labels themselves; few degrees of freedom widen that a little
    assert 1 / 25 <= shifted.p_value[0] < 0.05
    assert shifted.p_value[1] > 0.1


@pytest.mark.thorough
def test_surrogates_of_a_variable_move_what_others_leave_of_it(model, shifted):
    X, Y = recorded()
    centred = X - X.mean(axis=0)
    alone = centred[:, 1:] - centred[:, :1] @ np.linalg.lstsq(centred[:, :1], centred[:, 1:], rcond=None)[0]
    surrogates = CircularShifts(draw_offsets(N, LENGTH, 24, 2, 1))
    for k in (0, 3):
        moved = [surrogates.apply(own, 0, slice(k, k + 1), np.arange(N))[0] for own in alone.T]
        other = X.copy()
        other[:, 1:] += np.stack(moved, axis=1) - alone
        by_hand = fit(other, Y[["state"]]).cv_deviance_explained_[0]
        np.testing.assert_allclose(shifted.contribution_null.sel(variable="b")[k, 0], by_hand, rtol=1e-6)
    assert shifted.contribution_p_value.sel(neuron="state", variable="a") < 0.05
    assert shifted.contribution_p_value.sel(neuron="state", variable="b") > 0.06
    share = pg.breakdown(model, X, Y).fraction_null_deviance
    np.testing.assert_allclose(shifted.contribution, share, rtol=1e-12)


def test_labels_of_whole_trials_are_exchanged():
    rng = np.random.default_rng(0)
    trial = np.repeat(np.arange(6), [8, 9, 10, 8, 9, 10])
    side = np.array(["left", "right"])[[0, 1, 0, 0, 1, 1]]
    X = rng.standard_normal((len(trial), 1)) + 2.0 * (side[trial] == "left")[:, None]
    model = quietly(pg.ClassifierGLMCV(**SETTINGS).fit, X, side[trial], groups=trial)
    found = quietly(pg.significance, model, X, side[trial], trial=trial, n_shifts=30, refit=True)
    assert found.attrs["method"] == "trial_permutation"
    assert "constant within trials" in found.attrs["reason"]
    orders = TrialPermutations(trial, np.zeros(6, int), 30, 0, False).orders
    for k in (0, 4):
        by_hand = quietly(pg.ClassifierGLMCV(**SETTINGS).fit, X, side[orders[k]][trial], groups=trial)
        np.testing.assert_allclose(found.deviance_explained_null[k, 0], by_hand.cv_deviance_explained_[0], rtol=1e-6)
    # of strata there are few orders: all of them are tried
    strata = (np.arange(6) // 3)[trial]
    found = quietly(pg.significance, model, X, side[trial], trial=trial, n_shifts=99, strata=strata)
    assert found.sizes["shift"] == 35
    assert found.attrs["refit"] == "local"
    assert found.p_value[0] == (1 + (found.deviance_explained_null[:, 0] >= found.statistic[0] - 1e-9).sum()) / 36


def test_what_cannot_be_tested_is_told(model):
    X, Y = recorded()

    def told(kind, words, model=model, X=X, Y=Y, **more):
        with pytest.raises(kind, match=words):
            pg.significance(model, X, Y, **({"trial": TRIAL, "n_shifts": 20} | more))

    told(ValueError, "surrogates of a ClassifierGLMCV are fitted locally, or with refit=True by the", refit=False)
    told(ValueError, "time_in_trial' flips the residuals of local refits", method="time_in_trial")
    told(
        ValueError,
        "cannot be exchanged, for labels change within them",
        method="trial_permutation",
        trial=np.repeat(np.arange(19), [16, *[8] * 18]),
    )
    told(ValueError, "X, Y, sample_weight or offset are not those of the fit", Y=Y[::-1].reset_index(drop=True))
    told(ValueError, "no group fits", variables=["speed"])
    single = quietly(pg.ClassifierGLM(lambdas=[0.1]).fit, X, Y)
    told(ValueError, "needs a fitted popglm.ClassifierGLMCV; found ClassifierGLM", model=single)
    by_hand = fit(X, Y).take_strengths((model.lambda_index_ + 1) % 3)
    told(ValueError, "strengths were taken by hand", model=by_hand)
    locked = np.column_stack([X[:, :2], np.arange(N) % LENGTH - 3.5])
    own = quietly(pg.ClassifierGLMCV(**SETTINGS).fit, locked, Y, groups=TRIAL)
    told(ValueError, "'feature2' holds time in trial", model=own, X=locked, variables=["feature2"])


def test_time_in_trial_is_kept_by_exchanged_trials():
    X, Y = recorded()
    locked = np.column_stack([X[:, :2], np.arange(N) % LENGTH - 3.5])
    model = quietly(pg.ClassifierGLMCV(**SETTINGS).fit, locked, Y, groups=TRIAL)
    found = quietly(pg.significance, model, locked, Y, trial=TRIAL, n_shifts=10)
    assert found.attrs["method"] == "trial_permutation"
    assert "holds time in trial, which exchanged trials keep" in found.attrs["reason"]


def a_row_per_trial(n=60):
    """Choices that follow the first column, with a row for every trial; and a model of them."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((n, 2))
    choice = np.where(2.0 * X[:, 0] + rng.logistic(size=n) > 0, "left", "right")
    return quietly(pg.ClassifierGLMCV(**SETTINGS).fit, X, choice), X, choice


@pytest.mark.parametrize("method", ["auto", "trial_permutation"])
def test_choices_of_trials_of_one_row_are_exchanged(method):
    model, X, choice = a_row_per_trial()
    n = len(X)
    strata = np.arange(n) // 20
    given = {"trial": np.arange(n), "method": method, "strata": strata, "n_shifts": 20, "seed": 4, "refit": True}
    found = pg.significance(model, X, choice, ["feature0", "feature1"], **given)
    assert found.attrs["method"] == "trial_permutation"
    assert found.attrs["refit"] == "full"
    assert found.contribution_method.values.tolist() == 2 * ["trial_permutation"]
    orders = TrialPermutations(np.arange(n), strata, 20, 4, False).orders
    np.testing.assert_array_equal(strata[orders], np.tile(strata, (20, 1)))
    for k in (0, 5):
        by_hand = quietly(pg.ClassifierGLMCV(**SETTINGS | {"cv": model.splits_}).fit, X, choice[orders[k]])
        np.testing.assert_allclose(found.deviance_explained_null[k, 0], by_hand.cv_deviance_explained_[0], rtol=1e-6)
    if method != "auto":
        return
    # more surrogates than a recording of so many samples has shifts
    by_default = pg.significance(model, X, choice, ["feature0", "feature1"], trial=np.arange(n))
    assert by_default.p_value[0] == pytest.approx(1 / 1001)
    assert by_default.contribution_p_value[0, 0] < 0.01 < by_default.contribution_p_value[0, 1]
    assert by_default.attrs["reason"] == "trials have one label each, and do not go on beside the model"
    assert "labels and 'feature0' do not go on together" in by_default.contribution_reason.values[0]


def test_slow_choices_of_trials_of_one_row_are_shifted():
    n = 300
    rng = np.random.default_rng(0)
    slow = np.sin(np.arange(n) / 8)
    choice = np.where(slow + 0.3 * rng.standard_normal(n) > 0, "left", "right")
    X = np.column_stack([slow + 0.3 * rng.standard_normal(n)])
    model = quietly(pg.ClassifierGLMCV(**SETTINGS).fit, X, choice)
    strata = np.arange(n) // 150
    with pytest.warns(pg.PopglmWarning, match="strata play no part in the test of the model, 'feature0': .* circular_"):
        found = pg.significance(model, X, choice, ["feature0"], trial=np.arange(n), strata=strata, n_shifts=30)
    assert found.attrs["method"] == "circular_shift"
    assert "change slowly" in found.attrs["reason"]


def test_warnings_speak_of_responses_and_of_significance():
    model, X, choice = a_row_per_trial(80)
    trial, drift = np.arange(80), np.linspace(-3, 3, 80)
    away = X + 5.0
    away[:, 0] = drift
    choice = np.where(drift + 0.2 * X[:, 0] > 0, "left", "right")
    model = quietly(pg.ClassifierGLMCV(**SETTINGS | {"lambdas": [0.1]}).fit, away, choice)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pg.significance(model, away, choice, ["feature1"], trial=trial, method="circular_shift", n_shifts=30)
    told = " ".join(str(one.message) for one in caught)
    assert "significance: columns of 'feature1' are not centred" in told
    assert "1 of 1 responses fluctuate so slowly together" in told
    assert "neurons" not in told
    assert "breakdown" not in told
    assert "method='shuffle'" not in told
    with pytest.warns(pg.PopglmWarning, match="deviance explained of response 'neuron0' is"):
        pg.breakdown(model, away, choice[::-1])

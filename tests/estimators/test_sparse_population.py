"""A population as electrophysiology has it: most units nearly silent, many without any effect."""

import warnings

import numpy as np
import pytest

from popglm import GLMCV, PopglmWarning

N_BINS, N_TEST, N_FEATURES, N_UNITS = 3000, 1000, 20, 150
RATE = 0.03
#: Units with a true effect, units without; then some that fire at most nine times, and some in one trial alone.
TUNED, RARE, ONE_TRIAL, SILENT = slice(0, 25), slice(100, 120), slice(120, 130), slice(130, 135)
UNTUNED = slice(25, 100)


@pytest.fixture(scope="module")
def session():
    """X, Y, X_test, Y_test and trials."""
    rng = np.random.default_rng(5)
    # rows of one trial are alike, as those of a slow behavioural variable are
    slow = np.repeat(rng.standard_normal((N_BINS + N_TEST, N_FEATURES))[::10], 10, axis=0)
    X = 0.5 * slow + rng.standard_normal(slow.shape)
    weights = np.zeros((N_UNITS, N_FEATURES))
    weights[TUNED, :2] = rng.choice([-0.9, 0.9], (25, 2))
    eta = X @ weights.T
    Y = rng.poisson(RATE * np.exp(eta - eta.var(axis=0) / 2)).astype(float)
    Y[:, RARE.start :] = 0
    for unit in range(RARE.start, RARE.stop):
        Y[rng.choice(N_BINS, rng.integers(2, 10), replace=False), unit] = 1
    for unit in range(ONE_TRIAL.start, ONE_TRIAL.stop):
        first = 100 * rng.integers(N_BINS // 100)
        Y[first + rng.choice(100, 5, replace=False), unit] = 1
    # those are silent in the test rows too; a rare one is not
    Y[N_BINS + 3, RARE.start] = 1
    trials = np.repeat(np.arange(N_BINS // 100), 100)
    return X[:N_BINS], Y[:N_BINS], X[N_BINS:], Y[N_BINS:], trials


@pytest.fixture(scope="module", params=["lasso", "group_lasso"])
def fitted(request, session):
    X, Y, _, _, trials = session
    groups = [4] * 5 if request.param == "group_lasso" else None
    model = GLMCV(penalty=request.param, feature_groups=groups, n_lambdas=4, lambda_min_ratio=1e-2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, groups=trials)
    return model, caught


@pytest.mark.thorough(keep=1)
def test_warnings_name_the_silent_and_those_silent_in_a_fold(fitted):
    _, caught = fitted
    messages = [str(w.message) for w in caught if issubclass(w.category, PopglmWarning)]
    # nothing else, a ConvergenceWarning or a numerical one, is heard
    assert {str(w.message) for w in caught} == set(messages)
    messages = [message for message in messages if "lies at an end of its grid" not in message]
    assert len(messages) == 3
    assert "silent" in messages[0]
    assert ": neuron130, neuron131, neuron132, neuron133, neuron134" in messages[0]
    assert "in some fold" in messages[1]
    assert "neurons have fewer than 10 samples with activity" in messages[2]


def test_everything_is_finite(fitted, session):
    model, _ = fitted
    _, _, X_test, Y_test, _ = session
    for name in ("coef_path_", "intercept_path_", "cv_coef_path_", "cv_intercept_path_", "cv_deviance_", "gap_",
                 "cv_gap_", "lambdas_", "cv_deviance_explained_path_"):  # fmt: skip
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.evaluate(X_test, Y_test).to_numpy()).all()
    assert np.isfinite(model.predict_held_out()).all()


def test_the_null_model_is_always_a_candidate(fitted):
    model, _ = fitted
    assert not model.coef_path_[0].any()


def test_selected_models_are_sane_out_of_sample(fitted, session):
    model, _ = fitted
    _, _, X_test, Y_test, _ = session
    explained = model.evaluate(X_test, Y_test)["deviance_explained"].to_numpy()
    silent = Y_test.sum(axis=0) == 0
    assert silent[SILENT.start :].all()
    np.testing.assert_array_equal(explained[silent], 0)
    # a rate estimated from about 90 spikes is off by a tenth: little is lost where nothing is gained
    assert explained[UNTUNED].min() > -0.1
    assert np.median(explained[TUNED]) > 0.1
    # one spike in 1,000 bins of a unit that fired a few times before
    assert explained[RARE].min() > -1
    assert np.abs(model.cv_deviance_explained_).max() < 1


def test_units_without_effect_end_at_or_near_the_null(fitted):
    model, _ = fitted
    size = np.abs(model.coef_[UNTUNED]).max(axis=1)
    assert (size == 0).mean() > 0.5
    assert np.median(model.cv_deviance_explained_[UNTUNED]) < 0.005
    assert (np.abs(model.coef_[TUNED, :2]).max(axis=1) > 0.3).mean() > 0.9


def test_summary_counts_who_beats_the_null(fitted):
    model, _ = fitted
    summary = model.summary()
    beat = summary["neurons that beat the null"]
    assert beat == (model.cv_deviance_explained_ > 0).sum()
    assert 25 <= beat < 90
    assert summary["neurons fitted as null"] >= 17
    assert summary["neurons"] == N_UNITS


def test_predictions_stay_in_the_range_of_rates(fitted, session):
    model, _ = fitted
    assert model.predict(session[2]).max() < 5
    assert model.predict_held_out().max() < 5

"""The simulated session: its behaviour looks like the task, and its truth is the truth."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import d2_tweedie_score

from popglm.simulated_maze import TASK_VARIABLES, VELOCITIES, maze_design, maze_session

TUTORIAL = TASK_VARIABLES[:8]


@pytest.fixture(scope="module")
def session():
    return maze_session(n_samples=9000, n_neurons=40, seed=3)


@pytest.fixture(scope="module")
def behavior(session):
    return session.behavior


@pytest.fixture(scope="module")
def per_trial():
    """One row per trial of a session long enough for correlations over trials."""
    return maze_session(n_neurons=1).behavior.groupby("trial").first()


def test_the_tables_have_the_sizes_that_were_asked_for():
    session = maze_session(n_samples=777, n_neurons=5, n_task_variables=3)
    truth = session.truth
    names = [f"neuron{j}" for j in range(5)]
    assert list(session.behavior) == [
        *("trial", "time", "position", "time_from_choice"),
        *TASK_VARIABLES[:3],
        *VELOCITIES,
    ]
    assert len(session.behavior) == 777
    assert session.activity.shape == truth.rate.shape == (777, 5)
    assert truth.weights.shape == (5, 33 * 4 + 21)
    assert truth.active.shape == (5, 2 * 4 + 3)
    assert list(session.activity) == list(truth.rate) == names
    assert list(truth.baseline.index) == list(truth.weights.index) == list(truth.active.index) == names
    assert (session.activity.dtypes == np.float32).all()
    assert (truth.rate.dtypes == np.float32).all()


@pytest.mark.parametrize(("n_samples", "sampling_rate"), [(1, 6.0), (50, 6.0), (400, 0.1), (400, 1.2), (900, 60.0)])
def test_any_length_and_sampling_rate(n_samples, sampling_rate):
    session = maze_session(n_samples, n_neurons=2, sampling_rate=sampling_rate)
    assert len(session.behavior) == n_samples
    assert np.isfinite(session.truth.rate).all(axis=None)
    assert np.isfinite(session.activity).all(axis=None)
    np.testing.assert_allclose(session.behavior["time"], np.arange(n_samples) / sampling_rate)


def test_a_seed_fixes_everything():
    first, again, other = (maze_session(800, 4, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first.behavior, again.behavior, check_exact=True)
    pd.testing.assert_frame_equal(first.activity, again.activity, check_exact=True)
    pd.testing.assert_frame_equal(first.truth.weights, again.truth.weights, check_exact=True)
    assert not first.behavior["pitch"].equals(other.behavior["pitch"])
    assert not first.activity.equals(other.activity)


def test_more_neurons_or_variables_leave_the_behavior_alone():
    small, large = maze_session(800, 2), maze_session(800, 3, n_task_variables=10)
    pd.testing.assert_frame_equal(small.behavior, large.behavior[list(small.behavior)], check_exact=True)


def test_trials_are_runs_to_the_choice_point_and_then_waits(behavior):
    trial, position, elapsed = (behavior[c] for c in ("trial", "position", "time_from_choice"))
    assert trial.iloc[0] == 0
    assert set(np.diff(trial)) == {0, 1}
    assert (position.isna() ^ elapsed.isna()).all()
    assert position.min() == 10
    assert position.max() <= 250
    assert elapsed.min() == 0
    assert elapsed.max() < 5

    for _, rows in behavior[trial < trial.max()].groupby("trial"):
        run, wait = rows["position"].dropna(), rows["time_from_choice"].dropna()
        assert run.index[-1] + 1 == wait.index[0]  # once over the choice point, never back
        assert run.iloc[0] == 10
        assert run.iloc[-1] > 220
        assert (np.diff(run) > 0).all()
        np.testing.assert_allclose(wait, np.arange(len(wait)) / 6)
        assert wait.iloc[-1] > 3.5


def test_the_default_session_has_the_size_of_the_real_one(per_trial):
    assert 300 <= len(per_trial) <= 325


def test_trials_vary_in_length(behavior):
    lengths = behavior["trial"].value_counts()
    assert lengths.std() > 8
    assert lengths.max() > 1.5 * lengths[lengths.index < behavior["trial"].max()].min()


def test_task_variables_lie_between_minus_one_and_one():
    behavior = maze_session(3000, 1, n_task_variables=29).behavior
    task = behavior[list(TASK_VARIABLES)]
    assert task.abs().max().max() <= 1
    assert (task.std() > 0.05).all()
    binary = ["cue", "cho", "corr", "prevCorr", *(v for v in TASK_VARIABLES if "_back" in v)]
    assert (task[binary].abs() == 1).all(axis=None)
    within_trial = task.groupby(behavior["trial"]).nunique().max() > 1
    assert set(within_trial.index[within_trial]) == {"dyn_cho", "dyn_cue", "dyn_belief"}


def test_history_is_the_past(per_trial):
    np.testing.assert_array_equal(per_trial["prevCorr"][1:], per_trial["corr"][:-1])
    longer = maze_session(6000, 1, n_task_variables=29).behavior.groupby("trial").first()
    for name in ("cue", "cho", "corr"):
        for back in (2, 3):
            np.testing.assert_array_equal(longer[f"{name}_back{back}"][back:], longer[name][:-back])
    means = longer["cho"].rolling(5).mean().shift()
    np.testing.assert_allclose(longer["cho_mean5"][5:], means[5:])


def test_task_variables_are_correlated_as_in_the_task(per_trial, behavior):
    r = per_trial.corr()
    assert r.loc["cue", "cho"] > 0.2  # the first rule holds more often than the other
    assert 0.6 < (per_trial["corr"] > 0).mean() < 0.95
    assert r.loc["prevCorr", "rule_following"] > 0.3
    assert r.loc["belief", "rule_following"] > 0.1
    assert r.loc["bias_following", "rule_following"] < -0.1
    lag1 = [per_trial[v].autocorr(1) for v in ("belief", "rule_following", "bias_following")]
    assert min(lag1) > 0.7  # they drift slowly

    # the choice builds up along the maze: no sign of it at the start, all of it at the choice point
    toward = behavior["dyn_cho"] * behavior["cho"]
    early, late = toward[behavior["position"] < 40], toward[behavior["position"] > 220]
    assert early.mean() < 0.15
    assert late.mean() > 0.5


def test_velocities_are_autocorrelated_and_follow_the_run(behavior):
    for name in VELOCITIES:
        assert 0.4 < behavior[name].autocorr(1) < 0.99
    running = behavior["position"].notna()
    assert behavior.loc[running, "pitch"].mean() > 2 * behavior.loc[~running, "pitch"].mean()
    turning = behavior[behavior["position"] > 220]
    assert turning["yaw"].corr(turning["cho"]) > 0.5


@pytest.mark.parametrize(("n_task_variables", "n_columns"), [(8, 318), (29, 1011), (0, 54)])
def test_the_design_has_the_recipe_s_columns_and_groups(n_task_variables, n_columns):
    behavior = maze_session(2500, 1, n_task_variables=n_task_variables).behavior
    X = maze_design(n_task_variables).fit_transform(behavior)
    assert X.shape == (2500, n_columns)
    sizes = X.columns.get_level_values("group").value_counts(sort=False)
    v = n_task_variables + 1
    assert list(sizes) == [20] * v + [13] * v + [7] * 3


@pytest.mark.parametrize("n_task_variables", [2, 8])
def test_the_rate_is_log_linear_in_the_raw_design(n_task_variables):
    session = maze_session(2000, 12, n_task_variables=n_task_variables, seed=5)
    truth = session.truth
    X = maze_design(n_task_variables, standardize=False).fit_transform(session.behavior)
    assert truth.weights.columns.equals(X.columns)
    eta = truth.baseline.to_numpy() + X.to_numpy().astype(float) @ truth.weights.to_numpy().T
    np.testing.assert_allclose(truth.rate, np.exp(eta), rtol=1e-5)


def test_weights_are_sparse_over_groups(session):
    truth = session.truth
    used = (truth.weights != 0).T.groupby(level="group", sort=False).any().T
    np.testing.assert_array_equal(used[truth.active.columns], truth.active)
    n_active = truth.active.sum(axis=1)
    assert n_active.min() >= 1
    assert n_active.max() <= 6
    assert n_active.nunique() > 3
    share = truth.active.mean().sort_values(ascending=False)
    assert set(share.index[:2]) == {
        truth.active.columns[0],
        truth.active.columns[9],
    }  # bare position and time


def test_kernels_are_smooth(session):
    """Neighbouring weights resemble each other: for white weights the ratio would be 2."""
    truth = session.truth
    ratios = []
    for group in truth.active.columns:
        W = truth.weights.loc[truth.active[group], group].to_numpy()
        ratios.extend(np.square(np.diff(W, axis=1)).mean(axis=1) / np.square(W).mean(axis=1))
    assert np.mean(ratios) < 0.4


def test_activity_looks_like_deconvolved_calcium(session):
    Y, rate = session.activity.to_numpy(), session.truth.rate.to_numpy()
    assert Y.min() == 0
    assert 0.6 < (Y == 0).mean() < 0.95
    assert np.mean(Y[Y > 0] % 1 != 0) > 0.99  # amplitudes, not counts

    # it has the true mean ...
    standard_error = np.sqrt(np.square(Y - rate).sum(axis=0)) / len(Y)
    z = (Y.mean(axis=0) - rate.mean(axis=0)) / standard_error
    assert abs(z).max() < 4
    assert 0.5 < z.std() < 1.6
    # ... and more variance than a Poisson count, given that mean
    assert (np.square(Y - rate).mean(axis=0) > 1.1 * rate.mean(axis=0)).all()


def test_mean_rates_are_log_normal_and_scale_with_the_sample_length():
    slow, fast = (maze_session(4000, 80, sampling_rate=r).truth.rate.mean() for r in (6.0, 12.0))
    assert 0.5 < np.log(slow).std() < 0.9
    np.testing.assert_allclose(slow, 2 * fast, rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_true_rate_explains_a_realistic_part_of_the_deviance(seed):
    session = maze_session(9000, 60, seed=seed)
    explained = [d2_tweedie_score(session.activity[j], session.truth.rate[j], power=1) for j in session.activity]
    assert 0.2 < np.median(explained) < 0.4
    assert np.min(explained) > 0
    assert np.max(explained) < 0.8


@pytest.mark.thorough
def test_a_fitted_model_explains_a_realistic_part_of_held_out_deviance():
    session = maze_session(9000, 9, seed=0)
    X = maze_design().fit_transform(session.behavior).to_numpy(float)
    held_out = session.behavior["trial"].to_numpy() % 7 == 3
    explained = []
    for y in session.activity.to_numpy().T:
        model = PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-2).fit(X[~held_out], y[~held_out])
        explained.append(d2_tweedie_score(y[held_out], model.predict(X[held_out]), power=1))
    assert 0.15 < np.median(explained) < 0.35


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples must be a whole number, 1 or more, not 0"),
        ({"n_neurons": 2.5}, "n_neurons must be a whole number, 1 or more, not 2.5"),
        ({"n_task_variables": 30}, "n_task_variables must be a whole number from 0 to 29, not 30"),
        ({"sampling_rate": 0.0}, "sampling_rate must be a positive number \\(Hz\\), not 0.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        maze_session(**arguments)


def test_the_design_checks_its_argument_too():
    with pytest.raises(ValueError, match=r"n_task_variables must be .* not -1"):
        maze_design(-1)

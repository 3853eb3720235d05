"""Ceilings from repeats, against published formulas by hand, an analysis of variance, and simulations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from scipy import optimize
from sklearn.metrics import mean_poisson_deviance

import popglm as pg
from popglm.statistics.families import get_family


def film(n_frames=60, n_repeats=8, q=3, seed=0, noise=1.5, drift=0.0):
    """Frames, trials, what the film says of every sample, and activity; trials have an offset of their own."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_frames, 1))
    frame, trial = np.tile(np.arange(n_frames), n_repeats), np.repeat(np.arange(n_repeats), n_frames)
    Y = signal[frame] + noise * rng.normal(size=(len(frame), q)) + drift * rng.normal(size=(n_repeats, q))[trial]
    return frame, trial, signal[frame], Y


def test_signal_power_of_sahani_and_linden_by_hand():
    frame, trial, _, Y = film(drift=0.5)
    mix = np.random.default_rng(1).permutation(len(Y))
    found = pg.noise_ceiling(Y[mix], frame[mix], trial=trial[mix])
    for j in range(3):
        r = Y[:, j].reshape(8, 60)  # repeat, frame
        power = (8 * r.mean(axis=0).var(ddof=1) - r.var(axis=1, ddof=1).mean()) / 7
        schoppe = (r.sum(axis=0).var(ddof=1) - r.var(axis=1, ddof=1).sum()) / (8 * 7)
        assert power == pytest.approx(schoppe)
        own = found.iloc[j]
        assert own["signal_variance"] == pytest.approx(power * 59 / 60)
        assert own["variance"] == pytest.approx(Y[:, j].var())
        assert own["explainable"] == pytest.approx(own["signal_variance"] / own["variance"])
    assert found[["n_samples", "n_conditions"]].values.tolist() == [[480, 60]] * 3


def test_normalised_measures_by_hand():
    frame, trial, signal, Y = film()
    predicted = 0.7 * signal + 0.1 * np.cos(frame)[:, None]
    found = pg.noise_ceiling(Y, frame, trial=trial, predicted=np.tile(predicted, 3))
    for j in range(3):
        r, mu = Y[:, j].reshape(8, 60), predicted[:60, 0]
        mean = r.mean(axis=0)
        power = (8 * mean.var() - r.var(axis=1).mean()) / 7
        # Sahani & Linden: power of the mean response less that of the residual, around 0 for what is off on average
        explained = (mean.var() - np.mean((mean - mu) ** 2)) / power
        cc_norm = np.cov(mean, mu, ddof=0)[0, 1] / np.sqrt(mu.var() * power)
        own = found.iloc[j]
        assert own["normalised_variance_explained"] == pytest.approx(explained)
        assert own["normalised_correlation"] == pytest.approx(cc_norm)
        assert own["variance_explained"] == pytest.approx(1 - np.mean((r - mu) ** 2) / r.var())


def test_independent_samples_are_an_analysis_of_variance():
    frame, _, _, Y = film(n_frames=12, n_repeats=5)
    found = pg.noise_ceiling(Y, frame)
    for j in range(3):
        groups = pd.Series(Y[:, j]).groupby(frame)
        between = 5 * groups.mean().var()
        within = groups.var().mean()
        # the conditions are these and no others: 11 twelfths of the component of variance
        assert found["signal_variance"].iloc[j] == pytest.approx((between - within) / 5 * 11 / 12)


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_signal_variance_is_right_on_average(drift):
    # conditions of one to nine trials, two of them in every trial, which has noise of its own
    rng = np.random.default_rng(2)
    kind = np.repeat(np.arange(12), rng.integers(1, 10, 12))
    trial, condition = np.repeat(np.arange(len(kind)), 2), np.column_stack([2 * kind, 2 * kind + 1]).ravel()
    signal = rng.normal(size=24)
    Y = signal[condition][:, None] + rng.normal(size=(len(trial), 2_000))
    Y += drift * rng.normal(size=(len(kind), 2_000))[trial]
    found = pg.noise_ceiling(Y, condition, trial=trial)
    counts = np.bincount(condition)
    n = np.where(counts >= 2, counts, 0)
    expected = np.cov(signal, fweights=n, ddof=0)
    assert (found["n_samples"] == n.sum()).all()
    error = found["signal_variance"].std() / np.sqrt(2_000)
    # pairs of conditions are weighted by trials, and not by samples, which is nearly the same
    assert abs(found["signal_variance"].mean() - expected) < 4 * error + 0.02 * expected


@pytest.mark.parametrize("repeats", [(4, 6, 2), (2, 4, 30), (2, 60, 9, 5)])
def test_without_noise_all_is_explained_however_often_conditions_are_repeated(repeats):
    condition = np.repeat(np.arange(len(repeats)), repeats)
    Y = np.random.default_rng(0).normal(size=(len(repeats), 5))[condition]
    found = pg.noise_ceiling(Y, condition, predicted=Y)
    np.testing.assert_allclose(found["signal_variance"], Y.var(axis=0))
    np.testing.assert_allclose(found[["explainable", "normalised_variance_explained", "normalised_correlation"]], 1)


def test_noise_that_a_trial_shares_is_no_signal():
    # four samples of the same condition in every trial
    rng = np.random.default_rng(6)
    trial = np.repeat(np.arange(60), 4)
    signal = rng.normal(size=6)
    Y = signal[trial % 6][:, None] + rng.normal(size=(60, 500))[trial] + 0.3 * rng.normal(size=(240, 500))
    found = pg.noise_ceiling(Y, trial % 6, trial=trial)["signal_variance"]
    assert found.mean() == pytest.approx(signal.var(), abs=4 * found.std() / np.sqrt(500))
    assert pg.noise_ceiling(Y, trial % 6)["signal_variance"].mean() > signal.var() + 0.05


def test_errors_are_those_over_recordings():
    frame, trial, _, Y = film(q=400, n_repeats=12)
    found = pg.noise_ceiling(Y, frame, trial=trial)
    right = found["explainable"].mean()
    assert found["explainable_error"].mean() == pytest.approx(found["explainable"].std(), rel=0.15)
    inside = (found["explainable"] - right).abs() < 1.96 * found["explainable_error"]
    assert 0.9 < inside.mean() < 0.98
    few = pg.noise_ceiling(Y[: 2 * 60], frame[: 2 * 60], trial=trial[: 2 * 60])
    assert few["explainable_error"].isna().all()
    assert few["explainable"].notna().all()


def test_more_than_twenty_trials_are_left_out_in_parts():
    frame, trial, _, Y = film(q=200, n_repeats=30, n_frames=20)
    found = pg.noise_ceiling(Y, frame, trial=trial)
    assert found["explainable_error"].mean() == pytest.approx(found["explainable"].std(), rel=0.2)


def test_the_truth_explains_all_that_can_be_explained():
    frame, trial, signal, Y = film(q=500)
    found = pg.noise_ceiling(Y, frame, trial=trial, predicted=np.tile(signal, 500))
    assert found["normalised_variance_explained"].mean() == pytest.approx(1, abs=0.02)
    assert found["normalised_correlation"].mean() == pytest.approx(1, abs=0.02)
    half = pg.noise_ceiling(Y, frame, trial=trial, predicted=np.tile(0.5 * signal, 500))
    assert half["normalised_correlation"].mean() == pytest.approx(1, abs=0.02)
    assert half["normalised_variance_explained"].mean() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("scale", [0.5, 1.0, 5.0])
def test_the_ceiling_of_deviance_is_that_of_the_true_rates(scale):
    rng = np.random.default_rng(3)
    rate = scale * np.exp(0.8 * rng.normal(size=80))
    frame, trial = np.tile(np.arange(80), 10), np.repeat(np.arange(10), 80)
    Y = rng.poisson(rate[frame][:, None], (800, 200)).astype(float)
    found = pg.noise_ceiling(Y, frame, trial=trial, family="poisson", predicted=np.tile(rate[frame][:, None], 200))
    loss = get_family("poisson")
    deviance, null = (loss.unit_deviance(Y, mu).sum(axis=0) for mu in (rate[frame][:, None], Y.mean(axis=0)))
    np.testing.assert_allclose(found["deviance_explained"], 1 - deviance / null)
    assert found["deviance_ceiling"].mean() == pytest.approx((1 - deviance / null).mean(), abs=0.01)
    assert found["normalised_deviance_explained"].mean() == pytest.approx(1, abs=0.03)
    assert (found["deviance_ceiling_low"] < 1 - deviance / null).all()
    assert (found["deviance_ceiling_high"] > 1 - deviance / null).all()


def test_bounds_of_deviance_by_hand():
    rng = np.random.default_rng(4)
    condition, trial = np.array([0, 0, 1, 1, 1, 0, 1, 2]), np.array([0, 1, 0, 1, 2, 2, 2, 3])
    y = rng.poisson(4, 8) + 1.0
    found = pg.noise_ceiling(y, condition, trial=trial, family="poisson").iloc[0]
    used = condition < 2  # the third comes once
    own = [y[condition == c].mean() for c in condition]
    others = [y[(condition == c) & (trial != t)].mean() for c, t in zip(condition[used], trial[used], strict=True)]
    null = mean_poisson_deviance(y[used], np.full(7, y[used].mean()))
    high = mean_poisson_deviance(y[used], np.array(own)[used])
    low = mean_poisson_deviance(y[used], others)
    assert found["deviance_ceiling_high"] == pytest.approx(1 - high / null)
    assert found["deviance_ceiling_low"] == pytest.approx(1 - low / null)
    # no prediction from the condition alone is above
    best = optimize.minimize(
        lambda b: mean_poisson_deviance(y[used], np.exp(b)[condition[used]]), np.zeros(2), method="BFGS"
    )
    assert best.fun == pytest.approx(high, rel=1e-5)


def test_the_ceiling_of_squares_is_exact():
    frame, _, _, Y = film()
    found = pg.noise_ceiling(Y, frame, family="gaussian")
    for j in range(3):
        within = pd.Series(Y[:, j]).groupby(frame).var().mean()
        assert found["deviance_ceiling"].iloc[j] == pytest.approx(1 - within / Y[:, j].var())


def test_silent_and_missing_neurons_leave_the_others_alone():
    frame, trial, _, Y = film()
    alone = pg.noise_ceiling(Y, frame, trial=trial, family="gaussian", predicted=Y / 2)
    more = np.column_stack([Y, np.zeros(len(Y)), np.full(len(Y), np.nan), np.where(trial < 7, np.nan, Y[:, 0])])
    found = pg.noise_ceiling(more, frame, trial=trial, family="gaussian", predicted=more / 2)
    pd.testing.assert_frame_equal(found.iloc[:3], alone)
    assert np.isnan(found["explainable"].iloc[3:]).all()
    assert found["n_samples"].tolist()[3:] == [480, 0, 0]
    assert found["variance"].iloc[3] == 0


def test_missing_samples_and_labels_are_left_out():
    frame, trial, signal, Y = film()
    rng = np.random.default_rng(5)
    lost = rng.random(Y.shape) < 0.2
    found = pg.noise_ceiling(np.where(lost, np.nan, Y), frame, trial=trial, predicted=np.tile(signal, 3))
    for j in range(3):
        own = ~lost[:, j]
        alone = pg.noise_ceiling(Y[own, j], frame[own], trial=trial[own], predicted=signal[own, 0])
        np.testing.assert_allclose(found.iloc[j], alone.iloc[0])
    label = pd.Series(frame).where(trial != 3)
    np.testing.assert_allclose(
        pg.noise_ceiling(Y, label, trial=trial),
        pg.noise_ceiling(Y[trial != 3], frame[trial != 3], trial=trial[trial != 3]),
    )
    unseen = np.where((trial == 3)[:, None], np.nan, np.tile(signal, 3))
    assert (pg.noise_ceiling(Y, frame, trial=trial, predicted=unseen)["n_samples"] == 420).all()


def test_conditions_may_have_several_labels_and_samples_any_order():
    frame, trial, _, Y = film()
    table = pd.DataFrame({"half": frame // 30, "bin": frame % 30}, index=np.arange(480) * 0.1)
    rates = pd.DataFrame(Y, columns=["a", "b", "c"], index=table.index)
    found = pg.noise_ceiling(rates, table, trial=trial, predicted=rates[["c", "a", "b"]] / 2)
    expected = pg.noise_ceiling(Y, frame, trial=trial, predicted=Y / 2)
    np.testing.assert_allclose(found, expected)
    assert found.index.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(
        pg.noise_ceiling(rates, table.sample(frac=1, random_state=0), trial=trial), expected.iloc[:, :6]
    )


def test_visual_cortex_of_steinmetz():
    path = Path(__file__).parents[3] / "shared" / "data" / "v1_steinmetz_sta.npz"
    if not path.exists():
        pytest.skip("v1_steinmetz_sta.npz is not in ../shared/data")
    data = np.load(path)
    counts = data["s2_counts"][:, 5:35].sum(axis=1).astype(float)  # trial, neuron: 50 to 350 ms
    contrasts = pd.DataFrame({side: data[f"s2_contrast_{side}"] for side in ("left", "right")})
    means = pd.DataFrame(counts).groupby([contrasts["left"], contrasts["right"]]).transform("mean")
    found = pg.noise_ceiling(counts, contrasts, family="poisson")
    shuffled = pg.noise_ceiling(np.random.default_rng(0).permutation(counts), contrasts)
    above, by_chance = ((own["explainable"] > 2 * own["explainable_error"]).sum() for own in (found, shuffled))
    assert above > 2.5 * by_chance
    assert abs(shuffled["explainable"].mean()) < 0.005
    assert found["explainable"].max() > 0.3
    # the means of the same trials explain more than there is
    optimistic = 1 - ((counts - means) ** 2).mean() / counts.var(axis=0)
    assert (found["explainable"].dropna().to_numpy() < optimistic.dropna().to_numpy()).all()


def test_bad_arguments_are_told():
    frame, trial, _, Y = film()

    def ceiling(**given):
        return lambda v: pg.noise_ceiling(Y, **({"repeats": frame} | given | {next(iter(given)): v}))

    for value in (None, frame[:-1], {"a": 1}, np.arange(len(Y)), np.zeros(len(Y)), pd.DataFrame()):
        assert_complaint("repeats", lambda v: pg.noise_ceiling(Y, v), value)
    for value in (trial[:-1], np.full(len(Y), np.nan)):
        assert_complaint("trial", lambda v: pg.noise_ceiling(Y, frame, trial=v), value)
    assert_complaint("repeats", lambda v: pg.noise_ceiling(Y, v, trial=v), frame)
    for value in ("negative_binomial", "normal", 3):
        assert_complaint("family", lambda v: pg.noise_ceiling(Y, frame, family=v), value)
    assert_complaint("neuron 0", lambda v: pg.noise_ceiling(Y, frame, family=v), "poisson")
    assert_complaint("predicted", lambda v: pg.noise_ceiling(Y, frame, predicted=v), Y[:, :2])
    counts = np.abs(Y)
    for value in (-1 - counts, np.where(counts > 1, -counts, counts)):
        assert_complaint("predicted", lambda v: pg.noise_ceiling(counts, frame, predicted=v, family="poisson"), value)


def test_the_power_of_tweedie_activity():
    rng = np.random.default_rng(5)
    frame, trial = np.tile(np.arange(50), 20), np.repeat(np.arange(20), 50)
    mean = np.exp(0.5 * rng.normal(size=50))[frame]
    Y = rng.gamma(4, mean / 4)

    def ceiling(family, power=None):
        return pg.noise_ceiling(Y, frame, trial=trial, family=family, power=power)["deviance_ceiling"].item()

    # the ends are those of its neighbours
    assert ceiling("tweedie", 1.001) == pytest.approx(ceiling("poisson"), abs=1e-3)
    assert ceiling("tweedie", 1.999) == pytest.approx(ceiling("gamma"), abs=1e-3)
    for options, words in (({"family": "gamma", "power": 1.5}, "power=1.5 has no effect under"),
                           ({"power": 1.5}, "power=1.5 has no effect without a family")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            pg.noise_ceiling(Y, frame, trial=trial, **options)

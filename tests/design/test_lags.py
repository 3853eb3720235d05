"""Shifts and kernels against loops written out by hand; nothing crosses a trial."""

from itertools import pairwise, product

import numpy as np
import pytest

from popglm.design import Design, bumps, categories, kernel, linear, log_bumps, shifts

LENGTHS = (7, 1, 30, 12, 3)


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    n = sum(LENGTHS)
    return {
        "x": rng.normal(size=n),
        "side": rng.choice(["left", "right"], size=n),
        "trial": np.repeat([5, 3, 9, 1, 2], LENGTHS),  # labels need not be sorted
    }


def columns(term, session):
    design = Design([term], trial="trial", standardize=False, dtype="float64")
    return design.fit_transform(session).to_numpy(), design.terms_[term.name]


def trials(session):
    return [np.arange(a, b) for a, b in pairwise(np.cumsum((0, *LENGTHS)))]


def test_shifts_look_up_the_same_trial(session):
    lags = [0, 1, 4, -2, 50]
    expected = np.zeros((sum(LENGTHS), len(lags)))
    for rows in trials(session):
        for t in rows:
            for j, lag in enumerate(lags):
                if t - lag in rows:
                    expected[t, j] = session["x"][t - lag]
    found, term = columns(shifts("x", lags), session)
    np.testing.assert_array_equal(found, expected)
    assert term.feature_names() == ["lag0", "lag1", "lag4", "lag-2", "lag50"]
    values, basis = term.grid()
    np.testing.assert_array_equal(values, lags)
    np.testing.assert_array_equal(basis, np.eye(5))
    assert term.axes == ("lag (samples)",)


def test_shifts_in_seconds_are_rounded_to_samples(session):
    in_seconds, term = columns(shifts("x", [0.1, 0.3, -0.2], dt=0.1), session)
    np.testing.assert_array_equal(in_seconds, columns(shifts("x", [1, 3, -2]), session)[0])
    assert term.feature_names() == ["lag0.1s", "lag0.3s", "lag-0.2s"]
    assert term.axes == ("lag (s)",)
    np.testing.assert_array_equal(term.grid()[0], [0.1, 0.3, -0.2])


def test_shifts_of_a_term_shift_each_of_its_columns(session):
    left, right = (
        columns(shifts(linear("hit"), [0, 2]), {**session, "hit": session["side"] == side})[0]
        for side in ("left", "right")
    )
    found, term = columns(shifts(categories("side"), [0, 2]), session)
    np.testing.assert_array_equal(found, np.column_stack([left[:, 0], right[:, 0], left[:, 1], right[:, 1]]))
    assert term.feature_names() == ["lag0 × left", "lag0 × right", "lag2 × left", "lag2 × right"]
    values, basis = term.grid()
    assert values.tolist() == [[0, "left"], [0, "right"], [2, "left"], [2, "right"]]
    np.testing.assert_array_equal(basis, np.eye(4))


@pytest.mark.parametrize(
    ("basis", "side"),
    [
        *product(
            (bumps("lag", 4, 0.0, 0.5), bumps("lag", 3, 0.3, 0.4), log_bumps("lag", 3, 0.0, 2.0)),
            ("causal", "anti-causal", "both"),
        ),
        (bumps("lag", 5, -0.4, 0.6), "both"),
    ],
)
def test_a_kernel_is_the_sum_over_lags_within_the_trial(session, basis, side):
    dt = 0.1
    mirrored = side == "both" and basis.low >= 0
    expected = np.zeros((sum(LENGTHS), basis.n * (1 + mirrored)))
    for rows in trials(session):
        for t in rows:
            for source in rows:
                lag = (t - source) * dt
                b = basis.evaluate(np.array([-lag if side == "anti-causal" else lag]))[0]
                if mirrored:
                    b = basis.evaluate(np.array([abs(lag)]))[0]
                    b = np.append(b * (source > t), b * (source <= t))
                elif (side == "causal" and lag < 0) or (side == "anti-causal" and lag > 0):
                    b = 0
                expected[t] += b * session["x"][source]
    found, term = columns(kernel("x", basis, side=side, dt=dt), session)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert len(term.feature_names()) == expected.shape[1]


def test_a_kernel_is_the_convolution_of_each_trial_by_itself(session):
    basis = bumps("lag", 5, 0, 8)
    response, term = columns(kernel("x", basis), session)
    lags, weights = term.grid()
    np.testing.assert_array_equal(weights, basis.evaluate(lags))
    for rows in trials(session):
        for j in range(5):
            alone = np.convolve(session["x"][rows], weights[:, j])[: len(rows)]
            np.testing.assert_allclose(response[rows, j], alone, atol=1e-12)


def test_the_response_to_one_event_is_the_kernel_of_the_grid():
    event = np.zeros(41)
    event[20] = 1
    for side in ("causal", "anti-causal", "both"):
        term = kernel("event", log_bumps("lag", 4, 0, 0.5), side=side, dt=0.05)
        session = {"event": event, "trial": np.ones(41)}
        found, fit = columns(term, session)
        lags, weights = fit.grid()
        near = np.abs(lags) < 1.01
        rows = 20 + np.rint(lags[near] / 0.05).astype(int)
        np.testing.assert_allclose(found[rows], weights[near], atol=1e-14)


@pytest.mark.parametrize(
    "term",
    [
        shifts("x", range(-40, 41)),
        kernel("x", bumps("lag", 9, -20, 20), side="both"),
        kernel("x", log_bumps("lag", 5, 0, 40)),
    ],
    ids=["shifts", "both sides", "causal"],
)
def test_nothing_crosses_a_trial_to_the_last_bit(session, term):
    before, _ = columns(term, session)
    for rows in trials(session):
        changed = session["x"].copy()
        changed[rows] = 1e9 * np.random.default_rng(1).normal(size=len(rows))
        after, _ = columns(term, {**session, "x": changed})
        others = np.setdiff1d(np.arange(len(changed)), rows)
        np.testing.assert_array_equal(after[others], before[others])
        assert (after[rows] != before[rows]).any()


def test_without_trials_the_session_is_one(session):
    term = shifts("x", [1])
    X = Design([term], standardize=False, dtype="float64").fit_transform(session)
    np.testing.assert_array_equal(X.to_numpy()[:, 0], np.append(0, session["x"][:-1]))


def test_missing_samples_count_as_zero(session):
    holes = {**session, "x": np.where(np.arange(sum(LENGTHS)) % 4 == 0, np.nan, session["x"])}
    filled = {**holes, "x": np.nan_to_num(holes["x"])}
    for term in (shifts("x", [0, 2]), kernel("x", bumps("lag", 3, 0, 4))):
        np.testing.assert_array_equal(columns(term, holes)[0], columns(term, filled)[0])

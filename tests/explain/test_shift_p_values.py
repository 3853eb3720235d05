"""p-values of shifts of slow activity: how wide shifts are is told by one short recording."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student
from signals import PATH, smooth, standardised

import popglm as pg
from popglm.explain.shift_p_values import degrees_of_freedom, widened

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


def power(A):
    """|A_k|² at frequencies above 0, summed over columns."""
    return (np.abs(np.fft.rfft(A - A.mean(axis=0), axis=0)[1:]) ** 2).sum(axis=1)


def scores(x, y):
    """Σ x y at every circular shift of y, by hand."""
    return np.array([x @ np.roll(y, s) for s in range(len(x))])


def test_the_width_of_shifts_varies_from_recording_to_recording_as_its_degrees_of_freedom_say():
    rng = np.random.default_rng(0)
    x = smooth(rng, 600, 1, 20)
    Y = smooth(rng, 600, 4000, 20)
    width = (np.abs(np.fft.rfft(x, axis=0)[1:]) ** 2 * np.abs(np.fft.rfft(Y, axis=0)[1:]) ** 2).sum(axis=0)
    # the relative variance of a χ² is 2 / ν
    expected = 2 * width.mean() ** 2 / width.var()
    assert np.median(degrees_of_freedom(x, Y)) == pytest.approx(expected, rel=0.3)
    by_hand = scores(x[:, 0], Y[:, 0] - Y[:, 0].mean()).var()
    assert 2 * width[0] / 600**2 == pytest.approx(by_hand, rel=1e-6)


def test_ranks_among_shifts_of_slow_series_are_too_small_and_their_p_values_are_not():
    rng = np.random.default_rng(0)
    ranks, p = [], []
    for _ in range(60):
        x, Y = smooth(rng, 600, 1, 20), smooth(rng, 600, 50, 20)
        x, Y = x - x.mean(), Y - Y.mean(axis=0)
        every = np.fft.irfft(np.fft.rfft(x, axis=0) * np.conj(np.fft.rfft(Y, axis=0)), 600, axis=0)
        np.testing.assert_allclose(every[:, 0], scores(x[:, 0], Y[:, 0]), atol=1e-9)
        rank = (1 + (every[20:-19] >= every[0]).sum(axis=0)) / 562
        ranks.append(rank)
        p.append(widened(rank, degrees_of_freedom(x, Y)))
    for bound in (0.05, 0.1):
        found, error = np.mean(np.array(p) <= bound), np.sqrt(bound * (1 - bound) / 3000)
        assert np.mean(np.array(ranks) <= bound) > bound + 3 * error
        assert abs(found - bound) < 2 * error


def test_degrees_of_freedom_have_no_unit():
    rng = np.random.default_rng(0)
    X, Y = np.column_stack([smooth(rng, 400, 2, 15), rng.standard_normal((400, 2))]), smooth(rng, 400, 3, 15)
    expected = degrees_of_freedom(X, Y)
    unit = np.array([1e-9, 1.0, 1e9, 1e3])
    np.testing.assert_allclose(degrees_of_freedom((X + 1e3) * unit, 1e6 * Y), expected, rtol=1e-5)
    # what others leave of a column counts by its share
    left = X - X.mean(axis=0)
    left[:, 2:] *= 1e-12
    own = degrees_of_freedom(X[:, :2], Y)
    np.testing.assert_allclose(degrees_of_freedom(left, Y, X.std(axis=0)), own, rtol=1e-9)


def test_more_degrees_of_freedom_leave_ranks_as_they_are():
    p = np.array([0.001, 0.05, 0.3, 1.0])
    np.testing.assert_allclose(widened(p, np.full(4, np.inf)), p)
    assert (widened(p[:3], np.full(3, 10.0)) > p[:3]).all()
    silent = np.zeros((100, 1))
    np.testing.assert_array_equal(degrees_of_freedom(np.arange(100.0)[:, None], silent), [np.inf])


@pytest.mark.parametrize("refit", [None, True])
def test_significance_has_them_for_the_model_and_its_variables(refit):
    rng = np.random.default_rng(1)
    X = standardised(smooth(rng, 400, 2, 15))
    Y = X[:, :1] * [0.5, 0.0] + smooth(rng, 400, 2, 15)
    trial = np.arange(400) // 20
    model = pg.GLMCV("gaussian", lambdas=PATH[2:3], refit=False, precision="float64").fit(X, Y, groups=trial)
    result = pg.significance(model, X, Y, ["feature0"], trial=trial, n_shifts=9, refit=refit)
    rank = (1 + (result.deviance_explained_null >= result.statistic - 1e-9).sum("shift")) / 10
    a = power(X)[:, None] * np.stack([power(Y[:, [j]]) for j in (0, 1)], axis=1)
    dof = 4 * a.sum(axis=0) ** 2 / (a**2).sum(axis=0) - 2
    np.testing.assert_allclose(result.p_value, student.sf(norm.isf(rank), dof), rtol=1e-6)
    # of a variable, what others leave over of it and of the activity is shifted
    rank = (1 + (result.contribution_null >= result.contribution_statistic - 1e-9).sum("shift")) / 10
    assert (result.contribution_p_value > rank).all()
    assert (result.contribution_p_value < rank + 0.06).all()


def test_given_weights_and_permutations_keep_their_ranks():
    rng = np.random.default_rng(0)
    cue = rng.choice([-1.0, 1.0], 30)[np.arange(300) // 10]
    trial = np.arange(300) // 10
    Y = smooth(rng, 300, 4, 3)
    model = pg.GLMCV("gaussian", lambdas=PATH[:3], refit=False).fit(cue[:, None], Y, groups=trial)
    model.lambda_ = np.where(np.isfinite(model.lambda_), model.lambda_, PATH[0])
    for options in ({"refit": False}, {"method": "trial_permutation"}):
        p = pg.significance(model, cue[:, None], Y, trial=trial, n_shifts=9, **options).p_value.values
        np.testing.assert_allclose(p * 10, np.round(p * 10), atol=1e-9)

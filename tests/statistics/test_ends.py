"""Where paths end by their held-out deviance, against loops over the definition."""

import numpy as np
import pytest

from popglm.statistics.ends import ClearTurn, strengths_to_last_fall, turned_strengths


def by_hand(deviance, least, null):
    """For one neuron: (n_folds, n_lambdas), a number, (n_folds,)."""
    mean = [np.nanmean(deviance[:, k]) for k in range(deviance.shape[1])]
    for k in range(len(mean)):
        best = int(np.argmin(mean[: k + 1]))
        rises = [r for r in deviance[:, k] - deviance[:, best] if not np.isnan(r)]
        rise = sum(rises) / len(rises)
        error = (sum((r - rise) ** 2 for r in rises) / len(rises) ** 2) ** 0.5
        if k + 1 >= least and rise > 0.001 * np.nanmean(null) and rise > error:
            return k + 1
    return len(mean)


def curves(seed):
    """Deviances (n_folds, n_lambdas, n_neurons) that fall and rise; a fold scored nothing of the first neuron."""
    rng = np.random.default_rng(seed)
    deviance = 10 + 0.1 * np.abs(np.linspace(-1, 2, 9))[:, None] + rng.normal(0, 0.05, (5, 9, 4))
    deviance += rng.normal(0, 3, (5, 1, 4))
    null = np.full((5, 4), 11.0) + rng.normal(0, 1, (5, 4))
    deviance[2, :, 0], null[2, 0] = np.nan, np.nan
    return deviance, rng.integers(0, 9, 4), null


@pytest.mark.parametrize("seed", range(20))
def test_where_a_curve_has_turned(seed):
    deviance, least, null = curves(seed)
    expected = [by_hand(deviance[:, :, j], least[j], null[:, j]) for j in range(4)]
    np.testing.assert_array_equal(turned_strengths(deviance, least, null), expected)
    # what all folds share, such as their size, does not count
    np.testing.assert_array_equal(turned_strengths(deviance + np.arange(5.0)[:, None, None], least, null), expected)
    # of what is not known yet nothing follows
    deviance[:, 4:] = np.nan
    expected = np.where(np.array(expected) <= 4, expected, 9)
    np.testing.assert_array_equal(turned_strengths(deviance, least, null), expected)


def test_neither_a_slight_nor_an_uncertain_rise_is_a_turn():
    null, least = np.full((4, 1), 100.0), np.array([0])
    certain, slight = np.array([5.0, 4.0, 4.2]), np.array([5.0, 4.0, 4.05])
    uncertain = np.stack([certain + np.array([0, 0, rise]) for rise in (1.0, -1.0, 1.0, -1.1)])
    every = [np.tile(certain, (4, 1)), np.tile(slight, (4, 1)), uncertain]
    longer = [np.concatenate([curve, np.full((4, 1), np.nan)], axis=1)[..., None] for curve in every]
    assert [turned_strengths(curve, least, null)[0] for curve in longer] == [3, 4, 4]


@pytest.mark.parametrize("seed", range(20))
def test_of_a_path_that_goes_on_the_strengths_are_counted_from_there(seed):
    deviance, least, null = curves(seed)
    known = np.array([0, 2, 3, 1])
    before = np.where(np.arange(9)[:, None] < known, deviance, np.nan)
    # rows that are beyond the last strength repeat it
    k = np.minimum(known + np.arange(9)[:, None], 8)
    rest = deviance[:, k, np.arange(4)]
    least = np.maximum(least, known + 1)
    ends, whole = ClearTurn(before, known, least, null), turned_strengths(deviance, least, null)
    np.testing.assert_array_equal(ends(rest), np.where(whole < 9, whole - known, 9))
    np.testing.assert_array_equal(ends.at_once, least - known)
    some, unit = np.array([2, 0]), np.array([10.0, 0.1])
    np.testing.assert_array_equal(ends.of(some, unit)(rest[..., some] / unit), ends(rest)[some])


def test_the_last_fall_counts_where_it_ends_near_the_minimum():
    null = np.full((2, 5), 10.0)
    curve = np.array(
        [
            [9.0, 5.0, 6.0, 5.5, 5.6],  # another valley
            [9.0, 5.0, 8.0, 6.5, 6.6],  # one that is too high
            [9.0, 5.0, 6.0, 7.0, 6.9995],  # rounding
            [9.0, 8.0, 7.0, 6.0, 5.0],
            [5.0, 6.0, 7.0, 8.0, 9.0],
        ]
    ).T
    np.testing.assert_array_equal(strengths_to_last_fall(np.stack([curve, curve]), null), [4, 2, 2, 5, 0])
    # strengths down to which a path did not go
    curve[3:] = np.nan
    np.testing.assert_array_equal(strengths_to_last_fall(np.stack([curve, curve]), null), [2, 2, 2, 3, 0])

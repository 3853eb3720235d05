"""Columns that vary over the known rows of a neuron, against the spread of their numbers."""

import numpy as np

from popglm.solve.folds import order_by_fold
from popglm.solve.stream import RowStream
from popglm.solve.varying import varying_columns

N = 3000


def test_columns_vary_where_their_known_numbers_differ():
    rng = np.random.default_rng(0)
    half, folds = np.arange(N) >= N // 2, np.arange(N) * 3 // N
    # a dummy of the second half, time stamps that hardly change beside their mean, and a cue of single rows
    X = np.column_stack([rng.standard_normal(N), half, 1e7 + rng.random(N), np.arange(N) == 10, np.full(N, 0.1)])
    unknown = np.zeros((4, N), bool)
    unknown[1, half], unknown[2, 10], unknown[3] = True, True, rng.random(N) < 0.4
    weights = np.where(np.arange(N) == 10, 0.0, 1.0)
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
    order, ranges = order_by_fold(N, splits)
    train = [np.ones(N, bool), *(folds != k for k in range(3))]
    columns = np.array([0, 1, 2, 3, 4])
    for s in (None, weights):
        expected = np.ones((4, 4, 5), bool)
        for f, rows in enumerate(train):
            for j in (1, 2, 3):
                own = rows & ~unknown[j] if s is None else rows & ~unknown[j] & (s > 0)
                if (rows & unknown[j] & (True if s is None else s > 0)).any():
                    expected[f, j] = np.ptp(X[own], axis=0) > 0
        for given in (X, RowStream(X, 2**20)):
            found = varying_columns(given, unknown[:, order], None if s is None else s[order], order, ranges, columns)
            np.testing.assert_array_equal(found, expected)
    assert varying_columns(X, unknown[:1], None, order, ranges, columns) is None
    assert varying_columns(X, unknown[:, order], None, order, ranges, columns[:1]) is None

"""A recording, bounds on the weights of its feature groups, and models within them."""

from functools import cache

import numpy as np
from few_groups import GROUP, recorded

import popglm as pg

LABELS = np.array(list("abcd"))[GROUP].tolist()
#: Group a has bounds for each of its three columns, b an upper one, c a sign, d none.
BOX = {"a": ([-0.1, 0, None], [0.1, 0.05, 0.4]), "b": (None, 0.12), "c": "negative"}
INF = np.inf
LOWER = np.array([-0.1, 0, -INF, -INF, -INF, -INF, -INF, -INF, -INF, -INF])
UPPER = np.array([0.1, 0.05, 0.4, 0.12, 0.12, 0, 0, 0, 0, INF])
#: All of them bounded on both sides.
SMALL = {"a": (-0.1, 0.1), "b": (-0.2, 0.05), "c": ([-0.3, -0.2, -0.1, 0], 0.15), "d": (0, 0.1)}


@cache
def drawn():
    X, Y, _ = recorded(240, 0.3, 5)
    return X, Y


def model(family="poisson", penalty="lasso", kind=pg.GLM, **settings):
    given = {"feature_groups": LABELS, "constraints": BOX, "precision": "float64", "tol": 1e-9}
    given |= {} if "lambdas" in settings or penalty == "none" else {"n_lambdas": 4, "lambda_min_ratio": 0.03}
    return kind(family, penalty=penalty, **{**given, **settings})


def limits(constraints):
    """Bounds of every column, from what a model has, column by column."""
    found = np.array([[-INF] * 10, [INF] * 10])
    for k, label in enumerate(LABELS):
        kind = constraints.get(label, (None, None))
        pair = {"positive": (0, None), "negative": (None, 0)}[kind] if isinstance(kind, str) else kind
        for i, side in enumerate(pair):
            one = side[k - LABELS.index(label)] if isinstance(side, list) else side
            found[i, k] = found[i, k] if one is None else one
    return found


def assert_within(coef, lower=LOWER, upper=UPPER):
    assert ((coef.astype(float) >= lower) & (coef.astype(float) <= upper)).all()

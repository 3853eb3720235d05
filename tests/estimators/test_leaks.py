"""A column of X that is the activity itself is worth a warning; nothing else is."""

import tempfile
import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.estimators.leaks import find_copies
from popglm.warnings import PopglmWarning


def recording(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 6)), rng.poisson(0.3, (n, 4)).astype(float)


@pytest.mark.parametrize("estimator", [pg.GLM(n_lambdas=2), pg.GLMCV(n_lambdas=2, cv=2)], ids=["GLM", "GLMCV"])
def test_the_neuron_and_the_column_are_named_once(estimator):
    X, Y = recording(600)
    X[:, 4] = (Y[:, 2] - 0.3) / 0.55
    X = pd.DataFrame(X, columns=[f"x{k}" for k in range(6)])
    Y = pd.DataFrame(Y, columns=list("abcd"))
    with pytest.warns(
        PopglmWarning, match=r"own activity in the same sample.*popglm.history.*: c \(column 'x4'\)\.$"
    ) as w:
        estimator.fit(X, Y)
    assert sum("own activity" in str(caught.message) for caught in w) == 1
    assert next(c for c in w if "own activity" in str(c.message)).filename == __file__


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("n", [60, 3000])
def test_any_unit_sign_and_level_of_the_column(n, missing, dtype):
    X, Y = recording(n)
    if missing:
        Y[::9, 1] = np.nan
    X[:, 0] = 1000 - 1e-3 * np.nan_to_num(Y[:, 1], nan=5.0) if dtype == np.float64 else -7 * np.nan_to_num(Y[:, 1])
    X[:, 5] = Y[:, 3] * 2
    assert find_copies(X.astype(dtype), Y) == {1: 0, 3: 5}


def test_what_agrees_nearly_or_in_part_is_no_copy():
    X, Y = recording()
    X[:, 0] = Y[:, 0] + 0.01 * X[:, 0]
    X[:, 1] = Y[:, 1]
    X[300, 1] += 1  # between two stretches of the screening
    X[1:, 2] = Y[:-1, 2]  # the sample before
    X[:, 3] = 0
    few = np.zeros(3000)
    few[[10, 500, 900]] = 1
    X[:, 4], Y[:, 3] = few, few  # three events in one place are no evidence
    assert find_copies(X, Y) == {}


def test_streams_are_looked_at_too():
    X, Y = recording()
    X[:, 2] = Y[:, 0]
    with tempfile.NamedTemporaryFile() as file:
        on_disk = np.memmap(file.name, dtype=np.float64, mode="w+", shape=X.shape)
        on_disk[:] = X
        assert find_copies(pg.RowStream(on_disk, memory=40_000), Y) == {0: 2}


def test_a_causal_kernel_with_one_lag_of_the_neuron_itself_is_found_and_its_history_is_not():
    _, Y = recording()
    one_lag = pg.bumps("lag", n=1, low=-0.5, high=0.5, width=2)  # lag 0 alone
    session = {"y": Y[:, 0]}
    with pytest.warns(PopglmWarning, match="own activity"):
        pg.GLM(lambdas=[0.1]).fit(pg.Design([pg.kernel("y", one_lag, side="both")]).fit_transform(session), Y[:, 0])
    past = pg.Design([pg.history("y", pg.log_bumps("lag", n=3, low=0, high=9))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = past.fit_transform(session)
        warnings.simplefilter("error")
        pg.GLM(lambdas=[0.1]).fit(X, Y[:, 0])

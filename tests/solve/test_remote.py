"""Fits whose rows lie in several shares, beside fits to the same rows in one place; shares that are lost on the way."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import popglm as pg
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.remote.shares import Shares
from popglm.solve.share import Share

N, P, Q = 600, 9, 3


class Here:
    """Shares in this process, which get and give copies as a network would.

    Calls with the numbers ``losses`` lose the share that is asked.
    """

    def __init__(self, X: np.ndarray, edges: np.ndarray, losses: tuple[int, ...] = ()) -> None:
        self.X, self.edges, self.calls, self.placed = X, edges, 0, 0
        self.shares: dict[int, Share] = {}
        self.losses = losses

    def place(self, shares: list[int]) -> None:
        for share in shares:
            self.placed += 1
            self.shares[share] = Share(1)
            self.shares[share].read(self.X, *self.edges[share : share + 2], self.X.dtype)

    def ask(self, calls: dict) -> tuple[dict, list[int]]:
        found, lost = {}, []
        for share, (method, arguments) in calls.items():
            self.calls += 1
            if self.calls in self.losses:
                self.shares.pop(share).close()
            if share not in self.shares:
                lost.append(share)
                continue
            given = pickle.loads(pickle.dumps(arguments))
            found[share] = pickle.loads(pickle.dumps(getattr(self.shares[share], method)(*given)))
        return found, lost

    def release(self) -> None:
        for share in self.shares.values():
            share.close()
        self.shares.clear()


def remote(X: np.ndarray, edges: list[int], **more) -> RemoteRows:
    edges = np.array([0, *edges, len(X)])
    return RemoteRows(X, Shares(Here(X, edges, **more), edges))


@pytest.fixture(scope="module")
def recording() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, P)).astype(np.float32) + 3
    eta = (X - 3) @ rng.normal(0, 0.3, (P, Q))
    found = {
        "X": X,
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "rate": rng.poisson(np.maximum(2 + 0.2 * eta, 0)).astype(float),
        "gaussian": eta + rng.normal(size=eta.shape),
        "bernoulli": (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float),
        "negative_binomial": rng.negative_binomial(2, 1 / (1 + np.exp(eta) / 2)).astype(float),
        "censored_gaussian": np.maximum(eta + rng.normal(size=eta.shape), 0),
        "gamma": np.exp(eta) * rng.gamma(2, 0.5, eta.shape),
        "tweedie": np.exp(eta) * rng.gamma(2, 0.5, eta.shape) * (rng.random(eta.shape) < 0.7),
        "weights": rng.uniform(0.2, 2, N),
        "offset": rng.normal(0, 0.2, N),
        "trial": np.arange(N) // 20,
    }
    return found


def fit(X, Y, recording, **settings):
    beside = {name: settings.pop(name) for name in ("sample_weight", "offset") if name in settings}
    settings = {"feature_groups": [4, 3, 2], "n_lambdas": 3, "cv": 2, "tol": 1e-7, "precision": "float64"} | settings
    return pg.GLMCV(**settings).fit(X, Y, groups=recording["trial"], **beside)


def assert_same(found: pg.GLMCV, expected: pg.GLMCV) -> None:
    """Objectives to 1e-6 of the null model's, certified alike; held-out deviance and weights near."""
    np.testing.assert_allclose(found.lambda_path_, expected.lambda_path_, rtol=1e-9)
    assert np.nanmax(found.gap_) <= found.tol
    assert np.nanmax(found.cv_gap_) <= found.tol
    np.testing.assert_allclose(found.loss_path_, expected.loss_path_, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(found.cv_deviance_, expected.cv_deviance_, rtol=1e-3)
    np.testing.assert_allclose(found.coef_path_, expected.coef_path_, atol=2e-3)
    np.testing.assert_allclose(found.intercept_path_, expected.intercept_path_, atol=5e-3)


MODELS = [
    ("poisson", "group_lasso", {}),
    ("poisson", "lasso", {"inverse_link": "softplus", "smoothness": 0.01}),
    ("rate", "group_lasso", {"family": "poisson", "inverse_link": "identity", "lambda_min_ratio": 0.1}),
    ("poisson", "ridge", {"fit_intercept": False}),
    ("bernoulli", "group_lasso", {"patience": 2}),
    ("negative_binomial", "group_lasso", {}),
    ("censored_gaussian", "group_lasso", {}),
    ("tweedie", "lasso", {"power": 1.3}),
    ("gamma", "lasso", {"penalty_factors": [0, 1, 2]}),
    ("gaussian", "lasso", {}),
    ("gaussian", "ridge", {}),
    ("gaussian", "none", {}),
    ("poisson", "none", {}),
    ("bernoulli", "group_lasso", {"penalty_factors": [0, 1, 1]}),
    ("poisson", "lasso", {"feature_mask": np.arange(P)[:, None] != np.arange(Q)}),
    ("poisson", "lasso", {"constraints": {"group0": (-0.05, 0.1), "group2": "positive"}}),
]


#: Without anything beside them, models of every way to add up over shares.
PLAIN = [MODELS[k] for k in (0, 4, 5, 9, 10, 11)]


@pytest.mark.thorough(keep=7)
@pytest.mark.parametrize(
    ("family", "penalty", "more", "beside"), [*((*one, True) for one in MODELS), *((*one, False) for one in PLAIN)]
)
def test_shares_of_uneven_size_give_the_same_fit(recording, family, penalty, more, beside):
    X, Y, more = recording["X"], recording[family].copy(), dict(more)
    if beside:
        Y[100:180, 0] = np.nan
        Y[::7, 2] = np.nan
        more |= {"sample_weight": recording["weights"], "offset": recording["offset"]}
    more = {"family": family, "penalty": penalty} | more
    assert_same(fit(remote(X, [130, 450]), Y, recording, **more), fit(X, Y, recording, **more))


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_weights_of_each_neuron(recording, family):
    X, Y, weights = recording["X"], recording[family], np.random.default_rng(1).uniform(0.2, 2, recording[family].shape)
    more = {"family": family, "penalty": "lasso", "sample_weight": weights}
    assert_same(fit(remote(X, [130, 450]), Y, recording, **more), fit(X, Y, recording, **more))


def test_shuffled_folds_count_rows_by_weights(recording):
    X, Y = recording["X"], recording["poisson"]
    folds = np.array_split(np.random.default_rng(1).permutation(N), 3)
    splits = [(np.setdiff1d(np.arange(N), test), np.sort(test)) for test in folds]
    settings = {"penalty": "lasso", "cv": splits, "n_lambdas": 3, "tol": 1e-7, "precision": "float64"}
    found = pg.GLMCV(**settings).fit(remote(X, [250]), Y)
    assert_same(found, pg.GLMCV(**settings).fit(X, Y))


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_lost_shares_are_read_anew_without_a_trace(recording, family):
    X, Y = recording["X"], recording[family]
    whole, lossy = remote(X, [350]), remote(X, [350], losses=(9, 20, 31, 44, 51))
    expected = fit(whole, Y, recording, family=family, penalty="group_lasso")
    found = fit(lossy, Y, recording, family=family, penalty="group_lasso")
    assert lossy.shares.carrier.placed == 7
    np.testing.assert_array_equal(found.coef_path_, expected.coef_path_)
    np.testing.assert_array_equal(found.cv_deviance_, expected.cv_deviance_)


def test_a_share_that_is_lost_again_and_again_is_given_up(recording):
    lossy = remote(recording["X"], [350], losses=tuple(range(30, 60)))
    with pytest.raises(RuntimeError, match=r"rows [\d,]+ to [\d,]+ of X was lost 4 times in a row.*checkpoint="):
        fit(lossy, recording["poisson"], recording, penalty="lasso")


def test_what_is_not_finite_is_named_by_column_and_row(recording):
    X = recording["X"].copy()
    X[500, 3] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN in column 3, first in row 500\."):
        fit(remote(X, [130, 450]), recording["poisson"], recording)

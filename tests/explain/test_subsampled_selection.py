"""Groups that are selected in halves of the trials, against scikit-learn's lasso, the truth, and the bound."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import lasso_path

import popglm as pg

N, TRIALS = 600, 30


def trials():
    return np.repeat(np.arange(TRIALS), N // TRIALS)


def gaussian(seed=0, n_columns=12):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, n_columns))
    return X, 0.25 * X[:, :2] @ np.array([[1.0, 0.0], [0.6, 0.5]]) + rng.normal(size=(N, 2))


def test_frequencies_are_those_of_scikit_learns_lasso():
    X, Y = gaussian()
    path = np.geomspace(0.4, 0.004, 30)
    model = pg.GLM("gaussian", penalty="lasso", lambdas=path, tol=1e-8, precision="float64").fit(X, Y)
    found = pg.stability_selection(model, X, Y, trial=trials(), n_pairs=6, n_false=1.5, seed=3)
    q = int(np.sqrt(0.5 * 12 * 1.5))
    assert found.attrs["n_counted"] == q
    rng, counts = np.random.default_rng(3), np.zeros((2, 12))
    for _ in range(6):
        half = np.isin(trials(), rng.permutation(TRIALS)[: TRIALS // 2])
        for rows in (half, ~half):
            x, y = X[rows] - X[rows].mean(axis=0), Y[rows] - Y[rows].mean(axis=0)
            for neuron in range(2):
                weights = lasso_path(x, y[:, neuron], alphas=path, tol=1e-12, max_iter=100_000)[1]
                entered = np.logical_or.accumulate(np.abs(weights) > 0, axis=1)
                counts[neuron] += entered[:, entered.sum(axis=0) <= q].any(axis=1)
    np.testing.assert_allclose(found["frequency"], counts / 12)
    assert found["selected"].values[0, :2].all()
    np.testing.assert_array_equal(found["selected"], counts / 12 >= 0.75)


@pytest.mark.thorough
def test_few_are_selected_by_chance_and_what_counts_is():
    rng = np.random.default_rng(1)
    groups = np.repeat([f"g{k}" for k in range(10)], 3)
    X = pd.DataFrame(rng.normal(size=(N, 30)), columns=pd.MultiIndex.from_arrays([groups, range(30)]))
    rates = np.exp(-0.5 + 0.35 * X.to_numpy()[:, :1])
    Y = rng.poisson(np.concatenate([np.repeat(rates, 4, axis=1), np.full((N, 28), 0.6)], axis=1))
    model = pg.GLM(penalty="group_lasso", n_lambdas=12, lambda_min_ratio=0.02).fit(X, Y)
    found = pg.stability_selection(model, X, Y, trial=trials(), n_pairs=8, threshold=0.7, n_false=0.5)
    assert found["group"].values.tolist() == [f"g{k}" for k in range(10)]
    assert found["selected"].values[:4, 0].all()
    # of a neuron as many as the bound says
    n_false = found["selected"].values[4:].sum(axis=1).mean()
    assert n_false <= 0.5
    # more may be found, and are, where more may be false
    more = pg.stability_selection(model, X, Y, trial=trials(), n_pairs=8, threshold=0.7, n_false=4.0)
    assert more["selected"].sum() > found["selected"].sum()


def test_groups_without_penalty_or_outside_of_a_mask_are_not_selected():
    X, Y = gaussian()
    mask = np.ones((12, 2), bool)
    mask[0, 0] = False
    factors = np.where(np.arange(12) == 1, 0.0, 1.0)
    model = pg.GLM("gaussian", penalty="lasso", feature_mask=mask, penalty_factors=factors).fit(X, Y)
    found = pg.stability_selection(model, X, Y, trial=trials(), n_pairs=4)
    assert found.sizes["group"] == 11
    assert found["frequency"].values[0, 0] == 0


def test_half_of_the_path_gives_what_the_whole_gives():
    X, Y = gaussian()
    path = np.geomspace(0.4, 0.004, 30)
    long, short = (pg.GLM("gaussian", penalty="lasso", lambdas=path[:n]).fit(X, Y) for n in (30, 15))
    given = {"trial": trials(), "n_pairs": 3}
    found = [pg.stability_selection(model, X, Y, **given)["frequency"] for model in (long, short)]
    np.testing.assert_array_equal(*found)


def test_the_same_seed_selects_the_same_and_rows_go_by_their_labels():
    X, Y = gaussian()
    X, Y = pd.DataFrame(X, index=np.arange(N) / 10), pd.DataFrame(Y, columns=["a", "b"], index=np.arange(N) / 10)
    model = pg.GLM("gaussian", penalty="lasso").fit(X, Y)
    one, again = (pg.stability_selection(model, X, Y, trial=trials(), n_pairs=2, seed=1) for _ in range(2))
    assert one.equals(again)
    turned = pg.stability_selection(model, X[::-1], Y[::-1], trial=pd.Series(trials(), X.index), n_pairs=2, seed=1)
    np.testing.assert_array_equal(turned["frequency"], one["frequency"])
    assert one["neuron"].values.tolist() == ["a", "b"]


def test_weights_and_offsets_of_the_fit_are_asked_for():
    X, Y = gaussian()
    weight = np.where(np.arange(N) < N // 2, 1.0, 0.5)
    model = pg.GLM("gaussian", penalty="lasso").fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="stability_selection needs sample_weight="):
        pg.stability_selection(model, X, Y, trial=trials())
    assert pg.stability_selection(model, X, Y, trial=trials(), n_pairs=1, sample_weight=weight)["frequency"].max() == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_pairs": 0}, "stability_selection: n_pairs must be an integer"),
        ({"threshold": 0.5}, "threshold must be above 0.5, and 1 at most; found 0.5"),
        ({"n_false": 0}, "n_false must be a number above 0; found 0"),
        (
            {"n_false": 0.01},
            "n_false=0.01 lets no group count; give an n_false of at least 0.167",
        ),
        ({"trial": np.arange(N) // 300}, "halves of 2 trials say little"),
        ({"seed": -1}, "stability_selection: seed=-1"),
    ],
)
def test_bad_input_is_told(given, words):
    X, Y = gaussian()
    model = pg.GLM("gaussian", penalty="lasso").fit(X, Y)
    with pytest.raises(ValueError, match=re.escape(words)):
        pg.stability_selection(model, X, Y, **{"trial": trials(), **given})


def test_penalties_that_select_nothing_are_told():
    X, Y = gaussian()
    for given in ({"penalty": "ridge"}, {"penalty": "none"}):
        with pytest.raises(ValueError, match="gives weights to all columns and selects none"):
            pg.stability_selection(pg.GLM("gaussian", **given).fit(X, Y), X, Y, trial=trials())
    free = pg.GLM("gaussian", penalty="lasso", penalty_factors=np.zeros(12)).fit(X, Y)
    with pytest.raises(ValueError, match="no feature group is penalised"):
        pg.stability_selection(free, X, Y, trial=trials())

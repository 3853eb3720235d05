"""Shapley values, against all orders by hand, predictions by hand, fits from scratch, and the product measure."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from populations import fitted
from scipy import optimize
from sklearn.metrics import log_loss, mean_poisson_deviance

import popglm as pg
from popglm.explain import refitted_subsets
from popglm.explain.ablated_subsets import AblatedSubsets
from popglm.explain.coalitions import shapley_of

VARIABLES = {"position": "position", "cue": "* × cue", "speed": "speed"}


def by_orders(value, n):
    """Mean gains over all orders; ``value`` takes a set of variables."""
    found = [0.0] * n
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        for k, v in enumerate(order):
            found[v] += (value(frozenset(order[: k + 1])) - value(frozenset(order[:k]))) / len(orders)
    return np.array(found)


def columns_of(X, without=()):
    group = X.columns.get_level_values("group")
    return [np.flatnonzero(group == name) for name in ("position", "position × cue", "speed") if name not in without]


def test_gains_over_all_orders():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(32, 3))
    found = shapley_of(values)
    for j in range(3):
        expected = by_orders(lambda s, j=j: values[sum(1 << v for v in s), j], 5)
        np.testing.assert_allclose(found[:, j], expected)
    np.testing.assert_allclose(found.sum(axis=0), values[-1] - values[0])
    # one that never adds anything, and two that are alike
    values[np.arange(32) & 4 > 0] = values[np.arange(32) & 4 == 0]
    np.testing.assert_allclose(shapley_of(values)[2], 0, atol=1e-15)
    np.testing.assert_allclose(shapley_of(np.array([0.0, 2.0])), [2.0])


def too_much(shift, mean, eta, y):
    """What is predicted beyond what happened."""
    return np.sum(mean(eta + shift) - y)


def explained_by_hand(model, X, y, j, subset, columns):
    """Held-out deviance of the fitted weights of some variables, with the intercept that training samples want."""
    X, total = np.asarray(X), 0.0
    kept = np.setdiff1d(np.arange(X.shape[1]), np.concatenate(columns))
    kept = np.concatenate([kept, *(columns[v] for v in subset)]).astype(int)
    for f, (train, test) in enumerate(model.splits_):
        eta = X[:, kept] @ model.cv_coef_[f][j, kept] + model.cv_intercept_[f][j]
        train, test = (rows[np.isfinite(y[rows])] for rows in (train, test))
        mean = {"poisson": np.exp, "bernoulli": lambda x: 1 / (1 + np.exp(-x))}[model.family]
        if len(subset) < len(columns):
            eta = eta + optimize.brentq(too_much, -20, 20, args=(mean, eta[train], y[train]), xtol=1e-13)
        mu = mean(eta[test])
        if model.family == "poisson":
            total += mean_poisson_deviance(y[test], mu) * len(test)
        else:
            total += 2 * log_loss(y[test], mu, normalize=False, labels=[0, 1])
    return -total


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_ablation_by_hand(family):
    model, X, Y, b = fitted(family, tol=1e-8)
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.1, np.nan, Y)
    model.fit(X, Y, groups=b["trial"])
    found = pg.shapley(model, X, Y, VARIABLES)
    columns = columns_of(X)
    for j in range(3):
        expected = by_orders(lambda s, j=j: explained_by_hand(model, X, Y[:, j], j, s, columns), 3)
        np.testing.assert_allclose(found["shapley"][j], expected, rtol=1e-5, atol=1e-4)
        without = -explained_by_hand(model, X, Y[:, j], j, (), columns)
        assert found["rest"][j].item() == pytest.approx(model.cv_null_deviance_[j] - without, abs=1e-3)
    check_sum(found, model, X, Y)


def check_sum(found, model, X, Y, **beside):
    """Values and the rest are what the model explains."""
    known = pg.breakdown(model, X, Y, **beside)
    np.testing.assert_allclose(found["full_deviance"], known["full_deviance"], rtol=1e-5)
    np.testing.assert_allclose(found["null_deviance"], known["null_deviance"], rtol=1e-6)
    total = found["shapley"].sum("variable") + found["rest"]
    np.testing.assert_allclose(total, known["null_deviance"] - known["full_deviance"], rtol=1e-5, atol=1e-3)
    shares = found["fraction_null_deviance"].sum("variable") + found["rest"] / found["null_deviance"]
    np.testing.assert_allclose(shares, known["deviance_explained"], rtol=1e-5, atol=1e-6)


def test_groups_of_no_variable_stay_and_weights_and_offsets_count():
    model, X, Y, b = fitted(tol=1e-8)
    rng = np.random.default_rng(2)
    weight, offset = rng.integers(1, 4, len(X)).astype(float), 0.3 * rng.normal(size=len(X))
    model.fit(X, Y, groups=b["trial"], sample_weight=weight, offset=offset)
    beside = {"sample_weight": weight, "offset": offset}
    for method in ("ablation", "refit"):
        found = pg.shapley(model, X, Y, ["position", "speed"], method=method, **beside)
        check_sum(found, model, X, Y, **beside)
        # only the neuron of the cue is explained without position and speed; an offset that says nothing does harm
        rest = (found["rest"] / found["null_deviance"]).values
        assert rest[1] > 0.1
        assert (rest[[0, 2, 3]] < 0).all()
    alone = pg.shapley(model, X, Y, "speed", method="refit", **beside)
    compared = pg.compare(model, X, Y, "speed", reselect=False, **beside)
    gain = compared["reduced_deviance"][:, 0] - compared["full_deviance"]
    np.testing.assert_allclose(alone["shapley"][:, 0], gain, rtol=1e-4, atol=0.02)


def test_weights_of_each_neuron():
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
    eta = np.column_stack([0.5 * X["a"], -0.5 * X["b"]])
    trials = rng.integers(3, 9, (400, 2)).astype(float)
    Y = rng.binomial(trials.astype(int), 1 / (1 + np.exp(-eta))) / trials
    settings = {"lambdas": [0.01], "cv": 3, "feature_groups": list("abc"), "precision": "float64", "tol": 1e-8}
    model = pg.GLMCV("binomial", **settings).fit(X, Y, sample_weight=trials)
    for method in ("ablation", "refit"):
        found = pg.shapley(model, X, Y, method=method, sample_weight=trials)
        check_sum(found, model, X, Y, sample_weight=trials)
        for j in range(2):
            alone = pg.GLMCV("binomial", **settings).fit(X, Y[:, j], sample_weight=trials[:, j])
            own = pg.shapley(alone, X, Y[:, j], method=method, sample_weight=trials[:, j])
            np.testing.assert_allclose(found["shapley"][j], own["shapley"][0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("intercept", [True, False])
def test_least_squares_have_the_product_measure(intercept):
    model, X, Y, b = fitted("gaussian", fit_intercept=intercept)
    Y = Y - Y.mean(axis=0) * (not intercept)
    model.fit(X, Y, groups=b["trial"])
    found = pg.shapley(model, X, Y, VARIABLES)
    check_sum(found, model, X, Y)
    # all subsets, as for other families
    subsets = AblatedSubsets(model, np.asarray(X), Y, np.ones_like(Y), None, model.splits_, columns_of(X))
    np.testing.assert_allclose(found["shapley"].T, shapley_of(-subsets.deviances()), rtol=1e-5, atol=1e-6)
    # as himalaya's r2_score_split has it: parts of the prediction times twice the activity less the prediction
    for j in range(4):
        expected = np.zeros(3)
        for f, (train, test) in enumerate(model.splits_):
            parts = np.array([np.asarray(X)[:, own] @ model.cv_coef_[f][j, own] for own in columns_of(X)])
            shift = parts[:, train].mean(axis=1, keepdims=True) if intercept else np.zeros((3, 1))
            parts = (parts - shift)[:, test]
            y = Y[test, j] - (model.cv_intercept_[f][j] + shift.sum())
            expected += (parts * (2 * y - parts.sum(axis=0))).sum(axis=1)
        np.testing.assert_allclose(found["shapley"][j], expected, rtol=1e-6, atol=1e-6)


def test_many_variables_of_least_squares_need_no_subsets():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 15))
    Y = X[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(300, 2))
    model = pg.GLMCV("gaussian", feature_groups=list("abcdefghijklmno"), n_lambdas=5, precision="float64").fit(X, Y)
    found = pg.shapley(model, X, Y)
    assert found.sizes["variable"] == 15
    check_sum(found, model, X, Y)


def from_scratch(model, X, Y, names):
    """Held-out deviance of a model of some groups at the strengths of the full one."""
    if not names:
        return model.cv_constant_deviance_.sum(axis=0)
    own = X.loc[:, X.columns.get_level_values("group").isin(names)]
    fresh = pg.GLMCV(**model.get_params() | {"lambdas": model.lambda_[None], "cv": model.splits_})
    return fresh.fit(own, Y).cv_deviance_[:, 0].sum(axis=0)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    ("family", "penalty"),
    [("poisson", "group_lasso"), ("poisson", "ridge"), ("gaussian", "lasso"), ("bernoulli", "ridge")],
)
def test_refits_are_fits_from_scratch(family, penalty, monkeypatch):
    model, X, Y, _ = fitted(family, penalty, tol=1e-8, n_neurons=3)
    n_fitted, refit = [], refitted_subsets.RefittedSubsets._refit

    def counted(self, own, mask, start):
        n_fitted.append(len(own))
        return refit(self, own, mask, start)

    monkeypatch.setattr(refitted_subsets.RefittedSubsets, "_refit", counted)
    found = pg.shapley(model, X, Y, VARIABLES, method="refit")
    names = ["position", "position × cue", "speed"]
    sets = [frozenset(s) for k in range(4) for s in itertools.combinations(range(3), k)]
    known = {s: from_scratch(model, X, Y, [names[v] for v in s]) for s in sets}
    for j in range(3):
        expected = by_orders(lambda s, j=j: -known[s][j], 3)
        np.testing.assert_allclose(found["shapley"][j], expected, rtol=1e-4, atol=2e-4 * found["null_deviance"][j])
    check_sum(found, model, X, Y)
    # six subsets of three neurons have columns and are not the model; what has no weights is not fitted again
    assert sum(n_fitted) == 18 if penalty == "ridge" else sum(n_fitted) <= 18


def test_refits_begin_near_their_end_and_skip_what_is_known(monkeypatch):
    model, X, Y, _ = fitted(tol=1e-6)
    # a strength at which neurons have weights for what drives them alone
    strong = pg.GLMCV(**model.get_params() | {"lambdas": [0.08], "cv": model.splits_}).fit(X, Y)
    parts = np.array([[np.abs(strong.cv_coef_[:, j, own]).sum() for own in columns_of(X)] for j in range(4)])
    expected = 0
    for j in range(4):
        active = frozenset(np.flatnonzero(parts[j]))
        # subsets that lack something active, and have a column
        expected += sum(not active <= frozenset(s) for k in (1, 2) for s in itertools.combinations(range(3), k))
    counts, refit = [], refitted_subsets.RefittedSubsets._refit

    def counted(self, own, mask, start):
        counts.append(len(own))
        return refit(self, own, mask, start)

    monkeypatch.setattr(refitted_subsets.RefittedSubsets, "_refit", counted)
    pg.shapley(strong, X, Y, VARIABLES, method="refit")
    assert 0 < sum(counts) <= expected < 24


def test_copies_share_and_null_neurons_have_nothing():
    rng = np.random.default_rng(4)
    n, trial = 900, np.arange(900) // 10
    speed, touch = rng.normal(size=(2, n))
    X = pd.DataFrame({"speed": speed, "pace": speed, "touch": touch})
    Y = np.column_stack([rng.poisson(np.exp(0.5 * speed + 0.3 * touch)), rng.poisson(np.ones(n)), np.full(n, np.nan)])
    Y = Y.astype(float)
    model = pg.GLMCV(feature_groups=["speed", "pace", "touch"], n_lambdas=6, precision="float64", tol=1e-7)
    with pytest.warns(pg.PopglmWarning):
        model.fit(X, Y, groups=trial)
    for method in ("ablation", "refit"):
        found = pg.shapley(model, X, Y, method=method)
        first = found["fraction_explained_deviance"][0].values
        assert first[0] == pytest.approx(first[1], rel=1e-3)
        assert first.sum() == pytest.approx(1, abs=0.02)
        assert np.isnan(found["shapley"][2]).all()
        if np.isinf(model.lambda_[1]):
            np.testing.assert_allclose(found["shapley"][1], 0, atol=1e-9)


def test_masked_columns_have_no_share():
    model, X, Y, b = fitted()
    mask = np.ones((X.shape[1], 4), bool)
    mask[columns_of(X)[2], 2] = False
    model.set_params(feature_mask=mask).fit(X, Y, groups=b["trial"])
    for method in ("ablation", "refit"):
        assert pg.shapley(model, X, Y, VARIABLES, method=method)["shapley"][2, 2] == 0


def test_reach_of_a_monkey():
    path = Path(__file__).parents[3] / "shared" / "data" / "s1_reach.npz"
    if not path.exists():
        pytest.skip("s1_reach.npz is not in ../shared/data")
    data = np.load(path)
    rows, units = slice(0, 6_000), np.argsort(-data["counts"].sum(axis=0))[:5]
    Y = data["counts"][rows][:, units].astype(float)
    session = {
        f"{name}_{axis}": data[f"hand_{name}"][rows, k] for name in ("pos", "vel") for k, axis in enumerate("xy")
    }
    design = pg.Design([pg.splines(name, n=5, quantiles=True) for name in session])
    X = design.fit_transform(session)
    model = pg.GLMCV(lambdas=[1.0, 0.1, 0.01], cv=3, tol=1e-5).fit(X, Y, groups=np.arange(6_000) // 200)
    variables = {"position": "pos_*", "velocity": "vel_*"}
    refit = pg.shapley(model, X, Y, variables, method="refit")
    check_sum(refit, model, X, Y)
    lost, alone = (pg.compare(model, X, Y, variables, method=m, reselect=False) for m in ("remove", "add"))
    # of two variables the value lies half-way between what is lost without one and what it explains alone
    middle = 0.5 * (
        (lost["reduced_deviance"] - lost["full_deviance"]) + (lost["null_deviance"] - alone["reduced_deviance"])
    )
    np.testing.assert_allclose(refit["shapley"], middle - 0.5 * refit["rest"], rtol=1e-2, atol=1.0)


@pytest.mark.thorough
def test_bad_arguments_are_told():
    model, X, Y, _ = fitted()
    assert_complaint("method", lambda v: pg.shapley(model, X, Y, method=v), "product")
    assert_complaint("no group fits 'touch'", lambda v: pg.shapley(model, X, Y, v), ["touch"])
    assert_complaint("Y", lambda v: pg.shapley(model, X, v), Y[:-1])
    assert_complaint("shapley", lambda v: pg.shapley(model, X, v), Y[::-1])
    assert_complaint("GLMCV", lambda v: pg.shapley(v, X, Y), pg.GLM(lambdas=[0.1]).fit(X, Y))
    many = np.random.default_rng(0).normal(size=(200, 11))
    y = np.random.default_rng(1).poisson(1, (200, 1))
    wide = pg.GLMCV(feature_groups=list("abcdefghijk"), lambdas=[1e-4], cv=2).fit(many, y)
    for method in ("ablation", "refit"):
        assert_complaint("variables must be 10 at most", lambda v: pg.shapley(wide, many, y, method=v), method)
    relu = pg.GLMCV("poisson", "relu", feature_groups=list("abcdefghijk"), lambdas=[0.1], cv=2).fit(many, y)
    assert_complaint("relu", lambda v: pg.shapley(relu, many, y, v), ["a", "b"])


def test_neurons_that_some_variables_predict_far_off_are_named():
    rng, trial = np.random.default_rng(0), np.arange(400) // 10
    X = rng.normal(0, 0.5, (400, 3))
    # in a trial that is held out as a whole, two variables cancel that go apart elsewhere: either alone explodes
    X[200:210, :2] = 12.0
    Y = rng.poisson(np.exp(np.column_stack([X[:, 0] - X[:, 1], X[:, 2]])))
    X = pd.DataFrame(X, columns=pd.MultiIndex.from_tuples([(name, name) for name in ("left", "right", "speed")]))
    Y = pd.DataFrame(Y, columns=["apart", "running"])
    model = pg.GLMCV(penalty="ridge", lambdas=[1e-3]).fit(X, Y, groups=trial)
    for method in ("ablation", "refit"):
        with pytest.warns(pg.PopglmWarning, match="times the null model's deviance") as caught:
            pg.shapley(model, X, Y, method=method)
        (told,) = [str(w.message) for w in caught if "null model's deviance" in str(w.message)]
        assert told.endswith(": apart.")

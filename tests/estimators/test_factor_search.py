"""Penalty factors that are searched for: against himalaya, closed forms, planted answers and fits by hand."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection import KFold

import popglm as pg
from popglm import GLM, GLMCV, FactorSearch
from popglm.estimators import glm_cv
from popglm.solve.factors.working_responses import working_responses
from popglm.solve.stream import RowStream
from popglm.statistics.families import get_family
from popglm.statistics.penalties import smoothness_matrix

SIZES, N, Q = [4, 5, 3], 240, 4
COLUMN = np.repeat(np.arange(3), SIZES)
TRIAL = np.arange(N) // 12
STRENGTHS = [3.0, 1.0, 0.3, 0.1, 0.03, 0.01]
#: The space that each neuron follows.
SPACE = [0, 1, 2, 0]


@pytest.fixture(scope="module")
def recording():
    """X, and activity of which each neuron follows one space."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, 12)) @ (np.eye(12) + 0.2 * rng.normal(size=(12, 12)))
    eta = X @ (rng.normal(size=(12, Q)) * (COLUMN[:, None] == SPACE))
    eta *= 1.5 / eta.std(axis=0)
    return X, {
        "gaussian": eta + 2 * rng.normal(size=(N, Q)) + 3,
        "poisson": rng.poisson(np.exp(np.clip(0.5 * eta - 0.5, -4, 2))).astype(float),
        "bernoulli": (rng.random((N, Q)) < expit(eta - 1)).astype(float),
    }


def fitted(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **more)


def searching(search, family="gaussian", **more):
    given = {"feature_groups": SIZES, "lambdas": STRENGTHS, "cv": 4, "precision": "float64", "tol": 1e-8}
    return GLMCV(family, penalty_factors=search, **given | more)


def test_as_himalaya():
    with np.load(Path(__file__).parents[1] / "reference" / "banded.npz") as found:
        frozen = dict(found)
    X, Y, n, n_folds = frozen["X"], frozen["Y"], len(frozen["X"]), int(frozen["n_folds"])
    n_train, spaces = n - n // n_folds, frozen["weights"].shape[1]
    # himalaya sums over samples, has a strength of 1/γ per space, and the same α in the folds as over all rows
    lambdas = np.sort(frozen["alphas"])[::-1] * spaces / n_train
    search = FactorSearch(candidates=frozen["weights"])
    given = {"feature_groups": frozen["sizes"].tolist(), "precision": "float64", "tol": 1e-12}
    model = fitted(GLMCV("gaussian", penalty_factors=search, lambdas=lambdas, cv=KFold(n_folds), **given), X, Y)
    about = model.factor_search_
    np.testing.assert_allclose(about["deviance"] / (n / n_folds), -frozen["scores"], rtol=1e-8)
    np.testing.assert_allclose(about["weight"].values[about["chosen"]].T, frozen["chosen_weights"], rtol=1e-8)
    strength = about["strength"].values[about["chosen"], np.arange(Y.shape[1])]
    np.testing.assert_allclose(strength, frozen["best_alphas"] * spaces / n_train, rtol=1e-8)
    np.testing.assert_array_equal(model.lambda_, strength)
    own = GLM("gaussian", penalty_factors=model.penalty_factors_, lambdas=(strength * n_train / n)[None], **given)
    np.testing.assert_allclose(fitted(own, X, Y).coef_, frozen["coef"], atol=1e-6)
    np.testing.assert_allclose(own.predict(X), X @ frozen["coef"].T + frozen["intercept"], atol=1e-6)


def held_out(X, y, s, factors, lam, train, test, sigma=0.0, intercept=True):
    """Deviance of held-out rows of a ridge, by the normal equations."""
    w = s[train] / s[train].sum()
    x, mean = (w @ X[train], w @ y[train]) if intercept else (np.zeros(X.shape[1]), 0.0)
    A = (X[train] - x).T @ ((X[train] - x) * w[:, None]) + lam * np.diag(factors) + sigma * smoothness_matrix(SIZES)
    coef = np.linalg.solve(A, (X[train] - x).T @ (w * (y[train] - mean)))
    return (s[test] * (y[test] - mean - (X[test] - x) @ coef) ** 2).sum()


@pytest.mark.parametrize(("sigma", "intercept"), [(0.0, True), (0.2, True), (0.0, False)])
def test_every_candidate_is_a_closed_form(recording, sigma, intercept):
    X, Y = recording[0], recording[1]["gaussian"]
    rng = np.random.default_rng(4)
    s, offset = rng.uniform(0.5, 2, N), rng.normal(size=N)
    # folds of unlike sizes that leave rows out, and train on some of the others
    splits = [(np.arange(80, N), np.arange(60)), (np.arange(100), np.arange(120, 200))]
    search = FactorSearch(n_candidates=6, seed=2)
    model = fitted(searching(search, cv=splits, smoothness=sigma, fit_intercept=intercept), X, Y, sample_weight=s,
                   offset=offset)  # fmt: skip
    about = model.factor_search_
    np.testing.assert_allclose(about["weight"].sum("space"), 1)
    np.testing.assert_allclose(about["weight"][0], 1 / 3)
    wanted = np.zeros((6, len(STRENGTHS), Q))
    for i, weights in enumerate(about["weight"].values):
        for k, lam in enumerate(STRENGTHS):
            for j in range(Q):
                given = X, Y[:, j] - offset, s, 1 / (3 * weights[COLUMN]), lam
                wanted[i, k, j] = np.mean([held_out(*given, *split, sigma, intercept) for split in splits])
    np.testing.assert_allclose(about["deviance"], wanted.min(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(about["strength"], np.array(STRENGTHS)[wanted.argmin(axis=1)])
    np.testing.assert_array_equal(about["chosen"], wanted.min(axis=1).argmin(axis=0))
    # the fit that follows has the same
    found = model.cv_deviance_.mean(axis=0).min(axis=0)
    np.testing.assert_allclose(found, wanted.min(axis=(0, 1)), rtol=1e-5)


def test_no_penalty_and_more_columns_than_rows(recording):
    X, Y = recording[0][:20], recording[1]["gaussian"][:20]
    wide = np.concatenate([X, X**2], axis=1)
    splits = [(np.arange(10), np.arange(10, 20)), (np.arange(10, 20), np.arange(10))]
    search = FactorSearch(candidates=[[1, 1], [1, 3]])
    given = {"feature_groups": [12, 12], "cv": splits, "precision": "float64", "lambdas": [1.0, 1e-3]}
    about = fitted(GLMCV("gaussian", penalty_factors=search, **given), wide, Y).factor_search_
    for i, c in enumerate([np.ones(24), np.repeat([2.0, 2 / 3], 12)]):
        for j in range(Q):
            deviance = []
            for lam in (1.0, 1e-3):
                each = []
                for train, test in splits:
                    x, y = wide[train] - wide[train].mean(axis=0), Y[train, j] - Y[train, j].mean()
                    dual = np.linalg.solve(x / c @ x.T / 10 + lam * np.eye(10), y / 10)
                    mean = Y[train, j].mean() + (wide[test] - wide[train].mean(axis=0)) / c @ x.T @ dual
                    each.append(((Y[test, j] - mean) ** 2).sum())
                deviance.append(np.mean(each))
            np.testing.assert_allclose(about["deviance"][i, j], min(deviance), rtol=1e-6)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_it_finds_what_was_planted(family):
    rng = np.random.default_rng(7)
    X, space = rng.normal(size=(400, 45)), np.repeat(np.arange(3), 15)
    eta = 0.4 * X @ (rng.normal(size=(45, 3)) * (space[:, None] == [0, 1, 2]))
    Y = {
        "gaussian": eta + 2 * rng.normal(size=eta.shape),
        "poisson": rng.poisson(np.exp(np.clip(0.5 * eta - 0.5, -4, 2))),
        "bernoulli": rng.random(eta.shape) < expit(eta),
    }[family].astype(float)
    train, test = slice(200), slice(200, 400)
    spaces = {"a": "group0", "b": "group1", "c": "group2"}
    given = {"feature_groups": [15, 15, 15], "tol": 1e-5}
    search = FactorSearch(spaces, n_candidates=30, n_fitted=4, seed=1)
    model = fitted(searching(search, family, **given), X[train], Y[train])
    assert list(model.factor_search_["space"].values) == ["a", "b", "c"]
    np.testing.assert_array_equal(model.penalty_factors_.argmin(axis=0), [0, 1, 2])
    plain = fitted(searching(None, family, **given), X[train], Y[train])
    gain = (model.evaluate(X[test], Y[test]) - plain.evaluate(X[test], Y[test]))["deviance_explained"]
    assert (gain > 0).all()
    assert gain.mean() > 0.03
    # one neuron alone, whose activity is 1-D, is the same
    alone = fitted(clone(model), X[train], Y[train, 1])
    np.testing.assert_allclose(alone.coef_, model.coef_[1], atol=1e-3)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    ("family", "penalty"), [("gaussian", "ridge"), ("poisson", "ridge"), ("poisson", "group_lasso")]
)
def test_the_fit_is_that_of_the_factors_given_by_hand(recording, family, penalty):
    X, Y = recording[0], recording[1][family]
    given = {"penalty": penalty, "lambdas": [0.3, 0.1, 0.03]}
    search = FactorSearch(n_candidates=4, n_fitted=None)
    model = fitted(searching(search, family, **given), X, Y, groups=TRIAL)
    by_hand = fitted(searching(model.penalty_factors_, family, **given), X, Y, groups=TRIAL)
    for name in ("coef_", "intercept_", "lambda_", "cv_deviance_", "cv_coef_", "gap_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(by_hand, name))
    about = model.factor_search_
    for i in range(4):
        factors = 1 / (3 * about["weight"].values[i])
        each = fitted(searching(factors, family, **given), X, Y, groups=TRIAL).cv_deviance_.mean(axis=0)
        np.testing.assert_allclose(about["deviance"][i], each.min(axis=0), rtol=1e-5)
        np.testing.assert_array_equal(about["strength"][i], np.array([0.3, 0.1, 0.03])[each.argmin(axis=0)])
    np.testing.assert_array_equal(about["chosen"], about["deviance"].values.argmin(axis=0))


def test_few_fits_find_nearly_what_all_find(recording):
    X, Y = recording[0], recording[1]["poisson"][:, :3]
    given = {"tol": 1e-5, "lambdas": 10.0 ** np.linspace(1, -3, 16), "cv": 2}
    searches = (FactorSearch(n_candidates=5, n_fitted=n) for n in (3, None))
    few, every = (fitted(searching(one, "poisson", **given), X, Y, groups=TRIAL).factor_search_ for one in searches)
    assert np.isfinite(few["deviance"][0]).all()
    assert (np.isfinite(few["deviance"][1:]).sum("candidate") <= 3).all()
    assert (np.isfinite(few["deviance"]).sum("candidate") >= 3).all()
    best, all_best = few["deviance"].min("candidate"), every["deviance"].min("candidate")
    gain = every["deviance"][0] - all_best
    assert float((best - all_best).sum() / gain.sum()) < 0.05
    # what was fitted is the same, up to strengths that were left out
    same = few["deviance"].values[few["chosen"], range(3)]
    np.testing.assert_allclose(same, every["deviance"].values[few["chosen"], range(3)], rtol=1e-4)
    # seven strengths of sixteen hold the best one
    strengths = [found["strength"].values[few["chosen"], range(3)] for found in (few, every)]
    np.testing.assert_allclose(*strengths)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "negative_binomial", "censored_gaussian"])
def test_working_responses_have_the_gradient_of_the_loss(recording, family):
    X, Y = recording[0], recording[1]["bernoulli" if family == "bernoulli" else "poisson"].T.copy()
    rng = np.random.default_rng(5)
    loss = get_family(family)
    theta = np.full((Q, len(loss.parameters)), 0.7)
    Y[:, :30] = np.nan
    own = rng.uniform(0.5, 2, (Q, N)) * ~np.isnan(Y)
    shared, train = own.mean(axis=0) + 0.3, (np.arange(N) % 3 > 0).astype(int)
    w = 0.1 * rng.normal(size=(Q, 12))
    found = working_responses(loss, Y, w @ X.T, own, shared, (train, 1 - train), theta, np.zeros(Q))
    for j in range(Q):
        known = loss.of_neurons(theta[j : j + 1]) if loss.parameters else loss
        for rows, scale in ((train == 1, 1 / own[j, train == 1].sum()), (train == 0, 0.5)):
            s, seen = own[j] * rows, np.nan_to_num(Y[j])

            def mean_loss(v, known=known, s=s, seen=seen, scale=scale):
                return scale * (s * known.value(np, X @ v, seen)).sum()

            steps = 1e-5 * np.eye(12)
            gradient = [(mean_loss(w[j] + e) - mean_loss(w[j] - e)) / 2e-5 for e in steps]
            error = shared * rows * (X @ w[j] - found.z[j])
            # (1/S) Σ c/2 (z − η)² in training rows, and half of scale · Σ (z − η)² in the others
            factor = found.curvature[j] / (shared @ train) if scale != 0.5 else found.scale[j] / 2
            np.testing.assert_allclose(factor * X.T @ error, gradient, atol=2e-5 * np.abs(gradient).max())


def test_one_bad_neuron_never_spoils_others(recording):
    X = recording[0]
    for family in ("gaussian", "poisson"):
        Y = recording[1][family]
        bad = np.column_stack([Y, np.zeros(N), np.full(N, np.nan), Y[:, 0]])
        bad[5:40, 6] = np.nan
        given = {"lambdas": STRENGTHS[1::2], "cv": 3}
        search = FactorSearch(n_candidates=5, n_fitted=2)
        model = fitted(searching(search, family, **given), X, Y, groups=TRIAL)
        more = fitted(searching(search, family, **given), X, bad, groups=TRIAL)
        np.testing.assert_allclose(more.coef_[:Q], model.coef_, atol=1e-5)
        np.testing.assert_array_equal(more.factor_search_["chosen"][:Q], model.factor_search_["chosen"])
        np.testing.assert_array_equal(more.factor_search_["chosen"][4:6], 0)
        np.testing.assert_array_equal(more.penalty_factors_[:, 4:6], 1)
        assert np.isfinite(more.coef_).all()
        assert more.null_fitted_[4:6].all()
        assert more.cv_deviance_explained_[6] > 0.1


def test_missing_samples_weights_of_neurons_and_masks(recording):
    X, Y = recording[0], recording[1]["gaussian"].copy()
    rng = np.random.default_rng(6)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    weight = rng.uniform(0.5, 2, (N, Q))
    mask = np.ones((12, Q), bool)
    mask[2, 1] = False
    fold = np.arange(N) // 60
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(4)]
    search = FactorSearch(n_candidates=8, n_fitted=None)
    options = {"feature_mask": mask, "cv": splits, "lambdas": [0.3, 0.03], "tol": 1e-10}
    about = fitted(searching(search, **options), X, Y, sample_weight=weight).factor_search_
    for i, weights in enumerate(about["weight"].values):
        for j in range(Q):
            Z, c = X.copy(), 1 / (3 * weights[COLUMN])
            Z[:, ~mask[:, j]] = 0
            s = weight[:, j] * ~np.isnan(Y[:, j])
            given = Z, np.nan_to_num(Y[:, j]), s, c
            each = [np.mean([held_out(*given, lam, *split) for split in splits]) for lam in (0.3, 0.03)]
            np.testing.assert_allclose(about["deviance"][i, j], min(each), rtol=1e-5)
    # complete neurons with masks need no fits, and are the same
    Y = recording[1]["gaussian"]
    about = fitted(searching(search, **options), X, Y).factor_search_
    for j in range(Q):
        Z = np.where(mask[:, j], X, 0)
        c = 1 / (3 * about["weight"].values[5][COLUMN])
        each = [np.mean([held_out(Z, Y[:, j], np.ones(N), c, lam, *split) for split in splits]) for lam in (0.3, 0.03)]
        np.testing.assert_allclose(about["deviance"][5, j], min(each), rtol=1e-6)


def test_seeds_and_concentrations(recording):
    groups = [f"group{g}" for g in range(3)]
    one, same, other = (FactorSearch(n_candidates=400, seed=seed).drawn(groups).weights for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one[1:] != other[1:]).all(axis=1).mean() > 0.9
    np.testing.assert_array_equal(one[0], [1 / 3] * 3)
    # the variance of a weight under Dirichlet(a, a, a) is 2 / (9 (3a + 1)); concentrations take turns
    even, few = one[2::2], one[1::2]
    np.testing.assert_allclose(few.var(axis=0), 2 / (9 * 4), rtol=0.25)
    np.testing.assert_allclose(even.var(axis=0), 2 / (9 * 1.3), rtol=0.25)
    X, Y = recording[0], recording[1]["poisson"][:, :2]
    search, given = FactorSearch(n_candidates=5, n_fitted=2), {"cv": 3, "tol": 1e-4}
    first, second = (fitted(searching(search, "poisson", **given), X, Y, groups=TRIAL) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)


def test_a_search_is_kept_in_files_and_not_made_again(recording, tmp_path, monkeypatch):
    X, Y = recording[0], recording[1]["gaussian"]
    model = fitted(searching(FactorSearch(n_candidates=10)), X, Y, groups=TRIAL)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.penalty_factors_, model.penalty_factors_)
    assert again.factor_search_.identical(model.factor_search_)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.lambda_path_, model.lambda_path_)
    plain = fitted(searching(None), X, Y, groups=TRIAL)
    assert plain.factor_search_ is None
    plain.save(tmp_path / "plain.nc")
    assert pg.load(tmp_path / "plain.nc").factor_search_ is None

    def never(*given):
        raise AssertionError("searched again")

    monkeypatch.setattr(glm_cv, "run_search", never)
    variables = {"first": ["group0"], "rest": ["group1", "group2"]}
    for known in (model, again):
        lost = pg.compare(known, X, Y, variables)
        without = fitted(
            searching(known.penalty_factors_[1:], feature_groups=SIZES[1:], lambdas=known.lambda_path_),
            X[:, 4:], Y, groups=TRIAL,
        )  # fmt: skip
        wanted = known.cv_deviance_explained_ - without.cv_deviance_explained_
        found = lost.fraction_explained_deviance.to_numpy()[:, 0] * known.cv_deviance_explained_
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert np.isfinite(pg.shapley(known, X, Y, variables, method="refit").shapley).all()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pg.PopglmWarning)
            pg.significance(known, X, Y, trial=TRIAL, n_shifts=5, refit=True)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_spaces_share_what_the_model_explains(recording, family):
    X, Y = recording[0], recording[1][family]
    X = X - X.mean(axis=0)
    model = fitted(searching(FactorSearch(n_candidates=20, n_fitted=3), family, tol=1e-6), X, Y, groups=TRIAL)
    spaces = [f"group{g}" for g in range(3)]
    shares = pg.shapley(model, X, Y, spaces)
    total = shares.shapley.sum("variable") + shares.rest
    np.testing.assert_allclose(
        total, shares.null_deviance - shares.full_deviance, rtol=1e-6, atol=1e-6 * float(shares.null_deviance.max())
    )
    # most goes to the space that a neuron follows
    np.testing.assert_array_equal(shares.shapley.values.argmax(axis=1), SPACE)
    if family == "gaussian":
        for j in range(Q):
            # Pratt's product measure by hand: Σ 2 p_v·y − p_v·p over held-out rows, p the parts of the prediction
            product = np.zeros(3)
            for fold in range(4):
                test, train = model.fold_ == fold, model.fold_ != fold
                w = model.cv_coef_[fold, j]
                parts = [
                    (X[:, own] - X[train][:, own].mean(axis=0)) @ w[own] for own in (g == COLUMN for g in range(3))
                ]
                parts = np.stack(parts)[:, test]
                y = Y[test, j] - Y[train, j].mean()
                product += 2 * parts @ y - parts @ parts.sum(axis=0)
            np.testing.assert_allclose(shares.shapley[j], product, rtol=1e-5)


def named(recording):
    labels = pd.MultiIndex.from_tuples([(f"g{g}", k) for g, size in enumerate(SIZES) for k in range(size)])
    return pd.DataFrame(recording[0], columns=labels), pd.DataFrame(recording[1]["gaussian"], columns=list("abcd"))


def test_names_of_spaces(recording):
    X, Y = named(recording)
    table = pd.DataFrame({"late": [0.25, 1.0], "early": [0.75, 3.0]})
    search = FactorSearch({"early": ["g0", "g1"], "late": lambda group: group == "g2"}, candidates=table)
    model = GLMCV("gaussian", lambdas=[0.1], cv=3, penalty_factors=search).fit(X, Y)
    about = model.factor_search_
    np.testing.assert_allclose(about["weight"].sel(space="early"), 0.75)
    np.testing.assert_allclose(model.penalty_factors_[:, 0], [2 / 3, 2 / 3, 2])
    assert list(about["neuron"].values) == list("abcd")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"spaces": ["g0", "speed"]}, "spaces, 'speed': no group fits 'speed'"),
        ({"spaces": ["g0", "g1"]}, "spaces: the feature group 'g2' is in none of them"),
        ({"spaces": {"all": "g*"}}, "spaces: a search needs two or more"),
        ({"spaces": {"a": "g*", "b": "g1"}}, "spaces 'a' and 'b' overlap"),
        ({"spaces": {}}, "spaces is empty"),
        ({"n_candidates": 0}, "n_candidates must be an integer >= 1; found 0"),
        ({"n_candidates": 2.5}, "n_candidates must be an integer"),
        ({"n_candidates": 100_001}, "an integer from 1 to 100,000; found 100,001"),
        ({"n_fitted": 0}, "n_fitted must be an integer >= 1"),
        ({"concentrations": 0.0}, "concentrations=0.0 must be a number above 0"),
        ({"concentrations": ()}, r"concentrations=\(\) must be"),
        ({"concentrations": "even"}, "concentrations='even' must be"),
        ({"concentrations": [1.0, np.nan]}, "concentrations=.*must be a number above 0"),
        ({"seed": -1}, "seed=-1 must be a whole number"),
        ({"candidates": [[1.0, 2.0]]}, r"shape \(n_candidates, 3\).*of shape \(1, 2\)"),
        ({"candidates": [1.0, 2.0, 3.0]}, r"of shape \(3,\)"),
        ({"candidates": np.ones((0, 3))}, r"of shape \(0, 3\)"),
        ({"candidates": [[True, False, True]]}, "must be numbers.*bool"),
        ({"candidates": [["a", "b", "c"]]}, "candidates must hold numbers"),
        ({"candidates": [[1.0, 2.0, 3.0], [1.0, -2.0, 3.0]]}, "that of 'g1' in row 1 is -2"),
        ({"candidates": [[1.0, np.inf, 3.0]]}, "that of 'g1' in row 0 is inf"),
        ({"candidates": [[0.0, 0.0, 0.0]]}, "no weight above 0 in row 0"),
        ({"candidates": pd.DataFrame({"g0": [1.0], "g1": [1.0], "speed": [1.0]})}, "has columns .*'speed'"),
    ],
)
def test_bad_arguments_get_one_sentence(recording, given, told):
    X, Y = named(recording)
    with pytest.raises(ValueError, match=told):
        GLMCV("gaussian", lambdas=[0.1], penalty_factors=FactorSearch(**given)).fit(X, Y)


def test_where_no_search_is_possible(recording):
    X, Y = named(recording)
    with pytest.raises(ValueError, match="chooses by held-out activity, which a GLM has not; use GLMCV"):
        GLM("gaussian", penalty_factors=FactorSearch()).fit(X, Y)
    with pytest.raises(ValueError, match="has no effect under penalty='none'"):
        GLMCV("gaussian", penalty="none", penalty_factors=FactorSearch()).fit(X, Y)
    with pytest.raises(ValueError, match="needs it in memory"):
        GLMCV("gaussian", feature_groups=SIZES, penalty_factors=FactorSearch()).fit(RowStream(recording[0], 20_000), Y)
    with pytest.raises(TypeError, match="spaces must be a list of group names"):
        GLMCV("gaussian", penalty_factors=FactorSearch(3)).fit(X, Y)

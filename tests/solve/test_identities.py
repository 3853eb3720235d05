"""Fits that must agree because they are the same problem in other words."""

import warnings
from functools import cache

import numpy as np
import pytest
from independent import CONVEX, population
from sklearn.model_selection import KFold

from popglm import GLM, GLMCV

SIZES = [3, 1, 4, 2]
LAMBDAS = [0.05, 0.005]
CLOSE = {"rtol": 0, "atol": 2e-6}
FITS = [*((*pair, "group_lasso") for pair in CONVEX), ("poisson", "exp", "ridge"), ("gaussian", "identity", "lasso")]
every_fit = pytest.mark.parametrize(("family", "link", "penalty"), FITS)


def glm(family, link, penalty, cv=None, **more):
    settings = {
        "lambdas": LAMBDAS, "feature_groups": SIZES, "tol": 1e-13, "max_iter": 1000, "precision": "float64", **more,
    }  # fmt: skip
    if cv is None:
        return GLM(family, link, penalty, **settings)
    return GLMCV(family, link, penalty, cv=cv, **settings)


def fit(model, *args, **kwargs):
    with warnings.catch_warnings():
        # float64 may stop just short of this tol
        warnings.simplefilter("ignore")
        return model.fit(*args, **kwargs)


@cache
def fitted(family, link, penalty):
    """The fit of a whole population, which several tests compare with."""
    return fit(glm(family, link, penalty), *population(family, link))


def same(one, other):
    np.testing.assert_allclose(one.coef_path_, other.coef_path_, **CLOSE)
    np.testing.assert_allclose(one.intercept_path_, other.intercept_path_, **CLOSE)
    np.testing.assert_allclose(one.loss_path_, other.loss_path_, rtol=1e-9)


@pytest.mark.thorough(keep=2)
@every_fit
def test_together_is_one_by_one(family, link, penalty):
    X, Y = population(family, link)
    together = fitted(family, link, penalty)
    for j, y in enumerate(Y.T):
        alone = fit(glm(family, link, penalty), X, y)
        np.testing.assert_allclose(together.coef_path_[:, j], alone.coef_path_[:, 0], **CLOSE)
        np.testing.assert_allclose(together.intercept_path_[:, j], alone.intercept_path_[:, 0], **CLOSE)


@every_fit
def test_permutations(family, link, penalty):
    X, Y = population(family, link)
    rng = np.random.default_rng(7)
    base = fitted(family, link, penalty)
    neurons, rows = rng.permutation(Y.shape[1]), rng.permutation(len(X))
    starts = np.cumsum([0, *SIZES[:-1]])
    columns = np.concatenate([a + rng.permutation(size) for a, size in zip(starts, SIZES, strict=True)])
    moved = fit(glm(family, link, penalty), X[rows][:, columns], Y[rows][:, neurons])
    np.testing.assert_allclose(moved.coef_path_, base.coef_path_[:, neurons][:, :, columns], **CLOSE)
    np.testing.assert_allclose(moved.intercept_path_, base.intercept_path_[:, neurons], **CLOSE)


@pytest.mark.thorough(keep=2)
@every_fit
def test_shared_folds_are_folds_of_their_own(family, link, penalty):
    # weights and smoothness each with several fits, not with every one
    case = FITS.index((family, link, penalty))
    weighted, smoothness = case % 2 == 1, 0.05 * (case % 4 in (1, 2))
    X, Y = population(family, link)
    X = X + np.linspace(0, 30, X.shape[1])  # fold means differ from the overall one
    s = np.random.default_rng(8).uniform(0.2, 2, len(X)) if weighted else None
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    shared = fit(glm(family, link, penalty, cv=splits, smoothness=smoothness), X, Y, sample_weight=s)
    whole = fit(glm(family, link, penalty, smoothness=smoothness), X, Y, sample_weight=s)
    np.testing.assert_allclose(shared.coef_path_, whole.coef_path_, **CLOSE)
    for f, (train, test) in enumerate(splits):
        s_train = None if s is None else s[train]
        own = fit(glm(family, link, penalty, smoothness=smoothness), X[train], Y[train], sample_weight=s_train)
        np.testing.assert_allclose(shared.cv_coef_path_[f], own.coef_path_, **CLOSE)
        np.testing.assert_allclose(shared.cv_intercept_path_[f], own.intercept_path_, rtol=0, atol=1e-4)
        s_test = None if s is None else s[test]
        deviance = own.evaluate(X[test], Y[test], sample_weight=s_test)["deviance"]
        np.testing.assert_allclose(shared.cv_deviance_[f, -1], deviance, rtol=1e-5)
        assert (shared.fold_[test] == f).all()


def test_folds_that_are_no_partition():
    X, Y = population("gaussian", "identity")
    splits = [(np.arange(0, 150), np.arange(150, 200)), (np.arange(50, 240), np.arange(0, 40))]
    for family, link in (("gaussian", "identity"), ("gaussian", "exp")):
        shared = fit(glm(family, link, "ridge", cv=splits), X, Y)
        if (family, link) == ("gaussian", "exp"):
            continue  # not convex: other starts may end elsewhere
        for f, (train, test) in enumerate(splits):
            own = fit(glm(family, link, "ridge"), X[train], Y[train])
            np.testing.assert_allclose(shared.cv_coef_path_[f], own.coef_path_, **CLOSE)
            deviance = own.evaluate(X[test], Y[test])["deviance"]
            np.testing.assert_allclose(shared.cv_deviance_[f, -1], deviance, rtol=1e-6)


@pytest.mark.thorough(keep=2)
@every_fit
def test_missing_samples_are_dropped_for_their_neuron_alone(family, link, penalty):
    X, Y = population(family, link)
    holes = np.random.default_rng(9).random(len(X)) < 0.2
    gappy = Y.copy()
    gappy[holes, 1] = np.nan
    splits = list(KFold(3).split(X))
    complete, missing = (fit(glm(family, link, penalty, cv=splits), X, y) for y in (Y, gappy))
    others = [0, 2]
    np.testing.assert_allclose(missing.coef_path_[:, others], complete.coef_path_[:, others], **CLOSE)
    np.testing.assert_allclose(missing.cv_coef_path_[:, :, others], complete.cv_coef_path_[:, :, others], **CLOSE)
    dropped = fit(glm(family, link, penalty), X[~holes], Y[~holes, 1])
    np.testing.assert_allclose(missing.coef_path_[:, 1], dropped.coef_path_[:, 0], **CLOSE)
    np.testing.assert_allclose(missing.intercept_path_[:, 1], dropped.intercept_path_[:, 0], **CLOSE)
    np.testing.assert_allclose(missing.loss_path_[:, 1], dropped.loss_path_[:, 0], rtol=1e-9)
    for f, (train, test) in enumerate(splits):
        train, test = train[~holes[train]], test[~holes[test]]
        own = fit(glm(family, link, penalty), X[train], Y[train, 1])
        np.testing.assert_allclose(missing.cv_coef_path_[f, :, 1], own.coef_path_[:, 0], **CLOSE)
        deviance = own.evaluate(X[test], Y[test, 1])["deviance"]
        np.testing.assert_allclose(missing.cv_deviance_[f, -1, 1], deviance, rtol=1e-5)


@pytest.mark.thorough(keep=3)
@every_fit
def test_a_weight_counts_rows(family, link, penalty):
    X, Y = population(family, link)
    times = np.random.default_rng(10).integers(0, 4, len(X))
    weighted = fit(glm(family, link, penalty), X, Y, sample_weight=times)
    same(weighted, fit(glm(family, link, penalty), np.repeat(X, times, axis=0), np.repeat(Y, times, axis=0)))
    # only the ratio of weights matters
    same(weighted, fit(glm(family, link, penalty), X, Y, sample_weight=7.5 * times))


@every_fit
def test_a_row_of_weight_zero_may_hold_anything(family, link, penalty):
    X, Y = population(family, link)
    s = np.ones(len(X))
    s[::5] = 0
    wild_X, wild_Y = X.copy(), Y.copy()
    wild_X[::5] *= 100
    wild_Y[::5] = 1 if family == "bernoulli" else 1e4
    expected = fit(glm(family, link, penalty), X[s > 0], Y[s > 0])
    same(fit(glm(family, link, penalty), wild_X, wild_Y, sample_weight=s), expected)


@every_fit
def test_a_constant_offset_shifts_the_intercept(family, link, penalty):
    X, Y = population(family, link)
    base = fitted(family, link, penalty)
    moved = fit(glm(family, link, penalty), X, Y, offset=np.full(len(X), 0.4))
    np.testing.assert_allclose(moved.coef_path_, base.coef_path_, **CLOSE)
    np.testing.assert_allclose(moved.intercept_path_, base.intercept_path_ - 0.4, **CLOSE)


@every_fit
def test_shifting_columns_moves_only_the_intercept(family, link, penalty):
    X, Y = population(family, link)
    base = fitted(family, link, penalty)
    shift = np.linspace(-20, 50, X.shape[1])
    moved = fit(glm(family, link, penalty), X + shift, Y)
    np.testing.assert_allclose(moved.coef_path_, base.coef_path_, **CLOSE)
    np.testing.assert_allclose(moved.intercept_path_, base.intercept_path_ - base.coef_path_ @ shift, atol=1e-4)


@pytest.mark.parametrize(("family", "link"), CONVEX)
def test_an_unpenalised_coefficient_scales_with_its_column(family, link):
    X, Y = population(family, link)
    scale = 10.0 ** np.linspace(-2, 2, X.shape[1])
    one, other = (fit(glm(family, link, "none", lambdas=None, tol=1e-15), x, Y) for x in (X, X * scale))
    np.testing.assert_allclose(other.coef_ * scale, one.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other.intercept_, one.intercept_, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough(keep=3)
@every_fit
def test_two_runs_give_the_same_bits(family, link, penalty):
    precision = ("float32", "float64")[FITS.index((family, link, penalty)) % 2]
    X, Y = population(family, link)
    one, other = (fit(glm(family, link, penalty, cv=3, precision=precision, tol=1e-4), X, Y) for _ in range(2))
    for name in ("coef_path_", "intercept_path_", "cv_coef_path_", "cv_deviance_", "gap_", "n_iter_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@every_fit
def test_the_inputs_stay_as_they_were(family, link, penalty):
    X, Y = population(family, link)
    before = X.copy(), Y.copy()
    fit(glm(family, link, penalty, cv=3, tol=1e-4), X, Y)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


@pytest.mark.thorough(keep=3)
@every_fit
def test_strengths_of_each_neuron(family, link, penalty):
    X, Y = population(family, link)
    own = np.array([[0.05, 0.5, 0.02], [0.005, 0.01, 0.02]])
    mixed = fit(glm(family, link, penalty, lambdas=own), X, Y)
    for j in range(3):
        alone = fit(glm(family, link, penalty, lambdas=own[:, [j]]), X, Y[:, j])
        np.testing.assert_allclose(mixed.coef_path_[:, j], alone.coef_path_[:, 0], **CLOSE)
    np.testing.assert_array_equal(mixed.lambdas_, own)

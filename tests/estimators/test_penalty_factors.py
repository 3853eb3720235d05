"""Penalty factors of feature groups, whatever the family, penalty and engine."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from factored import (
    ENGINES,
    FAMILIES,
    PENALTIES,
    SIZES,
    TRIAL,
    N,
    Q,
    assert_as_numpy,
    distance_from_stationary,
    quietly,
    recorded,
    settings_of,
)

import popglm as pg
from popglm import GLM, GLMCV
from popglm.explain.local import LocalModel
from popglm.solve.stream import RowStream
from popglm.statistics.penalties import Penalty

FACTORS = np.array([0.5, 2.0, 1e-2, 30.0])
COLUMN = np.repeat(FACTORS, SIZES)


@pytest.fixture(scope="module")
def recording():
    return recorded()


#: All pairs of family and penalty on the host; on the device every family and every penalty.
CASES = [
    (name, *penalty, schedule)
    for name in FAMILIES
    for penalty in PENALTIES
    for schedule in ("host", "device")
    if schedule == "host" or name == "poisson" or penalty == PENALTIES[-1]
]


@pytest.mark.thorough(keep=20)
@pytest.mark.parametrize(("name", "penalty", "l1_ratio", "smoothness", "schedule"), CASES)
def test_the_minimum(recording, name, penalty, l1_ratio, smoothness, schedule):
    X, Y = recording[0], recording[1][name]
    given = settings_of(name, penalty, l1_ratio, smoothness, schedule=schedule, precision="float64", tol=1e-12)
    model = quietly(GLM(**given, penalty_factors=FACTORS, n_lambdas=2, lambda_min_ratio=1e-2), X, Y)
    for k, lam in enumerate(model.lambda_path_):
        for j in range(Q):
            w, b = model.coef_path_[k, j], model.intercept_path_[k, j]
            own = [path[k, j] for path in model.family_parameters_path_.values()]
            at = X, Y[:, j], w, b, lam[j], *own
            left = distance_from_stationary(name, penalty, l1_ratio, smoothness, FACTORS, *at)
            assert left < 3e-5
    if penalty in ("lasso", "group_lasso") and l1_ratio is None:
        # the first strength is the smallest with all weights 0
        assert not model.coef_path_[0].any()
        level, own = np.repeat(model.null_intercept_[None], N, axis=0), model.null_family_parameters_.values()
        null = FAMILIES[name][1](level, Y, *own).T @ (X - X.mean(axis=0)) / N
        size = np.array(SIZES)
        if penalty == "group_lasso":
            force = np.sqrt(np.add.reduceat(null**2, np.cumsum(size) - size, axis=1)) / np.sqrt(size) / FACTORS
        else:
            force = np.abs(null) / COLUMN
        np.testing.assert_allclose(model.lambda_path_[0], 1.001 * force.max(axis=1), rtol=1e-5)


@pytest.mark.parametrize(("penalty", "l1_ratio", "smoothness"), PENALTIES)
def test_one_factor_for_all_is_another_strength(recording, penalty, l1_ratio, smoothness):
    X, Y = recording[0], recording[1]["poisson"]
    given = settings_of("poisson", penalty, l1_ratio, smoothness, precision="float64", tol=1e-10)
    # glmnet would scale them back to a mean of 1
    tripled = GLM(**given, penalty_factors=[3.0] * 4, lambdas=[0.1, 0.01]).fit(X, Y)
    plain = GLM(**given, lambdas=[0.3, 0.03]).fit(X, Y)
    np.testing.assert_allclose(tripled.coef_path_, plain.coef_path_, atol=2e-5)
    np.testing.assert_allclose(tripled.loss_path_, plain.loss_path_, atol=1e-9)
    W = plain.coef_path_[0].astype(float)
    np.testing.assert_allclose(tripled.penalty_.value(W, np.full(Q, 0.1)), plain.penalty_.value(W, np.full(Q, 0.3)))


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_scaling_a_column_of_a_ridge_is_a_factor(recording, factor):
    X, Y = recording[0], recording[1]["poisson"].copy()
    rng = np.random.default_rng(1)
    Y[rng.random(Y.shape) < 0.05] = np.nan
    options = {"sample_weight": rng.uniform(0.5, 2, N), "offset": 0.3 * rng.normal(size=N), "groups": TRIAL}
    given = {"penalty": "ridge", "lambdas": [0.1, 0.01], "tol": 1e-9, "precision": "float64", "cv": 3}
    names = list("abcdefghij")
    by_factor = quietly(GLMCV(**given, feature_groups=names, penalty_factors={"d": factor}), X, Y, **options)
    scale = np.ones(10)
    scale[3] = 1 / np.sqrt(factor)
    by_unit = quietly(GLMCV(**given, feature_groups=names), X * scale, Y, **options)
    np.testing.assert_allclose(by_factor.coef_path_, by_unit.coef_path_ * scale, atol=1e-4)
    np.testing.assert_allclose(by_factor.cv_coef_path_, by_unit.cv_coef_path_ * scale, atol=1e-4)
    np.testing.assert_allclose(by_factor.intercept_path_, by_unit.intercept_path_, atol=1e-4)
    np.testing.assert_allclose(by_factor.cv_deviance_, by_unit.cv_deviance_, rtol=1e-5)
    np.testing.assert_array_equal(by_factor.lambda_index_, by_unit.lambda_index_)
    again = quietly(by_factor, X, Y, **options, start=by_factor)
    assert again.n_iter_.sum() <= 2 * Q
    assert again.cv_n_iter_.sum() <= 10 * Q


@pytest.mark.parametrize(("engine", "penalty"), ENGINES)
def test_other_engines(recording, engine, penalty):
    assert_as_numpy(engine, penalty, FACTORS, recording)


@pytest.mark.parametrize("penalty", ["ridge", "group_lasso"])
def test_streams_masks_and_first_order_steps(recording, penalty):
    X, Y = recording[0], recording[1]["poisson"]
    given = settings_of("poisson", penalty, lambdas=[0.05], tol=1e-7, penalty_factors=FACTORS)
    plain = GLM(**given).fit(X, Y)
    streamed = GLM(**given).fit(RowStream(X, memory=20_000), Y)
    np.testing.assert_allclose(streamed.coef_, plain.coef_, atol=2e-3)
    np.testing.assert_allclose(streamed.intercept_, plain.intercept_, atol=2e-3)
    stepped = quietly(GLM(**given | {"tol": 1e-5, "solver": "adam"}), X, Y)
    np.testing.assert_allclose(stepped.loss_path_, plain.loss_path_, atol=1e-3)
    mask = np.array([[1] * Q, [1, 0, 1], [0] * Q, [1] * Q], bool)
    masked = GLM(**given, feature_mask=mask).fit(X, Y)
    columns = np.repeat(mask[:, 1], SIZES)
    without = {"feature_groups": [3, 2], "penalty_factors": FACTORS[[0, 3]]}
    alone = GLM(**given | without).fit(X[:, columns], Y[:, 1])
    np.testing.assert_allclose(masked.coef_[1, columns], alone.coef_, atol=2e-3)
    assert not masked.coef_[1, ~columns].any()


def test_intercepts_are_those_of_the_rounded_coefficients(recording):
    X, Y = recording[0] + 3e3, recording[1]["poisson"]
    given = settings_of("poisson", "elastic_net", lambdas=[0.01], tol=1e-6, penalty_factors=[0.3, 0.7, 1.3, 1.9])
    model = GLM(**given).fit(X, Y)
    # the best intercept makes the mean prediction the mean count, in float64 beside float32 coefficients
    mean = np.exp(X @ model.coef_.astype(float).T + model.intercept_).mean(axis=0)
    np.testing.assert_allclose(mean, Y.mean(axis=0), rtol=1e-6)


def named(recording):
    X, Y = recording[0], recording[1]["poisson"]
    labels = pd.MultiIndex.from_tuples([(f"g{g}", k) for g, size in enumerate(SIZES) for k in range(size)])
    return pd.DataFrame(X, columns=labels), pd.DataFrame(Y, columns=list("abc"))


def test_names_are_matched(recording):
    X, Y = named(recording)
    names = [f"g{g}" for g in range(4)]
    by_name = dict(zip(names, FACTORS, strict=True))
    for factors in (
        FACTORS, FACTORS.tolist(), by_name, dict(reversed(by_name.items())), pd.Series(by_name).iloc[[2, 0, 3, 1]],
        pd.Series(FACTORS), xr.DataArray(pd.Series(by_name).iloc[[2, 0, 3, 1]]),
    ):  # fmt: skip
        model = GLM(penalty="group_lasso", lambdas=[0.1], penalty_factors=factors).fit(X, Y)
        np.testing.assert_array_equal(model.penalty_factors_, FACTORS)
    model = GLM(penalty="group_lasso", lambdas=[0.1], penalty_factors={"g2": 3}).fit(X, Y)
    np.testing.assert_array_equal(model.penalty_factors_, [1, 1, 3, 1])


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ({"speed": 2.0}, "names 'speed', which is no feature group"),
        ([1, 2, -1, 1], "that of group 'g2' is -1"),
        ({"g1": np.nan}, "that of group 'g1' is nan"),
        ([1, np.inf, 1, 1], "that of group 'g1' is inf"),
        ([1, 2], r"shape \(2,\) for 4 feature groups"),
        (np.ones(10), r"shape \(10,\) for 4 feature groups"),
        ([True, False, True, True], "not True or False"),
        ({"g0": False}, "not True or False"),
        ({"g1": [0, 1]}, r"of group 'g1' must be one number.*found \[0, 1\]"),
        ({"g1": 10**400}, "of group 'g1' must be one number"),
        ({"g1": "0"}, "of group 'g1' must be one number.*found '0'"),
        ({"g1": None}, "of group 'g1' must be one number.*found None"),
        ({"g1": 1e21}, r"between 0 and 1e\+20; that of group 'g1' is 1e\+21"),
        (pd.Series([1.0, 2.0], ["g1", "g1"]), "names 'g1' more than once"),
        (pd.DataFrame({"factor": [1.0, 2.0]}, ["g1", "g2"]), "1 columns for 3 neurons"),
        (2.0, "a factor for every feature group"),
        ("g0", "a factor for every feature group"),
        (["a", "b", "c", "d"], "penalty_factors"),
    ],
)
def test_bad_factors_get_one_sentence(recording, factors, told):
    X, Y = named(recording)
    with pytest.raises(ValueError, match=told):
        GLM(penalty="lasso", lambdas=[0.1], penalty_factors=factors).fit(X, Y)


def test_factors_of_no_penalty_are_refused(recording):
    with pytest.raises(ValueError, match="has no effect under penalty='none'"):
        GLM(penalty="none", feature_groups=SIZES, penalty_factors=FACTORS).fit(recording[0], recording[1]["poisson"])


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["elastic_net", "group_lasso"])
def test_a_model_keeps_its_factors_in_files_and_explanations(recording, tmp_path, penalty):
    X, Y = recording[0], recording[1]["poisson"]
    given = {"penalty": penalty, "lambdas": [0.05, 0.01], "feature_groups": list("aaabccccdd"), "cv": 3, "tol": 1e-7}
    model = quietly(GLMCV(**given, penalty_factors=FACTORS), X, Y, groups=TRIAL)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.penalty_factors_, FACTORS)
    W, lam = model.coef_.astype(float), model.lambda_path_[1]
    np.testing.assert_array_equal(again.penalty_.value(W, lam), model.penalty_.value(W, lam))
    # a model without a group has the factors of the others
    without = quietly(
        GLMCV(**given | {"feature_groups": list("aaabdd")}, penalty_factors=FACTORS[[0, 1, 3]]),
        np.delete(X, slice(4, 8), axis=1), Y, groups=TRIAL,
    )  # fmt: skip
    for fitted in (model, again):
        shares = pg.compare(fitted, X, Y, {"c": ["c"]})
        lost = model.cv_deviance_explained_ - without.cv_deviance_explained_
        np.testing.assert_allclose(shares.fraction_explained_deviance.to_numpy()[:, 0],
                                   lost / model.cv_deviance_explained_, atol=2e-3)  # fmt: skip
    for refit in (True, None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pg.PopglmWarning)
            found = pg.significance(model, X, Y, trial=TRIAL, n_shifts=5, refit=refit)
        assert found.sizes["neuron"] == Q


def test_local_refits_have_the_factors(recording):
    X, Y = recording[0], recording[1]["gaussian"]
    odd, even = np.flatnonzero(TRIAL % 2), np.flatnonzero(TRIAL % 2 < 1)
    splits = [(odd, even), (even, odd)]
    lam = np.full((1, Q), 0.05)
    for kind, ratio in (("ridge", None), ("elastic_net", 0.4), ("group_lasso", None)):
        with_factors = LocalModel(X, splits, None, Penalty.make(kind, ratio, 0.0, SIZES, FACTORS), True)
        model = quietly(
            GLMCV("gaussian", penalty=kind, l1_ratio=ratio, feature_groups=SIZES, penalty_factors=FACTORS,
                  lambdas=[0.05], cv=splits, tol=1e-9, precision="float64"), X, Y)  # fmt: skip
        error = model.cv_deviance_[:, 0].sum(axis=0)
        centred = Y - Y.mean(axis=0)
        found = with_factors.explained(centred[with_factors.order].T, lam)
        alone = sum(((Y[test] - Y[train].mean(axis=0)) ** 2).sum(axis=0) for train, test in splits)
        np.testing.assert_allclose(found, (alone - error) / (centred**2).sum(axis=0), atol=2e-4)


@pytest.mark.parametrize("refit", [None, True])
def test_surrogates_are_fitted_with_the_factors(recording, refit):
    X, Y = recording[0], recording[1]["gaussian"]
    factor = np.repeat([1.0, 1.0, 400.0, 1.0], SIZES)
    given = settings_of("gaussian", "ridge", lambdas=[1.0, 0.1, 0.01], tol=1e-8, precision="float64")
    options = {"trial": TRIAL, "n_shifts": 5, "refit": refit, "method": "circular_shift"}
    found = []
    # a ridge with a factor is a ridge of columns in another unit
    for Z, factors in ((X, {"group2": 400}), (X / np.sqrt(factor), None)):
        model = quietly(GLMCV(**given, cv=3, penalty_factors=factors), Z, Y, groups=TRIAL)
        found.append(pg.significance(model, Z, Y, ["group2"], **options))
    for name in ("statistic", "deviance_explained_null", "contribution_statistic", "contribution_null", "p_value"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-5, err_msg=name)

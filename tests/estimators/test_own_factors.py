"""Penalty factors of each neuron: every neuron is fitted as if it were alone with its own."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from factored import SIZES, TRIAL, N, Q, distance_from_stationary, quietly, recorded, settings_of

import popglm as pg
from popglm import GLM, GLMCV
from popglm.solve.stream import RowStream

#: Of three neurons; the first and the last share theirs.
FACTORS = np.array([[0.5, 4.0, 0.5], [2.0, 1.0, 2.0], [1e-2, 3.0, 1e-2], [30.0, 0.2, 30.0]])
FREE = np.array([[0.5, 4.0, 0.5], [0.0, 0.0, 0.0], [1e-2, 3.0, 1e-2], [30.0, 0.2, 30.0]])
GROUPS = list("aaabccccdd")
PENALTIES = [("ridge", None), ("group_lasso", None), ("elastic_net", 0.3)]
STRENGTHS = [3.0, 1.0, 0.1, 0.03, 0.01]


@pytest.fixture(scope="module")
def recording():
    return recorded()


@pytest.mark.thorough(keep=3)
@pytest.mark.parametrize(
    ("name", "penalty", "l1_ratio"),
    [(name, *penalty) for name in ("gaussian", "poisson") for penalty in PENALTIES]
    + [("bernoulli", "ridge", None), ("negative_binomial", "ridge", None)],
)
def test_the_minimum(recording, name, penalty, l1_ratio):
    X, Y = recording[0], recording[1][name]
    given = settings_of(name, penalty, l1_ratio, precision="float64", tol=1e-12)
    model = quietly(GLM(**given, penalty_factors=FACTORS, n_lambdas=2, lambda_min_ratio=1e-2), X, Y)
    for k, lam in enumerate(model.lambda_path_):
        for j in range(Q):
            own = [path[k, j] for path in model.family_parameters_path_.values()]
            at = X, Y[:, j], model.coef_path_[k, j], model.intercept_path_[k, j], lam[j], *own
            assert distance_from_stationary(name, penalty, l1_ratio, 0.0, FACTORS[:, j], *at) < 3e-5


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("factors", [FACTORS, FREE], ids=["penalised", "free"])
@pytest.mark.parametrize("name", ["gaussian", "poisson"])
def test_a_neuron_is_as_if_alone(recording, name, factors):
    X, Y = recording[0], recording[1][name].copy()
    Y[np.random.default_rng(1).random(Y.shape) < 0.05] = np.nan
    rng = np.random.default_rng(2)
    weight, offset = rng.uniform(0.5, 2, (N, Q)), 0.3 * rng.normal(size=N)
    mask = np.ones((10, Q), bool)
    mask[5, 0] = False
    given = settings_of(name, "ridge", tol=1e-9, precision="float64", lambdas=STRENGTHS, patience=2, cv=3)
    data = {"offset": offset, "groups": TRIAL}
    together = quietly(GLMCV(**given, penalty_factors=factors, feature_mask=mask), X, Y, sample_weight=weight, **data)
    for j in range(Q):
        own = GLMCV(**given, penalty_factors=factors[:, j], feature_mask=mask[:, [j]])
        alone = quietly(own, X, Y[:, [j]], sample_weight=weight[:, [j]], **data)
        for attribute in ("coef_path_", "intercept_path_", "lambda_path_", "cv_deviance_", "cv_null_model_deviance_"):
            found, wanted = getattr(together, attribute), getattr(alone, attribute)
            axis = 1 if attribute in ("coef_path_", "intercept_path_", "lambda_path_") else -1
            np.testing.assert_allclose(np.take(found, [j], axis), wanted, atol=1e-4, rtol=1e-4, err_msg=attribute)
        assert together.lambda_index_[j] == alone.lambda_index_[0]
        assert together.n_lambdas_fitted_[j] == alone.n_lambdas_fitted_[0]
        np.testing.assert_allclose(together.coef_[j], alone.coef_[0], atol=1e-4)
        if factors is FREE:
            np.testing.assert_allclose(together.null_coef_[j], alone.null_coef_[0], atol=1e-4)
            assert together.null_coef_[j, 3] != 0


def test_starts_streams_and_checkpoints(recording, tmp_path):
    X, Y = recording[0], recording[1]["poisson"]
    given = settings_of("poisson", "ridge", lambdas=[0.1, 0.01], tol=1e-8, precision="float64")
    model = GLM(**given, penalty_factors=FACTORS).fit(X, Y)
    again = GLM(**given, penalty_factors=FACTORS).fit(X, Y, start=model)
    assert again.n_iter_.sum() <= 2 * Q
    streamed = GLM(**given, penalty_factors=FACTORS).fit(RowStream(X, memory=20_000), Y)
    np.testing.assert_allclose(streamed.coef_path_, model.coef_path_, atol=1e-4)
    for _ in range(2):
        kept = GLM(**given, penalty_factors=FACTORS).fit(X, Y, checkpoint=tmp_path / "fit")
        np.testing.assert_array_equal(kept.coef_path_, model.coef_path_)
    with pytest.raises(ValueError, match="penalty_factors"):
        GLM(**given, penalty_factors=FACTORS * 2).fit(X, Y, checkpoint=tmp_path / "fit")


def frames(recording):
    X, Y = recording[0], recording[1]["poisson"]
    labels = pd.MultiIndex.from_tuples([(f"g{g}", k) for g, size in enumerate(SIZES) for k in range(size)])
    return pd.DataFrame(X, columns=labels), pd.DataFrame(Y, columns=list("abc"))


def test_names_are_matched(recording):
    X, Y = frames(recording)
    table = pd.DataFrame(FACTORS, [f"g{g}" for g in range(4)], list("abc"))
    for factors in (
        FACTORS,
        FACTORS.tolist(),
        table,
        table.iloc[[2, 0, 3, 1], [1, 2, 0]],
        table.iloc[[2, 0, 1, 3]],
        xr.DataArray(table.iloc[::-1, ::-1]),
    ):
        model = GLM(penalty="group_lasso", lambdas=[0.1], penalty_factors=factors).fit(X, Y)
        np.testing.assert_array_equal(model.penalty_factors_, FACTORS)
    model = GLM(lambdas=[0.1], penalty_factors=table.iloc[[3]]).fit(X, Y)
    np.testing.assert_array_equal(model.penalty_factors_[:3], 1)
    np.testing.assert_array_equal(model.penalty_factors_[3], FACTORS[3])


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        (np.ones((4, 2)), "2 columns for 3 neurons"),
        (np.ones((3, 3)), r"3 rows for 4 feature groups"),
        (np.where(np.arange(12).reshape(4, 3) == 4, 0.0, 1.0), "of group 'g1' is 0 for b and above 0 for other"),
        (np.where(np.arange(12).reshape(4, 3) == 5, -1.0, 1.0), "of group 'g1' of c is -1"),
        (np.where(np.arange(12).reshape(4, 3) == 5, np.nan, 1.0), "of group 'g1' of c is nan"),
        (np.ones((4, 3, 1)), r"shape \(4, 3, 1\)"),
        (np.ones((4, 3), bool), "not True or False"),
        (pd.DataFrame(np.ones((1, 3)), ["speed"], list("abc")), "names 'speed', which is no feature group"),
        (pd.DataFrame(np.ones((2, 3)), ["g1", "g1"], list("abc")), "names 'g1' more than once"),
        (pd.DataFrame(np.ones((1, 3)), ["g1"], list("abd")), "lacks neuron 'c'"),
        (pd.DataFrame(np.ones((1, 2)), ["g1"], list("ab")), "lacks neuron 'c'"),
        (pd.DataFrame(np.ones((1, 4)), ["g1"], list("abcc")), "has the neuron 'c' more than once"),
    ],
)
def test_bad_factors_get_one_sentence(recording, factors, told):
    with pytest.raises(ValueError, match=told):
        GLM(penalty="lasso", lambdas=[0.1], penalty_factors=factors).fit(*frames(recording))


@pytest.mark.thorough
def test_files_and_explanations(recording, tmp_path):
    X, Y = recording[0], recording[1]["poisson"]
    given = {"penalty": "ridge", "lambdas": [0.05, 0.01], "feature_groups": GROUPS, "cv": 2, "tol": 1e-8}
    model = quietly(GLMCV(**given, precision="float64", penalty_factors=FACTORS), X, Y, groups=TRIAL)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.penalty_factors_, FACTORS)
    alone = [
        quietly(GLMCV(**given, precision="float64", penalty_factors=FACTORS[:, j]), X, Y[:, [j]], groups=TRIAL)
        for j in range(Q)
    ]
    variables = {"left": ["a", "b"], "right": ["c", "d"]}
    for fitted in (model, again):
        for explain in (
            lambda m, y: pg.compare(m, X, y, variables).fraction_explained_deviance.to_numpy(),
            lambda m, y: pg.shapley(m, X, y, variables, method="refit").fraction_null_deviance.to_numpy(),
            lambda m, y: pg.goodness_of_fit(m, X, y)["degrees_of_freedom"].to_numpy()[:, None],
        ):
            found = explain(fitted, Y)
            wanted = np.concatenate([explain(own, Y[:, [j]]) for j, own in enumerate(alone)])
            np.testing.assert_allclose(found, wanted, atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        shifted = pg.significance(model, X, Y, trial=TRIAL, n_shifts=5, refit=True)
    assert shifted.sizes["neuron"] == Q
    with pytest.raises(ValueError, match="penalty factor of each neuron's own; use refit=True"):
        pg.significance(model, X, Y, trial=TRIAL, n_shifts=5)

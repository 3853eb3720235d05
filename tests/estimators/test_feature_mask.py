"""Features that may not explain a neuron: as if X had no such columns, whatever the family, penalty and engine."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import popglm as pg
from popglm import GLM, GLMCV

SIZES, Q, N = [3, 1, 4, 2], 4, 260
FAMILIES = ["poisson", "gaussian", "bernoulli"]
PENALTIES = ["ridge", "lasso", "elastic_net", "group_lasso", "none"]


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 10)) @ (np.eye(10) + 0.2 * rng.normal(size=(10, 10)))
    eta = 0.4 * X @ rng.normal(size=(10, Q)) - 0.3
    return X, {
        "poisson": rng.poisson(np.exp(np.clip(eta, -3, 2))).astype(float),
        "gaussian": eta + rng.normal(size=(N, Q)) + 3,
        "bernoulli": (rng.random((N, Q)) < 1 / (1 + np.exp(-eta))).astype(float),
    }


def quietly(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **more)


#: Groups that explain each neuron: all, two, one (the same for two neurons).
GROUPS = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1], [1, 1, 0, 0]], bool)
COLUMNS = np.repeat(GROUPS, SIZES, axis=0)


def sizes_of(columns):
    own = [int(part.sum()) for part in np.split(columns, np.cumsum(SIZES)[:-1])]
    return [size for size in own if size]


def assert_as_without(masked, X, Y, columns, settings, atol=2e-3, **more):
    """Each neuron beside a fit of its own to its own columns."""
    for j, own in enumerate(columns.T):
        alone = quietly(
            GLM(**settings, feature_groups=sizes_of(own) if own.sum() > 1 else ["a"]), X[:, own], Y[:, j], **more
        )
        assert not masked.coef_path_[:, j, ~own].any()
        np.testing.assert_allclose(masked.coef_path_[:, j, own], alone.coef_path_[:, 0], atol=atol)
        np.testing.assert_allclose(masked.lambda_path_[:, j], alone.lambda_path_[:, 0], rtol=1e-5)
        np.testing.assert_allclose(masked.loss_path_[:, j], alone.loss_path_[:, 0], atol=1e-6)


#: Every pair of family, penalty and schedule, not every triple.
TRIPLES = [
    (family, penalty, ("host", "device")[(i + k) % 2])
    for i, family in enumerate(FAMILIES)
    for k, penalty in enumerate(PENALTIES)
]


@pytest.mark.thorough(keep=7)
@pytest.mark.parametrize(("family", "penalty", "schedule"), TRIPLES)
def test_masked_columns_might_as_well_not_be_there(recording, family, penalty, schedule):
    X, Y = recording[0], recording[1][family]
    settings = {"family": family, "penalty": penalty, "n_lambdas": 3, "lambda_min_ratio": 1e-2, "tol": 1e-8}
    settings |= {"precision": "float64", "schedule": schedule}
    masked = quietly(GLM(**settings, feature_groups=SIZES, feature_mask=GROUPS), X, Y)
    assert_as_without(masked, X, Y, COLUMNS, settings)
    assert (masked.feature_mask_ == COLUMNS).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_single_columns_of_a_group(recording, family):
    X, Y = recording[0], recording[1][family]
    columns = COLUMNS.copy()
    columns[[1, 6], :] = False
    settings = {"family": family, "penalty": "group_lasso", "lambdas": [0.1, 0.01], "tol": 1e-8, "precision": "float64"}
    masked = quietly(GLM(**settings, feature_groups=SIZES, feature_mask=columns), X, Y)
    assert_as_without(masked, X, Y, columns, settings)


def test_weights_offsets_missing_samples_and_folds(recording):
    X, Y = recording[0], recording[1]["poisson"].copy()
    rng = np.random.default_rng(1)
    Y[rng.random(Y.shape) < 0.05] = np.nan
    s, o, trial = rng.uniform(0.5, 2, N), 0.3 * rng.normal(size=N), np.arange(N) // 26
    settings = {"penalty": "lasso", "lambdas": [0.1, 0.01], "tol": 1e-8, "precision": "float64", "cv": 3}
    masked = quietly(
        GLMCV(**settings, feature_groups=SIZES, feature_mask=COLUMNS), X, Y, sample_weight=s, offset=o, groups=trial
    )
    for j, own in enumerate(COLUMNS.T):
        alone = quietly(GLMCV(**settings), X[:, own], Y[:, j], sample_weight=s, offset=o, groups=trial)
        np.testing.assert_allclose(masked.cv_coef_path_[:, :, j, own], alone.cv_coef_path_[:, :, 0], atol=1e-3)
        np.testing.assert_allclose(masked.cv_deviance_[..., j], alone.cv_deviance_[..., 0], rtol=1e-4)
        assert masked.lambda_index_[j] == alone.lambda_index_[0]
        assert not masked.cv_coef_path_[:, :, j, ~own].any()


@pytest.mark.parametrize("engine", ["torch", "jax", "tensorflow"])
def test_other_engines(recording, engine):
    pytest.importorskip(engine)
    X, Y = recording[0], recording[1]["poisson"]
    settings = {
        "penalty": "lasso",
        "lambdas": [0.1, 0.01],
        "tol": 1e-6,
        "feature_groups": SIZES,
        "feature_mask": GROUPS,
    }
    ours, theirs = (quietly(GLM(**settings, engine=name), X, Y) for name in ("numpy", engine))
    np.testing.assert_allclose(theirs.coef_path_, ours.coef_path_, atol=2e-3)
    assert not theirs.coef_path_[:, ~COLUMNS.T].any()


def test_smoothness_and_first_order_steps_leave_them_at_zero(recording):
    X, Y = recording[0], recording[1]["poisson"]
    for more in ({"smoothness": 0.1}, {"solver": "adam", "max_iter": 20}):
        model = quietly(GLM(penalty="ridge", lambdas=[0.1], feature_groups=SIZES, feature_mask=GROUPS, **more), X, Y)
        assert not model.coef_path_[:, ~COLUMNS.T].any()
        assert model.coef_path_[:, COLUMNS.T].all()


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("schedule", ["host", "device"])
@pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso"])
def test_smoothness_is_that_of_the_columns_left(recording, penalty, schedule):
    X, Y = recording[0], recording[1]["poisson"]
    # whole groups: what is left has the smoothness matrix of a design without the others; and down to no penalty
    settings = {
        "penalty": penalty,
        "lambdas": [0.1, 0.01, 0.0],
        "smoothness": 0.05,
        "tol": 1e-7,
        "precision": "float64",
    }
    settings |= {"schedule": schedule}
    masked = quietly(GLM(**settings, feature_groups=SIZES, feature_mask=GROUPS), X, Y)
    for j, own in enumerate(COLUMNS.T):
        groups = np.repeat(list("abcd"), SIZES)[own].tolist()
        alone = quietly(GLM(**settings, feature_groups=groups), X[:, own], Y[:, j])
        np.testing.assert_allclose(masked.coef_path_[:, j, own], alone.coef_path_[:, 0], atol=2e-3)
        np.testing.assert_allclose(masked.loss_path_[:, j], alone.loss_path_[:, 0], atol=1e-6)
        assert not masked.coef_path_[:, j, ~own].any()


def test_what_is_masked_is_not_warned_of(recording):
    X, Y = recording[0], recording[1]["poisson"]
    # a neuron's own activity, and a column that tells its events from the rest
    events = (Y > 0).astype(float)
    for added, family, activity, penalty in (
        (Y[:, [0]], "poisson", Y, "ridge"),
        (events[:, [0]], "bernoulli", events, "none"),
    ):
        both, mask = np.column_stack([X, added]), np.ones((11, Q), bool)
        settings = {"family": family, "penalty": penalty, "lambdas": [0.1] if penalty == "ridge" else None}
        for masked in (True, False):
            mask[10, 0] = not masked
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                GLM(**settings, feature_mask=mask).fit(both, activity)
            told = [str(w.message) for w in said if "neuron0" in str(w.message)]
            assert bool(told) != masked, told


def test_a_neuron_with_no_feature_has_its_null_model(recording):
    X, Y = recording[0], recording[1]["poisson"]
    nothing = GROUPS.copy()
    nothing[:, 3] = False
    model = quietly(GLM(penalty="lasso", n_lambdas=3, feature_groups=SIZES, feature_mask=nothing), X, Y)
    assert not model.coef_path_[:, 3].any()
    np.testing.assert_allclose(model.intercept_path_[:, 3], np.log(Y[:, 3].mean()), rtol=1e-5)
    assert model.coef_path_[:, 0].any()


def test_names_are_matched(recording):
    X, Y = recording[0], recording[1]["poisson"]
    labels = pd.MultiIndex.from_tuples([(f"g{g}", k) for g, size in enumerate(SIZES) for k in range(size)])
    X, Y = pd.DataFrame(X, columns=labels), pd.DataFrame(Y, columns=list("abcd"))
    by_group = pd.DataFrame(GROUPS, index=["g0", "g1", "g2", "g3"], columns=list("abcd"))
    by_column = pd.DataFrame(COLUMNS, index=labels, columns=list("abcd"))
    for mask in (
        by_group,
        by_group.iloc[::-1, ::-1],
        by_column,
        by_column.iloc[::-1, [2, 0, 3, 1]],
        xr.DataArray(by_group.iloc[::-1, ::-1]),
        GROUPS,
        COLUMNS.astype(int),
    ):
        model = quietly(GLM(penalty="lasso", lambdas=[0.1], feature_mask=mask), X, Y)
        assert (model.feature_mask_ == COLUMNS).all()
    for wrong, told in (
        (by_group.rename(index={"g1": "speed"}), "rows \\['speed'\\], which are neither"),
        (by_group.iloc[:-1], "lacks row 'g3' \\(1 missing of 4 feature groups\\)"),
        (by_group.iloc[[0, 1, 2, 3, 3]], "names 'g3' more than once; give one row per feature group"),
        (by_group.iloc[[0, 1, 2, 2]], "names 'g2' more than once"),
        (by_column.iloc[1:], "lacks row 'g0 / 0' \\(1 missing of 10 columns of X\\)"),
        (by_column.iloc[[0, *range(10)]], "names 'g0 / 0' more than once; give one row per column of X"),
        (by_group.rename(columns={"a": "z"}), "lacks neuron 'a' of the fit and has neuron 'z'"),
        (by_group[["a", "b", "d"]], "lacks neuron 'c'"),
        (by_group[[*"abcdd"]], "has the neuron 'd' more than once"),
        (GROUPS[:, :3], "3 columns for 4 neurons"),
        (GROUPS[:3], "3 rows, but X has 10 columns in 4 feature groups"),
        (GROUPS[0], "must be True or False"),
        (GROUPS * 0.5, "must be True or False"),
        (pd.DataFrame(GROUPS).astype("boolean").mask(GROUPS), "must be True or False"),
    ):
        with pytest.raises(ValueError, match=told):
            GLM(penalty="lasso", lambdas=[0.1], feature_mask=wrong).fit(X, Y)


def test_a_model_keeps_its_mask_in_files_and_explanations(recording, tmp_path):
    X, Y = recording[0], recording[1]["poisson"]
    trial = np.arange(N) // 26
    settings = {"penalty": "lasso", "lambdas": [0.05, 0.01], "feature_groups": list("aaabccccdd")}
    model = quietly(GLMCV(**settings, feature_mask=GROUPS), X, Y, groups=trial)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    assert (again.feature_mask_ == COLUMNS).all()
    for fitted in (model, again):
        shares = pg.compare(fitted, X, Y)
        lost = shares.fraction_explained_deviance.to_numpy()
        # what a neuron may not use, it does not miss
        assert np.nanmax(np.abs(lost[~GROUPS.T])) < 1e-6
    pg.significance(model, X, Y, trial=trial, n_shifts=5, refit=True)
    with pytest.raises(ValueError, match="use refit=True"):
        pg.significance(model, X, Y, trial=trial, n_shifts=5)

"""Statistics that fit again go through all stages of a relaxed or adaptive model, as a user would by hand."""

import warnings
from copy import copy

import numpy as np
import pytest

import popglm as pg
from popglm import GLMCV
from popglm.explain.data_of_fit import in_stages

N, SIZES = 240, [2, 3, 1, 2]
GROUP = np.repeat(np.arange(4), SIZES)
TRIAL = np.arange(N) // 10
GIVEN = {"penalty": "group_lasso", "precision": "float64", "tol": 1e-10, "n_lambdas": 3, "lambda_min_ratio": 0.02}
KINDS = {
    "relaxed": {"relaxed": [1, 0.5, 0]},
    "adaptive": {"penalty_factors": pg.AdaptiveFactors()},
    "both": {"penalty_factors": pg.AdaptiveFactors(exponent=0.5), "relaxed": [0.5, 0]},
}


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(N, 8))
    X[:, 2] += X[:, 0]
    X /= X.std(axis=0)
    W = np.where([[1, 1], [0, 1], [0, 1], [1, 0]], 0.5, 0.0)[GROUP] * rng.normal(size=(8, 2))
    return X, rng.poisson(np.exp(X @ W)).astype(float)


def fitted(recording, kind, groups=(0, 1, 2, 3), **more):
    X, Y = recording
    sizes = [SIZES[g] for g in groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return GLMCV("poisson", feature_groups=sizes, **GIVEN | KINDS[kind] | {"cv": 3} | more).fit(
            X[:, np.isin(GROUP, groups)], Y, groups=TRIAL
        )


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(recording, kind):
    return fitted(recording, kind)


@pytest.mark.thorough(keep=1)
def test_compare(recording, kind, model):
    X, Y = recording
    again = {"lambdas": model.lambda_path_, "cv": model.splits_}
    by_hand = fitted(recording, kind, (1, 2, 3), **again)
    found = pg.compare(model, X, Y, {"a": ["group0"]})
    lost = model.cv_deviance_explained_ - by_hand.cv_deviance_explained_
    np.testing.assert_allclose(found["fraction_null_deviance"].sel(variable="a"), lost, atol=1e-6)
    np.testing.assert_array_equal(found["selected_strength"].sel(variable="a"), by_hand.lambda_)
    chosen = copy(by_hand)
    held = pg.compare(model, X, Y, {"a": ["group0"]}, reselect=False)["fraction_null_deviance"]
    by_hand.gamma_ = model.gamma_
    held_out = by_hand.take_strengths(model.lambda_index_).predict_held_out(X[:, GROUP != 0])
    deviance = 2 * np.sum(np.where(Y > 0, Y * np.log(np.where(Y > 0, Y, 1) / held_out), 0) - Y + held_out, axis=0)
    wanted = model.cv_deviance_explained_ - (1 - deviance / model.cv_null_deviance_)
    np.testing.assert_allclose(held.sel(variable="a"), wanted, atol=1e-6)
    # other trials, by the fits to all rows
    tested = pg.compare(model, X, Y, {"a": ["group0"]}, test=(X[:100], Y[:100]))
    explained = [
        m.evaluate(X[:100][:, kept], Y[:100])["deviance_explained"]
        for m, kept in ((model, GROUP >= 0), (chosen, GROUP > 0))
    ]
    np.testing.assert_allclose(
        tested["fraction_null_deviance"].sel(variable="a"), explained[0] - explained[1], atol=1e-6
    )


@pytest.mark.thorough(keep=1)
def test_shapley(recording, kind, model):
    X, Y = recording
    index = np.where(np.isfinite(model.lambda_), model.lambda_index_, 0)
    strengths = model.lambda_path_[index, np.arange(2)][None]
    gamma = np.ones(2) if model.gamma_ is None else model.gamma_

    def worth(*groups):
        more = {} if model.gamma_ is None else {"relaxed": np.unique([1.0, *gamma])}
        again = fitted(recording, kind, groups, lambdas=strengths, cv=model.splits_, **more)
        deviance = again.cv_deviance_[:, 0].sum(axis=0)
        if model.gamma_ is not None:
            place = [np.flatnonzero(np.isclose(again.gammas_, g))[0] for g in gamma]
            deviance = np.array([again.cv_relaxed_deviance_[g, :, 0, j].sum() for j, g in enumerate(place)])
        return 1 - deviance / model.cv_null_deviance_

    assert np.isfinite(model.lambda_).all()
    shares = pg.shapley(model, X, Y, {"a": ["group0"], "b": ["group1"]}, method="refit")["fraction_null_deviance"]
    whole = model.cv_deviance_explained_
    of_a = (whole - worth(1, 2, 3) + worth(0, 2, 3) - worth(2, 3)) / 2
    np.testing.assert_allclose(shares.sel(variable="a"), of_a, atol=1e-6)
    np.testing.assert_allclose(shares.sum("variable"), whole - worth(2, 3), atol=1e-6)


def test_bootstrap_refits_find_factors_and_relax_anew(recording, kind, model):
    X, Y = recording
    weight = np.random.default_rng(0).integers(0, 3, N // 10)[TRIAL].astype(float)
    index = model.lambda_index_
    strengths = model.lambda_path_[index, np.arange(2)][None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        again = in_stages(model, model.gamma_).set_params(lambdas=strengths)
        again.fit(X, Y, sample_weight=weight)
        by_hand = GLMCV(**model.get_params()).set_params(lambdas=strengths, cv=model.splits_)
        by_hand.fit(X, Y, sample_weight=weight)
    by_hand.gamma_ = model.gamma_
    by_hand.take_strengths(0)
    np.testing.assert_allclose(again.coef_, by_hand.coef_, atol=1e-7)
    np.testing.assert_allclose(again.intercept_, by_hand.intercept_, atol=1e-7)
    if kind != "relaxed":
        np.testing.assert_allclose(again.adaptive_factors_, by_hand.adaptive_factors_, rtol=1e-7)
        assert (again.adaptive_factors_ != model.adaptive_factors_).any()


@pytest.mark.thorough(keep=1)
def test_bootstrap_and_stability_selection(recording, kind):
    session = {f"v{i}": recording[0][:, i] for i in range(8)} | {"trial": TRIAL}
    design = pg.Design([pg.linear(f"v{i}") for i in range(8)], trial="trial")
    X, Y = design.fit_transform(session), recording[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        given = GIVEN | KINDS[kind] | {"penalty": "lasso", "cv": 3, "tol": 1e-4}
        model = GLMCV("poisson", **given).fit(X, Y, groups=TRIAL)
        found = pg.bootstrap(model, design, X, Y, trial=TRIAL, n_resamples=2, seed=1)
        selected = pg.stability_selection(model, X, Y, trial=TRIAL, n_pairs=2, n_false=1.0, threshold=0.7)
    assert all(np.isfinite(one["sem"]).all() for one in found.values())
    assert max(float(one["sem"].max()) for one in found.values()) > 0
    assert ((selected["frequency"] >= 0) & (selected["frequency"] <= 1)).all()
    if kind == "relaxed":
        plain = (
            GLMCV(**model.get_params()).set_params(relaxed=False, lambdas=model.lambda_path_).fit(X, Y, groups=TRIAL)
        )
        usual = pg.stability_selection(plain, X, Y, trial=TRIAL, n_pairs=2, n_false=1.0, threshold=0.7)
        np.testing.assert_array_equal(selected["frequency"], usual["frequency"])


def test_significance(recording, kind, model):
    X, Y = recording
    with pytest.raises(ValueError, match=r"they would test another model. Use refit=True"):
        pg.significance(model, X, Y, trial=TRIAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        found = pg.significance(model, X, Y, trial=TRIAL, refit=True, n_shifts=2)
    assert ((found["p_value"] > 0) & (found["p_value"] <= 1)).all()


def test_a_model_that_does_not_tell_its_folds(recording, tmp_path):
    model = fitted(recording, "adaptive")
    model.splits_ = None
    with pytest.raises(ValueError, match="does not tell its folds, in which adaptive factors are found anew"):
        in_stages(model)

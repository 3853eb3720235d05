"""What a fitted negative binomial model keeps: scores at one dispersion, files, early ends, explanations."""

import numpy as np
import pytest
from explained import check_explanations, driven_session
from overdispersed import best_alpha, counts, mean_excess, quietly

import popglm as pg


@pytest.fixture(scope="module")
def recording():
    return counts()


def test_all_strengths_and_the_null_model_are_scored_at_one_dispersion(recording):
    X, Y, s = recording
    model = quietly(pg.GLMCV("negative_binomial", cv=3, n_lambdas=4, precision="float64").fit, X, Y, sample_weight=s)
    held, mean = np.zeros(Y.shape), np.average(Y, axis=0, weights=s)
    for fold in range(3):
        test = model.fold_ == fold
        for j, y in enumerate(Y.T):
            alpha = model.cv_deviance_parameters_["alpha"][fold, j]
            fitted = np.average(y[~test], weights=s[~test])
            np.testing.assert_allclose(alpha, best_alpha(y[~test], fitted, s[~test]), rtol=1e-5)
            total = s[test].sum()
            for k in range(4):
                mu = np.exp(X[test] @ model.cv_coef_path_[fold, k, j] + model.cv_intercept_path_[fold, k, j])
                expected = 2 * total * mean_excess(y[test], mu, alpha, s[test])
                assert model.cv_deviance_[fold, k, j] == pytest.approx(expected, rel=1e-9)
            expected = 2 * total * mean_excess(y[test], fitted, alpha, s[test])
            assert model.cv_null_model_deviance_[fold, j] == pytest.approx(expected, rel=1e-9)
            held[fold, j] = 2 * total * mean_excess(y[test], mean[j], alpha, s[test])
    np.testing.assert_allclose(model.cv_null_deviance_, held.sum(axis=0), rtol=1e-9)
    table, j = model.evaluate(X, Y, s), 2
    alpha, mu = model.deviance_parameters_["alpha"][j], model.predict(X)[:, j]
    assert table["deviance"].iloc[j] == pytest.approx(2 * s.sum() * mean_excess(Y[:, j], mu, alpha, s), rel=1e-9)
    assert table["null_deviance"].iloc[j] == pytest.approx(
        2 * s.sum() * mean_excess(Y[:, j], mean[j], alpha, s), rel=1e-9
    )


@pytest.mark.thorough
@pytest.mark.parametrize("one", [False, True])
def test_parameters_are_saved_and_loaded(recording, tmp_path, one):
    X, Y, s = recording
    Y = Y[:, 2] if one else Y
    for kind in (pg.GLM, pg.GLMCV):
        model = quietly(kind("negative_binomial", n_lambdas=4).fit, X, Y, sample_weight=s)
        names = [name for name in vars(model) if name.endswith(("parameters_", "parameters_path_"))]
        # those of relaxed fits, which there are none of here
        names = [name for name in names if "relaxed" not in name]
        assert len(names) == (8 if kind is pg.GLMCV else 4)
        model.take_strengths(2)
        alpha = model.family_parameters_["alpha"]
        np.testing.assert_array_equal(alpha, model.family_parameters_path_["alpha"][2])
        model.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        for name in names:
            assert list(getattr(again, name)) == ["alpha"]
            np.testing.assert_array_equal(getattr(again, name)["alpha"], getattr(model, name)["alpha"])
        np.testing.assert_array_equal(again.evaluate(X, Y), model.evaluate(X, Y))
        data = model.to_xarray()
        np.testing.assert_array_equal(data["family_parameters"].sel(parameter="alpha"), alpha)
        model.take_strengths(4)
        np.testing.assert_array_equal(model.family_parameters_["alpha"], model.null_family_parameters_["alpha"])
    others = quietly(pg.GLMCV(n_lambdas=3).fit, X, Y)
    assert others.family_parameters_ == others.cv_family_parameters_path_ == {}
    assert "parameter" not in others.to_xarray().dims


def test_patience_and_no_refit(recording):
    X, Y, s = recording
    options = {"penalty": "lasso", "n_lambdas": 6, "cv": 2, "lambda_min_ratio": 1e-3}
    whole = quietly(pg.GLMCV("negative_binomial", **options).fit, X, Y, sample_weight=s)
    early = quietly(pg.GLMCV("negative_binomial", patience=1, **options).fit, X, Y, sample_weight=s)
    for k, j in np.ndindex(6, 4):
        if k < early.n_lambdas_fitted_[j]:
            np.testing.assert_array_equal(
                early.family_parameters_path_["alpha"][k, j], whole.family_parameters_path_["alpha"][k, j]
            )
    folds = quietly(pg.GLMCV("negative_binomial", refit=False, **options).fit, X, Y, sample_weight=s)
    assert not hasattr(folds, "family_parameters_")
    np.testing.assert_allclose(
        folds.cv_family_parameters_["alpha"], whole.cv_family_parameters_["alpha"], rtol=1e-2, atol=1e-3
    )


@pytest.mark.thorough
def test_all_that_is_done_with_a_model():
    design, X, eta, trial = driven_session()
    rng = np.random.default_rng(0)
    Y = rng.poisson(2 * np.exp(eta) * rng.gamma(2.0, 0.5, eta.shape))
    given = {"penalty": "group_lasso", "n_lambdas": 3, "lambda_min_ratio": 1e-2, "cv": 3}
    model = quietly(pg.GLMCV("negative_binomial", **given).fit, X, Y, groups=trial)
    check_explanations(model, design, X, Y, trial)

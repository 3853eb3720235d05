"""Curves of families with a parameter of each neuron: against plain fits, scores by scipy, and the truth."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime

import popglm as pg

N = 800
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    return {"phase": rng.uniform(0, 2 * np.pi, N), "speed": rng.uniform(0, 1, N)}


@pytest.fixture(scope="module")
def recording(session):
    """A design, X, and counts of three neurons: dispersions of 0.5 and 2, and one that varies less than Poisson."""
    design = pg.Design([pg.cyclic_splines("phase", n=7), pg.splines("speed", n=6)])
    mean = np.exp(np.sin(session["phase"]) + 0.5)
    rng = np.random.default_rng(1)
    wild = [rng.poisson(mean * rng.gamma(1 / alpha, alpha, N)) for alpha in (0.5, 2.0)]
    tame = rng.binomial(6, np.clip(mean / 6, 0, 0.95))
    return design, design.fit_transform(session), np.column_stack([*wild, tame]).astype(float)


def fitted(model, X, Y, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(X, Y, **given)


@pytest.fixture(scope="module")
def model(recording):
    return fitted(pg.SmoothGLM("negative_binomial"), *recording[1:])


def test_without_penalties_it_is_the_negative_binomial_model_of_a_glm(session):
    lines = pg.Design([pg.linear("phase"), pg.linear("speed")])
    X = lines.fit_transform(session)
    rng = np.random.default_rng(2)
    Y = rng.poisson(np.exp(0.4 * X.to_numpy()[:, :1]) * rng.gamma(0.8, 1 / 0.8, (N, 2))).astype(float)
    offset, weights = 0.3 * np.sin(np.arange(N)), rng.uniform(0.5, 2, N)
    curves = fitted(pg.SmoothGLM("negative_binomial", shrink=False), X, Y, offset=offset, sample_weight=weights)
    plain = pg.GLM("negative_binomial", penalty="none", precision="float64", tol=1e-10)
    plain = fitted(plain, X, Y, offset=offset, sample_weight=weights)
    np.testing.assert_allclose(curves.coef_, plain.coef_, atol=1e-5)
    np.testing.assert_allclose(curves.intercept_, plain.intercept_, atol=1e-5)
    np.testing.assert_allclose(curves.family_parameters_["alpha"], plain.family_parameters_["alpha"], rtol=1e-4)


def test_both_weights_and_dispersion_are_at_their_maximum(recording, model):
    """Of the penalised likelihood by scipy, in the weights; of the likelihood, in the dispersion."""
    _, X, Y = recording
    X, alpha = X.to_numpy(float), model.family_parameters_["alpha"]
    for j in range(2):
        S = model.penalty_of(j).R

        def mean_loss(theta, alpha, j=j):
            mu = np.exp(X @ theta[1:] + theta[0])
            return -stats.nbinom.logpmf(Y[:, j], 1 / alpha, 1 / (1 + alpha * mu)).mean()

        theta = np.r_[model.intercept_[j], model.coef_[j]]
        slope = approx_fprime(theta, mean_loss, 1e-7, alpha[j])
        slope[1:] += S @ model.coef_[j]
        assert np.abs(slope).max() < 1e-5
        across = [mean_loss(theta, alpha[j] * factor) for factor in (0.99, 1, 1.01)]
        assert across[1] < min(across[0], across[2])
    np.testing.assert_allclose(alpha[:2], [0.5, 2], rtol=0.25)


def test_counts_that_vary_little_have_the_curves_of_poisson(recording, model):
    _, X, Y = recording
    poisson = fitted(pg.SmoothGLM(), X, Y[:, [2]])
    assert model.family_parameters_["alpha"][2] == 0
    np.testing.assert_allclose(model.coef_[2], poisson.coef_[0], atol=1e-5)
    np.testing.assert_allclose(model.edf_.iloc[2], poisson.edf_.iloc[0], rtol=1e-3, atol=1e-4)


def test_wild_counts_have_smoother_curves_than_poisson_would_take(recording, model):
    design, X, Y = recording
    poisson = fitted(pg.SmoothGLM(), X, Y)
    # what is not the curve is noise here, which Poisson's variance cannot be
    assert model.edf_["speed"].iloc[1] < 0.5 * poisson.edf_["speed"].iloc[1]
    curve = pg.kernels(model, design)["phase"]
    assert np.corrcoef(curve["kernel"][1], np.sin(curve["phase"]))[0, 1] > 0.98


def test_the_tobit_model_without_a_penalty_is_that_of_a_glm(session):
    lines = pg.Design([pg.linear("phase"), pg.linear("speed")])
    X = lines.fit_transform(session)
    y = np.maximum(0.8 * X.to_numpy()[:, 0] - 0.5 + 0.7 * np.random.default_rng(3).standard_normal(N), 0)
    curves = fitted(pg.SmoothGLM("censored_gaussian", shrink=False), X, y)
    plain = fitted(pg.GLM("censored_gaussian", penalty="none", precision="float64", tol=1e-10), X, y)
    np.testing.assert_allclose(curves.coef_, plain.coef_, atol=1e-4)
    np.testing.assert_allclose(curves.family_parameters_["sigma"], plain.family_parameters_["sigma"], rtol=1e-4)


def test_files_and_explanations_take_them(recording, model, tmp_path):
    design, X, Y = recording
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    for name in ("family_parameters_", "deviance_parameters_", "null_family_parameters_"):
        np.testing.assert_array_equal(getattr(again, name)["alpha"], getattr(model, name)["alpha"])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.evaluate(X, Y), model.evaluate(X, Y))
    found = pg.bootstrap(again, design, X, Y, trial=np.arange(N) // 40, n_resamples=4, n_points=3)
    assert (found["phase"]["sem"] > 0).all()
    lost = pg.compare(again, X, Y, ["phase"], test=(X[:200], Y[:200]))
    assert (lost["fraction_explained_deviance"] > 0.8).all()
    likelihood = pg.goodness_of_fit(again, X, Y)["log_likelihood"].values
    alpha, mu = model.family_parameters_["alpha"][:2], model.predict(X)[:, :2]
    expected = stats.nbinom.logpmf(Y[:, :2], 1 / alpha, 1 / (1 + alpha * mu)).sum(axis=0)
    np.testing.assert_allclose(likelihood[:2], expected, rtol=1e-8)


def test_what_does_not_settle_is_named(recording, monkeypatch):
    monkeypatch.setattr("popglm.solve.curves.population.ROUNDS", 1)
    with pytest.warns(pg.warnings.ConvergenceWarning, match="Parameters of the family still changed.*neuron0, neuron1"):
        fitted_ = pg.SmoothGLM("negative_binomial").fit(*recording[1:])
    assert np.isfinite(fitted_.coef_).all()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not beside the repository")
def test_strengths_and_dispersion_settle_together_in_a_recorded_cell():
    """Between two strengths that the criterion hardly tells apart they might go on in turn."""
    data = np.load(SHARED / "ca1_lineartrack_nelpy.npz")
    x = data["x_px"].astype(float)
    rows = np.flatnonzero(np.isfinite(x))[:9000]
    x, y = x[rows], data["counts"][rows, 4].astype(float)
    speed = np.abs(np.gradient(x))
    session = {"x": x, "speed": np.minimum(speed, np.quantile(speed, 0.99))}
    design = pg.Design([pg.bumps("x", n=12, low=x.min(), high=x.max()), pg.splines("speed", n=6)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", pg.warnings.ConvergenceWarning)
        model = pg.SmoothGLM("negative_binomial").fit(design.fit_transform(session), y)
    assert model.family_parameters_["alpha"][0] == pytest.approx(9.496, rel=1e-3)

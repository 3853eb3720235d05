"""Two-part models against both fits by themselves, and the joint likelihood by scipy."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize, minimize_scalar
from sklearn.base import clone
from two_parts import TRIAL, N, Q, a_model, quietly, recorded

import popglm as pg
from popglm.solve.stream import RowStream

EXACT = {"precision": "float64", "tol": 1e-9}
#: Density of an amount with the mean μ of its model and the dispersion φ.
DENSITY = {
    "gamma": lambda y, mu, phi: stats.gamma.logpdf(y, 1 / phi, scale=mu * phi),
    "inverse_gaussian": lambda y, mu, phi: stats.invgauss.logpdf(y, mu * phi, scale=1 / phi),
    "gaussian": lambda y, mu, phi: stats.lognorm.logpdf(y, np.sqrt(phi), scale=np.exp(mu)),
}


@pytest.fixture(scope="module")
def recording():
    return recorded()


@pytest.fixture(scope="module")
def fitted(recording):
    X, Y, s = recording
    return {family: quietly(a_model(family, **EXACT).fit, X, Y, groups=TRIAL, sample_weight=s) for family in DENSITY}


def eta_of(part, X, fold=None):
    if fold is None:
        return X @ part.coef_.T + part.intercept_
    return X @ part.cv_coef_[fold].T + part.cv_intercept_[fold]


def mean_of(part, X, fold=None):
    eta = eta_of(part, X, fold)
    return {"bernoulli": lambda v: 1 / (1 + np.exp(-v)), "gaussian": lambda v: v}.get(part.family, np.exp)(eta)


def log_density(family, y, q, mu, phi):
    """Of a sample, by scipy."""
    amount = np.where(y > 0, y, 1)
    return np.where(y > 0, np.log(q) + DENSITY[family](amount, mu, phi), np.log1p(-q))


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", DENSITY)
def test_both_parts_are_fits_of_their_own_in_the_same_folds(recording, fitted, family):
    X, Y, s = recording
    model, data = fitted[family], {"groups": TRIAL, "sample_weight": s}
    settings = model.amounts.get_params()
    events = quietly(pg.GLMCV(**settings | {"family": "bernoulli"}).fit, X, (Y > 0).astype(float), **data)
    amount = np.where(Y > 0, np.log(np.where(Y > 0, Y, 1)) if family == "gaussian" else Y, np.nan)
    amounts = quietly(pg.GLMCV(**settings).fit, X, amount, **data)
    for own, alone in ((model.events_, events), (model.amounts_, amounts)):
        np.testing.assert_array_equal(own.fold_, alone.fold_)
        np.testing.assert_array_equal(own.coef_, alone.coef_)
        np.testing.assert_array_equal(own.cv_coef_, alone.cv_coef_)
        np.testing.assert_array_equal(own.lambda_, alone.lambda_)
    # strengths of the parts are their own
    assert (model.events_.lambda_ != model.amounts_.lambda_).all()


def test_without_a_penalty_it_has_the_largest_joint_likelihood(recording):
    X, Y, s = recording
    model = pg.TwoPartGLM(pg.GLMCV("gamma", penalty="none", cv=2, **EXACT)).fit(X, Y, sample_weight=s)
    found = model.evaluate(X, Y, s)["log_likelihood"]
    for j, y in enumerate(Y.T):

        def loss(v, y=y):
            q, mu = 1 / (1 + np.exp(-X @ v[:5] - v[5])), np.exp(X @ v[6:11] + v[11])
            return -(s @ log_density("gamma", y, q, mu, np.exp(v[12])))

        best = minimize(loss, np.zeros(13), method="BFGS", options={"gtol": 1e-4})
        assert found.iloc[j] == pytest.approx(-best.fun, rel=1e-8)
        np.testing.assert_allclose(model.events_.coef_[j], best.x[:5], atol=1e-4)
        np.testing.assert_allclose(model.amounts_.coef_[j], best.x[6:11], atol=1e-4)
        np.testing.assert_allclose(model.dispersion_[j], np.exp(best.x[12]), rtol=1e-4)


@pytest.mark.parametrize("family", DENSITY)
def test_dispersions_have_the_largest_likelihood(recording, fitted, family):
    X, Y, s = recording
    model = fitted[family]

    def best(y, mu, weight):
        def loss(x):
            return -(weight @ DENSITY[family](y, mu, np.exp(x)))

        return np.exp(minimize_scalar(loss, bounds=(-6, 4), method="bounded", options={"xatol": 1e-9}).x)

    for j, y in enumerate(Y.T):
        own = y > 0
        mu = mean_of(model.amounts_, X)[own, j]
        np.testing.assert_allclose(model.dispersion_[j], best(y[own], mu, s[own]), rtol=1e-5)
        level = np.average(np.log(y[own]) if family == "gaussian" else y[own], weights=s[own])
        null = best(y[own], np.full(own.sum(), level), s[own])
        np.testing.assert_allclose(model.deviance_dispersion_[j], null, rtol=1e-5)
        for fold in range(3):
            train = own & (model.fold_ != fold)
            mu = mean_of(model.amounts_, X, fold)[train, j]
            np.testing.assert_allclose(model.cv_dispersion_[fold, j], best(y[train], mu, s[train]), rtol=1e-5)


@pytest.mark.parametrize("family", DENSITY)
def test_likelihoods_and_deviances_by_definition(recording, fitted, family):
    X, Y, s = recording
    model = fitted[family]
    table = model.evaluate(X, Y, s)
    q, mu, phi = mean_of(model.events_, X), mean_of(model.amounts_, X), model.dispersion_
    expected = s @ log_density(family, Y, q, mu, phi)
    np.testing.assert_allclose(table["log_likelihood"], expected, rtol=1e-9)
    held = np.zeros(Q)
    for fold in range(3):
        rows = model.fold_ == fold
        at = mean_of(model.events_, X[rows], fold), mean_of(model.amounts_, X[rows], fold), model.cv_dispersion_[fold]
        held += s[rows] @ log_density(family, Y[rows], *at)
    np.testing.assert_allclose(model.cv_log_likelihood_, held, rtol=1e-9)

    # twice what the likelihood lacks to that of the saturated model, at the φ of the null model
    phi0, happened = model.deviance_dispersion_, Y > 0
    amount = np.where(happened, Y, 1)
    best = np.log(amount) if family == "gaussian" else amount
    saturated = np.where(happened, DENSITY[family](amount, best, phi0), 0)

    def deviance(q, mu):
        return 2 * s @ (saturated - log_density(family, Y, q, mu, phi0))

    share = s @ happened / s.sum()
    level = np.einsum("i,ij->j", s, best * happened) / (s @ happened)
    null = deviance(np.broadcast_to(share, Y.shape), np.broadcast_to(level, Y.shape))
    np.testing.assert_allclose(table["deviance"], deviance(q, mu), rtol=1e-9)
    np.testing.assert_allclose(table["null_deviance"], null, rtol=1e-9)
    np.testing.assert_allclose(table["deviance_explained"], 1 - deviance(q, mu) / null, rtol=1e-9)
    assert model.score(X, Y, s) == pytest.approx(np.mean(1 - deviance(q, mu) / null))
    held = np.zeros(Q)
    for fold in range(3):
        rows = model.fold_ == fold
        own = np.where(rows[:, None], s[:, None], 0)
        at = mean_of(model.events_, X, fold), mean_of(model.amounts_, X, fold)
        held += 2 * np.sum(own * (saturated - log_density(family, Y, *at, phi0)), axis=0)
    np.testing.assert_allclose(model.cv_deviance_explained_, 1 - held / null, rtol=1e-6)


@pytest.mark.parametrize("family", DENSITY)
def test_predictions_are_means_of_draws(recording, fitted, family):
    X, Y, _ = recording
    model = fitted[family]
    q, mu = model.predict_parts(X)
    np.testing.assert_allclose(q, mean_of(model.events_, X), rtol=1e-6)
    expected = mean_of(model.amounts_, X)
    expected = np.exp(expected + model.dispersion_ / 2) if family == "gaussian" else expected
    np.testing.assert_allclose(mu, expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X), q * mu, rtol=1e-12)
    drawn = model.draw(X[:40], n=4000, seed=1)
    assert drawn.shape == (4000, 40, Q)
    np.testing.assert_allclose((drawn > 0).mean(axis=(0, 1)), q[:40].mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), (q * mu)[:40].mean(axis=0), rtol=0.04)
    np.testing.assert_array_equal(drawn, model.draw(X[:40], n=4000, seed=1))
    held = model.predict_held_out()
    for fold in range(3):
        rows = model.fold_ == fold
        own = mean_of(model.amounts_, X[rows], fold)
        own = np.exp(own + model.cv_dispersion_[fold] / 2) if family == "gaussian" else own
        np.testing.assert_allclose(held[rows], mean_of(model.events_, X[rows], fold) * own, rtol=1e-6)
    np.testing.assert_array_equal(model.predict_held_out(X), held)
    # which explains what was recorded, unlike none
    assert all(np.corrcoef(held[:, j], Y[:, j])[0, 1] > 0.15 for j in range(Q))


def test_breakdown_is_of_the_joint_deviance(recording, fitted):
    X, Y, s = recording
    model = fitted["gamma"]
    by = pg.bins(X[:, 0], centers=[-1.5, 0, 1.5], half_width=0.75, name="x")
    found = quietly(pg.breakdown, model, X, Y, ["a", "b"], by, sample_weight=s)
    phi = model.deviance_dispersion_

    def units(columns):
        """Joint unit deviance of held-out samples, without some columns."""
        Z, total = X.copy(), np.zeros(Y.shape)
        Z[:, columns] = 0
        for fold in range(3):
            rows = model.fold_ == fold
            q, mu = mean_of(model.events_, Z, fold)[rows], mean_of(model.amounts_, Z, fold)[rows]
            y = Y[rows]
            ratio = np.where(y > 0, y / mu, 1)
            total[rows] = -2 * np.where(y > 0, np.log(q), np.log1p(-q)) + 2 * (ratio - 1 - np.log(ratio)) / phi
        return total

    full, reduced = units([]), np.stack([units([0, 1, 2]), units([3, 4])], axis=2)
    np.testing.assert_allclose(found["full_deviance"], s @ full, rtol=1e-9)
    np.testing.assert_allclose(found["reduced_deviance"], np.einsum("i,ijk->jk", s, reduced), rtol=1e-9)
    np.testing.assert_allclose(found["deviance_explained"], model.cv_deviance_explained_, rtol=1e-6)
    for k, low in enumerate((-2.25, -0.75, 0.75)):
        own = s * ((X[:, 0] >= low) & (X[:, 0] < low + 1.5))
        np.testing.assert_allclose(found["binned_full_deviance"][:, k], own @ full / own.sum(), rtol=1e-9)
        binned = np.einsum("i,ijk->jk", own, reduced) / own.sum()
        np.testing.assert_allclose(found["binned_reduced_deviance"][..., k], binned, rtol=1e-9)
    # each group drives one part
    share = found["fraction_null_deviance"].values
    assert (share[:, 0] > 0.03).all()
    assert (share[:, 1] > 0.03).all()
    kept = quietly(pg.breakdown, model, X, Y, ["a", "b"], method="keep", sample_weight=s)
    assert (kept["fraction_null_deviance"] > 0.02).all()
    one, two = (quietly(pg.breakdown, model, X, Y, ["a"], method="shuffle", seed=4, sample_weight=s) for _ in range(2))
    np.testing.assert_array_equal(one["reduced_deviance"], two["reduced_deviance"])


@pytest.mark.thorough
def test_comparison_adds_up_the_refits_of_both_parts(recording, fitted):
    X, Y, s = recording
    model = fitted["gamma"]
    found = quietly(pg.compare, model, X, Y, ["a", "b"], sample_weight=s)
    happened, amount = model.split(Y)
    parts = [
        quietly(pg.compare, part, X, y, ["a", "b"], sample_weight=s)
        for part, y in ((model.events_, happened), (model.amounts_, amount))
    ]
    phi = model.deviance_dispersion_
    for name in ("null_deviance", "full_deviance", "reduced_deviance"):
        share = phi if name != "reduced_deviance" else phi[:, None]
        np.testing.assert_allclose(found[name], parts[0][name] + parts[1][name] / share, rtol=1e-9)
    np.testing.assert_array_equal(found["selected_strength"].sel(part="amounts"), parts[1]["selected_strength"])
    assert (found["fraction_null_deviance"].sel(variable="a") > 0.03).all()
    other = np.random.default_rng(5).permutation(N)[:300]
    test = quietly(pg.compare, model, X, Y, ["a"], test=(X[other], Y[other]), sample_weight=s)
    table = model.evaluate(X[other], Y[other])
    np.testing.assert_allclose(test["full_deviance"], table["deviance"], rtol=1e-6)
    np.testing.assert_allclose(test["null_deviance"], table["null_deviance"], rtol=1e-6)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("one", [False, True])
def test_files_and_copies(recording, tmp_path, one):
    X, Y, _ = recording
    X, Y = pd.DataFrame(X, columns=list("vwxyz")), pd.DataFrame(Y, columns=["p", "q", "r"])
    Y = Y["q"] if one else Y
    model = quietly(a_model("gaussian").fit, X, Y)
    model.save(tmp_path / "model.nc")
    for again in (pg.load(tmp_path / "model.nc"), pickle.loads(pickle.dumps(model))):
        assert isinstance(again, pg.TwoPartGLM)
        assert again.neuron_names_ == (["q"] if one else ["p", "q", "r"])
        for name in ("dispersion_", "cv_dispersion_", "deviance_dispersion_", "cv_deviance_explained_"):
            np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        np.testing.assert_array_equal(again.predict_held_out(X), model.predict_held_out())
        pd.testing.assert_frame_equal(again.evaluate(X, Y), model.evaluate(X, Y))
        np.testing.assert_array_equal(again.draw(X, seed=3), model.draw(X, seed=3))
    assert model.predict(X).shape == Y.shape
    data = model.to_xarray()
    assert data["part"].values.tolist() == ["events", "amounts"]
    np.testing.assert_array_equal(data["coef"].sel(part="amounts"), np.atleast_2d(model.amounts_.coef_))
    assert data["group"].values.tolist() == list("aaabb")
    assert not hasattr(clone(model), "events_")
    (tmp_path / "cut.nc").write_bytes((tmp_path / "model.nc").read_bytes()[:3000])
    with pytest.raises(ValueError, match="holds no popglm model"):
        pg.load(tmp_path / "cut.nc")


def test_labels_bind_rows_and_neurons(recording):
    X, Y, _ = recording
    time = np.arange(N) / 10
    rows = np.random.default_rng(0).permutation(N)
    X, Y = pd.DataFrame(X, time, list("vwxyz")), pd.DataFrame(Y, time, ["p", "q", "r"])
    model = quietly(a_model().fit, X, Y, groups=TRIAL)
    mixed = Y.iloc[rows][["r", "p", "q"]]
    again = quietly(a_model().fit, X, Y.iloc[rows], groups=TRIAL)
    np.testing.assert_array_equal(again.dispersion_, model.dispersion_)
    np.testing.assert_array_equal(again.cv_log_likelihood_, model.cv_log_likelihood_)
    pd.testing.assert_frame_equal(model.evaluate(X, mixed), model.evaluate(X, Y))
    found = quietly(pg.breakdown, model, X, mixed, ["a"])
    np.testing.assert_array_equal(found["full_deviance"], quietly(pg.breakdown, model, X, Y, ["a"])["full_deviance"])


def test_neurons_with_little_to_say_spoil_no_other(recording):
    """Silent, one event, no zero, never recorded, a gap."""
    X, Y, _ = recording
    bad = np.column_stack([Y, np.zeros(N), np.zeros(N), Y[:, 0] + 1, np.full(N, np.nan), Y[:, 0]])
    bad[7, 4] = 1.0
    bad[100:200, 7] = np.nan
    model, alone = (quietly(a_model().fit, X, y, groups=TRIAL) for y in (bad, Y))
    # other neurons share sums in float32, whose order changes
    np.testing.assert_allclose(model.predict(X)[:, :3], alone.predict(X), rtol=2e-3)
    table = model.evaluate(X, bad)
    for values in (model.predict(X), model.dispersion_, model.cv_dispersion_, table.drop(index="neuron6").iloc[:, :4]):
        assert np.isfinite(values).all().all()
    assert (model.predict(X)[:, 3] < 1e-3).all()
    assert (model.predict_parts(X)[0][:, 5] > 0.99).all()
    assert np.isfinite(quietly(pg.breakdown, model, X, bad, ["a"])["full_deviance"][:6]).all()
    gap = quietly(a_model().fit, np.delete(X, np.s_[100:200], 0), np.delete(Y[:, 0], np.s_[100:200]))
    assert abs(gap.dispersion_[0] - model.dispersion_[7]) < 0.05


@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian", "gaussian"])
def test_neurons_without_an_event_have_no_amount_in_any_unit(recording, family):
    X, Y, _ = recording
    few = np.column_stack([Y[:, 0], np.zeros(N), np.full(N, np.nan)])
    model, alone = (quietly(a_model(family, lambdas=[0.1]).fit, X, y, groups=TRIAL) for y in (few, few[:, 1]))
    for predicted in (model.predict(X), model.predict_held_out(), model.predict_parts(X)[1], model.draw(X, seed=0)[0]):
        assert (predicted[:, 1:] == 0).all()
        assert predicted[:, 0].any()
    assert not alone.predict(X).any()
    assert not alone.draw(X, n=20, seed=0).any()
    assert (model.predict_parts(X)[0][:, 1] > 0).all()


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["torch", "jax", "tensorflow"])
def test_every_engine_gives_the_same(recording, fitted, engine):
    pytest.importorskip(engine)
    X, Y, s = recording
    model = quietly(a_model(**EXACT, engine=engine).fit, X, Y, groups=TRIAL, sample_weight=s)
    for name in ("dispersion_", "cv_deviance_explained_", "cv_log_likelihood_"):
        np.testing.assert_allclose(getattr(model, name), getattr(fitted["gamma"], name), rtol=1e-4)
    np.testing.assert_allclose(model.predict(X), fitted["gamma"].predict(X), rtol=1e-3)


def test_streams_and_tensors(recording):
    X, Y, _ = recording
    whole = quietly(a_model("gaussian").fit, X, Y, groups=TRIAL)
    stream = RowStream(X, memory=20_000)
    model = quietly(a_model("gaussian").fit, stream, Y, groups=TRIAL)
    np.testing.assert_allclose(model.cv_log_likelihood_, whole.cv_log_likelihood_, rtol=1e-4)
    np.testing.assert_allclose(model.predict(stream), whole.predict(X), rtol=1e-2)
    torch = pytest.importorskip("torch")
    predicted = whole.predict(torch.from_numpy(X))
    assert isinstance(predicted, torch.Tensor)
    np.testing.assert_allclose(predicted.numpy(), whole.predict(X), rtol=1e-6)


def test_warnings_name_the_part(recording):
    X, Y, _ = recording
    silent = np.column_stack([Y, np.zeros(N)])
    with pytest.warns(pg.PopglmWarning) as found:
        a_model().fit(X, silent)
    said = [str(one.message) for one in found if "null model" in str(one.message)]
    assert any(one.startswith("events: ") and "neuron3" in one for one in said)
    assert any(one.startswith("amounts: ") and "neuron3" in one for one in said)
    assert all(one.filename == __file__ for one in found)


@pytest.mark.parametrize(
    ("amounts", "events", "said"),
    [
        ("gamma", None, r"amounts must be a GLMCV that is not fitted yet, or None; found 'gamma'"),
        (pg.GLM("gamma"), None, r"amounts must be a GLMCV"),
        (pg.GLMCV("poisson"), None, r"family='poisson'.*gamma, inverse_gaussian, gaussian; for counts use .*negative"),
        (pg.GLMCV("censored_gaussian"), None, r"family='censored_gaussian'"),
        (pg.GLMCV("gaussian", "exp"), None, r"inverse_link='exp'.*leave it None"),
        (pg.GLMCV("gamma", refit=False), None, r"amounts has refit=False.*use refit=True"),
        (pg.GLMCV("gamma"), pg.GLMCV("gamma"), r"events has family='gamma'.*bernoulli"),
        (pg.GLMCV("gamma", cv=4), pg.GLMCV("bernoulli"), r"events has cv=5 and amounts cv=4"),
    ],
)
def test_wrong_parts_are_told(recording, amounts, events, said):
    with pytest.raises((ValueError, TypeError), match=said):
        pg.TwoPartGLM(amounts, events).fit(recording[0], recording[1])


def test_wrong_activity_is_told(recording):
    X, Y, _ = recording
    fluorescence = Y - 0.1
    with pytest.raises(ValueError, match=r"negative value for neuron 0 \('neuron0'\), first in row 0.*dF/F"):
        pg.TwoPartGLM().fit(X, fluorescence)
    with pytest.raises(ValueError, match=r"Y has no sample that is 0.*GLMCV\('gamma'\)"):
        pg.TwoPartGLM().fit(X, Y + 1)
    with pytest.raises(ValueError, match="X has 900 samples and Y has 899"):
        pg.TwoPartGLM().fit(X, Y[1:])
    with pytest.raises(ValueError, match="not fitted yet"):
        pg.TwoPartGLM().predict(X)
    for ask in (pg.breakdown, pg.compare):
        with pytest.raises(ValueError, match=f"{ask.__name__}: this TwoPartGLM is not fitted yet"):
            ask(pg.TwoPartGLM(), X, Y)
    with pytest.raises(ValueError, match=r"draw: n .*0"):
        quietly(pg.TwoPartGLM(pg.GLMCV("gamma", n_lambdas=2, cv=2)).fit, X, Y).draw(X, n=0)

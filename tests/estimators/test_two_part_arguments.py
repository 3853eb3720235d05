"""Two-part models with offsets, starts and folders that keep their fits; and Shapley values of both parts."""

import numpy as np
import pytest
from scipy import stats
from two_parts import TRIAL, N, Q, a_model, quietly, recorded

import popglm as pg
from popglm.io import checkpoints
from popglm.solve.walk.walk import Walk

EXACT = {"precision": "float64", "tol": 1e-9}
X, _, WEIGHTS = recorded()
RNG = np.random.default_rng(3)
#: Log odds of an event, and the log of an exposure.
OFFSET = {"events": 0.7 * np.sin(np.arange(N) / 30), "amounts": np.log(RNG.uniform(0.2, 3.0, N))}
CHANCE = 1 / (1 + np.exp(1 - 0.8 * X[:, :1] - OFFSET["events"][:, None]))
Y = (RNG.random((N, Q)) < CHANCE) * RNG.gamma(2.5, np.exp(0.5 * X[:, 3:4] + OFFSET["amounts"][:, None]) / 2.5, (N, Q))


@pytest.fixture(scope="module")
def model():
    return quietly(a_model(**EXACT).fit, X, Y, groups=TRIAL, offset=OFFSET)


def parts(model):
    return (("events", model.events_), ("amounts", model.amounts_))


def test_parts_are_fits_with_offsets_of_their_own(model):
    for (name, part), own in zip(parts(model), model.split(Y), strict=True):
        job = part.get_params() | {"cv": model.events_.splits_}
        alone = quietly(pg.GLMCV(**job).fit, X, own, offset=OFFSET[name])
        np.testing.assert_array_equal(part.coef_, alone.coef_)
        np.testing.assert_array_equal(part.lambda_, alone.lambda_)


def means(model, fold=None):
    """Chance of an event and mean amount with the offsets, from weights."""
    found = []
    for name, part in parts(model):
        coef = part.coef_ if fold is None else part.cv_coef_[fold]
        intercept = part.intercept_ if fold is None else part.cv_intercept_[fold]
        eta = X @ coef.T + intercept + OFFSET[name][:, None]
        found.append(1 / (1 + np.exp(-eta)) if name == "events" else np.exp(eta))
    return found


def test_what_is_said_of_both_parts_knows_the_offsets(model):
    q, mu = means(model)
    np.testing.assert_allclose(model.predict(X, offset=OFFSET), q * mu, rtol=1e-9)
    for own, expected in zip(model.predict_parts(X, OFFSET), (q, mu), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9)
    y, held = np.where(Y > 0, Y, 1), np.zeros(Q)

    def density(q, mu, phi):
        gamma = stats.gamma.logpdf(y, 1 / phi, scale=mu * phi)
        return np.where(Y > 0, np.log(q) + gamma, np.log1p(-q))

    table = model.evaluate(X, Y, offset=OFFSET)
    np.testing.assert_allclose(table["log_likelihood"], density(q, mu, model.dispersion_).sum(axis=0), rtol=1e-9)
    expected = np.empty((N, Q))
    for fold in range(3):
        rows, (q, mu) = model.fold_ == fold, means(model, fold)
        held += density(q, mu, model.cv_dispersion_[fold])[rows].sum(axis=0)
        expected[rows] = (q * mu)[rows]
    np.testing.assert_allclose(model.cv_log_likelihood_, held, rtol=1e-9)
    np.testing.assert_allclose(model.predict_held_out(offset=OFFSET), expected, rtol=1e-9)
    # what was drawn has the mean that is predicted, sample by sample
    drawn = model.draw(X, n=400, seed=0, offset=OFFSET).mean(axis=0)
    assert np.corrcoef(drawn[:, 0], model.predict(X, offset=OFFSET)[:, 0])[0, 1] > 0.98
    assert model.score(X, Y, offset=OFFSET) > model.score(X, Y, offset=0)


def test_explanations_take_the_offsets(model):
    full = (1 - model.cv_deviance_explained_) * quietly(pg.breakdown, model, X, Y, offset=OFFSET)["null_deviance"]
    for explain in (pg.breakdown, pg.compare, pg.shapley):
        found = quietly(explain, model, X, Y, ["a", "b"], offset=OFFSET)
        np.testing.assert_allclose(found["full_deviance"], full, rtol=1e-6)
    test = quietly(pg.compare, model, X, Y, ["a"], test=(X, Y, OFFSET), offset=OFFSET)
    np.testing.assert_allclose(test["full_deviance"], model.evaluate(X, Y, offset=OFFSET)["deviance"], rtol=1e-9)
    other = quietly(model.select, X, Y, offset=OFFSET, se_fraction=0.0)
    np.testing.assert_array_equal(other.cv_deviance_explained_, model.cv_deviance_explained_)


@pytest.mark.parametrize("method", ["ablation", "refit"])
def test_shapley_values_are_those_of_both_parts_added_up(model, method):
    given = {"method": method, "variables": ["a", "b"]}
    found = quietly(pg.shapley, model, X, Y, offset=OFFSET, **given)
    events, amounts = (
        quietly(pg.shapley, part, X, own, offset=OFFSET[name], **given)
        for (name, part), own in zip(parts(model), model.split(Y), strict=True)
    )
    phi = model.deviance_dispersion_
    np.testing.assert_allclose(found["shapley"], events["shapley"] + amounts["shapley"] / phi[:, None], rtol=1e-12)
    whole = found["null_deviance"] - found["full_deviance"]
    np.testing.assert_allclose(found["shapley"].sum("variable") + found["rest"], whole, rtol=1e-9)
    np.testing.assert_allclose(found["deviance_explained"], model.cv_deviance_explained_, rtol=1e-6)
    shares = found["fraction_explained_deviance"].sum("variable") + found["rest"] / whole
    np.testing.assert_allclose(shares, 1, rtol=1e-9)


def test_a_model_from_a_file_asks_for_its_offsets(model, tmp_path):
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.predict(X, offset=OFFSET), model.predict(X, offset=OFFSET))
    for call in (
        lambda: again.predict(X),
        lambda: again.predict_held_out(X, offset={"amounts": OFFSET["amounts"]}),
        lambda: again.evaluate(X, Y),
        lambda: again.draw(X),
        lambda: again.select(X, Y),
        lambda: pg.breakdown(again, X, Y),
        lambda: pg.compare(again, X, Y),
        lambda: pg.shapley(again, X, Y),
    ):
        with pytest.raises(ValueError, match="needs offset=: the events of this TwoPartGLM were fitted with"):
            call()
    with pytest.raises(ValueError, match="or offset=0 to do without on purpose"):
        pg.breakdown(again, X, Y)
    for call in (lambda: pg.compare(again, X, Y), lambda: pg.shapley(again, X, Y), lambda: model.select(X, Y)):
        with pytest.raises(ValueError, match=r"Give offset=\{'events': array\} as in the fit\."):
            call()


def test_wrong_offsets_are_told():
    def fit(offset):
        return a_model().fit(X, Y, offset=offset)

    with pytest.raises(TypeError, match=r"offset must be a mapping such as \{'amounts': array\}"):
        fit(OFFSET["amounts"])
    with pytest.raises(TypeError, match="found 1"):
        fit(1.0)
    with pytest.raises(ValueError, match="offset names 'event', which is no part; the parts are 'events', 'amounts'"):
        fit({"event": OFFSET["events"]})
    with pytest.raises(ValueError, match="offset"):
        fit({"events": OFFSET["events"][:-1]})
    plain = quietly(a_model().fit, X, Y, offset=0)
    with pytest.raises(ValueError, match="breakdown has offset=, but the model was fitted without"):
        pg.breakdown(plain, X, Y, offset=OFFSET)


def steps(model):
    return [part.n_iter_.sum() + part.cv_n_iter_.sum() for _, part in parts(model)]


def test_a_start_saves_steps_in_both_parts(model):
    again = quietly(a_model(**EXACT).fit, X, Y, groups=TRIAL, offset=OFFSET, start=model)
    assert all(few < 0.6 * many for few, many in zip(steps(again), steps(model), strict=True))
    np.testing.assert_allclose(again.cv_deviance_explained_, model.cv_deviance_explained_, rtol=1e-6)
    with pytest.raises(TypeError, match="start must be a fitted TwoPartGLM; found GLMCV"):
        a_model().fit(X, Y, start=model.events_)
    with pytest.raises(ValueError, match="start was fitted to other folds"):
        a_model().fit(X, Y, start=model)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_same_call_goes_on_with_the_same_bits(tmp_path, monkeypatch, share):
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)

    def fit(folder=None):
        return quietly(a_model(n_lambdas=3).fit, X, Y, groups=TRIAL, offset=OFFSET, checkpoint=folder)

    count, last, accept = [0], np.inf, Walk.accept_or_stay

    def failing(self, *arguments):
        count[0] += 1
        if count[0] > last:
            raise RuntimeError
        return accept(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Walk, "accept_or_stay", failing)
        plain = fit()
        last = (1 + share) * count[0]
        with pytest.raises(RuntimeError):
            fit(tmp_path / "fit")
    for again in (fit(tmp_path / "fit"), fit(str(tmp_path / "fit"))):
        for (_, one), (_, other) in zip(parts(again), parts(plain), strict=True):
            np.testing.assert_array_equal(one.coef_path_, other.coef_path_)
            np.testing.assert_array_equal(one.cv_deviance_, other.cv_deviance_)


def test_folders_of_something_else_are_refused(tmp_path):
    quietly(pg.GLMCV(n_lambdas=2).fit, X, Y, checkpoint=tmp_path / "one")
    with pytest.raises(ValueError, match="holds the fit of one model, and a TwoPartGLM has two"):
        a_model().fit(X, Y, checkpoint=tmp_path / "one")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="and no fit; give a folder of its own"):
        a_model().fit(X, Y, checkpoint=tmp_path)
    with pytest.raises(TypeError, match="checkpoint must be the name of a folder"):
        a_model().fit(X, Y, checkpoint=3)
    quietly(a_model().fit, X, Y, checkpoint=tmp_path / "two")
    with pytest.raises(ValueError, match="y had other values"):
        quietly(a_model().fit, X, Y[::-1], checkpoint=tmp_path / "two")


def test_kernels_and_bands_are_those_of_the_parts():
    session = {name: X[:, k] for k, name in enumerate("vwxyz")}
    design = pg.Design([pg.splines(name, n=4) for name in "vy"])
    Z = design.fit_transform(session)
    job = {"lambdas": [0.03, 0.01], "cv": 3, "precision": "float64"}
    model = quietly(pg.TwoPartGLM(pg.GLMCV("gamma", **job)).fit, Z, Y, groups=TRIAL, offset=OFFSET)
    plain = pg.kernels(model, design, n_points=4)
    given = {"trial": TRIAL, "n_resamples": 5, "n_points": 4, "seed": 2}
    bands = quietly(pg.bootstrap, model, design, Z, Y, offset=OFFSET, **given)
    for (name, part), own in zip(parts(model), model.split(Y), strict=True):
        alone = quietly(pg.bootstrap, part, design, Z, own, offset=OFFSET[name], **given)
        for group in ("v", "y"):
            for which in alone[group]:
                np.testing.assert_array_equal(bands[group][which].sel(part=name), alone[group][which])
            np.testing.assert_array_equal(plain[group]["kernel"].sel(part=name), alone[group]["kernel"])
    assert bands["v"]["lower"].dims == ("part", "neuron", "v")
    # only the amounts are under exp
    assert np.isnan(bands["v"]["gain"].sel(part="events")).all()
    assert bands["v"].attrs["n_resamples"] == 5
    ax = pg.plot.kernel_curves(bands["v"].sel(part="amounts"))
    assert ax.get_title() == "v, 3 neurons, 95 % band"
    for draw, more in ((pg.plot.kernel_curves, {"group": "v"}), (pg.plot.mean_absolute_kernels, {"groups": "v"})):
        with pytest.raises(ValueError, match=r"both parts of a TwoPartGLM.*choose it first: .*sel\(part='events'\)"):
            draw(bands, **more)
        draw({group: own.sel(part="events") for group, own in bands.items()}, **more)
    with pytest.raises(ValueError, match="bootstrap needs offset=: the events"):
        pg.bootstrap(model, design, Z, Y, **given)

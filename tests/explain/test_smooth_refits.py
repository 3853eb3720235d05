"""Curves that are fitted again, without a term or to trials that were drawn: beside plain fits, and closed forms."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg

N, TRIAL = 600, np.arange(600) // 20


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    return {"phase": rng.uniform(0, 2 * np.pi, N), "speed": rng.uniform(0, 1, N), "cue": rng.choice([-1.0, 1.0], N)}


def made(session, *names):
    """A design of some of the terms, and its X."""
    terms = {"phase": pg.cyclic_splines("phase", n=7), "speed": pg.splines("speed", n=6), "cue": pg.linear("cue")}
    design = pg.Design([terms[name] for name in names])
    return design, design.fit_transform(session)


@pytest.fixture(scope="module")
def recording(session):
    """X of three terms, counts of three neurons, of which the last is silent, and a part to be scored on."""
    design, X = made(session, "phase", "speed", "cue")
    eta = np.column_stack([np.sin(session["phase"]) + 0.3 * session["cue"], 2 * session["speed"] - 1, np.full(N, -99)])
    Y = pd.DataFrame(np.random.default_rng(1).poisson(np.exp(eta)).astype(float), columns=["turn", "run", "silent"])
    Y.iloc[:30, 1] = np.nan
    return design, X, Y


def fitted(X, Y, **more):
    given = {name: more.pop(name) for name in ("sample_weight", "offset") if name in more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.SmoothGLM(**more).fit(X, Y, **given)


@pytest.fixture(scope="module")
def model(recording):
    _, X, Y = recording
    return fitted(X[:400], Y[:400])


@pytest.mark.parametrize("more", [{}, {"constraints": {"speed": "increasing"}}, {"smoothing": 0.01}])
def test_comparisons_are_with_models_of_the_other_terms(session, recording, more):
    _, X, Y = recording
    full = fitted(X[:400], Y[:400], **more)
    test = X[400:], Y[400:]
    found = pg.compare(full, X[:400], Y[:400], ["phase", "speed"], test=test)
    np.testing.assert_allclose(found["full_deviance"], full.evaluate(*test)["deviance"])
    for name, others in (("phase", ("speed", "cue")), ("speed", ("phase", "cue"))):
        kept = made(session, *others)[1]
        own = more if name != "speed" or "constraints" not in more else {}
        alone = fitted(kept[:400], Y[:400], **own)
        expected = alone.evaluate(kept[400:], Y[400:])["deviance"]
        np.testing.assert_allclose(found["reduced_deviance"].sel(variable=name), expected, rtol=1e-5)
    assert "selected_strength" not in found
    assert found["fraction_explained_deviance"].sel(neuron="turn").to_series().idxmax() == "phase"
    assert found["fraction_explained_deviance"].sel(neuron="run").to_series().idxmax() == "speed"


def test_terms_alone_and_strengths_that_stay(session, recording, model):
    _, X, Y = recording
    given = {"test": (X[400:], Y[400:])}
    added = pg.compare(model, X[:400], Y[:400], ["phase"], method="add", **given)
    phase = made(session, "phase")[1]
    alone = fitted(phase[:400], Y[:400])
    expected = alone.evaluate(phase[400:], Y[400:])["deviance"]
    np.testing.assert_allclose(added["reduced_deviance"].sel(variable="phase"), expected, rtol=1e-5)
    kept = pg.compare(model, X[:400], Y[:400], ["cue"], reselect=False, **given)
    others = made(session, "phase", "speed")[1]
    strengths = np.nan_to_num(model.smoothing_.drop(columns="cue", level=0).to_numpy(), nan=1.0)
    again = fitted(others[:400], Y[:400], smoothing=strengths)
    expected = again.evaluate(others[400:], Y[400:])["deviance"]
    np.testing.assert_allclose(kept["reduced_deviance"].sel(variable="cue"), expected, rtol=1e-6)
    whole = pg.compare(model, X[:400], Y[:400], {"all": ["phase", "speed", "cue"]}, **given)
    mean = np.exp(model.null_intercept_[:2])
    y = Y[400:].to_numpy()[:, :2]
    null = 2 * np.nansum(np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mean), 0) - y + mean, axis=0)
    np.testing.assert_allclose(whole["reduced_deviance"][:2, 0], null, rtol=1e-6)


def test_bands_are_those_of_fits_to_duplicated_trials(recording):
    design, X, Y = recording
    weights = np.random.default_rng(2).uniform(0.5, 2, N)
    offset = 0.3 * np.sin(np.arange(N) / 40)
    model = fitted(X, Y, sample_weight=weights, offset=offset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        found = pg.bootstrap(
            model, design, X, Y, trial=TRIAL, n_resamples=5, seed=3, level=0.5, n_points=5, sample_weight=weights,
            offset=offset,
        )  # fmt: skip
    rows, curves = np.arange(N).reshape(-1, 20), {group: [] for group in found}
    for trials in np.random.default_rng(3).integers(len(rows), size=(5, len(rows))):
        again = rows[trials].ravel()
        strengths = np.nan_to_num(model.smoothing_.to_numpy(), nan=1.0)
        part = {"sample_weight": weights[again], "offset": offset[again]}
        refit = fitted(X.iloc[again], Y.iloc[again], smoothing=strengths, **part)
        for group, own in pg.kernels(refit, design, n_points=5).items():
            curves[group].append(own["kernel"].values)
    for group, own in found.items():
        np.testing.assert_allclose(own["sem"], np.std(curves[group], axis=0, ddof=1), atol=1e-5)
        np.testing.assert_allclose(own["lower"], np.percentile(curves[group], 25, axis=0), atol=1e-5)
    np.testing.assert_array_equal(found["phase"]["upper"].sel(neuron="silent"), 0)


def test_the_band_of_a_line_has_the_standard_error_of_least_squares():
    rng = np.random.default_rng(4)
    session = {"speed": rng.normal(size=500)}
    design = pg.Design([pg.linear("speed")])
    X = design.fit_transform(session)
    y = 0.5 * session["speed"] + rng.normal(size=500)
    model = pg.SmoothGLM("gaussian", shrink=False).fit(X, y)
    found = pg.bootstrap(model, design, X, y, trial=np.arange(500), n_resamples=150, n_points=2)["speed"]
    step = abs(found["speed"].values - session["speed"].mean())
    np.testing.assert_allclose(found["sem"].values[0] / step, 1 / np.sqrt(500), rtol=0.2)


def test_what_cannot_be_compared_is_told(recording, model):
    design, X, Y = recording
    test = X[400:], Y[400:]
    with pytest.raises(ValueError, match="no group fits 'place'"):
        pg.compare(model, X[:400], Y[:400], ["place"], test=test)
    with pytest.raises(ValueError, match=r"test must be \(X_test, Y_test\)"):
        pg.compare(model, X[:400], Y[:400], test=X[400:])
    for call in (
        lambda Z: pg.compare(model, X[:400], Z, test=test),
        lambda Z: pg.bootstrap(model, design, X[:400], Z, trial=TRIAL[:400]),
    ):
        with pytest.raises(ValueError, match="are not those of the fit: the objective of neuron 'turn' is"):
            call(Y[:400].sample(frac=1, random_state=0).reset_index(drop=True))
    with pytest.raises(ValueError, match="trial"):
        pg.bootstrap(model, design, X[:400], Y[:400], trial=np.zeros(400))
    with pytest.raises(ValueError, match="has sample_weight=, but the model was fitted without"):
        pg.bootstrap(model, design, X[:400], Y[:400], trial=TRIAL[:400], sample_weight=np.arange(400) + 1.0)

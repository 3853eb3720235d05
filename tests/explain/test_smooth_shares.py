"""Shares of curves on trials that were held back: beside subsets by hand, and what they must add up to."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg

N, FITTED = 500, 350
NAMES = ("phase", "speed", "cue")


def made(*names):
    """X of some of the terms, of 500 samples."""
    rng = np.random.default_rng(0)
    session = {"phase": rng.uniform(0, 2 * np.pi, N), "speed": rng.uniform(0, 1, N), "cue": rng.choice([-1.0, 1.0], N)}
    terms = {"phase": pg.cyclic_splines("phase", n=6), "speed": pg.splines("speed", n=5), "cue": pg.linear("cue")}
    return session, pg.Design([terms[name] for name in names]).fit_transform(session)


def recorded(family="poisson"):
    session, X = made(*NAMES)
    eta = np.column_stack([np.sin(session["phase"]) + 0.3 * session["cue"], 2 * session["speed"] - 1])
    rng = np.random.default_rng(1)
    Y = eta + rng.standard_normal(eta.shape) if family == "gaussian" else rng.poisson(np.exp(eta)).astype(float)
    Y[:30, 1] = np.nan
    Y[-5:, 0] = np.nan
    return X, pd.DataFrame(Y, columns=["turn", "run"])


def fitted(X, Y, given=None, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.SmoothGLM(**more).fit(X, Y, **(given or {}))


@pytest.fixture(scope="module")
def fits():
    """By family the data, and the model of the first samples."""
    found = {}
    for family in ("poisson", "gaussian"):
        X, Y = recorded(family)
        found[family] = X, Y, fitted(X[:FITTED], Y[:FITTED], family=family)
    return found


def shares(model, X, Y, variables=("phase", "speed"), **more):
    test = X[FITTED:], Y[FITTED:]
    return pg.shapley(model, X[:FITTED], Y[:FITTED], list(variables), test=test, **more)


def by_hand(deviance):
    """Values of two variables from the deviance of none, the first, the second, and both."""
    none, first, second, both = deviance
    return np.stack([(none - first + second - both) / 2, (none - second + first - both) / 2], axis=-1)


def deviance_of(model, eta, Y):
    loss = model.loss_
    y = Y.to_numpy()
    return np.nansum(loss.deviance(eta, np.nan_to_num(y)) * ~np.isnan(y), axis=0)


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_ablation_takes_weights_out_of_the_fit(fits, family):
    X, Y, model = fits[family]
    groups = X.columns.get_level_values(0)
    found = []
    for kept in ((), ("phase",), ("speed",), ("phase", "speed")):
        coef = model.coef_ * np.isin(groups, [*kept, "cue"])
        eta = X.to_numpy(float) @ coef.T
        known = ~np.isnan(Y[:FITTED].to_numpy())
        y = np.nan_to_num(Y[:FITTED].to_numpy())
        if family == "poisson":
            b = np.log((y * known).sum(axis=0) / (np.exp(eta[:FITTED]) * known).sum(axis=0))
        else:
            b = ((y - eta[:FITTED]) * known).sum(axis=0) / known.sum(axis=0)
        found.append(deviance_of(model, eta[FITTED:] + b, Y[FITTED:]))
    own = shares(model, X, Y)
    np.testing.assert_allclose(own["shapley"], by_hand(found), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(own["full_deviance"], model.evaluate(X[FITTED:], Y[FITTED:])["deviance"], rtol=1e-6)
    np.testing.assert_allclose(
        own["shapley"].sum("variable") + own["rest"], own["null_deviance"] - own["full_deviance"], rtol=1e-9
    )


def test_refits_have_the_strengths_of_the_model(fits):
    X, Y, model = fits["poisson"]
    found = []
    for kept in (("cue",), ("phase", "cue"), ("speed", "cue"), NAMES):
        own = made(*kept)[1]
        strengths = model.smoothing_.loc[:, [group in kept for group, _ in model.smoothing_.columns]]
        alone = fitted(own[:FITTED], Y[:FITTED], smoothing=strengths.to_numpy())
        found.append(alone.evaluate(own[FITTED:], Y[FITTED:])["deviance"])
    own = shares(model, X, Y, method="refit")
    np.testing.assert_allclose(own["shapley"], by_hand(found), rtol=1e-3, atol=1e-2)
    # what drives a neuron has next to all of it
    assert own["fraction_explained_deviance"].sel(neuron="run", variable="speed") > 0.8


def test_offsets_weights_and_parameters_of_families_take_part(fits):
    X, Y, _ = fits["poisson"]
    rng = np.random.default_rng(2)
    weight, offset = rng.uniform(0.5, 2, FITTED), rng.normal(0, 0.3, N)
    given = {"sample_weight": weight, "offset": offset[:FITTED]}
    model = fitted(X[:FITTED], Y[:FITTED], given, family="negative_binomial")
    test = X[FITTED:], Y[FITTED:], offset[FITTED:]
    for method in ("ablation", "refit"):
        own = pg.shapley(model, X[:FITTED], Y[:FITTED], test=test, method=method, **given)
        full = model.evaluate(*test[:2], offset=test[2])
        np.testing.assert_allclose(own["full_deviance"], full["deviance"], rtol=1e-5)
        np.testing.assert_allclose(own["null_deviance"], full["null_deviance"], rtol=1e-5)
    with pytest.raises(ValueError, match="offset"):
        pg.shapley(model, X[:FITTED], Y[:FITTED], test=test[:2], **given)


def test_what_cannot_be_shared_out_is_told(fits):
    X, Y, model = fits["poisson"]
    part = X[:FITTED], Y[:FITTED]
    with pytest.raises(ValueError, match="a SmoothGLM holds nothing out; give test="):
        pg.shapley(model, *part)
    with pytest.raises(ValueError, match=r"shapley: test must be \(X_test, Y_test\)"):
        pg.shapley(model, *part, test=X)
    with pytest.raises(ValueError, match="are not those of the fit"):
        pg.shapley(model, X[:FITTED], Y[:FITTED][::-1].reset_index(drop=True), test=(X[FITTED:], Y[FITTED:]))
    other = pg.GLMCV(lambdas=[0.1]).fit(X.to_numpy()[30:], Y["run"].to_numpy()[30:])
    with pytest.raises(ValueError, match="test is for a SmoothGLM"):
        pg.shapley(other, X.to_numpy()[30:], Y["run"].to_numpy()[30:], test=part)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_neuron_that_is_silent_where_it_is_scored_is_named():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    Y = rng.poisson(np.exp(0.6 * X)).astype(float)
    Y[300:, 1] = 0
    model = pg.SmoothGLM(feature_groups=["a", "b"]).fit(X[:300], Y[:300])
    with pytest.warns(pg.PopglmWarning, match=r"does not vary in the samples that are scored.*: neuron1"):
        pg.shapley(model, X[:300], Y[:300], test=(X[300:], Y[300:]))

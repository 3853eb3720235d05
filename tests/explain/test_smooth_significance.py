"""Curves against chance: surrogates beside fits by hand to the same moved columns."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.explain.surrogates import CircularShifts, TrialPermutations, draw_offsets
from popglm.scaling import note_scaling

N, LENGTH = 300, 10
TRIAL = np.arange(N) // LENGTH


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


@pytest.fixture(scope="module")
def recording():
    """Counts of a neuron that follows the phase, of one that follows nothing, and of a silent one; and their model."""
    rng = np.random.default_rng(0)
    session = {"phase": rng.uniform(0, 2 * np.pi, N), "speed": rng.uniform(0, 1, N)}
    design = pg.Design([pg.cyclic_splines("phase", n=5), pg.splines("speed", n=4)])
    X = design.fit_transform(session)
    Y = rng.poisson(np.exp(np.outer(np.sin(session["phase"]), [0.8, 0.0, 0.0])) * [1, 1, 0]).astype(float)
    Y[:20, 1] = np.nan
    Y = pd.DataFrame(Y, columns=["turn", "none", "silent"])
    return X, Y, quietly(pg.SmoothGLM().fit, X, Y)


@pytest.fixture(scope="module")
def found(recording):
    X, Y, model = recording
    return quietly(pg.significance, model, X, Y, ["phase", "speed"], trial=TRIAL, n_shifts=24, seed=1)


def moved(X, own, alone, surrogates, k):
    """X with other values in some columns, on the scale that the design gave them."""
    values = X.to_numpy(float).copy()
    each = [surrogates.apply(column, 0, slice(k, k + 1), np.arange(N))[0] for column in alone.T]
    values[:, own] += np.stack(each, axis=1) - alone
    table = pd.DataFrame(values, columns=X.columns)
    return table


def by_hand(table, model, Y):
    """Deviance explained of the samples of a fit of its own."""
    note_scaling(table, *model.feature_scaling_)
    own = quietly(pg.SmoothGLM(feature_shapes=model.feature_shapes_).fit, table, Y)
    return own.evaluate(table, Y)["deviance_explained"].to_numpy()


@pytest.mark.thorough
def test_surrogates_choose_their_smoothness_anew(recording, found):
    X, Y, model = recording
    assert found.attrs["method"] == "circular_shift"
    assert found.attrs["refit"] == "full"
    surrogates = CircularShifts(draw_offsets(N, LENGTH, 24, 3, 1))
    values = X.to_numpy(float)
    for k in (0, 3):
        other = by_hand(moved(X, slice(None), values, surrogates, k), model, Y)
        np.testing.assert_allclose(found.deviance_explained_null[k, :2], other[:2], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.statistic[:2], model.evaluate(X, Y)["deviance_explained"][:2], rtol=1e-6)
    assert 1 / 25 <= found.p_value[0] < 0.05
    assert found.p_value[1] > 0.1
    assert found.p_value[2] == 1


@pytest.mark.thorough
def test_of_a_term_moves_what_the_others_leave(recording, found):
    X, Y, model = recording
    own = np.flatnonzero(X.columns.get_level_values(0) == "phase")
    centred = X.to_numpy(float) - X.to_numpy(float).mean(axis=0)
    others = np.delete(centred, own, axis=1)
    alone = centred[:, own] - others @ np.linalg.lstsq(others, centred[:, own], rcond=1e-5)[0]
    other = by_hand(moved(X, own, alone, CircularShifts(draw_offsets(N, LENGTH, 24, 3, 1)), 2), model, Y)
    np.testing.assert_allclose(found.contribution_null.sel(variable="phase")[2, :2], other[:2], rtol=1e-3, atol=1e-6)
    assert found.contribution_p_value.sel(neuron="turn", variable="phase") < 0.05
    assert found.contribution_p_value.sel(neuron="turn", variable="speed") > 0.1
    share = quietly(pg.breakdown, model, X, Y, held_out=False).fraction_null_deviance
    np.testing.assert_allclose(found.contribution, share, rtol=1e-12)


def test_trials_are_exchanged_where_terms_are_constant_in_them():
    rng = np.random.default_rng(1)
    cue = rng.choice([-1.0, 1.0], N // LENGTH)[TRIAL]
    X = pg.Design([pg.linear("cue")]).fit_transform({"cue": cue})
    y = rng.poisson(np.exp(0.5 * cue)).astype(float)
    given = {"sample_weight": rng.uniform(0.5, 2, N), "offset": rng.normal(0, 0.1, N)}
    model = quietly(pg.SmoothGLM().fit, X, y, **given)
    result = quietly(pg.significance, model, X, y, trial=TRIAL, n_shifts=19, **given)
    assert result.attrs["method"] == "trial_permutation"
    surrogates = TrialPermutations(TRIAL, np.zeros(N // LENGTH, int), 19, 0, False)
    table = moved(X, slice(None), X.to_numpy(float), surrogates, 0)
    note_scaling(table, *model.feature_scaling_)
    other = quietly(pg.SmoothGLM().fit, table, y, **given)
    explained = other.evaluate(table, y, **given)["deviance_explained"]
    np.testing.assert_allclose(result.deviance_explained_null[0], explained, rtol=1e-4)
    assert result.p_value[0] == 0.05


def test_what_cannot_be_tested_is_told(recording):
    X, Y, model = recording
    for words, more in (
        ("surrogates of a SmoothGLM are fitted by the model itself; leave refit out", {"refit": False}),
        ("flips the residuals of local refits, which this model has not", {"method": "time_in_trial"}),
        ("no group fits", {"variables": ["place"]}),
        ("trial-safe offsets, fewer than n_shifts=1000", {"n_shifts": 1000}),
    ):
        with pytest.raises(ValueError, match=words):
            pg.significance(model, X, Y, **({"trial": TRIAL, "n_shifts": 20} | more))
    with pytest.raises(ValueError, match="are not those of the fit"):
        pg.significance(model, X, Y[::-1].reset_index(drop=True), trial=TRIAL, n_shifts=20)

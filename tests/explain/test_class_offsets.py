"""What explains a classifier that was fitted with an offset: as of the Bernoulli model with the same one."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.explain.surrogates import CircularShifts, draw_offsets

N, LENGTH = 480, 12
TRIAL = np.arange(N) // LENGTH
JOB = {"lambdas": [0.1, 0.01], "precision": "float64", "tol": 1e-9, "cv": 3}
SHARES = ("fraction_explained_deviance", "fraction_null_deviance", "full_deviance", "null_deviance")
RNG = np.random.default_rng(0)
COLUMNS = pd.MultiIndex.from_tuples([("place", "a"), ("place", "b"), ("cue", "x"), ("noise", "x")])
VALUES = RNG.standard_normal((N, 4))
X = pd.DataFrame(VALUES - VALUES.mean(axis=0), columns=COLUMNS)
#: Log odds that were known before, as a prior of a block of trials is.
BEFORE = np.repeat(RNG.choice([-1.5, 1.5], N // 24), 24)
CHOICE = (X.to_numpy() @ [1.0, 0, 1, 0] + BEFORE + RNG.logistic(size=N) > 0).astype(int)
OFFSET = {1: BEFORE}


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


@pytest.fixture(scope="module")
def pair():
    classes = quietly(
        pg.ClassifierGLMCV("ridge", **JOB | {"lambdas": [0.2, 0.02]}).fit, X, CHOICE, groups=TRIAL, offset=OFFSET
    )
    known = quietly(pg.GLMCV("bernoulli", penalty="ridge", **JOB).fit, X, CHOICE, groups=TRIAL, offset=BEFORE)
    return classes, known


def both(pair, explain):
    return explain(pair[0], OFFSET), explain(pair[1], BEFORE)


def agree(ours, theirs, names):
    for name in names:
        np.testing.assert_allclose(ours[name].values, theirs[name].values, rtol=2e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("more", [{}, {"method": "keep"}, {"held_out": False}])
def test_breakdown(pair, more):
    ours, theirs = both(pair, lambda model, offset: pg.breakdown(model, X, CHOICE, offset=offset, **more))
    agree(ours, theirs, [*SHARES, "reduced_deviance"])


def test_compare(pair):
    test = X[:120], CHOICE[:120]

    def held_out(model, offset):
        return pg.compare(model, X, CHOICE, ["place", "noise"], offset=offset, weaker=None)

    def tested(model, offset):
        there = {1: BEFORE[:120]} if isinstance(offset, dict) else BEFORE[:120]
        return pg.compare(model, X, CHOICE, ["cue"], offset=offset, test=(*test, there), weaker=None)

    for explain in (held_out, tested):
        agree(*both(pair, explain), [*SHARES, "reduced_deviance"])


@pytest.mark.parametrize("method", ["ablation", "refit"])
def test_shapley(pair, method):
    ours, theirs = both(
        pair, lambda model, offset: pg.shapley(model, X, CHOICE, ["place", "cue"], method=method, offset=offset)
    )
    agree(ours, theirs, ["shapley", "rest", *SHARES])


def test_calibration(pair):
    ours, theirs = both(pair, lambda model, offset: pg.calibration(model, X, CHOICE, offset=offset, bins=4))
    of_one = ours.sel({"class": "1"})
    agree(of_one, theirs, ["slope", "intercept", "predicted", "observed"])


def test_bootstrap(pair):
    design = pg.Design([pg.linear(v) for v in ("place", "cue")])
    rows = design.fit_transform({"place": VALUES[:, 0], "cue": VALUES[:, 2]})
    given = {"trial": TRIAL, "n_resamples": 4, "seed": 3}
    job = {"precision": "float64", "tol": 1e-9}
    classes = pg.ClassifierGLM("ridge", lambdas=[0.02], **job)
    quietly(classes.fit, rows, CHOICE, offset=OFFSET)
    known = pg.GLM("bernoulli", penalty="ridge", lambdas=[0.01], **job)
    known.fit(rows, CHOICE, offset=BEFORE)
    ours = quietly(pg.bootstrap, classes, design, rows, CHOICE, offset=OFFSET, **given)["place"]
    theirs = quietly(pg.bootstrap, known, design, rows, CHOICE, offset=BEFORE, **given)["place"]
    # weights of two classes are half of those of the log odds, on both sides
    for name in ("kernel", "lower", "sem"):
        np.testing.assert_allclose(2 * ours[name].sel({"class": "1"}), theirs[name], rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
def test_labels_are_shifted_together_with_their_offset(pair):
    model = pair[0]
    given = {"trial": TRIAL, "n_shifts": 24, "seed": 1, "refit": True}
    found = quietly(pg.significance, model, X, CHOICE, ["place", "noise"], offset=OFFSET, **given)
    surrogates = CircularShifts(draw_offsets(N, LENGTH, 24, 1, 1))
    for k in (0, 3):
        y, own = (surrogates.apply(one, 0, slice(k, k + 1), np.arange(N))[0] for one in (CHOICE, BEFORE))
        job = JOB | {"lambdas": [0.2, 0.02]}
        by_hand = quietly(pg.ClassifierGLMCV("ridge", **job).fit, X, y, groups=TRIAL, offset={1: own})
        np.testing.assert_allclose(found.deviance_explained_null[k, 0], by_hand.cv_deviance_explained_[0], rtol=1e-6)
    # what the offset explains alone is no merit of the model: surrogates have it, too
    assert found.deviance_explained_null.mean() > 0.1
    assert found.p_value[0] < 0.06
    assert found.contribution_p_value.sel(variable="noise") > 0.06


def test_without_it_nothing_is_explained(pair):
    model = pair[0]
    for explain in (
        lambda: pg.breakdown(model, X, CHOICE),
        lambda: pg.compare(model, X, CHOICE),
        lambda: pg.shapley(model, X, CHOICE),
        lambda: pg.calibration(model, X, CHOICE),
        lambda: pg.significance(model, X, CHOICE, trial=TRIAL),
    ):
        with pytest.raises(ValueError, match="needs offset=: the model was fitted with an offset"):
            explain()
    with pytest.raises(ValueError, match="compare: X, Y, sample_weight or offset are not those of the fit"):
        pg.compare(model, X, CHOICE, offset={1: BEFORE[::-1]})

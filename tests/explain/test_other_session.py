"""A design that was fitted again, to another session, makes columns in other units: no model takes them for its own."""

import copy
import json
import pickle
import re
import sys

import numpy as np
import pytest

import popglm as pg
from popglm import glm_class

N = 300
TRIAL = np.arange(N) // 30
SENTENCE = (
    "X was made by a design that was fitted to another session than the one that made X for the fit: the mean of "
)


def sessions():
    rng = np.random.default_rng(2)
    first = {"speed": rng.gamma(4, 5, N), "cue": rng.choice([-1.0, 1.0], N)}
    return first, first | {"speed": 0.5 * first["speed"] + 10}


def terms():
    return [pg.linear("speed"), pg.linear("cue")]


def activity(seed=0):
    return np.random.default_rng(seed).poisson(1.0, (N, 2))


def fitted(kind):
    parameters = {"lambdas": [0.1, 0.01], "penalty": "ridge"}
    X = pg.Design(terms()).fit_transform(sessions()[0])
    if kind == "GLM":
        return pg.GLM(**parameters).fit(X, activity())
    return pg.GLMCV(cv=3, **parameters).fit(X, activity(), groups=TRIAL)


VARIABLES = {"speed": ["speed"]}
CALLS = {
    "predict": lambda model, X, Y: model.predict(X),
    "evaluate": lambda model, X, Y: model.evaluate(X, Y),
    "score": lambda model, X, Y: model.score(X, Y),
    "select": lambda model, X, Y: model.select(X, Y),
    "predict_held_out": lambda model, X, Y: model.predict_held_out(X),
    "breakdown": lambda model, X, Y: pg.breakdown(model, X, Y, VARIABLES),
    "breakdown of new data": lambda model, X, Y: pg.breakdown(model, X, Y, VARIABLES, held_out=False),
    "compare": lambda model, X, Y: pg.compare(model, X, Y, VARIABLES),
    "compare(test=)": lambda model, X, Y: pg.compare(
        model, pg.Design(terms()).fit_transform(sessions()[0]), Y, VARIABLES, test=(X, Y)
    ),
    "significance": lambda model, X, Y: pg.significance(model, X, Y, VARIABLES, trial=TRIAL, n_shifts=5),
    "predicted_tuning": lambda model, X, Y: pg.predicted_tuning(
        model, X, Y, pg.bins(X["cue"].to_numpy().ravel(), [-2, 0, 2], 2, name="cue")
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_place_that_takes_columns_again(call):
    model = fitted("GLM" if call == "select" else "GLMCV")
    again = pg.Design(terms()).fit_transform(sessions()[1])
    mean = sessions()[1]["speed"].mean()
    with pytest.raises(ValueError, match=re.escape(f"{SENTENCE}column 'speed / linear' is {mean:.4g} and its scale ")):
        CALLS[call](model, again, activity())


@pytest.mark.parametrize("kept", ["pickled", "saved"])
def test_models_from_files(kept, tmp_path):
    model = fitted("GLMCV")
    if kept == "pickled":
        model = pickle.loads(pickle.dumps(model))
    else:
        model.save(tmp_path / "m.nc")
        model = pg.load(tmp_path / "m.nc")
    first, second = sessions()
    with pytest.raises(ValueError, match=f"GLMCV: {SENTENCE}.*transform, not fit_transform"):
        model.predict(pg.Design(terms()).fit_transform(second))
    design = pg.Design(terms()).fit(first)
    assert np.isfinite(model.predict(design.transform(second))).all()


def test_columns_in_another_order_or_fewer():
    first, second = sessions()
    design = pg.Design(terms()).fit(first)
    X = design.transform(first)
    turned = pg.GLM(lambdas=[0.1]).fit(X.iloc[:, ::-1], activity())
    np.testing.assert_allclose(turned.predict(X), turned.predict(X.iloc[:, ::-1]))
    part = pg.GLM(lambdas=[0.1]).fit(X[["speed"]], activity())
    again = pg.Design(terms()).fit_transform(second)
    for model, columns in ((turned, again), (turned, again.iloc[:, ::-1]), (part, again[["speed"]])):
        with pytest.raises(ValueError, match=f"{SENTENCE}column 'speed / linear'"):
            model.predict(columns)
    # cue is as it was
    assert pg.GLM(lambdas=[0.1]).fit(X[["cue"]], activity()).predict(again[["cue"]]).shape == (N, 2)


def test_what_says_nothing_of_its_scaling_is_taken():
    first, second = sessions()
    X, again = pg.Design(terms()).fit_transform(first), pg.Design(terms()).fit_transform(second)
    model = pg.GLM(lambdas=[0.1]).fit(X, activity())
    assert model.predict(again.to_numpy()).shape == (N, 2)
    of_array = pg.GLM(lambdas=[0.1]).fit(X.to_numpy(), activity())
    assert of_array.predict(again).shape == (N, 2)
    raw = [pg.Design(terms(), standardize=False).fit_transform(session) for session in (first, second)]
    assert pg.GLM(lambdas=[0.1]).fit(raw[0], activity()).predict(raw[1]).shape == (N, 2)
    # a model of an earlier revision, as a pickle brings it back
    del model.feature_scaling_
    assert model.predict(again).shape == (N, 2)


def test_the_drop_in():
    first, second = sessions()
    design = pg.Design(terms())
    model = glm_class.GLM(lambda_series=[0.1, 0.01], regularization="elastic_net")
    model.fit(design.fit_transform(first), activity(), verbose=False)
    again = pg.Design(terms()).fit_transform(second)
    with pytest.raises(glm_class.UsageError, match=f"X_val{SENTENCE[1:]}column 'speed / linear'"):
        model.select_model(again, activity(), make_fig=False)
    model.select_model(design.transform(second), activity(), make_fig=False)
    with pytest.raises(glm_class.UsageError, match=f"{SENTENCE}column 'speed / linear'"):
        model.predict(again)


def calls_of_deepcopy(work):
    """How often ``copy.deepcopy`` is called in ``work()``."""
    count = 0

    def watch(frame, event, arg):
        nonlocal count
        count += event == "call" and frame.f_code is copy.deepcopy.__code__

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def lists_of(noted):
    """What JSON makes of tuples in tuples."""
    return [lists_of(entry) for entry in noted] if isinstance(noted, tuple) else noted


def test_what_a_design_notes_is_not_copied_with_every_column():
    X = pg.Design(terms()).fit_transform(sessions()[0])
    wide = pg.Design([pg.bumps("speed", n=40, low=0, high=50)]).fit_transform(sessions()[0])
    # pandas copies attributes deeply for every column that it hands out
    few, many = (calls_of_deepcopy(lambda table=table: table.iloc[:, 0]) for table in (X, wide))
    assert 0 < few == many
    # scales of the variables, and the axes of the groups
    assert len(X.attrs) == 2
    assert X.copy().attrs == pickle.loads(pickle.dumps(X)).attrs == X.attrs
    assert json.loads(json.dumps(X.attrs)) == {key: lists_of(noted) for key, noted in X.attrs.items()}

"""Recipes that ask for other models than a `GLMCV`, from the recording to the page, beside the same fits in Python."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import as_json, run

import popglm as pg
from popglm.analysis import running
from popglm.analysis.recipe import read_recipe
from popglm.analysis.result import fingerprint, open_result
from popglm.recording import Session, intervals, signal, traces

HEAD = """\
[data]
path = "session.nwb"

[[terms]]
basis = "bumps"
variable = "position"
n = 4
low = 0
high = 100

[[terms]]
basis = "linear"
variable = "speed"

[test]
fraction = 0.2

[explain]
n_points = 5
"""
COUPLED = """
[[terms]]
basis = "coupling"
of = {basis = "bumps", n = 2, low = 0.1, high = 0.3}
"""
PATH = "lambdas = [0.1, 0.01]\ncv = 3"
MODELS = {
    "TwoPartGLM": f"""{HEAD}
compare = true
bootstrap = 2
[model]
kind = "TwoPartGLM"
amounts = {{lambdas = [0.1, 0.01], cv = 3, penalty = "group_lasso", penalty_factors = {{"sp*" = 0}}}}
events = {{penalty = "ridge"}}
""",
    "SmoothGLM": f"""{HEAD}
compare = true
bootstrap = 2
[explain.by.position]
low = 0
high = 100
n = 3
[model]
kind = "SmoothGLM"
family = "gaussian"
constraints = {{position = "increasing"}}
""",
    "LowRankGLM": f"""{HEAD}{COUPLED}
[model]
kind = "LowRankGLM"
low_rank = [0, 1]
lambdas = [0.02]
ridge = 0.01
cv = 3
family = "gaussian"
""",
    "ClassifierGLMCV": f"""{HEAD}{COUPLED}
[fit]
response = ["choice", "lap"]
[masks]
position = "neuron == 'choice'"
[model]
kind = "ClassifierGLMCV"
class_weight = {{left = 2}}
{PATH}
""",
    "FactorSearch": f"""{HEAD}
[model]
family = "gaussian"
factor_search = {{spaces = {{place = "pos*", run = ["speed"]}}, candidates = [[1, 1], [1, 0.1], [0.1, 1]]}}
{PATH}
""",
}


def recording():
    """Neurons that follow position, speed or nothing, with a variable of two classes, and one of whole numbers."""
    rng, n = np.random.default_rng(5), 480
    time, trial = np.arange(n) / 10, np.arange(n) // 20
    position, speed = 100 * (np.arange(n) % 20) / 20, rng.normal(size=n)
    drive = np.column_stack([position / 50 - 1, speed, 0 * speed])
    activity = (rng.random((n, 3)) < 0.6) * rng.gamma(3, np.exp(0.5 * drive) / 3)
    side = np.where(rng.normal(size=24) + activity[:, 0].reshape(24, 20).mean(axis=1) > 1, "left", "right")
    starts = time[::20]
    trials = pd.DataFrame({"start_time": starts, "stop_time": starts + 2, "choice": side})
    # columns of the table have no place beside the responses of a classifier
    table = pd.DataFrame({"depth": [100.0, 200, 300], "area": ["PPC", "RSC", "PPC"]}, index=["a", "b", "c"])
    return Session(
        activity={"dff": traces(activity, time, neurons=table)},
        signals={
            "position": signal(position, time),
            "speed": signal(speed, time),
            "choice": signal(side[trial], time),
            "lap": signal((trial % 3).astype(float), time),
        },
        intervals={"trials": intervals(trials)},
    )


@pytest.fixture(scope="module", autouse=True)
def read():
    """All recipes read the same recording, which lies in no file."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        patch.setattr(running, "read", lambda *_, **__: recording())
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, read):
    """Recipes, and the result of each."""
    path = tmp_path_factory.mktemp("kinds")
    for name, recipe in MODELS.items():
        (path / f"{name}.toml").write_text(recipe, encoding="utf-8")
        found = run("fit", path / f"{name}.toml", "-o", path / f"{name}.nc")
        assert found.exit_code == 0, found.output
    return path


IN_PYTHON = {
    "TwoPartGLM": lambda: pg.TwoPartGLM(
        pg.GLMCV("gamma", penalty="group_lasso", lambdas=[0.1, 0.01], cv=3, penalty_factors=[1, 0]),
        pg.GLMCV("bernoulli", penalty="ridge", lambdas=[0.1, 0.01], cv=3, penalty_factors=[1, 0]),
    ),
    "SmoothGLM": lambda: pg.SmoothGLM("gaussian", constraints={"position": "increasing"}),
    "LowRankGLM": lambda: pg.LowRankGLM("gaussian", low_rank=[0, 1], lambdas=[0.02], ridge=0.01, cv=3),
    "FactorSearch": lambda: pg.GLMCV(
        "gaussian",
        penalty_factors=pg.FactorSearch(
            {"place": ["position"], "run": ["speed"]}, candidates=[[1, 1], [1, 0.1], [0.1, 1]]
        ),
        lambdas=[0.1, 0.01],
        cv=3,
    ),
    "ClassifierGLMCV": lambda: pg.ClassifierGLMCV(lambdas=[0.1, 0.01], cv=3, class_weight={"left": 2}),
}


@pytest.fixture(scope="module", params=MODELS)
def fit(request, folder):
    """The name of a model, what was fitted, the same fit in Python, and the result."""
    name = request.param
    recipe = read_recipe(folder / f"{name}.toml")
    matrices = running.build(recipe, running.grid_of(recipe, running.session_of(recipe)))
    model = IN_PYTHON[name]()
    if matrices.mask is not None:
        model.set_params(feature_mask=matrices.mask)
    given = {} if name == "SmoothGLM" else {"groups": matrices.trial}
    return name, matrices, model.fit(matrices.X, matrices.Y, **given), open_result(folder / f"{name}.nc")


@pytest.mark.thorough(keep=1)
def test_the_model_of_a_result_is_the_one_that_python_fits(fit, folder):
    name, matrices, model, result = fit
    for own in (result.model, pg.load(folder / f"{name}.nc")):
        assert type(own) is type(model)
        if name == "ClassifierGLMCV":
            assert own.classes_.tolist() == model.classes_.tolist() == ["left", "right", 0, 1, 2]
            np.testing.assert_array_equal(own.predict_proba(matrices.X), model.predict_proba(matrices.X))
        else:
            np.testing.assert_array_equal(own.predict(matrices.X), model.predict(matrices.X))
    test = model.evaluate(matrices.X_test, matrices.Y_test)["deviance_explained"]
    np.testing.assert_allclose(result.neurons["deviance_explained_test"], test, rtol=1e-6)


def test_what_explains_is_what_python_explains(fit):
    name, matrices, model, result = fit
    found = pg.breakdown(model, matrices.X, matrices.Y, ["position", "speed"], held_out=name != "SmoothGLM")
    stored = result.part("contributions").sel(variable=["position", "speed"])
    np.testing.assert_allclose(stored["reduced_deviance"], found["reduced_deviance"], rtol=1e-6)
    np.testing.assert_allclose(result.neurons["deviance_explained"], found["deviance_explained"], atol=1e-4)
    kernel = pg.kernels(model, matrices.design, n_points=5)["position"]["kernel"]
    np.testing.assert_allclose(result.tree["kernels/000/kernel"], kernel, rtol=1e-6, atol=1e-7)
    if name == "SmoothGLM":
        unique = pg.compare(model, matrices.X, matrices.Y, test=(matrices.X_test, matrices.Y_test))
        np.testing.assert_allclose(result.part("unique")["reduced_deviance"], unique["reduced_deviance"], rtol=1e-4)
        assert result.part("unique")["binned_reduced_deviance"].sizes["bin"] == 3
    if name == "TwoPartGLM":
        assert {"lower", "upper"} <= set(result.tree["kernels/000"].data_vars)
        assert result.part("unique")["selected_strength"].sizes == {"part": 2, "neuron": 3, "variable": 2}


def test_fitted_rows_are_predicted_by_folds_where_there_are_some(fit):
    name, matrices, model, result = fit
    grid, rows = result.part("grid"), matrices.fitted
    held_out = name != "SmoothGLM"
    assert result.is_held_out == result.about["held_out"] == held_out
    assert np.unique(grid["fold"].values[rows]).tolist() == ([0, 1, 2] if held_out else [0])
    assert (grid["fold"].values[~rows] == -1).all()
    if name == "ClassifierGLMCV":
        np.testing.assert_allclose(grid["probability"].values[rows], model.predict_proba_held_out(), rtol=1e-5)
        np.testing.assert_allclose(grid["probability"].values[~rows], model.predict_proba(matrices.X_test), rtol=1e-5)
        return
    fitted = model.predict_held_out() if held_out else model.predict(matrices.X)
    np.testing.assert_allclose(grid["predicted"].values[rows], fitted, rtol=1e-5)
    np.testing.assert_allclose(grid["predicted"].values[~rows], model.predict(matrices.X_test), rtol=1e-5)


@pytest.mark.thorough
def test_parts_have_offsets_of_their_own(folder, tmp_path):
    offset = "[fit]\noffset = {events = 'drift', amounts = 'gain'}\n"
    variables = '[variables]\ndrift = {source = "speed", scale = 0.3}\ngain = {source = "speed", scale = -0.5}\n'
    variables += 'position = "position"\nspeed = "speed"\n'
    text = MODELS["TwoPartGLM"].replace("compare = true\nbootstrap = 2\n", "")
    text = text.replace("[model]", f"{offset}{variables}[model]")
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    done = run("fit", tmp_path / "recipe.toml", "-o", tmp_path / "result.nc")
    assert done.exit_code == 0, done.output
    recipe, result = read_recipe(tmp_path / "recipe.toml"), open_result(tmp_path / "result.nc")
    matrices = running.build(recipe, running.grid_of(recipe, running.session_of(recipe)))
    speed = recording().signals["speed"].values
    given, given_test = (
        {"events": 0.3 * speed[rows], "amounts": -0.5 * speed[rows]} for rows in (matrices.fitted, ~matrices.fitted)
    )
    model = IN_PYTHON["TwoPartGLM"]().fit(matrices.X, matrices.Y, groups=matrices.trial, offset=given)
    np.testing.assert_allclose(result.model.events_.coef_, model.events_.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.model.amounts_.coef_, model.amounts_.coef_, rtol=1e-4, atol=1e-5)
    test = model.evaluate(matrices.X_test, matrices.Y_test, offset=given_test)["deviance_explained"]
    np.testing.assert_allclose(result.neurons["deviance_explained_test"], test, rtol=1e-4)
    grid = result.part("grid")["predicted"].values[matrices.fitted]
    np.testing.assert_allclose(grid, model.predict_held_out(offset=given), rtol=1e-4)
    found = pg.breakdown(model, matrices.X, matrices.Y, ["position", "speed"], offset=given)
    np.testing.assert_allclose(result.part("contributions")["reduced_deviance"], found["reduced_deviance"], rtol=1e-4)
    # what is explained again is of the same data, and a page tells of them
    assert run("explain", tmp_path / "result.nc").exit_code == 0
    page = run("report", tmp_path / "result.nc", "-o", tmp_path / "page.html")
    assert page.exit_code == 0, page.output
    said = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "“gain” was added to the linear predictor of the amounts" in said
    assert "“drift” was added to the linear predictor of the events" in said
    # the same values for the other part are other data
    swapped = replace(matrices, given={"offset": {"events": given["amounts"], "amounts": given["events"]}})
    renamed = replace(matrices, given={"offset": {"amounts": given["events"], "events": given["amounts"]}})
    assert fingerprint(matrices) == result.about["fingerprint"]
    assert len({fingerprint(one) for one in (matrices, swapped, renamed)}) == 3


def test_a_classifier_leaves_labels_in_the_place_of_activity(folder):
    result = open_result(folder / "ClassifierGLMCV.nc")
    grid, session = result.part("grid"), recording()
    assert "activity" not in grid
    assert grid["neuron"].values.tolist() == ["choice", "lap"]
    labels = grid["class"].values[grid["code"].values]
    assert labels[:, 0].tolist() == session.signals["choice"].values.tolist()
    assert labels[:, 1].tolist() == [f"{lap:g}" for lap in session.signals["lap"].values]
    # the mask leaves position to the choice
    assert result.model.feature_mask_[:4].tolist() == [[True, False]] * 4
    assert result.model.feature_mask_[4:].all()


@pytest.mark.thorough(keep=2)
def test_commands_tell_of_every_kind(fit, folder, tmp_path):
    name, _, model, _ = fit
    facts = as_json("info", folder / f"{name}.nc")
    assert facts["kind"] == type(model).__name__
    assert facts["responses" if name == "ClassifierGLMCV" else "neurons"] == (2 if name == "ClassifierGLMCV" else 3)
    found = run("report", folder / f"{name}.nc", "-o", tmp_path / "report.html")
    assert found.exit_code == 0, found.output
    page = (tmp_path / "report.html").read_text("utf-8")
    for words in WORDS[name]:
        assert words in page
    assert ("held out in cross-validation</option>" in page) == (name != "SmoothGLM")
    assert "NaN" not in page.split("<script")[0]


#: What the page of each kind says that others do not.
WORDS = {
    "TwoPartGLM": ["fitted in two parts", "Each part has strengths of its own", '"group":"position, amounts"'],
    "SmoothGLM": ["restricted maximum likelihood", "position (increasing)", '"column":"slope"', "kept as a test."],
    "LowRankGLM": ["of rank", "nuclear norm", "no LowRankGLM is fitted again without a variable"],
    "ClassifierGLMCV": [
        "<h3>Confusion</h3>",
        "multinomial logistic (softmax) model",
        "Samples of some classes were weighted: left (2)",
        '"choice: left"',
        "Labels of choice (left",
        "factors on the odds",
    ],
    "FactorSearch": ["The spaces place, run had factors of each neuron", "of 3 candidates"],
}


@pytest.mark.thorough
def test_a_result_of_any_kind_is_explained_anew(folder, tmp_path):
    name = "TwoPartGLM"
    text = MODELS[name].replace("compare = true\nbootstrap = 2", "variables = {run = 'speed'}")
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    (tmp_path / "result.nc").write_bytes((folder / f"{name}.nc").read_bytes())
    found = as_json("explain", tmp_path / "result.nc", "--recipe", tmp_path / "recipe.toml")
    assert list(found["contributions_median"]) == ["run"]
    again = open_result(tmp_path / "result.nc").model
    np.testing.assert_array_equal(again.dispersion_, pg.load(folder / f"{name}.nc").dispersion_)


@pytest.mark.parametrize("name", MODELS)
def test_the_check_tries_every_kind(name, folder):
    found = as_json("check", folder / f"{name}.toml")
    assert found["faults"] == []
    assert "fit_seconds_about" not in found
    if name == "ClassifierGLMCV":
        assert found["classes"]["lap"] == "0 160, 1 160, 2 160"


GLMCV_OF_BUMPS = HEAD.split("[test]")[0] + "[model]\n"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("kind = 'Smooth'", ["line 16 (model.kind)", "'Smooth' is not known here; nearest names: 'SmoothGLM'"]),
        ("kind = 'SmoothGLM'\ncv = 5", ["line 17 (model.cv): 'cv' is not known here; nearest names: "]),
        ("kind = 'LowRankGLM'\nverbose = 1", ["verbose is told by the design"]),
        ("kind = 'TwoPartGLM'\npenalty = 'lasso'", ["(model.penalty)", "nearest names: 'amounts', 'events'"]),
        ("kind = 'TwoPartGLM'\namounts = 'gamma'", ["amounts must be a table, such as amounts = {}; found 'gamma'"]),
        ("kind = 'TwoPartGLM'\n[model.events]\npenalti = 1", ["line 18 (model.events.penalti)", "'penalty'"]),
        ("factor_search = {n = 3}", ["(model.factor_search.n): 'n' is not known here", "'n_fitted'"]),
        ("adaptive_factors = {}\npenalty_factors = {}", ["penalty_factors and adaptive_factors exclude each other"]),
        ("kind = 'ClassifierGLMCV'", ["line 16 (model.kind)", "name it: fit.response = 'choice'"]),
        ("[fit]\nresponse = 'choice'", ["line 17 (fit.response)", "a GLMCV is fitted to activity"]),
        ("kind = 'ClassifierGLMCV'\nfamily = 'poisson'", ["'family' is not known here"]),
        (
            "kind = 'ClassifierGLMCV'\n[fit]\nresponse = 'lap'\noffset = 'speed'",
            [
                "line 19 (fit.offset)",
                "an offset for every class; name the variable of one",
                "offset = {left = 'speed'}",
            ],
        ),
        (
            "kind = 'TwoPartGLM'\n[fit]\noffset = 'speed'",
            ["line 18 (fit.offset)", "name the variable of one, or of both: offset = {amounts = 'speed'}"],
        ),
        (
            "kind = 'SmoothGLM'\n[fit]\noffset = {events = 'speed'}",
            ["line 18 (fit.offset)", "a SmoothGLM has no parts, and one offset: offset = 'speed'"],
        ),
        ("kind = 'TwoPartGLM'\n[fit]\noffset = {}", ["line 18 (fit.offset)", "name the variable of events, of"]),
        (
            "kind = 'TwoPartGLM'\n[fit]\noffset = {amount = 'speed'}",
            ["line 18 (fit.offset.amount)", "'amount' is not known here; nearest names: 'amounts'"],
        ),
        (
            "kind = 'SmoothGLM'\n[explain]\ncompare = true",
            ["line 18 (explain.compare)", "keep some with a table [test]"],
        ),
        ("kind = 'LowRankGLM'\n[explain]\ncompare = true", ["(explain.compare)", "kind = 'GLMCV'"]),
        ("kind = 'LowRankGLM'\n[explain]\nbootstrap = 9", ["(explain.bootstrap)", "no LowRankGLM is; leave it out"]),
        (
            "kind = 'ClassifierGLMCV'\n[fit]\nresponse = 'lap'\n[[terms]]\nbasis = 'history'\n"
            "of = {basis = 'bumps', n = 2, low = 0.1, high = 0.3}",
            ["line 19 (terms[2])", "history is a neuron's own"],
        ),
    ],
)
def test_what_a_model_does_not_take_is_told_with_its_line(more, words, tmp_path):
    (tmp_path / "recipe.toml").write_text(GLMCV_OF_BUMPS + more, encoding="utf-8")
    with pytest.raises(ValueError, match=r"recipe\.toml, line") as told:
        read_recipe(tmp_path / "recipe.toml")
    for one in words:
        assert one in str(told.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("kind = 'TwoPartGLM'\namounts = {penalty_factors = {pace = 2}}", ["model.amounts.penalty_factors", "'pace'"]),
        (
            "kind = 'SmoothGLM'\nfamily = 'gaussian'\nconstraints = {speed = 'up'}",
            ["line 18 (model.constraints)", "up"],
        ),
        ("kind = 'LowRankGLM'\nfamily = 'gaussian'\nlow_rank = -1", ["line 18 (model.low_rank)", "must be a rank"]),
        ("kind = 'ClassifierGLMCV'\n[fit]\nresponse = 'speed'", ["line 18 (fit.response)", "which is no class"]),
        ("family = 'gaussian'\nfactor_search = {spaces = ['pos*']}", ["'speed' is in none of them"]),
        (
            "family = 'gaussian'\npenalty = 'lasso'\nconstraints = {speed = [1, inf]}",
            ["line 18 (model.constraints)", "the lower bound is 1"],
        ),
    ],
)
def test_the_check_tells_what_the_fit_would(more, words, tmp_path):
    (tmp_path / "recipe.toml").write_text(GLMCV_OF_BUMPS + more, encoding="utf-8")
    found = run("check", tmp_path / "recipe.toml", "--json")
    assert found.exit_code == 1
    for one in words:
        assert one in " ".join(json.loads(found.stdout)["faults"])


def test_a_response_that_a_term_reads_is_told(tmp_path):
    more = "kind = 'ClassifierGLMCV'\ncv = 3\n[fit]\nresponse = 'lap'\n[[terms]]\nbasis = 'linear'\nvariable = 'lap'"
    (tmp_path / "recipe.toml").write_text(GLMCV_OF_BUMPS + more, encoding="utf-8")
    (said,) = [line for line in as_json("check", tmp_path / "recipe.toml")["warnings"] if "response" in line]
    assert "'lap' is a response, and a variable of the term 'lap'" in said


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["SmoothGLM", "LowRankGLM"])
def test_models_of_every_kind_keep_a_checkpoint(folder, tmp_path, kind):
    for name in ("x.nc", "again.nc"):
        kept = ["--checkpoint", tmp_path / "kept", "--no-explain"]
        found = run("fit", folder / f"{kind}.toml", "-o", tmp_path / name, *kept)
        assert found.exit_code == 0, found.output
        weights = open_result(tmp_path / name).model.coef_
        np.testing.assert_array_equal(weights, open_result(folder / f"{kind}.nc").model.coef_)
    assert (tmp_path / "kept" / "fit.end.npz").exists()
    other = (folder / f"{kind}.toml").read_text(encoding="utf-8").replace('family = "gaussian"', 'family = "poisson"')
    (tmp_path / "other.toml").write_text(other, encoding="utf-8")
    refused = run("fit", tmp_path / "other.toml", "-o", tmp_path / "y.nc", "--checkpoint", tmp_path / "kept")
    assert refused.exit_code == 1


@pytest.mark.thorough
def test_many_sessions_are_fitted_by_a_recipe_of_any_kind(folder, tmp_path):
    bare = Session(signals=recording().signals, intervals=recording().intervals)
    text = (
        GLMCV_OF_BUMPS + "kind = 'ClassifierGLMCV'\ncv = 3\nn_lambdas = 3\n[fit]\nresponse = 'choice'\n[grid]\ndt = 0.1"
    )
    (tmp_path / "classes.toml").write_text(text, encoding="utf-8")
    found = pg.fit_sessions({"one": bare}, tmp_path / "classes.toml", tmp_path / "classes")
    assert found.table.loc["one", "status"] == "done", found.table["error"].tolist()
    whole = folder / "LowRankGLM.toml"
    found = pg.fit_sessions({"one": recording()}, whole, tmp_path / "results")
    assert found.table.loc["one", "status"] == "done", found.table["error"].tolist()
    one = pg.load(tmp_path / "results" / "one.nc")
    np.testing.assert_array_equal(one.coef_, pg.load(folder / "LowRankGLM.nc").coef_)
    with pytest.raises(ValueError, match="a session is fitted whole by this recipe"):
        pg.fit_sessions({"one": recording()}, whole, tmp_path / "more", neurons_per_task=1)
    with pytest.raises(ValueError, match="plan knows what a plain GLMCV takes, and no LowRankGLM"):
        pg.plan({"one": recording()}, whole)


def test_the_next_command_is_one_that_takes_the_result(folder, tmp_path):
    for name in ("ClassifierGLMCV", "SmoothGLM"):
        found = run("fit", folder / f"{name}.toml", "-o", tmp_path / "r.nc", "--no-explain")
        assert f"next: popglm report {tmp_path / 'r.nc'}" in found.output.replace("\n", "")


@pytest.mark.thorough
def test_bounds_of_a_recipe_are_those_of_python(tmp_path):
    more = """family = "gaussian"
penalty = "lasso"
lambdas = [0.01]
cv = 3
constraints = {"pos*" = [-inf, 0.1], speed = [-0.05, 0.05]}
"""
    (tmp_path / "recipe.toml").write_text(GLMCV_OF_BUMPS + more, encoding="utf-8")
    found = run("fit", tmp_path / "recipe.toml", "-o", tmp_path / "result.nc")
    assert found.exit_code == 0, found.output
    model = open_result(tmp_path / "result.nc").model
    assert model.constraints == {"position": (-np.inf, 0.1), "speed": (-0.05, 0.05)}
    assert (model.coef_ <= np.float32([0.1] * 4 + [0.05])).all()
    assert (np.abs(model.coef_[:, 4]) > 0.0499).any()
    page = run("report", tmp_path / "result.nc", "-o", tmp_path / "report.html")
    assert page.exit_code == 0, page.output
    said = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "position (at most 0.1), speed (from -0.05 to 0.05)" in said


@pytest.mark.thorough
def test_offsets_of_classes_are_those_of_python(tmp_path):
    text = (
        HEAD
        + """
compare = true
[model]
kind = "ClassifierGLMCV"
lambdas = [0.1, 0.01]
cv = 3
[fit]
response = "lap"
offset = {1 = "speed", 2 = "position"}
"""
    )
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    found = run("fit", tmp_path / "recipe.toml", "-o", tmp_path / "result.nc")
    assert found.exit_code == 0, found.output
    recipe = read_recipe(tmp_path / "recipe.toml")
    data = running.grid_of(recipe, running.session_of(recipe))
    matrices = running.build(recipe, data)
    own = {label: data[name].values[matrices.fitted] for label, name in ((1, "speed"), (2, "position"))}
    model = pg.ClassifierGLMCV(lambdas=[0.1, 0.01], cv=3)
    model.fit(matrices.X, matrices.Y, groups=matrices.trial, offset=own)
    result = open_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(result.model.coef_, model.coef_)
    p = result.part("grid")["probability"].values[matrices.fitted]
    np.testing.assert_allclose(p, model.predict_proba_held_out(matrices.X, own), rtol=1e-5)
    (tmp_path / "other.toml").write_text(text.replace("1 = ", "up = "), encoding="utf-8")
    found = run("fit", tmp_path / "other.toml", "-o", tmp_path / "other.nc")
    assert found.exit_code == 1
    assert "offset names 'up', which is no class of y" in " ".join(found.output.split())

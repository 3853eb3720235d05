"""The commands from a file to an explained result."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_helpers import as_json, run

import popglm as pg
from popglm.analysis.guessing import guess_recipe
from popglm.analysis.recipe import parse_recipe, read_recipe
from popglm.analysis.result import open_result
from popglm.analysis.running import build, grid_of, session_of
from popglm.maze_nwb import write_maze_nwb


@pytest.fixture
def copy(folder, tmp_path):
    """The folder, to change."""
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def matrices(folder):
    recipe = read_recipe(folder / "recipe.toml")
    return build(recipe, grid_of(recipe, session_of(recipe)))


def test_a_first_recipe_can_be_carried_out_as_it_is(folder, tmp_path):
    recipe = tmp_path / "first.toml"
    found = run("init", folder / "session.nwb", "-o", recipe)
    assert found.exit_code == 0, found.output
    text = recipe.read_text(encoding="utf-8")
    content = parse_recipe(text, recipe).content
    assert content.data.format == "nwb"
    assert set(content.data.activity) == {f"deconvolved_activity_plane_{p}" for p in range(4)}
    assert content.model["family"] == "poisson"
    assert text.count("a guess") > 5
    facts = as_json("check", recipe)
    assert facts["faults"] == []
    assert facts["neurons"] == 8
    assert run("fit", recipe, "-o", tmp_path / "result.nc").exit_code == 0


def test_a_recipe_is_not_replaced_unless_asked(folder):
    found = run("init", folder / "session.nwb", "-o", folder / "recipe.toml")
    assert found.exit_code == 1
    assert "there is a file" in found.output
    assert "--force" in found.output


def test_options_of_the_reader_go_into_the_first_recipe(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"n1": rng.poisson(1.0, 600), "n2": rng.poisson(2.0, 600), "speed": rng.normal(size=600)})
    table.to_csv(tmp_path / "session.csv", index=False)
    recipe = tmp_path / "recipe.toml"
    given = ("--option", "rate=30", "--option", "activity=['n1', 'n2']", "--option", "signals=speed")
    found = run("init", tmp_path / "session.csv", "-o", recipe, *given)
    assert found.exit_code == 0, found.output
    content = read_recipe(recipe).content
    assert content.data.options == {"rate": 30, "activity": ["n1", "n2"], "signals": "speed"}
    assert as_json("check", recipe)["neurons"] == 2


def test_any_options_come_back_from_the_recipe_that_they_are_written_into():
    options = {
        "signals": {"speed": {"values": "v", "rate": 29.97}, "a \"b\" é": "x"}, "deep": [1, [2.5, "three"]], "on": True,
    }  # fmt: skip
    session = pg.Session({"dff": pg.recording.traces(np.zeros((9, 1)), rate=6)})
    assert tomllib.loads(guess_recipe(session, "session.npz", "arrays", options))["data"]["options"] == options


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["speed=3"], "no option 'speed'; it has"),
        (["rate"], "NAME=VALUE"),
        (["rate=30", "rate=20"], "comes twice"),
        (["activity=['n1'"], "no value of TOML"),
    ],
)
def test_options_that_cannot_be_are_told_and_nothing_is_written(tmp_path, given, told):
    (tmp_path / "session.csv").write_text("n1,n2\n1,2\n3,4\n")
    options = [word for one in given for word in ("--option", one)]
    found = run("init", tmp_path / "session.csv", "-o", tmp_path / "recipe.toml", *options)
    assert found.exit_code == 1
    assert told in found.output.replace("\n", " ")
    assert not (tmp_path / "recipe.toml").exists()


def test_check_tells_what_is_there(folder):
    facts = as_json("check", folder / "recipe.toml")
    assert facts["bins"] == 1_200
    assert facts["bin_width_s"] == pytest.approx(1 / 6)
    assert facts["neurons"] == 4
    assert facts["columns"] == 13
    assert set(facts["condition_numbers"]) == {"position", "position × cue", "pitch"}
    assert facts["silent_neurons"] == 0
    assert facts["fit_seconds_about"] > 0
    assert any("older than the bins" in line for line in facts["warnings"])
    text = run("check", folder / "recipe.toml").output
    assert "trials" in text
    assert "look: " in text


def test_the_model_of_a_result_is_the_one_that_python_fits(folder, matrices):
    result = open_result(folder / "result.nc")
    loaded = pg.load(folder / "result.nc")
    model = pg.GLMCV(penalty="group_lasso", n_lambdas=4, lambda_min_ratio=0.01, cv=3)
    model.fit(matrices.X, matrices.Y, groups=matrices.trial)
    for one in (loaded, result.model):
        np.testing.assert_array_equal(one.coef_path_, model.coef_path_)
        np.testing.assert_array_equal(one.predict(matrices.X_test), model.predict(matrices.X_test))
    grid = result.part("grid")
    held_out = grid["fold"].values >= 0
    np.testing.assert_array_equal(held_out, matrices.fitted)
    np.testing.assert_allclose(
        grid["predicted"].values[held_out], np.asarray(model.predict_held_out(matrices.X)), rtol=1e-6
    )
    np.testing.assert_allclose(
        grid["predicted"].values[~held_out], np.asarray(model.predict(matrices.X_test)), rtol=1e-6
    )
    np.testing.assert_array_equal(grid["activity"].values[held_out], matrices.Y)


def test_what_explains_is_what_python_explains(folder, matrices):
    result, model = open_result(folder / "result.nc"), pg.load(folder / "result.nc")
    variables = {"position": ["position"], "cue": ["position × cue"], "pitch": ["pitch"]}
    expected = pg.breakdown(model, matrices.X, matrices.Y, variables)
    shares = result.part("contributions")["fraction_explained_deviance"]
    assert shares["variable"].values.tolist() == list(variables)
    np.testing.assert_array_equal(shares, expected["fraction_explained_deviance"])
    kernels = pg.kernels(model, matrices.design, n_points=10)
    for k, (group, kernel) in enumerate(kernels.items()):
        found = result.tree[f"kernels/{k:03d}"].to_dataset()
        assert found.attrs["group"] == group
        np.testing.assert_array_equal(found["kernel"], kernel["kernel"])
        assert (found["lower"] <= found["upper"]).all()
    assert result.tree["kernels/000"]["position"].attrs["units"] == "cm"
    assert result.part("unique").sizes["variable"] == 3
    assert result.part("contributions").sizes["bin"] == 8


def test_a_result_is_read_without_popglm(folder):
    tree = xr.open_datatree(folder / "result.nc", engine="h5netcdf")
    assert {"model", "grid", "neurons", "design", "trials", "contributions", "unique", "kernels"} <= set(tree.children)
    assert tree.attrs["recipe"] == (folder / "recipe.toml").read_text(encoding="utf-8")
    table = pd.read_parquet(folder / "result.parquet")
    assert len(table) == 4
    assert {"neuron", "depth", "area", "strength", "deviance_explained", "deviance_explained_test", "gap"} <= set(table)
    np.testing.assert_array_equal(table["deviance_explained"], tree["neurons/deviance_explained"])


def test_neurons_that_are_numbered_have_the_same_labels_in_every_part(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "session.npz", Y=rng.poisson(1.0, (400, 3)), speed=rng.normal(size=400))
    (tmp_path / "recipe.toml").write_text(
        'data = {path = "session.npz", options = {activity = "Y", signals = "speed", rate = 10}}\n'
        'trials.source = 4\nterms = [{basis = "linear", variable = "speed"}]\n'
        'model = {family = "poisson", lambdas = [0.1, 0.01], cv = 2}\n',
        encoding="utf-8",
    )
    assert run("fit", tmp_path / "recipe.toml", "-o", tmp_path / "result.nc").exit_code == 0
    tree = xr.open_datatree(tmp_path / "result.nc", engine="h5netcdf")
    labelled = [node for node in tree.subtree if "neuron" in node.coords]
    assert {node.name for node in labelled} >= {"model", "grid", "neurons", "contributions", "000"}
    for node in labelled:
        assert node["neuron"].values.tolist() == ["0", "1", "2"]
    assert (tree["neurons/deviance_explained"] * tree["contributions/fraction_explained_deviance"]).size == 3


def test_info_tells_what_a_result_holds(folder):
    facts = as_json("info", folder / "result.nc")
    assert facts["neurons"] == 4
    assert facts["versions"]["popglm"] == pg.__version__
    assert len(facts["fingerprint"]) == 32
    assert "contributions" in facts["parts"]


def test_a_recipe_and_a_file_determine_the_result(folder, copy):
    assert run("fit", copy / "recipe.toml", "-o", copy / "again.nc").exit_code == 0
    first, again = open_result(folder / "result.nc"), open_result(copy / "again.nc")
    for name in ("model", "grid", "neurons", "design", "trials"):
        xr.testing.assert_identical(first.part(name).drop_attrs(), again.part(name).drop_attrs())
    assert first.about["fingerprint"] == again.about["fingerprint"]


def test_another_recording_is_not_explained(copy):
    before = (copy / "result.nc").read_bytes()
    write_maze_nwb(copy / "session.nwb", n_samples=1_200, n_neurons=8, seed=3)
    found = run("explain", copy / "result.nc", "--recipe", copy / "recipe.toml")
    assert found.exit_code == 1
    assert "not what was fitted" in found.output
    assert (copy / "result.nc").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('path = "session.nwb"', 'path = "none.nwb"', "line 3 (data): none.nwb: there is no file or folder"),
        ('deconvolved_activity_plane_2"\n', 'deconvolved_activity_plane_9"\n', "there is no series"),
        ('"deconvolved_activity_plane_0"]', '"plane_7"]', "there is no activity 'plane_7'"),
        ("trials.is_cueB", "trials.is_cueC", "no variable 'trials.is_cueC'; nearest names: 'is_cueB'"),
        ("cv = 3", "cv = 1", "line 29 (model.cv)"),
        ('penalty = "group_lasso"', 'penalty = "lass"', "line 26 (model.penalty)"),
        ("low = 10\n", "low = 300\n", "line 13 (terms[0])"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_told(old, new, words, copy):
    text = (copy / "recipe.toml").read_text(encoding="utf-8")
    assert old in text
    (copy / "recipe.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    found = run("fit", copy / "recipe.toml", "-o", copy / "other.nc")
    assert found.exit_code == 1
    assert words in found.output
    assert "Traceback" not in found.output
    assert not (copy / "other.nc").exists()


def test_a_result_is_explained_anew_after_a_change_of_the_recipe(copy):
    path = copy / "recipe.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("n_points = 10", "n_points = 7"), encoding="utf-8")
    assert run("fit", path, "-o", copy / "bare.nc", "--no-explain").exit_code == 0
    assert "contributions" not in open_result(copy / "bare.nc").tree.children
    found = run("explain", copy / "bare.nc")
    assert found.exit_code == 0, found.output
    assert open_result(copy / "bare.nc").tree["kernels/000"].sizes["position"] == 7
    found = run("explain", copy / "result.nc", "--recipe", path)
    assert found.exit_code == 0, found.output
    result = open_result(copy / "result.nc")
    assert result.tree["kernels/000"].sizes["position"] == 7
    assert "n_points = 7" in result.recipe_text
    path.write_text(path.read_text(encoding="utf-8").replace("cv = 3", "cv = 4"), encoding="utf-8")
    found = run("explain", copy / "result.nc", "--recipe", path)
    assert found.exit_code == 1
    assert "in more than [explain]; fit again" in found.output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cv = 3", "cv = 100", "cv=100 folds need"),
        ('penalty = "group_lasso"', 'penalty = "lass"', "penalty='lass' is unknown"),
        ("[model]\n", '[model]\nfamily = "poison"\n', "poison"),
        ("grid.series", 'neurons = "depth > 99"\ngrid.series', "none of 2 neurons"),
        ("[explain]\n", '[explain]\nvariables = {a = "wheeel"}\n', "wheeel"),
        ("[explain.by.position]", "[explain.by.wheeel]", "'wheeel' is no variable"),
    ],
)
def test_the_check_fails_where_the_fit_or_the_explanation_would(old, new, words, copy):
    text = (copy / "recipe.toml").read_text(encoding="utf-8")
    (copy / "recipe.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    found = run("check", copy / "recipe.toml")
    assert found.exit_code == 1, found.output
    assert words in found.output


def test_names_with_slashes_survive_a_result(copy):
    text = (copy / "recipe.toml").read_text(encoding="utf-8")
    text = text.replace("pitch = ", '"velocity/pitch" = ').replace('variable = "pitch"', 'variable = "velocity/pitch"')
    (copy / "recipe.toml").write_text(text, encoding="utf-8")
    assert run("fit", copy / "recipe.toml", "-o", copy / "other.nc").exit_code == 0
    assert run("explain", copy / "other.nc").exit_code == 0
    assert "velocity_pitch" in open_result(copy / "other.nc").part("grid")
    # people see the name that they gave
    assert run("report", copy / "other.nc", "-o", copy / "page.html").exit_code == 0
    assert '"name":"velocity/pitch"' in (copy / "page.html").read_text(encoding="utf-8").replace('": ', '":')


def test_lags_of_a_recipe_are_in_seconds(tmp_path):
    text = '[data]\npath = "a.npz"\n[[terms]]\nbasis = "kernel"\nvariable = "lick"\n'
    text += 'of = {basis = "bumps", n = 3, low = 0, high = 1}\n'
    recipe = parse_recipe(text, tmp_path / "recipe.toml")
    assert recipe.design(0.025).terms[0].dt == 0.025
    recipe = parse_recipe(text + 'dt = "1/20"\n', tmp_path / "recipe.toml")
    assert recipe.design(0.025).terms[0].dt == 0.05


def test_a_wrong_mending_leaves_traces_in_the_check(copy):
    text = (copy / "recipe.toml").read_text(encoding="utf-8")
    (copy / "recipe.toml").write_text("clock_shift.deconvolved_activity_plane_0 = 1e4\n" + text, encoding="utf-8")
    facts = as_json("check", copy / "recipe.toml")
    assert any("neurons is unknown in most bins: plane_0/0, plane_0/1" in line for line in facts["warnings"])


def test_what_is_no_result_is_told(folder, tmp_path):
    model = pg.load(folder / "result.nc")
    model.save(tmp_path / "model.nc")
    for path, words in (
        (tmp_path / "none.nc", "there is no such file"),
        (folder / "recipe.toml", "holds no result of popglm fit"),
        (tmp_path / "model.nc", "holds no result of popglm fit"),
        (folder, "no regular file"),
    ):
        found = run("info", path)
        assert found.exit_code == 1, path
        assert words in found.output


def test_a_result_of_a_later_revision_is_refused(folder, tmp_path):
    tree = xr.open_datatree(folder / "result.nc", engine="h5netcdf").load()
    tree.attrs["result_revision"] = 99
    tree.to_netcdf(tmp_path / "later.nc", engine="h5netcdf")
    found = run("info", tmp_path / "later.nc")
    assert found.exit_code == 1
    assert "a later popglm" in found.output


def test_a_result_takes_the_place_of_another_whole_or_not_at_all(copy, monkeypatch):
    before = (copy / "result.nc").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    found = run("fit", copy / "recipe.toml", "-o", copy / "result.nc")
    assert found.exit_code == 1
    assert "the disk is full" in found.output
    assert (copy / "result.nc").read_bytes() == before
    assert sorted(path.name for path in copy.iterdir() if path.name.endswith(".part")) == []


def test_texts_of_a_result_may_become_longer(copy):
    found = open_result(copy / "result.nc")
    neurons = found.part("neurons").load()
    names = [f"{name} of the other probe" for name in neurons["neuron"].values]
    longer = neurons.assign_coords(neuron=neurons["neuron"].copy(data=names))
    found.with_parts({"/neurons": longer}).save(copy / "result.nc")
    assert open_result(copy / "result.nc").neurons.index.tolist() == names
    assert [str(name) for name in pd.read_parquet(copy / "result.parquet")["neuron"]] == names


def test_an_unwritable_place_is_told_before_the_fit(copy):
    found = run("fit", copy / "recipe.toml", "-o", copy / "none" / "result.nc")
    assert found.exit_code == 1
    assert "does not exist; make it first" in found.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("init", "session.nwb", "-o", "none/recipe.toml"), "path='none/recipe.toml': the folder "),
        (
            ("init", "session.nwb", "-o", "."),
            "path='.' is a folder; give the name of a file to write, such as 'recipe.toml'",
        ),
        (
            ("report", "result.nc", "-o", "."),
            "path='.' is a folder; give the name of a file to write, such as 'report.html'",
        ),
        (("fit", "recipe.toml", "-o", "new.nc", "--checkpoint", "none/deep"), "checkpoint='none/deep': the folder "),
    ],
)
def test_a_wrong_place_is_told_before_anything_is_read(arguments, words, copy, monkeypatch):
    monkeypatch.chdir(copy)
    found = run(*arguments)
    assert found.exit_code == 1
    assert found.stderr.startswith(f"popglm: {words}")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that takes no file even of root")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "recipe.toml", "-o", "/proc/none.nc"), "path='/proc/none.nc': the folder '/proc' takes no new file ("),
        (
            ("report", "result.nc", "-o", "/proc/none.html"),
            "path='/proc/none.html': the folder '/proc' takes no new file (",
        ),
        (
            ("fit", "recipe.toml", "-o", "new.nc", "--checkpoint", "/proc/none"),
            "checkpoint='/proc/none': this folder cannot be made or written to (",
        ),
    ],
)
def test_a_folder_that_takes_no_file_is_told_in_a_sentence(arguments, words, copy, monkeypatch):
    monkeypatch.chdir(copy)
    found = run(*arguments)
    assert found.exit_code == 1
    assert found.stderr.splitlines()[-1].startswith(f"popglm: {words}")
    assert "Errno" not in found.output

"""Many sessions by one recipe: the same bits wherever they are fitted, stores that are known again, names, errors."""

import errno
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from many import RECIPE, assert_same_store, complaint, left_over, write_session, write_sessions

import popglm as pg
from popglm.analysis.recipe import parse_recipe, read_recipe
from popglm.analysis.result import Result, fingerprint, open_result
from popglm.analysis.running import build, fit_recipe, grid_of, session_of
from popglm.io.locks import held_lock
from popglm.scale.session_tasks import SessionTask, look
from popglm.scale.sessions import expected_of, part_of
from popglm.scale.stores import check_name, distinct_names, matched, named_sessions

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four recordings, their recipe, and their stores as this process fits them with one thread."""
    path = tmp_path_factory.mktemp("many")
    paths, recipe = write_sessions(path / "data", 4)
    found = pg.fit_sessions(paths, recipe, path / "here", threads_per_task=1)
    assert found.table["status"].tolist() == ["done"] * 4
    return path


@pytest.fixture
def copy(folder, tmp_path):
    """The folder, to change; times of files stay."""
    return shutil.copytree(folder, tmp_path / "copy")


def sessions_of(folder):
    return sorted((folder / "data").glob("*.npz"))


@pytest.mark.thorough
def test_a_store_is_the_fit_of_the_recipe(folder):
    text = (folder / "data" / "recipe.toml").read_text().replace("none.npz", "day2.npz")
    recipe = parse_recipe(text, folder / "data" / "recipe.toml")
    matrices = build(recipe, grid_of(recipe, session_of(recipe)))
    model, result = fit_recipe(recipe, matrices), open_result(folder / "here" / "day2.nc")
    np.testing.assert_allclose(result.model.coef_, model.coef_, rtol=1e-4, atol=1e-6)
    assert result.about["fingerprint"] == fingerprint(matrices)
    assert result.recipe_text == text
    assert {"contributions", "kernels"} <= set(result.tree.children)


def test_workers_of_dask_end_with_the_same_bits(folder, client, tmp_path):
    found = pg.fit_sessions(sessions_of(folder), folder / "data" / "recipe.toml", tmp_path / "out", client)
    assert found.is_complete
    assert (found.table["seconds"] > 0).all()
    for path in sessions_of(folder):
        assert_same_store(tmp_path / "out" / f"{path.stem}.nc", folder / "here" / f"{path.stem}.nc")
    pd.testing.assert_frame_equal(
        pd.read_parquet(found.neurons), pd.read_parquet(folder / "here" / "neurons.parquet"), check_exact=True
    )
    assert left_over(tmp_path / "out") == set()


def test_blocks_of_neurons_end_with_the_bits_of_all(folder, client, tmp_path):
    paths, recipe = sessions_of(folder)[:1], folder / "data" / "recipe.toml"
    found = pg.fit_sessions(paths, recipe, tmp_path / "out", client, neurons_per_task=4)
    assert found.table["status"].tolist() == ["done"]
    assert_same_store(tmp_path / "out" / "day0.nc", folder / "here" / "day0.nc")
    assert left_over(tmp_path / "out") == set()
    kernel = open_result(tmp_path / "out" / "day0.nc").tree["kernels/000"].to_dataset()
    np.testing.assert_allclose(kernel["mean_absolute"], abs(kernel["kernel"]).mean("neuron"), rtol=1e-12)


@pytest.mark.thorough
def test_names_that_become_longer_from_block_to_block_stay_whole(tmp_path):
    arrays = dict(np.load(write_session(tmp_path / "whole.npz", 0)))
    table = pd.DataFrame({"area": ["a", "b", "c", "d", "retrosplenial", "e"]}, ["1", "2", "3", "4", "1000", "20"])
    session = pg.Session(
        activity={"spikes": pg.recording.traces(arrays["spikes"], rate=20, neurons=table)},
        signals={name: pg.recording.signal(arrays[name], rate=20) for name in ("speed", "touch")},
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    for folder, most in (("whole", None), ("blocks", 4)):
        assert pg.fit_sessions({"s": session}, recipe, tmp_path / folder, neurons_per_task=most).is_complete
    assert_same_store(tmp_path / "blocks" / "s.nc", tmp_path / "whole" / "s.nc")
    result = open_result(tmp_path / "blocks" / "s.nc")
    assert result.neurons.index.tolist() == list(result.model.neuron_names_) == table.index.tolist()
    assert result.part("contributions")["neuron"].values.tolist() == table.index.tolist()


def test_a_table_that_is_missing_is_written_from_its_store(copy, client):
    paths, recipe, output = sessions_of(copy), copy / "data" / "recipe.toml", copy / "here"
    (table,) = output.glob("day1.[pc]*")
    before = table.read_bytes()
    for given in (None, client):
        table.unlink()
        found = pg.fit_sessions(paths, recipe, output, given)
        assert found.table["status"].tolist() == ["finished"] * 4
        assert table.read_bytes() == before


@pytest.mark.thorough
@pytest.mark.parametrize("most", [4, None])
def test_a_table_without_room_is_written_by_the_next_call(copy, monkeypatch, most):
    paths, recipe, output = sessions_of(copy)[:1], copy / "data" / "recipe.toml", copy / "out"

    def full(self, path):
        # blocks have room
        if path.stem == "day0":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Result, "save_table", full)
        found = pg.fit_sessions(paths, recipe, output, neurons_per_task=most)
        assert found.table["status"].tolist() == ["failed"]
    assert list(output.glob("day0.*")) == [output / "day0.nc"]
    assert pg.fit_sessions(paths, recipe, output).table["status"].tolist() == ["finished"]
    assert len(list(output.glob("day0.*"))) == 2
    assert {path.name for path in output.glob(".*")} == {".lock"}


def test_what_a_process_left_half_written_is_removed(copy):
    half = [copy / "here" / name for name in (".day1.nc.a1b2c3d4.part", ".neurons.parquet.a1b2c3d4.part")]
    for path in half:
        path.write_text("half")
    pg.fit_sessions(sessions_of(copy), copy / "data" / "recipe.toml", copy / "here")
    assert not any(path.exists() for path in half)


def test_the_table_has_a_row_for_every_neuron_of_all_sessions(folder):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'popglm[parquet]'")
    table = pd.read_parquet(folder / "here" / "neurons.parquet")
    assert table.columns[0] == "session"
    assert table["session"].value_counts().to_dict() == {f"day{k}": 6 for k in range(4)}
    own = open_result(folder / "here" / "day1.nc").neurons["deviance_explained"]
    np.testing.assert_array_equal(table.loc[table["session"] == "day1", "deviance_explained"], own)


def test_finished_stores_are_skipped(copy):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'popglm[parquet]'")
    paths, recipe = sessions_of(copy), copy / "data" / "recipe.toml"
    (copy / "here" / "day3.nc").unlink()
    (copy / "here" / "neurons.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in (copy / "here").glob("day*.nc")}
    found = pg.fit_sessions(paths, recipe, copy / "here", threads_per_task=1)
    assert found.table["status"].tolist() == ["finished"] * 3 + ["done"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(pd.read_parquet(found.neurons)) == 24


def test_a_folder_that_is_moved_as_a_whole_is_known_again(copy):
    moved = copy.rename(copy.parent / "moved")
    found = pg.fit_sessions(sessions_of(moved), moved / "data" / "recipe.toml", moved / "here")
    assert found.table["status"].tolist() == ["finished"] * 4


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("recipe", "day0.nc is of another recipe"),
        ("data", "of this one before it changed"),
        ("other", "cannot be read: it is damaged, or no store"),
    ],
)
def test_a_store_of_something_else_is_refused_or_replaced(change, words, copy):
    paths, recipe, store = sessions_of(copy)[:1], copy / "data" / "recipe.toml", copy / "here" / "day0.nc"
    if change == "recipe":
        recipe.write_text(RECIPE.replace("n_lambdas = 3", "n_lambdas = 4"))
    elif change == "data":
        write_session(paths[0], 17)
    else:
        store.write_bytes(b"what somebody else keeps")
    before = store.read_bytes()
    found = pg.fit_sessions(paths, recipe, copy / "here")
    assert found.table["status"].tolist() == ["refused"]
    assert words in found.table["error"].iloc[0]
    assert "replace=True" in found.table["error"].iloc[0]
    assert store.read_bytes() == before
    found = pg.fit_sessions(paths, recipe, copy / "here", replace=True)
    assert found.table["status"].tolist() == ["done"]
    assert pg.fit_sessions(paths, recipe, copy / "here").table["status"].tolist() == ["finished"]


def test_a_session_that_cannot_be_fitted_stops_no_other(copy, client, tmp_path):
    damaged = copy / "data" / "damaged.npz"
    damaged.write_bytes(sessions_of(copy)[0].read_bytes()[:3000])
    np.savez(copy / "data" / "mute.npz", spikes=np.zeros((1200, 2)))
    paths, recipe = [copy / "data" / f"{name}.npz" for name in ("damaged", "day0", "mute", "gone")], copy / "data"
    told = []
    found = pg.fit_sessions(
        paths, recipe / "recipe.toml", tmp_path / "out", client, tell=lambda p: told.append((p.n_ended, p.n_fitted))
    )
    assert found.table["status"].to_dict() == {"damaged": "failed", "day0": "done", "mute": "failed", "gone": "failed"}
    assert "damaged.npz" in found.table.loc["damaged", "error"]
    assert "speed" in found.table.loc["mute", "error"]
    assert "there is no file" in found.table.loc["gone", "error"]
    assert not found.is_complete
    assert told[0] == (0, 0)
    assert told[-1] == (4, 6)
    assert found.facts()["sessions"] == {"failed": 3, "done": 1}


def test_sessions_in_memory_are_known_by_what_is_fitted(client, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    sessions = {}
    for seed in (0, 1):
        arrays = dict(np.load(write_session(tmp_path / f"s{seed}.npz", seed)))
        sessions[f"s{seed}"] = pg.read_arrays(arrays, activity="spikes", signals=["speed", "touch"], rate=20)
    first = pg.fit_sessions(sessions, recipe, tmp_path / "out", client)
    assert first.table["status"].tolist() == ["done", "done"]
    by_path = pg.fit_sessions([tmp_path / "s0.npz"], recipe, tmp_path / "paths", threads_per_task=1)
    one, other = open_result(tmp_path / "out" / "s0.nc").model, open_result(tmp_path / "paths" / "s0.nc").model
    assert by_path.is_complete
    np.testing.assert_array_equal(one.coef_path_, other.coef_path_)
    sessions["s1"].signals["touch"].values[5] += 1
    again = pg.fit_sessions(sessions, recipe, tmp_path / "out", client)
    assert again.table["status"].tolist() == ["finished", "refused"]


@pytest.mark.thorough
def test_files_beside_a_recording_are_called_by_its_name(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        arrays = dict(np.load(write_session(tmp_path / "whole.npz", seed)))
        np.savez(tmp_path / f"{name}.npz", spikes=arrays["spikes"], speed=arrays["speed"])
        np.savez(tmp_path / f"{name} touch.npz", touch=arrays["touch"])
    also = 'also = [{path = "{name} touch.npz", options = {signals = "touch", rate = 20}}]\n\n[[terms]]\nbasis = "spl'
    text = RECIPE.replace(', "touch"]', "]").replace('\n[[terms]]\nbasis = "spl', also)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    found = pg.fit_sessions([tmp_path / "a.npz", tmp_path / "b.npz"], recipe, tmp_path / "out")
    assert found.is_complete, found.table
    whole = build(r := parse_recipe(RECIPE.replace("none", "whole"), recipe), grid_of(r, session_of(r)))
    assert open_result(tmp_path / "out" / "b.nc").about["fingerprint"] == fingerprint(whole)
    os.utime(tmp_path / "b touch.npz", (0, 0))
    again = pg.fit_sessions([tmp_path / "a.npz", tmp_path / "b.npz"], recipe, tmp_path / "out")
    assert again.table["status"].tolist() == ["finished", "refused"]
    recipe.write_text(text.replace("{name}", "a"))
    message = complaint(pg.fit_sessions, ["a.npz", "b.npz"], recipe, tmp_path / "other")
    assert "'a touch.npz' would be joined to all 2 sessions" in message
    assert "line 4 (data.also)" in message or "(data.also)" in message


@pytest.mark.parametrize(
    "text",
    [
        'data.path = "none.nwb"  # a "guess"\n',
        "[data]\npath = 'none.nwb'\n",
        'data = {options = {}, path = "none.nwb"}\n',
        '[data]\nactivity = "path = 3"\npath = "x\\"y.nwb"\n',
    ],
)
def test_a_recipe_is_written_for_another_recording(text, tmp_path):
    term = 'terms = [{basis = "linear", variable = "path"}]\n'
    recipe = parse_recipe(term + text, tmp_path / "recipe.toml")
    path = 'sub/häßlich "s".nwb'
    changed = recipe.with_recording(path, "s")
    assert changed.content.data.path == path
    assert changed.content.model_copy(update={"data": recipe.content.data}) == recipe.content
    assert changed.text.count("#") == text.count("#")


def test_a_path_that_cannot_be_replaced_is_told(tmp_path):
    recipe = parse_recipe('terms = [{basis = "linear", variable = "v"}]\n[data]\n"path" = "a.nwb"', tmp_path / "r.toml")
    assert "path on a line of its own" in complaint(recipe.with_recording, "b.nwb", "b")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../day1", "begins with '.'"),
        ("a/../../b", "no file may hold '/'"),
        ("/etc/passwd", "no file may hold '/'"),
        ("a\\b", "no file may hold"),
        ("a\0b", "no file may hold"),
        ('a"b', "no file may hold"),
        ("a\nb", "no file may hold"),
        ("", "it is empty"),
        (" a", "ends in a space or a point"),
        ("a.", "ends in a space or a point"),
        ("ä" * 76, "more than 150 bytes"),
        ("Neurons", "the table of all neurons"),
        (3, "must be text"),
    ],
)
def test_names_that_are_no_names_of_files_are_refused(name, words, tmp_path):
    assert words in complaint(check_name, name)
    assert words in complaint(pg.fit_sessions, {name: "a.nwb"}, tmp_path / "r.toml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_are_those_of_files(tmp_path):
    paths = ["x/m1.nwb", "https://host/m2.nwb?download=1", "x/m3.nwb.zarr", "x/m4/", "x/m5.2.csv.gz"]
    assert list(named_sessions(paths)) == ["m1", "m2", "m3", "m4", "m5.2"]
    session = pg.Session(signals={"v": pg.recording.signal([0.0], rate=1)}, attrs={"session_id": "m7"})
    assert list(named_sessions([session])) == ["m7"]


def test_paths_that_give_no_names_are_told_together():
    words = complaint(
        named_sessions, ["a.nwb", 'b"c.nwb', r"back\slash.nwb", "neurons.nwb", f"{'x' * 200}.nwb", ".nwb"]
    )
    assert words.startswith("5 of 6 sessions cannot be called as their files are: ")
    for told in (
        "no file may hold '\"'",
        "more than 150 bytes",
        "that is the table of all neurons",
        "Rename the files",
    ):
        assert told in words
    assert "give it another name" in complaint(named_sessions, {"a/b": "a.nwb"})


def test_a_link_gives_no_name_where_its_file_is_given(tmp_path):
    (tmp_path / "good.nwb").write_text("")
    (tmp_path / "again.nwb").symlink_to("good.nwb")
    assert matched([str(tmp_path / "*.nwb")]) == [str(tmp_path / "good.nwb")]
    assert matched([str(tmp_path / "again.nwb")]) == [str(tmp_path / "again.nwb")]


def test_sessions_of_one_name_are_told_apart_by_their_folders():
    assert list(distinct_names(["x/s1.nwb", "y/s2.nwb"])) == ["s1", "s2"]
    assert list(distinct_names(["x/s1.nwb", "y/s1.nwb"])) == ["x_s1", "y_s1"]
    assert list(distinct_names(["a/x/s1.nwb", "b/x/s1.nwb"])) == ["a_x_s1", "b_x_s1"]
    assert "are called" in complaint(distinct_names, ["a/b/x/s1.nwb", "c/b/x/s1.nwb"])


@pytest.mark.parametrize(
    ("sessions", "words"),
    [
        (["a/day1.nwb", "b/DAY1.nwb"], "two sessions are called 'DAY1': 'a/day1.nwb' and 'b/DAY1.nwb'"),
        ([], "holds no session"),
        ("day1.nwb", "must be a list of paths"),
        ([3], "found 3"),
        ([pg.Session()], "has no name"),
        ({"a": "b\0c.nwb"}, "null character"),
        (["a.nwb"] * 100_001, "100,001 sessions, but 100,000 are the most"),
    ],
)
def test_sessions_that_are_none_are_told(sessions, words):
    assert words in complaint(named_sessions, sessions)


def test_names_may_have_those_of_folders():
    paths = ["/x/m1/day1/suite2p", "/x/m1/day2/suite2p", "/x/m2/day1/suite2p/"]
    assert list(named_sessions(paths, "{grandparent}_{parent}")) == ["m1_day1", "m1_day2", "m2_day1"]
    assert list(named_sessions(["a/x.nwb", "b/x.nwb"], "{parent}_{name}")) == ["a_x", "b_x"]
    assert "two sessions are called 'm1'" in complaint(named_sessions, paths, "{grandparent}")
    assert "--name '{parent}_{name}'" in complaint(named_sessions, ["a/x.nwb", "b/x.nwb"])
    assert "holds {folder}; known are {name}, {parent}" in complaint(named_sessions, paths, "{folder}_{name}")
    assert "it is empty" in complaint(named_sessions, ["/x.nwb"], "{grandparent}")


def test_one_file_is_one_session(folder, tmp_path):
    data = folder / "data"
    link = tmp_path / "link.npz"
    link.symlink_to(data / "day1.npz")
    spellings = [f"{data}/day1.npz", f"{data}/../data/day1.npz", str(link)]
    assert matched(spellings) == spellings[:1]
    for other in spellings:
        assert "are one file, given twice" in complaint(named_sessions, [spellings[0], other])
    # under two names it may be wanted twice
    assert len(named_sessions({"a": spellings[0], "b": spellings[2]})) == 2


def test_patterns_match_files_once(folder):
    data = folder / "data"
    found = matched([f"{data}/day[01].npz", f"{data}/day1.npz", "https://host/m.nwb"])
    assert found == [f"{data}/day0.npz", f"{data}/day1.npz", "https://host/m.nwb"]
    assert "no file or folder matches" in complaint(matched, [f"{data}/*.nwb"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"threads_per_task": 0}, "threads_per_task"),
        ({"neurons_per_task": 2.5}, "neurons_per_task"),
        ({"replace": 1}, "replace"),
        ({"client": "tcp://127.0.0.1:8786"}, "client must be a dask.distributed.Client"),
    ],
)
def test_wrong_arguments_are_told(arguments, words, folder, tmp_path):
    recipe = folder / "data" / "recipe.toml"
    assert words in complaint(pg.fit_sessions, sessions_of(folder), recipe, tmp_path / "out", **arguments)


def test_an_output_that_is_no_folder_is_told(folder, tmp_path):
    recipe, file = read_recipe(folder / "data" / "recipe.toml"), tmp_path / "file"
    file.write_text("")
    for output, words in ((file, "is a file"), (tmp_path / "a" / "b", "does not exist"), (3, "name of a folder")):
        assert words in complaint(pg.fit_sessions, sessions_of(folder), recipe, output)


def test_an_output_is_one_calls_at_a_time(folder, tmp_path):
    (tmp_path / "out").mkdir()
    with held_lock(tmp_path / "out" / ".lock", "somebody"), pytest.raises(OSError, match="another call") as caught:
        pg.fit_sessions(sessions_of(folder), folder / "data" / "recipe.toml", tmp_path / "out")
    assert caught.value.errno == errno.EBUSY
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / ".lock"]


@pytest.mark.parametrize("where", ["here", "on workers"])
def test_warnings_name_their_session_once(where, copy, client, tmp_path):
    paths = sessions_of(copy)[:2]
    # no weaker strength is offered, and all neurons would take it
    (copy / "data" / "recipe.toml").write_text(RECIPE.replace("n_lambdas = 3", "lambdas = [0.04, 0.03]"))
    with pytest.warns(pg.PopglmWarning) as caught:
        pg.fit_sessions(
            paths, copy / "data" / "recipe.toml", tmp_path / "out", client if where == "on workers" else None
        )
    told = [str(one.message) for one in caught]
    assert {one.partition(":")[0] for one in told} == {"day0", "day1"}
    assert len(told) == len(set(told))


def test_a_damaged_table_is_written_anew(copy):
    paths, recipe = sessions_of(copy)[:1], copy / "data" / "recipe.toml"
    # CSV where pyarrow is not installed
    (table,) = (path for path in (copy / "here").glob("day0.*") if path.suffix != ".nc")
    before = table.read_bytes()
    table.write_bytes(b"junk")
    assert pg.fit_sessions(paths, recipe, copy / "here").table["status"].tolist() == ["finished"]
    assert table.read_bytes() == before


def test_blocks_of_a_session_take_no_more_than_it(copy):
    recipe = read_recipe(copy / "data" / "recipe.toml")
    found = look(SessionTask("day0", recipe, str(sessions_of(copy)[0]), copy / "elsewhere", 1, False))
    n = expected_of(found).n_neurons
    parts = [part_of(found, block) for block in ((0, 1), (1, 3), (3, n))]
    assert sum(one.seconds for one in parts) == pytest.approx(expected_of(found).seconds)

"""Files in the shapes of public data sets: their known faults fail the check until the line that is told mends them."""

import re

import pytest
from analysis_helpers import as_json, run

pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")

import nwb_files

BLOCKS = 'trials.source = 0.5\nmodel.cv = 2\nmodel.n_lambdas = 2\n\n[data]\npath = "{name}"\n'


def a_recipe(written, folder, terms):
    """A recipe for a file, with a linear term for each variable."""
    text = BLOCKS.format(name=written.path.name)
    text += "".join(f'\n[[terms]]\nbasis = "linear"\nvariable = "{name}"\n' for name in terms)
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mended_by_what_is_told(recipe):
    """Add to a recipe the lines that the check tells, and check again; the facts."""
    found = run("check", recipe)
    assert found.exit_code == 1, found.output
    lines = re.findall(r"mend it with the line (clock_\w+\.\S+ = \S+)", found.output.replace("\n", " "))
    assert lines, found.output
    recipe.write_text("\n".join(dict.fromkeys(lines)) + "\n" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    return lines, as_json("check", recipe)


def test_a_clock_in_samples_of_a_board(tmp_path):
    written = nwb_files.harvey(tmp_path, n_planes=1, n_volumes=300)
    velocity = "frame_aligned_pitch_roll_yaw_velocity.0"
    recipe = a_recipe(written, tmp_path, [velocity])
    lines, facts = mended_by_what_is_told(recipe)
    assert "clock_scale.deconvolved_activity_plane_0 = 0.0005" in lines
    assert facts["bins"] == 300
    assert facts["bin_width_s"] == pytest.approx(1 / 30)


def test_a_rate_that_holds_the_period(tmp_path):
    written = nwb_files.steinmetz(tmp_path)
    recipe = a_recipe(written, tmp_path, ["wheel_position"])
    recipe.write_text("grid.dt = 0.1\n" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    lines, facts = mended_by_what_is_told(recipe)
    assert lines == ["clock_rate.wheel_position = 100"]
    assert facts["neurons"] == 4


@pytest.mark.parametrize("layout", ["suite2p", "caiman", "virmen"])
def test_what_common_tools_write_gets_a_first_recipe(layout, tmp_path):
    written = getattr(nwb_files, layout)(tmp_path)
    found = run("init", written.path, "-o", tmp_path / "recipe.toml")
    assert found.exit_code == 0, found.output
    facts = as_json("check", tmp_path / "recipe.toml")
    assert facts["neurons"] > 0
    assert facts["faults"] == []


def test_a_file_without_behaviour_gets_a_recipe_that_asks_for_some(tmp_path):
    written = nwb_files.neuroconv(tmp_path)
    found = run("init", written.path, "-o", tmp_path / "recipe.toml")
    assert found.exit_code == 0, found.output
    assert "no variable was found; name one" in (tmp_path / "recipe.toml").read_text(encoding="utf-8")
    found = run("check", tmp_path / "recipe.toml")
    assert found.exit_code == 1
    assert '(terms[0].variable): put the answer for "?"' in found.output


@pytest.mark.parametrize("new", [True, False])
def test_recordings_of_the_brain_laboratory_get_a_first_recipe(new, tmp_path):
    written = nwb_files.ibl(tmp_path, new)
    found = run("init", written.path, "-o", tmp_path / "recipe.toml")
    assert found.exit_code == 0, found.output
    text = (tmp_path / "recipe.toml").read_text(encoding="utf-8")
    assert ("ibl_quality_score == 1" in text) == new
    assert 'grid.dt = "1/40"' in text
    assert as_json("check", tmp_path / "recipe.toml")["bins"] > 0

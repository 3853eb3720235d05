"""A small recording in an NWB file, and what the commands make of it."""

from __future__ import annotations

import pytest
from analysis_helpers import RECIPE, run

from popglm.maze_nwb import write_maze_nwb


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a recording, a recipe, and its result with all that explains it."""
    pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
    path = tmp_path_factory.mktemp("analysis")
    write_maze_nwb(path / "session.nwb", n_samples=1_200, n_neurons=8, seed=2)
    (path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    found = run("fit", path / "recipe.toml", "-o", path / "result.nc")
    assert found.exit_code == 0, found.output
    return path

"""From a file to a page: written, begun, checked, fitted and killed, fitted on, explained, reported, looked at."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from analysis_helpers import RECIPE, as_json, run

from popglm.analysis.result import open_result
from popglm.maze_nwb import write_maze_nwb

#: Fits by the command line, and kills itself after some rounds of the walk.
KILLED = """
import os, signal, sys
from popglm.io import checkpoints
checkpoints.LEAST_SECONDS, checkpoints.SHARE = 0.0, 1e9
from popglm.solve.walk.walk import Walk
accept, rounds = Walk.accept_or_stay, [0]
def counted(self, *arguments):
    accept(self, *arguments)
    rounds[0] += 1
    if rounds[0] == 8:
        os.kill(os.getpid(), signal.SIGKILL)
Walk.accept_or_stay = counted
from popglm.cli import app
app(sys.argv[1:])
"""


def test_from_a_file_to_a_page_through_a_kill(tmp_path):
    pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
    write_maze_nwb(tmp_path / "session.nwb", n_samples=1_200, n_neurons=8, seed=2)
    assert run("init", tmp_path / "session.nwb", "-o", tmp_path / "guessed.toml").exit_code == 0
    assert as_json("check", tmp_path / "guessed.toml")["faults"] == []
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    kept = tmp_path / "so-far"
    command = ["fit", str(recipe), "-o", str(tmp_path / "result.nc"), "--checkpoint", str(kept)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(kept.glob("*.npz"))
    assert not (tmp_path / "result.nc").exists()
    found = run(*command)
    assert found.exit_code == 0, found.output
    assert run("fit", recipe, "-o", tmp_path / "undisturbed.nc").exit_code == 0
    first, second = open_result(tmp_path / "result.nc"), open_result(tmp_path / "undisturbed.nc")
    for name in ("model", "grid", "neurons", "contributions", "unique"):
        xr.testing.assert_identical(first.part(name).drop_attrs(), second.part(name).drop_attrs())
    found = run("report", tmp_path / "result.nc", "-o", tmp_path / "report.html")
    assert found.exit_code == 0, found.output
    _look(tmp_path / "report.html", first.neurons.index)


def _look(page, neurons):
    """Open the page in a browser: it says nothing on its console, and names every neuron."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: pip install 'popglm[report-test]'"
    )
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        except sync_api.Error:
            pytest.skip("there is no chromium at /usr/bin/chromium")
        shown, said = browser.new_page(), []
        shown.on("console", lambda message: said.append(message.text))
        shown.goto(page.as_uri())
        text = shown.locator("body").inner_text()
        shown.wait_for_timeout(500)
        browser.close()
    assert said == []
    assert all(str(neuron) in text for neuron in np.asarray(neurons))

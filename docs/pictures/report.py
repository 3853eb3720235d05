"""What a report looks like. ``python docs/pictures/report.py`` writes images/report.png, report_two_parts.png and
report_classes.png, in three minutes; ``report.py classes`` the last one alone.

A session is simulated in the shape of a public NWB file, or choices as a table, and goes through ``popglm fit``,
``explain`` and ``report``. It needs pynwb, playwright and Debian's chromium.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from popglm.maze_nwb import write_maze_nwb

ROOT = Path(__file__).parents[2]
#: The part of the page that is shown (px).
WIDTH, HEIGHT = 1240, 1180


#: The model of two parts, of fewer terms and neurons.
TWO_PARTS = """\
explain.bootstrap = 10
grid.series = "deconvolved_activity_plane_2"

[data]
path = "session.nwb"
activity = "deconvolved_activity_plane_2"

[variables]
position = {source = "frame_aligned_forward_and_lateral_position.0", rule = "hold", scale = 100, unit = "cm"}
pitch = {source = "frame_aligned_pitch_roll_yaw_velocity.0", unit = "cm/s"}

[[terms]]
basis = "bumps"
variable = "position"
n = 8
low = 10
high = 250

[[terms]]
basis = "splines"
variable = "pitch"
n = 5
quantiles = true

[model]
kind = "TwoPartGLM"
amounts = {penalty = "group_lasso", n_lambdas = 8, lambda_min_ratio = 0.003}
"""


#: What drives choices, and a state that changes slowly.
CLASSES = """\
trials.source = 20

[data]
path = "session.csv"
options = {times = "time", signals = ["contrast", "reward", "previous", "choice", "state"]}

[grid]
dt = 1.0

[[terms]]
basis = "splines"
variable = "contrast"
n = 5

[[terms]]
basis = "categories"
variable = "previous"
times = ["reward"]

[model]
kind = "ClassifierGLMCV"
penalty = "group_lasso"
n_lambdas = 10

[fit]
response = ["choice", "state"]

[explain.by.contrast]
low = -0.8
high = 0.8
n = 7
"""


def write_choices(folder: Path, n: int = 3_000) -> None:
    """Choices of a simulated task, one in a second, as a table."""
    rng = np.random.default_rng(0)
    contrast, reward, previous = rng.uniform(-1, 1, n), rng.choice([-1, 1], n), rng.choice(["left", "right"], n)
    drive = np.column_stack([-4 * contrast, 4 * contrast, np.full(n, 1.0)])
    drive[:, 0] += 0.8 * reward * np.where(previous == "left", 1, -1)
    choice = np.array(["left", "right", "none"])[(drive + rng.gumbel(size=(n, 3))).argmax(axis=1)]
    state = np.where(rng.logistic(size=n) + 0.8 * reward + abs(contrast) > 0.5, "engaged", "idle")
    table = {"contrast": contrast, "reward": reward, "previous": previous, "choice": choice, "state": state}
    pd.DataFrame({"time": np.arange(n) + 0.5, **table}).to_csv(folder / "session.csv", index=False)


def make_page(folder: Path, recipe: str, n_samples: int, n_neurons: int) -> Path:
    """The report of a simulated session; of no neurons, that of choices."""
    if n_neurons:
        write_maze_nwb(folder / "session.nwb", n_samples=n_samples, n_neurons=n_neurons, seed=1)
    else:
        write_choices(folder, n_samples)
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    for arguments in ("fit recipe.toml -o r.nc", "explain r.nc", "report r.nc -o report.html"):
        subprocess.run([sys.executable, "-m", "popglm", *arguments.split()], cwd=folder, check=True)
    return folder / "report.html"


def take_picture(page: Path, picture: Path, height: int, place: str = "#neurons") -> None:
    """A part of the page; the neuron of which most is explained, beside the list of all."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH + 40, "height": 900}, color_scheme="light")
        tab.goto(page.as_uri())
        while not tab.evaluate("performance.getEntriesByName('neuron').length"):
            time.sleep(0.05)
        box = tab.locator(place).first.bounding_box()
        clip = {"x": 20, "y": box["y"], "width": WIDTH, "height": height}
        tab.screenshot(path=picture, full_page=True, clip=clip)
        browser.close()


if __name__ == "__main__":
    images = ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as name:
        page = make_page(Path(name), CLASSES, 3_000, 0)
        take_picture(page, images / "report_classes.png", 385, "h3:text('Confusion')")
    if sys.argv[1:] == ["classes"]:
        sys.exit()
    whole = f"explain.bootstrap = 30\n{(ROOT / 'examples' / 'tseng_2022.toml').read_text(encoding='utf-8')}"
    with tempfile.TemporaryDirectory() as name:
        take_picture(make_page(Path(name), whole, 8_000, 60), images / "report.png", HEIGHT)
    with tempfile.TemporaryDirectory() as name:
        take_picture(make_page(Path(name), TWO_PARTS, 4_000, 24), images / "report_two_parts.png", 585)

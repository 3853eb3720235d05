"""What a report looks like. ``python docs/pictures/report.py`` writes images/report.png, in two minutes.

A session is simulated in the shape of a public NWB file, and goes through ``popglm fit``, ``explain`` and ``report``.
It needs pynwb, playwright and Debian's chromium.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from popglm.maze_nwb import write_maze_nwb

ROOT = Path(__file__).parents[2]
#: The part of the page that is shown (px).
WIDTH, HEIGHT = 1240, 1180


def make_page(folder: Path) -> Path:
    """The report of a simulated session."""
    write_maze_nwb(folder / "session.nwb", n_samples=8_000, n_neurons=60, seed=1)
    recipe = (ROOT / "examples" / "tseng_2022.toml").read_text(encoding="utf-8")
    (folder / "recipe.toml").write_text(f"explain.bootstrap = 30\n{recipe}", encoding="utf-8")
    for arguments in ("fit recipe.toml -o r.nc", "explain r.nc", "report r.nc -o report.html"):
        subprocess.run([sys.executable, "-m", "popglm", *arguments.split()], cwd=folder, check=True)
    return folder / "report.html"


def take_picture(page: Path, picture: Path) -> None:
    """The neuron of which most is explained, beside the list of all."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH + 40, "height": 900}, color_scheme="light")
        tab.goto(page.as_uri())
        while not tab.evaluate("performance.getEntriesByName('neuron').length"):
            time.sleep(0.05)
        box = tab.locator("#neurons").bounding_box()
        clip = {"x": 20, "y": box["y"], "width": WIDTH, "height": HEIGHT}
        tab.screenshot(path=picture, full_page=True, clip=clip)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        take_picture(make_page(Path(name)), ROOT / "docs" / "images" / "report.png")

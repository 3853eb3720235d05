"""A browser for the tests of the page, and what is asked of a page again and again."""

import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

CHROMIUM = Path("/usr/bin/chromium")
#: Why there is no browser; empty where there is one.
MISSING = (
    "the page is tested in a browser with playwright: pip install 'popglm[report-test]'"
    if find_spec("playwright") is None
    else ""
    if CHROMIUM.is_file()
    else f"the page is tested in Debian's chromium, which is not at {CHROMIUM}: apt-get install chromium"
)


@contextmanager
def a_browser():
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in a tab of its own, with all that it complained of and asked for."""

    def __init__(self, browser, file, width=1280, scheme="light", fragment=""):
        self.tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.complaints, self.requests = [], []
        self.tab.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.url = file.as_uri()
        self.tab.goto(self.url + fragment)
        self.wait(1)

    def drawn(self):
        """How many neurons were drawn."""
        return self.tab.evaluate("performance.getEntriesByName('neuron').length")

    def wait(self, n):
        """Wait until so many neurons were drawn; the page's policy forbids playwright's own way of waiting."""
        deadline = time.monotonic() + 30
        while self.drawn() < n:
            assert time.monotonic() < deadline, self.complaints
            time.sleep(0.02)

    def after(self, act):
        """Do something that draws a neuron, and wait for that."""
        n = self.drawn()
        act()
        self.wait(n + 1)

    def press(self, *keys):
        """Press keys, each of which draws a neuron."""
        for key in keys:
            self.after(lambda key=key: self.tab.keyboard.press(key))

    def name(self):
        """The neuron that is shown."""
        return self.tab.inner_text("#neuron-name")

    def text(self, selector):
        return self.tab.inner_text(selector)

    def markup(self, selector):
        """What is drawn there."""
        return self.tab.evaluate("(selector) => document.querySelector(selector).innerHTML", selector)

    def open_tables(self, selector):
        """Open the tables of all figures there; the browser tells them a little later."""
        self.tab.evaluate(
            "(selector) => document.querySelectorAll(`${selector} details`).forEach((one) => (one.open = true))",
            selector,
        )
        self.tab.wait_for_timeout(100)

    def numbers(self, selector):
        """The tables of figures, each as an array."""
        tables = self.tab.evaluate(
            "(all) => [...document.querySelectorAll(`${all} tbody`)].map((table) => [...table.rows].map((row) => "
            "[...row.cells].map((cell) => cell.textContent)))",
            selector,
        )
        return [np.array([[float(cell.replace("−", "-")) for cell in row] for row in table]) for table in tables]

    def names(self):
        """Neurons of the list, from top to bottom."""
        return self.tab.evaluate("[...document.querySelectorAll('#list li')].map((one) => one.firstChild.textContent)")

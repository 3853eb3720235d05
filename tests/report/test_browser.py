"""The page in a browser: quiet, alone, and every control changes what it should."""

import json
import re
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest
from browsing import MISSING, Opened, a_browser
from made_results import EVIL, SPEED, made_results

from popglm.report import writing
from popglm.report.writing import make_page

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def result():
    return made_results()["explained"]


@pytest.fixture(scope="module")
def results():
    return made_results()


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def files(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in results}
    for name, path in found.items():
        path.write_text(make_page(results[name]), encoding="utf-8")
    return found


@pytest.fixture
def page(browser, files):
    opened = Opened(browser, files["explained"])
    yield opened
    assert opened.complaints == []
    assert opened.requests == [opened.url]
    opened.tab.close()


@pytest.fixture(scope="module")
def table(result):
    return result.neurons


@pytest.mark.parametrize("name", ["explained", "bare"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_quiet_asks_no_host_and_fits_its_width(browser, files, name, scheme, width):
    page = Opened(browser, files[name], width, scheme)
    page.open_tables("body")
    assert page.complaints == []
    assert page.requests == [page.url]
    assert page.tab.evaluate("document.documentElement.scrollWidth") == width
    dark = page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 30)"
    assert dark == (scheme == "dark")
    page.tab.close()


def test_the_policy_forbids_connections(page):
    said = page.tab.evaluate("fetch('https://example.org/').then(() => 'came', () => 'refused')")
    assert said == "refused"
    assert all("Content Security Policy" in one for one in page.complaints)
    page.complaints.clear()
    page.requests[:] = [url for url in page.requests if "example.org" not in url]


def test_names_are_shown_as_texts(page):
    assert set(EVIL) <= set(page.names())
    for name in EVIL:
        page.after(lambda name=name: page.tab.click(f"#list li >> text={json.dumps(name)}"))
        assert page.name() == name
    assert page.tab.evaluate("document.images.length") == 0
    assert f"{SPEED}" in page.text("#figure-contributions")
    page.open_tables("body")
    assert page.tab.evaluate("document.images.length") == 0
    assert SPEED in page.text("#figure-clusters table")


def test_the_theme_can_be_chosen(page):
    def colour():
        return page.tab.evaluate("getComputedStyle(document.body).backgroundColor")

    for theme, expected in (("dark", "rgb(22, 25, 30)"), ("light", "rgb(251, 251, 250)"), ("", "rgb(251, 251, 250)")):
        page.tab.select_option("#theme", theme)
        assert colour() == expected
    page.tab.emulate_media(color_scheme="dark")
    assert colour() == "rgb(22, 25, 30)"
    page.tab.emulate_media(media="print")
    assert colour() == "rgb(255, 255, 255)"
    assert page.tab.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"


@pytest.mark.parametrize(
    ("control", "figure"),
    [
        ("#score", "#figure-deviance"),
        ("#measure", "#figure-contributions"),
        ("#measure", "#figure-along"),
        ("#axis", "#figure-along"),
        ("#places-colour", "#figure-places"),
        ("#scale", "#neuron-kernels"),
        ("#neuron-axis", "#neuron-along"),
    ],
)
def test_every_choice_changes_its_picture(page, control, figure):
    page.tab.select_option("#scale", "kernel")
    values = page.tab.evaluate(f"[...document.querySelector('{control}').options].map((one) => one.value)")
    pictures = []
    for value in values:
        page.tab.select_option(control, value)
        pictures.append(page.markup(figure))
    assert len(values) > 1
    assert len(set(pictures)) == len(values)


def test_gains_are_exponentials_of_kernels(page):
    figures = "#neuron-kernels figure:not([hidden])"
    page.open_tables(figures)
    kernels = page.numbers(figures)
    page.tab.select_option("#scale", "gain")
    gains = page.numbers(figures)
    assert len(kernels) >= 3
    for kernel, gain in zip(kernels, gains, strict=True):
        np.testing.assert_allclose(np.exp(kernel[:, 1:]), gain[:, 1:], rtol=0.01)
        np.testing.assert_array_equal(kernel[:, 0], gain[:, 0])


def test_kernels_of_the_page_are_those_of_the_result(page, result, table):
    best = table["deviance_explained"].to_numpy().argmax()
    page.open_tables("#neuron-kernels")
    shown = page.numbers("#neuron-kernels figure:first-child")[0]
    kernel = result.tree.children["kernels"].children["000"]
    expected = np.interp(shown[:, 0], kernel["position"].values, kernel["kernel"].values[best])
    np.testing.assert_allclose(shown[:, 1], expected, atol=0.02 * np.ptp(expected))
    assert (shown[:, 2] <= shown[:, 3]).all()


def test_the_list_begins_with_the_best_neuron(page, table):
    expected = table["deviance_explained"].sort_values(ascending=False, kind="stable").index.tolist()
    assert page.names() == expected
    assert page.name() == expected[0]
    assert page.tab.get_attribute("#list li:first-child", "aria-selected") == "true"


def test_sorting_by_every_column(page, table):
    for column in ("x", "strength", "gap", "mean_activity"):
        page.tab.select_option("#sort", column)
        for direction in (False, True):
            values = table.loc[page.names(), column].to_numpy()
            # the page's columns are right to one part in 4,096
            ordered = values if direction else values[::-1]
            finite = ordered[np.isfinite(ordered)]
            assert (np.diff(finite) >= -1e-3 * np.abs(finite[1:])).all()
            page.tab.click("#direction")
    page.tab.select_option("#sort", "place")
    assert page.text("#direction") == "falling"
    page.tab.click("#direction")
    assert page.names() == table.index.tolist()
    page.tab.select_option("#sort", "name")
    assert page.names().index("n2") < page.names().index("n10")
    before = page.names()
    page.tab.select_option("#sort", "share cue")
    assert page.names() != before


def test_searching(page):
    page.tab.fill("#search", "N1")
    assert sorted(page.names()) == sorted(f"n{k}" for k in (1, *range(10, 20)))
    assert page.text("#found") == "11 of 24 neurons"
    page.tab.fill("#search", "<IMG")
    assert page.names() == [EVIL[0]]
    page.tab.fill("#search", "nothing has this")
    assert page.names() == []
    assert page.text("#found") == "No neuron has this in its name or in a text of its row."
    assert page.tab.is_disabled("#next")
    page.tab.fill("#search", "")
    assert len(page.names()) == 24


def test_texts_of_the_table_are_searched(page, table):
    for area in set(map(str, table["area"])):
        page.tab.fill("#search", area.upper())
        assert sorted(page.names()) == sorted(map(str, table.index[table["area"] == area]))


@pytest.mark.parametrize("width", [330, 1280])
def test_names_below_a_picture_are_whole_and_inside_it_however_narrow_it_is(browser, width):
    scripts = Path(writing.__file__).parent / "page"
    tab = browser.new_page()
    for name in ("numbers", "shapes", "axes"):
        tab.add_script_tag(path=scripts / f"{name}.js")
    names = ["position", "speed", "velocity", "cue side", "reward", "licking", "choice", "history"]
    told = tab.evaluate(
        """([names, width]) => {
          const x = { low: -0.5, high: names.length - 0.5, names };
          const { root } = axes(width, 240, x, { low: 0, high: 1, label: "Neurons" }, "a picture");
          root.setAttribute("style", `width: ${width}px; height: 240px`);
          document.body.append(root);
          const frame = root.getBoundingClientRect();
          const found = [...root.querySelectorAll("text")].map((one) => {
            const box = one.getBoundingClientRect();
            return [one.textContent, box.left - frame.left, frame.bottom - box.bottom];
          });
          root.remove();
          return found;
        }""",
        [names, width],
    )
    places = {name: (left, below) for name, left, below in told}
    assert set(names) <= set(places)
    assert all(min(places[name]) >= 0 for name in names)
    tab.close()


@pytest.fixture
def drawing(browser):
    """An empty page with what draws pictures."""
    folder = Path(writing.__file__).parent / "page"
    tab = browser.new_page()
    for name in ("page", "figures"):
        tab.add_style_tag(path=folder / f"{name}.css")
    for name in ("numbers", "shapes", "axes", "rows"):
        tab.add_script_tag(path=folder / f"{name}.js")
    yield tab
    tab.close()


@pytest.mark.parametrize("letter", ["y", "W", "漢", "_"])
@pytest.mark.parametrize("width", [200, 370, 1200])
def test_long_names_stay_in_their_picture_and_are_told_whole(drawing, width, letter):
    name = 60 * letter
    told = drawing.evaluate(
        """([name, width]) => {
          const drawn = [
            rowAxes(width, { names: [name, "short"], low: 0, high: 1, xLabel: name }, "rows").root,
            axes(width, 180, { low: 0, high: 1, label: name }, { low: 0, high: 1, label: name }, "curves").root,
          ];
          return drawn.flatMap((root) => {
            root.setAttribute("style", `width: ${width}px`);
            document.body.replaceChildren(html("div", { class: "plot" }, root));
            const frame = root.getBoundingClientRect();
            return [...root.querySelectorAll("text")].map((one) => {
              const box = one.getBoundingClientRect();
              const across = [box.left - frame.left, frame.right - box.right];
              const room = [...across, box.top - frame.top, frame.bottom - box.bottom];
              return [one.firstChild.textContent, one.querySelector("title")?.textContent ?? null, Math.min(...room)];
            });
          });
        }""",
        [name, width],
    )
    assert min(room for _, _, room in told) >= -1.5
    cut = [(shown, whole) for shown, whole, _ in told if shown.endswith("…")]
    assert cut or width == 1200
    assert all(whole == name and name.startswith(shown[:-1]) and len(shown) > 1 for shown, whole in cut)
    assert all(whole is None for shown, whole, _ in told if not shown.endswith("…"))


def test_a_name_without_spaces_does_not_widen_the_page(drawing):
    drawing.set_viewport_size({"width": 390, "height": 900})
    widest = drawing.evaluate(
        """(name) => {
          const inside = ["h2", "h3", "p", "li", "dd"].map((tag) => html(tag, {}, name));
          document.body.replaceChildren(html("main", {}, html("section", {}, ...inside)));
          return document.documentElement.scrollWidth;
        }""",
        60 * "y",
    )
    assert widest == 390


#: Ends of axes: of kernels, angles, shares, dates, tiny and huge numbers.
ENDS = [(1, 99), (0, 0.45), (0.31, 0.39), (96.9, 103.2), (-0.5, 0.05), (-180, 180), (1709287200.2, 1709287209.9)]
ENDS += [(1e-9, 3e-9), (-2e7, -1.5e7), (0.9996, 1.0004), (999, 1001), (5, 6), (-0.001, 1000)]


@pytest.mark.parametrize("n", range(1, 9))
def test_every_axis_has_two_ticks_and_says_where_they_are(drawing, n):
    for low, high in ENDS:
        values, names = drawing.evaluate(
            "([low, high, n]) => { const found = ticks(low, high, n); return [found, writtenApart(found)]; }",
            [low, high, n],
        )
        steps = np.diff(values)
        assert 2 <= len(values) <= 4 * n + 1, (low, high, values)
        assert low - 1e-6 * steps[0] <= values[0] < values[-1] <= high + 1e-6 * steps[0]
        assert steps == pytest.approx(steps[0], rel=1e-5)
        mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
        assert any(mantissa == pytest.approx(one, rel=1e-5) for one in (1, 2, 2.5, 4, 5))
        read = [float(name.replace("−", "-").replace(",", "")) for name in names]
        assert read == pytest.approx(values, abs=0.011 * steps[0])


@pytest.mark.parametrize(("low", "high"), [(-2, -1.9), (0.1, 0.12), (-5, 1), (1.45, 1.55)])
def test_a_logarithmic_axis_has_two_ticks(drawing, low, high):
    for most in (2, 3, 8):
        values = drawing.evaluate("(given) => logarithmicTicks(...given)", [low, high, most])
        assert len(values) >= 2
        assert low - 1e-9 <= min(values) < max(values) <= high + 1e-9


@pytest.mark.parametrize("width", [390, 1280])
def test_no_picture_of_the_page_has_an_axis_without_a_scale(browser, files, width):
    page = Opened(browser, files["explained"], width)
    told = page.tab.evaluate(
        """() => [...document.querySelectorAll(".plot svg[role=img]")].map((root) => {
          const [rows, columns] = [...root.querySelectorAll(".grid")].map((one) => one.getAttribute("d"));
          return [root.getAttribute("aria-label"), columns.split("v4").length - 1, rows.split("M").length - 1];
        })"""
    )
    page.tab.close()
    assert len(told) > 10
    assert all(min(across, down) >= 2 for _, across, down in told), told


def test_a_neuron_without_a_name_has_a_row_that_says_so(browser, files, tmp_path):
    before, facts, after = re.split(
        r'(?<=<script type="application/json" id="facts">)(.*?)(?=</script>)',
        files["explained"].read_text(),
        flags=re.S,
    )
    told = json.loads(facts)
    told["population"]["neurons"][4:6] = "", " "
    path = tmp_path / "page.html"
    path.write_text(before + json.dumps(told).replace("<", r"\u003c") + after, encoding="utf-8")
    page = Opened(browser, path, fragment="#neuron=")
    assert page.names().count("(no name)") == 2
    assert all(name.strip() for name in page.names())
    assert page.name() == "(no name)"
    assert page.complaints == []
    page.tab.close()


def test_long_names_in_the_table_of_a_neuron_break_between_words(browser):
    folder = Path(writing.__file__).parent / "page"
    tab = browser.new_page()
    tab.add_script_tag(path=folder / "shapes.js")
    tab.add_style_tag(path=folder / "page.css")
    names = ["deconvolved_activity_plane_0", "imec0/unit_12/waveform_amplitude", "good", "_", ""]
    found = tab.evaluate(
        """(names) => names.map((name) => {
          const cell = html("dd", { style: "width: 9rem" }, ...breakable(name));
          document.body.append(html("dl", { class: "facts" }, html("div", {}, cell)));
          const lines = new Map();
          for (const node of [...cell.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE)) {
            for (let k = 0; k < node.length; k++) {
              const range = document.createRange();
              range.setStart(node, k);
              range.setEnd(node, k + 1);
              const top = range.getBoundingClientRect().top;
              lines.set(top, (lines.get(top) ?? "") + node.data[k]);
            }
          }
          return [cell.innerText, [...lines.values()]];
        })""",
        names,
    )
    assert [text for text, _ in found] == names
    assert [lines for _, lines in found][:2] == [
        ["deconvolved_", "activity_plane_0"],
        ["imec0/unit_12/", "waveform_", "amplitude"],
    ]
    assert [lines for _, lines in found][2:] == [["good"], ["_"], []]
    tab.close()


def test_a_cluster_can_be_chosen(page):
    options = page.tab.evaluate("[...document.querySelector('#cluster').options].map((one) => one.value)")
    counts = []
    for value in options[1:]:
        page.tab.select_option("#cluster", value)
        counts.append(len(page.names()))
        for name in page.names()[:1]:
            page.after(lambda name=name: page.tab.click(f"#list li >> text={json.dumps(name)}"))
            assert page.tab.inner_text("#neuron-facts div:last-child dd") == (
                str(int(value) + 1) if value != "-1" else "none"
            )
    assert sum(counts) == 24


def test_keys_go_through_the_list(page):
    names = page.names()
    page.tab.focus("#list")
    for key, expected in (
        *(("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowRight", 2), ("ArrowLeft", 1)),
        *(("PageDown", 11), ("End", 23), ("PageUp", 13), ("Home", 0)),
    ):
        page.press(key)
        assert page.name() == names[expected]
        chosen = page.tab.evaluate("document.querySelector('#list [aria-selected=true]').id")
        assert page.tab.get_attribute("#list", "aria-activedescendant") == chosen
        # the chosen one can be seen
        above, below = page.tab.evaluate(
            "(id) => { const [one, list] = [id, 'list'].map((it) => document.getElementById(it)"
            ".getBoundingClientRect()); return [one.top - list.top, list.bottom - one.bottom]; }",
            chosen,
        )
        assert min(above, below) >= -1


def test_buttons_go_to_the_next_and_the_previous_neuron(page):
    names = page.names()
    assert page.tab.is_disabled("#previous")
    page.after(lambda: page.tab.click("#next"))
    assert page.name() == names[1]
    page.after(lambda: page.tab.click("#previous"))
    assert page.name() == names[0]


def test_everything_can_be_reached_by_the_keyboard(page):
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.className") == "skip"
    assert page.tab.locator(".skip").bounding_box()["x"] >= 0
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("document.activeElement.id") == "neurons"
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.id") == "search"
    page.tab.keyboard.press("ArrowDown")
    assert page.tab.evaluate("document.activeElement.id") == "list"
    reached = set()
    for _ in range(400):
        page.tab.keyboard.press("Tab")
        reached.add(page.tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    controls = page.tab.locator("select, input, button, #list").all()
    wanted = {one.get_attribute("id") for one in controls if one.is_visible() and one.is_enabled()}
    assert {"theme", "measure", "sort", "scale", "next"} <= wanted <= reached
    assert "SUMMARY" in reached


def test_the_address_names_the_neuron(browser, files, page):
    names = page.names()
    page.tab.focus("#list")
    page.press("ArrowDown")
    assert unquote(page.tab.url) == f"{page.url}#neuron={names[1]}"
    for name in ("n7", *EVIL):
        other = Opened(browser, files["explained"], fragment=f"#neuron={quote(name, safe='')}")
        assert other.name() == name
        assert other.complaints == []
        other.tab.close()
    page.after(lambda: page.tab.evaluate("location.hash = '#neuron=n9'"))
    assert page.name() == "n9"
    page.tab.evaluate("location.hash = '#neuron=nobody'")
    page.tab.wait_for_timeout(100)
    assert page.text("#neuron-status") == "There is no neuron nobody."
    assert page.name() == "n9"
    other = Opened(browser, files["explained"], fragment="#neuron=nobody")
    assert other.name() == names[0]
    assert other.text("#neuron-status") == "There is no neuron nobody."
    other.tab.close()


def test_a_click_in_a_picture_picks_a_neuron(page):
    canvas = page.tab.locator("#figure-clusters canvas.pickable")
    box = canvas.bounding_box()
    page.tab.locator("#figure-clusters").scroll_into_view_if_needed()
    canvas.hover(position={"x": 5, "y": box["height"] - 2})
    told = page.text("#figure-clusters .note[role=status]")
    page.after(lambda: canvas.click(position={"x": 5, "y": box["height"] - 2}))
    assert told.startswith(f"{page.name()}, cluster ")
    dots = page.tab.locator("#figure-places svg[role=img]")
    scale = dots.bounding_box()["width"] / float(dots.get_attribute("viewBox").split()[2])
    # the first dot is that of the first neuron
    x, y = re.match(r"M([\d.]+),([\d.]+)", dots.locator(".ring").get_attribute("d")).groups()
    page.after(lambda: dots.click(position={"x": scale * float(x) + 1, "y": scale * float(y) + 1}))
    assert page.name() == EVIL[0]


def test_pictures_fit_a_window_that_changes(page):
    before = page.tab.get_attribute("#neuron-since svg[role=img]", "viewBox")
    page.tab.set_viewport_size({"width": 390, "height": 800})
    page.tab.wait_for_timeout(300)
    assert page.tab.get_attribute("#neuron-since svg[role=img]", "viewBox") != before
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 390


def test_neurons_without_a_prediction_or_with_a_null_model_are_drawn(page, table):
    page.tab.focus("#list")
    page.press("End")
    for name in table.index[np.isinf(table["strength"])]:
        page.after(
            lambda name=name: page.tab.evaluate(
                "(name) => (location.hash = `#neuron=${encodeURIComponent(name)}`)", name
            )
        )
        assert "all weights of this neuron are 0" in page.text("#neuron-certificate")
        assert "Not in use: position" in page.text("#neuron-unused")
    page.after(lambda: page.tab.evaluate("location.hash = '#neuron=n2'"))
    assert "of half the mean null deviance" in page.text("#neuron-certificate")


def test_pictures_say_what_they_show_and_have_their_numbers(page):
    pictures = page.tab.evaluate(
        "[...document.querySelectorAll('svg[role=img]')].map((one) => one.getAttribute('aria-label'))"
    )
    assert len(pictures) > 15
    assert all(len(label) > 10 for label in pictures)
    figures = page.tab.locator("figure:not([hidden])")
    page.open_tables("body")
    for k in range(figures.count()):
        assert figures.nth(k).locator("tbody tr").count() > 0


def test_axe_finds_nothing_serious(browser, files):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe comes with pip install 'popglm[report-test]'"
    )
    for name in files:
        for scheme, width in (("light", 1280), ("dark", 390)):
            page = Opened(browser, files[name], width, scheme)
            page.open_tables("#population")
            found = axe.Axe().run(page.tab).response["violations"]
            serious = [
                (one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")
            ]
            assert serious == []
            page.tab.close()


def test_the_page_prints(page, tmp_path):
    page.tab.emulate_media(media="print")
    assert not page.tab.is_visible(".picker")
    assert not page.tab.is_visible("#theme")
    assert page.tab.is_visible("#neuron-name")
    assert page.tab.pdf(path=tmp_path / "report.pdf", format="A4")[:4] == b"%PDF"

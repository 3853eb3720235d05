"""The colours of the page can be told apart and read, in the light and in the dark."""

import re
from importlib.resources import files

import pytest
from matplotlib.colors import to_rgb
from seen_colours import BLINDNESS, contrast, least_distance, seen

STYLE = files("popglm.report").joinpath("page", "page.css").read_text(encoding="utf-8")
#: By the name of a colour: what it is in the light and in the dark.
PAIRS = {
    name: (to_rgb(light), to_rgb(dark))
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", STYLE)
}
SERIES = [f"series-{k}" for k in range(8)]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_series_can_be_told_apart(theme, blindness):
    assert least_distance(seen([PAIRS[name][theme] for name in SERIES], blindness)) > 20
    # two of them are the recorded and the predicted activity, and stand alone
    assert least_distance(seen([PAIRS[name][theme] for name in ("recorded", "series-1")], blindness)) > 20


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_texts_and_curves_stand_out(theme, ground):
    on = PAIRS[ground][theme]
    for name in ("ink", "soft", "accent"):
        assert contrast(PAIRS[name][theme], on) >= 4.5, name
    for name in (*SERIES, "recorded"):
        assert contrast(PAIRS[name][theme], on) >= 3, name
    assert contrast(PAIRS["ink"][theme], PAIRS["chosen"][theme]) >= 4.5

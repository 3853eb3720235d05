"""Times of a recording in other units, seen and mended through recipes."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import as_json, run

from popglm.analysis.time_scale import doubts_of_unit

RECIPE = """\
trials.source = "trials"

[data]
path = "data.npz"
also = [{path = "trials.csv", format = "intervals"}]

[data.options]
activity = "Y"
signals = ["x"]
times = "t"

[[terms]]
basis = "linear"
variable = "x"

[model]
family = "gaussian"
n_lambdas = 2
cv = 2
"""


@pytest.fixture
def folder(tmp_path):
    """A function that writes 300 s of activity and trials, times multiplied by something, and a recipe."""

    def write(scale=1.0, scale_of_trials=1.0, lines=""):
        rng = np.random.default_rng(0)
        times = np.arange(3_000) * 0.1
        np.savez(tmp_path / "data.npz", Y=rng.normal(size=(3_000, 3)), x=rng.normal(size=3_000), t=times * scale)
        start = np.arange(30) * 10.0
        trials = pd.DataFrame({"start_time": start, "stop_time": start + 10}) * scale_of_trials
        trials.to_csv(tmp_path / "trials.csv", index=False)
        (tmp_path / "recipe.toml").write_text(lines + RECIPE, encoding="utf-8")
        return tmp_path / "recipe.toml"

    return write


def test_trials_in_milliseconds_are_named_and_mended(folder):
    found = run("check", folder(1, 1_000), "--json")
    assert found.exit_code == 1
    (fault,) = json.loads(found.stdout)["faults"]
    assert fault.endswith("mend it with the line clock_scale.trials = 0.001")
    facts = as_json("check", folder(1, 1_000, "clock_scale.trials = 0.001\n"))
    assert (facts["bins"], facts["trials"], facts["warnings"]) == (3_000, 30, [])


def test_a_session_in_milliseconds_is_told(folder):
    facts = as_json("check", folder(1_000, 1_000))
    assert facts["bin_width_s"] == 100
    (line,) = [line for line in facts["warnings"] if "seconds" in line]
    assert line.startswith("bins of 100 s and trials of 2.78 hours and a recording of 83.3 hours are unusual")
    mending = "".join(f"clock_scale.{name} = 0.001\n" for name in ("Y", "x", "trials"))
    facts = as_json("check", folder(1_000, 1_000, mending))
    assert (facts["bin_width_s"], facts["warnings"]) == (pytest.approx(0.1), [])


@pytest.mark.parametrize(
    ("n_bins", "width", "n_trials", "words"),
    [
        (6_000, 1 / 30, 20, None),
        (20_000, 0.001, 100, None),
        # a night in 4-s epochs of sleep, in trials of an hour
        (10_000, 4.0, 12, None),
        (8_000, 10.0, 80, "bins of 10 s are"),
        (6_000, 5e-5, 20, "bins of 5e-05 s are .* in hours"),
        (8_000, 4.0, 4, "trials of 2.22 hours are .* in milliseconds"),
        (100_000, 1.0, 100, "a recording of 27.8 hours are"),
    ],
)
def test_only_unusual_times_are_doubted(n_bins, width, n_trials, words):
    found = doubts_of_unit(np.arange(n_bins) * width, np.arange(n_bins) * n_trials // n_bins, width)
    if words is None:
        assert found == []
    else:
        (sentence,) = found
        assert re.match(words, sentence)

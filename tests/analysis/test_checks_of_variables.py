"""What popglm check says of events, trials and variables that would make a fit silently wrong."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import as_json, run

RECIPE = """\
[data]
path = "data.npz"
also = [{path = "trials.csv", format = "intervals"}]

[data.options]
activity = "Y"
signals = ["speed", "position"]
times = "t"
events = {lick = "lick"}

[[terms]]
basis = "linear"
variable = "speed"

[[terms]]
basis = "bumps"
variable = "position"
n = 5
low = 0
high = 250
times = ["speed"]

[[terms]]
basis = "kernel"
variable = "lick"
of = {basis = "bumps", n = 3, low = 0, high = 1}

[model]
family = "gaussian"
n_lambdas = 2
cv = 2
"""
N = 3_000


@pytest.fixture
def written(tmp_path):
    """A function that writes 300 s of a recording, some arrays of it otherwise, and a recipe, some words replaced."""

    def write(words=(), shift_of_trials=0.0, **changed):
        rng = np.random.default_rng(0)
        arrays = {
            "Y": rng.normal(size=(N, 3)),
            "t": np.arange(N) * 0.1,
            "speed": rng.normal(size=N),
            "position": rng.uniform(0, 250, N),
            "lick": np.sort(rng.uniform(0, 299, 150)),
        }
        np.savez(tmp_path / "data.npz", **(arrays | changed))
        start = np.arange(30) * 10.0 + shift_of_trials
        pd.DataFrame({"start_time": start, "stop_time": start + 10}).to_csv(tmp_path / "trials.csv", index=False)
        text = RECIPE
        for old, new in words:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
        return tmp_path / "recipe.toml"

    return write


def test_a_good_recording_has_no_warnings(written):
    facts = as_json("check", written())
    assert facts["warnings"] == []
    assert (facts["trials"], facts["trials_in_all"]) == (30, 30)
    assert facts["unknown_variables"] == facts["out_of_reach"] == {}
    text = run("check", written()).stdout
    assert re.search(r"^trials +30$", text, re.MULTILINE)
    assert "trials in all" not in text
    assert "unknown variables" not in text


@pytest.mark.parametrize(("unit", "scale"), [("minutes", 60), ("numbers of samples of 'Y', 10 a second", 0.1)])
def test_events_in_another_unit_are_a_fault_and_can_be_mended(unit, scale, written):
    licks = np.arange(1.0, 2_990, 20) if scale < 1 else np.linspace(0.05, 4.9, 150)
    for command in ("check", "fit"):
        found = run(command, written(lick=licks))
        assert found.exit_code == 1
        assert unit in found.stderr
        assert f"mend it with the line clock_scale.lick = {scale:g}" in found.stderr
    facts = as_json("check", written([("[data]\n", f"clock_scale.lick = {scale}\n[data]\n")], lick=licks))
    assert facts["warnings"] == []
    assert as_json("check", written([("[data]\n", "clock_scale.lick = 1\n[data]\n")], lick=licks))["faults"] == []


def test_events_that_the_recipe_does_not_use_are_no_fault(written):
    kernel = RECIPE[RECIPE.index('[[terms]]\nbasis = "kernel"') : RECIPE.index("[model]")]
    facts = as_json("check", written([(kernel, "")], lick=np.linspace(0.05, 4.9, 150)))
    (line,) = facts["warnings"]
    assert line.startswith("not used here: all 150 events of 'lick' lie between 0.05 and 4.9 s")


def test_trials_and_events_outside_of_the_recording_are_counted(written):
    recipe = written(shift_of_trials=100.0, lick=np.arange(0.5, 400, 2.0))
    facts = as_json("check", recipe)
    assert (facts["trials"], facts["trials_in_all"]) == (20, 30)
    assert "10 of 30 trials lie outside of the recording (0 to 300 s)" in facts["warnings"]
    assert "50 of 200 events of 'lick' lie outside of the recording (0 to 300 s)" in facts["warnings"]
    assert re.search(r"^trials +20 of 30$", run("check", recipe).stdout, re.MULTILINE)


@pytest.mark.parametrize("source", ["30", "'block'"])
def test_trials_of_blocks_and_of_signals_are_counted(source, written):
    words = [("[data]\n", f"trials.source = {source}\n[data]\n"), ('"position"]', '"position", "block"]')]
    facts = as_json("check", written(words, block=np.repeat(np.arange(10), N // 10)))
    assert (facts["trials"], facts["trials_in_all"]) == (10, 10)


def test_samples_out_of_the_reach_of_bumps_are_told_with_their_share(written):
    position = np.random.default_rng(1).uniform(0, 250, N)
    facts = as_json("check", written([("high = 250", "high = 2.5")], position=position))
    # bumps reach two spacings further
    share = (position > 2.5 + 2 * 2.5 / 4).mean()
    assert facts["out_of_reach"] == {"position": pytest.approx(share)}
    words = (
        f"{100 * share:.3g} % of the samples of 'position' lie outside 0 to 2.5, the range of its bumps; is the unit"
    )
    assert facts["warnings"].count(f"{words} right?") == 1
    few = as_json("check", written([("high = 250", "high = 150")], position=position))
    assert few["out_of_reach"]["position"] == pytest.approx((position > 225).mean())
    assert few["warnings"] == []
    some = as_json("check", written([("high = 250", "high = 120")], position=position))
    assert f"{100 * (position > 180).mean():.3g} % of the samples of 'position' lie outside 0 to 120" in " ".join(
        some["warnings"]
    )


def test_bumps_that_no_sample_reaches_are_told_once(written):
    facts = as_json("check", written([("high = 250", "high = 2.5")], position=np.linspace(10, 250, N)))
    (line,) = [line for line in facts["warnings"] if "position" in line and "range of its bumps" in line]
    assert "no sample of 'position' is inside [0, 2.5]" in line
    assert facts["out_of_reach"] == {"position": 1.0}


def test_unknown_samples_are_told_with_what_they_count_as(written):
    speed, position = np.random.default_rng(2).normal(size=N), np.linspace(0, 250, N)
    speed[: N // 4], position[:300] = np.nan, np.nan
    facts = as_json("check", written(speed=speed, position=position))
    assert facts["unknown_variables"] == {"speed": 0.25, "position": pytest.approx(0.1)}
    assert "'speed' is unknown in 25 % of the samples, which count as its mean" in facts["warnings"]
    assert "'position' is unknown in 10 % of the samples, where its basis functions are 0" in facts["warnings"]
    speed = np.where(np.arange(N) < 100, np.nan, np.arange(N) % 7)
    few = as_json("check", written(speed=speed))
    assert few["unknown_variables"] == {"speed": pytest.approx(100 / N)}
    assert few["warnings"] == []


def test_what_is_asked_to_be_unknown_is_not_told(written):
    variables = '[variables]\nspeed = {source = "speed", where = "position > 50"}\n[[terms]]\nbasis = "linear"'
    facts = as_json("check", written([('[[terms]]\nbasis = "linear"', variables)]))
    assert facts["unknown_variables"]["speed"] == pytest.approx(0.2, abs=0.05)
    assert facts["warnings"] == []


@pytest.mark.parametrize("name", ["speed", "position"])
def test_a_variable_that_is_never_known_is_told_as_such(name, written):
    found = run("check", written(**{name: np.full(N, np.nan)}), "--json")
    facts = json.loads(found.stdout)
    assert facts["unknown_variables"] == {name: 1.0}
    said = "\n".join(facts["warnings"])
    assert f"{name!r} is unknown in all samples: nothing can be explained by it" in said
    assert "collinear" not in said
    assert "constant" not in said


def test_a_variable_that_never_changes_is_not_called_collinear(written):
    facts = as_json("check", written(speed=np.full(N, 3.0)))
    said = "\n".join(facts["warnings"])
    assert "constant column(s) carry no information and are set to 0: speed (linear)" in said
    assert "'speed' are collinear" not in said

"""First recipes for files of which somebody must say what is what."""

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import as_json, run
from scipy.io import savemat

import popglm as pg
from popglm.analysis.guessing import guess_recipe
from popglm.recording import events, intervals, signal, spike_trains, traces

N = 600


def arrays():
    """A session of a minute and a half, as many a laboratory saves it."""
    rng = np.random.default_rng(0)
    t = np.arange(N) * 0.15
    return {
        "spikes": rng.poisson(1.0, (N, 4)),
        "t": t,
        "speed": rng.normal(size=N),
        "position": rng.uniform(0, 200, N),
        "trial": np.arange(N) // 30,
        "licks": np.sort(rng.uniform(0, t[-1], 50)),
        "weights": rng.normal(size=7),
    }


def written(recording, folder):
    """The recipe that init writes."""
    found = run("init", recording, "-o", folder / "recipe.toml")
    assert found.exit_code == 0, found.output
    return (folder / "recipe.toml").read_text(encoding="utf-8")


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_three_commands_lead_from_named_arrays_to_a_page(kind, tmp_path):
    if kind == "npz":
        np.savez(tmp_path / "session.npz", **arrays())
    else:
        # MATLAB has neurons first as often as not
        savemat(tmp_path / "session.mat", {**arrays(), "spikes": arrays()["spikes"].T})
    text = written(tmp_path / f"session.{kind}", tmp_path)
    assert f'activity = "{"spikes" if kind == "npz" else "spikes.T"}", times = "t"' in text
    assert "# there is weights: float64 7" in text.replace(" 1 × 7", " 7")
    facts = as_json("check", tmp_path / "recipe.toml")
    assert facts["faults"] == []
    assert (facts["neurons"], facts["trials"], facts["groups"]) == (4, 20, 3)
    if kind == "mat":
        # the same arrays, of which check has tried the model
        return
    assert run("fit", tmp_path / "recipe.toml", "-o", tmp_path / "result.nc").exit_code == 0
    assert run("report", tmp_path / "result.nc", "-o", tmp_path / "report.html").exit_code == 0


@pytest.mark.parametrize("kind", ["npz", "mat", "csv"])
def test_a_number_between_trials_is_guessed(kind, tmp_path):
    one = arrays()
    one["trial"] = np.where(np.arange(N) % 30 < 6, 0, 1 + np.arange(N) // 30)
    if kind == "npz":
        np.savez(tmp_path / "session.npz", **one)
    elif kind == "mat":
        savemat(tmp_path / "session.mat", one)
    else:
        table = pd.DataFrame({name: one[name] for name in ("t", "speed", "trial")})
        table.assign(**{f"n_{j}": one["spikes"][:, j] for j in range(4)}).to_csv(tmp_path / "session.csv", index=False)
    text = written(tmp_path / f"session.{kind}", tmp_path)
    assert 'trials.source = "trial"  # a guess\ntrials.none = 0  # a guess: stands between trials\n' in text
    facts = as_json("check", tmp_path / "recipe.toml")
    assert (facts["trials"], facts["bins"], facts["faults"]) == (20, N * 4 // 5, [])


@pytest.mark.parametrize(("moved", "is_double"), [(0.0, True), (4e-4, True), (2e-3, False)])
def test_the_same_events_have_one_term(moved, is_double):
    starts = 1.6e9 + np.arange(0, 80, 4.0)
    rng = np.random.default_rng(1)
    times = starts + rng.uniform(0.5, 3, 20)
    trials = pd.DataFrame({"start_time": starts, "stop_time": starts + 4, "reward_time": times + moved})
    trials.loc[3, "reward_time"] = np.nan
    reward = np.append(np.delete(times, 3)[::-1], np.nan)
    session = pg.Session(
        activity={"units": spike_trains([starts])},
        signals={"tone": signal(np.ones(20), starts[0] + np.cumsum(rng.exponential(4, 20)))},
        events={"reward": events(reward), "start": events(starts)},
        intervals={"trials": intervals(trials)},
    )
    lines = guess_recipe(session, "session.nwb", "nwb").splitlines()
    line = 'reward_time = {source = "trials.reward_time", rule = "count"}'
    assert (f"# {line}  # the same times as 'reward'" in lines) == is_double
    assert (f"{line}  # a guess: events" in lines) != is_double
    assert all(lines.count(f'variable = "{name}"') == 1 for name in ("reward", "tone", "start"))
    assert lines.count('variable = "reward_time"') == (not is_double)


def test_bins_along_a_place_are_guessed(tmp_path):
    np.savez(tmp_path / "session.npz", **arrays())
    text = written(tmp_path / "session.npz", tmp_path)
    low, high = np.percentile(arrays()["position"], (1, 99))
    assert f"[explain.by.position]  # a guess: bins in which contributions are told as well\nlow = {low:.3g}\n" in text
    assert f"high = {float(f'{high:.3g}')}\nn = 20" in text


def test_a_rate_that_nobody_told_is_asked_for(tmp_path):
    np.savez(tmp_path / "session.npz", **{name: one for name, one in arrays().items() if name != "t"})
    text = written(tmp_path / "session.npz", tmp_path)
    assert 'rate = "?"' in text
    found = run("check", tmp_path / "recipe.toml")
    assert found.exit_code == 1
    line = next(k for k, one in enumerate(text.splitlines(), 1) if 'rate = "?"' in one)
    assert f'recipe.toml, line {line} (data.options.rate): put the answer for "?"' in " ".join(found.output.split())
    (tmp_path / "recipe.toml").write_text(text.replace('"?"', "6"), encoding="utf-8")
    assert as_json("check", tmp_path / "recipe.toml")["bin_width_s"] == pytest.approx(1 / 6)


def test_columns_with_numbers_are_neurons(tmp_path):
    one = arrays()
    table = pd.DataFrame({name: one[name] for name in ("t", "speed", "trial")})
    table.assign(**{f"n_{j}": one["spikes"][:, j] for j in range(4)}).to_csv(tmp_path / "session.csv", index=False)
    written(tmp_path / "session.csv", tmp_path)
    facts = as_json("check", tmp_path / "recipe.toml")
    assert (facts["neurons"], facts["trials"]) == (4, 20)


def test_a_table_of_behaviour_alone_asks_for_activity(tmp_path):
    one = arrays()
    pd.DataFrame({name: one[name] for name in ("t", "speed", "trial")}).to_csv(tmp_path / "session.csv", index=False)
    text = written(tmp_path / "session.csv", tmp_path)
    assert "# there is speed: continuous 600" in text
    found = run("check", tmp_path / "recipe.toml")
    assert found.exit_code == 1
    told = " ".join(found.output.split())
    assert "(data.options.activity): put the answer" in told
    assert "(terms[0].variable): put the answer" in told


def test_dates_are_taken_for_times_and_no_categories(tmp_path):
    one = arrays()
    held = {f"n_{k}": one["spikes"][:, k] for k in range(4)} | {name: one[name] for name in ("speed", "trial")}
    when = pd.to_datetime("2024-03-01 10:00:00") + pd.to_timedelta(one["t"], unit="s")
    pd.DataFrame({**held, "when": when}).to_csv(tmp_path / "session.csv", index=False)
    text = written(tmp_path / "session.csv", tmp_path)
    assert 'options = {activity = "n_*", times = "when", trials = "trial"}' in text
    assert 'basis = "categories"' not in text
    assert as_json("check", tmp_path / "recipe.toml")["faults"] == []
    # beside other times they are no variable
    pd.DataFrame({"t": one["t"], **held, "when": when}).to_csv(tmp_path / "session.csv", index=False)
    (tmp_path / "recipe.toml").unlink()
    text = written(tmp_path / "session.csv", tmp_path)
    assert 'options = {activity = "n_*", times = "t", trials = "trial"}' in text
    assert "# there is when: times 600" in text
    assert 'basis = "categories"' not in text


def test_events_at_dates(tmp_path):
    when = ["2024-03-01T10:00:00.5", "2024-03-01T10:00:03", "2024-03-01T10:00:07"]
    pd.DataFrame({"when": when, "what": ["lick", "tone", "lick"]}).to_csv(tmp_path / "events.csv", index=False)
    assert 'events = "when", labels = "what"' in written(tmp_path / "events.csv", tmp_path)


@pytest.mark.parametrize(
    ("values", "term"),
    [
        ([f"{k}:00 h" for k in range(100)], None),
        ([f"0:00:{k % 60:02}.5" for k in range(100)], None),
        (["go", "no go"], "categories"),
        (list(range(100)), "splines"),
        (list(range(8)), "categories"),
    ],
)
def test_terms_of_signals_that_hold(values, term, tmp_path):
    """Columns of text, or whole numbers, in any format: with many values they are no categories."""
    held = np.array([values[k * 7 % len(values)] for k in range(N)], dtype=object)
    session = pg.Session(
        activity={"F": traces(np.zeros((N, 2)), rate=10)}, signals={"state": signal(held, rate=10, steps=True)}
    )
    text = guess_recipe(session, "session.nwb", "nwb")
    assert (f'basis = "{term}"\nvariable = "state"' in text) == (term is not None)
    assert ("# there is state" in text) == (term is None)


def test_kilosort_without_a_rate_asks_for_it(tmp_path):
    np.save(tmp_path / "spike_times.npy", np.arange(0, 600_000, 100))
    np.save(tmp_path / "spike_clusters.npy", np.arange(6_000) % 3)
    text = written(tmp_path, tmp_path)
    assert "# params.py is missing in" in text
    assert 'options = {rate = "?"}' in text
    assert '# also = [{path = "behaviour.csv", options = {times = "time"}}]' in text
    found = run("check", tmp_path / "recipe.toml")
    assert "(data.options.rate): put the answer" in " ".join(found.output.split())


@pytest.mark.parametrize(
    ("columns", "option", "terms"),
    [
        ({"t": [0.5, 3.0, 3.5, 9.0]}, 'events = {my_licks = "t"}', ["my_licks"]),
        ({"lick": [0.5, 3.0, 3.5, 9.0]}, 'events = {lick = "lick"}', ["lick"]),
        (
            {"time": [0.5, 3.0, 3.5, 9.0], "what": ["lick", "tone", "lick", "lick"]},
            'events = "time", labels = "what"',
            ["lick", "tone"],
        ),
    ],
)
def test_a_table_of_times_is_taken_for_events(columns, option, terms, tmp_path):
    pd.DataFrame(columns).to_csv(tmp_path / "my licks.csv", index=False)
    text = written(tmp_path / "my licks.csv", tmp_path)
    assert f"options = {{{option}}}  # a guess" in text
    assert [line for line in text.splitlines() if line.startswith("variable")] == [
        f'variable = "{one}"' for one in terms
    ]
    one = arrays()
    np.savez(tmp_path / "session.npz", F=one["spikes"], t=one["t"])
    activity = '{path = "session.npz", options = {activity = "F", times = "t"}}'
    answered = text.replace('also = ["?"]', f"also = [{activity}]").replace("trials.source = 30", "trials.source = 5")
    (tmp_path / "recipe.toml").write_text(answered, encoding="utf-8")
    facts = as_json("check", tmp_path / "recipe.toml")
    assert (facts["neurons"], facts["groups"], facts["faults"]) == (4, len(terms), [])


def test_text_at_a_regular_clock_is_no_event(tmp_path):
    state = np.where(np.arange(N) % 50 < 20, "run", "rest")
    pd.DataFrame({"t": arrays()["t"], "state": state}).to_csv(tmp_path / "session.csv", index=False)
    assert 'options = {activity = "?", times = "t"}' in written(tmp_path / "session.csv", tmp_path)


@pytest.mark.parametrize(
    ("name", "family"), [("S", "poisson"), ("spks", "poisson"), ("C", "gaussian"), ("F_dff", "gaussian")]
)
def test_deconvolved_activity_is_taken_for_counts(name, family):
    values = np.abs(np.random.default_rng(0).normal(size=(300, 2)))
    session = pg.Session({name: traces(values, rate=15)}, {"speed": signal(np.arange(300.0), rate=15)})
    assert f'family = "{family}"' in guess_recipe(session, "mouse.hdf5", "caiman")

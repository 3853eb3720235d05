"""Averages over animals: the hierarchical bootstrap, mixed models, and types of cells."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from animals import animals
from complaints import assert_complaint
from scipy import stats

import popglm as pg


def test_errors_of_balanced_tables_have_a_closed_form():
    table = animals(n_animals=5, n_sessions=3, n_neurons=8)
    found = pg.hierarchical_bootstrap(table, "cue", n_resamples=2_000, seed=0)
    by_session = table.groupby(["animal", "session"])["cue"]
    of_sessions = by_session.mean()
    of_animals = of_sessions.groupby("animal").mean()
    square = (
        of_animals.var(ddof=0) / 5
        + of_sessions.groupby("animal").var(ddof=0).mean() / 15
        + by_session.var(ddof=0).mean() / 120
    )
    assert found["estimate"].item() == pytest.approx(table["cue"].mean())
    assert found["standard_error"].item() == pytest.approx(np.sqrt(square), rel=0.03)
    assert (found["n_neurons"].item(), found["n_units"].item()) == (120, 5)
    # percentiles further out than those of a normal distribution
    t = stats.t.ppf(0.975, 4) * np.sqrt(5 / 4)
    width = (found["upper"] - found["lower"]).item() / 2
    # five animals have no tails
    assert 2.1 * np.sqrt(square) < width < t * np.sqrt(square)


def test_differences_within_animals_and_between_them():
    table = animals(n_animals=8, spread=(3.0, 0.1, 0.5), apart=0.5)
    within = pg.hierarchical_bootstrap(table, "cue", "area", n_resamples=200, seed=0)
    assert within["pair"].item() == "PPC − V1"
    means = table.groupby("area")["cue"].mean()
    assert within["difference"].item() == pytest.approx(means["PPC"] - means["V1"])
    # animals differ much, and areas of an animal alike
    assert within["difference_standard_error"].item() < 0.25 * within["standard_error"].min()
    assert within["p_value"].item() < 0.05
    # the same neurons as if each area had animals of its own
    apart = table.assign(animal=table["animal"].astype(str) + table["area"])
    between = pg.hierarchical_bootstrap(apart, "cue", "area", n_resamples=200, seed=0)
    errors = between["standard_error"].values[0]
    assert between["difference_standard_error"].item() == pytest.approx(np.hypot(*errors), rel=0.1)
    assert between["p_value"].item() > 0.3
    assert (between["n_units"] == 8).all()


def test_as_many_animals_of_each_genotype_are_drawn_as_there_are():
    # two animals that are all that differs: their mean is 0, 1/2 or 1, in a quarter, half and a quarter of resamples
    animal = np.repeat(np.arange(9), 4)
    table = pd.DataFrame(
        {"animal": animal, "genotype": np.where(animal < 2, "mutant", "wild"), "cue": 1.0 * (animal == 1)}
    )
    found = pg.hierarchical_bootstrap(table, "cue", "genotype", levels="animal", n_resamples=1_500, seed=0)
    assert found["standard_error"].sel(group="mutant").item() == pytest.approx(np.sqrt(1 / 8), rel=0.05)


@pytest.mark.thorough
def test_p_values_are_levels_of_intervals_that_end_at_zero():
    table = animals(n_animals=6, apart=0.6, seed=3)
    found = pg.hierarchical_bootstrap(table, "cue", "area", n_resamples=2_000, seed=1)
    p = found["p_value"].item()
    assert 0.001 < p < 0.9
    at = pg.hierarchical_bootstrap(table, "cue", "area", n_resamples=2_000, seed=1, level=1 - p)
    nearest = min(abs(at["difference_lower"].item()), abs(at["difference_upper"].item()))
    assert nearest < 0.02 * at["difference_standard_error"].item() * 10


@pytest.mark.thorough
def test_intervals_hold_the_truth_where_naive_ones_do_not():
    hits, naive = 0, 0
    for seed in range(50):
        table = animals(n_animals=6, n_sessions=2, n_neurons=10, seed=seed)
        found = pg.hierarchical_bootstrap(table, "cue", n_resamples=100, seed=seed)
        hits += (found["lower"] <= 0 <= found["upper"]).item()
        naive += abs(table["cue"].mean()) < 1.96 * table["cue"].std() / np.sqrt(len(table))
    assert hits >= 42
    assert naive <= 25


def test_several_values_medians_and_missing_numbers():
    table = animals().assign(speed=lambda t: -t["cue"])
    table.loc[3, "speed"] = np.nan
    found = pg.hierarchical_bootstrap(table, ["cue", "speed"], "area", statistic="median", n_resamples=50, seed=0)
    assert found.sizes == {"value": 2, "group": 2, "pair": 1}
    expected = table.groupby("area")[["cue", "speed"]].median().T
    np.testing.assert_allclose(found["estimate"], expected)
    assert found["n_neurons"].values.tolist() == [[90, 90], [90, 89]]
    again = pg.hierarchical_bootstrap(table, ["cue", "speed"], "area", statistic="median", n_resamples=50, seed=0)
    assert found.identical(again)
    # sessions of the same name in two animals are two
    flat = pg.hierarchical_bootstrap(table, "cue", levels="session", n_resamples=50, seed=0)
    assert flat["n_units"].item() == 3


def test_neurons_without_a_number_are_not_drawn():
    table = animals(n_animals=9, n_sessions=2, n_neurons=6, seed=4)
    # whole animals, and one session of another
    lost = (table["animal"] >= 4) | ((table["animal"] == 0) & (table["session"] == table["session"][0]))
    table = table.assign(some=table["cue"].where(~lost), none=np.nan)
    settings = {"by": "area", "n_resamples": 60, "seed": 2}
    found = pg.hierarchical_bootstrap(table, ["cue", "some", "none"], **settings)
    alone = pg.hierarchical_bootstrap(table.dropna(subset="some"), "some", **settings)
    for name in alone:
        np.testing.assert_allclose(found[name].sel(value=["some"]), alone[name], rtol=1e-9, err_msg=name)
    xr.testing.assert_allclose(found.sel(value=["cue"]), pg.hierarchical_bootstrap(table, "cue", **settings))
    assert (found["n_units"].values == [[9, 9], [4, 4], [0, 0]]).all()
    assert np.isnan(found["difference_standard_error"].sel(value="none")).all()


def mixed():
    pytest.importorskip("statsmodels", reason="statsmodels is not installed")


def test_mixed_models_of_balanced_tables_are_analyses_of_variance():
    mixed()
    table = animals(n_animals=8)
    found = pg.mixed_model(table, "cue")
    cells = table.groupby(["animal", "session"])["cue"]
    within = cells.var().mean()
    session = 10 * cells.mean().groupby("animal").var().mean()
    animal = 30 * table.groupby("animal")["cue"].mean().var()
    np.testing.assert_allclose(
        found["variance"][0], [(animal - session) / 30, (session - within) / 10, within], rtol=1e-4
    )
    assert found["estimate"].item() == pytest.approx(table["cue"].mean())
    assert found["standard_error"].item() == pytest.approx(np.sqrt(animal / 240), rel=1e-4)
    assert (found["upper"] - found["estimate"]).item() == pytest.approx(1.959964 * np.sqrt(animal / 240), rel=1e-4)


def test_differences_of_mixed_models():
    mixed()
    table = animals(n_animals=8, apart=0.5)
    shuffled = table.sample(frac=1, random_state=0)
    found = pg.mixed_model(shuffled, "cue", "area")
    # balanced within sessions: the difference of means, with the error of neurons within sessions and areas
    means = table.groupby("area")["cue"].mean()
    assert found["difference"].item() == pytest.approx(means["PPC"] - means["V1"])
    residual = found["variance"].sel(component="neuron").item()
    assert found["difference_standard_error"].item() == pytest.approx(np.sqrt(residual * 2 / 120), rel=1e-4)
    z = found["difference"].item() / found["difference_standard_error"].item()
    assert found["p_value"].item() == pytest.approx(2 * stats.norm.sf(abs(z)))
    # areas that differ from animal to animal
    rng = np.random.default_rng(1)
    own = rng.normal(size=(8, 2))[table["animal"], (table["area"] == "V1").astype(int)]
    varied = table.assign(cue=table["cue"] + own)
    sloped = pg.mixed_model(varied, "cue", "area", levels="animal", slopes=True)
    plain = pg.mixed_model(varied, "cue", "area", levels="animal")
    apart = varied.pivot_table(index="animal", columns="area", values="cue")
    error = (apart["PPC"] - apart["V1"]).std() / np.sqrt(8)
    assert sloped["difference_standard_error"].item() == pytest.approx(error, rel=0.01)
    assert plain["difference_standard_error"].item() < 0.6 * error


def test_a_variance_of_zero_is_told():
    mixed()
    table = animals(spread=(0.0, 0.0, 1.0), seed=2)
    with pytest.warns(pg.ConvergenceWarning, match="mixed_model: the likelihood of 'cue' has its maximum at the edge"):
        pg.mixed_model(table, "cue")


def types_table(n=40, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    follows = np.repeat([[0.5, 0.0, 0.1], [0.0, 0.4, 0.1], [0.0, 0.0, 0.0]], [n, n // 2, n // 4], axis=0)
    table = pd.DataFrame(follows + noise * rng.normal(size=follows.shape), columns=["cue", "speed", "place"])
    return table.set_axis([f"m{k}" for k in range(len(table))])


def test_types_that_are_there_are_found_and_stable():
    table = types_table()
    table.loc["m3", "speed"] = np.nan
    found = pg.cell_types(table, ["cue", "speed", "place"], range(2, 5), n_resamples=8)
    assert found.attrs["n_types"] == 3
    expected = np.repeat([0, 1, 2], [40, 20, 10])
    expected[3] = -1
    np.testing.assert_array_equal(found["type"], expected)
    assert found["stability"].sel(n_types=3).item() == 1
    assert (found["stability"].sel(n_types=4) < 0.98).all()
    np.testing.assert_allclose(found["center"][1], table.iloc[40:60].mean())
    assert found["silhouette"].argmax().item() == 1
    assert found.identical(pg.cell_types(table, ["cue", "speed", "place"], range(2, 5), n_resamples=8))


def test_tables_of_polars_are_those_of_pandas():
    polars = pytest.importorskip("polars", reason="polars is not installed: pip install polars")
    table = types_table().reset_index(drop=True)
    given = polars.DataFrame({name: column.to_numpy() for name, column in table.items()})
    columns = list(table)
    found = pg.cell_types(given, columns, [2], n_resamples=4)
    assert found.identical(pg.cell_types(table, columns, [2], n_resamples=4))


def test_clouds_have_no_types_beyond_chance():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc"))
    found = pg.cell_types(table, list("abc"), [2, 3], n_resamples=12)
    # another cloud than its shuffles, and no more than one of them is beyond chance
    assert (abs(found["stability"] - found["chance"]) < 3 * found["chance_sd"] + 0.05).all()
    # one column that splits in two is stable, and so is it when it is shuffled
    table["a"] = np.repeat([0, 10], 100) + 0.1 * rng.normal(size=200)
    split = pg.cell_types(table, list("abc"), [2], n_resamples=10)
    assert split["stability"].item() == split["chance"].item() == 1


def test_scaled_columns_count_alike():
    table = types_table(noise=0.02) * [1, 100, 1]
    plain = pg.cell_types(
        table.assign(noise=1e4 * np.random.default_rng(0).normal(size=70)), ["cue", "speed", "noise"], 3, n_resamples=5
    )
    scaled = pg.cell_types(table, ["cue", "speed"], 3, scale=True, n_resamples=5)
    assert plain["stability"].item() < 0.95
    assert scaled["stability"].item() == 1


def test_bad_arguments_are_told():
    table = animals()
    calls = [pg.hierarchical_bootstrap, lambda *a, **k: pg.mixed_model(*a, **k)]
    for call in calls:
        assert_complaint("table", lambda v, call=call: call(v, "cue"), {"cue": [1.0]})
        assert_complaint("values", lambda v, call=call: call(table, v), "area")
        assert_complaint("values", lambda v, call=call: call(table, v), "touch")
        assert_complaint("values", lambda v, call=call: call(table, v), [])
        assert_complaint("levels", lambda v, call=call: call(table, "cue", levels=v), "mouse")
        assert_complaint("levels", lambda v, call=call: call(table[table["animal"] == 0], "cue", levels=v), "animal")
        assert_complaint("by", lambda v, call=call: call(table, "cue", v), "region")
        assert_complaint("one of values", lambda v, call=call: call(table, ["cue"], v), "cue")
        assert_complaint("largest of levels", lambda v, call=call: call(table, "cue", v), "animal")
        assert_complaint("level", lambda v, call=call: call(table, "cue", level=v), 95)
    numbered = table.assign(depth=np.arange(len(table)) / 7)
    assert_complaint("groups in column", lambda v: pg.hierarchical_bootstrap(numbered, "cue", v), "depth")
    unnamed = table.assign(area=table["area"].where(table.index > 3))
    assert_complaint("no label", lambda v: pg.hierarchical_bootstrap(v, "cue", "area"), unnamed)
    assert_complaint("statistic", lambda v: pg.hierarchical_bootstrap(table, "cue", statistic=v), "mode")
    assert_complaint("n_resamples", lambda v: pg.hierarchical_bootstrap(table, "cue", n_resamples=v), 0)
    assert_complaint("seed", lambda v: pg.hierarchical_bootstrap(table, "cue", seed=v), -1)
    assert_complaint("levels", lambda v: pg.mixed_model(table, "cue", levels=v), ["animal", "session", "area"])
    assert_complaint("slopes", lambda v: pg.mixed_model(table, "cue", slopes=v), "yes")
    genotypes = table.assign(genotype=np.where(table["animal"] > 1, "mutant", "wild"))
    assert_complaint("slopes=True", lambda v: pg.mixed_model(genotypes, "cue", v, slopes=True), "genotype")
    one = table.assign(cue=table["cue"].where(table["animal"] == 1))
    assert_complaint("single 'animal'", lambda v: pg.mixed_model(one, v), "cue")
    for value in (1, "many", [], [2.5], True, 40):
        assert_complaint("n_types", lambda v: pg.cell_types(types_table(), ["cue", "speed"], v), value)
    assert_complaint("alike", lambda v: pg.cell_types(v, ["cue"]), pd.DataFrame({"cue": np.ones(50)}))
    assert_complaint("finite", lambda v: pg.cell_types(v, ["cue"]), pd.DataFrame({"cue": np.r_[np.inf, np.ones(50)]}))

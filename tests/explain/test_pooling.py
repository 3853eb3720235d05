"""Sessions in one table: names, labels, stores, and bad input."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from populations import fitted

import popglm as pg


@pytest.fixture(scope="module")
def results():
    model, X, Y, _ = fitted()
    return {name: pg.breakdown(model, X, Y, {"place": "position", "cue": "* × cue"}) for name in ("m1", "m2")}


def test_names_of_neurons_never_collide(results):
    about = pd.DataFrame({"animal": ["a", "b"], "day": [3, 4]}, index=["m2", "m1"])
    pooled = pg.pool_sessions(results, about)
    assert pooled.index.tolist() == [f"{name} neuron{j}" for name in ("m1", "m2") for j in range(4)]
    assert pooled.columns.tolist() == ["session", "animal", "day", "neuron_in_session", "place", "cue"]
    assert pooled.loc["m1 neuron2", ["session", "animal", "day", "neuron_in_session"]].tolist() == [
        "m1",
        "b",
        4,
        "neuron2",
    ]
    shares = results["m2"]["fraction_explained_deviance"].sel(neuron="neuron1", variable="cue").item()
    assert pooled.loc["m2 neuron1", "cue"] == shares
    null = pg.pool_sessions(results, quantity="fraction_null_deviance")
    np.testing.assert_allclose(null["place"][:4], results["m1"]["fraction_null_deviance"][:, 0])


def test_labels_of_neurons_come_along_and_variables_may_differ(results):
    one = results["m1"].assign_coords(area=("neuron", ["V1", "V1", "PPC", "PPC"]))
    other = results["m2"].isel(variable=[1])
    pooled = pg.pool_sessions({"m1": one, "m2": other})
    assert pooled["area"].iloc[:4].tolist() == ["V1", "V1", "PPC", "PPC"]
    assert pooled["place"].isna().tolist() == [False] * 3 + [True] * 5  # of the fourth nothing is explained


def test_stores_of_many_sessions(tmp_path):
    recipe = [
        'data.path = ""',
        'terms = [{basis = "linear", variable = "speed"}, {basis = "linear", variable = "touch"}]',
        "model.n_lambdas = 4",
        "trials.source = 3",
        'explain.variables = {speed = "speed", touch = "touch"}',
    ]
    (tmp_path / "recipe.toml").write_text("\n".join(recipe))
    rng, sessions = np.random.default_rng(0), {}
    for name in ("monday", "tuesday"):
        signals = rng.normal(size=(2, 600))
        counts = rng.poisson(np.exp(signals.T - 1))
        sessions[name] = pg.Session(
            activity={"spikes": pg.recording.traces(counts, rate=10)},
            signals={k: pg.recording.signal(v, rate=10) for k, v in zip(("speed", "touch"), signals, strict=True)},
        )
    found = pg.fit_sessions(sessions, tmp_path / "recipe.toml", tmp_path / "results")
    pooled = pg.pool_sessions(found, {name: {"animal": name[0]} for name in sessions})
    assert pooled["animal"].tolist() == ["m", "m", "t", "t"]
    assert pooled.index.is_unique
    assert (pooled[["speed", "touch"]].to_numpy().argmax(axis=1) == [0, 1, 0, 1]).all()
    by_path = pg.pool_sessions({"monday": found.table.loc["monday", "path"]})
    pd.testing.assert_frame_equal(by_path[["speed", "touch"]], pooled[["speed", "touch"]].iloc[:2])
    assert_complaint("unique", lambda v: pg.pool_sessions(found, part=v), "unique")


def test_wrong_sessions_are_told(results):
    for value in (None, [], {}, [results["m1"]]):
        assert_complaint("sessions", pg.pool_sessions, value)
    assert_complaint("'m1'", pg.pool_sessions, {"m1": np.ones(3)})
    assert_complaint("no store", pg.pool_sessions, {"m1": "nowhere.nc"})
    assert_complaint("quantity", lambda v: pg.pool_sessions(results, quantity=v), "gain")
    assert_complaint("about", lambda v: pg.pool_sessions(results, v), {"m1": {"animal": "a"}})
    assert_complaint("about", lambda v: pg.pool_sessions(results, v), 3)
    twice = pd.DataFrame({"animal": [1, 2, 3]}, index=["m1", "m2", "m1"])
    assert_complaint("two rows", lambda v: pg.pool_sessions(results, v), twice)
    taken = {name: {"cue": 1} for name in results}
    assert_complaint("'cue'", lambda v: pg.pool_sessions(results, v), taken)
    for own in ("session", "neuron_in_session"):
        named = {name: {own: 1} for name in results}
        assert_complaint(own, lambda v: pg.pool_sessions(results, v), named)
        table = pd.DataFrame({own: [1.0]}, index=["a"])
        assert_complaint(own, pg.pool_sessions, {"m1": table})
    alike = pd.DataFrame({"cue": [1.0, 2.0]}, index=["a", "a"])
    assert_complaint("'a' more than once", pg.pool_sessions, {"m1": alike})
    # "m 1" and "1" against "m" and "1 1"
    assert_complaint("more than once", pg.pool_sessions, {"m 1": alike.iloc[:1], "m": alike.iloc[:1].set_axis(["1 a"])})


def test_sessions_of_steinmetz_in_one_table():
    path = Path(__file__).parents[3] / "shared" / "data" / "v1_steinmetz_sta.npz"
    if not path.exists():
        pytest.skip("v1_steinmetz_sta.npz is not in ../shared/data")
    data, shares = np.load(path), {}
    for name in ("s1", "s3", "s4", "s5"):
        counts = data[f"{name}_counts"][:, :35]
        n_trials, _, n_units = counts.shape
        Y = counts.reshape(n_trials * 7, 5, n_units).sum(axis=1).astype(float)  # bins of 50 ms
        trial, active = np.repeat(np.arange(n_trials), 7), np.argsort(-Y.sum(axis=0))[:8]
        session = {side: np.repeat(data[f"{name}_contrast_{side}"], 7) for side in ("left", "right")}
        design = pg.Design([pg.categories("bin"), pg.linear("left"), pg.linear("right")])
        X = design.fit_transform(session | {"bin": np.tile(np.arange(7), n_trials)})
        # units of all sessions are called alike
        units = pd.DataFrame(Y[:, active], columns=[f"unit{k}" for k in range(8)])
        model = pg.GLMCV(lambdas=[0.1, 0.01], cv=3).fit(X, units, groups=trial)
        shares[name] = pg.shapley(model, X, units)
    about = {name: {"animal": "Cori" if name in ("s1", "s3") else "Forssmann"} for name in shares}
    table = pg.pool_sessions(shares, about, quantity="fraction_null_deviance")
    assert len(table) == 32
    assert table.index.is_unique
    values = ["bin", "left", "right"]
    for name, own in shares.items():
        explained = own["deviance_explained"] - own["rest"] / own["null_deviance"]
        np.testing.assert_allclose(table.loc[table["session"] == name, values].sum(axis=1), explained, atol=1e-9)
    found = pg.hierarchical_bootstrap(table, values, "animal", levels="session", n_resamples=200, seed=0)
    np.testing.assert_allclose(found["estimate"].T, table.groupby("animal")[values].mean())
    # two sessions of each animal say next to nothing of how these differ
    assert (found["p_value"] > 0.05).all()

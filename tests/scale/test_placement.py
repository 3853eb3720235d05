"""What tasks take, which workers have room for them, and how sessions are split."""

import math

import numpy as np
import pandas as pd
import pytest
from many import RECIPE, complaint, write_session, write_sessions

import popglm as pg
from popglm.analysis.cost import FitShape
from popglm.analysis.recipe import parse_recipe
from popglm.analysis.running import build, grid_of, session_of
from popglm.recording import intervals, signal, spike_trains, traces
from popglm.scale.estimates import estimate, of_shape
from popglm.scale.placement import Room, blocks_of, no_room, rooms_of

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


@pytest.fixture
def recipe(tmp_path):
    write_session(tmp_path / "none.npz", 0, n_samples=2_000, n_neurons=9)
    return parse_recipe(RECIPE, tmp_path / "recipe.toml")


COUPLED = """[[terms]]
basis = "coupling"
of = {basis = "log_bumps", n = 3, low = 0.05, high = 0.5}
"""


@pytest.mark.parametrize("coupled", [False, True])
def test_shapes_are_those_of_the_fit(recipe, coupled):
    if coupled:
        recipe = parse_recipe(RECIPE + COUPLED, recipe.path)
    matrices = build(recipe, grid_of(recipe, session_of(recipe)))
    found = estimate(recipe, session_of(recipe))
    assert (found.shape.n_samples, found.shape.n_features, found.n_neurons) == (*matrices.X.shape, 9)
    arrays = 8 * 2_000 * (9 + matrices.X.shape[1])
    assert 4e8 + arrays < found.memory < 4e8 + 20 * arrays


@pytest.mark.parametrize("with_trials", [True, False])
def test_shapes_of_spikes_are_those_of_the_fit(with_trials, tmp_path):
    rng = np.random.default_rng(1)
    times = [np.sort(rng.uniform(low, high, 200)) for low, high in ((3, 9), (1, 8), (2, 11))]
    units = spike_trains(times, neurons=pd.DataFrame({"quality": ["good", "mua", "good"]}))
    table = pd.DataFrame({"start_time": [2.0, 6.0], "stop_time": [5.0, 10.0]})
    session = pg.Session(
        activity={"units": units},
        signals={"speed": signal(rng.normal(size=120), rate=10), "side": signal(np.arange(120) // 30, rate=10)},
        intervals={"trials": intervals(table)} if with_trials else {},
    )
    text = """grid.dt = 0.1\nneurons = "quality == 'good'"\ndata.path = "a.nwb"\n"""
    text += "" if with_trials else "trials.source = 2\n"
    text += '[[terms]]\nbasis = "categories"\nvariable = "side"\n[[terms]]\nbasis = "linear"\nvariable = "speed"\n'
    recipe = parse_recipe(text, tmp_path / "recipe.toml")
    matrices = build(recipe, grid_of(recipe, session))
    found = estimate(recipe, session)
    assert (found.shape.n_samples, found.shape.n_features, found.n_neurons) == (*matrices.X.shape, 2)


def test_no_activity_is_read_for_an_estimate(recipe):
    session = session_of(recipe)
    values = np.broadcast_to(np.float32(0), (2_000, 10**7))
    large = pg.Session({"spikes": traces(values, rate=20)}, session.signals)
    assert estimate(recipe, large).n_neurons == 10**7


def test_what_cannot_be_carried_out_is_told_by_the_look(recipe):
    session = session_of(recipe)
    assert "speed" in complaint(estimate, recipe, pg.Session(session.activity, {"touch": session.signals["touch"]}))


def test_rooms_are_declared_or_shares_of_limits():
    class Client:
        def scheduler_info(self, **options):
            if options:
                raise TypeError("an older distributed")
            worker = {"nthreads": 4, "memory_limit": 8e9}
            return {"workers": {
                "a": worker, "b": {**worker, "resources": {"memory": 6e9, "GPU": 1}}, "c": {**worker, "memory_limit": 0}
            }}  # fmt: skip

    assert rooms_of(Client()) == [Room("a", 4, 2e9, False), Room("b", 4, 6e9, True), Room("c", 4, math.inf, False)]


def test_a_session_without_room_is_told():
    rooms = [Room("a", 1, 1e9, False), Room("b", 1, 3e9, False)]
    assert no_room("m1", 3e9, rooms) is None
    assert no_room("m1", 1e12, []) is None
    told = no_room("m1", 4e9, rooms)
    assert told.startswith("session 'm1' takes about 4 GB, and the largest of 2 workers has 3 GB for a task")
    assert "with one thread each" not in told
    assert "with one thread each" in no_room("m1", 4e9, [Room("a", 4, 1e9, False)])


def test_sessions_are_split_where_that_helps():
    expected = of_shape(FitShape(1_000_000, 50, 1_000))
    everywhere = math.inf
    assert blocks_of(expected, expected.seconds, everywhere, None) == [(0, 1_000)]
    thirds = blocks_of(expected, expected.seconds / 3, everywhere, None)
    assert thirds == [(0, 333), (333, 666), (666, 1_000)]
    # small ones are not worth it, however few there are
    small = of_shape(FitShape(1_000, 50, 100))
    assert blocks_of(small, small.seconds / 8, everywhere, None) == [(0, 100)]
    # by memory, into as few as have room
    room = expected.of_neurons(500).memory
    assert blocks_of(expected, expected.seconds, room, None) == [(0, 500), (500, 1_000)]
    assert room < expected.memory
    # what every block needs is too large: it stays whole, and is refused
    assert blocks_of(expected, expected.seconds, 1e9, None) == [(0, 1_000)]


def test_a_session_that_no_worker_can_hold_is_refused_at_once(client, tmp_path, monkeypatch):
    paths, recipe = write_sessions(tmp_path / "data", 2)
    monkeypatch.setattr("popglm.scale.placement.rooms_of", None)
    monkeypatch.setattr("popglm.scale.jobs.rooms_of", lambda _: [Room("a", 1, 1e8, False)])
    found = pg.fit_sessions(paths, recipe, tmp_path / "out", client)
    assert found.table["status"].tolist() == ["failed", "failed"]
    assert "session 'day0' takes about 0.4" in found.table["error"].iloc[0]
    assert found.neurons is None


def test_declared_memory_is_counted_by_dask(cluster, tmp_path):
    """A worker that declares room for one task runs one, though it has two threads."""
    distributed = pytest.importorskip("distributed")
    paths, recipe = write_sessions(tmp_path / "data", 3)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None,
            resources={"memory": 6e8}, local_directory=str(tmp_path / "dask"),
        ) as own,
        distributed.Client(own, set_as_default=False) as client,
    ):  # fmt: skip
        client.run(_count_fits)
        found = pg.fit_sessions(paths, recipe, tmp_path / "out", client)
        (most,) = client.run(_most_fits).values()
    assert found.is_complete, found.table["error"].tolist()
    assert most == 1


_RUNNING: dict = {"now": 0, "most": 0}


def _count_fits():
    """Have a worker note how many fits it runs at a time."""
    from popglm.scale import session_tasks

    fit = session_tasks._fit

    def counted(*arguments):
        _RUNNING["now"] += 1
        _RUNNING["most"] = max(_RUNNING["most"], _RUNNING["now"])
        try:
            return fit(*arguments)
        finally:
            _RUNNING["now"] -= 1

    session_tasks._fit = counted


def _most_fits():
    return _RUNNING["most"]

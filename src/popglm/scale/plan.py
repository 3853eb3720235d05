"""What fits of recordings by a recipe take on a cluster: shapes, a pilot fit of some neurons, and a division."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from popglm.analysis.cost import FitShape, cpu_seconds
from popglm.analysis.explaining import with_explanation
from popglm.analysis.kinds import has_known_cost, kind_of
from popglm.analysis.recipe import Recipe, read_recipe
from popglm.analysis.result import make_result
from popglm.analysis.running import build, fit_recipe, grid_of, session_of
from popglm.checks import is_number, shown
from popglm.engines.threads import at_most_threads
from popglm.recording import Session
from popglm.scale.division import Cluster, Division, divide
from popglm.scale.estimates import estimate, memory_of_task
from popglm.scale.stores import distinct_names, recipe_of_session

__all__ = ["Plan", "plan"]

#: Neurons of a pilot fit: the fewest that tell anything of others, and enough.
FEWEST, ENOUGH = 4, 48


@dataclass(frozen=True)
class Pilot:
    """A fit of some neurons of a recording, by which a plan is scaled.

    Attributes
    ----------
    session : str
    n_neurons : int
    seconds : float
        Of a core.
    evaluations : float
        Of loss and gradient that a problem took at a strength.
    reading, explaining : float
        Seconds of a core beside the fit: to read the recording and build its design; to explain the fit and write it.
    """

    session: str
    n_neurons: int
    seconds: float
    evaluations: float
    reading: float
    explaining: float

    def beside(self, shapes: Mapping[str, FitShape]) -> float:
        """Seconds of a core that all sessions take beside their fits: by samples, and by neurons above those here."""
        own = shapes[self.session]
        read = sum(shape.n_samples for shape in shapes.values()) / own.n_samples * self.reading
        return read + sum(max(1.0, shape.n_neurons / self.n_neurons) for shape in shapes.values()) * self.explaining


@dataclass(frozen=True)
class Plan:
    """What fits take.

    Attributes
    ----------
    table : DataFrame
        A row per session: ``samples``, ``features``, ``neurons``, and ``cpu_seconds`` and ``memory_gb`` of a whole fit.
    pilot : Pilot, or None
        None where nothing was tried: evaluations and seconds are then those of simulations.
    cluster : Cluster
    division : Division
    beside : float
        Seconds of a core that all sessions take beside their fits; 0 where nothing was tried.
    """

    table: pd.DataFrame
    pilot: Pilot | None
    cluster: Cluster
    division: Division
    beside: float = 0.0

    def facts(self) -> dict[str, Any]:
        """What the command line tells."""
        divided, table, cluster = self.division, self.table, self.cluster
        pilot = self.pilot
        seconds = divided.seconds + self.beside / (cluster.nodes * cluster.cores)
        return {
            "sessions": len(table),
            "neurons": int(table["neurons"].sum()),
            "samples": int(table["samples"].sum()),
            "columns": int(table["features"].max()),
            "pilot": "nothing: from simulations"
            if pilot is None
            else f"{pilot.n_neurons} neurons of {pilot.session!r}, {_seconds(pilot.seconds)} of a core",
            "evaluations": None if pilot is None else round(pilot.evaluations, 2),
            "cpu_hours": float(f"{table['cpu_seconds'].sum() / 3600:.3g}"),
            "largest_fit_gb": float(f"{table['memory_gb'].max():.3g}"),
            "cluster": f"{cluster.nodes:,} nodes of {cluster.cores:,} cores and {cluster.memory / 1e9:.3g} GB",
            "cpu_hours_beside_the_fits": None if pilot is None else float(f"{self.beside / 3600:.3g}"),
            "time": _seconds(seconds),
            "seconds": float(f"{seconds:.3g}"),
            "longest_part": divided.bottleneck,
            "parts": {part: round(own / divided.seconds, 3) for part, own in divided.parts.items()},
            "divided_over": divided.over,
            "tasks": divided.n_tasks,
            "neurons_per_task": divided.neurons_per_task,
            "nodes_per_task": divided.nodes_per_task,
            "threads_per_task": divided.threads_per_task,
            "memory_per_task_gb": float(f"{divided.memory_per_task / 1e9:.3g}"),
            "rows_per_chunk": divided.rows_per_chunk,
        }


def plan(
    sessions: Iterable[str | Path] | Mapping[str, str | Path | Session],
    recipe: Recipe | str | Path,
    cluster: Cluster | None = None,
    pilot_seconds: float = 30.0,
) -> Plan:
    """How long the fits of recordings take on a cluster, and how best to divide them.

    Clocks and variables are read. Then some neurons of the session of median length are fitted, in this process and
    with one thread: how many evaluations a neuron takes is a property of the data, which no shape tells. The model of
    the cost scales this pilot to all neurons, sessions and nodes; see :doc:`/scale`.

    Parameters
    ----------
    sessions : iterable of path, or mapping of str to path or Session
        As in `popglm.fit_sessions`.
    recipe : Recipe or path
    cluster : Cluster, optional
        By default one node, which is this machine.
    pilot_seconds : float
        How long the pilot takes, about; where that is too short for a few neurons, or 0, nothing is tried.

    Raises
    ------
    ValueError, TypeError
        If a recipe cannot be carried out on a session; which, and why.
    MemoryError
        If the cluster cannot hold a session.

    Examples
    --------
    >>> import popglm as pg
    >>> found = pg.plan(["data/m1.nwb", "data/m2.nwb"], "recipe.toml", pg.Cluster(nodes=4, cores=32, memory=256e9))
    ... # doctest: +SKIP
    >>> found.division.seconds, found.division.neurons_per_task  # doctest: +SKIP
    (312.5, 167)
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    if not (is_number(pilot_seconds) and pilot_seconds >= 0):
        raise ValueError(f"plan: pilot_seconds must be a number that is not negative; found {shown(pilot_seconds)}")
    if not has_known_cost(recipe.content.model):
        raise ValueError(
            f"{recipe.place(('model',))}: plan knows what a plain GLMCV takes, and no {kind_of(recipe.content.model)} "
            "or search for factors; fit one session, whose result says its seconds (popglm info)"
        )
    cluster = Cluster() if cluster is None else cluster
    named = distinct_names(sessions)
    shapes = {name: _shape(recipe, name, one) for name, one in named.items()}
    pilot = _pilot(recipe, named, shapes, pilot_seconds)
    evaluations, factor = None, 1.0
    if pilot is not None:
        piloted = shapes[pilot.session].of_neurons(pilot.n_neurons)
        evaluations = pilot.evaluations
        factor = pilot.seconds / cpu_seconds(piloted, evaluations)
    return _planned(shapes, pilot, cluster, evaluations, factor)


def _shape(recipe: Recipe, name: str, one: str | Session) -> FitShape:
    """The shape of the fit of a session."""
    own = recipe_of_session(recipe, name, one)
    with ExitStack() as stack:
        session = session_of(own, one if isinstance(one, Session) else None)
        if not isinstance(one, Session):
            stack.enter_context(session)
        return estimate(own, session).shape


def _pilot(
    recipe: Recipe, named: Mapping[str, str | Session], shapes: Mapping[str, FitShape], most: float
) -> Pilot | None:
    """Fit some neurons of a session in the middle of the others, if that takes few seconds enough."""
    name = sorted(shapes, key=lambda name: cpu_seconds(shapes[name]))[len(shapes) // 2]
    shape, one = shapes[name], named[name]
    n = min(ENOUGH, shape.n_neurons)
    while n > min(FEWEST, shape.n_neurons) and cpu_seconds(shape.of_neurons(n)) > most:
        n -= 1
    if not n or cpu_seconds(shape.of_neurons(n)) > most:
        return None
    own = recipe_of_session(recipe, name, one)
    began = time.process_time()
    with ExitStack() as stack:
        session = session_of(own, one if isinstance(one, Session) else None)
        if not isinstance(one, Session):
            stack.enter_context(session)
        data, trials = grid_of(own, session), session.trials
        matrices = build(own, data)
    reading = time.process_time() - began
    # neurons that lie apart in the table: neighbours are of one area, or of one plane
    apart = slice(None, n * (shape.n_neurons // n), shape.n_neurons // n)
    some, data = matrices.of_neurons(apart), data.isel(neuron=apart)
    with at_most_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # what a first fit of a process compiles is no cost of the others
        fit_recipe(own, matrices.of_neurons(slice(0, 1)))
        began = time.process_time()
        model = fit_recipe(own, some)
        seconds = time.process_time() - began
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            result = with_explanation(own, make_result(own, data, some, model, trials), data, some)
            result.save(Path(folder, "pilot.nc"))
        explaining = time.process_time() - began
    taken = model.n_iter_.sum() + model.cv_n_iter_.sum()
    return Pilot(name, n, seconds, float(taken / shape.of_neurons(n).n_problems), reading, explaining)


def _planned(
    shapes: Mapping[str, FitShape], pilot: Pilot | None, cluster: Cluster, evaluations: float | None, factor: float
) -> Plan:
    """The plan for known evaluations, where a fit takes ``factor`` times what the model says."""
    rows = {
        name: {
            "samples": shape.n_samples,
            "features": shape.n_features,
            "neurons": shape.n_neurons,
            "cpu_seconds": factor * cpu_seconds(shape, evaluations, cluster.rates),
            "memory_gb": memory_of_task(shape, shape.n_neurons) / 1e9,
        }
        for name, shape in shapes.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("session")
    beside = 0.0 if pilot is None else pilot.beside(shapes)
    return Plan(table, pilot, cluster, divide(shapes, cluster, evaluations, factor), beside)


def _seconds(seconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"

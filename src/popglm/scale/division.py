"""How best to divide fits over a cluster, and how long they take there: from the model of their cost.

Neurons need nothing of each other. So tasks are of neurons as long as a node can hold a session's design matrix, and
nothing is sent between nodes meanwhile. Where it cannot, the rows of the matrix are divided over the nodes: every
evaluation then sends weights to all of them, and sums their gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from popglm.analysis.cost import SHARED, FitShape, Rates, evaluations_per_strength, parts_of_cost, with_threads
from popglm.checks import check_count, check_positive
from popglm.engines.memory import memory_of_machine
from popglm.engines.threads import usable_cores
from popglm.scale.estimates import memory_of_task

__all__ = ["Cluster", "Division", "divide"]

#: Seconds of a core by part.
Cost = Callable[[FitShape], dict[str, float]]
#: Neurons that a task has at least; tasks for each place, so that none waits long for the last.
FEWEST_NEURONS, TASKS_PER_PLACE = 8, 3
#: Bytes of a node where the system does not say.
MOST_MEMORY = 1e15
#: Chunks of rows for each node; bytes that a chunk has at least and at most.
CHUNKS_PER_NODE, LEAST_BYTES, MOST_BYTES = 4, 1.6e7, 2.56e8
#: Numbers for every column that the solver holds of a problem: its weights, and pairs of steps and gradients.
HELD_PER_COLUMN = 40


@dataclass(frozen=True)
class Cluster:
    """Nodes of one kind.

    Parameters
    ----------
    nodes : int
    cores : int, optional
        Of a node; by default those of this machine that the process may use.
    memory : float, optional
        Bytes of a node; by default those of this machine.
    network : float
        Bytes that a node receives per second.
    disk : float
        Bytes per second at which a node reads recordings and computes designs.
    latency : float
        Seconds that it takes to reach all nodes and hear of them, apart from what is sent.
    rates : Rates, optional
        How fast a core is; by default as the cores on which the model of the cost was measured.

    Raises
    ------
    ValueError, TypeError
        If one is not positive.

    Examples
    --------
    >>> Cluster(nodes=10, cores=32, memory=256e9).nodes
    10
    """

    nodes: int = 1
    cores: int = field(default_factory=usable_cores)
    memory: float = field(default_factory=lambda: min(memory_of_machine(), MOST_MEMORY))
    network: float = 1.25e9
    disk: float = 2e8
    latency: float = 5e-3
    rates: Rates | None = None

    @classmethod
    def of_kind(cls, nodes: int, cores: int | None, gigabytes: float | None, gigabits: float) -> Cluster:
        """Nodes as people buy them: gigabytes of memory, gigabits per second between them; None as of this machine."""
        here = cls(nodes)
        memory = here.memory if gigabytes is None else 1e9 * gigabytes
        return cls(nodes, here.cores if cores is None else cores, memory, 1e9 * gigabits / 8)

    def __post_init__(self) -> None:
        for name in ("nodes", "cores"):
            check_count("Cluster", name, getattr(self, name), least=1)
        for name in ("memory", "network", "disk", "latency"):
            check_positive("Cluster", name, getattr(self, name))


@dataclass(frozen=True)
class Division:
    """How fits are divided, and what they take.

    Attributes
    ----------
    over : str
        "neurons": tasks of neurons, each with all samples. "rows": nodes share the samples of a session.
    seconds : float
        From the first fit to the last.
    parts : dict of str to float
        Those seconds by what they are spent on: `popglm.analysis.cost.PARTS`, "reading", "network", and "waiting" for
        the longest task.
    n_tasks : int
    nodes_per_task : int
    threads_per_task : int
        On each of its nodes.
    neurons_per_task : int
        At most.
    memory_per_task : float
        Bytes of the largest.
    rows_per_chunk : int
        Of X, where it is stored in chunks of rows; the smallest of the sessions.
    """

    over: str
    seconds: float
    parts: dict[str, float]
    n_tasks: int
    nodes_per_task: int
    threads_per_task: int
    neurons_per_task: int
    memory_per_task: float
    rows_per_chunk: int

    @property
    def bottleneck(self) -> str:
        """The part that takes longest."""
        return max(self.parts, key=self.parts.__getitem__)


def divide(
    shapes: Mapping[str, FitShape], cluster: Cluster, evaluations: float | None = None, factor: float = 1.0
) -> Division:
    """The fastest division of fits over a cluster.

    Parameters
    ----------
    shapes : mapping of str to FitShape
        The fit of each session.
    cluster : Cluster
    evaluations : float, optional
        Of a problem per strength; by default as in simulations.
    factor : float
        How many times as long a fit takes as the model of the cost says.

    Raises
    ------
    MemoryError
        If the nodes cannot hold a session's design matrix even together.

    Examples
    --------
    >>> shape = FitShape(n_samples=30_000, n_features=300, n_neurons=1_000)
    >>> divided = divide({"m1": shape}, Cluster(nodes=4, cores=16, memory=64e9))
    >>> divided.over, divided.threads_per_task
    ('neurons', 1)
    """
    cost = partial(_cost, evaluations=evaluations, rates=cluster.rates, factor=factor)
    found = [
        division
        for threads in _numbers_of_threads(cluster.cores)
        if (division := _over_neurons(shapes, cluster, threads, cost)) is not None
    ]
    return min(found, key=lambda one: one.seconds) if found else _over_rows(shapes, cluster, evaluations, cost)


def _cost(shape: FitShape, evaluations: float | None, rates: Rates | None, factor: float) -> dict[str, float]:
    return {part: factor * seconds for part, seconds in parts_of_cost(shape, evaluations, rates).items()}


def _numbers_of_threads(cores: int) -> list[int]:
    return sorted({*(2**k for k in range(cores.bit_length()) if 2**k <= cores), cores})


def _over_neurons(shapes: Mapping[str, FitShape], cluster: Cluster, threads: int, cost: Cost) -> Division | None:
    """Tasks of neurons, of so many threads each; None where a node has no room for as many."""
    places = cluster.nodes * (cluster.cores // threads)
    room = cluster.memory / (cluster.cores // threads)
    wholes = {name: sum(cost(shape).values()) for name, shape in shapes.items()}
    share = sum(wholes.values()) / (places * TASKS_PER_PLACE)
    parts: dict[str, float] = {}
    longest, n_tasks, neurons, memory = 0.0, 0, 0, 0.0
    for name, shape in shapes.items():
        size = _neurons_with_room(shape, room)
        if size is None:
            return None
        size = min(size, max(FEWEST_NEURONS, math.ceil(shape.n_neurons * share / max(wholes[name], 1e-9))))
        n_blocks = math.ceil(shape.n_neurons / size)
        block = shape.of_neurons(math.ceil(shape.n_neurons / n_blocks))
        own = with_threads(cost(block), threads)
        own["reading"] = _bytes_read(shape) / cluster.disk
        longest = max(longest, sum(own.values()))
        for part, seconds in own.items():
            parts[part] = parts.get(part, 0.0) + seconds * n_blocks / places
        n_tasks += n_blocks
        neurons, memory = max(neurons, block.n_neurons), max(memory, memory_of_task(block, shape.n_neurons))
    parts["waiting"] = _waiting(parts, longest, n_tasks, places)
    chunk = min(_rows_per_chunk(shape, 1) for shape in shapes.values())
    return Division("neurons", sum(parts.values()), parts, n_tasks, 1, threads, neurons, memory, chunk)


def _neurons_with_room(shape: FitShape, room: float) -> int | None:
    """The most neurons of a task that takes no more than so many bytes."""
    most, least = shape.n_neurons, 1
    if memory_of_task(shape.of_neurons(least), shape.n_neurons) > room:
        return None
    while least < most:
        middle = (least + most + 1) // 2
        fits = memory_of_task(shape.of_neurons(middle), shape.n_neurons) <= room
        least, most = (middle, most) if fits else (least, middle - 1)
    return least


def _over_rows(shapes: Mapping[str, FitShape], cluster: Cluster, evaluations: float | None, cost: Cost) -> Division:
    """Nodes share the rows of a session, some nodes each: no more than make the whole fast."""
    found = []
    batches = dict.fromkeys(shapes, 0)
    for nodes in sorted({*(2**k for k in range(1, cluster.nodes.bit_length())), cluster.nodes}):
        batches = {name: _neurons_of_rows(shape, cluster, nodes) for name, shape in shapes.items()}
        if min(batches.values()) >= 1:
            found.append(_over_rows_of(shapes, batches, cluster, nodes, evaluations, cost))
    if found:
        return min(found, key=lambda one: one.seconds)
    name = next(name for name, size in batches.items() if size < 1)
    matrix = _matrix(shapes[name])
    raise MemoryError(
        f"session {name!r} has a design matrix of {matrix / 2e9:.3g} GB, which {cluster.nodes:,} nodes of "
        f"{cluster.memory / 1e9:.3g} GB cannot hold with room to fit; give about "
        f"{math.ceil(2 * matrix / cluster.memory):,} nodes"
    )


def _matrix(shape: FitShape) -> float:
    """Bytes of a design matrix, and of a copy of it."""
    return 2.0 * shape.itemsize * shape.n_samples * shape.n_features


def _per_neuron(shape: FitShape, nodes: int) -> float:
    """Bytes of a neuron on a node that has a share of the rows."""
    rows = math.ceil(shape.n_samples / nodes)
    return float(shape.itemsize * shape.n_fits * (HELD_PER_COLUMN * shape.n_features + 3 * rows))


def _neurons_of_rows(shape: FitShape, cluster: Cluster, nodes: int) -> int:
    """The most neurons that nodes which share the rows have room for."""
    room = cluster.memory - _matrix(shape) / nodes
    return min(int(room / _per_neuron(shape, nodes)), shape.n_neurons)


def _over_rows_of(
    shapes: Mapping[str, FitShape],
    batches: Mapping[str, int],
    cluster: Cluster,
    nodes: int,
    evaluations: float | None,
    cost: Cost,
) -> Division:
    """Every task has the rows of a session on so many nodes, and as many neurons as ``batches`` says."""
    parts: dict[str, float] = {}
    n_tasks, neurons, memory, longest = 0, 0, 0.0, 0.0
    places = cluster.nodes // nodes
    for name, shape in shapes.items():
        size = min(batches[name], max(FEWEST_NEURONS, math.ceil(shape.n_neurons * len(shapes) / places)))
        n_batches = math.ceil(shape.n_neurons / size)
        block = shape.of_neurons(math.ceil(shape.n_neurons / n_batches))
        rounds = (evaluations or evaluations_per_strength(shape)) * shape.n_strengths
        # one process sends weights to every node, and hears of each
        sent = 2.0 * nodes * shape.itemsize * shape.n_features * block.n_neurons * shape.n_fits
        own = with_threads(cost(block), cluster.cores)
        own = {part: seconds / nodes if part in SHARED else seconds for part, seconds in own.items()}
        own["network"] = rounds * (cluster.latency + sent / cluster.network)
        own["reading"] = _bytes_read(shape) / cluster.disk / nodes
        longest = max(longest, sum(own.values()))
        for part, seconds in own.items():
            parts[part] = parts.get(part, 0.0) + seconds * n_batches / places
        n_tasks += n_batches
        neurons = max(neurons, block.n_neurons)
        memory = max(memory, _matrix(shape) / nodes + _per_neuron(shape, nodes) * block.n_neurons)
    parts["waiting"] = _waiting(parts, longest, n_tasks, places)
    chunk = min(_rows_per_chunk(shape, nodes) for shape in shapes.values())
    return Division("rows", sum(parts.values()), parts, n_tasks, nodes, cluster.cores, neurons, memory, chunk)


def _waiting(parts: Mapping[str, float], longest: float, n_tasks: int, places: int) -> float:
    """Seconds in which some place has nothing to do: the last task to end began when all were busy."""
    busy = sum(parts.values())
    return max(longest * (1 - 1 / places) if n_tasks > places else 0.0, longest - busy, 0.0)


def _bytes_read(shape: FitShape) -> float:
    """Bytes of a recording's activity and of its design matrix."""
    return float(shape.itemsize * shape.n_samples * (shape.n_features + shape.n_neurons))


def _rows_per_chunk(shape: FitShape, nodes: int) -> int:
    """Rows of X in a chunk: some chunks for each node, none so small that opening it is felt, none hard to hold."""
    row = shape.itemsize * shape.n_features
    n_bytes = min(max(row * shape.n_samples / (nodes * CHUNKS_PER_NODE), LEAST_BYTES), MOST_BYTES)
    return max(min(int(n_bytes / row), shape.n_samples), 1)

"""Many sessions by one recipe, each on a worker of its own; or one after the other, in this process."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from popglm.analysis.kinds import has_known_cost, kind_of
from popglm.analysis.recipe import Recipe, read_recipe
from popglm.checks import check_count, check_flag
from popglm.io.files import write_whole
from popglm.io.locks import held_lock
from popglm.scale.estimates import Estimate
from popglm.scale.jobs import DaskJobs, HereJobs, Job, JobFailed, SchedulerGone
from popglm.scale.placement import blocks_of
from popglm.scale.progress import Progress
from popglm.scale.session_tasks import Look, Note, Outcome, SessionTask, fit_session, look, merge_session
from popglm.scale.stores import (
    check_further_files,
    clear_rests,
    named_sessions,
    output_folder,
    recipe_of_session,
    write_table,
)
from popglm.warnings import warn

__all__ = ["SessionsResult", "fit_sessions"]

#: Looks per place that are under way at a time: they take milliseconds.
LOOKS_AHEAD = 3
#: Fits of fewer seconds are begun anew rather than kept while they go on.
KEPT_SECONDS = 0.5


@dataclass(frozen=True)
class SessionsResult:
    """What became of many sessions.

    Attributes
    ----------
    table : DataFrame
        A row per session, by its name: ``status`` ("done"; "finished" where an earlier call had done it; "refused",
        "failed"), ``seconds`` that workers took, ``path`` of the store, and ``error``, a sentence.
    neurons : Path, or None
        The table of all neurons; None where no session has a store.
    """

    table: pd.DataFrame
    neurons: Path | None

    @property
    def is_complete(self) -> bool:
        """Whether every session has a store."""
        return bool((self.table["path"] != "").all())

    def facts(self) -> dict[str, Any]:
        """How many sessions ended how, errors by session, and the table of neurons, as JSON can hold them."""
        errors = self.table["error"]
        return {
            "sessions": {str(status): int(count) for status, count in self.table["status"].value_counts().items()},
            "errors": {str(name): error for name, error in errors.items() if error},
            "neurons": None if self.neurons is None else str(self.neurons),
        }

    def __repr__(self) -> str:
        """How many sessions ended how."""
        counts = self.table["status"].value_counts()
        return f"SessionsResult: {', '.join(f'{count:,} {status}' for status, count in counts.items())}"


def fit_sessions(
    sessions: Mapping[str, Any] | Iterable[Any],
    recipe: str | Path | Recipe,
    output: str | Path,
    client: Any = None,
    *,
    threads_per_task: int | None = None,
    neurons_per_task: int | None = None,
    replace: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> SessionsResult:
    """Fit many sessions by one recipe, as ``popglm fit`` does each, and write a store for every one of them.

    A session that cannot be fitted stops no other. Stores are written as fits end, each whole or not at all. The same
    call goes on where another one was stopped, by whatever: it skips stores that are finished.

    Parameters
    ----------
    sessions : list of path-like or Session, or mapping of names to them
        A path is called by its file or folder without the ending, a `Session` by ``attrs["session_id"]``. Names become
        names of files. With a client, a `Session` is sent to its worker, and cannot lie in open files.
    recipe : path-like or Recipe
        The ``path`` of its ``[data]`` is replaced by each session's. ``{name}`` in the paths of ``also`` is replaced by
        the name of the session.
    output : path-like
        A folder, for ``NAME.nc`` and ``NAME.parquet`` of each session, and ``neurons.parquet`` with a row per neuron of
        all of them (CSV without pyarrow). It is one call's at a time. Workers must see it under the same path.
    client : distributed.Client, optional
        Whose workers fit the sessions, a session each; this process does unless given, without Dask. A session that is
        long beside the others, or too large for any worker, is fitted in blocks of neurons.
    threads_per_task : int, optional
        Threads of a fit, and of BLAS, numba and XLA in it. With a client 1 unless given, for Dask runs as many fits in
        a worker as it has threads; without, as many as there are cores. The last bits of a fit depend on it.
    neurons_per_task : int, optional
        Neurons of a block at most. Estimates decide unless it is given. Models other than a GLMCV, and searches for
        factors, are fitted to all neurons of a session at a time.
    replace : bool
        Whether a store of another recipe, or of a recording that has changed since, is replaced; it is refused unless
        asked for.
    tell : callable, optional
        Called with a `Progress` at the beginning and whenever something has ended.

    Returns
    -------
    SessionsResult

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the recipe says what no recipe says, or would join one file to all sessions.
    OSError
        If the folder cannot be made or written to, or another call has it (errno EBUSY).
    ConnectionError
        If the scheduler is gone. What is finished is kept, and the table of its neurons is written.

    Notes
    -----
    First a task per session reads its clocks and variables, but no activity. What it finds says whether the session
    can be fitted at all, how much memory that takes, and how long, beside the others. Long sessions begin first. A task
    is placed on a worker that has room: as much ``memory`` as the worker declares among its resources, else its memory
    limit over its threads. A session without room on any worker is refused at once.

    A finished store is known by a hash of the recipe, and by path, size and time of change of the recording's files;
    that of a `Session` by hashes of the recipe, and of its design matrix and activity.

    Fits that take more than some seconds are kept in ``output/.checkpoints`` while they go on. Where a worker dies, its
    session goes on at another one, and ends with the same bits. A session whose workers die four times is given up.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd
    >>> import popglm as pg
    >>> recipe = [
    ...     'data.path = ""  # that of each session takes its place',
    ...     'terms = [{basis = "linear", variable = "speed"}]',
    ...     "model.n_lambdas = 4",
    ...     "trials.source = 3",
    ... ]
    >>> rng, sessions = np.random.default_rng(0), {}
    >>> for name in ("monday", "tuesday"):
    ...     speed = rng.normal(size=2_000)
    ...     counts = rng.poisson(np.exp(0.5 * speed[:, None] * [1, 0] - 1))
    ...     sessions[name] = pg.Session(
    ...         activity={"spikes": pg.recording.traces(counts, rate=10)},
    ...         signals={"speed": pg.recording.signal(speed, rate=10)},
    ...     )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/recipe.toml", "w") as file:
    ...         _ = file.write("\\n".join(recipe))
    ...     first = pg.fit_sessions(sessions, f"{folder}/recipe.toml", f"{folder}/results")
    ...     again = pg.fit_sessions(sessions, f"{folder}/recipe.toml", f"{folder}/results")
    ...     monday = pg.load(f"{folder}/results/monday.nc")
    >>> first, again
    (SessionsResult: 2 done, SessionsResult: 2 finished)
    >>> abs(monday.coef_[:, 0]).round(1)
    array([0.5, 0. ], dtype=float32)
    """
    for name, number in (("threads_per_task", threads_per_task), ("neurons_per_task", neurons_per_task)):
        if number is not None:
            check_count("fit_sessions", name, number, least=1, most=1_000_000)
    check_flag("fit_sessions", "replace", replace)
    named = named_sessions(sessions)
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    check_further_files(recipe, len(named))
    if neurons_per_task is not None and not has_known_cost(recipe.content.model):
        raise ValueError(
            f"fit_sessions: neurons_per_task={neurons_per_task} divides the neurons of a plain GLMCV; a session is "
            f"fitted whole by this recipe ({kind_of(recipe.content.model)}): leave it out"
        )
    # of all sessions alike: whether the recipe can be written for another
    recipe_of_session(recipe, *next(iter(named.items())))
    threads = threads_per_task if client is None else threads_per_task or 1
    jobs = HereJobs() if client is None else DaskJobs(client, threads or 1)
    folder = output_folder(output)
    taken = "another call writes its sessions here; wait for its end, or give another folder"
    with held_lock(folder / ".lock", taken):
        tasks = {name: SessionTask(name, recipe, one, folder, threads, replace) for name, one in named.items()}
        run = _Run(tasks, jobs, neurons_per_task, tell)
        try:
            run.look()
            run.fit()
        except SchedulerGone as error:
            write_table(folder, tasks)
            kept = sum(outcome.state in ("done", "finished") for outcome in run.outcomes.values())
            raise ConnectionError(
                f"{error}: {kept:,} of {len(tasks):,} sessions are finished and kept in {str(folder)!r}; the same call "
                "goes on with the others"
            ) from error
        return run.result(folder)


@dataclass(eq=False)
class _Run:
    """The sessions of a call on their way.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Of sessions that have ended.
    looks : dict of str to Look
        Of those that are fitted.
    told : set of (str, str)
        Names of sessions, and warnings that were told of them.
    """

    tasks: dict[str, SessionTask]
    jobs: HereJobs | DaskJobs
    neurons_per_task: int | None
    tell: Callable[[Progress], None] | None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.progress = Progress(len(self.tasks), self.jobs.dashboard)
        self._tell()

    def look(self) -> None:
        """Look at all sessions."""
        waiting = deque(Job(name, look, (task,)) for name, task in self.tasks.items())
        for job, found in self.jobs.run(waiting, LOOKS_AHEAD):
            if isinstance(found, JobFailed):
                found = Look("failed", found.error)
            self.progress.n_looked += 1
            self._warn(job.name, found.notes)
            if found.state == "new":
                self.looks[job.name] = found
                self.progress.expect(expected_of(found))
                self._tell()
            else:
                self._end(job.name, Outcome(found.state, 0.0, found.error))

    def fit(self) -> None:
        """Fit those that are new, the longest first."""
        looks = self.looks
        share = sum(expected_of(found).seconds for found in looks.values()) / self.jobs.n_places
        order = sorted(looks, key=lambda name: (-expected_of(looks[name]).seconds, name))
        blocks = {name: self._blocks(name, share) for name in order}
        waiting = deque(job for name in order for job in self._jobs(name, blocks[name]))
        left, seconds = {name: len(own) for name, own in blocks.items()}, dict.fromkeys(blocks, 0.0)
        self.progress.begin()
        for job, found in self.jobs.run(waiting):
            name, outcome = job.name, Outcome("failed", 0.0, found.error) if isinstance(found, JobFailed) else found
            seconds[name] += outcome.seconds
            self._warn(name, outcome.notes)
            if name in self.outcomes:
                # another block of it has failed
                continue
            is_whole = job.tag is None or len(blocks[name]) == 1
            if job.tag is not None and outcome.state == "done":
                self.progress.advance(part_of(looks[name], job.tag))
                left[name] -= 1
            if outcome.state == "failed" or is_whole:
                others = [one for one in waiting if one.name != name]
                waiting.clear()
                waiting.extend(others)
                self._end(name, replace(outcome, seconds=seconds[name]))
            elif not left[name]:
                waiting.append(Job(name, merge_session, (self.tasks[name], tuple(blocks[name]))))
            self._tell()

    def _blocks(self, name: str, share: float) -> list[tuple[int, int]]:
        """The blocks of a session: those that an earlier call began with, if they have room."""
        task, found = self.tasks[name], self.looks[name]
        expected = expected_of(found)
        kept = list(found.blocks)
        largest = max((expected.of_neurons(block[1] - block[0]).memory for block in kept), default=0.0)
        if kept and kept[-1][1] == expected.n_neurons and largest <= self.jobs.largest:
            return kept
        if not has_known_cost(task.recipe.content.model):
            return [(0, expected.n_neurons)]
        blocks = blocks_of(expected, share, self.jobs.largest, self.neurons_per_task)
        if len(blocks) > 1:
            plan = task.place.plan(found.key)
            plan.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(blocks)
            write_whole(plan, lambda beside: Path(beside).write_text(text, "utf-8"), len(text), "the plan")
        return blocks

    def _jobs(self, name: str, blocks: list[tuple[int, int]]) -> list[Job]:
        """The fits of a session."""
        task, expected = self.tasks[name], expected_of(self.looks[name])
        kept = expected.seconds >= KEPT_SECONDS
        return [
            Job(
                name, fit_session, (task, block if len(blocks) > 1 else None, kept),
                expected.of_neurons(block[1] - block[0]).memory, block,
            )
            for block in blocks
        ]  # fmt: skip

    def _end(self, name: str, outcome: Outcome) -> None:
        """Note how a session ended."""
        self.outcomes[name] = outcome
        self.progress.end(outcome.state)
        self._tell()

    def _warn(self, name: str, notes: tuple[Note, ...]) -> None:
        """Tell what was warned of, once for a session, beside its name."""
        for text, category in notes:
            if (name, text) not in self.told:
                self.told.add((name, text))
                warn(f"{name}: {text}", category)

    def _tell(self) -> None:
        if self.tell is not None:
            self.tell(self.progress)

    def result(self, folder: Path) -> SessionsResult:
        """The tables of sessions and of neurons."""
        rows = {
            name: {
                "status": self.outcomes[name].state,
                "seconds": round(self.outcomes[name].seconds, 3),
                "path": str(task.place.store) if self.outcomes[name].state in ("done", "finished") else "",
                "error": self.outcomes[name].error,
            }
            for name, task in self.tasks.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("session")
        clear_rests(folder, table.index[table["path"] != ""])
        return SessionsResult(table, write_table(folder, table.index[table["path"] != ""]))


def expected_of(found: Look) -> Estimate:
    """What a session takes that is to be fitted."""
    if found.expected is None:
        raise ValueError("a session that is not new has no estimate")
    return found.expected


def part_of(found: Look, block: tuple[int, int]) -> Estimate:
    """What a block of a session takes of the whole: all blocks together take no more."""
    whole, n_neurons = expected_of(found), block[1] - block[0]
    seconds = whole.seconds * n_neurons / max(whole.n_neurons, 1)
    return replace(whole.of_neurons(n_neurons), seconds=seconds)

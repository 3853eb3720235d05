"""What a worker does with one session: look what it takes, fit it or some of its neurons, and merge what was fitted.

Nothing here knows of Dask. What goes wrong with a session is an `Outcome` like any other.
"""

from __future__ import annotations

import errno
import json
import platform
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from popglm.analysis.explaining import with_explanation
from popglm.analysis.kinds import Model
from popglm.analysis.recipe import Recipe
from popglm.analysis.result import LIBRARIES, fingerprint, has_table, make_result, open_result
from popglm.analysis.running import Matrices, build, fit_recipe, grid_of, session_of
from popglm.engines.threads import at_most_threads
from popglm.recording import Session
from popglm.scale.allocation import keep_freed_memory
from popglm.scale.estimates import Estimate, estimate
from popglm.scale.merging import merged
from popglm.scale.stores import Place, ingredients, key_of, made_of, recipe_of_session
from popglm.warnings import PopglmWarning

__all__ = ["Look", "Note", "Outcome", "SessionTask", "fit_session", "look", "merge_session"]

#: What was warned of, and as what.
Note = tuple[str, type[PopglmWarning]]
#: Seconds that a fit waits for another process that has its checkpoint, before it does without one.
PATIENCE = 60.0
#: Characters of an error that are told.
LONGEST_ERROR = 600


@dataclass(frozen=True)
class SessionTask:
    """One session, and what is to be done with it.

    Attributes
    ----------
    name : str
    recipe : Recipe
        That of all sessions.
    source : str or Session
        The path of the recording, or the recording itself.
    output : Path
        The folder of the stores.
    threads : int, or None
        That the fit may use; None for as many as there are cores.
    replace : bool
        Whether a store of other data, or another recipe, is replaced.
    """

    name: str
    recipe: Recipe
    source: str | Session
    output: Path
    threads: int | None
    replace: bool

    @property
    def session(self) -> Session | None:
        """The recording, if it does not lie in a file."""
        return self.source if isinstance(self.source, Session) else None

    @cached_property
    def own_recipe(self) -> Recipe:
        """The recipe with the path of this session; it is made where it is needed, as there may be many sessions."""
        return recipe_of_session(self.recipe, self.name, self.source)

    @property
    def place(self) -> Place:
        """Where its files lie."""
        return Place(self.output, self.name)


@dataclass(frozen=True)
class Look:
    """What a first look at a session says.

    Attributes
    ----------
    state : str
        "new", "finished", "refused" or "failed".
    error : str
        Why it is refused, or failed.
    key : str
        Of what a store of it is made of.
    expected : Estimate, or None
    blocks : tuple of (int, int)
        In which an earlier call has begun to fit its neurons.
    notes : tuple of Note
        What was warned of.
    """

    state: str
    error: str = ""
    key: str = ""
    expected: Estimate | None = None
    blocks: tuple[tuple[int, int], ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "done" or "failed", with the sentence of the error, its seconds, and what was warned of."""

    state: str
    seconds: float = 0.0
    error: str = ""
    n_neurons: int = 0
    notes: tuple[Note, ...] = ()


@contextmanager
def noted() -> Iterator[list[Note]]:
    """Catch warnings, which then are told beside the name of their session: other processes do not know it."""
    notes: list[Note] = []
    with warnings.catch_warnings(record=True) as caught:
        try:
            yield notes
        finally:
            own = ((str(one.message), one.category) for one in caught)
            every = ((text, kind if issubclass(kind, PopglmWarning) else PopglmWarning) for text, kind in own)
            notes.extend(dict.fromkeys(every))


def look(task: SessionTask) -> Look:
    """Whether a session is fitted already, can be fitted at all, and what that takes."""
    with noted() as notes:
        found = _look(task)
    return replace(found, notes=tuple(notes))


def _look(task: SessionTask) -> Look:
    """`look`, but for what is warned of."""
    try:
        about = ingredients(task.own_recipe, task.session)
        kept, key = made_of(task.place.store), key_of(about)
        with ExitStack() as stack:
            session = session_of(task.own_recipe, task.session)
            if task.session is None:
                stack.enter_context(session)
            if task.session is not None and kept is not None:
                about |= {"fingerprint": fingerprint(build(task.own_recipe, grid_of(task.own_recipe, session)))}
            if kept is not None and _same(kept, about):
                _complete(task.place.store)
                return Look("finished")
            if kept is not None and not task.replace:
                return Look("refused", _refusal(kept, about, task.place.store))
            return Look("new", "", key, estimate(task.own_recipe, session), _blocks(task.place.plan(key)))
    except Exception as error:
        # whatever is wrong with one recording, the others go on
        return Look("failed", sentence(error))


def _complete(store: Path) -> None:
    """Write the table of a store that lacks it: a call was ended, or had no room, between the two."""
    if not has_table(store):
        result = open_result(store)
        try:
            result.save_table(store)
        finally:
            result.tree.close()


def _same(kept: dict[str, Any], about: dict[str, Any]) -> bool:
    """Whether a store is made of these ingredients; of a session in memory the fingerprint decides."""
    return all(kept.get(name) == value for name, value in about.items())


def _refusal(kept: dict[str, Any], about: dict[str, Any], store: Path) -> str:
    """Why a store is not taken for this session."""
    if "damage" in kept:
        what = f"cannot be read: it is damaged, or no store ({kept['damage']})"
    elif not kept:
        what = "was not written by fit_sessions"
    elif kept.get("recipe") != about["recipe"]:
        what = "is of another recipe"
    else:
        what = "is of another recording, or of this one before it changed (path, size or time)"
    return f"{store.name} {what}; replace it with replace=True (--replace), or give another folder"


def _blocks(plan: Path) -> tuple[tuple[int, int], ...]:
    """The blocks of an earlier call."""
    try:
        return tuple((int(first), int(last)) for first, last in json.loads(plan.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return ()


def fit_session(task: SessionTask, block: tuple[int, int] | None = None, checkpoint: bool = True) -> Outcome:
    """Fit a session, or the neurons of a block, explain the fit, and write its store.

    Parameters
    ----------
    task : SessionTask
    block : (int, int), optional
        First neuron and the one after the last.
    checkpoint : bool
        Whether the fit is kept while it goes on, to go on elsewhere where this process ends.
    """
    began = time.perf_counter()
    with noted() as notes:
        try:
            keep_freed_memory()
            with ExitStack() as stack:
                if task.threads is not None:
                    stack.enter_context(at_most_threads(task.threads))
                n_neurons = _fit(task, block, checkpoint, stack)
            outcome = Outcome("done", time.perf_counter() - began, "", n_neurons)
        except Exception as error:
            outcome = Outcome("failed", time.perf_counter() - began, sentence(error))
    return replace(outcome, notes=tuple(notes))


def _fit(task: SessionTask, block: tuple[int, int] | None, checkpoint: bool, stack: ExitStack) -> int:
    """The number of neurons that the store has."""
    recipe, place = task.own_recipe, task.place
    about = ingredients(recipe, task.session)
    key = key_of(about)
    target = place.store if block is None else place.block(key, block)
    session = session_of(recipe, task.session)
    if task.session is None:
        stack.enter_context(session)
    data = grid_of(recipe, session)
    matrices = build(recipe, data)
    whole = fingerprint(matrices)
    # files tell what they are of by their path and times, a session in memory by its matrices alone
    about |= {"fingerprint": whole} if task.session is not None else {}

    def is_written() -> bool:
        kept = made_of(target)
        return kept is not None and _same(kept, about)

    if block is not None:
        some = slice(*block)
        data, matrices = data.isel(neuron=some), matrices.of_neurons(some)
    if is_written():
        if block is None:
            _complete(target)
        return int(matrices.Y.sizes["neuron"])
    folder = place.checkpoints / f"{key}-{key_of([block, task.threads, whole, _versions()])}"
    model = _model(recipe, matrices, folder if checkpoint else None, is_written)
    if model is not None:
        result = make_result(recipe, data, matrices, model, session.trials)
        result = with_explanation(recipe, result, data, matrices).with_about(session=about, fingerprint=whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        result.save(target)
    shutil.rmtree(folder if block is not None else place.checkpoints, ignore_errors=True)
    return int(matrices.Y.sizes["neuron"])


def _model(recipe: Recipe, matrices: Matrices, folder: Path | None, is_written: Callable[[], bool]) -> Model | None:
    """The fit; None where another process that had its checkpoint has written the store meanwhile.

    A process that was given up, and yet goes on, ends with the same bits: neither needs to know of the other.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    waited = time.monotonic() + PATIENCE
    while folder is not None and time.monotonic() < waited:
        try:
            return fit_recipe(recipe, matrices, checkpoint=folder)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        if is_written():
            return None
        time.sleep(0.5)
    return fit_recipe(recipe, matrices)


def merge_session(task: SessionTask, blocks: tuple[tuple[int, int], ...]) -> Outcome:
    """Write the store of a session from those of its blocks, which go."""
    began = time.perf_counter()
    try:
        place, about = task.place, ingredients(task.own_recipe, task.session)
        parts = [open_result(place.block(key_of(about), block)) for block in blocks]
        try:
            whole = merged(parts)
            whole.save(place.store)
        finally:
            for part in parts:
                part.tree.close()
        for rest in (place.blocks, place.checkpoints):
            shutil.rmtree(rest, ignore_errors=True)
        return Outcome("done", time.perf_counter() - began, "", len(whole.neurons))
    except Exception as error:
        return Outcome("failed", time.perf_counter() - began, sentence(error))


def _versions() -> list[str]:
    """Of what makes the last bits of a fit: a state goes on under the same alone."""
    return [platform.python_version(), *(version(name) for name in ("popglm", "numba", *LIBRARIES))]


def sentence(error: BaseException) -> str:
    """An error as one sentence; one that popglm does not raise by itself is named."""
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError | TypeError | OSError | ImportError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 3]}..."

"""States of fits in progress as named arrays, and what keeps them between calls.

All that a fit is given it makes anew from the same arrays by the same arithmetic. What changes while it goes on is its
state: put into objects that were made anew, it lets them go on to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

__all__ = ["UNKEPT", "Checkpoint", "Outcome", "Resumable", "State", "Together", "concluded", "inside", "under"]

#: Arrays by name; those of a part have the part's name and a dot before their own.
State = dict[str, np.ndarray]


class Checkpoint(Protocol):
    """Where a fit, or a part of one, is kept; parts of one fit may be kept from several threads."""

    def part(self, name: str) -> Checkpoint:
        """Where a part of it is kept."""

    def last(self) -> State | None:
        """The state that was kept last; None where there is none."""

    def pause(self, state: Callable[[], State]) -> None:
        """A moment at which the state is whole: it is kept where that is due, or where the fit is to end here."""

    def result(self) -> State | None:
        """What the part ended with; None where it has not ended."""

    def finish(self, state: State) -> None:
        """Keep what the part ended with, in place of its states and those of its own parts."""


class _Unkept:
    """A `Checkpoint` that keeps nothing."""

    def part(self, name: str) -> Checkpoint:
        """Itself."""
        return self

    def last(self) -> State | None:
        """Nothing."""
        return None

    def pause(self, state: Callable[[], State]) -> None:
        """Nothing."""

    def result(self) -> State | None:
        """Nothing."""
        return None

    def finish(self, state: State) -> None:
        """Nothing."""


UNKEPT: Checkpoint = _Unkept()


class Resumable:
    """An object whose state is all of its arrays, and those of what it has that is resumable, but for some."""

    #: Attributes that are given and never change, or that do not outlast a round.
    fixed: ClassVar[tuple[str, ...]] = ()

    def state(self) -> State:
        """What changes, not copied."""
        found: State = {}
        for name, value in vars(self).items():
            if name in self.fixed:
                continue
            if isinstance(value, np.ndarray):
                found[name] = value
            elif isinstance(value, Resumable):
                found |= under(name, value.state())
        return found

    def restore(self, state: State) -> None:
        """Take a state that an object of the same making handed out."""
        for name, value in list(vars(self).items()):
            if name in self.fixed:
                continue
            if isinstance(value, np.ndarray):
                setattr(self, name, _replaced(value, state[name]))
            elif isinstance(value, Resumable):
                value.restore(inside(name, state))


def _replaced(own: np.ndarray, new: np.ndarray) -> np.ndarray:
    """An array with the values of another: the same one where it fits, since others may look at it."""
    if own.shape != new.shape or own.dtype != new.dtype or not own.flags.writeable:
        return new.copy()
    own[...] = new
    return own


class Together(Resumable):
    """Several objects; the state is that of those among them that are resumable."""

    def __init__(self, *parts: Any) -> None:
        vars(self).update({f"part{i}": part for i, part in enumerate(parts)})


class Outcome(Resumable):
    """A dataclass of arrays with ``seconds``, a number by name, and ``trace``, a list of lists of numbers."""

    def state(self) -> State:
        """See `Resumable`; with the other two, which are none of these arrays."""
        lengths = np.array([len(steps) for steps in vars(self)["trace"]], int)
        steps = np.array([step for steps in vars(self)["trace"] for step in steps], float)
        seconds = {name: np.array(value, float) for name, value in vars(self)["seconds"].items()}
        return super().state() | {"trace.lengths": lengths, "trace.steps": steps} | under("seconds", seconds)

    def restore(self, state: State) -> None:
        """See `Resumable`."""
        super().restore(state)
        vars(self).update(_lists_of(state))

    @classmethod
    def of(cls, state: State) -> Self:
        """The one that handed out a state; what was None is so again."""
        arrays: dict[str, Any] = {name: value for name, value in state.items() if "." not in name}
        return cls(**arrays, **_lists_of(state))


def _lists_of(state: State) -> dict[str, Any]:
    """``seconds`` and ``trace``."""
    ends = np.cumsum(state["trace.lengths"])
    trace = [steps.tolist() for steps in np.split(state["trace.steps"], ends)[:-1]]
    return {"seconds": {name: float(value) for name, value in inside("seconds", state).items()}, "trace": trace}


def under(name: str, state: State) -> State:
    """The state of a part, as it stands in that of the whole."""
    return {f"{name}.{key}": value for key, value in state.items()}


def inside(name: str, state: State) -> State:
    """The state of a part, from that of the whole."""
    first = f"{name}."
    return {key.removeprefix(first): value for key, value in state.items() if key.startswith(first)}


class Stated(Protocol):
    """What a part of a fit ended with, as arrays and back."""

    def state(self) -> State:
        """Its arrays."""

    @classmethod
    def of(cls, state: State) -> Self:
        """The one that handed out a state."""


Ended = TypeVar("Ended", bound=Stated)


def concluded(
    checkpoint: Checkpoint, kind: type[Ended], make: Callable[[], Ended], skipped: Callable[[], Any] | None = None
) -> Ended:
    """What a part of a fit ended with: as it was kept, which calls ``skipped``, else made and kept."""
    kept = checkpoint.result()
    if kept is not None:
        if skipped is not None:
            skipped()
        return kind.of(kept)
    found = make()
    checkpoint.finish(found.state())
    return found

"""The shares of a design's rows, from where the fit runs: what each is asked, and what it has to be told once more.

A share that is lost is placed anew, told all that it has to know, and asked again.
"""

from __future__ import annotations

import itertools
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Shares"]

log = logging.getLogger("popglm")

#: Times that a share is placed anew for one question.
MOST_LOSSES = 3

#: Arguments for every share; None for one that is not asked.
Arguments = Sequence[tuple[Any, ...] | None]


class Carrier(Protocol):
    """How shares are reached, wherever they lie: each is a `popglm.solve.share.Share`."""

    def place(self, shares: list[int]) -> None:
        """Begin shares anew, without anything but their rows; elsewhere, where their last place is gone."""

    def ask(self, calls: dict[int, tuple[str, tuple[Any, ...]]]) -> tuple[dict[int, Any], list[int]]:
        """What the named methods of shares return, and the shares that were lost meanwhile."""

    def release(self) -> None:
        """Let go of all shares."""


class Shares:
    """All shares of the rows of one design.

    Parameters
    ----------
    carrier : Carrier
    edges : ndarray of int, shape (n_shares + 1,)
        First row of every share, and the number of rows.

    Attributes
    ----------
    center_of : object or None
        Who had the rows centred; None while they are as they were read, or not read at all.
    """

    def __init__(self, carrier: Carrier, edges: np.ndarray) -> None:
        self.carrier, self.edges = carrier, edges
        self.center_of: Any = None
        self._placed = False
        #: What a share that is placed anew is told, in order: a method, and its arguments by share.
        self._told: dict[Any, tuple[str, Callable[[int], tuple[Any, ...] | None]]] = {}
        self._arrays: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self._users: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._fresh = itertools.count()

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First and last row of every share."""
        return [(int(a), int(b)) for a, b in itertools.pairwise(self.edges)]

    def slices(self, array: np.ndarray | None) -> list[np.ndarray | None]:
        """The samples of every share, the last axis of an array."""
        return [None if array is None else array[..., a:b] for a, b in self.bounds]

    def ranges(self, ranges: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """Row ranges in the rows of every share."""
        return [
            [(max(first, a) - a, min(last, b) - a) for first, last in ranges if max(first, a) < min(last, b)]
            for a, b in self.bounds
        ]

    def hold(self) -> None:
        """Have the rows read as they are, unless they are already."""
        if self.center_of is not None:
            self.close()
        if not self._placed:
            self._placed = True
            self.carrier.place(list(range(len(self))))

    def close(self) -> None:
        """Let go of the rows and all that was made of them."""
        self.center_of = None
        self._told.clear()
        self._arrays.clear()
        self._users.clear()
        if self._placed:
            self._placed = False
            self.carrier.release()

    def ask(self, method: str, arguments: Arguments, told: Any = None) -> list[Any]:
        """What a method of every share that is asked returns, in order.

        With ``told``, a share that is placed anew is told the same, in place of what was told under this name before.
        """
        if told is not None:
            self._told.pop(told, None)
            self._told[told] = method, arguments.__getitem__
        asked = {i: (method, given) for i, given in enumerate(arguments) if given is not None}
        found: dict[int, Any] = {}
        losses = dict.fromkeys(asked, 0)
        while missing := {i: call for i, call in asked.items() if i not in found}:
            new, lost = self.carrier.ask(missing)
            found |= new
            for share in lost:
                losses[share] += 1
                self._place_anew(share, losses[share], told)
        return [found[i] for i in asked]

    def _place_anew(self, share: int, times: int, current: Any) -> None:
        """Place a share that was lost, and tell it all but what it is ``current``-ly asked."""
        first, last = self.bounds[share]
        where = f"rows {first:,} to {last:,} of X"
        if times > MOST_LOSSES:
            raise RuntimeError(
                f"The worker that held {where} was lost {times} times in a row, perhaps for want of memory. Give the "
                "workers more memory or use more of them; a fit with checkpoint= goes on from where it was kept."
            )
        log.warning("The worker that held %s was lost; they are read again by another.", where)
        self.carrier.place([share])
        for name, (method, arguments) in list(self._told.items()):
            if name != current and (given := arguments(share)) is not None:
                _, lost = self.carrier.ask({share: (method, given)})
                if lost:
                    self._place_anew(share, times + 1, current)
                    return

    # what shares keep

    def put(self, array: np.ndarray | None) -> int | None:
        """A name under which every share keeps its samples of an array, the last axis, as long as it is used here."""
        if array is None:
            return None
        for name, own in self._arrays.items():
            if own is array:
                return name
        name, bounds = next(self._fresh), self.bounds
        self._arrays[name] = array
        self.ask("put", [(name, own) for own in self.slices(array)])

        def again(share: int) -> tuple[int, np.ndarray] | None:
            # the array is not held: nobody needs what is gone here
            kept, (a, b) = self._arrays.get(name), bounds[share]
            return None if kept is None else (name, kept[..., a:b])

        self._told["array", name] = "put", again
        return name

    def open(self, user: Any, method: str, arguments: Arguments) -> int:
        """A name under which shares keep what a method makes of a name and arguments, as long as ``user`` lives."""
        self.sweep()
        name = next(self._fresh)
        self._users[name] = user
        self.ask(method, [None if given is None else (name, *given) for given in arguments], ("user", name))
        return name

    def sweep(self) -> None:
        """Have shares let go of what nobody uses here."""
        used = {*self._users, *self._arrays}
        gone = {name for kind, name, *_ in self._told if kind in ("array", "user") and name not in used}
        if gone:
            self._told = {told: call for told, call in self._told.items() if told[1] not in gone}
            self.ask("drop", [(sorted(gone),)] * len(self))

"""Places in one array for the models of some of a fit's problems, as far as memory goes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from popglm.solve.local_models.quadratic import QuadraticModel, pays_workers
from popglm.solve.snapshot import Resumable, State

__all__ = ["Slots"]


class Slots(Resumable):
    """Which problems have a model of their own, and where it lies.

    Parameters
    ----------
    model : QuadraticModel
        The one that problems without a model of their own share: one for which `suit` holds.
    n_problems : int
        Problems of the fit.
    n_bytes : float
        Memory for the models at most.
    models : list of QuadraticModel
        The shared ones of several fits with as many problems each, one fit after the other: each has ``n_bytes``, so
        that no problem waits for room that those of another fit take.

    Attributes
    ----------
    slot : ndarray of int, shape (n_problems,)
        Where a problem's model lies; −1 for none.
    users : ndarray of int, shape (n_models * n_slots,)
        Problems whose model lies in a slot.
    n_slots, n_bytes : int
        Of every fit; of every model.
    """

    #: Whether the models serve strengths of 0, too.
    serves_zero = False
    shares_out = True

    def __init__(
        self, model: QuadraticModel, n_problems: int, n_bytes: float,
        models: Sequence[QuadraticModel] = (),
    ) -> None:  # fmt: skip
        """Room for as many models as ``n_bytes`` hold, at least one; no problem has one yet."""
        self.engine, self.penalty, self.n_parts = model.engine, model.penalty, model.n_parts
        self.n_bytes = model.engine.dtype.itemsize * len(model.G) ** 2
        self.models, self.n_features = list(models) or [model], len(model.G)
        self.n_of_fit = n_problems // len(self.models)
        self.n_slots = int(np.clip(n_bytes // self.n_bytes, 1, self.n_of_fit))
        self.slot = np.full(n_problems, -1)
        n = self.n_slots
        self.users = np.zeros(n * len(self.models), int)
        self._free = [list(range(n * i, n * (i + 1)))[::-1] for i in range(len(self.models))]

    @property
    @abstractmethod
    def kept(self) -> dict[str, np.ndarray]:
        """The arrays that hold the models, by name; a model in every slot."""

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`: of the models, those that are in use."""
        used = self.slot[self.slot >= 0]
        return {"slot": self.slot, "free": np.array([i for free in self._free for i in free], int)} | {
            k: a[used] for k, a in self.kept.items()
        }

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        self.slot[:], free = state["slot"], state["free"]
        self._free = [free[free // self.n_slots == i].tolist() for i in range(len(self.models))]
        self.users = np.bincount(self.slot[self.slot >= 0], minlength=len(self.users))
        used = self.slot[self.slot >= 0]
        for name, array in self.kept.items():
            array[used] = state[name]

    def has(self, problems: np.ndarray) -> np.ndarray:
        """Which problems have a model."""
        return self.slot[problems] >= 0

    def make_room(self, problems: np.ndarray) -> np.ndarray:
        """Reserve places of their own, as far as there are; returns which of the problems have one to write to."""
        own = self.has(problems)
        own[own] = self.users[self.slot[problems[own]]] == 1
        for i in np.flatnonzero(~own):
            if free := self._free[problems[i] // self.n_of_fit]:
                self.drop(problems[[i]])
                self.slot[problems[i]] = free.pop()
                self.users[self.slot[problems[i]]] = own[i] = True
        return own

    def share(self, problems: np.ndarray, others: np.ndarray) -> None:
        """Give problems without a model those of ``others``, of the same fits, until they get one of their own."""
        self.slot[problems] = self.slot[others]
        np.add.at(self.users, self.slot[others], 1)

    def drop(self, problems: np.ndarray) -> None:
        """Let go of the models of some problems."""
        for problem in problems[self.has(problems)]:
            slot = int(self.slot[problem])
            self.users[slot] -= 1
            if not self.users[slot]:
                self._free[slot // self.n_slots].append(slot)
        self.slot[problems] = -1

    def portions(self, problems: np.ndarray) -> list[np.ndarray]:
        """All problems: they are shared out here."""
        return [problems]

    def _share_out(self, work: Callable[[np.ndarray], None], n: int, least: int = 8) -> None:
        """Call ``work`` on portions of n rows, of at least ``least``."""
        shared = max(-(-n // (2 * self.n_parts)), least)
        size = shared if pays_workers(n, self.n_features) else max(n, 1)
        self.engine.map(work, [(np.arange(a, min(a + size, n)),) for a in range(0, n, size)])

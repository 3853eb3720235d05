"""Places in one array for the models of some of a fit's problems, as far as memory goes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np

from popglm.solve.quadratic import QuadraticModel
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
    n_matrices : int
        Matrices (n_features, n_features) of a model.

    Attributes
    ----------
    slot : ndarray of int, shape (n_problems,)
        Where a problem's model lies; −1 for none.
    n_slots : int
    """

    #: Whether the models serve strengths of 0, too.
    serves_zero = False
    shares_out = True

    def __init__(self, model: QuadraticModel, n_problems: int, n_bytes: float, n_matrices: int) -> None:
        """Room for as many models as ``n_bytes`` hold, at least one; no problem has one yet."""
        self.engine, self.penalty, self.n_parts = model.engine, model.penalty, model.n_parts
        size = n_matrices * model.engine.dtype.itemsize * len(model.G) ** 2
        self.n_slots = int(np.clip(n_bytes // size, 1, n_problems))
        self.slot, self._free = np.full(n_problems, -1), list(range(self.n_slots))[::-1]

    @property
    @abstractmethod
    def kept(self) -> dict[str, np.ndarray]:
        """The arrays that hold the models, by name; a model in every slot."""

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`: of the models, those that are in use."""
        used = self.slot[self.slot >= 0]
        return {"slot": self.slot, "free": np.array(self._free, int)} | {k: a[used] for k, a in self.kept.items()}

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        self.slot[:], self._free = state["slot"], state["free"].tolist()
        used = self.slot[self.slot >= 0]
        for name, array in self.kept.items():
            array[used] = state[name]

    def has(self, problems: np.ndarray) -> np.ndarray:
        """Which problems have a model."""
        return self.slot[problems] >= 0

    def make_room(self, problems: np.ndarray) -> np.ndarray:
        """Reserve places, as far as there are; returns which of the problems have one."""
        for problem in problems[~self.has(problems)][: len(self._free)]:
            self.slot[problem] = self._free.pop()
        return self.has(problems)

    def drop(self, problems: np.ndarray) -> None:
        """Let go of the models of some problems."""
        problems = problems[self.has(problems)]
        self._free += self.slot[problems].tolist()
        self.slot[problems] = -1

    def portions(self, problems: np.ndarray) -> list[np.ndarray]:
        """All problems: they are shared out here."""
        return [problems]

    def _share_out(self, work: Callable[[np.ndarray], None], n: int, least: int = 8) -> None:
        """Call ``work`` on portions of n rows, of at least ``least``."""
        size = max(-(-n // (2 * self.n_parts)), least)
        self.engine.map(work, [(np.arange(a, min(a + size, n)),) for a in range(0, n, size)])

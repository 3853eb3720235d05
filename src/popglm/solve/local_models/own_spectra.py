"""Models of many problems, each around the axes of a Gram matrix of its own: under norms of single weights, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from popglm.solve.curvature.compact import thin_product, to_axes
from popglm.solve.curvature.curvature_memory import CurvatureMemory, plain_step
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.local_models.quadratic import QuadraticModel, inverse_diagonal
from popglm.solve.local_models.slots import Slots
from popglm.solve.local_models.split_model import Deviations, SplitModel, deviations
from popglm.solve.passes.coordinates import principal_axes

__all__ = ["OwnSpectra"]


class OwnSpectra(Slots, SplitModel):
    """Quadratic models of problems of one fit, each kept as the spectrum of its Gram matrix, in solver coordinates.

    Parameters are those of `Slots`.

    Attributes
    ----------
    values, vectors : ndarray, shape (n_slots, n_features) and (n_slots, n_features, n_features)
        Of the Gram matrices; of columns of unit variance, where single weights have norms.
    columns, norms : ndarray, shape (n_slots, n_features) and (n_slots, n_norms)
        `Deviations` of the models; without norms, 1 and nothing.
    """

    serves_zero = True

    def __init__(
        self, model: QuadraticModel, n_problems: int, n_bytes: float, models: Sequence[QuadraticModel] = ()
    ) -> None:
        """Room for as many models as ``n_bytes`` hold, at least one; no problem has one yet."""
        super().__init__(model, n_problems, n_bytes, models)
        dtype, n_features, self.split = self.engine.dtype, len(model.G), model.split
        self._unpenalised = dict[int, QuadraticModel]()
        n_slots = self.n_slots * len(self.models)
        # a slot takes memory when it is first written
        self.values = np.zeros((n_slots, n_features), dtype)
        self.vectors = np.zeros((n_slots, n_features, n_features), dtype)
        self.columns = np.ones((n_slots, n_features))
        self.norms = np.ones((n_slots, len(model.deviations.norms) if model.split else 0))

    @staticmethod
    def suit(model: QuadraticModel) -> bool:
        """Whether the problems with this shared model may have such models of their own."""
        return model.split or not (model.penalty.has_norm or model.diagonal or model.penalty.R is not None)

    @property
    def kept(self) -> dict[str, np.ndarray]:
        """See `Slots`."""
        return {name: getattr(self, name) for name in ("values", "vectors", "columns", "norms")}

    def put(self, problems: np.ndarray, G: np.ndarray) -> None:
        """Give problems that have a place the Gram matrices G (n, n_features, n_features), in solver coordinates."""
        slots, dtype = self.slot[problems], self.engine.dtype
        for slot in slots:
            self._unpenalised.pop(int(slot), None)

        def decompose(at: np.ndarray) -> None:
            """Write the models of the rows ``at``."""
            for slot, matrix in zip(slots[at], G[at], strict=True):
                # many problems may have one: in the precision of the steps
                own = matrix.astype(dtype)
                if self.split:
                    self.columns[slot], self.norms[slot] = deviations(np.diag(own), self.penalty)
                    own = (own / np.outer(self.columns[slot], self.columns[slot])).astype(dtype)
                    values, self.vectors[slot] = np.linalg.eigh(own.astype(float))
                    self.values[slot] = np.maximum(values, 0)
                else:
                    self.values[slot], self.vectors[slot] = principal_axes(own)

        self._share_out(decompose, len(problems), 1)

    def remember(self, memory: CurvatureMemory, problems: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs; along the axes of the models, where single weights have norms."""
        if not self.split:
            memory.push(problems, s, y, lambda _, s: s)
            return
        slots, dtype = self.slot[problems], self.engine.dtype
        unit = self.columns[slots]
        s, y = (to_axes(a.astype(dtype), self.vectors, slots, 0).astype(float) for a in (s * unit, y / unit))
        memory.push(problems, s, y, lambda rows, s: s * self.values[self.slot[rows]])

    def step(
        self,
        memory: CurvatureMemory,
        problems: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `QuadraticModel.step`."""
        if self.penalty.l1_ratio < 1:
            W = self.penalty.penalised(W)
        if self.split:
            return self.split_step(memory, problems, W, grad, c, lam, most)
        lam2 = self.penalty.ridge_strength(lam)
        D, promise = np.empty_like(W), np.empty(len(W))

        def take(at: np.ndarray) -> None:
            """Minimise the models of the rows ``at``."""
            solve = self._inverse_metric(self.slot[problems[at]], c[at], lam2[at])
            gradient = grad[at] + lam2[at, None] * W[at]
            D[at], promise[at] = plain_step(self.penalty, memory, problems[at], gradient, lam2[at], solve)

        self._share_out(take, len(W))
        return D, promise

    def _inverse_metric(self, slots: np.ndarray, c: np.ndarray, lam2: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """What takes rows r to (cG + λ₂I)⁻¹r."""
        inverse = inverse_diagonal(c[:, None] * self.values[slots] + lam2[:, None])

        def solve(r: np.ndarray) -> np.ndarray:
            found = np.empty_like(r)
            for j, slot in enumerate(slots.tolist()):
                if lam2[j] > 0:
                    axes = self.vectors[slot]
                    found[j] = axes @ ((r[j].astype(axes.dtype) @ axes) * inverse[j]).astype(axes.dtype)
                else:
                    found[j] = self._without_penalty(slot).solve_metric(r[j : j + 1], c[j : j + 1], lam2[j : j + 1])[0]
            return found

        return solve

    def _without_penalty(self, slot: int) -> QuadraticModel:
        """The model of a problem whose strength is 0: there the units of the columns must not matter."""
        if slot not in self._unpenalised:
            axes = self.vectors[slot].astype(float)
            G = (axes * self.values[slot]) @ axes.T
            own = self.models[slot // self.n_slots].coordinates
            self._unpenalised[slot] = QuadraticModel(
                self.engine, G.astype(self.engine.dtype), self.penalty, thin=True, coordinates=own
            )
        return self._unpenalised[slot]

    def deviations_of(self, neurons: np.ndarray) -> Deviations:
        """See `SplitModel`."""
        slots = self.slot[neurons]
        return Deviations(self.columns[slots], self.norms[slots])

    def local(self, at, memory: CurvatureMemory, neurons, c, tau, lam2) -> LocalModel:
        """See `SplitModel`."""
        rows = neurons[at]
        return LocalModel(
            thin_product, None, self.values, self.vectors, self.vectors[:0], self.slot[rows], self.penalty,
            c[at], lam2[at], tau[at], rows, memory.pairs,
        )  # fmt: skip

    def share_out_splits(self, work: Callable[[np.ndarray], None], n: int) -> None:
        """See `SplitModel`."""
        self._share_out(work, n)

"""Objectives and models in other coordinates than the solver's: it sees its own alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.curvature.curvature_memory import CurvatureMemory
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.objective.fit_rows import FitRows
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.passes.free_columns import Projections
from popglm.solve.snapshot import State
from popglm.statistics.penalties import Penalty

__all__ = ["RotatedModel", "RotatedObjective"]

#: Bytes of such models in a fit at most. They are of many features, and fits gain little by more of them.
SINGLE_BYTES = 20e6


class RotatedModel:
    """A `QuadraticModel` around a Gram matrix whose blocks are not diagonal: each is rotated to its principal axes.

    Parameters
    ----------
    engine : engine
    G : ndarray, shape (n_features, n_features)
        In solver coordinates, as the penalty.
    penalty : Penalty
    """

    shares_out = False

    def __init__(self, engine: Engine, G: np.ndarray, penalty: Penalty) -> None:
        own = Coordinates.fit(engine, np.zeros(len(G)), G, penalty.turning_sizes)
        # many neurons may have one: in the precision of the steps
        self._take(own, own.rotate_matrix(G).astype(engine.dtype), penalty)

    def _take(self, own: Coordinates, G: np.ndarray, penalty: Penalty) -> None:
        """Coordinates, and the Gram matrix in them."""
        if penalty.R is not None:
            penalty = replace(penalty, R=own.rotate_matrix(penalty.R))
        self.coordinates, self.model = own, QuadraticModel(own.engine, G, penalty, thin=True)

    def state(self) -> State:
        """What the model is made again from by `of`: its Gram matrix, and the axes of the blocks."""
        return {"G": self.model.G, **{f"axes{i}": V for i, (_, V) in enumerate(self.coordinates.rotation)}}

    @classmethod
    def of(cls, state: State, engine: Engine, penalty: Penalty) -> RotatedModel:
        """The model that handed out a state."""
        G, stops = state["G"], np.cumsum(penalty.turning_sizes)
        blocks = [slice(int(a), int(b)) for a, b in zip(stops - penalty.turning_sizes, stops, strict=True) if b - a > 1]
        rotation: list = [(columns, state[f"axes{i}"]) for i, columns in enumerate(blocks)]
        found = cls.__new__(cls)
        found._take(Coordinates(engine, np.zeros(len(G)), rotation), G, penalty)
        return found

    @staticmethod
    def n_bytes(n_features: int) -> int:
        """Memory, in float32: a matrix and its eigenvectors."""
        return 8 * n_features**2

    @classmethod
    def most(cls, n_features: int) -> int:
        """How many of them a fit has at most: one, or as many as there is room for."""
        return max(int(SINGLE_BYTES // cls.n_bytes(n_features)), 1)

    def portions(self, columns: np.ndarray) -> list[np.ndarray]:
        """All columns: those of one neuron are few."""
        return [columns]

    def remember(self, memory: CurvatureMemory, neurons: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs, kept in the coordinates of the blocks."""
        self.model.remember(memory, neurons, self.coordinates.rotate(s.copy()), self.coordinates.rotate(y.copy()))

    def step(
        self,
        memory: CurvatureMemory,
        neurons: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `QuadraticModel.step`."""
        w, grad = self.coordinates.rotate(W.copy()), self.coordinates.rotate(grad.copy())
        d, promise = self.model.step(memory, neurons, w, grad, c, lam, most)
        D = self.coordinates.unrotate(d)
        if self.model.penalty.has_norm:
            self.model.penalty.close_blocks(W, D, w + d)
        return D, promise


class RotatedObjective:
    """A `FitRows` on rows in the user's columns, for a solver that works in its own.

    X(Vᵀw) is (XV)ᵀw: rotating weights and gradients of a few hundred neurons costs less than rotating rows each time
    that they are read.

    Parameters
    ----------
    objective : FitRows
    coordinates : Coordinates
    """

    def __init__(self, objective: FitRows, coordinates: Coordinates) -> None:
        self.objective, self.coordinates = objective, coordinates
        self.by_sums, self.nuisance = objective.by_sums, objective.nuisance

    def rotated(self, at: Evaluation) -> Evaluation:
        """A point of the objective, its gradient in the solver's columns."""
        at.grad = self.coordinates.rotate(at.grad)
        return at

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `RowObjective`."""
        return self.rotated(self.objective.evaluate(neurons, self.coordinates.unrotate(W), b))

    def at_null(self, neurons: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `FitRows`."""
        return self.rotated(self.objective.at_null(neurons, b))

    def weighted_grams(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`."""
        G = self.objective.weighted_grams(columns, self.coordinates.unrotate(W), b)
        shape = G.shape
        for _ in range(2):
            G = self.coordinates.rotate(G.reshape(-1, shape[-1])).reshape(shape)
            G = np.ascontiguousarray(G.transpose(0, 2, 1))
        return G

    def weighted_variances(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`; where they are asked for, the solver's columns are the user's."""
        return self.objective.weighted_variances(columns, self.coordinates.unrotate(W), b)

    def project(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, grad: np.ndarray, penalty: Penalty
    ) -> Projections:
        """See `popglm.solve.passes.free_columns.project`, with the penalty in the solver's columns."""
        own, free, extra = self.coordinates, penalty.free_columns, None
        if penalty.R is not None:
            extra = penalty.smoothness * own.unrotate_matrix(penalty.R)[np.ix_(free, free)]
        found = self.objective.project(neurons, own.unrotate(W), b, own.unrotate(grad), free, extra)
        found.step, found.shift = own.rotate(found.step), own.rotate(found.shift)
        return found

    def derivatives(self, column: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `RowObjective`."""
        g, R = self.objective.derivatives(column, self.coordinates.unrotate(w[None])[0], b)
        self.coordinates.rotate(g[None, :-1])
        self.coordinates.rotate(R[:, :-1])
        return g, R

    def sampled_gradient(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """See `RowObjective`."""
        return self.rotated(self.objective.sampled_gradient(neurons, self.coordinates.unrotate(W), b, size, rng))

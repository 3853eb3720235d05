"""The objective of problems whose weights and gradients stay on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popglm.solve.device.arrays import vector
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.passes.row_sums import RowSums
from popglm.solve.passes.samples import Shape, Window
from popglm.solve.passes.stack import Stack
from popglm.solve.passes.window_passes import moment_sums, spread_sums

__all__ = ["DeviceObjective"]

Array = Any


class DeviceSums(RowSums):
    """`RowSums` of one fit, whose products with X stay on the device."""

    def stack(self, columns: np.ndarray, W: Array, theta: Array) -> dict[int, Stack]:
        """Columns of the fit, with their weights and parameters, which lie on the device."""
        n = len(columns)
        everyone = n == len(self.Y) and np.array_equal(columns, np.arange(n))
        neurons = None if everyone else self.engine.index(columns)
        return {0: Stack((0,), (n,), (n,), np.arange(n), neurons, W, theta, self.windows.members[:, 0])}

    def moments(self) -> tuple[np.ndarray, np.ndarray, Array]:
        """Σs, Σsy, and Σsyx on the device."""
        engine, q = self.engine, len(self.Y)

        def chunk(shape: Shape, window: Window, _k: int, _name: Any) -> tuple[Any, ...]:
            """Sums over one window of samples."""
            return engine.compile(moment_sums, shape)(window)

        (total, y_sum, YX), _ = self._add_up(chunk, self.stack(np.arange(q), None, None), q)
        return total, y_sum, YX

    def _moving(self, batches: dict[Any, Stack], moving: np.ndarray) -> tuple[dict[Any, Stack], dict[Any, Any]]:
        """The whole batch, whose shape is fixed."""
        return batches, dict.fromkeys(batches)

    def _add_up(
        self,
        function: Callable[[Shape, Window, int, Any], tuple[Any, ...]],
        batches: dict[Any, Stack],
        n: int,
        every: int | None = None,
        with_x: bool = True,
    ) -> tuple[list[Any], list[Array]]:
        """Sums as in `RowSums`: numbers per column in float64 on the host, the product with X on the device."""
        engine, windows, (name,) = self.engine, self.windows, batches

        def work() -> tuple[list[Any], list[Array]]:
            """Sums over all windows."""
            numbers, product, some = [], None, []
            for k in range(len(windows.chunks)):
                out = list(function(*windows.read(k, with_x), k, name))
                if every is not None:
                    some.append(out.pop())
                wide = [i for i, v in enumerate(out) if len(v.shape) == 2]
                for i in wide:
                    product = out[i] if product is None else product + out[i]
                numbers.append(engine.xp.stack([v for i, v in enumerate(out) if i not in wide], axis=0))
            # transfers wait until every window is under way
            total: Any = sum(np.asarray(engine.to_numpy(v), float) for v in numbers)
            sums: list[Any] = list(total)
            for i in wide:
                sums.insert(i, product)
            return sums, some

        return windows.guarded(work)

    def spread(self, some: list[Array], n: int) -> np.ndarray:
        """See `RowSums.spread`; ``some`` are arrays of the device."""
        parts = self.engine.compile(spread_sums, self.engine.xp)(self.engine.xp.concat(some, axis=1))
        return np.asarray(self.engine.to_numpy(parts), float)


class DeviceObjective(RowObjective):
    """A `RowObjective` of one fit, for rows of W on the device; so is the gradient in what it answers.

    X is in the user's columns: weights and gradients are rotated, never X.

    Parameters
    ----------
    coordinates : Coordinates
        Those of the weights.
    rows : other arguments of `RowObjective`
    """

    row_sums = DeviceSums

    def __init__(self, *rows: Any, coordinates: Coordinates, **more: Any) -> None:
        """Choose one way of evaluation for all problems, and place the rotation."""
        super().__init__(*rows, **more)
        # one way for all columns: a batch has one shape
        self.by_sums &= self.by_sums.all()
        plain = not coordinates.rotation and coordinates.still is None
        self.rotation = None if plain else self.engine.asarray(coordinates.unrotate(np.eye(len(coordinates.center))))

    def evaluate(self, columns: np.ndarray, W: Array, b: np.ndarray) -> Evaluation:
        """See `RowObjective`; W (n_columns, n_features) is on the device."""
        engine, xp = self.engine, self.engine.xp
        at = W if self.rotation is None else xp.matmul(W, self.rotation)
        batches = self.rows.stack(columns, at, self.theta(columns))
        way = self._poisson_exp if self.by_sums.any() else self._general
        with np.errstate(all="ignore"):
            found = way(columns, batches, at, b)
        grad = found.grad if self.rotation is None else xp.matmul(found.grad, xp.matrix_transpose(self.rotation))
        found.grad = engine.asarray(grad)
        finite = np.asarray(engine.to_numpy(xp.sum(found.grad, axis=1)), float)
        found.loss[~(np.isfinite(found.loss) & np.isfinite(finite) & np.isfinite(found.b))] = np.inf
        return found

    def _means(self, YX: Array, total: np.ndarray) -> Array:
        """Means of yx of all problems."""
        return self.engine.asarray(self._scaled(1 / total, YX))

    def _products(self, columns: np.ndarray) -> Array:
        """Means of yx of some problems."""
        if len(columns) == len(self.Y) and np.array_equal(columns, np.arange(len(self.Y))):
            return self.YX
        return self.engine.xp.take(self.YX, self.engine.index(columns), axis=0)

    def _inner(self, W: Array, YX: Array) -> np.ndarray:
        """Inner products row by row, in float64 on the host."""
        return np.asarray(self.engine.to_numpy(self.engine.sum64(W * YX, 1)), float)

    def _scaled(self, factor: np.ndarray, A: Array) -> Array:
        """Rows of A, each times its factor."""
        return vector(self.engine, factor)[:, None] * A

"""The mean loss of one categorical response in one fit, its classes' intercepts solved out.

The weights of a problem are those of features × coordinates of the classes, feature after feature: the K classes
themselves, or K − 1 orthonormal contrasts, in which weights have a mean of 0 over the classes. `evaluate` answers as
`popglm.solve.objective.row_objective` does; its b has one number for every class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.categorical.curvature import ClassCurvature
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.sparse.rows import SparseBlock, SparseRows, times_rows
from popglm.statistics.categorical import centred, class_counts, terms

__all__ = ["CategoricalObjective", "Labels"]

Array = Any
#: Rows of a window at most, where the engine has no chunks that fit a cache.
WINDOW = 2**16
#: Steps of the intercepts at most. Near the minimum each one squares the distance, so that a few are enough.
MAX_STEPS = 60
#: The step is the last one where it gains less than this, of a mean loss, by the bytes of a number: what remains is far
#: less, and a gain near the rounding of the loss would not be seen.
LAST = {8: 1e-10, 4: 1e-7}
#: No intercept moves by more than that in a step, in units of the predictor.
FARTHEST = 4.0


class Labels(NamedTuple):
    """What is known of the samples beside X.

    Attributes
    ----------
    codes : ndarray of int, shape (n_samples,)
        Number of every sample's class; any where a sample does not count.
    weights : ndarray, shape (n_samples,), or None
    offset : ndarray, shape (n_classes, n_samples), or None
        What is added to the predictors, in the engine's precision.
    """

    codes: np.ndarray
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None


class CategoricalObjective(ClassCurvature):
    """One response in one fit.

    Parameters
    ----------
    engine : engine
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
        In the engine's precision. Of a stream every evaluation reads the rows twice, block by block: once for the
        predictors, and once more for the forces at the best intercepts beside them.
    labels : Labels
    ranges : list of (first, last)
        Rows of the fit.
    basis : ndarray, shape (n_coordinates, n_classes)
        Orthonormal rows: the weights of classes are those of the coordinates times this.
    unit : ndarray, shape (n_features,), or None
        What the columns of X are divided by.
    fit_intercept : bool

    Attributes
    ----------
    counts : ndarray, shape (n_classes,)
        Summed weights of the samples of every class: above 0.
    total : float
    """

    nuisance = None
    by_sums = np.zeros(1, bool)

    def __init__(
        self,
        engine: Engine,
        X: Any,
        labels: Labels,
        ranges: list[tuple[int, int]],
        basis: np.ndarray,
        unit: np.ndarray | None,
        fit_intercept: bool,
    ) -> None:
        self.engine, self.X, self.basis, self.unit, self.fit_intercept = engine, X, basis, unit, fit_intercept
        codes, weights, self.offset = labels
        self.codes, self.weights = codes, weights
        n_classes = basis.shape[1]
        inside = [
            class_counts(codes[a:b], np.ones(b - a) if weights is None else weights[a:b], n_classes) for a, b in ranges
        ]
        self.counts = np.sum(inside, axis=0)
        self.total = float(self.counts.sum())
        self.on_host = engine.name == "numpy"
        self.windows = [(a + first, a + last) for a, b in ranges for first, last in self._pieces(b - a)]
        # what lies on a device is placed once in a session
        self.one_hot = (np.arange(n_classes)[:, None] == codes).astype(engine.dtype)
        self.s = None if weights is None else weights.astype(engine.dtype)

    def _pieces(self, n: int) -> list[tuple[int, int]]:
        if isinstance(self.X, SparseRows):
            return self.X.row_chunks(n, self.engine.n_workers)
        if self.on_host:
            return self.engine.row_chunks(n)
        step = min(WINDOW, getattr(self.X, "block_rows", WINDOW))
        return [(a, min(a + step, n)) for a in range(0, n, step)]

    def _over_windows(self, work: Callable[..., Any], *each: list) -> list[Any]:
        """``work(window, *parts)`` of every window."""
        tasks = list(zip(self.windows, *each, strict=True))
        return self.engine.map(work, tasks) if self.on_host else [work(*task) for task in tasks]

    def _columns(self, first: int, last: int) -> Any:
        """X of a window, in the engine's library; sparse where it is."""
        if isinstance(self.X, SparseRows):
            return self.X.window(first, last)
        whole = isinstance(self.X, np.ndarray)
        return self.engine.place(self.X)[first:last] if whole else self.engine.asarray(self.X[first:last])

    def _classes(self, first: int, last: int) -> tuple[Array, Array | None]:
        """Classes and weights of a window, in the engine's library."""
        place = self.engine.place
        s = None if self.s is None else place(self.s)[first:last]
        return place(self.one_hot)[:, first:last], s

    def _predictors(self, placed: Array, first: int, last: int) -> Array:
        """Those of the classes in a window, without intercepts."""
        xp, X = self.engine.xp, self._columns(first, last)
        eta = X.across(placed) if isinstance(X, SparseBlock) else xp.matmul(placed, xp.matrix_transpose(X))
        return eta if self.offset is None else eta + self._beside(first, last)

    def _beside(self, first: int, last: int) -> Array:
        """The offset of a window, in the engine's library."""
        return self.engine.place(self.offset)[:, first:last]

    def null_intercepts(self, b: np.ndarray) -> np.ndarray:
        """The best ones (n_classes,) beside the offset alone, from some on."""
        etas = self._over_windows(lambda at: self._beside(*at))
        return self.best_intercepts(etas, b) if self.fit_intercept else b

    def release(self) -> None:
        """Let go of what lies on a device for this response in this fit alone."""
        for own in (self.one_hot, self.s, self.offset):
            if own is not None:
                self.engine.displace(own)

    def class_weights(self, W: np.ndarray) -> np.ndarray:
        """Weights of the classes (n_classes, n_features), for the columns of X, of those of a problem (n,)."""
        V = self.basis.T @ W.reshape(-1, len(self.basis)).T
        return V if self.unit is None else V / self.unit

    def problem_weights(self, V: np.ndarray) -> np.ndarray:
        """A gradient (n,) in the weights of a problem, of that in the weights of the classes."""
        V = V if self.unit is None else V / self.unit
        return (self.basis @ V).T.reshape(-1)

    def evaluate(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `popglm.solve.objective.row_objective`; b (n_problems, n_classes). Where it overflows a loss is +inf."""
        if not len(problems):
            n_classes = self.basis.shape[1]
            one = np.zeros(0)
            return Evaluation(one, np.zeros((0, n_classes)), np.zeros(W.shape), one, one, one, one > 0, one)
        with np.errstate(all="ignore"):
            return self._evaluate(self.class_weights(W[0]), b[0])

    def _evaluate(self, V: np.ndarray, b: np.ndarray) -> Evaluation:
        xp, engine = self.engine.xp, self.engine
        placed = engine.asarray(V)
        etas = self._over_windows(lambda at: self._predictors(placed, *at))
        if self.fit_intercept:
            b = self.best_intercepts(etas, b)
        shift = engine.asarray(b[:, None])

        def sums(at: tuple[int, int], eta: Array) -> list[np.ndarray]:
            own, s = self._classes(*at)
            found = terms(xp, eta + shift, own)
            # what does not count may be infinite
            loss, h, chi = (
                a if s is None else xp.where(s > 0, s * a, 0 * s) for a in (found.loss, found.curvature, found.chi2)
            )
            count = xp.ones_like(h) if s is None else s
            inverse = xp.where(h > 0, count * count / xp.where(h > 0, h, xp.ones_like(h)), 0 * h)
            residual = found.residual if s is None else found.residual * s
            scalars = [engine.to_numpy(engine.sum64(a, 0)) for a in (loss, h, chi, inverse)]
            forces = times_rows(xp.matmul, residual, self._columns(*at))
            return [np.array(scalars, float), engine.to_numpy(forces).astype(float)]

        parts = self._over_windows(sums, etas)
        loss, h, chi, inverse = sum(part[0] for part in parts) / self.total
        forces = sum(part[1] for part in parts) / self.total
        grad = self.problem_weights(forces - forces.mean(axis=0))[None]
        good = np.isfinite(loss) and np.isfinite(grad).all() and np.isfinite(b).all()
        at_null = null_curvature(self.counts / self.total, self.fit_intercept)
        spread = max(h * inverse, 1.0)
        return Evaluation(
            np.array([loss if good else np.inf]), b[None], grad, np.array([h / at_null]), np.array([chi]),
            np.array([spread]), np.ones(1, bool), np.zeros(1),
        )  # fmt: skip

    def best_intercepts(self, etas: list[Array], b: np.ndarray) -> np.ndarray:
        """Those (n_classes,) that minimise the loss beside predictors of every window, by damped Newton steps."""
        loss, g, H = self._moments(etas, b)
        for _ in range(MAX_STEPS):
            if not np.isfinite(loss):
                break
            values, vectors = np.linalg.eigh(H)
            along = vectors.T @ g
            # constants over classes change nothing
            has = values > 1e-14 * values[-1]
            step = -vectors @ np.where(has, along / np.where(has, values, 1), 0)
            gain = -g @ step
            step *= min(1.0, FARTHEST / max(np.abs(step).max(), np.finfo(float).tiny))
            if not gain > LAST[self.engine.dtype.itemsize]:
                return centred(b + step)
            for _ in range(MAX_STEPS):
                tried = self._moments(etas, b + step)
                if tried[0] <= loss:
                    break
                step = step / 2
            else:
                break
            b, (loss, g, H) = b + step, tried
        return centred(b)

    def _moments(self, etas: list[Array], b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean loss, its gradient (n_classes,) and its Hessian in the intercepts."""
        xp, engine = self.engine.xp, self.engine
        shift = engine.asarray(b[:, None])

        def sums(at: tuple[int, int], eta: Array) -> list[np.ndarray]:
            own, s = self._classes(*at)
            found = terms(xp, eta + shift, own)
            residual, p = found.residual, found.residual + own
            loss = found.loss if s is None else xp.where(s > 0, s * found.loss, 0 * s)
            scaled = p if s is None else p * s
            pulls = residual if s is None else residual * s
            outer = xp.matmul(scaled, xp.matrix_transpose(p))
            sums = engine.sum64(loss, 0), engine.sum64(pulls, 1), engine.sum64(scaled, 1), outer
            return [np.asarray(engine.to_numpy(a), float) for a in sums]

        loss, g, p, outer = (sum(some) / self.total for some in zip(*self._over_windows(sums, etas), strict=True))
        return float(loss), g, np.diag(p) - outer


def null_curvature(shares: np.ndarray, fit_intercept: bool) -> float:
    """Trace of the Hessian of a sample under the null model, whose classes have these shares."""
    p = shares if fit_intercept else np.full(len(shares), 1 / len(shares))
    return float(1 - np.sum(p**2))

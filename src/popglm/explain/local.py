"""Held-out fits of very many activities to one design, by a model's quadratic approximation at its null model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

import numpy as np
from scipy.linalg import eigh

from popglm.statistics import norms
from popglm.statistics.penalties import Penalty

__all__ = ["LocalModel", "thinned"]

#: Held-out deviance is so smooth in the strength that more of them, evenly spread over the grid, add time alone.
MOST_STRENGTHS = 7
#: Directions of X with a smaller share of the variance of the largest are rounding.
LEAST_VARIANCE = 1e-9
#: Proximal steps at one strength, at most, and the change of the fit, as a share of the variance, that ends them.
MOST_STEPS, LEAST_CHANGE = 200, 1e-7
#: Steps between two looks at which columns have converged.
STEPS_BETWEEN = 4


def thinned(n_lambdas: int) -> np.ndarray:
    """Numbers of at most `MOST_STRENGTHS` strengths, evenly spread, the weakest among them.

    Examples
    --------
    >>> thinned(20), thinned(3)
    (array([ 1,  4,  7, 10, 13, 16, 19]), array([0, 1, 2]))
    """
    step = -(-n_lambdas // MOST_STRENGTHS)
    return np.arange((n_lambdas - 1) % step, n_lambdas, step)


@dataclass(eq=False)
class Sums:
    """Weighted sums over rows: Σs, Σsx and Σs x xᵀ."""

    s: float
    x: np.ndarray
    XX: np.ndarray

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.s - other.s, self.x - other.x, self.XX - other.XX)


@dataclass(eq=False)
class LocalModel:
    """Penalised least squares of working responses on X, with the folds of a cross-validation.

    All that does not depend on the activity is computed once: sums over the rows of every fold, and their
    decompositions. An activity costs one product with X, whatever the number of folds and strengths.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
    splits : list of (train, test)
        Row indices; no row is held out twice.
    weights : ndarray, shape (n_samples,), or None
    penalty : Penalty
    intercept : bool

    Attributes
    ----------
    order : ndarray of int, shape (n_rows,)
        Rows sorted by the fold that holds them out, those of no fold last; responses come in this order.
    """

    X: np.ndarray
    splits: list[tuple[np.ndarray, np.ndarray]]
    weights: np.ndarray | None
    penalty: Penalty
    intercept: bool
    order: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.X)
        tests = [np.sort(test) for _, test in self.splits]
        rest = np.setdiff1d(np.arange(n), np.concatenate(tests))
        self.order = np.concatenate([*tests, rest])
        ends = np.cumsum([0, *map(len, tests), len(rest)])
        self.parts = [slice(a, b) for a, b in pairwise(ends)]
        self.s = np.ones(n) if self.weights is None else np.asarray(self.weights, float)[self.order]
        X = np.asarray(self.X, float)[self.order]
        penalty, unit = self.penalty.evened(np.average(np.square(X - X.mean(axis=0)), axis=0))
        X = X if unit is None else X / unit
        # of no consequence for the fits, and no digits are lost to large means
        self.x = X - np.average(X, axis=0, weights=self.s) if self.intercept else X
        self.held = [self._sums(self.x[part], self.s[part]) for part in self.parts]
        whole = self._sums(self.x, self.s)
        position = np.argsort(self.order)
        # rows to train on, where they are not all but the fold's own
        self.train = [
            None if len(train) == n - len(test) else position[np.sort(train)]
            for (train, _), test in zip(self.splits, tests, strict=True)
        ]
        trained = [
            whole - held if rows is None else self._sums(self.x[rows], self.s[rows])
            for rows, held in zip(self.train, self.held, strict=False)
        ]
        self.fits = [self._fold(sums, penalty) for sums in trained]

    def _fold(self, sums: Sums, penalty: Penalty) -> FoldFit:
        """The fits to the training rows of a fold."""
        return FoldFit(sums, penalty, self.intercept)

    @staticmethod
    def _sums(x: np.ndarray, s: np.ndarray) -> Sums:
        return Sums(float(s.sum()), s @ x, (x * s[:, None]).T @ x)

    def explained(self, Z: np.ndarray, lambdas: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Gain over the training mean in square error on held-out rows, each column at its best strength.

        Parameters
        ----------
        Z : ndarray, shape (n_columns, n_samples)
            Working responses, rows in `order`; 0 where they are not known.
        lambdas : ndarray, shape (n_lambdas, n_columns)
            Descending, in units of the working responses.
        known : ndarray of bool, shape (n_columns, n_samples), optional
            Where a response is known. The sums over X are those of all rows times the share of a fold's rows that are
            known, which is not exact, and alike for all that is compared.

        Returns
        -------
        ndarray, shape (n_columns,)
            As a fraction of Σ s z²; NaN where that is 0.
        """
        cross, total, square, share = self._products(Z, known)
        n_folds, m = len(self.fits), len(Z)
        held = [Column(cross[k], total[k], square[k], share[k]) for k in range(len(self.parts))]
        whole = Column.add(held)
        fits = []
        for k, fit in enumerate(self.fits):
            rows = self.train[k]
            if rows is None:
                train = Column(*(a - b for a, b in zip(whole.arrays, held[k].arrays, strict=True)))
            else:
                train = self._column(Z, known, rows)
            fits.append(fit.start(train, held[k], self.held[k]))
        best, going = np.full((n_folds, m), np.inf), np.arange(m)
        for lam in lambdas:
            error = np.stack([fit.error(lam, going) for fit in fits])
            more = error - best[:, going]
            better = more.sum(axis=0) < 0
            best[:, going] = np.where(better, error, best[:, going])
            if self.penalty.l1_ratio > 0:
                # a column whose error has turned in the folds alike goes no further, be it the activity or a surrogate
                more = np.where(better, 0, more)
                going = going[better | ~(more.mean(axis=0) > more.std(axis=0) / np.sqrt(n_folds))]
            if not len(going):
                break
        best = best.sum(axis=0)
        alone = sum(fit.square for fit in fits)
        variation = sum(column.square for column in held[:n_folds])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(variation > 0, (alone - best) / variation, np.nan)

    def _products(self, Z: np.ndarray, known: np.ndarray | None) -> tuple[np.ndarray, ...]:
        columns = [self._column(Z, known, part) for part in self.parts]
        return tuple(np.array(arrays) for arrays in zip(*(column.arrays for column in columns), strict=True))

    def _column(self, Z: np.ndarray, known: np.ndarray | None, rows: slice | np.ndarray) -> Column:
        """Sums of the responses over some rows."""
        z, s = Z[:, rows], self.s[rows]
        weighted = z if self.weights is None else z * s
        share = np.full(len(Z), s.sum()) if known is None else known[:, rows] @ s
        return Column(weighted @ self.x[rows], weighted.sum(axis=1), np.einsum("ij,ij->i", weighted, z), share)


@dataclass(eq=False)
class Column:
    """Weighted sums of responses over some rows, one per column.

    Attributes
    ----------
    cross : ndarray, shape (n_columns, n_features)
        Σ s z x.
    total, square, share : ndarray, shape (n_columns,)
        Σ s z, Σ s z² and Σ s over the rows where z is known.
    """

    cross: np.ndarray
    total: np.ndarray
    square: np.ndarray
    share: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All of them."""
        return self.cross, self.total, self.square, self.share

    @classmethod
    def add(cls, columns: list[Column]) -> Column:
        """Sums over several parts of the rows."""
        return cls(*(reduce(np.add, arrays) for arrays in zip(*(column.arrays for column in columns), strict=True)))


class FoldFit:
    """The training rows of one fold."""

    def __init__(self, sums: Sums, penalty: Penalty, intercept: bool) -> None:
        self.penalty = penalty
        s = max(sums.s, np.finfo(float).tiny)
        self.mean = sums.x / s if intercept else np.zeros(len(sums.x))
        self.intercept = intercept
        G = sums.XX / s - np.outer(self.mean, self.mean)
        if penalty.R is not None:
            G = G + penalty.smoothness * penalty.R
        self.axes = None
        if penalty.l1_ratio == 0:
            self.variance, self.axes = eigh(G)
        else:
            self.G, self.bound = G, self._bounds(G)

    def _bounds(self, G: np.ndarray) -> np.ndarray:
        """Diagonal metric above G, alike within a block, so that no unit of a column slows the others down."""
        starts = self.penalty.starts
        own = [np.linalg.eigvalsh(G[a:b, a:b])[-1] for a, b in pairwise(starts)]
        own = np.maximum(own, LEAST_VARIANCE * max(*own, np.finfo(float).tiny))[self.penalty.block_of_column]
        scaled = G / np.sqrt(own[:, None] * own)
        return 1.01 * own * np.linalg.eigvalsh(scaled)[-1]

    def start(self, train: Column, held: Column, rows: Sums) -> QuadraticFold | ProximalFold:
        """Fits of some columns, at w = 0; ``rows``: sums over X of the rows held out."""
        known = np.maximum(train.share, np.finfo(float).tiny)
        z_mean = train.total / known if self.intercept else np.zeros(len(train.total))
        cross = train.cross / known[:, None] - z_mean[:, None] * self.mean
        # the held-out errors around the intercept of the training rows
        moved = held.cross - z_mean[:, None] * rows.x * (held.share / max(rows.s, np.finfo(float).tiny))[:, None]
        residual = held.total - z_mean * held.share
        moved -= residual[:, None] * self.mean
        square = held.square - 2 * z_mean * held.total + z_mean**2 * held.share
        share = held.share / max(rows.s, np.finfo(float).tiny)
        unit = np.maximum(train.square / known - z_mean**2, 0)
        kind = ProximalFold if self.axes is None else QuadraticFold
        return kind(self, cross, moved, square, self.around_mean(rows), share, unit)

    def around_mean(self, rows: Sums) -> np.ndarray:
        """Σ s x xᵀ of some rows around the mean of the training rows."""
        return (
            rows.XX
            - np.outer(rows.x, self.mean)
            - np.outer(self.mean, rows.x)
            + rows.s * np.outer(self.mean, self.mean)
        )


class QuadraticFold:
    """Ridge, smoothness or no penalty: every strength in closed form."""

    def __init__(self, fit, cross, moved, square, XX, share, unit) -> None:
        self.fit, self.square, self.share = fit, square, share
        self.cross, self.moved = cross @ fit.axes, moved @ fit.axes
        self.XX = fit.axes.T @ XX @ fit.axes

    def error(self, lam: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Summed square error of some columns on the rows held out."""
        curvature = self.fit.variance + lam[columns, None]
        flat = curvature <= LEAST_VARIANCE * max(self.fit.variance[-1], np.finfo(float).tiny)
        w = np.where(flat, 0, self.cross[columns]) / np.where(flat, 1, curvature)
        square = np.einsum("ij,ij->i", w @ self.XX, w) * self.share[columns]
        return self.square[columns] - 2 * np.einsum("ij,ij->i", w, self.moved[columns]) + square


class ProximalFold:
    """Penalties with a kink: accelerated proximal steps, every strength from the last one."""

    def __init__(self, fit, cross, moved, square, XX, share, unit) -> None:
        self.fit, self.cross, self.moved, self.square, self.XX = fit, cross.astype(np.float32), moved, square, XX
        self.share, self.unit = share, unit
        self.w = np.zeros(cross.shape, np.float32)
        self.G, self.bound = fit.G.astype(np.float32), fit.bound.astype(np.float32)

    def error(self, lam: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Summed square error of some columns on the rows held out."""
        self._descend(lam, columns)
        w = self.w[columns]
        square = np.einsum("ij,ij->i", w @ self.XX, w) * self.share[columns]
        return self.square[columns] - 2 * np.einsum("ij,ij->i", w, self.moved[columns]) + square

    def _descend(self, lam: np.ndarray, columns: np.ndarray) -> None:
        penalty = self.fit.penalty
        step: np.ndarray = 1 / self.bound
        ridge = penalty.ridge_strength(lam[columns])[:, None].astype(np.float32)
        threshold = penalty.norm_strengths(lam[columns]).astype(np.float32)
        going, least, cross = columns, LEAST_CHANGE * self.unit[columns], self.cross[columns]
        w = previous = self.w[columns]
        moved = np.zeros_like(w)
        momentum: np.ndarray = np.ones((len(columns), 1), np.float32)
        for k in range(1, MOST_STEPS + 1):
            point = w - previous
            # momentum that leads uphill starts again (O'Donoghue & Candès 2015)
            momentum[np.einsum("ij,ij->i", moved, point) > 0] = 1
            ahead = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            point *= (momentum - 1) / ahead
            point += w
            momentum = ahead
            new = self._pull(point)
            new -= cross
            if ridge.any():
                new += ridge * point
                step = 1 / (self.bound + ridge)
            new *= -step
            new += point
            self._shrink(new, step, threshold)
            # in the metric of the steps
            moved = (point - new) / step
            w, previous = new, w
            if k % STEPS_BETWEEN == 0 or k == MOST_STEPS:
                change = w - previous
                open_ = np.einsum("ij,ij->i", change / step, change) > least
                if open_.all():
                    continue
                self.w[going[~open_]] = w[~open_]
                going, w, previous, momentum, least = (a[open_] for a in (going, w, previous, momentum, least))
                cross, ridge, threshold, moved = (a[open_] for a in (cross, ridge, threshold, moved))
                step = step if step.ndim == 1 else step[open_]
                if not len(going):
                    return
        self.w[going] = w

    def _pull(self, w: np.ndarray) -> np.ndarray:
        """Gradient of the square part at weights (n_columns, n_features)."""
        return w @ self.G

    def _shrink(self, w: np.ndarray, step: np.ndarray, threshold: np.ndarray) -> None:
        """Proximal operator of the norms, in place; ``step`` is alike within a block."""
        penalty = self.fit.penalty
        starts = penalty.starts[:-1]
        if penalty.blocks.nested:
            each = np.broadcast_to(step, w.shape)
            w[:] = norms.shrink(np, penalty.blocks, w, threshold * np.concatenate([each, each[:, starts]], axis=1))
            return
        threshold = threshold * step[..., starts]
        if len(starts) == w.shape[1]:
            w -= np.clip(w, -threshold, threshold)
            return
        sizes = np.sqrt(np.add.reduceat(w * w, starts, axis=1))
        factor = np.maximum(1 - threshold / np.maximum(sizes, np.finfo(np.float32).tiny), 0)
        w *= factor[:, penalty.block_of_column]

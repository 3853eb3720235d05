"""All folds and the refit as one batch of columns, each a (fit, neuron) pair, that walk down the strengths in step.

The schedule for accelerators, with the same model, acceptance, damping and certificates as `popglm.solve.path`: there
fits take turns and block descent visits one neuron after the other; here every array operation serves all columns.
Arrays over features stay on the device in the engine's precision; what is one number per column is float64 on the host,
where the decisions are made. Shapes are fixed: columns that are done are masked, and gathered into a batch of a quarter
of the size when so few are left, so that a compiled function meets three or four shapes in all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve import lockstep_kernels as kernels
from popglm.solve.certificate import DECREMENT_SAFETY
from popglm.solve.lockstep_rows import BatchRows, Columns, Point, compiled, sums_of_fits
from popglm.solve.path import MODEL_SAFETY, MOST_DAMPING, MOST_SAFETY, RELAX, Path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.responses import null_intercept

__all__ = ["Lockstep"]

Array = Any

#: Curvature pairs that are kept.
MEMORY = 10
#: Compiled calls of `proximal.STEPS` steps for one model, at most, and the share of columns that must be done before.
MOST_CALLS, DONE_SHARE = 40, 0.98
#: A model is solved when it can decrease by no more than this share of what it has, by an estimate that holds where
#: primal and dual residual are below the second number (with ρ far off everything stands still).
MODEL_ACCURACY, RESIDUAL = 0.1, 1e-2
#: A batch shrinks by this factor, and never below this many columns.
SHRINK, LEAST_COLUMNS = 4, 8


@dataclass
class _Batch:
    """The columns at work; arrays of one row per column.

    ``index`` are positions among all columns (repeated where the batch is not full), ``real`` whether a row is the
    first of its column. ``pairs`` are S, Y and GS, ``bound`` the step bounds of proximal steps or the ρ of a splitting.
    """

    index: np.ndarray
    real: np.ndarray
    at: Columns
    point: Point
    W: Array
    pairs: tuple[Array, Array, Array]
    bound: Array
    damping: np.ndarray


class Lockstep:
    """The fits of all columns, standing at w = 0.

    Parameters
    ----------
    engine : engine
    loss : Loss
    model : QuadraticModel
        Its G and its penalty, in solver coordinates.
    X : ndarray, shape (n_samples, n_features)
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    counts : ndarray, shape (n_fits, n_samples)
        How often each fit counts a row; 0 where it is held out.
    fit_intercept : bool
    chunk_rows : int, optional
        Rows that are worked on at a time; from the device's memory unless given.

    Attributes
    ----------
    fittable : ndarray of bool, shape (n_fits, n_neurons)
    null_grad : ndarray, shape (n_fits, n_neurons, n_features)
        Gradient of the loss at w = 0.
    """

    def __init__(
        self,
        engine: Any,
        loss: Loss,
        model: QuadraticModel,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        counts: np.ndarray,
        fit_intercept: bool = True,
        chunk_rows: int | None = None,
    ) -> None:
        self.engine, self.loss, self.penalty, self.fit_intercept = engine, loss, model.penalty, fit_intercept
        self.shape = len(counts), len(Y), X.shape[1]
        n_fits, q, p = self.shape
        sums = sums_of_fits(loss, Y, weights, counts)
        self.fittable = np.stack([s.fittable(loss) for s in sums])
        start = [null_intercept(loss, s) if fit_intercept else np.zeros(q) for s in sums]
        self.null_intercept = np.concatenate(start)
        self.scale = np.concatenate([np.maximum(s.null - s.saturated, np.finfo(float).tiny) for s in sums])
        self.saturated = np.concatenate([s.saturated for s in sums])
        self.rows = BatchRows(engine, loss, X, Y, weights, offset, counts, fit_intercept, n_fits * q, chunk_rows)
        self._place_model(model)
        fit, neuron = (a.ravel() for a in np.indices((n_fits, q)))
        self.columns = self.rows.columns(neuron, fit)
        self.zeros = engine.asarray(np.zeros((n_fits * q, p), engine.dtype))
        with np.errstate(all="ignore"):
            mean = np.maximum(np.abs(self.columns.y_mean), np.finfo(np.float32).tiny)
        self.null = self._at_null(mean, offset)
        self.null_grad = np.asarray(engine.to_numpy(self.null.grad), float).reshape(n_fits, q, p)

    def _at_null(self, mean: np.ndarray, offset: np.ndarray | None) -> Point:
        def at(b: np.ndarray) -> Point:
            return self.rows.evaluate(self.columns, self.zeros, b, np.zeros(len(b)), mean)

        null, fittable = at(self.null_intercept), self.fittable.ravel()
        if offset is not None and not np.isfinite(null.loss[fittable]).all():
            # a large offset overflows at the intercept of the plain mean; below the largest it cannot
            null = at(self.null_intercept - offset.max())
        for name in ("loss", "curvature", "chi2", "spread"):
            values = getattr(null, name)
            values[~fittable] = 0.0 if name in ("loss", "chi2") else 1.0
        null.b[~fittable] = self.null_intercept[~fittable]
        keep = self.rows.vector(fittable.astype(float))[:, None] > 0
        null.grad = self.engine.xp.where(keep, null.grad, self.zeros)
        return null

    def _place_model(self, model: QuadraticModel) -> None:
        put, penalty = self.engine.asarray, self.penalty
        p, n_blocks = self.shape[2], len(penalty.block_sizes)
        self.normed = penalty.l1_ratio > 0
        of_column = penalty.block_of_column
        member = None if n_blocks == p else put(np.eye(n_blocks)[of_column])
        self.blocks = member, self.engine.index(of_column)
        self.G, self.diagonal_of_G = put(model.G), put(np.diag(model.G).copy())
        self.R = None if penalty.R is None else put(penalty.smoothness * penalty.R)
        diagonal = np.zeros(p) if penalty.R is None else penalty.smoothness * np.diag(penalty.R)
        self.diagonal_of_R = put(diagonal)
        self.split = self.normed and penalty.R is None
        self.spectrum = None
        if self.split or not self.normed:
            self.spectrum = tuple(put(a) for a in model._eigen(penalty.smoothness, 0.0))
        # with these signs Σuuᵀ − Σvvᵀ is one sum
        signs = np.tile([1.0, -1.0], MEMORY)
        self.signs, self.sign_matrix = put(signs), put(np.diag(signs))
        # largest eigenvalue of G in its own diagonal's metric: what a step bound starts from
        variance = np.diag(model.G)
        scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 0)
        self.first_bound = (
            0.0 if self.split else max(1.0, 1.02 * float(np.linalg.eigvalsh(model.G * np.outer(scale, scale))[-1]))
        )

    # one function of arrays each, so that each is compiled once

    def _call(self, function: Callable[..., Any], *arguments: Any, constants: tuple = ()) -> Any:
        return compiled(self.engine, function, *constants)(*arguments)

    def _tau(self, lam: np.ndarray) -> Array:
        return self.engine.asarray(np.outer(self.penalty.l1_ratio * lam, self.penalty.block_weights))

    def walk(
        self,
        lambdas: np.ndarray,
        tol: float,
        max_iter: int,
        on_strength: Callable[[int, int], Any] | None = None,
        guides: list[np.ndarray] | None = None,
        first_fit: int = 0,
    ) -> list[Path]:
        """Descend the strengths with every fit from number ``first_fit`` on.

        Parameters
        ----------
        lambdas : ndarray, shape (n_lambdas, n_neurons)
            Descending.
        on_strength : callable, optional
            Called with (strength index, fit index) when that fit has reached that strength.
        guides : list of ndarray, shape (n_lambdas, n_neurons, n_features), optional
            Per fit, a path that is near: the fit begins at guide(λ_k) + fit(λ_{k−1}) − guide(λ_{k−1}) where that is
            lower.

        Returns
        -------
        list of Path
        """
        n_fits, q, p = self.shape
        chosen = np.arange(first_fit * q, n_fits * q)
        batch = self._start(chosen)
        n_paths = n_fits - first_fit
        paths = [
            Path(
                np.zeros((len(lambdas), q, p), self.engine.dtype),
                *(np.zeros((len(lambdas), q)) for _ in range(3)),
                np.zeros((len(lambdas), q), int),
            )
            for _ in range(n_paths)
        ]
        for k, row in enumerate(lambdas):
            lam = np.tile(row, n_paths)
            jumped = np.zeros(len(chosen), bool)
            if guides is not None:
                jumped = np.tile(np.ones(q, bool) if k == 0 else row != lambdas[k - 1], n_paths)
                jumped &= self.fittable.ravel()[chosen]
                target = [g[k] + (path.W[k - 1] - g[k - 1] if k else 0) for g, path in zip(guides, paths, strict=True)]
                self._jump(batch, np.concatenate(target), jumped, lam, paths[0].seconds)
            gap, n_iter, trace = self._solve_strength(batch, lam, tol, max_iter, paths[0].seconds)
            W = self.engine.to_numpy(batch.W).reshape(n_paths, q, p)
            value = batch.point.loss + self._penalty_value(batch.W, lam)
            for i, path in enumerate(paths):
                rows = slice(i * q, (i + 1) * q)
                path.W[k], path.b[k], path.objective[k] = W[i], batch.point.b[rows], value[rows]
                path.gap[k], path.n_iter[k] = gap[rows], n_iter[rows] + jumped[rows]
                path.trace.append([float(v[rows][self.fittable[first_fit + i]].sum()) for v in trace])
                if on_strength is not None:
                    on_strength(k, first_fit + i)
        return paths

    def _start(self, chosen: np.ndarray) -> _Batch:
        engine, (_, _, p) = self.engine, self.shape
        empty = engine.asarray(np.zeros((len(chosen), MEMORY, p), engine.dtype))
        whole = _Batch(
            np.arange(len(self.null.b)), np.ones(len(self.null.b), bool), self.columns, self.null, self.zeros,
            (), self.rows.vector(np.full(len(self.null.b), self.first_bound)), np.ones(len(self.null.b)),
        )  # fmt: skip
        part = self._take(whole, chosen, np.ones(len(chosen), bool))
        part.pairs = (empty, empty, empty)
        part.index = np.arange(len(chosen))
        self._chosen = chosen
        return part

    def _take(self, batch: _Batch, rows: np.ndarray, real: np.ndarray) -> _Batch:
        xp, at = self.engine.xp, self.engine.index(rows)

        def pick(array: Array) -> Array:
            return xp.take(array, at, axis=0)

        columns, point = batch.at, batch.point
        return _Batch(
            batch.index[rows],
            real,
            Columns(
                pick(columns.neuron), pick(columns.fit), pick(columns.YX),
                columns.total[rows], columns.y_mean[rows], columns.y_offset[rows],
            ),
            Point(*(getattr(point, name)[rows] for name in Point.SCALARS), pick(point.grad)),
            pick(batch.W),
            tuple(pick(a) for a in batch.pairs),
            pick(batch.bound),
            batch.damping[rows],
        )  # fmt: skip

    def _give_back(self, small: _Batch, large: _Batch) -> None:
        """Write the columns of a smaller batch into the whole one."""
        xp = self.engine.xp
        n, rows = len(large.index), np.flatnonzero(small.real)
        position = small.index[rows]
        source = np.arange(n)
        source[position] = n + rows
        at = self.engine.index(source)

        def put(into: Array, part: Array) -> Array:
            return xp.take(xp.concat([into, part], axis=0), at, axis=0)

        for name in Point.SCALARS:
            getattr(large.point, name)[position] = getattr(small.point, name)[rows]
        large.damping[position] = small.damping[rows]
        large.point.grad, large.W = put(large.point.grad, small.point.grad), put(large.W, small.W)
        large.pairs = tuple(put(a, b) for a, b in zip(large.pairs, small.pairs, strict=True))
        large.bound = put(large.bound, small.bound)

    def _penalty_value(self, W: Array, lam: np.ndarray) -> np.ndarray:
        lam2 = self.rows.vector((1 - self.penalty.l1_ratio) * lam)
        value = self._call(kernels.penalty_value, *self.blocks, W, lam2, self._tau(lam), self.R)
        return np.asarray(self.engine.to_numpy(value), float)

    def _jump(
        self, batch: _Batch, W: np.ndarray, chosen: np.ndarray, lam: np.ndarray, seconds: dict[str, float]
    ) -> None:
        """Move chosen columns of the whole batch to rows of W where that lowers their objective."""
        began = time.perf_counter()
        W = self.engine.asarray(W)
        wyx = np.asarray(self.engine.to_numpy(self._call(kernels.dot, W, batch.at.YX)), float)
        there = self.rows.evaluate(batch.at, W, batch.point.b, wyx, batch.point.curvature)
        now, then = (v.loss + self._penalty_value(w, lam) for v, w in ((batch.point, batch.W), (there, W)))
        self._accept(batch, there, W, chosen & (then < now))
        seconds["evaluate"] += time.perf_counter() - began

    def _accept(self, batch: _Batch, trial: Point, W: Array, accepted: np.ndarray) -> None:
        for name in Point.SCALARS:
            values = getattr(batch.point, name)
            setattr(batch.point, name, np.where(accepted, getattr(trial, name), values))
        mask = self.rows.vector(accepted)
        batch.W, batch.point.grad = self._call(kernels.choose, mask, W, trial.grad, batch.W, batch.point.grad)

    def _certificate(self, batch: _Batch, lam: np.ndarray, tau: Array) -> np.ndarray:
        """The bound of `popglm.solve.certificate.certificate`, over the scale."""
        point, vector = batch.point, self.rows.vector
        lam2 = (1 - self.penalty.l1_ratio) * lam
        parts = self._call(
            kernels.certificate_parts, *self.blocks, batch.W, point.grad, vector(point.curvature), vector(lam2), tau,
            self.diagonal_of_G, self.R, self.spectrum, constants=(self.normed,),
        )  # fmt: skip
        theta, scaled, plain, w2, wRw, over, decrement, finite = np.asarray(self.engine.to_numpy(parts), float).T
        columns = self._chosen[batch.index]
        excess = np.maximum(point.loss - self.saturated[columns], 0)
        decrement = 0.5 * DECREMENT_SAFETY * decrement
        with np.errstate(divide="ignore", invalid="ignore"):
            left = 1 - theta
            fenchel = left * excess
            if self.loss.canonical:
                fenchel = np.fmin(fenchel, left**2 * np.maximum(point.chi2, 0))
            gap = np.where(lam2 > 0, plain + 0.5 * lam2 * w2 + over / (2 * lam2), np.inf)
            if self.normed:
                gap = np.where(lam2 > 0, gap, scaled + 0.5 * lam2 * w2 + 0.5 * left**2 * wRw + fenchel)
        gap = np.where(np.isfinite(gap), np.maximum(gap, 0), excess)
        gap = np.where(lam > 0, gap, np.minimum(excess, decrement))
        if not self.loss.convex:
            gap = decrement
        return np.where(finite > 0, gap, np.inf) / self.scale[columns]

    def _step(
        self, batch: _Batch, active: np.ndarray, c: np.ndarray, lam: np.ndarray, tau: Array, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        """Minimiser of every column's model, and the decrease that it promises with what the steps left over.

        Steps end early where no more than ``most`` is promised: the column is certified.
        """
        vector, host = self.rows.vector, self.engine.to_numpy
        lam2 = vector((1 - self.penalty.l1_ratio) * lam)
        c = vector(c)
        if not self.normed:
            d, promise = self._call(
                kernels.smooth_step, batch.W, batch.point.grad, c, lam2, *batch.pairs[:2], *self.spectrum, self.R
            )
            return d, np.asarray(host(promise), float)
        if self.split:
            return self._split_step(batch, active, c, lam2, tau, most)
        grad, vectors, D, at = self._call(
            kernels.open_model, *self.blocks, batch.W, batch.point.grad, c, batch.bound, *batch.pairs,
            self.diagonal_of_G, self.diagonal_of_R, self.R, self.signs,
        )  # fmt: skip
        rounding = 10 * float(np.finfo(self.engine.dtype).eps)
        model = (batch.W, grad, c, lam2, tau, vectors, self.signs, D, self.G, self.R)
        last, left = np.zeros(len(active)), np.full(len(active), np.inf)
        with self.engine.fast_products():
            for _ in range(MOST_CALLS):
                at, value = self._call(kernels.proximal_steps, *self.blocks, *model, at, constants=(rounding,))
                value = np.asarray(host(value), float)
                # steps converge at a steady rate: half the gain of a call, or more, is what is left
                left, last = np.abs(last - value), value
                if self._enough(active, value, left, most):
                    break
        batch.bound = at[5] * 0.95
        return at[0], np.maximum(-last, 0) + left

    @staticmethod
    def _enough(active: np.ndarray, value: np.ndarray, left: np.ndarray, most: np.ndarray) -> bool:
        gained = np.maximum(-value, 0)
        open_ = active & ~(left <= np.maximum(MODEL_ACCURACY * gained, most - gained))
        return np.count_nonzero(open_) <= (1 - DONE_SHARE) * np.count_nonzero(active)

    def _split_step(
        self, batch: _Batch, active: np.ndarray, c: Array, lam2: Array, tau: Array, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        host, grad = self.engine.to_numpy, batch.point.grad
        vectors, *at = self._call(
            kernels.open_split, batch.W, grad, c, lam2, tau, *batch.pairs, self.spectrum[0], self.signs, batch.bound
        )
        model = (batch.W, grad, c, lam2, tau, vectors, self.sign_matrix, *self.spectrum)
        with self.engine.fast_products():
            for _ in range(MOST_CALLS):
                d, sums, *at = self._call(kernels.split_steps, *self.blocks, *model, *at)
                value, left, residual = np.asarray(host(sums), float).T
                left = np.where((residual <= RESIDUAL) & (left >= 0), left, np.inf)
                if self._enough(active, value, left, most):
                    break
        # where curvature pairs have become dependent nothing is finite: ρ begins anew
        batch.bound = self._call(kernels.finite_or_zero, at[2])
        return d, np.maximum(-value, 0) + left

    def _solve_strength(
        self, whole: _Batch, lam: np.ndarray, tol: float, max_iter: int, seconds: dict[str, float]
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """See `popglm.solve.path.solve_strength`: the same decisions, by masks."""
        gap, n_iter, quiet = np.zeros(len(lam)), np.zeros(len(lam), int), np.zeros(len(lam), int)
        eps = np.finfo(self.engine.dtype).eps
        batch, tau, lam_here = whole, self._tau(lam), lam
        active = self.fittable.ravel()[self._chosen].copy()
        objective = whole.point.loss + self._penalty_value(whole.W, lam)
        trace = [objective.copy()]
        for iteration in range(max_iter + 1):
            bound = self._certificate(batch, lam_here, tau)
            gap[batch.index[active]] = bound[active]
            active &= bound > tol
            if not active.any():
                break
            size = max(LEAST_COLUMNS, -(-len(active) // SHRINK))
            if np.count_nonzero(active) <= size < len(active):
                smaller = self._shrink(batch, active, size)
                if batch is not whole:
                    self._give_back(batch, whole)
                batch, active = smaller, smaller.real.copy()
                lam_here = lam[batch.index]
                tau = self._tau(lam_here)
            columns = self._chosen[batch.index]
            scale, point = self.scale[columns], batch.point
            began = time.perf_counter()
            safety = np.minimum(MODEL_SAFETY * point.spread, MOST_SAFETY) * batch.damping
            most = tol * scale / safety
            d, promise = self._step(batch, active, point.curvature * batch.damping, lam_here, tau, most)
            W_new, parts = self._call(
                kernels.moved, *self.blocks, batch.W, d, point.grad, batch.at.YX,
                self.rows.vector((1 - self.penalty.l1_ratio) * lam_here), tau, self.R, self.rows.vector(active),
            )  # fmt: skip
            promised, change, dyx = np.asarray(self.engine.to_numpy(parts), float).T
            seconds["blocks"] += time.perf_counter() - began
            estimate = np.where(point.smooth & np.isfinite(promised), safety * promise / scale, np.inf)
            at = batch.index[active]
            gap[at] = np.minimum(gap[at], estimate[active])
            # three steps that promised less than rounding: this is as far as the precision goes
            active &= (gap[batch.index] > tol) & (quiet[batch.index] < 3)
            if not active.any() or iteration == max_iter:
                break
            began = time.perf_counter()
            trial = self.rows.evaluate(batch.at, W_new, point.b, point.wyx + dyx, point.curvature)
            seconds["evaluate"] += time.perf_counter() - began

            gained = trial.loss - point.loss + change
            noise = 4 * eps * (np.abs(point.loss) + scale)
            finite = active & np.isfinite(trial.loss)
            accepted = finite & (gained <= 1e-4 * promised + noise)
            batch.pairs = self._call(
                kernels.keep_pairs, *batch.pairs, W_new, batch.W, trial.grad, point.grad, self.rows.vector(finite),
                *(self.spectrum if self.split else (self.G, None)),
                constants=(1e-4 * float(np.sqrt(eps)),),
            )  # fmt: skip
            self._accept(batch, trial, W_new, accepted)
            damping = np.where(
                accepted,
                np.maximum(batch.damping / RELAX, 1),
                np.minimum(batch.damping * np.where(finite, 2, 16), MOST_DAMPING),
            )
            # a step that was not going down says nothing about the model: it was not solved
            batch.damping = np.where(active & (accepted | (promised < 0)), damping, batch.damping)
            at = batch.index[active]
            small = np.isfinite(promise) & (promised > -noise)
            quiet[at] = np.where(small[active], quiet[at] + 1, 0)
            n_iter[at] += 1
            objective[batch.index[accepted]] += gained[accepted]
            trace.append(objective.copy())
        if batch is not whole:
            self._give_back(batch, whole)
        return gap, n_iter, trace

    def _shrink(self, batch: _Batch, active: np.ndarray, size: int) -> _Batch:
        rows = np.flatnonzero(active)
        real = np.arange(size) < len(rows)
        return self._take(batch, np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))]), real)

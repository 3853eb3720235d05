"""All folds and the refit as one batch of columns, each a (fit, neuron) pair, that walk down the strengths in step.

The schedule for accelerators, with the same model, acceptance, damping and certificates as `popglm.solve.walk`: there
fits take turns and block descent visits one neuron after the other; here every array operation serves all columns.
Arrays over features stay on the device in the engine's precision; what is one number per column is float64 on the host,
where the decisions are made. Shapes are fixed: columns that are done are masked, and gathered into a batch of a quarter
of the size when so few are left, so that a compiled function meets three or four shapes in all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from popglm.solve.certificate import DECREMENT_SAFETY
from popglm.solve.lockstep.arrays import vector
from popglm.solve.lockstep.batch import Batch
from popglm.solve.lockstep.model import BatchModel, Strength
from popglm.solve.lockstep.null import null_point, start_intercept
from popglm.solve.lockstep.rows import BatchRows, Point
from popglm.solve.lockstep.sums import sums_of_fits
from popglm.solve.objective import is_fine
from popglm.solve.path import Path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.units import Units
from popglm.solve.walk import MODEL_SAFETY, MOST_DAMPING, MOST_SAFETY, QUIET, RELAX, rounding
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["Lockstep"]


class Lockstep:
    """The fits of all columns, standing at w = 0.

    Parameters
    ----------
    engine : engine
    loss : Family
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
        Rows that are worked on at a time; see `BatchRows`.
    units : Units, optional
        Of Y.

    Attributes
    ----------
    fittable : ndarray of bool, shape (n_fits, n_neurons)
    """

    def __init__(
        self,
        engine: Any,
        loss: Family,
        model: QuadraticModel,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        counts: np.ndarray,
        fit_intercept: bool = True,
        chunk_rows: int | None = None,
        units: Units | None = None,
    ) -> None:
        self.engine, self.loss, self.model = engine, loss, BatchModel(engine, model)
        self.shape = len(counts), len(Y), X.shape[1]
        n_fits, q, p = self.shape
        units = Units.plain(q) if units is None else units
        sums = ResponseSums.join(sums_of_fits(loss, Y, weights, counts, offset, 1 / units.size))
        self.fittable = sums.fittable(loss).reshape(n_fits, q)
        self.null_intercept = start_intercept(sums, fit_intercept)
        self.scale = np.maximum(sums.null, np.finfo(float).tiny)
        self.unit, self.level = np.tile(units.loss, n_fits), units.saturated(sums)
        closed = loss.has_exp_sums and fit_intercept
        fine = closed and bool((is_fine(sums, engine.dtype) & self.fittable.ravel()).any())
        self.magnitude = np.maximum(self.scale, sums.mean) if closed and not fine else self.scale
        self.rows = BatchRows(engine, loss, X, Y, weights, offset, counts, fit_intercept, n_fits * q, chunk_rows, fine)
        fit, neuron = (a.ravel() for a in np.indices((n_fits, q)))
        self.columns = self.rows.columns(neuron, fit)
        self.columns.floor = sums.saturated
        self.zeros = engine.asarray(np.zeros((n_fits * q, p), engine.dtype))
        self.null = null_point(self.rows, self.columns, self.zeros, self.null_intercept, self.fittable.ravel())

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
            at = self.model.strength(np.tile(row, n_paths))
            jumped = np.zeros(len(chosen), bool)
            if guides is not None:
                jumped = np.tile(np.ones(q, bool) if k == 0 else row != lambdas[k - 1], n_paths)
                jumped &= self.fittable.ravel()[chosen]
                target = [g[k] + (path.W[k - 1] - g[k - 1] if k else 0) for g, path in zip(guides, paths, strict=True)]
                self._jump(batch, np.concatenate(target), jumped, at, paths[0].seconds)
            gap, n_iter, trace = self._solve_strength(batch, at, tol, max_iter, paths[0].seconds)
            W = self.engine.to_numpy(batch.W).reshape(n_paths, q, p)
            value = self._reported(chosen, batch.point.loss + self.model.penalty_value(batch.W, at))
            reported = [self._reported(chosen, v) for v in trace]
            for i, path in enumerate(paths):
                rows = slice(i * q, (i + 1) * q)
                path.W[k], path.b[k], path.objective[k] = W[i], batch.point.b[rows], value[rows]
                path.gap[k], path.n_iter[k] = gap[rows], n_iter[rows] + jumped[rows]
                path.trace.append([float(v[rows][self.fittable[first_fit + i]].sum()) for v in reported])
                if on_strength is not None:
                    on_strength(k, first_fit + i)
        return paths

    def _reported(self, chosen: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """The objective of columns in the recording's units, with the saturated loss in it."""
        return self.unit[chosen] * objective + self.level[chosen]

    def _start(self, chosen: np.ndarray) -> Batch:
        engine, n = self.engine, len(self.null.b)
        bound = vector(engine, np.full(n, self.model.first_bound))
        everything = Batch(np.arange(n), np.ones(n, bool), self.columns, self.null, self.zeros, (), bound, np.ones(n))
        part = everything.take(engine, chosen, np.ones(len(chosen), bool))
        part.pairs = self.model.no_pairs(part.W)
        part.index = np.arange(len(chosen))
        self._chosen = chosen
        return part

    def _jump(self, batch: Batch, W: np.ndarray, chosen: np.ndarray, at: Strength, seconds: dict[str, float]) -> None:
        """Move chosen columns of the whole batch to rows of W where that lowers their objective."""
        began = time.perf_counter()
        W = self.engine.asarray(W)
        wyx = np.asarray(self.engine.to_numpy(self.engine.xp.sum(W * batch.at.YX, axis=1)), float)
        there = self.rows.evaluate(batch.at, W, batch.point.b, wyx, batch.point.curvature)
        now, then = (v.loss + self.model.penalty_value(w, at) for v, w in ((batch.point, batch.W), (there, W)))
        self._accept(batch, there, W, chosen & (then < now))
        seconds["evaluate"] += time.perf_counter() - began

    def _accept(self, batch: Batch, trial: Point, W: Any, accepted: np.ndarray) -> None:
        for name in Point.SCALARS:
            values = getattr(batch.point, name)
            setattr(batch.point, name, np.where(accepted, getattr(trial, name), values))
        self.model.accept(batch, W, trial.grad, accepted)

    def _certificate(self, batch: Batch, at: Strength) -> np.ndarray:
        """The bound of `popglm.solve.certificate.certificate`, over the scale."""
        point, lam2 = batch.point, at.lam2
        theta, scaled, plain, w2, wRw, over, decrement, finite = self.model.certificate_parts(batch, at)
        columns = self._chosen[batch.index]
        excess = np.maximum(point.loss, 0)
        decrement = 0.5 * DECREMENT_SAFETY * decrement
        with np.errstate(divide="ignore", invalid="ignore"):
            left = 1 - theta
            fenchel = left * excess
            if self.loss.is_canonical:
                fenchel = np.fmin(fenchel, left**2 * np.maximum(point.chi2, 0))
            gap = np.where(lam2 > 0, plain + 0.5 * lam2 * w2 + over / (2 * lam2), np.inf)
            if self.model.normed:
                gap = np.where(lam2 > 0, gap, scaled + 0.5 * lam2 * w2 + 0.5 * left**2 * wRw + fenchel)
        gap = np.where(np.isfinite(gap), np.maximum(gap, 0), excess) + point.slope * np.abs(point.b)
        gap = np.where(at.lam > 0, gap, excess)
        if not self.loss.is_convex:
            gap = decrement
        return np.where(finite > 0, gap, np.inf) / self.scale[columns]

    def _solve_strength(
        self, whole: Batch, strength: Strength, tol: float, max_iter: int, seconds: dict[str, float]
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """See `popglm.solve.walk.walk_path`: the same decisions, by masks."""
        n, model, engine = len(whole.index), self.model, self.engine
        gap, n_iter, quiet = np.zeros(n), np.zeros(n, int), np.zeros(n, int)
        batch, at = whole, strength
        active = self.fittable.ravel()[self._chosen].copy()
        objective = whole.point.loss + model.penalty_value(whole.W, strength)
        trace = [objective.copy()]
        for iteration in range(max_iter + 1):
            bound = self._certificate(batch, at)
            gap[batch.index[active]] = bound[active]
            active &= bound > tol
            if not active.any():
                break
            smaller = batch.shrunk(engine, active)
            if smaller is not None:
                if batch is not whole:
                    batch.give_back(engine, whole)
                batch, active = smaller, smaller.real.copy()
                at = model.strength(strength.lam[batch.index])
            columns = self._chosen[batch.index]
            scale, point = self.scale[columns], batch.point
            began = time.perf_counter()
            # the null model's spread is taken with a guess at its mean weight, which may lie far above
            safety = np.minimum(MODEL_SAFETY * np.maximum(point.spread, 1), MOST_SAFETY) * batch.damping
            most = tol * scale / safety
            d, promise = model.step(batch, active, point.curvature * batch.damping, at, most)
            W_new, (promised, change, dyx) = model.moved(batch, d, at, active)
            seconds["blocks"] += time.perf_counter() - began
            with np.errstate(over="ignore"):
                estimate = np.maximum(safety * promise / scale, tol)
            estimate = np.where(point.smooth & np.isfinite(promised), estimate, np.inf)
            here = batch.index[active]
            gap[here] = np.minimum(gap[here], estimate[active])
            # three steps that promised less than rounding: this is as far as the precision goes
            active &= (gap[batch.index] > tol) & (quiet[batch.index] < 3)
            if not active.any() or iteration == max_iter:
                break
            began = time.perf_counter()
            trial = self.rows.evaluate(batch.at, W_new, point.b, point.wyx + dyx, point.curvature)
            seconds["evaluate"] += time.perf_counter() - began

            gained = trial.loss - point.loss + change
            noise = rounding(engine.dtype, point.loss, self.magnitude[columns])
            finite = active & np.isfinite(trial.loss)
            accepted = finite & (gained <= 1e-4 * promised + noise)
            model.keep_step(batch, W_new, trial.grad, finite)
            self._accept(batch, trial, W_new, accepted)
            damping = np.where(
                accepted,
                np.maximum(batch.damping / RELAX, 1),
                np.minimum(batch.damping * np.where(finite, 2, 16), MOST_DAMPING),
            )
            # a step that was not going down says nothing about the model: it was not solved
            batch.damping = np.where(active & (accepted | (promised < 0)), damping, batch.damping)
            here = batch.index[active]
            small = np.isfinite(promise) & (promised > -QUIET * noise)
            quiet[here] = np.where(small[active], quiet[here] + 1, 0)
            n_iter[here] += 1
            objective[batch.index[accepted]] += gained[accepted]
            trace.append(objective.copy())
        if batch is not whole:
            batch.give_back(engine, whole)
        return gap, n_iter, trace

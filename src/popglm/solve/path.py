"""One fit over descending strengths, and the fits of all folds beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.certificate import certificate
from popglm.solve.objective import Evaluation, GramObjective, RowObjective
from popglm.solve.quadratic import CurvatureMemory, QuadraticModel

__all__ = ["Fit", "Path", "empty_path", "start_fit", "walk_path"]

#: An objective is taken to lie above its minimum by the decrease that the model promises, times this, times the spread
#: of the neuron's curvature weights (1 where all are equal), the product at most the second number. Where the weights
#: are even the model is right; a constant had to be 75, and took 1.4 × the evaluations. benchmarks/certificates.py
#: compares with long float64 fits.
MODEL_SAFETY, MOST_SAFETY = 6.0, 150.0
#: Damping falls by this after a step that was accepted: 2 made every second step of some neurons overshoot.
RELAX = 1.25
#: c times this is still a float32.
MOST_DAMPING = 1e20


@dataclass
class Fit:
    """One fit in progress: its data, its model, and the current point of every neuron.

    Attributes
    ----------
    loss : Loss
    objective : RowObjective or GramObjective
    model : QuadraticModel
    fittable : ndarray of int
        Neurons that are fitted; the others stay at the null model.
    scale : ndarray, shape (n_neurons,)
        Half the mean null deviance: the unit of the certificate.
    saturated : ndarray, shape (n_neurons,)
    W : ndarray, shape (n_neurons, n_features)
    at : Evaluation
    memory : CurvatureMemory
    damping : ndarray, shape (n_neurons,)
        Factor on c, above 1 after a step that did not decrease the objective.
    """

    loss: Loss
    objective: RowObjective | GramObjective
    model: QuadraticModel
    fittable: np.ndarray
    scale: np.ndarray
    saturated: np.ndarray
    W: np.ndarray
    at: Evaluation
    memory: CurvatureMemory
    damping: np.ndarray

    @property
    def is_fitted(self) -> np.ndarray:
        """Whether a neuron is among the fittable, shape (n_neurons,)."""
        return np.isin(np.arange(len(self.W)), self.fittable)

    def value(self, W: np.ndarray, at: Evaluation, lam: np.ndarray) -> np.ndarray:
        """Penalised objective."""
        return at.loss + self.model.penalty.value(W, lam)

    def total(self, lam: np.ndarray) -> float:
        """Penalised objective where the fit stands, summed over the fitted neurons."""
        neurons = self.fittable
        return float(self.value(self.W[neurons], self.at.take(neurons), lam[neurons]).sum())


@dataclass
class Path:
    """What a fit leaves behind, in solver coordinates; first axis: strengths.

    Attributes
    ----------
    W : ndarray, shape (n_lambdas, n_neurons, n_features)
    b, gap, objective : ndarray, shape (n_lambdas, n_neurons)
        Intercept; certificate relative to the null deviance; penalised objective.
    n_iter : ndarray of int, shape (n_lambdas, n_neurons)
        Evaluations of loss and gradient (one pair of matrix products each).
    seconds : dict
        Time by phase.
    trace : list of list of float
        For every strength, the objective summed over the fitted neurons, at the start and after every iteration.
    """

    W: np.ndarray
    b: np.ndarray
    gap: np.ndarray
    objective: np.ndarray
    n_iter: np.ndarray
    seconds: dict[str, float] = field(default_factory=lambda: {"blocks": 0.0, "evaluate": 0.0})
    trace: list[list[float]] = field(default_factory=list)


def start_fit(
    loss: Loss,
    objective: RowObjective | GramObjective,
    model: QuadraticModel,
    fittable: np.ndarray,
    intercept: np.ndarray,
    scale: np.ndarray,
    saturated: np.ndarray,
) -> Fit:
    """A fit that stands at w = 0 and the best intercept there."""
    q, p = len(intercept), len(model.G)
    W = np.zeros((q, p))
    at = Evaluation(
        np.zeros(q), intercept.copy(), np.zeros((q, p)), np.ones(q), np.zeros(q), np.ones(q), np.ones(q, bool)
    )
    if len(fittable):
        null = objective.evaluate(fittable, W[fittable], intercept[fittable])
        if not np.isfinite(null.loss).all() and objective.offset is not None:
            # a large offset overflows at the intercept of the plain mean; below the largest it cannot
            null = objective.evaluate(fittable, W[fittable], intercept[fittable] - objective.offset.max())
        at.put(fittable, null, np.arange(len(fittable)))
    return Fit(loss, objective, model, fittable, scale, saturated, W, at, model.memory(q), np.ones(q))


def solve_strength(fit: Fit, lam: np.ndarray, tol: float, max_iter: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Move every neuron of ``fit`` to within ``tol`` of its minimum at strength ``lam``.

    ``path`` takes the time by phase and the trace.

    Returns
    -------
    gap : ndarray, shape (n_neurons,)
        Certificate over ``fit.scale``.
    n_iter : ndarray of int, shape (n_neurons,)
    """
    penalty, objective, model, seconds = fit.model.penalty, fit.objective, fit.model, path.seconds
    gap, n_iter = np.zeros(len(lam)), np.zeros(len(lam), int)
    quiet = np.zeros(len(lam), int)
    neurons = fit.fittable
    trace = [fit.total(lam)]
    path.trace.append(trace)
    for iteration in range(max_iter + 1):
        bound = certificate(fit.loss, model, fit.W[neurons], fit.at.take(neurons), lam[neurons], fit.saturated[neurons])
        gap[neurons] = bound / fit.scale[neurons]
        neurons = neurons[gap[neurons] > tol]
        if not len(neurons):
            break
        began = time.perf_counter()
        here, W = fit.at.take(neurons), fit.W[neurons]
        c = here.curvature * fit.damping[neurons]
        d, promise = model.step(fit.memory, neurons, W, here.grad, c, lam[neurons])
        seconds["blocks"] += time.perf_counter() - began
        # damping divides the promise by itself at most; a kink is not in the model: no estimate then
        safety = np.minimum(MODEL_SAFETY * here.spread, MOST_SAFETY) * fit.damping[neurons]
        estimate = safety * promise / fit.scale[neurons]
        estimate = np.where(here.smooth & np.isfinite(d).all(axis=1), estimate, np.inf)
        gap[neurons] = np.minimum(gap[neurons], estimate)
        # three steps that promised less than rounding: this is as far as the precision goes
        go = (gap[neurons] > tol) & (quiet[neurons] < 3)
        neurons, here, W, d = neurons[go], here.take(go), W[go], d[go]
        if not len(neurons) or iteration == max_iter:
            break
        began = time.perf_counter()
        # the step that is really taken, so that its curvature pair has no rounding in s
        d = (W + d).astype(model.engine.dtype) - W
        trial = objective.evaluate(neurons, W + d, here.b)
        seconds["evaluate"] += time.perf_counter() - began

        before, after = penalty.value(W, lam[neurons]), penalty.value(W + d, lam[neurons])
        promised = np.einsum("ij,ij->i", here.grad, d) + after - before
        gained = trial.loss + after - here.loss - before
        noise = 4 * np.finfo(model.engine.dtype).eps * (np.abs(here.loss) + fit.scale[neurons])
        finite = np.isfinite(trial.loss)
        accepted = finite & (gained <= 1e-4 * promised + noise)

        if not isinstance(objective, GramObjective):
            # there B = G is the curvature itself
            model.remember(fit.memory, neurons[finite], d[finite], (trial.grad - here.grad)[finite])
        fit.at.put(neurons, trial, accepted)
        fit.W[neurons[accepted]] += d[accepted]
        # a rejected point has taught its curvature; damping guards what one pair cannot say
        fit.damping[neurons] = np.where(
            accepted,
            np.maximum(fit.damping[neurons] / RELAX, 1),
            np.minimum(fit.damping[neurons] * np.where(finite, 2, 16), MOST_DAMPING),
        )
        quiet[neurons] = np.where(promised > -noise, quiet[neurons] + 1, 0)
        n_iter[neurons] += 1
        trace.append(fit.total(lam))
    return gap, n_iter


def walk_path(
    full: Fit | None,
    folds: list[Fit],
    lambdas: np.ndarray,
    tol: float,
    max_iter: int,
    offset_start: bool,
    on_strength: Callable[[int, int], Any] | None = None,
    guides: list[np.ndarray] | None = None,
) -> tuple[Path | None, list[Path]]:
    """Descend the strengths with the fit to all rows and, at each strength, the folds.

    With a guide, a path that is near, a fit begins at guide(λ_k) + fit(λ_{k−1}) − guide(λ_{k−1}) where that is lower.
    With ``offset_start`` the guide of the folds is the fit to all rows: that took 7.2 evaluations per strength, where
    paths of their own took 8.6 (tutorial size, 20 neurons). Curvature pairs are each fit's own; those of the full
    fit took 7.5.

    Parameters
    ----------
    lambdas : ndarray, shape (n_lambdas, n_neurons)
        Descending.
    guides : list of ndarray, shape (n_lambdas, n_neurons, n_features)
        For the full fit, if there is one, and every fold; in the coordinates of each.
    on_strength : callable, optional
        Called with (strength index, fold index; −1 for all rows) when that fit has reached that strength.
    """
    fits = ([full] if full is not None else []) + folds
    paths = [empty_path(fit, len(lambdas)) for fit in fits]
    for k, lam in enumerate(lambdas):
        for i, (fit, path) in enumerate(zip(fits, paths, strict=True)):
            guide = None
            if guides is not None:
                guide = guides[i]
            elif offset_start and full is not None and fit is not full:
                guide = paths[0].W
            jumped = np.zeros(0, int)
            if guide is not None:
                # where the strength is the same again, the fit is there already
                jumped = fit.fittable if k == 0 else fit.fittable[(lam != lambdas[k - 1])[fit.fittable]]
                _jump(fit, jumped, guide[k] + (fit.W - guide[k - 1] if k else 0), lam, path.seconds)
            path.gap[k], path.n_iter[k] = solve_strength(fit, lam, tol, max_iter, path)
            path.n_iter[k, jumped] += 1
            path.W[k], path.b[k] = fit.W, fit.at.b
            path.objective[k] = fit.value(fit.W, fit.at, lam)
            if on_strength is not None:
                on_strength(k, i - (full is not None))
    return (paths[0] if full is not None else None), paths[full is not None :]


def empty_path(fit: Fit, n_lambdas: int) -> Path:
    """Room for ``n_lambdas`` strengths of a fit."""
    q, p = fit.W.shape
    b, gap, objective = (np.zeros((n_lambdas, q)) for _ in range(3))
    return Path(np.zeros((n_lambdas, q, p), fit.model.engine.dtype), b, gap, objective, np.zeros((n_lambdas, q), int))


def _jump(fit: Fit, neurons: np.ndarray, W: np.ndarray, lam: np.ndarray, seconds: dict[str, float]) -> None:
    """Move neurons to rows of W where that lowers their objective."""
    if not len(neurons):
        return
    began = time.perf_counter()
    there = fit.objective.evaluate(neurons, W[neurons], fit.at.b[neurons])
    seconds["evaluate"] += time.perf_counter() - began
    now = fit.value(fit.W[neurons], fit.at.take(neurons), lam[neurons])
    better = fit.value(W[neurons], there, lam[neurons]) < now
    fit.at.put(neurons, there, better)
    fit.W[neurons[better]] = W[neurons[better]]

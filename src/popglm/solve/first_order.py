"""Adam and stochastic gradient descent with proximal steps: the guide's optimisers, full or mini-batch.

They serve the losses with kinks (relu), and as a yardstick for the quasi-Newton solver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popglm.checks import check_seed, is_number
from popglm.messages import shown
from popglm.solve.fit import Fit
from popglm.solve.path import Path, empty_path

__all__ = ["FirstOrder", "walk_first_order"]

#: Descents at one strength where the family has parameters, which are estimated after each; and the relative change of
#: these that is worth another.
MOST_DESCENTS, MOVED = 4, 1e-3


@dataclass(frozen=True)
class FirstOrder:
    """A first-order optimiser.

    Parameters
    ----------
    method : {"adam", "sgd"}
        Adam (Kingma & Ba 2015), or gradient descent along the running mean of gradients in steps
        scaled by each neuron's curvature.
    learning_rate : float, optional
        In units of the linear predictor for Adam (0.01 unless given); a fraction of 1/curvature for SGD (1).
    momentum : float
    batch_size : int, optional
        Rows per step, drawn anew in each pass; all rows unless given.
    check_every : int
        Steps between looks at the objective.
    seed : int

    Raises
    ------
    ValueError
        For an unknown method or a setting outside its range.

    Examples
    --------
    >>> FirstOrder("adam", batch_size=256).batch_size
    256
    """

    method: str = "adam"
    learning_rate: float | None = None
    momentum: float = 0.9
    batch_size: int | None = None
    check_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings, and choose the learning rate where none was given."""
        if not isinstance(self.method, str) or self.method not in ("adam", "sgd"):
            raise ValueError(f"method={shown(self.method)} is unknown; use 'adam' or 'sgd'.")
        object.__setattr__(self, "learning_rate", self.rate)
        if not is_number(self.learning_rate) or self.learning_rate <= 0:
            raise ValueError(f"learning_rate={shown(self.learning_rate)} must be a finite number above 0.")
        if not is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={shown(self.momentum)} must lie in [0, 1).")
        for name in ("batch_size", "check_every"):
            value = getattr(self, name)
            if value is None and name == "batch_size":
                continue
            if not is_number(value, whole=True) or value < 1:
                raise ValueError(f"{name}={shown(value)} must be an integer of at least 1.")
        check_seed(self.seed, "FirstOrder")

    @property
    def rate(self) -> float:
        """`learning_rate`, the method's own where none was given."""
        return {"adam": 0.01, "sgd": 1.0}[self.method] if self.learning_rate is None else self.learning_rate


def walk_first_order(
    optimiser: FirstOrder,
    fit: Fit,
    lambdas: np.ndarray,
    tol: float,
    max_iter: int,
    report: Callable[[np.ndarray], None] | None = None,
) -> Path:
    """Like `popglm.solve.rounds.walk_path` without guides, for one fit; in up to 50·max_iter steps per strength."""
    path = empty_path(fit, len(lambdas))
    everyone = np.arange(len(fit.W))
    for k, lam in enumerate(lambdas):
        path.gap[k], path.n_iter[k] = _descend(optimiser, fit, lam, tol, 50 * max_iter, path, fit.fittable)
        for _ in range(MOST_DESCENTS if fit.loss.parameters else 0):
            open_ = _renew_parameters(fit, lam, tol, path.gap[k])
            if not len(open_):
                break
            gap, n_iter = _descend(optimiser, fit, lam, tol, 50 * max_iter, path, open_)
            path.gap[k, open_] = gap[open_]
            path.n_iter[k] += n_iter
        for j in fit.fittable[fit.can_prove(fit.fittable, lam[fit.fittable])]:
            path.gap[k, j] = min(path.gap[k, j], fit.prove(j)[1])
        path.record(fit, np.full(len(everyone), k), everyone, lam)
        if report is not None:
            report(np.full(len(everyone), k + 1))
    return path


def _certificates(fit: Fit, neurons: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Of some neurons, by the tighter bound where there are two."""
    gap, can = fit.certificate(neurons, lam), np.flatnonzero(fit.can_check(neurons, lam))
    if len(can):
        gap[can] = np.minimum(gap[can], fit.check(neurons[can], lam[can]).bound)
    return gap


def _renew_parameters(fit: Fit, lam: np.ndarray, tol: float, gap: np.ndarray) -> np.ndarray:
    """Estimate the parameters of the family where a fit stands, and its certificates; returns who has to go on."""
    neurons, before = fit.fittable, fit.parameters[fit.fittable].copy()
    fit.renew_parameters(neurons)
    fit.stand_at(neurons, fit.W[neurons], fit.at.b[neurons])
    fit.take_level(neurons)
    gap[neurons] = _certificates(fit, neurons, lam[neurons])
    moved = ~np.isclose(fit.parameters[neurons], before, rtol=MOVED, atol=0).all(axis=1)
    return neurons[moved & (gap[neurons] > tol)]


def _descend(
    optimiser: FirstOrder, fit: Fit, lam: np.ndarray, tol: float, max_steps: int, path: Path, neurons: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Proximal steps until certified, or until the best objective has stopped to fall by ``tol`` of the scale.

    Of some neurons; returns certificates and the number of steps of all, 0 for the others.
    """
    penalty, objective = fit.model.penalty, fit.objective
    began = time.perf_counter()
    rng = np.random.default_rng(optimiser.seed)
    n_iter, gap = np.zeros(len(lam), int), np.zeros(len(lam))
    block = penalty.block_of_column
    diagonal = np.diag(fit.model.G)
    # one scale per block: a step that is a multiple of the identity on the block has an exact proximal map
    width = np.maximum.reduceat(diagonal, penalty.starts[:-1])
    width = np.where(width > 0, width, 1.0)
    W = fit.W[neurons].copy()
    velocity, square = np.zeros_like(W), np.zeros((len(neurons), len(width)))
    best = fit.value(neurons, lam[neurons])
    path.trace.append([fit.reported(neurons, best).sum()])
    mark, rate, t = best.copy(), np.full(len(neurons), optimiser.rate), 0
    b = fit.at.b[neurons].copy()
    for t in range(1, max_steps + 1):
        if not len(neurons):
            break
        grad = objective.sampled_gradient(neurons, W, b, optimiser.batch_size, rng)
        lam_n = lam[neurons]
        grad_w = grad.grad + penalty.smooth_gradient(W) + penalty.ridge_strength(lam_n)[:, None] * penalty.penalised(W)
        b = grad.b
        # a running mean, not a sum: the proximal step needs the gradient on its own scale
        velocity += (1 - optimiser.momentum) * (grad_w - velocity)
        if optimiser.method == "adam":
            mean_square = np.add.reduceat(grad_w**2, penalty.starts[:-1], axis=1) / penalty.block_sizes
            square += 0.001 * (mean_square - square)
            root = np.sqrt(square / (1 - 0.999**t)) + 1e-12
            step = (rate[:, None] / np.sqrt(width)) / root
            move = velocity / (1 - optimiser.momentum**t)
        else:
            total = np.maximum(grad.curvature, 1e-12)[:, None] * width.sum()
            step, move = rate[:, None] / total * np.ones_like(square), velocity
        W = W - step[:, block] * move
        W = penalty.prox(W, step, lam_n)
        if t % optimiser.check_every and t < max_steps:
            continue
        at = objective.evaluate(neurons, W, b)
        now = at.loss + penalty.value(W, lam_n)
        better = now < best
        fit.at.put(neurons, at, better)
        fit.W[neurons[better]] = W[better]
        best = np.minimum(best, now)
        everyone = fit.fittable
        path.trace[-1].append(fit.reported(everyone, fit.value(everyone, lam[everyone])).sum())
        # a point that got lost (beyond the loss's domain, or far above the best) starts again, more slowly
        lost = ~np.isfinite(now) | (now > best + fit.scale[neurons])
        W[lost], velocity[lost], square[lost] = fit.W[neurons[lost]], 0, square[lost]
        b = np.where(lost, fit.at.b[neurons], at.b)
        stalled = mark - best <= tol * fit.scale[neurons]
        rate = np.where(lost | stalled, rate / 2, rate)
        mark = best.copy()
        n_iter[neurons] = t
        gap[neurons] = _certificates(fit, neurons, lam_n)
        stay = (gap[neurons] > tol) & (rate > 1e-3 * optimiser.rate)
        neurons, W, velocity, square = neurons[stay], W[stay], velocity[stay], square[stay]
        best, mark, rate, b = best[stay], mark[stay], rate[stay], b[stay]
    path.seconds["evaluate"] += time.perf_counter() - began
    return gap, n_iter

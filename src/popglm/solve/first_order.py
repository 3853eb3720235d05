"""Adam and stochastic gradient descent with proximal steps: the guide's optimisers, full or mini-batch.

They serve the losses with kinks (relu), and as a yardstick for the quasi-Newton solver.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popglm.checks import check_seed, is_number
from popglm.messages import shown
from popglm.solve.snapshot import UNKEPT, Checkpoint, Resumable, State
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.path import Path, empty_path

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
    checkpoint: Checkpoint = UNKEPT,
) -> Path:
    """`popglm.solve.walk.rounds.walk_path` without guides, for one fit; in up to 50·max_iter steps per strength."""
    walk = _Strengths(optimiser, fit, lambdas, tol, 50 * max_iter)
    if (kept := checkpoint.last()) is not None:
        walk.restore(kept)
    if report is not None:
        report(np.full(len(fit.W), walk.k))
    while walk.k < len(lambdas):
        with walk.path.timed("evaluate"):
            walk.descent.go(lambda: checkpoint.pause(walk.state))
        if walk.leave() and report is not None:
            report(np.full(len(fit.W), walk.k))
    return walk.path


def _certificates(fit: Fit, neurons: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Of some neurons, by the tighter bound where there are two."""
    gap, can = fit.certificate(neurons, lam), np.flatnonzero(fit.can_check(neurons, lam))
    if len(can):
        gap[can] = np.minimum(gap[can], fit.check(neurons[can], lam[can]).bound)
    return gap


class _Strengths(Resumable):
    """A fit that goes down its strengths, with one descent at each, or several where parameters are estimated between.

    Attributes
    ----------
    k, turn : int
        Number of the strength, and of the descent there.
    """

    fixed = ("lambdas",)

    def __init__(self, optimiser: FirstOrder, fit: Fit, lambdas: np.ndarray, tol: float, most_steps: int) -> None:
        self.optimiser, self.fit, self.lambdas, self.tol, self.most_steps = optimiser, fit, lambdas, tol, most_steps
        self.path = empty_path(fit, len(lambdas))
        self.k = self.turn = 0
        self.descent = self._opened(fit.fittable)

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`."""
        return super().state() | {"k": np.array(self.k), "turn": np.array(self.turn)}

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        super().restore(state)
        self.k, self.turn = int(state["k"]), int(state["turn"])

    def _opened(self, neurons: np.ndarray) -> _Descent:
        lam = self.lambdas[self.k].copy()
        return _Descent(self.optimiser, self.fit, self.path, lam, self.tol, self.most_steps, neurons)

    def leave(self) -> bool:
        """Take what the descent ended with, and open the next one; returns whether that is at another strength."""
        fit, path, k, lam, ended = self.fit, self.path, self.k, self.lambdas[self.k], self.descent
        if self.turn == 0:
            path.gap[k], path.n_iter[k] = ended.gap, ended.n_iter
        else:
            path.gap[k, ended.began] = ended.gap[ended.began]
            path.n_iter[k] += ended.n_iter
        if fit.loss.parameters and self.turn < MOST_DESCENTS:
            open_ = _renew_parameters(fit, lam, self.tol, path.gap[k])
            if len(open_):
                self.turn += 1
                self.descent = self._opened(open_)
                return False
        for j in fit.fittable[fit.can_prove(fit.fittable, lam[fit.fittable])]:
            path.gap[k, j] = min(path.gap[k, j], fit.prove(j)[1])
        everyone = np.arange(len(fit.W))
        path.record(fit, np.full(len(everyone), k), everyone, lam)
        self.k, self.turn = k + 1, 0
        if self.k < len(self.lambdas):
            self.descent = self._opened(fit.fittable)
        return True


def _renew_parameters(fit: Fit, lam: np.ndarray, tol: float, gap: np.ndarray) -> np.ndarray:
    """Estimate the parameters of the family where a fit stands, and its certificates; returns who has to go on."""
    neurons, before = fit.fittable, fit.parameters[fit.fittable].copy()
    fit.renew_parameters(neurons)
    fit.stand_at(neurons, fit.W[neurons], fit.at.b[neurons])
    fit.take_level(neurons)
    gap[neurons] = _certificates(fit, neurons, lam[neurons])
    moved = ~np.isclose(fit.parameters[neurons], before, rtol=MOVED, atol=0).all(axis=1)
    return neurons[moved & (gap[neurons] > tol)]


class _Descent(Resumable):
    """Proximal steps until certified, or until the best objective has stopped to fall by ``tol`` of the scale.

    Attributes
    ----------
    began, neurons : ndarray of int
        Those that descend, and those of them that still do.
    W, velocity, square, b, rate : ndarray, shape (n_neurons, …)
        Where these stand now, and their steps; the best points are in ``fit``.
    best, mark : ndarray, shape (n_neurons,)
        Least objective; that of the last look.
    t : int
        Steps taken.
    gap, n_iter : ndarray, shape (n_problems,)
        Certificates and numbers of steps, 0 for those that do not descend.
    """

    fixed = ("fit", "path")

    def __init__(
        self,
        optimiser: FirstOrder,
        fit: Fit,
        path: Path,
        lam: np.ndarray,
        tol: float,
        most_steps: int,
        neurons: np.ndarray,
    ) -> None:
        self.optimiser, self.fit, self.path, self.lam, self.tol = optimiser, fit, path, lam, tol
        self.most_steps, self.began, self.neurons = most_steps, neurons.copy(), neurons.copy()
        self.rng = np.random.default_rng(optimiser.seed)
        self.n_iter, self.gap = np.zeros(len(lam), int), np.zeros(len(lam))
        # one scale per block: a step that is a multiple of the identity on the block has an exact proximal map
        width = np.maximum.reduceat(fit.model.variances, fit.model.penalty.starts[:-1])
        self.width = np.where(width > 0, width, 1.0)
        self.W = fit.W[neurons].copy()
        self.velocity, self.square = np.zeros_like(self.W), np.zeros((len(neurons), len(width)))
        self.best = fit.value(neurons, lam[neurons])
        path.trace.append([fit.reported(neurons, self.best).sum()])
        self.mark, self.rate, self.t = self.best.copy(), np.full(len(neurons), optimiser.rate), 0
        self.b = fit.at.b[neurons].copy()

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`; with the state of the random numbers."""
        rng = json.dumps(self.rng.bit_generator.state)
        return super().state() | {"t": np.array(self.t), "rng": np.array(rng)}

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        super().restore(state)
        self.t, self.rng.bit_generator.state = int(state["t"]), json.loads(str(state["rng"]))

    def go(self, pause: Callable[[], None]) -> None:
        """Take steps to the end, with a pause after every look at the objective."""
        while len(self.neurons) and self.t < self.most_steps:
            self.t += 1
            self._step()
            if self.t % self.optimiser.check_every == 0 or self.t == self.most_steps:
                self._look()
                pause()

    def _step(self) -> None:
        """One proximal step of all that still descend."""
        optimiser, penalty, t = self.optimiser, self.fit.model.penalty, self.t
        grad = self.fit.objective.sampled_gradient(self.neurons, self.W, self.b, optimiser.batch_size, self.rng)
        lam = self.lam[self.neurons]
        ridge = penalty.ridge_strength(lam)[:, None] * penalty.penalised(self.W)
        grad_w = grad.grad + penalty.smooth_gradient(self.W) + ridge
        self.b = grad.b
        # a running mean, not a sum: the proximal step needs the gradient on its own scale
        self.velocity += (1 - optimiser.momentum) * (grad_w - self.velocity)
        if optimiser.method == "adam":
            mean_square = np.add.reduceat(grad_w**2, penalty.starts[:-1], axis=1) / penalty.block_sizes
            self.square += 0.001 * (mean_square - self.square)
            root = np.sqrt(self.square / (1 - 0.999**t)) + 1e-12
            step = (self.rate[:, None] / np.sqrt(self.width)) / root
            move = self.velocity / (1 - optimiser.momentum**t)
        else:
            total = np.maximum(grad.curvature, 1e-12)[:, None] * self.width.sum()
            step, move = self.rate[:, None] / total * np.ones_like(self.square), self.velocity
        W = self.W - step[:, penalty.block_of_column] * move
        self.W = penalty.prox(W, step, lam)

    def _look(self) -> None:
        """Keep better points, slow down where the objective stalls, and let go of who is certified or too slow."""
        fit, neurons, lam = self.fit, self.neurons, self.lam[self.neurons]
        at = fit.objective.evaluate(neurons, self.W, self.b)
        now = at.loss + fit.model.penalty.value(self.W, lam)
        better = now < self.best
        fit.at.put(neurons, at, better)
        fit.W[neurons[better]] = self.W[better]
        self.best = np.minimum(self.best, now)
        everyone = fit.fittable
        self.path.trace[-1].append(fit.reported(everyone, fit.value(everyone, self.lam[everyone])).sum())
        # a point that got lost (beyond the loss's domain, or far above the best) starts again, more slowly
        lost = ~np.isfinite(now) | (now > self.best + fit.scale[neurons])
        self.W[lost], self.velocity[lost] = fit.W[neurons[lost]], 0
        self.b = np.where(lost, fit.at.b[neurons], at.b)
        stalled = self.mark - self.best <= self.tol * fit.scale[neurons]
        self.rate = np.where(lost | stalled, self.rate / 2, self.rate)
        self.mark = self.best.copy()
        self.n_iter[neurons] = self.t
        self.gap[neurons] = _certificates(fit, neurons, lam)
        stay = (self.gap[neurons] > self.tol) & (self.rate > 1e-3 * self.optimiser.rate)
        for name in ("neurons", "W", "velocity", "square", "best", "mark", "rate", "b"):
            setattr(self, name, getattr(self, name)[stay])

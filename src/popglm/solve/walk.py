"""The walk of all columns down their strengths: one loop, in rounds of four phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popglm.solve.evaluation import GramObjective
from popglm.solve.path import MAX_COLUMNS, Fit, Path, empty_path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.rotated import RotatedModel
from popglm.solve.trace import Trace

__all__ = ["MODEL_SAFETY", "MOST_DAMPING", "MOST_SAFETY", "QUIET", "RELAX", "Walk", "rounding", "walk_path"]

#: An objective is taken to lie above its minimum by the decrease that the model promises, times this, times the spread
#: of the neuron's curvature weights (1 where all are equal), the product at most the second number. Where the weights
#: are even the model is right; a constant had to be 75, and took 1.4 × the evaluations. benchmarks/certificates.py
#: compares with long float64 fits.
MODEL_SAFETY, MOST_SAFETY = 8.0, 150.0
#: Damping falls by this after a step that was accepted: 2 made every second step of some neurons overshoot.
RELAX = 1.25
#: c times this is still a float32.
MOST_DAMPING = 1e20
#: Three steps that promise less than this share of the rounding of the objective end a strength; a gradient has less.
#: With 1, one column in 800 ended above the tolerance (30,000 × 1,011, Poisson group lasso), and none with this.
QUIET = 1 / 4
#: Evaluations at one strength after which a neuron gets a model of its own (`Fit.own`): at least the first number, or
#: features over the second, since a Gram matrix costs as much as n_features/4 evaluations. Neurons whose events crowd
#: in few samples needed up to 200 evaluations, while the others waited (tutorial size, after 30 evaluations: 13.6 s of
#: CPU time for 20.5). A column that needs twice, four times … as many gets it a new one.
PATIENCE, FEATURES_PER_EVALUATION = 10, 20
#: A column with more features per effective sample (n over the spread of its curvature weights) than the first number,
#: times the root of the evaluations that a model of its own is worth, ends no strength by the promise of the shared
#: model: in some directions its curvature may be any part of that. Nor by its own, once it has so many times more than
#: when that was made. 1,000 samples × 87 columns: the true distance was up to 2.7 × the certificate, for 3 of 880 fits,
#: and is up to 1.44 ×, for 1; 30,000 × 1,011 × 60: 0.93 × the time.
CROWDED, OUTGROWN = 0.08, 2.0


def walk_path(
    fit: Fit,
    lambdas: np.ndarray,
    tol: float,
    max_iter: int,
    leader: np.ndarray | None = None,
    guide: np.ndarray | None = None,
    report: Callable[[np.ndarray], None] | None = None,
    n_traced: int | None = None,
    stop: Callable[[Path, np.ndarray], np.ndarray] | None = None,
) -> Path:
    """Descend the strengths, every column at its own pace to within ``tol`` of its minimum at each.

    With a guide, a path that is near, a column comes to a strength at guide(λ_k) + w(λ_{k−1}) − guide(λ_{k−1}) where
    that is lower. For the folds that is the fit to all rows: it took 7.2 evaluations per strength, where paths of their
    own took 8.6 (tutorial size, 20 neurons). Curvature pairs are each column's own; those of the full fit took 7.5.

    Parameters
    ----------
    lambdas : ndarray, shape (n_lambdas, n_columns)
        Descending.
    leader : ndarray of int, shape (n_columns,), optional
        Column whose path guides a column, which waits for it at every strength; −1 for none.
    guide : ndarray, shape (n_lambdas, n_columns, n_features), optional
        Guides that are known already.
    report : callable, optional
        Called with the number of strengths that every column has behind it, shape (n_columns,).
    n_traced : int, optional
        The trace is of as many columns, the first ones; of all unless given.
    stop : callable, optional
        Called with the path and what ``report`` gets; returns the columns that go no further.
    """
    walk = Walk(fit, lambdas, tol, max_iter, leader, guide, n_traced)
    while len(columns := walk.least_far()):
        with walk.path.timed("blocks"):
            here = walk.set_out(columns)
            here = walk.leave_strengths(here)
        with walk.path.timed("evaluate"):
            walk.try_out(here)
        with walk.path.timed("blocks"):
            walk.renew_models(here)
        if stop is not None:
            walk.level[stop(walk.path, walk.level)] = len(lambdas)
        fit.drop_models(walk.level == len(lambdas))
        if report is not None:
            report(walk.level)
    if stop is not None:
        stop(walk.path, walk.level)
    if report is not None:
        report(walk.level)
    walk.path.trace = walk.trace.sums()
    return walk.path


@dataclass
class Round:
    """What the columns of a round are about to do.

    Attributes
    ----------
    columns, k : ndarray of int, shape (n,)
        Columns, and the numbers of their strengths.
    lam : ndarray, shape (n,)
    jumps : ndarray of bool, shape (n,)
        Whether a column goes where its guide suggests; others take the step that minimises their model.
    d : ndarray, shape (n, n_features)
        Where to, from where they stand.
    """

    columns: np.ndarray
    k: np.ndarray
    lam: np.ndarray
    jumps: np.ndarray
    d: np.ndarray

    def take(self, index: np.ndarray) -> Round:
        """Some of the columns."""
        return Round(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


class Walk:
    """The state of `walk_path`.

    Attributes
    ----------
    level : ndarray of int, shape (n_columns,)
        Strengths that a column has behind it.
    fresh : ndarray of bool, shape (n_columns,)
        Whether it has just come to its strength.
    quiet : ndarray of int, shape (n_columns,)
        Steps in a row that promised less than rounding.
    modelled : ndarray of int, shape (n_neurons,)
        Strength at which a neuron last got a model of its own; −1 for none.
    trusted : ndarray, shape (n_neurons,)
        Features per effective sample up to which a neuron's model is believed.
    doubtful : ndarray of int
        Columns that the promise of their model would let off, were they not more crowded than that.
    """

    def __init__(
        self,
        fit: Fit,
        lambdas: np.ndarray,
        tol: float,
        max_iter: int,
        leader: np.ndarray | None,
        guide: np.ndarray | None,
        n_traced: int | None,
    ) -> None:
        n_lambdas, q = lambdas.shape
        self.fit, self.lambdas, self.tol, self.max_iter, self.leader = fit, lambdas, tol, max_iter, leader
        self.guide, self.path = guide, empty_path(fit, n_lambdas)
        self.trace = Trace(n_lambdas, q if n_traced is None else n_traced)
        self.level, self.fresh = np.where(fit.is_fitted, 0, n_lambdas), np.ones(q, bool)
        self.quiet, self.modelled, self.doubtful = np.zeros(q, int), np.full(fit.n_neurons, -1), np.zeros(0, int)
        self.patience = max(PATIENCE, fit.W.shape[1] // FEATURES_PER_EVALUATION)
        self.trusted = np.full(fit.n_neurons, CROWDED * np.sqrt(self.patience))
        self.guided = np.full(q, guide is not None) if leader is None else leader >= 0

    def least_far(self) -> np.ndarray:
        """Columns that can go on, those with the most strengths to go first, in ascending order.

        So that batches stay large, a column that is done at a strength goes on to the next at once.
        """
        can = self.level < len(self.lambdas)
        if self.leader is not None:
            can &= (self.leader < 0) | (self.level[self.leader] > self.level)
        columns = np.flatnonzero(can)
        return np.sort(columns[np.argsort(self.level[columns], kind="stable")[:MAX_COLUMNS]])

    def set_out(self, columns: np.ndarray) -> Round:
        """Choose where every column goes: first after its guide, then by its model; and note its certificate."""
        fit, k, new = self.fit, self.level[columns], self.fresh[columns]
        lam = self.lambdas[k, columns]
        self.trace.append(k[new], 0, columns[new], fit.value(columns[new], lam[new]))
        self.fresh[columns], self.quiet[columns] = False, np.where(new, 0, self.quiet[columns])
        # where the strength is the same again, the column is there already
        jumps = new & self.guided[columns] & ((k == 0) | (lam != self.lambdas[k - 1, columns]))
        here = Round(columns, k, lam, jumps, np.zeros((len(columns), fit.W.shape[1])))
        if jumps.any():
            paths, who = (
                (self.guide, columns[jumps]) if self.leader is None else (self.path.W, self.leader[columns[jumps]])
            )
            before = np.where(k[jumps, None] > 0, paths[k[jumps] - 1, who].astype(float), 0)
            here.d[jumps] = paths[k[jumps], who] - before
        steps = ~jumps
        here.d[steps], self.path.gap[k[steps], columns[steps]] = self._by_models(columns[steps], lam[steps])
        return here

    def _by_models(self, columns: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The steps that minimise the models of some columns, and the columns' certificates over their scale."""
        fit = self.fit
        d, gap = np.zeros((len(columns), fit.W.shape[1])), fit.certificate(columns, lam)
        open_ = gap > self.tol
        self.doubtful = columns[:0]
        if not open_.any():
            return d, gap
        columns, at = columns[open_], fit.at.take(columns[open_])
        c = at.curvature * fit.damping[columns]
        step, promise, W, lam = np.zeros_like(at.grad), np.zeros(len(columns)), fit.W[columns], lam[open_]

        # damping divides the promise by itself at most
        safety = np.minimum(MODEL_SAFETY * at.spread, MOST_SAFETY) * fit.damping[columns]
        most = self.tol * fit.scale[columns] / safety

        def solve(model: QuadraticModel | RotatedModel, own: np.ndarray) -> None:
            step[own], promise[own] = model.step(
                fit.memory, columns[own], W[own], at.grad[own], c[own], lam[own], most[own]
            )

        fit.with_models(solve, columns)
        # a kink is not in the model: no estimate then
        with np.errstate(over="ignore"):
            estimate = safety * promise / fit.scale[columns]
        known = at.smooth & np.isfinite(step).all(axis=1)
        crowded = self._crowding(columns, at.spread) > self.trusted[columns % fit.n_neurons]
        ends, provable = known & (estimate <= self.tol), fit.can_prove(columns, lam)
        doubtful = ends & crowded & ~provable
        self.doubtful = columns[doubtful]
        # it says whether the tolerance is met and no more: of a tenth of that, nearly all of it was there
        estimate = np.where(known & ~doubtful & ~provable, np.maximum(estimate, self.tol), np.inf)
        for i in np.flatnonzero(ends & provable):
            newton, estimate[i] = fit.prove(columns[i])
            step[i] = newton if np.isfinite(estimate[i]) else step[i]
        d[open_], gap[open_] = step, np.minimum(gap[open_], estimate)
        return d, gap

    def _crowding(self, columns: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Features per effective sample; 0 where the model is the objective itself."""
        if isinstance(self.fit.objective, GramObjective):
            return np.zeros(len(columns))
        return self.fit.W.shape[1] * spread / self.fit.n_samples[columns]

    def leave_strengths(self, here: Round) -> Round:
        """Record the columns that are done at their strength, and return the others."""
        gap, n_iter = self.path.gap[here.k, here.columns], self.path.n_iter[here.k, here.columns]
        # three steps that promised less than rounding: this is as far as the precision goes
        done = (gap <= self.tol) | (self.quiet[here.columns] >= 3) | (n_iter >= self.max_iter)
        done &= ~here.jumps
        for i in np.flatnonzero(done & (gap > self.tol) & self.fit.can_prove(here.columns, here.lam)):
            at = here.k[i], here.columns[i]
            self.path.gap[at] = min(self.path.gap[at], self.fit.prove(here.columns[i])[1])
        self.path.record(self.fit, here.k[done], here.columns[done], here.lam[done])
        self.level[here.columns[done]] += 1
        self.fresh[here.columns[done]] = True
        return here.take(~done)

    def try_out(self, here: Round) -> None:
        """Go to W + d where that is lower, and learn from it."""
        if not len(here.columns):
            return
        fit, columns, lam, jumps = self.fit, here.columns, here.lam, here.jumps
        penalty, dtype = fit.model.penalty, fit.model.engine.dtype
        at, W = fit.at.take(columns), fit.W[columns]
        # the step that is really taken, so that its curvature pair has no rounding in s
        d = (W + here.d).astype(dtype) - W
        trial = fit.objective.evaluate(columns, W + d, at.b)
        with np.errstate(all="ignore"):
            before, after = penalty.value(W, lam), penalty.value(W + d, lam)
        promised = np.einsum("ij,ij->i", at.grad, d) + after - before
        noise = rounding(dtype, at.loss, fit.scale[columns])
        change = trial.loss - at.loss
        # a difference of losses within their rounding is taken from the gradients, which have less (Hager & Zhang 2005)
        smooth = 0.5 * np.einsum("ij,ij->i", at.grad + trial.grad, d)
        gained = np.where(np.abs(change) < 32 * noise, smooth, change) + after - before
        finite = np.isfinite(trial.loss)
        accepted = finite & (gained <= np.where(jumps, 0, 1e-4 * promised + noise))
        fit.at.put(columns, trial, accepted)
        fit.W[columns[accepted]] += d[accepted]

        learns = finite & ~jumps
        fit.learn(columns[learns], d[learns], (trial.grad - at.grad)[learns])
        # a rejected point has taught its curvature; damping guards what one pair cannot say
        damping = fit.damping[columns]
        raised = np.minimum(damping * np.where(finite, 2, 16), MOST_DAMPING)
        damping = np.where(accepted, np.maximum(damping / RELAX, 1), raised)
        fit.damping[columns[~jumps]] = damping[~jumps]
        self.quiet[columns] = np.where(~jumps & (promised > -QUIET * noise), self.quiet[columns] + 1, 0)
        self.path.n_iter[here.k, columns] += 1
        self.trace.append(here.k, self.path.n_iter[here.k, columns], columns, fit.value(columns, lam))

    def renew_models(self, here: Round) -> None:
        """Give neurons models of their own: those in doubt, and those that need too many evaluations."""
        periods, rest = np.divmod(self.path.n_iter[here.k, here.columns], self.patience)
        slow = (rest == 0) & (periods > 0) & (periods & (periods - 1) == 0)
        doubtful = np.isin(here.columns, self.doubtful)
        for i in np.flatnonzero(slow | doubtful):
            column, neuron = here.columns[i], here.columns[i] % self.fit.n_neurons
            crowding = self._crowding(here.columns[[i]], self.fit.at.spread[[column]])[0]
            # one that was just made serves the neuron's other columns too, until they are slower still
            needed = slow[i] and (periods[i] > 1 or self.modelled[neuron] < here.k[i])
            if needed or (doubtful[i] and crowding > self.trusted[neuron]):
                self.modelled[neuron] = here.k[i]
                self.trusted[neuron] = max(self.trusted[neuron], OUTGROWN * crowding)
                self.fit.give_own_model(column)


def rounding(dtype: np.dtype, loss: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """What rounding may change of a loss."""
    return 4 * np.finfo(dtype).eps * (np.abs(loss) + scale)

"""The walk of all columns down their strengths: one loop, in rounds of five phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popglm.solve.evaluation import Evaluation, GramObjective
from popglm.solve.path import MAX_COLUMNS, Fit, Path, empty_path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.rotated import RotatedModel
from popglm.solve.trace import Trace

__all__ = [
    "MODEL_SAFETY",
    "MOST_DAMPING",
    "MOST_SAFETY",
    "QUIET",
    "RELAX",
    "Walk",
    "rounding",
    "walk_path",
    "walk_paths",
]

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
#: In place of the first number where columns keep their own models together, which costs less.
SHORT_PATIENCE = 3
#: Columns of a fit that are evaluated together at most, where the fits are many.
LEAST_TOGETHER = 64
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
    guide: np.ndarray | None = None,
    report: Callable[[np.ndarray], None] | None = None,
) -> Path:
    """Descend the strengths with one fit; see `walk_paths`.

    Parameters
    ----------
    guide : ndarray, shape (n_lambdas, n_columns, n_features), optional
    report : callable, optional
        Called with the number of strengths that every column has behind it, shape (n_columns,).
    """

    def evaluate(asked: list[tuple[Fit, np.ndarray, np.ndarray, np.ndarray]]) -> list[Evaluation]:
        return [own.objective.evaluate(columns, W, b) for own, columns, W, b in asked]

    follow = None if report is None else lambda level: report(level[0])
    return walk_paths([fit], evaluate, lambdas, tol, max_iter, None if guide is None else [guide], follow)[0]


def walk_paths(
    fits: list[Fit],
    evaluate: Callable[[list[tuple[Fit, np.ndarray, np.ndarray, np.ndarray]]], list[Evaluation]],
    lambdas: np.ndarray,
    tol: float,
    max_iter: int,
    guides: list[np.ndarray] | None = None,
    report: Callable[[np.ndarray], None] | None = None,
    stop: Callable[[list[Path], np.ndarray], np.ndarray] | None = None,
) -> list[Path]:
    """Descend the strengths with several fits, every column at its own pace to within ``tol`` of its minimum at each.

    Every fit begins at its own null model and hears nothing of the others; they meet where X is read, no more. So a
    fold ends where a fit to its training rows alone ends.

    With a guide, a path that is near, a column comes to a strength at guide(λ_k) + w(λ_{k−1}) − guide(λ_{k−1}) where
    that is lower. Along directions that its rows leave undetermined a column keeps what its guide says.

    Parameters
    ----------
    fits : list of Fit
    evaluate : callable
        From (fit, columns, W, b) of several fits to the `Evaluation` of each.
    lambdas : ndarray, shape (n_lambdas, n_columns)
        Descending.
    guides : list of ndarray, shape (n_lambdas, n_columns, n_features), optional
        Of every fit.
    report : callable, optional
        Called with the number of strengths that the columns have behind them, shape (n_fits, n_columns).
    stop : callable, optional
        Called with the paths and what ``report`` gets; returns the columns that go no further in any fit.
    """
    # so that what is held for all columns of a round stays small
    most = max(MAX_COLUMNS // len(fits), LEAST_TOGETHER)
    walks = [
        Walk(fit, lambdas, tol, max_iter, guide, most)
        for fit, guide in zip(fits, guides or [None] * len(fits), strict=True)
    ]
    seconds = walks[0].path
    engine = fits[0].model.engine
    # whole fits side by side where there are enough of them for all workers; inside a fit less is in parallel
    side_by_side = engine.map if len(walks) >= engine.n_workers else lambda work, each: [work(*a) for a in each]

    def choose(walk: Walk) -> tuple[Walk, Round, np.ndarray]:
        here = walk.leave_strengths(walk.set_out(walk.least_far()))
        return walk, here, walk.propose(here)

    def learn(walk: Walk, here: Round, d: np.ndarray, trial: Evaluation) -> None:
        walk.try_out(here, d, trial)
        walk.renew_models(here)

    paths = [walk.path for walk in walks]
    while going := [walk for walk in walks if walk.is_going]:
        with seconds.timed("blocks"):
            chosen = side_by_side(choose, [(walk,) for walk in going])
            trying = [(walk, here, d) for walk, here, d in chosen if len(here.columns)]
        with seconds.timed("evaluate"):
            found = evaluate(
                [
                    (walk.fit, here.columns, walk.fit.W[here.columns] + d, walk.fit.at.b[here.columns])
                    for walk, here, d in trying
                ]
            )
        with seconds.timed("blocks"):
            side_by_side(learn, [(*each, trial) for each, trial in zip(trying, found, strict=True)])
        level = np.stack([walk.level for walk in walks])
        if stop is not None:
            stopped = stop(paths, level)
            for walk in walks:
                walk.level[stopped] = len(lambdas)
            level[:, stopped] = len(lambdas)
        for walk in walks:
            walk.fit.drop_models(walk.level == len(lambdas))
        if report is not None:
            report(level)
    level = np.stack([walk.level for walk in walks])
    if stop is not None:
        stop(paths, level)
    if report is not None:
        report(level)
    for walk in walks:
        walk.path.trace = walk.trace.sums()
    return paths


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
    modelled : ndarray of int, shape (n_columns,)
        Strength at which a column last got a model of its own; −1 for none.
    trusted : ndarray, shape (n_columns,)
        Features per effective sample up to which a column's model is believed.
    doubtful : ndarray of int
        Columns that the promise of their model would let off, were they not more crowded than that.
    """

    def __init__(
        self,
        fit: Fit,
        lambdas: np.ndarray,
        tol: float,
        max_iter: int,
        guide: np.ndarray | None,
        most: int,
    ) -> None:
        n_lambdas, q = lambdas.shape
        self.fit, self.lambdas, self.tol, self.max_iter, self.most = fit, lambdas, tol, max_iter, most
        self.guide, self.path = guide, empty_path(fit, n_lambdas)
        self.trace = Trace(n_lambdas, q)
        self.level, self.fresh = np.where(fit.is_fitted, 0, n_lambdas), np.ones(q, bool)
        self.quiet, self.modelled, self.doubtful = np.zeros(q, int), np.full(q, -1), np.zeros(0, int)
        least = PATIENCE if fit.together is None else min(PATIENCE, SHORT_PATIENCE)
        self.patience = max(least, fit.W.shape[1] // FEATURES_PER_EVALUATION)
        self.trusted = np.full(q, CROWDED * np.sqrt(self.patience))

    @property
    def is_going(self) -> bool:
        """Whether a column has a strength before it."""
        return bool((self.level < len(self.lambdas)).any())

    def least_far(self) -> np.ndarray:
        """Columns that can go on, those with the most strengths to go first, in ascending order.

        So that batches stay large, a column that is done at a strength goes on to the next at once.
        """
        columns = np.flatnonzero(self.level < len(self.lambdas))
        return np.sort(columns[np.argsort(self.level[columns], kind="stable")[: self.most]])

    def set_out(self, columns: np.ndarray) -> Round:
        """Choose where every column goes: first after its guide, then by its model; and note its certificate."""
        fit, k, new = self.fit, self.level[columns], self.fresh[columns]
        lam = self.lambdas[k, columns]
        self.trace.append(k[new], 0, columns[new], fit.reported(columns[new], lam[new]))
        fit.leave_norms(columns[new & (lam == 0)])
        self.fresh[columns], self.quiet[columns] = False, np.where(new, 0, self.quiet[columns])
        # where the strength is the same again, the column is there already
        jumps = new & (self.guide is not None) & ((k == 0) | (lam != self.lambdas[k - 1, columns]))
        here = Round(columns, k, lam, jumps, np.zeros((len(columns), fit.W.shape[1])))
        if jumps.any():
            who = columns[jumps]
            before = np.where(k[jumps, None] > 0, self.guide[k[jumps] - 1, who].astype(float), 0)
            here.d[jumps] = self.guide[k[jumps], who] - before
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
        crowded = self._crowding(columns, at.spread) > self.trusted[columns]
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

    def propose(self, here: Round) -> np.ndarray:
        """The steps that are really taken, so that a curvature pair has no rounding in s; (n, n_features)."""
        W = self.fit.W[here.columns]
        return (W + here.d).astype(self.fit.model.engine.dtype) - W

    def try_out(self, here: Round, d: np.ndarray, trial: Evaluation) -> None:
        """Go to W + d, where ``trial`` was found, if that is lower, and learn from it."""
        fit, columns, lam, jumps = self.fit, here.columns, here.lam, here.jumps
        penalty, dtype = fit.model.penalty, fit.model.engine.dtype
        at, W = fit.at.take(columns), fit.W[columns]
        with np.errstate(all="ignore"):
            before, after = penalty.value(W, lam), penalty.value(W + d, lam)
        promised = np.einsum("ij,ij->i", at.grad, d) + after - before
        noise = rounding(dtype, at.loss, fit.magnitude[columns])
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
        self.trace.append(here.k, self.path.n_iter[here.k, columns], columns, fit.reported(columns, lam))

    def renew_models(self, here: Round) -> None:
        """Give columns models of their own: those in doubt, and those that need too many evaluations."""
        periods, rest = np.divmod(self.path.n_iter[here.k, here.columns], self.patience)
        slow = (rest == 0) & (periods > 0) & (periods & (periods - 1) == 0)
        doubtful = np.isin(here.columns, self.doubtful)
        if self.fit.together is not None:
            slow, doubtful = slow & (here.lam > 0), doubtful & (here.lam > 0)
        renewed = []
        for i in np.flatnonzero(slow | doubtful):
            column = int(here.columns[i])
            crowding = self._crowding(here.columns[[i]], self.fit.at.spread[[column]])[0]
            # one that doubt has just made may serve, until the column is slower still
            needed = slow[i] and (periods[i] > 1 or self.modelled[column] < here.k[i])
            if needed or (doubtful[i] and crowding > self.trusted[column]):
                self.modelled[column] = here.k[i]
                self.trusted[column] = max(self.trusted[column], OUTGROWN * crowding)
                renewed.append(column)
        if renewed:
            self.fit.give_own_models(np.array(renewed))


def rounding(dtype: np.dtype, loss: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """What rounding may change of a loss."""
    return 4 * np.finfo(dtype).eps * (np.abs(loss) + magnitude)

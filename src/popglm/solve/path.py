"""The fits to all rows and to every fold, over descending strengths."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.certificate import certificate
from popglm.solve.evaluation import Evaluation, GramObjective
from popglm.solve.objective import RowObjective
from popglm.solve.quadratic import CurvatureMemory, QuadraticModel
from popglm.solve.rotated import RotatedModel
from popglm.solve.trace import Trace

__all__ = ["Fit", "Path", "empty_path", "start_fit", "walk_path"]

#: Columns that are evaluated together at most: no matrix product gains by more, and the arrays stay small.
MAX_COLUMNS = 384

#: An objective is taken to lie above its minimum by the decrease that the model promises, times this, times the spread
#: of the neuron's curvature weights (1 where all are equal), the product at most the second number. Where the weights
#: are even the model is right; a constant had to be 75, and took 1.4 × the evaluations. benchmarks/certificates.py
#: compares with long float64 fits.
MODEL_SAFETY, MOST_SAFETY = 8.0, 150.0
#: Damping falls by this after a step that was accepted: 2 made every second step of some neurons overshoot.
RELAX = 1.25
#: Evaluations at one strength after which a neuron gets a model of its own (`Fit.own`): at least the first number, or
#: features over the second, since a Gram matrix costs as much as n_features/4 evaluations. Neurons whose events crowd
#: in few samples needed up to 200 evaluations, while the others waited (tutorial size, after 30 evaluations: 13.6 s of
#: CPU time for 20.5). A column that needs twice, four times … as many gets it a new one.
PATIENCE, FEATURES_PER_EVALUATION = 10, 20
#: Bytes of such models at most. Eight, all kept to the end, left none for one neuron of the Poisson lasso, which took
#: 3,800 evaluations, most of them alone (30,000 × 1,011 × 250).
OWN_BYTES = 160e6
#: c times this is still a float32.
MOST_DAMPING = 1e20


@dataclass
class Fit:
    """Fits in progress: their data, their model, and the current point of every column.

    A column is one neuron in one fit, to all rows or to the training rows of a fold.

    Attributes
    ----------
    loss : Loss
    objective : RowObjective or GramObjective
    model : QuadraticModel
    fittable : ndarray of int
        Columns that are fitted; the others stay at the null model.
    scale : ndarray, shape (n_columns,)
        Half the mean null deviance: the unit of the certificate.
    saturated : ndarray, shape (n_columns,)
    W : ndarray, shape (n_columns, n_features)
    at : Evaluation
    memory : CurvatureMemory
    damping : ndarray, shape (n_columns,)
        Factor on c, above 1 after a step that did not decrease the objective.
    n_neurons : int
        Columns of one fit.
    own : dict of int to RotatedModel
        Models of neurons that were slow: in place of the Gram matrix, their own, weighted by their curvature.
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
    n_neurons: int
    own: dict[int, RotatedModel] = field(default_factory=dict)

    @property
    def is_fitted(self) -> np.ndarray:
        """Whether a column is among the fittable, shape (n_columns,)."""
        return np.isin(np.arange(len(self.W)), self.fittable)

    def value(self, columns: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Penalised objective where some columns stand."""
        return self.at.loss[columns] + self.model.penalty.value(self.W[columns], lam)

    def by_model(self, columns: np.ndarray) -> Iterator[tuple[QuadraticModel | RotatedModel, np.ndarray]]:
        """Models, and the positions of the columns that have them."""
        neuron = columns % self.n_neurons
        special = np.isin(neuron, list(self.own))
        if not special.all():
            yield self.model, np.flatnonzero(~special)
        for one in np.unique(neuron[special]):
            yield self.own[one], np.flatnonzero(neuron == one)

    def with_models(
        self, work: Callable[[QuadraticModel | RotatedModel, np.ndarray], None], columns: np.ndarray
    ) -> None:
        """``work(model, positions)`` for every model that some columns have."""
        tasks = [(model, part) for model, at in self.by_model(columns) for part in model.portions(at)]
        # a model of many columns that shares them out itself must not do so in one of the workers
        alone = tasks[: not self.model.split]
        for task in alone:
            work(*task)
        self.model.engine.map(work, tasks[len(alone) :])

    def give_own_model(self, column: int) -> None:
        """Weight the Gram matrix of a column's neuron by its curvature, for all its columns.

        By the mean of that where they stand: a single fit has hardly any where others, of other rows, have events, and
        threw them far off.
        """
        if isinstance(self.objective, GramObjective):
            # there G is the curvature itself
            return
        neuron = column % self.n_neurons
        everywhere = self.fittable[self.fittable % self.n_neurons == neuron]
        if neuron not in self.own and len(self.own) * RotatedModel.n_bytes(self.W.shape[1]) > OWN_BYTES:
            return
        G = self.objective.weighted_gram(everywhere, self.W[everywhere], self.at.b[everywhere])
        if np.isfinite(G).all():
            self.own[neuron] = RotatedModel(self.model.engine, G, self.model.penalty)
            self.memory.forget(everywhere)
            self.damping[everywhere] = 1

    def drop_models(self, finished: np.ndarray) -> None:
        """Let go of the models of neurons all of whose columns are finished: others may be waiting for room."""
        done = finished.reshape(-1, self.n_neurons).all(axis=0)
        self.own = {neuron: model for neuron, model in self.own.items() if not done[neuron]}

    def certificate(self, columns: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Bound on the excess objective of some columns, over their scale."""
        at, saturated = self.at.take(columns), self.saturated[columns]
        return certificate(self.loss, self.model, self.W[columns], at, lam, saturated) / self.scale[columns]


@dataclass
class Path:
    """What fits leave behind, in solver coordinates; first axis: strengths.

    Attributes
    ----------
    W : ndarray, shape (n_lambdas, n_columns, n_features)
    b, gap, objective : ndarray, shape (n_lambdas, n_columns)
        Intercept; certificate relative to the null deviance; penalised objective.
    n_iter : ndarray of int, shape (n_lambdas, n_columns)
        Evaluations of loss and gradient (one pair of matrix products each).
    seconds : dict
        Time by phase.
    trace : list of list of float
        For every strength, the objective summed over the columns, at the start and after every iteration.
    """

    W: np.ndarray
    b: np.ndarray
    gap: np.ndarray
    objective: np.ndarray
    n_iter: np.ndarray
    seconds: dict[str, float] = field(default_factory=lambda: {"blocks": 0.0, "evaluate": 0.0})
    trace: list[list[float]] = field(default_factory=list)

    def record(self, fit: Fit, level: np.ndarray, columns: np.ndarray, lam: np.ndarray) -> None:
        """Keep the points of some columns at the strengths ``level``."""
        self.W[level, columns], self.b[level, columns] = fit.W[columns], fit.at.b[columns]
        self.objective[level, columns] = fit.value(columns, lam)

    def split(self, n_fits: int) -> list[Path]:
        """The paths of fits whose columns lie side by side, the phases and the trace with the first."""
        arrays = (np.split(a, n_fits, axis=1) for a in (self.W, self.b, self.gap, self.objective, self.n_iter))
        paths = [Path(*own) for own in zip(*arrays, strict=True)]
        paths[0].seconds, paths[0].trace = self.seconds, self.trace
        return paths


def empty_path(fit: Fit, n_lambdas: int) -> Path:
    """Room for ``n_lambdas`` strengths; columns that are not fitted are at the null model already."""
    q, p = fit.W.shape
    gap, objective = np.zeros((n_lambdas, q)), np.zeros((n_lambdas, q))
    b, n_iter = np.tile(fit.at.b, (n_lambdas, 1)), np.zeros((n_lambdas, q), int)
    return Path(np.zeros((n_lambdas, q, p), fit.model.engine.dtype), b, gap, objective, n_iter)


def start_fit(
    loss: Loss,
    objective: RowObjective | GramObjective,
    model: QuadraticModel,
    fittable: np.ndarray,
    intercept: np.ndarray,
    scale: np.ndarray,
    saturated: np.ndarray,
    n_neurons: int,
) -> Fit:
    """Fits that stand at w = 0 and the best intercept there."""
    q, p = len(intercept), len(model.G)
    W = np.zeros((q, p))
    at = Evaluation(
        np.zeros(q), intercept.copy(), np.zeros((q, p)), np.ones(q), np.zeros(q), np.ones(q), np.ones(q, bool)
    )
    for first in range(0, len(fittable), MAX_COLUMNS):
        columns = fittable[first : first + MAX_COLUMNS]
        null = objective.evaluate(columns, W[columns], intercept[columns])
        if not np.isfinite(null.loss).all() and objective.offset is not None:
            # a large offset overflows at the intercept of the plain mean; below the largest it cannot
            null = objective.evaluate(columns, W[columns], intercept[columns] - objective.offset.max())
        at.put(columns, null, np.arange(len(columns)))
    return Fit(loss, objective, model, fittable, scale, saturated, W, at, model.memory(q), np.ones(q), n_neurons)


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

    A round takes the columns that are least far: each either jumps to where a guide suggests, or takes the step that
    minimises its model. So that batches stay large, a column that is done at a strength goes on to the next at once.

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
    path, (n_lambdas, q) = empty_path(fit, len(lambdas)), lambdas.shape
    trace = Trace(n_lambdas, q if n_traced is None else n_traced)
    level, fresh, quiet = np.where(fit.is_fitted, 0, n_lambdas), np.ones(q, bool), np.zeros(q, int)
    patience, modelled = max(PATIENCE, fit.W.shape[1] // FEATURES_PER_EVALUATION), np.full(fit.n_neurons, -1)
    guided = np.full(q, guide is not None) if leader is None else leader >= 0
    while len(columns := _least_far(level, leader, n_lambdas)):
        k = level[columns]
        lam = lambdas[k, columns]
        new = fresh[columns]
        trace.append(k[new], 0, columns[new], fit.value(columns[new], lam[new]))
        # where the strength is the same again, the column is there already
        jumps = new & guided[columns] & ((k == 0) | (lam != lambdas[k - 1, columns]))
        fresh[columns], quiet[columns] = False, np.where(new, 0, quiet[columns])

        began = time.perf_counter()
        d = np.zeros((len(columns), fit.W.shape[1]))
        if jumps.any():
            source, who = (guide, columns) if leader is None else (path.W, leader[columns])
            d[jumps] = _by_guide(source, k[jumps], who[jumps])
        steps = np.flatnonzero(~jumps)
        d[steps], path.gap[k[steps], columns[steps]] = _propose(fit, columns[steps], lam[steps], tol)
        # three steps that promised less than rounding: this is as far as the precision goes
        done = (path.gap[k, columns] <= tol) | (quiet[columns] >= 3) | (path.n_iter[k, columns] >= max_iter)
        done &= ~jumps
        path.seconds["blocks"] += time.perf_counter() - began

        path.record(fit, k[done], columns[done], lam[done])
        level[columns[done]] += 1
        fresh[columns[done]] = True
        columns, k, lam, d, jumps = (a[~done] for a in (columns, k, lam, d, jumps))
        began = time.perf_counter()
        quiet[columns] = np.where(_try_out(fit, columns, lam, d, jumps), quiet[columns] + 1, 0)
        path.seconds["evaluate"] += time.perf_counter() - began
        path.n_iter[k, columns] += 1
        trace.append(k, path.n_iter[k, columns], columns, fit.value(columns, lam))
        began = time.perf_counter()
        periods, rest = np.divmod(path.n_iter[k, columns], patience)
        for i in np.flatnonzero((rest == 0) & (periods > 0) & (periods & (periods - 1) == 0)):
            neuron = columns[i] % fit.n_neurons
            if periods[i] > 1 or modelled[neuron] < k[i]:
                modelled[neuron] = k[i]
                fit.give_own_model(columns[i])
        path.seconds["blocks"] += time.perf_counter() - began
        if stop is not None:
            level[stop(path, level)] = n_lambdas
        fit.drop_models(level == n_lambdas)
        if report is not None:
            report(level)
    if stop is not None:
        stop(path, level)
    if report is not None:
        report(level)
    path.trace = trace.sums()
    return path


def _least_far(level: np.ndarray, leader: np.ndarray | None, n_lambdas: int) -> np.ndarray:
    """Columns that can go on, those with the most strengths to go first, in ascending order."""
    can = level < n_lambdas
    if leader is not None:
        can &= (leader < 0) | (level[leader] > level)
    columns = np.flatnonzero(can)
    return np.sort(columns[np.argsort(level[columns], kind="stable")[:MAX_COLUMNS]])


def _by_guide(guide: np.ndarray, k: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How far the guide has moved on the way to the strengths ``k``."""
    return guide[k, columns] - np.where(k[:, None] > 0, guide[k - 1, columns].astype(float), 0)


def _propose(fit: Fit, columns: np.ndarray, lam: np.ndarray, tol: float) -> tuple[np.ndarray, np.ndarray]:
    """The steps that minimise the models of some columns, and the columns' certificates over their scale."""
    d, gap = np.zeros((len(columns), fit.W.shape[1])), fit.certificate(columns, lam)
    open_ = gap > tol
    if not open_.any():
        return d, gap
    columns, here = columns[open_], fit.at.take(columns[open_])
    c = here.curvature * fit.damping[columns]
    step, promise, W, lam = np.zeros_like(here.grad), np.zeros(len(columns)), fit.W[columns], lam[open_]

    def solve(model: QuadraticModel | RotatedModel, at: np.ndarray) -> None:
        step[at], promise[at] = model.step(fit.memory, columns[at], W[at], here.grad[at], c[at], lam[at])

    fit.with_models(solve, columns)
    # damping divides the promise by itself at most; a kink is not in the model: no estimate then
    safety = np.minimum(MODEL_SAFETY * here.spread, MOST_SAFETY) * fit.damping[columns]
    with np.errstate(over="ignore"):
        estimate = safety * promise / fit.scale[columns]
    # it says whether the tolerance is met and no more: of a tenth of that, nearly all of it was there
    estimate = np.where(here.smooth & np.isfinite(step).all(axis=1), np.maximum(estimate, tol), np.inf)
    d[open_], gap[open_] = step, np.minimum(gap[open_], estimate)
    return d, gap


def _try_out(fit: Fit, columns: np.ndarray, lam: np.ndarray, d: np.ndarray, jumps: np.ndarray) -> np.ndarray:
    """Go to W + d where that is lower, learn from it, and return which steps promised less than rounding."""
    if not len(columns):
        return jumps
    penalty, dtype = fit.model.penalty, fit.model.engine.dtype
    here, W = fit.at.take(columns), fit.W[columns]
    # the step that is really taken, so that its curvature pair has no rounding in s
    d = (W + d).astype(dtype) - W
    trial = fit.objective.evaluate(columns, W + d, here.b)
    with np.errstate(all="ignore"):
        before, after = penalty.value(W, lam), penalty.value(W + d, lam)
    promised = np.einsum("ij,ij->i", here.grad, d) + after - before
    noise = 4 * np.finfo(dtype).eps * (np.abs(here.loss) + fit.scale[columns])
    change = trial.loss - here.loss
    # a difference of losses within their rounding is taken from the gradients, which have less (Hager & Zhang 2005)
    smooth = 0.5 * np.einsum("ij,ij->i", here.grad + trial.grad, d)
    gained = np.where(np.abs(change) < 32 * noise, smooth, change) + after - before
    finite = np.isfinite(trial.loss)
    accepted = finite & (gained <= np.where(jumps, 0, 1e-4 * promised + noise))
    fit.at.put(columns, trial, accepted)
    fit.W[columns[accepted]] += d[accepted]

    stepped = ~jumps
    learns = finite & stepped
    if not isinstance(fit.objective, GramObjective):
        columns_, s, y = columns[learns], d[learns], (trial.grad - here.grad)[learns]

        def remember(model: QuadraticModel | RotatedModel, at: np.ndarray) -> None:
            model.remember(fit.memory, columns_[at], s[at], y[at])

        fit.with_models(remember, columns_)
    # a rejected point has taught its curvature; damping guards what one pair cannot say
    damping = fit.damping[columns]
    raised = np.minimum(damping * np.where(finite, 2, 16), MOST_DAMPING)
    damping = np.where(accepted, np.maximum(damping / RELAX, 1), raised)
    fit.damping[columns[stepped]] = damping[stepped]
    return stepped & (promised > -noise)

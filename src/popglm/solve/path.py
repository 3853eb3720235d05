"""A fit to all rows or to those of a fold: where it stands, and the path that it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from popglm.solve.certificate import certificate, decrement
from popglm.solve.evaluation import Evaluation, GramObjective
from popglm.solve.fit_rows import FitRows
from popglm.solve.hessian import SAFETY, newton
from popglm.solve.own import OwnModels
from popglm.solve.quadratic import CurvatureMemory, QuadraticModel
from popglm.solve.rotated import RotatedModel, RotatedObjective
from popglm.solve.units import Units
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["MAX_COLUMNS", "Comparison", "Fit", "Path", "Problems", "at_rest", "empty_path", "scales", "start_fit"]

#: Columns that are evaluated together at most: no matrix product gains by more, and the arrays stay small.
MAX_COLUMNS = 384

#: Bytes of neurons' own models in a fit at most. Eight models, all kept to the end, left none for one neuron of the
#: Poisson lasso, which took 3,800 evaluations, most of them alone (30,000 × 1,011 × 250).
OWN_BYTES = 100e6

#: Gram matrices that are made at a time at most.
GRAMS = 32

#: Evaluations at one strength after which a problem gets a model of its own (`Fit.own`): at least the first number, or
#: features over the second, since a Gram matrix costs as much as n_features/4 evaluations. Neurons whose events crowd
#: in few samples needed up to 200 evaluations, while the others waited (tutorial size, after 30 evaluations: 13.6 s of
#: CPU time for 20.5). A problem that needs twice, four times … as many gets it a new one.
OWN_MODEL_AFTER, FEATURES_PER_EVALUATION = 10, 20
#: In place of the first number where problems keep their own models together, which costs less.
OWN_MODEL_SOON = 3

#: Samples times features squared up to which a column without a penalty ends by its own second derivatives; beyond,
#: they cost more than the fit.
AFFORDABLE = 2e8


@dataclass(kw_only=True)
class Problems:
    """A fit in progress: what is one number per problem, wherever the weights lie.

    A problem is a neuron in a fit. Nothing in it comes from another fit. What the rows that a fold holds out say could
    else reach the fold: by a point to start from, by a model of the curvature, or by the company in a matrix product.

    Attributes
    ----------
    loss : Family
    objective : FitRows, RotatedObjective, GramObjective or DeviceObjective
    model : QuadraticModel
        The one that all problems share.
    fittable : ndarray of int
        Problems that are fitted; the others stay at the null model.
    scale : ndarray, shape (n_problems,)
        Half the mean null deviance: the unit of the certificate.
    magnitude : ndarray, shape (n_problems,)
        What the loss is the difference of, about, beside itself: the unit of its rounding.
    unit, level : ndarray, shape (n_problems,)
        The objective in the recording's units is unit times the one here, and level, the saturated model's.
    at : Evaluation
        Where the problems stand.
    damping : ndarray, shape (n_problems,)
        Factor on c, above 1 after a step that did not decrease the objective.
    n_samples : ndarray of int, shape (n_problems,)
        Samples that count.
    """

    loss: Family
    objective: Any
    model: QuadraticModel
    fittable: np.ndarray
    scale: np.ndarray
    magnitude: np.ndarray
    unit: np.ndarray
    level: np.ndarray
    at: Evaluation
    damping: np.ndarray
    n_samples: np.ndarray

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return len(self.model.G)

    @property
    def own_model_cost(self) -> int:
        """Evaluations that a model of a problem's own is worth."""
        together = OwnModels.suit(self.model) and not isinstance(self.objective, GramObjective)
        return max(OWN_MODEL_SOON if together else OWN_MODEL_AFTER, self.n_features // FEATURES_PER_EVALUATION)

    @property
    def is_fitted(self) -> np.ndarray:
        """Whether a problem is among the fittable, shape (n_problems,)."""
        return np.isin(np.arange(len(self.scale)), self.fittable)

    def penalty_value(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """The penalty where some problems stand."""
        raise NotImplementedError

    def value(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Penalised objective above the saturated loss, where some problems stand."""
        return self.at.loss[problems] + self.penalty_value(problems, lam)

    def reported(self, problems: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Penalised objectives in the recording's units, with the saturated loss."""
        return self.unit[problems] * value + self.level[problems]

    def can_prove(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Where the loss alone says where the minimum lies, and its own second derivatives are at hand."""
        affordable = self.n_samples[problems] * (self.n_features + 1) ** 2 <= AFFORDABLE
        alone = self.loss.is_convex and self.loss.is_smooth and not isinstance(self.objective, GramObjective)
        return (lam == 0) & affordable & self.at.smooth[problems] & alone


@dataclass(kw_only=True)
class Fit(Problems):
    """Problems whose weights lie on the host, in float64.

    Attributes
    ----------
    W, steps : ndarray, shape (n_problems, n_features)
        Weights, and where from there a problem is about to go.
    memory : CurvatureMemory
    own : dict of int to RotatedModel
        Models of problems that were slow: in place of the Gram matrix, their own, weighted by their curvature.
    together : OwnModels, or None
        The same in one array, where there are few features and the penalty has norms of groups.
    """

    W: np.ndarray
    memory: CurvatureMemory
    own: dict[int, RotatedModel] = field(default_factory=dict)
    together: OwnModels | None = None

    #: Whether second derivatives of single problems are at hand.
    has_derivatives = True

    def __post_init__(self) -> None:
        self.steps = np.zeros_like(self.W)
        if OwnModels.suit(self.model) and not isinstance(self.objective, GramObjective):
            self.together = OwnModels(self.model, *self.W.shape, OWN_BYTES)

    @property
    def own_model_after(self) -> int:
        """Evaluations at one strength after which a problem gets a model of its own."""
        return self.own_model_cost

    @property
    def own_models_need_norms(self) -> bool:
        """Whether models of problems' own serve strengths above 0 alone."""
        return self.together is not None

    def stand_at(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> None:
        """Go to given weights (n, n_features) and the best intercepts there."""
        found = self.objective.evaluate(problems, W, b)
        self.at.put(problems, found, np.ones(len(problems), bool))
        self.W[problems] = W

    def penalty_value(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """The penalty where some problems stand."""
        return self.model.penalty.value(self.W[problems], lam)

    def by_model(self, columns: np.ndarray) -> Iterator[tuple[QuadraticModel | RotatedModel | OwnModels, np.ndarray]]:
        """Models, and the positions of the columns that have them."""
        if self.together is not None:
            own = self.together.has(columns)
            if not own.all():
                yield self.model, np.flatnonzero(~own)
            if own.any():
                yield self.together, np.flatnonzero(own)
            return
        special = np.isin(columns, list(self.own))
        if not special.all():
            yield self.model, np.flatnonzero(~special)
        for one in np.unique(columns[special]):
            yield self.own[one], np.flatnonzero(columns == one)

    def with_models(
        self, work: Callable[[QuadraticModel | RotatedModel | OwnModels, np.ndarray], None], columns: np.ndarray
    ) -> None:
        """``work(model, positions)`` for every model that some columns have."""
        tasks = [(model, part) for model, at in self.by_model(columns) for part in model.portions(at)]
        # a model of many columns that shares them out itself must not do so in one of the workers
        for task in tasks:
            if task[0].shares_out:
                work(*task)
        self.model.engine.map(work, [task for task in tasks if not task[0].shares_out])

    # the phases of a round, in the order in which `popglm.solve.walk.Walk` asks for them; see there

    def open_round(self, columns: np.ndarray) -> None:
        """Make ready for a round of some columns."""

    def weights(self, columns: np.ndarray) -> np.ndarray:
        """Where columns stand, on the host, shape (n, n_features)."""
        return self.W[columns]

    def aim(self, columns: np.ndarray, d: np.ndarray) -> None:
        """Choose the steps (n, n_features) of some columns."""
        self.steps[columns] = d

    def aim_by_models(self, columns: np.ndarray, lam: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Choose the steps that minimise the columns' models; returns the decrease that each promises, NaN without one.

        A promise of no more than ``most`` is worth knowing well.
        """
        W, grad, c = self.W[columns], self.at.grad[columns], self.at.curvature[columns] * self.damping[columns]
        step, promise = np.zeros_like(W), np.zeros(len(columns))

        def solve(model: QuadraticModel | RotatedModel | OwnModels, own: np.ndarray) -> None:
            step[own], promise[own] = model.step(
                self.memory, columns[own], W[own], grad[own], c[own], lam[own], most[own]
            )

        self.with_models(solve, columns)
        self.steps[columns] = step
        return np.where(np.isfinite(step).all(axis=1), promise, np.nan)

    def propose(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns, weights and intercepts to evaluate; the steps become those really taken.

        So a curvature pair has no rounding in s.
        """
        W = self.W[columns]
        self.steps[columns] = (W + self.steps[columns]).astype(self.model.engine.dtype) - W
        return columns, W + self.steps[columns], self.at.b[columns]

    def compare(self, columns: np.ndarray, lam: np.ndarray, found: Evaluation) -> Comparison:
        """What was found at W + d beside what stands at W."""
        penalty, W, d = self.model.penalty, self.W[columns], self.steps[columns]
        grad = self.at.grad[columns]
        with np.errstate(all="ignore"):
            change = penalty.value(W + d, lam) - penalty.value(W, lam)
        slope = 0.5 * np.einsum("ij,ij->i", grad + found.grad, d)
        return Comparison(found.loss, np.einsum("ij,ij->i", grad, d) + change, change, slope)

    def learn(self, columns: np.ndarray, found: Evaluation, learns: np.ndarray, accepted: np.ndarray) -> None:
        """Push the curvature pairs of the columns that learn, and go on to W + d with those accepted."""
        if not isinstance(self.objective, GramObjective):
            # of that one G is the curvature itself
            who, y = columns[learns], (found.grad - self.at.grad[columns])[learns]
            s = self.steps[who]

            def remember(model: QuadraticModel | RotatedModel | OwnModels, at: np.ndarray) -> None:
                model.remember(self.memory, who[at], s[at], y[at])

            self.with_models(remember, who)
        self.at.put(columns, found, accepted)
        self.W[columns[accepted]] += self.steps[columns[accepted]]

    def give_own_models(self, columns: np.ndarray) -> np.ndarray:
        """Weight the Gram matrices of some columns by their curvature where they stand.

        Returns those that have to be handed over for it: none, here.
        """
        if self.together is None:
            for column in columns:
                self._give_own_model(int(column))
            return columns[:0]
        columns = columns[self.together.make_room(columns)]
        for some in np.split(columns, range(GRAMS, len(columns), GRAMS)):
            G = self.objective.weighted_grams(some, self.W[some], self.at.b[some])
            good = np.isfinite(G).all(axis=(1, 2))
            self.together.put(some[good], G[good])
            # what is not finite has no model but the shared one
            self.together.drop(some[~good])
        self.memory.forget(columns)
        self.damping[columns] = 1
        return columns[:0]

    def _give_own_model(self, column: int) -> None:
        """Weight the Gram matrix of a column by its curvature where it stands."""
        if isinstance(self.objective, GramObjective):
            return
        if column not in self.own and len(self.own) * RotatedModel.n_bytes(self.W.shape[1]) > OWN_BYTES:
            return
        here = np.array([column])
        (G,) = self.objective.weighted_grams(here, self.W[here], self.at.b[here])
        if np.isfinite(G).all():
            self.own[column] = RotatedModel(self.model.engine, G, self.model.penalty)
            self.memory.forget(here)
            self.damping[here] = 1

    def leave_norms(self, columns: np.ndarray) -> None:
        """Give columns that come to a strength of 0 the shared model: their own, kept together, serve norms alone."""
        if self.together is None:
            return
        own = columns[self.together.has(columns)]
        self.together.drop(own)
        self.memory.forget(own)
        self.damping[own] = 1

    def drop_models(self, finished: np.ndarray) -> None:
        """Let go of the models of columns that are finished: others may be waiting for room."""
        if self.together is not None:
            self.together.drop(np.flatnonzero(finished))
        self.own = {column: model for column, model in self.own.items() if not finished[column]}

    def certificate(self, columns: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Bound on the excess objective of some columns, over their scale."""
        at, W = self.at.take(columns), self.W[columns]
        gap = certificate(self.loss, self.model, W, at, lam)
        if isinstance(self.objective, GramObjective) and np.any(lam == 0):
            # there the metric is the curvature itself
            grad = at.grad + self.model.penalty.smooth_gradient(W)
            zero = np.zeros(len(W))
            exact = decrement(self.model, W, grad, at, zero[:, None] * self.model.penalty.block_weights, zero)
            gap = np.where(lam == 0, np.minimum(gap, exact), gap)
        return gap / self.scale[columns]

    def aim_to_prove(self, problem: int) -> float:
        """Choose Newton's step for a problem without a penalty; returns how far it can fall, over its scale."""
        step, decrement = self.prove(problem)
        if np.isfinite(decrement):
            self.steps[problem] = step
        return decrement

    def prove(self, column: int) -> tuple[np.ndarray, float]:
        """Newton's step (n_features,) of a column without a penalty, and how far it can fall, over its scale."""
        w, penalty = self.W[column], self.model.penalty
        g, R = self.objective.derivatives(column, w, self.at.b[column])
        if penalty.R is not None:
            g[:-1] += penalty.smooth_gradient(w[None])[0]
            root = np.linalg.cholesky(penalty.smoothness * penalty.R).T
            R = np.vstack([R, np.column_stack([root, np.zeros(len(root))])])
        own = self.model.coordinates
        if own is not None:
            # which directions hold rounding alone is told in the user's columns
            g[:-1], R[:, :-1] = own.unrotate(g[None, :-1])[0], own.unrotate(R[:, :-1])
        step, decrement = newton(g, R, self.model.engine.dtype)
        step = step[None, :-1]
        return (step if own is None else own.rotate(step.copy()))[0], 0.5 * SAFETY * decrement / self.scale[column]


@dataclass
class Comparison:
    """A proposed point of every problem beside the one where it stands; all have shape (n,).

    Attributes
    ----------
    loss : ndarray
        At the proposed point.
    promised : ndarray
        Change of the objective to first order in the loss.
    penalty : ndarray
        Change of the penalty.
    slope : ndarray
        Change of the loss by the mean of the gradients at both ends.
    """

    loss: np.ndarray
    promised: np.ndarray
    penalty: np.ndarray
    slope: np.ndarray


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

    def record(self, fit: Problems, level: np.ndarray, columns: np.ndarray, lam: np.ndarray) -> None:
        """Keep the points of some columns at the strengths ``level``."""
        self.W[level, columns], self.b[level, columns] = fit.weights(columns), fit.at.b[columns]
        self.objective[level, columns] = fit.reported(columns, fit.value(columns, lam))

    @classmethod
    def empty(cls, shape: tuple[int, int], n_features: int, dtype: Any) -> Path:
        """Room for a path of ``shape`` (n_lambdas, n_columns)."""
        return cls(np.zeros((*shape, n_features), dtype), *(np.zeros(shape) for _ in range(3)), np.zeros(shape, int))

    def put(self, other: Path, columns: np.ndarray) -> None:
        """Take the path of some columns from one that has these alone."""
        for name in ("W", "b", "gap", "objective", "n_iter"):
            getattr(self, name)[:, columns] = getattr(other, name)
        self.seconds, self.trace = other.seconds, other.trace

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time of what is done inside to a phase."""
        began = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - began


def empty_path(fit: Problems, n_lambdas: int) -> Path:
    """Room for ``n_lambdas`` strengths; problems that are not fitted are at the null model already."""
    q, p = len(fit.scale), fit.n_features
    gap, objective = np.zeros((n_lambdas, q)), np.zeros((n_lambdas, q))
    b, n_iter = np.tile(fit.at.b, (n_lambdas, 1)), np.zeros((n_lambdas, q), int)
    return Path(np.zeros((n_lambdas, q, p), fit.model.engine.dtype), b, gap, objective, n_iter)


def start_fit(
    loss: Family,
    objective: FitRows | RotatedObjective | GramObjective,
    model: QuadraticModel,
    fittable: np.ndarray,
    intercept: np.ndarray,
    sums: ResponseSums,
    units: Units,
) -> Fit:
    """A fit that stands at w = 0 and the best intercept there."""
    q, p = len(intercept), len(model.G)
    W, at = np.zeros((q, p)), at_rest(intercept, p)
    for first in range(0, len(fittable), MAX_COLUMNS):
        columns = fittable[first : first + MAX_COLUMNS]
        null = objective.evaluate(columns, W[columns], intercept[columns])
        at.put(columns, null, np.arange(len(columns)))
    # where G is the curvature there is nothing to learn: without pairs a Gaussian group lasso took 0.8 × the time and
    # 340 MB less (30,000 × 1,011 × 250)
    memory = model.memory(q, 0) if isinstance(objective, GramObjective) else model.memory(q)
    by_sums = getattr(objective, "by_sums", np.zeros(q, bool))
    return Fit(
        loss=loss, objective=objective, model=model, fittable=fittable, at=at, W=W, memory=memory,
        **scales(sums, units, by_sums),
    )  # fmt: skip


def at_rest(intercept: np.ndarray, n_features: int) -> Evaluation:
    """Where problems stand that are not fitted."""
    one, zero = np.ones(len(intercept)), np.zeros(len(intercept))
    grad = np.zeros((len(intercept), n_features))
    return Evaluation(zero, intercept.copy(), grad, one, zero.copy(), one.copy(), one > 0, zero.copy())


def scales(sums: ResponseSums, units: Units, by_sums: np.ndarray) -> dict[str, np.ndarray]:
    """What `Problems` have of their responses; ``by_sums`` says whose loss is a difference of sums over samples."""
    scale = np.maximum(sums.null, np.finfo(float).tiny)
    return {
        "scale": scale,
        "magnitude": np.where(by_sums, np.maximum(scale, sums.mean), scale),
        "unit": units.loss,
        "level": units.saturated(sums),
        "damping": np.ones(len(scale)),
        "n_samples": sums.n,
    }

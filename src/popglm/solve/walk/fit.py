"""Problems whose weights lie on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from popglm.engines.memory import give_back_freed_memory
from popglm.solve.curvature.curvature_memory import CurvatureMemory
from popglm.solve.curvature.local_model import parts_of_fits
from popglm.solve.local_models.diagonal import DiagonalModels
from popglm.solve.local_models.joined_models import JoinedModels
from popglm.solve.local_models.own import OwnModels
from popglm.solve.local_models.own_spectra import OwnSpectra
from popglm.solve.local_models.quadratic import QuadraticModel, pays_workers
from popglm.solve.local_models.rotated import RotatedModel, RotatedObjective
from popglm.solve.objective.evaluation import Evaluation, GramObjective
from popglm.solve.objective.fit_rows import FitRows
from popglm.solve.passes.free_columns import project_on_gram
from popglm.solve.passes.hessian import SAFETY
from popglm.solve.snapshot import State, inside, under
from popglm.solve.step_solvers.bounded_newton import decrement_of_gram, newton_within
from popglm.solve.units import Units
from popglm.solve.walk.certificate import DECREMENT_SAFETY, certificate, decrement
from popglm.solve.walk.problems import Check, Comparison, Problems, at_rest, scales
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["MAX_PROBLEMS", "Fit", "start_fit"]

#: Problems that are evaluated together at most: no matrix product gains by more, and the arrays stay small.
MAX_PROBLEMS = 384

#: Bytes of neurons' own models in a fit at most: a neuron that finds no room for one may take thousands of evaluations.
OWN_BYTES = 40e6

#: A model that promises more than so many times the null deviance has pairs that rounding has made indefinite.
MOST_PROMISE = 1e4

#: What minimises the local model of some problems.
Model = QuadraticModel | RotatedModel | OwnModels | OwnSpectra | DiagonalModels

#: Gram matrices that are made at a time at most.
GRAMS = 32


@dataclass(kw_only=True)
class Fit(Problems):
    """Problems whose weights lie on the host, in float64: those of one fit, or of several that are joined.

    Attributes
    ----------
    W, steps : ndarray, shape (n_problems, n_features)
        Weights, and where from there a problem is about to go.
    memory : CurvatureMemory
    own : dict of int to RotatedModel
        Models of problems that were slow: in place of the Gram matrix, their own, weighted by their curvature.
    together : OwnModels, OwnSpectra, DiagonalModels, or None
        The same in one array, where the penalty has norms of groups and there are few features, where it has norms of
        single weights or none, or where there are so many features that models have a diagonal metric.
    models : list of QuadraticModel
        The shared model of every fit, of which each has as many problems, one fit after the other.
    """

    W: np.ndarray
    memory: CurvatureMemory
    own: dict[int, RotatedModel] = field(default_factory=dict)
    together: OwnModels | OwnSpectra | DiagonalModels | None = None
    models: list[QuadraticModel] = field(default_factory=list)

    has_derivatives = True

    def __post_init__(self) -> None:
        self.steps, self.models = np.zeros_like(self.W), self.models or [self.model]
        self.joined = JoinedModels.of(self.models, len(self.W) // self.n_fits)
        if self.model.diagonal:
            self.together = DiagonalModels(self.model, len(self.W))
        elif not isinstance(self.objective, GramObjective):
            for kind in (OwnModels, OwnSpectra):
                if kind.suit(self.model):
                    self.together = kind(self.model, len(self.W), OWN_BYTES, self.models)

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`; of the curvature pairs, those of problems that have some."""
        found, pairs = super().state(), self.memory.pairs
        some = np.flatnonzero(pairs.kept)
        memory = {name: array if len(some) == len(array) else array[some] for name, array in pairs._asdict().items()}
        found |= under("memory", memory | {"problems": some, "rho": self.memory.rho})
        found["own"] = np.array(list(self.own), int)
        for problem, model in self.own.items():
            found |= under(f"own{problem}", model.state())
        return found

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        super().restore(state)
        memory = inside("memory", state)
        for name, array in self.memory.pairs._asdict().items():
            array[:] = 0
            array[memory["problems"]] = memory[name]
        self.memory.rho[:] = memory["rho"]
        engine, penalty = self.model.engine, self.model.penalty
        self.own = {
            problem: RotatedModel.of(inside(f"own{problem}", state), engine, penalty)
            for problem in state["own"].tolist()
        }

    @property
    def n_fits(self) -> int:
        """See `Problems`."""
        return len(self.models)

    def of_fits(self, problems: np.ndarray) -> Iterator[tuple[QuadraticModel, slice]]:
        """The shared model of every fit, and where its own are among some problems, which ascend."""
        return parts_of_fits(self.models, len(self.W) // self.n_fits, problems)

    @property
    def own_model_after(self) -> int:
        """Evaluations at one strength after which a problem gets a model of its own."""
        return self.own_model_cost

    @property
    def own_models_need_norms(self) -> bool:
        """Whether models of problems' own serve strengths above 0 alone."""
        return self.together is not None and not self.together.serves_zero

    def stand_at(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> None:
        """Go to given weights (n, n_features) and the best intercepts there."""
        found = self.objective.evaluate(problems, W, b)
        self.at.put(problems, found, np.ones(len(problems), bool))
        self.W[problems] = W

    def penalty_value(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """The penalty where some problems stand."""
        return self.model.penalty.value(self.W[problems], lam, problems)

    def by_model(self, problems: np.ndarray) -> Iterator[tuple[Model, np.ndarray]]:
        """Models, and the positions of the problems that have them."""
        if self.together is not None:
            own = self.together.has(problems)
            if own.any():
                yield self.together, np.flatnonzero(own)
        else:
            own = np.isin(problems, list(self.own))
            for one in np.unique(problems[own]):
                yield self.own[one], np.flatnonzero(problems == one)
        shared = np.flatnonzero(~own)
        if self.joined is not None and len(shared):
            yield self.joined, shared
            return
        for model, at in self.of_fits(problems[shared]):
            yield model, shared[at]

    def with_models(self, work: Callable[[Model, np.ndarray], None], problems: np.ndarray) -> None:
        """``work(model, positions)`` for every model that some problems have."""
        tasks = [(model, part) for model, at in self.by_model(problems) for part in model.portions(at)]
        pays = pays_workers(len(problems), self.W.shape[1])
        # a model of many problems that shares them out itself must not do so in one of the workers
        for task in tasks:
            if task[0].shares_out or not pays:
                work(*task)
        if pays:
            self.model.engine.map(work, [task for task in tasks if not task[0].shares_out])

    def open_round(self, problems: np.ndarray) -> None:
        """Nothing: problems are gathered phase by phase."""

    def weights(self, problems: np.ndarray) -> np.ndarray:
        """Where problems stand, on the host, shape (n, n_features)."""
        return self.W[problems]

    def aim(self, problems: np.ndarray, d: np.ndarray) -> None:
        """Choose the steps (n, n_features) of some problems."""
        self.steps[problems] = self.model.penalty.allow(self.W[problems], d)

    def aim_by_models(self, problems: np.ndarray, lam: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Choose the steps that minimise the problems' models; returns the decrease that each promises, else NaN.

        A promise of no more than ``most`` is worth knowing well.
        """
        W, grad, c = self.W[problems], self.at.grad[problems], self.at.curvature[problems] * self.damping[problems]
        step, promise = np.zeros_like(W), np.zeros(len(problems))

        def solve(model: Model, own: np.ndarray) -> None:
            step[own], promise[own] = model.step(
                self.memory, problems[own], W[own], grad[own], c[own], lam[own], most[own]
            )

        self.with_models(solve, problems)
        broken = np.flatnonzero(promise > MOST_PROMISE * self.scale[problems])
        if len(broken):
            self.memory.forget(problems[broken])
            self.with_models(lambda model, own: solve(model, broken[own]), problems[broken])
        self.steps[problems] = step
        return np.where(np.isfinite(step).all(axis=1), promise, np.nan)

    def propose(self, problems: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Problems, weights and intercepts to evaluate; the steps become those really taken.

        So a curvature pair has no rounding in s.
        """
        W = self.W[problems]
        self.steps[problems] = (W + self.steps[problems]).astype(self.model.engine.dtype) - W
        return problems, W + self.steps[problems], self.at.b[problems]

    def compare(self, problems: np.ndarray, lam: np.ndarray, found: Evaluation) -> Comparison:
        """What was found at W + d beside what stands at W."""
        penalty, W, d = self.model.penalty, self.W[problems], self.steps[problems]
        grad = self.at.grad[problems]
        with np.errstate(all="ignore"):
            change = penalty.value(W + d, lam, problems) - penalty.value(W, lam, problems)
        slope = 0.5 * np.einsum("ij,ij->i", grad + found.grad, d)
        return Comparison(found.loss, np.einsum("ij,ij->i", grad, d) + change, change, slope)

    def learn(self, problems: np.ndarray, found: Evaluation, learns: np.ndarray, accepted: np.ndarray) -> None:
        """Push the curvature pairs of the problems that learn, and go on to W + d with those accepted."""
        if not isinstance(self.objective, GramObjective):
            # of that one G is the curvature itself
            learners, y = problems[learns], (found.grad - self.at.grad[problems])[learns]
            s = self.steps[learners]

            def remember(model: Model, at: np.ndarray) -> None:
                model.remember(self.memory, learners[at], s[at], y[at])

            self.with_models(remember, learners)
        self.at.put(problems, found, accepted)
        gone = problems[accepted]
        self.W[gone] = self.model.penalty.within(self.W[gone] + self.steps[gone])

    def give_own_models(self, problems: np.ndarray) -> np.ndarray:
        """Weight the Gram matrices of some problems by their curvature where they stand.

        Returns those that have to be handed over for it: none, here.
        """
        if isinstance(self.together, DiagonalModels):
            G = self.objective.weighted_variances(problems, self.W[problems], self.at.b[problems])
            self.together.renew(problems, G, self.memory)
            self.damping[problems] = 1
            return problems[:0]
        if self.together is None:
            for problem in problems:
                self._give_own_model(int(problem))
            return problems[:0]
        problems = problems[self.together.make_room(problems)]
        if not len(problems):
            # all places are taken
            return problems
        for some in self._in_portions(problems):
            G = self.objective.weighted_grams(some, self.W[some], self.at.b[some])
            good = np.isfinite(G).all(axis=(1, 2))
            self.together.put(some[good], G[good])
            # what is not finite has no model but the shared one
            self.together.drop(some[~good])
        self.memory.forget(problems)
        self.damping[problems] = 1
        return problems[:0]

    def _in_portions(self, problems: np.ndarray) -> Iterator[np.ndarray]:
        """Some problems of one fit at a time, as many as there may be matrices."""
        for _, at in self.of_fits(problems):
            own = problems[at]
            yield from (own[first : first + GRAMS] for first in range(0, len(own), GRAMS))

    def _give_own_model(self, problem: int) -> None:
        """Weight the Gram matrix of a problem by its curvature where it stands."""
        if isinstance(self.objective, GramObjective):
            return
        size = len(self.W) // self.n_fits
        # of its own fit alone: no fit takes the room of another
        held = sum(other // size == problem // size for other in self.own)
        if problem not in self.own and held >= RotatedModel.most(self.W.shape[1]):
            return
        here = np.array([problem])
        (G,) = self.objective.weighted_grams(here, self.W[here], self.at.b[here])
        if np.isfinite(G).all():
            self.own[problem] = RotatedModel(self.model.engine, G, self.model.penalty)
            self.memory.forget(here)
            self.damping[here] = 1
        give_back_freed_memory(G.nbytes)

    def leave_norms(self, problems: np.ndarray) -> None:
        """Give problems that come to a strength of 0 the shared model, if their own serve norms alone."""
        if self.together is None or self.together.serves_zero:
            return
        own = problems[self.together.has(problems)]
        self.together.drop(own)
        self.memory.forget(own)
        self.damping[own] = 1

    def drop_models(self, finished: np.ndarray) -> None:
        """Let go of the models of problems that are finished: others may be waiting for room."""
        if self.together is not None:
            self.together.drop(np.flatnonzero(finished))
        self.own = {problem: model for problem, model in self.own.items() if not finished[problem]}

    def certificate(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Bound on the excess objective of some problems, over their scale."""
        at, W = self.at.take(problems), self.W[problems]
        if self.loss.is_convex:
            gap = certificate(self.loss, self.model, W, at, lam, problems=problems)
        else:
            # in the metric of each fit
            gap = np.empty(len(problems))
            for model, own in self.of_fits(problems):
                points = W[own], at.take(own), lam[own]
                gap[own] = certificate(self.loss, model, *points, problems=problems[own])
        if isinstance(self.objective, GramObjective):
            free = np.flatnonzero(lam == 0)
            for model, own in self.of_fits(problems[free]):
                some = free[own]
                gap[some] = np.minimum(gap[some], self._decrement_of_gram(model, W[some], at.take(some)))
        return gap / self.scale[problems]

    def _decrement_of_gram(self, model: QuadraticModel, W: np.ndarray, at: Evaluation) -> np.ndarray:
        """Certificates of problems without a penalty, whose curvature the Gram matrix of a model is."""
        penalty, zero = model.penalty, np.zeros(len(W))
        if penalty.bounds is None:
            grad = at.grad + penalty.smooth_gradient(W)
            return decrement(model, W, grad, at, penalty.norm_strengths(zero), zero)
        pressed = penalty.pressed(W, at.grad)
        found = [decrement_of_gram(model.G, *own) for own in zip(at.grad, pressed, strict=True)]
        return 0.5 * DECREMENT_SAFETY * np.array(found)

    def check(self, problems: np.ndarray, lam: np.ndarray) -> Check:
        """What problems can still gain along the columns that are never penalised, and the bound that follows."""
        penalty, parts, first = self.model.penalty, [], 0
        for own in self._in_portions(problems):
            strengths, first = lam[first : first + len(own)], first + len(own)
            at, W = self.at.take(own), self.W[own]
            grad = at.grad + penalty.smooth_gradient(W)
            if isinstance(self.objective, GramObjective):
                found = project_on_gram(self._model_of(own), grad)
            else:
                found = self.objective.project(own, W, at.b, grad, penalty)
            gain = 0.5 * SAFETY * found.decrement
            # the bound by χ² holds where the dual point stays in its domain
            moved = np.where(found.reach <= 1, found.decrement, np.inf) if self.loss.is_canonical else gain
            bound = certificate(self.loss, self.model, W, at, strengths, found.shift, moved, own)
            parts.append((found.step, gain / self.scale[own], bound / self.scale[own]))
        return Check(*(np.concatenate(some) for some in zip(*parts, strict=True)))

    def _model_of(self, problems: np.ndarray) -> QuadraticModel:
        """The shared model of some problems of one fit."""
        return next(self.of_fits(problems))[0]

    def aim_to_prove(self, problem: int) -> float:
        """Choose Newton's step for a problem without a penalty; returns how far it can fall, over its scale.

        One that leaves the bounds of the weights is not taken: it need not go down once it is cut off there.
        """
        step, decrement = self.prove(problem)
        there = self.W[problem] + step
        if np.isfinite(decrement) and np.array_equal(self.model.penalty.within(there), there):
            self.steps[problem] = step
        return decrement

    def prove(self, problem: int) -> tuple[np.ndarray, float]:
        """Newton's step (n_features,) of a problem without a penalty, and how far it can fall, over its scale."""
        w, penalty = self.W[problem], self.model.penalty
        g, R = self.objective.derivatives(problem, w, self.at.b[problem])
        pressed = np.append(penalty.pressed(w[None], g[None, :-1])[0], 0)
        if penalty.R is not None:
            g[:-1] += penalty.smooth_gradient(w[None])[0]
            root = np.linalg.cholesky(penalty.smoothness * penalty.R).T
            R = np.vstack([R, np.column_stack([root, np.zeros(len(root))])])
        own = self._model_of(np.array([problem])).coordinates
        if own is not None:
            # which directions hold rounding alone is told in the user's columns
            g[:-1], R[:, :-1] = own.unrotate(g[None, :-1])[0], own.unrotate(R[:, :-1])
        step, decrement = newton_within(g, R, self.model.engine.dtype, pressed)
        step = step[None, :-1]
        return (step if own is None else own.rotate(step.copy()))[0], 0.5 * SAFETY * decrement / self.scale[problem]


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
    for first in range(0, len(fittable), MAX_PROBLEMS):
        problems = fittable[first : first + MAX_PROBLEMS]
        null = objective.at_null(problems, intercept[problems])
        at.put(problems, null, np.arange(len(problems)))
    model.penalty = model.penalty.at_null(at.curvature)
    # where G is the curvature there is nothing to learn, and pairs would take time and memory
    memory = model.memory(q, 0) if isinstance(objective, GramObjective) else model.memory(q)
    by_sums = getattr(objective, "by_sums", np.zeros(q, bool))
    return Fit(
        loss=loss, objective=objective, model=model, fittable=fittable, at=at, W=W, memory=memory,
        **scales(sums, units, by_sums),
    )  # fmt: skip

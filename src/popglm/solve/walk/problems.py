"""Problems, one neuron in one fit each: what they have wherever their weights lie, and what a walk asks of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from popglm.solve.local_models.own import OwnModels
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.objective.evaluation import Evaluation, GramObjective
from popglm.solve.snapshot import Resumable, State, inside, under
from popglm.solve.units import Units
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["Check", "Comparison", "Problems", "at_rest", "scales"]

#: Evaluations at one strength after which a problem gets a model of its own (`Fit.own`): at least the first number, or
#: features over the second, since a Gram matrix costs as much as n_features/4 evaluations. Where events crowd in
#: few samples, hundreds are needed without one. A problem that needs twice, four times … as many gets a new one.
OWN_MODEL_AFTER, FEATURES_PER_EVALUATION = 10, 20
#: In place of the first number where problems keep their own models together, which costs less; in place of both where
#: a model is a diagonal, which costs less than an evaluation.
OWN_MODEL_SOON, OWN_DIAGONAL_SOON = 3, 2

#: Samples times features squared up to which a column without a penalty ends by its own second derivatives; beyond,
#: they cost more than the fit.
AFFORDABLE = 2e8


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
class Check:
    """What second derivatives along the columns that are never penalised say of some problems.

    Attributes
    ----------
    step : ndarray, shape (n_problems, n_features)
        Newton's along these columns.
    gain : ndarray, shape (n_problems,)
        How far the objective can fall along them, over its scale.
    bound : ndarray, shape (n_problems,)
        Duality gap, over the scale.
    """

    step: np.ndarray
    gain: np.ndarray
    bound: np.ndarray


@dataclass(kw_only=True)
class Problems(Resumable, ABC):
    """A fit in progress: what is one number per problem here, and what `walk.Walk` asks of the weights.

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

    fixed: ClassVar[tuple[str, ...]] = ("fittable", "scale", "magnitude", "unit", "n_samples")

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`; with the parameters of the family, which the objective has."""
        own = self.objective.nuisance
        return super().state() | ({} if own is None else under("nuisance", own.state()))

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        super().restore(state)
        if self.objective.nuisance is not None:
            # in place: those of one fit lie among those of all
            self.objective.nuisance.restore(inside("nuisance", state))

    @property
    def n_fits(self) -> int:
        """Fits that the problems are of: as many of each, one fit after the other."""
        return 1

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return len(self.model.G)

    @property
    def own_model_cost(self) -> int:
        """Evaluations that a model of a problem's own is worth."""
        if self.model.diagonal:
            return OWN_DIAGONAL_SOON
        together = OwnModels.suit(self.model) and not isinstance(self.objective, GramObjective)
        return max(OWN_MODEL_SOON if together else OWN_MODEL_AFTER, self.n_features // FEATURES_PER_EVALUATION)

    @property
    def is_fitted(self) -> np.ndarray:
        """Whether a problem is among the fittable, shape (n_problems,)."""
        return np.isin(np.arange(len(self.scale)), self.fittable)

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

    def can_check(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Where columns that are never penalised stand beside others, and second derivatives along them are at hand."""
        known = self.loss.is_convex and self.loss.is_smooth and self.model.penalty.free is not None
        return (lam > 0) & self.at.smooth[problems] & known

    # the parameters of the family, where it has some

    @property
    def parameters(self) -> np.ndarray:
        """Of every problem, shape (n_problems, n_parameters)."""
        own = self.objective.nuisance
        return np.zeros((len(self.scale), 0)) if own is None else own.values

    def renew_parameters(self, problems: np.ndarray) -> None:
        """Have parameters estimated where problems stand, which is where they will be evaluated."""
        self.aim(problems, np.zeros((len(problems), self.n_features)))
        self.objective.nuisance.due[problems] = True

    def forget_estimates(self, problems: np.ndarray) -> None:
        """Compare the next estimates of problems that come to another strength with none before."""
        if self.objective.nuisance is not None:
            self.objective.nuisance.forget(problems)

    def take_level(self, problems: np.ndarray) -> None:
        """Bring the saturated values of problems with new parameters up to date."""
        self.level[problems] = self.objective.nuisance.level[problems]

    def take_parameters(self, problems: np.ndarray, values: np.ndarray) -> None:
        """Go on with given parameters (n, n_parameters)."""
        if self.objective.nuisance is not None:
            self.objective.nuisance.values[problems] = values

    # what depends on where the weights lie

    #: Whether second derivatives of single problems are at hand: then `check`, `prove` and `aim_to_prove` are too.
    has_derivatives: ClassVar[bool]

    def check(self, problems: np.ndarray, lam: np.ndarray) -> Check:
        """What problems can still gain along the columns that are never penalised, and the bound that follows."""
        raise NotImplementedError

    def aim_to_prove(self, problem: int) -> float:
        """Choose Newton's step for a problem without a penalty; returns how far it can fall, over its scale."""
        raise NotImplementedError

    def prove(self, problem: int) -> tuple[np.ndarray, float]:
        """Newton's step (n_features,) of a problem without a penalty, and how far it can fall, over its scale."""
        raise NotImplementedError

    @property
    @abstractmethod
    def own_model_after(self) -> int:
        """Evaluations at one strength after which a problem gets a model of its own, or is handed over for one."""

    @property
    def own_models_need_norms(self) -> bool:
        """Whether models of problems' own serve strengths above 0 alone."""
        return False

    @abstractmethod
    def penalty_value(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """The penalty where some problems stand."""

    @abstractmethod
    def weights(self, problems: np.ndarray) -> np.ndarray:
        """Where problems stand, on the host, shape (n, n_features)."""

    @abstractmethod
    def certificate(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Bound on the excess objective of some problems, over their scale."""

    # the phases of a round, in their order

    @abstractmethod
    def open_round(self, problems: np.ndarray) -> None:
        """Make ready for a round of some problems, which are among those of the last one."""

    @abstractmethod
    def aim_by_models(self, problems: np.ndarray, lam: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Choose the steps that minimise the problems' models; returns the decrease that each promises.

        A promise of no more than ``most`` is worth knowing well. It is NaN where no step was found.
        """

    @abstractmethod
    def aim(self, problems: np.ndarray, d: np.ndarray) -> None:
        """Choose the steps (n, n_features) of some problems."""

    @abstractmethod
    def propose(self, problems: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray]:
        """Problems, weights and intercepts to evaluate; the steps become those really taken.

        So a curvature pair has no rounding in s.
        """

    @abstractmethod
    def compare(self, problems: np.ndarray, lam: np.ndarray, found: Evaluation) -> Comparison:
        """What was found at the points proposed beside what stands."""

    @abstractmethod
    def learn(self, problems: np.ndarray, found: Evaluation, learns: np.ndarray, accepted: np.ndarray) -> None:
        """Keep the curvature pairs of the problems that learn, and go on with those accepted."""

    @abstractmethod
    def give_own_models(self, problems: np.ndarray) -> np.ndarray:
        """Give problems models of their own; returns those that have to be handed over to the host for it."""

    @abstractmethod
    def leave_norms(self, problems: np.ndarray) -> None:
        """Let go of models that serve norms alone, of problems that come to a strength of 0."""

    @abstractmethod
    def drop_models(self, finished: np.ndarray) -> None:
        """Let go of the models of problems that are finished: others may be waiting for room."""


def at_rest(intercept: np.ndarray, n_features: int) -> Evaluation:
    """Where problems stand that are not fitted."""
    one, zero = np.ones(len(intercept)), np.zeros(len(intercept))
    grad = np.zeros((len(intercept), n_features))
    return Evaluation(zero, intercept.copy(), grad, one, zero.copy(), one.copy(), one > 0, zero.copy())


def scales(sums: ResponseSums, units: Units, by_sums: np.ndarray) -> dict[str, Any]:
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

"""Minimise over weights of at most some rank, and certify the minimum among those of any rank.

Half the sum of squares ½(‖A‖² + ‖B‖²), minimised over all factors with one product Z = ABᵀ, is the nuclear norm ‖Z‖_*
(Srebro, Rennie & Jaakkola 2004). So a stationary point of the factored problem whose gradient in Z has no singular
value above λ is a minimum of the convex problem in Z, of any rank (Bach, Mairal & Ponce 2008; Haeffele & Vidal 2020).
Where one is larger, its pair of singular vectors is a direction of descent that the factors do not have yet; it is
added as long as the rank allows. That makes the rank grow only where it has to (Burer & Monteiro 2005).

How far the objective is above that minimum is bounded by a duality gap, as in `popglm.solve.walk.certificate`: with r
the residuals, G their gradient in Z, v the free weights under the strength σ of a ridge, g the gradient in these with
that of their penalty, and θ = min(1, λ/‖G‖₂), by which r is dual feasible,

    gap = λ‖Z‖_* + θ⟨G, Z⟩ + σ/2 ‖(1−θ)v + θg/σ‖² + min{(1−θ) loss above the saturated model's, (1−θ)² χ²},

the χ² for canonical links alone. The best intercepts are not quite reached; what they would bring is added.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize

from popglm.solve.low_rank.layout import Weights
from popglm.solve.low_rank.objective import Evaluated, LowRankObjective
from popglm.solve.snapshot import UNKEPT, Checkpoint, State, concluded, inside, under

__all__ = ["Fitted", "fit_rank", "leading"]

#: Curvature pairs of L-BFGS; rounds of descents, each with its certificate; by how much a descent goes on further where
#: its end leaves too large a gap, and by how much at most.
PAIRS, ROUNDS, FURTHER, LEAST = 20, 60, 0.1, 1e-3
#: Steps after which a descent takes new variables.
RENEW = 100
#: Tolerance on a detour.
ROUGH = 1e-3
#: Relative change of a family's parameter that ends their estimates.
SETTLED = 1e-3
#: Share of the largest singular value below which one may be rounding.
TRACE = 1e-3
#: What takes the place of an objective that is not finite, in units of the null models' loss.
TOO_FAR = 1e3
#: How often the size of new directions is halved until the objective falls, at most.
HALVINGS = 30


@dataclass
class Fitted:
    """A fit of at most some rank.

    Attributes
    ----------
    weights : Weights
        Balanced.
    parameters : ndarray, shape (n_neurons, n_parameters)
    losses : ndarray, shape (n_neurons,)
        Mean loss above the saturated model's.
    value : float
        The objective.
    gap : float
        By how much at most the objective is above its least value over weights of any rank, in units of the null
        models' loss; NaN where there is no such bound.
    slope : float
        Norm of the gradient in the factors and all other weights, times that of these, in the same units.
    excess : float
        Largest singular value of the gradient in Z over λ; at most 1 at a minimum among all ranks.
    n_iter : int
        Evaluations.
    """

    weights: Weights
    parameters: np.ndarray
    losses: np.ndarray
    value: float
    gap: float
    slope: float
    excess: float
    n_iter: int

    def state(self) -> State:
        """All of it as arrays, not copied."""
        numbers = {name: np.array(getattr(self, name)) for name in _NUMBERS}
        arrays = {"parameters": self.parameters, "losses": self.losses}
        return under("weights", self.weights.state()) | arrays | numbers

    @classmethod
    def of(cls, state: State) -> Fitted:
        """The one that handed out a state."""
        weights = Weights.of(inside("weights", state))
        value, gap, slope, excess, n_iter = (state[name].item() for name in _NUMBERS)
        return cls(weights, state["parameters"], state["losses"], value, gap, slope, excess, n_iter)


#: Of `Fitted`.
_NUMBERS = ("value", "gap", "slope", "excess", "n_iter")


@dataclass
class _Course:
    """Where a fit stands between two descents.

    Attributes
    ----------
    weights, parameters
    aim : float
        Slope that the next descent goes to.
    before : float
        Slope at the end of the last one, where it goes on.
    n_iter, k : int
        Evaluations, and descents, so far.
    """

    weights: Weights
    parameters: np.ndarray
    aim: float
    before: float = np.inf
    n_iter: int = 0
    k: int = 0

    def state(self) -> State:
        """All of it as arrays, not copied."""
        numbers = {name: np.array(getattr(self, name)) for name in ("aim", "before", "n_iter", "k")}
        return under("weights", self.weights.state()) | {"parameters": self.parameters} | numbers

    @classmethod
    def of(cls, state: State) -> _Course:
        """The one that handed out a state."""
        numbers = {name: state[name].item() for name in ("aim", "before", "n_iter", "k")}
        return cls(Weights.of(inside("weights", state)), state["parameters"], **numbers)


class _Done(Exception):
    """The descent is at its end."""


def fit_rank(
    objective: LowRankObjective,
    rank: int,
    start: Weights,
    tol: float,
    max_iter: int,
    detours: int = 0,
    kept: Checkpoint = UNKEPT,
) -> Fitted:
    """Minimise the objective over weights of at most ``rank``, from ``start``.

    Parameters
    ----------
    tol : float
        Of the slope; and of the gap, where the rank does not bind.
    max_iter : int
        Evaluations of a descent.
    detours : int
        How often a fit whose rank binds takes up one direction more, and drops the weakest again, as long as that leads
        to a better minimum.
    kept : Checkpoint
        Where the fit is kept while it goes on, and taken up again: of these very arguments.
    """

    def fitted(name: str, rank: int, start: Weights, tol: float) -> Fitted:
        own = kept.part(name)
        found = concluded(own, Fitted, lambda: _fit_from(objective, rank, start, tol, max_iter, own))
        objective.parameters = found.parameters.copy()
        return found

    found = fitted("first", rank, start, tol)
    for n in range(detours):
        if found.gap <= tol or not 0 < rank == found.weights.rank < min(found.weights.A.shape[0], len(found.losses)):
            break
        wide = fitted(f"wide{n}", rank + 1, found.weights, max(tol, ROUGH))
        narrow = wide.weights.with_factors(wide.weights.A[:, :rank], wide.weights.B[:, :rank])
        other = fitted(f"other{n}", rank, narrow, tol)
        n_iter = found.n_iter + wide.n_iter + other.n_iter
        # under the same parameters of the family
        is_better = other.value < objective.evaluate(found.weights).value - FURTHER * tol * objective.scale
        found = replace(other if is_better else found, n_iter=n_iter)
        objective.parameters = found.parameters.copy()
        if not is_better:
            break
    return found


def _fit_from(
    objective: LowRankObjective, rank: int, start: Weights, tol: float, max_iter: int, kept: Checkpoint
) -> Fitted:
    """`fit_rank` without detours."""
    last, lam = kept.last(), objective.strength
    at = _Course(start.balanced(), objective.parameters, tol) if last is None else _Course.of(last)
    objective.parameters = at.parameters
    while True:
        kept.pause(at.state)
        descent = _Descent(objective, at.weights, at.aim, max_iter - at.n_iter).run()
        at.n_iter, at.k = at.n_iter + descent.count, at.k + 1
        at.weights, found, slope = descent.weights.balanced(), descent.found, descent.slope
        over = at.n_iter >= max_iter or at.k == ROUNDS
        if slope > at.aim and (descent.goes_on or slope < at.before / 2) and not over:
            # far from where it began other variables suit it better
            at.before = slope
            continue
        at.before = np.inf
        if objective.loss.parameters:
            change = objective.renew_parameters(at.weights)
            at.parameters = objective.parameters
            if change > SETTLED and not over:
                continue
        forces, chi = objective.forces(at.weights)
        largest = float(leading(forces, 1)[1][0])
        gap = _gap(objective, at.weights, found, forces, largest, chi)
        if over or gap <= tol:
            break
        room = rank - at.weights.rank
        U, sizes, V = _new_directions(at.weights, forces, max(room, 1))
        is_new = sizes > lam * (1 + tol)
        if n := min(room, int(is_new.sum())):
            at.weights = _with_directions(objective, at.weights, found, U[:, :n], sizes[:n], V[:, :n])
            continue
        # the rank binds, or float32 ends here, or there is nothing to certify
        if is_new.any() or slope > at.aim or at.aim < tol * LEAST or np.isnan(gap):
            break
        at.aim *= FURTHER
    weights, found = _without_traces(objective, at.weights, found, tol)
    excess = largest / lam if lam > 0 else np.inf
    return Fitted(weights, objective.parameters.copy(), found.losses, found.value, gap, slope, excess, at.n_iter)


def _without_traces(
    objective: LowRankObjective, weights: Weights, found: Evaluated, tol: float
) -> tuple[Weights, Evaluated]:
    """The weights without directions that rounding has left, where that costs nothing."""
    some = weights.factored()[1] > TRACE * weights.factored()[1].max(initial=0)
    if some.all():
        return weights, found
    fewer = weights.with_factors(weights.A[:, some], weights.B[:, some])
    again = objective.evaluate(fewer)
    costs = again.value > found.value + FURTHER * tol * objective.scale
    return (weights, found) if costs else (fewer, again)


class _Descent:
    """L-BFGS in variables that are worth about as much, until the slope is at most ``aim``; see `fit_rank`.

    Attributes
    ----------
    weights, found, slope
        At the best point so far.
    count : int
        Evaluations.
    goes_on : bool
        Whether it was still going down where it ended.
    """

    def __init__(self, objective: LowRankObjective, start: Weights, aim: float, max_iter: int) -> None:
        self.objective, self.aim, self.max_iter, self.scale = objective, aim, max_iter, objective.scale
        self.weights, self.found, self.count = start, objective.evaluate(start), 1
        self.metric, self.goes_on = objective.metric(start, self.found), False
        self.far = TOO_FAR * (1 + abs(self.found.value) / self.scale)
        self.slope = self._slope(start, self.found)

    @property
    def is_over(self) -> bool:
        return self.slope <= self.aim or self.count >= self.max_iter

    def run(self) -> _Descent:
        """Go down; returns itself."""
        options = {"maxcor": PAIRS, "maxiter": RENEW, "maxfun": self.max_iter, "ftol": 0.0, "gtol": 0.0}
        for exact in (True, False):
            if self.is_over or self.goes_on:
                break
            here = self.metric.variables(self.weights)
            # where differences of the objective are rounding, they are taken from the gradients at both ends
            origin = None if exact else (here, self._gradient(self.found))
            with suppress(_Done):
                end = minimize(
                    self._value, here, (origin,), "L-BFGS-B", True, callback=self._after_step, options=options
                )
                self.goes_on = end.nit >= RENEW
        return self

    def _slope(self, weights: Weights, found: Evaluated) -> float:
        size = max(float(np.linalg.norm(self.metric.variables(weights))), np.sqrt(self.scale))
        return float(np.linalg.norm(self._gradient(found))) * size

    def _gradient(self, found: Evaluated) -> np.ndarray:
        return self.metric.gradient(found.gradient) / self.scale

    def _value(self, z: np.ndarray, origin: tuple[np.ndarray, np.ndarray] | None) -> tuple[float, np.ndarray]:
        weights = self.metric.weights(z, self.weights)
        found, self.count = self.objective.evaluate(weights), self.count + 1
        gradient = self._gradient(found)
        if not (np.isfinite(found.value) and np.isfinite(gradient).all()):
            # too long a step, which the search of the line then shortens
            return self.far, np.nan_to_num(gradient, posinf=0.0, neginf=0.0)
        slope = self._slope(weights, found)
        if found.value < self.found.value if origin is None else slope < self.slope:
            self.weights, self.found, self.slope = weights, found, slope
        if origin is None:
            return found.value / self.scale, gradient
        return float((gradient + origin[1]) @ (z - origin[0])) / 2, gradient

    def _after_step(self, z: np.ndarray) -> None:
        if self.is_over:
            raise _Done


def _gap(
    objective: LowRankObjective, weights: Weights, found: Evaluated, forces: np.ndarray, largest: float, chi: np.ndarray
) -> float:
    """See the head of the module; NaN where there is no bound."""
    lam, ridge = objective.strength, objective.ridge
    if lam == 0 or not objective.loss.is_convex:
        return np.nan
    theta = min(1.0, lam / largest) if largest > 0 else 1.0
    inner = float(np.einsum("ir,jr,ij->", weights.A, weights.B, forces, optimize=True))
    total = float(lam * weights.factored()[1].sum()) + theta * inner
    curvature = np.maximum(found.curvature, np.finfo(float).tiny)
    for part, slope in ((weights.common, found.gradient.common), (weights.own, found.gradient.own)):
        if ridge > 0:
            total += ridge / 2 * float((((1 - theta) * part + theta * slope / ridge) ** 2).sum())
        else:
            total += float((slope**2).sum(axis=1) @ (1 / curvature))
    total += float(found.gradient.b**2 @ (1 / curvature))
    rest = (1 - theta) * float(found.losses.sum())
    if objective.loss.is_canonical:
        rest = min(rest, (1 - theta) ** 2 * float(chi.sum()))
    return (total + rest) / objective.scale


def leading(M: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n largest singular values of M, falling, between their left and right singular vectors.

    Examples
    --------
    >>> leading(np.diag([3.0, -5.0, 1.0]), 2)[1]
    array([5., 3.])
    """
    if M.shape[0] < M.shape[1]:
        V, sizes, U = leading(M.T, n)
        return U, sizes, V
    q = M.shape[1]
    squares, V = eigh(M.T @ M, subset_by_index=[max(q - n, 0), q - 1])
    sizes, V = np.sqrt(np.maximum(squares[::-1], 0.0)), V[:, ::-1]
    return M @ V / np.where(sizes > 0, sizes, 1.0), sizes, V


def _new_directions(weights: Weights, forces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n directions −u, σ and v of the steepest descent that the factors do not have, σ falling."""
    U, _, V = weights.factored()
    left = forces - U @ (U.T @ forces)
    left -= (left @ V) @ V.T
    u, sizes, v = leading(left, n)
    return -u, sizes, v


def _with_directions(
    objective: LowRankObjective, weights: Weights, found: Evaluated, U: np.ndarray, sizes: np.ndarray, V: np.ndarray
) -> Weights:
    """The weights with new directions, as long as the curvature says, or half as long until the objective falls."""
    curvature = (found.curvature @ V**2) * objective.variances(U) + np.finfo(float).tiny
    length = (sizes - objective.strength) / curvature
    for _ in range(HALVINGS):
        root = np.sqrt(length)
        longer = weights.with_factors(np.hstack([weights.A, U * root]), np.hstack([weights.B, V * root]))
        if objective.evaluate(longer).value < found.value:
            break
        length = length / 2
    return longer

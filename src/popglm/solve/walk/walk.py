"""The walk: every problem of every fit descends its strengths, on any device, by one algorithm.

A problem is one neuron in one fit: minimise f(b, w) + λP(w), f its mean loss. At every strength λ it repeats

 1. begin where the last strength ended (or where a guide, a path that is near, suggests and the objective is lower);
 2. take the duality gap at w, `Problems.certificate`: a bound on how far the objective lies above its minimum;
 3. stop at this strength where gap ≤ tol, in units of half the null deviance;
 4. else minimise the model gᵀd + ½dᵀBd + λP(w + d) in d, with B = cG and L-BFGS pairs, `Problems.aim_by_models`;
 5. stop as well where the model promises so little that, times a safety factor, the tolerance is met;
 6. evaluate f and its gradient at w + d, with the best intercept b: one pass over the rows, for all problems at once;
 7. go there if the objective fell by a share of what the first order promised, else stay (Armijo's rule);
 8. remember the step and the change of the gradient, a pair that corrects B, either way, but for steps far too long;
 9. raise the damping of c after a step that was not accepted, and let it fall after one that was;
10. give a problem that is slow, or whose model is not to be believed, a model of its own: G weighted by its curvature.

Where the family has nuisance parameters, a problem that is done by step 3 or 5 has them estimated at its w, and goes on
by step 2 with these; it leaves the strength once it is done and they are the estimates at its w.

Steps 2 to 9 are one round, in which all problems take part that are not done. A problem that is done at one strength
begins with the next at once. Where the weights lie, and by which kernels a model is minimised, is up to the `Problems`:
those of `popglm.solve.walk.fit` are on the host, those of `popglm.solve.device.device_fit` on an accelerator. What
needs second derivatives of single problems (step 10, and proofs without a penalty) is done on the host: a device hands
such problems over. `popglm.solve.walk.rounds` lets several walks take turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.solve.objective.evaluation import Evaluation, GramObjective
from popglm.solve.snapshot import Resumable
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.path import empty_path
from popglm.solve.walk.problems import Problems
from popglm.solve.walk.trace import Trace

__all__ = ["Round", "Walk"]

#: An objective is taken to lie above its minimum by the decrease that the model promises, times this, times the spread
#: of the neuron's curvature weights (1 where all are equal), the product at most the second number. Where the weights
#: are even the model is right, so that a constant would have to be far larger for most neurons than they need.
#: benchmarks/certificates.py compares with long float64 fits.
MODEL_SAFETY, MOST_SAFETY = 8.0, 150.0
#: Share of the decrease that first order promises which a step must keep to be accepted.
ARMIJO = 1e-4
#: A change of the loss below so many roundings is taken from the gradients.
FEW_ROUNDINGS = 32
#: Damping doubles after a step that was not accepted, and is multiplied by the second number where the loss was not
#: finite or the step far too long; it falls by the third after one that was accepted: a faster fall makes every second
#: step of some overshoot.
RAISE, RAISE_FAR, RELAX = 2.0, 16.0, 1.25
#: A step that was not accepted, and along which the gradient changed by more than so many times what first order
#: promised, went far past where its model holds: under exp a few units of η are enough. Its pair is not kept. It would
#: close its direction, and by what the closed model promises the problem would seem to be done.
FAR_PAST = 16.0
#: c times this is still a float32. What a model promises that is damped more than the second number is no estimate: its
#: steps are so short that rounding is all of them.
MOST_DAMPING, MOST_BELIEVED = 1e20, 1e3
#: So many steps that promise less than this share of the rounding of the objective end a strength; a gradient has less.
#: Fewer leave problems above the tolerance that could still get there, and so do steps that are damped by more.
QUIET_STEPS, QUIET, MOST_QUIET = 3, 1 / 4, 4.0
#: The share where gaps alone end a strength: they fall with the gradient, below the rounding of the objective, too.
QUIET_GAPS = 1e-4
#: A problem with more features per effective sample (n over the spread of its curvature weights) than the first number,
#: times the root of the evaluations that a model of its own is worth, ends no strength by the promise of the shared
#: model: in some directions its curvature may be any part of that. Nor by its own, once it has so many times more than
#: when that was made. Larger numbers leave more certificates below the true distance, smaller ones make more models.
MOST_CROWDING, CROWDING_GROWTH = 0.08, 2.0
#: Estimates of the family's parameters at one strength, at most. One or two are enough where weights are little held
#: back: a dispersion hardly depends on what a tolerance leaves of them. Where a strength lets much in, a dozen are not.
MOST_ESTIMATES = 25


@dataclass
class Round:
    """What some problems are about to do.

    Attributes
    ----------
    problems, k : ndarray of int, shape (n,)
        Problems, and the numbers of their strengths.
    lam : ndarray, shape (n,)
    jumps : ndarray of bool, shape (n,)
        Whether a problem goes where its guide suggests; others take the step that minimises their model.
    renews : ndarray of bool, shape (n,)
        Whether it stays, and has the parameters of its family estimated.
    """

    problems: np.ndarray
    k: np.ndarray
    lam: np.ndarray
    jumps: np.ndarray
    renews: np.ndarray

    def take(self, index: np.ndarray) -> Round:
        """Some of the problems."""
        return Round(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


class Walk(Resumable):
    """The state of the walk of one fit.

    Parameters
    ----------
    fit : Problems
    lambdas : ndarray, shape (n_lambdas, n_problems)
    tol, max_iter
    guide : ndarray, shape (n_lambdas, n_problems, n_features), optional
        NaN where it has nothing to say of a problem at a strength; from there on it is silent, as behind its end.
    most : int, optional
        Problems of each fit in a round at most; all unless given.

    Attributes
    ----------
    level : ndarray of int, shape (n_problems,)
        Strengths that a problem has behind it.
    limit : ndarray of int, shape (n_problems,)
        Strengths that it may have behind it until more is known of it elsewhere.
    arrives : ndarray of bool, shape (n_problems,)
        Whether it has just come to its strength.
    value : ndarray, shape (n_problems,)
        Its objective above the saturated loss.
    quiet : ndarray of int, shape (n_problems,)
        Steps in a row that promised less than rounding.
    stale : ndarray of bool, shape (n_problems,)
        Whether the parameters of its family are not the estimates where it stands.
    estimates : ndarray of int, shape (n_problems,)
        How often they were estimated at its strength.
    promise, enough : ndarray, shape (n_problems,)
        Decrease that its model promised for the last step, not finite where the model was not solved; and that of
        which no more would end the strength.
    modelled : ndarray of int, shape (n_problems,)
        Strength at which a problem last got a model of its own; −1 for none.
    most_crowding : ndarray, shape (n_problems,)
        Features per effective sample up to which a problem's model is believed.
    unbelieved : ndarray of int
        Problems that the promise of their model would let off, were they not more crowded than that.
    unproved : ndarray of int
        Problems without a penalty that end by their second derivatives alone.
    handed_over : ndarray of int, shape (n_problems,)
        Strength at which a device gave a problem to the host; −1 for none.
    """

    fixed = ("lambdas", "guide")

    def __init__(
        self,
        fit: Problems,
        lambdas: np.ndarray,
        tol: float,
        max_iter: int,
        guide: np.ndarray | None = None,
        most: int | None = None,
    ) -> None:
        self.n_lambdas, q = lambdas.shape
        # of the evaluations the last is for the parameters of the family, where it has some
        max_iter = max(max_iter - bool(fit.loss.parameters), 1)
        self.fit, self.lambdas, self.tol, self.max_iter, self.guide = fit, lambdas, tol, max_iter, guide
        self.most = q if most is None else most
        self.path, self.trace = empty_path(fit, self.n_lambdas), Trace(self.n_lambdas, q)
        self.level, self.arrives = np.where(fit.is_fitted, 0, self.n_lambdas), np.ones(q, bool)
        self.limit = np.full(q, self.n_lambdas)
        self.value, self.quiet, self.promise, self.enough = np.zeros(q), np.zeros(q, int), np.zeros(q), np.zeros(q)
        self.modelled, self.handed_over = np.full(q, -1), np.full(q, -1)
        self.stale, self.estimates = np.full(q, bool(fit.loss.parameters)), np.zeros(q, int)
        self.unbelieved = self.unproved = np.zeros(0, int)
        self.most_crowding = np.full(q, MOST_CROWDING * np.sqrt(fit.own_model_cost))

    @property
    def is_going(self) -> bool:
        """Whether a problem has a strength before it."""
        return bool((self.level < self.n_lambdas).any())

    @property
    def can_go(self) -> bool:
        """Whether a problem need not wait."""
        return bool((self.level < self.limit).any())

    def next_problems(self) -> np.ndarray:
        """Problems that can go on, those with the most strengths to go first, in ascending order.

        So that batches stay large, a problem that is done at a strength goes on to the next at once.
        """
        # those that wait come last
        level = np.where(self.level < self.limit, self.level, self.n_lambdas).reshape(self.fit.n_fits, -1)
        order = np.argsort(level, axis=1, kind="stable")[:, : self.most]
        chosen = np.sort(order + np.arange(len(order))[:, None] * level.shape[1], axis=None)
        return chosen[self.level[chosen] < self.limit[chosen]]

    def aim(self, problems: np.ndarray) -> Round:
        """Choose where every problem goes: first after its guide, then by its model; and note its certificate."""
        fit, k, new = self.fit, self.level[problems], self.arrives[problems]
        lam = self.lambdas[k, problems]
        fit.open_round(problems)
        fit.leave_norms(problems[new & (lam == 0)])
        self.value[problems[new]] = fit.value(problems[new], lam[new])
        self._note(k[new], 0, problems[new])
        self.arrives[problems], self.quiet[problems] = False, np.where(new, 0, self.quiet[problems])
        self.estimates[problems[new]] = 0
        fit.forget_estimates(problems[new])
        # where the strength is the same again, the problem is there already
        guide = self.guide
        jumps = new & (guide is not None) & ((k == 0) | (lam != self.lambdas[k - 1, problems]))
        if guide is not None:
            jumps &= k < len(guide)
            jumps[jumps] = ~np.isnan(guide[k[jumps], problems[jumps]]).any(axis=1)
        steps = ~jumps
        self.path.gap[k[steps], problems[steps]] = self._aim_by_models(problems[steps], lam[steps])
        if guide is not None and jumps.any():
            own = problems[jumps]
            first = k[jumps] == 0
            before = guide[k[jumps] - 1, own].astype(float)
            before[first] = fit.weights(own[first])
            fit.aim(own, guide[k[jumps], own] - before)
        return Round(problems, k, lam, jumps, np.zeros(len(problems), bool))

    def _aim_by_models(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Choose the steps that minimise the models of some problems; returns their certificates over their scale."""
        fit, gap = self.fit, self.fit.certificate(problems, lam)
        open_ = gap > self.tol
        self.unbelieved = self.unproved = problems[:0]
        if not open_.any():
            return gap
        problems, lam = problems[open_], lam[open_]
        spread, scale = fit.at.spread[problems], fit.scale[problems]
        # damping divides the promise by itself at most
        safety = np.minimum(MODEL_SAFETY * spread, MOST_SAFETY) * fit.damping[problems]
        enough = self.tol * scale / safety
        promise = fit.aim_by_models(problems, lam, enough)
        self.promise[problems], self.enough[problems] = promise, enough
        # a kink is not in the model: no estimate then
        with np.errstate(over="ignore", invalid="ignore"):
            estimate = safety * promise / scale
        known = fit.at.smooth[problems] & np.isfinite(estimate) & (fit.damping[problems] <= MOST_BELIEVED)
        crowded = self._crowding(problems) > self.most_crowding[problems]
        ends, provable = known & (estimate <= self.tol), fit.can_prove(problems, lam)
        self.unbelieved = problems[ends & crowded & ~provable]
        # it says whether the tolerance is met and no more: of a tenth of that, nearly all of it was there
        estimate = np.where(known & ~(ends & crowded) & ~provable, np.maximum(estimate, self.tol), np.inf)
        # nothing but the loss says where columns that are never penalised end
        checked = np.flatnonzero(ends & ~crowded & ~provable & fit.can_check(problems, lam))
        if len(checked):
            estimate[checked] = self._check(problems[checked], lam[checked], (safety * promise / scale)[checked])
        if fit.model.diagonal:
            # some directions may have any part of the curvature that the diagonal gives them
            estimate[:] = np.inf
            self.unbelieved = problems[:0]
            checked = np.flatnonzero(ends & fit.can_check(problems, lam))
            if len(checked):
                estimate[checked] = fit.check(problems[checked], lam[checked]).bound
        self.unproved = problems[ends & provable]
        if fit.has_derivatives:
            estimate[ends & provable] = [fit.aim_to_prove(problem) for problem in self.unproved]
        gap[open_] = np.minimum(gap[open_], estimate)
        return gap

    def _check(self, problems: np.ndarray, lam: np.ndarray, estimate: np.ndarray) -> np.ndarray:
        """Certificates of problems that would end by the promise of their model, with what it cannot know."""
        found = self.fit.check(problems, lam)
        estimate = np.maximum(estimate + found.gain, self.tol)
        late = found.gain > self.tol / 2
        if late.any():
            self.fit.aim(problems[late], found.step[late])
        return np.minimum(estimate, found.bound)

    def _crowding(self, problems: np.ndarray) -> np.ndarray:
        """Features per effective sample; 0 where the model is the objective itself."""
        if isinstance(self.fit.objective, GramObjective):
            return np.zeros(len(problems))
        return self.fit.n_features * self.fit.at.spread[problems] / self.fit.n_samples[problems]

    def leave_strengths(self, here: Round) -> Round:
        """Record the problems that are done at their strength, and return the others.

        Those that are done, but for the parameters of their family, are among these: they stay to have them estimated.
        """
        gap, n_iter = self.path.gap[here.k, here.problems], self.path.n_iter[here.k, here.problems]
        # this is as far as the precision goes
        quiet = self.quiet[here.problems] >= QUIET_STEPS
        done = ((gap <= self.tol) | quiet | (n_iter >= self.max_iter)) & ~here.jumps
        stale, last = self.stale[here.problems], self.estimates[here.problems] >= MOST_ESTIMATES
        here.renews, done = done & stale, (done | (last & ~here.jumps)) & ~stale
        unproved = done & (gap > self.tol) & self.fit.can_prove(here.problems, here.lam)
        if not self.fit.has_derivatives:
            unproved |= np.isin(here.problems, self.unproved)
            if unproved.any():
                self._hand_over(here.problems[unproved])
            here, done = here.take(~unproved), done[~unproved]
        else:
            checked = done & (gap > self.tol) & self.fit.can_check(here.problems, here.lam)
            if checked.any():
                at = here.k[checked], here.problems[checked]
                self.path.gap[at] = np.minimum(gap[checked], self.fit.check(at[1], here.lam[checked]).bound)
            for i in np.flatnonzero(unproved):
                at = here.k[i], here.problems[i]
                self.path.gap[at] = min(self.path.gap[at], self.fit.prove(here.problems[i])[1])
        self.path.record(self.fit, here.k[done], here.problems[done], here.lam[done])
        self.level[here.problems[done]] += 1
        self.arrives[here.problems[done]] = True
        here = here.take(~done)
        if here.renews.any():
            self.fit.renew_parameters(here.problems[here.renews])
        return here

    def accept_or_stay(self, here: Round, found: Evaluation) -> None:
        """Go to w + d, where ``found`` was, if that is lower, and learn from it either way."""
        fit, problems, jumps, steps = self.fit, here.problems, here.jumps, ~(here.jumps | here.renews)
        beside = fit.compare(problems, here.lam, found)
        now = fit.at.loss[problems]
        noise = rounding(fit.model.engine.dtype, now, fit.magnitude[problems])
        change = beside.loss - now
        # a difference of losses within their rounding is taken from the gradients, which have less (Hager & Zhang 2005)
        change = np.where(np.abs(change) < FEW_ROUNDINGS * noise, beside.slope, change) + beside.penalty
        finite = np.isfinite(beside.loss)
        accepted = finite & (here.renews | (change <= np.where(jumps, 0, ARMIJO * beside.promised + noise)))
        with np.errstate(over="ignore", invalid="ignore"):
            # yᵀs, of the slopes at both ends; not finite is far as well
            bend = 2 * (beside.slope - (beside.promised - beside.penalty))
            near = finite & (accepted | (bend <= FAR_PAST * np.abs(beside.promised)))
        fit.learn(problems, found, near & steps, accepted)
        self.value[problems[accepted]] += change[accepted]
        self._keep_parameters(here)
        # a rejected point has taught its curvature; damping guards what one pair cannot say
        damping = fit.damping[problems]
        raised = np.minimum(damping * np.where(near, RAISE, RAISE_FAR), MOST_DAMPING)
        changed = np.where(accepted, np.maximum(damping / RELAX, 1), raised)
        # a step that does not go down because its model was not solved says nothing about the model
        promise = self.promise[problems]
        tells = steps & (accepted | np.isfinite(promise) | (beside.promised < 0))
        fit.damping[problems[tells]] = changed[tells]
        share = QUIET_GAPS if fit.model.diagonal else QUIET
        quiet = steps & (beside.promised > -share * noise) & (promise <= self.enough[problems] + noise)
        quiet &= damping <= MOST_QUIET
        self.quiet[problems] = np.where(quiet, self.quiet[problems] + 1, 0)
        self.stale[problems[accepted & ~quiet & ~here.renews]] = bool(fit.loss.parameters)
        self.path.n_iter[here.k, problems] += 1
        self._note(here.k, self.path.n_iter[here.k, problems], problems)

    def _keep_parameters(self, here: Round) -> None:
        """Take the objective at new parameters, which has another saturated value."""
        if len(problems := here.problems[here.renews]):
            self.fit.take_level(problems)
            self.value[problems] = self.fit.value(problems, here.lam[here.renews])
            self.stale[problems] = ~self.fit.objective.nuisance.exact[problems]
            self.estimates[problems] += 1

    def _note(self, k: np.ndarray, iteration: np.ndarray | int, problems: np.ndarray) -> None:
        """Keep the objectives of problems for the trace."""
        self.trace.append(k, iteration, problems, self.fit.reported(problems, self.value[problems]))

    def renew_models(self, here: Round) -> None:
        """Give problems models of their own: those that are not believed, and those that need too many evaluations."""
        fit = self.fit
        periods, rest = np.divmod(self.path.n_iter[here.k, here.problems], fit.own_model_after)
        slow = (rest == 0) & (periods > 0) & (periods & (periods - 1) == 0)
        unbelieved = np.isin(here.problems, self.unbelieved)
        if fit.own_models_need_norms:
            slow, unbelieved = slow & (here.lam > 0), unbelieved & (here.lam > 0)
        renewed = []
        for i in np.flatnonzero(slow | unbelieved):
            problem, crowding = int(here.problems[i]), self._crowding(here.problems[[i]])[0]
            # one that has just been made for want of belief may serve, until the problem is slower still
            needed = slow[i] and (periods[i] > 1 or self.modelled[problem] < here.k[i])
            if needed or (unbelieved[i] and crowding > self.most_crowding[problem]):
                self.modelled[problem] = here.k[i]
                self.most_crowding[problem] = max(self.most_crowding[problem], CROWDING_GROWTH * crowding)
                renewed.append(problem)
        if renewed and len(given := fit.give_own_models(np.array(renewed))):
            self._hand_over(given)

    def _hand_over(self, problems: np.ndarray) -> None:
        """Leave problems at their strength to the host; the path keeps where they stand."""
        k = self.level[problems]
        self.path.record(self.fit, k, problems, self.lambdas[k, problems])
        self.handed_over[problems], self.level[problems] = self.level[problems], self.n_lambdas

    def continued_by(self, fit: Fit, most: int) -> Walk:
        """The walk of the problems that were handed over, from where they stand, by a fit on the host."""
        walk = Walk(fit, self.lambdas, self.tol, self.max_iter, self.guide, most)
        walk.path, walk.trace, walk.value = self.path, self.trace, self.value
        own = np.flatnonzero(self.handed_over >= 0)
        walk.level[:] = self.n_lambdas
        walk.level[own], walk.arrives[own] = self.handed_over[own], False
        walk.stale, walk.estimates = self.stale, self.estimates
        fit.level[own] = self.fit.level[own]
        for some in np.split(own, range(most, len(own), most)):
            k = walk.level[some]
            fit.take_parameters(some, self.path.parameters[k, some])
            fit.stand_at(some, self.path.W[k, some].astype(float), self.path.b[k, some])
        # what made a device give them up
        fit.give_own_models(own[self.lambdas[walk.level[own], own] > 0])
        return walk


def rounding(dtype: np.dtype, loss: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """What rounding may change of a loss."""
    return 4 * np.finfo(dtype).eps * (np.abs(loss) + magnitude)

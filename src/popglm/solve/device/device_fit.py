"""Problems whose weights lie on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.device.arrays import vector
from popglm.solve.device.batch import Batch
from popglm.solve.device.curvature import Pairs
from popglm.solve.device.model import BatchModel, Strength
from popglm.solve.device.objective import DeviceObjective
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.snapshot import State, inside, under
from popglm.solve.units import Units
from popglm.solve.walk.certificate import DECREMENT_SAFETY, gap_of
from popglm.solve.walk.problems import Comparison, Problems, at_rest, scales
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["DeviceFit"]

Array = Any
#: Evaluations at one strength after which a slow problem is handed over, at least: here one of many problems costs
#: little more than one of few.
HAND_OVER_AFTER = 12


class DeviceFit(Problems):
    """Problems whose weights, gradients and curvature pairs stay on a device; see `popglm.solve.walk.walk`.

    Arrays over features are in the engine's precision. What is one number per problem is float64 on the host, where
    the decisions are made. All that are going are worked on in one batch of a fixed shape: those that are done are
    masked, and the rest is gathered into a batch of a quarter of the size when so few are left.

    Parameters
    ----------
    loss : Family
    objective : DeviceObjective
    model : QuadraticModel
    fittable : ndarray of int
        Problems that are fitted; the others stay at the null model.
    intercept : ndarray, shape (n_problems,)
        Of the null model.
    sums : ResponseSums
    units : Units
    """

    has_derivatives = False
    own_models_need_norms = False
    # beside those of all problems, what every round makes anew
    fixed = (*Problems.fixed, "_steps", "_moving", "_target", "_promised", "_change")

    def __init__(
        self,
        loss: Family,
        objective: DeviceObjective,
        model: QuadraticModel,
        fittable: np.ndarray,
        intercept: np.ndarray,
        sums: ResponseSums,
        units: Units,
    ) -> None:
        """Place the null models on the device, in one batch of all problems that are fitted."""
        super().__init__(
            loss=loss, objective=objective, model=model, fittable=fittable, at=at_rest(intercept, 0),
            **scales(sums, units, objective.by_sums),
        )  # fmt: skip
        engine, n = model.engine, len(fittable)
        self.engine, self.kernels = engine, BatchModel(engine, model)
        W = engine.asarray(np.zeros((n, self.n_features)))
        null = objective.evaluate(fittable, W, intercept[fittable])
        bound = vector(engine, np.full(n, self.kernels.first_bound))
        self.batch = Batch(fittable, np.ones(n, bool), W, null.grad, self.kernels.no_pairs(W), bound)
        self._lam = np.full(n, np.nan)
        self._strength: Strength | None = None
        self._put(fittable, null, np.ones(n, bool))

    def state(self) -> State:
        """See `popglm.solve.snapshot.Resumable`; with the batch, copied from the device."""
        batch, copied = self.batch, self.engine.to_numpy
        arrays = {name: copied(getattr(batch, name)) for name in ("W", "grad", "bound")}
        arrays |= {name: copied(array) for name, array in batch.pairs._asdict().items()}
        return super().state() | under("batch", arrays | {"index": batch.index, "real": batch.real})

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        super().restore(state)
        batch = inside("batch", state)

        def placed(name: str) -> Array:
            # in memory that the library itself has laid out
            return self.engine.xp.concat([self.engine.asarray(batch[name])], axis=0)

        pairs = Pairs(*map(placed, Pairs._fields))
        self.batch = Batch(batch["index"], batch["real"], placed("W"), placed("grad"), pairs, placed("bound"))
        self._strength = None if np.isnan(self._lam).any() else self.kernels.strength(self._lam)

    @property
    def own_model_after(self) -> int:
        """Evaluations at one strength after which a problem is handed over."""
        return max(self.own_model_cost, HAND_OVER_AFTER)

    # what Walk asks for in a round; see `popglm.solve.walk.problems.Problems`

    def open_round(self, problems: np.ndarray) -> None:
        """Make ready for a round of some problems, which are among those of the last one."""
        smaller = self.batch.holding(self.engine, problems)
        if smaller is not self.batch:
            self.batch, self._strength = smaller, None
            self._lam = np.full(len(smaller.index), np.nan)
        n = len(self.batch.index)
        self._steps = 0 * self.batch.W
        self._moving = np.zeros(n, bool)

    def weights(self, problems: np.ndarray) -> np.ndarray:
        """Where problems stand, on the host, shape (n, n_features)."""
        return np.asarray(self.engine.to_numpy(self.batch.W)[self.batch.rows_of(problems)], float)

    def penalty_value(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """The penalty where some problems stand."""
        rows = self.batch.rows_of(problems)
        return self.kernels.penalty_value(self.batch.W, self._at_strength(rows, lam))[rows]

    def certificate(self, problems: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """Bound on the excess objective of some problems, over their scale."""
        rows = self.batch.rows_of(problems)
        strength, penalty = self._at_strength(rows, lam), self.model.penalty
        if self.loss.is_convex:
            sums, at = self.kernels.gap_sums(self.batch, strength)[rows], self.at.take(problems)
            lam2 = penalty.ridge_strength(lam)
            gap = gap_of(self.loss, sums, at, lam, lam2, penalty.has_norm, penalty.R is not None)
        else:
            c = self.at.curvature[self.batch.index]
            gap = 0.5 * DECREMENT_SAFETY * self.kernels.decrement(self.batch, c, strength)[rows]
        return gap / self.scale[problems]

    def aim(self, problems: np.ndarray, d: np.ndarray) -> None:
        """Choose the steps (n, n_features) of some problems."""
        rows = self.batch.rows_of(problems)
        steps, chosen = np.zeros(self.batch.W.shape), np.zeros(len(self.batch.index))
        steps[rows], chosen[rows] = d, 1
        mask = vector(self.engine, chosen)[:, None] > 0
        self._steps = self.engine.xp.where(mask, self.engine.asarray(steps), self._steps)
        self._moving[rows] = True

    def aim_by_models(self, problems: np.ndarray, lam: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Choose the steps that minimise the problems' models; returns the decrease that each promises, or NaN."""
        rows, n = self.batch.rows_of(problems), len(self.batch.index)
        active, enough = np.zeros(n, bool), np.full(n, np.inf)
        active[rows], enough[rows] = True, most
        c = (self.at.curvature * self.damping)[self.batch.index]
        d, promise = self.kernels.step(self.batch, active, c, self._at_strength(rows, lam), enough)
        self._steps, self._moving = d, self._moving | active
        return promise[rows]

    def propose(self, problems: np.ndarray) -> tuple[np.ndarray, Array, np.ndarray]:
        """Problems, weights and intercepts to evaluate: of the whole batch, whose shape is fixed."""
        going = np.zeros(len(self.batch.index), bool)
        rows = self.batch.rows_of(problems)
        going[rows] = True
        strength = self._at_strength(rows, self._lam[rows])
        self._target, (self._promised, self._change) = self.kernels.moved(
            self.batch, self._steps, strength, self._moving & going
        )
        return self.batch.index, self._target, self.at.b[self.batch.index]

    def compare(self, problems: np.ndarray, lam: np.ndarray, found: Evaluation) -> Comparison:
        """What was found beside what stands; see `popglm.solve.walk.problems.Comparison`."""
        rows = self.batch.rows_of(problems)
        slope = self.kernels.mean_slope(self.batch, self._target, found.grad)
        return Comparison(*(a[rows] for a in (found.loss, self._promised, self._change, slope)))

    def learn(self, problems: np.ndarray, found: Evaluation, learns: np.ndarray, accepted: np.ndarray) -> None:
        """Keep the curvature pairs of the problems that learn, and go on with those accepted."""
        rows, n = self.batch.rows_of(problems), len(self.batch.index)
        pushes, goes = np.zeros(n, bool), np.zeros(n, bool)
        pushes[rows], goes[rows] = learns, accepted
        self.kernels.keep_step(self.batch, self._target, found.grad, pushes)
        self.kernels.accept(self.batch, self._target, found.grad, goes)
        self._put(problems, found.take_numbers(rows), accepted)

    def give_own_models(self, problems: np.ndarray) -> np.ndarray:
        """Hand over all of them: models of problems' own are made on the host."""
        return problems

    def leave_norms(self, problems: np.ndarray) -> None:
        """Nothing: there are no models of problems' own."""

    def drop_models(self, finished: np.ndarray) -> None:
        """Nothing: there are no models of problems' own."""

    def _put(self, problems: np.ndarray, found: Evaluation, chosen: np.ndarray) -> None:
        """Note what was found for the chosen ones: numbers alone, since gradients stay on the device."""
        self.at.put(problems, found.take_numbers(slice(None)), chosen)

    def _at_strength(self, rows: np.ndarray, lam: np.ndarray) -> Strength:
        """λ of every row of the batch; rows that are not asked for keep what they had."""
        known = self._lam.copy()
        known[rows] = lam
        # those that were never asked for may have any
        known = np.where(np.isnan(known), lam.max(initial=0), known)
        if self._strength is None or not np.array_equal(known, self._lam):
            self._lam, self._strength = known, self.kernels.strength(known)
        return self._strength

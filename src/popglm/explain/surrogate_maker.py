"""Which surrogates test a target, how they are made, and where they promise too much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.estimators.classifier.base import CategoricalGLM
from popglm.explain.choice import FEWEST_TRIALS, Layout, Method, drift_together, independent_samples
from popglm.explain.surrogates import CircularShifts, TrialPermutations, TrialSigns, draw_offsets
from popglm.explain.tested import Tested
from popglm.messages import listed
from popglm.warnings import warn

__all__ = ["SurrogateMaker", "warn_of_unused_strata"]

#: A shift test of fewer independent fluctuations than this does not hold its level.
FEWEST_SAMPLES = 15
#: Share of neurons or responses that seem to drift beside an X that does, by chance.
MOST_BY_CHANCE = 0.05
#: What helps where shifts do not.
REMEDY = (
    "Take slow drifts into the model (splines of time) or out of both, or test a variable that was randomised over "
    "trials by method='trial_permutation'."
)
#: With fewer surrogates no p-value is below .05.
FEWEST_DRAWS = 19


@dataclass(eq=False)
class SurrogateMaker:
    """Chooses methods, makes their surrogates, and tells where these promise too much."""

    data: Tested
    layout: Layout
    n_shifts: int
    seed: int

    @property
    def _of_classes(self) -> bool:
        return isinstance(self.data.model, CategoricalGLM)

    def method(self, asked: str, X: np.ndarray, residuals: np.ndarray, what: str) -> Method:
        """What was asked for, if it can be done, or what suits."""
        if asked == "auto":
            return self.layout.choose(X, residuals, what, "labels" if self._of_classes else "activity")
        means = False
        if asked == "trial_permutation" and not self.layout.equal:
            means = bool(self.layout.constant_in_trials(X).all())
            if not means:
                raise ValueError(
                    f"significance: trials of different lengths cannot be exchanged to test {what}, which changes "
                    "within trials; use method='circular_shift', or samples on a common grid of time in trial."
                )
        return Method(asked, "asked for", means)

    def surrogates(self, took: Method) -> CircularShifts | TrialPermutations | TrialSigns:
        """Those of a method."""
        data, n = self.data, len(self.data.rows)
        if took.name == "circular_shift":
            return CircularShifts(draw_offsets(n, data.longest, self.n_shifts, data.y.shape[1], self.seed))
        if took.name == "time_in_trial":
            return TrialSigns(data.trial, self.n_shifts, self.seed)
        strata = np.zeros(len(self.layout.length), int)
        if data.strata is not None:
            strata = data.strata[self.layout.first]
        return TrialPermutations(data.trial, strata, self.n_shifts, self.seed, took.means)

    def check(
        self, took: Method, surrogates, X: np.ndarray, residuals: np.ndarray, scale: np.ndarray, what: str
    ) -> None:
        """Warn where the test does not hold its level, or cannot reach it; ``scale`` as in `independent_samples`."""
        if len(surrogates) < FEWEST_DRAWS:
            least = f"no p-value is below {1 / (1 + len(surrogates)):.2g}"
            if len(surrogates) < self.n_shifts:
                _warn(
                    f"{what} is tested against {len(surrogates)} surrogates, all that there are: {least}. More trials "
                    "are needed, or fewer strata."
                )
            else:
                _warn(f"{what} is tested against n_shifts={self.n_shifts} surrogates: {least}. Ask for more.")
        n_trials = len(self.layout.length)
        if took.name != "circular_shift":
            if n_trials < FEWEST_TRIALS:
                _warn(f"{what} is tested by {n_trials} trials; below {FEWEST_TRIALS} the level is not held reliably.")
            return
        those = "responses" if self._of_classes else "neurons"
        worth = independent_samples(X, residuals, scale=scale)[~self.data.empty]
        slow = worth[worth < FEWEST_SAMPLES]
        if len(slow):
            _warn(
                f"{what} and {len(slow)} of {len(worth)} {those} fluctuate so slowly together that the recording "
                f"holds fewer than {FEWEST_SAMPLES} independent samples of their product ({np.median(slow):.0f} in the "
                "median). Few shifts differ then, and none may be like another time: p-values are too small. With 13 "
                f"samples, some 7 of 100 {those} without an effect have p ≤ 0.05. {REMEDY}"
            )
        drift = drift_together(X, residuals)[~self.data.empty] & (worth >= FEWEST_SAMPLES)
        if drift.sum() > MOST_BY_CHANCE * len(worth):
            _warn(
                f"{what} and {drift.sum()} of {len(worth)} {those} drift through the whole recording. No shift is "
                f"like another time then, and p-values are far too small. {REMEDY}"
            )


def warn_of_unused_strata(strata: np.ndarray | None, methods: dict[str, Method]) -> None:
    """Tell of strata that play no part in a test; ``methods`` are those of what is tested, by its name."""
    shifted = [what for what, took in methods.items() if took.name != "trial_permutation"]
    if shifted and strata is not None and (strata != strata[0]).any():
        how = listed(dict.fromkeys(methods[what].name for what in shifted))
        _warn(
            f"strata play no part in the test of {listed(shifted)}: they say which trials are exchanged, and {how} "
            "exchanges none. If trials could have come in another order, use method='trial_permutation'."
        )


def _warn(sentence: str) -> None:
    warn(f"significance: {sentence}")

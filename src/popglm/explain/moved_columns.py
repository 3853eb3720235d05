"""Tests by fits of the model itself to columns that were moved against what they explain, and all other columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from popglm.explain.choice import Layout, Method, spread
from popglm.explain.refits import EXCEEDANCES, TIE, sequential_p_values, stages
from popglm.explain.shift_p_values import degrees_of_freedom, widened
from popglm.explain.shifts import unique_columns
from popglm.explain.surrogate_maker import SurrogateMaker, warn_of_unused_strata
from popglm.variables import group_columns

__all__ = ["MovedTest"]

#: Statistics (n_neurons, n_targets), nulls (n_draws, the same) and p-values; and the method of each target.
Tests = tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[Method]]


@dataclass(eq=False)
class MovedTest(ABC):
    """What is tested: checked arrays of all rows, and their trials.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
    y : ndarray, shape (n_samples, n_neurons)
        What is explained, as a subclass has it.
    rows : ndarray of int
        All rows, in order of time.
    trial, strata : ndarray of int, shape (n_samples,)
    """

    model: Any
    X: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    trial: np.ndarray
    strata: np.ndarray | None

    #: How surrogates are fitted: by the model itself, or locally.
    refit: ClassVar[str] = "full"

    @property
    def longest(self) -> int:
        """Samples of the longest trial."""
        return int(np.bincount(self.trial).max())

    @property
    @abstractmethod
    def empty(self) -> np.ndarray:
        """Neurons whose model is the null model, shape (n_neurons,)."""

    @property
    @abstractmethod
    def residuals(self) -> np.ndarray:
        """What the columns are to explain, less its mean, shape (n_samples, n_neurons)."""

    @abstractmethod
    def explained(self) -> np.ndarray:
        """The statistic of the model, shape (n_neurons,)."""

    @abstractmethod
    def explained_by(self, X: np.ndarray, going: np.ndarray) -> np.ndarray:
        """The statistic of the model fitted to other columns, of some neurons."""

    def statistic(self, own: Any, alone: np.ndarray) -> np.ndarray:
        """What surrogates of some columns, or with None of all, are compared with, shape (n_neurons,)."""
        return self.explained()

    @abstractmethod
    def contributions(self, chosen: dict[str, list[str]]) -> np.ndarray:
        """Fractions of the null deviance that variables carry, shape (n_neurons, n_variables)."""

    def at_once(self) -> int:
        """Surrogates between two looks at who has had enough, at most."""
        return EXCEEDANCES

    def run(
        self,
        asked: str,
        chosen: dict[str, list[str]],
        drawn: tuple[int, int],
        map: Callable[..., Iterable[Any]],
    ) -> Tests:
        """Test the whole model, and each variable; ``drawn`` are the number of surrogates and their seed."""
        if asked == "time_in_trial":
            raise ValueError(
                "significance: method='time_in_trial' flips the residuals of local refits, which this model has not; "
                "use circular_shift or trial_permutation."
            )
        model, layout = self.model, Layout(self.trial)
        groups = model.feature_group_names_, model.feature_group_sizes_
        columns = [group_columns(own, *groups) for own in chosen.values()]
        maker, residuals = SurrogateMaker(self, layout, *drawn), self.residuals
        methods, freedom, targets = [], [], []
        names, alone_of = [None, *chosen], [self.X, *unique_columns(self.X, columns)]
        for name, own, alone in zip(names, [None, *columns], alone_of, strict=True):
            what, here = "the model" if name is None else repr(name), self.X if own is None else self.X[:, own]
            took = self.method(maker, asked, here, what, own is None)
            surrogates, scale = maker.surrogates(took), spread(here)
            maker.check(took, surrogates, alone, residuals, scale, what)
            freedom.append(degrees_of_freedom(alone, residuals, scale) if took.name == "circular_shift" else None)
            targets.append((own, alone, surrogates))
            methods.append(took)
        warn_of_unused_strata(self.strata, dict(zip(["the model", *map(repr, chosen)], methods, strict=True)))
        found = list(map(self._test, *zip(*targets, strict=True)))
        statistics, drawn_, ranks = zip(*found, strict=True)
        nulls = np.full((max(map(len, drawn_)), len(statistics[0]), len(found)), np.nan)
        for k, null in enumerate(drawn_):
            nulls[: len(null), :, k] = null
        p = np.stack([p if f is None else widened(p, f) for p, f in zip(ranks, freedom, strict=True)], axis=1)
        p[self.empty] = 1
        return (np.stack(statistics, axis=1), nulls, p), methods

    def method(self, maker: SurrogateMaker, asked: str, X: np.ndarray, what: str, whole: bool) -> Method:
        """How some columns are moved, or with ``whole`` all of them."""
        took = maker.method(asked, X, self.residuals, what)
        if took.name != "time_in_trial":
            return took
        if whole:
            return Method(
                "trial_permutation",
                "trials have equal length and the model holds time in trial, which exchanged trials keep: tested is "
                "what differs between them",
            )
        raise ValueError(
            f"significance: {what} holds time in trial, and trials have equal length: no shift or exchange of it is "
            "like another time. Leave it out of variables; compare scores the model without it."
        )

    def score(self, own: Any, alone: np.ndarray, surrogates: Any, going: np.ndarray, draws: slice) -> np.ndarray:
        """Statistics of surrogates (n_draws, n_neurons): all columns, or what others leave of some, moved in X."""
        found = []
        for k in range(draws.start, draws.stop):
            X, one = self.X.copy(), slice(k, k + 1)
            moved = [surrogates.apply(column, 0, one, self.rows)[0] for column in alone.T]
            X[:, slice(None) if own is None else own] += np.stack(moved, axis=1) - alone
            found.append(self.explained_by(X, going))
        return np.stack(found)

    def _test(self, own: Any, alone: np.ndarray, surrogates: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The statistic, those of surrogates, as many as are needed, and p-values."""
        statistic = np.where(self.empty, np.nan, self.statistic(own, alone))
        null = np.full((len(surrogates), len(statistic)), np.nan)
        for draws in stages(len(surrogates), self.at_once()):
            enough = (null >= statistic - TIE).sum(axis=0) >= EXCEEDANCES
            going = np.flatnonzero(~np.isnan(statistic) & (surrogates.complete | ~enough))
            if not len(going):
                break
            null[draws, going] = self.score(own, alone, surrogates, going, draws)
        return statistic, null, sequential_p_values(statistic, null, surrogates.complete)

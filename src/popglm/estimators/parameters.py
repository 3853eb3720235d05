"""The constructor arguments of estimators, checked and handed to the solver as its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from popglm.checks import is_number
from popglm.engines.memory import memory_of_machine
from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.arguments import (
    check_feature_mask,
    check_lambdas,
    check_penalty_factors,
    check_verbose,
    feature_group_sizes,
)
from popglm.estimators.attributes import Attributes, penalty_with
from popglm.estimators.bounds import check_bounded_fit
from popglm.estimators.factor_search import FactorSearch
from popglm.estimators.group_shapes import group_shapes
from popglm.messages import shown
from popglm.solve.first_order import FirstOrder
from popglm.solve.population import Settings
from popglm.statistics.concave import CONCAVE, least_concavity
from popglm.statistics.families import Family, get_family
from popglm.statistics.penalties import PENALTIES, Penalty
from popglm.statistics.sparse_groups import SPARSE_GROUPS

__all__ = ["Parameters"]

SOLVERS = "'auto', 'quasi-newton', 'adam', 'sgd'"
PRECISIONS = ("float32", "tf32", "float64")
SCHEDULES = ("auto", "host", "device")
#: Strengths of a path at most: beyond some hundred, neighbours differ by less than any selection can tell.
MOST_STRENGTHS = 1000


class Parameters(Attributes):
    """What `GLM` and `GLMCV` do with their constructor arguments."""

    def _settings(self, X: Any, n_features: int, n_neurons: int) -> Settings:
        loss = self._loss()
        known = self._known_penalties()
        if self.penalty not in known:
            is_one = self.penalty in (*PENALTIES, SPARSE_GROUPS, *CONCAVE)
            found = f"not one that {type(self).__name__} has" if is_one else "unknown"
            raise ValueError(f"penalty={self.penalty!r} is {found}; use one of {', '.join(known)}.")
        self._check_number("smoothness", 0)
        self._check_number("tol", 0, strict=True)
        self._check_number("max_iter", 1, whole=True)
        self._check_number("n_lambdas", 1, whole=True)
        self._check_number("lambda_min_ratio", 0, strict=True)
        if self.lambda_min_ratio >= 1:
            raise ValueError(f"lambda_min_ratio={shown(self.lambda_min_ratio)} must lie between 0 and 1.")
        if self.l1_ratio is not None:
            self._check_number("l1_ratio", 0)
            if self.l1_ratio > 1:
                raise ValueError(f"l1_ratio={shown(self.l1_ratio)} must lie between 0 and 1.")
            if self.penalty not in ("elastic_net", "group_lasso", SPARSE_GROUPS):
                raise ValueError(
                    f"l1_ratio={shown(self.l1_ratio)} has no effect under penalty={self.penalty!r}; use "
                    f"penalty='elastic_net', 'group_lasso' or {SPARSE_GROUPS!r}."
                )
        if self.penalty == SPARSE_GROUPS and self.smoothness > 0:
            raise ValueError(
                f"penalty={SPARSE_GROUPS!r} leaves single columns out, which smoothness={shown(self.smoothness)} over "
                "their neighbours would give a weight again; use smoothness=0, or penalty='group_lasso'."
            )
        self._check_concavity()
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} is unknown; use one of {', '.join(SCHEDULES)}.")
        grouped = f"penalty={self.penalty!r}" if "group_" in self.penalty else None
        needed_by = grouped or ("smoothness > 0" if self.smoothness > 0 else None)
        sizes, names = feature_group_sizes(self.feature_groups, X, n_features, needed_by)
        self.feature_group_sizes_, self.feature_group_names_ = sizes, names
        self.feature_mask_ = check_feature_mask(self.feature_mask, X, sizes, names, self)
        searched = isinstance(self.penalty_factors, FactorSearch | AdaptiveFactors)
        given = None if searched else self.penalty_factors
        self.penalty_factors_ = check_penalty_factors(given, names, self.penalty, self)
        self.feature_shapes_ = group_shapes(self.feature_shapes, X, sizes, names, self.smoothness > 0)
        penalty, factors = self._penalty()
        if self.penalty == "none":
            if self.lambdas is not None and self._own_lambdas().any():
                raise ValueError("lambdas has no effect under penalty='none'; leave it None or choose a penalty.")
            lambdas: np.ndarray | None = np.zeros((1, n_neurons))
        else:
            lambdas = None if self.lambdas is None else self._own_lambdas()
        if penalty.bounds is not None:
            check_bounded_fit(self, penalty, isinstance(self.penalty_factors, FactorSearch))
        return Settings(
            loss, penalty, lambdas, self.n_lambdas, self.lambda_min_ratio, bool(self.fit_intercept), self.tol,
            self.max_iter, self._first_order(loss), allowed=self.feature_mask_, factors=factors,
        )  # fmt: skip

    def _known_penalties(self) -> tuple[str, ...]:
        """Names that ``penalty`` may have."""
        return (*PENALTIES, SPARSE_GROUPS, *CONCAVE)

    def _check_concavity(self) -> None:
        """Complain of a concavity that is none, or has no effect."""
        if self.penalty not in CONCAVE:
            if self.concavity is not None:
                raise ValueError(
                    f"concavity={shown(self.concavity)} has no effect under penalty={self.penalty!r}; leave it None, "
                    f"or use one of {', '.join(CONCAVE)}."
                )
            return
        if self.concavity is not None:
            self._check_number("concavity", least_concavity(self.penalty), strict=True)
        if self._first_order(self._loss()) is not None:
            raise ValueError(
                f"penalty={self.penalty!r} needs the quasi-Newton solver; use solver='auto' and a smooth inverse_link, "
                "or penalty='lasso' or 'group_lasso'."
            )

    def _penalty(self) -> tuple[Penalty, np.ndarray | None]:
        """The penalty, and its factors (n_blocks, n_neurons) where they differ between neurons."""
        factors = self.penalty_factors_
        if factors is None or factors.ndim == 1:
            return penalty_with(self, factors), None
        each = np.stack([np.asarray(penalty_with(self, own).factors) for own in factors.T], axis=1)
        held = (factors > 0).all(axis=1)
        return penalty_with(self, None if held.all() else held.astype(float)), each

    def penalty_of(self, neuron: int) -> Penalty:
        """The penalty of one neuron, by its number, of the columns that it may have a weight for."""
        mask, factors, penalty = self.feature_mask_, self.penalty_factors_, self.penalty_
        if factors is not None and factors.ndim == 2:
            penalty = penalty_with(self, factors[:, neuron])
        if self.adaptive_factors_ is not None:
            own = self.adaptive_factors_[:, neuron]
            open_ = np.isfinite(own)
            penalty = replace(penalty, factors=np.where(open_, own, 1.0)[penalty.starts[:-1]])
            penalty = penalty.masked(open_ if mask is None else open_ & mask[:, neuron])
            mask = None
        return penalty if mask is None else penalty.masked(mask[:, neuron])

    def _loss(self) -> Family:
        """The family asked for, under its inverse link."""
        return get_family(self.family, self.inverse_link, self.power)

    def _own_lambdas(self) -> np.ndarray:
        """The strengths given, in the order of the neurons."""
        return check_lambdas(self.lambdas, self.neuron_names_, self.neurons_are_named_, self.noun)

    def _check_size(self, settings: Settings, n_features: int, n_neurons: int, n_fits: int) -> None:
        """Complain of paths of more strengths than anybody needs, or that no memory holds, before they are walked."""
        n_lambdas = settings.n_lambdas if settings.lambdas is None else len(settings.lambdas)
        if n_lambdas > MOST_STRENGTHS:
            found = f"n_lambdas={n_lambdas:,} asks for" if settings.lambdas is None else f"lambdas has {n_lambdas:,}"
            raise ValueError(f"{found} strengths; use {MOST_STRENGTHS:,} or fewer, of which 20 to 100 are plenty.")
        needed = 4 * n_lambdas * n_neurons * (n_features + 8) * max(n_fits, 1)
        memory = memory_of_machine()
        if needed > memory:
            raise ValueError(
                f"n_lambdas={n_lambdas} strengths of {n_neurons} neurons and {n_features} columns in {n_fits} fits "
                f"take {needed / 1e9:.3g} GB of weights; this machine has {memory / 1e9:.3g} GB. Use fewer strengths."
            )

    def _check_number(self, name: str, low: float, strict: bool = False, whole: bool = False) -> None:
        value = getattr(self, name)
        if not is_number(value, whole):
            raise ValueError(f"{name}={shown(value)} must be {'an integer' if whole else 'a finite number'}.")
        if value < low or (strict and value == low):
            raise ValueError(f"{name}={shown(value)} must be {'above' if strict else 'at least'} {low}.")

    def _check_names(self) -> None:
        """Complain of settings that are no names; whether there is such a name is asked where it is used."""
        for name in ("family", "penalty", "precision", "schedule", "inverse_link"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "inverse_link" and value is None):
                raise ValueError(f"{name}={shown(value)} is unknown; it must be the name of one, as text.")
        check_verbose(self.verbose)

    def _check_flag(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, bool | np.bool_ | int | np.integer) or value not in (0, 1):
            raise ValueError(f"{name}={shown(value)} must be True or False.")

    def _first_order(self, loss: Family) -> FirstOrder | None:
        """The optimiser asked for; quasi-Newton (None) for ``"auto"`` unless the loss has kinks."""
        if not isinstance(self.solver, str | FirstOrder):
            raise ValueError(f"solver={shown(self.solver)} is unknown; use {SOLVERS} or a popglm.FirstOrder.")
        match self.solver:
            case "auto":
                return None if loss.is_smooth else FirstOrder("adam")
            case "quasi-newton" if loss.is_smooth:
                return None
            case "adam" | "sgd":
                return FirstOrder(self.solver)
            case FirstOrder():
                return self.solver
        if self.solver == "quasi-newton":
            raise ValueError(
                "solver='quasi-newton' needs a smooth loss; with inverse_link='relu' use 'auto' or 'adam'."
            )
        raise ValueError(f"solver={shown(self.solver)} is unknown; use {SOLVERS} or a popglm.FirstOrder.")

"""Groups, penalties and constraints of a `SmoothGLM`, and which columns have a weight for which neurons."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines import Engine
from popglm.estimators.arguments import check_feature_mask, feature_group_sizes
from popglm.estimators.base import PopulationGLM
from popglm.estimators.group_shapes import group_shapes
from popglm.estimators.smooth_constraints import (
    check_constraints,
    cone_on,
    constrained_columns,
    fill_orders,
    warn_of_orders,
)
from popglm.estimators.smooth_penalties import (
    check_order,
    check_penalties,
    group_penalties,
    kinds_of_mask,
    live_penalties,
    penalty_on,
)
from popglm.shapes import Shape
from popglm.solve.curves.population import Kind, SmoothFits, determined_columns
from popglm.solve.curves.rows import column_moments
from popglm.solve.curves.shape_constrained import Cone
from popglm.solve.sparse.rows import SparseRows
from popglm.statistics.curve_penalties import CurvePenalty

__all__ = ["SmoothLayout"]


class SmoothLayout(PopulationGLM):
    """Base of `SmoothGLM`; see there."""

    order: int
    shrink: bool
    penalties: Any
    constraints: Any

    def _lay_out(self, X: Any, values: Any, engine: Engine) -> None:
        """Set groups, shapes, penalties, and which columns may have a weight."""
        sizes, names = feature_group_sizes(self.feature_groups, X, values.shape[1])
        self.feature_group_sizes_, self.feature_group_names_ = sizes, names
        self.feature_shapes_ = group_shapes(self.feature_shapes, X, sizes, names, True)
        self.feature_mask_ = check_feature_mask(self.feature_mask, X, sizes, names, self)
        self.penalty_factors_ = None
        self._penalties = self._group_penalties()
        check_order(int(self.order), self._shapes, names, {str(group) for group in self.penalties or ()})
        if isinstance(values, SparseRows) and values.is_wide:
            raise ValueError(
                f"X is sparse and has {values.shape[1]:,} columns; a SmoothGLM makes matrices of columns × columns for "
                f"every neuron, of at most {values.WIDE:,} of them. Leave columns out, or use GLMCV."
            )
        self._center, tells, G = column_moments(engine, values, bool(self.fit_intercept))
        # what was never visited has no scale, and is 0
        usable = np.isfinite(self._scale) & tells
        self._kinds = [
            (neurons, self._determined(G, np.flatnonzero(usable & open_)))
            for neurons, open_ in kinds_of_mask(self.feature_mask_, self.neuron_names_, values.shape[1])
        ]

    def _determined(self, G: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Those of some columns that have a weight, by the second moments of all."""
        penalty = self._penalty_on(here, live_penalties(self._penalties, self.feature_group_sizes_, here))
        determined = here[determined_columns(G[np.ix_(here, here)], penalty)]
        # what moves along a direction that changes no prediction may still leave the constraints
        held = here[constrained_columns(self._constraints(), self.feature_group_sizes_)[here]]
        return np.union1d(determined, held)

    def _kinds_of_fit(self, given: np.ndarray | None) -> list[Kind]:
        """Neurons with the same columns, and what holds their weights; with strengths, (n_neurons, n_penalties)."""
        found = []
        for neurons, columns in self._kinds:
            live = live_penalties(self._penalties, self.feature_group_sizes_, columns)
            strengths = None if given is None else given[np.ix_(neurons, live)]
            penalty = self._penalty_on(columns, live)
            found.append(Kind(neurons, columns, live, penalty, strengths, self._cone(columns)))
        return found

    def _group_penalties(self) -> list[tuple[int, str, np.ndarray]]:
        names = self.feature_group_names_
        given = check_penalties(self.penalties, self.feature_group_sizes_, names)
        return group_penalties(self._shapes, names, given, int(self.order), bool(self.shrink))

    @property
    def _shapes(self) -> list[Shape]:
        return self.feature_shapes_ or [Shape.of("line", int(n)) for n in self.feature_group_sizes_]

    @property
    def _penalty_names(self) -> list[tuple[str, str]]:
        """Group and penalty of every strength."""
        return [(str(self.feature_group_names_[g]), name) for g, name, _ in self._penalties]

    def _has_strength(self, fittable: np.ndarray) -> np.ndarray:
        """Which penalties act on which neurons, (n_neurons, n_penalties)."""
        found = np.zeros((len(fittable), len(self._penalties)), bool)
        for neurons, columns in self._kinds:
            found[np.ix_(neurons, live_penalties(self._penalties, self.feature_group_sizes_, columns))] = True
        return found & fittable[:, None]

    def _constraints(self) -> dict[int, str]:
        return check_constraints(self.constraints, self._shapes, self.feature_group_names_)

    def _cone(self, columns: np.ndarray) -> Cone | None:
        found = self._constraints()
        sizes, scale = self.feature_group_sizes_, self._scale
        return cone_on(found, self._shapes, sizes, scale, columns) if found else None

    def _order_constants(self, fits: SmoothFits) -> None:
        """Give columns that do not vary the weights of their neighbours where an order is asked; say where none can."""
        found, names = self._constraints(), self.feature_group_names_
        if not found:
            return
        layout = self._shapes, self.feature_group_sizes_, self._scale
        before = fits.coef.copy()
        for neurons, columns in self._kinds:
            own = fits.coef[neurons]
            fill_orders(own, found, layout, columns)
            fits.coef[neurons] = own
        # what a constant adds to every sample is the intercept's
        fits.intercept -= (fits.coef - before) @ self._center
        warn_of_orders(fits.coef, found, layout, names)

    @property
    def _scale(self) -> np.ndarray:
        """What the columns were divided by."""
        return np.ones(self.n_features_in_) if self.feature_scaling_ is None else self.feature_scaling_[1]

    def _penalty_on(self, columns: np.ndarray, live: np.ndarray) -> CurvePenalty:
        penalties = [self._penalties[k] for k in live]
        return penalty_on(penalties, self.feature_group_sizes_, self._scale, columns)

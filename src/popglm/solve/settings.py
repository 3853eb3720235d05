"""What to minimise and how far; the strengths of a path, and where its fits begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.device.device_fit import DeviceFit
from popglm.solve.device.objective import DeviceObjective
from popglm.solve.first_order import FirstOrder
from popglm.solve.local_models.given_models import GivenModels
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.local_models.ridge_inverses import MOST_STRENGTHS
from popglm.solve.local_models.rotated import RotatedObjective
from popglm.solve.objective.evaluation import GramObjective
from popglm.solve.passes.coordinates import MOST_AT_ONCE, Coordinates
from popglm.solve.passes.sums import FeatureSums
from popglm.solve.units import Units
from popglm.solve.walk.fit import Fit, start_fit
from popglm.solve.walk.problems import Problems
from popglm.statistics.ends import Ends
from popglm.statistics.families import Family
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import ResponseSums

__all__ = ["Settings", "begin", "constant_start", "guides", "reporter", "strengths"]

#: Columns that explain so much of the square of a constant have weights that stand for an intercept.
MOSTLY = 0.5


@dataclass(frozen=True)
class Settings:
    """What to minimise and how far.

    Attributes
    ----------
    loss : Family
    penalty : Penalty
    lambdas : ndarray, shape (n_lambdas, n_neurons), or None
        Descending; None for a grid from each neuron's λ_max.
    n_lambdas, lambda_min_ratio
        Of that grid.
    first_order : FirstOrder or None
        Instead of the quasi-Newton solver.
    ends : Ends or None
        Where a neuron goes no further, by its held-out deviance.
    unpenalised : bool
        Whether a strength is 0.
    allowed : ndarray of bool, shape (n_features, n_neurons), or None
        Features that may have a weight; all, for None.
    closed : ndarray of int, or None
        Columns that have none in any neuron here.
    factors : ndarray, shape (n_blocks, n_neurons), or None
        Factors of the penalty of every neuron, where they differ; those of ``penalty`` for None. Zeros stand in whole
        rows, and in the factors of ``penalty`` too.
    models : GivenModels or None
        Of fits that are near, in the order of the fits: problems begin with them.
    units : Units or None
        Those in which the activity is fitted, and ``lambdas`` given; the recording's own for None.
    """

    loss: Family
    penalty: Penalty
    lambdas: np.ndarray | None
    n_lambdas: int = 20
    lambda_min_ratio: float = 1e-4
    fit_intercept: bool = True
    tol: float = 1e-4
    max_iter: int = 200
    first_order: FirstOrder | None = None
    ends: Ends | None = None
    unpenalised: bool = False
    units: Units | None = None
    allowed: np.ndarray | None = None
    closed: np.ndarray | None = None
    factors: np.ndarray | None = None
    models: GivenModels | None = None

    def of(self, neurons: np.ndarray) -> Settings:
        """The settings of some neurons."""
        return self if self.lambdas is None else replace(self, lambdas=self.lambdas[:, neurons])

    def coordinates(self, engine: Engine, center: np.ndarray, G: np.ndarray) -> Coordinates:
        """Coordinates of a fit to rows in which the columns have the covariance G; the user's for a diagonal."""
        still = np.flatnonzero((G if G.ndim == 1 else np.diag(G)) == 0)
        if G.ndim == 1:
            return Coordinates(engine, center, [], still if len(still) else None)
        if self.penalty.R is not None:
            # smoothness gives a column a weight by its neighbours', even where it does not vary
            still = np.zeros(0, int) if self.closed is None else self.closed
        # with smoothness every axis has a curvature
        free = self.penalty.free if self.penalty.R is None else None
        return Coordinates.fit(engine, center, G, self.penalty.turning_sizes, still if len(still) else None, free)

    def covariance(self, features: FeatureSums) -> np.ndarray:
        """Of the columns in some rows: 0 for those that are closed or do not vary there."""
        G = features.covariance(self.fit_intercept)
        if self.closed is not None:
            G[self.closed], G[..., self.closed] = 0, 0
        return G

    def closing(self, columns: np.ndarray) -> Settings:
        """The settings of neurons that have no weight in some columns; a block counts the others alone."""
        if not len(columns):
            return self
        open_ = np.ones(len(self.penalty.block_of_column), bool)
        open_[columns] = False
        return replace(self, closed=columns, penalty=self.penalty.masked(open_))

    def bare(self) -> Settings:
        """The settings of fits with the columns that are never penalised alone."""
        penalty, free = self.penalty, self.penalty.free_columns
        p = len(free)
        R = None if penalty.R is None else penalty.R[np.ix_(free, free)]
        closed = None if self.closed is None else np.flatnonzero(np.isin(free, self.closed))
        return replace(
            self, penalty=Penalty(0.0, penalty.smoothness, np.ones(p, int), np.ones(p), R), unpenalised=True,
            closed=closed, lambdas=None, ends=None,
        )  # fmt: skip

    def in_units(self, units: Units) -> Settings:
        """The settings for an activity in ``units``, without strengths."""
        # neurons that are fitted together have one unit
        penalty = self.penalty if self.penalty.bounds is None else self.penalty.rebounded(1 / units.weight[0])
        if penalty.R is not None:
            penalty = replace(penalty, smoothness=penalty.smoothness * units.weight[0] ** 2 / units.loss[0])
        unpenalised = self.lambdas is not None and bool(np.any(self.lambdas == 0))
        return replace(
            self, penalty=penalty, lambdas=None, n_lambdas=self.n_strengths, allowed=None, unpenalised=unpenalised,
            units=units,
        )  # fmt: skip

    @property
    def n_strengths(self) -> int:
        """Of a path."""
        return self.n_lambdas if self.lambdas is None else len(self.lambdas)

    @property
    def has_axes(self) -> bool:
        """Whether the penalty is the same in any orthogonal basis; without one the units of columns must not matter."""
        return self.penalty.is_isotropic and not self.unpenalised

    def inverts(self, n_features: int) -> bool:
        """Whether single inverses of the metric of a step take less time than the axes of its Gram matrix."""
        return self.has_axes and n_features > MOST_AT_ONCE and self.n_strengths <= MOST_STRENGTHS

    def model(
        self, engine: Engine, G: np.ndarray, coordinates: Coordinates, n_parts: int | None = None,
        diagonal: bool = False,
    ) -> QuadraticModel:  # fmt: skip
        """Quadratic model with the penalty in solver coordinates; G, or its ``diagonal`` alone, is in them already."""
        penalty = self.penalty.representable(engine.dtype)
        if penalty.R is not None:
            R, turn = penalty.R, coordinates
            if self.closed is not None:
                # closed columns stand by themselves: R stays positive definite, and the others keep their part of it
                R = R.copy()
                R[self.closed], R[:, self.closed] = 0, 0
                R[self.closed, self.closed] = 1
                turn = replace(coordinates, still=None)
            penalty = replace(penalty, R=turn.rotate_matrix(R), product=engine.product)
        return QuadraticModel(engine, G, penalty, n_parts=n_parts, coordinates=coordinates, diagonal=diagonal)


@overload
def begin(
    settings: Settings, objective: DeviceObjective, model: QuadraticModel, sums: ResponseSums, wanted: np.ndarray
) -> DeviceFit: ...


@overload
def begin(
    settings: Settings,
    objective: RotatedObjective | GramObjective,
    model: QuadraticModel,
    sums: ResponseSums,
    wanted: np.ndarray,
) -> Fit: ...


def begin(
    settings: Settings, objective: Any, model: QuadraticModel, sums: ResponseSums, wanted: np.ndarray
) -> Problems:
    """A fit at the null model; neurons that are not ``wanted`` (n_neurons,) stay there."""
    loss = settings.loss
    fittable = sums.fittable(loss) & wanted
    intercept = sums.intercept if settings.fit_intercept else np.zeros(len(sums.mean))
    units = settings.units or Units.plain(len(intercept))
    start: Callable[..., Problems] = DeviceFit if isinstance(objective, DeviceObjective) else start_fit
    return start(loss, objective, model, np.flatnonzero(fittable), intercept, sums, units)


def strengths(
    settings: Settings, fittable: np.ndarray, largest: float, null: Callable[[], tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Strengths (n_lambdas, n_neurons), geometric from each neuron's λ_max.

    Parameters
    ----------
    largest : float
        Eigenvalue of the covariance of the features.
    null : callable
        Returns the gradient (n_neurons, n_features) and the curvature (n_neurons,) of the loss at w = 0.
    """
    gradient, curvature = null()
    top = settings.penalty.lambda_max(gradient, curvature * largest)
    # a neuron without a fit borrows a grid, so that the array has no holes
    usable = fittable & (top > 0)
    top = np.where(usable, top, np.median(top[usable]) if usable.any() else 1.0)
    # just above λ_max, so that rounding cannot let a weight in at the first strength
    return top * 1.001 * settings.lambda_min_ratio ** np.linspace(0, 1, settings.n_lambdas)[:, None]


def reporter(
    on_strength: Callable[..., Any] | None, n_fits: int, first: int = -1
) -> Callable[[np.ndarray], None] | None:
    """What tells ``on_strength`` of every strength that a whole fit has behind it; fits are counted from ``first``.

    The first report comes before any work: what fits have behind them then was kept by an earlier call.
    """
    if on_strength is None:
        return None
    told = [0] * n_fits
    kept = True

    def report(level: np.ndarray) -> None:
        nonlocal kept
        for i, now in enumerate(level.reshape(n_fits, -1).min(axis=1)):
            for k in range(told[i], now):
                on_strength(k, first + i, kept=kept)
            told[i] = now
        kept = False

    return report


def all_of(report: Callable[[np.ndarray], None] | None, n_lambdas: int) -> Callable[[], None] | None:
    """What reports all strengths of a fit at once."""
    return None if report is None else lambda: report(np.full(1, n_lambdas))


def guides(start: np.ndarray | None, coordinates: list[Coordinates]) -> list[np.ndarray] | None:
    """The start of every fit in its own coordinates."""
    if start is None:
        return None
    return [
        own.rotate(path.reshape(-1, path.shape[-1]).copy()).reshape(path.shape)
        for path, own in zip(start, coordinates, strict=True)
    ]


def constant_start(fits: list[tuple[FeatureSums, np.ndarray]], closed: np.ndarray | None) -> np.ndarray | None:
    """Weights that stand for an intercept at the first strength, shape (n_fits, 1, n_neurons, n_features).

    At w = 0 a fit without an intercept may be so far from the activity that no step from there means anything: dummy
    columns, a column of ones. None where the columns do not hold a constant, by and large.

    Parameters
    ----------
    fits : list of tuple
        Of every fit the sums of its columns, and the intercepts (n_neurons,) of its null models.
    closed : ndarray of int, or None
        Columns that have no weight.
    """
    open_ = np.ones(len(fits[0][0].x), bool)
    if closed is not None:
        open_[closed] = False
    starts = np.zeros((len(fits), 1, len(fits[0][1]), len(open_)))
    for start, (features, intercept) in zip(starts, fits, strict=True):
        w, share = features.constant(open_)
        if share < MOSTLY:
            return None
        start[0][:, open_] = np.outer(intercept, w)
    return starts

"""One categorical response in one fit, as the walk takes it: coordinates, local model, start, and its path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import helmert

from popglm.engines.protocol import Engine
from popglm.solve.categorical.objective import CategoricalObjective, Labels
from popglm.solve.local_models.rotated import RotatedObjective
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.passes.sums import FeatureSums
from popglm.solve.settings import Settings
from popglm.solve.snapshot import UNKEPT, Checkpoint
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.path import Path
from popglm.solve.walk.problems import at_rest
from popglm.solve.walk.rounds import walk_path
from popglm.statistics.categorical import SOFTMAX, log_frequencies, null_loss
from popglm.statistics.penalties import Penalty

__all__ = ["ClassFit", "ClassRows", "over_classes"]

#: Weights up to which a fit has a Gram matrix of all of them; beyond, its diagonal.
MOST_WEIGHTS = 3000


def over_classes(penalty: Penalty, m: int, n_classes: int, grouped: bool) -> Penalty:
    """The penalty of features × coordinates of classes, feature after feature, of that of features.

    A group has the weights of all classes: its norm is multiplied by the root of its size, features × classes.

    Parameters
    ----------
    m : int
        Coordinates of the classes.
    n_classes : int
        Classes of the response.
    grouped : bool
        Whether blocks are feature groups; else each is a single weight.
    """
    R = None if penalty.R is None else np.kron(penalty.R, np.eye(m))
    mask = None if penalty.mask is None else np.repeat(penalty.mask, m)
    if grouped:
        return replace(
            penalty, block_sizes=penalty.block_sizes * m, block_weights=penalty.block_weights * np.sqrt(n_classes),
            R=R, mask=mask,
        )  # fmt: skip
    factors = None if penalty.factors is None else np.repeat(penalty.factors, m)
    sizes, weights = np.repeat(penalty.block_sizes, m), np.repeat(penalty.block_weights, m)
    return replace(penalty, block_sizes=sizes, block_weights=weights, R=R, mask=mask, factors=factors)


@dataclass(frozen=True)
class ClassRows:
    """What all fits of one response share.

    Attributes
    ----------
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
        In the engine's precision.
    free : ndarray, shape (n_samples, n_free), or None
        Its columns that are never penalised, in memory.
    codes : ndarray of int, shape (n_samples,)
        Number of every sample's class among those of the response; −1 where it is not known.
    offset : ndarray, shape (n_classes, n_samples), or None
        In the engine's precision.
    settings : Settings
        With the penalty of features.
    unit : ndarray, shape (n_features,), or None
        What columns are divided by, as the penalty has it.
    n_classes : int
        Of all responses together.
    n_own : int
        Classes that this one has. A fold that lacks one has the penalty of the others, unchanged.
    grouped : bool
        Whether the penalty has norms of groups.
    """

    engine: Engine
    X: Any
    free: np.ndarray | None
    codes: np.ndarray
    offset: np.ndarray | None
    settings: Settings
    unit: np.ndarray | None
    n_classes: int
    n_own: int
    grouped: bool

    @property
    def has_contrasts(self) -> bool:
        """Whether weights are of contrasts of classes: the penalty is the same in all orthonormal coordinates."""
        return self.grouped or self.settings.penalty.l1_ratio == 0

    @property
    def needs_largest(self) -> bool:
        """Whether a grid of strengths needs an eigenvalue that sums over so many columns do not tell."""
        return isinstance(self.X, SparseRows) and self.X.is_wide and self.settings.penalty.l1_ratio < 1


@dataclass
class ClassFit:
    """One response in one fit.

    Attributes
    ----------
    rows : ClassRows
    weights : ndarray, shape (n_samples,), or None
        Of samples in this fit, 0 for those that do not count.
    ranges : list of (first, last)
    features : FeatureSums
        Of the columns in these rows.
    counts : ndarray, shape (n_classes,)
        Summed weights of the samples of every class.
    """

    rows: ClassRows
    weights: np.ndarray | None
    ranges: list[tuple[int, int]]
    features: FeatureSums
    counts: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Numbers of the classes that occur."""
        return np.flatnonzero(self.counts > 0)

    @property
    def is_fittable(self) -> bool:
        """Whether there are two classes to tell apart, and a column that may do so."""
        mask = self.rows.settings.penalty.mask
        return len(self.present) > 1 and (mask is None or bool(mask.any()))

    @cached_property
    def null_intercepts(self) -> np.ndarray:
        """Of the null model, shape (n_classes,); −inf for a class that does not occur."""
        found, present = log_frequencies(self.counts), self.present
        if not self.rows.settings.fit_intercept:
            return np.where(np.isfinite(found), 0.0, found)
        if self.rows.offset is not None and len(present) > 1:
            beside = self.objective(self.basis)
            found[present] = beside.null_intercepts(found[present])
            beside.release()
        return found

    @property
    def basis(self) -> np.ndarray:
        """Coordinates of the classes that occur: contrasts, unless the penalty is one of single weights."""
        n = len(self.present)
        return helmert(n) if self.rows.has_contrasts else np.eye(n)

    @property
    def shares(self) -> np.ndarray:
        """Shares of the classes that occur under the null model."""
        n = len(self.present)
        own = self.counts[self.present]
        return own / own.sum() if self.rows.settings.fit_intercept else np.full(n, 1 / n)

    def settings(self) -> Settings:
        """Those of the weights of features × coordinates of classes."""
        own = self.rows.settings
        penalty = over_classes(own.penalty, len(self.basis), self.rows.n_own, self.rows.grouped)
        closed = None if penalty.mask is None else np.flatnonzero(~penalty.mask)
        return replace(own, penalty=penalty, closed=closed, lambdas=None, allowed=None)

    def of_free_columns(self) -> ClassFit:
        """The same with the columns that are never penalised alone, without a penalty but a smoothness."""
        rows, penalty = self.rows, self.rows.settings.penalty
        columns = penalty.free_columns
        own = replace(
            Penalty.make("none", None, 0.0, np.ones(len(columns), int)),
            smoothness=penalty.smoothness,
            R=None if penalty.R is None else penalty.R[np.ix_(columns, columns)],
            mask=None if penalty.mask is None else penalty.mask[columns],
        )
        some = replace(
            rows, X=rows.free, free=None, settings=replace(rows.settings, penalty=own),
            unit=None if rows.unit is None else rows.unit[columns], grouped=False,
        )  # fmt: skip
        return replace(self, rows=some, features=self.features.of_columns(np.isin(np.arange(rows.X.shape[1]), columns)))

    def covariance(self) -> np.ndarray:
        """Of the columns in these rows, in their units; of wide sparse ones the variances."""
        G, unit = self.features.covariance(self.rows.settings.fit_intercept), self.rows.unit
        if unit is None:
            return G
        return G / (unit**2 if G.ndim == 1 else np.outer(unit, unit))

    def begin(self) -> tuple[Fit, Coordinates]:
        """The fit at its null model, and the coordinates that it is in."""
        engine, settings, basis = self.rows.engine, self.settings(), self.basis
        S = basis @ (np.diag(self.shares) - np.outer(self.shares, self.shares)) @ basis.T
        # the Hessian of the null model: of the mean over samples, features and classes apart
        G, n = self.covariance(), self.rows.X.shape[1] * len(basis)
        whole = G.ndim > 1 and n <= MOST_WEIGHTS
        G = np.kron(G, S) if whole else np.kron(G if G.ndim == 1 else np.diag(G), np.diag(S))
        if settings.closed is not None:
            G[settings.closed], G[..., settings.closed] = 0, 0
        coordinates = settings.coordinates(engine, np.zeros(n), G)
        G = coordinates.rotate_matrix(G) if G.ndim > 1 else G
        model = settings.model(engine, G, coordinates, diagonal=G.ndim == 1)
        objective: Any = RotatedObjective(self.objective(basis), coordinates)  # type: ignore[arg-type]
        scale = max(float(null_loss(self.counts)), np.finfo(float).tiny)
        b = self.null_intercepts[self.present][None]
        loss: Any = SOFTMAX
        one, zero = np.ones(1), np.zeros(1)
        fit = Fit(
            loss=loss, objective=objective, model=model, fittable=np.zeros(1, int), at=at_rest(b, n),
            W=np.zeros((1, n)), memory=model.memory(1), scale=np.array([scale]), magnitude=np.array([scale]),
            unit=one, level=zero, damping=one.copy(), n_samples=np.array([self.n_samples]),
        )  # fmt: skip
        fit.stand_at(np.zeros(1, int), np.zeros((1, n)), b)
        return fit, coordinates

    @property
    def n_samples(self) -> int:
        """Samples that count."""
        counted = [b - a if self.weights is None else int((self.weights[a:b] > 0).sum()) for a, b in self.ranges]
        return sum(counted)

    def objective(self, basis: np.ndarray) -> CategoricalObjective:
        """The mean loss of these rows."""
        rows, present = self.rows, self.present
        place = np.full(rows.n_classes + 1, -1)
        place[present] = np.arange(len(present))
        # one array for all fits, where these have all classes
        offset = rows.offset if rows.offset is None or len(present) == len(rows.offset) else rows.offset[present]
        labels = Labels(place[rows.codes], self.weights, offset)
        fit_intercept = rows.settings.fit_intercept
        return CategoricalObjective(rows.engine, rows.X, labels, self.ranges, basis, rows.unit, fit_intercept)

    def walk(
        self, fit: Fit, lambdas: np.ndarray, guide: np.ndarray | None = None,
        report: Callable[[np.ndarray], None] | None = None, checkpoint: Checkpoint = UNKEPT,
    ) -> Path:  # fmt: skip
        """The path over strengths (n_lambdas,), near a ``guide`` (n_lambdas, n) in the coordinates of the fit."""
        settings = self.rows.settings
        near = None if guide is None else guide[:, None]
        return walk_path(fit, lambdas[:, None], settings.tol, settings.max_iter, near, report, checkpoint)

    def problem_weights(self, V: np.ndarray) -> np.ndarray:
        """Weights (..., n) of the fit, of those (..., n_classes, n_features) of all classes in the user's columns."""
        V = V[..., self.present, :] * (1.0 if self.rows.unit is None else self.rows.unit)
        return np.swapaxes(self.basis @ V, -1, -2).reshape(*V.shape[:-2], -1)

    def class_weights(self, W: np.ndarray) -> np.ndarray:
        """Weights (..., n_classes, n_features) of all classes in the user's columns, of those of the fit (..., n)."""
        basis = self.basis
        V = np.swapaxes(W.reshape(*W.shape[:-1], -1, len(basis)) @ basis, -1, -2)
        V = self._identified(V)
        V = V if self.rows.unit is None else V / self.rows.unit
        found = np.zeros((*V.shape[:-2], self.rows.n_classes, V.shape[-1]))
        found[..., self.present, :] = V
        return found

    def _identified(self, V: np.ndarray) -> np.ndarray:
        """Weights (..., n_classes, n_features) that a shift of all classes alike is taken from, where one is free."""
        penalty = self.rows.settings.penalty
        if self.rows.has_contrasts or penalty.R is not None:
            return V
        shift = middle(V) if penalty.l1_ratio == 1 else np.zeros_like(V[..., 0, :])
        if penalty.free is not None:
            shift[..., penalty.free] = V.mean(axis=-2)[..., penalty.free]
        return V - shift[..., None, :]

    def class_intercepts(self, b: np.ndarray) -> np.ndarray:
        """Intercepts (..., n_classes), −inf for classes that do not occur, of those that do."""
        found = np.full((*b.shape[:-1], self.rows.n_classes), -np.inf)
        found[..., self.present] = b
        return found


def middle(V: np.ndarray) -> np.ndarray:
    """What weights (..., n_classes, n_features) may have more in all classes: the limit of elastic nets.

    A shift of all classes' weights of a feature changes no probability. Their sum of sizes is least at their median,
    and of an even number in all of an interval: there the point nearest to the mean is the one of least squares.
    """
    ordered, n = np.sort(V, axis=-2), V.shape[-2]
    low, high = ordered[..., (n - 1) // 2, :], ordered[..., n // 2, :]
    return np.clip(V.mean(axis=-2), low, high)

"""Gaussian fits of all rows and of every fold from sums over rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.fits.rows import stand_at_null
from popglm.solve.fits.shared_rows import sums_of
from popglm.solve.folds import Folds
from popglm.solve.held_out import HeldOut
from popglm.solve.objective.evaluation import GramObjective
from popglm.solve.passes.coordinates import Coordinates, row_sums
from popglm.solve.passes.samples import Rows, Samples, of_columns
from popglm.solve.passes.sums import FeatureSums, largest_eigenvalue, response_products, without_each
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.result import PopulationFit, collect
from popglm.solve.settings import Settings, begin, guides, reporter
from popglm.solve.snapshot import Checkpoint, concluded
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.joined import join
from popglm.solve.walk.rounds import Course, evaluate_alone, walk_paths
from popglm.statistics.responses import ResponseSums

__all__ = ["GramFits"]


@dataclass
class ResponseMoments:
    """Weighted sums over some rows of the responses, less their mean in these rows, in float64.

    The mean is the rows' own, so that nothing of the sums depends on other rows: not even their rounding.

    Attributes
    ----------
    s : float
        Σ_t s_t.
    mean, yy : ndarray, shape (n_neurons,)
        Mean response; sum of the squares.
    YX : ndarray, shape (n_neurons, n_features)
        Sums of the products with the features.
    """

    s: float
    mean: np.ndarray
    yy: np.ndarray
    YX: np.ndarray

    @staticmethod
    def of_parts(engine: Engine, parts: list[Rows]) -> list[ResponseMoments]:
        """Sums over the rows of each part; workers take them all at once."""

        def means(data: Rows) -> tuple[float, np.ndarray]:
            """Σs, and the mean response."""

            def part(take: Callable[[Any], np.ndarray]) -> tuple[Any, ...]:
                y = take(data.Y.T).T
                s = np.ones(y.shape[1]) if data.weights is None else take(data.weights)
                return s.sum(), y @ s

            s, total = row_sums(engine, part, data.Y, data.ranges)
            return float(s), total / max(float(s), np.finfo(float).tiny)

        found = [means(data) for data in parts]
        given: list[Any] = [
            (data.X, data.Y, data.weights, mean, data.ranges) for data, (_, mean) in zip(parts, found, strict=True)
        ]
        if parts and isinstance(parts[0].X, RemoteRows):
            products = parts[0].X.response_products([asked for _, *asked in given])
        else:
            products = [response_products(engine, *asked) for asked in given]
        return [ResponseMoments(*means, *sums) for means, sums in zip(found, products, strict=True)]

    @staticmethod
    def join(parts: list[ResponseMoments], features: list[FeatureSums]) -> ResponseMoments:
        """Sums over the rows of all parts, from those about the parts' means (Chan, Golub & LeVeque 1983)."""
        s = sum(part.s for part in parts)
        total: Any = sum(part.s * part.mean for part in parts)
        mean = total / max(s, np.finfo(float).tiny)
        yy, YX = np.zeros_like(mean), np.zeros_like(parts[0].YX)
        for part, own in zip(parts, features, strict=True):
            apart = part.mean - mean
            yy += part.yy + part.s * apart**2
            YX += part.YX + np.outer(apart, own.x)
        return ResponseMoments(s, mean, yy, YX)


@dataclass
class GramFits:
    """The fits to all rows and to every fold's training rows, each from the sums over its own rows.

    Attributes
    ----------
    data : Rows
        X centred, Y in float64, weights (n_samples,) or None.
    scored : Rows
        The same, with weights (n_neurons, n_samples) where a neuron was not always recorded.
    center : ndarray, shape (n_features,)
        What was taken from X.
    features : list of FeatureSums
        Of all rows, and of every fold's training rows.
    partition_features : list of FeatureSums, or None
        Of every fold's held-out rows, where the folds are a partition.
    wanted : ndarray of bool, shape (1 + n_folds, n_neurons)
        Neurons that each fit has: their activity is known in all its rows.
    """

    engine: Engine
    data: Rows
    scored: Rows
    center: np.ndarray
    features: list[FeatureSums]
    partition_features: list[FeatureSums] | None
    folds: Folds
    settings: Settings
    wanted: np.ndarray
    refit: bool
    on_strength: Callable[..., Any] | None
    start: np.ndarray | None
    checkpoint: Checkpoint
    held_features: list[FeatureSums] = field(init=False)
    parts: list[Rows] = field(init=False)
    tested: list[Rows] = field(init=False)
    responses: list[ResponseSums] = field(init=False)
    sums: list[ResponseMoments] = field(init=False)
    held: list[ResponseMoments] = field(init=False)
    bare_fit: PopulationFit | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Add up responses and features, and fit the null models where features are never penalised."""
        engine, data = self.engine, self.data
        self.parts = [data, *map(data.part, self.folds.train)]
        self.tested = [data.part(part) for part in self.folds.test]
        self.responses = sums_of(self.settings, self.parts)
        self.held = ResponseMoments.of_parts(engine, self.tested)
        if self.partition_features is None:
            held = [(rows.X, rows.weights, rows.ranges) for rows in self.tested]
            self.held_features = FeatureSums.of_parts(engine, held)
            self.sums = ResponseMoments.of_parts(engine, self.parts)
        else:
            self.held_features = self.partition_features
            # never the sums over all rows less the held-out ones: these would leave their rounding behind
            training = zip(without_each(self.held), without_each(self.held_features), strict=True)
            self.sums = [ResponseMoments.join(self.held, self.held_features)]
            self.sums += [ResponseMoments.join(*each) for each in training]
        free = self.settings.penalty.free
        if free is not None:
            bare, zeros = self._bare(free), np.zeros((1, len(data.Y)))
            self.bare_fit = concluded(bare.checkpoint, PopulationFit, lambda: bare.fit(zeros))

    def _bare(self, free: np.ndarray) -> GramFits:
        """The same fits with the features ``free`` alone, which are never penalised: null models."""
        data, scored = of_columns(free, self.data, self.scored)
        features = [own.of_columns(free) for own in self.features]
        held = [own.of_columns(free) for own in self.held_features] if self.folds.partition else None
        return GramFits(
            self.engine, data, scored, self.center[free], features, held, self.folds, self.settings.bare(), self.wanted,
            True, None, None, self.checkpoint.part("null"),
        )  # fmt: skip

    @property
    def fittable(self) -> np.ndarray:
        """Which neurons can be fitted to all rows, shape (n_neurons,)."""
        return self.responses[0].fittable(self.settings.loss)

    @property
    def largest(self) -> float:
        """Eigenvalue of the covariance of the penalised features in all rows."""
        return largest_eigenvalue(self.settings.covariance(self.features[0]), self.settings.penalty.free)

    def null(self) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n_neurons, n_features) and curvature (n_neurons,) of the null models of all rows."""
        gradient = -self._covariance(0)
        if self.bare_fit is not None:
            free = self.settings.penalty.free
            gradient += self.bare_fit.coef[0] @ self.settings.covariance(self.features[0])[free]
        return gradient, np.ones(len(self.data.Y))

    def fit(self, lambdas: np.ndarray) -> PopulationFit:
        """Every fit over all strengths (n_lambdas, n_neurons)."""
        engine, settings, fits = self.engine, self.settings, range(not self.refit, len(self.parts))
        # whole fits side by side where there are enough of them for all workers; inside a fit less is in parallel
        parallel = len(fits) >= engine.n_workers
        side_by_side = engine.map if parallel else lambda work, each: [work(*a) for a in each]
        begun = side_by_side(self._begin, [(f,) for f in fits])
        coordinates = [own for _, own in begun]
        paths = walk_paths(
            join([fit for fit, _ in begun]),
            evaluate_alone,
            Course(lambdas, settings.tol, settings.max_iter),
            guides(self.start, coordinates),
            reporter(self.on_strength, len(fits), -int(self.refit)),
            checkpoint=self.checkpoint,
        )
        full, paths = (paths[0], paths[1:]) if self.refit else (None, paths)
        every = coordinates if self.refit else [coordinates[0], *coordinates]
        of_folds = np.array([fit.is_fitted for fit, _ in begun[int(self.refit) :]])
        result = collect(full, paths, every, lambdas, self.fittable, of_folds)
        deviance = side_by_side(self._deviance, [(result, fold) for fold in range(len(self.held))])
        if deviance:
            result.cv_deviance[:] = deviance
        return result

    def _covariance(self, f: int) -> np.ndarray:
        """Of responses and features in the rows of a fit; without an intercept, about 0."""
        own = self.sums[f]
        YX = own.YX if self.settings.fit_intercept else own.YX + np.outer(own.mean, self.features[f].x)
        found = YX / own.s
        if self.settings.closed is not None:
            found[:, self.settings.closed] = 0
        return found

    def _begin(self, f: int) -> tuple[Fit, Coordinates]:
        """A fit at its null model, and the coordinates it is in."""
        engine, settings, features, own = self.engine, self.settings, self.features[f], self.sums[f]
        center, G = self.center + features.mean(settings.fit_intercept), settings.covariance(features)
        if settings.has_axes:
            # the penalty is the same in any orthogonal basis, and in this one no step needs a matrix
            coordinates, G = Coordinates.principal(engine, center, G)
        else:
            coordinates = settings.coordinates(engine, center, G)
            G = coordinates.rotate_matrix(G)
        # fits side by side keep all workers busy: each is one part then
        n_parts = 1 if len(self.parts) - (not self.refit) >= engine.n_workers else None
        model = settings.model(engine, G, coordinates, n_parts)
        variance, y_mean = own.yy / own.s, own.mean
        responses = replace(self.responses[f], mean=own.mean, intercept=own.mean, null=0.5 * variance)
        if not settings.fit_intercept:
            variance, y_mean = variance + own.mean**2, np.zeros_like(own.mean)
        objective = GramObjective(engine, model.G, coordinates.rotate(self._covariance(f)), variance, y_mean)
        fit = begin(settings, objective, model, responses, self.wanted[f])
        if self.bare_fit is not None:
            stand_at_null(fit, self.bare_fit, f, coordinates)
        return fit, coordinates

    def _deviance(self, result: PopulationFit, fold: int) -> np.ndarray:
        """Of held-out rows, shape (n_lambdas, n_neurons)."""
        sums, features = self.held[fold], self.held_features[fold]
        found = np.zeros(result.cv_deviance.shape[1:])
        for k in range(len(found)):
            w = result.cv_coef[fold, k].astype(float)
            # in the centred copy's coordinates, where the sums were taken, and from the mean of these rows
            b = result.cv_intercept[fold, k] + w @ self.center - sums.mean
            cross = np.einsum("ij,ij->i", w, sums.YX - np.outer(b, features.x))
            square = np.einsum("ij,ij->i", self.engine.product(w, features.XX), w)
            found[k] = np.maximum(sums.yy + b * b * sums.s - 2 * cross + square, 0)
        self._replace_incomplete(result, fold, found)
        return found

    def _replace_incomplete(self, result: PopulationFit, fold: int, found: np.ndarray) -> None:
        """Deviances of neurons that were not recorded in all held-out rows, by these rows."""
        if self.scored.weights is None or self.scored.weights.ndim < 2:
            return
        rows = self.scored.part(self.folds.test[fold])
        known = np.asarray(rows.weights)
        inside = np.concatenate([known[:, a:b] for a, b in rows.ranges], axis=1)
        some = np.flatnonzero(self.wanted[1 + fold] & (inside == 0).any(axis=1))
        if not len(some):
            return
        Y, weights = rows.Y[some], known[some]
        # from the mean of these rows, which float32 may have no digits left beside
        total, mean = row_sums(
            self.engine,
            lambda take: (take(weights.T).sum(axis=0, dtype=float), np.einsum("tj,tj->j", take(weights.T), take(Y.T))),
            rows.Y.T,
            rows.ranges,
        )
        mean = mean / np.where(total > 0, total, 1)
        Y = (Y - mean[:, None]).astype(self.engine.dtype)
        held = HeldOut(self.engine, self.settings.loss, Samples(rows.X, Y, weights), rows.ranges)
        w = result.cv_coef[fold][:, some]
        b = result.cv_intercept[fold][:, some] + w.astype(float) @ self.center - mean
        found[:, some] = held.deviance(w, b)

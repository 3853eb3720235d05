"""Fits whose loss is summed over rows at every step, and their held-out deviance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from popglm.engines.memory import give_back_freed_memory
from popglm.engines.protocol import Engine
from popglm.solve.device.objective import DeviceObjective
from popglm.solve.device.shares import walk_in_shares
from popglm.solve.first_order import FirstOrder, walk_first_order
from popglm.solve.fits.shared_rows import RowsOfProblems, objectives, sums_of
from popglm.solve.folds import Folds
from popglm.solve.held_out import EarlyStop, HeldOut, deviances
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.local_models.ridge_inverses import RidgeInverses
from popglm.solve.local_models.rotated import RotatedObjective
from popglm.solve.objective.evaluation import Evaluation, null_models
from popglm.solve.objective.fit_rows import FitRows
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.passes.samples import Rows, of_columns
from popglm.solve.passes.sums import FeatureSums, largest_eigenvalue
from popglm.solve.result import PopulationFit, collect
from popglm.solve.settings import Settings, all_of, begin, constant_start, guides, reporter
from popglm.solve.snapshot import Checkpoint, concluded
from popglm.solve.walk.fit import MAX_PROBLEMS, Fit
from popglm.solve.walk.joined import join
from popglm.solve.walk.path import Path
from popglm.solve.walk.rounds import Course, evaluate_alone, finished_paths, run_walks, walk_paths
from popglm.solve.walk.walk import Walk
from popglm.statistics.concave import ConcavePenalty
from popglm.statistics.responses import ResponseSums, response_sums

__all__ = ["RowFits", "evaluate_fits", "stand_at_null"]


#: Samples × features × neurons of fits that take so long that giving back memory takes no time.
LARGE = 2**27

#: The path of every fit, and held-out deviance (n_folds, n_lambdas, n_neurons).
Fitted = tuple[list[Path], Any]


@dataclass
class RowFits:
    """The fits to all rows and to every fold's training rows, over all strengths, by one of three schedules.

    Each fit has coordinates and a model of its own, from the rows that it counts.

    Attributes
    ----------
    data : Rows
        X in the user's columns, centred.
    scored : Rows
        The same, with weights (n_neurons, n_samples) where a neuron was not always recorded.
    center : ndarray, shape (n_features,)
        What was taken from X.
    features : list of FeatureSums
        Of all rows, and of every fold's training rows.
    wanted : ndarray of bool, shape (1 + n_folds, n_neurons)
        Neurons that each fit has.
    refit : bool
        Whether the fit to all rows is among the fits.
    start, shares, schedule, checkpoint : see `popglm.solve.population.fit_population`
    shared : RowsOfProblems, optional
        Where the rows are those of other cohorts too; ``data`` and ``scored`` have the neurons of all then.
    """

    engine: Engine
    data: Rows
    scored: Rows
    center: np.ndarray
    features: list[FeatureSums]
    folds: Folds
    settings: Settings
    wanted: np.ndarray
    refit: bool
    on_strength: Callable[..., Any] | None
    start: np.ndarray | None
    shares: Sequence[Any]
    schedule: str
    checkpoint: Checkpoint
    shared: RowsOfProblems | None = None
    parts: list[Rows] = field(init=False)
    tested: list[Rows] = field(init=False)
    inverts: bool = field(init=False)
    principal: bool = field(init=False)
    coordinates: tuple[Coordinates, ...] = field(init=False)
    G: tuple[np.ndarray, ...] = field(init=False)
    sums: list[ResponseSums] = field(init=False)
    bare_fit: PopulationFit | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        settings = self.settings
        resident = isinstance(self.data.X, np.ndarray)
        free = settings.penalty.free
        if free is not None or isinstance(settings.penalty, ConcavePenalty) or settings.penalty.blocks.boxed:
            self.schedule = "host"
        if self.schedule == "auto" or not resident:
            self.schedule = "device" if (self.engine.is_accelerator or self.shares) and resident else "host"
        if self.shared is None:
            self.parts = [self.data, *map(self.data.part, self.folds.train)]
            self.tested = [self.scored.part(part) for part in self.folds.test]
        else:
            self.parts, self.tested = self.shared.shared.parts, self.shared.shared.tested
        # of a penalty that is the same in any orthogonal basis, the one in which G is diagonal, where that pays
        self.inverts = self.schedule == "host" and settings.inverts(len(self.center))
        self.principal = settings.has_axes and settings.first_order is None and not self.inverts
        every = [settings.covariance(own) for own in self.features]
        self.coordinates, self.G = zip(*(self._axes(G) for G in every), strict=True)
        self.sums = sums_of(settings, self.parts) if self.shared is None else self.shared.sums
        if self.start is None and free is None and not (settings.fit_intercept or settings.first_order):
            sums = [(self.features[f], self.sums[f].intercept) for f in self.numbers]
            self.start = constant_start(sums, settings.closed)
        if free is not None:
            bare, zeros = self._bare(free), np.zeros((1, len(self.data.Y)))
            self.bare_fit = concluded(bare.checkpoint, PopulationFit, lambda: bare.fit(zeros))
        # all that asks for products of columns has them in `G`
        self.features = [own.without_products() for own in self.features]

    def _bare(self, free: np.ndarray) -> RowFits:
        """The same fits with the columns ``free`` alone, which are never penalised: null models."""
        data, scored = of_columns(free, self.data, self.scored)
        features = [own.of_columns(free) for own in self.features]
        return RowFits(
            self.engine, data, scored, self.center[free], features, self.folds, self.settings.bare(), self.wanted, True,
            None, None, (), "host", self.checkpoint.part("null"),
        )  # fmt: skip

    @property
    def largest(self) -> float:
        """Eigenvalue of the covariance of the penalised columns in all rows."""
        if self.features[0].is_diagonal:
            # a penalty of norms alone asks for none
            return self.features[0].largest or 0.0
        return largest_eigenvalue(self.G[0], self.settings.penalty.free)

    @property
    def fittable(self) -> np.ndarray:
        """Which neurons can be fitted to all rows, shape (n_neurons,)."""
        return self.sums[0].fittable(self.settings.loss)

    def fittable_in(self, f: int) -> np.ndarray:
        """Neurons that are fitted to the rows of a fit."""
        return np.flatnonzero(self.wanted[f] & self.sums[f].fittable(self.settings.loss))

    def null(self) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n_neurons, n_features) and curvature (n_neurons,) of the null models of all rows."""
        at = self.begun([0])[0].at
        return self.coordinates[0].unrotate(at.grad), at.curvature

    def fit(self, lambdas: np.ndarray) -> PopulationFit:
        """Every fit over all strengths (n_lambdas, n_neurons)."""
        if self.settings.first_order is not None:
            paths, deviance = self.by_first_order(self.settings.first_order, lambdas)
        elif self.schedule == "device":
            paths, deviance = self.on_devices(lambdas)
        else:
            paths, deviance = self.along_paths(lambdas)
        return self.collected(paths, deviance, lambdas)

    def collected(self, paths: list[Path], deviance: Any, lambdas: np.ndarray) -> PopulationFit:
        """The paths of all fits in the user's columns, with held-out deviance (n_folds, n_lambdas, n_neurons)."""
        full, of_folds = (paths[0], paths[1:]) if self.refit else (None, paths)
        fittable = np.array([sums.fittable(self.settings.loss) for sums in self.sums])
        result = collect(full, of_folds, self.coordinates, lambdas, fittable[0], fittable[1:])
        if of_folds:
            result.cv_deviance[:] = deviance
        return result

    def by_first_order(self, optimiser: FirstOrder, lambdas: np.ndarray) -> Fitted:
        """One fit after the other, by an optimiser that sees gradients alone."""
        settings, paths = self.settings, []
        for f in self.numbers:
            report = reporter(self.on_strength, 1, f - 1)
            (fit,) = self.begun([f])
            kept = self.checkpoint.part(f"fit{f}")
            given = optimiser, fit, lambdas, settings.tol, settings.max_iter, report, kept
            skipped = all_of(report, len(lambdas))
            paths.append(concluded(kept, Path, partial(walk_first_order, *given), skipped))
        return paths, self.deviance(paths)

    def on_devices(self, lambdas: np.ndarray) -> Fitted:
        """One fit after the other, its weights on the device, or with neurons shared out over several."""
        near = guides(self.start, [self.coordinates[f] for f in self.numbers])
        paths = []
        for i, f in enumerate(self.numbers):
            # neurons without a fit stay at their null model
            sums, p = self.sums[f], len(self.center)
            intercept = sums.intercept if self.settings.fit_intercept else np.zeros(len(sums.n))
            path = Path.empty(len(lambdas), intercept, sums.parameters, p, self.engine.dtype)
            neurons = self.fittable_in(f)
            report = None if self.on_strength is None else reporter(self.on_strength, 1, f - 1)

            def solve(
                engine: Engine, own: np.ndarray, kept: Checkpoint, f: int = f, i: int = i, report: Any = report
            ) -> Path:
                guide = None if near is None else near[i][:, own]
                # of several shares the first is followed
                follow = report if own[0] == self.fittable_in(f)[0] else None
                return self._on_device(engine, f, own, lambdas[:, own], guide, follow, kept)

            if len(neurons):
                kept = self.checkpoint.part(f"fit{f}")
                walk = partial(walk_in_shares, self.shares or [self.engine], neurons, solve, kept)
                path.put(concluded(kept, Path, walk, all_of(report, len(lambdas))), neurons)
            elif report is not None:
                report(np.full(1, len(lambdas)))
            self.parts[f].displace(self.engine, self.data)
            paths.append(path)
        return paths, self.deviance(paths)

    def _on_device(
        self, engine: Engine, f: int, neurons: np.ndarray, lambdas: np.ndarray, guide: np.ndarray | None, report: Any,
        kept: Checkpoint,
    ) -> Path:  # fmt: skip
        """The path of some neurons of one fit."""
        settings, rows, own = self.settings, self.parts[f].of(neurons), self.coordinates[f]
        if settings.units is not None:
            settings = replace(settings, units=settings.units.take(neurons))
        sums, everyone = self.sums[f].take(neurons), np.ones(len(neurons), bool)
        model = settings.model(engine, self.G[f], own)
        objective = DeviceObjective(
            engine, settings.loss, rows.samples, [rows.ranges], settings.fit_intercept, sums, settings.units,
            coordinates=own,
        )  # fmt: skip
        walk = Walk(begin(settings, objective, model, sums, everyone), lambdas, settings.tol, settings.max_iter, guide)
        follow = None if report is None else lambda level: report(level[0])
        run_walks([walk], report=follow, checkpoint=kept.part("device"))
        if (walk.handed_over >= 0).any():
            (rows_of_fit,) = objectives(engine, settings, [rows], [sums])
            host = begin(settings, RotatedObjective(rows_of_fit, own), model, sums, everyone)
            run_walks([walk.continued_by(host, MAX_PROBLEMS)], checkpoint=kept.part("host"))
        rows.displace(engine, self.parts[f])
        return finished_paths(walk)[0]

    def along_paths(self, lambdas: np.ndarray) -> Fitted:
        """Every neuron of every fit at its own pace; the fits meet where X is read."""
        settings, stop = self.settings, None
        if settings.ends is not None and self.wanted.all():
            held_out = [self._held_out(fold) for fold in range(len(self.tested))]
            stop = EarlyStop(held_out, self._scored(), len(lambdas), settings.ends)
        coordinates = [self.coordinates[f] for f in self.numbers]
        paths = walk_paths(
            self._joined(coordinates),
            evaluate_fits,
            Course(lambdas, settings.tol, settings.max_iter),
            guides(self.start, coordinates),
            reporter(self.on_strength, len(self.numbers), -int(self.refit)),
            stop,
            self.checkpoint,
        )
        return paths, self.deviance(paths) if stop is None else stop.deviance

    def _joined(self, coordinates: list[Coordinates]) -> list[Fit]:
        """All fits at their null models, as one where they may be, with the models that they begin with."""
        fits = join(self.begun(self.numbers))
        if self.settings.models is not None:
            self.settings.models.give(fits, coordinates)
        if self.data.X.shape[0] * self.wanted.shape[1] * len(self.center) >= LARGE:
            # what led here was as large as what the fits are about to fill
            give_back_freed_memory()
        return fits

    @property
    def numbers(self) -> list[int]:
        """Numbers of the fits: 0 to all rows, 1 + i to the training rows of fold i."""
        return list(range(int(not self.refit), len(self.parts)))

    def _axes(self, G: np.ndarray) -> tuple[Coordinates, np.ndarray]:
        """Coordinates of a fit, and the covariance G of its columns in them."""
        if G.ndim == 1:
            return self.settings.coordinates(self.engine, self.center, G), G
        if not self.principal:
            own = self.settings.coordinates(self.engine, self.center, G)
            return own, own.rotate_matrix(G)
        own, values = Coordinates.principal(self.engine, self.center, G)
        return own, values

    def _model(self, f: int) -> QuadraticModel:
        # fits side by side keep all workers busy: each is one part then
        n_parts = 1 if len(self.numbers) >= self.engine.n_workers else None
        diagonal = self.features[f].is_diagonal
        model = self.settings.model(self.engine, self.G[f], self.coordinates[f], n_parts, diagonal)
        if self.inverts and not diagonal:
            model.inverses = RidgeInverses(self.engine, model.G)
        return model

    def begun(self, fits: list[int]) -> list[Fit]:
        """Some of the fits at their null models."""
        if self.shared is None:
            rows = objectives(self.engine, self.settings, [self.parts[f] for f in fits], [self.sums[f] for f in fits])
            for f, own in zip(fits, rows, strict=True):
                self._tell_null(f, own)
        else:
            rows = self.shared.objectives(fits)
        begun = [
            begin(
                self.settings, RotatedObjective(own, self.coordinates[f]), self._model(f), self.sums[f], self.wanted[f]
            )
            for f, own in zip(fits, rows, strict=True)
        ]
        if self.shared is None:
            # each fit has a copy of its own
            for own in rows:
                own.null = None
        if self.bare_fit is not None:
            for f, fit in zip(fits, begun, strict=True):
                stand_at_null(fit, self.bare_fit, f, self.coordinates[f])
        return begun

    def _tell_null(self, f: int, own: FitRows) -> None:
        """Give the objective of a fit its null models, where sums over rows say all of them."""
        rows, features, settings = self.parts[f], self.features[f], self.settings
        alike = rows.offset is None and (rows.weights is None or rows.weights.ndim == 1)
        if alike and settings.loss.is_canonical and settings.fit_intercept and features.s > 0:
            YX = own.rows.YX[own.columns(np.arange(len(rows.Y)))]
            with np.errstate(divide="ignore", invalid="ignore"):
                own.null = null_models(settings.loss, self.sums[f], features.x / features.s, YX)

    def _scored(self) -> np.ndarray:
        """Whether a fold holds out anything of a neuron, and trains on something, shape (n_folds, n_neurons)."""
        loss, parameters = self.settings.loss, self.sums[0].parameters
        each = (response_sums(loss, rows.Y, rows.weights, rows.ranges, parameters=parameters) for rows in self.tested)
        return np.array([(held.n > 0) & (own.n > 0) for held, own in zip(each, self.sums[1:], strict=True)])

    def _held_out(self, fold: int) -> HeldOut:
        rows, own = self.tested[fold], self.coordinates[1 + fold]
        # strengths are compared at one value of a family's parameters, that of the null model of the training rows
        parameters = self.sums[1 + fold].parameters
        return HeldOut(self.engine, self.settings.loss, rows.samples, rows.ranges, own, parameters)

    def deviance(self, paths: list[Path]) -> list[np.ndarray]:
        """Held-out deviance (n_lambdas, n_neurons) of every fold."""
        points = [(path.W, path.b) for path in paths[self.refit :]]
        return deviances([self._held_out(i) for i in range(len(points))], points)


def stand_at_null(fit: Fit, bare: PopulationFit, f: int, coordinates: Coordinates) -> None:
    """Go to the null models with the columns that are never penalised, of fit number ``f``."""
    free = fit.model.penalty.free
    path, b = (bare.coef, bare.intercept) if f == 0 else (bare.cv_coef[f - 1], bare.cv_intercept[f - 1])
    W = np.zeros((len(fit.scale), fit.n_features))
    W[:, free] = path[0]
    b = b[0] + W @ coordinates.center
    W = coordinates.rotate(W)
    for first in range(0, len(fit.fittable), MAX_PROBLEMS):
        some = fit.fittable[first : first + MAX_PROBLEMS]
        if fit.loss.parameters:
            fit.renew_parameters(some)
        fit.stand_at(some, W[some], b[some])
        if fit.loss.parameters:
            fit.take_level(some)


def evaluate_fits(asked: list[tuple[Fit, np.ndarray, np.ndarray, np.ndarray]]) -> list[Evaluation]:
    """Points (fit, neurons, W, b) of several fits; those to rows of the same arrays in one pass over them."""
    if len(asked) == 1:
        return evaluate_alone(asked)
    found: list[Any] = [None] * len(asked)
    together: dict[int, list[int]] = {}
    for i, (fit, *_) in enumerate(asked):
        together.setdefault(id(fit.objective.objective.rows), []).append(i)
    for some in together.values():
        points = [(asked[i][0].objective, *asked[i][1:]) for i in some]
        rows = points[0][0].objective.rows
        at = rows.evaluate(
            np.concatenate([own.objective.columns(neurons) for own, neurons, _, _ in points]),
            np.concatenate([own.coordinates.unrotate(W) for own, _, W, _ in points]),
            np.concatenate([b for *_, b in points]),
        )
        last = np.cumsum([len(neurons) for _, neurons, _, _ in points])
        for i, (own, neurons, _, _), end in zip(some, points, last, strict=True):
            found[i] = own.rotated(at.take(slice(end - len(neurons), end)))
    return found

"""Paths of categorical responses, of all rows and of the training rows of every fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.categorical.problem import ClassFit, ClassRows
from popglm.solve.coordinates import Coordinates
from popglm.solve.fit import Fit
from popglm.solve.folds import Part, order_by_fold
from popglm.solve.population import center_of, centred_copy
from popglm.solve.settings import Settings, reporter, strengths
from popglm.solve.sums import FeatureSums, feature_sums, largest_eigenvalue
from popglm.statistics.categorical import class_counts, terms
from popglm.statistics.penalties import Penalty

__all__ = ["CategoricalFits", "Choices", "fit_categorical"]

#: Predictors that are scored at a time.
SCORED = 2**22


@dataclass(frozen=True)
class Choices:
    """What is fitted, as arrays.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
    codes : ndarray of int, shape (n_samples, n_responses)
        Numbers of classes, −1 where a response is not known.
    n_classes : int
        Of all responses together.
    weights : ndarray, shape (n_samples, n_responses) or (n_samples,), or None
    splits : list of (train, test) row indices
    penalties : list of Penalty, one per response
        Of features.
    grouped : bool
        Whether their norms are of groups.
    """

    X: np.ndarray
    codes: np.ndarray
    n_classes: int
    weights: np.ndarray | None
    splits: list[tuple[np.ndarray, np.ndarray]]
    penalties: list[Penalty]
    grouped: bool

    def weights_of(self, response: int) -> np.ndarray | None:
        """Weights of a response's samples, 0 where it is not known; None where all count alike."""
        known = self.codes[:, response] >= 0
        weights = self.weights
        if weights is not None:
            return np.where(known, weights if weights.ndim == 1 else weights[:, response], 0.0)
        return None if known.all() else known.astype(float)


@dataclass
class CategoricalFits:
    """Paths in the user's columns; axes: (fit,) strength, response, class, feature, the fit to all rows first.

    Attributes
    ----------
    lambdas : ndarray, shape (n_lambdas, n_responses)
    coef : ndarray, shape (1 + n_folds, n_lambdas, n_responses, n_classes, n_features)
    intercept : ndarray, shape (1 + n_folds, n_lambdas, n_responses, n_classes)
        −inf for classes that do not occur in the rows of a fit.
    gap, objective, n_iter : ndarray, shape (1 + n_folds, n_lambdas, n_responses)
    counts : ndarray, shape (1 + n_folds, n_responses, n_classes)
        Summed weights of the samples of every class.
    null_coef : ndarray, shape (1 + n_folds, n_responses, n_classes, n_features)
        Of the columns that are never penalised, alone.
    null_intercept : ndarray, shape (1 + n_folds, n_responses, n_classes)
    deviance : ndarray, shape (n_folds, n_lambdas, n_responses)
        Of held-out samples whose class occurs in the training rows; NaN where there are none.
    null_deviance, constant_deviance : ndarray, shape (n_folds, n_responses)
        Of the null models, and of the training rows' frequencies, on the same samples.
    """

    lambdas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray
    objective: np.ndarray
    n_iter: np.ndarray
    counts: np.ndarray
    null_coef: np.ndarray
    null_intercept: np.ndarray
    deviance: np.ndarray
    null_deviance: np.ndarray
    constant_deviance: np.ndarray

    @classmethod
    def empty(cls, lambdas: np.ndarray, n_fits: int, n_classes: int, n_features: int) -> CategoricalFits:
        """Room for fits; strengths (n_lambdas, n_responses)."""
        n, q = lambdas.shape
        coef, null_coef = np.zeros((n_fits, n, q, n_classes, n_features)), np.zeros((n_fits, q, n_classes, n_features))
        intercept, null_intercept = np.zeros((n_fits, n, q, n_classes)), np.zeros((n_fits, q, n_classes))
        gap, objective, n_iter = np.zeros((n_fits, n, q)), np.zeros((n_fits, n, q)), np.zeros((n_fits, n, q), int)
        deviance, null = np.full((n_fits - 1, n, q), np.nan), np.full((n_fits - 1, q), np.nan)
        counts = np.zeros((n_fits, q, n_classes))
        return cls(
            lambdas, coef, intercept, gap, objective, n_iter, counts, null_coef, null_intercept, deviance, null,
            null.copy(),
        )  # fmt: skip

    @property
    def fittable(self) -> np.ndarray:
        """Whether a fit has two classes of a response to tell apart, shape (1 + n_folds, n_responses)."""
        return (self.counts > 0).sum(axis=2) > 1


@dataclass
class _Begun:
    """A fit of a response at its null model.

    Attributes
    ----------
    own : ClassFit
    null_coef : ndarray, shape (n_classes, n_features)
        In the user's columns, as the intercepts.
    null_intercept : ndarray, shape (n_classes,)
    fit : tuple of Fit and Coordinates, or None
        None where there is nothing to fit.
    """

    own: ClassFit
    null_coef: np.ndarray
    null_intercept: np.ndarray
    fit: tuple[Fit, Coordinates] | None = None

    @classmethod
    def of(cls, own: ClassFit) -> _Begun:
        """Stand at the null model, that of the columns which are never penalised where there are some."""
        found = cls(own, np.zeros((own.rows.n_classes, own.rows.X.shape[1])), own.null_intercepts)
        if own.is_fittable:
            found.fit = own.begin()
            if own.rows.settings.penalty.free is not None:
                found._stand_at_free(*found.fit)
        return found

    def release(self) -> None:
        """Let go of what lies on a device for this fit alone."""
        if self.fit is not None:
            self.fit[0].objective.objective.release()

    def _stand_at_free(self, fit: Fit, coordinates: Coordinates) -> None:
        """Go to the best weights of the columns that are never penalised."""
        own, columns = self.own, self.own.rows.settings.penalty.free_columns
        bare = own.of_columns(columns)
        begun, turned = bare.begin()
        path = bare.walk(begun, np.zeros(1))
        begun.objective.objective.release()
        self.null_coef[:, columns] = bare.class_weights(turned.unrotate(path.W[0].astype(float)))[0]
        self.null_intercept = own.class_intercepts(path.b[0])[0]
        unit = 1.0 if own.rows.unit is None else own.rows.unit
        W = (own.basis @ (self.null_coef[own.present] * unit)).T.reshape(1, -1)
        fit.stand_at(np.zeros(1, int), coordinates.rotate(W), path.b[0])


def fit_categorical(
    engine: Engine,
    choices: Choices,
    settings: Settings,
    refit: bool = True,
    on_strength: Callable[..., Any] | None = None,
) -> CategoricalFits:
    """Fit every response over all strengths, to all rows and to the training rows of every split.

    Parameters
    ----------
    settings : Settings
        Its penalty is not asked for: those of the responses are.
    on_strength : callable, optional
        As in `popglm.solve.population.fit_population`.
    """
    X, n_responses = choices.X, choices.codes.shape[1]
    order, folds = order_by_fold(len(X), choices.splits)
    center = center_of(X, None, settings.fit_intercept)
    work = centred_copy(X, order, center, engine.dtype, None)
    shared = feature_sums(engine, work, None, folds)[0]
    fits: list[list[ClassFit]] = []
    for response in range(n_responses):
        rows = _rows_of(engine, work, choices, order, response, settings, _variances(shared[0]))
        weights = choices.weights_of(response)
        weights = None if weights is None else weights[order]
        features = shared if weights is None else feature_sums(engine, work, weights, folds)[0]
        parts = [Part([(0, len(X))]), *folds.train]
        fits.append([_class_fit(rows, weights, *each) for each in zip(parts, features, strict=True)])
    grid = settings.lambdas
    if grid is None:
        # fits are begun when their turn comes: a local model of all of them at once may fill the memory
        grid = _filled(_all(engine, [partial(_strengths, settings, own[0]) for own in fits]), settings.n_lambdas)
    found = CategoricalFits.empty(grid, len(folds.train) + 1, choices.n_classes, X.shape[1])
    each = [(f, r) for r in range(n_responses) for f in range(len(folds.train) + 1)]

    def walk(f: int, r: int) -> None:
        report = reporter(None if on_strength is None else partial(on_strength, share=1 / n_responses), 1, f - 1)
        _keep(found, _Begun.of(fits[r][f]), f, r, center, report, f > 0 or refit)
        if f:
            weights = choices.weights_of(r)
            held = folds.test[f - 1], None if weights is None else weights[order]
            _score(found, work, choices.codes[order, r], held, f, r, center)

    _all(engine, [partial(walk, *at) for at in each])
    return found


def _all(engine: Engine, tasks: list[Callable[[], Any]]) -> list[Any]:
    """What tasks return; side by side where the arrays are NumPy's."""
    if engine.name == "numpy" and len(tasks) >= engine.n_workers:
        return engine.map(lambda task: task(), [(task,) for task in tasks])
    return [task() for task in tasks]


def _variances(features: FeatureSums) -> np.ndarray:
    return np.diag(features.XX) / max(features.s, np.finfo(float).tiny)


def _rows_of(
    engine: Engine, work: np.ndarray, choices: Choices, order: np.ndarray, response: int, settings: Settings,
    variances: np.ndarray,
) -> ClassRows:  # fmt: skip
    penalty, unit = choices.penalties[response].evened(variances)
    codes, weights = choices.codes[:, response], choices.weights_of(response)
    n_own = len(np.unique(codes[codes >= 0] if weights is None else codes[weights > 0]))
    own = replace(settings, penalty=penalty, lambdas=None)
    return ClassRows(engine, work, codes[order], own, unit, choices.n_classes, n_own, choices.grouped)


def _class_fit(rows: ClassRows, weights: np.ndarray | None, part: Part, features: FeatureSums) -> ClassFit:
    """The fit to a part of the rows; what ranges cannot say is in the weights."""
    n, ranges = len(rows.X), part.ranges
    if part.index is not None or part.counts is not None:
        counted = part.counted(n).astype(float)
        weights, ranges = counted if weights is None else weights * counted, [(0, n)]
    inside = np.zeros(n)
    for first, last in ranges:
        inside[first:last] = 1 if weights is None else weights[first:last]
    return ClassFit(rows, weights, ranges, features, class_counts(rows.codes, inside, rows.n_classes))


def _strengths(settings: Settings, fit: ClassFit) -> np.ndarray | None:
    """The grid (n_lambdas,) of a response, from its fit to all rows; None where that has nothing to fit."""
    begun = _Begun.of(fit)
    if begun.fit is None:
        return None
    at, S = begun.fit[0].at, np.diag(fit.shares) - np.outer(fit.shares, fit.shares)
    largest = largest_eigenvalue(fit.covariance(), fit.rows.settings.penalty.free) * float(np.linalg.eigvalsh(S)[-1])
    begun.release()
    return strengths(
        replace(settings, penalty=fit.settings().penalty), np.ones(1, bool), largest, lambda: (at.grad, at.curvature)
    )[:, 0]


def _filled(lambdas: list[np.ndarray | None], n_lambdas: int) -> np.ndarray:
    """Strengths (n_lambdas, n_responses); a response without a grid borrows one."""
    there = [own for own in lambdas if own is not None]
    lent = np.median(there, axis=0) if there else np.geomspace(1, 1e-4, n_lambdas)
    return np.stack([lent if own is None else own for own in lambdas], axis=1)


def _keep(
    found: CategoricalFits, begun: _Begun, f: int, r: int, center: np.ndarray,
    report: Callable[[np.ndarray], None] | None, wanted: bool,
) -> None:  # fmt: skip
    """Write the path of a response in a fit, and its null model."""
    own, n_lambdas = begun.own, len(found.lambdas)
    found.counts[f, r] = own.counts
    found.null_coef[f, r], found.null_intercept[f, r] = begun.null_coef, begun.null_intercept - begun.null_coef @ center
    if begun.fit is None or not wanted:
        found.coef[f, :, r], found.intercept[f, :, r] = found.null_coef[f, r], found.null_intercept[f, r]
        if report is not None:
            report(np.full(1, n_lambdas))
        return
    fit, coordinates = begun.fit
    path = own.walk(fit, found.lambdas[:, r], report)
    begun.release()
    W = coordinates.unrotate(path.W[:, 0].astype(float))
    V = own.class_weights(W).astype(own.rows.engine.dtype).astype(float)
    found.coef[f, :, r] = V
    # those of the rounded weights: what these move the means by is taken back
    found.intercept[f, :, r] = own.class_intercepts(path.b[:, 0]) - V @ center
    found.gap[f, :, r], found.n_iter[f, :, r] = path.gap[:, 0], path.n_iter[:, 0]
    found.objective[f, :, r] = path.objective[:, 0]


def _score(
    found: CategoricalFits, work: np.ndarray, codes: np.ndarray, held: tuple[Part, np.ndarray | None], f: int, r: int,
    center: np.ndarray,
) -> None:  # fmt: skip
    """Deviances of the samples that a fold holds out, of its path and its null models."""
    part, weights = held
    present = np.flatnonzero(found.counts[f, r] > 0)
    rows = np.concatenate([np.arange(a, b) for a, b in part.ranges]) if part.index is None else part.index
    s = part.counted(len(work))[rows] if part.counts is not None else np.ones(len(rows))
    s = s * (1.0 if weights is None else weights[rows]) * np.isin(codes[rows], present)
    rows, s = rows[s > 0], s[s > 0]
    if not len(rows):
        return
    coef = np.concatenate([found.coef[f, :, r], found.null_coef[None, f, r]])[:, present]
    intercept = np.concatenate([found.intercept[f, :, r], found.null_intercept[None, f, r]])[:, present]
    # the columns of the working copy are centred
    intercept = intercept + coef @ center
    n_models, n = coef.shape[0], coef.shape[0] * coef.shape[1]
    flat, total = coef.reshape(n, -1).astype(work.dtype), np.zeros(n_models)
    place = np.searchsorted(present, codes[rows])
    step = max(1, SCORED // n)
    for first in range(0, len(rows), step):
        at = slice(first, first + step)
        own = (np.arange(len(present))[:, None] == place[at]).astype(float)
        eta = (flat @ work[rows[at]].T).astype(float).reshape(n_models, len(present), -1) + intercept[:, :, None]
        with np.errstate(divide="ignore", over="ignore"):
            total += [2 * s[at] @ terms(np, one, own).loss for one in eta]
    found.deviance[f - 1, :, r], found.null_deviance[f - 1, r] = total[:-1], total[-1]
    counts = found.counts[f, r][present]
    share = counts / counts.sum()
    found.constant_deviance[f - 1, r] = -2 * s @ np.log(share[place])

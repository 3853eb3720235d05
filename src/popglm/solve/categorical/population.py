"""Paths of categorical responses, of all rows and of the training rows of every fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from popglm.engines.protocol import Engine
from popglm.solve.categorical.descent import Begun, Descent
from popglm.solve.categorical.objective import Labels
from popglm.solve.categorical.problem import ClassFit, ClassRows
from popglm.solve.categorical.results import CategoricalFits, HeldOutRows
from popglm.solve.folds import Part, order_by_fold
from popglm.solve.passes.sums import FeatureSums, feature_sums, largest_eigenvalue
from popglm.solve.prepared import SHORT_RANGE, center_of, centred_copy
from popglm.solve.settings import Settings, strengths
from popglm.solve.snapshot import UNKEPT, Checkpoint
from popglm.solve.sparse.limits import check_sparse
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream, read_rows, released
from popglm.statistics.categorical import class_counts
from popglm.statistics.penalties import Penalty

__all__ = ["CategoricalFits", "Choices", "fit_categorical"]


@dataclass(frozen=True)
class Choices:
    """What is fitted, as arrays.

    Attributes
    ----------
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
    codes : ndarray of int, shape (n_samples, n_responses)
        Numbers of classes, −1 where a response is not known.
    n_classes : int
        Of all responses together.
    weights : ndarray, shape (n_samples, n_responses) or (n_samples,), or None
    offset : ndarray, shape (n_samples, n_classes) or (n_samples, n_responses, n_classes), or None
        What is added to the predictors.
    splits : list of (train, test) row indices
    penalties : list of list of Penalty
        Of features: of every response, in the fit to all rows and in that of every split.
    grouped : bool
        Whether their norms are of groups.
    """

    X: Any
    codes: np.ndarray
    n_classes: int
    weights: np.ndarray | None
    offset: np.ndarray | None
    splits: list[tuple[np.ndarray, np.ndarray]]
    penalties: list[list[Penalty]]
    grouped: bool

    def weights_of(self, response: int) -> np.ndarray | None:
        """Weights of a response's samples, 0 where it is not known; None where all count alike."""
        known = self.codes[:, response] >= 0
        weights = self.weights
        if weights is not None:
            return np.where(known, weights if weights.ndim == 1 else weights[:, response], 0.0)
        return None if known.all() else known.astype(float)

    def offset_of(self, response: int, order: np.ndarray, dtype: Any) -> np.ndarray | None:
        """The offset (n_classes, n_samples) of a response, its samples in some order."""
        if self.offset is None:
            return None
        own = self.offset if self.offset.ndim == 2 else self.offset[:, response]
        return np.ascontiguousarray(own[order].T, dtype)


def fit_categorical(
    engine: Engine,
    choices: Choices,
    settings: Settings,
    refit: bool = True,
    on_strength: Callable[..., Any] | None = None,
    start: np.ndarray | None = None,
    checkpoint: Checkpoint = UNKEPT,
) -> CategoricalFits:
    """Fit every response over all strengths, to all rows and to the training rows of every split.

    Parameters
    ----------
    settings : Settings
        Its penalty is not asked for: those of the responses are.
    on_strength : callable, optional
        As in `popglm.solve.population.fit_population`.
    start : ndarray, shape (n_fits, n_lambdas, n_responses, n_classes, n_features), optional
        Coefficients of a path that is near, of the fit to all rows (if ``refit``) and of every split. What holds of
        those of `popglm.solve.population.fit_population` holds of them.
    checkpoint : Checkpoint
        Where the fit is kept while it goes on, and taken up again: of these very arguments.
    """
    X, n_responses = choices.X, choices.codes.shape[1]
    if isinstance(X, SparseRows):
        check_sparse(X, settings, engine, "auto", ())
    on_disk = isinstance(X, RowStream) and not isinstance(X, SparseRows)
    order, folds = order_by_fold(len(X), choices.splits, SHORT_RANGE if on_disk else None)
    center = center_of(X, None, settings.fit_intercept)
    work = _centred(engine, X, order, center)
    free = choices.penalties[0][0].free
    own_columns = None if free is None else _of_columns(work, free)
    shared = feature_sums(engine, work, None, folds, free)[0]
    fits: list[list[ClassFit]] = []
    for response in range(n_responses):
        own = _rows_of(engine, work, choices, order, response, settings, _variances(shared[0]), own_columns)
        weights = choices.weights_of(response)
        weights = None if weights is None else weights[order]
        features = shared if weights is None else feature_sums(engine, work, weights, folds, free)[0]
        if own[0].needs_largest and settings.lambdas is None:
            features = [replace(features[0], largest=_largest_variance(own[0], weights)), *features[1:]]
        parts = [Part([(0, len(X))]), *folds.train]
        given = zip(own, parts, features, strict=True)
        fits.append([_class_fit(rows, weights, part, sums) for rows, part, sums in given])
    grid = settings.lambdas
    tasks = _Tasks(engine, side_by_side=engine.name == "numpy" and not on_disk)
    if grid is None:
        # fits are begun when their turn comes: a local model of all of them at once may fill the memory
        grid = _filled(tasks.run([partial(_strengths, settings, own[0]) for own in fits]), settings.n_lambdas)
    found = CategoricalFits.empty(grid, len(folds.train) + 1, choices.n_classes, X.shape[1])

    tell = None if on_strength is None else partial(on_strength, share=1 / n_responses)
    each = [f for f in range(len(folds.train) + 1) if f or refit]
    descents = []
    for r in range(n_responses):
        weights = choices.weights_of(r)
        weights = None if weights is None else weights[order]
        labels = Labels(choices.codes[order, r], weights, fits[r][0].rows.offset)
        held = partial(_held_out, work, center, labels, folds.test)
        near = None if start is None else dict(zip(each, start[:, :, r], strict=True))
        descents.append(Descent(found, r, fits[r], held, each, center, tell, near, checkpoint.part(f"response{r}")))
    with released(work):
        if settings.ends is None:
            tasks.run([partial(own.alone, f) for own in descents for f in range(len(folds.train) + 1)])
        else:
            tasks.run([partial(own.together, settings.ends) for own in descents])
    return found


@dataclass(frozen=True)
class _Tasks:
    """How fits of which none hears of the others are run.

    Attributes
    ----------
    side_by_side : bool
        Whether whole fits are, where there are enough of them for all workers. Rows that are read come to one fit after
        the other: windows that are worked on side by side are neighbours then.
    """

    engine: Engine
    side_by_side: bool

    def run(self, tasks: list[Callable[[], Any]]) -> list[Any]:
        """What tasks return."""
        if self.side_by_side and len(tasks) >= self.engine.n_workers:
            return self.engine.map(lambda task: task(), [(task,) for task in tasks])
        return [task() for task in tasks]


def _centred(engine: Engine, X: Any, order: np.ndarray, center: np.ndarray) -> Any:
    """The rows of a fit: in its order and less the columns' means, of the kind of X."""
    if isinstance(X, SparseRows):
        return X.centred_for(order, center, engine.dtype, None)
    if isinstance(X, RowStream):
        return X.centred(center, engine.dtype, engine.n_workers)
    return centred_copy(X, order, center, engine.dtype, None)


def _held_out(X: Any, center: np.ndarray, labels: Labels, parts: list[Part], fold: int) -> HeldOutRows:
    return HeldOutRows.of(X, center, labels, parts[fold])


def _of_columns(X: Any, columns: np.ndarray) -> np.ndarray:
    """Some columns (n_features,) of bool, in memory and dense."""
    return np.ascontiguousarray(np.concatenate([rows[:, columns] for _, _, rows in read_rows(X)]))


def _variances(features: FeatureSums) -> np.ndarray:
    XX = features.XX
    return (XX if XX.ndim == 1 else np.diag(XX)) / max(features.s, np.finfo(float).tiny)


def _rows_of(
    engine: Engine, work: Any, choices: Choices, order: np.ndarray, response: int, settings: Settings,
    variances: np.ndarray, free: np.ndarray | None,
) -> list[ClassRows]:  # fmt: skip
    """What the fits of a response share, of every fit: the same wherever the penalty is."""
    codes, weights = choices.codes[:, response], choices.weights_of(response)
    n_own = len(np.unique(codes[codes >= 0] if weights is None else codes[weights > 0]))
    labels = codes[order], choices.offset_of(response, order, engine.dtype)
    found: list[ClassRows] = []
    for f, given in enumerate(choices.penalties):
        if f and given[response] is choices.penalties[f - 1][response]:
            found.append(found[-1])
            continue
        penalty, unit = given[response].evened(variances)
        own = replace(settings, penalty=penalty, lambdas=None)
        found.append(ClassRows(engine, work, free, *labels, own, unit, choices.n_classes, n_own, choices.grouped))
    return found


def _largest_variance(rows: ClassRows, weights: np.ndarray | None) -> float:
    """Eigenvalue of the covariance of wide sparse columns that are penalised, in their units."""
    X = rows.X if rows.unit is None else SparseRows(csr_array(rows.X.source.multiply(1 / rows.unit)))
    return X.largest_variance(weights, rows.settings.penalty.free)


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
    begun = Begun.of(fit)
    if begun.fit is None:
        return None
    at, S = begun.fit[0].at, np.diag(fit.shares) - np.outer(fit.shares, fit.shares)
    largest = fit.features.largest or largest_eigenvalue(fit.covariance(), fit.rows.settings.penalty.free)
    largest *= float(np.linalg.eigvalsh(S)[-1])
    begun.release()
    return strengths(
        replace(settings, penalty=fit.settings().penalty), np.ones(1, bool), largest, lambda: (at.grad, at.curvature)
    )[:, 0]


def _filled(lambdas: list[np.ndarray | None], n_lambdas: int) -> np.ndarray:
    """Strengths (n_lambdas, n_responses); a response without a grid borrows one."""
    there = [own for own in lambdas if own is not None]
    lent = np.median(there, axis=0) if there else np.geomspace(1, 1e-4, n_lambdas)
    return np.stack([lent if own is None else own for own in lambdas], axis=1)

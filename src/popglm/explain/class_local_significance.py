"""Significance of classifiers by local refits: every surrogate goes through folds and strengths, but through no fit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from popglm.estimators.classifier.labels import weights_by_class
from popglm.estimators.classifier.offsets import beside_classes
from popglm.estimators.classifier.predictions import shares_of
from popglm.explain.class_ablation import ClassPredictor
from popglm.explain.class_significance import TestedClasses
from popglm.explain.class_subsets import BestIntercepts
from popglm.explain.local import thinned
from popglm.explain.local_classes import LocalClasses
from popglm.explain.refits import BLOCK, COLUMNS, penalty_of_columns
from popglm.statistics.categorical import class_counts

__all__ = ["LocallyTestedClasses"]

#: Directions of the classes whose variance is a smaller share of the largest say nothing.
LEAST_SPREAD = 1e-9


@dataclass(eq=False)
class _Target:
    """What is tested of one response: residuals of its labels, and the fits to them.

    Attributes
    ----------
    local : LocalClasses
    residuals : ndarray, shape (n_samples, n_coordinates)
        0 where no label is known.
    known : ndarray of bool, shape (n_samples,)
    lambdas : ndarray, shape (n_lambdas,)
    """

    local: LocalClasses
    residuals: np.ndarray
    known: np.ndarray
    lambdas: np.ndarray

    def explained(self, Z: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        """The statistic of residuals (n_columns, n_coordinates, n_samples), the samples in the order of the fits."""
        return self.local.explained(Z, np.repeat(self.lambdas[:, None], len(Z), axis=1), known)


@dataclass(eq=False)
class LocallyTestedClasses(TestedClasses):
    """The same labels, tested by quadratic approximations of the likelihood."""

    refit: ClassVar[str] = "local"
    _targets: dict[Any, _Target | None] = field(default_factory=dict, init=False, repr=False)

    def at_once(self) -> int:
        """See `MovedTest`."""
        return max(1, min(COLUMNS, BLOCK // (len(self.X) * len(self.model.classes_))))

    def statistic(self, own: Any, alone: np.ndarray) -> np.ndarray:
        """See `MovedTest`."""
        found = np.full(self.y.shape[1], np.nan)
        for j in np.flatnonzero(~self.empty):
            if (target := self._target(own, alone, int(j))) is not None:
                order = target.local.order
                known = None if target.known.all() else target.known[None, order]
                found[j] = target.explained(target.residuals[order].T[None], known)[0]
        return found

    def score(self, own: Any, alone: np.ndarray, surrogates: Any, going: np.ndarray, draws: slice) -> np.ndarray:
        """See `MovedTest`; residuals are moved against the columns."""
        found = np.full((draws.stop - draws.start, len(going)), np.nan)
        for i, j in enumerate(going):
            if (target := self._target(own, alone, j)) is None:
                continue
            order = target.local.order
            moved = [self.moved(one, j, surrogates, draws, order) for one in target.residuals.T]
            known = None
            if not target.known.all():
                known = surrogates.known(target.known, j, draws, order)
                if own is None:
                    known = self.moved(target.known, j, surrogates, draws, order)
            found[:, i] = target.explained(np.stack(moved, axis=1), known)
        return found

    def _target(self, own: Any, alone: np.ndarray, j: int) -> _Target | None:
        """What is tested of a response, made once; None where its labels do not vary."""
        key = None if own is None else own.tobytes(), j
        if key not in self._targets:
            self._targets[key] = self._made(own, alone, j)
        return self._targets[key]

    def _made(self, own: Any, alone: np.ndarray, j: int) -> _Target | None:
        model, codes = self.model, self.y[:, j]
        s = np.ones(len(codes)) if self.data.weight is None else self.data.weight
        counts = class_counts(codes, s, len(model.classes_))
        there = np.flatnonzero(counts > 0)
        # weights of classes go with the labels, those of samples stay
        of_class = weights_by_class(
            model.class_weight, np.arange(len(counts))[:, None], model.classes_, counts[:, None]
        )
        each = (counts if of_class is None else of_class.reshape(-1))[there] / counts[there]
        each = each * counts.sum() / (each @ counts[there])
        known = (codes >= 0) & np.isin(codes, there)
        place = np.searchsorted(there, np.where(known, codes, there[0]))
        if own is None:
            p = self._null_shares(j, there, place, known * s * each[place])
        else:
            p = self._shares_without(own, alone, j)[:, there]
            known &= np.isfinite(p).all(axis=1) & model.is_scored(self.y, model.fold_)[:, j]
        weight = np.where(known, each[place], 0.0)
        p = np.where(known[:, None], p, 0.0)
        residuals = weight[:, None] * (np.eye(len(there))[place] - p)
        w = weight * s / max(weight @ s, np.finfo(float).tiny)
        S = np.diag(w @ p) - (p * w[:, None]).T @ p
        grouped = model.penalty == "group_lasso"
        basis = self._basis(S, grouped)
        if not basis.shape[1]:
            return None
        S = basis.T @ S @ basis
        columns = np.arange(self.X.shape[1]) if own is None else own
        open_ = np.ones(len(columns), bool) if model.feature_mask_ is None else model.feature_mask_[columns, j]
        if not open_.any():
            return None
        factors = model.penalty_factors_
        factors = factors[:, j] if factors is not None and factors.ndim == 2 else factors
        smoothness = model.smoothness * basis.shape[1] / float(np.trace(S))
        penalty = penalty_of_columns(model, columns[open_], smoothness, factors)
        if grouped:
            penalty = replace(penalty, block_weights=penalty.block_weights * np.sqrt(len(there)))
        assert model.splits_ is not None
        local = LocalClasses(
            alone[:, open_], model.splits_, self.data.weight, penalty, bool(model.fit_intercept), S=S, grouped=grouped
        )
        grid = model.lambda_path_[:, j]
        grid = grid[np.isfinite(grid)]
        return _Target(local, residuals @ basis, known, grid[thinned(len(grid))])

    def _basis(self, S: np.ndarray, grouped: bool) -> np.ndarray:
        """Coordinates (n_classes, n_coordinates): axes of S, or the classes themselves for norms of single weights."""
        values, vectors = np.linalg.eigh(S)
        some = values > LEAST_SPREAD * max(values[-1], np.finfo(float).tiny)
        if grouped or self.model.penalty_.l1_ratio == 0:
            return vectors[:, some]
        return np.eye(len(S)) if some.any() else np.zeros((len(S), 0))

    def _null_shares(self, j: int, there: np.ndarray, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Probabilities (n_samples, n_classes) under the null model of all rows."""
        model, offset = self.model, self.data.offset
        counts = class_counts(place, weights, len(there))
        if offset is None:
            share = counts / counts.sum() if model.fit_intercept else np.full(len(there), 1 / len(there))
            return np.broadcast_to(share, (len(place), len(there)))
        beside = beside_classes(offset, slice(j, j + 1))[:, 0, there]
        if not model.fit_intercept:
            return shares_of(beside)
        best = BestIntercepts(place, weights, len(there))
        return shares_of(beside + best.best(beside.T, np.log(counts / counts.sum())))

    def _shares_without(self, own: np.ndarray, alone: np.ndarray, j: int) -> np.ndarray:
        """Held-out probabilities (n_samples, n_classes) without what only some columns can say."""
        whole = ClassPredictor.make(self.model, self.X, self.data.offset, held_out=True)
        parts = [(rows, coef[..., own], intercept) for rows, coef, intercept in whole.parts]
        response = np.array([j])
        eta = whole.eta(response) - ClassPredictor(alone, None, parts).part(slice(None), response)
        with np.errstate(invalid="ignore"):
            return shares_of(eta[:, 0])

"""What fits of categorical responses leave behind, and how well that predicts the rows that folds hold out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.categorical.objective import Labels
from popglm.solve.folds import Part, Ranges
from popglm.solve.walk.path import Path
from popglm.statistics.categorical import terms

__all__ = ["CategoricalFits", "HeldOutRows"]

#: Predictors that are scored at a time.
SCORED = 2**22


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
    n_fitted : ndarray of int, shape (n_responses,)
        Strengths that a response went down to.
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
    n_fitted: np.ndarray

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
            null.copy(), np.full(q, n),
        )  # fmt: skip

    @property
    def fittable(self) -> np.ndarray:
        """Whether a fit has two classes of a response to tell apart, shape (1 + n_folds, n_responses)."""
        return (self.counts > 0).sum(axis=2) > 1

    def put_null_model(self, f: int, r: int, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Write the null model of response r in fit f, in the place of its path, too."""
        self.null_coef[f, r], self.null_intercept[f, r] = coef, intercept
        self.coef[f, :, r], self.intercept[f, :, r] = coef, intercept

    def put_path(self, f: int, r: int, path: Path, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Write what response r has in fit f, with weights and intercepts in the user's columns."""
        self.coef[f, :, r], self.intercept[f, :, r] = coef, intercept
        self.gap[f, :, r], self.n_iter[f, :, r] = path.gap[:, 0], path.n_iter[:, 0]
        self.objective[f, :, r] = path.objective[:, 0]

    def score(self, held: HeldOutRows, f: int, r: int) -> None:
        """Write deviances of the rows that fold f − 1 holds out, of the path of response r and its null models."""
        counts = self.counts[f, r]
        coef = np.concatenate([self.coef[f, :, r], self.null_coef[None, f, r]])
        intercept = np.concatenate([self.intercept[f, :, r], self.null_intercept[None, f, r]])
        found = held.deviances(coef, intercept, counts)
        self.deviance[f - 1, :, r], self.null_deviance[f - 1, r] = found[:-1], found[-1]
        self.constant_deviance[f - 1, r] = held.constant_deviance(counts)

    def cut(self, r: int, n: int) -> None:
        """Forget what lies beyond the first ``n`` strengths of response r, as if it had stopped there."""
        self.n_fitted[r] = n
        if n == len(self.lambdas):
            return
        for weights in (self.coef, self.intercept):
            weights[:, n:, r] = weights[:, n - 1, None, r]
        self.n_iter[:, n:, r] = 0
        for certified in (self.gap, self.objective, self.deviance):
            certified[:, n:, r] = np.nan


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """The rows of a response that a fold holds out.

    Attributes
    ----------
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
        Centred.
    center : ndarray, shape (n_features,)
    codes : ndarray of int, shape (n_samples,)
    weights : ndarray, shape (n_samples,)
        0 for rows that do not count.
    offset : ndarray, shape (n_classes, n_samples), or None
    ranges : list of (first, last)
        Among which all others are.
    """

    X: Any
    center: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    offset: np.ndarray | None
    ranges: Ranges

    @classmethod
    def of(cls, X: Any, center: np.ndarray, labels: Labels, part: Part) -> HeldOutRows:
        """Those of a part."""
        s = part.counted(len(X)) * (1.0 if labels.weights is None else labels.weights)
        ranges = part.ranges if part.index is None else [(0, len(X))]
        return cls(X, center, labels.codes, s, labels.offset, ranges)

    def _counted(self, counts: np.ndarray) -> np.ndarray:
        """Weights of samples whose class occurs in the training rows, by their summed weights (n_classes,)."""
        return self.weights * np.isin(self.codes, np.flatnonzero(counts > 0))

    def deviances(self, coef: np.ndarray, intercept: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Of models (n_models, n_classes, n_features) and their intercepts, in the user's columns; NaN without rows."""
        s, present = self._counted(counts), np.flatnonzero(counts > 0)
        if not (s > 0).any():
            return np.full(len(coef), np.nan)
        coef = coef[:, present]
        # the columns are centred
        intercept = intercept[:, present] + coef @ self.center
        n_models, n = coef.shape[0], coef.shape[0] * coef.shape[1]
        flat, total = coef.reshape(n, -1).astype(self.X.dtype), np.zeros(n_models)
        place = np.searchsorted(present, self.codes)
        step = min(max(1, SCORED // n), getattr(self.X, "block_rows", SCORED))
        for first, last in ((a, min(a + step, stop)) for start, stop in self.ranges for a in range(start, stop, step)):
            counted = s[first:last] > 0
            if not counted.any():
                continue
            own = (np.arange(len(present))[:, None] == place[first:last][counted]).astype(float)
            eta = (flat @ self.X[first:last][counted].T).astype(float).reshape(n_models, len(present), -1)
            if self.offset is not None:
                eta += self.offset[present, first:last][:, counted]
            with np.errstate(divide="ignore", over="ignore"):
                loss = [terms(np, one, own).loss for one in eta + intercept[:, :, None]]
            total += [2 * s[first:last][counted] @ one for one in loss]
        return total

    def constant_deviance(self, counts: np.ndarray) -> float:
        """Of the training rows' frequencies; NaN without rows."""
        s = self._counted(counts)
        share = counts / max(counts.sum(), np.finfo(float).tiny)
        return float(-2 * s[s > 0] @ np.log(share[self.codes[s > 0]])) if (s > 0).any() else np.nan

"""What fits of categorical responses leave behind, and how well that predicts the rows that folds hold out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.folds import Part
from popglm.solve.path import Path
from popglm.statistics.categorical import terms

__all__ = ["CategoricalFits"]

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

    def put_null_model(self, f: int, r: int, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Write the null model of response r in fit f, in the place of its path, too."""
        self.null_coef[f, r], self.null_intercept[f, r] = coef, intercept
        self.coef[f, :, r], self.intercept[f, :, r] = coef, intercept

    def put_path(self, f: int, r: int, path: Path, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Write what response r has in fit f, with weights and intercepts in the user's columns."""
        self.coef[f, :, r], self.intercept[f, :, r] = coef, intercept
        self.gap[f, :, r], self.n_iter[f, :, r] = path.gap[:, 0], path.n_iter[:, 0]
        self.objective[f, :, r] = path.objective[:, 0]

    def score(
        self, work: Any, codes: np.ndarray, held: tuple[Part, np.ndarray | None], f: int, r: int,
        center: np.ndarray,
    ) -> None:  # fmt: skip
        """Deviances of the samples that a fold holds out, of its path and its null models."""
        part, weights = held
        present = np.flatnonzero(self.counts[f, r] > 0)
        s = part.counted(len(work)) * (1.0 if weights is None else weights) * np.isin(codes, present)
        if not (s > 0).any():
            return
        coef = np.concatenate([self.coef[f, :, r], self.null_coef[None, f, r]])[:, present]
        intercept = np.concatenate([self.intercept[f, :, r], self.null_intercept[None, f, r]])[:, present]
        # the columns of the working copy are centred
        intercept = intercept + coef @ center
        n_models, n = coef.shape[0], coef.shape[0] * coef.shape[1]
        flat, total = coef.reshape(n, -1).astype(work.dtype), np.zeros(n_models)
        place = np.searchsorted(present, codes)
        step = min(max(1, SCORED // n), getattr(work, "block_rows", SCORED))
        ranges = part.ranges if part.index is None else [(0, len(work))]
        for first, last in ((a, min(a + step, stop)) for start, stop in ranges for a in range(start, stop, step)):
            counts = s[first:last] > 0
            if not counts.any():
                continue
            own = (np.arange(len(present))[:, None] == place[first:last][counts]).astype(float)
            eta = (flat @ work[first:last][counts].T).astype(float).reshape(n_models, len(present), -1)
            with np.errstate(divide="ignore", over="ignore"):
                loss = [terms(np, one, own).loss for one in eta + intercept[:, :, None]]
            total += [2 * s[first:last][counts] @ one for one in loss]
        self.deviance[f - 1, :, r], self.null_deviance[f - 1, r] = total[:-1], total[-1]
        counts = self.counts[f, r][present]
        share = counts / counts.sum()
        self.constant_deviance[f - 1, r] = -2 * s[s > 0] @ np.log(share[place[s > 0]])

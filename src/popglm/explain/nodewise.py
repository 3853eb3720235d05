"""What other columns leave of every column, by node-wise regressions: an inverse of information that is singular."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from popglm.estimators import GLM
from popglm.explain.fitted_samples import FLAT
from popglm.statistics.penalties import Penalty

__all__ = ["Nodewise"]

#: Strengths of the regressions, from the universal one down.
STRENGTHS = np.geomspace(1.0, 0.1, 6)
#: Variance that a weaker strength may add, as a share, for less bias (Zhang & Zhang 2014, table 1).
INFLATION = 1.25
#: Share of what a regression leaves of a column that is not there for the penalty alone, at least; below, the others
#: explain all of the column.
OWN = 0.1


@dataclass
class Nodewise:
    """Directions along which a block of columns varies and the others hardly do, for weights of samples.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
    penalty : Penalty
        Of the model: its blocks are columns, or feature groups.
    fit_intercept : bool
    """

    X: np.ndarray
    penalty: Penalty
    fit_intercept: bool
    _known: dict[bytes, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)

    def directions(self, v: np.ndarray, open_: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """D (n_samples, n_features), means of columns, and which columns have a direction, for weights v (n_samples,).

        The weights of the loss get a step of −Dᵀr, r its slopes in the predictor: D'diag(v)X is the unit matrix within
        blocks, and close to 0 elsewhere.

        Parameters
        ----------
        open_ : ndarray of bool, shape (n_features,)
            Columns that may have a weight.
        """
        key = v.tobytes() + open_.tobytes()
        if key not in self._known:
            # neurons of alike weights follow each other, and all of them are alike for a Gaussian
            self._known.clear()
            self._known[key] = self._regress(v, open_)
        return self._known[key]

    def _regress(self, v: np.ndarray, open_: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, p = self.X.shape
        center = np.average(self.X, axis=0, weights=v) if self.fit_intercept else np.zeros(p)
        Z = self.X - center
        size = np.sqrt(np.average(Z**2, axis=0, weights=v))
        varies = open_ & (size > np.sqrt(FLAT) * np.abs(self.X).max(axis=0, initial=0.0))
        D, determined = np.zeros((n, p)), np.zeros(p, bool)
        used = np.flatnonzero(varies)
        if not len(used):
            return D, center, determined
        Z = Z[:, used] / size[used]
        block = self.penalty.block_of_column[used]
        coef = self._fits(Z, v, block)
        for b in np.unique(block):
            own = np.flatnonzero(block == b)
            chosen = None
            for k in range(len(coef)):
                left = Z[:, own] - Z @ coef[k, own].T
                T = left.T @ (Z[:, own] * v[:, None])
                values = np.linalg.svd(T, compute_uv=False)
                if values[-1] <= np.sqrt(FLAT) * v.sum():
                    # the others explain all of a column
                    break
                direction = np.linalg.solve(T, left.T).T
                share = np.linalg.eigvals(np.linalg.solve(T, left.T @ (left * v[:, None]))).real.min()
                spread = float(np.sum(direction**2 * v[:, None]))
                if chosen is None:
                    most = INFLATION * spread
                if spread > most:
                    break
                chosen = direction, share
            if chosen is not None and chosen[1] > OWN:
                direction = chosen[0]
                D[:, used[own]] = direction / size[used[own]]
                determined[used[own]] = True
        return D, center, determined

    def _fits(self, Z: np.ndarray, v: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Regressions of every column on those of other blocks, shape (n_strengths, n_columns, n_columns)."""
        p = Z.shape[1]
        n = v.sum() ** 2 / np.sum(v**2)
        universal = np.sqrt(2 * np.log(max(p, 2)) / n)
        labels = [f"block {b}" for b in block]
        grouped = bool((self.penalty.block_sizes > 1).any())
        fit = GLM(
            "gaussian",
            penalty="group_lasso" if grouped else "lasso",
            feature_groups=labels,
            feature_mask=block[:, None] != block,
            lambdas=universal * STRENGTHS,
            fit_intercept=self.fit_intercept,
            precision="float64",
            engine="numpy",
            tol=1e-6,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit.fit(Z, Z, sample_weight=v)
        return np.asarray(fit.coef_path_, float).reshape(len(STRENGTHS), p, p)

"""Which neurons, and which terms, of a `SmoothGLM` beat chance: its curves beside those to columns that were moved."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.explain.ablation import shares_of_null_deviance
from popglm.explain.contributions import Activity, Predictor
from popglm.explain.data_of_fit import DataOfFit
from popglm.explain.moved_columns import MovedTest
from popglm.explain.smooth_refits import curves_of_fit, table_of, unfitted_smooth
from popglm.explain.tested import trials_of_rows
from popglm.statistics.selection import fraction_explained
from popglm.warnings import ConvergenceWarning, PopglmWarning

__all__ = ["TestedCurves"]


@dataclass(eq=False)
class TestedCurves(MovedTest):
    """Activity of a `SmoothGLM`; NaN in ``y`` where it is not known."""

    data: DataOfFit

    @classmethod
    def make(cls, model: Any, X: Any, Y: Any, trial: Any, strata: Any, sample_weight: Any, offset: Any) -> TestedCurves:
        """Check what `significance` is given.

        Raises
        ------
        TypeError, ValueError
        """
        data = curves_of_fit(model, X, Y, sample_weight, offset, "significance")
        rows = np.arange(len(data.X))
        codes, strata = trials_of_rows(data.labels, rows, len(rows), trial, strata)
        return cls(model, np.asarray(data.X, float), data.Y, rows, codes, strata, data)

    @property
    def empty(self) -> np.ndarray:
        """See `MovedTest`."""
        return np.asarray(self.model.null_fitted_)

    @property
    def residuals(self) -> np.ndarray:
        """Activity less its mean, 0 where it is not known."""
        known = ~np.isnan(self.y)
        mean = np.sum(self.y, axis=0, where=known) / np.maximum(known.sum(axis=0), 1)
        return np.where(known, self.y - mean, 0.0)

    def explained(self) -> np.ndarray:
        """Deviance explained of the samples of the fit."""
        coef, intercept = np.atleast_2d(self.model.coef_), np.atleast_1d(self.model.intercept_)
        return self._explained(self.X, coef, intercept, np.arange(len(coef)))

    def explained_by(self, X: np.ndarray, going: np.ndarray) -> np.ndarray:
        """See `MovedTest`; strengths are chosen anew, unless they were given."""
        model, data = self.model, self.data
        every = np.arange(X.shape[1])
        refit = unfitted_smooth(model, every, going)
        if model.smoothing is None:
            refit.set_params(smoothing=None)
        weight = data.weight if data.weight is None or data.weight.ndim == 1 else data.weight[:, going]
        with warnings.catch_warnings():
            # the model's own fit has told of neurons without a fit
            warnings.simplefilter("ignore", PopglmWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            refit.fit(table_of(model, X, every), data.Y[:, going], sample_weight=weight, offset=data.offset)
        return self._explained(X, refit.coef_, refit.intercept_, going)

    def contributions(self, chosen: dict[str, list[str]]) -> np.ndarray:
        """See `MovedTest`."""
        own = self.data
        data = own.X, own.Y, own.weight, own.offset
        return shares_of_null_deviance(self.model, data, chosen, "significance", held_out=False)

    def _explained(self, X: np.ndarray, coef: np.ndarray, intercept: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Fraction of the deviance that weights (n, n_features) of some neurons explain."""
        data = self.data
        whole = Predictor(X, data.offset, [(self.rows, coef, intercept)])
        activity = Activity.make(self.model, data.Y, len(X), self.rows, data.weight, None)
        deviance = activity.deviance(whole.eta(np.arange(len(coef))), neurons)[0]
        return fraction_explained(deviance, activity.null_deviance(neurons)[0])

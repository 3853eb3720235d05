"""A cross-validated model fitted again to some rows as a whole: adaptive factors found anew, and relaxed fits made."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from popglm.estimators.adaptive_factors import AdaptiveFactors, first_factors, inner_folds
from popglm.estimators.glm import GLM
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.relaxed import blend_weights
from popglm.solve.factors.own_columns import fit_each
from popglm.solve.passes.samples import FitData
from popglm.solve.relaxed import relax
from popglm.solve.result import PopulationFit
from popglm.solve.settings import Settings

__all__ = ["Again"]


class Again(GLM):
    """A `GLM` that fits as a `GLMCV` does to all rows, for strengths and shares of penalised weights that are given.

    Attributes
    ----------
    template : GLMCV
    folds : list of (train, test)
        Among the rows that are fitted, for the strengths of first fits.
    blend : ndarray, shape (n_neurons,), or None
        Shares of the penalised weights; None for these alone.
    """

    template: GLMCV
    folds: list
    blend: np.ndarray | None = None
    patience = None

    @classmethod
    def of(cls, model: GLMCV, rows: np.ndarray | None = None, blend: np.ndarray | None = None) -> Self:
        """An estimator with the settings of a model, for some ``rows`` of those that it was fitted to, or all.

        Raises
        ------
        ValueError
            If adaptive factors are to be found in folds, and the model does not tell its folds.
        """
        again = cls(**{name: value for name, value in model.get_params().items() if name in GLM().get_params()})
        again.template, again.blend, again.folds = model, blend, []
        if model.adaptive_factors_ is not None:
            if model.splits_ is None:
                raise ValueError(
                    "the model does not tell its folds, in which adaptive factors are found anew; fit it once more."
                )
            rows = np.arange(len(model.fold_)) if rows is None else rows
            again.folds = inner_folds(rows, model.splits_)
        return again

    def _searched(self, settings: Settings, data: FitData, shares: list) -> Settings:
        """See `PopulationGLM._searched`."""
        if not isinstance(self.penalty_factors, AdaptiveFactors):
            return super()._searched(settings, data, shares)
        with np.errstate(all="ignore"), data.engine.session():
            parts = [(np.arange(len(data.Y)), self.folds)]
            found = first_factors(self, self.template, settings, data, parts)
        self.adaptive_factors_ = found[0, settings.penalty.block_of_column]
        return settings

    def _fitted(self, data: FitData, settings: Settings, more: tuple) -> PopulationFit:
        """See `PopulationGLM._fitted`."""
        if self.adaptive_factors_ is None:
            return super()._fitted(data, settings, more)
        return fit_each(data, settings, self.adaptive_factors_[None, settings.penalty.starts[:-1]], *more[:3])

    def _relax(self, settings: Settings, data: FitData, fit: PopulationFit, refit: bool) -> None:
        """See `PopulationGLM._relax`."""
        self.gamma_ = self.blend
        if self.blend is None:
            return
        with np.errstate(all="ignore"), data.engine.session():
            found = relax(data, settings, replace(fit, fittable=fit.fittable & (self.blend < 1)), refit)
        self.relaxed_coef_path_, self.relaxed_intercept_path_ = found.coef[0], found.intercept[0]
        self.relaxed_family_parameters_path_ = {
            kind.name: found.parameters[0, ..., i] for i, kind in enumerate(self.loss_.parameters)
        }
        self.gap_ = np.maximum(self.gap_, found.gap[0])

    def _keep(self, index: np.ndarray) -> None:
        """See `PopulationGLM._keep`."""
        super()._keep(index)
        if self.gamma_ is not None:
            blend_weights(self)

"""What the fits of curves leave on a `SmoothGLM`, and what it tells of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popglm.estimators.smooth_layout import SmoothLayout
from popglm.estimators.smooth_penalties import live_penalties
from popglm.estimators.smooth_storage import SmoothStorage
from popglm.estimators.validation import warn_neurons
from popglm.solve.curves.population import SmoothFits
from popglm.statistics.penalties import Penalty
from popglm.warnings import ConvergenceWarning

__all__ = ["SmoothResults"]


class SmoothResults(SmoothStorage, SmoothLayout):
    """Base of `SmoothGLM`; see there."""

    tol: float

    def _keep_fits(self, fits: SmoothFits, null: np.ndarray) -> None:
        neurons = pd.Index(self.neuron_names_, name="neuron")
        names = self._penalty_names
        columns = pd.MultiIndex.from_tuples(names, names=["group", "penalty"]) if names else None
        self.smoothing_ = pd.DataFrame(fits.strengths, index=neurons, columns=columns)
        starts = np.cumsum(self.feature_group_sizes_) - self.feature_group_sizes_
        degrees = np.add.reduceat(fits.degrees, starts, axis=1)
        self.edf_ = pd.DataFrame(degrees, index=neurons, columns=list(self.feature_group_names_))
        self.criterion_, self.dispersion_, self.slope_ = fits.criterion, fits.dispersion, fits.slope
        self.coef_path_, self.intercept_path_ = fits.coef[None], fits.intercept[None]
        scale = np.where(null > 0, null, 1.0)
        self.gap_, self.loss_path_ = (np.nan_to_num(fits.left) / scale)[None], fits.objective[None]
        self.n_iter_ = fits.n_evaluations[None]
        self.lambda_path_, self.lambdas_ = np.zeros((1, len(neurons))), np.zeros(1)
        self.null_coef_ = None
        self._keep(np.zeros(len(neurons), int))

    def _keep_parameters_of(self, fitted: np.ndarray, null: np.ndarray) -> None:
        """Set the parameters of the family, by their names, where it has some."""

        def named(values: np.ndarray) -> dict[str, np.ndarray]:
            return {own.name: values[..., i].copy() for i, own in enumerate(self.loss_.parameters)}

        self.family_parameters_path_, self.null_family_parameters_ = named(fitted[None]), named(null)
        self.deviance_parameters_ = named(null)

    def penalty_of(self, neuron: int) -> Penalty:
        """The penalty of one neuron, by its number."""
        p = self.n_features_in_
        R, columns = np.zeros((p, p)), next(own for neurons, own in self._kinds if neuron in neurons)
        live = live_penalties(self._penalties, self.feature_group_sizes_, columns)
        strengths = np.nan_to_num(self.smoothing_.to_numpy()[neuron, live])
        R[np.ix_(columns, columns)] = self._penalty_on(columns, live).total(strengths)
        return Penalty(0.0, 1.0, np.ones(p, int), np.ones(p), R)

    def _warn_of_smoothing(self, fits: SmoothFits, is_chosen: bool) -> None:
        names = self.neuron_names_
        warn_neurons(
            "Fitted as the null model, since their activity is missing, constant, silent or a single event",
            np.flatnonzero(self.null_fitted_ & ~fits.failed), names,
        )  # fmt: skip
        warn_neurons(
            "Fitted as the null model, since numbers overflowed or the curvature vanished; look at their activity, or "
            "give strengths by smoothing=",
            np.flatnonzero(fits.failed), names,
        )  # fmt: skip
        self._warn_of_few_events(~self.null_fitted_)
        warn_neurons(
            "Parameters of the family still changed from one fit to the next; look at their activity, or give "
            "strengths by smoothing=",
            np.flatnonzero(fits.unsettled), names, ConvergenceWarning,
        )  # fmt: skip
        if is_chosen:
            warn_neurons(
                f"Strengths are not at a minimum of the criterion within tol={self.tol:g} (slope_ has what is left); "
                "raise max_iter or tol",
                np.flatnonzero(fits.slope > self.tol), names, ConvergenceWarning,
            )  # fmt: skip

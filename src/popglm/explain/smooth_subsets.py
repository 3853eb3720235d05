"""Deviance of a `SmoothGLM` with some of its terms alone, for every subset of terms, on rows that were held back."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from popglm.estimators import SmoothGLM
from popglm.estimators.validation import over_neurons
from popglm.explain.ablated_subsets import AblatedSubsets
from popglm.explain.contributions import Activity, Predictor, neuron_blocks
from popglm.explain.data_of_fit import DataOfFit, check_test
from popglm.explain.smooth_refits import SmoothRefits, curves_of_fit

__all__ = ["SmoothSubsets"]


@dataclass(frozen=True, eq=False)
class SmoothSubsets:
    """A model, the data of its fit, and the rows that are scored.

    Attributes
    ----------
    X_test : ndarray, shape (n_scored, n_features)
    y_test : ndarray, shape (n_scored, n_neurons)
        NaN where it is not known.
    offset_test : ndarray, shape (n_scored,), or None
    """

    model: SmoothGLM
    data: DataOfFit
    X_test: np.ndarray
    y_test: np.ndarray
    offset_test: np.ndarray | None

    @classmethod
    def make(cls, model: Any, X: Any, Y: Any, sample_weight: Any, offset: Any, test: Any) -> SmoothSubsets:
        """Check what `shapley` is given.

        Raises
        ------
        TypeError, ValueError
        """
        if test is None:
            raise ValueError(
                "shapley: a SmoothGLM holds nothing out; give test=(X_test, Y_test) of trials that it was not fitted "
                "to, or a popglm.GLMCV."
            )
        data = curves_of_fit(model, X, Y, sample_weight, offset, "shapley")
        return cls(model, data, *check_test(model, test, "shapley"))

    @property
    def null_deviance(self) -> np.ndarray:
        """Of the scored rows around their mean, shape (n_neurons,)."""
        activity = self._activity()
        every = np.arange(self.y_test.shape[1])
        return activity.null_deviance(every)[0]

    def _activity(self) -> Activity:
        known = ~np.isnan(self.y_test)
        return Activity(self.model, np.where(known, self.y_test, 0.0), known.astype(float), None, None)

    def ablated(self, columns: list[np.ndarray]) -> AblatedSubsets:
        """The fit with weights of some terms at 0: the rows of the fit train its intercept, the others are scored."""
        model, data, n = self.model, self.data, len(self.data.X)
        y = np.concatenate([data.Y, self.y_test])
        known = ~np.isnan(y)
        weight = np.ones((len(y), y.shape[1]))
        weight[:n] *= over_neurons(data.weight)
        shifts = [data.offset, self.offset_test]
        sizes = n, len(self.X_test)
        offset = None
        if any(own is not None for own in shifts):
            offset = np.concatenate(
                [np.zeros(size) if own is None else own for own, size in zip(shifts, sizes, strict=True)]
            )
        rows = np.arange(len(y))
        # the fit stands for that of a single fold
        as_fold: Any = SimpleNamespace(
            cv_coef_=np.atleast_2d(model.coef_)[None],
            cv_intercept_=np.atleast_1d(model.intercept_)[None],
            fit_intercept=model.fit_intercept,
            loss_=model.loss_,
            cv_deviance_parameters_={name: own[None] for name, own in model.deviance_parameters_.items()},
        )
        X = np.concatenate([data.X, self.X_test])
        return AblatedSubsets(
            as_fold, X, np.where(known, y, 0.0), known * weight, offset, [(rows[:n], rows[n:])], columns
        )

    def refitted(self, columns: list[np.ndarray]) -> tuple[np.ndarray, int]:
        """Deviances (2**n_terms, n_neurons) of fits to some terms at the model's strengths; and how many ended late."""
        activity, refits = self._activity(), SmoothRefits(self.model, self.data, reselect=False)
        every = np.arange(self.model.n_features_in_)
        found, late = np.zeros((2 ** len(columns), self.y_test.shape[1])), 0
        for subset in range(len(found)):
            removed = [own for v, own in enumerate(columns) if not subset >> v & 1]
            kept = np.setdiff1d(every, np.concatenate(removed)) if removed else every
            coef, intercept = np.atleast_2d(self.model.coef_), np.atleast_1d(self.model.intercept_)
            if removed:
                _, kept, coef, intercept, own = refits.fit(str(subset), kept)
                late += own
            X = self.X_test[:, kept] if len(kept) else np.zeros((len(self.X_test), 1))
            predictor = Predictor(X, self.offset_test, [(np.arange(len(X)), coef, intercept)])
            for neurons in neuron_blocks(len(X), found.shape[1]):
                found[subset, neurons] = activity.deviance(predictor.eta(neurons), neurons)[0]
        return found, late

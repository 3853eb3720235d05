"""What a fitted `TwoPartGLM` predicts, how well, and what it draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_count, check_fitted, check_seed
from popglm.engines import as_numpy, like
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.part_arguments import check_offset_given, offset_of
from popglm.estimators.parts_of_activity import log_likelihood, share_of
from popglm.estimators.said_together import SaidTogether
from popglm.numbers import shape_of
from popglm.statistics.selection import fraction_explained

__all__ = ["TwoPartPredictions"]


class TwoPartPredictions(SaidTogether):
    """What a `TwoPartGLM` does with data, once it is fitted."""

    events_: GLMCV
    amounts_: GLMCV
    fold_: np.ndarray

    def split(self, Y: Any) -> tuple[Any, Any]:
        """See `TwoPartGLM`."""
        raise NotImplementedError

    @property
    def _is_logarithmic(self) -> bool:
        """Whether amounts are fitted as logarithms."""
        amounts = getattr(self, "amounts_", getattr(self, "amounts", None))
        return getattr(amounts, "family", None) == "gaussian"

    def predict(self, X: Any, offset: Any = None) -> Any:
        """Mean activity, qμ.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        offset : mapping, optional
            As in `fit`, of these samples; needed if that had one. 0 asks for none on purpose.

        Returns
        -------
        ndarray, shape (n_samples, n_neurons), or (n_samples,) after a fit to a 1-D response
            As of `GLMCV.predict`.
        """
        q, mu = self._parts(X, offset, "predict")
        return q * mu

    def predict_parts(self, X: Any, offset: Any = None) -> tuple[Any, Any]:
        """Probability q that a sample is above 0, and the mean μ of the amount if it is; arguments as in `predict`.

        μ is 0 for neurons that the fit saw no amount of, whatever their unit.
        """
        return self._parts(X, offset, "predict_parts")

    def _parts(self, X: Any, offset: Any, who: str) -> tuple[Any, Any]:
        """`predict_parts` for ``who`` asks."""
        self._check_features(X, offset, who)
        q, mu = (part.predict(X, offset=offset_of(offset, name)) for name, part in self._both())
        return q, self._mean_amount(mu, X, self.dispersion_)

    def _both(self) -> list[tuple[str, GLMCV]]:
        return [("events", self.events_), ("amounts", self.amounts_)]

    def _check_features(self, X: Any, offset: Any, who: str) -> None:
        """Complain of features that are not those of the fit, or an offset that is lacking."""
        check_fitted(self, "cv_deviance_explained_", who)
        width = self.events_.n_features_in_
        if len(shape := shape_of(X) or ()) == 2 and shape[1] != width:
            raise ValueError(f"{who}: X has {shape[1]} features, but this TwoPartGLM is expecting {width} features.")
        check_offset_given(self, offset, who)

    def predict_held_out(self, X: Any = None, offset: Any = None) -> Any:
        """`predict` of each training row by the fold that did not see it; arguments as in `GLMCV.predict_held_out`.

        The offset is a mapping, as in `fit`.
        """
        check_fitted(self, "cv_deviance_explained_", "predict_held_out")
        check_offset_given(self, offset, "predict_held_out")
        q, mu = (part.predict_held_out(X, offset=offset_of(offset, name)) for name, part in self._both())
        phi = self.cv_dispersion_[self.fold_]
        mean = as_numpy(self._mean_amount(mu, X, phi[:, 0] if phi.shape[1] == 1 and mu.ndim == 1 else phi))
        q, held = as_numpy(q), self.fold_ >= 0
        # what a fold has seen no amount of has none, as in the fit to all samples
        unseen = np.isnan(mean) & ~np.isnan(q) & (held if mean.ndim == 1 else held[:, None])
        found = q * np.where(unseen, np.zeros((), mean.dtype), mean)
        return found if X is None else like(found, X, exact=True)

    def _mean_amount(self, predicted: Any, X: Any, phi: np.ndarray) -> Any:
        """Mean amounts from what their model predicts, 0 of neurons that never had one."""
        happened = self.amounts_.n_events_ > 0
        if happened.all() and not self._is_logarithmic:
            return predicted
        found = as_numpy(predicted)
        if self._is_logarithmic:
            with np.errstate(over="ignore"):
                found = np.exp(found.astype(float) + phi / 2).astype(found.dtype)
        found = np.where(happened if found.ndim > 1 else happened[0], found, np.zeros((), found.dtype))
        return found if X is None else like(found, X)

    def evaluate(self, X: Any, Y: Any, sample_weight: Any = None, offset: Any = None) -> pd.DataFrame:
        """Deviance and likelihood of every neuron on data.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features)
        Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
        sample_weight, offset : optional
            As in `fit`, of these samples. An offset is needed if the fit had one; 0 asks for none.

        Returns
        -------
        DataFrame
            Indexed by neuron: ``deviance_explained``, ``deviance`` and ``null_deviance`` of both parts together, see
            the Notes of the class; ``events_deviance_explained`` and ``amounts_deviance_explained`` of each, the latter
            NaN without an amount; ``log_likelihood``, summed over samples, in nats, at `dispersion_`, NaN where there
            are amounts and that is 0.
        """
        self._check_features(X, offset, "evaluate")
        events, amounts = (
            part.evaluate(X, own, sample_weight, offset_of(offset, name))
            for (name, part), own in zip(self._both(), self.split(Y), strict=True)
        )
        share = share_of(self.deviance_dispersion_)
        deviance, null = (events[name] + np.nan_to_num(amounts[name]) * share for name in ("deviance", "null_deviance"))
        return pd.DataFrame(
            {
                "deviance_explained": fraction_explained(deviance.to_numpy(), null.to_numpy()),
                "deviance": deviance,
                "null_deviance": null,
                "events_deviance_explained": events["deviance_explained"],
                "amounts_deviance_explained": amounts["deviance_explained"],
                "log_likelihood": log_likelihood(self, X, Y, sample_weight, offset),
            }
        )

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Fraction of the joint deviance explained, averaged over neurons; arguments as in `evaluate`."""
        return float(self.evaluate(X, y, sample_weight, offset)["deviance_explained"].mean())

    def draw(self, X: Any, n: int = 1, seed: int | None = None, offset: Any = None) -> np.ndarray:
        """Activity at random.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features)
        n : int
            How often.
        seed : int, optional
        offset : mapping, optional
            As in `predict`.

        Returns
        -------
        ndarray, shape (n, n_samples, n_neurons) or (n, n_samples)

        Examples
        --------
        >>> from popglm import GLMCV, TwoPartGLM
        >>> rng = np.random.default_rng(0)
        >>> X, Y = rng.standard_normal((300, 1)), rng.gamma(2.0, size=(300, 1)) * (rng.random((300, 1)) < 0.3)
        >>> model = TwoPartGLM(GLMCV("gamma", penalty="none")).fit(X, Y)
        >>> drawn = model.draw(X, n=2, seed=0)
        >>> drawn.shape, bool((drawn == 0).any())
        ((2, 300, 1), True)
        """
        self._check_features(X, offset, "draw")
        check_count("draw", "n", n, 1)
        check_seed(seed, "draw")
        rng = np.random.default_rng(seed)
        both = (part.predict(X, offset=offset_of(offset, name)) for name, part in self._both())
        q, mean = (as_numpy(own).astype(float) for own in both)
        # without any amount nothing says how much an event would be
        has_amounts = self.amounts_.n_events_ > 0
        happened = (rng.random((n, *q.shape)) < q) & (has_amounts if q.ndim > 1 else has_amounts[0])
        phi = self.dispersion_ if q.ndim > 1 else self.dispersion_[0]
        mean = np.broadcast_to(mean, happened.shape)
        # amounts that do not vary are their mean
        amount = np.where(phi > 0, self.amounts_.loss_.draw(rng, mean, np.where(phi > 0, phi, 1.0)), mean)
        return np.where(happened, np.exp(amount) if self._is_logarithmic else amount, 0.0)

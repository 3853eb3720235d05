"""`TwoPartGLM`: whether a sample is above 0, and by how much, each with weights of its own (zero-inflated gamma)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, RegressorMixin, clone

from popglm.checks import check_count, check_fitted, check_seed
from popglm.engines import as_numpy, like
from popglm.estimators.features import check_features
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.parts_of_activity import (
    check_parts,
    fit_part,
    held_out_deviances,
    joint_log_density,
    likeliest_dispersion,
    linear_predictors,
    split_activity,
)
from popglm.estimators.validation import check_responses, check_weights, over_neurons
from popglm.io.files import check_target
from popglm.io.netcdf import described, write_netcdf
from popglm.labels import Rows, row_labels
from popglm.statistics.selection import fraction_explained

__all__ = ["TwoPartGLM"]


class TwoPartGLM(RegressorMixin, BaseEstimator):
    """Two models of activity with many zeros: of whether a sample is above 0, and of how far where it is.

    The first is a Bernoulli `GLMCV` of all samples, the second one of the amounts alone, gamma unless said: the
    zero-inflated gamma model of deconvolved calcium (Wei et al. 2020), a two-part or hurdle model. Each part has
    weights and strengths of its own. Their likelihood is a product, so that both fits together have its maximum.

    Parameters
    ----------
    amounts : GLMCV, optional
        Model of the amounts, not yet fitted: ``GLMCV("gamma")`` unless given. Its family is "gamma",
        "inverse_gaussian", or "gaussian" for the logarithm of the amounts (log-normal). Its ``cv`` makes the folds of
        both parts.
    events : GLMCV, optional
        Model of the events, with the family "bernoulli"; the settings of ``amounts`` unless given.

    Attributes
    ----------
    events_, amounts_ : GLMCV
        The fitted parts, for all that is done with one: weights, `kernels`, `compare`, `bootstrap`, ``select``.
    dispersion_ : ndarray, shape (n_neurons,)
        φ of the amounts, of the largest likelihood beside their fitted means: 1/shape of a gamma distribution, the
        variance of log-normal amounts' logarithm.
    cv_dispersion_ : ndarray, shape (n_folds, n_neurons)
        The same of every fold's training samples.
    deviance_dispersion_ : ndarray, shape (n_neurons,)
        φ beside the mean of all amounts. Deviances of both parts are added up at this one.
    cv_deviance_explained_ : ndarray, shape (n_neurons,)
        Fraction of the joint deviance of held-out samples.
    cv_log_likelihood_ : ndarray, shape (n_neurons,)
        Joint log-likelihood of held-out samples, summed, in nats: each by the fold that did not see it, at that fold's
        φ. NaN where samples are held out more than once or never.
    neuron_names_ : list of str
    fold_ : ndarray of int, shape (n_samples,)

    Notes
    -----
    With the probability q of an event and the mean μ of its amount, a sample of 0 has the probability 1 − q, and one of
    y > 0 the density q p(y | μ, φ). The logarithm of the likelihood is a sum of one part that knows q alone and one
    that knows μ and φ alone. The joint deviance is twice what it lacks to the saturated model's at
    ``deviance_dispersion_``: D = D(events) + D(amounts)/φ. The null model has the share of events and the mean amount
    of the scored samples. Fractions of both parts are thus averaged with the deviance that each has to explain.

    `breakdown` and `compare` take the model as a whole, and give contributions to the joint deviance; both take its
    parts, too. A neuron with fewer than two events has null models.

    References
    ----------
    Wei, Zhou, Grosmark, Ajabi, Sparks, Zhou, Brandon, Losonczy & Paninski, "A zero-inflated gamma model for
    deconvolved calcium imaging traces", *Neurons, Behavior, Data Analysis, and Theory* 3 (2020). Duan, Manning, Morris
    & Newhouse, "A comparison of alternative models for the demand for medical care", *Journal of Business & Economic
    Statistics* 1 (1983): two-part models.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((3000, 2))
    >>> happens = rng.random(3000) < 1 / (1 + np.exp(1.5 - X[:, 0]))
    >>> Y = happens * rng.gamma(2.0, np.exp(0.5 * X[:, 1]) / 2)
    >>> model = pg.TwoPartGLM(pg.GLMCV("gamma", penalty="lasso")).fit(X, Y)
    >>> model.events_.coef_.round(1) + 0, model.amounts_.coef_.round(1) + 0
    (array([1., 0.], dtype=float32), array([0. , 0.5], dtype=float32))
    >>> (1 / model.dispersion_).round()
    array([2.])
    """

    def __init__(self, amounts: GLMCV | None = None, events: GLMCV | None = None) -> None:
        self.amounts = amounts
        self.events = events

    def fit(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None) -> Self:
        """Fit both parts, in the same folds.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity, of at least 0. NaN where a neuron was not recorded.
        groups, sample_weight : optional
            As in `GLMCV.fit`.

        Returns
        -------
        TwoPartGLM

        Raises
        ------
        TypeError, ValueError
            As in `GLMCV.fit`; if a part is no such model, if activity is negative, or if no sample is 0.

        Warns
        -----
        PopglmWarning, ConvergenceWarning
            As in `GLMCV.fit`, with the part that a sentence is about before it.
        """
        amounts, events = check_parts(self.amounts, self.events)
        happened, amount = self.split(y)
        if not (np.asarray(happened, float) == 0).any():
            raise ValueError(
                f"Y has no sample that is 0, of which a part would tell; use GLMCV({amounts.family!r}) of all samples."
            )
        scaled = np.log(amount) if amounts.family == "gaussian" else amount
        self.events_ = fit_part("events", events, X, happened, groups=groups, sample_weight=sample_weight)
        amounts.set_params(cv=self.events_.splits_)
        self.amounts_ = fit_part("amounts", amounts, X, scaled, sample_weight=sample_weight)
        self.neuron_names_, self.fold_ = self.events_.neuron_names_, self.events_.fold_
        self._keep_dispersions(X, happened, amount, sample_weight)
        return self

    @staticmethod
    def split(Y: Any) -> tuple[Any, Any]:
        """Activity of both parts: 1 where a sample is above 0, else 0; and the amount there, NaN where there is none.

        Parameters
        ----------
        Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)

        Returns
        -------
        happened, amount : ndarray, DataFrame or Series
            With the labels of Y; NaN where Y is.

        Raises
        ------
        ValueError
            If activity is negative.

        Examples
        --------
        >>> happened, amount = TwoPartGLM.split([0.0, 0.3, float("nan")])
        >>> happened, amount
        (array([ 0.,  1., nan]), array([nan, 0.3, nan]))
        """
        return split_activity(Y)

    @property
    def _is_logarithmic(self) -> bool:
        return self.amounts_.family == "gaussian"

    def scaled(self, amount: Any) -> Any:
        """Amounts as the model of them has them: their logarithm, if that is Gaussian."""
        return np.log(amount) if self._is_logarithmic else amount

    def _keep_dispersions(self, X: Any, happened: Any, amount: Any, sample_weight: Any) -> None:
        """Set dispersions, and what both parts together say of held-out samples."""
        events, amounts = self.events_, self.amounts_
        rows = Rows(events.sample_labels_)
        z, y = (check_responses(part, len(events.fold_), None, self.neuron_names_, rows) for part in (happened, amount))
        weights = over_neurons(check_weights(sample_weight, len(z), self.neuron_names_, rows))
        s, values = np.where(y > 0, weights, 0.0), check_features(amounts, X, reset=False)
        v, loss = np.nan_to_num(self.scaled(y), nan=1.0), amounts.loss_
        eta = linear_predictors(values, amounts.coef_, amounts.intercept_)
        self.dispersion_ = likeliest_dispersion(loss.name, loss.deviance(eta, v), s)
        mean = np.einsum("ij,ij->j", s, v) / np.where((total := s.sum(axis=0)) > 0, total, 1)
        splits = events.splits_ or []
        null = 2 * loss.null(v, np.where(total > 0, mean, 1))
        self.deviance_dispersion_ = likeliest_dispersion(loss.name, null, s)
        self.cv_dispersion_, found = np.empty((len(splits), len(total))), np.full(z.shape, np.nan)
        for fold, (train, test) in enumerate(splits):
            eta = linear_predictors(values, amounts.cv_coef_[fold], amounts.cv_intercept_[fold])
            phi = likeliest_dispersion(loss.name, loss.deviance(eta[train], v[train]), s[train])
            self.cv_dispersion_[fold] = phi
            chance = linear_predictors(values, events.cv_coef_[fold], events.cv_intercept_[fold])
            found[test] = joint_log_density(self, (chance[test], eta[test]), z[test], y[test], phi)
        once = events.held_out_once_ and (self.fold_ >= 0).all()
        self.cv_log_likelihood_ = np.where(once, np.nansum(weights * found, axis=0), np.nan)
        deviance, null = (
            sum(part * share for part, share in zip(each, (1.0, 1 / self.deviance_dispersion_), strict=True))
            for each in zip(*(held_out_deviances(part) for part in (events, amounts)), strict=True)
        )
        self.cv_deviance_explained_ = fraction_explained(deviance, null)

    def predict(self, X: Any) -> Any:
        """Mean activity, qμ.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_neurons), or (n_samples,) after a fit to a 1-D response
            As of `GLMCV.predict`.
        """
        q, mu = self.predict_parts(X)
        return q * mu

    def predict_parts(self, X: Any) -> tuple[Any, Any]:
        """Probability q that a sample is above 0, and the mean μ of the amount if it is; arguments as in `predict`."""
        check_fitted(self, "cv_deviance_explained_", "predict_parts")
        return self.events_.predict(X), self._mean_amount(self.amounts_.predict(X), X, self.dispersion_)

    def predict_held_out(self, X: Any = None) -> Any:
        """`predict` of each training row by the fold that did not see it; arguments as in `GLMCV.predict_held_out`."""
        check_fitted(self, "cv_deviance_explained_", "predict_held_out")
        phi = self.cv_dispersion_[self.fold_]
        phi = phi[:, 0] if phi.shape[1] == 1 and self.amounts_.predict_held_out(X).ndim == 1 else phi
        return self.events_.predict_held_out(X) * self._mean_amount(self.amounts_.predict_held_out(X), X, phi)

    def _mean_amount(self, predicted: Any, X: Any, phi: np.ndarray) -> Any:
        """Mean amounts from what their model predicts."""
        if not self._is_logarithmic:
            return predicted
        values = as_numpy(predicted)
        with np.errstate(over="ignore"):
            found = np.exp(values.astype(float) + phi / 2).astype(values.dtype)
        return found if X is None else like(found, X)

    def evaluate(self, X: Any, Y: Any, sample_weight: Any = None) -> pd.DataFrame:
        """Deviance and likelihood of every neuron on data.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features)
        Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
        sample_weight : array-like, optional
            As in `fit`, of these samples.

        Returns
        -------
        DataFrame
            Indexed by neuron: ``deviance_explained``, ``deviance`` and ``null_deviance`` of both parts together, see
            the Notes of the class; ``events_deviance_explained`` and ``amounts_deviance_explained`` of each, the latter
            NaN without an amount; ``log_likelihood``, summed over samples, in nats, at `dispersion_`.
        """
        check_fitted(self, "cv_deviance_explained_", "evaluate")
        happened, amount = self.split(Y)
        events = self.events_.evaluate(X, happened, sample_weight)
        amounts = self.amounts_.evaluate(X, self.scaled(amount), sample_weight)
        share = 1 / self.deviance_dispersion_
        deviance, null = (events[name] + np.nan_to_num(amounts[name]) * share for name in ("deviance", "null_deviance"))
        return pd.DataFrame(
            {
                "deviance_explained": fraction_explained(deviance.to_numpy(), null.to_numpy()),
                "deviance": deviance,
                "null_deviance": null,
                "events_deviance_explained": events["deviance_explained"],
                "amounts_deviance_explained": amounts["deviance_explained"],
                "log_likelihood": self._log_likelihood(X, happened, amount, sample_weight),
            }
        )

    def _log_likelihood(self, X: Any, happened: Any, amount: Any, sample_weight: Any) -> np.ndarray:
        rows = Rows(row_labels(X))
        chance, eta = (
            linear_predictors(check_features(part, X, reset=False), part.coef_, part.intercept_)
            for part in (self.events_, self.amounts_)
        )
        names = self.neuron_names_
        z, y = (check_responses(own, len(eta), None, names, rows, self.events_) for own in (happened, amount))
        weights = over_neurons(check_weights(sample_weight, len(z), names, rows))
        return np.nansum(weights * joint_log_density(self, (chance, eta), z, y, self.dispersion_), axis=0)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Fraction of the joint deviance explained, averaged over neurons; arguments as in `evaluate`."""
        return float(self.evaluate(X, y, sample_weight)["deviance_explained"].mean())

    def draw(self, X: Any, n: int = 1, seed: int | None = None) -> np.ndarray:
        """Activity at random.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features)
        n : int
            How often.
        seed : int, optional

        Returns
        -------
        ndarray, shape (n, n_samples, n_neurons) or (n, n_samples)

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X, Y = rng.standard_normal((300, 1)), rng.gamma(2.0, size=(300, 1)) * (rng.random((300, 1)) < 0.3)
        >>> model = TwoPartGLM(GLMCV("gamma", penalty="none")).fit(X, Y)
        >>> drawn = model.draw(X, n=2, seed=0)
        >>> drawn.shape, bool((drawn == 0).any())
        ((2, 300, 1), True)
        """
        check_fitted(self, "cv_deviance_explained_", "draw")
        check_count("draw", "n", n, 1)
        check_seed(seed, "draw")
        rng = np.random.default_rng(seed)
        q, mean = (as_numpy(part.predict(X)).astype(float) for part in (self.events_, self.amounts_))
        happened = rng.random((n, *q.shape)) < q
        phi = self.dispersion_ if q.ndim > 1 else self.dispersion_[0]
        amount = self.amounts_.loss_.draw(rng, np.broadcast_to(mean, happened.shape), phi)
        return np.where(happened, np.exp(amount) if self._is_logarithmic else amount, 0.0)

    def to_xarray(self) -> xr.Dataset:
        """Weights of both parts, ``coef`` (part, neuron, feature) and ``intercept``, and what both say together."""
        check_fitted(self, "cv_deviance_explained_", "to_xarray")
        parts = [self.events_.to_xarray(), self.amounts_.to_xarray()]
        names = ["coef", "intercept", "lambda", "cv_deviance_explained"]
        each = xr.concat([part[names] for part in parts], "part").assign_coords(part=["events", "amounts"])
        each = each.rename({"cv_deviance_explained": "part_cv_deviance_explained"})
        together = {
            "dispersion": ("neuron", self.dispersion_),
            "deviance_dispersion": ("neuron", self.deviance_dispersion_),
            "cv_dispersion": (("fold", "neuron"), self.cv_dispersion_),
            "cv_deviance_explained": ("neuron", self.cv_deviance_explained_),
            "cv_log_likelihood": ("neuron", self.cv_log_likelihood_),
        }
        return each.assign(together)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one netCDF file, which `popglm.load` reads; see `GLMCV.save`."""
        check_fitted(self, "cv_deviance_explained_", "save")
        parts = {
            name: described(*part.described()) for name, part in (("events", self.events_), ("amounts", self.amounts_))
        }
        write_netcdf(check_target(path), {"/": described(self.to_xarray(), {"class": "TwoPartGLM"}), **parts})

    def restore(self, data: xr.Dataset, events: GLMCV, amounts: GLMCV) -> Self:
        """Become the fitted model that was saved, as `popglm.load` has it do."""
        self.events_, self.amounts_ = events, amounts
        self.events, self.amounts = clone(events), clone(amounts)
        self.neuron_names_, self.fold_ = events.neuron_names_, events.fold_
        for name in (
            "dispersion",
            "deviance_dispersion",
            "cv_dispersion",
            "cv_deviance_explained",
            "cv_log_likelihood",
        ):
            setattr(self, f"{name}_", data[name].to_numpy())
        return self

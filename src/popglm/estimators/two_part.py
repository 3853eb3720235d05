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
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.parts_of_activity import (
    SamplesOfFit,
    check_parts,
    fit_part,
    log_likelihood,
    share_of,
    split_activity,
)
from popglm.estimators.said_together import TOGETHER, SaidTogether
from popglm.io.files import check_target
from popglm.io.netcdf import described, write_netcdf
from popglm.numbers import shape_of
from popglm.statistics.selection import fraction_explained

__all__ = ["TwoPartGLM"]


class TwoPartGLM(SaidTogether, RegressorMixin, BaseEstimator):
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
        The fitted parts, for all that is done with one: weights, `kernels`, `compare`, `bootstrap`, with the activity
        from `split`. Strengths are selected again by `select` of both: where one part alone was, the rest of this
        model refuses.
    dispersion_ : ndarray, shape (n_neurons,)
        φ of the amounts, of the largest likelihood beside their fitted means: 1/shape of a gamma distribution, the
        variance of log-normal amounts' logarithm. 0 where amounts do not vary, or there are
        none.
    cv_dispersion_ : ndarray, shape (n_folds, n_neurons)
        The same of every fold's training samples.
    deviance_dispersion_ : ndarray, shape (n_neurons,)
        φ beside the mean of all amounts. Deviances of both parts are added up at this one; where it is 0, amounts have
        no deviance to explain, and those of the events stand alone.
    cv_deviance_explained_ : ndarray, shape (n_neurons,)
        Fraction of the joint deviance of held-out samples.
    cv_log_likelihood_ : ndarray, shape (n_neurons,)
        Joint log-likelihood of held-out samples, summed, in nats: each by the fold that did not see it, at that fold's
        φ. NaN where samples are held out more than once or never, or where an amount is held out from a fold whose φ
        is 0: the likelihood of amounts that do not vary has no maximum.
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
    parts, too. A neuron with fewer than two events has null models. There is no offset and no checkpoint.

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
        happened, amount = split_activity(y)
        if not (np.asarray(happened, float) == 0).any():
            raise ValueError(
                f"Y has no sample that is 0, of which a part would tell; use GLMCV({amounts.family!r}) of all samples."
            )
        scaled = np.log(amount) if amounts.family == "gaussian" else amount
        self.events_ = fit_part("events", events, X, happened, groups=groups, sample_weight=sample_weight)
        amounts.set_params(cv=self.events_.splits_)
        self.amounts_ = fit_part("amounts", amounts, X, scaled, sample_weight=sample_weight)
        self.neuron_names_, self.fold_ = self.events_.neuron_names_, self.events_.fold_
        samples = SamplesOfFit(self, X, happened, amount, sample_weight)
        self._keep(samples.together())
        return self

    def select(
        self,
        X: Any,
        y: Any,
        *,
        se_fraction: float | None = None,
        min_lambda: float | None = None,
        sample_weight: Any = None,
    ) -> Self:
        """Choose the strengths of both parts again, without fitting.

        Parameters
        ----------
        X, y, sample_weight
            Those of the fit, from which the dispersions come anew.
        se_fraction, min_lambda : float, optional
            As in `GLMCV.select`: in place of each part's own.

        Returns
        -------
        TwoPartGLM
            Itself, with other weights and strengths in both parts, and all that both say together.

        Raises
        ------
        ValueError
            If the data are not those of the fit, if a number is no finite one of at least 0, or if the model comes from
            a file and its folds do not train on all the rest.
        """
        check_fitted(self, "events_", "select")
        if self.events_.splits_ is None:
            raise ValueError("select: a model from a file carries no folds that train on part of the rest; fit again.")
        samples = SamplesOfFit(self, X, *split_activity(y), sample_weight)
        samples.check("select")
        for part in (self.events_, self.amounts_):
            part.select(se_fraction=se_fraction, min_lambda=min_lambda)
        self._keep(samples.together())
        return self

    def split(self, Y: Any) -> tuple[Any, Any]:
        """Activity as both parts have it: 1 where a sample is above 0, else 0; and the amount there, else NaN.

        This is what a part is given together with, in `breakdown`, `debiased` and all others. With
        ``family="gaussian"`` the amounts are logarithms, to which that part is fitted.

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
        >>> happened, amount = TwoPartGLM().split([0.0, 0.3, float("nan")])
        >>> happened, amount
        (array([ 0.,  1., nan]), array([nan, 0.3, nan]))
        """
        happened, amount = split_activity(Y)
        return happened, np.log(amount) if self._is_logarithmic else amount

    @property
    def _is_logarithmic(self) -> bool:
        amounts = getattr(self, "amounts_", self.amounts)
        return getattr(amounts, "family", None) == "gaussian"

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
        self._check_features(X, "predict")
        return self.events_.predict(X), self._mean_amount(self.amounts_.predict(X), X, self.dispersion_)

    def _check_features(self, X: Any, who: str) -> None:
        """Complain of features that are not those of the fit, in the name of the whole model."""
        check_fitted(self, "cv_deviance_explained_", who)
        width = self.events_.n_features_in_
        if len(shape := shape_of(X) or ()) == 2 and shape[1] != width:
            raise ValueError(f"{who}: X has {shape[1]} features, but this TwoPartGLM is expecting {width} features.")

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
            NaN without an amount; ``log_likelihood``, summed over samples, in nats, at `dispersion_`, NaN where there
            are amounts and that is 0.
        """
        self._check_features(X, "evaluate")
        happened, amount = self.split(Y)
        events = self.events_.evaluate(X, happened, sample_weight)
        amounts = self.amounts_.evaluate(X, amount, sample_weight)
        share = share_of(self.deviance_dispersion_)
        deviance, null = (events[name] + np.nan_to_num(amounts[name]) * share for name in ("deviance", "null_deviance"))
        return pd.DataFrame(
            {
                "deviance_explained": fraction_explained(deviance.to_numpy(), null.to_numpy()),
                "deviance": deviance,
                "null_deviance": null,
                "events_deviance_explained": events["deviance_explained"],
                "amounts_deviance_explained": amounts["deviance_explained"],
                "log_likelihood": log_likelihood(self, X, Y, sample_weight),
            }
        )

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
        self._check_features(X, "draw")
        check_count("draw", "n", n, 1)
        check_seed(seed, "draw")
        rng = np.random.default_rng(seed)
        q, mean = (as_numpy(part.predict(X)).astype(float) for part in (self.events_, self.amounts_))
        happened = rng.random((n, *q.shape)) < q
        phi = self.dispersion_ if q.ndim > 1 else self.dispersion_[0]
        mean = np.broadcast_to(mean, happened.shape)
        # amounts that do not vary are their mean
        amount = np.where(phi > 0, self.amounts_.loss_.draw(rng, mean, np.where(phi > 0, phi, 1.0)), mean)
        return np.where(happened, np.exp(amount) if self._is_logarithmic else amount, 0.0)

    def to_xarray(self) -> xr.Dataset:
        """Weights of both parts, ``coef`` (part, neuron, feature) and ``intercept``, and what both say together."""
        check_fitted(self, "cv_deviance_explained_", "to_xarray")
        parts = [self.events_.to_xarray(), self.amounts_.to_xarray()]
        names = ["coef", "intercept", "lambda", "cv_deviance_explained"]
        each = xr.concat([part[names] for part in parts], "part").assign_coords(part=["events", "amounts"])
        each = each.rename({"cv_deviance_explained": "part_cv_deviance_explained"})
        together = {name: (dims, getattr(self, f"{name}_")) for name, dims in TOGETHER.items()}
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
        self._keep({name: data[name].to_numpy() for name in TOGETHER})
        return self

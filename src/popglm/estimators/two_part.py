"""`TwoPartGLM`: whether a sample is above 0, and by how much, each with weights of its own (zero-inflated gamma)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator, RegressorMixin, clone

from popglm.checks import check_fitted
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.part_arguments import PARTS, check_offset_given, folders_of_parts, offset_of
from popglm.estimators.parts_of_activity import SamplesOfFit, check_parts, fit_part, split_activity
from popglm.estimators.said_together import TOGETHER
from popglm.estimators.two_part_predictions import TwoPartPredictions
from popglm.io.files import check_target
from popglm.io.netcdf import described, write_netcdf

__all__ = ["TwoPartGLM"]


class TwoPartGLM(TwoPartPredictions, RegressorMixin, BaseEstimator):
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
    parts, too. `shapley` shares out the joint deviance. A neuron with fewer than two events has null models, and
    one without any has amounts of 0 in `predict` and `draw`. Where all amounts of a neuron are held out by one fold,
    that fold has learned of none: its held-out amounts are not scored, its `predict_held_out` is 0, and a warning names
    it.

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

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        start: TwoPartGLM | None = None,
        checkpoint: Any = None,
    ) -> Self:
        """Fit both parts, in the same folds.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity, of at least 0. NaN where a neuron was not recorded.
        groups, sample_weight : optional
            As in `GLMCV.fit`.
        offset : mapping, optional
            From "events", "amounts" or both to what is added to the linear predictor of that part, (n_samples,): log
            odds of an event; log mean of an amount under the exponential link, its mean under the identity.
        start : TwoPartGLM, optional
            A fitted model whose parts both parts begin at, as in `GLMCV.fit`.
        checkpoint : path-like, optional
            As in `GLM.fit`; the folder has one for each part.

        Returns
        -------
        TwoPartGLM

        Raises
        ------
        TypeError, ValueError, OSError, KeyboardInterrupt
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
        if start is not None and not isinstance(start, TwoPartGLM):
            raise TypeError(f"start must be a fitted TwoPartGLM; found {type(start).__name__}.")
        if start is not None:
            check_fitted(start, "events_", "fit: start")
        scaled = np.log(amount) if amounts.family == "gaussian" else amount
        own: list[dict[str, Any]] = [
            {
                "sample_weight": sample_weight,
                "offset": offset_of(offset, name),
                "start": None if start is None else getattr(start, f"{name}_"),
                "checkpoint": folder,
            }
            for name, folder in zip(PARTS, folders_of_parts(checkpoint), strict=True)
        ]
        self.events_ = fit_part("events", events, X, happened, groups=groups, **own[0])
        amounts.set_params(cv=self.events_.splits_)
        self.amounts_ = fit_part("amounts", amounts, X, scaled, **own[1])
        self.neuron_names_, self.fold_ = self.events_.neuron_names_, self.events_.fold_
        samples = SamplesOfFit(self, X, happened, amount, sample_weight, offset)
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
        offset: Any = None,
    ) -> Self:
        """Choose the strengths of both parts again, without fitting.

        Parameters
        ----------
        X, y, sample_weight, offset
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
        check_offset_given(self, offset, "select", refits=True)
        samples = SamplesOfFit(self, X, *split_activity(y), sample_weight, offset)
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

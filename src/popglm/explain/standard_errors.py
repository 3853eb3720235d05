"""Standard errors and Wald tests of unpenalised fits, from the model's variance or from trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import check_choice, is_number, shown
from popglm.estimators import GLM, GLMCV
from popglm.estimators.base import PopulationGLM
from popglm.explain.fitted_samples import FittedSamples, pearson_dispersion, samples_of_fit
from popglm.explain.given_models import check_model
from popglm.explain.information import (
    Errors,
    information_of,
    over_trials,
    table_of_errors,
    uncentred,
    warn_of_few_trials,
)

__all__ = ["wald"]


def wald(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    *,
    trial: Any = None,
    dispersion: str = "family",
    level: float = 0.95,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    r"""Standard errors, confidence intervals and Wald tests of the weights of an unpenalised fit.

    Parameters
    ----------
    model : GLM or GLMCV
        Fitted to X and Y with ``penalty="none"``. A penalty shrinks weights, and they have no standard error then:
        see `bootstrap` for bands around shrunken kernels, and `significance` for tests of variables.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
    trial : array-like, shape (n_samples,), optional
        Trial of every sample. Errors are then those of trials that are independent of each other, whatever happens
        within them: clustered sandwich errors. Without it, samples are independent given X, which neighbouring samples
        of neural activity are not.
    dispersion : {"family", "pearson"}
        What variances of the family are multiplied by. "family" is 1 for Poisson, Bernoulli, binomial and
        negative binomial activity, and for others, or with "pearson", Pearson's χ² over the samples less the columns.
        It has no part in clustered errors.
    level : float
        Of confidence intervals, within (0, 1).
    sample_weight, offset : array-like, optional
        Those of the fit. A weight of 2 counts as two samples; numbers of trials do not, where samples are counted.

    Returns
    -------
    xarray.Dataset
        ``coef``, ``standard_error``, ``z``, ``p_value``, ``lower`` and ``upper`` (neuron, feature); ``intercept`` and
        ``intercept_standard_error`` (neuron); ``group_chi2``, ``group_df`` and ``group_p_value`` (neuron, group), a
        test that all weights of a group are 0; and ``dispersion`` (neuron). What the samples do not determine, as the
        weights of collinear columns or of masked ones, has an infinite standard error and p = 1; sums of such weights
        that are determined still count in the tests of groups. Neurons whose model is the null model have infinite
        errors.

    Raises
    ------
    ValueError
        If the model has a penalty; if labels are not those of the fit, or sample weights and offset are not as there;
        if the data of a `GLMCV` are not those of the fit, as its held-out deviance tells (a `GLM` has none to tell by);
        if there is one trial alone; if `level` or `dispersion` is none.

    Warns
    -----
    PopglmWarning
        Where there are fewer trials than twice the columns of a test: clustered errors are then too small.

    Notes
    -----
    With the predictor's columns and a column of ones in X, Fisher weights h and residuals r of the loss (its
    derivative in the predictor), the information is :math:`A = X^\top \mathrm{diag}(w h) X`, and the covariance of the
    weights :math:`\phi A^{-1}`, or with trials g

    .. math:: \frac{G}{G - 1} \frac{n - 1}{n - p - 1} A^{-1} \left(\sum_g s_g s_g^\top\right) A^{-1}, \qquad
              s_g = \sum_{i \in g} w_i r_i x_i .

    Here A has the second derivatives of the loss for h. They are the Fisher weights under canonical links;
    these stand in for them where a loss is not convex, but for the inverse Gaussian one.

    Where no finite weights are best, as for a neuron that is silent in a place, Wald's tests mean nothing: over samples
    errors grow with the weights, and over trials they miss what never varied. Take `likelihood_ratio` there.

    A group's statistic is :math:`b^\top V^{-1} b` of its weights, compared with the χ² distribution. Errors of a
    negative binomial model hold its dispersion fixed, as those of other libraries do. Those of a censored Gaussian one
    come from the second derivatives in the weights and σ together, on which they depend.

    References
    ----------
    McCullagh & Nelder, *Generalized Linear Models* (1989), sections 2.5 and 4.5. Liang & Zeger, "Longitudinal data
    analysis using generalized linear models", *Biometrika* 73 (1986).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2))
    >>> Y = rng.poisson(np.exp(0.3 * X[:, :1]))
    >>> model = pg.GLM(penalty="none", tol=1e-8).fit(X, Y)
    >>> found = pg.wald(model, X, Y)
    >>> found["standard_error"].values.round(3)
    array([[0.022, 0.022]])
    >>> found["p_value"].values.round(2)
    array([[0.  , 0.66]])
    """
    check_model(model, "wald")
    if model.penalty != "none" or model.smoothness > 0:
        has = f"penalty={model.penalty!r}" if model.penalty != "none" else f"smoothness={model.smoothness:g}"
        others = ", or take bootstrap for bands and significance for tests"
        raise ValueError(
            f"wald: the model has {has}, and penalised weights have no standard errors; fit a popglm.GLM with "
            f"penalty='none' and no smoothness{others if isinstance(model, GLM | GLMCV) else ''}."
        )
    if model.constraints:
        raise ValueError(
            "wald: the model has constraints, and a weight that is held at a bound has no standard error; fit a "
            "popglm.GLM without constraints."
        )
    check_choice("wald", "dispersion", dispersion, ("family", "pearson"))
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"wald: level must lie between 0 and 1, as 0.95 does; found {shown(level)}.")
    samples = samples_of_fit(model, X, Y, trial, sample_weight, offset, "wald")
    if samples.trials is not None and not samples.trials.any():
        raise ValueError("wald: trial holds a single trial; errors over trials need at least 2.")
    errors = [None if null else _of_neuron(samples, j, dispersion) for j, null in enumerate(samples.null)]
    warn_of_few_trials(samples, "wald")
    return table_of_errors(samples, samples.coef, np.atleast_1d(np.asarray(model.intercept_, float)), errors, level)


def _of_neuron(samples: FittedSamples, j: int, dispersion: str) -> Errors:
    """The errors of a neuron."""
    found, family = information_of(samples, j), samples.family(j)
    n, p = samples.count(j), found.rank
    phi = pearson_dispersion(samples, j, p) if dispersion == "pearson" or family.has_dispersion else 1.0
    covariance = phi * found.inverse
    if samples.trials is not None:
        covariance = over_trials(found.slopes @ found.inverse, samples.trials, n, p)
    return Errors(uncentred(covariance, found.center), found.flat, phi)

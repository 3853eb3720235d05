"""Likelihoods, effective degrees of freedom and information criteria of fits, penalised or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.estimators import LowRankGLM, SmoothGLM
from popglm.estimators.base import PopulationGLM
from popglm.explain.fitted_samples import FLAT, FittedSamples, samples_of_fit
from popglm.statistics.families.contract import Family

__all__ = ["goodness_of_fit"]

COLUMNS = (
    "log_likelihood", "null_log_likelihood", "degrees_of_freedom", "aic", "bic", "mcfadden", "bits_per_spike"
)  # fmt: skip


def goodness_of_fit(
    model: PopulationGLM, X: Any, Y: Any, *, sample_weight: Any = None, offset: Any = None
) -> pd.DataFrame:
    r"""Likelihood, effective degrees of freedom, AIC, BIC and bits per spike of every neuron, on samples of the fit.

    They tell how well a model describes the samples that it was fitted to, with a price for its freedom. Where folds
    can be held out, their deviance needs no such price: see `breakdown` and ``GLMCV.evaluate``.

    Parameters
    ----------
    model : GLM or GLMCV
        Fitted to X and Y, with any penalty.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
    sample_weight, offset : array-like, optional
        Those of the fit. A weight of 2 counts as two samples; numbers of trials do not, where samples are counted.

    Returns
    -------
    DataFrame
        A row per neuron: ``log_likelihood`` and ``null_log_likelihood`` (nats); ``degrees_of_freedom``, with one for
        the intercept and one for a dispersion; ``aic`` and ``bic``; ``mcfadden``, :math:`1 - L / L_0`, NaN where
        :math:`L_0` is 0; and ``bits_per_spike``, :math:`(L - L_0) / (\log 2 \sum y)`, for events, NaN
        without any. All are NaN for a neuron without a sample that is recorded and has weight.

    Raises
    ------
    ValueError
        If labels are not those of the fit, or sample weights and offset are not as there.

    Notes
    -----
    The effective degrees of freedom are how much fitted means follow the activity, :math:`\sum_i \partial \mu_i /
    \partial y_i` in units of variance. Among the columns S with weights, with Fisher weights h in
    :math:`A = X_S^\top \mathrm{diag}(h) X_S / n`, centred where there is an intercept, and the second derivative
    :math:`P''` of the penalty,

    .. math:: \nu = \operatorname{tr}[(A + P'')^{-1} A] + 1 .

    That is the number of weights for the lasso, the usual trace for ridge, and the result of Vaiter et al. for the
    group lasso, where shrunken groups count for less than their columns. Gaussian, gamma and inverse Gaussian
    likelihoods are those of the dispersion that R's ``logLik`` takes, the deviance over n; Tweedie likelihoods of
    Pearson's χ² over n. Poisson likelihoods of activity between whole numbers
    have the gamma function for factorials. Relaxed weights have NaN for degrees of freedom, AIC and BIC: a blend
    minimises no one objective. So have those of a `LowRankGLM`, which neurons have together. Under MCP and SCAD
    :math:`P''` is that of the tangent, so that a single column with a weight counts for one, as in ncvreg. A weight at
    one of its ``constraints`` is not free to move, and counts for nothing.

    References
    ----------
    Zou, Hastie & Tibshirani, "On the degrees of freedom of the lasso", *Annals of Statistics* 35 (2007). Vaiter et al.,
    "The degrees of freedom of partly smooth regularizers", *Annals of the Institute of Statistical Mathematics* 69
    (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 5))
    >>> Y = rng.poisson(np.exp(0.5 * X[:, :1] - 1))
    >>> model = pg.GLM(penalty="lasso", lambdas=[0.03]).fit(X, Y)
    >>> pg.goodness_of_fit(model, X, Y)[["degrees_of_freedom", "bits_per_spike"]].round(2)
             degrees_of_freedom  bits_per_spike
    neuron...
    neuron0                 2.0            0.18
    """
    samples = samples_of_fit(model, X, Y, None, sample_weight, offset, "goodness_of_fit")
    rows = [_of_neuron(samples, j) for j in range(samples.y.shape[1])]
    return pd.DataFrame(rows, index=pd.Index(model.neuron_names_, name="neuron"))


def _of_neuron(samples: FittedSamples, j: int) -> dict[str, float]:
    """The row of a neuron."""
    y, w, family = samples.y[:, j], samples.weights(j), samples.family(j)
    if not w.any():
        # of no samples nothing is likely or unlikely
        return dict.fromkeys(COLUMNS, np.nan)
    found = log_likelihood(family, y, samples.eta[:, j], w)
    null = log_likelihood(samples.null_family(j), y, samples.null_eta[:, j], w)
    df = _of_weights(samples, j) + samples.model.fit_intercept + family.has_dispersion + len(family.parameters)
    events = float(w @ y)
    # of counts, whose likelihood has no unit
    per_event = family.has_events and not family.has_dispersion and family.is_exponential and events > 0
    values = (
        found,
        null,
        df,
        2 * (df - found),
        np.log(samples.count(j)) * df - 2 * found,
        1 - found / null if null else np.nan,
        (found - null) / (np.log(2) * events) if per_event else np.nan,
    )
    return dict(zip(COLUMNS, values, strict=True))


def log_likelihood(family: Family, y: np.ndarray, eta: np.ndarray, weight: np.ndarray) -> float:
    """Logarithm of the likelihood of a neuron's activity (n_samples,), with all that does not depend on the fit."""
    return family.log_likelihood(eta, y, weight, family.dispersion(eta, y, weight))


def _of_weights(samples: FittedSamples, j: int) -> float:
    """Effective degrees of freedom of a neuron's weights."""
    w = samples.coef[j]
    lam = float(np.atleast_1d(samples.model.lambda_)[j])
    if samples.null[j] or not w.any():
        return 0.0
    if samples.model.gamma_ is not None and samples.model.gamma_[j] < 1:
        # a blend is no minimum of one objective
        return np.nan
    if isinstance(samples.model, LowRankGLM):
        # neurons share their factors, and have no number of their own
        return np.nan
    if isinstance(samples.model, SmoothGLM) and samples.model.constraints:
        # what is held at a bound takes none
        return float(samples.model.edf_.iloc[j].sum())
    lam = 0.0 if samples.model.penalty == "none" else lam
    penalty = samples.penalty(j)
    active = (w != 0) if penalty.l1_ratio > 0 and lam > 0 else np.ones(len(w), bool)
    # what a bound holds is not free to move
    active &= penalty.is_inside(w)
    if not active.any():
        return 0.0
    h = samples.weights(j) * samples.family(j).derivatives(np, samples.eta[:, j], samples.y[:, j])[1]
    Z = samples.columns(j)[:, active]
    if samples.model.fit_intercept:
        Z = Z - np.average(Z, axis=0, weights=np.maximum(h, 1e-300))
    A = Z.T @ (Z * h[:, None]) / samples.weights(j).sum()
    whole = A + penalty.curvature(w, lam)[np.ix_(active, active)]
    # a direction is flat in any unit of its columns, or in none; the trace has no unit
    size = np.sqrt(np.maximum(np.diag(whole), 1e-300))
    A, whole = A / np.outer(size, size), whole / np.outer(size, size)
    values, vectors = np.linalg.eigh(whole)
    kept = values > FLAT * values[-1]
    return float(np.sum(np.einsum("ij,ik,kj->j", vectors, A, vectors)[kept] / values[kept]))

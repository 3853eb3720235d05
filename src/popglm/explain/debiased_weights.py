"""Confidence intervals and tests from penalised fits: one step that takes their bias away."""

from __future__ import annotations

from dataclasses import replace
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
    Information,
    information_of,
    over_trials,
    table_of_errors,
    uncentred,
    warn_of_few_trials,
)
from popglm.explain.nodewise import Nodewise
from popglm.messages import listed
from popglm.warnings import warn

__all__ = ["debiased"]

#: Samples per column from which on the information itself is inverted.
ENOUGH = 2.0
#: Root mean square of a second step, in standard errors, from which on the first was not enough.
FAR = 1.0


def debiased(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    *,
    trial: Any = None,
    inverse: str = "auto",
    level: float = 0.95,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    r"""Confidence intervals and tests of single weights and of groups, from a penalised fit.

    A penalty pulls weights towards 0, and no interval about them holds the truth as often as it should. One step from
    them, by an inverse of the information, takes the bias away:

    .. math:: \tilde w = \hat w - M\, X^\top r, \qquad M \approx (X^\top \mathrm{diag}(h) X)^{-1}

    with the slopes r and curvatures h of the loss at the penalised fit, both times the sample weights. The result has
    no zeros, a standard error for every weight, and is approximately normal.

    Parameters
    ----------
    model : GLM or GLMCV
        Fitted to X and Y, with any penalty. Where the null model was selected, the step begins there. From weights
        within ``constraints`` it leads to those of the model without them, which may lie beyond the bounds.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
    trial : array-like, shape (n_samples,), optional
        Trial of every sample. Errors are then those of trials that are independent of each other, whatever happens
        within them, as in `wald`; without it samples are independent given X.
    inverse : {"auto", "hessian", "nodewise"}
        What M is. "hessian": the inverse itself, which needs more samples than columns. "nodewise": what the other
        columns leave of each, by regressions with a penalty of their own, for as many columns as samples or more.
        "auto" takes the first where a neuron has at least two samples per column.
    level : float
        Of confidence intervals, within (0, 1).
    sample_weight, offset : array-like, optional
        Those of the fit. A weight of 2 counts as two samples; numbers of trials do not, where samples are counted.

    Returns
    -------
    xarray.Dataset
        As that of `wald`: ``coef``, debiased, ``standard_error``, ``z``, ``p_value``, ``lower`` and ``upper`` (neuron,
        feature); ``intercept`` and ``intercept_standard_error`` (neuron); ``group_chi2``, ``group_df`` and
        ``group_p_value`` (neuron, group), a test that all weights of a group are 0; ``dispersion`` (neuron). Beside
        these ``penalised`` (neuron, feature), the weights of the model, and ``nodewise`` (neuron), whether M is of
        regressions. What the samples do not determine has an infinite standard error and p = 1, and so have neurons
        without a fit.

    Raises
    ------
    TypeError
        For other models, such as `SmoothGLM`, and for both parts of a `TwoPartGLM`.
    ValueError
        If labels are not those of the fit, or sample weights and offset are not as there; if the data of a `GLMCV` are
        not those of the fit, as its held-out deviance tells (a `GLM` has none to tell by); if there is one trial alone;
        if `level` or `inverse` is none; for ``family="censored_gaussian"``; for a loss with kinks; for
        ``inverse="hessian"`` and no more samples than columns; for a model with ``constraints`` where M is of
        regressions.

    Warns
    -----
    PopglmWarning
        Where there are fewer trials than twice the columns of a test: clustered errors are then too small. Names
        neurons that a second step would move by as much as their standard errors, since the penalty was far too strong;
        with regressions these are neurons whose chosen weights keep a bias as large as that.

    See Also
    --------
    wald : for fits without a penalty, whose errors these are where the strength goes to 0.
    significance : tests that hold for samples that depend on each other in time.

    Notes
    -----
    With "hessian" the step is one of Fisher's scoring, from the penalised weights. For Gaussian activity it ends at
    least squares, with the errors of least squares. For other families it does not go all the way to the weights of
    largest likelihood, which is good where there are few samples per column: those are too far from 0 then, and may not
    be finite (Xia, Nan & Li). It is not enough where the penalty has left hardly anything of large weights, which a
    warning tells.

    With "nodewise", column k of M comes from a regression of column k on the columns of all other blocks of the
    penalty, with a lasso, or a group lasso if the model has one. A block is a feature group under a group lasso, and a
    column otherwise. With residuals Z of the columns of a block, :math:`M_b = (Z^\top \mathrm{diag}(h) X_b)^{-1}
    Z^\top`. The regressions begin at the universal strength :math:`\sqrt{2 \log p / n}` for columns of variance 1, and
    it falls until the variance has grown by a quarter, down to a tenth of it: less bias for some variance (Zhang &
    Zhang). All columns are one population, whose neurons are the columns. Gaussian neurons that are recorded in the
    same samples share these regressions; other families have curvatures of each neuron's own, and some seconds per
    neuron for hundreds of columns.

    ``constraints`` are no part of what is estimated. With "hessian" the step takes away what a bound has held back too,
    and its estimates are not confined: a weight at its bound may come out on either side, and one that must not be
    negative may be. The regressions take away the small bias of a penalty alone. They leave a share of what a bound
    holds back, and intervals do not hold, so that such models are refused there.

    The theory asks for few columns with weights (van de Geer et al.), and for groups that are small beside n. A model
    whose columns are left out by a mask knows nothing of them. Intervals are for one weight each, not for all at once.
    The strength is best chosen by cross-validation; what it selected is not conditioned on, and need not be. Errors of
    a negative binomial model hold its dispersion fixed. Those of families with a dispersion take the samples less the
    weights of the penalised fit.

    References
    ----------
    van de Geer, Bühlmann, Ritov & Dezeure, "On asymptotically optimal confidence regions and tests for high-dimensional
    models", *Annals of Statistics* 42 (2014). Zhang & Zhang, "Confidence intervals for low dimensional parameters in
    high dimensional linear models", *Journal of the Royal Statistical Society B* 76 (2014). Mitra & Zhang, "The benefit
    of group sparsity in group inference with de-biased scaled group lasso", *Electronic Journal of Statistics* 10
    (2016). Xia, Nan & Li, "Debiased lasso for generalized linear models with a diverging number of covariates",
    *Biometrics* 79 (2023), for the inverse itself.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 40))
    >>> Y = rng.poisson(np.exp(X[:, :2] @ [[0.3], [-0.2]]))
    >>> model = pg.GLMCV(penalty="lasso").fit(X, Y)
    >>> found = pg.debiased(model, X, Y)
    >>> found["penalised"].values[0, :3].round(2), found["coef"].values[0, :3].round(2)
    (array([ 0.24, -0.2 ,  0.  ]), array([ 0.28, -0.25, -0.01]))
    >>> found["lower"].values[0, :2].round(2), found["upper"].values[0, :2].round(2)
    (array([ 0.22, -0.32]), array([ 0.34, -0.19]))
    """
    check_model(model, "debiased")
    if not isinstance(model, GLM | GLMCV):
        raise TypeError(
            f"debiased: the step is from the penalties of a popglm.GLM or popglm.GLMCV, and a {type(model).__name__} "
            "has others; give one of those."
        )
    check_choice("debiased", "inverse", inverse, ("auto", "hessian", "nodewise"))
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"debiased: level must lie between 0 and 1, as 0.95 does; found {shown(level)}.")
    if not model.loss_.is_smooth:
        raise ValueError(
            f"debiased: the loss of inverse_link={model.loss_.link.name!r} has kinks, where no curvature tells how "
            "sure a weight is; fit with another inverse_link."
        )
    if not model.loss_.is_exponential:
        raise ValueError(
            f"debiased: the weights of a {model.loss_.name} model depend on what else of the family is estimated; fit "
            "with penalty='none' and take wald, or take bootstrap."
        )
    samples = samples_of_fit(model, X, Y, trial, sample_weight, offset, "debiased")
    if samples.trials is not None and not samples.trials.any():
        raise ValueError("debiased: trial holds a single trial; errors over trials need at least 2.")
    q, p = samples.coef.shape
    nodewise = Nodewise(samples.X, model.penalty_, bool(model.fit_intercept))
    coef, intercept = samples.coef.copy(), np.atleast_1d(np.asarray(model.intercept_, float)).copy()
    errors: list[Errors | None] = []
    by_nodes = np.zeros(q, bool)
    far: list[int] = []
    for j in range(q):
        if model.null_fitted_[j]:
            errors.append(None)
            continue
        n_columns = int((samples.columns(j) != 0).any(axis=0).sum()) + model.fit_intercept
        by_nodes[j] = inverse == "nodewise" or (inverse == "auto" and samples.count(j) < ENOUGH * n_columns)
        if model.constraints and (by_nodes[j] or samples.count(j) <= n_columns):
            raise ValueError(
                f"debiased: the model has constraints, and inverse='nodewise', here for {samples.count(j):g} samples "
                f"and {n_columns} columns of neuron {model.neuron_names_[j]!r}, does not take away all that bounds "
                "hold back; fit without constraints, or use inverse='hessian' with more samples than columns."
            )
        if inverse == "hessian" and samples.count(j) <= n_columns:
            raise ValueError(
                f"debiased: neuron {model.neuron_names_[j]!r} has {samples.count(j):g} samples for {n_columns} "
                "columns, and their information has no inverse; use inverse='nodewise' or 'auto'."
            )
        step, own = _by_nodes(samples, j, nodewise, far) if by_nodes[j] else _by_inverse(samples, j, far)
        coef[j] += step[:p]
        intercept[j] += step[p] if model.fit_intercept else 0.0
        errors.append(own)
    warn_of_few_trials(samples, "debiased")
    if far:
        warn(
            f"debiased: one step is not enough for {listed(model.neuron_names_[j] for j in far)}: a second one would "
            "be as long as standard errors are, and intervals do not hold. Fit with smaller strengths, or without a "
            "penalty and take wald."
        )
    found = table_of_errors(samples, coef, intercept, errors, level)
    return found.assign(penalised=(("neuron", "feature"), samples.coef), nodewise=("neuron", by_nodes))


def _step(found: Information) -> np.ndarray:
    """One of Fisher's scoring."""
    return -found.inverse @ (found.Z.T @ found.score)


def _is_far(samples: FittedSamples, j: int, found: Information, step: np.ndarray) -> bool:
    """Whether a second step would be as long as errors are: the first one was too long for its curvature."""
    eta = samples.eta.copy()
    eta[:, j] += found.Z @ step
    with np.errstate(all="ignore"):
        again = information_of(replace(samples, eta=eta), j) if np.isfinite(eta[:, j]).all() else None
    if again is None or not np.isfinite(again.inverse).all():
        return True
    error = np.sqrt(np.maximum(np.diag(found.inverse), 0))
    return bool(np.mean((_step(again)[error > 0] / error[error > 0]) ** 2) > FAR**2)


def _by_inverse(samples: FittedSamples, j: int, far: list[int]) -> tuple[np.ndarray, Errors]:
    """One step of Fisher scoring from the penalised weights, and the errors there, of weights and intercept."""
    found = information_of(samples, j)
    step = _step(found)
    score, count, eta = found.score, 1 + int(np.count_nonzero(samples.coef[j])), None
    if samples.family(j).is_least_squares:
        # that is the minimum of the loss itself, whose residuals and errors are at hand
        change = found.Z @ step
        score, count, eta = found.score + found.weight * change, found.rank, samples.eta[:, j] + change
    elif _is_far(samples, j, found, step):
        far.append(j)
    covariance = _covariance(samples, j, found.inverse, found.Z @ found.inverse, score, count, eta)
    return _apart(step, found.center), Errors(uncentred(covariance[0], found.center), found.flat, covariance[1])


def _by_nodes(samples: FittedSamples, j: int, nodewise: Nodewise, far: list[int]) -> tuple[np.ndarray, Errors]:
    """One step along the directions of node-wise regressions, and the errors there, of weights and intercept."""
    y, eta, w, family = samples.y[:, j], samples.eta[:, j], samples.weights(j), samples.family(j)
    r, h = family.derivatives(np, eta, y)
    if samples.trials is not None:
        h = family.second_derivative(eta, y)
    v = np.maximum(w * h, 0.0)
    mask = samples.model.feature_mask_
    D, center, determined = nodewise.directions(v, np.ones(len(samples.coef[j]), bool) if mask is None else mask[:, j])
    flat = np.eye(len(determined) + samples.model.fit_intercept)[:, : len(determined)][:, ~determined]
    if samples.model.fit_intercept:
        D = np.column_stack([D, np.full(len(D), 1 / v.sum())])
    step = -(D.T @ (w * r))
    count = 1 + int(np.count_nonzero(samples.coef[j]))
    covariance, phi = _covariance(samples, j, D.T @ (D * v[:, None]), D, w * r, count, None)
    if _leaves_bias(samples, j, D * v[:, None], center, step, covariance):
        far.append(j)
    return _apart(step, center), Errors(uncentred(covariance, center), flat, phi)


def _leaves_bias(
    samples: FittedSamples, j: int, Dv: np.ndarray, center: np.ndarray, step: np.ndarray, covariance: np.ndarray
) -> bool:
    """Whether the step leaves biases as long as errors, in weights that the penalty has chosen.

    A direction of a weight takes along a share of what the penalty holds back in others, and how much that is their own
    steps tell.
    """
    chosen = np.flatnonzero((samples.coef[j] != 0) & (np.diag(covariance)[: len(center)] > 0))
    taken = Dv[:, chosen].T @ (samples.X[:, chosen] - center[chosen])
    bias = taken @ step[chosen] - np.diag(taken) * step[chosen]
    return bool(len(chosen) and np.mean(bias**2 / np.diag(covariance)[chosen]) > FAR**2)


def _covariance(
    samples: FittedSamples, j: int, plain: np.ndarray, D: np.ndarray, score: np.ndarray, count: int,
    eta: np.ndarray | None,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Covariance of weights about the means of columns, and the dispersion."""
    phi = pearson_dispersion(samples, j, count, eta) if samples.family(j).has_dispersion else 1.0
    if samples.trials is None:
        return phi * plain, phi
    return over_trials(D * score[:, None], samples.trials, samples.count(j), count), phi


def _apart(step: np.ndarray, center: np.ndarray) -> np.ndarray:
    """A step with the intercept where the columns are 0, in place of their means (n_features,)."""
    if len(step) > len(center):
        step = step.copy()
        step[-1] -= center @ step[:-1]
    return step

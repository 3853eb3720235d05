"""Standard errors and Wald tests of unpenalised fits, from the model's variance or from trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from popglm.checks import check_choice, is_number, shown
from popglm.estimators.base import PopulationGLM
from popglm.explain.contributions import check_model
from popglm.explain.fitted_samples import FLAT, FittedSamples, pearson_dispersion, samples_of_fit
from popglm.warnings import warn

__all__ = ["wald"]

#: A column takes part in a direction without information with more than this share of the largest part of any.
LOOSE = 1e-6


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
        raise ValueError(
            f"wald: the model has {has}, and penalised weights have no standard errors; fit with penalty='none' and no "
            "smoothness, or take bootstrap for bands and significance for tests."
        )
    check_choice("wald", "dispersion", dispersion, ("family", "pearson"))
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"wald: level must lie between 0 and 1, as 0.95 does; found {shown(level)}.")
    samples = samples_of_fit(model, X, Y, trial, sample_weight, offset, "wald")
    if samples.trials is not None and not samples.trials.any():
        raise ValueError("wald: trial holds a single trial; errors over trials need at least 2.")
    groups = _groups(model)
    errors = [None if null else _of_neuron(samples, j, dispersion) for j, null in enumerate(samples.null)]
    _warn_of_few_trials(samples.trials, groups)
    return _dataset(samples, errors, groups, level)


@dataclass(frozen=True)
class _Errors:
    """Covariance of a neuron's weights and, last, its intercept; directions without information; dispersion."""

    covariance: np.ndarray
    flat: np.ndarray
    dispersion: float


def _groups(model: PopulationGLM) -> dict[str, np.ndarray]:
    """Columns of every feature group."""
    ends = np.cumsum(model.feature_group_sizes_)
    sizes = zip(model.feature_group_names_, model.feature_group_sizes_, ends, strict=True)
    return {str(name): np.arange(end - size, end) for name, size, end in sizes}


def _of_neuron(samples: FittedSamples, j: int, dispersion: str) -> _Errors:
    """The errors of a neuron."""
    y, eta, w, family = samples.y[:, j], samples.eta[:, j], samples.weights(j), samples.family(j)
    with_intercept = samples.model.fit_intercept
    r, h = family.derivatives(np, eta, y)
    if samples.trials is not None:
        # the slope of the sum of residuals, which holds without the family's variance
        h = family.second_derivative(eta, y)
    X = samples.columns(j)
    center = np.average(X, axis=0, weights=np.maximum(w * h, 1e-300)) if with_intercept else 0.0
    Z = X - center
    if with_intercept:
        Z = np.column_stack([Z, np.ones(len(Z))])
    A = Z.T @ (Z * (w * h)[:, None])
    slopes = Z * (w * r)[:, None]
    if (beside := family.parameter_derivatives(eta, y)) is not None:
        # what the parameters, which were estimated too, leave of the information on the weights
        first, cross, own = (np.moveaxis(w * np.moveaxis(part, 0, -1), -1, 0) for part in beside)
        cross = Z.T @ cross
        taken = cross @ np.linalg.pinv(own.sum(axis=0), hermitian=True)
        A, slopes = A - taken @ cross.T, slopes - first @ taken.T
    # columns of all units count alike where directions without information are looked for; where the model is sure of
    # silence there is none, whatever the unit
    usual = np.sum(w * h) / max(np.sum(w), 1e-300) * np.sum(Z**2 * w[:, None], axis=0)
    scale = np.sqrt(np.maximum(np.maximum(np.diag(A), LOOSE * usual), 1e-300))
    values, vectors = np.linalg.eigh(A / np.outer(scale, scale))
    kept = values > FLAT * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T / np.outer(scale, scale)
    n, p = samples.count(j), int(kept.sum())
    phi = pearson_dispersion(samples, j, p) if dispersion == "pearson" or family.has_dispersion else 1.0
    if samples.trials is None:
        covariance = phi * inverse
    else:
        sums = np.zeros((samples.trials.max() + 1, Z.shape[1]))
        np.add.at(sums, samples.trials, slopes)
        covariance = inverse @ (sums.T @ sums) @ inverse
        covariance *= len(sums) / (len(sums) - 1) * (n - 1) / max(n - p, 1)
    if with_intercept:
        # the intercept where the columns are 0, not at their means
        back = np.eye(len(A))
        back[-1, :-1] = -center
        covariance = back @ covariance @ back.T
    return _Errors(covariance, vectors[:, ~kept] / scale[:, None], phi)


def _group_test(errors: _Errors, b: np.ndarray, columns: np.ndarray) -> tuple[float, int]:
    """Wald's statistic of the weights of some columns, and its degrees of freedom: what is determined of them alone."""
    U, values, _ = np.linalg.svd(errors.flat[columns], full_matrices=True)
    # what is known of the weights of these columns, whatever those of others are
    known = U[:, int((values > LOOSE * np.abs(errors.flat).max(initial=0.0)).sum()) :]
    if not known.shape[1]:
        return 0.0, 0
    V = known.T @ errors.covariance[np.ix_(columns, columns)] @ known
    c = known.T @ b[columns]
    varied = np.diag(V) > LOOSE**2 * np.diag(V).max()
    if not varied.any():
        return 0.0, 0
    V, c = V[np.ix_(varied, varied)], c[varied]
    size = np.sqrt(np.diag(V))
    values, vectors = np.linalg.eigh(V / np.outer(size, size))
    kept = values > FLAT * values[-1]
    parts = (vectors[:, kept].T @ (c / size)) ** 2 / values[kept]
    return float(parts.sum()), int(kept.sum())


def _warn_of_few_trials(trials: np.ndarray | None, groups: dict[str, np.ndarray]) -> None:
    if trials is None:
        return
    n_trials = int(trials.max()) + 1
    few = [name for name, columns in groups.items() if n_trials < 2 * len(columns)]
    if few:
        warn(
            f"wald: {n_trials:,} trials are few for tests of {', '.join(map(repr, few))}: errors over trials need at "
            "least twice as many as a group has columns, and are too small here."
        )


def _dataset(
    samples: FittedSamples, errors: list[_Errors | None], groups: dict[str, np.ndarray], level: float
) -> xr.Dataset:
    """Errors and tests of all neurons."""
    model, coef = samples.model, samples.coef
    q, p = coef.shape
    error, intercept_error = np.full((q, p), np.inf), np.full(q, np.inf)
    chi2, df, phi = np.zeros((q, len(groups))), np.zeros((q, len(groups)), int), np.ones(q)
    for j, own in enumerate(errors):
        if own is None:
            continue
        spread = np.sqrt(np.maximum(np.diag(own.covariance), 0))
        # a column that a direction without information goes along is not determined
        loose = np.abs(own.flat[:p]).max(axis=1, initial=0.0) > LOOSE * np.abs(own.flat).max(initial=0.0)
        error[j] = np.where(loose, np.inf, spread[:p])
        intercept_error[j] = spread[p] if model.fit_intercept else 0.0
        phi[j] = own.dispersion
        for k, columns in enumerate(groups.values()):
            chi2[j, k], df[j, k] = _group_test(own, coef[j], columns)
    z = coef / np.where(error > 0, error, np.inf)
    far = stats.norm.ppf((1 + level) / 2)
    weights, tests = ("neuron", "feature"), ("neuron", "group")
    return xr.Dataset(
        {
            "coef": (weights, coef),
            "standard_error": (weights, error),
            "z": (weights, z),
            "p_value": (weights, 2 * stats.norm.sf(np.abs(z))),
            "lower": (weights, coef - far * error),
            "upper": (weights, coef + far * error),
            "intercept": ("neuron", np.atleast_1d(np.asarray(model.intercept_, float))),
            "intercept_standard_error": ("neuron", intercept_error),
            "group_chi2": (tests, chi2),
            "group_df": (tests, df),
            "group_p_value": (tests, np.where(df > 0, stats.chi2.sf(chi2, np.maximum(df, 1)), 1.0)),
            "dispersion": ("neuron", phi),
        },
        coords={
            "neuron": model.neuron_names_,
            "feature": _feature_names(model, groups),
            "group": list(groups),
        },
        attrs={"level": level, "errors": "over samples" if samples.trials is None else "over trials"},
    )


def _feature_names(model: PopulationGLM, groups: dict[str, np.ndarray]) -> list[str]:
    """Names of columns: those of X, where it had some."""
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in names]
    return [f"{group} {i}" for group, columns in groups.items() for i in range(len(columns))]

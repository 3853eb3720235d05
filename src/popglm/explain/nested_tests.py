"""Likelihood-ratio and score tests of variables, for fits without a penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats
from sklearn.base import clone

from popglm.estimators import GLM, GLMCV
from popglm.estimators.base import PopulationGLM
from popglm.explain.fitted_samples import FLAT, FittedSamples, pearson_dispersion, samples_of_fit
from popglm.explain.given_models import check_model
from popglm.explain.goodness import log_likelihood
from popglm.variables import Variables, group_columns, resolve_variables

__all__ = ["likelihood_ratio"]


def likelihood_ratio(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    variables: Variables = None,
    *,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    r"""Likelihood-ratio and score tests of each variable, by a fit without it.

    Parameters
    ----------
    model : GLM
        Fitted to X and Y with ``penalty="none"`` and no ``smoothness``.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
    variables : list of str, or mapping, optional
        As in `breakdown`; every feature group is one unless given.
    sample_weight, offset : array-like, optional
        Those of the fit. A weight of 2 counts as two samples; numbers of trials do not, where samples are counted.

    Returns
    -------
    xarray.Dataset
        By neuron and variable: ``chi2`` and ``p_value`` of the likelihood ratio, ``score`` and ``score_p_value`` of
        Rao's test, and ``df``, the directions that the variable's columns add. Where they add none, and for neurons
        whose model is the null model, p is 1.

    Raises
    ------
    ValueError
        If the model has a penalty; if labels are not those of the fit, or sample weights and offset are not as there;
        for unknown variables.

    See Also
    --------
    wald : the third test, without another fit, and with errors over trials.
    significance : for penalised models, and for samples that depend on each other.

    Notes
    -----
    The statistic is :math:`2 (L - L_0)`, L_0 the likelihood of the fit without the variable; or the difference of
    deviances over the dispersion of the full model (Pearson's χ² over the samples less the columns) where the family
    has one. Rao's is :math:`U^\top (A_{vv} - A_{vo} A_{oo}^{-1} A_{ov})^{-1} U` with the scores U of the variable's
    columns and the expected information A, both at the fit without them. Both ask that samples be independent given X,
    and samples of neural activity seldom are: p-values are then too small.

    References
    ----------
    McCullagh & Nelder, *Generalized Linear Models* (1989), section 4.4 and appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 2))
    >>> Y = rng.poisson(np.exp(0.1 * X[:, :1]))
    >>> model = pg.GLM(penalty="none", tol=1e-8, feature_groups=["cue", "speed"]).fit(X, Y)
    >>> pg.likelihood_ratio(model, X, Y)["p_value"].values.round(3)
    array([[0.   , 0.381]])
    """
    check_model(model, "likelihood_ratio")
    if model.penalty != "none" or model.smoothness > 0:
        has = f"penalty={model.penalty!r}" if model.penalty != "none" else f"smoothness={model.smoothness:g}"
        others = ", or take significance" if isinstance(model, GLM | GLMCV) else ""
        raise ValueError(
            f"likelihood_ratio: the model has {has}; likelihoods of penalised fits are not compared by χ². Fit a "
            f"popglm.GLM with penalty='none' and no smoothness{others}."
        )
    if model.constraints:
        raise ValueError(
            "likelihood_ratio: the model has constraints, under which the statistic is not distributed as χ²; fit a "
            "popglm.GLM without constraints."
        )
    samples = samples_of_fit(model, X, Y, None, sample_weight, offset, "likelihood_ratio")
    names, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, names)
    shape = samples.y.shape[1], len(chosen)
    chi2, score, df = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
    for k, groups in enumerate(chosen.values()):
        columns = np.zeros(samples.X.shape[1], bool)
        columns[group_columns(groups, names, sizes)] = True
        reduced = _without(samples, columns)
        for j in map(int, np.flatnonzero(~samples.null)):
            chi2[j, k] = _ratio(samples, reduced, j)
            score[j, k], df[j, k] = _score(reduced, columns, samples, j)
    p, score_p = (np.where(df > 0, stats.chi2.sf(one, np.maximum(df, 1)), 1.0) for one in (chi2, score))
    dims = ("neuron", "variable")
    return xr.Dataset(
        {"chi2": (dims, chi2), "p_value": (dims, p), "score": (dims, score), "score_p_value": (dims, score_p),
         "df": (dims, df)},
        coords={"neuron": model.neuron_names_, "variable": list(chosen)},
    )  # fmt: skip


def _without(samples: FittedSamples, columns: np.ndarray) -> FittedSamples:
    """The samples by a fit that has no weights for some columns."""
    model, q = samples.model, samples.y.shape[1]
    mask = np.ones((len(columns), q), bool) if model.feature_mask_ is None else np.asarray(model.feature_mask_)
    other = clone(model).set_params(feature_mask=mask & ~columns[:, None], feature_groups=[len(columns)])
    other.fit(samples.X, samples.y, sample_weight=samples.weight, offset=samples.offset)
    return samples_of_fit(other, samples.X, samples.y, None, samples.weight, samples.offset, "likelihood_ratio")


def _dispersion(samples: FittedSamples, j: int) -> float:
    """Pearson's χ² over the samples less the columns; 1 for families without a dispersion."""
    if not samples.family(j).has_dispersion:
        return 1.0
    return pearson_dispersion(samples, j, np.linalg.matrix_rank(_even(_columns(samples, j))))


def _columns(samples: FittedSamples, j: int) -> np.ndarray:
    """Columns of a neuron, the intercept's last."""
    X = samples.columns(j)
    return np.column_stack([X, np.ones(len(X))]) if samples.model.fit_intercept else X


def _even(X: np.ndarray) -> np.ndarray:
    """Columns of norm 1, so that none falls below the rounding of another by its unit."""
    return X / np.maximum(np.linalg.norm(X, axis=0), 1e-300)


def _ratio(samples: FittedSamples, reduced: FittedSamples, j: int) -> float:
    """Twice the difference of log-likelihoods, over the dispersion."""
    y, w, family = samples.y[:, j], samples.weights(j), samples.family(j)
    if family.has_dispersion:
        apart = w @ (family.deviance(reduced.eta[:, j], y) - family.deviance(samples.eta[:, j], y))
        return max(float(apart) / _dispersion(samples, j), 0.0)
    full = log_likelihood(family, y, samples.eta[:, j], w)
    return max(2 * (full - log_likelihood(reduced.family(j), y, reduced.eta[:, j], w)), 0.0)


def _score(reduced: FittedSamples, columns: np.ndarray, full: FittedSamples, j: int) -> tuple[float, int]:
    """Rao's statistic of some columns, and its degrees of freedom."""
    r, h = reduced.family(j).derivatives(np, reduced.eta[:, j], reduced.y[:, j])
    root = np.sqrt(full.weights(j) * h)[:, None]
    tested = root * full.columns(j)[:, columns]
    others, tested = _even(root * _columns(reduced, j)), _even(tested)
    left = tested - others @ np.linalg.lstsq(others, tested, rcond=None)[0]
    information = left.T @ left
    if (beside := reduced.family(j).parameter_derivatives(reduced.eta[:, j], reduced.y[:, j])) is not None:
        # the parameters of the family are free as the other columns are
        _, cross, own = beside
        cross = np.where(root > 0, full.weights(j)[:, None] * cross / np.where(root > 0, root, 1), 0.0)
        explained = others @ np.linalg.lstsq(others, cross, rcond=None)[0]
        alone = np.einsum("i,ijk->jk", full.weights(j), own) - explained.T @ explained
        shared = left.T @ cross
        information -= shared @ np.linalg.pinv(alone, hermitian=True) @ shared.T
    values, vectors = np.linalg.eigh(information)
    kept = values > FLAT
    with np.errstate(divide="ignore", invalid="ignore"):
        working = np.where(root[:, 0] > 0, full.weights(j) * r / root[:, 0], 0.0)
    U = vectors[:, kept].T @ (left.T @ working)
    return float(np.sum(U**2 / values[kept]) / _dispersion(reduced, j)), int(kept.sum())

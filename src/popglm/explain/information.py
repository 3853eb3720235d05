"""Information of the samples of a fit about its weights, and tables of errors and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import stats

from popglm.estimators.base import PopulationGLM
from popglm.explain.fitted_samples import FLAT, FittedSamples
from popglm.warnings import warn

__all__ = [
    "Errors",
    "Information",
    "information_of",
    "over_trials",
    "table_of_errors",
    "uncentred",
    "warn_of_few_trials",
]

#: A column takes part in a direction without information with more than this share of the largest part of any.
LOOSE = 1e-6
#: A column that stays as close to its mean, as a share of that, does not vary.
STILL = 1e-12


@dataclass(frozen=True)
class Errors:
    """Covariance of a neuron's weights and, last, its intercept; directions without information; dispersion."""

    covariance: np.ndarray
    flat: np.ndarray
    dispersion: float


@dataclass(frozen=True)
class Information:
    """What the samples of a neuron say about its weights, near the fit.

    Attributes
    ----------
    Z : ndarray, shape (n_samples, n_features) or (n_samples, n_features + 1)
        Columns about their means, and ones where there is an intercept.
    center : ndarray, shape (n_features,)
        Those means, weighted by curvature; 0 without an intercept.
    weight, score : ndarray, shape (n_samples,)
        Curvature and slope of the loss in the predictor, times the sample weights.
    slopes : ndarray, shape (n_samples, n_columns)
        Of the loss in the weights, beside the parameters of the family that are estimated with them.
    inverse : ndarray, shape (n_columns, n_columns)
        Of the information, along the directions that have some.
    flat : ndarray, shape (n_columns, n_flat)
        The others.
    """

    Z: np.ndarray
    center: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    slopes: np.ndarray
    inverse: np.ndarray
    flat: np.ndarray

    @property
    def rank(self) -> int:
        """Directions with information."""
        return self.flat.shape[0] - self.flat.shape[1]


def _columns_of_groups(model: PopulationGLM) -> dict[str, np.ndarray]:
    """Columns of every feature group."""
    ends = np.cumsum(model.feature_group_sizes_)
    sizes = zip(model.feature_group_names_, model.feature_group_sizes_, ends, strict=True)
    return {str(name): np.arange(end - size, end) for name, size, end in sizes}


def information_of(samples: FittedSamples, j: int) -> Information:
    """That of a neuron; with trials, by the second derivatives of its loss."""
    y, eta, w, family = samples.y[:, j], samples.eta[:, j], samples.weights(j), samples.family(j)
    with_intercept = samples.model.fit_intercept
    r, h = family.derivatives(np, eta, y)
    if samples.trials is not None:
        # the slope of the sum of residuals, which holds without the family's variance
        h = family.second_derivative(eta, y)
    X = samples.columns(j)
    center = np.zeros(X.shape[1])
    if with_intercept:
        center = np.average(X, axis=0, weights=np.maximum(w * h, 1e-300))
    Z = X - center
    # what rounding leaves of a column that does not vary
    Z[:, np.abs(Z).max(axis=0, initial=0.0) <= STILL * np.abs(center)] = 0
    if with_intercept:
        Z = np.column_stack([Z, np.ones(len(Z))])
    A, slopes = Z.T @ (Z * (w * h)[:, None]), Z * (w * r)[:, None]
    if (beside := family.parameter_derivatives(eta, y)) is not None:
        # what the parameters leave of the information on the weights
        first, cross, own = (np.moveaxis(w * np.moveaxis(part, 0, -1), -1, 0) for part in beside)
        cross = Z.T @ cross
        taken = cross @ np.linalg.pinv(own.sum(axis=0), hermitian=True)
        A, slopes = A - taken @ cross.T, slopes - first @ taken.T
    # columns of all units count alike where directions without information are looked for; where the model is sure of
    # silence there is none, whatever the unit
    usual = np.sum(w * h) / max(np.sum(w), 1e-300) * np.sum(Z**2 * w[:, None], axis=0)
    scale = np.sqrt(np.maximum(np.diag(A), LOOSE * usual))
    # a column that does not vary has no unit, and must not dwarf what others have in common
    scale[scale == 0] = scale.max(initial=0.0) or 1.0
    values, vectors = np.linalg.eigh(A / np.outer(scale, scale))
    kept = values > FLAT * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T / np.outer(scale, scale)
    return Information(Z, center, w * h, w * r, slopes, inverse, vectors[:, ~kept] / scale[:, None])


def over_trials(influence: np.ndarray, trials: np.ndarray, n_samples: float, n_columns: int) -> np.ndarray:
    """Covariance of weights from what every sample adds to them (n_samples, n_columns), summed up by trials."""
    sums = np.zeros((trials.max() + 1, influence.shape[1]))
    np.add.at(sums, trials, influence)
    free = (n_samples - 1) / max(n_samples - n_columns, 1)
    return sums.T @ sums * (len(sums) / (len(sums) - 1) * free)


def uncentred(covariance: np.ndarray, center: np.ndarray) -> np.ndarray:
    """The covariance with the intercept where the columns are 0, in place of their means (n_features,)."""
    if len(covariance) == len(center):
        return covariance
    back = np.eye(len(covariance))
    back[-1, :-1] = -center
    return back @ covariance @ back.T


def _group_test(errors: Errors, b: np.ndarray, columns: np.ndarray) -> tuple[float, int]:
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


def table_of_errors(
    samples: FittedSamples, coef: np.ndarray, intercept: np.ndarray, errors: list[Errors | None], level: float
) -> xr.Dataset:
    """Errors and tests of all neurons, whose weights are coef (n_neurons, n_features) and intercept (n_neurons,)."""
    model, groups = samples.model, _columns_of_groups(samples.model)
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
            "intercept": ("neuron", intercept),
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


def warn_of_few_trials(samples: FittedSamples, who: str) -> None:
    """Name groups that have more columns than errors over trials bear; ``who`` asks."""
    if samples.trials is None:
        return
    n_trials = int(samples.trials.max()) + 1
    few = [name for name, columns in _columns_of_groups(samples.model).items() if n_trials < 2 * len(columns)]
    if few:
        warn(
            f"{who}: {n_trials:,} trials are few for tests of {', '.join(map(repr, few))}: errors over trials need at "
            "least twice as many as a group has columns, and are too small here."
        )

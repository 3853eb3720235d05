"""The loss of categorical responses under the softmax of their classes' predictors, in any array namespace.

A sample of class y with predictors η has ℓ = log Σ_k exp(η_k) − η_y. Its gradient is p − e_y, with p the classes'
probabilities, and its Hessian diag(p) − ppᵀ. Nothing changes where all predictors of a sample move by the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["SOFTMAX", "centred", "class_counts", "log_frequencies", "null_loss", "terms"]

Array = Any


@dataclass(frozen=True)
class Softmax:
    """What the solver and the estimators ask of a loss beside its values."""

    name: str = "categorical"
    is_convex: bool = True
    is_smooth: bool = True
    #: The dual of the loss is a Kullback-Leibler divergence, which is at most χ².
    is_canonical: bool = True
    has_trials: bool = False
    parameters: tuple = ()


SOFTMAX = Softmax()


class Terms(NamedTuple):
    """Of samples; classes first where there are some.

    Attributes
    ----------
    loss : array, shape (n_samples,)
    residual : array, shape (n_classes, n_samples)
        p − e_y, whose entry of the sample's own class has no rounding of 1 − p_y.
    curvature : array, shape (n_samples,)
        Trace of the Hessian, 1 − Σp².
    chi2 : array, shape (n_samples,)
        (1 − p_y)/p_y, Pearson's χ² of the sample.
    """

    loss: Array
    residual: Array
    curvature: Array
    chi2: Array


def terms(xp: Any, eta: Array, own: Array) -> Terms:
    """Loss and derivatives at predictors (n_classes, n_samples), where ``own`` is 1 for a sample's class, else 0."""
    away = eta - xp.sum(eta * own, axis=0)
    most = xp.max(away, axis=0)
    others = xp.exp(away - most) * (1 - own)
    top, rest = xp.exp(-most), xp.sum(others, axis=0)
    whole = top + rest
    # the class that holds most has 0: its loss is that of a small probability of all others
    loss = xp.where(most > 0, most + xp.log(whole), xp.log1p(rest))
    p, q = others / whole, rest / whole
    curvature = xp.sum(p * (1 - p), axis=0) + q * (1 - q)
    return Terms(loss, p - own * q, curvature, rest / top)


def class_counts(codes: np.ndarray, weights: np.ndarray | None, n_classes: int) -> np.ndarray:
    """Summed weights of the samples of every class, shape (n_classes,); codes below 0 are of none."""
    known = codes >= 0
    return np.bincount(codes[known], None if weights is None else weights[known], n_classes).astype(float)


def log_frequencies(counts: np.ndarray) -> np.ndarray:
    """Intercepts of the null model: logarithms of the classes' frequencies, with a mean of 0 over classes that occur.

    −inf for a class that does not occur. Where none does, nothing is known, and all are 0.

    Examples
    --------
    >>> log_frequencies(np.array([2.0, 2.0, 0.0]))
    array([  0.,   0., -inf])
    """
    there = counts > 0
    if not there.any():
        return np.zeros(len(counts))
    found = np.full(len(counts), -np.inf)
    found[there] = np.log(counts[there])
    return centred(found)


def centred(intercepts: np.ndarray) -> np.ndarray:
    """Intercepts (..., n_classes) less their mean over classes with a finite one."""
    finite = np.isfinite(intercepts)
    mean = np.where(finite, intercepts, 0).sum(axis=-1) / np.maximum(finite.sum(axis=-1), 1)
    return np.where(finite, intercepts - mean[..., None], intercepts)


def null_loss(counts: np.ndarray) -> np.ndarray:
    """Mean loss of the classes' own frequencies, −Σ π log π, from counts (..., n_classes); 0 without samples.

    Examples
    --------
    >>> bool(np.isclose(null_loss(np.array([3.0, 3.0, 0.0])), np.log(2)))
    True
    """
    total = counts.sum(axis=-1, keepdims=True)
    share = counts / np.where(total > 0, total, 1)
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=-1)

"""Fits of all neurons whose strengths of smoothing are chosen for each, neuron by neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpstrf

from popglm.engines.protocol import Engine
from popglm.solve.curves.penalised_newton import LeastSquares, Likelihood, RowLikelihood
from popglm.solve.curves.shape_constrained import Cone, minimise_within
from popglm.solve.curves.smoothing import Smoothed, Smoother
from popglm.statistics.curve_penalties import CurvePenalty
from popglm.statistics.families import Family

__all__ = ["SmoothFits", "determined_columns", "fit_smooth"]

#: Columns that are combinations of others to this share of their variance, where no penalty tells them apart.
DEPENDENT = 1e-10
#: Fits beside estimates of a family's parameters at most, and the change of these, in their own size, that ends them.
ROUNDS, SETTLED = 40, 1e-5
#: Changes that shrink by less than this from one to the next are added up, to so many of the last at most.
SLOW, FURTHEST = 0.3, 30.0
#: Change of the parameters from which on strengths are sought from those of the fit before.
NEARLY = 0.02


@dataclass(eq=False)
class SmoothFits:
    """All neurons' fits, in the columns that were given.

    Attributes
    ----------
    coef, degrees : ndarray, shape (n_neurons, n_features)
        Weights, and effective degrees of freedom by column.
    intercept : ndarray, shape (n_neurons,)
    strengths : ndarray, shape (n_neurons, n_penalties)
        In units of Σs of the neuron: those of a mean loss.
    criterion, slope, dispersion, objective, left : ndarray, shape (n_neurons,)
        See `Smoothed`; NaN for neurons without a fit. The last two by Σs.
    n_evaluations : ndarray of int, shape (n_neurons,)
    failed : ndarray of bool, shape (n_neurons,)
        Neurons whose fit broke down.
    parameters : ndarray, shape (n_neurons, n_parameters)
        Of the family, of the largest likelihood beside the fits.
    unsettled : ndarray of bool, shape (n_neurons,)
        Neurons whose parameters still changed from one fit to the next.
    """

    coef: np.ndarray
    degrees: np.ndarray
    intercept: np.ndarray
    strengths: np.ndarray
    criterion: np.ndarray
    slope: np.ndarray
    dispersion: np.ndarray
    objective: np.ndarray
    left: np.ndarray
    n_evaluations: np.ndarray
    failed: np.ndarray
    parameters: np.ndarray
    unsettled: np.ndarray

    @classmethod
    def empty(
        cls, n_neurons: int, n_features: int, n_penalties: int, intercept: np.ndarray, parameters: np.ndarray
    ) -> SmoothFits:
        """Null models."""
        coef, strengths = np.zeros((n_neurons, n_features)), np.full((n_neurons, n_penalties), np.nan)
        a, b, c, d, e = np.full((5, n_neurons), np.nan)
        none = np.zeros(n_neurons, int)
        return cls(
            coef, coef.copy(), intercept.copy(), strengths, a, b, c, d, e, none, none.astype(bool), parameters.copy(),
            none.astype(bool),
        )  # fmt: skip

    def take(self, own: SmoothFits, neurons: np.ndarray, penalties: np.ndarray) -> None:
        """Take in fits of some neurons, which have some of the penalties."""
        self.strengths[np.ix_(neurons, penalties)] = own.strengths
        for each in fields(self):
            if each.name != "strengths":
                getattr(self, each.name)[neurons] = getattr(own, each.name)

    def put(self, j: int, found: Smoothed, columns: np.ndarray, n_open: int, n: float) -> None:
        """Take in the fit of a neuron to some columns."""
        self.coef[j, columns], self.degrees[j, columns] = found.w[n_open:], found.degrees[n_open:]
        self.intercept[j] = found.w[0] if n_open else 0.0
        self.strengths[j] = found.strengths / n
        self.criterion[j], self.slope[j], self.dispersion[j] = found.criterion, found.slope, found.dispersion
        self.objective[j], self.left[j], self.n_evaluations[j] = (
            found.objective / n,
            found.left / n,
            found.n_evaluations,
        )


def determined_columns(X: np.ndarray, penalty: CurvePenalty) -> np.ndarray:
    """Numbers of columns that data or penalties determine once the others have no weight.

    Where neither tells a direction of weights from 0, one of its columns may be left out: any fit can be moved along
    it until that weight is 0, and no prediction and no penalty changes.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
        Centred where there is an intercept.
    penalty : CurvePenalty
    """
    variance = np.einsum("ij,ij->j", X, X) / len(X)
    varies = np.flatnonzero(variance > 0)
    unit = np.sqrt(variance[varies])
    M = X[:, varies].T @ X[:, varies] / len(X) / np.outer(unit, unit)
    for columns, S in penalty.matrices:
        whole = np.zeros((X.shape[1], X.shape[1]))
        whole[columns, columns] = S
        own = whole[np.ix_(varies, varies)] / np.outer(unit, unit)
        size = np.linalg.norm(own, 2)
        M += own / size if size > 0 else 0
    _, pivots, rank, _ = dpstrf(M, tol=DEPENDENT * len(M), lower=1)
    return varies[np.sort(pivots[:rank] - 1)]


def fit_smooth(
    loss: Family,
    data: tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None],
    null: tuple[np.ndarray, ...],
    penalty: CurvePenalty,
    settings: tuple[str, float, int, bool, np.ndarray | None],
    engine: Engine,
    columns: np.ndarray,
    cone: Cone | None = None,
) -> SmoothFits:
    """Choose strengths and fit, neuron by neuron, in parallel.

    Parameters
    ----------
    data : (X, Y, weights or None, offset or None)
        Y (n_samples, n_neurons) is NaN where a neuron was not recorded.
    null : (fittable, intercept, parameters)
        Which neurons to fit, and where their fits begin; parameters of the family (n_neurons, n_parameters).
    penalty : CurvePenalty
        Of the columns that may have a weight.
    settings : (method, tol, max_iter, fit_intercept, strengths)
        Strengths (n_neurons, n_penalties) in units of a mean loss, None to choose them.
    columns : ndarray of int
        Those that may have a weight.
    cone : Cone, optional
        Where their weights have to lie. Strengths are chosen without it.
    """
    X, Y, weights, offset = data
    method, tol, max_iter, fit_intercept, given = settings
    fittable, intercept, parameters = null
    n_open = int(fit_intercept)
    center = X.mean(axis=0, dtype=float)[columns] if fit_intercept else np.zeros(len(columns))
    Z = np.column_stack([np.ones((len(X), n_open)), X[:, columns].astype(float) - center])
    beside = np.zeros(len(X)) if offset is None else offset
    fits = SmoothFits.empty(Y.shape[1], X.shape[1], len(penalty.matrices), intercept, parameters)
    held = None if cone is None else cone.with_open(n_open)
    # neurons that are complete, and weighted alike, share their second moments
    shared = None
    if loss.is_least_squares and (weights is None or weights.ndim == 1):
        shared = Z.T @ Z if weights is None else (Z * weights[:, None]).T @ Z

    def likelihood(j: int) -> Likelihood:
        s = np.ones(len(X)) if weights is None else weights if weights.ndim == 1 else weights[:, j]
        counted = ~np.isnan(Y[:, j]) & (s > 0)
        whole = counted.all()
        rows = slice(None) if whole else counted
        z, y, s, o = Z[rows], Y[rows, j].astype(float), s[rows].astype(float), beside[rows]
        if loss.is_least_squares:
            return LeastSquares.of(z, y, s, o, shared if not np.isnan(Y[:, j]).any() else None)
        return RowLikelihood(loss, z, y, s, o)

    def fitted(j: int, samples: Likelihood, near: Smoothed | None = None) -> Smoothed:
        start = np.zeros(Z.shape[1])
        start[:n_open] = intercept[j]
        smoother = Smoother(samples, penalty, n_open, method, loss.has_dispersion, loss.is_least_squares, start)
        found = smoother.choose(tol, max_iter, near) if given is None else smoother.at(given[j] * samples.n)
        if held is None:
            return found
        S = smoother.penalty_matrix(found.strengths)
        return found.within(minimise_within(samples, S, found.w, held))

    def fit(j: int) -> None:
        samples = likelihood(j)
        try:
            if isinstance(samples, RowLikelihood) and loss.parameters:
                found, fits.parameters[j], fits.unsettled[j] = with_parameters(
                    samples, parameters[j], partial(fitted, j)
                )
            else:
                found = fitted(j, samples)
        except LinAlgError:
            fits.failed[j] = True
            return
        if not (np.isfinite(found.w).all() and np.isfinite(found.criterion)):
            fits.failed[j] = True
            return
        fits.put(j, found, columns, n_open, samples.n)
        fits.intercept[j] -= found.w[n_open:] @ center

    engine.map(fit, [(int(j),) for j in np.flatnonzero(fittable)])
    return fits


def with_parameters(
    samples: RowLikelihood, start: np.ndarray, fit: Callable[[Likelihood, Smoothed | None], Smoothed]
) -> tuple[Smoothed, np.ndarray, bool]:
    """A fit beside parameters of the family that have the largest likelihood beside the fit, in turn.

    Returns the fit, the parameters (n_parameters,), and whether they still change.

    Parameters
    ----------
    samples : RowLikelihood
        Its family without values of the parameters.
    start : ndarray, shape (n_parameters,)
    fit : callable
        From the samples, and the fit before, to a fit.
    """
    loss, values, change = samples.family, start, np.full(len(start), np.nan)
    near: Smoothed | None = None
    least, most = np.array([own.range for own in loss.parameters]).T
    for _ in range(ROUNDS):
        found = fit(replace(samples, family=loss.given(*values)), near)
        eta = samples.Z @ found.w + samples.offset
        before, one = values, (samples.y[None], samples.s[None], eta[None])
        values = loss.estimate(lambda _, one=one: iter([one]), before[None], False)[0]  # type: ignore[misc]
        if not np.isfinite(values).all():
            raise LinAlgError("a parameter of the family is not finite")
        step = values - before
        if np.allclose(values, before, rtol=SETTLED, atol=SETTLED**2):
            return found, values, False
        # a term that was smoothed away beside a large dispersion may come back: only near the end do fits go on
        near = found if np.allclose(values, before, rtol=NEARLY) else None
        # where changes shrink slowly, as far as they add up to
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = step / change
            ahead = values + step * np.minimum(ratio / (1 - ratio), FURTHEST)
        slow = (ratio > SLOW) & (ratio < 1) & (ahead > least) & (ahead < most)
        values, change = np.where(slow, ahead, values), np.where(slow.any(), np.nan, step)
    return found, values, True

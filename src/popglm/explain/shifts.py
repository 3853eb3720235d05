"""Held-out deviance at all circular shifts of the activity, by Fourier transforms."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, rfft
from scipy.linalg import eigh, lstsq

from popglm.estimators import GLMCV
from popglm.estimators.deviance_loss import deviance_loss
from popglm.explain.contributions import Activity, neuron_blocks
from popglm.explain.moments import moments
from popglm.statistics.families import Family
from popglm.statistics.selection import fraction_explained, select_strengths

__all__ = ["ShiftTest", "unique_columns"]

#: Principal components with a smaller share of the variance of the first are rounding.
LEAST_COMPONENT = 1e-6


@dataclass(eq=False)
class ShiftTest:
    """Held-out deviance of shifted activity.

    Attributes
    ----------
    rows : ndarray of int, shape (n_scored,)
        Rows that a fold holds out, in order of time; shifts are circular over these.
    y, weights : ndarray, shape (n_scored, n_neurons)
        Activity (0 where not recorded) and its weight (0 there); a shift moves both.
    offsets : ndarray of int, shape (n_shifts, n_neurons)
    longest : int
        Samples of the longest trial; trial-safe offsets lie between it and ``n_scored − longest``.
    rule : (float, float), or None
        ``se_fraction`` and ``min_lambda`` that select a strength at every shift; None: those of the model throughout.
    """

    model: GLMCV
    X: np.ndarray
    offset: np.ndarray | None
    rows: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    longest: int
    rule: tuple[float, float] | None

    def __post_init__(self) -> None:
        self.fold, self.n_folds = self.model.fold_[self.rows], len(self.model.cv_coef_path_)
        activity = Activity(self.model, self.y, self.weights, None, self.fold)
        self.null_deviance = activity.null_deviance(np.arange(self.y.shape[1]))[0]
        # two folds share the products of their noise; see the Notes of `significance`
        self.spread = np.sqrt(min(self.n_folds, 2))
        n = len(self.rows)
        self.lags = np.arange(1, min(2 * self.longest, n // 2) + 1)
        folds = (self.fold == np.arange(self.n_folds)[:, None]).astype(float)
        self.apart = 1 - shift_sums(folds, folds)[:, self.lags].sum(axis=0) / n

    def scores(self, columns: list[np.ndarray], unique: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Deviance explained (n_neurons,), contributions (n_neurons, n_variables), and both at the shifts.

        ``columns`` of every variable, and what `unique_columns` leaves of them.
        """
        n_shifts, q = self.offsets.shape
        explained, explained_null = np.zeros(q), np.zeros((n_shifts, q))
        share, share_null = np.zeros((q, len(columns))), np.zeros((n_shifts, q, len(columns)))
        memory = self.memory(self.X[self.rows])
        for neurons in neuron_blocks(len(self.rows) * len(self.model.lambda_path_), q):
            etas = self.linear_predictors(neurons)
            for eta, j in zip(etas, neurons, strict=True):
                explained[j], explained_null[:, j] = self.deviance_explained(eta, j, memory)
        memories = [self.memory(x) for x in unique]
        for neurons in neuron_blocks(len(self.rows), q):
            eta = self.linear_predictors(neurons, selected=True)[:, 0]
            for v, (own, x) in enumerate(zip(columns, unique, strict=True)):
                part, alone = self.part(neurons, own, self.X[self.rows][:, own]), self.part(neurons, own, x)
                for i, j in enumerate(neurons):
                    share[j, v], share_null[:, j, v] = self.contribution(eta[i], part[i], alone[i], j, memories[v])
        return explained, share, explained_null, share_null

    def linear_predictors(self, neurons: np.ndarray, selected: bool = False) -> np.ndarray:
        """Held-out η at all strengths, or at the selected one, shape (n_neurons, n_lambdas or 1, n_scored)."""
        model = self.model
        if selected:
            coef, intercept = (a[:, None] for a in (model.cv_coef_, model.cv_intercept_))
        else:
            coef, intercept = model.cv_coef_path_, model.cv_intercept_path_
        eta = np.empty((len(neurons), coef.shape[1], len(self.rows)))
        for fold in range(self.n_folds):
            at = np.flatnonzero(self.fold == fold)
            x = self.X[self.rows[at]]
            eta[..., at] = np.swapaxes(coef[fold][:, neurons], 0, 1).astype(x.dtype, copy=False) @ x.T
            eta[..., at] += intercept[fold][:, neurons].T[..., None]
        return eta if self.offset is None else eta + self.offset[self.rows]

    def part(self, neurons: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What ``values`` (n_scored, n_columns) in these columns add to η at the selected strength."""
        eta = np.empty((len(neurons), len(self.rows)))
        for fold in range(self.n_folds):
            at = np.flatnonzero(self.fold == fold)
            w = self.model.cv_coef_[fold, neurons][:, columns]
            eta[:, at] = w.astype(values.dtype, copy=False) @ values[at].T
        return eta

    def memory(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of columns: variances (n_components,), autocorrelations (n_components, n_lags)."""
        centred = X - X.mean(axis=0, dtype=float)
        variance, axes = eigh(centred.T @ centred / len(X))
        kept = variance > LEAST_COMPONENT * max(variance[-1], np.finfo(float).tiny)
        components = (centred @ axes[:, kept]).T
        return variance[kept], np.array([shift_sums(c, c)[self.lags] / (c @ c) for c in components])

    def chance_gain(self, series: np.ndarray, neuron: int, memory: tuple[np.ndarray, np.ndarray]) -> float:
        """Standard deviations by which deviance is expected to fall though ``series`` and the columns are unrelated."""
        variance, correlation = memory
        known = self.weights[:, neuron] > 0
        centred = np.where(known, series - series[known].mean(), 0.0) if known.any() else np.zeros_like(series)
        if self.n_folds < 2 or not len(variance) or not centred.any():
            return 0.0
        own = shift_sums(centred, centred)[self.lags] / (centred @ centred)
        between, within = 2 * correlation @ (own * self.apart), 1 + 2 * correlation @ (own * (1 - self.apart))
        scale = 2 * (1 - 1 / self.n_folds)
        gains = [g @ between / np.sqrt(scale * (g * within) @ (g * within)) for g in (variance, np.ones_like(variance))]
        return max(*gains, 0.0)

    def deviance_explained(self, eta: np.ndarray, neuron: int, memory: tuple) -> tuple[float, np.ndarray]:
        """Of the activity as it is and at its shifts (n_shifts,), each at the strength selected for it."""
        model, grid = self.model, self.model.lambda_path_[:, [neuron]]
        if self.rule is None:
            # one at its null model is at no strength, and is not tested
            chosen = [min(model.lambda_index_[neuron], len(grid) - 1)]
            eta, grid = eta[chosen], grid[chosen]
        every = self.deviances(eta, neuron)
        shifted = self._draw(every, neuron, -self.chance_gain(self.y[:, neuron], neuron, memory))
        tested = np.concatenate([every[..., :1], shifted], axis=-1)
        lambdas = np.repeat(grid, tested.shape[-1], axis=1)
        index = select_strengths(tested, lambdas, *(self.rule or (0.0, 0.0)))
        deviance = np.nansum(tested, axis=0)[index, np.arange(len(index))]
        explained = fraction_explained(deviance, self.null_deviance[neuron])
        return explained[0], explained[1:]

    def deviances(self, eta: np.ndarray, neuron: int) -> np.ndarray:
        """At all circular shifts, shape (n_folds, n_lambdas, n_scored); NaN where a fold has no recorded sample."""
        y, s = self.y[:, neuron], self.weights[:, neuron]
        a, theta = linear_parts(deviance_loss(self.model, neuron, self.fold), eta)
        overflown, ruled_out = ~np.isfinite(a), ~np.isfinite(theta)
        a, theta = np.where(overflown, 0, a), np.where(ruled_out, 0, theta)
        total = np.empty((self.n_folds, len(eta), len(y)))
        for fold in range(self.n_folds):
            inside, loss = (self.fold == fold).astype(float), deviance_loss(self.model, neuron, fold)
            # what the deviance has besides a − yθ goes with the activity
            rest = loss.constant(y) - loss.saturated(y)
            total[fold] = 2 * (
                shift_sums(a * inside, s) + shift_sums(inside, s * rest) - shift_sums(theta * inside, s * y)
            )
            impossible = np.zeros(total.shape[1:], bool)
            for where, events in ((overflown & (inside > 0), s > 0), (ruled_out & (inside > 0), s * y > 0)):
                if where.any():
                    impossible |= shift_sums(where.astype(float), events.astype(float)) > 0.5
            total[fold][impossible] = np.inf
            total[fold][:, shift_sums(inside, (s > 0).astype(float)) < 0.5] = np.nan
        return total

    def contribution(
        self, eta: np.ndarray, part: np.ndarray, alone: np.ndarray, neuron: int, memory: tuple
    ) -> tuple[float, np.ndarray]:
        """Fraction of null deviance lost with ``part`` of η, for the activity as it is and at shifts (n_shifts,).

        ``alone``: what of that part no other variable could take over.
        """
        loss, null = deviance_loss(self.model, neuron, self.fold), self.null_deviance[neuron]
        if null <= 0:
            return 0.0, np.zeros(len(self.offsets))
        y, s = self.y[:, neuron], self.weights[:, neuron]
        mean, deviation = moments(self.model, eta - alone, self.y[:, neuron], self.weights[:, neuron])
        a, theta = linear_parts(loss, eta)
        a_without, theta_without = linear_parts(loss, eta - part)
        with np.errstate(invalid="ignore", over="ignore"):
            gain, slope = a_without - a, theta - theta_without
            residual = s * (y - mean) / deviation
            terms = gain + mean * slope, deviation * slope
        if not all(np.isfinite(term).all() for term in (*terms, residual)):
            # a rate of 0 or beyond all numbers, with or without the variable: no shift could tell anything
            without, full = (loss.deviance(e, y)[s > 0] @ s[s > 0] for e in (eta - part, eta))
            share = min((without - full) / null, 1.0) if np.isfinite(full) else 0.0
            return share, np.full(len(self.offsets), share)
        every = 2 * (shift_sums(terms[0], s) + shift_sums(terms[1], residual)) / null
        drawn = self._draw(every[None, None], neuron, self.chance_gain(residual, neuron, memory))
        return min(every[0], 1.0), np.minimum(drawn[0, 0], 1.0)

    def shifted_residuals(self, eta: np.ndarray, shift: int, neuron: int) -> np.ndarray:
        """Activity made of the mean at η and the shifted residuals, in the range of the family."""
        y, s = self.y[:, neuron], self.weights[:, neuron]
        if not s.any():
            return np.full_like(y, np.nan)
        mean, deviation = moments(self.model, eta, y, s)
        residual = np.where(s > 0, (y - mean) / deviation, np.nan)
        return self.model.loss_.into_range(mean + deviation * np.roll(residual, shift), y[s > 0])

    def residuals(self, etas: np.ndarray) -> np.ndarray:
        """Of all neurons, in units of their deviation at η (n_neurons, n_scored), as (n_scored, n_neurons)."""
        found = np.zeros_like(self.y, dtype=float)
        for j, eta in enumerate(etas):
            y, s = self.y[:, j], self.weights[:, j]
            mean, deviation = moments(self.model, eta, y, s)
            found[:, j] = np.where(s > 0, (y - mean) / deviation, 0.0)
        return found

    def _draw(self, every: np.ndarray, neuron: int, gain: float) -> np.ndarray:
        """Scores at the drawn shifts; their sum over folds (first axis) spread around its mean over all safe shifts.

        It is also moved by ``gain`` standard deviations.
        """
        drawn = every[..., self.offsets[:, neuron]]
        every = np.where(np.isinf(every), np.nan, every)
        safe = every[..., self.longest : every.shape[-1] - self.longest + 1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            # the same for all folds, so that their standard error, which selection looks at, remains
            difference = every[..., self.offsets[:, neuron]] - np.nanmean(safe, axis=-1, keepdims=True)
            common = np.nanmean(difference, axis=0)
            deviation = np.nanmean(safe, axis=0).std(axis=-1, keepdims=True)
        return drawn + np.nan_to_num((self.spread - 1) * common + self.spread * gain * deviation, nan=0.0)


def shift_sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Σ_t a[t] b[t − s] for every circular shift s, over the last axis.

    Examples
    --------
    >>> shift_sums(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 0.0])).round(6)
    array([1., 2., 3.])
    """
    if (b == b[..., :1]).all():
        return np.repeat(a.sum(axis=-1, keepdims=True) * b[..., :1], a.shape[-1], axis=-1)
    return irfft(rfft(a) * np.conj(rfft(b)), a.shape[-1])


def unique_columns(X: np.ndarray, columns: list[np.ndarray]) -> list[np.ndarray]:
    """For every variable, its columns of X less their linear regression on all other columns.

    Examples
    --------
    >>> unique_columns(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0]]), [np.array([1])])[0].ravel().round(6)
    array([ 0.166667, -0.333333,  0.166667])
    """
    centred = X - X.mean(axis=0, dtype=float)
    if not columns:
        return []
    size = np.maximum(np.linalg.norm(centred, axis=0), 1e-300)
    even = centred / size
    gram = even.T @ even
    unique = []
    for own in columns:
        others = np.setdiff1d(np.arange(X.shape[1]), own)
        left = even[:, own]
        if len(others):
            # columns that add up to others, as bases often do, are cut off
            left = left - even[:, others] @ lstsq(gram[np.ix_(others, others)], gram[np.ix_(others, own)], 1e-10)[0]
        unique.append(left * size[own])
    return unique


def linear_parts(loss: Family, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The functions a and θ of ℓ(y, η) = a(η) − y θ(η) + c(y), for every family and link.

    Examples
    --------
    >>> from popglm.statistics.families import get_family
    >>> linear_parts(get_family("poisson"), np.array([0.0, 1.0]))[1].round(6)
    array([0., 1.])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        a = loss.value(np, eta, 0.0)
        theta = a - loss.value(np, eta, 1.0)
    return a, theta + loss.constant(1.0)

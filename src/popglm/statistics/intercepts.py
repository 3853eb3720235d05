"""Best intercepts beside given weights: steps of every column by itself, from sums over samples."""

from __future__ import annotations

import numpy as np

from popglm.statistics.families import Family

__all__ = ["MAX_STEPS", "InterceptSteps", "slope_at_kink"]

#: Steps after which an intercept is left where it is.
MAX_STEPS = 50
#: A step under the exponential link that is below this has no successor: the next one is about its square.
CLOSED = 1e-4
#: The furthest that a first step goes, beyond the distance of the means in logits.
FURTHEST = 2.0
#: A slope between two steps that is unlike the Fisher weights by more than this factor is that of rounding or a kink.
UNLIKE = 4.0


class InterceptSteps:
    """Intercepts on their way to the minimum of the loss; each stops by itself, whatever the others still need.

    Parameters
    ----------
    loss : Family
    dtype : dtype
        In which the sums over samples are taken.
    b : ndarray, shape (n_columns,)
        Where they start.
    lowest : ndarray, shape (n_columns,)
        Where the domain of the loss ends; -inf without an end.
    y_mean, total : ndarray, shape (n_columns,)
        Mean activity, and sum of the weights of the samples.

    Attributes
    ----------
    b : ndarray, shape (n_columns,)
    moving : ndarray of bool, shape (n_columns,)
    """

    def __init__(
        self, loss: Family, dtype: np.dtype, b: np.ndarray, lowest: np.ndarray, y_mean: np.ndarray, total: np.ndarray
    ) -> None:
        self.eps = float(np.finfo(dtype).eps)
        self.b, self.lowest, self.y_mean, self.total = b.copy(), lowest, y_mean, total
        self.moving = np.ones(len(b), bool)
        # a local model of exp-like links holds for some distance
        self.limit = np.inf if loss.link.in_units else FURTHEST
        if loss.has_barrier:
            ends = np.isfinite(lowest)
            inside = lowest[ends] + 1e-3 * np.maximum(np.abs(lowest[ends]), y_mean[ends])
            self.b[ends] = np.maximum(b[ends], inside)
        self.below, self.above = np.full(len(b), -np.inf), np.full(len(b), np.inf)
        self.furthest = np.full(len(b), FURTHEST)
        self.last, self.gradient = np.full((2, len(b)), np.nan)
        ways = {"newton": self._by_newton, "ratio": self._by_ratio, "logits": self._by_logits}
        self._step = ways[loss.intercept_steps]

    def take(self, gradient: np.ndarray, curvature: np.ndarray, size: np.ndarray) -> None:
        """One step from Σr, Σh and Σ|r| at ``b``, of those that move: residuals dℓ/dη and their Fisher weights."""
        with np.errstate(all="ignore"):
            self._step(gradient, curvature, size)

    def _by_ratio(self, gradient: np.ndarray, curvature: np.ndarray, _size: np.ndarray) -> None:
        # ends the way in one step, but for rounding
        step = np.log1p(-gradient / curvature)
        usable = self.moving & np.isfinite(step)
        self.b = np.where(usable, self.b + step, self.b)
        self.moving = usable & (np.abs(step) > CLOSED)

    def _by_newton(self, gradient: np.ndarray, curvature: np.ndarray, size: np.ndarray) -> None:
        open_ = (np.abs(gradient) > 8 * self.eps * size) & (curvature > 0)
        step = np.where(open_, -gradient / self._slope(gradient, np.where(curvature > 0, curvature, 1)), 0.0)
        self.moving &= np.isfinite(step) & self._is_long(step)
        step = np.clip(step, -self.limit, self.limit)
        self.b = np.where(self.moving, np.maximum(self.b + step, 0.5 * (self.b + self.lowest)), self.b)

    def _slope(self, gradient: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """How fast the gradient grows with b: as since the last step, unless that is unlike the Fisher weights.

        These are its slope on average over responses, so that steps with them alone leave a constant share.
        """
        slope = (gradient - self.gradient) / (self.b - self.last)
        self.gradient, self.last = gradient, self.b
        like = (slope > curvature / UNLIKE) & (slope < curvature * UNLIKE)
        return np.where(like, slope, curvature)

    def _by_logits(self, gradient: np.ndarray, curvature: np.ndarray, size: np.ndarray) -> None:
        # Newton's method on logit(mean μ) = logit(mean y): in b the left is a straight line where all probabilities
        # are alike, or all small. Where it is flat, between two sets of samples, the root stays bracketed.
        y, r = self.y_mean, gradient / self.total
        mu = y + r
        distance = np.log1p(-r / (1 - y)) - np.log1p(r / y)
        step = distance * mu * (1 - mu) * self.total / curvature
        # activity that is 0 or 1 throughout has no best intercept, and stays
        open_ = (np.abs(gradient) > 8 * self.eps * size) & (y > 0) & (y < 1)
        self.above = np.where(gradient > 0, np.minimum(self.above, self.b), self.above)
        self.below = np.where(gradient < 0, np.maximum(self.below, self.b), self.below)
        furthest = self.furthest + np.where(np.isfinite(distance), np.abs(distance), 0)
        # a plain is crossed by steps that double
        self.furthest = np.where(np.abs(step) < furthest, FURTHEST, 2 * self.furthest)
        step = np.where(np.isfinite(step), np.clip(step, -furthest, furthest), -np.sign(gradient) * furthest)
        self.moving &= open_ & self._is_long(step)
        ahead = self.b + step
        outside = (ahead <= self.below) | (ahead >= self.above)
        ahead = np.where(outside, 0.5 * (self.below + self.above), ahead)
        self.b = np.where(self.moving, ahead, self.b)
        # the slope of the line changes by at most twice itself per unit of b, so that a step leaves at most its square
        self.moving &= outside | self._is_long(step * step)

    def _is_long(self, step: np.ndarray) -> np.ndarray:
        """Whether intercepts feel a step, in the precision of the sums."""
        return np.abs(step) > 4 * self.eps * np.maximum(np.abs(self.b), 1e-300)


def slope_at_kink(loss: Family, fit_intercept: bool, slope: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Size of dloss/db beyond rounding, where the best intercept may put a sample on the kink of its loss; else 0."""
    if not (loss.has_barrier and fit_intercept):
        return np.zeros(len(slope))
    # residuals are about 1 in size
    return np.maximum(np.abs(slope) - 64 * np.finfo(dtype).eps, 0)

"""Strengths of quadratic penalties for one neuron, by restricted maximum likelihood or generalised cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from popglm.solve.curves.journal import Journal
from popglm.solve.curves.penalised_newton import Likelihood, Minimum, minimise
from popglm.solve.curves.shape_constrained import Constrained
from popglm.statistics.curve_penalties import CurvePenalty

__all__ = ["Smoothed", "Smoother"]

#: How far strengths may go from where penalty and likelihood have the same curvature, as factors.
WEAKEST, STRONGEST = 1e-7, 1e9
#: How far the search goes at a time, in logarithms of strengths.
REACH = 6.0
#: Slope at which a search that went on and on has come near, and goes to its end.
NEAR = 0.1
#: Curvature of the likelihood along what a penalty holds, at least, in shares of its mean over the columns there.
LEAST = 1e-6
#: Where the dispersion is looked for, around the mean deviance.
DISPERSIONS = (1e-2, 1e2)


@dataclass(eq=False)
class Smoothed:
    """A neuron's fit at its strengths.

    Attributes
    ----------
    strengths : ndarray, shape (n_penalties,)
    w : ndarray, shape (n_columns,)
    degrees : ndarray, shape (n_columns,)
        Effective degrees of freedom by column: diagonal of (H + S)⁻¹H.
    criterion : float
        REML or GCV, up to a constant.
    slope : float
        Largest derivative of the criterion by the logarithm of a strength that may still go there.
    dispersion, objective, left : float
        Of the response; penalised half deviance; how far that can still fall.
    n_evaluations : int
    """

    strengths: np.ndarray
    w: np.ndarray
    degrees: np.ndarray
    criterion: float
    slope: float
    dispersion: float
    objective: float
    left: float
    n_evaluations: int

    def within(self, found: Constrained) -> Smoothed:
        """The same strengths with the weights of a minimum within a cone."""
        return replace(self, w=found.w, degrees=found.degrees, objective=found.objective, left=found.left)


@dataclass(eq=False)
class Smoother:
    """The criterion of one neuron as a function of its strengths.

    Parameters
    ----------
    data : Likelihood
    penalty : CurvePenalty
        Of the columns after the first ``n_open`` ones, an intercept's, which are never penalised.
    n_open : int
        0 or 1.
    method : {"reml", "gcv"}
    has_dispersion : bool
        Whether the response has an unknown dispersion; else 1.
    is_gaussian : bool
        Whether the dispersion has a closed form.
    start : ndarray, shape (n_columns,)
        Weights of the null model.
    journal : Journal
        What the criterion was found to be, in this call or in one that was cut off.

    References
    ----------
    Wood, "Fast stable restricted maximum likelihood and marginal likelihood estimation of semiparametric generalized
    linear models", *Journal of the Royal Statistical Society B* 73 (2011): equations 4 and 5, and the derivatives of
    section 3.4; generalised cross-validation and UBRE of section 1.2.
    """

    data: Likelihood
    penalty: CurvePenalty
    n_open: int
    method: str
    has_dispersion: bool
    is_gaussian: bool
    start: np.ndarray
    journal: Journal = field(default_factory=Journal)

    def __post_init__(self) -> None:
        self.w, self.n_evaluations = self.start, 0
        H = self.data.derivatives(self.start)[1]
        if self.n_open:
            # beside the intercept, so that no mean of a column counts
            H = H[1:, 1:] - np.outer(H[0, 1:], H[0, 1:]) / H[0, 0]
        tiny = np.finfo(float).tiny
        # of the directions that a penalty holds the data may say nothing, as of a constant beside the intercept
        least = [LEAST * np.trace(H[at, at]) * np.trace(S) / max(len(S), 1) for at, S in self.penalty.matrices]
        own = [np.square(S).sum() for _, S in self.penalty.matrices]
        # as strong as the likelihood where they look
        self.even = np.log(np.maximum(self.penalty.traces(H), np.maximum(least, tiny)) / np.maximum(own, tiny))

    def choose(self, tol: float, max_iter: int, near: Smoothed | None = None) -> Smoothed:
        """The fit at the strengths of the least criterion, by a quasi-Newton method within bounds.

        It begins at those of a fit that is ``near``: where the criterion is flat to within ``tol`` it stays there. It
        goes no further than `REACH` before it looks around again: where a strength is far too large or small the
        criterion is flat, and a long step would end there.
        """
        low, high = self.even + np.log(WEAKEST), self.even + np.log(STRONGEST)
        at, slopes, n_left, aim = self.even, np.zeros(0), max_iter, max(tol, NEAR)
        if near is not None:
            at, self.w = np.clip(np.log(near.strengths), low, high), near.w
        while len(at):
            bounds = np.column_stack([np.maximum(low, at - REACH), np.minimum(high, at + REACH)])
            options = {"maxiter": n_left, "maxfun": 5 * n_left, "gtol": aim, "ftol": 0.0}
            found = minimize(self.criterion, at, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            moved = np.abs(found.x - at).max()
            at, n_left = found.x, n_left - max(found.nit, 1)
            # at an end of all strengths nothing more is to be had
            at_end = ((at <= low) & (found.jac > 0)) | ((at >= high) & (found.jac < 0))
            slopes = np.where(at_end, 0, found.jac)
            if np.abs(slopes).max() <= tol or n_left <= 0 or (moved == 0 and aim == tol):
                break
            aim = tol if np.abs(slopes).max() <= aim or moved == 0 else aim
        result = self.at(np.exp(at))
        result.slope = float(np.abs(slopes).max(initial=0))
        return result

    def at(self, strengths: np.ndarray) -> Smoothed:
        """The fit at given strengths (n_penalties,)."""
        with np.errstate(divide="ignore"):
            criterion, slopes = self._solved(np.log(strengths))
        fit, w = self.fit, self.fit.w
        degrees = np.einsum("ij,ji->i", fit.solve(np.eye(len(w))), fit.H)
        penalised = 0.5 * float(strengths @ (self.penalty.products(w[self.n_open :]) @ w[self.n_open :]))
        slope = float(np.abs(slopes).max(initial=0))
        objective = fit.value + penalised
        return Smoothed(
            strengths, w, degrees, criterion, slope, self.dispersion, objective, fit.left, self.n_evaluations
        )

    def penalty_matrix(self, strengths: np.ndarray) -> np.ndarray:
        """S of all columns, (n_columns, n_columns)."""
        S = np.zeros((self.data.n_columns, self.data.n_columns))
        S[self.n_open :, self.n_open :] = self.penalty.total(strengths)
        return S

    def criterion(self, log_strengths: np.ndarray) -> tuple[float, np.ndarray]:
        """The criterion and its derivatives by the logarithms of strengths, with the weights solved for."""
        if (known := self.journal.next()) is not None:
            self.n_evaluations += 1
            value, slopes, self.w = known
            return value, slopes
        value, slopes = self._solved(log_strengths)
        self.journal.add(value, slopes, self.w)
        return value, slopes

    def _solved(self, log_strengths: np.ndarray) -> tuple[float, np.ndarray]:
        """`criterion` without the journal; sets `fit`."""
        self.n_evaluations += 1
        strengths = np.exp(log_strengths)
        self.fit = fit = minimise(self.data, self.penalty_matrix(strengths), self.w)
        self.w = fit.w
        pulls = np.zeros((len(strengths), self.data.n_columns))
        pulls[:, self.n_open :] = strengths[:, None] * self.penalty.products(fit.w[self.n_open :])
        of_method: Callable[..., tuple[float, np.ndarray]] = self._reml if self.method == "reml" else self._gcv
        return of_method(fit, strengths, pulls)

    def _reml(self, fit: Minimum, strengths: np.ndarray, pulls: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the restricted log-likelihood, by Laplace's approximation, which is exact for Gaussian activity.

        ``pulls`` (n_penalties, n_columns) are θ_kS_kw.
        """
        inverse = fit.solve(np.eye(len(fit.w)))
        half = 0.5 * pulls @ fit.w
        log_S, slopes_S = self.penalty.log_determinant(strengths)
        log_A = 2 * np.log(np.diag(fit.L)).sum()
        n_free = len(fit.w) - self.penalty.rank
        self.dispersion = self._dispersion(fit.value + half.sum(), n_free)
        base = 0.0
        if self.has_dispersion:
            base = -self.data.log_base(self.dispersion) - 0.5 * n_free * np.log(self.dispersion)
        value = (fit.value + half.sum()) / self.dispersion + base + 0.5 * (log_A - log_S)
        # how the weights, and with them the Hessian, move along
        moved = fit.solve(self.data.third(fit.w, inverse))
        trace = strengths * self.penalty.traces(inverse[self.n_open :, self.n_open :])
        return value, half / self.dispersion + 0.5 * (trace - pulls @ moved - slopes_S)

    def _dispersion(self, penalised: float, n_free: int) -> float:
        """The dispersion of the largest restricted likelihood."""
        if not self.has_dispersion:
            return 1.0
        closed = 2 * penalised / max(self.data.n - n_free, 1.0)
        closed = max(closed, np.finfo(float).tiny)
        if self.is_gaussian:
            return closed

        def minus_log(log_dispersion: float) -> float:
            dispersion = np.exp(log_dispersion)
            return penalised / dispersion - self.data.log_base(dispersion) - 0.5 * n_free * log_dispersion

        ends = np.log(closed) + np.log(DISPERSIONS)
        return float(np.exp(minimize_scalar(minus_log, bounds=ends, method="bounded", options={"xatol": 1e-9}).x))

    def _gcv(self, fit: Minimum, strengths: np.ndarray, pulls: np.ndarray) -> tuple[float, np.ndarray]:
        """Generalised cross-validation nD/(n − τ)², or UBRE D/n + 2τ/n where the dispersion is 1; n times either."""
        n, deviance = self.data.n, 2 * fit.value
        inverse = fit.solve(np.eye(len(fit.w)))
        smoother = inverse @ fit.H
        tau = np.trace(smoother)
        sandwich = smoother @ inverse
        sandwich = (sandwich + sandwich.T) / 2
        moves = -fit.solve(pulls.T).T
        own = slice(self.n_open, None)
        slopes_tau = moves @ self.data.third(fit.w, inverse - sandwich)
        slopes_tau -= strengths * self.penalty.traces(sandwich[own, own])
        slopes_deviance = 2 * moves @ fit.gradient
        if not self.has_dispersion:
            self.dispersion = 1.0
            return deviance + 2 * tau, slopes_deviance + 2 * slopes_tau
        left = n - tau
        self.dispersion = max(deviance / left, np.finfo(float).tiny)
        # its logarithm has the same minimum, and no unit
        return n * np.log(deviance / left**2), n * (slopes_deviance / deviance + 2 * slopes_tau / left)

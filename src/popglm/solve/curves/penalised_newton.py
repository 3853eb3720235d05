"""Newton's method for one neuron under a quadratic penalty, in float64, and what criteria of smoothing ask of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky

from popglm.statistics.families import Family

__all__ = ["LeastSquares", "Likelihood", "Minimum", "RowLikelihood", "Samples", "factor", "minimise"]

#: Steps at most, and how far the objective may still fall, in units of log-likelihood: criteria take differences.
MAX_STEPS, TOLERANCE = 100, 1e-19
#: A step that promises less is taken whole: what a comparison of objectives would tell of it is rounding.
SURE = 1e-7
#: Halvings of a step, and the share of the promised decrease that ends them.
HALVINGS, SHARE = 40, 1e-4
#: What is added to a Hessian that is not positive definite, in shares of its diagonal; ten times as much at a time.
JITTER, JITTERS = 1e-12, 8


class Likelihood(Protocol):
    """A neuron's samples as fits see them; weights w (n_columns,) are those of its design, with the intercept's."""

    n: float
    n_columns: int

    def value(self, w: np.ndarray) -> float:
        """Σ sℓ above its least value, half the deviance."""

    def derivatives(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n_columns,) and Hessian (n_columns, n_columns) of `value`."""

    def third(self, w: np.ndarray, M: np.ndarray) -> np.ndarray:
        """Derivative (n_columns,) of tr(M H(w)) by w, for a symmetric M."""

    def log_base(self, dispersion: float) -> float:
        """Σ s of what the log-density of a sample has beside −ℓ / dispersion, ℓ above its least value."""


class Samples(Likelihood, Protocol):
    """A likelihood of which single samples are known, as estimates of a family's parameters ask for."""

    family: Family

    def beside(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Responses, weights and linear predictors of all samples that count, (n_counted,) each."""

    def given(self, family: Family) -> Samples:
        """The same samples of another family."""


@dataclass(eq=False)
class RowLikelihood:
    """The samples themselves.

    Attributes
    ----------
    family : Family
        Of a convex loss.
    Z : ndarray, shape (n_samples, n_columns)
        Or another matrix, for a class with products of its own.
    y, s, offset : ndarray, shape (n_samples,)
        Responses, weights above 0, and what is added to the predictor.
    """

    family: Family
    Z: Any
    y: np.ndarray
    s: np.ndarray
    offset: np.ndarray

    #: Step of a difference quotient in η.
    STEP = 1e-4

    def __post_init__(self) -> None:
        self.n, self.n_columns = float(self.s.sum()), self.Z.shape[1]

    def value(self, w: np.ndarray) -> float:
        return float(self.s @ self.family.excess(np, self.predictor(w), self.y))

    def derivatives(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        eta = self.predictor(w)
        r, _ = self.family.derivatives(np, eta, self.y)
        h = self.s * np.maximum(self.family.second_derivative(eta, self.y), 0)
        return self.along(self.s * r), self.gram(h)

    def third(self, w: np.ndarray, M: np.ndarray) -> np.ndarray:
        eta = self.predictor(w)
        above, below = (self.family.second_derivative(eta + step, self.y) for step in (self.STEP, -self.STEP))
        return self.along(self.s * self.leverage(M) * (above - below) / (2 * self.STEP))

    def beside(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.y, self.s, self.predictor(w)

    def given(self, family: Family) -> Self:
        return replace(self, family=family)

    def predictor(self, w: np.ndarray) -> np.ndarray:
        """η (n_samples,)."""
        return self.Z @ w + self.offset

    def along(self, r: np.ndarray) -> np.ndarray:
        """Zᵀr, shape (n_columns,)."""
        return self.Z.T @ r

    def gram(self, h: np.ndarray) -> np.ndarray:
        """Zᵀ diag(h) Z for h ≥ 0, shape (n_columns, n_columns)."""
        root = self.Z * np.sqrt(h)[:, None]
        return root.T @ root

    def leverage(self, M: np.ndarray) -> np.ndarray:
        """zᵀMz of every sample, for a symmetric M."""
        return np.einsum("ij,ij->i", self.Z @ M, self.Z)

    def moments(self, G: np.ndarray | None) -> LeastSquares:
        """Of Gaussian samples; with the second moments G of Z where they are known."""
        left = self.y - self.offset
        G = self.gram(self.s) if G is None else G
        return LeastSquares(G, self.along(self.s * left), float(self.s @ left**2), self.n)

    def log_base(self, dispersion: float) -> float:
        saturated = self.family.saturated(self.y) / dispersion
        return float(self.s @ (self.family.log_base(self.y, dispersion) - saturated))


@dataclass(eq=False)
class LeastSquares:
    """Gaussian samples by their moments.

    Attributes
    ----------
    G : ndarray, shape (n_columns, n_columns)
        Σ s z zᵀ.
    c : ndarray, shape (n_columns,)
        Σ s z (y − offset).
    square : float
        Σ s (y − offset)².
    n : float
        Σ s.
    """

    G: np.ndarray
    c: np.ndarray
    square: float
    n: float

    def __post_init__(self) -> None:
        self.n_columns = len(self.c)

    def value(self, w: np.ndarray) -> float:
        return max(0.5 * float(self.square - 2 * w @ self.c + w @ self.G @ w), 0.0)

    def derivatives(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.G @ w - self.c, self.G

    def third(self, w: np.ndarray, M: np.ndarray) -> np.ndarray:
        return np.zeros(self.n_columns)

    def log_base(self, dispersion: float) -> float:
        return -0.5 * self.n * float(np.log(2 * np.pi * dispersion))


@dataclass(eq=False)
class Minimum:
    """Of a penalised likelihood.

    Attributes
    ----------
    w : ndarray, shape (n_columns,)
    value : float
        Of the likelihood alone, as `Likelihood.value`.
    gradient, H : ndarray
        Of the likelihood alone.
    L : ndarray
        Cholesky factor, lower, of H plus the penalty's.
    left : float
        How far the objective can still fall, by Newton's model.
    n_steps : int
    """

    w: np.ndarray
    value: float
    gradient: np.ndarray
    H: np.ndarray
    L: np.ndarray
    left: float
    n_steps: int

    def solve(self, b: np.ndarray) -> np.ndarray:
        """(H + S)⁻¹ b."""
        return cho_solve((self.L, True), b, check_finite=False)


def minimise(data: Likelihood, S: np.ndarray, start: np.ndarray) -> Minimum:
    """Least Σ sℓ + ½wᵀSw, by Newton's method with halved steps.

    Raises
    ------
    LinAlgError
        If the objective or its Hessian is not finite, or the Hessian has directions of negative curvature.
    """
    w, value = start, data.value(start)
    objective, promised = value + 0.5 * w @ S @ w, np.inf
    for n_steps in range(MAX_STEPS + 1):
        if not np.isfinite(objective):
            raise LinAlgError("the objective is not finite")
        gradient, H = data.derivatives(w)
        L = factor(H + S)
        g = gradient + S @ w
        step = -cho_solve((L, True), g, check_finite=False)
        before, promised = promised, float(-g @ step)
        # near the end every step squares what is left, until rounding is all
        is_sure = promised / 2 <= SURE
        if promised / 2 <= TOLERANCE or n_steps == MAX_STEPS or (is_sure and promised > before / 10):
            break
        for k in range(HALVINGS):
            there = w + 0.5**k * step
            found = data.value(there)
            new = found + 0.5 * there @ S @ there
            if (is_sure and np.isfinite(new)) or new <= objective - SHARE * 0.5**k * promised:
                break
        else:
            # rounding is all that is left
            break
        w, value, objective = there, found, new
    return Minimum(w, value, gradient, H, L, max(promised / 2, 0.0), n_steps)


def factor(A: np.ndarray) -> np.ndarray:
    """Cholesky factor of A, or of a matrix next to it where rounding or missing samples leave directions open."""
    if not np.isfinite(A).all():
        raise LinAlgError("the Hessian is not finite")
    for k in range(JITTERS):
        try:
            held = A if k == 0 else A + JITTER * 10**k * np.diag(np.maximum(np.diag(A), np.diag(A).mean()))
            return cholesky(held, lower=True, check_finite=False)
        except LinAlgError:
            continue
    raise LinAlgError("the Hessian is not positive definite")

"""Quadratic penalties of curves and maps, each with a strength of its own: differences along every axis, and the rest.

What differences of some order leave out, such as straight lines, is the null space of the penalty. A penalty of its own
there lets a whole term go to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, cholesky, circulant, null_space

from popglm.shapes import Shape

__all__ = ["CurvePenalty", "curve_penalties"]

#: A direction that a penalty holds by less than this share of what it holds most is none of its own.
FLAT = 1e-9
#: Shares of the largest entry of a matrix that are as good as 0.
ROUNDING = 1e-10


def curve_penalties(shape: Shape, order: int, shrink: bool) -> dict[str, np.ndarray]:
    """Matrices S of the penalties wᵀSw of a group of columns, by name.

    Parameters
    ----------
    shape : Shape
    order : int
        Of the differences along each axis, at least 1.
    shrink : bool
        Whether the null space of all of them is penalised too.

    Returns
    -------
    dict of str to ndarray, shape (n_columns, n_columns)
        "axis 1", "axis 2", … for axes with neighbours; "ridge" of a group of levels alone; "null space".

    References
    ----------
    Eilers & Marx, "Flexible smoothing with B-splines and penalties", *Statistical Science* 11 (1996), for differences;
    Marra & Wood, "Practical variable selection for generalized additive models", *Computational Statistics & Data
    Analysis* 55 (2011), for the null space.

    Examples
    --------
    >>> found = curve_penalties(Shape((("line", 4),)), 2, True)
    >>> list(found), found["axis 1"].astype(int)[0].tolist()
    (['axis 1', 'null space'], [1, -2, 1, 0])
    """
    if shape.axes and all(kind == "levels" for kind, n in shape.axes if n > 1) and shape.n_columns > 1:
        return {"ridge": np.eye(shape.n_columns)}
    lengths, found = [n for _, n in shape.axes], {}
    for k, (kind, n) in enumerate(shape.axes):
        if kind == "levels" or n == 1:
            continue
        D = _differences(kind, n, order)
        before, after = np.eye(int(np.prod(lengths[:k]))), np.eye(int(np.prod(lengths[k + 1 :])))
        S = np.kron(np.kron(before, D.T @ D), after)
        found[f"axis {k + 1}"] = S if shape.places is None else S[np.ix_(shape.places, shape.places)]
    if shrink:
        free = null_space(sum(found.values())) if found else np.eye(shape.n_columns)
        if free.shape[1]:
            found["null space"] = free @ free.T
    return found


def _differences(kind: str, n: int, order: int) -> np.ndarray:
    """Differences of weights along an axis, shape (n_differences, n)."""
    if kind == "line":
        return np.diff(np.eye(n), n=min(order, n - 1), axis=0)
    step = circulant(np.eye(n)[-1]) - np.eye(n)
    return np.linalg.matrix_power(step, order)


@dataclass(eq=False)
class CurvePenalty:
    """½ Σ_k θ_k wᵀS_kw over blocks of columns, with strengths θ that vary.

    Attributes
    ----------
    matrices : list of (slice, ndarray)
        The columns of every S_k, which are a whole block, and S_k on them.
    n_features : int
    """

    matrices: Sequence[tuple[slice, np.ndarray]]
    n_features: int

    @cached_property
    def _blocks(self) -> list[tuple[list[int], list[np.ndarray]]]:
        """Numbers of the penalties of every block, and these in an orthonormal basis of what any of them holds.

        Penalties that commute are all diagonal in one basis, and only the diagonals are kept.
        """
        found: dict[tuple[int, int], list[int]] = {}
        for k, (columns, _) in enumerate(self.matrices):
            found.setdefault((columns.start, columns.stop), []).append(k)
        blocks = []
        for own in found.values():
            parts = [self.matrices[k][1] for k in own]
            # unequal shares: eigenvectors of the sum are then those of each, if they have any in common
            shares = [S / np.linalg.norm(S, 2) * (1 + np.sqrt(2 + k)) for k, S in enumerate(parts)]
            values, vectors = np.linalg.eigh(sum(shares))
            basis = vectors[:, values > FLAT * values[-1]]
            blocks.append((own, _plainly([basis.T @ S @ basis for S in parts])))
        return blocks

    @cached_property
    def rank(self) -> int:
        """Directions that are penalised."""
        return sum(len(parts[0]) for _, parts in self._blocks)

    def total(self, strengths: np.ndarray) -> np.ndarray:
        """Σ θ_k S_k, shape (n_features, n_features)."""
        S = np.zeros((self.n_features, self.n_features))
        for strength, (columns, own) in zip(strengths, self.matrices, strict=True):
            S[columns, columns] += strength * own
        return S

    def products(self, w: np.ndarray) -> np.ndarray:
        """S_kw, shape (n_penalties, n_features)."""
        found = np.zeros((len(self.matrices), self.n_features))
        for k, (columns, own) in enumerate(self.matrices):
            found[k, columns] = own @ w[columns]
        return found

    def traces(self, A: np.ndarray) -> np.ndarray:
        """tr(A S_k), shape (n_penalties,)."""
        return np.array([np.vdot(A[columns, columns], own) for columns, own in self.matrices])

    def log_determinant(self, strengths: np.ndarray) -> tuple[float, np.ndarray]:
        """log|Σ θ_kS_k| where it is not 0, up to a constant, and its derivatives by log θ, shape (n_penalties,)."""
        total, slopes = 0.0, np.zeros(len(self.matrices))
        for own, matrices in self._blocks:
            parts = [strengths[k] * S for k, S in zip(own, matrices, strict=True)]
            S = np.sum(parts, axis=0)
            if S.ndim == 1:
                total += np.log(S).sum()
                slopes[own] = [(part / S).sum() for part in parts]
                continue
            unit = np.sqrt(np.diag(S))
            L = cholesky(S / np.outer(unit, unit), lower=True)
            total += 2 * np.log(np.diag(L) * unit).sum()
            slopes[own] = [np.trace(cho_solve((L, True), part / np.outer(unit, unit))) for part in parts]
        return total, slopes


def _plainly(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Diagonals (n,) where all matrices (n, n) are diagonal but for rounding, else the matrices, none below 0.

    A strength far above another must not make its rounding as large as what the other holds.
    """
    sizes = [np.abs(S).max() for S in parts]
    if all(np.abs(S - np.diag(np.diag(S))).max() <= ROUNDING * size for S, size in zip(parts, sizes, strict=True)):
        return [np.where(np.diag(S) > ROUNDING * size, np.diag(S), 0) for S, size in zip(parts, sizes, strict=True)]
    return [S + ROUNDING**1.5 * size * np.eye(len(S)) for S, size in zip(parts, sizes, strict=True)]

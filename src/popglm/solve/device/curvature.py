"""Curvature pairs of many problems at once: how they are kept, the matrix that they make, and its inverse.

The model is that of `popglm.solve.local_models.quadratic`: B = cG + σR − QᵀK⁻¹Q in compact form (see
`popglm.solve.curvature.compact`). Arrays have one row per problem.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from popglm.solve.device.arrays import along, combine, dot, rows

__all__ = [
    "Order",
    "Pairs",
    "compact_form",
    "diagonal_of",
    "keep_pairs",
    "solve_metric",
    "times_pairs",
    "two_loop_step",
]

Array = Any


class Pairs(NamedTuple):
    """Curvature pairs s, y with sᵀy = 1, and Gs: (n_rows, size, n_features), oldest first, 0 where none is kept yet."""

    S: Array
    Y: Array
    GS: Array


class Order(NamedTuple):
    """Constants of `compact_form`.

    Attributes
    ----------
    newer : array, shape (size, size)
        1 below the diagonal, where the pair of the row is newer than that of the column.
    unit : array, shape (2 * size, 2 * size)
        The identity.
    """

    newer: Array
    unit: Array


def keep_pairs(
    xp: Any, least: float, pairs: Pairs, s: Array, y: Array, chosen: Array, G: Array, basis: Array = None
) -> Pairs:
    """Append the pairs (s, y) of chosen rows that show positive curvature beyond rounding, dropping the oldest.

    With an eigenbasis of G pairs are kept in it, and ``G`` are the eigenvalues.
    """
    if basis is not None:
        s, y = xp.matmul(s, basis), xp.matmul(y, basis)
    y, s = xp.where(rows(chosen), y, 0 * s), xp.where(rows(chosen), s, 0 * s)
    sy = dot(xp, s, y)
    good = sy > least * xp.sqrt(dot(xp, s, s)) * xp.sqrt(dot(xp, y, y))
    scale = rows(1 / xp.sqrt(xp.where(good, sy, xp.ones_like(sy))))
    s, y = s * scale, y * scale
    new = (s, y, xp.matmul(s, G) if basis is None else s * G[None, :])
    return Pairs(
        *(
            xp.where(good[:, None, None], xp.concat([old[:, 1:], one[:, None, :]], axis=1), old)
            for old, one in zip(pairs, new, strict=True)
        )
    )


def compact_form(xp: Any, pairs: Pairs, c: Array, order: Order) -> tuple[Array, Array]:
    """Q, and K, of the pairs: B = cG − QᵀK⁻¹Q (Byrd, Nocedal & Schnabel 1994, eq. 2.17).

    Returns
    -------
    Q : array, shape (n_rows, 2 * size, n_features)
        cGs of every pair, then y.
    K : array, shape (n_rows, 2 * size, 2 * size)
        1 on the diagonal where no pair is kept.
    """
    (S, Y, GS), (newer, unit) = pairs, order
    Q = xp.concat([c[:, None, None] * GS, Y], axis=1)
    SBS = c[:, None, None] * xp.matmul(GS, xp.matrix_transpose(S))
    SBS = 0.5 * (SBS + xp.matrix_transpose(SBS))
    each = xp.sum(S * Y, axis=2)
    L = xp.matmul(S, xp.matrix_transpose(Y)) * newer[None]
    size = S.shape[1]
    below = 0 * L - each[:, :, None] * unit[None, :size, :size]
    K = xp.concat(
        [xp.concat([SBS, L], axis=2), xp.concat([xp.matrix_transpose(L), below], axis=2)],
        axis=1,
    )
    empty = xp.where(xp.concat([each, each], axis=1) > 0, 0 * Q[:, :, 0], 1 + 0 * Q[:, :, 0])
    return Q, K + empty[:, :, None] * unit[None]


def times_pairs(xp: Any, Q: Array, M: Array, x: Array) -> Array:
    """QᵀMQx."""
    return combine(xp, along(xp, M, along(xp, Q, x)), Q)


def diagonal_of(xp: Any, Q: Array, M: Array) -> Array:
    """Diagonal of QᵀMQ, shape (n_rows, n_features)."""
    return xp.sum(Q * xp.matmul(M, Q), axis=1)


def two_loop_step(
    xp: Any, total_grad: Array, c: Array, lam2: Array, pairs: Pairs, spectrum: tuple[Array, Array | None], R: Array
) -> Array:
    """−B⁻¹∇ for a penalty without a norm (Nocedal & Wright 2006, alg. 7.4).

    ``spectrum``: values Λ and vectors T with TᵀGT = Λ, and TᵀT = I or, with σR in ``R``, TᵀσRT = I; None for T = I.
    """
    S, Y, _ = pairs
    size = S.shape[1]
    r, past = total_grad, []
    for i in reversed(range(size)):
        s = S[:, i]
        y = Y[:, i] + rows(lam2) * s
        y = y if R is None else y + xp.matmul(s, R)
        sy = dot(xp, s, y)
        rho = xp.where(sy > 0, 1 / xp.where(sy > 0, sy, xp.ones_like(sy)), 0 * sy)
        alpha = rho * dot(xp, s, r)
        r = r - rows(alpha) * y
        past.append((s, y, rho, alpha))
    d = solve_metric(xp, r, c, lam2, spectrum, R)
    for s, y, rho, alpha in reversed(past):
        d = d + rows(alpha - rho * dot(xp, y, d)) * s
    return -d


def solve_metric(xp: Any, r: Array, c: Array, lam2: Array, spectrum: tuple[Array, Array], R: Array) -> Array:
    """(cG + λ₂I)⁻¹r or (cG + σR)⁻¹r, directions without variance or penalty left alone."""
    values, vectors = spectrum
    diagonal = rows(c) * values[None, :] + (rows(lam2) if R is None else 1.0)
    flat = diagonal <= 1e-7 * xp.max(diagonal, axis=1, keepdims=True)
    inverse = xp.where(flat, 0 * diagonal, 1 / xp.where(flat, xp.ones_like(diagonal), diagonal))
    if vectors is None:
        return r * inverse
    return xp.matmul(xp.matmul(r, vectors) * inverse, xp.matrix_transpose(vectors))

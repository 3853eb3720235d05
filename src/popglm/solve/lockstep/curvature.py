"""Curvature pairs of many fits at once: how they are kept, the matrix they make, and its inverse.

The model is that of `popglm.solve.quadratic`: B = cG + σR + Σuuᵀ − Σvvᵀ. Arrays have one row per fit.
"""

from __future__ import annotations

from typing import Any

from popglm.solve.lockstep.arrays import along, combine, dot, rows

__all__ = ["curvature_vectors", "keep_pairs", "solve_metric", "two_loop_step"]

Array = Any


def keep_pairs(
    xp: Any,
    least: float,
    S: Array,
    Y: Array,
    GS: Array,
    s: Array,
    y: Array,
    chosen: Array,
    G: Array,
    basis: Array = None,
) -> tuple[Array, Array, Array]:
    """Append the pairs (s, y) of chosen rows that show positive curvature beyond rounding, dropping the oldest.

    S, Y and GS are (n_rows, size, n_features), oldest first and zeros where nothing is kept yet; a kept pair has
    sᵀy = 1. With an eigenbasis of G pairs are kept in it, and ``G`` are the eigenvalues.
    """
    if basis is not None:
        s, y = xp.matmul(s, basis), xp.matmul(y, basis)
    y, s = xp.where(rows(chosen), y, 0 * s), xp.where(rows(chosen), s, 0 * s)
    sy = dot(xp, s, y)
    good = sy > least * xp.sqrt(dot(xp, s, s)) * xp.sqrt(dot(xp, y, y))
    scale = rows(1 / xp.sqrt(xp.where(good, sy, xp.ones_like(sy))))
    s, y = s * scale, y * scale
    new = (s, y, xp.matmul(s, G) if basis is None else s * G[None, :])
    return tuple(
        xp.where(good[:, None, None], xp.concat([old[:, 1:], one[:, None, :]], axis=1), old)
        for old, one in zip((S, Y, GS), new, strict=True)
    )


def curvature_vectors(
    xp: Any, S: Array, Y: Array, GS: Array, c: Array, diagonal: Array, signs: Array
) -> tuple[Array, Array]:
    """B = cG + Σ uuᵀ − Σ vvᵀ from the pairs, oldest first (Nocedal & Wright 2006, eq. 6.19).

    Parameters
    ----------
    signs : array, shape (2 * size,)
        1 and −1 in turn.

    Returns
    -------
    vectors : array, shape (n_rows, 2 * size, n_features)
        u and v of each pair in turn; zeros where the pair shows no curvature.
    D : array, shape (n_rows, n_features)
        Diagonal of B.
    """
    size = S.shape[1]
    D = rows(c) * diagonal[None, :]
    floor = 0.05 * D
    vectors = []
    for i in range(size):
        s, y = S[:, i], Y[:, i]
        Bs = rows(c) * GS[:, i]
        if vectors:
            before = xp.stack(vectors, axis=1)
            Bs = Bs + combine(xp, along(xp, before, s) * signs[None, : 2 * i], before)
        sBs = dot(xp, s, Bs)
        size_of_Bs = xp.sqrt(dot(xp, s, s)) * xp.sqrt(dot(xp, Bs, Bs))
        good = sBs > 1e-6 * size_of_Bs
        root = rows(xp.where(good, 1 / xp.sqrt(xp.where(good, sBs, xp.ones_like(sBs))), 0 * sBs))
        vectors += [xp.where(rows(good), y, 0 * y), Bs * root]
        D = D + vectors[-2] ** 2 - vectors[-1] ** 2
    return xp.stack(vectors, axis=1), xp.where(floor < D, D, floor)


def two_loop_step(
    xp: Any, total_grad: Array, c: Array, lam2: Array, S: Array, Y: Array, spectrum: tuple[Array, Array], R: Array
) -> Array:
    """−B⁻¹∇ for a penalty without a norm (Nocedal & Wright 2006, alg. 7.4).

    ``spectrum``: values Λ and vectors T with TᵀGT = Λ, and TᵀT = I or, with σR in ``R``, TᵀσRT = I.
    """
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
    return xp.matmul(xp.matmul(r, vectors) * inverse, xp.matrix_transpose(vectors))

"""The compact form of the curvature that pairs of steps and gradients say.

B = cG and its BFGS updates by curvature pairs are cG − QᵀK⁻¹Q with the rows of Q the vectors cGs and y, in any basis in
which s, y and Gs are given (Byrd, Nocedal & Schnabel 1994, eq. 2.17).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import compiled, for_python, inner_compiled

__all__ = [
    "ModelArrays",
    "Pairs",
    "add_rows",
    "dots",
    "from_axes",
    "inverse_middles",
    "low_rank",
    "low_rank_row",
    "middles",
    "row_dots",
    "thin_product",
    "to_axes",
]


class Pairs(NamedTuple):
    """Curvature pairs of the loss with sᵀy = 1, as rings.

    Attributes
    ----------
    S, Y, GS : ndarray, shape (n_neurons, memory, n_features)
        s, y and Gs.
    kept : ndarray of int, shape (n_neurons,)
        Pairs ever kept; the pair number i lies in slot i % memory.
    """

    S: np.ndarray
    Y: np.ndarray
    GS: np.ndarray
    kept: np.ndarray


class ModelArrays(NamedTuple):
    """What compiled functions read of a `LocalModel`; see there."""

    values: np.ndarray
    vectors: np.ndarray
    transposed: np.ndarray
    slots: np.ndarray
    c: np.ndarray
    lam2: np.ndarray
    tau: np.ndarray
    rows: np.ndarray
    pairs: Pairs
    middle: np.ndarray


def row_dots(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Σ_k a_k b_k, row by row."""
    return np.einsum("ij,ij->i", A, B)


@inner_compiled
def thin_product_inner(A, M):
    """AM for few rows A: BLAS first copies all of M, and takes 290 µs where this takes 56 to 163 (1 to 6 × 1,011)."""
    n, p = A.shape
    out = np.zeros((n, M.shape[1]), A.dtype)
    first = p % 8
    for k in range(first):
        for j in range(n):
            for m in range(M.shape[1]):
                out[j, m] += A[j, k] * M[k, m]
    for k in range(first, p, 8):
        b, c, d, e, f, g, h, i = M[k], M[k + 1], M[k + 2], M[k + 3], M[k + 4], M[k + 5], M[k + 6], M[k + 7]
        for j in range(n):
            a, row = A[j, k : k + 8], out[j]
            x, y, z, t, u, v, w, q = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
            for m in range(len(row)):
                row[m] += x * b[m] + y * c[m] + z * d[m] + t * e[m] + u * f[m] + v * g[m] + w * h[m] + q * i[m]
    return out


@inner_compiled
def _product(A, M):
    """AM for square M by BLAS, without what numba compiles for a product that makes its own array."""
    out = np.empty(A.shape, A.dtype)
    np.dot(A, M, out)
    return out


@inner_compiled
def to_axes_inner(A, vectors, slots, tile):
    """AV, with the rows' own V where there are several; rows beyond the neurons begin with the first again.

    BLAS takes the products with a shared V of as many rows as fill its tiles.
    """
    if len(vectors) == 1:
        return _product(A, vectors[0]) if tile else thin_product_inner(A, vectors[0])
    out = np.empty(A.shape, A.dtype)
    for j in range(len(A)):
        row = thin_product_inner(A[j : j + 1], vectors[slots[j % len(slots)]])
        for k in range(A.shape[1]):
            out[j, k] = row[0, k]
    return out


@inner_compiled
def from_axes_inner(A, vectors, transposed, slots, tile):
    """AVᵀ, as `to_axes_inner`."""
    if len(transposed) > 0:
        return _product(A, transposed[0]) if tile else thin_product_inner(A, transposed[0])
    out = np.empty(A.shape, A.dtype)
    for j in range(len(A)):
        dots(vectors[slots[j % len(slots)]], A[j], out[j])
    return out


#: The same, for Python to call: most fits call none, and so compile none.
thin_product, to_axes, from_axes = (for_python(f) for f in (thin_product_inner, to_axes_inner, from_axes_inner))


def middles(c: np.ndarray, rows: np.ndarray, pairs: Pairs) -> np.ndarray:
    """K = [[c SᵀGS, L], [Lᵀ, −D]]: L the part of SᵀY with s newer than y, D its diagonal.

    Of m pairs that a neuron has, K is in the first 2m rows and columns: all that follows depends on these alone.
    """
    memory, kind = pairs.S.shape[1], pairs.S.dtype
    out = np.zeros((len(c), 2 * memory, 2 * memory))
    _fill_middles(c, rows, pairs, out, *np.empty((2, memory, memory), kind))
    return out


@compiled
def _fill_middles(c, rows, pairs, out, SG, SY):
    """See `middles`; SG and SY hold products of one problem."""
    S, Y, GS, kept = pairs
    memory = S.shape[1]
    for j in range(len(c)):
        i, K = rows[j], out[j]
        held = min(kept[i], memory)
        for a in range(held):
            dots(GS[i, :held], S[i, a], SG[a])
            dots(Y[i, :held], S[i, a], SY[a])
        for a in range(held):
            K[held + a, held + a] = -SY[a, a]
            for b in range(held):
                K[a, b] = c[j] * 0.5 * (SG[a, b] + SG[b, a])
                # slots fill in order; in a full ring the oldest pair lies at kept % held
                if (a - kept[i]) % held > (b - kept[i]) % held:
                    K[a, held + b] = K[held + b, a] = SY[a, b]


def inverse_middles(c: np.ndarray, rows: np.ndarray, pairs: Pairs, K: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """(K − Q diag(d) Qᵀ)⁻¹ for rows d of ``diagonal``, K⁻¹ where it has no columns, laid out as K.

    NaN where there is none, and where the model would not be positive definite: the step is then no step. Beside pairs
    that are sound, K and what it is reduced to have as many negative eigenvalues as there are pairs.
    """
    kind, memory = pairs.GS.dtype, pairs.GS.shape[1]
    out, work = np.zeros(K.shape, kind), tuple(np.empty(n, kind) for n in (diagonal.shape[1], memory, memory))
    _fill_inverses(c, rows, pairs, K, diagonal, out, np.empty(K.shape[1:]), work)
    return out


@compiled
def _fill_inverses(c, rows, pairs, K, diagonal, out, inner, work):
    """See `inverse_middles`; the arrays after ``out`` are for one problem at a time."""
    Y, GS, kept = pairs.Y, pairs.GS, pairs.kept
    memory, p = GS.shape[1], diagonal.shape[1]
    x, both, y_only = work
    for j in range(len(c)):
        held = min(kept[rows[j]], memory)
        for a in range(2 * held):
            for b in range(2 * held):
                inner[a, b] = K[j, a, b]
        gs, y = GS[rows[j], :held], Y[rows[j], :held]
        for a in range(held if p > 0 else 0):
            for k in range(p):
                x[k] = c[j] * gs[a, k] * diagonal[j, k]
            dots(gs, x, both)
            dots(y, x, y_only)
            for b in range(held):
                inner[a, b] -= c[j] * both[b]
                inner[a, held + b] -= y_only[b]
                inner[held + b, a] = inner[a, held + b]
            for k in range(p):
                x[k] = y[a, k] * diagonal[j, k]
            dots(y, x, y_only)
            for b in range(held):
                inner[held + a, held + b] -= y_only[b]
        sound = invert(inner, 2 * held) == (held % 2 == 0)
        for a in range(2 * held):
            for b in range(2 * held):
                out[j, a, b] = inner[a, b] if sound else np.nan


@inner_compiled
def invert(A, n):
    """Put the inverse of the first n rows and columns of A in their place, by elimination with pivots from rows.

    Of n up to 36 it takes less time than LAPACK, a twentieth for n of 6. NaN where an entry is not finite. Returns
    whether the determinant is positive.
    """
    swapped, finite, positive = np.empty(n, np.int64), True, True
    for i in range(n):
        best = i
        for a in range(n):
            finite = finite and np.isfinite(A[i, a])
            if a > i and abs(A[a, i]) > abs(A[best, i]):
                best = a
        swapped[i] = best
        for k in range(n):
            A[i, k], A[best, k] = A[best, k], A[i, k]
        positive = positive == ((A[i, i] > 0.0) == (best == i))
        row, share = A[i], 1.0 / A[i, i]
        A[i, i] = 1.0
        for k in range(n):
            row[k] *= share
        for a in range(n):
            if a != i:
                other, share = A[a], A[a, i]
                A[a, i] = 0.0
                for k in range(n):
                    other[k] -= share * row[k]
    for i in range(n - 1, -1, -1):
        for a in range(n):
            A[a, i], A[a, swapped[i]] = A[a, swapped[i]], A[a, i]
            if not finite:
                A[a, i] = np.nan
    return positive


@compiled
def low_rank(c, rows, pairs, M, X, out):
    """See `LocalModel.low_rank`: ``out``, which holds zeros, is filled."""
    Y, GS, kept = pairs.Y, pairs.GS, pairs.kept
    for j in range(len(c)):
        held = min(kept[rows[j]], GS.shape[1])
        if held > 0:
            row = low_rank_row(c[j], held, GS[rows[j]], Y[rows[j]], M[j], X[j])
            for k in range(len(row)):
                out[j, k] = row[k]


@inner_compiled
def low_rank_row(c, held, GS, Y, M, x):
    """QᵀMQx of one neuron with so many pairs, four vectors at a time: 0.65 × the time of BLAS, that of reading Q."""
    inner, outer = np.empty(2 * held, x.dtype), np.empty(2 * held, x.dtype)
    out = np.zeros(len(x), x.dtype)
    dots(GS[:held], x, inner[:held])
    dots(Y[:held], x, inner[held:])
    for i in range(held):
        inner[i] *= c
    dots(M[: 2 * held], inner, outer)
    for i in range(held):
        outer[i] *= c
    add_rows(outer[:held], GS[:held], out)
    add_rows(outer[held:], Y[:held], out)
    return out


@inner_compiled
def dots(Q, x, out):
    """out = Qx."""
    n, zero = len(Q), x.dtype.type(0)
    for i in range(0, n - n % 4, 4):
        a, b, c, d = Q[i], Q[i + 1], Q[i + 2], Q[i + 3]
        s, t, u, v = zero, zero, zero, zero
        for k in range(len(x)):
            s += a[k] * x[k]
            t += b[k] * x[k]
            u += c[k] * x[k]
            v += d[k] * x[k]
        out[i], out[i + 1], out[i + 2], out[i + 3] = s, t, u, v
    for i in range(n - n % 4, n):
        s = zero
        for k in range(len(x)):
            s += Q[i, k] * x[k]
        out[i] = s


@inner_compiled
def add_rows(w, Q, out):
    """out += wQ."""
    n = len(Q)
    for i in range(0, n - n % 4, 4):
        a, b, c, d = Q[i], Q[i + 1], Q[i + 2], Q[i + 3]
        s, t, u, v = w[i], w[i + 1], w[i + 2], w[i + 3]
        for k in range(len(out)):
            out[k] += s * a[k] + t * b[k] + u * c[k] + v * d[k]
    for i in range(n - n % 4, n):
        for k in range(len(out)):
            out[k] += w[i] * Q[i, k]

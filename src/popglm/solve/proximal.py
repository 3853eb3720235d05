"""The quadratic model of many fits at once, and its minimiser, in any array namespace and with fixed shapes.

The model is that of `popglm.solve.quadratic`: gᵀe + ½eᵀBe + penalty(w + e) with B = cG + σR + Σuuᵀ − Σvvᵀ. Where an
array operation costs a launch, block descent does not pay; here all columns of all blocks move together. Norms are
split from the quadratic (Boyd et al. 2011, § 3 and § 6.4), whose part of a step is exact in the eigenbasis of G that
all columns share. With a smoothness σR, which that basis does not diagonalise but which bounds the curvature from
below, it is accelerated proximal gradients (Beck & Teboulle 2009) that restart when they turn back (O'Donoghue & Candès
2015), in the metric of B's own diagonal; without σR those all but stood still at weak strengths, long before the
minimum. Without a norm the two-loop recursion gives the minimiser at once.

Every function takes the array namespace first and arrays of one row per fit; none looks at a value, so that all can be
traced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "Blocks",
    "block_norms",
    "certificate_parts",
    "curvature_vectors",
    "keep_pairs",
    "proximal_steps",
    "split_start",
    "split_steps",
    "start_norms",
    "two_loop_step",
]

Array = Any
#: Steps of one compiled call, and Newton steps for a block's norm in each (they go on from the last ones).
STEPS, NORM_STEPS = 10, 3
#: Over-relaxation of the splitting (Boyd et al. 2011, § 3.4.3).
RELAXATION = 1.6


@dataclass(frozen=True)
class Blocks:
    """How columns form blocks.

    Attributes
    ----------
    member : array, shape (n_features, n_blocks), or None
        1 where a column belongs to a block; None where every column is its own.
    of_column : array of int, shape (n_features,)
    """

    member: Array
    of_column: Array

    def sums(self, xp: Any, A: Array) -> Array:
        """Sums of columns by block, shape (n_rows, n_blocks)."""
        return A if self.member is None else xp.matmul(A, self.member)

    def spread(self, xp: Any, A: Array) -> Array:
        """A number per block, given to each of its columns, shape (n_rows, n_features)."""
        return A if self.member is None else xp.take(A, self.of_column, axis=1)


def block_norms(xp: Any, blocks: Blocks, W: Array) -> Array:
    """‖w_b‖₂, shape (n_rows, n_blocks)."""
    return xp.abs(W) if blocks.member is None else xp.sqrt(blocks.sums(xp, W * W))


def _rows(A: Array) -> Array:
    return A[:, None]


def _dot(xp: Any, A: Array, B: Array) -> Array:
    return xp.sum(A * B, axis=1)


def _along(xp: Any, pairs: Array, x: Array) -> Array:
    """Inner products of a row's vectors (n_rows, n_vectors, n_features) with x (n_rows, n_features)."""
    return xp.matmul(pairs, x[:, :, None])[:, :, 0]


def _combine(xp: Any, coefficients: Array, pairs: Array) -> Array:
    return xp.matmul(coefficients[:, None, :], pairs)[:, 0, :]


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
    y, s = xp.where(_rows(chosen), y, 0 * s), xp.where(_rows(chosen), s, 0 * s)
    sy = _dot(xp, s, y)
    good = sy > least * xp.sqrt(_dot(xp, s, s)) * xp.sqrt(_dot(xp, y, y))
    scale = _rows(1 / xp.sqrt(xp.where(good, sy, xp.ones_like(sy))))
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
    D = _rows(c) * diagonal[None, :]
    floor = 0.05 * D
    vectors = []
    for i in range(size):
        s, y = S[:, i], Y[:, i]
        Bs = _rows(c) * GS[:, i]
        if vectors:
            before = xp.stack(vectors, axis=1)
            Bs = Bs + _combine(xp, _along(xp, before, s) * signs[None, : 2 * i], before)
        sBs = _dot(xp, s, Bs)
        size_of_Bs = xp.sqrt(_dot(xp, s, s)) * xp.sqrt(_dot(xp, Bs, Bs))
        good = sBs > 1e-6 * size_of_Bs
        root = _rows(xp.where(good, 1 / xp.sqrt(xp.where(good, sBs, xp.ones_like(sBs))), 0 * sBs))
        vectors += [xp.where(_rows(good), y, 0 * y), Bs * root]
        D = D + vectors[-2] ** 2 - vectors[-1] ** 2
    return xp.stack(vectors, axis=1), xp.where(floor < D, D, floor)


def _shrink(xp: Any, blocks: Blocks, r: Array, H: Array, tau: Array, nu: Array) -> tuple[Array, Array]:
    """argmin −rᵀz + ½ zᵀ diag(H) z + Σ_b τ_b‖z_b‖, and ‖z_b‖ by a few Newton steps that go on from ``nu``."""
    if blocks.member is None:
        size = xp.abs(r) - tau
        return xp.where(size > 0, xp.where(r > 0, size, -size) / H, 0 * r), nu
    norm = xp.sqrt(blocks.sums(xp, r * r))
    alive = norm > tau
    tau_of = blocks.spread(xp, tau)
    for _ in range(NORM_STEPS):
        inverse = 1 / (H * blocks.spread(xp, nu) + tau_of)
        t = (r * inverse) ** 2
        total, slope = blocks.sums(xp, t), blocks.sums(xp, t * H * inverse)
        good = alive & (total > 0) & (slope > 0)
        # Newton on 1/√Σ − 1, which is nearly linear; a step back never takes more than nine tenths
        step = total * (xp.sqrt(total) - 1) / xp.where(good, slope, xp.ones_like(slope))
        nu = xp.where(good, xp.where(step > -0.9 * nu, nu + step, 0.1 * nu), nu)
    z = r / (H + tau_of / blocks.spread(xp, nu))
    return xp.where(blocks.spread(xp, alive), z, 0 * r), nu


def start_norms(xp: Any, blocks: Blocks, W: Array, grad: Array, D: Array) -> Array:
    """Where the norms of the blocks start: those of a plain step, never 0."""
    step = xp.abs(W) + xp.abs(grad) / D
    return block_norms(xp, blocks, step) + 1e-20


def proximal_steps(
    xp: Any, blocks: Blocks, rounding: float, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, vectors: Array,
    signs: Array, D: Array, G: Array, R: Array, at: tuple[Array, ...],
) -> tuple[tuple[Array, ...], Array]:  # fmt: skip
    """`STEPS` accelerated proximal gradient steps on the model.

    Parameters
    ----------
    W, grad : array, shape (n_rows, n_features)
        Where the model stands, and its gradient there without the λ₂ part.
    c, lam2 : array, shape (n_rows,)
    tau : array, shape (n_rows, n_blocks)
    vectors, signs : array, shape (n_rows, 2 * size, n_features) and (2 * size,)
    D : array, shape (n_rows, n_features)
        Diagonal of B.
    R : array or None
        σR.
    at : tuple of array
        Step e, Be, those before, momentum, step bound L and block norms.

    Returns
    -------
    at : tuple of array
    value : array, shape (n_rows,)
        The model there, 0 at e = 0.
    """
    e, Be, e_old, Be_old, t, L, nu = at
    c, lam2 = _rows(c), _rows(lam2)

    def times_B(x: Array) -> Array:
        Bx = c * xp.matmul(x, G) + _combine(xp, _along(xp, vectors, x) * signs[None, :], vectors)
        return Bx if R is None else Bx + xp.matmul(x, R)

    for _ in range(STEPS):
        t_next = 0.5 * (1 + xp.sqrt(1 + 4 * t * t))
        momentum = _rows((t - 1) / t_next)
        ahead, B_ahead = e + momentum * (e - e_old), Be + momentum * (Be - Be_old)
        M = _rows(L) * D
        z, nu = _shrink(xp, blocks, M * (W + ahead) - grad - B_ahead, M + lam2, tau, nu)
        e_new = z - W
        Be_new = times_B(e_new)
        moved = e_new - ahead
        bent, plain = _dot(xp, moved, Be_new - B_ahead), _dot(xp, moved * D, moved)
        # L too small for this direction: the step is taken back. Below rounding nothing can be told.
        bad = (bent > 1.001 * L * plain) & (plain > rounding * _dot(xp, e_new * D, e_new))
        back = _dot(xp, -(M * moved), e_new - e) > 0
        L = xp.where(bad, 1.1 * bent / xp.where(bad, plain, xp.ones_like(plain)), L)
        keep = _rows(bad)
        e_old, Be_old = e, Be
        e, Be = xp.where(keep, e, e_new), xp.where(keep, Be, Be_new)
        t = xp.where(bad | back, xp.ones_like(t), t_next)
    smooth = _dot(xp, e, grad + 0.5 * Be) + xp.sum(lam2 * e * (W + 0.5 * e), axis=1)
    norms = block_norms(xp, blocks, W + e) - block_norms(xp, blocks, W)
    return (e, Be, e_old, Be_old, t, L, nu), smooth + xp.sum(tau * norms, axis=1)


def split_start(
    xp: Any, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, values: Array, rho: Array
) -> tuple[Array, Array, Array]:
    """Weights z, scaled multiplier u, and ρ; where ρ is 0 yet, what a norm curves at the length of the weights."""
    tiny = 1e-30
    used = xp.sum(xp.where(W != 0, xp.ones_like(W), 0 * W), axis=1)
    length = xp.sqrt(_dot(xp, W, W) / xp.where(used > 0, used, xp.ones_like(used)))
    step = xp.max(xp.abs(grad), axis=1) / (c * xp.sum(values) / values.shape[0] + tiny)
    length = xp.where(length > 0, length, step) + tiny
    steep, flat = xp.sum(tau, axis=1) / tau.shape[1], 1e-6 * c * xp.max(values)
    rho = xp.where(rho > 0, rho, xp.where(steep > flat, steep, flat) / length)
    return W, -(grad + _rows(lam2) * W) / _rows(rho), rho


def split_inverse(xp: Any, c: Array, shift: Array, values: Array, vectors: Array, signs: Array) -> tuple[Array, ...]:
    """What (B + shift)⁻¹ needs in the eigenbasis of G, where ``vectors`` are those of the curvature (Woodbury)."""
    inverse = 1 / (_rows(c) * values[None, :] + _rows(shift))
    scaled = vectors * inverse[:, None, :]
    middle = signs[None, :, :] + xp.matmul(scaled, xp.matrix_transpose(vectors))
    return inverse, scaled, xp.linalg.inv(middle)


def _split_solve(xp: Any, r: Array, inverse: Array, scaled: Array, core: Array) -> Array:
    inner = xp.matmul(core, _along(xp, scaled, r)[:, :, None])[:, :, 0]
    return r * inverse - _combine(xp, inner, scaled)


def split_steps(
    xp: Any, blocks: Blocks, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, vectors: Array, signs: Array,
    spectrum: tuple[Array, Array], at: tuple[Array, Array, Array],
) -> tuple[Array, Array, tuple[Array, Array, Array]]:  # fmt: skip
    """`STEPS` iterations of the alternating direction method of multipliers, then ρ adapted to their residuals.

    Parameters
    ----------
    vectors : array, shape (n_rows, 2 * size, n_features)
        In the eigenbasis of G, as the first of `curvature_vectors`.
    signs : array, shape (2 * size, 2 * size)
        Their signs, as a diagonal matrix.
    spectrum : tuple of array
        Eigenvalues (n_features,) and eigenvectors (n_features, n_features) of G.
    at : tuple of array
        z, u and ρ.

    Returns
    -------
    d : array, shape (n_rows, n_features)
        Step z − w.
    sums : array, shape (n_rows, 3)
        The model there, 0 at d = 0; what it can still decrease, about; and the larger one of the primal and the dual
        residual, relative to weights and multipliers.
    at : tuple of array
    """
    z, u, rho = at
    values, basis = spectrum
    back, signs_of = xp.matrix_transpose(basis), xp.sum(signs, axis=0)
    solver = split_inverse(xp, c, lam2 + rho, values, vectors, signs)
    rotated_grad = xp.matmul(grad + _rows(lam2) * W, basis)
    threshold = tau / _rows(rho)
    x = before = z
    for _ in range(STEPS):
        r = _rows(rho) * xp.matmul(z - u - W, basis) - rotated_grad
        x = W + xp.matmul(_split_solve(xp, r, *solver), back)
        before, v = z, RELAXATION * x + (1 - RELAXATION) * z + u
        norms = block_norms(xp, blocks, v)
        over = norms > threshold
        factor = xp.where(over, 1 - threshold / xp.where(over, norms, xp.ones_like(norms)), 0 * norms)
        z = v * blocks.spread(xp, factor)
        u = v - z
    tiny = 1e-30

    def size(A: Array) -> Array:
        return xp.sqrt(_dot(xp, A, A))

    largest = xp.where(size(x) > size(z), size(x), size(z))
    primal, dual = size(x - z) / (largest + tiny), size(z - before) / (size(u) + tiny)
    # residual balancing (Boyd et al. 2011, § 3.4.1), in relative terms (Wohlberg 2017)
    factor = xp.sqrt((primal + tiny) / (dual + tiny))
    factor = xp.where(factor > 5, 5 + 0 * factor, xp.where(factor < 0.2, 0.2 + 0 * factor, factor))
    factor = xp.where((factor > 1.5) | (factor < 0.67), factor, xp.ones_like(factor))
    d = z - W
    rotated = xp.matmul(d, basis)
    Bd = _rows(c) * values[None, :] * rotated + _combine(xp, _along(xp, vectors, rotated) * signs_of[None, :], vectors)
    # ρu is a subgradient of the norms at z: what it leaves of the other gradient, in the metric of the model
    total = xp.matmul(grad + _rows(lam2) * z + _rows(rho) * u, basis) + Bd
    left = 0.5 * _dot(xp, total, _split_solve(xp, total, *solver))
    change = xp.sum(tau * (block_norms(xp, blocks, z) - block_norms(xp, blocks, W)), axis=1)
    value = _dot(xp, d, grad + _rows(lam2) * (W + 0.5 * d)) + 0.5 * _dot(xp, rotated, Bd) + change
    residual = xp.where(primal > dual, primal, dual)
    return d, xp.stack([value, left, residual], axis=1), (z, u / _rows(factor), rho * factor)


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
        y = Y[:, i] + _rows(lam2) * s
        y = y if R is None else y + xp.matmul(s, R)
        sy = _dot(xp, s, y)
        rho = xp.where(sy > 0, 1 / xp.where(sy > 0, sy, xp.ones_like(sy)), 0 * sy)
        alpha = rho * _dot(xp, s, r)
        r = r - _rows(alpha) * y
        past.append((s, y, rho, alpha))
    d = solve_metric(xp, r, c, lam2, spectrum, R)
    for s, y, rho, alpha in reversed(past):
        d = d + _rows(alpha - rho * _dot(xp, y, d)) * s
    return -d


def solve_metric(xp: Any, r: Array, c: Array, lam2: Array, spectrum: tuple[Array, Array], R: Array) -> Array:
    """(cG + λ₂I)⁻¹r or (cG + σR)⁻¹r, directions without variance or penalty left alone."""
    values, vectors = spectrum
    diagonal = _rows(c) * values[None, :] + (_rows(lam2) if R is None else 1.0)
    flat = diagonal <= 1e-7 * xp.max(diagonal, axis=1, keepdims=True)
    inverse = xp.where(flat, 0 * diagonal, 1 / xp.where(flat, xp.ones_like(diagonal), diagonal))
    return xp.matmul(xp.matmul(r, vectors) * inverse, xp.matrix_transpose(vectors))


def certificate_parts(
    xp: Any, blocks: Blocks, normed: bool, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, diagonal: Array,
    R: Array, spectrum: tuple[Array, Array] | None,
) -> Array:  # fmt: skip
    """The sums over features of `popglm.solve.certificate`, one row per fit.

    Terms that nearly cancel are added block by block before they are summed, so that float32 is enough.

    Returns
    -------
    array, shape (n_rows, 8)
        θ; Σ τ‖w‖ + θwᵀg; Σ τ‖w‖ + wᵀg; ‖w‖²; σwᵀRw; squared excess of the forces; Newton decrement; 1 where g is
        finite.
    """
    RW = 0 * W if R is None else xp.matmul(W, R)
    g = grad + RW
    wg = blocks.sums(xp, W * g)
    one = xp.ones_like(lam2)
    if normed:
        norms, forces = block_norms(xp, blocks, W), block_norms(xp, blocks, g)
        ratio = xp.where(forces > tau, tau / xp.where(forces > tau, forces, xp.ones_like(forces)), xp.ones_like(forces))
        theta = xp.min(ratio, axis=1)
        over = xp.sum(xp.where(forces > tau, (forces - tau) ** 2, 0 * forces), axis=1)
        omega = tau * norms
    else:
        theta, over, omega = xp.where(lam2 > 0, one, 0 * one), _dot(xp, g, g), 0 * wg
    total = g + _rows(lam2) * W
    if not normed:
        decrement = 0 * one if spectrum is None else _dot(xp, total, solve_metric(xp, total, c, lam2, spectrum, R))
    else:
        # the subgradient of least norm, block by block
        total_forces = block_norms(xp, blocks, total)
        tau_of, norm_of = blocks.spread(xp, tau), blocks.spread(xp, norms)
        force_of = blocks.spread(xp, total_forces)
        inside = total + tau_of * W / xp.where(norm_of > 0, norm_of, xp.ones_like(norm_of))
        over_tau = force_of > tau_of
        share = tau_of / xp.where(over_tau, force_of, xp.ones_like(force_of))
        outside = xp.where(over_tau, total * (1 - share), 0 * total)
        residual = xp.where(norm_of > 0, inside, outside)
        metric = _rows(c) * diagonal[None, :] + _rows(lam2)
        decrement = xp.sum(
            xp.where(metric > 0, residual**2 / xp.where(metric > 0, metric, xp.ones_like(metric)), 0 * residual), axis=1
        )
    finite = xp.where(xp.isfinite(xp.sum(g, axis=1)), one, 0 * one)
    return xp.stack(
        [theta, xp.sum(omega + _rows(theta) * wg, axis=1), xp.sum(omega + wg, axis=1), _dot(xp, W, W), _dot(xp, W, RW),
         over, decrement, finite],
        axis=1,
    )  # fmt: skip

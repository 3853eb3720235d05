"""The quadratic model of many fits at once, and its minimiser, in any array namespace and with fixed shapes.

The model is that of `popglm.solve.local_models.quadratic`: gᵀe + ½eᵀBe + penalty(w + e) with B = cG + σR − QᵀMQ.
Where an array operation costs a launch, block descent does not pay; here all columns of all blocks move together. Norms
are split from the quadratic (Boyd et al. 2011, § 3 and § 6.4), whose part of a step is exact in the eigenbasis of G
that all columns share. With a smoothness σR, which that basis does not diagonalise but which bounds the curvature from
below, it is accelerated proximal gradients (Beck & Teboulle 2009) that restart when they turn back (O'Donoghue & Candès
2015), in the metric of B's own diagonal; without σR those all but stood still at weak strengths, long before the
minimum. Without a norm the two-loop recursion gives the minimiser at once.

Functions take the array namespace or an engine's class first, and arrays of one row per problem; none looks at a value,
so that all can be traced.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from popglm.solve.device.arrays import dot, rows
from popglm.solve.device.curvature import times_pairs
from popglm.statistics import norms
from popglm.statistics.blockwise import Blocks, block_norms

__all__ = ["ProximalModel", "SplitModel", "decrement", "proximal_steps", "split_start", "split_steps", "start_norms"]

Array = Any
#: Steps of one compiled call, and Newton steps for a block's norm in each (they go on from the last ones).
STEPS, NORM_STEPS = 10, 3
#: Over-relaxation of the splitting (Boyd et al. 2011, § 3.4.3).
RELAXATION = 1.6
#: Added to the metric of a bound, over c and the largest eigenvalue of G: with less variance, there is rounding alone.
LEAST_CURVATURE = 1e-9


class ProximalModel(NamedTuple):
    """The models of problems, for `proximal_steps`.

    Attributes
    ----------
    W, grad : array, shape (n_rows, n_features)
        Where the model stands, and its gradient there without the λ₂ part.
    c, lam2 : array, shape (n_rows,)
    tau : array, shape (n_rows, n_blocks)
    Q, M : array, shape (n_rows, 2 * size, n_features) and (n_rows, 2 * size, 2 * size)
        See `popglm.solve.device.curvature.compact_form`; M = K⁻¹.
    D : array, shape (n_rows, n_features)
        Diagonal of B.
    """

    W: Array
    grad: Array
    c: Array
    lam2: Array
    tau: Array
    Q: Array
    M: Array
    D: Array


class SplitModel(NamedTuple):
    """The models of problems, for `split_steps`.

    Attributes
    ----------
    W, grad : array, shape (n_rows, n_features)
        Where the model stands, and its gradient there without the λ₂ part.
    c, lam2 : array, shape (n_rows,)
    ridge, tau : array, shape (n_rows, n_blocks)
        What blocks have of a ridge beyond λ₂, and the weights of their norms.
    Q, K, M : array
        In the eigenbasis of G; see `popglm.solve.device.curvature.compact_form`. M = K⁻¹.
    lower, upper : array, shape (n_rows, n_features), or None
        Bounds of the weights in the units of the models, where there are some.
    """

    W: Array
    grad: Array
    c: Array
    lam2: Array
    ridge: Array
    tau: Array
    Q: Array
    K: Array
    M: Array
    lower: Array = None
    upper: Array = None


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
    ops: Any, rounding: float, blocks: Blocks, model: ProximalModel, G: Array, R: Array, at: tuple[Array, ...]
) -> tuple[tuple[Array, ...], Array]:
    """`STEPS` accelerated proximal gradient steps on the model.

    Parameters
    ----------
    model : ProximalModel
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
    xp, (W, grad, c, lam2, tau, Q, M, D) = ops.xp, model
    e, Be, e_old, Be_old, t, L, nu = at
    c, lam2 = rows(c), rows(lam2)

    def times_B(x: Array) -> Array:
        """Bx, row by row."""
        Bx = c * xp.matmul(x, G) - times_pairs(xp, Q, M, x)
        return Bx if R is None else Bx + xp.matmul(x, R)

    for _ in range(STEPS):
        t_next = 0.5 * (1 + xp.sqrt(1 + 4 * t * t))
        momentum = rows((t - 1) / t_next)
        ahead, B_ahead = e + momentum * (e - e_old), Be + momentum * (Be - Be_old)
        H = rows(L) * D
        z, nu = _shrink(xp, blocks, H * (W + ahead) - grad - B_ahead, H + lam2, tau, nu)
        e_new = z - W
        Be_new = times_B(e_new)
        moved = e_new - ahead
        curvature, plain = dot(xp, moved, Be_new - B_ahead), dot(xp, moved * D, moved)
        # L too small for this direction: the step is taken back. Below rounding nothing can be told.
        bad = (curvature > 1.001 * L * plain) & (plain > rounding * dot(xp, e_new * D, e_new))
        back = dot(xp, -(H * moved), e_new - e) > 0
        L = xp.where(bad, 1.1 * curvature / xp.where(bad, plain, xp.ones_like(plain)), L)
        keep = rows(bad)
        e_old, Be_old = e, Be
        e, Be = xp.where(keep, e, e_new), xp.where(keep, Be, Be_new)
        t = xp.where(bad | back, xp.ones_like(t), t_next)
    smooth = dot(xp, e, grad + 0.5 * Be) + xp.sum(lam2 * e * (W + 0.5 * e), axis=1)
    return (e, Be, e_old, Be_old, t, L, nu), smooth + norms.change(xp, blocks, W + e, W, tau)


def split_start(
    xp: Any, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, values: Array, rho: Array
) -> tuple[Array, Array, Array]:
    """Weights z, scaled multiplier u, and ρ; where ρ is 0 yet, what a norm curves at the length of the weights."""
    tiny = 1e-30
    used = xp.sum(xp.where(W != 0, xp.ones_like(W), 0 * W), axis=1)
    length = xp.sqrt(dot(xp, W, W) / xp.where(used > 0, used, xp.ones_like(used)))
    step = xp.max(xp.abs(grad), axis=1) / (c * xp.sum(values) / values.shape[0] + tiny)
    length = xp.where(length > 0, length, step) + tiny
    steep, flat = xp.sum(tau, axis=1) / tau.shape[1], 1e-6 * c * xp.max(values)
    # a force over a length, and a curvature: both have the unit of the latter
    steep = xp.where(steep > 0, steep / length, c * xp.sum(values) / values.shape[0])
    rho = xp.where(rho > 0, rho, xp.where(steep > flat, steep, flat))
    return W, -(grad + rows(lam2) * W) / rows(rho), rho


def resolvent(ops: Any, c: Array, shift: Array, values: Array, Q: Array, K: Array) -> tuple[Array, Array]:
    """1/(cΛ + shift), and the small inverse that the curvature pairs add to it (Woodbury), in the eigenbasis of G."""
    xp = ops.xp
    inverse = 1 / (rows(c) * values[None, :] + rows(shift))
    return inverse, ops.inverse(K - xp.matmul(Q * inverse[:, None, :], xp.matrix_transpose(Q)))


def _solve(xp: Any, r: Array, Q: Array, inverse: Array, core: Array) -> Array:
    """(B + shift)⁻¹r from the two parts of `resolvent`."""
    scaled = r * inverse
    return scaled + inverse * times_pairs(xp, Q, core, scaled)


def decrement(ops: Any, missing: Array, model: SplitModel, values: Array) -> Array:
    """½mᵀB⁻¹m of rows m of ``missing``, shape (n_rows,): see `popglm.solve.step_solvers.splitting.decrement`."""
    xp, c, lam2, Q, K = ops.xp, model.c, model.lam2, model.Q, model.K
    shift = lam2 + LEAST_CURVATURE * c * xp.max(values)
    return 0.5 * dot(xp, missing, _solve(xp, missing, Q, *resolvent(ops, c, shift, values, Q, K)))


def split_steps(
    ops: Any, blocks: Blocks, model: SplitModel, spectrum: tuple[Array, Array], at: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array, tuple[Array, Array, Array]]:
    """`STEPS` iterations of the alternating direction method of multipliers, then ρ adapted to their residuals.

    Parameters
    ----------
    model : SplitModel
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
    missing : array, shape (n_rows, n_features)
        What is missing to a stationary point, in the eigenbasis of G: `decrement` has a bound from it.
    at : tuple of array
    """
    xp, (W, grad, c, lam2, ridge, tau, Q, K, M, lower, upper) = ops.xp, model
    blocks = blocks._replace(lower=lower, upper=upper)
    z, u, rho = at
    values, basis = spectrum
    back = xp.matrix_transpose(basis)
    solver = resolvent(ops, c, lam2 + rho, values, Q, K)
    rotated_grad = xp.matmul(grad + rows(lam2) * W, basis)
    threshold, keep = tau / rows(rho), rows(rho) / (rows(rho) + ridge)
    x = before = z
    for _ in range(STEPS):
        r = rows(rho) * xp.matmul(z - u - W, basis) - rotated_grad
        x = W + xp.matmul(_solve(xp, r, Q, *solver), back)
        before, v = z, RELAXATION * x + (1 - RELAXATION) * z + u
        z = norms.shrink(xp, blocks, v, threshold, keep)
        u = v - z
    tiny = 1e-30

    def size(A: Array) -> Array:
        """‖a‖, row by row."""
        return xp.sqrt(dot(xp, A, A))

    largest = xp.where(size(x) > size(z), size(x), size(z))
    primal, dual = size(x - z) / (largest + tiny), size(z - before) / (size(u) + tiny)
    # residual balancing (Boyd et al. 2011, § 3.4.1), in relative terms (Wohlberg 2017)
    factor = xp.sqrt((primal + tiny) / (dual + tiny))
    factor = xp.where(factor > 5, 5 + 0 * factor, xp.where(factor < 0.2, 0.2 + 0 * factor, factor))
    factor = xp.where((factor > 1.5) | (factor < 0.67), factor, xp.ones_like(factor))
    d = z - W
    rotated = xp.matmul(d, basis)
    Bd = rows(c) * values[None, :] * rotated - times_pairs(xp, Q, M, rotated)
    # ρu is a subgradient of the norms at z: what it leaves of the other gradient, in the metric of the splitting
    total = xp.matmul(grad + rows(lam2) * z + rows(rho) * u, basis) + Bd
    left = 0.5 * dot(xp, total, _solve(xp, total, Q, *solver))
    change = norms.change(xp, blocks, z, W, tau) + xp.sum(ridge * blocks.sums(xp, d * (W + 0.5 * d)), axis=1)
    value = dot(xp, d, grad + rows(lam2) * (W + 0.5 * d)) + 0.5 * dot(xp, rotated, Bd) + change
    residual = xp.where(primal > dual, primal, dual)
    return d, xp.stack([value, left, residual], axis=1), total, (z, u / rows(factor), rho * factor)

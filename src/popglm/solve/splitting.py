"""The penalised quadratic model by operator splitting, for penalties on single weights.

With designs whose columns depend on each other, coordinates of a lasso move against the absolute values of others and
hardly at all: sweeps with Newton steps between them found a percent of the decrease in sixty passes. The alternating
direction method of multipliers (Boyd et al. 2011, § 3 and § 6.4) shrinks every weight in turn with the minimum of a
ridge regression, which the eigenvectors of G, shared by all neurons, turn into two products: the Gaussian lasso then
takes a fifteenth of the time, the Poisson lasso 6 evaluations per strength for 16 (27,396 × 318, 12 neurons). Ended by
what the model can still gain, it takes 16 iterations per step; ended by the size of its residuals it took 80.
Extrapolated, the Poisson lasso takes 0.86 × the time (30,000 × 1,011 × 100).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from popglm.engines.numpy_engine import TILE
from popglm.solve.compact import INNER, JIT, LocalModel, low_rank_row, thin_product
from popglm.solve.extrapolation import empty_past, extrapolate

__all__ = ["resolvent", "split_steps"]

#: Iterations between looks at what is left, and such rounds at most.
PERIOD, MAX_ROUNDS = 12, 40
#: A step is good when the model can still decrease by no more than this share of what it has: the next step, from a
#: better model, finds the rest. Less of it takes more time than it saves evaluations.
ACCURACY = 0.1
#: Over-relaxation (Boyd et al. 2011, § 3.4.3).
RELAXATION = 1.6
#: Primal residuals weigh 1 + this times the share of the weights in use. Where all weigh 1, ρ settles far below its
#: best value once most weights are in use.
BALANCE = 3.0
#: A change of ρ by a smaller factor is left to the next step: inverses for a new ρ cost as much as five iterations.
FAR = 2.0
#: ρ over c and the largest eigenvalue of G, at least, by bytes of a number: below, rounding along directions without
#: variance is blown up until nothing else is left.
LEAST_RHO = {4: 1e-5, 8: 1e-12}
#: Up to so many neurons BLAS takes longer than `thin_product`.
FEW = 8
#: Added to the metric in which what is left is measured, over c and the largest eigenvalue of G, by bytes of a number:
#: along a direction with less variance rounding says more than the gradient.
LEAST_CURVATURE = {4: 1e-9, 8: 1e-14}
#: Kept away from zero: squares of norms, in float64.
TINY = 1e-300


def split_steps(
    model: LocalModel,
    W: np.ndarray,
    grad: np.ndarray,
    rho: np.ndarray,
    ridge: np.ndarray | None = None,
    most: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Minimise the models of some neurons.

    Parameters
    ----------
    model : LocalModel
        Its pairs in the eigenbasis of G.
    W, grad : ndarray, shape (n_neurons, n_features)
    rho : ndarray, shape (n_neurons,)
        Penalty parameter of the splitting that served a neuron last; 0 where there is none.
    ridge : ndarray, shape (n_neurons, n_features), optional
        What single weights have of a ridge beyond λ₂, which is the least of them all.
    most : ndarray, shape (n_neurons,), optional
        A neuron is done where its model can decrease by no more than this: iterations go on for the sake of a bound
        that says so, where one is near.

    Returns
    -------
    D : ndarray, shape (n_neurons, n_features)
    gained, left : ndarray, shape (n_neurons,)
        Decrease of the model, and what it can still decrease: a bound where both are no more than ``most``.
    rho : ndarray, shape (n_neurons,)
        For the next time.
    """
    kind = W.dtype
    ridge = np.zeros_like(W) if ridge is None else ridge
    most = np.zeros(len(W)) if most is None else most
    force = grad + model.lam2[:, None] * W
    top = model.c * model.values[-1]
    least = (LEAST_RHO[kind.itemsize] * top).astype(kind)
    rho = np.maximum(np.where(rho > 0, rho, _first_rho(model, W, grad)), least).astype(kind)
    out_Z, out_gained, out_left, out_rho = W.copy(), np.zeros(len(W)), np.zeros(len(W)), rho.copy()
    own, todo, start = model, np.arange(len(W)), W
    # x minimises the quadratic and z the penalty; the multiplier ρu is a subgradient of that, and starts as one that
    # is nearly in balance with the gradient, which saves iterations
    held = np.where(W != 0, model.tau * np.sign(W) + ridge * W, np.clip(-force, -model.tau, model.tau))
    V = W + held / rho[:, None]
    past: Sequence[np.ndarray] = empty_past(len(W), W.shape[1], kind)
    pull, inverse, core = model.product(force, model.vectors), *resolvent(model, rho)
    for _ in range(MAX_ROUNDS):
        tile = 0 if model.product is thin_product or len(todo) <= FEW else TILE[kind.itemsize]
        primal, dual = _iterate(
            PERIOD, tile, own.vectors, own.transposed, own.c, own.rows, own.GS, own.Y, own.count,
            inverse, core, pull, start, rho, own.tau, ridge, V, *past,
        )  # fmt: skip
        Z, missing, gained, left, share = _look(
            tile, own.vectors, own.values, own.c, own.lam2, own.rows, own.GS, own.Y, own.middle,
            inverse, core, pull, start, rho, own.tau, ridge, V,
        )  # fmt: skip
        # residual balancing (Boyd et al. 2011, § 3.4.1), in relative terms (Wohlberg 2017)
        factor = np.clip((1 + BALANCE * share) * np.sqrt(np.sqrt(primal / np.maximum(dual, TINY))), 0.2, 5).astype(kind)
        go = left > ACCURACY * gained + np.finfo(kind).eps * _dot(own.tau, np.abs(start))
        told = np.flatnonzero(~go & (gained + left <= most))
        if len(told):
            left[told] = decrement(own.take(told), missing[told])
            go[told] = gained[told] + left[told] > most[told]
        out_Z[todo], out_gained[todo], out_left[todo], out_rho[todo] = Z, gained, left, rho * factor
        if not go.any():
            break
        if not go.all():
            own, todo = own.take(go), todo[go]
            V, Z, start, rho, ridge, most, pull, inverse, core, factor, *past = (
                a[go] for a in (V, Z, start, rho, ridge, most, pull, inverse, core, factor, *past)
            )
        factor = np.maximum(factor, least[todo] / rho)
        far = (factor > FAR) | (factor < 1 / FAR)
        if far.any():
            rho[far] *= factor[far]
            V[far] = Z[far] + (V[far] - Z[far]) / factor[far, None]
            for array in past:
                array[far] = 0
            inverse[far], core[far] = resolvent(own.take(far), rho[far])
    return out_Z - W, np.maximum(out_gained, 0), out_left, out_rho


@njit(**INNER)
def _shrink(v, rho, tau, ridge):
    """argmin_z τ|z| + ridge/2 z² + ρ/2 (z − v)²."""
    threshold = tau / rho
    return (v - min(max(v, -threshold), threshold)) * (rho / (rho + ridge))


@njit(**JIT)
def _iterate(
    n_times, tile, vectors, transposed, c, rows, GS, Y, count, inverse, core, pull, start, rho, tau, ridge, V,
    past, gram, held,
):  # fmt: skip
    """Iterations of the splitting; V = z + u and the past of `extrapolate` change.

    Returns ‖x − z‖² / ‖x‖² and ‖Δz‖² / ‖u‖² of the last one. One compiled call for all of them: twenty of NumPy's in
    each took 1.5 × the time, and workers waited for each other.
    """
    n, p = V.shape
    A, mapped = np.zeros((-(-n // tile) * tile if tile else n, p), V.dtype), np.empty(p, V.dtype)
    primal, dual = np.zeros(n), np.zeros(n)
    for left in range(n_times - 1, -1, -1):
        for j in range(n):
            for k in range(p):
                A[j, k] = 2 * _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k]) - V[j, k] - start[j, k]
        R = np.dot(A, vectors) if tile else thin_product(A, vectors)
        for j in range(n):
            for k in range(p):
                R[j, k] = (rho[j] * R[j, k] - pull[j, k]) * inverse[j, k]
            i = rows[j]
            if count[i] > 0:
                bent = low_rank_row(c[j], GS[i], Y[i], core[j], R[j])
                for k in range(p):
                    R[j, k] += inverse[j, k] * bent[k]
        X = np.dot(R, transposed) if tile else thin_product(R, transposed)
        for j in range(n):
            apart, moved, xx, uu = 0.0, 0.0, TINY, TINY
            for k in range(p):
                x = start[j, k] + X[j, k]
                z_before = _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k])
                v = RELAXATION * (x - z_before) + V[j, k]
                z = _shrink(v, rho[j], tau[j, k], ridge[j, k])
                u = v - z
                mapped[k] = v
                apart += (x - z) ** 2
                moved += (z - z_before) ** 2
                xx += x * x
                uu += u * u
            primal[j], dual[j] = apart / xx, moved / uu
            extrapolate(V[j], mapped, past[j], gram[j], held[j], left > 0)
            held[j] += 1
    return primal, dual


@njit(**JIT)
def _look(tile, vectors, values, c, lam2, rows, GS, Y, middle, inverse, core, pull, start, rho, tau, ridge, V):
    """z, what is missing there, the decrease of the model, what it can still decrease, and the share of weights in use.

    What is missing to a stationary point, in the eigenbasis of G, is m = q + s, with q the gradient of the quadratic
    and s a subgradient of the penalty. What is left is taken in the metric of the splitting: no bound, see `decrement`.

    One compiled call: NumPy's passes took 1.5 × the time.
    """
    n, p = V.shape
    Z, missing, scaled = np.empty((n, p), V.dtype), np.empty((n, p), V.dtype), np.empty(p, V.dtype)
    A = np.zeros((-(-2 * n // tile) * tile if tile else 2 * n, p), V.dtype)
    gained, left, share = np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        shrunk, used = 0.0, 0
        for k in range(p):
            z, before = _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k]), start[j, k]
            Z[j, k], A[j, k], A[n + j, k] = z, z - before, V[j, k] - z
            shrunk += tau[j, k] * (abs(before) - abs(z)) + ridge[j, k] / 2 * (before - z) * (before + z)
            used += z != 0
        gained[j], share[j] = shrunk, used / p
    R = np.dot(A, vectors) if tile else thin_product(A, vectors)
    for j in range(n):
        i, d, u = rows[j], R[j], R[n + j]
        taken = low_rank_row(c[j], GS[i], Y[i], middle[j], d)
        bowed, apart = 0.0, 0.0
        for k in range(p):
            bent = (c[j] * values[k] + lam2[j]) * d[k] - taken[k]
            bowed += d[k] * (pull[j, k] + bent / 2)
            missing[j, k] = pull[j, k] + bent + rho[j] * u[k]
            scaled[k] = missing[j, k] * inverse[j, k]
            apart += missing[j, k] * scaled[k]
        taken = low_rank_row(c[j], GS[i], Y[i], core[j], scaled)
        for k in range(p):
            apart += scaled[k] * taken[k]
        gained[j] -= bowed
        left[j] = apart / 2
    return Z, missing, gained, left, share


def decrement(model: LocalModel, missing: np.ndarray) -> np.ndarray:
    """½mᵀB⁻¹m, shape (n_neurons,): a bound on what the models can still decrease.

    A penalty lies above its subgradients, so the model lies nowhere further below than the quadratic with gradient m
    does. In the metric B + ρ of the splitting that is no bound along directions with less curvature than ρ.

    Parameters
    ----------
    missing : ndarray, shape (n_neurons, n_features)
        m, in the eigenbasis of G.
    """
    kind = missing.dtype
    inverse, core = resolvent(model, (LEAST_CURVATURE[kind.itemsize] * model.c * model.values[-1]).astype(kind))
    scaled = missing * inverse
    return 0.5 * (_dot(missing, scaled) + _dot(scaled, model.low_rank(core, scaled)))


def resolvent(model: LocalModel, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1/(cΛ + λ₂ + ρ), and per neuron the small inverse that the curvature pairs add to it (Woodbury)."""
    inverse = 1 / (np.outer(model.c, model.values) + (model.lam2 + rho)[:, None])
    return inverse, model.inverses(inverse)


def _first_rho(model: LocalModel, W: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """Curvature that a norm has over the length of the weights, or of a first step where there are none."""
    tiny = np.finfo(W.dtype).tiny
    length = np.sqrt(_dot(W, W) / np.maximum((W != 0).sum(axis=1), 1))
    step = np.abs(grad).max(axis=1) / np.maximum(model.c * model.values.mean(), tiny)
    length = np.where(length > 0, length, np.maximum(step, tiny))
    # a force over a length, and a curvature: both have the unit of the latter
    return np.maximum(model.tau.mean(axis=1) / length, 1e-6 * model.c * model.values[-1])


def _dot(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Σ_k a_k b_k, row by row."""
    return np.einsum("ij,ij->i", A, B)

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

from typing import NamedTuple

import numpy as np

from popglm.engines.numpy_engine import TILE
from popglm.solve.compiled.compiling import compiled, inner_compiled
from popglm.solve.curvature.compact import from_axes_inner, low_rank_row, row_dots, thin_product, to_axes_inner
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.step_solvers.extrapolation import empty_past, extrapolate

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
#: Newton steps for what the norm of a group leaves of it, at most.
MAX_SHARES = 40
#: Kept away from zero: squares of norms, in float64.
TINY = 1e-300


class _Split(NamedTuple):
    """What one ρ makes of the models of some neurons, all in the eigenbasis of G but w.

    Attributes
    ----------
    inverse : ndarray, shape (n_neurons, n_features)
    core : ndarray, shape (n_neurons, 2 * memory, 2 * memory)
        See `resolvent`.
    pull : ndarray, shape (n_neurons, n_features)
        Gradient of the quadratic at w.
    start : ndarray, shape (n_neurons, n_features)
        w.
    rho : ndarray, shape (n_neurons,)
    ridge : ndarray, shape (n_neurons, n_features)
    """

    inverse: np.ndarray
    core: np.ndarray
    pull: np.ndarray
    start: np.ndarray
    rho: np.ndarray
    ridge: np.ndarray

    def take(self, index: np.ndarray) -> _Split:
        """Those of some neurons."""
        return _Split(*(array[index] for array in self))


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
        Decrease of the model, and what it can still decrease: a bound where both are no more than ``most``. The latter
        is NaN where rounding has made B indefinite.
    rho : ndarray, shape (n_neurons,)
        For the next time.
    """
    kind = W.dtype
    ridge = np.zeros_like(W) if ridge is None else ridge
    most = np.zeros(len(W)) if most is None else most
    force = grad + model.lam2[:, None] * W
    top = model.c * model.spectra[:, -1]
    least = (LEAST_RHO[kind.itemsize] * top).astype(kind)
    rho = np.maximum(np.where(rho > 0, rho, _first_rho(model, W, grad)), least).astype(kind)
    out_Z, out_gained, out_left, out_rho = W.copy(), np.zeros(len(W)), np.zeros(len(W)), rho.copy()
    own, todo, beside = model, np.arange(len(W)), model.groups_and_bounds
    # x minimises the quadratic and z the penalty; the multiplier ρu is a subgradient of that, and starts as one that
    # is nearly in balance with the gradient, which saves iterations
    tau = model.tau[:, : W.shape[1]]
    held = np.where(W != 0, tau * np.sign(W) + ridge * W, np.clip(-force, -tau, tau))
    if model.lower.size:
        # what presses a weight against its bound is in balance, however large
        held = np.where(model.upper <= W, np.maximum(held, -force), held)
        held = np.where(model.lower >= W, np.minimum(held, -force), held)
    V = W + held / rho[:, None]
    past = empty_past(len(W), W.shape[1], kind)
    split = _Split(*resolvent(model, rho), model.to_axes(force), W, rho, ridge)
    for _ in range(MAX_ROUNDS):
        tile = 0 if model.product is thin_product or len(todo) <= FEW else TILE[kind.itemsize]
        arrays = own.arrays
        primal, dual = _iterate(PERIOD, tile, arrays, split, V, past, beside)
        Z, missing, gained, left, share = _look(tile, arrays, split, V, beside)
        # residual balancing (Boyd et al. 2011, § 3.4.1), in relative terms (Wohlberg 2017)
        factor = np.clip((1 + BALANCE * share) * np.sqrt(np.sqrt(primal / np.maximum(dual, TINY))), 0.2, 5).astype(kind)
        go = left > ACCURACY * gained + np.finfo(kind).eps * row_dots(own.tau[:, : W.shape[1]], np.abs(split.start))
        told = np.flatnonzero(~go & (gained + left <= most))
        if len(told):
            left[told] = decrement(own.take(told), missing[told])
            go[told] = gained[told] + left[told] > most[told]
        # rounding has made such a B indefinite: its model has no minimum, and what was gained there says nothing
        left[left < 0] = np.nan
        out_Z[todo], out_gained[todo], out_left[todo], out_rho[todo] = Z, gained, left, split.rho * factor
        if not go.any():
            break
        if not go.all():
            own, split, past, todo = own.take(go), split.take(go), past.take(go), todo[go]
            beside = own.groups_and_bounds
            V, Z, most, factor = (a[go] for a in (V, Z, most, factor))
        factor = np.maximum(factor, least[todo] / split.rho)
        far = (factor > FAR) | (factor < 1 / FAR)
        if far.any():
            split.rho[far] *= factor[far]
            V[far] = Z[far] + (V[far] - Z[far]) / factor[far, None]
            for array in past:
                array[far] = 0
            split.inverse[far], split.core[far] = resolvent(own.take(far), split.rho[far])
    return out_Z - W, np.maximum(out_gained, 0), out_left, out_rho


@inner_compiled
def _shrink(v, rho, tau, ridge):
    """argmin_z τ|z| + ridge/2 z² + ρ/2 (z − v)²."""
    threshold = tau / rho
    return (v - min(max(v, -threshold), threshold)) * (rho / (rho + ridge))


@inner_compiled
def _hold(z, beside, j, k):
    """The weight z of neuron j in column k, at its bound where it is beyond it."""
    if beside is None:
        return z
    return min(max(z, beside.lower[j, k]), beside.upper[j, k]) if beside.lower.shape[1] > 0 else z


@inner_compiled
def _room(z, beside, j, k):
    """How far the weight of neuron j in column k may go on the side of z."""
    if beside.lower.shape[1] == 0:
        return np.inf
    return beside.upper[j, k] if z > 0 else -beside.lower[j, k]


@inner_compiled
def _keep_shares(v, j, rho, penalty, beside, keep):
    """What norms of groups leave of the columns of neuron j that `_shrink` has shrunk, into ``keep``.

    That is 1 − strength/norm, with the norm of what a group has within its bounds over what is left: the root of a
    falling function, by Newton's method between two bounds, from that without bounds.
    """
    (tau, ridge), starts, p = penalty, beside.starts, len(v)
    for b in range(len(starts) - 1):
        lo, hi, square = starts[b], starts[b + 1], 0.0
        strength = tau[p + b] / (rho + ridge[lo])
        for k in range(lo, hi):
            z = _shrink(v[k], rho, tau[k], ridge[k])
            square += z**2 if _room(z, beside, j, k) > 0 else 0.0
        low, high = 0.0, 1 - strength / np.sqrt(square) if square > strength**2 else 0.0
        share = high
        for i in range(MAX_SHARES if beside.lower.shape[1] > 0 else 0):
            free, stopped = 0.0, 0.0
            for k in range(lo, hi):
                z = _shrink(v[k], rho, tau[k], ridge[k])
                room = _room(z, beside, j, k)
                if share * abs(z) <= room:
                    free += z**2
                else:
                    stopped += room**2
            if share == 0.0 or (i == 0 and stopped == 0.0):
                break
            norm = np.sqrt(free + stopped / share**2)
            over = norm * (1 - share) - strength
            if over > 0:
                low = share
            else:
                high = share
            then = share + over / (norm + (1 - share) * stopped / (share**3 * norm))
            if not low < then < high:
                then = (low + high) / 2
            moved, share = abs(then - share), then
            if moved <= 4 * np.finfo(v.dtype).eps * share:
                break
        for k in range(lo, hi):
            keep[k] = share


@compiled
def _iterate(n_times, tile, model, split, V, past, beside):
    """Iterations of the splitting; V = z + u and the past of `extrapolate` change.

    Returns ‖x − z‖² / ‖x‖² and ‖Δz‖² / ‖u‖² of the last one. One compiled call for all of them: twenty of NumPy's in
    each took 1.5 × the time, and workers waited for each other. Without groups and bounds ``beside`` is None, and the
    compiler leaves out what is for them.
    """
    _, vectors, transposed, slots, c, _, tau, rows, pairs, _ = model
    inverse, core, pull, start, rho, ridge = split
    differences, gram, held = past
    n, p = V.shape
    A, mapped = np.zeros((-(-n // tile) * tile if tile else n, p), V.dtype), np.empty(p, V.dtype)
    before, after = np.ones(p, V.dtype), np.ones(p, V.dtype)
    primal, dual = np.zeros(n), np.zeros(n)
    for left in range(n_times - 1, -1, -1):
        for j in range(n):
            if beside is not None:
                _keep_shares(V[j], j, rho[j], (tau[j], ridge[j]), beside, before)
            for k in range(p):
                z = _hold(before[k] * _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k]), beside, j, k)
                A[j, k] = 2 * z - V[j, k] - start[j, k]
        R = to_axes_inner(A, vectors, slots, tile)
        for j in range(n):
            for k in range(p):
                R[j, k] = (rho[j] * R[j, k] - pull[j, k]) * inverse[j, k]
            i = rows[j]
            n_pairs = min(pairs.kept[i], pairs.GS.shape[1])
            if n_pairs > 0:
                added = low_rank_row(c[j], n_pairs, pairs.GS[i], pairs.Y[i], core[j], R[j])
                for k in range(p):
                    R[j, k] += inverse[j, k] * added[k]
        X = from_axes_inner(R, vectors, transposed, slots, tile)
        for j in range(n):
            if beside is not None:
                _keep_shares(V[j], j, rho[j], (tau[j], ridge[j]), beside, before)
            for k in range(p):
                z = _hold(before[k] * _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k]), beside, j, k)
                mapped[k] = RELAXATION * (start[j, k] + X[j, k] - z) + V[j, k]
            if left == 0:
                if beside is not None:
                    _keep_shares(mapped, j, rho[j], (tau[j], ridge[j]), beside, after)
                apart, moved, xx, uu = 0.0, 0.0, TINY, TINY
                for k in range(p):
                    x, v = start[j, k] + X[j, k], mapped[k]
                    z_before = _hold(before[k] * _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k]), beside, j, k)
                    z = _hold(after[k] * _shrink(v, rho[j], tau[j, k], ridge[j, k]), beside, j, k)
                    u = v - z
                    apart += (x - z) ** 2
                    moved += (z - z_before) ** 2
                    xx += x * x
                    uu += u * u
                primal[j], dual[j] = apart / xx, moved / uu
            extrapolate(V[j], mapped, differences[j], gram[j], held[j], left > 0)
            held[j] += 1
    return primal, dual


@compiled
def _look(tile, model, split, V, beside):
    """z, what is missing there, the decrease of the model, what it can still decrease, and the share of weights in use.

    What is missing to a stationary point, in the eigenbasis of G, is m = q + s, with q the gradient of the quadratic
    and s a subgradient of the penalty. What is left is taken in the metric of the splitting: no bound, see `decrement`.

    One compiled call: NumPy's passes took 1.5 × the time.
    """
    values, vectors, _, slots, c, lam2, tau, rows, pairs, middle = model
    inverse, core, pull, start, rho, ridge = split
    n, p = V.shape
    Z, missing, scaled = np.empty((n, p), V.dtype), np.empty((n, p), V.dtype), np.empty(p, V.dtype)
    keep = np.ones(p, V.dtype)
    A = np.zeros((-(-2 * n // tile) * tile if tile else 2 * n, p), V.dtype)
    gained, left, share = np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        shrunk, used = 0.0, 0
        if beside is not None:
            _keep_shares(V[j], j, rho[j], (tau[j], ridge[j]), beside, keep)
        for k in range(p):
            z = _hold(keep[k] * _shrink(V[j, k], rho[j], tau[j, k], ridge[j, k]), beside, j, k)
            before = start[j, k]
            Z[j, k], A[j, k], A[n + j, k] = z, z - before, V[j, k] - z
            shrunk += tau[j, k] * (abs(before) - abs(z)) + ridge[j, k] / 2 * (before - z) * (before + z)
            used += z != 0
        if beside is not None:
            shrunk += _fallen(start[j], Z[j], tau[j], beside.starts)
        gained[j], share[j] = shrunk, used / p
    R = to_axes_inner(A, vectors, slots, tile)
    for j in range(n):
        i, d, u, own = rows[j], R[j], R[n + j], values[slots[j]]
        held = min(pairs.kept[i], pairs.GS.shape[1])
        corrected = low_rank_row(c[j], held, pairs.GS[i], pairs.Y[i], middle[j], d)
        quadratic, square = 0.0, 0.0
        for k in range(p):
            Bd = (c[j] * own[k] + lam2[j]) * d[k] - corrected[k]
            quadratic += d[k] * (pull[j, k] + Bd / 2)
            missing[j, k] = pull[j, k] + Bd + rho[j] * u[k]
            scaled[k] = missing[j, k] * inverse[j, k]
            square += missing[j, k] * scaled[k]
        added = low_rank_row(c[j], held, pairs.GS[i], pairs.Y[i], core[j], scaled)
        for k in range(p):
            square += scaled[k] * added[k]
        gained[j] -= quadratic
        left[j] = square / 2
    return Z, missing, gained, left, share


@inner_compiled
def _fallen(before, after, tau, starts):
    """By how much the norms of groups fall."""
    total, p = 0.0, len(before)
    for b in range(len(starts) - 1):
        square_before, square_after = 0.0, 0.0
        for k in range(starts[b], starts[b + 1]):
            square_before += before[k] ** 2
            square_after += after[k] ** 2
        total += tau[p + b] * (np.sqrt(square_before) - np.sqrt(square_after))
    return total


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
    inverse, core = resolvent(model, (LEAST_CURVATURE[kind.itemsize] * model.c * model.spectra[:, -1]).astype(kind))
    scaled = missing * inverse
    return 0.5 * (row_dots(missing, scaled) + row_dots(scaled, model.low_rank(core, scaled)))


def resolvent(model: LocalModel, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1/(cΛ + λ₂ + ρ), and per neuron the small inverse that the curvature pairs add to it (Woodbury)."""
    inverse = 1 / (model.c[:, None] * model.spectra + (model.lam2 + rho)[:, None])
    return inverse, model.inverses(inverse)


def _first_rho(model: LocalModel, W: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """Curvature that a norm has over the length of the weights, or of a first step where there are none."""
    tiny = np.finfo(W.dtype).tiny
    length = np.sqrt(row_dots(W, W) / np.maximum((W != 0).sum(axis=1), 1))
    middle = model.c * model.spectra.mean(axis=1)
    step = np.abs(grad).max(axis=1) / np.maximum(middle, tiny)
    length = np.where(length > 0, length, np.maximum(step, tiny))
    # a force over a length, and a curvature: both have the unit of the latter
    steep = np.where(model.tau.any(axis=1), model.tau.mean(axis=1) / length, middle)
    return np.maximum(steep, 1e-6 * model.c * model.spectra[:, -1])

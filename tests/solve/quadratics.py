"""Penalised quadratic models, and their minimisers by accelerated proximal gradient."""

import numpy as np

MEMORY = 4


def prox(z, tau, sizes):
    out = []
    for v, t in zip(np.split(z, np.cumsum(sizes)[:-1]), tau, strict=True):
        norm = np.linalg.norm(v)
        out.append(v * max(0.0, 1 - t / norm) if norm > 0 else v)
    return np.concatenate(out)


def fista(B, g, w, tau, lam2, sizes):
    """argmin gᵀd + ½dᵀBd + λ₂/2‖w + d‖² + Σ τ_b‖w_b + d_b‖, restarted where the momentum points uphill."""
    A = B + lam2 * np.eye(len(B))
    L = np.linalg.eigvalsh(A)[-1]
    linear = g - B @ w  # in z = w + d
    z, v, t = w.copy(), w.copy(), 1.0
    for _ in range(20000):
        new = prox(v - (A @ v + linear) / L, tau / L, sizes)
        moved = np.abs(new - v).max()
        t = 1.0 if (v - new) @ (new - z) > 0 else t
        faster = (1 + np.sqrt(1 + 4 * t * t)) / 2
        v, z, t = new + (t - 1) / faster * (new - z), new, faster
        if moved < 1e-13:
            break
    return z - w


def curvature(rng, G, c, n_pairs):
    """A ring of curvature pairs of a Hessian unlike cG, and the BFGS matrix they make of cG."""
    p = len(G)
    H = G * 1.3 + np.diag(rng.uniform(0, 1, p))
    S, Y, B = np.zeros((MEMORY, p)), np.zeros((MEMORY, p)), c * G
    pairs = [(s, H @ s) for s in rng.standard_normal((n_pairs, p))]
    for i, (s, y) in enumerate(pairs):
        S[i % MEMORY], Y[i % MEMORY] = s, y
    for s, y in pairs[-MEMORY:]:
        # Nocedal & Wright 2006, eq. 6.19, oldest pair first
        B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (y @ s)
    return S, Y, B

"""A small network that is driven by two latent signals, and what says that a fit of low rank is at its minimum."""

import warnings

import numpy as np
import pandas as pd

import popglm as pg

N, Q = 1200, 8
NAMES = [f"n{j}" for j in range(Q)]
TRIAL = np.arange(N) // 40
#: How neurons enter the two latent signals, and follow them.
OUT = np.array([[1, 1, -1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, -1.0]]).T
IN = np.array([[0, 0, 0, 0.4, 0.4, 0.4, 0, 0], [0.3, 0, 0.3, 0, 0, 0, -0.4, 0]]).T


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


def network(n=N, own=-0.8, seed=0):
    """Counts of neurons that hold themselves down and hear two latent signals; trials begin from silence."""
    rng = np.random.default_rng(seed)
    W = OUT @ IN.T
    W[np.diag_indices(Q)] = own
    counts = np.zeros((n, Q))
    for t in range(n):
        past = counts[t - 1] if t % 40 else np.zeros(Q)
        counts[t] = rng.poisson(np.exp(np.clip(-1.0 + past @ W, None, 1.5)))
    return pd.DataFrame(counts, columns=NAMES)


BASIS = pg.bumps("lag", n=2, low=1, high=2, width=2)


def coupled(counts, *more, **settings):
    """X of all couplings, and of more terms, and its design."""
    design = pg.Design([*pg.coupling(counts.columns, BASIS), *more], **settings)
    return design.fit_transform(counts), design


def conditions(model, X, Y, s=None, offset=None):
    """What Karush, Kuhn and Tucker ask of a Poisson fit, from the weights of the model alone, in units of λ or of 1.

    Returns the largest singular value of the gradient over λ; by how much it misses −λ along the factors, over λ; the
    largest slope in a free weight; and that in an intercept.
    """
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    s = np.ones(Y.shape) if s is None else np.broadcast_to(s.reshape(len(X), -1), Y.shape)
    s = np.where(np.isnan(Y), 0.0, s)
    eta = X @ model.coef_.T.astype(float) + model.intercept_ + (0.0 if offset is None else offset[:, None])
    r = s * (np.exp(eta) - np.nan_to_num(Y)) / s.sum(axis=0)
    G = X.T @ r
    low = model.low_rank_features_
    U, V, size = model.source_loadings_.to_numpy(), model.target_loadings_.to_numpy(), model.singular_values_
    part = (U * size) @ V.T
    mask = np.ones(G.shape, bool) if model.feature_mask_ is None else model.feature_mask_
    is_low = np.zeros(G.shape, bool)
    is_low[low] = np.isclose(model.coef_.T[low], part, atol=1e-6) & mask[low]
    forces = np.where(is_low, G, 0.0)[low]
    lam = float(model.lambda_[0])
    free = np.where(mask & ~is_low, G + model.ridge_ * model.coef_.T, 0.0)
    along = max(np.abs(forces @ V + lam * U).max(initial=0), np.abs(forces.T @ U + lam * V).max(initial=0))
    return np.linalg.norm(forces, 2) / lam, along / lam, np.abs(free).max(), np.abs(r.sum(axis=0)).max()

"""Gradients from random rows, for optimisers that take many small steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.passes.samples import Points, Samples
from popglm.solve.passes.window_passes import residuals

__all__ = ["sampled_gradient"]


def sampled_gradient(
    rows: Any, columns: np.ndarray, W: np.ndarray, b: np.ndarray, size: int, rng: np.random.Generator
) -> Evaluation:
    """Gradient of a `RowObjective` from ``size`` random rows, with one Newton step of the intercept.

    The columns are of one fit.
    """
    engine, n = rows.engine, len(columns)
    fits, neurons = np.divmod(columns, len(rows.Y))
    counted = np.concatenate([np.arange(first, last) for first, last in rows.fits[fits[0]]])
    pick = np.sort(rng.choice(counted, min(size, len(counted)), replace=False))
    w = W.astype(engine.dtype)
    if engine.window is not None:
        w = engine.pad(w)
    used = np.concatenate([np.arange(n), np.full(len(w) - n, n - 1)])
    s = np.ones(len(pick), engine.dtype) if rows.weights is None else rows.weights[..., pick]
    s = np.broadcast_to(s if s.ndim == 1 else s[neurons], (n, len(pick)))
    offset = None if rows.offset is None else engine.asarray(rows.offset[pick])
    x, y, s_used = map(engine.asarray, (rows.X[pick], rows.Y[np.ix_(neurons, pick)][used], s[used]))
    with np.errstate(all="ignore"):
        compiled = engine.compile(residuals, type(engine), rows.loss)
        points = Points(None, engine.asarray(w), engine.asarray(b[used]), rows.theta(columns[used]))
        out = compiled(Samples(x, y, s_used, offset), points)
    r, h, RX = (engine.to_numpy(v)[:n] for v in out)
    total = np.maximum(s.sum(axis=1, dtype=float), np.finfo(float).tiny)
    curvature = h.sum(axis=1, dtype=float) / total
    if rows.fit_intercept:
        # a tenth of the Newton step: the sample's own best intercept is noisy
        step = r.sum(axis=1, dtype=float) / total / np.maximum(curvature, 1e-12)
        b = b - 0.1 * np.clip(step, -2, 2)
    grad = np.asarray(RX, float) / total[:, None]
    zero = np.zeros(len(W))
    return Evaluation(zero, b, np.nan_to_num(grad), curvature, zero, zero, zero == 0, zero)

"""Paths of weights as lists, one entry per strength."""

from __future__ import annotations

import numpy as np

__all__ = ["at_strengths", "series_of"]


def series_of(coef_path: np.ndarray, intercept_path: np.ndarray) -> list[list[np.ndarray]]:
    """[w0 (1, n_responses), w (n_features, n_responses)] of every strength."""
    return [[b[None], w.T] for w, b in zip(coef_path, intercept_path, strict=True)]


def at_strengths(series: list[list[np.ndarray]], index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n_features, n_responses) and intercepts (n_responses,) of response j at strength ``index[j]``."""
    w = np.stack([series[k][1][:, j] for j, k in enumerate(index)], axis=1)
    return w, np.array([series[k][0][0, j] for j, k in enumerate(index)])

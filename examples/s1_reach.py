"""Reaching, area 2 of somatosensory cortex: hand position, velocity and speed against a plain rate map.

Usage: ``python examples/s1_reach.py PATH``, where PATH is an .npz file with the arrays ``counts`` (n_samples,
n_units), ``hand_pos`` (cm), ``hand_vel`` (cm/s), both (n_samples, 2), and ``bin_s`` (s): the recording of macaque
S1 in https://github.com/KordingLab/spykesML, of Benjamin et al., Front. Comput. Neurosci. 12:56 (2018).

Every unit is predicted out of sample, in five folds of contiguous blocks, by a Poisson group-lasso GLM and by a
map of 8 movement directions × 3 speeds. Folds of the GLM choose its strengths without their test samples.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rate_map import (
    N_FOLDS,
    contiguous_blocks,
    deviance_explained,
    glm_held_out,
    rate_map_held_out,
    summarize,
)

import popglm as pg

LAGS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # s; positive: the movement came first


def main(path: str | Path) -> pd.DataFrame:
    """Fit, compare and print; return the held-out fraction deviance explained of every unit.

    Parameters
    ----------
    path : path-like
        The recording.

    Returns
    -------
    DataFrame, shape (n_units, 2)
        Columns "GLM" and "rate map".
    """
    recording = np.load(path)
    counts = recording["counts"].astype(float)
    (x, y), (vx, vy) = recording["hand_pos"].T, recording["hand_vel"].T
    speed = np.hypot(vx, vy)
    blocks = contiguous_blocks(len(counts))

    session = {"x": x, "y": y, "vx": vx, "vy": vy, "speed": speed, "block": blocks}
    glm = glm_held_out(reach_design(float(recording["bin_s"])), session, counts, blocks)
    bins = direction_and_speed_bins(vx, vy, speed)
    rate_map = rate_map_held_out(bins, counts, blocks % N_FOLDS, prior=1)

    table = pd.DataFrame(
        {"GLM": deviance_explained(counts, glm), "rate map": deviance_explained(counts, rate_map)},
        index=pd.RangeIndex(counts.shape[1], name="unit"),
    )
    print(f"S1, reaching: {len(table)} units, {len(counts):,} samples")
    summarize(table)
    return table


def reach_design(dt: float) -> pg.Design:
    """Splines of hand position, and of velocity and speed at lags that do not cross into another block."""
    position = (pg.splines(name, n=6, quantiles=True) for name in ("x", "y"))
    movement = (pg.shifts(pg.splines(name, n=5, quantiles=True), lags=LAGS, dt=dt) for name in ("vx", "vy", "speed"))
    return pg.Design([*position, *movement], trial="block")


def direction_and_speed_bins(vx: np.ndarray, vy: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Number of the bin of every sample: 8 directions × thirds of the speeds."""
    direction = ((np.arctan2(vy, vx) + np.pi) / (2 * np.pi) * 8).astype(int) % 8
    return 3 * direction + np.digitize(speed, np.quantile(speed, [1 / 3, 2 / 3]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

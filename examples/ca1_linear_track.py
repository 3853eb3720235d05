"""Place cells on a linear track: position × running direction against a plain rate map of the camera image.

Usage: ``python examples/ca1_linear_track.py PATH``, where PATH is an .npz file with the arrays ``counts``
(n_samples, n_units), ``x_px``, ``y_px`` (camera pixels), ``time_s`` and ``bin_s`` (s): tetrode recordings of
rat CA1 from https://github.com/nelpy/example-data (linear-track), binned.

Every unit is predicted out of sample, in five folds of contiguous blocks, by a Poisson group-lasso GLM and by a
map of 10 × 10 bins of the camera image. Folds of the GLM choose its strengths without their test samples.
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
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA

import popglm as pg

RUN_SECONDS = 1000  # afterwards the animal rests, and its position is a constant
SLOW = 20.0  # px/s along the track: below it, the animal runs in neither direction
SMOOTHING = 0.25  # s, standard deviation of the Gaussian that smooths velocities
LEAST_SPIKES = 100  # of a unit in the run that can be judged out of sample


def main(path: str | Path) -> pd.DataFrame:
    """Fit, compare and print; return the held-out fraction deviance explained of every unit.

    Parameters
    ----------
    path : path-like
        The recording.

    Returns
    -------
    DataFrame, shape (n_units, 3)
        Columns "GLM", "rate map" and "spikes" of the units with at least 100 spikes in the run.
    """
    recording = np.load(path)
    run = recording["time_s"] < recording["time_s"][0] + RUN_SECONDS
    counts = recording["counts"][run].astype(float)
    units = np.flatnonzero(counts.sum(axis=0) >= LEAST_SPIKES)
    counts = counts[:, units]
    place = np.column_stack([recording["x_px"], recording["y_px"]])[run].astype(float)
    dt = float(recording["bin_s"])
    blocks = contiguous_blocks(len(counts))

    session = behavior(place, dt)
    design = linear_track_design(session["position"])
    glm = glm_held_out(design, session, counts, blocks)
    # a second of the mean rate in every bin; less makes the map worse
    rate_map = rate_map_held_out(camera_bins(place), counts, blocks % N_FOLDS, prior=1 / dt)

    table = pd.DataFrame(
        {
            "GLM": deviance_explained(counts, glm),
            "rate map": deviance_explained(counts, rate_map),
            "spikes": counts.sum(axis=0).astype(int),
        },
        index=pd.Index(units, name="unit"),
    )
    print(f"CA1, linear track: {len(units)} units with {LEAST_SPIKES} spikes or more, {len(counts):,} samples")
    summarize(table)
    return table


def behavior(place: np.ndarray, dt: float) -> dict[str, np.ndarray]:
    """Position along and beside the track (px), whether the animal runs up or down, and its log speed.

    The track is the first principal component of the pixels that were visited, each counted once, so that the
    long stops at its ends do not turn it.
    """
    track = PCA(2).fit(np.unique(place.round(), axis=0))
    along, beside = track.transform(place).T
    velocity = gaussian_filter1d(np.gradient(along, dt), SMOOTHING / dt)
    speed = gaussian_filter1d(np.hypot(*np.gradient(place, dt, axis=0).T), SMOOTHING / dt)
    return {
        "position": along,
        "beside": beside,
        "up": (velocity > SLOW).astype(float),
        "down": (velocity < -SLOW).astype(float),
        "speed": np.log1p(speed),
    }


def linear_track_design(along: np.ndarray) -> pg.Design:
    """Position bumps at rest and in either running direction; speed; distance to the middle of the track."""
    low, high = np.quantile(along, [0.01, 0.99])
    position = pg.bumps("position", n=20, low=low, high=high)
    return pg.Design(
        [
            *(position, position * "up", position * "down"),
            pg.splines("speed", n=5, quantiles=True),
            pg.splines("beside", n=6, quantiles=True),
        ]
    )


def camera_bins(place: np.ndarray) -> np.ndarray:
    """Number of the bin of every sample in a 10 × 10 grid over the camera image."""
    column, row = (np.digitize(xy, np.linspace(xy.min(), xy.max(), 11)[1:-1]) for xy in place.T)
    return 10 * column + row


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

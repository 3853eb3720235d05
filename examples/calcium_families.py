"""Which family serves which calcium signal: held-out predictions of several families side by side.

Usage: ``python examples/calcium_families.py [PATH]``. Without a path, signals are simulated whose true rate is known:
spike counts, deconvolved activity (counts times random amplitudes), and dF/F (counts filtered by the indicator's decay,
plus noise). PATH is an .npz file with the arrays ``activity`` (n_samples, n_neurons; deconvolved), ``song_spectrogram``
(n_song_samples, n_frequencies), ``video_fs`` and ``song_fs``: singing birds of Mackevicius, Bahle et al. (2019), eLife
8:e38471.

Deviances of different families cannot be compared, so all are judged by what does not belong to any of them: the
correlation of the held-out prediction with the true rate, or with the activity where there is no truth.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from scipy.signal import lfilter

import popglm as pg

FAMILIES = {
    "gaussian, identity": {"family": "gaussian"},
    "poisson, softplus": {"family": "poisson", "inverse_link": "softplus"},
    "poisson, exp": {"family": "poisson"},
    "tweedie 1.2": {"family": "tweedie", "power": 1.2},
    "tweedie 1.5": {"family": "tweedie", "power": 1.5},
}
DECAY = 0.9  # of the indicator, per sample
NOISE = 1.0  # of dF/F, in the size of one spike
N_BANDS, LAGS = 8, range(5)  # of the song: frequency bands, and samples of the video back in time


def main(path: str | None = None) -> pd.DataFrame:
    """Fit, print and return the median over neurons of the held-out correlation, by signal and family."""
    table = recorded(path) if path else simulated()
    print(table.round(3).to_string())
    return table


def simulated() -> pd.DataFrame:
    """Correlation of held-out predictions with the true rate (filtered for dF/F); then of slow noise, by folds."""
    rng = np.random.default_rng(0)
    session = pg.maze_session(n_samples=4_000, n_neurons=20, n_task_variables=1, seed=1)
    rate = session.truth.rate.to_numpy()
    counts = rng.poisson(rate).astype(float)
    amplitude = rng.gamma(4, 1 / 4, counts.shape)
    filtered = lfilter([1], [1, -DECAY], counts, axis=0)
    signals = {
        "spike counts": (counts, rate),
        "deconvolved": (counts * amplitude, rate),
        "dF/F": (
            filtered + NOISE * rng.normal(size=counts.shape),
            lfilter([1], [1, -DECAY], rate, axis=0),
        ),
    }
    X = pg.maze_design(1).fit_transform(session.behavior)
    trial = session.behavior["trial"].to_numpy()
    rows = {}
    for name, (activity, truth) in signals.items():
        rows[name] = {family: correlation(held_out(X, activity, trial, family), truth) for family in FAMILIES}
    # slow signals, with a memory of about 100 samples, against a clock: what folds of short blocks know of each other
    slow = lfilter([1], [1, -0.99], rng.normal(size=(4_000, 20)), axis=0)
    clock = pg.Design([pg.bumps("time", n=60, low=0, high=4_000)]).fit_transform({"time": np.arange(4_000.0)})
    in_time = np.arange(4_000)
    folds = {"single samples": rng.permutation(4_000), "blocks of 100": in_time // 100, "blocks of 800": in_time // 800}
    for name, groups in folds.items():
        rows[f"unrelated, {name}"] = {
            "gaussian, identity": correlation(held_out(clock, slow, groups, "gaussian, identity"), slow)
        }
    return pd.DataFrame(rows).T


def recorded(path: str) -> pd.DataFrame:
    """Correlation of held-out predictions with deconvolved activity, and with the activity in other units."""
    recording = np.load(path)
    activity = recording["activity"].astype(float)
    activity = activity[:, activity.sum(axis=0) > 0]
    frame = np.arange(len(activity)) / float(recording["video_fs"]) * float(recording["song_fs"])
    song = recording["song_spectrogram"].astype(float)
    song = song[np.clip(frame.round().astype(int), 0, len(song) - 1)]
    bands = {f"band{k}": part.mean(axis=1) for k, part in enumerate(np.array_split(song, N_BANDS, axis=1))}
    X = pg.Design([pg.shifts(name, LAGS) for name in bands]).fit_transform(bands)
    block = np.arange(len(activity)) // 30  # whole seconds
    scales = {"as it is": activity, "× 1000": 1000 * activity}
    return pd.DataFrame(
        {
            name: {family: correlation(held_out(X, values, block, family), values) for family in FAMILIES}
            for name, values in scales.items()
        }
    ).T


def held_out(X: pd.DataFrame, activity: np.ndarray, groups: np.ndarray, family: str) -> np.ndarray:
    """Predictions of every sample by the fold that did not see it."""
    model = pg.GLMCV(penalty="group_lasso", n_lambdas=8, lambda_min_ratio=1e-2, tol=1e-3, **FAMILIES[family])
    if "gaussian" not in family:
        activity = np.maximum(activity, 0)  # its mean cannot be negative, nor may the activity
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(X, activity, groups=groups).predict_held_out()


def correlation(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Median over neurons; a constant prediction correlates with nothing."""
    pairs = zip(predicted.T, truth.T, strict=True)
    return float(np.median([np.corrcoef(a, b)[0, 1] if np.ptp(a) > 0 else 0.0 for a, b in pairs]))


if __name__ == "__main__":
    main(*sys.argv[1:2])

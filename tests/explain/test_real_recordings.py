"""Kernels of real recordings: place fields against rate maps, and spectro-temporal receptive fields."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d

import popglm as pg
from popglm.explain import kernels

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / "shared" / "data"


def recording(name):
    path = RECORDINGS / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the recording {name}.npz is not in ../shared/data")
    return np.load(path)


# ---------------------------------------------------------------------------------- place cells on a linear track

LEAST_SAMPLES = 15  # half a second; a map of less is noise


@pytest.fixture
def linear_track(monkeypatch):
    """Position along the track (px) and direction (1 up, −1 down) while the rat runs, and spike counts."""
    data = recording("ca1_lineartrack_nelpy")
    monkeypatch.syspath_prepend(ROOT / "examples")
    spec = importlib.util.spec_from_file_location("ca1_linear_track", ROOT / "examples" / "ca1_linear_track.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    sys.modules.pop("rate_map")  # what the example imports from beside it

    run = data["time_s"] < data["time_s"][0] + example.RUN_SECONDS
    counts = data["counts"][run].astype(float)
    counts = counts[:, counts.sum(axis=0) >= example.LEAST_SPIKES]
    behavior = example.behavior(np.column_stack([data["x_px"], data["y_px"]])[run].astype(float), float(data["bin_s"]))
    direction = behavior["up"] - behavior["down"]
    session = pd.DataFrame({"position": behavior["position"], "direction": direction})
    # fold by turns: 50 contiguous blocks dealt to five folds
    session["fold"] = (np.arange(len(session)) * 50 // len(session)) % 5
    runs = direction != 0
    return session[runs].reset_index(drop=True), counts[runs]


def rate_map(position, counts, centers, smoothing):
    """Spikes over occupancy around every centre, (n_bins, n_neurons), and samples there.

    Both are smoothed by a Gaussian, as is the rule for rate maps, of a standard deviation in bins.
    """
    step = centers[1] - centers[0]
    edges = np.append(centers - step / 2, centers[-1] + step / 2)
    occupancy = np.histogram(position, edges)[0].astype(float)
    spikes = np.column_stack([np.histogram(position, edges, weights=column)[0] for column in counts.T])
    if smoothing:
        spikes = gaussian_filter1d(spikes, smoothing, axis=0, mode="constant")
        return spikes / gaussian_filter1d(occupancy, smoothing, mode="constant")[:, None], occupancy
    return spikes / np.maximum(occupancy, 1)[:, None], occupancy


def correlations(rates, position, counts, centers, smoothing=1.0):
    """Of the rates (n_neurons, n_bins) with the rate map, per neuron, over bins that are visited enough."""
    measured, occupancy = rate_map(position, counts, centers, smoothing)
    visited = occupancy >= LEAST_SAMPLES
    assert visited.sum() > 30
    return np.array([np.corrcoef(a[visited], b[visited])[0, 1] for a, b in zip(rates, measured.T, strict=True)])


def place_model(session, counts, terms_of):
    low, high = session["position"].quantile([0.01, 0.99])
    design = pg.Design(terms_of(pg.bumps("position", n=20, low=low, high=high)))
    X = design.fit_transform(session)
    model = pg.GLMCV(penalty="ridge", lambdas=10.0 ** np.linspace(0, -5, 6), cv=5)
    return kernels(model.fit(X, counts, groups=session["fold"]), design, n_points=40, units={"position": "px"})


def test_place_fields_are_the_rate_map(linear_track):
    session, counts = linear_track
    position = place_model(session, counts, lambda position: [position])["position"]
    rates = (np.exp(position["baseline"]) * position["gain"]).transpose("neuron", "position").values
    session_and_bins = session["position"], counts, position["position"].values
    r = correlations(rates, *session_and_bins)
    print("place fields and rate maps, correlation per neuron:", r.round(3))
    # a flat rate has no correlation: that of cells which no position explains
    assert len(r) == 20
    tuned = np.isfinite(r)
    assert tuned.sum() >= 18
    assert np.median(r[tuned]) > 0.97
    assert (r[tuned] > 0.9).all()
    # against the bare ratio of spikes to occupancy in bins of half the distance between bumps
    bare = correlations(rates, *session_and_bins, smoothing=0)
    print("without smoothing of the map:", bare.round(3))
    assert np.median(bare[tuned]) > 0.9


@pytest.mark.thorough
def test_place_fields_in_either_direction(linear_track):
    session, counts = linear_track

    def terms(position):
        return [position, position * "direction", pg.linear("direction")]

    results = place_model(session, counts, terms)
    product, position = results["position × direction"], results["position"]
    up = product["total"]
    down = 2 * position["kernel"] - up  # what the direction adds changes its sign
    for direction, eta in ((1, up), (-1, down)):
        rates = np.exp(eta + product["baseline"]).values
        here = (session["direction"] == direction).to_numpy()
        fires = counts[here].sum(axis=0) >= 30
        r = correlations(rates[fires], session["position"][here], counts[here][:, fires], product["position"].values)
        print(f"direction {direction:+d}, {len(r)} neurons, correlation:", r.round(3))
        tuned = np.isfinite(r)
        assert tuned.sum() >= len(r) - 1
        assert np.median(r[tuned]) > 0.95
        assert (r[tuned] > 0.8).mean() > 0.9


# ---------------------------------------------------------------------------------- HVC and the bird's own song

N_BANDS = 12
LAGS = np.arange(-4, 5)  # video frames: 133 ms before to 133 ms after


@pytest.fixture(scope="module")
def song():
    """Power of the song in frequency bands, a frame of the video each, and the activity of 75 neurons."""
    data = recording("hvc_songbird_mackevicius")
    activity, fps = data["activity"].astype(float), float(data["video_fs"])
    bands = np.array_split(data["song_spectrogram"].astype(float), N_BANDS, axis=1)
    frame = (np.arange(len(bands[0])) / float(data["song_fs"]) * fps).astype(int)
    power = pd.DataFrame({f"band{k}": band.mean(axis=1) for k, band in enumerate(bands)}).groupby(frame).mean()
    assert len(power) == len(activity)
    design = pg.Design([pg.shifts(band, LAGS / fps, dt=1 / fps) for band in power])
    return design, design.fit_transform(power), activity, np.arange(len(power)) // round(1.1 * fps)


def receptive_fields(model, design):
    """Spectro-temporal receptive fields (neuron, band, lag)."""
    by_band = kernels(model, design)
    bands = pd.Index(range(N_BANDS), name="band")
    fields = xr.concat([dataset["kernel"] for dataset in by_band.values()], dim=bands)
    return fields.transpose("neuron", "band", "lag")


def roughness(fields):
    """Squared second differences over the lag, as a share of the squared field."""
    return (fields.diff("lag", n=2) ** 2).sum(("band", "lag")) / (fields**2).sum(("band", "lag"))


@pytest.mark.thorough
def test_receptive_fields_of_song(song):
    design, X, activity, block = song
    activity = activity[:, 1::2]
    lambdas = 10.0 ** np.linspace(1, -3, 5)

    def fit(smoothness, Y):
        model = pg.GLMCV(penalty="ridge", smoothness=smoothness, lambdas=lambdas, cv=3, tol=1e-3)
        with pytest.warns(pg.PopglmWarning, match="null model"):  # one neuron is silent
            return model.fit(X, Y, groups=block)

    smooth, plain = fit(0.03, activity), fit(0.0, activity)
    assert max(np.nanmax(model.cv_gap_) for model in (smooth, plain)) <= 1e-3
    explained = smooth.cv_deviance_explained_
    beats = (explained > 0).mean()
    print(
        f"smooth: median {np.median(explained):.3f}, {beats:.0%} of neurons beat the null model; "
        f"plain: median {np.median(plain.cv_deviance_explained_):.3f}"
    )
    assert beats > 0.65
    assert np.median(explained) > 0.1

    fields = receptive_fields(smooth, design)
    assert fields.sizes == {"neuron": 37, "band": N_BANDS, "lag": len(LAGS)}
    assert fields["lag"].attrs["units"] == "s"
    np.testing.assert_allclose(fields["lag"], LAGS / 30)
    found = explained > 0
    rough = roughness(fields)[found]
    rough_plain = roughness(receptive_fields(plain, design))[found]
    print(f"roughness: smooth {rough.median().item():.3f}, plain {rough_plain.median().item():.3f}")
    assert (rough < rough_plain).mean() > 0.9

    # the same activity half a session later has nothing to do with the song
    chance = fit(0.03, np.roll(activity, len(activity) // 2, axis=0)).cv_deviance_explained_
    print(f"rolled by half the session: median {np.median(chance):.3f}, {(chance > 0).mean():.0%} beat the null model")
    assert np.median(chance) < 0.05

"""Which family describes which activity: log-likelihood of held-out samples, per sample, in nats.

Usage: ``python benchmarks/likelihoods.py [--data FOLDER] [--samples N] [--neurons Q] [--grid SIZE] [--only NAME]``. It
reads three recordings in FOLDER (../shared/data unless given): ca1_lineartrack_nelpy.npz and s1_reach.npz (spike
counts), and hvc_songbird_mackevicius.npz (deconvolved activity). None of them holds dF/F, so that this is made of the
deconvolved activity: filtered by the decay of an indicator, with noise. Writes docs/family_likelihoods.csv and
docs/images/family_likelihoods.png.

A density and a probability do not compare. So all activity is rounded to a grid, whose steps are one spike, or a
hundredth of the scale of deconvolved activity and of dF/F, and every model says how probable each step is: the
distribution between its edges. The step at 0 has all that is below its upper edge; a Gaussian model has its negative
values there. All probabilities of a model sum to 1, so that any two compare.

Every model has the same columns and folds of contiguous blocks, and a group lasso whose strength it chooses by these.
A sample is scored by the fold that did not see it, with that fold's parameters: of the Gaussian, gamma and Tweedie
families the dispersion of the largest likelihood of the training samples.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.signal import lfilter
from scipy.special import expit, gammainc

import popglm as pg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
from ca1_linear_track import RUN_SECONDS, behavior, linear_track_design  # noqa: E402
from rate_map import contiguous_blocks  # noqa: E402
from s1_reach import reach_design  # noqa: E402

FIT = {"penalty": "group_lasso", "n_lambdas": 8, "lambda_min_ratio": 1e-2, "cv": 5, "tol": 1e-3}
POWERS = (1.2, 1.5)
DECAY, NOISE = 0.9, 0.15  # of the indicator, per frame of 1/30 s; of dF/F, in its own unit
N_BANDS, LAGS = 8, range(5)  # of the song: frequency bands, and frames back in time
MOST_TRAINING = 1500  # samples that a Tweedie dispersion is found from
LEAST_ACTIVE = 25  # samples with activity of a neuron that is judged
LEAST_PROBABILITY = 1e-12  # of a step
FAR = 1e12  # steps beyond which no activity lies
WORST = 0.8  # nats that the picture shows below the Gaussian model

#: Distribution function of the samples of a fold, given one upper edge each.
Below = Callable[[np.ndarray], np.ndarray]


def main(data: Path, n_samples: int, n_neurons: int, grid: float, only: str | None) -> pd.DataFrame:
    """Fit, print, write and draw; returns nats per sample of every neuron."""
    rows = []
    for signal, X, activity, step, blocks in signals(data, n_samples, n_neurons, grid):
        if only is not None and only not in signal:
            continue
        k = np.round(activity / step)
        for family, below in families(X, k, blocks):
            own = np.full(k.shape[1], np.nan) if below is None else log_probabilities(below, k).mean(axis=0)
            rows += [(signal, family, j, value) for j, value in enumerate(own)]
            print(f"{signal:24s} {family:24s} {own.mean():9.4f}", flush=True)
    found = pd.DataFrame(rows, columns=["signal", "family", "neuron", "nats"])
    if only is not None:
        return found
    write(found, ROOT / "docs" / "family_likelihoods.csv")
    draw(found, ROOT / "docs" / "images" / "family_likelihoods.png")
    return found


def signals(
    data: Path, n_samples: int, n_neurons: int, grid: float
) -> Iterator[tuple[str, pd.DataFrame, np.ndarray, float, np.ndarray]]:
    """Name, X, activity (n_samples, n_neurons), step of the grid, and blocks of samples of every recording."""
    ca1 = np.load(data / "ca1_lineartrack_nelpy.npz")
    run = np.flatnonzero(ca1["time_s"] < ca1["time_s"][0] + RUN_SECONDS)[:n_samples]
    session = behavior(np.column_stack([ca1["x_px"], ca1["y_px"]])[run].astype(float), float(ca1["bin_s"]))
    X = linear_track_design(session["position"]).fit_transform(session)
    yield "counts, CA1, 33 ms", X, busiest(ca1["counts"][run], n_neurons), 1.0, contiguous_blocks(len(run))

    s1 = np.load(data / "s1_reach.npz")
    counts, blocks = busiest(s1["counts"][:n_samples], n_neurons), contiguous_blocks(min(n_samples, len(s1["counts"])))
    position, velocity = s1["hand_pos"][:n_samples].T, s1["hand_vel"][:n_samples].T
    session = dict(zip(("x", "y", "vx", "vy"), [*position, *velocity], strict=True))
    session |= {"speed": np.hypot(*velocity), "block": blocks}
    yield "counts, S1, 50 ms", reach_design(float(s1["bin_s"])).fit_transform(session), counts, 1.0, blocks

    hvc = np.load(data / "hvc_songbird_mackevicius.npz")
    activity = busiest(hvc["activity"], n_neurons)
    frame = np.arange(len(activity)) / float(hvc["video_fs"]) * float(hvc["song_fs"])
    song = hvc["song_spectrogram"].astype(float)
    song = song[np.clip(frame.round().astype(int), 0, len(song) - 1)]
    bands = {f"band{b}": part.mean(axis=1) for b, part in enumerate(np.array_split(song, N_BANDS, axis=1))}
    X, blocks = pg.Design([pg.shifts(name, LAGS) for name in bands]).fit_transform(bands), np.arange(len(song)) // 30
    yield "deconvolved, HVC", X, activity, grid, blocks
    clean = lfilter([1], [1, -DECAY], activity, axis=0)
    fluorescence = clean + NOISE * np.random.default_rng(0).standard_normal(clean.shape)
    yield "dF/F, made of HVC", X, fluorescence, grid, blocks
    yield "dF/F cut at 0", X, np.maximum(fluorescence, 0), grid, blocks


def busiest(activity: np.ndarray, n_neurons: int) -> np.ndarray:
    """The neurons that are active in most samples, in float64."""
    active = (activity > 0).sum(axis=0)
    most = np.argsort(-active, kind="stable")[:n_neurons]
    return activity[:, np.sort(most[active[most] >= LEAST_ACTIVE])].astype(float)


def families(X: pd.DataFrame, k: np.ndarray, blocks: np.ndarray) -> Iterator[tuple[str, Below | None]]:
    """Name and distribution function of every model of held-out samples; None where the family refuses the activity."""

    def fitted(family: str, **more: float) -> Fitted:
        return Fitted(quietly(pg.GLMCV(family, **FIT, **more), X, k, blocks), X)

    yield "Gaussian", gaussian(fitted("gaussian"), k)
    signed = (k < 0).any()
    yield "censored Gaussian", None if signed else censored_gaussian(fitted("censored_gaussian"))
    yield "Poisson", None if signed else poisson(fitted("poisson"))
    yield "negative binomial", None if signed else negative_binomial(fitted("negative_binomial"))
    for power in POWERS:
        yield f"Tweedie {power}", None if signed else tweedie(fitted("tweedie", power=power), k, power)
    yield "gamma", None if (k <= 0).any() else gamma(fitted("gamma"), k)
    for name, family in (("zero-inflated gamma", "gamma"), ("zero-inflated log-normal", "gaussian")):
        two = None if signed else quietly(pg.TwoPartGLM(pg.GLMCV(family, **FIT)), X, k, blocks)
        yield name, None if two is None else two_parts(two, X)


def quietly(model: Any, X: pd.DataFrame, k: np.ndarray, blocks: np.ndarray) -> Any:
    """A fitted model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(X, k, groups=blocks)


class Fitted:
    """A cross-validated model with the linear predictors of all folds.

    Attributes
    ----------
    fold : ndarray of int, shape (n_samples,)
        That holds a sample out.
    every : ndarray, shape (n_folds, n_samples, n_neurons)
    held : ndarray, shape (n_samples, n_neurons)
        Of that fold.
    """

    def __init__(self, model: pg.GLMCV, X: pd.DataFrame) -> None:
        weights = zip(model.cv_coef_, model.cv_intercept_, strict=True)
        self.fold, self.model = model.fold_, model
        self.every = np.stack([X.to_numpy(float) @ w.T + b for w, b in weights])
        self.held = self.every[self.fold, np.arange(len(X))]

    def parameter(self, name: str) -> np.ndarray:
        """A parameter of the family, for every sample that of its fold."""
        return self.model.cv_family_parameters_[name][self.fold]

    def dispersion(self, of: Callable[[np.ndarray, np.ndarray], float], k: np.ndarray) -> np.ndarray:
        """For every sample, what ``of`` finds from the η and activity of the training samples of its fold."""
        n_folds, _, q = self.every.shape
        found = [[of(self.every[f, self.fold != f, j], k[self.fold != f, j]) for j in range(q)] for f in range(n_folds)]
        return np.array(found)[self.fold]


def gaussian(fitted: Fitted, k: np.ndarray) -> Below:
    deviation = np.sqrt(fitted.dispersion(lambda eta, y: np.mean((y - eta) ** 2), k))
    return lambda edge: stats.norm.cdf(edge, fitted.held, deviation)


def censored_gaussian(fitted: Fitted) -> Below:
    sigma = fitted.parameter("sigma")
    return lambda edge: np.where(edge >= 0, stats.norm.cdf(edge, fitted.held, sigma), 0)


def poisson(fitted: Fitted) -> Below:
    mean = np.exp(fitted.held)
    return lambda edge: stats.poisson.cdf(edge, mean)


def negative_binomial(fitted: Fitted) -> Below:
    size = 1 / np.maximum(fitted.parameter("alpha"), 1e-9)
    chance = 1 / (1 + np.exp(fitted.held) / size)
    return lambda edge: stats.nbinom.cdf(edge, size, chance)


def gamma(fitted: Fitted, k: np.ndarray) -> Below:
    def largest(eta: np.ndarray, y: np.ndarray) -> float:
        return likeliest(lambda phi: -stats.gamma.logpdf(y, 1 / phi, scale=np.exp(eta) * phi).sum())

    phi = fitted.dispersion(largest, k)
    return lambda edge: gammainc(1 / phi, np.maximum(edge, 0) / (np.exp(fitted.held) * phi))


def tweedie(fitted: Fitted, k: np.ndarray, power: float) -> Below:
    def largest(eta: np.ndarray, y: np.ndarray) -> float:
        some = np.linspace(0, len(y) - 1, min(len(y), MOST_TRAINING)).astype(int)
        mu, y = np.exp(eta[some]), y[some]

        def loss(phi: float) -> float:
            return -np.log(step_probability(lambda edge: tweedie_cdf(edge, mu, phi, power), y)).sum()

        return likeliest(loss)

    phi, mu = fitted.dispersion(largest, k), np.exp(fitted.held)
    return lambda edge: tweedie_cdf(edge, mu, phi, power)


def tweedie_cdf(edge: np.ndarray, mu: np.ndarray, phi: np.ndarray | float, power: float) -> np.ndarray:
    """Of a Poisson number of gamma amounts, number by number."""
    rate = mu ** (2 - power) / (phi * (2 - power))
    shape, scale = (2 - power) / (power - 1), phi * (power - 1) * mu ** (power - 1)
    top = np.max(rate)
    found = np.exp(-rate) * (edge >= 0)
    for n in range(1, int(top + 10 * np.sqrt(top) + 20)):
        found = found + stats.poisson.pmf(n, rate) * gammainc(n * shape, np.maximum(edge, 0) / scale)
    return found


def two_parts(model: pg.TwoPartGLM, X: pd.DataFrame) -> Below:
    chance, eta = expit(Fitted(model.events_, X).held), Fitted(model.amounts_, X).held
    phi = model.cv_dispersion_[model.fold_]

    def amount(edge: np.ndarray) -> np.ndarray:
        edge = np.maximum(edge, 0)
        if model.amounts_.family == "gaussian":
            return stats.norm.cdf(np.log(np.maximum(edge, 1e-300)), eta, np.sqrt(phi))
        return gammainc(1 / phi, edge / (np.exp(eta) * phi))

    return lambda edge: np.where(edge >= 0, 1 - chance + chance * amount(edge), 0)


def likeliest(loss: Callable[[float], float]) -> float:
    """A number above 0 at which a loss is least."""
    return float(np.exp(minimize_scalar(lambda x: loss(np.exp(x)), bounds=(-7, 7), method="bounded").x))


def step_probability(below: Below, k: np.ndarray) -> np.ndarray:
    """Of the step that each sample is in; that at 0 has all below, where no activity is negative."""
    low = np.where(k - 0.5 > 0, below(k - 0.5), 0) if (k >= 0).all() else below(k - 0.5)
    # distribution functions leave off before probabilities do
    return np.maximum(below(k + 0.5) - low, LEAST_PROBABILITY)


def log_probabilities(below: Below, k: np.ndarray) -> np.ndarray:
    """Natural logarithm of the probability of every sample, shape (n_samples, n_neurons); checks that they sum to 1."""
    far = np.full(k.shape, FAR)
    total = below(far) - (below(-far) if (k < 0).any() else 0)
    if not np.allclose(total, 1, atol=1e-6):
        raise ArithmeticError(f"probabilities sum to {total.min():g}")
    return np.log(step_probability(below, k))


def write(found: pd.DataFrame, path: Path) -> None:
    """Means over neurons; the best of every signal has a star, and what its family refuses a dash."""
    kinds, names = (list(dict.fromkeys(found[name])) for name in ("signal", "family"))
    table = found.groupby(["family", "signal"])["nats"].mean().unstack().loc[names, kinds]
    best = table == table.max()
    text = table.map(lambda value: "–" if np.isnan(value) else f"{value:.3f}").mask(best, lambda own: "**" + own + "**")
    text.rename_axis(None).reset_index(names="family").to_csv(path, index=False)


def draw(found: pd.DataFrame, path: Path) -> None:
    """Nats that a family gains over the Gaussian one in every neuron, a panel per signal that several families take."""
    several = found.dropna().groupby("signal")["family"].nunique() > 1
    kinds = [kind for kind in dict.fromkeys(found["signal"]) if several[kind]]
    names = list(dict.fromkeys(found["family"]))[::-1]
    fig, axes = plt.subplots(1, len(kinds), figsize=(2.3 * len(kinds) + 1.6, 3.6), sharey=True, layout="constrained")
    for ax, kind in zip(axes, kinds, strict=True):
        table = found[found["signal"] == kind].pivot(index="neuron", columns="family", values="nats")
        gain = table.sub(table["Gaussian"], axis=0)
        best = gain.mean().idxmax()
        for row, name in enumerate(names):
            if gain[name].isna().all() or gain[name].mean() < -WORST:
                said = "refused" if gain[name].isna().all() else f"← {gain[name].mean():.1f}"
                ax.text(0.02, row, said, transform=ax.get_yaxis_transform(), ha="left", va="center", color="0.6")
                continue
            color = "C0" if name == best else "0.55"
            ax.plot(gain[name], np.full(len(gain), row), "o", color=color, markersize=3, alpha=0.5, markeredgewidth=0)
            ax.plot(gain[name].mean(), row, "|", color=color, markersize=16, markeredgewidth=2.5)
        ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        low = gain.loc[:, ~(gain.mean() < -WORST)].min().min()
        ax.set_xlim(max(low, -WORST) - 0.05, gain.max().max() + 0.05)
        ax.set_title(kind, fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(-0.6, len(names) - 0.4)
    fig.supxlabel("Held-out log-likelihood above that of the Gaussian model (nats per sample)", fontsize="medium")
    fig.savefig(path, dpi=120)
    plt.close(fig)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--samples", type=int, default=12_000, help="of each recording, at most")
    parser.add_argument("--neurons", type=int, default=20, help="of each recording, the most active ones")
    parser.add_argument("--grid", type=float, default=0.01, help="step of deconvolved activity and dF/F")
    parser.add_argument("--only", help="part of the names of signals; nothing is written or drawn then")
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"There is no folder {given.data}; say with --data where the recordings are.")
    main(given.data, given.samples, given.neurons, given.grid, given.only)

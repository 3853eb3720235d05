"""The sparse real job beside adelie: CPU seconds, evaluations, and the fits left above their certificate.

Run in popglm's environment, from the repository root::

    python benchmarks/real.py [--units 60] [--compared 5] [--simulated]

Reads ../shared/data/v1_steinmetz_sta.npz: mouse V1, session 2, spikes in bins of 10 ms. Ten raised cosines over the
time in a trial, alone and times contrast left, contrast right, their presence and the feedback: 9,789 x 60 columns, 533
units; 85 % of the trials, Poisson group lasso at 11 strengths, five folds by trial and a fit to all rows. With
--simulated a Bernoulli job of 15,253 x 66 x 433 with events in 0.15 % of the samples takes its place, and no file is
needed. adelie fits the units one after the other, in an environment of its own, and is scaled to the whole job.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from environments import PEERS, run
from jobs import LAMBDAS, N_FOLDS

import popglm as pg

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "v1_steinmetz_sta.npz"


def real_session() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int], str]:
    """X, Y, trial, group sizes and family of the recording's training trials."""
    if not DATA.exists():
        raise SystemExit(f"{DATA} is not there: this benchmark needs that recording, or --simulated.")
    with np.load(DATA) as data:
        counts = data["s2_counts"]
        n_trials, n_bins, _ = counts.shape
        left, right, feedback = (data[f"s2_{name}"] for name in ("contrast_left", "contrast_right", "feedback"))
    trial = np.repeat(np.arange(n_trials), n_bins)
    session = {
        "time": np.tile(np.arange(n_bins) * 0.01, n_trials),
        "left": (left - left.mean())[trial],
        "right": (right - right.mean())[trial],
        "is_left": (left > 0.0)[trial].astype(float),
        "is_right": (right > 0.0)[trial].astype(float),
        "feedback": (feedback - feedback.mean())[trial],
    }
    phase = pg.bumps("time", n=10, low=0, high=0.38)
    design = pg.Design([phase, *(phase * name for name in list(session)[1:])])
    X = design.fit_transform(session).to_numpy()
    order = np.random.default_rng(42).permutation(n_trials)
    train = np.isin(trial, order[: round(0.85 * n_trials)])
    return X[train], counts.reshape(len(trial), -1)[train].astype(float), trial[train], [10] * 6, "poisson"


def simulated_session() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int], str]:
    """The same of simulated events: rates differ between units, and each follows about a quarter of the groups."""
    rng, n, n_units, n_bins = np.random.default_rng(0), 15_253, 433, 61
    trial = np.arange(n) // n_bins
    time_in_trial = (np.arange(n) % n_bins) / n_bins
    condition = rng.integers(0, 4, (trial[-1] + 1, 10))[trial]
    bumps = np.exp(-0.5 * ((time_in_trial[:, None] - np.linspace(0, 1, 6)) / 0.12) ** 2)
    X = np.concatenate([bumps, *(bumps * condition[:, [i]] for i in range(10))], axis=1)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    weights = rng.normal(0, 0.25, (66, n_units)) * np.repeat(rng.random((11, n_units)) < 0.25, 6, axis=0)
    share = np.exp(X @ weights)
    rate = 0.0015 * share / share.mean(axis=0) * np.exp(rng.normal(-0.3, 0.8, n_units))
    Y = (rng.random(rate.shape) < np.minimum(rate, 0.9)).astype(float)
    return X.astype(np.float32), Y, trial, [6] * 11, "bernoulli"


def job(simulated: bool, units: int | None = None) -> dict:
    """The arrays of a job as `jobs.write_arrays` saves them; of some units, drawn with seed 0, where asked for."""
    X, Y, trial, sizes, family = simulated_session() if simulated else real_session()
    if units:
        Y = Y[:, np.sort(np.random.default_rng(0).permutation(Y.shape[1])[:units])]
    fold = np.unique(trial, return_inverse=True)[1] % N_FOLDS
    return {
        "X": X, "Y": Y, "fold": fold, "sizes": sizes, "lambdas": LAMBDAS, "family": family, "penalty": "group_lasso",
        "l1_ratio": 0.5, "n_compared": 1, "one_neuron": False,
    }  # fmt: skip


def fit(X: np.ndarray, Y: np.ndarray, fold: np.ndarray, sizes: list[int], family: str) -> tuple[pg.GLMCV, float]:
    """The fitted model, and its CPU seconds; what compiles has compiled before."""
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(N_FOLDS)]
    model = pg.GLMCV(family, penalty="group_lasso", lambdas=LAMBDAS, feature_groups=sizes, cv=splits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        model.fit(X, Y[:, :4])
        began = time.process_time()
        model.fit(X, Y)
    return model, time.process_time() - began


def adelie_seconds(arrays: dict, folder: Path, threads: int) -> tuple[float, str]:
    """CPU seconds of all units' paths and folds, scaled from those that were fitted, and which these were."""
    np.savez(folder / "arrays.npz", **arrays)
    trouble = run(PEERS["adelie"], folder / "arrays.npz", folder / "result.npz", threads, np.inf)
    if trouble:
        raise SystemExit(f"adelie: {trouble}")
    with np.load(folder / "result.npz") as result:
        return float(result["seconds"][0]) * threads, str(result["how"])


def main() -> None:
    """Print both libraries' seconds, their ratio, evaluations per strength, and fits above the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, help="fit some of the units, drawn with seed 0")
    parser.add_argument("--compared", type=int, default=5, help="units that adelie fits; 0 to leave it out")
    parser.add_argument("--simulated", action="store_true", help="the Bernoulli job")
    options = parser.parse_args()
    arrays = job(options.simulated, options.units)
    X, Y, family = arrays["X"], arrays["Y"], arrays["family"]
    print(f"{family}, {len(X):,} x {X.shape[1]} x {Y.shape[1]}, {Y.mean():.2%} events per sample", flush=True)
    model, seconds = fit(X, Y, arrays["fold"], arrays["sizes"], family)
    gaps = np.concatenate([model.gap_[None], model.cv_gap_])
    print(f"popglm: {seconds:.1f} s of CPU time")
    print(f"fits above tol: {(~(gaps <= model.tol)).sum()} of {gaps.size}, largest gap {np.nanmax(gaps):.1e}")
    for name, n_iter in (("all rows", model.n_iter_), ("folds", model.cv_n_iter_)):
        each = n_iter.reshape(-1, *n_iter.shape[-2:]).mean(axis=(0, 2))
        print(f"evaluations per strength, {name}: mean {each.mean():.1f};", " ".join(f"{k:.1f}" for k in each))
    if options.compared:
        live = np.argsort(-Y.sum(axis=0), kind="stable")
        live = live[Y.sum(axis=0)[live] > 0]
        shown = live[np.linspace(0, len(live) - 1, options.compared).astype(int)]
        # the compared units first, as the runners expect them
        order = np.concatenate([shown, np.setdiff1d(np.arange(Y.shape[1]), shown)])
        compared = arrays | {"Y": Y[:, order], "n_compared": len(shown)}
        with tempfile.TemporaryDirectory() as folder:
            other, how = adelie_seconds(compared, Path(folder), threads=1)
        print(f"adelie: {other:.1f} s of CPU time ({how}), popglm {other / seconds:.1f} times as fast")


if __name__ == "__main__":
    main()

"""Whether `significance` holds its level and finds what is there, and what it costs.

Run in popglm's environment::

    python benchmarks/significance.py [--quick] [--neurons 1000] [--shifts 199] [--trials 30 300 3000] [--kinds ...]

Simulated are neurons that do not follow X, in recordings of 30 to 3,000 trials: white, slow, locked to trials, bursting
and drifting activity; the share with p ≤ .05 should be .05. Then a worm: slow calcium that follows slow behaviour or
does not, where the local refits of ``method="auto"`` stand beside fits of the model itself (``refit=True``) and given
weights (``refit=False``). Last, CPU time over that of the model's own fit. Each level goes into docs/significance.csv
and docs/images/significance.png as soon as it is there, unless ``--quick``; with ``--kinds`` or ``--trials`` other rows
stay, and only levels are measured.
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

import matplotlib
import numpy as np
from scipy.signal import lfilter

import popglm as pg

matplotlib.use("Agg")

DOCS = Path(__file__).parents[1] / "docs"
TRIALS = (30, 300, 3000)
LENGTH = 20
#: Surrogates of worms: q-values of a part of the neurons need smaller p-values than a level of .05.
WORM_SHIFTS = 999
#: Neurons of one recording: they share X, so a level needs many recordings.
TOGETHER = 25
COLUMNS = ("activity", "trials", "method", "neurons", "level", "standard_error", "warned")


def smooth(rng: np.random.Generator, n: int, q: int, tau: float) -> np.ndarray:
    """Gaussian noise of variance 1 that is correlated over tau samples."""
    r = np.exp(-1 / tau)
    return lfilter([np.sqrt(1 - r * r)], [1, -r], rng.standard_normal((n + 10 * int(tau), q)), axis=0)[-n:]


def standardised(X: np.ndarray) -> np.ndarray:
    return (X - X.mean(axis=0)) / X.std(axis=0)


def time_in_trial(n_trials: int, n_bumps: int = 6) -> np.ndarray:
    """Bumps over the samples of a trial, alike in all trials."""
    t, centres = np.arange(LENGTH), np.linspace(0, LENGTH - 1, n_bumps)
    return np.tile(np.exp(-0.5 * ((t[:, None] - centres) / 2.5) ** 2), (n_trials, 1))


def bursts(rng: np.random.Generator, n: int, q: int) -> np.ndarray:
    """Rates that are ten times as high in bursts of some ten samples."""
    starts = rng.random((n, q)) < 0.02
    active = lfilter([1], [1, -0.9], starts, axis=0) > 0.35
    return np.where(active, 2.0, 0.2)


def recording(kind: str, n_trials: int, q: int, rng: np.random.Generator) -> tuple:
    """X, Y, trial, family, feature groups and the variable to test (None: the whole model); nothing follows X."""
    n, trial = n_trials * LENGTH, np.repeat(np.arange(n_trials), LENGTH)
    X, family, groups, variable = smooth(rng, n, 8, 5), "poisson", [8], None
    t = np.linspace(-1, 1, n)[:, None]
    match kind:
        case "white":
            Y = rng.poisson(0.5, (n, q))
        case "slow":
            X, Y, family = smooth(rng, n, 8, LENGTH), smooth(rng, n, q, LENGTH), "gaussian"
        case "bursting":
            Y = rng.poisson(bursts(rng, n, q))
        case "drifting":
            walk = np.cumsum(rng.standard_normal((n, q)), axis=0) / np.sqrt(n)
            Y = rng.poisson(np.exp(rng.normal(0, 0.7, q) * t + walk - 0.5))
        case "both drifting":
            X = X + 2 * t * rng.normal(0, 1, 8)
            Y = rng.poisson(np.exp(rng.normal(0, 0.7, q) * t - 0.5))
        case "bursting, time in trial":
            X, groups = time_in_trial(n_trials), [6]
            Y = rng.poisson(bursts(rng, n, q))
        case "slow, time in trial":
            X, groups, family = time_in_trial(n_trials), [6], "gaussian"
            Y = smooth(rng, n, q, LENGTH)
        case "drifting, time in trial":
            X, groups = time_in_trial(n_trials), [6]
            walk = np.cumsum(rng.standard_normal((n, q)), axis=0) / np.sqrt(n)
            Y = rng.poisson(np.exp(rng.normal(0, 0.7, q) * t + walk - 0.5))
        case "trial-aligned, cue":
            cue = rng.choice([-1.0, 1.0], n_trials)[trial]
            X, groups, variable = np.column_stack([time_in_trial(n_trials), cue]), [6, 1], ["group1"]
            Y = rng.poisson(
                np.exp(X[:, :6] @ rng.normal(0, 0.7, (6, q)) + rng.normal(0, 0.4, (n_trials, q))[trial] - 1)
            )
    return standardised(X), Y.astype(float), trial, family, groups, variable


def level(kind: str, n_trials: int, n_neurons: int, n_shifts: int) -> dict:
    """A row of the table: share of null neurons with p ≤ .05, and of recordings in which `significance` warned."""
    found, warned = [], []
    for seed in range(-(-n_neurons // TOGETHER)):
        rng = np.random.default_rng([seed, n_trials])
        X, Y, trial, family, groups, variable = recording(kind, n_trials, TOGETHER, rng)
        model = pg.GLMCV(family, penalty="ridge", n_lambdas=10, refit=False, feature_groups=groups)
        model.fit(X, Y, groups=trial)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = pg.significance(model, X, Y, variable, trial=trial, n_shifts=n_shifts, seed=seed)
        warned.append(any("significance:" in str(each.message) for each in caught))
        p, method = result.p_value, result.attrs["method"]
        if variable:
            p, method = result.contribution_p_value[:, 0], str(result.contribution_method.values[0])
        found.append((p.values <= 0.05).mean())
    values = (
        kind, n_trials, method, len(found) * TOGETHER, round(np.mean(found), 3),
        round(np.std(found, ddof=1) / np.sqrt(len(found)), 4), round(np.mean(warned), 2),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def worm(seed: int, n: int = 1137, q: int = 136, tau: float = 60) -> tuple:
    """Calcium of which half follows behaviour, both slow."""
    rng = np.random.default_rng(seed)
    X = standardised(smooth(rng, n, 5, tau))
    gain = np.where(np.arange(q) < q // 2, rng.uniform(0.3, 1.2, q), 0)
    weights = rng.standard_normal((5, q))
    drive = X @ (weights / np.linalg.norm(weights, axis=0)) * gain
    Y = drive + smooth(rng, n, q, tau) + 0.2 * rng.standard_normal((n, q))
    return X, Y, np.arange(n) // 20, gain > 0


def power(n_repeats: int, n_shifts: int) -> list[dict]:
    """In worms: share of neurons found at q < .05, and of those without effect at p ≤ .05, by refits and without."""
    rows = []
    for name, options in (
        ("local refits", {}), ("fits of the model", {"refit": True}), ("given weights", {"refit": False})
    ):  # fmt: skip
        found, false, seconds = [], [], 0.0
        for seed in range(n_repeats):
            X, Y, trial, follows = worm(seed)
            model = pg.GLMCV("gaussian", penalty="ridge", n_lambdas=10, refit=False).fit(X, Y, groups=trial)
            began = time.process_time()
            result = pg.significance(model, X, Y, trial=trial, n_shifts=n_shifts, seed=seed, **options)
            seconds += time.process_time() - began
            found.append((result.q_value.values < 0.05)[follows].mean())
            false.append((result.p_value.values <= 0.05)[~follows].mean())
        rows.append({"power": np.mean(found), "level": np.mean(false), "seconds": seconds, "method": name})
    return rows


def costs(n: int = 5000, p: int = 60, q: int = 50, n_shifts: int = 200) -> list[dict]:
    """CPU time of 200 shifts over that of the model's own fit, both in one run."""
    rows = []
    for family, penalty in (
        ("poisson", "ridge"), ("poisson", "group_lasso"), ("poisson", "lasso"), ("gaussian", "ridge"),
        ("gaussian", "lasso"),
    ):  # fmt: skip
        rng = np.random.default_rng(0)
        X = standardised(smooth(rng, n, p, 5))
        eta = X @ (rng.normal(0, 0.06, (p, q)) * (np.arange(q) < q // 2)) + 0.3 * smooth(rng, n, q, 5)
        Y = rng.poisson(np.exp(eta - 1)) if family == "poisson" else eta + rng.standard_normal((n, q))
        trial = np.arange(n) // 50
        model = pg.GLMCV(family, penalty=penalty, feature_groups=[5] * (p // 5))
        # compile
        model.fit(X[:500], Y[:500, :2], groups=trial[:500])
        began = time.process_time()
        model.fit(X, Y, groups=trial)
        fit = time.process_time() - began
        began = time.process_time()
        pg.significance(model, X, Y, trial=trial, n_shifts=n_shifts)
        rows.append({"family": family, "penalty": penalty, "fit": fit, "ratio": (time.process_time() - began) / fit})
    return rows


KINDS = (
    "white", "slow", "bursting", "drifting", "bursting, time in trial", "slow, time in trial",
    "drifting, time in trial", "trial-aligned, cue", "both drifting",
)  # fmt: skip


def draw(rows: list[dict], path: Path) -> None:
    """Levels by activity and number of trials."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    axes.axhspan(0.035, 0.065, color="0.9", label="0.05 ± 0.015")
    axes.axhline(0.05, color="0.5", lw=1)
    for marker, trials in zip("osD", TRIALS, strict=True):
        shown = [row for row in rows if int(row["trials"]) == trials]
        if not shown:
            continue
        place, level, error = (
            np.array([float(value) for value in values])
            for values in ([KINDS.index(row["activity"]) + (TRIALS.index(trials) - 1) * 0.2 for row in shown],
                           [row["level"] for row in shown], [row["standard_error"] or 0 for row in shown])
        )  # fmt: skip
        axes.errorbar(place, level, 2 * error, fmt=marker, label=f"{trials:,} trials", mfc="none", lw=1, ms=5)
    axes.set_xticks(range(len(KINDS)), [kind.replace(", ", ",\n") for kind in KINDS], rotation=45, ha="right")
    axes.set_ylabel("share of null neurons\nwith p ≤ 0.05")
    axes.set_yscale("log")
    axes.set_ylim(0.01, 1)
    axes.set_yticks([0.01, 0.05, 0.1, 0.5, 1], ["0.01", "0.05", "0.1", "0.5", "1"])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    figure.savefig(path, dpi=150)


def main(n_neurons: int, n_shifts: int, quick: bool, trials: list[int], kinds: list[str]) -> None:
    """Simulate, print, write."""
    warnings.simplefilter("ignore")
    for n_trials in trials:
        for kind in kinds:
            row = level(kind, n_trials, n_neurons, n_shifts)
            print("{activity:24} {trials:5} trials  {method:18} level {level:.3f} ± {standard_error:.3f}, "
                  "warned in {warned:.0%}".format(**row), flush=True)  # fmt: skip
            if not quick:
                write(row)
    if list(kinds) != list(KINDS) or (not quick and list(trials) != list(TRIALS)):
        return
    for row in power(1 if quick else 5, n_shifts if quick else WORM_SHIFTS):
        print("worm: {method:18} found {power:.2f}, level {level:.3f}, {seconds:.1f} s".format(**row), flush=True)
    for row in costs():
        print("{family} {penalty}: 200 shifts take {ratio:.1f} x the fit ({fit:.2f} s)".format(**row), flush=True)


def write(row: dict) -> None:
    """A row into the table of the docs, in place of the one that was there, and the figure."""
    path, rows = DOCS / "significance.csv", {}
    if path.exists():
        with path.open(newline="") as file:
            rows = {(old["activity"], int(old["trials"])): old for old in csv.DictReader(file)}
    rows[row["activity"], row["trials"]] = row
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        order = [(kind, n_trials) for n_trials in TRIALS for kind in KINDS]
        writer.writerows(rows[key] for key in order if key in rows)
    draw(list(rows.values()), DOCS / "images" / "significance.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--neurons", type=int)
    parser.add_argument("--shifts", type=int, default=199)
    parser.add_argument("--trials", nargs="*", type=int, choices=TRIALS)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    trials = options.trials or TRIALS[: 2 if options.quick else 3]
    main(options.neurons or (100 if options.quick else 1000), options.shifts, options.quick, trials, options.kinds)

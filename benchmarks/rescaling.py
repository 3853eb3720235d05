"""How often right models fail the test of rescaled intervals: by what happens to intervals that a trial's end cuts.

Run in popglm's environment::

    python benchmarks/rescaling.py [--repeats 200]

Spikes are drawn bin by bin, with a history that begins anew in every trial, and are tested against the probabilities
that they were drawn from. Intervals that the end of a trial cuts are left out, or are taken for truncated ones (Wiener,
*Neural Computation* 15, 2003), or go on in the next trial, as in `popglm.time_rescaling`.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from popglm.explain.rescaling import rescaled_intervals

#: What spikes do to the logit of the bins after them.
HISTORIES = {
    "none": np.zeros(1),
    "refractory": np.array([-20, -20, -2, -1, -0.5]),
    "bursts": 1.2 * np.exp(-np.arange(8) / 4),
    "adapts": -0.6 * np.exp(-np.arange(30) / 15),
}
#: Probability of a spike without a past, and about how many spikes a test has.
RATE, SPIKES = 0.2, 1_500


def drawn(history: np.ndarray, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and their probabilities, both (n_trials, length)."""
    n_trials = int(SPIKES / RATE) // length
    eta = np.log(RATE / (1 - RATE)) + 0.3 * rng.normal(size=(n_trials, length))
    y, p = np.zeros_like(eta), np.empty_like(eta)
    for t in range(length):
        past = y[:, max(t - len(history), 0) : t][:, ::-1]
        p[:, t] = 1 / (1 + np.exp(-eta[:, t] - past @ history[: past.shape[1]]))
        y[:, t] = rng.random(n_trials) < p[:, t]
    return y, p


def p_values(y: np.ndarray, p: np.ndarray, seed: int) -> list[float]:
    """Of the three ways, in the order of the table."""
    trials = [(own, at) for own, at in zip(y, p, strict=True) if own.sum() > 1]
    within = [
        rescaled_intervals(own, at, False, np.random.default_rng([seed, i])) for i, (own, at) in enumerate(trials)
    ]
    ends = [np.cumsum(-np.log1p(-at)) for _, at in trials]
    left = np.concatenate([end[-1] - end[np.flatnonzero(own)[:-1]] for (own, _), end in zip(trials, ends, strict=True)])
    cut = np.concatenate(within)
    on = rescaled_intervals(y.ravel(), p.ravel(), False, np.random.default_rng(seed))
    uniform = -np.expm1(-cut), np.expm1(-cut) / np.expm1(-left), -np.expm1(-on)
    return [float(stats.kstest(u, "uniform").pvalue) for u in uniform]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    columns = "history", "bins per trial", "spikes per trial", "left out", "truncated", "go on"
    print(f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", sep="\n")
    for name, history in HISTORIES.items():
        for length in (1_000, 100, 30):
            found, spikes = [], 0.0
            for seed in range(repeats):
                y, p = drawn(history, length, np.random.default_rng(seed))
                found.append(p_values(y, p, seed))
                spikes += y.sum(axis=1).mean() / repeats
            shares = " | ".join(f"{share:.0%}" for share in (np.array(found) < 0.05).mean(axis=0))
            print(f"| {name} | {length:,} | {spikes:.0f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()

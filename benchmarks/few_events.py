"""Neurons with few events: what their selected models are worth on data that no fit has seen.

Run in popglm's environment::

    python benchmarks/few_events.py [--units 400] [--events 2 3 5 9] [--without-margin]

Simulates trials of a task with conditions and time in trial, and units that fire 2 to 9 times in the training trials,
half of them without any tuning and half strongly tuned. Each is cross-validated by trial; the selected models are then
scored on ten times as many trials, beside the unit's null model: that has the same training mean and no weights.
Prints how many units end with weights, and how many lose more than 0.05 of the null model's deviance by them.
"""

import argparse
import warnings

import numpy as np

import popglm as pg

LAMBDAS = 10.0 ** np.linspace(-1, -6, 11)
N_TRIALS, N_BINS = 80, 25


def simulate(n_units: int, n_events: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """X and Y (training trials first), the group sizes, and which units are tuned."""
    rng = np.random.default_rng(seed)
    trials = 11 * N_TRIALS
    time = np.tile(np.arange(N_BINS) / N_BINS, trials)
    cue = np.repeat(rng.integers(0, 2, (trials, 4)) - 0.5, N_BINS, axis=0)
    bumps = np.exp(-0.5 * ((time[:, None] - np.linspace(0, 1, 6)) / 0.12) ** 2)
    X = np.concatenate([bumps, *(bumps * cue[:, [i]] for i in range(4))], axis=1)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    tuned = np.arange(n_units) % 2 == 1
    eta = X @ (rng.normal(0, 0.4, (X.shape[1], n_units)) * tuned)
    rate = np.exp(eta)
    train = N_TRIALS * N_BINS
    Y = np.zeros(rate.shape)
    for j in range(n_units):
        # given their number, the events of a Poisson process fall by its rate
        share = rate[:train, j] / rate[:train, j].sum()
        np.add.at(Y[:train, j], rng.choice(train, n_events, p=share), 1)
        Y[train:, j] = rng.poisson(rate[train:, j] / rate[:train, j].sum() * n_events)
    return X, Y, np.full(5, 6), tuned


def score(n_units: int, n_events: int, margin: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fraction of the null model's test deviance that weights explain, whether there are any, and who is tuned."""
    X, Y, sizes, tuned = simulate(n_units, n_events, seed)
    train = N_TRIALS * N_BINS
    model = pg.GLMCV(penalty="group_lasso", lambdas=LAMBDAS, feature_groups=sizes.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        model.fit(X[:train], Y[:train], groups=np.repeat(np.arange(N_TRIALS), N_BINS))
    if not margin:
        model.null_margin_ = np.zeros(n_units)
        model.select()
    test = model.evaluate(X[train:], Y[train:])["deviance"].to_numpy()
    loss, y = model.loss_, Y[train:]
    null = loss.deviance(np.broadcast_to(model.null_intercept_, y.shape), y).sum(axis=0)
    return 1 - test / null, model.coef_.any(axis=1), tuned


def main() -> None:
    """Print a line per number of events."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=400)
    parser.add_argument("--events", type=int, nargs="+", default=[2, 3, 5, 9])
    parser.add_argument("--without-margin", action="store_true", help="let every gain beat the null model")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("events  with weights: untuned, tuned  below -0.05: all units  worst  median of those with weights")
    for n_events in options.events:
        explained, used, tuned = score(options.units, n_events, not options.without_margin, options.seed)
        middle = np.median(explained[used]) if used.any() else np.nan
        lost = (explained < -0.05).mean()
        print(
            f"{n_events:6d}  {used[~tuned].mean():21.1%}  {used[tuned].mean():5.1%}  {lost:23.1%}  "
            f"{explained.min():5.2f}  {middle:.3f}"
        )


if __name__ == "__main__":
    main()

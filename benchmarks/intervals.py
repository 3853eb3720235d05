"""How often 95 % intervals from penalised fits hold the truth: naive ones, and debiased ones.

    python benchmarks/intervals.py --repeats 200 --inverses hessian wald
    python benchmarks/intervals.py --samples 200 --families gaussian --inverses nodewise
    python benchmarks/intervals.py --samples 250 --families poisson bernoulli --inverses nodewise --repeats 10

Five columns in each of 60 groups unless others are asked for. X is drawn once, with correlated neighbours, and every
repeat is a neuron. Naive intervals are Wald's about the penalised weights, with the information at the penalised fit.
Rejections are tests at 5 % that all weights of a group are 0.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from scipy import stats

import popglm as pg
from popglm.explain.fitted_samples import samples_of_fit
from popglm.explain.information import information_of

FAMILIES = ("gaussian", "poisson", "bernoulli")
LEVEL = 0.95


def simulated(family: str, n: int, groups: int, size: int, repeats: int, seed: int) -> tuple:
    """X, weights (n_features,), activity (n_samples, n_repeats): every sixth group has weights."""
    rng = np.random.default_rng(seed)
    p = groups * size
    X = rng.normal(size=(n, p))
    for k in range(1, p):
        X[:, k] = 0.5 * X[:, k - 1] + np.sqrt(0.75) * X[:, k]
    w = np.zeros(p)
    for g in range(0, groups, max(groups // 6, 1)):
        w[g * size : (g + 1) * size] = rng.normal(size=size)
    # a predictor of this standard deviation
    w *= {"gaussian": 1.0, "poisson": 0.6, "bernoulli": 1.5}[family] / np.std(X @ w)
    eta = (X @ w)[:, None]
    if family == "gaussian":
        return X, w, eta + rng.normal(size=(n, repeats))
    if family == "poisson":
        return X, w, rng.poisson(np.exp(np.broadcast_to(eta - 0.5, (n, repeats)))).astype(float)
    return X, w, (rng.random((n, repeats)) < 1 / (1 + np.exp(-eta))).astype(float)


def measured(family: str, inverses: list[str], sizes: tuple[int, int, int], repeats: int, seed: int) -> list[dict]:
    """Rows of the table for one family."""
    n, groups, size = sizes
    X, w, Y = simulated(family, n, groups, size, repeats, seed)
    labels = np.repeat([f"group {g}" for g in range(groups)], size).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pg.GLMCV(family, penalty="group_lasso", feature_groups=labels, n_lambdas=15, cv=5, tol=1e-4)
        model.fit(X, Y)
        rows = [scores(family, "naive", w, size, *naive(model, X, Y))] if n > X.shape[1] else []
        if "wald" in inverses:
            plain = pg.GLM(family, penalty="none", feature_groups=labels).fit(X, Y)
            found = pg.wald(plain, X, Y)
            values = (found[name].values for name in ("coef", "standard_error", "group_p_value"))
            rows.append(scores(family, "wald, no penalty", w, size, *values))
        for inverse in (one for one in inverses if one != "wald"):
            if inverse != "hessian" or n > X.shape[1] + 1:
                found = pg.debiased(model, X, Y, inverse=inverse)
                values = (found[name].values for name in ("coef", "standard_error", "group_p_value"))
                rows.append(scores(family, inverse, w, size, *values))
    return rows


def naive(model: pg.GLMCV, X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Penalised weights with Wald's errors at the penalised fit, and p-values of groups."""
    samples = samples_of_fit(model, X, Y, None, None, None, "naive")
    errors, p_values = [], []
    sizes = np.asarray(model.feature_group_sizes_)
    for j, w in enumerate(samples.coef):
        covariance = information_of(samples, j).inverse
        if model.family == "gaussian":
            residual = Y[:, j] - samples.eta[:, j]
            covariance = covariance * np.sum(residual**2) / (len(Y) - np.count_nonzero(w) - 1)
        errors.append(np.sqrt(np.diag(covariance))[: len(w)])
        own = np.split(np.arange(len(w)), np.cumsum(sizes)[:-1])
        chi2 = [w[g] @ np.linalg.solve(covariance[np.ix_(g, g)], w[g]) for g in own]
        p_values.append(stats.chi2.sf(chi2, sizes))
    return samples.coef, np.stack(errors), np.stack(p_values)


def scores(family: str, kind: str, w: np.ndarray, size: int, coef, error, p_value) -> dict:
    """Coverage in columns with and without weights, bias, length and rejections of groups."""
    held = np.abs(coef - w) <= stats.norm.ppf((1 + LEVEL) / 2) * error
    used = w != 0
    groups = used.reshape(-1, size).any(axis=1)
    slope = float(np.mean(coef[:, used] @ w[used] / (w[used] @ w[used])))
    return {
        "family": family,
        "intervals": kind,
        "coverage, w = 0": held[:, ~used].mean(),
        "coverage, w ≠ 0": held[:, used].mean(),
        "worst column": held.mean(axis=0).min(),
        "slope on truth": slope,
        "length": 2 * stats.norm.ppf((1 + LEVEL) / 2) * np.where(np.isfinite(error), error, np.nan).mean(),
        "rejected, w = 0": (p_value[:, ~groups] < 1 - LEVEL).mean(),
        "rejected, w ≠ 0": (p_value[:, groups] < 1 - LEVEL).mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=60)
    parser.add_argument("--size", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--inverses", nargs="+", default=["hessian"], choices=("hessian", "nodewise", "wald"))
    given = parser.parse_args()
    sizes = given.samples, given.groups, given.size
    rows = [row for f in given.families for row in measured(f, given.inverses, sizes, given.repeats, given.seed)]
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()

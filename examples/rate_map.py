"""What both examples compare with: rate maps, on the same folds of contiguous blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import xlogy

import popglm as pg

N_FOLDS = 5
BLOCKS_PER_FOLD = 10
# of the samples that a GLM learns from; more find strengths that predict no better
INNER_FOLDS = 2


def contiguous_blocks(n_samples: int) -> np.ndarray:
    """Number the samples by block, 0 to 49: block b goes to fold b mod 5, whole."""
    return np.arange(n_samples) * N_FOLDS * BLOCKS_PER_FOLD // n_samples


def rate_map_held_out(bins: np.ndarray, counts: np.ndarray, fold: np.ndarray, prior: float) -> np.ndarray:
    """Predict every sample by the mean count of its bin in the other folds.

    ``prior`` samples at the neuron's mean rate are added to every bin, so that a bin that was hardly visited
    does not predict silence with certainty. bins, fold: (n_samples,); counts: (n_samples, n_neurons).
    """
    predicted = np.empty(counts.shape)
    for f in range(N_FOLDS):
        train, test = fold != f, fold == f
        mean = counts[train].mean(axis=0)
        visited = pd.DataFrame(counts[train]).groupby(bins[train])
        spikes, samples = visited.sum(), visited.size()
        rates = spikes.add(prior * mean).div(samples + prior, axis=0)
        unvisited = pd.DataFrame(mean[None], index=[-1])
        rates = pd.concat([rates, unvisited])
        known = np.where(np.isin(bins[test], samples.index), bins[test], -1)
        predicted[test] = rates.loc[known].to_numpy()
    return predicted


def glm_held_out(
    design: pg.Design, session: dict[str, np.ndarray], counts: np.ndarray, blocks: np.ndarray
) -> np.ndarray:
    """Predict every sample by a GLM whose design, weights and strength were all learned in the other folds."""
    predicted = np.empty(counts.shape)
    for f in range(N_FOLDS):
        train, test = blocks % N_FOLDS != f, blocks % N_FOLDS == f
        X = design.fit_transform({name: values[train] for name, values in session.items()})
        model = pg.GLMCV(family="poisson", penalty="group_lasso", n_lambdas=6, lambda_min_ratio=1e-2, cv=INNER_FOLDS)
        model.fit(X, counts[train], groups=blocks[train])
        predicted[test] = model.predict(design.transform({name: v[test] for name, v in session.items()}))
    return predicted


def deviance_explained(counts: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Fraction of every neuron's Poisson deviance around its mean that the rates explain; (n_neurons,)."""
    # a map may say 0 where a neuron never fired so far; one spike there costs much, but not everything
    rate = np.maximum(rate, 1e-6)
    mean = np.broadcast_to(counts.mean(axis=0), counts.shape)
    deviance, null = (2 * (xlogy(counts, counts) - xlogy(counts, mu) - counts + mu).sum(axis=0) for mu in (rate, mean))
    return 1 - deviance / null


def summarize(table: pd.DataFrame) -> None:
    """Print how the columns "GLM" and "rate map" of one row per unit compare."""
    print(table.quantile([0.1, 0.5, 0.9]).rename({0.1: "10 %", 0.5: "median", 0.9: "90 %"}).round(3).to_string())
    gain = table["GLM"] - table["rate map"]
    print(
        f"The GLM explains more than the rate map in {(gain > 0).sum()} of {len(gain)} units; "
        f"gain: median {gain.median():+.3f}, mean {gain.mean():+.3f}."
    )

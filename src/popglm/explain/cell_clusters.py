"""Cell types: neurons of like contributions, and whether others of the population would have the same types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from popglm.checks import check_count, check_flag, check_seed
from popglm.explain.pooling import check_levels, check_table
from popglm.messages import shown

__all__ = ["cell_types"]

#: Share of the neurons that a subsample has, starts of a clustering, and shuffles.
SHARE, STARTS, SHUFFLES = 0.8, 5, 10
#: Numbers of types whose stability is that near are as stable.
NEAR = 0.02


def cell_types(
    table: pd.DataFrame,
    values: Any,
    n_types: Any = (2, 3, 4, 5, 6),
    *,
    scale: bool = False,
    n_resamples: int = 50,
    seed: int | None = 0,
) -> xr.Dataset:
    r"""Cluster neurons by their contributions, and ask whether the clusters are there.

    Any cloud of neurons can be cut into k-means clusters. Types are there if a part of the neurons is cut the same way,
    and more so than a cloud without types: the same contributions, each shuffled over neurons by itself.

    Parameters
    ----------
    table : DataFrame
        A row per neuron, as of `pool_sessions`.
    values : list of str
        Columns of numbers by which neurons are clustered, such as ``fraction_null_deviance`` of variables. Neurons with
        NaN have no type.
    n_types : int or list of int
        Numbers of types that are tried, two or more.
    scale : bool
        Whether each column is divided by its standard deviation. Without, large contributions count for more.
    n_resamples : int
        Subsamples of four fifths of the neurons, for each number of types.
    seed : int, optional

    Returns
    -------
    xarray.Dataset
        - ``stability``, ``chance`` (n_types): mean adjusted Rand index of the types of a subsample and those of all
          neurons, 1 if they agree, and the same of shuffled columns, with ``chance_sd`` over ten shuffles;
          ``silhouette`` (n_types).
        - ``type`` (neuron), 0 for the largest, −1 without one, of the largest number of types whose stability is within
          .02 of the highest (the attribute ``n_types``). Whether these are types at all, ``chance`` tells.
        - ``center`` (number, value), means of the types; ``contribution`` (neuron, value), as given.

    Raises
    ------
    TypeError, ValueError
        If a column is not there or holds no finite numbers, all neurons are alike, or there are fewer than five neurons
        for each type.

    References
    ----------
    Ben-Hur, Elisseeff & Guyon, "A stability based method for discovering structure in clustered data", *Pacific
    Symposium on Biocomputing* 7 (2002). Hubert & Arabie, "Comparing partitions", *Journal of Classification* 2 (1985).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> follows = np.repeat([[0.5, 0.0], [0.0, 0.5], [0.0, 0.0]], 30, axis=0)
    >>> table = pd.DataFrame(follows + 0.05 * rng.normal(size=(90, 2)), columns=["cue", "speed"])
    >>> found = pg.cell_types(table, ["cue", "speed"], [2, 3, 4], n_resamples=5)
    >>> found.attrs["n_types"], found["stability"].sel(n_types=3).item()
    (3, 1.0)
    """
    who = "cell_types"
    table = check_table(who, table)
    values = check_levels(who, table, "values", values, True)
    check_flag(who, "scale", scale)
    check_count(who, "n_resamples", n_resamples, 2, 100_000)
    check_seed(seed, who)
    numbers = table[values].to_numpy(float)
    known = ~np.isnan(numbers).any(axis=1)
    tried = _check_numbers(who, n_types, int(known.sum()))
    Z = numbers[known]
    spread = Z.std(axis=0)
    if not spread.any():
        raise ValueError(
            f"{who}: values: all neurons with numbers in every column are alike; there is nothing to cluster."
        )
    Z = Z / np.where(spread > 0, spread, 1) if scale else Z
    rng = np.random.default_rng(seed)
    # threads wait for each other longer than they work on so little
    with threadpool_limits(1):
        labels = {k: _clusters(Z, k, rng) for k in tried}
        stability = np.array([_stability(Z, labels[k], rng, n_resamples) for k in tried])
        chance = _chance(Z, tried, rng, -(-n_resamples // SHUFFLES))
    best = tried[int(np.flatnonzero(stability >= stability.max() - NEAR).max())]
    own = _by_size(labels[best])
    types = np.full(len(table), -1)
    types[known] = own
    centers = np.stack([numbers[known][own == k].mean(axis=0) for k in range(best)])
    return xr.Dataset(
        {
            "stability": ("n_types", stability),
            "chance": ("n_types", chance.mean(axis=0)),
            "chance_sd": ("n_types", chance.std(axis=0, ddof=1)),
            "silhouette": ("n_types", np.array([silhouette_score(Z, labels[k]) for k in tried])),
            "type": ("neuron", types),
            "center": (("number", "value"), centers),
            "contribution": (("neuron", "value"), numbers),
        },
        coords={"n_types": tried, "neuron": [str(name) for name in table.index], "value": values},
        attrs={"n_types": best, "n_resamples": n_resamples},
    )


def _check_numbers(who: str, n_types: Any, n_neurons: int) -> list[int]:
    """Numbers of types, ascending."""
    tried = [n_types] if isinstance(n_types, int | np.integer) and not isinstance(n_types, bool) else n_types
    try:
        tried = sorted(set(tried))
    except TypeError:
        tried = []
    if not tried:
        raise TypeError(f"{who}: n_types={shown(n_types)} must be a whole number, or a list of them.")
    for k in tried:
        check_count(who, "n_types", k, 2)
    if 5 * tried[-1] > n_neurons:
        raise ValueError(
            f"{who}: n_types goes up to {tried[-1]}, but {n_neurons:,} neurons have a number in every column; there "
            "must be five for each type."
        )
    return [int(k) for k in tried]


def _clusters(Z: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Cluster of every row."""
    return KMeans(k, n_init=STARTS, random_state=int(rng.integers(2**31))).fit_predict(Z)


def _stability(Z: np.ndarray, labels: np.ndarray, rng: np.random.Generator, n_resamples: int) -> float:
    """Mean adjusted Rand index of the clusters of subsamples and the given ones."""
    k, found = int(labels.max()) + 1, []
    for _ in range(n_resamples):
        rows = rng.permutation(len(Z))[: int(np.ceil(SHARE * len(Z)))]
        found.append(adjusted_rand_score(labels[rows], _clusters(Z[rows], k, rng)))
    return float(np.mean(found))


def _chance(Z: np.ndarray, tried: list[int], rng: np.random.Generator, n_resamples: int) -> np.ndarray:
    """Stability where columns are shuffled, (SHUFFLES, n_tried)."""
    found = []
    for _ in range(SHUFFLES):
        shuffled = rng.permuted(Z, axis=0)
        found.append([_stability(shuffled, _clusters(shuffled, k, rng), rng, n_resamples) for k in tried])
    return np.array(found)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """The same clusters, the largest first."""
    rank = np.empty(labels.max() + 1, int)
    rank[np.argsort(-np.bincount(labels), kind="stable")] = np.arange(labels.max() + 1)
    return rank[labels]

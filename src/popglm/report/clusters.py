"""Clusters of neurons by what the variables contribute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

__all__ = ["Clusters", "cluster_by_contribution"]

#: Neurons with less explained deviance are in no cluster: their shares are ratios of two noises.
LEAST_EXPLAINED = 0.01
#: Clusters at most; neurons per cluster on average at least; the mean silhouette below which there are none.
MOST_CLUSTERS, LEAST_NEURONS, LEAST_SILHOUETTE = 8, 5, 0.25
#: Neurons of which a mean silhouette is taken.
_SAMPLED = 2_000


@dataclass(frozen=True, eq=False)
class Clusters:
    """Neurons put together by their shares.

    Attributes
    ----------
    label : ndarray of int, shape (n_neurons,)
        From 0, the largest cluster first; -1 for neurons in none.
    order : ndarray of int
        The neurons that are in a cluster, cluster by cluster, each from its most typical neuron on.
    centers : ndarray, shape (n_clusters, n_variables)
        Mean shares.
    silhouette : float
        Mean silhouette; NaN for a single cluster.
    """

    label: np.ndarray
    order: np.ndarray
    centers: np.ndarray
    silhouette: float


def cluster_by_contribution(shares: np.ndarray, explained: np.ndarray, seed: int = 0) -> Clusters | None:
    """Cluster neurons by k-means of their shares, with as many clusters as the silhouette is best for.

    Parameters
    ----------
    shares : ndarray, shape (n_neurons, n_variables)
        Of the explained deviance. They are cut to [0, 1].
    explained : ndarray, shape (n_neurons,)
        Fraction of deviance explained.

    Returns
    -------
    Clusters, or None where there are too few neurons or variables

    References
    ----------
    Rousseeuw, *J. Comput. Appl. Math.* 20 (1987), 53-65.

    Examples
    --------
    >>> import numpy as np
    >>> shares = np.repeat([[0.9, 0.1], [0.1, 0.8]], [12, 8], axis=0)
    >>> cluster_by_contribution(shares, np.full(20, 0.3)).label.tolist() == [0] * 12 + [1] * 8
    True
    """
    good = np.flatnonzero((explained >= LEAST_EXPLAINED) & np.isfinite(shares).all(axis=1))
    if shares.shape[1] < 2 or len(good) < 2 * LEAST_NEURONS:
        return None
    points = np.clip(shares[good], 0, 1)
    best, silhouette = np.zeros(len(good), int), np.nan
    most = min(MOST_CLUSTERS, len(good) // LEAST_NEURONS, len(np.unique(points, axis=0)))
    for k in range(2, most + 1):
        found = KMeans(k, n_init=10, random_state=seed).fit_predict(points)
        value = silhouette_score(points, found, sample_size=min(len(points), _SAMPLED), random_state=seed)
        if value >= LEAST_SILHOUETTE and not value <= silhouette:
            best, silhouette = found, float(value)
    sizes = np.bincount(best)
    rank = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    label = np.full(len(shares), -1)
    label[good] = rank[best]
    centers = np.array([points[label[good] == k].mean(axis=0) for k in range(len(sizes))])
    distance = np.linalg.norm(points - centers[label[good]], axis=1)
    return Clusters(label, good[np.lexsort([distance, label[good]])], centers, silhouette)

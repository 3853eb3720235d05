"""Feature groups that say what other groups say: how much of each the others explain, and which pairs are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["collinearity_of"]

#: Of a group's variance, the share that is wholly explained; the correlation of two directions that are nearly one.
WHOLLY, ALIKE = 0.99, 0.98
#: Rows that are looked at, and columns at most: sums of products take seconds. Fewer rows per column explain by chance.
ROWS, MOST_COLUMNS, ROWS_PER_COLUMN = 20_000, 2_000, 2
#: Of a column's variance: what a direction has at least that is told from rounding, and what is added to all columns so
#: that directions without variance have an inverse.
FLAT, RIDGE = 1e-6, 1e-8
#: Wholly explained groups of which it is found out by what, and groups that are named for each.
MOST_TOLD, MOST_NAMED = 10, 3


@dataclass(frozen=True)
class Collinearity:
    """What groups of columns share.

    Attributes
    ----------
    explained : dict of str to float
        The share of each group's variance that a linear model of all other groups explains; where that is all of it,
        of all others but its own products.
    by : dict of str to list of str
        For the first that are wholly explained, the groups that explain it.
    alike : tuple of str, str, float
        The two groups with the largest canonical correlation, and that; neither is a product of the other. Two empty
        texts and -1 where all are.
    """

    explained: dict[str, float]
    by: dict[str, list[str]]
    alike: tuple[str, str, float]


def collinearity_of(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> Collinearity | None:
    """What the groups of a design matrix share; None where that cannot be told.

    The inverse P of the columns' correlations has it all: what a group has beyond all others has the covariance of the
    inverse of its block of P.

    Parameters
    ----------
    values : ndarray, shape (n_samples, n_columns)
        Some rows of it are looked at, drawn at random.
    groups : ndarray, shape (n_columns,)
        The group of each column.
    seed : int, optional
        Of the draw.

    Returns
    -------
    Collinearity, or None
        None where there is one group, columns are very many, or rows are too few for them.

    References
    ----------
    .. [1] J. Whittaker, Graphical Models in Applied Multivariate Statistics, Wiley, 1990, ch. 5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 500, 1))
    >>> found = collinearity_of(np.hstack([a, b, a - b]), np.array(["a", "b", "difference"]))
    >>> found.by["difference"], round(found.alike[2], 1)
    (['a', 'b'], 0.7)
    """
    n, n_columns = values.shape
    names = list(dict.fromkeys(map(str, groups)))
    if len(names) < 2 or n_columns > MOST_COLUMNS or min(n, ROWS) < ROWS_PER_COLUMN * n_columns:
        return None
    rows = np.sort(np.random.default_rng(seed).choice(n, ROWS, replace=False)) if n > ROWS else slice(None)
    some = values[rows].astype(np.float64)
    some -= some.mean(axis=0)
    spread = np.sqrt((some**2).mean(axis=0))
    # a column without variance has nothing to explain
    varies = spread > 0
    some = some[:, varies] / spread[varies]
    correlations = some.T @ some / len(some)
    where = {name: np.flatnonzero(groups[varies].astype(str) == name) for name in names}
    where = {name: at for name, at in where.items() if len(at)}
    if len(where) < 2:
        return None
    inverse = np.linalg.inv(correlations + RIDGE * np.eye(len(correlations)))
    explained = {name: _share(inverse[np.ix_(at, at)], len(at)) for name, at in where.items()}
    for name, share in explained.items():
        if share >= WHOLLY and any(_is_product_of(other, name) for other in where):
            explained[name] = _share_of_others(correlations, where, name)
    wholly = [name for name, share in explained.items() if share >= WHOLLY][:MOST_TOLD]
    by = {name: _explaining(correlations, where, name) for name in wholly}
    return Collinearity(explained, by, _most_alike(correlations, where))


def _share(block: np.ndarray, n_columns: int) -> float:
    """Of the variance of a group, what others explain, given its block of the inverse."""
    left = np.trace(np.linalg.inv(block)) - RIDGE * n_columns
    return float(np.clip(1 - left / n_columns, 0, 1))


def _is_product_of(name: str, factor: str) -> bool:
    """Whether a group is the product of another with others: that it says what its factor says is meant."""
    factors, own = name.split(" × "), factor.split(" × ")
    return len(factors) > len(own) and set(own) <= set(factors)


def _share_of_others(correlations: np.ndarray, where: dict[str, np.ndarray], name: str) -> float:
    """Of the variance of a group, what others explain that are no products of it."""
    others = [at for other, at in where.items() if other != name and not _is_product_of(other, name)]
    at = np.concatenate([where[name], *others])
    inverse = np.linalg.inv(correlations[np.ix_(at, at)] + RIDGE * np.eye(len(at)))
    n = len(where[name])
    return _share(inverse[:n, :n], n)


def _explaining(correlations: np.ndarray, where: dict[str, np.ndarray], name: str) -> list[str]:
    """The groups that explain one wholly, or the few that explain most of it, each chosen for what it adds."""
    own, chosen, best = where[name], list[str](), 0.0
    while len(chosen) < MOST_NAMED and best < WHOLLY:
        shares = {}
        for other in where:
            if other != name and other not in chosen and not _is_product_of(other, name):
                at = np.concatenate([own, *(where[one] for one in (*chosen, other))])
                both = correlations[np.ix_(at, at)] + RIDGE * np.eye(len(at))
                shares[other] = _share(np.linalg.inv(both)[: len(own), : len(own)], len(own))
        if not shares:
            break
        chosen.append(max(shares, key=lambda one: shares[one]))
        best = shares[chosen[-1]]
    return chosen


def _most_alike(correlations: np.ndarray, where: dict[str, np.ndarray]) -> tuple[str, str, float]:
    """The two groups with the largest canonical correlation, the cosine of the angle between their spaces."""
    # columns of each group are turned into uncorrelated ones of variance 1; products of these are cosines
    axes = {}
    for name, at in where.items():
        values, vectors = np.linalg.eigh(correlations[np.ix_(at, at)])
        kept = values > FLAT
        axes[name] = vectors[:, kept] / np.sqrt(values[kept])
    names, best = list(where), ("", "", -1.0)
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            if _is_product_of(one, other) or _is_product_of(other, one):
                continue
            cosines = axes[one].T @ correlations[np.ix_(where[one], where[other])] @ axes[other]
            # no singular value is above the norm of the whole
            if np.linalg.norm(cosines) > best[2]:
                largest = float(np.linalg.norm(cosines, 2))
                best = (one, other, min(largest, 1.0)) if largest > best[2] else best
    return best

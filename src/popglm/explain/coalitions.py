"""Shapley's division of what a set of variables explains, from what each of its subsets explains."""

from __future__ import annotations

from math import comb

import numpy as np

__all__ = ["MOST_VARIABLES", "shapley_of"]

#: Variables whose subsets are all gone through.
MOST_VARIABLES = 10


def shapley_of(values: np.ndarray) -> np.ndarray:
    r"""Mean gain of each variable over all orders in which the variables can come in.

    Parameters
    ----------
    values : ndarray, shape (2**n_variables, ...)
        Value of every subset; its number has the bit v if variable v is in it.

    Returns
    -------
    ndarray, shape (n_variables, ...)
        :math:`\phi_v = \sum_{S \not\ni v} \frac{1}{n \binom{n - 1}{|S|}} [f(S \cup v) - f(S)]`; their sum is the value
        of all variables less that of none.

    References
    ----------
    Shapley, "A value for n-person games", *Contributions to the Theory of Games* 2 (1953).

    Examples
    --------
    Two gloves for the left hand and one for the right; a pair is worth 1:

    >>> shapley_of(np.array([0, 0, 0, 0, 0, 1, 1, 1])).round(3)
    array([0.167, 0.167, 0.667])
    """
    n = len(values).bit_length() - 1
    subsets = np.arange(len(values))
    sizes = np.array([subset.bit_count() for subset in range(len(values))])
    weights = 1 / (n * np.array([comb(n - 1, k) for k in range(n)]))
    found = np.zeros((n, *values.shape[1:]))
    for v in range(n):
        without = subsets[subsets >> v & 1 == 0]
        found[v] = np.tensordot(weights[sizes[without]], values[without | 1 << v] - values[without], axes=1)
    return found

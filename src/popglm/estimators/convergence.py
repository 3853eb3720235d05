"""What to say of fits that did not come within the tolerance of their minimum."""

from __future__ import annotations

import numpy as np

from popglm.messages import counted, listed

__all__ = ["late_fits"]

#: Neurons that are named.
NAMED = 10


def late_fits(
    late: np.ndarray,
    gaps: np.ndarray,
    lambdas: np.ndarray,
    selected: np.ndarray,
    names: list[str],
    what: str = "neuron",
) -> str:
    """How many fits, of which neurons, at which strengths, in which folds, and how many of them were selected.

    Parameters
    ----------
    late : ndarray of bool, shape (1 + n_folds, n_lambdas, n_neurons)
        The fit to all rows first.
    gaps : ndarray of the same shape
    lambdas : ndarray, shape (n_lambdas, n_neurons)
    selected : ndarray of int, shape (n_neurons,)
        As `select_strengths` returns it.
    names : list of str
    what : str
        What has a name.

    Examples
    --------
    >>> late = np.zeros((3, 2, 1), bool)
    >>> late[2, 1] = True
    >>> late_fits(late, np.where(late, 0.2, 0.0), np.array([[1.0], [0.1]]), np.array([0]), ["a"])
    '1 fit of 1 neuron (a, gap 2.0e-01), at λ = 0.1 (1 of 2 strengths), in fold 1; none at a selected strength.'
    """
    n_fits, neurons = int(late.sum()), np.flatnonzero(late.any(axis=(0, 1)))
    worst = np.where(np.isfinite(gaps), gaps, np.inf).max(axis=(0, 1), where=late, initial=0)
    neurons = neurons[np.argsort(-worst[neurons], kind="stable")]
    named = ", ".join(f"{names[j]}, gap {worst[j]:.1e}" for j in neurons[:NAMED])
    more = f" and {len(neurons) - NAMED} more" if len(neurons) > NAMED else ""
    at = np.logical_or.reduce(late, axis=0)
    used = np.broadcast_to(lambdas, at.shape)[at]
    span = f"{used.max():.3g}" if used.min() == used.max() else f"{used.max():.3g} to {used.min():.3g}"
    folds = np.flatnonzero(late[1:].any(axis=(1, 2)))
    where = ["the fit to all rows"] if late[0].any() else []
    if len(folds):
        where.append(f"fold{'s' * (len(folds) > 1)} {listed(folds)}")
    chosen = late & (np.arange(late.shape[1])[:, None] == selected)
    n_chosen, touched = int(chosen.sum()), int(chosen.any(axis=(0, 1)).sum())
    among = (
        f"{n_chosen} at the strength selected for {counted(touched, what)}"
        if n_chosen
        else "none at a selected strength"
    )
    return (
        f"{counted(n_fits, 'fit')} of {counted(len(neurons), what)} ({named}{more}), at λ = {span} "
        f"({int(at.any(axis=1).sum())} of {len(at)} strengths), in {' and '.join(where)}; {among}."
    )

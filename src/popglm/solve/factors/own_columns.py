"""Fits whose penalty factors differ between neurons and folds, each to the columns whose factor is finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from popglm.solve.passes.samples import FitData
from popglm.solve.population import fit_population
from popglm.solve.result import PopulationFit, merge
from popglm.solve.settings import Settings

__all__ = ["fit_each"]

#: What a result has of every fold.
_OF_FOLDS = ("coef", "intercept", "gap", "n_iter", "deviance", "fittable", "parameters")


def fit_each(
    data: FitData,
    settings: Settings,
    factors: np.ndarray,
    refit: bool,
    on_strength: Callable[..., Any] | None = None,
    start: np.ndarray | None = None,
) -> PopulationFit:
    """`fit_population` with penalty factors of every fit, block and neuron.

    All rows are fitted also where ``refit`` does not ask for it: the folds have the strengths of that fit.

    Parameters
    ----------
    data : FitData
    factors : ndarray, shape (1 + n_folds, n_blocks, n_neurons)
        Infinite for blocks that are left out.
    start : ndarray, shape (n_fits, n_lambdas, n_neurons, n_features), optional
    """

    def one(i: int) -> PopulationFit:
        told = None if on_strength is None or not (i > 0 or refit) else _of_fold(on_strength, i - 1)
        near = start[i - (not refit)] if start is not None and (i > 0 or refit) else None
        return _fit(data, settings, factors[i], data.splits[i - 1 : i] if i else [], told, near)

    result = one(0)
    _borrow_grid(result, np.isfinite(factors[0]).any(axis=0), settings)
    settings = replace(settings, lambdas=result.lambdas)
    folds = [one(i) for i in range(1, len(factors))]
    for name in (f"cv_{name}" for name in _OF_FOLDS if folds):
        setattr(result, name, np.concatenate([getattr(fold, name) for fold in folds]))
    for fold in folds:
        for name, value in fold.seconds.items():
            result.seconds[name] = result.seconds.get(name, 0.0) + value
    return result


def _borrow_grid(result: PopulationFit, has_columns: np.ndarray, settings: Settings) -> None:
    """Have neurons that no column is left to, bool (n_neurons,), take the usual strengths of the others."""
    if settings.lambdas is None and has_columns.any():
        result.lambdas[:, ~has_columns] = np.median(result.lambdas[:, has_columns], axis=1)[:, None]


def _fit(
    data: FitData,
    settings: Settings,
    factors: np.ndarray,
    split: list,
    told: Callable[..., Any] | None,
    start: np.ndarray | None,
) -> PopulationFit:
    """All neurons to all rows, or to the training rows of a ``split``; factors (n_blocks, n_neurons)."""
    q = data.Y.shape[1]
    sets, which = np.unique(factors, axis=1, return_inverse=True)
    result: PopulationFit | None = None
    for i, own_factors in enumerate(sets.T):
        own = np.flatnonzero(which.reshape(-1) == i)
        part, columns = _narrowed(settings, own_factors, own)
        near = None if start is None else start[None][:, :, own][..., columns]
        found = fit_population(
            data.of(own).narrowed(columns)._replace(splits=split), part, not split, _of_share(told, len(own) / q), near,
            schedule="host",
        )  # fmt: skip
        result = merge(result, found.widened(columns), own, np.ones((1 + len(split), len(own)), bool), q)
    assert result is not None
    return result


def _of_fold(on_strength: Callable[..., Any], i: int) -> Callable[..., Any]:
    """Tells of strengths of a fold, or of all rows for −1."""
    return lambda k, fold, kept=False, share=1.0: on_strength(k, i, kept=kept, share=share)


def _of_share(told: Callable[..., Any] | None, part: float) -> Callable[..., Any] | None:
    """Tells of strengths of a part of the neurons."""
    if told is None:
        return None
    return lambda k, fold, kept=False, share=1.0: told(k, fold, kept=kept, share=share * part)


def _narrowed(settings: Settings, factors: np.ndarray, own: np.ndarray) -> tuple[Settings, np.ndarray]:
    """The settings of some neurons in the columns of blocks with a finite factor; those columns (n_features,)."""
    penalty, kept, allowed = settings.penalty, np.isfinite(factors), settings.allowed
    none = not kept.any()
    # where no block is left, one that may have no weight stands for them
    kept[0] |= none
    columns = kept[penalty.block_of_column]
    if none:
        allowed = np.zeros((int(columns.sum()), len(own)), bool)
    elif allowed is not None:
        allowed = allowed[columns][:, own]
    penalty = replace(
        penalty,
        block_sizes=penalty.block_sizes[kept],
        block_weights=penalty.block_weights[kept],
        R=None if penalty.R is None else penalty.R[np.ix_(columns, columns)],
        factors=np.where(np.isfinite(factors), factors, 1.0)[kept],
        bounds=None if penalty.bounds is None else penalty.bounds[:, columns],
    )
    return replace(settings.of(own), penalty=penalty, factors=None, allowed=allowed), columns

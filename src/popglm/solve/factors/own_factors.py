"""Fits of neurons whose penalty factors differ: a population for every set of factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.population import fit_population
from popglm.solve.result import PopulationFit, merge
from popglm.solve.settings import Settings
from popglm.solve.snapshot import UNKEPT, Checkpoint, concluded
from popglm.solve.stream import RowStream

__all__ = ["fit_neurons", "narrowed", "of_columns"]


def fit_neurons(
    engine: Engine,
    X: Any,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    splits: list[tuple[np.ndarray, np.ndarray]],
    settings: Settings,
    refit: bool = True,
    on_strength: Callable[..., Any] | None = None,
    start: np.ndarray | None = None,
    shares: Sequence[Any] = (),
    schedule: str = "auto",
    checkpoint: Checkpoint = UNKEPT,
) -> PopulationFit:
    """`fit_population`, whose arguments it has, where neurons may have penalty factors of their own.

    Factors are units of columns or weights of norms, which all neurons of a fit share: so those with the same ones are
    fitted together, one set after the other.
    """
    if settings.factors is None:
        data = engine, X, Y, weights, offset, splits
        return fit_population(*data, settings, refit, on_strength, start, shares, schedule, checkpoint)
    q = Y.shape[1]
    sets, which = np.unique(settings.factors, axis=1, return_inverse=True)
    result: PopulationFit | None = None
    bare: PopulationFit | None = None
    for i, factors in enumerate(sets.T):
        own = np.flatnonzero(which.reshape(-1) == i)
        told, kept = _of_share(on_strength, len(own) / q), checkpoint.part(f"factors{i}")
        fit = partial(
            fit_population, engine, X, Y[:, own], of_columns(weights, own), offset, splits,
            _of_neurons(settings, own, factors), refit, told, None if start is None else start[:, :, own], shares,
            schedule, kept,
        )  # fmt: skip
        part = concluded(kept, PopulationFit, fit, partial(_skip, told, settings, len(splits), refit))
        every = np.ones((1 + len(splits), len(own)), bool)
        if part.bare is not None:
            bare = merge(bare, part.bare, own, every, q)
        result = merge(result, part, own, every, q)
    assert result is not None
    result.bare = bare
    return result


def _of_neurons(settings: Settings, neurons: np.ndarray, factors: np.ndarray) -> Settings:
    """The settings of some neurons, which share the penalty factors (n_blocks,)."""
    allowed, ends = settings.allowed, settings.ends
    return replace(
        settings.of(neurons),
        penalty=replace(settings.penalty, factors=factors),
        factors=None,
        allowed=None if allowed is None else allowed[:, neurons],
        ends=None if ends is None else ends.of(neurons, np.ones(len(neurons))),
    )


def of_columns(weights: np.ndarray | None, neurons: np.ndarray) -> np.ndarray | None:
    """Weights of samples, or of samples and neurons, of some neurons."""
    return weights if weights is None or weights.ndim == 1 else weights[:, neurons]


def narrowed(X: Any, columns: np.ndarray) -> Any:
    """Some columns (n_features,) of bool of X."""
    return X.with_columns(np.flatnonzero(columns)) if isinstance(X, RowStream) else X[:, columns]


def _of_share(on_strength: Callable[..., Any] | None, part: float) -> Callable[..., Any] | None:
    """Tells of strengths of a part of the neurons."""
    if on_strength is None:
        return None
    return lambda k, fold, kept=False, share=1.0: on_strength(k, fold, kept=kept, share=share * part)


def _skip(on_strength: Callable[..., Any] | None, settings: Settings, n_folds: int, refit: bool) -> None:
    """Tell of all strengths of fits that an earlier call did."""
    n_lambdas = settings.n_lambdas if settings.lambdas is None else len(settings.lambdas)
    for fold in range(-int(refit), n_folds):
        for k in range(n_lambdas):
            if on_strength is not None:
                on_strength(k, fold, kept=True)

"""Fits of neurons whose penalty factors differ: a population for every set of factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from popglm.solve.passes.samples import FitData
from popglm.solve.population import fit_population
from popglm.solve.result import PopulationFit, merge
from popglm.solve.settings import Settings
from popglm.solve.snapshot import UNKEPT, Checkpoint, concluded

__all__ = ["fit_neurons"]


def fit_neurons(
    data: FitData,
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
        return fit_population(data, settings, refit, on_strength, start, shares, schedule, checkpoint)
    q, n_fits = data.Y.shape[1], 1 + len(data.splits)
    sets, which = np.unique(settings.factors, axis=1, return_inverse=True)
    result: PopulationFit | None = None
    bare: PopulationFit | None = None
    for i, factors in enumerate(sets.T):
        own = np.flatnonzero(which.reshape(-1) == i)
        told, kept = _of_share(on_strength, len(own) / q), checkpoint.part(f"factors{i}")
        fit = partial(
            fit_population, data.of(own), _of_neurons(settings, own, factors), refit, told,
            None if start is None else start[:, :, own], shares, schedule, kept,
        )  # fmt: skip
        part = concluded(kept, PopulationFit, fit, partial(_skip, told, settings, n_fits - 1, refit))
        every = np.ones((n_fits, len(own)), bool)
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
        models=None if settings.models is None else settings.models.of(neurons),
    )


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

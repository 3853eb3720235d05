"""Fits without a penalty to the columns that penalised fits have chosen, for every strength, neuron and fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popglm.solve.fits.few_columns import Few, fit_few, is_eligible
from popglm.solve.passes.samples import FitData
from popglm.solve.population import fit_population
from popglm.solve.result import PopulationFit
from popglm.solve.separation import separated
from popglm.solve.settings import Settings
from popglm.statistics.penalties import Penalty

__all__ = ["RelaxedFits", "relax"]


@dataclass
class RelaxedFits:
    """What fits without a penalty found in the columns at work; axes: fit, strength, neuron, feature or parameter.

    The fit to all rows is the first, where there is one.

    Attributes
    ----------
    coef, intercept, parameters : ndarray
    gap : ndarray, shape (n_fits, n_lambdas, n_neurons)
        Certificates; 0 where nothing was fitted.
    unbounded : ndarray of bool, shape (n_fits, n_lambdas, n_neurons)
        Where no finite weights are best, and those of the penalised fit stand.
    """

    coef: np.ndarray
    intercept: np.ndarray
    parameters: np.ndarray
    gap: np.ndarray
    unbounded: np.ndarray


def relax(
    data: FitData,
    settings: Settings,
    fit: PopulationFit,
    refit: bool,
    on_share: Callable[[int, float], Any] | None = None,
) -> RelaxedFits:
    """Fit without a penalty wherever a penalised fit has chosen columns: those with a weight, or of a group with one.

    What begins at a fold's penalised weights and is fitted to its training rows knows nothing of what it holds out.

    Parameters
    ----------
    data : FitData
    settings : Settings
        Of the penalised fits.
    fit : PopulationFit
        Those fits, in the user's columns.
    refit : bool
        Whether there is one to all rows.
    on_share : callable, optional
        Called with the number of a fit and the share of its neurons that were fitted since.
    """
    first: list[Any] = [(fit.coef, fit.intercept, fit.parameters, fit.fittable, [])] if refit else []
    folds = zip(fit.cv_coef, fit.cv_intercept, fit.cv_parameters, fit.cv_fittable, data.splits, strict=True)
    paths = [*first, *((*path, [split]) for *path, split in folds)]
    found = RelaxedFits(
        *(np.stack([path[i] for path in paths]).copy() for i in range(3)),
        *(np.zeros((len(paths), *fit.intercept.shape), kind) for kind in (float, bool)),
    )
    for i, (coef, _, _, fittable, split) in enumerate(paths):
        own = data._replace(splits=split)
        sets = list(_sets(settings, coef, fittable, fit.n_fitted))
        if sure := is_eligible(settings, data.X):
            sets = _fit_together(own, settings, found, i, sets)
        for each in sets:
            _fit_set(own, settings, found, i, each, sure)
            if on_share is not None:
                on_share(i, 1 / len(sets))
    return found


def _sets(
    settings: Settings, coef: np.ndarray, fittable: np.ndarray, n_fitted: np.ndarray
) -> Iterator[tuple[np.ndarray, dict[int, np.ndarray]]]:
    """Every set of columns at work, and the strengths at which neurons have it; ``coef`` (n_lambdas, n_neurons, p)."""
    penalty, p = settings.penalty, coef.shape[-1]
    free = np.zeros(p, bool) if penalty.free is None else penalty.free
    sets: dict[bytes, dict[int, list[int]]] = {}
    for j in np.flatnonzero(fittable):
        open_ = np.ones(p, bool) if settings.allowed is None else settings.allowed[:, j]
        chosen = coef[: n_fitted[j], j] != 0
        if not penalty.blocks.nested:
            chosen = np.logical_or.reduceat(chosen, penalty.starts[:-1], axis=1)[:, penalty.block_of_column]
        chosen = chosen & open_ & ~free
        # what is never penalised has its best weights already where nothing else has some
        for k in np.flatnonzero(chosen.any(axis=1)):
            sets.setdefault((chosen[k] | (free & open_)).tobytes(), {}).setdefault(int(j), []).append(int(k))
    for key, places in sets.items():
        yield np.frombuffer(key, bool), {j: np.array(strengths) for j, strengths in places.items()}


def _fit_together(data: FitData, settings: Settings, found: RelaxedFits, i: int, sets: list) -> list:
    """Fit all sets of all neurons side by side; returns those that need more than that."""
    problems, places = [], []
    for columns, own in sets:
        for j, strengths in own.items():
            k = strengths[-1]
            problems.append(Few(j, columns, found.coef[i, k, j].astype(float), float(found.intercept[i, k, j])))
            places.append(strengths)
    fit_few(data, settings, problems)
    rest: dict[bytes, tuple[np.ndarray, dict[int, np.ndarray]]] = {}
    separated = _separated_sets(data, settings, problems)
    for few, strengths, is_separated in zip(problems, places, separated, strict=True):
        at = i, strengths, few.neuron
        if is_separated:
            found.unbounded[at] = True
        elif few.ended:
            found.coef[at], found.intercept[at], found.gap[at] = few.w, few.b, few.gap
        else:
            rest.setdefault(few.columns.tobytes(), (few.columns, {}))[1][few.neuron] = strengths
    return list(rest.values())


def _separated_sets(data: FitData, settings: Settings, problems: list[Few]) -> np.ndarray:
    """Of problems that are not known to have a minimum, which have none: bool (n_problems,).

    What separates samples by some columns does so by more. So of a neuron's sets the middle one is asked first.
    """
    found, open_ = np.zeros(len(problems), bool), {m for m, few in enumerate(problems) if not few.bounded}
    while open_:
        neuron = problems[min(open_)].neuron
        own = sorted((m for m in open_ if problems[m].neuron == neuron), key=lambda m: problems[m].columns.sum())
        middle = problems[own[len(own) // 2]]
        columns, bare = middle.columns, _without_penalty(settings, middle.columns, 1)
        (none,) = _unbounded(bare, data.of(np.array([neuron])).narrowed(columns), middle.w[None, columns])
        told = [m for m in own if (middle.within(problems[m]) if none else problems[m].within(middle))]
        found[told] = none
        open_ -= set(told)
    return found


def _fit_set(
    data: FitData, settings: Settings, found: RelaxedFits, i: int, which: tuple[np.ndarray, dict], sure: bool
) -> None:
    """Fit the neurons that have a set of columns, and put the weights where they had it.

    ``sure``: all are known to have a minimum.
    """
    columns, places = which
    split = data.splits
    own = np.array(list(places))
    mine = data.of(own).narrowed(columns)
    # from the weakest of the strengths, which is the nearest
    last = np.array([strengths[-1] for strengths in places.values()])
    start = found.coef[i, last, own][:, columns].astype(float)
    bare = _without_penalty(settings, columns, len(own))
    fit = fit_population(mine, bare, not split, None, start[None, None], schedule="host")
    coef, intercept, parameters, gap = (
        getattr(fit, f"cv_{name}" if split else name) for name in ("coef", "intercept", "parameters", "gap")
    )
    coef, intercept, parameters, gap = (a[0] if split else a for a in (coef, intercept, parameters, gap))
    unbounded = np.zeros(len(own), bool) if sure else _unbounded(bare, mine, coef[0])
    for m, (j, strengths) in enumerate(places.items()):
        if unbounded[m] or not np.isfinite(coef[0, m]).all():
            found.unbounded[i, strengths, j] = True
            continue
        found.coef[i, strengths[:, None], j, np.flatnonzero(columns)] = coef[0, m]
        found.intercept[i, strengths, j] = intercept[0, m]
        found.parameters[i, strengths, j] = parameters[0, m]
        found.gap[i, strengths, j] = gap[0, m]


def _without_penalty(settings: Settings, columns: np.ndarray, n_neurons: int) -> Settings:
    """The settings of fits to some columns without a strength; a smoothness stays."""
    penalty, n = settings.penalty, int(columns.sum())
    R = None if penalty.R is None else penalty.R[np.ix_(columns, columns)]
    return replace(
        settings, penalty=Penalty(0.0, penalty.smoothness, np.ones(n, int), np.ones(n), R), factors=None, ends=None,
        lambdas=np.zeros((1, n_neurons)), allowed=None,
    )  # fmt: skip


def _unbounded(settings: Settings, data: FitData, coef: np.ndarray) -> np.ndarray:
    """Neurons whose events some columns separate in the rows of a fit, shape (n_neurons,)."""
    if settings.penalty.R is not None or not settings.loss.can_separate:
        return np.zeros(len(coef), bool)
    counted, weights = ~np.isnan(data.Y), data.weights
    if weights is not None:
        counted &= (weights if weights.ndim == 2 else weights[:, None]) > 0
    if data.splits:
        inside = np.zeros((len(data.Y), 1), bool)
        inside[data.splits[0][0]] = True
        counted &= inside
    return separated(settings.loss, data.X, data.Y, counted, coef.astype(float), settings.fit_intercept)

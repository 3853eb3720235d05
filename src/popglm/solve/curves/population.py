"""Fits of all neurons whose strengths of smoothing are chosen for each, neuron by neuron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from threading import Lock
from typing import NamedTuple, cast

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpstrf

from popglm.engines.protocol import Engine
from popglm.solve.curves.journal import Journal
from popglm.solve.curves.penalised_newton import Likelihood, Samples
from popglm.solve.curves.rows import SmoothData
from popglm.solve.curves.shape_constrained import Cone, minimise_within
from popglm.solve.curves.smoothing import Smoothed, Smoother
from popglm.solve.curves.together import Passes
from popglm.solve.snapshot import UNKEPT, Checkpoint, State, inside, under
from popglm.statistics.curve_penalties import CurvePenalty
from popglm.statistics.families import Family

__all__ = ["Kind", "SmoothFits", "SmoothSettings", "determined_columns", "fit_smooth"]

#: Columns that are combinations of others to this share of their variance, where no penalty tells them apart.
DEPENDENT = 1e-10
#: Fits beside estimates of a family's parameters at most, and the change of these, in their own size, that ends them.
ROUNDS, SETTLED = 40, 1e-5
#: Changes that shrink by less than this from one to the next are added up, to so many of the last at most.
SLOW, FURTHEST = 0.3, 30.0
#: Change of the parameters from which on strengths are sought from those of the fit before.
NEARLY = 0.02


class SmoothSettings(NamedTuple):
    """What is minimised, and how far.

    Attributes
    ----------
    method : {"reml", "gcv"}
    tol : float
    max_iter : int
    n_penalties : int
        Of all groups.
    """

    method: str
    tol: float
    max_iter: int
    n_penalties: int


class Kind(NamedTuple):
    """Neurons that have weights of the same columns.

    Attributes
    ----------
    neurons, columns : ndarray of int
    live : ndarray of int
        Numbers of the penalties that act on these columns.
    penalty : CurvePenalty
        Those, of the columns.
    strengths : ndarray, shape (n_own_neurons, n_live), or None
        In units of a mean loss; None to choose them.
    cone : Cone or None
        Where the weights have to lie. Strengths are chosen without it.
    """

    neurons: np.ndarray
    columns: np.ndarray
    live: np.ndarray
    penalty: CurvePenalty
    strengths: np.ndarray | None
    cone: Cone | None


@dataclass(eq=False)
class SmoothFits:
    """All neurons' fits, in the columns that were given.

    Attributes
    ----------
    coef, degrees : ndarray, shape (n_neurons, n_features)
        Weights, and effective degrees of freedom by column.
    intercept : ndarray, shape (n_neurons,)
    strengths : ndarray, shape (n_neurons, n_penalties)
        In units of Σs of the neuron: those of a mean loss.
    criterion, slope, dispersion, objective, left : ndarray, shape (n_neurons,)
        See `Smoothed`; NaN for neurons without a fit. The last two by Σs.
    n_evaluations : ndarray of int, shape (n_neurons,)
    failed : ndarray of bool, shape (n_neurons,)
        Neurons whose fit broke down.
    parameters : ndarray, shape (n_neurons, n_parameters)
        Of the family, of the largest likelihood beside the fits.
    unsettled : ndarray of bool, shape (n_neurons,)
        Neurons whose parameters still changed from one fit to the next.
    """

    coef: np.ndarray
    degrees: np.ndarray
    intercept: np.ndarray
    strengths: np.ndarray
    criterion: np.ndarray
    slope: np.ndarray
    dispersion: np.ndarray
    objective: np.ndarray
    left: np.ndarray
    n_evaluations: np.ndarray
    failed: np.ndarray
    parameters: np.ndarray
    unsettled: np.ndarray

    @classmethod
    def empty(
        cls, n_neurons: int, n_features: int, n_penalties: int, intercept: np.ndarray, parameters: np.ndarray
    ) -> SmoothFits:
        """Null models."""
        coef, strengths = np.zeros((n_neurons, n_features)), np.full((n_neurons, n_penalties), np.nan)
        a, b, c, d, e = np.full((5, n_neurons), np.nan)
        none = np.zeros(n_neurons, int)
        return cls(
            coef, coef.copy(), intercept.copy(), strengths, a, b, c, d, e, none, none.astype(bool), parameters.copy(),
            none.astype(bool),
        )  # fmt: skip

    def state(self) -> State:
        """All of it as arrays, not copied."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def of(cls, state: State) -> SmoothFits:
        """Those that handed out a state."""
        return cls(**{each.name: state[each.name] for each in fields(cls)})

    def put(self, j: int, found: Smoothed, kind: Kind, center: np.ndarray | None, n: float) -> None:
        """Take in the fit of a neuron to the columns of its kind, less ``center``; None without an intercept."""
        n_open, columns = int(center is not None), kind.columns
        self.coef[j, columns], self.degrees[j, columns] = found.w[n_open:], found.degrees[n_open:]
        self.intercept[j] = 0.0 if center is None else found.w[0] - found.w[1:] @ center[columns]
        self.strengths[j, kind.live] = found.strengths / n
        self.criterion[j], self.slope[j], self.dispersion[j] = found.criterion, found.slope, found.dispersion
        self.objective[j], self.left[j], self.n_evaluations[j] = (
            found.objective / n,
            found.left / n,
            found.n_evaluations,
        )


def determined_columns(G: np.ndarray, penalty: CurvePenalty) -> np.ndarray:
    """Numbers of columns that data or penalties determine once the others have no weight.

    Where neither tells a direction of weights from 0, one of its columns may be left out: any fit can be moved along
    it until that weight is 0, and no prediction and no penalty changes.

    Parameters
    ----------
    G : ndarray, shape (n_features, n_features)
        Mean of xxᵀ over the samples; of x less its mean where there is an intercept.
    penalty : CurvePenalty
    """
    variance = np.diag(G)
    varies = np.flatnonzero(variance > 0)
    unit = np.sqrt(variance[varies])
    M = G[np.ix_(varies, varies)] / np.outer(unit, unit)
    for columns, S in penalty.matrices:
        whole = np.zeros(G.shape)
        whole[columns, columns] = S
        own = whole[np.ix_(varies, varies)] / np.outer(unit, unit)
        size = np.linalg.norm(own, 2)
        M += own / size if size > 0 else 0
    _, pivots, rank, _ = dpstrf(M, tol=DEPENDENT * len(M), lower=1)
    return varies[np.sort(pivots[:rank] - 1)]


def fit_smooth(
    loss: Family,
    data: SmoothData,
    null: tuple[np.ndarray, ...],
    kinds: Sequence[Kind],
    settings: SmoothSettings,
    engine: Engine,
    kept: Checkpoint = UNKEPT,
) -> SmoothFits:
    """Choose strengths and fit, neuron by neuron, in parallel.

    Parameters
    ----------
    data : SmoothData
    null : (fittable, intercept, parameters)
        Which neurons to fit, and where their fits begin; parameters of the family (n_neurons, n_parameters).
    kinds : sequence of Kind
    settings : SmoothSettings
    engine : engine
        In a session.
    kept : Checkpoint
        Where the fits are kept while they go on, and taken up again: of these very arguments.
    """
    searches = _Searches(loss, data, null, settings, kept)
    waiting = [[(kind, int(i)) for i in np.flatnonzero(searches.are_open(kind))] for kind in kinds]
    if data.is_on_disk:
        passes = Passes(engine, data.X, data.center)
        G = data.shared_moments(engine) if loss.is_least_squares and data.shares_weights else None
        arguments = []
        for kind, some in zip(kinds, waiting, strict=True):
            samples = data.streamed(loss, kind.columns, passes, G)
            arguments += [(samples, *one) for one in some]
        passes.run(searches.fit, arguments)
        return searches.fits
    for kind, some in zip(kinds, waiting, strict=True):
        samples = data.in_memory(loss, kind.columns)
        engine.map(searches.fit, [(samples, *one) for one in some])
    return searches.fits


class _Searches:
    """The fits of all neurons, those that are done and those that go on; parameters as of `fit_smooth`."""

    def __init__(
        self, loss: Family, data: SmoothData, null: tuple[np.ndarray, ...], settings: SmoothSettings, kept: Checkpoint
    ) -> None:
        self.loss, self.settings, self.kept, self.lock = loss, settings, kept, Lock()
        self.fittable, self.intercept, self.parameters = null
        self.center = data.center if data.n_open else None
        q, p = data.Y.shape[1], data.X.shape[1]
        self.fits = SmoothFits.empty(q, p, settings.n_penalties, self.intercept, self.parameters)
        self.is_done = np.zeros(q, bool)
        self.journals: dict[int, Journal] = {}
        if (last := kept.last()) is not None:
            self.fits, self.is_done = SmoothFits.of(inside("fits", last)), last["is_done"]
            self.journals = {int(j): Journal(inside(f"search{j}", last), self._after_entry) for j in last["searching"]}

    def are_open(self, kind: Kind) -> np.ndarray:
        """Which neurons of a kind are to be fitted."""
        return self.fittable[kind.neurons] & ~self.is_done[kind.neurons]

    def state(self) -> State:
        """What is done, and what searches have found so far."""
        found = under("fits", self.fits.state()) | {"is_done": self.is_done}
        found["searching"] = np.array([*self.journals], int)
        for j, journal in self.journals.items():
            found |= under(f"search{j}", journal.state())
        return found

    def _after_entry(self) -> None:
        with self.lock:
            self.kept.pause(self.state)

    def fit(self, samples_of: Callable[[int], Likelihood], kind: Kind, i: int) -> None:
        """Fit a neuron of a kind, by its place there."""
        j = int(kind.neurons[i])
        with self.lock:
            self.kept.pause(self.state)
            journal = self.journals.setdefault(j, Journal(on_entry=self._after_entry))
        samples = samples_of(j)
        parameters, unsettled = self.parameters[j], False
        found: Smoothed | None = None
        with suppress(LinAlgError):
            if self.loss.parameters:
                own = cast(Samples, samples)
                found, parameters, unsettled = with_parameters(
                    own, parameters, partial(self._smoothed, kind, i, journal)
                )
            else:
                found = self._smoothed(kind, i, journal, samples)
        with self.lock:
            if found is not None and np.isfinite(found.w).all() and np.isfinite(found.criterion):
                self.fits.put(j, found, kind, self.center, samples.n)
                self.fits.parameters[j], self.fits.unsettled[j] = parameters, unsettled
            else:
                self.fits.failed[j] = True
            self.is_done[j] = True
            del self.journals[j]

    def _smoothed(
        self, kind: Kind, i: int, journal: Journal, samples: Likelihood, near: Smoothed | None = None
    ) -> Smoothed:
        """The fit of a neuron at its strengths."""
        settings, loss, n_open = self.settings, self.loss, int(self.center is not None)
        start = np.zeros(n_open + len(kind.columns))
        start[:n_open] = self.intercept[kind.neurons[i]]
        smoother = Smoother(
            samples, kind.penalty, n_open, settings.method, loss.has_dispersion, loss.is_least_squares, start, journal
        )
        if kind.strengths is None:
            found = smoother.choose(settings.tol, settings.max_iter, near)
        else:
            found = smoother.at(kind.strengths[i] * samples.n)
        if kind.cone is None:
            return found
        S = smoother.penalty_matrix(found.strengths)
        return found.within(minimise_within(samples, S, found.w, kind.cone.with_open(n_open)))


def with_parameters(
    samples: Samples, start: np.ndarray, fit: Callable[[Likelihood, Smoothed | None], Smoothed]
) -> tuple[Smoothed, np.ndarray, bool]:
    """A fit beside parameters of the family that have the largest likelihood beside the fit, in turn.

    Returns the fit, the parameters (n_parameters,), and whether they still change.

    Parameters
    ----------
    samples : Samples
        Its family without values of the parameters.
    start : ndarray, shape (n_parameters,)
    fit : callable
        From the samples, and the fit before, to a fit.
    """
    loss, values, change = samples.family, start, np.full(len(start), np.nan)
    near: Smoothed | None = None
    least, most = np.array([own.range for own in loss.parameters]).T
    for _ in range(ROUNDS):
        found = fit(samples.given(loss.given(*values)), near)
        y, s, eta = samples.beside(found.w)
        before, one = values, (y[None], s[None], eta[None])
        values = loss.estimate(lambda _, one=one: iter([one]), before[None], False)[0]  # type: ignore[misc]
        if not np.isfinite(values).all():
            raise LinAlgError("a parameter of the family is not finite")
        step = values - before
        if np.allclose(values, before, rtol=SETTLED, atol=SETTLED**2):
            return found, values, False
        # a term that was smoothed away beside a large dispersion may come back: only near the end do fits go on
        near = found if np.allclose(values, before, rtol=NEARLY) else None
        # where changes shrink slowly, as far as they add up to
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = step / change
            ahead = values + step * np.minimum(ratio / (1 - ratio), FURTHEST)
        slow = (ratio > SLOW) & (ratio < 1) & (ahead > least) & (ahead < most)
        values, change = np.where(slow, ahead, values), np.where(slow.any(), np.nan, step)
    return found, values, True

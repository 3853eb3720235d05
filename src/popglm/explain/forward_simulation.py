"""Activity of a fitted population at random, sample after sample: what is drawn goes into what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_count, check_fitted, check_room, check_seed, is_number
from popglm.design import Design
from popglm.design.past import Past
from popglm.design.variables import SessionVariables
from popglm.estimators.arguments import numbers_by_neuron
from popglm.estimators.base import PopulationGLM
from popglm.estimators.validation import check_as_in_fit
from popglm.explain.contributions import check_design_matrix, rows_of
from popglm.explain.given_models import check_model
from popglm.frames import as_pandas
from popglm.messages import listed, shown
from popglm.statistics.families.contract import Family
from popglm.statistics.families.powers import PowerVariance

__all__ = ["simulate"]

#: Expected activity runs away where it is above so many times the largest that it has without feedback.
RUNAWAY = 1_000.0
#: Numbers of the past that are worked on at once: they stay in cache.
AT_ONCE = 2**20


def simulate(
    model: PopulationGLM,
    design: Design,
    session: Any,
    *,
    n: int = 1,
    offset: Any = None,
    dispersion: Any = None,
    sample_weight: Any = None,
    highest: float | None = None,
    seed: int | None = 0,
) -> xr.Dataset:
    r"""Draw activity from a fitted population, forward in time.

    At each sample the responses :math:`y_{tj}` of all neurons are drawn from the family with the mean
    :math:`h(\beta_j + x_t w_j)`. Where the design has `history` or `coupling` of neurons of the model, what was drawn
    is the past of the samples after it, within its trial and not across gaps.

    Parameters
    ----------
    model : GLM, GLMCV or LowRankGLM
        Fitted to ``design.fit_transform(session)``, and to Y whose columns have the names of the neurons that `history`
        and `coupling` name.
    design : Design
        Of the fit.
    session : DataFrame, mapping, xarray Dataset or pynapple TsdFrame
        Variables of the design, n_samples each: of the fit or of others. Activity of neurons of the model is not read.
    n : int
        How often the session is simulated.
    offset : array-like, shape (n_samples,), optional
        Known part of the linear predictor, as in the fit.
    dispersion : float, or array-like or mapping, shape (n_neurons,), optional
        Variance about the mean μ over V(μ): V is 1 for gaussian models, μ^p for tweedie models of the power p, μ² for
        gamma and μ³ for inverse_gaussian models. These families need it; others have none. A Series or a mapping goes
        by the names of the neurons.
    sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
        Of binomial models that were fitted with it: the number of trials of every sample to draw; 1 for one in each.
        Others draw the same, whatever samples weigh, and need none.
    highest : float, optional
        Expected activity above it (in size) ends the simulation with an error; 1,000 times the largest without feedback
        unless given.
    seed : int or None
        Of the generator ``numpy.random.default_rng(seed)``; the same seed gives the same activity.

    Returns
    -------
    Dataset
        ``activity`` and ``expected``, the mean that it was drawn from, both (n, n_samples, n_neurons) over "repeat",
        "sample" and "neuron", in the unit of Y.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; if the design is not fitted, uses activity of the model's neurons in another way
        than through `history` and `coupling`, or has the `history` of a neuron that is none of the model.
    ValueError
        If the activity runs away: neurons excite each other more and more.

    References
    ----------
    Pillow et al., "Spatio-temporal correlations and visual signalling in a complete neuronal population", *Nature* 454
    (2008). Hocker & Park, "Multistep inference for generalized linear spiking models curbs runaway excitation", *IEEE
    EMBS Neural Engineering* (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> Y = pd.DataFrame({"a": rng.poisson(0.2, 2000)})
    >>> design = pg.Design([pg.history("a", pg.bumps("lag", n=3, low=0, high=10))])
    >>> model = pg.GLM(lambdas=[0.01]).fit(design.fit_transform(Y), Y)
    >>> found = pg.simulate(model, design, Y, n=20)
    >>> found["activity"].sizes["repeat"], round(float(found["activity"].mean()), 1)
    (20, 0.2)
    """
    check_model(model, "simulate")
    if not isinstance(design, Design):
        raise TypeError(f"simulate: design must be the Design of the fit; found {shown(design)}")
    check_fitted(design, "columns_", "simulate")
    check_count("simulate", "n", n, 1)
    check_seed(seed, "simulate")
    if highest is not None and not (is_number(highest) and highest > 0):
        raise ValueError(f"simulate: highest must be a number above 0; found {shown(highest)}")
    names, n_neurons = [str(name) for name in model.neuron_names_], len(model.neuron_names_)
    spread = _check_dispersion(model, dispersion)
    silent = _without_activity(session, design, names)
    X = design.transform(silent)
    values = np.asarray(check_design_matrix(model, X, "simulate", held_out=False, whole=True), float)
    check_room(f"simulate: {n:,} × {len(X):,} samples × {n_neurons:,} neurons", 2 * 8.0 * n * len(X) * n_neurons)
    rows = rows_of(model, X, held_out=False)
    # weights other than numbers of trials change nothing of what is drawn
    weight = 1 if sample_weight is None and not model.loss_.has_trials else sample_weight
    weight, offset = check_as_in_fit(model, weight, offset, len(X), rows, "simulate", refits=False)
    coef = np.atleast_2d(np.asarray(model.coef_, float))
    eta = values @ coef.T + np.atleast_1d(model.intercept_)
    eta += 0.0 if offset is None else np.asarray(offset, float)[:, None]
    own = list(model.family_parameters_.values())
    family = model.loss_.of_neurons(np.column_stack(own)) if own else model.loss_
    variables = SessionVariables(
        silent, [name for term in design.terms_.values() for name in term.variables], design.trial
    )
    if family.has_trials:
        spread = 1 / _numbers_of_trials(weight, eta.shape)
    runs = _Runs(
        family,
        np.broadcast_to(spread, eta.shape),
        eta,
        _feedback(design, names, coef),
        variables.run_starts,
        variables.run_stops,
    )
    activity, expected = runs.drawn(n, np.random.default_rng(seed), _Limit(highest, names))
    dims, index = ("repeat", "sample", "neuron"), variables.index
    return xr.Dataset(
        {"activity": (dims, activity), "expected": (dims, expected)},
        coords={"neuron": names, **({} if isinstance(index, pd.MultiIndex) else {"sample": index})},
        attrs={"family": model.loss_.name},
    )


def _check_dispersion(model: PopulationGLM, dispersion: Any) -> np.ndarray | float:
    """The dispersion of each neuron; 1 for families without one."""
    family, n_neurons = model.loss_, len(model.neuron_names_)
    if not family.has_dispersion:
        if dispersion is not None:
            raise ValueError(f"simulate: a {family.name} response has no dispersion; leave it out")
        return 1.0
    if dispersion is None:
        raise ValueError(
            f"simulate: a {family.name} response needs its dispersion; give a number, or one per neuron, such as "
            f"((Y - mu) ** 2 / {_variance_text(family)}).mean(axis=0) with mu = model.predict(X)"
        )
    found = numbers_by_neuron(dispersion, "simulate: dispersion", model)
    if found.shape not in ((), (n_neurons,)) or not (np.isfinite(found).all() and (found > 0).all()):
        raise ValueError(
            f"simulate: dispersion must be a number above 0, or one for each of {n_neurons:,} neurons; found "
            f"{shown(dispersion)}"
        )
    return found


def _variance_text(family: Family) -> str:
    """The variance of a unit of dispersion, as code of the mean ``mu``."""
    return f"mu ** {family.power:g}" if isinstance(family, PowerVariance) else "1"


def _numbers_of_trials(weight: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of trials of every sample and neuron, 1 or more."""
    found = np.asarray(1.0 if weight is None else weight, float)
    found = np.broadcast_to(found[:, None] if found.ndim == 1 else found, shape)
    if not (found >= 1).all() or (found % 1 != 0).any():
        raise ValueError(
            "simulate: sample_weight must hold whole numbers of trials, 1 or more, for a binomial response"
        )
    return found


def _without_activity(session: Any, design: Design, names: list[str]) -> Any:
    """The session with zeros for the activity of the model's neurons, which the design then takes for known.

    Raises
    ------
    ValueError
        If a term reads it in a way in which nothing can be fed back.
    """
    sources = set()
    for group, term in design.terms_.items():
        of_model = [name for name in term.variables if name in names]
        if isinstance(term, Past) and term.own and not of_model:
            raise ValueError(
                f"simulate: {group!r} is the past of {term.source!r}, which is none of the model's neurons "
                f"({listed(map(repr, names))}); fit to Y as a DataFrame whose columns have the names of the sources"
            )
        if of_model and not isinstance(term, Past):
            raise ValueError(
                f"simulate: term {group!r} reads the activity of {of_model[0]!r}, which is drawn; only history and "
                "coupling go by the past alone, and can be fed with it"
            )
        sources |= set(of_model)
    session = as_pandas(session)
    if isinstance(session, pd.DataFrame):
        return session.assign(**dict.fromkeys(sources, 0.0))
    if isinstance(session, xr.Dataset):
        like = next((session[name] for name in session.data_vars if session[name].ndim == 1), None)
        return session if like is None else session.assign({name: xr.zeros_like(like, float) for name in sources})
    if not isinstance(session, Mapping):
        session = pd.DataFrame(np.asarray(session.values), index=np.asarray(session.t), columns=list(session.columns))
        return session.assign(**dict.fromkeys(sources, 0.0))
    n_samples = next((len(one) for one in session.values()), 0)
    return {**session, **{name: np.zeros(n_samples) for name in sources}}


@dataclass(frozen=True)
class _Feedback:
    """Terms of one basis: what the past of their sources adds to all predictors.

    Attributes
    ----------
    weights : ndarray, shape (n_lags, n_functions)
        The basis at lags of 1, 2, … samples.
    sources : ndarray of int, shape (n_sources,)
        In order.
    coef : ndarray, shape (n_functions * n_sources, n_neurons)
        For sums over the past, before they are z-scored.
    """

    weights: np.ndarray
    sources: np.ndarray
    coef: np.ndarray

    def __call__(self, past: np.ndarray) -> np.ndarray:
        """What is added (n_chains, n_neurons), from activity of the last samples (n_chains, n_lags, n_neurons)."""
        is_whole = np.array_equal(self.sources, np.arange(past.shape[2]))
        own = past if is_whole else past[:, :, self.sources]
        own = own[:, -len(self.weights) :]
        sums = self.weights[own.shape[1] - 1 :: -1].T @ own
        return sums.reshape(len(past), -1) @ self.coef


def _feedback(design: Design, names: list[str], coef: np.ndarray) -> list[_Feedback]:
    """History and coupling of neurons of the model, those of the same basis together."""
    terms: dict[tuple[tuple[int, ...], bytes], list[tuple[np.ndarray, int, np.ndarray]]] = {}
    stop = 0
    for term, size in zip(design.terms_.values(), design.group_sizes_, strict=True):
        columns = slice(stop, stop + size)
        stop += size
        if isinstance(term, Past) and term.source in names:
            weights = term.grid()[1]
            own = (coef[:, columns] / design.scales_[columns]).T
            terms.setdefault((weights.shape, weights.tobytes()), []).append((weights, names.index(term.source), own))
    found = []
    for some in terms.values():
        some.sort(key=lambda one: one[1])
        each = np.stack([own for *_, own in some], axis=1)
        sources = np.array([source for _, source, _ in some])
        found.append(_Feedback(some[0][0], sources, each.reshape(-1, each.shape[2])))
    return found


@dataclass(frozen=True)
class _Limit:
    """Expected activity that is too large: the feedback has run away."""

    highest: float | None
    names: list[str]

    def of(self, alone: np.ndarray, spread: np.ndarray | float) -> float:
        """The limit, where expected activity without feedback is (n_samples, n_neurons)."""
        if self.highest is not None:
            return self.highest
        return RUNAWAY * max(float(np.abs(alone).max(initial=0)), float(np.sqrt(np.max(spread))))

    def complain(self, mean: np.ndarray, first: int, rows: np.ndarray, limit: float) -> None:
        """Name the neuron and sample where activity ran away; mean is (n_repeats, n_rows, n_neurons)."""
        repeat, row, neuron = np.unravel_index(int(np.nanargmax(np.where(np.isnan(mean), np.inf, mean))), mean.shape)
        raise ValueError(
            f"simulate: the activity runs away: neuron {self.names[neuron]!r} has an expected activity of "
            f"{mean[repeat, row, neuron]:.4g} in sample {rows[row]:,} of repeat {first + repeat}, above {limit:.4g}. "
            "Neurons excite themselves or each other more and more: fit with a larger penalty or a longer history, "
            "or a family or link whose mean is bounded; or give a larger highest"
        )


def _blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of so many."""
    return (slice(first, first + size) for first in range(0, n, max(1, size)))


@dataclass(frozen=True)
class _Runs:
    """Stretches of samples that follow each other, in each of which activity is drawn from the start."""

    family: Family
    spread: np.ndarray
    eta: np.ndarray
    feedback: list[_Feedback]
    starts: np.ndarray
    stops: np.ndarray

    def drawn(self, n: int, rng: np.random.Generator, limit: _Limit) -> tuple[np.ndarray, np.ndarray]:
        """Activity and its expectation, both (n, n_samples, n_neurons)."""
        shape = (n, *self.eta.shape)
        if not self.feedback:
            mean = self._mean(self.eta)
            return self.family.draw(rng, np.broadcast_to(mean, shape), self.spread), np.broadcast_to(mean, shape).copy()
        activity, expected = np.zeros(shape), np.empty(shape)
        reach, lengths = max(len(one.weights) for one in self.feedback), self.stops - self.starts
        most = max(1, AT_ONCE // (reach * shape[2]))
        n_repeats = min(n, most)
        # the longest first: those of one block are about as long
        order = np.argsort(-lengths, kind="stable")
        highest = limit.of(self._mean(self.eta), self.spread)
        for some, first in product(_blocks(len(order), most // n_repeats), range(0, n, n_repeats)):
            runs, of_repeats = order[some], slice(first, first + n_repeats)
            for step in range(int(lengths[runs[0]])):
                rows = self.starts[runs[lengths[runs] > step]] + step
                mean = self._mean(self._predictor(activity[of_repeats], rows, np.arange(min(step, reach), 0, -1)))
                if not (np.abs(mean) <= highest).all():
                    limit.complain(mean, first, rows, highest)
                expected[of_repeats, rows] = mean
                activity[of_repeats, rows] = self.family.draw(rng, mean, self.spread[rows])
        return activity, expected

    def _predictor(self, activity: np.ndarray, rows: np.ndarray, lags: np.ndarray) -> np.ndarray:
        """Linear predictors (n_repeats, n_rows, n_neurons) that follow from the activity at some lags."""
        eta = self.eta[rows]
        if not len(lags):
            return np.broadcast_to(eta, (len(activity), *eta.shape))
        past = activity[:, rows[:, None] - lags].reshape(len(activity) * len(rows), len(lags), -1)
        return eta + np.sum([one(past) for one in self.feedback], axis=0).reshape(len(activity), *eta.shape)

    @np.errstate(over="ignore")  # an infinite mean has run away
    def _mean(self, eta: np.ndarray) -> np.ndarray:
        return self.family.link.mean(np, eta)

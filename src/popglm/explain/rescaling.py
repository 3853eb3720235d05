"""Whether spikes come when a model says: intervals in rescaled time, and their distance from what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from popglm.checks import MOST_POINTS, check_count, check_seed
from popglm.estimators.base import PopulationGLM
from popglm.explain.fitted_samples import FittedSamples, samples_of_fit
from popglm.labels import check_order

__all__ = ["rescaled_quantiles", "time_rescaling"]

#: Families that say when events come, and the fewest intervals of a test.
FAMILIES, FEWEST = ("poisson", "bernoulli"), 5


def time_rescaling(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    *,
    trial: Any = None,
    seed: int = 0,
    sample_weight: Any = None,
    offset: Any = None,
) -> pd.DataFrame:
    r"""Kolmogorov-Smirnov test of the intervals between spikes, in time that the model rescales.

    Parameters
    ----------
    model : GLM or GLMCV
        Of the Poisson or Bernoulli family, fitted to X and Y. It should hold what the neuron's own spikes do to its
        rate, as `history` does: refractory neurons fail the test of a model without.
    X : array-like or DataFrame, shape (n_samples, n_features)
    Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
        Counts of spikes, in order of time. NaN where a neuron was not recorded.
    trial : array-like, shape (n_samples,), optional
        Trial of every sample, where row labels are times that begin anew in each. Intervals go on from trial to trial:
        see the Notes.
    seed : int
        Of the generator that places spikes within their bins.
    sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
        Those of the fit, by which X and Y are known as its data. They have no part in the test: all intervals count
        alike.
    offset : array-like, shape (n_samples,), optional
        That of the fit. Of spikes that the model has not seen, the offset of these, with ``sample_weight=1``.

    Returns
    -------
    DataFrame
        A row per neuron: ``n_intervals``; ``distance``, the largest between the distribution of the intervals and the
        uniform one; ``limit``, what it exceeds in 5 of 100 right models; ``p_value``; and ``correlation`` of
        each interval with the next, as normal numbers, which should be within ±1.96/√n_intervals. NaN with fewer than
        5 intervals.

    Raises
    ------
    ValueError
        If the family has no intervals, activity is no count, labels, sample weights or the offset are not those of the
        fit, or row labels are times that do not increase within a trial; of a model with folds, if X and Y are not
        those of the fit.

    Warns
    -----
    PopglmWarning
        If X and Y are not those of the fit of a model without folds.

    Notes
    -----
    With the right rate λ, the integrals of λ from spike to spike are exponential with mean 1, and :math:`u = 1 -
    e^{-\int \lambda}` is uniform between 0 and 1 (Brown et al. 2002). Bins are too coarse for that where a spike in one
    is likely: intervals would be whole numbers of bins. So spikes are placed within their bins as they would come under
    the model (Haslinger, Pipa & Brown 2010). The k spikes of a Poisson bin lie anywhere in its share of rescaled time,
    and the only one of a Bernoulli bin with probability p at :math:`-\log(1 - rp)` of :math:`-\log(1 - p)`, r uniform;
    what is left of that bin counts for no interval.

    Rescaled time stands still between trials, in rows that were left out, and in samples in which a neuron was not
    recorded: an interval that these cut goes on after them, and is exponential under the model like all others. To
    leave out those that are cut would be to leave out long ones, and right models would fail where trials have few
    spikes.

    Weights that were fitted to the same spikes, even an intercept alone, make p-values too large, as Lilliefors'
    correction says of other distributions: what fails would fail more clearly on new spikes.

    References
    ----------
    Brown, Barbieri, Ventura, Kass & Frank, "The time-rescaling theorem and its application to neural spike train data
    analysis", *Neural Computation* 14 (2002). Haslinger, Pipa & Brown, "Discrete time rescaling theorem", *Neural
    Computation* 22 (2010).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(5000, 1))
    >>> Y = rng.poisson(np.exp(X - 2))
    >>> right = pg.time_rescaling(pg.GLM(lambdas=[1e-3]).fit(X, Y), X, Y)
    >>> wrong = pg.time_rescaling(pg.GLM(lambdas=[1e-3]).fit(X**2, Y), X**2, Y)
    >>> bool(right["p_value"].iloc[0] > 0.05), bool(wrong["p_value"].iloc[0] < 0.05)
    (True, True)
    """
    names, intervals = _intervals("time_rescaling", model, X, Y, trial, seed, sample_weight, offset)
    return pd.DataFrame([_test(own) for own in intervals], index=pd.Index(names, name="neuron"))


def rescaled_quantiles(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    *,
    trial: Any = None,
    seed: int = 0,
    sample_weight: Any = None,
    offset: Any = None,
    n_points: int = 200,
) -> xr.Dataset:
    r"""Quantiles of rescaled intervals between spikes, for the Kolmogorov-Smirnov plot of every neuron.

    Where the curve leaves its band says what the model has wrong: above at the left are too many short intervals, as
    those of bursts; below, too few, as of refractory neurons.

    Parameters
    ----------
    model, X, Y, trial, seed, sample_weight, offset
        As in `time_rescaling`.
    n_points : int
        Of each curve.

    Returns
    -------
    xarray.Dataset
        ``quantile`` (neuron, probability), of :math:`u = 1 - e^{-\int \lambda}`, which is the probability itself for a
        right model; ``limit`` (neuron), the band on either side that 95 of 100 right models stay in; ``n_intervals``.
        NaN with fewer than 5 intervals.

    Raises
    ------
    ValueError
        As of `time_rescaling`.

    Warns
    -----
    PopglmWarning
        As of `time_rescaling`.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(5000, 1))
    >>> Y = rng.poisson(np.exp(X - 2))
    >>> found = pg.rescaled_quantiles(pg.GLM(lambdas=[1e-3]).fit(X, Y), X, Y)
    >>> bool((abs(found["quantile"] - found["probability"]) < found["limit"]).all())
    True
    """
    check_count("rescaled_quantiles", "n_points", n_points, 2, MOST_POINTS)
    names, intervals = _intervals("rescaled_quantiles", model, X, Y, trial, seed, sample_weight, offset)
    # as the sorted intervals stand at (k − 1/2)/n
    probability = (np.arange(n_points) + 0.5) / n_points
    quantile, n, limit = np.full((len(names), n_points), np.nan), np.zeros(len(names), int), np.full(len(names), np.nan)
    for j, own in enumerate(intervals):
        u = _uniform(own)
        n[j] = len(u)
        if len(u) >= FEWEST:
            quantile[j] = np.quantile(u, probability, method="hazen")
            limit[j] = stats.kstwo.ppf(0.95, len(u))
    return xr.Dataset(
        {"quantile": (("neuron", "probability"), quantile), "limit": ("neuron", limit), "n_intervals": ("neuron", n)},
        coords={"neuron": names, "probability": probability},
    )


def _intervals(
    who: str, model: PopulationGLM, X: Any, Y: Any, trial: Any, seed: int, sample_weight: Any, offset: Any
) -> tuple[list[str], Iterator[np.ndarray]]:
    """Names of the neurons, and the rescaled intervals of each."""
    check_seed(seed, who)
    # new spikes say more of a model than those that it was fitted to
    samples = samples_of_fit(model, X, Y, trial, sample_weight, offset, who, strict=False)
    if model.loss_.name not in FAMILIES:
        raise ValueError(
            f"{who}: a model of the family {model.loss_.name!r} says nothing of the times of events; fit "
            "counts with family='poisson', or 'bernoulli' where no bin has more than one spike."
        )
    _check_counts(who, samples)
    check_order(samples.index, "X", who, samples.trials)
    rng = np.random.default_rng(seed)
    return model.neuron_names_, (_of_neuron(samples, j, rng) for j in range(samples.y.shape[1]))


def _check_counts(who: str, samples: FittedSamples) -> None:
    """Complain about activity that is no count."""
    wrong = np.argwhere(samples.known & (samples.y != np.floor(samples.y)))
    if len(wrong):
        row, j = wrong[0]
        raise ValueError(
            f"{who}: Y must hold counts of spikes; neuron {samples.model.neuron_names_[j]!r} has "
            f"{samples.y[row, j]:g} in row {row}. Deconvolved or smoothed activity has no intervals."
        )


def rescaled_intervals(y: np.ndarray, mean: np.ndarray, is_poisson: bool, rng: np.random.Generator) -> np.ndarray:
    """Intervals between spikes in rescaled time; ``y`` and ``mean`` (n_samples,)."""
    width = mean if is_poisson else -np.log1p(-np.minimum(mean, 1 - 1e-12))
    ends = np.cumsum(width)
    bins = np.repeat(np.arange(len(y)), y.astype(int))
    within = rng.random(len(bins))
    if is_poisson:
        return np.diff(np.sort(ends[bins] - (1 - within) * width[bins]))
    # a second spike could come from the next bin on
    times = ends[bins] - width[bins] - np.log1p(-within * mean[bins])
    return times[1:] - ends[bins[:-1]]


def _of_neuron(samples: FittedSamples, j: int, rng: np.random.Generator) -> np.ndarray:
    """Rescaled intervals of a neuron, over the samples in which it was recorded."""
    family, known = samples.family(j), samples.known[:, j]
    mean = family.link.mean(np, samples.eta[known, j])
    return rescaled_intervals(samples.y[known, j], mean, family.name == "poisson", rng)


def _uniform(intervals: np.ndarray) -> np.ndarray:
    """Intervals of a neuron as numbers that are uniform under a right model."""
    return -np.expm1(-intervals)


def _test(intervals: np.ndarray) -> dict[str, float]:
    """The row of a neuron."""
    u = _uniform(intervals)
    n = len(u)
    if n < FEWEST:
        return {"n_intervals": n, **dict.fromkeys(("distance", "limit", "p_value", "correlation"), np.nan)}
    test = stats.kstest(u, "uniform")
    normal = stats.norm.ppf(np.clip(u, 1e-12, 1 - 1e-12))
    first, second = normal[:-1], normal[1:]
    known = min(np.std(first), np.std(second)) > 0
    return {
        "n_intervals": n,
        "distance": float(test.statistic),
        "limit": float(stats.kstwo.ppf(0.95, n)),
        "p_value": float(test.pvalue),
        "correlation": float(np.corrcoef(first, second)[0, 1]) if known else np.nan,
    }

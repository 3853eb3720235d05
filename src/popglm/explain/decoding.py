"""What the population says of a variable: its posterior at every sample, by the fitted model and Bayes' rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_room, is_number, shown
from popglm.design import Design
from popglm.estimators.base import PopulationGLM
from popglm.estimators.validation import check_offset, check_weights, over_neurons
from popglm.explain.contributions import check_design_matrix, rows_of, warn_of_other_data
from popglm.explain.fitted_samples import family_of
from popglm.explain.given_models import check_activity, check_cross_validated, check_model
from popglm.explain.trials import check_trials
from popglm.frames import as_pandas
from popglm.labels import Rows, row_labels
from popglm.statistics.families.contract import Family

__all__ = ["decode"]


def decode(
    model: PopulationGLM,
    design: Design,
    session: Any,
    Y: Any,
    variable: str,
    values: Any,
    *,
    prior: Any = None,
    step: float | None = None,
    period: float | None = None,
    trial: Any = None,
    held_out: bool = True,
    offset: Any = None,
    sample_weight: Any = None,
) -> xr.Dataset:
    r"""Posterior of a variable at every sample, from the activity of all neurons.

    Parameters
    ----------
    model : GLMCV or LowRankGLM with folds; or GLM, or a LowRankGLM without, with ``held_out=False``
        Fitted to ``design.fit_transform(session)`` and Y.
    design : Design
        Of the fit. Terms of the variable must look at the present alone.
    session : mapping or DataFrame
        Variables of the design, n_samples each. All but `variable` are taken as they were recorded. Rows with labels
        may stand in any order, which is that of the result; what has no labels stands beside them.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
    variable : str
    values : array-like, shape (n_values,)
        Among which the variable is sought: positions, or names of stimuli.
    prior : array-like, shape (n_values,), optional
        Probabilities of the values, up to a factor; equal unless given.
    step : float, optional
        Standard deviation of the variable's change from a sample to the next, in its units. With it, the posterior of a
        sample rests on all samples of its trial: a random walk among the values, from the prior. Without, on the sample
        alone.
    period : float, optional
        Of an angle or a circular track: the ends of the values are neighbours, and means are of directions.
    trial : array-like, shape (n_samples,), optional
        The random walk begins anew with each. One trial unless given.
    held_out : bool
        Predict each sample by the weights of the fold that held it out. False takes those of the fit to all samples, by
        which the population seems to say more than it does.
    offset : array-like, shape (n_samples,), optional
        As in the fit.
    sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
        Numbers of trials of binomial activity, which has one trial each unless given. Other families take none.

    Returns
    -------
    xarray.Dataset
        ``posterior`` (sample, value), NaN for samples that no fold held out; ``most_likely`` (sample); ``recorded``
        (sample), the variable; and for numbers ``mean`` and ``sd`` (sample) of the posterior, in the variable's units.

    Raises
    ------
    ValueError, TypeError
        If `variable` is no variable of the design, or a term looks at its past or future; if there are fewer than two
        values, or they do not ascend where `step` or `period` is given; if an argument is not as above; if the model is
        not cross-validated (unless ``held_out=False``).

    Warns
    -----
    PopglmWarning
        If session and Y are as many samples as in the fit, but predicted worse or better than there.

    Notes
    -----
    Neurons are independent given the variables of the design, so

    .. math:: p(v \mid y_t, x_t) \propto p(v) \prod_j p(y_{tj} \mid \mu_j(v, x_t)),

    with the densities of the family; a dispersion is that of `goodness_of_fit`. With history or coupling terms, spikes
    that have come before are among :math:`x_t`. The random walk is summed over by the forward-backward algorithm.
    Neurons whose model is the null model say nothing.

    References
    ----------
    Zhang, Ginzburg, McNaughton & Sejnowski, "Interpreting neuronal population activity by reconstruction", *Journal of
    Neurophysiology* 79 (1998). Brown, Frank, Tang, Quirk & Wilson, "A statistical paradigm for neural spike train
    decoding applied to position prediction", *Journal of Neuroscience* 18 (1998).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> position, trial = np.arange(1500) % 100.0, np.arange(1500) // 100
    >>> Y = rng.poisson(3 * np.exp(-((position[:, None] - np.arange(0, 100, 5)) ** 2) / 200))
    >>> design = pg.Design([pg.bumps("position", n=15, low=0, high=100)])
    >>> X = design.fit_transform({"position": position})
    >>> model = pg.GLMCV(lambdas=[0.01], cv=3).fit(X, Y, groups=trial)
    >>> found = pg.decode(model, design, {"position": position}, Y, "position", np.arange(0, 100, 2))
    >>> float(abs(found["most_likely"] - found["recorded"]).median())
    2.0
    """
    check_model(model, "decode")
    if held_out:
        check_cross_validated(model, "decode")
    columns, index = _columns(session, variable)
    n = len(columns[variable])
    beside_session = None if index is None or len(index) != n else pd.Series(0, index)
    labels = rows_of(model, beside_session, held_out)
    if labels.given is not None:
        columns = {name: one[labels.given] if len(one) == n else one for name, one in columns.items()}
    recorded = columns[variable]
    grid = _check_values(values, step, period)
    prior = _check_prior(prior, len(grid))
    _check_present_alone(design, columns, variable, grid)
    y = check_activity(model, Y, n, labels)
    if sample_weight is not None and not model.loss_.has_trials:
        raise ValueError(
            f"decode: sample_weight stands for trials of binomial activity; this model has family={model.family!r}, of "
            "which every sample says what it says. Leave sample_weight out."
        )
    weight = np.broadcast_to(over_neurons(check_weights(sample_weight, n, model.neuron_names_, labels)), y.shape)
    trials = np.zeros(n, int) if trial is None else check_trials(trial, n, labels)
    check_room(f"decode: a posterior of {len(grid):,} values at {n:,} samples", 8.0 * n * len(grid))
    beside = check_offset(model, offset, n, labels, "decode")
    if held_out:
        given = None if sample_weight is None else weight
        X = check_design_matrix(model, design.transform(columns), "decode", held_out=True)
        warn_of_other_data(model, X, y, given, beside, "decode")
    predict = partial(model.predict_held_out if held_out else model.predict, offset=beside)

    def means(given: np.ndarray) -> np.ndarray:
        return np.asarray(predict(design.transform(_replaced(columns, variable, given))), float).reshape(y.shape)

    likelihood = _log_likelihoods(model, means, y, weight, recorded, grid)
    known = np.isfinite(likelihood).any(axis=1)
    posterior = np.full(likelihood.shape, np.nan)
    if step is None:
        posterior[known] = _normalised(likelihood[known] + np.log(prior))
    else:
        moves = _moves(grid.astype(float), step, period)
        for one in np.unique(trials[known]):
            own = known & (trials == one)
            posterior[own] = _smoothed(likelihood[own], moves, prior)
    back = slice(None) if labels.given is None else np.argsort(labels.given)
    return _dataset(posterior[back], recorded[back], grid, variable, period)


def _columns(session: Any, variable: str) -> tuple[dict[str, Any], pd.Index | None]:
    """Variables of a session by name, and the labels of its samples, in the order of the first that has some."""
    session = as_pandas(session)
    rows = Rows(row_labels(session), "the session")
    if isinstance(session, pd.DataFrame):
        columns = {str(name): session[name].to_numpy() for name in session}
    elif isinstance(session, Mapping):
        columns = {}
        for name, one in session.items():
            order = rows.order(one, str(name))
            columns[name] = np.asarray(one) if order is None else np.asarray(one)[order]
    else:
        raise TypeError(f"decode: session must be a mapping or a DataFrame of variables; found {shown(session)}")
    if variable not in columns:
        raise ValueError(f"decode: variable {variable!r} is none of the session: {', '.join(map(repr, columns))}")
    return columns, rows.labels


def _check_values(values: Any, step: float | None, period: float | None) -> np.ndarray:
    """The values among which to seek."""
    grid = np.asarray(values)
    if grid.ndim != 1 or len(grid) < 2 or len(np.unique(grid)) != len(grid):
        raise ValueError(f"decode: values must be at least two different ones, (n_values,); found {shown(values)}")
    for name, found in (("step", step), ("period", period)):
        if found is not None and not (is_number(found) and found > 0):
            raise ValueError(f"decode: {name} must be a positive number; found {shown(found)}")
    numeric = np.issubdtype(grid.dtype, np.number)
    if not numeric and (step is not None or period is not None):
        raise ValueError("decode: step and period are for values that are numbers")
    if numeric and not np.isfinite(grid).all():
        raise ValueError("decode: values holds NaN or infinity; give finite numbers")
    if (step is not None or period is not None) and not (np.diff(grid) > 0).all():
        raise ValueError("decode: values must ascend where step or period is given; sort them")
    if period is not None and grid[-1] - grid[0] >= period:
        raise ValueError(
            f"decode: values from {grid[0]:g} to {grid[-1]:g} reach around the period of {period:g}; leave out its end"
        )
    return grid


def _check_prior(prior: Any, n: int) -> np.ndarray:
    """Probabilities of the values."""
    if prior is None:
        return np.full(n, 1 / n)
    found = np.asarray(prior, float)
    if found.shape != (n,) or not (np.isfinite(found).all() and (found >= 0).all() and found.sum() > 0):
        raise ValueError(f"decode: prior must hold {n:,} numbers of at least 0, some above it; found {shown(prior)}")
    return found / found.sum()


def _check_present_alone(design: Design, columns: dict[str, Any], variable: str, grid: np.ndarray) -> None:
    """Complain unless the variable counts in the design, at the same sample alone."""
    before = design.transform(columns).to_numpy()
    other = _replaced(columns, variable, np.where(np.arange(len(before)) % 2, grid[0], columns[variable]))
    after = design.transform(other).to_numpy()
    if np.array_equal(before, after):
        last = _replaced(columns, variable, np.full(len(before), grid[-1]))
        if np.array_equal(before, design.transform(last).to_numpy()):
            raise ValueError(f"decode: no term of the design depends on {variable!r}")
    if not np.array_equal(before[::2], after[::2]):
        raise ValueError(
            f"decode: a term looks at the past or future of {variable!r}, so its value at a sample says little; fit "
            "a design whose terms of it have no lags"
        )


def _replaced(columns: dict[str, Any], variable: str, values: np.ndarray) -> dict[str, Any]:
    return {**columns, variable: values}


def _log_likelihoods(
    model: Any,
    means: Callable[[np.ndarray], np.ndarray],
    y: np.ndarray,
    weight: np.ndarray,
    recorded: np.ndarray,
    grid: np.ndarray,
) -> np.ndarray:
    """log p(y_t | v) of every sample and value (n_samples, n_values), NaN where no fold held the sample out."""
    own = means(recorded)
    rows = np.isfinite(own).all(axis=1) & np.isfinite(y).all(axis=1)
    used = np.flatnonzero(~(model.null_fitted_ | ~np.isfinite(model.lambda_))).tolist()
    families = {j: family_of(model, model.family_parameters_, j) for j in used}
    ones = np.ones(rows.sum())
    phi = {j: one.dispersion(_predictor(one, own[rows, j]), y[rows, j], ones) for j, one in families.items()}
    found = np.full((len(y), len(grid)), np.nan)
    for k, value in enumerate(grid):
        mean = means(np.full(len(y), value))
        each = [
            weight[rows, j] * one.log_density(_predictor(one, mean[rows, j]), y[rows, j], phi[j])
            for j, one in families.items()
        ]
        found[rows, k] = np.sum(each, axis=0) if each else 0.0
    return found


def _predictor(family: Family, mean: np.ndarray) -> np.ndarray:
    """The linear predictor of means; one that has been rounded to an end of their range is taken for one beside it."""
    low, high = family.link.means
    return family.link.link(np.clip(mean, np.nextafter(low, high), np.nextafter(high, low)))


def _normalised(logs: np.ndarray) -> np.ndarray:
    """Probabilities of logarithms up to a constant for each row."""
    found = np.exp(logs - logs.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)


def _moves(grid: np.ndarray, step: float, period: float | None) -> np.ndarray:
    """Probabilities to go from a value (rows) to another within a sample."""
    apart = np.abs(grid[:, None] - grid)
    if period is not None:
        apart = np.minimum(apart, period - apart)
    return _normalised(-0.5 * (apart / step) ** 2)


def _smoothed(logs: np.ndarray, moves: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Posteriors given all samples of a trial, by the forward-backward algorithm."""
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    forward, backward = np.empty_like(likelihood), np.ones_like(likelihood)
    now = prior
    for t, own in enumerate(likelihood):
        now = own * (now if t == 0 else now @ moves)
        # no value is possible where the walk cannot reach what the activity says: it begins anew
        now = now / now.sum() if now.sum() > 0 else own / own.sum()
        forward[t] = now
    for t in range(len(likelihood) - 2, -1, -1):
        now = moves @ (likelihood[t + 1] * backward[t + 1])
        backward[t] = now / now.sum() if now.sum() > 0 else 1.0
    found = forward * backward
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1), forward)


def _dataset(
    posterior: np.ndarray, recorded: np.ndarray, grid: np.ndarray, variable: str, period: float | None
) -> xr.Dataset:
    """The posterior and what it says."""
    known = np.isfinite(posterior).all(axis=1)
    numeric = np.issubdtype(grid.dtype, np.number)
    best = grid[np.argmax(np.where(known[:, None], posterior, 0), axis=1)]
    found = {
        "posterior": (("sample", "value"), posterior),
        "most_likely": ("sample", np.where(known, best, np.nan) if numeric else np.where(known, best, "")),
        "recorded": ("sample", recorded),
    }
    if numeric:
        mean, sd = _moments(posterior, grid.astype(float), period)
        found |= {"mean": ("sample", mean), "sd": ("sample", sd)}
    return xr.Dataset(found, coords={"value": grid}, attrs={"variable": variable})


def _moments(posterior: np.ndarray, grid: np.ndarray, period: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every sample's posterior; of directions where there is a period."""
    if period is None:
        mean = posterior @ grid
        return mean, np.sqrt(np.maximum(posterior @ grid**2 - mean**2, 0))
    z = posterior @ np.exp(2j * np.pi * grid / period)
    mean = grid[0] + (np.angle(z) / (2 * np.pi) * period - grid[0]) % period
    with np.errstate(divide="ignore"):
        return mean, np.sqrt(-2 * np.log(np.minimum(np.abs(z), 1))) * period / (2 * np.pi)

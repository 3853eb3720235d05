"""What the population says of a variable: its posterior at every sample, by the fitted model and Bayes' rule."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_fitted, check_room, is_number
from popglm.design import Design
from popglm.design.levels import as_levels, match_levels
from popglm.design.uses import looks_elsewhere, takes_as_number, terms_of, unknown_values
from popglm.estimators.base import PopulationGLM
from popglm.estimators.validation import check_offset, check_weights, over_neurons
from popglm.explain.contributions import check_design_matrix, check_held_out_rows, rows_of, warn_of_other_data
from popglm.explain.fitted_samples import family_of
from popglm.explain.given_models import check_activity, check_cross_validated, check_model
from popglm.explain.random_walks import RandomWalk, normalised, steps_between
from popglm.explain.trials import check_trials
from popglm.frames import as_pandas
from popglm.labels import Rows, row_labels
from popglm.messages import listed, shown
from popglm.statistics.families.contract import Family
from popglm.warnings import PopglmWarning, warn

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
        NaN where a neuron was not recorded: it says nothing of that sample.
    variable : str
    values : array-like, shape (n_values,)
        Among which the variable is sought: positions, names of stimuli, or False and True.
    prior : array-like, shape (n_values,), optional
        Probabilities of the values, up to a factor; equal unless given.
    step : float, optional
        Standard deviation of the variable's change from a sample to the next, in its units. With it, the posterior of a
        sample rests on all samples of its trial: a random walk among the values, from the prior. Without, on the sample
        alone. The walk takes a step through every sample, recorded or held out or not; and as many as are missing
        where row labels are times and a trial has a gap (a step above 1.5 × the median).
    period : float, optional
        Of an angle or a circular track: the ends of the values are neighbours, and means are of directions.
    trial : array-like, shape (n_samples,), optional
        The random walk begins anew where it changes. One trial unless given.
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
        A sample in which no neuron was recorded has the posterior of the walk, or without ``step`` the prior.
        ``most_likely`` and ``recorded`` are booleans, numbers or text as `values` are. Where no fold held the sample
        out ``most_likely`` is "" for text, else NaN: whole numbers are floats then, and booleans objects.

    Raises
    ------
    ValueError, TypeError
        If `variable` is no variable of the design, or a term looks at its past or future; if there are fewer than two
        values, one is there twice, the design knows none of them, or they do not ascend where `step` or `period` is
        given; if row labels are times that do not increase within a trial, with `step`; if an argument is not as above;
        if the model is not cross-validated (unless ``held_out=False``).

    Warns
    -----
    PopglmWarning
        If session and Y are as many samples as in the fit, but predicted worse or better than there; if the design
        does not know some of the values: no bump reaches them, no spline was fitted there, or they are no category.

    Notes
    -----
    Neurons are independent given the variables of the design, so

    .. math:: p(v \mid y_t, x_t) \propto p(v) \prod_j p(y_{tj} \mid \mu_j(v, x_t)),

    with the densities of the family, over the neurons j that were recorded. A dispersion is estimated as in
    `goodness_of_fit`, but from the predictions that are used here: for Gaussian activity it is the mean squared error
    of held-out predictions, or with ``held_out=False`` of those of the fit. With history or coupling terms, spikes that
    have come before are among :math:`x_t`. The random walk is summed over by the forward-backward algorithm.
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
    grid = _check_values(values, step, period)
    prior = _check_prior(prior, len(grid))
    columns, index = _columns(session, variable)
    _check_uses(design, variable, grid)
    n = len(columns[variable])
    if held_out:
        check_held_out_rows(model, n, "decode", "the session has {} samples")
    index = None if index is None or len(index) != n else index
    labels = rows_of(model, None if index is None else pd.Series(0, index), held_out)
    columns = _in_order(columns, index, n, labels.given)
    y = check_activity(model, Y, n, labels)
    if sample_weight is not None and not model.loss_.has_trials:
        raise ValueError(
            f"decode: sample_weight stands for trials of binomial activity; this model has family={model.family!r}, of "
            "which every sample says what it says. Leave sample_weight out."
        )
    weight = np.broadcast_to(over_neurons(check_weights(sample_weight, n, model.neuron_names_, labels)), y.shape)
    trials = np.zeros(n, int) if trial is None else check_trials(trial, n, labels)
    taken = np.ones(n, int) if step is None else steps_between(labels.labels, trials, "decode")
    check_room(f"decode: a posterior of {len(grid):,} values at {n:,} samples", 8.0 * n * len(grid))
    beside = check_offset(model, offset, n, labels, "decode")
    X = design.transform(columns)
    if held_out:
        given = None if sample_weight is None else weight
        warn_of_other_data(model, check_design_matrix(model, X, "decode", held_out=True), y, given, beside, "decode")
    predict = partial(model.predict_held_out if held_out else model.predict, offset=beside)
    own = np.asarray(predict(X), float).reshape(y.shape)

    def means(value: Any) -> np.ndarray:
        with warnings.catch_warnings():
            # what there is to say of the values has been said, and of the samples too
            warnings.simplefilter("ignore", PopglmWarning)
            X = design.transform({**columns, variable: pd.Series(np.full(n, value), columns[variable].index)})
            return np.asarray(predict(X), float).reshape(y.shape)

    logs = _log_likelihoods(model, own, means, y, weight, grid)
    if step is None:
        with np.errstate(divide="ignore"):
            posterior = normalised(logs + np.log(prior))
    else:
        walk, borders = RandomWalk(grid.astype(float), step, period), np.flatnonzero(np.diff(trials)) + 1
        pieces = np.split(np.arange(n), borders)
        posterior = np.concatenate([walk.posterior(logs[rows], prior, taken[rows]) for rows in pieces])
    if held_out:
        posterior[model.fold_ < 0] = np.nan
    back = slice(None) if labels.given is None else np.argsort(labels.given)
    return _dataset(posterior[back], columns[variable].to_numpy()[back], grid, variable, period)


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
    if columns[variable].ndim != 1:
        raise ValueError(
            f"decode: variable {variable!r} must have one value per sample; found shape {columns[variable].shape}"
        )
    return columns, rows.labels


def _in_order(columns: dict[str, Any], index: pd.Index | None, n: int, order: np.ndarray | None) -> dict[str, Any]:
    """Variables with the labels of their samples, at whose gaps in time terms of the past end; all in an order."""
    rows = np.arange(n) if order is None else order
    labels = None if index is None else index[rows]
    return {name: pd.Series(one[rows], labels) if one.shape == (n,) else one for name, one in columns.items()}


def _check_values(values: Any, step: float | None, period: float | None) -> np.ndarray:
    """The values among which to seek."""
    try:
        grid = _plain(values)
    except ValueError:  # values of several lengths
        grid = np.zeros(0)
    if grid.ndim != 1 or len(grid) < 2:
        raise ValueError(f"decode: values must be at least two different ones, (n_values,); found {shown(values)}")
    for name, found in (("step", step), ("period", period)):
        if found is not None and not (is_number(found) and found > 0):
            raise ValueError(f"decode: {name} must be a positive number; found {shown(found)}")
    numeric = _is_numeric(grid)
    if not numeric and (step is not None or period is not None):
        raise ValueError("decode: step and period are for values that are numbers")
    if numeric and not np.isfinite(grid).all():
        raise ValueError("decode: values holds NaN or infinity; give finite numbers")
    if pd.isna(grid).any():
        raise ValueError(f"decode: values holds a missing one, number {int(pd.isna(grid).argmax())}; leave it out")
    again = pd.Series(grid).duplicated()
    if again.any():
        one = grid[again.argmax()]
        raise ValueError(
            f"decode: values holds {shown(one)} {'twice' if (grid == one).sum() == 2 else 'more than twice'}; give "
            "every value once"
        )
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


def _check_uses(design: Any, variable: str, grid: np.ndarray) -> None:
    """Complain unless the variable counts in the design, at the same sample alone; warn of values it does not know."""
    if not isinstance(design, Design):
        raise TypeError(f"decode: design must be the Design of the fit; found {shown(design)}")
    check_fitted(design, "columns_", "decode")
    terms = terms_of(design.terms_.values(), variable)
    if not terms:
        names = dict.fromkeys(name for term in design.terms_.values() for name in term.variables)
        read = listed(map(repr, names))
        raise ValueError(f"decode: no term of the design depends on {shown(variable)}; they depend on {read}")
    for term in terms:
        if looks_elsewhere(term, variable):
            raise ValueError(
                f"decode: the term {term.name!r} looks at the past or future of {variable!r}, so its value at a sample "
                "says little; fit a design whose terms of it have no lags"
            )
        if takes_as_number(term, variable) and not (_is_numeric(grid) or grid.dtype.kind == "b"):
            raise ValueError(
                f"decode: values must be numbers, as which the term {term.name!r} takes {variable!r}; found "
                f"{shown(grid.tolist())}"
            )
    outside, reasons = unknown_values(terms, variable, grid)
    if not outside.any():
        return
    why = "; ".join(dict.fromkeys(filter(None, reasons)))
    if outside.all():
        raise ValueError(f"decode: values holds none that the design knows for {variable!r}: {why}. Give others.")
    warn(
        f"decode: values holds {outside.any(axis=0).sum():,} of {len(grid):,} that the design does not know for "
        f"{variable!r}: {why}. What the posterior says of them rests on nothing that was recorded; leave them out."
    )


def _log_likelihoods(
    model: Any,
    own: np.ndarray,
    means: Callable[[Any], np.ndarray],
    y: np.ndarray,
    weight: np.ndarray,
    grid: np.ndarray,
) -> np.ndarray:
    """log p(y_t | v) of every sample and value (n_samples, n_values), 0 where no neuron says anything.

    ``own`` are means at the recorded values, and ``means`` gives those at another one; both (n_samples, n_neurons).
    """
    said = np.isfinite(own) & np.isfinite(y)
    used = np.flatnonzero(~(model.null_fitted_ | ~np.isfinite(model.lambda_)) & said.any(axis=0)).tolist()
    families = {j: family_of(model, model.family_parameters_, j) for j in used}
    rows = {j: slice(None) if said[:, j].all() else np.flatnonzero(said[:, j]) for j in used}
    phi = {
        j: one.dispersion(_predictor(one, own[rows[j], j]), y[rows[j], j], np.ones(said[:, j].sum()))
        for j, one in families.items()
    }
    found = np.zeros((len(grid), len(y)))
    for total, value in zip(found, grid, strict=True):
        mean = means(value)
        for j, one in families.items():
            own_rows = rows[j]
            logs = one.log_density(_predictor(one, mean[own_rows, j]), y[own_rows, j], phi[j])
            total[own_rows] += weight[own_rows, j] * logs
    return np.ascontiguousarray(found.T)


def _predictor(family: Family, mean: np.ndarray) -> np.ndarray:
    """The linear predictor of means; one that has been rounded to an end of their range is taken for one beside it."""
    low, high = family.link.means
    return family.link.link(np.clip(mean, np.nextafter(low, high), np.nextafter(high, low)))


def _dataset(
    posterior: np.ndarray, recorded: np.ndarray, grid: np.ndarray, variable: str, period: float | None
) -> xr.Dataset:
    """The posterior and what it says."""
    known = np.isfinite(posterior).all(axis=1)
    best = grid[np.argmax(np.where(known[:, None], posterior, 0), axis=1)]
    found = {
        "posterior": (("sample", "value"), posterior),
        "most_likely": ("sample", _where(known, best)),
        "recorded": ("sample", _alike(recorded, grid)),
    }
    if _is_numeric(grid):
        mean, sd = _moments(posterior, grid.astype(float), period)
        found |= {"mean": ("sample", mean), "sd": ("sample", sd)}
    return xr.Dataset(found, coords={"value": grid}, attrs={"variable": variable})


def _is_numeric(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf"


def _plain(values: Any) -> np.ndarray:
    """An array of numbers, booleans or text, where values of any type are of one of these kinds."""
    found = np.asarray(values)
    if found.dtype.kind != "O" or found.ndim != 1:
        return found
    if all(isinstance(one, str) for one in found):
        return found.astype(str)
    return pd.Series(found).infer_objects().to_numpy()


def _alike(recorded: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """What was recorded in the kind of the values: booleans for booleans, though recorded as 0 and 1."""
    found = _plain(recorded)
    if found.dtype.kind == grid.dtype.kind or (_is_numeric(found) and _is_numeric(grid)):
        return found
    places, missing = match_levels(as_levels(grid), pd.Series(found)), pd.isna(found)
    # one that is none of the values keeps all as they were recorded
    return found if (places[~missing] < 0).any() else _where(~missing, grid[places])


def _where(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values, missing where they are not known: "" for text, else NaN, beside which booleans are objects."""
    if known.all():
        return values
    if values.dtype.kind in "US":
        return np.where(known, values, values.dtype.type())
    return pd.Series(values).where(known).to_numpy()


def _moments(posterior: np.ndarray, grid: np.ndarray, period: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every sample's posterior; of directions where there is a period."""
    if period is None:
        mean = posterior @ grid
        return mean, np.sqrt(np.maximum(posterior @ grid**2 - mean**2, 0))
    z = posterior @ np.exp(2j * np.pi * grid / period)
    mean = grid[0] + (np.angle(z) / (2 * np.pi) * period - grid[0]) % period
    with np.errstate(divide="ignore"):
        return mean, np.sqrt(-2 * np.log(np.minimum(np.abs(z), 1))) * period / (2 * np.pi)

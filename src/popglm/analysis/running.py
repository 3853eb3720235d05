"""A recipe's steps: the session, the grid of time, the design matrix and the fit."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.model_selection import GroupShuffleSplit

from popglm.analysis.faults import as_of_recipe
from popglm.analysis.kinds import Model, kind_of, make_model, of_fit
from popglm.analysis.neurons import mask_of, neuron_table, with_activity_of
from popglm.analysis.recipe import Recipe
from popglm.analysis.responses import responses_of, table_of_responses
from popglm.analysis.schema import Source, VariableOfRecipe
from popglm.checks import is_number
from popglm.design import Design
from popglm.design.variables import starts_of_trials
from popglm.estimators import GLMCV, TwoPartGLM
from popglm.messages import listed, shown
from popglm.recording import Session, Variable
from popglm.recording.reading import read
from popglm.recording.trial_numbers import lines_of_trials, signals_of_trials
from popglm.statistics.families import get_family

__all__ = ["Matrices", "build", "check_activity", "fit_recipe", "grid_of", "session_of", "trial_source"]

#: Of `GLMCV`.
DEFAULT_FAMILY = inspect.signature(GLMCV).parameters["family"].default


def session_of(recipe: Recipe, given: Session | None = None) -> Session:
    """The session that a recipe names, or one that is given in its place, its clocks mended as the recipe says."""
    data = recipe.content.data
    session = _read(recipe, data, ("data",)) if given is None else given
    for k, other in enumerate(data.also):
        source = Source(path=other) if isinstance(other, str) else other
        session = session.joined(_read(recipe, source, ("data", "also", k)), Path(source.path).stem)
    content = recipe.content
    for key in {**content.clock_scale, **content.clock_shift, **content.clock_rate, **content.clock_order}:
        # "spks" are all of "spks/plane_0", "spks/plane_1" …
        below = [name for name in session.activity if name.startswith(f"{key}/")]
        for name in below if below and key not in session.activity else [key]:
            try:
                session = session.mend_clock(
                    name,
                    scale=content.clock_scale.get(key, 1.0),
                    shift=content.clock_shift.get(key, 0.0),
                    rate=content.clock_rate.get(key),
                    order=content.clock_order.get(key),
                )
            except ValueError as error:
                tables = ("clock_scale", "clock_shift", "clock_rate", "clock_order")
                table = next(table for table in tables if key in getattr(content, table))
                raise ValueError(f"{recipe.place((table, key))}: {error}") from None
    trials = content.trials
    if trials.where is not None:
        if not isinstance(trials.source, str) or trials.source not in session.intervals:
            raise ValueError(f"{recipe.place(('trials', 'where'))}: only intervals of the session can be filtered")
        try:
            session = session.where(trials.source, trials.where)
        except ValueError as error:
            raise ValueError(f"{recipe.place(('trials', 'where'))}: {error}") from None
    return session


def _read(recipe: Recipe, source: Source, place: tuple[Any, ...]) -> Session:
    """One of the recipe's files."""
    path = source.path if "://" in source.path else str((recipe.path.parent / source.path).resolve())
    try:
        return read(path, source.format, **source.options)
    except (ValueError, TypeError, OSError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else type(error)
        message = f"{recipe.place(place)}: {source.path}: {error}"
        raise (kind(message) if kind in (FileNotFoundError, TypeError) else ValueError(message)) from None


def trial_source(recipe: Recipe, session: Session) -> Any:
    """Where trials come from, as `Session.regrid` takes it; none where the session has no table of trials."""
    source = recipe.content.trials.source
    if source == "trials" and "trials" not in session.intervals and "trials" not in session.signals:
        likely = signals_of_trials(session)
        known = (
            f"{listed(map(repr, likely))} {'look' if len(likely) > 1 else 'looks'} like trial numbers: "
            f"{' and '.join(lines_of_trials(*next(iter(likely.items()))))}"
            if likely
            else "name intervals, a signal of trial numbers, a pair of events, or the length of blocks in seconds: "
            "trials.source = 30"
        )
        raise ValueError(f"{recipe.place(('trials',))}: the session has no table of trials; {known}")
    return source


def grid_of(recipe: Recipe, session: Session) -> xr.Dataset:
    """The session on the recipe's grid of time."""
    content = recipe.content
    needed = recipe.variables_read()
    variables: dict[str, Any] = dict(content.variables or {})
    for name in needed:
        variables.setdefault(name, name)
    chosen = {
        name: Variable(**one.model_dump()) if isinstance(one, VariableOfRecipe) else Variable(one)
        for name, one in variables.items()
    }
    try:
        data = session.regrid(
            content.grid.dt,
            clock=content.grid.series,
            activity=content.data.activity,
            variables=chosen,
            trials=trial_source(recipe, session),
            neurons=content.neurons,
            no_trial=content.trials.none,
        )
        # before trials are kept for the test, of which each is in order
        starts_of_trials(pd.Series(data["trial"].values), str(content.trials.source))
    except ValueError as error:
        raise ValueError(as_of_recipe(recipe, error, {name: one.source for name, one in chosen.items()})) from error
    if "activity" not in data and not content.fit.responses:
        raise ValueError(f"{recipe.place(('data',))}: the session has no activity to fit")
    if "activity" in data and content.data.activity_scale != 1:
        data["activity"] = (data["activity"] * content.data.activity_scale).astype(data["activity"].dtype)
    return data


@dataclass(frozen=True)
class Matrices:
    """What is fitted, and what is kept for the test.

    Attributes
    ----------
    design : Design
        Fitted to the rows of the fit alone.
    X : DataFrame, shape (n_rows, n_features)
    Y : DataArray, shape (n_rows, n_neurons)
        Activity; of a classifier the labels of its responses.
    trial : ndarray, shape (n_rows,)
    fitted : ndarray of bool, shape (n_samples,)
        Rows of the grid that are fitted; the others are of the trials kept for the test.
    X_test : DataFrame, or None
    Y_test : DataArray, shape (n_rows, n_neurons)
        Of the rows that are not fitted.
    mask : DataFrame of bool, shape (n_groups, n_neurons), or None
        Which neurons each feature group may explain.
    given, given_test : dict of str to ndarray, shape (n_rows,)
        ``sample_weight`` and ``offset``, where the recipe names them, of the fit and of the test; offsets of parts are
        a dict of such arrays.
    """

    design: Design
    X: pd.DataFrame
    Y: xr.DataArray
    trial: np.ndarray
    fitted: np.ndarray
    X_test: pd.DataFrame | None
    Y_test: xr.DataArray
    mask: pd.DataFrame | None = None
    given: dict[str, Any] = field(default_factory=dict)
    given_test: dict[str, Any] = field(default_factory=dict)

    def of_neurons(self, neurons: slice) -> Matrices:
        """The same for some of the neurons."""
        mask = None if self.mask is None else self.mask.iloc[:, neurons]
        return replace(self, Y=self.Y.isel(neuron=neurons), Y_test=self.Y_test.isel(neuron=neurons), mask=mask)


def build(recipe: Recipe, data: xr.Dataset) -> Matrices:
    """The design matrix and the activity of the rows that are fitted, and of those that are kept for the test."""
    trial = data["trial"].values
    fitted = np.ones(len(trial), bool)
    test = recipe.content.test
    if test is not None:
        if len(np.unique(trial)) < 2:
            raise ValueError(f"{recipe.place(('test',))}: a single trial cannot be split into fit and test")
        splitter = GroupShuffleSplit(n_splits=1, test_size=test.fraction, random_state=test.seed)
        fitted[next(splitter.split(trial, groups=trial))[1]] = False
    given = _given(recipe, data)
    neurons = neuron_table(data)
    design = recipe.design(float(data.attrs["bin_width"]), neurons)
    session = with_activity_of(data, design)
    try:
        X = design.fit_transform(session.isel(time=fitted))
        X_test = design.transform(session.isel(time=~fitted)) if not fitted.all() else None
    except ValueError as error:
        raise ValueError(as_of_recipe(recipe, error, {name: name for name in recipe.variables_read()})) from error
    responses = recipe.content.fit.responses
    Y = responses_of(data, responses) if responses else data["activity"]
    try:
        mask = mask_of(recipe.content.masks, design, table_of_responses(responses) if responses else neurons)
    except KeyError as error:
        key, fault = error.args
        raise ValueError(f"{recipe.place(('masks', key))}: {fault}") from None
    labels = _labels_by_text(Y) if responses else {}
    in_fit, in_test = (_by_argument(given, rows, labels) for rows in (fitted, ~fitted))
    rows = Y.isel(time=fitted), Y.isel(time=~fitted)
    return Matrices(design, X, rows[0], trial[fitted], fitted, X_test, rows[1], mask, in_fit, in_test)


def _given(recipe: Recipe, data: xr.Dataset) -> dict[str, np.ndarray]:
    """Sample weights and the offset of every bin, where the recipe names them."""
    found = {}
    for argument, name in recipe.content.fit.beside.items():
        values = data[name].values
        place = recipe.place(("fit", *[key for key in argument.split(".", 1) if key]))
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{place}: {name!r} holds {shown(values[0])}; {argument} must be a variable of numbers")
        values = values.astype(np.float64)
        unknown = int(np.isnan(values).sum())
        if unknown:
            raise ValueError(
                f"{place}: {name!r} is unknown in {unknown:,} of {len(values):,} bins, but every bin needs its "
                f"{argument}; leave such trials out with trials.where, or name a variable that is known everywhere"
            )
        found[argument] = values
    return found


def _labels_by_text(Y: xr.DataArray) -> dict[str, Any]:
    """Labels of classes by their names in a recipe."""
    known = [one for one in pd.unique(Y.values.ravel()) if one is not None]
    return {str(int(one) if is_number(one) and one == int(one) else one): one for one in known}


def _by_argument(given: dict[str, np.ndarray], rows: np.ndarray, labels: dict[str, Any]) -> dict[str, Any]:
    """Some rows of what is given, as ``fit`` takes it: what has a dot in its name is for a part, or for a class."""
    found: dict[str, Any] = {}
    for name, values in given.items():
        argument, _, part = name.partition(".")
        if part:
            found.setdefault(argument, {})[labels.get(part, part)] = values[rows]
        else:
            found[argument] = values[rows]
    return found


def check_activity(recipe: Recipe, matrices: Matrices) -> None:
    """Complain of activity that no model takes, or not that of the recipe's family, with the neuron and the time.

    Raises
    ------
    ValueError
    """
    Y, model = matrices.Y.transpose("time", "neuron"), recipe.content.model
    values, kind = Y.values, kind_of(model)
    if kind == "ClassifierGLMCV":
        return
    faults: list[tuple[np.ndarray, str, tuple[str, ...], str]] = [
        (np.isinf(values), "an infinite value", ("data",), "put NaN there in the file, for unknown")
    ]
    # a family that is not there is told where the model is made, and so is activity that is not in two parts
    with suppress(ValueError, TypeError):
        family = get_family(model.get("family", DEFAULT_FAMILY), model.get("inverse_link"))
        what, remedy = family.out_of_range
        if kind != "TwoPartGLM":
            faults.append((family.is_outside(values), what, ("model", "family"), remedy.rstrip(".")))
    for is_wrong, what, place, remedy in faults:
        wrong = is_wrong.any(axis=0)
        if not wrong.any():
            continue
        j = int(np.argmax(wrong))
        bins = np.flatnonzero(is_wrong[:, j])
        others = f", as in {int(wrong.sum()) - 1:,} other neurons" if wrong.sum() > 1 else ""
        name, first = str(Y["neuron"].values[j]), float(Y["time"].values[bins[0]])
        raise ValueError(
            f"{recipe.place(place)}: the activity of neuron {name!r} holds {what} in {len(bins):,} of {len(values):,} "
            f"bins{others}, first at {first:.9g} s: "
            f'{values[bins[0], j]:g}; {remedy}, or leave the neuron out with neurons = "…"'
        )


def fit_recipe(recipe: Recipe, matrices: Matrices, verbose: int = 0, **fit_options: Any) -> Model:
    """The model of a recipe, fitted; with ``verbose`` a progress bar is shown, if the model has one.

    Raises
    ------
    TypeError, ValueError, OSError
        As of the model, with the line of the recipe.
    """
    options, kind = recipe.content.model, kind_of(recipe.content.model)
    taken = of_fit(kind)
    check_activity(recipe, matrices)
    labels = list(pd.unique(matrices.Y.values.ravel())) if kind == "ClassifierGLMCV" else []
    given = {"groups": matrices.trial, **matrices.given, **fit_options}
    try:
        model = make_model(options, matrices.design.groups_, labels, feature_mask=matrices.mask, verbose=verbose)
    except KeyError as error:
        keys, fault = error.args
        raise ValueError(f"{recipe.place(('model', *keys))}: {fault}") from None
    try:
        model.fit(matrices.X, matrices.Y, **{name: one for name, one in given.items() if name in taken})
        # a progress bar is of this fit, not of the model that is kept
        for part in (model.events_, model.amounts_) if isinstance(model, TwoPartGLM) else (model,):
            if "verbose" in part.get_params(deep=False):
                part.set_params(verbose=0)
        return model
    except (ValueError, TypeError) as error:
        raise type(error)(f"{recipe.place(_keys_of_fault(recipe, str(error)))}: {error}") from error


def _keys_of_fault(recipe: Recipe, message: str) -> tuple[str, ...]:
    """Where a recipe says what the fit complains of: an argument of the model, or a variable beside the fit."""
    options, fit = recipe.content.model, recipe.content.fit
    inner = [(name, key) for name, table in options.items() if isinstance(table, dict) for key in table]
    every = [*((name,) for name in options), *inner]
    # what a message begins with is what it is about; of two tables of one name, that whose entry it shows
    first = [keys for keys in every if message.startswith((f"{keys[-1]}=", f"{keys[-1]} "))]
    shows = [keys for keys in first if len(keys) > 1 and _shows(options[keys[0]][keys[1]], message)]
    for keys in [*shows, *first, *every]:
        if f"{keys[-1]}=" in message or f"{keys[-1]} " in message:
            return ("model", *keys)
    if fit.responses and message.startswith(("y ", "Unknown label type")):
        return ("fit", "response")
    arguments = dict.fromkeys(name.partition(".")[0] for name in fit.beside)
    return next((("fit", name) for name in arguments if name in message), ("model",))


def _shows(table: Any, message: str) -> bool:
    """Whether a message shows an entry of a table, or its name."""
    return isinstance(table, dict) and any(repr(one) in message for one in table.values() if isinstance(one, str))

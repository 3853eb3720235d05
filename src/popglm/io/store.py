"""Fitted models as xarray Datasets, and those in netCDF files."""

from __future__ import annotations

import json
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.engines import as_numpy
from popglm.estimators import GLM, GLMCV
from popglm.io.files import check_source, check_target, write_whole
from popglm.labels import is_counted
from popglm.solve.first_order import FirstOrder

__all__ = ["load", "save", "to_dataset"]

_DIMENSIONS = {
    "coef_path_": ("strength", "neuron", "feature"),
    "intercept_path_": ("strength", "neuron"),
    "gap_": ("strength", "neuron"),
    "n_iter_": ("strength", "neuron"),
    "loss_path_": ("strength", "neuron"),
    "_lambda_grid": ("strength", "neuron"),
    "deviance_explained_path_": ("strength", "neuron"),
    "lambda_index_": ("neuron",),
    "null_intercept_": ("neuron",),
    "n_events_": ("neuron",),
    "null_margin_": ("neuron",),
    "cv_null_intercept_": ("fold", "neuron"),
    "cv_null_model_deviance_": ("fold", "neuron"),
    "lambda_": ("neuron",),
    "n_lambdas_fitted_": ("neuron",),
    "null_fitted_": ("neuron",),
    "fold_": ("sample",),
    "cv_coef_path_": ("fold", "strength", "neuron", "feature"),
    "cv_intercept_path_": ("fold", "strength", "neuron"),
    "cv_deviance_": ("fold", "strength", "neuron"),
    "cv_gap_": ("fold", "strength", "neuron"),
    "cv_n_iter_": ("fold", "strength", "neuron"),
    "cv_null_deviance_": ("neuron",),
    "cv_deviance_explained_path_": ("strength", "neuron"),
    "cv_deviance_explained_": ("neuron",),
}

#: Arrays that some models do without, and those that only cross-validation makes.
_OPTIONAL = ("coef_path_", "intercept_path_", "deviance_explained_path_", "loss_path_", "n_lambdas_fitted_")
_OF_FOLDS = tuple(name for name in _DIMENSIONS if name.startswith(("cv_", "fold_", "n_lambdas_fitted_")))
#: What the description of a model says in every revision.
_DESCRIBED = (
    *("parameters", "one_neuron", "held_out_once", "folds_train_on_the_rest", "own_grids", "n_features_in"),
    *("group_names", "group_sizes", "timings"),
)


def to_dataset(model: GLM | GLMCV) -> xr.Dataset:
    """All fitted arrays of a model with named dimensions.

    Parameters
    ----------
    model : GLM or GLMCV
        Fitted.

    Returns
    -------
    xarray.Dataset
        Variables named like the attributes, without the underscores around them; `lambdas` (strength, neuron);
        `coef` and `intercept` at the chosen strengths.

    Examples
    --------
    >>> import numpy as np
    >>> from popglm import GLM
    >>> model = GLM(family="gaussian").fit(np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0))
    >>> sorted(model.to_xarray().sizes.items())
    [('feature', 2), ('neuron', 1), ('strength', 20)]
    """
    variables = {
        _stored(name): (dims, getattr(model, name))
        for name, dims in _DIMENSIONS.items()
        if getattr(model, name, None) is not None
    }
    if model.coef_path_ is not None:
        variables["coef"] = (("neuron", "feature"), np.atleast_2d(model.coef_))
        variables["intercept"] = (("neuron",), np.atleast_1d(model.intercept_))
    groups = np.repeat(model.feature_group_names_, model.feature_group_sizes_)
    return xr.Dataset(variables, coords={"neuron": model.neuron_names_, "group": ("feature", np.asarray(groups, str))})


def save(model: GLM | GLMCV, path: str | Path) -> None:
    """Write a fitted model to a netCDF file, whole or not at all.

    The file is written beside ``path`` and takes its place at the end, so that a file that was there before stays whole
    until then, whatever happens.

    Parameters
    ----------
    model : GLM or GLMCV
        Fitted.
    path : path-like
        A new file, or one to replace.

    Raises
    ------
    TypeError
        If `path` is no path.
    ValueError
        If its folder does not exist, or it names something that is no regular file.
    OSError
        If the file cannot be written, for lack of room or of permission.

    Examples
    --------
    >>> import numpy as np, tempfile, os, popglm
    >>> model = popglm.GLM(family="gaussian").fit(np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(os.path.join(folder, "model.nc"))
    ...     again = popglm.load(os.path.join(folder, "model.nc"))
    >>> np.array_equal(again.coef_, model.coef_)
    True
    """
    path = check_target(path)
    parameters = {name: _plain(name, value) for name, value in model.get_params().items()}
    if not isinstance(parameters.get("cv", 0), int):
        parameters["cv"] = len(model.cv_deviance_)
    data = to_dataset(model)
    names = getattr(model, "feature_names_in_", None)
    data.attrs["popglm_model"] = json.dumps(
        {
            "class": type(model).__name__,
            "parameters": parameters,
            "one_neuron": bool(model._one_neuron),
            "held_out_once": bool(getattr(model, "_held_out_once", False)),
            "folds_train_on_the_rest": _trains_on_the_rest(model),
            "own_grids": model.lambdas_.ndim == 2,
            "n_features_in": int(model.n_features_in_),
            "feature_names": None if names is None else [_plain_label(name) for name in names],
            "neurons_are_named": model._neurons_are_named,
            "scaling": None if model._scaling is None else model._scaling.tolist(),
            "fitted_with_offset": model.fitted_with_offset_,
            "fitted_with_sample_weight": getattr(model, "fitted_with_sample_weight_", None),
            "far_from_zero": getattr(model, "_far_from_zero", None),
            "rule": getattr(model, "_rule", None),
            "group_names": list(model.feature_group_names_),
            "group_sizes": [int(size) for size in model.feature_group_sizes_],
            "timings": model.timings_,
        }
    )
    data = data.assign(_store_rows(model))
    write_whole(path, lambda beside: data.to_netcdf(beside, engine="h5netcdf"), data.nbytes)


def load(path: str | Path) -> GLM | GLMCV:
    """Read a model that `GLM.save` or `GLMCV.save` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    GLM or GLMCV
        Fitted, without its training data. A splitter given as ``cv`` comes back as its number of folds.

    Raises
    ------
    TypeError
        If `path` is no path.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds something else, is damaged, or lacks a part of a model, which is named.
    """
    path = check_source(path)
    try:
        data = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no popglm model that can be read: {error}.") from error
    if "popglm_model" not in data.attrs:
        raise ValueError(f"{path} holds no popglm model.")
    try:
        about = json.loads(data.attrs["popglm_model"])
        kind = {"GLM": GLM, "GLMCV": GLMCV}[about["class"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds a damaged popglm model: its description cannot be read ({error!r}).") from error
    _check_complete(path, data, about, kind)
    try:
        return _restore(data, about, kind)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} holds a damaged popglm model: {error!r}.") from error


def _restore(data: xr.Dataset, about: dict[str, Any], kind: type) -> GLM | GLMCV:
    """The model that a file describes."""
    parameters = about["parameters"]
    if isinstance(parameters["solver"], dict):
        parameters["solver"] = FirstOrder(**parameters["solver"])
    model = kind(**parameters)
    for name in _DIMENSIONS:
        if _stored(name) in data:
            setattr(model, name, data[_stored(name)].to_numpy())
    for name in ("coef_path_", "intercept_path_"):
        if not hasattr(model, name):
            setattr(model, name, None)
    model.null_fitted_ = model.null_fitted_.astype(bool)
    if about["folds_train_on_the_rest"]:
        rows = [model.fold_ == fold for fold in range(len(model.cv_deviance_))]
        model._splits = [(np.flatnonzero(~test), np.flatnonzero(test)) for test in rows]
    model._one_neuron, model._held_out_once = about["one_neuron"], about["held_out_once"]
    model.n_features_in_ = about["n_features_in"]
    model.neuron_names_ = [str(name) for name in data["neuron"].to_numpy()]
    model.feature_group_names_ = about["group_names"]
    model.feature_group_sizes_ = np.array(about["group_sizes"])
    model.lambdas_ = model._lambda_grid if about["own_grids"] else model._lambda_grid[:, 0].copy()
    model.timings_ = about["timings"]
    # files of earlier revisions say nothing of names and whose they are, means and scales of columns, offsets, weights,
    # the place of the activity, labels of rows, and rules of selection
    counted = [f"neuron{j}" for j in range(len(model.neuron_names_))]
    model._neurons_are_named = about.get("neurons_are_named", model.neuron_names_ != counted)
    model._scaling = None if about.get("scaling") is None else np.array(about["scaling"])
    if about.get("feature_names") is not None:
        model.feature_names_in_ = np.empty(model.n_features_in_, object)
        model.feature_names_in_[:] = [
            tuple(name) if isinstance(name, list) else name for name in about["feature_names"]
        ]
    model.fitted_with_offset_ = about.get("fitted_with_offset")
    model.fitted_with_sample_weight_ = about.get("fitted_with_sample_weight")
    far = about.get("far_from_zero")
    model._far_from_zero = model.family == "gaussian" if far is None else far
    model._row_labels = _restore_rows(data)
    if kind is GLMCV:
        model._rule = tuple(about.get("rule") or (model.se_fraction, model.min_lambda))
    model._keep(model.lambda_index_)
    return model


def _check_complete(path: Path, data: xr.Dataset, about: dict[str, Any], kind: type) -> None:
    """Complain of arrays that a model of this kind cannot do without."""
    parameters = about.get("parameters", {})
    needed = [name for name in _DIMENSIONS if name not in _OPTIONAL and (kind is GLMCV or name not in _OF_FOLDS)]
    if kind is GLM or parameters.get("refit", True):
        needed += ["coef_path_", "intercept_path_"]
    missing = [_stored(name) for name in needed if _stored(name) not in data]
    missing += [name for name in _DESCRIBED if name not in about]
    missing += [] if "neuron" in data else ["neuron"]
    if missing:
        raise ValueError(
            f"{path} holds a popglm model that lacks {', '.join(map(repr, missing))}; it was damaged or written by "
            "another version. Save the model again."
        )


def _stored(name: str) -> str:
    """What an attribute is called in files."""
    return name.strip("_").replace("lambda_grid", "lambdas")


def _store_rows(model: GLM | GLMCV) -> dict[str, tuple[str, np.ndarray]]:
    """Labels of the samples of the folds, level by level."""
    labels = getattr(model, "_row_labels", None)
    if labels is None or not hasattr(model, "fold_") or is_counted(labels):
        return {}
    levels = [labels.get_level_values(k) for k in range(labels.nlevels)]
    return {f"sample_label_{k}": ("sample", _as_stored(level)) for k, level in enumerate(levels) if not level.hasnans}


def _as_stored(level: pd.Index) -> np.ndarray:
    values = level.to_numpy()
    return values if values.dtype.kind in "iufmM" else np.array([str(value) for value in values], object)


def _restore_rows(data: xr.Dataset) -> pd.Index | None:
    names = sorted(str(name) for name in data if str(name).startswith("sample_label_"))
    levels = [pd.Index(data[name].to_numpy()) for name in names]
    if not levels:
        return None
    return levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)


def _trains_on_the_rest(model: GLM | GLMCV) -> bool:
    """Whether every fold was trained on all rows that it does not hold out, so that ``fold_`` says all of it."""
    if not getattr(model, "_held_out_once", False):
        return False
    n = len(model.fold_)
    return all(len(train) + len(test) == n and not np.isin(train, test).any() for train, test in model._splits)


def _plain(name: str, value: Any) -> Any:
    """A parameter as JSON can hold it."""
    value = as_numpy(value)
    if isinstance(value, FirstOrder):
        return {key: _plain(name, item) for key, item in vars(value).items()}
    if isinstance(value, xr.DataArray):
        value = value.to_numpy()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | range | pd.api.extensions.ExtensionArray):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float | str) or name == "cv":
        return value
    if isinstance(value, Number):
        return float(value)
    return np.asarray(value).tolist() if hasattr(value, "__array__") else str(value)


def _plain_label(label: Any) -> Any:
    """A column's name as JSON can hold it: text where it is neither text nor a number; a list for a tuple."""
    if isinstance(label, tuple):
        return [_plain_label(part) for part in label]
    label = label.item() if isinstance(label, np.generic) else label
    return label if label is None or isinstance(label, bool | int | float | str) else str(label)

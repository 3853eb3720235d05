"""Fitted models as xarray Datasets, and those in netCDF files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.model.estimators import GLM, GLMCV
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
        name.strip("_").replace("lambda_grid", "lambdas"): (dims, getattr(model, name))
        for name, dims in _DIMENSIONS.items()
        if getattr(model, name, None) is not None
    }
    if model.coef_path_ is not None:
        variables["coef"] = (("neuron", "feature"), np.atleast_2d(model.coef_))
        variables["intercept"] = (("neuron",), np.atleast_1d(model.intercept_))
    groups = np.repeat(model.feature_group_names_, model.feature_group_sizes_)
    return xr.Dataset(variables, coords={"neuron": model.neuron_names_, "group": ("feature", np.asarray(groups, str))})


def save(model: GLM | GLMCV, path: str | Path) -> None:
    """Write a fitted model to a netCDF file.

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
    parameters = {name: _plain(value) for name, value in model.get_params().items()}
    if not isinstance(parameters.get("cv", 0), int):
        parameters["cv"] = len(model.cv_deviance_)
    data = to_dataset(model)
    data.attrs["popglm_model"] = json.dumps(
        {
            "class": type(model).__name__,
            "parameters": parameters,
            "one_neuron": bool(model._one_neuron),
            "held_out_once": bool(getattr(model, "_held_out_once", False)),
            "folds_train_on_the_rest": _trains_on_the_rest(model),
            "own_grids": model.lambdas_.ndim == 2,
            "n_features_in": int(model.n_features_in_),
            "group_names": list(model.feature_group_names_),
            "group_sizes": [int(size) for size in model.feature_group_sizes_],
            "timings": model.timings_,
        }
    )
    data.to_netcdf(path, engine="h5netcdf")


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
    ValueError
        If the file holds something else.
    """
    try:
        data = xr.load_dataset(path, engine="h5netcdf")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} holds no popglm model: it is not a netCDF file ({error}).") from error
    if "popglm_model" not in data.attrs:
        raise ValueError(f"{path} holds no popglm model.")
    about = json.loads(data.attrs["popglm_model"])
    parameters = about["parameters"]
    if isinstance(parameters["solver"], dict):
        parameters["solver"] = FirstOrder(**parameters["solver"])
    model = {"GLM": GLM, "GLMCV": GLMCV}[about["class"]](**parameters)
    for name in _DIMENSIONS:
        stored = name.strip("_").replace("lambda_grid", "lambdas")
        if stored in data:
            setattr(model, name, data[stored].to_numpy())
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
    model._keep(model.lambda_index_)
    return model


def _trains_on_the_rest(model: GLM | GLMCV) -> bool:
    """Whether every fold was trained on all rows that it does not hold out, so that ``fold_`` says all of it."""
    if not getattr(model, "_held_out_once", False):
        return False
    n = len(model.fold_)
    return all(len(train) + len(test) == n and not np.isin(train, test).any() for train, test in model._splits)


def _plain(value: Any) -> Any:
    """A parameter as JSON can hold it."""
    if isinstance(value, FirstOrder):
        return vars(value)
    if isinstance(value, np.ndarray | np.generic | pd.Index):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

"""Fitted models as xarray Datasets and in files, and back."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import Any, Self, SupportsFloat

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_fitted
from popglm.engines import as_numpy
from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.attributes import Attributes
from popglm.estimators.bounds import as_given
from popglm.estimators.group_shapes import read_shapes
from popglm.io.netcdf import index_of, plain_label, variables_of_index, write_described
from popglm.solve.first_order import FirstOrder
from popglm.statistics.families import get_family

__all__ = ["Storage", "missing_parts", "stored_name"]

_DIMENSIONS = {
    "coef_path_": ("strength", "neuron", "feature"),
    "intercept_path_": ("strength", "neuron"),
    "gap_": ("strength", "neuron"),
    "n_iter_": ("strength", "neuron"),
    "loss_path_": ("strength", "neuron"),
    "lambda_path_": ("strength", "neuron"),
    "deviance_explained_path_": ("strength", "neuron"),
    "lambda_index_": ("neuron",),
    "null_intercept_": ("neuron",),
    "null_coef_": ("neuron", "feature"),
    "n_events_": ("neuron",),
    "null_margin_": ("neuron",),
    "cv_null_intercept_": ("fold", "neuron"),
    "cv_null_model_deviance_": ("fold", "neuron"),
    "cv_null_coef_": ("fold", "neuron", "feature"),
    "cv_constant_deviance_": ("fold", "neuron"),
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
    "cv_trained_": ("fold", "neuron"),
    "cv_deviance_explained_path_": ("strength", "neuron"),
    "cv_deviance_explained_": ("neuron",),
    "adaptive_factors_": ("feature", "neuron"),
    "cv_adaptive_factors_": ("fold", "feature", "neuron"),
    "gammas_": ("blend",),
    "gamma_": ("neuron",),
    "relaxed_coef_path_": ("strength", "neuron", "feature"),
    "relaxed_intercept_path_": ("strength", "neuron"),
    "relaxed_gap_": ("strength", "neuron"),
    "cv_relaxed_coef_path_": ("fold", "strength", "neuron", "feature"),
    "cv_relaxed_intercept_path_": ("fold", "strength", "neuron"),
    "cv_relaxed_gap_": ("fold", "strength", "neuron"),
    "cv_relaxed_deviance_": ("blend", "fold", "strength", "neuron"),
}

#: Parameters of the family by name, in files with a last dimension ``parameter``; none for most families.
_PARAMETERS = {
    "family_parameters_path_": ("strength", "neuron"),
    "null_family_parameters_": ("neuron",),
    "deviance_parameters_": ("neuron",),
    "cv_family_parameters_path_": ("fold", "strength", "neuron"),
    "cv_null_family_parameters_": ("fold", "neuron"),
    "cv_deviance_parameters_": ("fold", "neuron"),
    "relaxed_family_parameters_path_": ("strength", "neuron"),
    "cv_relaxed_family_parameters_path_": ("fold", "strength", "neuron"),
}

#: What the variables of a search for penalty factors are called in files begins so.
_SEARCH = "factor_search_"

#: Arrays that some models do without, and those that only cross-validation makes.
_OPTIONAL = (
    *("coef_path_", "intercept_path_", "deviance_explained_path_", "n_lambdas_fitted_"),
    *("null_coef_", "cv_null_coef_", "cv_constant_deviance_", "cv_trained_", "gammas_", "gamma_"),
    *("adaptive_factors_", "cv_adaptive_factors_"),
    *("relaxed_coef_path_", "relaxed_intercept_path_", "relaxed_gap_", "cv_relaxed_coef_path_"),
    *("cv_relaxed_intercept_path_", "cv_relaxed_gap_", "cv_relaxed_deviance_"),
)
_OF_FOLDS = tuple(name for name in _DIMENSIONS if name.startswith(("cv_", "fold_", "n_lambdas_fitted_")))
#: What the description of a model says in every revision.
_DESCRIBED = (
    *("parameters", "one_neuron", "held_out_once", "folds_train_on_the_rest", "own_grids", "n_features_in"),
    *("group_names", "group_sizes", "timings"),
)
#: What it says beside the list of its arrays, which files of earlier revisions do not have.
_DESCRIBED_WITH_ARRAYS = (
    *("feature_names", "neurons_are_named", "scaling", "fitted_with_offset", "fitted_with_sample_weight"),
    *("far_from_zero", "rule"),
)


class Storage(Attributes):
    """How `GLM` and `GLMCV` become a Dataset or a file, and come back."""

    def to_xarray(self) -> xr.Dataset:
        """Everything fitted as an `xarray.Dataset` with named dimensions.

        Returns
        -------
        xarray.Dataset
            Dimensions ``neuron``, ``feature``, ``strength`` and, after cross-validation, ``fold`` and ``sample``;
            ``blend`` for the shares of penalised weights that relaxed fits tried.
            Variables named like the attributes, without the underscores at their ends; ``lambdas`` (strength, neuron);
            ``coef`` and ``intercept`` at the chosen strengths. Parameters of the family, where it has some, have a last
            dimension ``parameter``.

        Examples
        --------
        >>> import numpy as np
        >>> from popglm import GLM
        >>> model = GLM(family="gaussian").fit(np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0))
        >>> sorted(model.to_xarray().sizes.items())
        [('feature', 2), ('neuron', 1), ('strength', 20)]
        """
        check_fitted(self, "lambda_index_", "to_xarray")
        variables = {
            stored_name(name): (dims, getattr(self, name))
            for name, dims in _DIMENSIONS.items()
            if getattr(self, name, None) is not None
        }
        if self.coef_path_ is not None:
            variables["coef"] = (("neuron", "feature"), np.atleast_2d(self.coef_))
            variables["intercept"] = (("neuron",), np.atleast_1d(self.intercept_))
        for name, dims in {**_PARAMETERS, "family_parameters_": ("neuron",)}.items():
            if named := getattr(self, name, None):
                variables[stored_name(name)] = ((*dims, "parameter"), np.stack([*named.values()], axis=-1))
        if self.factor_search_ is not None:
            variables |= {f"{_SEARCH}{k}": (tuple(map(str, v.dims)), v.values) for k, v in self.factor_search_.items()}
        groups = np.repeat(self.feature_group_names_, self.feature_group_sizes_)
        coords: dict[str, Any] = {"neuron": self.neuron_names_, "group": ("feature", np.asarray(groups, str))}
        if self.factor_search_ is not None:
            coords["space"] = self.factor_search_["space"].values
        if self.loss_.parameters:
            coords["parameter"] = [own.name for own in self.loss_.parameters]
        return xr.Dataset(variables, coords=coords)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one netCDF file, which `popglm.load` reads, whole or not at all.

        The file is written beside ``path`` and takes its place at the end, so that a file that was there before stays
        whole until then, whatever happens.

        Parameters
        ----------
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
        check_fitted(self, "lambda_index_", "save")
        write_described(path, *self.described())

    def described(self) -> tuple[xr.Dataset, dict[str, Any]]:
        """All that a file needs to hold: a Dataset, and what it says of the model besides, as JSON can hold it."""
        labels = self.sample_labels_ if hasattr(self, "fold_") else None
        data = self.to_xarray().assign(variables_of_index("sample_label", "sample", labels))
        return data, self._description() | {"arrays": sorted(map(str, data.variables))}

    def _description(self) -> dict[str, Any]:
        """What a file says of the model besides its arrays, as JSON can hold it."""
        parameters = {name: _plain(name, value) for name, value in self.get_params().items()}
        if not isinstance(parameters.get("cv", 0), int):
            # a splitter that had no choice to make leaves no folds
            parameters["cv"] = len(vars(self).get("cv_deviance_", range(5)))
        if self.feature_mask_ is not None:
            parameters["feature_mask"] = self.feature_mask_.tolist()
        if self.penalty_factors_ is not None:
            parameters["penalty_factors"] = self.penalty_factors_.tolist()
        # models that were pickled by earlier revisions have none
        shapes = getattr(self, "feature_shapes_", None)
        parameters["feature_shapes"] = None if shapes is None else [shape.plain() for shape in shapes]
        names = getattr(self, "feature_names_in_", None)
        return {
            "class": type(self).__name__,
            "parameters": parameters,
            "one_neuron": bool(self._one_neuron),
            "held_out_once": bool(getattr(self, "held_out_once_", False)),
            "folds_train_on_the_rest": self._trains_on_the_rest(),
            "own_grids": self.lambdas_.ndim == 2,
            "n_features_in": int(self.n_features_in_),
            "feature_names": None if names is None else [plain_label(name) for name in names],
            "neurons_are_named": self.neurons_are_named_,
            "scaling": None if self.feature_scaling_ is None else self.feature_scaling_.tolist(),
            "fitted_with_offset": self.fitted_with_offset_,
            "fitted_with_sample_weight": self.fitted_with_sample_weight_,
            "far_from_zero": self._far_from_zero,
            "rule": getattr(self, "selection_rule_", None),
            "group_names": list(self.feature_group_names_),
            "group_sizes": [int(size) for size in self.feature_group_sizes_],
            "timings": self.timings_,
        }

    def _trains_on_the_rest(self) -> bool:
        """Whether every fold was trained on all rows that it does not hold out, so that ``fold_`` says all of it."""
        if not getattr(self, "held_out_once_", False) or self.splits_ is None:
            return False
        n = len(self.fold_)
        return all(len(train) + len(test) == n and not np.isin(train, test).any() for train, test in self.splits_)

    def restore(self, data: xr.Dataset, about: dict[str, Any]) -> Self:
        """Become the fitted model that was saved, as `popglm.load` has it do.

        Parameters
        ----------
        data : Dataset
            Variables that `save` wrote.
        about : dict
            The description that stands beside them in the file.

        Returns
        -------
        GLM or GLMCV
            Itself, with all that `fit` left but the training data.
        """
        parameters = about["parameters"]
        if isinstance(factors := parameters.get("penalty_factors"), dict):
            parameters = parameters | {"penalty_factors": AdaptiveFactors(**factors)}
        if parameters.get("constraints") is not None:
            parameters = parameters | {"constraints": as_given(parameters["constraints"])}
        if isinstance(parameters.get("solver"), dict):
            parameters = parameters | {"solver": FirstOrder(**parameters["solver"])}
        self.set_params(**parameters)
        # files of earlier revisions say nothing of names and whose they are, means and scales of columns, offsets,
        # weights, the place of the activity, labels of samples, and rules of selection
        for name in _DIMENSIONS:
            if stored_name(name) in data:
                setattr(self, name, data[stored_name(name)].to_numpy())
        for name in _PARAMETERS:
            if not name.startswith("cv_") or hasattr(self, "cv_deviance_"):
                known = stored_name(name) in data
                named = [str(own) for own in data["parameter"].to_numpy()] if known else []
                setattr(self, name, {own: data[stored_name(name)].to_numpy()[..., i] for i, own in enumerate(named)})
        stored = [name for name in map(str, data.data_vars) if name.startswith(_SEARCH)]
        searched = {name.removeprefix(_SEARCH): data[name] for name in stored}
        self.factor_search_ = xr.Dataset(searched) if searched else None
        self._restore_shared(data, about)
        self.loss_ = get_family(self.family, self.inverse_link, self.power)
        far = about.get("far_from_zero")
        self._far_from_zero = self.loss_.is_unbounded if far is None else far
        self.penalty_ = self._restored_penalty(about)
        self._restore_folds(about)
        self._keep(self.lambda_index_)
        return self

    def _restore_shared(self, data: xr.Dataset, about: dict[str, Any]) -> None:
        """Set what models of all kinds have beside their arrays: names, groups, grids, what stood beside the fit."""
        for name in ("coef_path_", "intercept_path_", "null_coef_", "cv_null_coef_"):
            if not hasattr(self, name):
                setattr(self, name, None)
        self.null_fitted_ = self.null_fitted_.astype(bool)
        self.n_features_in_ = about["n_features_in"]
        self.neuron_names_ = [str(name) for name in data["neuron"].to_numpy()]
        counted = [f"neuron{j}" for j in range(len(self.neuron_names_))]
        self.neurons_are_named_ = about.get("neurons_are_named", self.neuron_names_ != counted)
        self._one_neuron = about["one_neuron"]
        self.feature_group_names_ = about["group_names"]
        self.feature_group_sizes_ = np.array(about["group_sizes"])
        self.feature_scaling_ = None if about.get("scaling") is None else np.array(about["scaling"])
        if about.get("feature_names") is not None:
            self.feature_names_in_ = np.empty(self.n_features_in_, object)
            self.feature_names_in_[:] = [
                tuple(name) if isinstance(name, list) else name for name in about["feature_names"]
            ]
        parameters = about["parameters"]
        mask, factors = parameters.get("feature_mask"), parameters.get("penalty_factors")
        self.feature_mask_ = None if mask is None else np.array(mask, bool)
        self.penalty_factors_ = None if factors is None or isinstance(factors, dict) else np.array(factors, float)
        self.feature_shapes_ = read_shapes(parameters.get("feature_shapes"))
        self.sample_labels_ = index_of("sample_label", data)
        self.lambdas_ = self.lambda_path_ if about["own_grids"] else self.lambda_path_[:, 0].copy()
        self.timings_ = about["timings"]
        self.fitted_with_offset_ = about.get("fitted_with_offset")
        self.fitted_with_sample_weight_ = about.get("fitted_with_sample_weight")

    def _restored_penalty(self, about: dict[str, Any]) -> Any:
        """The penalty as the fit had it."""
        return self._penalty()[0]

    def _restore_folds(self, about: dict[str, Any]) -> None:
        """Set what the fit of a `GLM` does not leave."""


def missing_parts(data: xr.Dataset, about: dict[str, Any], cross_validated: bool) -> list[str]:
    """Arrays and entries of the description that a model of this kind cannot do without, and a file lacks."""
    parameters = about.get("parameters", {"refit": False})
    needed = [name for name in _DIMENSIONS if name not in _OPTIONAL and (cross_validated or name not in _OF_FOLDS)]
    if not cross_validated or parameters.get("refit", True):
        needed += ["coef_path_", "intercept_path_"]
    # some arrays are there after some calls only: a file lists those that it was written with
    listed = [name for name in about.get("arrays", ()) if isinstance(name, str)]
    arrays = dict.fromkeys([*map(stored_name, needed), *listed, "neuron"])
    described = _DESCRIBED + (_DESCRIBED_WITH_ARRAYS if "arrays" in about else ())
    return [name for name in arrays if name not in data.variables] + [name for name in described if name not in about]


def stored_name(name: str) -> str:
    """What an attribute is called in files."""
    return name.strip("_").replace("lambda_path", "lambdas")


def _plain(name: str, value: Any) -> Any:
    """A parameter as JSON can hold it."""
    value = as_numpy(value)
    if isinstance(value, FirstOrder | AdaptiveFactors):
        return {key: _plain(name, item) for key, item in vars(value).items()}
    if name == "constraints" and isinstance(value, Mapping):
        return {str(group): _plain(name, kind) for group, kind in value.items()}
    if isinstance(value, xr.DataArray):
        value = value.to_numpy()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | range | pd.api.extensions.ExtensionArray):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float | str) or name == "cv":
        return value
    if isinstance(value, Number) and isinstance(value, SupportsFloat):
        return float(value)
    return np.asarray(value).tolist() if hasattr(value, "__array__") else str(value)

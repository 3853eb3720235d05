"""Models of categorical responses as xarray Datasets and in files, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import xarray as xr

from popglm.checks import check_fitted
from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.classifier.labels import plain_classes
from popglm.estimators.storage import Storage, stored_name

__all__ = ["ClassStorage", "missing_class_parts"]

_DIMENSIONS = {
    "coef_path_": ("strength", "neuron", "class", "feature"),
    "intercept_path_": ("strength", "neuron", "class"),
    "gap_": ("strength", "neuron"),
    "n_iter_": ("strength", "neuron"),
    "loss_path_": ("strength", "neuron"),
    "lambda_path_": ("strength", "neuron"),
    "deviance_explained_path_": ("strength", "neuron"),
    "lambda_index_": ("neuron",),
    "lambda_": ("neuron",),
    "null_fitted_": ("neuron",),
    "null_intercept_": ("neuron", "class"),
    "null_coef_": ("neuron", "class", "feature"),
    "class_counts_": ("neuron", "class"),
    "class_samples_": ("neuron", "class"),
    "fold_": ("sample",),
    "cv_coef_path_": ("fold", "strength", "neuron", "class", "feature"),
    "cv_intercept_path_": ("fold", "strength", "neuron", "class"),
    "cv_gap_": ("fold", "strength", "neuron"),
    "cv_n_iter_": ("fold", "strength", "neuron"),
    "cv_class_counts_": ("fold", "neuron", "class"),
    "cv_null_intercept_": ("fold", "neuron", "class"),
    "cv_null_coef_": ("fold", "neuron", "class", "feature"),
    "cv_deviance_": ("fold", "strength", "neuron"),
    "cv_null_model_deviance_": ("fold", "neuron"),
    "cv_constant_deviance_": ("fold", "neuron"),
    "cv_null_deviance_": ("neuron",),
    "cv_deviance_explained_path_": ("strength", "neuron"),
    "cv_deviance_explained_": ("neuron",),
    "n_lambdas_fitted_": ("neuron",),
    "adaptive_factors_": ("feature", "neuron"),
    "cv_adaptive_factors_": ("fold", "feature", "neuron"),
}

#: Arrays that some models do without.
_OPTIONAL = (
    "coef_path_",
    "intercept_path_",
    "deviance_explained_path_",
    "n_lambdas_fitted_",
    "adaptive_factors_",
    "cv_adaptive_factors_",
)


class ClassStorage(Storage):
    """How `ClassifierGLM` and `ClassifierGLMCV` become a Dataset or a file, and come back."""

    class_weight: Any
    classes_: np.ndarray
    class_counts_: np.ndarray
    class_samples_: np.ndarray
    has_class_: np.ndarray
    _loss: Callable[[], Any]

    def to_xarray(self) -> xr.Dataset:
        """Everything fitted as an `xarray.Dataset` with named dimensions.

        Returns
        -------
        xarray.Dataset
            Dimensions ``neuron`` (the responses, under the name that they have in all Datasets of popglm), ``class``,
            ``feature``, ``strength`` and, after cross-validation, ``fold`` and ``sample``. Variables named like the
            attributes, without the underscores at their ends; ``lambdas`` (strength, neuron); ``coef`` and
            ``intercept`` at the chosen strengths. The coordinate ``group`` has the feature group of every feature.

        Examples
        --------
        >>> import numpy as np
        >>> from popglm import ClassifierGLM
        >>> X = np.random.default_rng(0).standard_normal((60, 2))
        >>> model = ClassifierGLM(lambdas=[0.1]).fit(X, np.where(X[:, 0] > 0, "go", "stay"))
        >>> model.to_xarray().coef.dims
        ('neuron', 'class', 'feature')
        """
        check_fitted(self, "lambda_index_", "to_xarray")
        variables = {
            stored_name(name): (dims, getattr(self, name))
            for name, dims in _DIMENSIONS.items()
            if vars(self).get(name) is not None and (name not in _OF_FOLDS or hasattr(self, "fold_"))
        }
        if self.coef_path_ is not None:
            coef, intercept = (
                (self.coef_[None], self.intercept_[None]) if self._one_neuron else (self.coef_, self.intercept_)
            )
            variables["coef"] = (("neuron", "class", "feature"), coef)
            variables["intercept"] = (("neuron", "class"), intercept)
        groups = np.repeat(self.feature_group_names_, self.feature_group_sizes_)
        coords: dict[str, Any] = {
            "neuron": self.neuron_names_,
            "class": self.classes_ if self.classes_.dtype != object else [str(kind) for kind in self.classes_],
            "group": ("feature", np.asarray(groups, str)),
        }
        return xr.Dataset(variables, coords=coords)

    def _description(self) -> dict[str, Any]:
        found = super()._description()
        if self.class_weight is not None and not isinstance(self.class_weight, str):
            # labels that are no text would come back as text
            found["parameters"]["class_weight"] = None
            found["class_weight"] = [[_plain(k), float(v)] for k, v in self.class_weight.items()]
        return found | {"classes": [_plain(kind) for kind in self.classes_.tolist()]}

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
        ClassifierGLM or ClassifierGLMCV
            Itself, with all that `fit` left but the training data.
        """
        parameters = about["parameters"]
        if isinstance(factors := parameters.get("penalty_factors"), dict):
            parameters = parameters | {"penalty_factors": AdaptiveFactors(**factors)}
        self.set_params(**parameters)
        self.adaptive_factors_ = self.cv_adaptive_factors_ = None
        if about.get("class_weight") is not None:
            self.set_params(class_weight=dict(about["class_weight"]))
        for name in _DIMENSIONS:
            if stored_name(name) in data:
                setattr(self, name, data[stored_name(name)].to_numpy())
        self._restore_shared(data, about)
        self.classes_ = plain_classes(about["classes"])
        self.has_class_ = self.class_counts_ > 0
        self.loss_ = self._loss()
        self.penalty_ = self._restored_penalty(about)
        self._restore_folds(about)
        self._keep(self.lambda_index_)
        return self


_OF_FOLDS = tuple(name for name in _DIMENSIONS if name.startswith(("cv_", "fold_", "n_lambdas_fitted_")))


def missing_class_parts(data: xr.Dataset, about: dict[str, Any], cross_validated: bool) -> list[str]:
    """Arrays and entries of the description that such a model cannot do without, and a file lacks."""
    needed = [name for name in _DIMENSIONS if name not in _OPTIONAL and (cross_validated or name not in _OF_FOLDS)]
    if not cross_validated or about.get("parameters", {"refit": False}).get("refit", True):
        needed += ["coef_path_", "intercept_path_"]
    listed = [name for name in about.get("arrays", ()) if isinstance(name, str)]
    arrays = dict.fromkeys([*map(stored_name, needed), *listed, "neuron", "class"])
    described = ("parameters", "classes", "one_neuron", "held_out_once", "own_grids", "n_features_in", "group_names")
    return [name for name in arrays if name not in data.variables] + [name for name in described if name not in about]


def _plain(label: Any) -> Any:
    """A label as JSON can hold it."""
    return label if isinstance(label, bool | int | str) else str(label)

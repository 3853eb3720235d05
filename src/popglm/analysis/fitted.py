"""What a fitted model of any kind says of every row and of every neuron, as a result keeps it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.kinds import Model
from popglm.analysis.running import Matrices
from popglm.estimators import GLMCV, ClassifierGLMCV, LowRankGLM, SmoothGLM, TwoPartGLM
from popglm.estimators.part_arguments import PARTS
from popglm.io.netcdf import described

__all__ = ["grid_with_predictions", "is_held_out", "parts_of_model", "seconds_of", "table_of_fits"]


def is_held_out(model: Model) -> bool:
    """Whether the rows of the fit are predicted by folds that did not see them; else by the fit itself."""
    return not isinstance(model, SmoothGLM) and hasattr(model, "fold_")


def parts_of_model(model: Model) -> dict[str, xr.Dataset]:
    """The groups of a file that hold a model, by their paths."""
    if not isinstance(model, TwoPartGLM):
        return {"/model": described(*model.described())}
    parts = {f"/{name}": described(*getattr(model, f"{name}_").described()) for name in PARTS}
    return {"/model": described(model.to_xarray(), {"class": "TwoPartGLM"}), **parts}


def seconds_of(model: Model) -> dict[str, float]:
    """What a fit took, by its steps."""
    if not isinstance(model, TwoPartGLM):
        return dict(model.timings_)
    each = [model.events_.timings_, model.amounts_.timings_]
    return {name: sum(one.get(name, 0.0) for one in each) for name in each[0]}


def grid_with_predictions(data: xr.Dataset, matrices: Matrices, model: Model) -> xr.Dataset:
    """The grid with the fold that held each row out, -1 in trials kept for the test, and what the model predicts there.

    Of activity "predicted" (time, neuron): by the fold that held a row out, or of the test by the whole fit; by that
    everywhere if the model has no folds, which are then 0. Of a classifier in its place "code" (time, neuron), the
    number of every label among the classes, -1 where it is not known, and "probability" (time, neuron, class).
    """
    fold = np.full(len(matrices.fitted), -1)
    fold[matrices.fitted] = model.fold_ if is_held_out(model) else 0
    data = data.assign(fold=("time", fold))
    if isinstance(model, ClassifierGLMCV):
        return _with_classes(data, matrices, model)
    predicted = np.full((len(fold), matrices.Y.sizes["neuron"]), np.nan, np.float32)
    offset, offset_test = matrices.given.get("offset"), matrices.given_test.get("offset")
    predict = model.predict_held_out if is_held_out(model) else model.predict
    predicted[matrices.fitted] = np.asarray(predict(matrices.X, offset)).reshape(-1, predicted.shape[1])
    if matrices.X_test is not None:
        found = np.asarray(model.predict(matrices.X_test, offset_test))
        predicted[~matrices.fitted] = found.reshape(-1, predicted.shape[1])
    return data.assign(predicted=(("time", "neuron"), predicted))


def _with_classes(data: xr.Dataset, matrices: Matrices, model: ClassifierGLMCV) -> xr.Dataset:
    """The grid with labels of responses, and their probabilities, in the place of activity."""
    names, classes = model.neuron_names_, model.classes_
    p = np.full((len(matrices.fitted), len(names), len(classes)), np.nan, np.float32)
    offset, offset_test = matrices.given.get("offset"), matrices.given_test.get("offset")
    p[matrices.fitted] = model.predict_proba_held_out(matrices.X, offset)
    if matrices.X_test is not None:
        p[~matrices.fitted] = model.predict_proba(matrices.X_test, offset_test)
    code = np.full(p.shape[:2], -1)
    code[matrices.fitted] = _codes(model, matrices.Y)
    code[~matrices.fitted] = _codes(model, matrices.Y_test)
    grid = data.drop_vars("activity", errors="ignore").drop_dims("neuron", errors="ignore")
    labels = {"neuron": np.array(names, object), "class": np.array(list(map(str, classes.tolist())), object)}
    grid = grid.assign(code=(("time", "neuron"), code), probability=(("time", "neuron", "class"), p))
    return grid.assign_coords(labels)


def _codes(model: ClassifierGLMCV, Y: xr.DataArray) -> np.ndarray:
    """Numbers of labels among the classes, (n_samples, n_responses); -1 of what the fit did not have."""
    place = {label: k for k, label in enumerate(model.classes_.tolist())}
    code = np.array([[place.get(label, -1) for label in row] for row in Y.values], int).reshape(Y.shape)
    return np.where(model.has_class_[np.arange(Y.shape[1]), code], code, -1)


def table_of_fits(data: xr.Dataset, matrices: Matrices, model: Model) -> xr.Dataset:
    """A row per neuron, or per response of a classifier."""
    of_classes = isinstance(model, ClassifierGLMCV)
    names = np.array(model.neuron_names_, object) if of_classes else data["neuron"].values
    scores = {**_of_fit(model, matrices)}
    if not of_classes:
        # of the rows that were fitted
        scores["mean_activity"] = matrices.Y.mean("time", skipna=True).values
    scores["features_in_use"] = _columns_in_use(model)
    if matrices.X_test is not None:
        Y_test = matrices.Y_test
        if of_classes:
            Y_test = Y_test.where(_codes(model, Y_test) >= 0, None)
        test = model.evaluate(matrices.X_test, Y_test, **matrices.given_test)
        scores["deviance_explained_test"] = test["deviance_explained"].to_numpy()
    own = {} if of_classes else data.coords
    table = {name: at.variable for name, at in own.items() if at.dims == ("neuron",) and name != "neuron"}
    taken = {name: variable for name, variable in table.items() if name not in scores}
    return xr.Dataset(
        {**taken, **{name: ("neuron", np.asarray(values)) for name, values in scores.items()}},
        coords={"neuron": names},
    )


def _of_fit(model: Model, matrices: Matrices) -> dict[str, Any]:
    """Strengths, deviance explained, certificates and evaluations of every neuron."""
    if isinstance(model, TwoPartGLM):
        each = {name: _of_path(getattr(model, f"{name}_")) for name in PARTS}
        strengths = {f"strength_{name}": own["strength"] for name, own in each.items()}
        own, other = each.values()
        return {
            **strengths,
            "deviance_explained": model.cv_deviance_explained_,
            "gap": np.fmax(own["gap"], other["gap"]),
            "evaluations": own["evaluations"] + other["evaluations"],
        }
    if isinstance(model, GLMCV | ClassifierGLMCV):
        return _of_path(model)
    strengths = (
        {"strength": model.lambda_}
        if isinstance(model, LowRankGLM)
        else {"degrees_of_freedom": model.edf_.sum(axis=1).to_numpy(), "slope": model.slope_}
    )
    explained = (
        model.cv_deviance_explained_
        if is_held_out(model)
        else model.evaluate(matrices.X, matrices.Y, **matrices.given)["deviance_explained"].to_numpy()
    )
    return {
        **strengths,
        "deviance_explained": explained,
        "gap": model.gap_[0],
        "evaluations": model.n_iter_.sum(axis=0),
    }


def _of_path(model: GLMCV | ClassifierGLMCV) -> dict[str, np.ndarray]:
    """The same of a model with a path of strengths."""
    index = np.asarray(model.lambda_index_)
    inside = np.minimum(index, model.gap_.shape[0] - 1)
    return {
        "strength": np.asarray(model.lambda_),
        "deviance_explained": np.asarray(model.cv_deviance_explained_),
        # nothing is minimised at the null model
        "gap": np.where(index > inside, 0.0, model.gap_[inside, np.arange(len(index))]),
        "evaluations": model.n_iter_.sum(axis=0),
    }


def _columns_in_use(model: Model) -> np.ndarray:
    """How many columns have a weight, in either part, or for any class."""
    parts = [model.events_, model.amounts_] if isinstance(model, TwoPartGLM) else [model]
    used = np.zeros((len(model.neuron_names_), parts[0].n_features_in_), bool)
    for part in parts:
        weights = np.asarray(part.coef_) != 0
        used |= weights.reshape(len(used), -1, used.shape[1]).any(axis=1)
    return used.sum(axis=1)

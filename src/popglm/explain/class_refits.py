"""Fits of a classifier's data to some of its columns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.estimators.classifier.labels import check_known_classes, weights_by_class
from popglm.estimators.classifier.predictions import class_deviances
from popglm.estimators.starts import OwnPaths, positions
from popglm.estimators.validation import check_as_in_fit, over_neurons
from popglm.explain.class_ablation import ClassActivity, ClassPredictor, check_class_matrix
from popglm.explain.contributions import check_splits, neuron_blocks, other_than_in_fit, rows_of, take_columns
from popglm.explain.reduced_models import OF_TOL, settings_of_columns
from popglm.labels import Rows
from popglm.solve.categorical.problem import over_classes
from popglm.solve.sparse.rows import some_rows
from popglm.statistics.categorical import class_counts, null_loss

__all__ = ["ClassDataOfFit", "ClassRefits", "class_data_of_fit", "class_samples_of_fit"]

#: Objectives of the fit and of the data given differ by less than this share of the null model's, which is rounding.
SAME = 0.001


class ClassDataOfFit(NamedTuple):
    """X or a stream of it, labels as a table, their numbers, weights and offset, in the order of the fit; its rows."""

    X: Any
    y: pd.DataFrame
    codes: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    labels: Rows


def class_data_of_fit(
    model: ClassifierGLMCV, X: Any, Y: Any, sample_weight: Any, offset: Any, who: str, whole: bool = False
) -> ClassDataOfFit:
    """The arguments of what fits a classifier again, if they are those of the fit; ``who`` asks, for the complaints.

    Raises
    ------
    TypeError, ValueError
        If they are not, by number, labels or held-out deviance, or the model tells no folds.
    """
    if not isinstance(model, ClassifierGLMCV):
        raise ValueError(
            f"{who} scores held-out predictions and needs a fitted popglm.ClassifierGLMCV; found "
            f"{type(model).__name__}."
        )
    values = check_class_matrix(model, X, who, held_out=True, whole=whole)
    check_splits(model, who)
    data = _checked(model, values, rows_of(model, X, held_out=True), Y, sample_weight, offset, who)
    _check_deviance(model, data, who)
    return data


def class_samples_of_fit(
    model: CategoricalGLM, X: Any, Y: Any, sample_weight: Any, offset: Any, who: str
) -> ClassDataOfFit:
    """The same of what needs no folds; without one held-out deviance the penalised objective tells other data.

    Raises
    ------
    TypeError, ValueError
    """
    labels = rows_of(model, X, held_out=True)
    order, values = labels.given, check_class_matrix(model, X, who, held_out=False)
    values = values if order is None else some_rows(values, order)
    data = _checked(model, values, labels, Y, sample_weight, offset, who)
    if isinstance(model, ClassifierGLMCV) and model.held_out_once_:
        if len(values) != len(model.fold_):
            raise ValueError(f"{who}: X has {len(values)} rows, but the model was fitted to {len(model.fold_)}.")
        _check_deviance(model, data, who)
    else:
        _check_objective(model, data, who)
    return data


def _checked(
    model: CategoricalGLM, values: Any, labels: Rows, Y: Any, sample_weight: Any, offset: Any, who: str
) -> ClassDataOfFit:
    weight, offset = check_as_in_fit(model, sample_weight, offset, len(values), labels, who, refits=True)
    codes = check_known_classes(Y, len(values), labels, model, weight)
    kinds = np.array([*model.classes_.tolist(), None], object)
    y = pd.DataFrame(kinds[codes], columns=model.neuron_names_)
    return ClassDataOfFit(values, y, codes, weight, offset, labels)


def _check_deviance(model: ClassifierGLMCV, data: ClassDataOfFit, who: str) -> None:
    """Complain of data with another held-out deviance than in the fit."""
    predictor = ClassPredictor.make(model, data.X, data.offset, held_out=True)
    activity = ClassActivity.make(model, data.y, len(data.X), predictor.rows, data.weight, None, folds=model.fold_)
    for responses in neuron_blocks(len(data.X), len(model.neuron_names_)):
        deviance, null = (own[0] for own in _deviances(activity, predictor, responses))
        if said := other_than_in_fit(model, responses, deviance, null):
            raise ValueError(
                f"{who}: X, Y, sample_weight or offset are not those of the fit: {said}. Give the data that the model "
                "was fitted to, in its order."
            )


def _check_objective(model: CategoricalGLM, data: ClassDataOfFit, who: str) -> None:
    """Complain of data with another penalised objective than in the fit, or of a null model with other frequencies."""
    codes, n = data.codes, len(model.classes_)
    weight = weights_by_class(model.class_weight, codes, model.classes_, data.weight)
    s = (codes >= 0) * over_neurons(weight)
    predictor = ClassPredictor.make(model, data.X, data.offset, held_out=False)
    _, coef, _ = predictor.parts[0]
    for responses in neuron_blocks(len(data.X), len(model.neuron_names_)):
        deviance = class_deviances(predictor.eta(responses), codes[:, responses], s[:, responses]).sum(axis=0)
        for j, own in zip(responses, deviance, strict=True):
            counts = class_counts(codes[:, j], s[:, j], n)
            same = np.allclose(counts, model.class_counts_[j], rtol=SAME)
            if same and not model.null_fitted_[j] and (k := model.lambda_index_[j]) < len(model.lambda_path_):
                there = model.has_class_[j]
                grouped = model.penalty == "group_lasso"
                penalty = over_classes(model.penalty_of(int(j)), there.sum(), there.sum(), grouped)
                W, lam = coef[j][there].T.reshape(1, -1).astype(float), model.lambda_path_[k, [j]]
                found, fitted = own / (2 * counts.sum()) + penalty.value(W, lam)[0], model.loss_path_[k, j]
                same = abs(found - fitted) <= SAME * max(fitted, float(null_loss(counts)))
            if not same:
                raise ValueError(
                    f"{who}: X, Y, sample_weight or offset are not those of the fit: the objective or the classes' "
                    f"frequencies of response {model.neuron_names_[j]!r} are others. Give the data that the model was "
                    "fitted to, in its order."
                )


def _deviances(activity: ClassActivity, predictor: ClassPredictor, responses: np.ndarray) -> tuple[Any, Any]:
    return activity.deviance(predictor.eta(responses), responses), activity.null_deviance(responses)


@dataclass(eq=False)
class ReducedClassFit:
    """A fit to some of the columns, at the strengths chosen for it.

    Attributes
    ----------
    variable : str
    kept : ndarray of int
        Its columns.
    coef : ndarray, shape (n_fits, n_responses, n_classes, n_kept)
    intercept : ndarray, shape (n_fits, n_responses, n_classes)
        Of the folds, or of the fit to all rows alone.
    strength : ndarray, shape (n_responses,)
    late : int
        Responses outside `tol`.
    """

    variable: str
    kept: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    strength: np.ndarray
    late: int

    def predictor(self, full: ClassPredictor) -> ClassPredictor:
        """Its predictions of the rows of the full model's."""
        rows = [own for own, _, _ in full.parts]
        return ClassPredictor(
            take_columns(full.X, self.kept), full.offset, list(zip(rows, self.coef, self.intercept, strict=True))
        )


@dataclass(eq=False)
class ClassRefits:
    """Fits of a classifier's data to some of its columns, along the whole path or at the strengths selected.

    Attributes
    ----------
    data : ClassDataOfFit
    on_all_rows : bool
        Whether the fit to all rows predicts; else the folds do.
    reselect : bool
        As in `compare`.
    """

    model: ClassifierGLMCV
    data: ClassDataOfFit
    on_all_rows: bool
    reselect: bool = True

    def fit(self, variable: str, kept: np.ndarray) -> ReducedClassFit:
        """The fit to the columns ``kept`` alone; ``variable`` is what messages call it."""
        model = self.model
        refit, late = self._fitted(kept)
        if self.reselect:
            refit.select(se_fraction=model.selection_rule_[0], min_lambda=model.selection_rule_[1])
        else:
            # a response at its null model stays there
            refit.take_strengths((model.lambda_index_ == len(model.lambda_path_)).astype(int))
        classes = positions(model.classes_.tolist(), refit.classes_.tolist(), "class")
        coef, intercept = refit.cv_coef_, refit.cv_intercept_
        if self.on_all_rows:
            shape = len(model.neuron_names_), len(model.classes_)
            coef, intercept = refit.coef_.reshape(1, *shape, -1), refit.intercept_.reshape(1, *shape)
        return ReducedClassFit(variable, kept, coef[:, :, classes], intercept[..., classes], refit.lambda_, late)

    def _fitted(self, kept: np.ndarray) -> tuple[ClassifierGLMCV, int]:
        """The re-fit, and how many responses ended outside `tol`."""
        model, path, near = self.model, self.model.lambda_path_, self.model.cv_coef_path_
        of_all = model.coef_path_
        if not self.reselect:
            path = np.where(np.isfinite(model.lambda_), model.lambda_, path[0])[None]
            near = model.cv_coef_[:, None]
            of_all = None if of_all is None else model.coef_.reshape(1, *near.shape[2:])
        if self.on_all_rows:
            near = np.concatenate([of_all[None], near])
        refit = clone(model).set_params(
            **settings_of_columns(model, kept),
            lambdas=None if model.penalty == "none" else path,
            cv=model.splits_,
            refit=self.on_all_rows,
            patience=None,
            tol=model.tol * OF_TOL,
            verbose=0,
        )
        start = OwnPaths(take_columns(near, kept), None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given: dict[str, Any] = {"sample_weight": self.data.weight, "offset": self.data.offset, "start": start}
            refit.fit(take_columns(self.data.X, kept), self.data.y, **given)
        gaps = np.concatenate([refit.cv_gap_, refit.gap_[None]]) if self.on_all_rows else refit.cv_gap_
        return refit, int((gaps > model.tol).any(axis=(0, 1)).sum())

"""What a model of categorical responses predicts from some of its columns, and what that is scored against."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.checks import check_fitted, check_flag
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.estimators.classifier.labels import check_known_classes, weights_by_class
from popglm.estimators.classifier.offsets import beside_classes
from popglm.estimators.classifier.predictions import class_deviances, class_predictors
from popglm.estimators.features import check_features
from popglm.estimators.validation import check_weights, over_neurons
from popglm.explain.binning import BinAxis
from popglm.explain.contributions import Activity, Predictor, check_held_out_rows, check_whole, rows_of
from popglm.labels import Rows
from popglm.solve.sparse.rows import some_rows
from popglm.solve.stream import read_rows
from popglm.statistics.categorical import class_counts

__all__ = ["ClassActivity", "ClassPredictor", "check_class_matrix"]


def check_class_matrix(model: CategoricalGLM, X: Any, who: str, held_out: bool, whole: bool = False) -> Any:
    """X as an array or a `RowStream`, if its columns are those of the fit, and its rows those that the folds held out.

    With ``whole``, ``who`` asks for an array.

    Raises
    ------
    TypeError, ValueError
    """
    if whole:
        check_whole(X, who)
    check_flag(who, "held_out", held_out)
    check_fitted(model, "lambda_index_", who)
    if held_out and not isinstance(model, ClassifierGLMCV):
        raise ValueError(
            f"{who} scores held-out predictions and needs a fitted popglm.ClassifierGLMCV, or held_out=False."
        )
    if held_out and not model.held_out_once_:
        raise ValueError(
            f"{who}: cv holds some rows out more than once, so their held-out prediction is not one number."
        )
    if not held_out and model.coef_path_ is None:
        raise ValueError(f"{who}: the model was fitted with refit=False and has no weights for new data.")
    values = check_features(model, X, reset=False, who=who)
    if held_out:
        check_held_out_rows(model, len(values), who)
    order = rows_of(model, X, held_out).given
    return values if order is None else some_rows(values, order)


class ClassPredictor(Predictor):
    """Linear predictors (n_samples, n_responses, n_classes) of a fitted model, whole or from some columns alone."""

    @classmethod
    def make(cls, model: Any, X: Any, offset: np.ndarray | None, held_out: bool) -> ClassPredictor:
        """Read the weights from a model."""
        if held_out:
            parts = [
                (np.flatnonzero(model.fold_ == fold), coef, intercept)
                for fold, (coef, intercept) in enumerate(zip(model.cv_coef_, model.cv_intercept_, strict=True))
            ]
            return cls(X, offset, parts)
        shape = len(model.neuron_names_), len(model.classes_), X.shape[1]
        return cls(X, offset, [(np.arange(len(X)), model.coef_.reshape(shape), model.intercept_.reshape(shape[:2]))])

    def constant(self, neurons: np.ndarray) -> np.ndarray:
        """Intercepts and offset."""
        eta = np.zeros((len(self.X), len(neurons), self.parts[0][2].shape[1]))
        for rows, _, intercept in self.parts:
            eta[rows] = intercept[neurons]
        return eta if self.offset is None else eta + beside_classes(self.offset, neurons)

    def part(self, columns: np.ndarray | slice, neurons: np.ndarray, source: np.ndarray | None = None) -> np.ndarray:
        """See `Predictor.part`; shape (n_samples, n_responses, n_classes)."""
        eta = np.zeros((len(self.X), len(neurons), self.parts[0][2].shape[1]))
        for first, last, block in read_rows(self.X):
            for rows, coef, intercept in self.parts:
                here = rows[slice(*np.searchsorted(rows, [first, last]))]
                x = block[here - first if source is None else source[here]][:, columns]
                eta[here] = class_predictors(x, coef[neurons][..., columns], np.zeros_like(intercept[neurons]))
        return eta


class ClassActivity(Activity):
    """Labels that the predictions of some rows are scored against; ``y`` has the numbers of their classes."""

    @classmethod
    def make(
        cls,
        model: Any,
        Y: Any,
        n_samples: int,
        rows: np.ndarray,
        sample_weight: Any,
        axis: BinAxis | None,
        labels: Rows | None = None,
        folds: np.ndarray | None = None,
    ) -> ClassActivity:
        """Check Y; only ``rows`` are scored, and there no class that the fold of a sample does not train on."""
        weights = check_weights(sample_weight, n_samples, model.neuron_names_, labels, "response")
        codes = check_known_classes(Y, n_samples, labels or Rows(), model, weights)
        scored = np.zeros((n_samples, 1))
        scored[rows] = 1.0
        if folds is not None:
            # as the fit scored them
            weights = weights_by_class(model.class_weight, codes, model.classes_, weights)
            scored = scored * model.is_scored(codes, folds)
        return cls(model, codes, (codes >= 0) * scored * over_neurons(weights), axis, folds)

    def deviance(self, eta: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Activity.deviance`; eta (n_samples, n_responses, n_classes)."""
        codes = self.y[:, neurons]
        return self._sum(class_deviances(eta, codes, (self.weights[:, neurons] > 0).astype(float)), neurons)

    def null_deviance(self, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of the classes' own frequencies in the scored samples."""
        n = len(self.model.classes_)
        unit = np.zeros((len(self.y), len(neurons)))
        for i, j in enumerate(neurons):
            counts = class_counts(self.y[:, j], self.weights[:, j], n)
            scored = self.weights[:, j] > 0
            with np.errstate(divide="ignore"):
                log_share = np.log(counts / max(counts.sum(), np.finfo(float).tiny))
            unit[scored, i] = -2 * log_share[self.y[scored, j]]
        return self._sum(unit, neurons)

"""What a fitted model of categorical responses predicts, and how well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_fitted
from popglm.engines import like
from popglm.estimators.attributes import Attributes
from popglm.estimators.classifier.labels import check_known_classes
from popglm.estimators.classifier.offsets import beside_classes
from popglm.estimators.features import check_features
from popglm.estimators.validation import check_offset, check_weights, over_neurons
from popglm.labels import Rows, row_labels
from popglm.solve.passes.coordinates import product64
from popglm.solve.sparse.rows import parts_of
from popglm.statistics.categorical import class_counts, null_loss, terms
from popglm.statistics.selection import fraction_explained

__all__ = ["ClassPredictions", "class_deviances", "class_predictors", "null_class_deviances", "shares_of"]

#: A predictor whose exp() is 0; unlike −inf it is 0 after a multiplication by 0.
_NO_CHANCE = -1e300


class ClassPredictions(Attributes):
    """What `ClassifierGLM` and `ClassifierGLMCV` do with new data."""

    classes_: np.ndarray
    class_counts_: np.ndarray
    has_class_: np.ndarray

    def decision_function(self, X: Any, offset: Any = None) -> np.ndarray:
        """Linear predictors η of the classes, before the softmax.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
            Columns with names may stand in any order.
        offset : array-like, DataFrame, DataArray or mapping, optional
            As in `fit`, of these samples, and needed if that had one; 0 asks for none.

        Returns
        -------
        ndarray, shape (n_samples, n_responses, n_classes), or (n_samples, n_classes) after a fit to a 1-D response
            −inf for classes that a response does not have, NaN for a response that the fit knew in no sample. For two
            classes of a 1-D response, as scikit-learn has it, the log-odds of the second one, (n_samples,). For a
            tensor of PyTorch, TensorFlow or JAX, one of the same kind and device.

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, or holds NaN or inf; if the model was fitted with an offset and none
            is given, or it has another shape or other classes.
        """
        eta = self._predictors("decision_function", X, offset)
        if self._one_neuron:
            eta = eta[:, 0, 1] - eta[:, 0, 0] if eta.shape[2] == 2 else eta[:, 0]
        return like(eta, X, exact=True)

    def predict_proba(self, X: Any, offset: Any = None) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        offset : array-like, optional
            As in `decision_function`.

        Returns
        -------
        ndarray, shape (n_samples, n_responses, n_classes), or (n_samples, n_classes) after a fit to a 1-D response
            In the order of `classes_`, those of all responses together: 0 for classes that a response does not have,
            NaN for a response that the fit knew in no sample. For a tensor of PyTorch, TensorFlow or JAX, one of the
            same kind and device.

        Raises
        ------
        ValueError
            As `decision_function`.
        """
        p = shares_of(self._predictors("predict_proba", X, offset))
        return like(p[:, 0] if self._one_neuron else p, X, exact=True)

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """The most probable class of every sample.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        offset : array-like, optional
            As in `decision_function`.

        Returns
        -------
        ndarray, shape (n_samples, n_responses), or (n_samples,) after a fit to a 1-D response
            Labels as in `classes_`; None for a response that the fit knew in no sample.

        Raises
        ------
        ValueError
            As `decision_function`.
        """
        most = self._predictors("predict", X, offset).argmax(axis=2)
        found = self.classes_[most]
        unknown = ~self.has_class_.any(axis=1)
        if unknown.any():
            found = found.astype(object)
            found[:, unknown] = None
        return found[:, 0] if self._one_neuron else found

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> pd.DataFrame:
        """Deviance and accuracy of every response on data.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_responses) or (n_samples,)
            Labels; samples with None or NaN are left out. Responses with names may stand in any order.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_responses), optional
            Weights of classes in the fit, ``class_weight``, do not count here.
        offset : array-like, optional
            As in `decision_function`. The null deviance knows of none.

        Returns
        -------
        DataFrame
            Indexed by response: ``deviance_explained`` (fraction, 0 where the null deviance is 0), ``deviance`` and
            ``null_deviance`` (−2 log likelihood, summed over samples; the null model has the classes' frequencies in
            these samples), ``accuracy`` (share of samples whose most probable class is theirs) and ``null_accuracy``
            (share of the most frequent class). NaN where a response is known in no sample that counts.

        Raises
        ------
        TypeError, ValueError
            If X has other columns, y other responses or classes than in `fit`, or the rows of the arguments other
            labels; if the model was fitted with an offset and none is given.
        """
        return self._evaluate("evaluate", X, y, sample_weight, offset)

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Fraction deviance explained, averaged over the responses known there; arguments as in `evaluate`.

        For the share of samples that are classified rightly, see ``evaluate(X, y)["accuracy"]``.
        """
        return float(self._evaluate("score", X, y, sample_weight, offset)["deviance_explained"].mean())

    def _evaluate(self, who: str, X: Any, y: Any, sample_weight: Any, offset: Any) -> pd.DataFrame:
        """`evaluate` for ``who`` asks."""
        rows = Rows(row_labels(X))
        eta = self._predictors(who, X, offset, rows)
        weights = check_weights(sample_weight, len(eta), self.neuron_names_, rows, "response")
        codes = check_known_classes(y, len(eta), rows, self, weights)
        s = (codes >= 0) * over_neurons(weights)
        deviance, null = class_deviances(eta, codes, s).sum(axis=0), null_class_deviances(codes, s, eta.shape[2])
        total = s.sum(axis=0)
        right = np.where(s > 0, s * (eta.argmax(axis=2) == codes), 0).sum(axis=0)
        most = np.array([class_counts(own, w, eta.shape[2]).max() for own, w in zip(codes.T, s.T, strict=True)])
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy, chance = right / total, most / total
        known = total > 0
        deviance, null = np.where(known, deviance, np.nan), np.where(known, null, np.nan)
        return pd.DataFrame(
            {
                "deviance_explained": fraction_explained(deviance, null),
                "deviance": deviance,
                "null_deviance": null,
                "accuracy": accuracy,
                "null_accuracy": chance,
            },
            index=pd.Index(self.neuron_names_, name="neuron"),
        )

    def _predictors(self, who: str, X: Any, offset: Any, rows: Rows | None = None) -> np.ndarray:
        """η (n_samples, n_responses, n_classes) of X as it was given."""
        check_fitted(self, "lambda_index_", who)
        if self.coef_path_ is None:
            raise ValueError(
                f"{who}: this model was fitted with refit=False and has no weights for new data; use refit=True."
            )
        values = check_features(self, X, reset=False)
        coef = self.coef_[None] if self._one_neuron else self.coef_
        intercept = self.intercept_[None] if self._one_neuron else self.intercept_
        shift = check_offset(self, offset, len(values), rows or Rows(row_labels(X)), who)
        eta = class_predictors(values, coef, intercept, shift)
        eta[:, ~self.has_class_.any(axis=1)] = np.nan
        return eta


def class_predictors(X: Any, coef: np.ndarray, intercept: np.ndarray, offset: np.ndarray | None = None) -> np.ndarray:
    """η (n_samples, n_responses, n_classes) in float64.

    Parameters
    ----------
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
    coef : ndarray, shape (n_responses, n_classes, n_features)
    intercept : ndarray, shape (n_responses, n_classes)
    offset : ndarray, shape (n_samples, n_classes) or (n_samples, n_responses, n_classes), optional
    """
    q, n_classes, p = coef.shape
    parts = [product64(rows, coef.reshape(q * n_classes, p)) for _, _, rows in parts_of(X)]
    eta = np.concatenate(parts).reshape(-1, q, n_classes) + intercept
    return eta if offset is None else eta + beside_classes(offset)


def shares_of(eta: np.ndarray) -> np.ndarray:
    """Probabilities of classes, along the last axis, of their predictors; NaN where these are."""
    p = np.exp(eta - eta.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def class_deviances(eta: np.ndarray, codes: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Deviance of every sample and response, (n_samples, n_responses), times its weight: 0 where that is 0.

    Parameters
    ----------
    eta : ndarray, shape (n_samples, n_responses, n_classes)
    codes : ndarray of int, shape (n_samples, n_responses)
    s : ndarray, shape (n_samples, n_responses)
    """
    found = np.zeros(codes.shape)
    for j in range(codes.shape[1]):
        counted = s[:, j] > 0
        if not counted.any():
            continue
        own = eta[counted, j].T
        one = (np.arange(len(own))[:, None] == codes[counted, j]).astype(float)
        # classes that a response, or the fold of a sample, does not have add nothing
        lacks = own == -np.inf
        missed = (lacks & (one > 0)).any(axis=0)
        # χ² of a sample whose class has no probability left is infinite, and is not asked for
        with np.errstate(divide="ignore", over="ignore"):
            loss = terms(np, np.where(lacks, _NO_CHANCE, own), one).loss
        found[counted, j] = np.where(missed, np.inf, 2 * s[counted, j] * loss)
    return found


def null_class_deviances(codes: np.ndarray, s: np.ndarray, n_classes: int) -> np.ndarray:
    """Deviance (n_responses,) of the classes' own frequencies in the samples that count."""
    counts = np.stack([class_counts(own, w, n_classes) for own, w in zip(codes.T, s.T, strict=True)])
    return 2 * null_loss(counts) * counts.sum(axis=1)

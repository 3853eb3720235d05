"""Where a fit of categorical responses may begin, so that no fold learns of what it holds out."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.estimators.parameters import Parameters
from popglm.estimators.starts import OwnPaths, check_same_activity, positions, start_from_array, start_from_model
from popglm.statistics.categorical import class_counts

__all__ = ["check_class_start"]

Splits = list[tuple[np.ndarray, np.ndarray]]


def check_class_start(
    start: Any, estimator: Any, n_lambdas: int, splits: Splits, refit: bool, codes: np.ndarray, s: np.ndarray
) -> np.ndarray | None:
    """Coefficients (n_fits, n_lambdas, n_responses, n_classes, n_features) that a fit begins at, or None.

    Parameters
    ----------
    start : ClassifierGLM, ClassifierGLMCV, OwnPaths or array-like, or None
        See `ClassifierGLM.fit` and `ClassifierGLMCV.fit`.
    estimator : ClassifierGLM or ClassifierGLMCV
        It knows the names of the responses, the classes, the features and the samples that it is about to fit.
    codes, s : ndarray, shape (n_samples, n_responses)
        Numbers of the classes, −1 where a response is not known, and weights.

    Raises
    ------
    TypeError, ValueError
        If it has other strengths, responses, classes or features, or if a fold could learn from it of what it holds
        out.
    sklearn.exceptions.NotFittedError
    """
    if start is None:
        return None
    if isinstance(start, OwnPaths):
        return start.coef
    who = "ClassifierGLMCV" if splits else None
    if not isinstance(start, Parameters) and not hasattr(start, "fit"):
        shape = codes.shape[1], len(estimator.classes_), estimator.n_features_in_
        return start_from_array(start, shape, n_lambdas, who)[None]
    if not isinstance(start, Parameters) or start.noun != estimator.noun:
        kinds = "a ClassifierGLM, a ClassifierGLMCV or an array" if who is None else f"a {who}"
        raise TypeError(f"start must be {kinds}; found {type(start).__name__}.")
    paths, responses = start_from_model(start, estimator, n_lambdas, splits, refit)
    known: Any = start
    classes = positions(estimator.classes_.tolist(), known.classes_.tolist(), "class")
    if splits:
        check_same_activity(start, responses, _constant_deviances(codes, s, splits, len(estimator.classes_)), estimator)
    return paths[..., classes, :]


def _constant_deviances(codes: np.ndarray, s: np.ndarray, splits: Splits, n_classes: int) -> np.ndarray:
    """Deviances (n_folds, n_responses) of the training rows' frequencies on the rows that folds hold out.

    Of samples whose class occurs in the training rows; NaN where there are none.
    """
    found = np.full((len(splits), codes.shape[1]), np.nan)
    for f, (train, test) in enumerate(splits):
        for r, (own, weights) in enumerate(zip(codes.T, s.T, strict=True)):
            counts = class_counts(own[train], weights[train], n_classes)
            scored = test[(own[test] >= 0) & (weights[test] > 0)]
            scored = scored[counts[own[scored]] > 0]
            if len(scored):
                found[f, r] = -2 * weights[scored] @ np.log(counts[own[scored]] / counts.sum())
    return found

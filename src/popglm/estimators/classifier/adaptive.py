"""Penalty factors of every response and fold from the weights of a first fit: the adaptive lasso of classes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone

from popglm.estimators.adaptive_factors import in_rows, parts_with_folds
from popglm.estimators.classifier.offsets import of_occurring
from popglm.solve.settings import Settings
from popglm.statistics.penalties import Penalty

__all__ = ["adaptive_penalties", "class_first_factors"]

Splits = list[tuple[np.ndarray, np.ndarray]]


def class_first_factors(
    model: Any, settings: Settings, X: Any, labels: tuple[np.ndarray, Any, Any], splits: Splits
) -> np.ndarray:
    """Factors (n_fits, n_features, n_responses) of all rows and of every fold's training rows, from these alone.

    A group, or a column, has the weights of all classes. Infinite where a first fit left it out.

    Parameters
    ----------
    model : ClassifierGLMCV
        With `AdaptiveFactors` for its penalty factors.
    labels : tuple
        Labels (n_samples, n_responses) of object, None where a response is not known; weights, (n_samples,) or
        (n_samples, n_responses), with those of the classes, or None; and the offset, or None.

    Raises
    ------
    ValueError
    """
    adaptive, (y, weights, offset) = model.penalty_factors, labels
    adaptive.check(model, settings)
    kind = model.penalty if adaptive.first is None else adaptive.first
    first = clone(model).set_params(
        penalty=kind,
        l1_ratio=model.l1_ratio if kind == model.penalty else None,
        feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist(),
        feature_shapes=model.feature_shapes_,
        feature_mask=model.feature_mask_,
        penalty_factors=None,
        class_weight=None,
        lambdas=None,
        se_fraction=0.0,
        min_lambda=0.0,
        refit=True,
        verbose=0,
    )
    found, q = [], y.shape[1]
    for rows, folds in parts_with_folds(len(y), splits):
        x, some, weight, inner = in_rows(X, weights, len(y), rows, folds)
        own = clone(first).set_params(cv=inner)
        with warnings.catch_warnings():
            # what can be said of the second fit is
            warnings.simplefilter("ignore")
            own.fit(
                x, y[some],
                sample_weight=None if weight is None else weight[some],
                offset=None if offset is None else of_occurring(offset[some], model.classes_, y[some]),
            )  # fmt: skip
        coef = own.coef_.astype(float).reshape(q, -1, own.n_features_in_)
        squares = [np.square(settings.penalty.block_norms(coef[:, k])) for k in range(coef.shape[1])]
        found.append(adaptive.of(np.sqrt(np.sum(squares, axis=0))).T)
    return np.stack(found)[:, settings.penalty.block_of_column]


def adaptive_penalties(penalty: Penalty, factors: np.ndarray, mask: np.ndarray | None) -> list[Penalty]:
    """The penalty of every response with its factors, and open columns of bool, both (n_features, n_responses)."""
    found = []
    for j, own in enumerate(factors.T):
        open_ = np.isfinite(own)
        given = replace(penalty, factors=np.where(open_, own, 1.0)[penalty.starts[:-1]])
        found.append(given.masked(open_ if mask is None else open_ & mask[:, j]))
    return found

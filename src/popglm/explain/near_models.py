"""The curvature of a model's fits at the strengths that were chosen, where re-fits without some columns begin."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines import get_engine
from popglm.estimators import GLMCV
from popglm.estimators.deviance_loss import deviance_loss
from popglm.explain.data_of_fit import has_one_minimum, is_plain
from popglm.solve.local_models.given_models import GivenModels
from popglm.solve.local_models.own import MAX_FEATURES
from popglm.statistics.selection import at_strengths

__all__ = ["models_of_fits", "slow_neurons"]

#: Evaluations that folds take at one strength, on average, from which a model is worth its making: were it for nothing,
#: and, over the number of re-fits, what the making adds.
LEAST_EVALUATIONS, MAKING = 4.0, 16.0
#: Bytes of the models of all neurons at most; neurons beyond go without.
MODEL_BYTES = 2**28
#: Neurons whose models a worker makes at a time, and rows that are weighted at a time: a core's cache holds these.
BATCH, ROWS = 8, 1024
#: Effective samples per feature from which more are left out, one in so many staying: a model says where steps go, and
#: pairs of curvature mend it on the way.
EFFECTIVE, MOST_STRIDE = 8.0, 4


def models_of_fits(
    model: GLMCV,
    X: Any,
    Y: np.ndarray,
    sample_weight: np.ndarray | None,
    offset: np.ndarray | None,
    on_all_rows: bool,
    neurons: np.ndarray,
) -> GivenModels | None:
    """Models of every fit of some neurons, each from the rows that the fit was trained on; None where none can serve.

    Parameters
    ----------
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    on_all_rows : bool
        Whether the fit to all rows comes first.
    neurons : ndarray of int
    """
    penalty, loss, p = model.penalty_, model.loss_, model.n_features_in_
    sizes = penalty.block_sizes
    grouped = penalty.l1_ratio > 0 and not penalty.shrinks_columns and has_one_minimum(model)
    if not (is_plain(model) and grouped and p <= MAX_FEATURES and isinstance(X, np.ndarray)):
        return None
    if loss.is_least_squares or model.splits_ is None or not len(neurons):
        return None
    index = _chosen(model)
    # folds are counted from 0, as in the model; all rows are fold None
    parts: list[tuple[int | None, np.ndarray]] = [(fold, train) for fold, (train, _) in enumerate(model.splits_)]
    coefs, intercepts = [*model.cv_coef_path_], [*model.cv_intercept_path_]
    if on_all_rows:
        parts.insert(0, (None, np.arange(len(Y))))
        coefs.insert(0, model.coef_path_)
        intercepts.insert(0, model.intercept_path_)
    found = GivenModels.empty(len(parts), Y.shape[1], sizes)
    fitting = neurons[~model.null_fitted_[neurons]][: max(MODEL_BYTES // (4 * len(parts) * p**2), 1)]
    engine, centred = get_engine("numpy", None, "float32", []), bool(model.fit_intercept)

    def make(i: int, fold: int | None, rows: np.ndarray) -> None:
        """Make the models of one fit."""
        x = X[rows]
        means = x.mean(axis=0, dtype=float)
        x = (x - means).astype(np.float32)
        W, b = (at_strengths(path, index, 0.0) for path in (coefs[i], intercepts[i]))
        b = b + W.astype(float) @ means
        o = 0.0 if offset is None else offset[rows, None]

        def put(some: np.ndarray) -> None:
            """Make those of some neurons."""
            y = Y[np.ix_(rows, some)]
            s = np.ones((len(rows), 1)) if sample_weight is None else sample_weight[rows].reshape(len(rows), -1)
            s = np.where(np.isnan(y), 0.0, s if s.shape[1] == 1 else s[:, some])
            with np.errstate(all="ignore"):
                eta = x @ W[some].T.astype(np.float32) + b[some] + o
                h = deviance_loss(model, some, fold).derivatives(np, eta, np.nan_to_num(y))[1]
                h = np.where(s > 0, s * h, 0.0)
                root = np.sqrt(h / h.sum(axis=0)).astype(np.float32)
                # Kish's effective number of samples
                enough = 1 / np.einsum("ij,ij->j", root**2, root**2) / (EFFECTIVE * p)
                strides = np.clip(np.nan_to_num(enough), 1, MOST_STRIDE).astype(int)
                each = [_covariance(x, *own, centred) for own in zip(root.T, strides, strict=True)]
                found.put(i, some, np.stack(each))

        with engine.session():
            engine.map(put, [(fitting[first : first + BATCH],) for first in range(0, len(fitting), BATCH)])

    rng = np.random.default_rng(0)
    for i, (fold, rows) in enumerate(parts):
        # every so many samples in turn might be those in which a column that alternates is 0
        make(i, fold, rng.permutation(rows))
    return found


def slow_neurons(model: GLMCV, n_refits: int) -> np.ndarray:
    """Neurons whose fits took so many evaluations that models which ``n_refits`` share are worth their making."""
    each = model.cv_n_iter_.mean(axis=0)
    # re-fits go on to the next strength at least
    each = np.where(np.arange(len(each))[:, None] <= _chosen(model) + 1, each, 0)
    return np.flatnonzero(each.max(axis=0) >= LEAST_EVALUATIONS + MAKING / max(n_refits, 1))


def _chosen(model: GLMCV) -> np.ndarray:
    """Index of the strength of every neuron; of the first where the null model was chosen."""
    return np.where(model.lambda_index_ == len(model.lambda_path_), 0, model.lambda_index_)


def _covariance(x: np.ndarray, root: np.ndarray, stride: int, centred: bool) -> np.ndarray:
    """Of columns, of samples weighted by the squares of ``root`` (n_samples,): of every ``stride``-th."""
    p = x.shape[1]
    C, mean, total = np.zeros((p, p)), np.zeros(p), 0.0
    for first in range(0, len(x), ROWS * stride):
        at = slice(first, first + ROWS * stride, stride)
        own = root[at]
        scaled = x[at] * own[:, None]
        # a product with itself takes half the multiplications: NumPy sees that it is one
        C += scaled.T @ scaled
        mean += own @ scaled
        total += float(own @ own)
    C, mean = C / total, mean / total
    return C - np.outer(mean, mean) if centred else C

"""Circular shifts by fits of the model itself: all shifts of all neurons are columns of few fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone

from popglm.estimators import GLMCV
from popglm.explain.ablation import breakdown
from popglm.explain.contributions import check_splits
from popglm.explain.data_of_fit import way_down
from popglm.explain.shifts import ShiftTest
from popglm.warnings import PopglmWarning

__all__ = ["full_refits"]

#: Numbers (samples × columns) of one fit: 64 MB.
BLOCK = 2**23


def full_refits(
    test: ShiftTest,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    chosen: dict,
    columns: list,
    unique: list,
    map: Callable[..., Iterable[Any]],
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Deviance explained (n_shifts, n_neurons) and contributions (the same, n_variables) of shifts.

    Also what is shifted, (n_scored, n_neurons) for the model and for every variable.

    Parameters
    ----------
    chosen, columns, unique
        Groups of every variable, their columns, and what other columns leave of these.
    map : callable
        As Python's; over blocks of shifts.
    """
    n_shifts, q = test.offsets.shape
    neurons = np.arange(q)
    options: dict[str, Any] = {"sample_weight": weight, "offset": test.offset}
    eta = test.linear_predictors(neurons, selected=True)[:, 0]
    without = [eta - test.part(neurons, own, x) for own, x in zip(columns, unique, strict=True)]
    explained, share = np.zeros((n_shifts, q)), np.zeros((n_shifts, q, len(columns)))
    at_once = max(1, BLOCK // y.size)
    blocks = [test.offsets[first : first + at_once] for first in range(0, n_shifts, at_once)]
    first = 0
    for own, own_share in map(partial(_of_shifts, test, X, y, options, chosen, without), blocks):
        here = slice(first, first + len(own))
        explained[here], share[here] = own, own_share
        first += len(own)
    known = test.weights > 0
    mean = np.sum(test.y, axis=0, where=known) / np.maximum(known.sum(axis=0), 1)
    return explained, share, [np.where(known, test.y - mean, 0.0), *(test.residuals(one) for one in without)]


def _of_shifts(
    test: ShiftTest, X: Any, y: np.ndarray, options: dict, chosen: dict, without: list, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Deviance explained and contributions of some shifts, (n_shifts, n_neurons) and (the same, n_variables)."""
    shape, share = offsets.shape, np.zeros((*offsets.shape, len(chosen)))
    with warnings.catch_warnings():
        # the model's own fit has told of neurons without a fit
        warnings.simplefilter("ignore", PopglmWarning)
        shifted = [np.roll(y[:, j], s[j]) for s in offsets for j in range(len(s))]
        fitted = _fit(test, X, np.stack(shifted, axis=1), len(offsets), options)
        explained = fitted.cv_deviance_explained_.reshape(shape)
        for v, (name, groups) in enumerate(chosen.items()):
            moved = [test.shifted_residuals(without[v][j], s[j], j) for s in offsets for j in range(len(s))]
            surrogate = np.stack(moved, axis=1)
            fitted = _fit(test, X, surrogate, len(offsets), options)
            shares = breakdown(fitted, X, surrogate, {name: groups}, **options).fraction_null_deviance
            share[..., v] = shares.values[:, 0].reshape(shape)
    return explained, share


def _fit(test: ShiftTest, X: Any, Y: np.ndarray, n_repeats: int, options: dict) -> GLMCV:
    """The model of ``test``, fitted to shifts of its neurons, as many times all of them, and selected by its rule."""
    model = test.model
    labels = np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist()
    again = clone(model).set_params(
        cv=check_splits(model, "significance"),
        refit=False,
        verbose=0,
        feature_groups=labels,
        feature_shapes=model.feature_shapes_,
    )
    factors = model.penalty_factors_
    own_factors = factors is not None and factors.ndim == 2
    if factors is not None:
        again.set_params(penalty_factors=np.tile(factors, n_repeats) if own_factors else factors)
    if test.rule is None:
        # a neuron at its null model is at no strength; what is fitted for it does not count
        index = np.where(np.isfinite(model.lambda_), model.lambda_index_, 0)
        again.set_params(lambdas=np.tile(way_down(model, index), n_repeats))
    elif np.ndim(model.lambdas) == 2 or own_factors:
        again.set_params(lambdas=np.tile(model.lambda_path_, n_repeats))
    if model.feature_mask_ is not None:
        again.set_params(feature_mask=np.tile(model.feature_mask_, n_repeats))
    again.fit(X, Y, **options)
    return again if test.rule is None else again.select(se_fraction=test.rule[0], min_lambda=test.rule[1])

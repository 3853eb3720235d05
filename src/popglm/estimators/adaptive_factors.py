"""`AdaptiveFactors`: penalty factors of every neuron and fold from a first fit, as in the adaptive lasso."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from popglm.checks import is_number
from popglm.estimators.arguments import LARGEST_FACTOR
from popglm.messages import shown
from popglm.solve.passes.samples import FitData
from popglm.solve.settings import Settings
from popglm.statistics.penalties import PENALTIES
from popglm.statistics.sparse_groups import SPARSE_GROUPS

__all__ = ["AdaptiveFactors", "first_factors", "in_rows", "inner_folds", "parts_with_folds"]


@dataclass(frozen=True)
class AdaptiveFactors:
    r"""Penalty factors from the weights of a first fit: the adaptive lasso and the adaptive group lasso.

    For the ``penalty_factors`` of `GLMCV` and `ClassifierGLMCV`, whose groups and columns have the weights of all
    classes. Each neuron is fitted twice. Where a group has the weights :math:`w_g` in
    the first fit, its factor in the second is

    .. math:: c_g = \left(\frac{\max_h \lVert w_h \rVert}{\lVert w_g \rVert}\right)^{\gamma},

    with columns in the place of groups for a lasso or elastic net, but not for a sparse group lasso. Groups that weigh
    much are then penalised little, and shrunken little; those that weigh little are penalised much; and those without
    weights are left out.

    Parameters
    ----------
    exponent : float
        γ, above 0.
    first : {"ridge", "lasso", "group_lasso", "sparse_group_lasso", "elastic_net", "none"}, optional
        Penalty of the first fit; that of the second unless given. "ridge" leaves no group out, and then every neuron is
        fitted to all columns on its own, which takes far longer than few of them do.

    Raises
    ------
    ValueError
        When `GLMCV.fit` is called, for an argument that is none of these; for a penalty that chooses nothing; together
        with ``patience``.

    Notes
    -----
    The factors of a fold come from its training rows alone. The strength of its first fit is chosen by cross-validation
    among these rows, in folds that are the parts of the other folds' test rows that lie there. A first fit to all rows
    would have seen what a fold holds out, and held-out deviance would be optimistic. So there are as many first models
    as folds and one more, each with a cross-validation of its own, and a `GLMCV` of K folds takes at least K times as
    long as without factors. The factors of neurons differ, so that each is fitted by itself, to the columns that are
    left, on the host.

    λ has the scale of the penalty without factors for the largest group: Zou's factors, :math:`\lVert w_g
    \rVert^{-\gamma}`, are these up to a number per neuron and fold, which λ takes up. So they do not depend on the unit
    of the activity.

    The first fit has an automatic grid of ``n_lambdas`` strengths and the rule of best held-out deviance. Where it is
    the null model, so is the second. `adaptive_factors_` and `cv_adaptive_factors_` of the model have what was found.
    `compare`, `bootstrap` and others that fit again find the factors anew in each fit. `bootstrap` refuses classifiers
    that have such factors.

    References
    ----------
    Zou, "The adaptive lasso and its oracle properties", *Journal of the American Statistical Association* 101 (2006).
    Wang & Leng, "A note on adaptive group lasso", *Computational Statistics & Data Analysis* 52 (2008). Bühlmann & van
    de Geer, *Statistics for High-Dimensional Data* (2011), section 2.8, for a lasso as the first fit.

    Examples
    --------
    The lasso lets columns in that say nothing, the adaptive one hardly any:

    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 30))
    >>> Y = X[:, :3] @ rng.uniform(0.5, 1, (3, 4)) + rng.standard_normal((500, 4))
    >>> given = {"penalty": "lasso", "n_lambdas": 8, "cv": 3}
    >>> plain = pg.GLMCV("gaussian", **given).fit(X, Y)
    >>> adaptive = pg.GLMCV("gaussian", penalty_factors=pg.AdaptiveFactors(), **given).fit(X, Y)
    >>> [int((model.coef_[:, 3:] != 0).sum()) for model in (plain, adaptive)]
    [27, 0]
    >>> bool((adaptive.coef_[:, :3] != 0).all())
    True
    """

    exponent: float = 1.0
    first: str | None = None

    def check(self, model: Any, settings: Settings) -> None:
        """Complain of what cannot be used for this model.

        Raises
        ------
        ValueError
        """
        if not is_number(self.exponent) or not self.exponent > 0:
            raise ValueError(f"AdaptiveFactors: exponent={shown(self.exponent)} must be a number above 0.")
        known = (*PENALTIES, SPARSE_GROUPS)
        if self.first is not None and self.first not in known:
            raise ValueError(
                f"AdaptiveFactors: first={shown(self.first)} is unknown; use one of {', '.join(known)}, or None for "
                "the penalty of the model."
            )
        if not settings.penalty.l1_ratio > 0:
            raise ValueError(
                f"penalty_factors: AdaptiveFactors are for penalties that choose, and penalty={model.penalty!r} does "
                "not; use 'lasso', 'group_lasso' or 'elastic_net'."
            )
        if model.patience is not None:
            raise ValueError(
                "patience has no effect with AdaptiveFactors, which fit every neuron by itself; leave it None."
            )
        if settings.first_order is not None:
            raise ValueError(
                "penalty_factors: AdaptiveFactors need fits in which columns have weights of exactly 0, and "
                "first-order solvers do not end there; use solver='auto' and a smooth inverse_link."
            )

    def of(self, norms: np.ndarray) -> np.ndarray:
        """The factors of blocks whose first weights have these norms, both (n_neurons, n_blocks); infinite for 0.

        Examples
        --------
        >>> AdaptiveFactors(exponent=2.0).of(np.array([[0.5, 1.0, 0.0]]))
        array([[ 4.,  1., inf]])
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = (norms.max(axis=1, keepdims=True) / norms) ** self.exponent
        return np.where((norms > 0) & (found <= LARGEST_FACTOR), found, np.inf)


def first_factors(
    model: Any, template: Any, settings: Settings, data: FitData, parts: list[tuple[np.ndarray, list]]
) -> np.ndarray:
    """Factors of every fit, block and neuron, shape (n_fits, n_blocks, n_neurons), as its own rows have them.

    Parameters
    ----------
    model : GLM or GLMCV
        Whose arguments are checked.
    template : GLMCV
        Whose settings first fits have, but for what ``model`` knows of features.
    data : FitData
    parts : list of (rows, folds)
        Of every fit its rows, and the folds among them, by their positions there.
    """
    adaptive, (engine, X, Y, weights, offset, _) = model.penalty_factors, data
    adaptive.check(model, settings)
    kind = model.penalty if adaptive.first is None else adaptive.first
    first = clone(template).set_params(
        penalty=kind,
        l1_ratio=model.l1_ratio if kind == model.penalty else None,
        concavity=model.concavity if kind == model.penalty else None,
        feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist(),
        feature_shapes=model.feature_shapes_,
        feature_mask=model.feature_mask_,
        penalty_factors=None,
        lambdas=None,
        relaxed=False,
        patience=None,
        se_fraction=0.0,
        min_lambda=0.0,
        refit=True,
        engine=engine.name,
        verbose=0,
    )
    found = []
    for rows, folds in parts:
        x, some, weight, inner = in_rows(X, weights, len(Y), rows, folds)
        own = clone(first).set_params(cv=inner)
        with warnings.catch_warnings():
            # what can be said of the second fit is
            warnings.simplefilter("ignore")
            own.fit(
                x, Y[some],
                sample_weight=None if weight is None else weight[some],
                offset=None if offset is None else offset[some],
            )  # fmt: skip
        norms = settings.penalty.block_norms(np.reshape(own.coef_, (Y.shape[1], -1)).astype(float))
        found.append(adaptive.of(norms).T)
    return np.stack(found)


def in_rows(
    X: Any, weights: np.ndarray | None, n: int, rows: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[Any, np.ndarray, np.ndarray | None, list[tuple[np.ndarray, np.ndarray]]]:
    """X, samples, weights of all samples and folds of a fit to some of n rows; ``folds`` are positions among these.

    An X that is no array is not copied: its other rows count for nothing.
    """
    if isinstance(X, np.ndarray):
        return X[rows], rows, weights, folds
    every = np.arange(n)
    inside = np.isin(every, rows).astype(float)
    weights = inside if weights is None else (weights.T * inside).T
    return X, every, weights, [(rows[train], rows[test]) for train, test in folds]


def parts_with_folds(n: int, splits: list) -> list[tuple[np.ndarray, list]]:
    """All of n rows and the training rows of every fold, with the folds among them; see `first_factors`."""
    parts = [np.arange(n), *(np.sort(train) for train, _ in splits)]
    return [(rows, inner_folds(rows, splits, i - 1)) for i, rows in enumerate(parts)]


def inner_folds(rows: np.ndarray, splits: list, fold: int = -1) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds among some ``rows``, by their positions there: what others than ``fold`` test and train on of them."""
    inner = []
    for other, (train, test) in enumerate(splits):
        if other != fold:
            pair = np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, test))
            if len(pair[0]) and len(pair[1]):
                inner.append(pair)
    if not inner:
        raise ValueError(
            f"penalty_factors: AdaptiveFactors choose the strength of the first fit of each fold among its training "
            f"rows, by the other folds, and those of fold {fold} hold no test and training rows of another. Use 3 or "
            "more folds that train on the rest, as cv=5 does; splitters that only look forward, such as "
            "TimeSeriesSplit, cannot be used."
        )
    return inner

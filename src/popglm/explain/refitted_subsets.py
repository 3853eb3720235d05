"""Held-out deviance of the best model of some variables alone, for every subset of variables."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from popglm.estimators import GLMCV
from popglm.estimators.relaxed import of_gammas
from popglm.estimators.starts import OwnPaths
from popglm.explain.data_of_fit import has_one_minimum, way_down
from popglm.statistics.null import NullModels, null_models
from popglm.statistics.selection import at_strengths

__all__ = ["RefittedSubsets"]

#: Numbers (samples × columns) of one fit, 128 MB; and of the weights that a block of neurons has at a time.
BLOCK = 2**24


@dataclass(eq=False)
class RefittedSubsets:
    """Re-fits of a model to subsets of its variables, on the folds and at the strength of every neuron.

    Subsets are gone through from the largest. Where a subset with a single variable more has no weights for the
    variable, it is the solution already, and nothing is fitted. Else a subset begins where those with one and two
    variables more lead: w(S + a) + w(S + b) − w(S + a + b), which is right but for what a and b explain only together.
    What is left, pairs of a neuron and a subset, are columns of few fits.

    Attributes
    ----------
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    sample_weight : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    columns : list of ndarray of int
        Of every variable.
    late, n_fitted : int
        Re-fits that ended outside `tol`, and pairs of a neuron and a subset that were fitted.
    """

    model: GLMCV
    X: Any
    Y: np.ndarray
    sample_weight: np.ndarray | None
    offset: np.ndarray | None
    columns: list[np.ndarray]
    late: int = 0
    n_fitted: int = 0
    allowed: np.ndarray = field(init=False)
    index: np.ndarray = field(init=False)
    null: NullModels = field(init=False)

    def __post_init__(self) -> None:
        model = self.model
        p, q = model.n_features_in_, self.Y.shape[1]
        mask = model.feature_mask_
        self.allowed = np.ones((q, p), bool) if mask is None else mask.T.copy()
        # the null model has columns without a penalty alone, at any strength
        at_null = ~np.isfinite(model.lambda_) | model.null_fitted_
        free = model.penalty_.free
        self.allowed[at_null] &= np.zeros(p, bool) if free is None else free
        self.index = np.where(at_null, 0, model.lambda_index_)
        self.null = null_models(
            model.loss_, self.Y, self.sample_weight, self.offset, model.splits_ or [], bool(model.fit_intercept)
        )
        smooth = model.loss_.is_smooth and model.solver in ("auto", "quasi-newton")
        # where there is more than one minimum, a start would say which
        self.has_starts = smooth and has_one_minimum(model)

    def deviances(self) -> np.ndarray:
        """Of every subset, summed over held-out samples: (2**n_variables, n_neurons)."""
        n, q = len(self.columns), self.Y.shape[1]
        found = np.zeros((2**n, q))
        subsets = 2**n if n < 3 else 2**n // 2
        width = max(1, BLOCK // (subsets * self.model.cv_coef_[0].size // q * len(self.model.cv_coef_)))
        for first in range(0, q, width):
            neurons = np.arange(first, min(first + width, q))
            found[:, neurons] = self._of_neurons(neurons)
        return found

    def _of_neurons(self, neurons: np.ndarray) -> np.ndarray:
        n, model = len(self.columns), self.model
        full = 2**n - 1
        found = np.zeros((2**n, len(neurons)))
        found[full] = np.nansum(_selected_deviance(model), axis=0)[neurons]
        top: dict[int, np.ndarray] = {}
        above: dict[int, np.ndarray] = {}
        level = {full: np.asarray(model.cv_coef_)[:, neurons]}
        for size in range(n - 1, -1, -1):
            top, above, level = above, level, {}
            for subset in (s for s in range(2**n) if s.bit_count() == size):
                level[subset] = self._from_above(subset, above, top, found)
            self._fit(neurons, level, found)
        return found

    def _from_above(
        self, subset: int, above: dict[int, np.ndarray], top: dict[int, np.ndarray], found: np.ndarray
    ) -> np.ndarray:
        """Weights to begin with, (n_folds, n_neurons, n_features), from subsets with one and two variables more.

        The variables are those with the least to lose. Where nothing is lost the deviance is known; else it is NaN.
        """
        parents = [(subset | 1 << v, own) for v, own in enumerate(self.columns) if not subset >> v & 1]
        lost = np.array([(above[parent][..., own] ** 2).sum(axis=(0, 2)) for parent, own in parents])
        order = lost.argsort(axis=0)
        start = np.empty_like(above[parents[0][0]])
        for i, (best, *others) in enumerate(order.T):
            parent = parents[best][0]
            start[:, i] = above[parent][:, i]
            # a group without weights may have had some in a first fit
            known = lost[best, i] == 0 and self.model.adaptive_factors_ is None
            found[subset, i] = found[parent, i] if known else np.nan
            if others and not known:
                second = parents[others[0]][0]
                start[:, i] += above[second][:, i] - top[parent | second][:, i]
        start[..., np.concatenate([own for _, own in parents])] = 0
        return start

    def _fit(self, neurons: np.ndarray, level: dict[int, np.ndarray], found: np.ndarray) -> None:
        """Fit what is not known of a level, in place."""
        pairs = [(subset, int(i)) for subset in level for i in np.flatnonzero(np.isnan(found[subset]))]
        rest = np.ones(self.model.n_features_in_, bool)
        rest[np.concatenate(self.columns)] = False
        masks = []
        for subset, i in pairs:
            kept = rest.copy()
            for v, own in enumerate(self.columns):
                kept[own] = subset >> v & 1
            masks.append(kept & self.allowed[neurons[i]])
        for k in [k for k, mask in enumerate(masks) if not mask.any()]:
            subset, i = pairs[k]
            level[subset][:, i] = 0
            found[subset, i] = np.nansum(self.model.cv_constant_deviance_[:, neurons[i]])
        left = [k for k, mask in enumerate(masks) if mask.any()]
        width = max(1, BLOCK // len(self.Y))
        for first in range(0, len(left), width):
            some = left[first : first + width]
            start = np.stack([level[pairs[k][0]][:, pairs[k][1]] for k in some], axis=1)
            own = neurons[[pairs[k][1] for k in some]]
            coef, deviance = self._refit(own, np.stack([masks[k] for k in some], axis=1), start)
            for m, k in enumerate(some):
                subset, i = pairs[k]
                level[subset][:, i], found[subset, i] = coef[:, m], deviance[m]

    def _refit(self, own: np.ndarray, mask: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (n_folds, m, n_features) and held-out deviance (m,) of fits to masked columns (n_features, m)."""
        model, factors = self.model, self.model.penalty_factors_
        refit = clone(model).set_params(
            lambdas=None if model.penalty == "none" else way_down(model, self.index[own], own),
            feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist(),
            feature_shapes=model.feature_shapes_,
            cv=model.splits_, refit=False, feature_mask=mask, patience=None, verbose=0,
            penalty_factors=factors if factors is None or factors.ndim == 1 else factors[:, own],
            relaxed=False if model.gamma_ is None else np.unique([1.0, *model.gamma_[own]]),
        )  # fmt: skip
        if model.adaptive_factors_ is not None:
            refit.set_params(penalty_factors=model.penalty_factors)
        path = OwnPaths(start[:, None] if self.has_starts else None, None, self.null.take(own))
        weight = self.sample_weight
        weight = weight if weight is None or weight.ndim == 1 else weight[:, own]
        with warnings.catch_warnings():
            # of silent neurons, strengths at the end of a grid of one, and fits outside tol, which are counted
            warnings.simplefilter("ignore")
            refit.fit(self.X, self.Y[:, own], sample_weight=weight, offset=self.offset, start=path)
        self.n_fitted += len(own)
        self.late += int((refit.cv_gap_[:, -1] > model.tol).any(axis=0).sum())
        deviance = refit.cv_deviance_
        if model.gamma_ is not None:
            refit.gamma_ = model.gamma_[own]
            deviance = of_gammas(refit)
        return refit.cv_coef_path_[:, -1], np.nansum(deviance[:, -1], axis=0)


def _selected_deviance(model: GLMCV) -> np.ndarray:
    """Held-out deviance at the selected strengths, (n_folds, n_neurons)."""
    return at_strengths(model.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1)

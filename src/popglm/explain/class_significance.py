"""Which categorical responses, and which variables, beat chance: fits of a classifier beside those to surrogates."""

from __future__ import annotations

import warnings
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from popglm.estimators.classifier.offsets import beside_classes, of_occurring
from popglm.explain.ablation import shares_of_null_deviance
from popglm.explain.choice import MOST_DEPENDENCE, Layout, Method, serial_dependence
from popglm.explain.class_refits import ClassDataOfFit, class_data_of_fit
from popglm.explain.moved_columns import MovedTest
from popglm.explain.surrogate_maker import SurrogateMaker
from popglm.explain.surrogates import TrialPermutations
from popglm.explain.tested import trials_of_rows
from popglm.warnings import ConvergenceWarning, PopglmWarning

__all__ = ["TestedClasses"]

#: Numbers (samples × classes × surrogates, and weights of all folds and strengths) that a fit holds at once: 64 MB.
BLOCK = 2**23


@dataclass(eq=False)
class TestedClasses(MovedTest):
    """Labels of a classifier; ``y`` has the numbers of their classes, −1 where one is not known."""

    data: ClassDataOfFit

    @classmethod
    def make(
        cls, model: Any, X: Any, Y: Any, trial: Any, strata: Any, sample_weight: Any, offset: Any
    ) -> TestedClasses:
        """Check what `significance` is given.

        Raises
        ------
        TypeError, ValueError
        """
        data = class_data_of_fit(model, X, Y, sample_weight, offset, "significance", whole=True)
        if data.weight is not None and data.weight.ndim == 2:
            raise ValueError(
                "significance: sample_weight differs between responses, whose surrogates are fitted together; fit and "
                "test responses with other weights by themselves, or take compare."
            )
        left = int((model.fold_ < 0).sum())
        if left:
            raise ValueError(f"significance: {left} rows are never held out, and surrogates need them all.")
        if not np.array_equal(copy(model).select(**_rule(model)).lambda_index_, model.lambda_index_):
            raise ValueError(
                "significance: strengths were taken by hand, and those of surrogates are chosen by folds; call "
                "model.select() first."
            )
        rows = np.arange(len(data.X))
        codes, strata = trials_of_rows(data.labels, rows, len(rows), trial, strata)
        return cls(model, data.X, data.codes, rows, codes, strata, data)

    @property
    def first(self) -> np.ndarray:
        """The first sample of every trial."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.trial))[:-1]])

    @property
    def empty(self) -> np.ndarray:
        """See `MovedTest`."""
        return self.model.null_fitted_ | ~np.isfinite(self.model.lambda_)

    @property
    def residuals(self) -> np.ndarray:
        """Of every response the indicator of its commonest class less its share, 0 where no label is known."""
        found = np.zeros(self.y.shape)
        for j, own in enumerate(self.y.T):
            known = own >= 0
            if known.any():
                is_it = own[known] == np.bincount(own[known]).argmax()
                found[known, j] = is_it - is_it.mean()
        return found

    @property
    def constant_in_trials(self) -> bool:
        """Whether every response has one label, and one offset, throughout each trial."""
        first, offset = self.first[self.trial], self.data.offset
        return bool((self.y == self.y[first]).all() and (offset is None or (offset == offset[first]).all()))

    def explained(self) -> np.ndarray:
        """Held-out deviance explained."""
        return self.model.cv_deviance_explained_

    def contributions(self, chosen: dict[str, list[str]]) -> np.ndarray:
        """See `MovedTest`."""
        data = self.X, self.data.y, self.data.weight, self.data.offset
        return shares_of_null_deviance(self.model, data, chosen, "significance")

    def at_once(self) -> int:
        """See `MovedTest`."""
        weights = len(self.model.cv_coef_path_) * len(self.model.lambda_path_) * self.X.shape[1]
        return max(1, BLOCK // (max(len(self.X), weights) * len(self.model.classes_) * self.y.shape[1]))

    def method(self, maker: SurrogateMaker, asked: str, X: np.ndarray, what: str, whole: bool) -> Method:
        """What is shifted or exchanged: labels for the whole model, what others leave of it for a variable."""
        if not whole:
            return super().method(maker, asked, X, what, whole)
        constant, layout = self.constant_in_trials, maker.layout
        if asked == "trial_permutation" and not (layout.equal or constant):
            raise ValueError(
                "significance: trials of different lengths cannot be exchanged, for labels change within them; use "
                "method='circular_shift'."
            )
        if asked != "auto":
            return Method(asked, "asked for")
        if constant:
            return self._of_trials(layout, X)
        if layout.locked_to_trials(X).any():
            return super().method(maker, asked, X, what, whole)
        return Method("circular_shift", "labels change within trials")

    def _of_trials(self, layout: Layout, X: np.ndarray) -> Method:
        """The method for labels that are constant within trials."""
        held = "trials have one label each" if (layout.length == 1).all() else "labels are constant within trials"
        if serial_dependence(layout.means(X), layout.means(self.residuals)) <= MOST_DEPENDENCE:
            return Method("trial_permutation", f"{held}, and do not go on beside the model")
        return Method("circular_shift", f"{held}, but they and the model change slowly")

    def score(self, own: Any, alone: np.ndarray, surrogates: Any, going: np.ndarray, draws: slice) -> np.ndarray:
        """See `MovedTest`; all surrogates of labels are responses of one fit."""
        if own is not None:
            return super().score(own, alone, surrogates, going, draws)
        # samples that labels come from with their offsets, which are known of them: (n_responses, n_draws, n_samples)
        source = np.stack([self.moved(self.rows, j, surrogates, draws, self.rows) for j in going])
        codes = np.concatenate([self.y[rows, j].T for rows, j in zip(source, going, strict=True)], axis=1)
        offset, of = self.data.offset, np.repeat(going, source.shape[1])
        if offset is not None:
            each = [beside_classes(offset, slice(j, j + 1))[rows, 0] for rows, j in zip(source, going, strict=True)]
            # (n_samples, n_surrogates, n_classes)
            offset = np.moveaxis(np.concatenate(each), 1, 0)
        return self._fitted(self.X, codes, offset, of).reshape(source.shape[:2]).T

    def moved(self, values: np.ndarray, j: int, surrogates: Any, draws: slice, order: np.ndarray) -> np.ndarray:
        """Surrogates (n_draws, n_samples) of what goes with the labels of a response, the samples in ``order``."""
        if isinstance(surrogates, TrialPermutations) and self.constant_in_trials and not surrogates.means:
            return values[surrogates.first][surrogates.orders[draws]][:, self.trial[order]]
        return surrogates.apply(values, j, draws, order)

    def explained_by(self, X: np.ndarray, going: np.ndarray) -> np.ndarray:
        """See `MovedTest`."""
        offset = self.data.offset
        if offset is not None:
            shape = len(offset), len(going), offset.shape[-1]
            offset = np.broadcast_to(beside_classes(offset, going), shape)
        return self._fitted(X, self.y[:, going], offset, going)

    def _fitted(self, X: np.ndarray, codes: np.ndarray, offset: np.ndarray | None, of: np.ndarray) -> np.ndarray:
        """Held-out deviance explained of the model fitted to labels (n_samples, n), those of the responses ``of``.

        ``offset`` is theirs, (n_samples, n, n_classes).
        """
        model = self.model
        kinds = np.array([*model.classes_.tolist(), None], object)
        factors, mask = model.penalty_factors_, model.feature_mask_
        refit = clone(model).set_params(
            cv=model.splits_,
            refit=False,
            verbose=0,
            feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist(),
            feature_shapes=model.feature_shapes_,
        )
        if mask is not None:
            refit.set_params(feature_mask=mask[:, of])
        if factors is not None:
            refit.set_params(penalty_factors=factors[:, of] if factors.ndim == 2 else factors)
        if np.ndim(model.lambdas) == 2:
            refit.set_params(lambdas=model.lambda_path_[:, of])
        with warnings.catch_warnings():
            # the model's own fit has told of classes that are few
            warnings.simplefilter("ignore", PopglmWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            offset = of_occurring(offset, model.classes_, kinds[codes])
            refit.fit(X, pd.DataFrame(kinds[codes]), sample_weight=self.data.weight, offset=offset)
            return refit.select(**_rule(model)).cv_deviance_explained_


def _rule(model: Any) -> dict[str, float]:
    """By which rule strengths were selected."""
    return dict(zip(("se_fraction", "min_lambda"), model.selection_rule_, strict=True))

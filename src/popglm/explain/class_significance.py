"""Which categorical responses, and which variables, beat chance: fits of a classifier beside those to surrogates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.explain.ablation import breakdown
from popglm.explain.choice import MOST_DEPENDENCE, Layout, Method, serial_dependence, spread
from popglm.explain.class_refits import ClassDataOfFit, class_data_of_fit
from popglm.explain.refits import EXCEEDANCES, TIE, sequential_p_values, stages
from popglm.explain.shift_p_values import degrees_of_freedom, widened
from popglm.explain.shifts import unique_columns
from popglm.explain.surrogate_maker import SurrogateMaker
from popglm.explain.surrogates import TrialPermutations
from popglm.explain.tested import trials_of_rows
from popglm.variables import group_columns
from popglm.warnings import ConvergenceWarning, PopglmWarning

__all__ = ["TestedClasses", "test_classes"]

#: Numbers (samples × classes × surrogates, and weights of all folds and strengths) that a fit holds at once: 64 MB.
BLOCK = 2**23


@dataclass(eq=False)
class TestedClasses:
    """What is tested: checked labels of all rows, and their trials; as `TestedData` of activity.

    Attributes
    ----------
    y : ndarray of int, shape (n_samples, n_responses)
        Numbers of the classes, −1 where a label is not known.
    rows : ndarray of int
        All rows, in order of time.
    trial, strata : ndarray of int, shape (n_samples,)
    """

    model: ClassifierGLMCV
    data: ClassDataOfFit
    y: np.ndarray
    rows: np.ndarray
    trial: np.ndarray
    strata: np.ndarray | None

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
        rule = dict(zip(("se_fraction", "min_lambda"), model.selection_rule_, strict=True))
        if not np.array_equal(copy(model).select(**rule).lambda_index_, model.lambda_index_):
            raise ValueError(
                "significance: strengths were taken by hand, and those of surrogates are chosen by folds; call "
                "model.select() first."
            )
        rows = np.arange(len(data.X))
        return cls(model, data, data.codes, rows, *trials_of_rows(data.labels, rows, len(rows), trial, strata))

    @property
    def longest(self) -> int:
        """Samples of the longest trial."""
        return int(np.bincount(self.trial).max())

    @property
    def empty(self) -> np.ndarray:
        """Responses whose model is the null model, shape (n_responses,)."""
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
        """Whether every response has one label throughout each trial."""
        first = np.concatenate([[0], np.cumsum(np.bincount(self.trial))[:-1]])
        return bool((self.y == self.y[first][self.trial]).all()) and len(first) < len(self.trial)


def test_classes(
    tested: TestedClasses,
    method: str,
    chosen: dict[str, list[str]],
    drawn: tuple[int, int],
    map: Callable[..., Iterable[Any]],
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, list[Method]]:
    """Statistics (n_responses, 1 + n_variables), nulls and p-values; contributions; and the methods that were taken.

    Parameters
    ----------
    chosen : dict of str to list of str
        Groups of every variable.
    drawn : (int, int)
        Number of surrogates, and seed.
    """
    model, X = tested.model, tested.data.X
    columns = [group_columns(own, model.feature_group_names_, model.feature_group_sizes_) for own in chosen.values()]
    layout, (n_draws, seed) = Layout(tested.trial), drawn
    maker, residuals = SurrogateMaker(tested, layout, n_draws, seed), tested.residuals
    targets: list[Any] = []
    methods, freedom = [], []
    alone_of = [X, *unique_columns(X, columns)]
    for what, own, alone in zip(
        ["the model", *(repr(name) for name in chosen)], [None, *columns], alone_of, strict=True
    ):
        took = _method(maker, method, layout, tested, X if own is None else X[:, own], what, own is None)
        surrogates, scale = maker.surrogates(took), spread(X if own is None else X[:, own])
        maker.check(took, surrogates, alone, residuals, scale, what)
        freedom.append(degrees_of_freedom(alone, residuals, scale) if took.name == "circular_shift" else None)
        targets.append((own, alone, surrogates))
        methods.append(took)
    found = list(map(partial(_tested, tested), *zip(*targets, strict=True)))
    n_most = max(len(null) for null, _ in found)
    nulls = np.full((n_most, tested.y.shape[1], len(found)), np.nan)
    for k, (null, _) in enumerate(found):
        nulls[: len(null), :, k] = null
    statistic = np.repeat(np.where(tested.empty, np.nan, model.cv_deviance_explained_)[:, None], len(found), axis=1)
    p = np.stack([p if f is None else widened(p, f) for (_, p), f in zip(found, freedom, strict=True)], axis=1)
    p[tested.empty] = 1
    share = np.zeros((len(statistic), 0))
    if chosen:
        shares = breakdown(model, X, tested.data.y, chosen, sample_weight=tested.data.weight)
        share = shares.fraction_null_deviance.values
    return (statistic, nulls, p), share, methods


def _method(
    maker: SurrogateMaker, asked: str, layout: Layout, tested: TestedClasses, X: np.ndarray, what: str, whole: bool
) -> Method:
    """What is shifted or exchanged: labels for the whole model, and what other columns leave of those of a variable."""
    if asked == "time_in_trial":
        raise ValueError(
            "significance: method='time_in_trial' flips residuals, which labels have not; use circular_shift or "
            "trial_permutation."
        )
    if not whole:
        took = maker.method(asked, X, tested.residuals, what)
        if took.name == "time_in_trial":
            raise ValueError(
                f"significance: {what} holds time in trial, and trials have equal length: no shift or exchange of it "
                "is like another time. Leave it out of variables; compare scores the model without it."
            )
        return took
    constant = tested.constant_in_trials
    if asked == "trial_permutation" and not (layout.equal or constant):
        raise ValueError(
            "significance: trials of different lengths cannot be exchanged, for labels change within them; use "
            "method='circular_shift'."
        )
    if asked != "auto":
        return Method(asked, "asked for")
    if constant:
        dependence = serial_dependence(layout.means(X), layout.means(tested.residuals))
        if dependence <= MOST_DEPENDENCE:
            return Method("trial_permutation", "labels are constant within trials, and do not go on beside the model")
        return Method("circular_shift", "labels are constant within trials, but they and the model change slowly")
    if layout.locked_to_trials(X).any():
        return Method(
            "trial_permutation",
            "trials have equal length and the model holds time in trial, which exchanged trials keep: tested is what "
            "differs between them",
        )
    return Method("circular_shift", "labels change within trials")


def _tested(tested: TestedClasses, own: Any, alone: np.ndarray, surrogates: Any) -> tuple[np.ndarray, np.ndarray]:
    """Deviance explained of surrogates (n_draws, n_responses), and p-values, of the whole model or some columns."""
    model, n_draws = tested.model, len(surrogates)
    statistic = np.where(tested.empty, np.nan, model.cv_deviance_explained_)
    null = np.full((n_draws, len(statistic)), np.nan)
    size = max(tested.data.X.shape[0], len(model.cv_coef_path_) * len(model.lambda_path_) * tested.data.X.shape[1])
    for draws in stages(n_draws, max(1, BLOCK // (size * len(model.classes_) * len(statistic)))):
        enough = (null >= statistic - TIE).sum(axis=0) >= EXCEEDANCES
        going = np.flatnonzero(~np.isnan(statistic) & (surrogates.complete | ~enough))
        if not len(going):
            break
        if own is None:
            null[draws, going] = _of_labels(tested, surrogates, going, draws)
        else:
            for k in range(draws.start, draws.stop):
                null[k, going] = _of_columns(tested, own, alone, surrogates, going, k)
    return null, sequential_p_values(statistic, null, surrogates.complete)


def _of_labels(tested: TestedClasses, surrogates: Any, going: np.ndarray, draws: slice) -> np.ndarray:
    """Fits of all surrogates of the labels at once, shape (n_draws, n_responses)."""
    order, codes = tested.rows, []
    for j in going:
        y = tested.y[:, j]
        if isinstance(surrogates, TrialPermutations) and tested.constant_in_trials:
            codes.append(y[surrogates.first][surrogates.orders[draws]][:, tested.trial])
        else:
            codes.append(surrogates.apply(y, j, draws, order))
    # (n_responses, n_draws, n_samples)
    each = np.stack(codes)
    fitted = _fitted(tested, tested.data.X, each.reshape(-1, each.shape[-1]).T, np.repeat(going, each.shape[1]))
    return fitted.reshape(each.shape[:2]).T


def _of_columns(
    tested: TestedClasses, own: np.ndarray, alone: np.ndarray, surrogates: Any, going: np.ndarray, k: int
) -> np.ndarray:
    """The fit to X with another course of what other columns leave of some, shape (n_responses,)."""
    X, one = tested.data.X.copy(), slice(k, k + 1)
    moved = [surrogates.apply(column, 0, one, tested.rows)[0] for column in alone.T]
    X[:, own] += np.stack(moved, axis=1) - alone
    return _fitted(tested, X, tested.y[:, going], going)


def _fitted(tested: TestedClasses, X: np.ndarray, codes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Held-out deviance explained of the model fitted to labels (n_samples, n), those of the responses ``of``."""
    model = tested.model
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
        refit.fit(X, pd.DataFrame(kinds[codes]), sample_weight=tested.data.weight)
        rule = dict(zip(("se_fraction", "min_lambda"), model.selection_rule_, strict=True))
        return refit.select(**rule).cv_deviance_explained_

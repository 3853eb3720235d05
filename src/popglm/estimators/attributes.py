"""What the parts of an estimator share: its parameters, and what `fit` leaves on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from popglm.estimators.bounds import check_bounds
from popglm.estimators.validation import check_vector
from popglm.statistics.concave import CONCAVE, ConcavePenalty
from popglm.statistics.penalties import Penalty
from popglm.statistics.sparse_groups import SPARSE_GROUPS, SparseGroupPenalty

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from popglm.labels import Rows
    from popglm.shapes import Shape
    from popglm.statistics.families import Family

__all__ = ["Attributes", "no_attribute", "penalty_with"]


class Attributes:
    """The names that parts of `GLM` and `GLMCV` read from each other, whose docstrings say what they are."""

    # parameters of the constructor; those that are checked when `fit` is called can be anything until then
    family: str
    inverse_link: str | None
    power: float | None
    penalty: str
    l1_ratio: float | None
    concavity: float | None = None
    constraints: Any = None
    smoothness: float
    feature_groups: Any
    feature_shapes: Any
    feature_mask: Any
    penalty_factors: Any
    lambdas: Any
    n_lambdas: int
    lambda_min_ratio: float
    fit_intercept: bool
    tol: float
    max_iter: int
    solver: Any
    engine: str
    device: str | list[str] | None
    schedule: str
    precision: str
    verbose: int

    #: What a column of Y is to messages.
    noun = "neuron"

    # what `fit` leaves
    neuron_names_: list[str]
    neurons_are_named_: bool
    sample_labels_: pd.Index | None
    n_features_in_: int
    feature_names_in_: np.ndarray
    feature_group_names_: list[str]
    feature_group_sizes_: np.ndarray
    feature_shapes_: list[Shape] | None
    feature_scaling_: np.ndarray | None
    feature_mask_: np.ndarray | None
    penalty_factors_: np.ndarray | None
    factor_search_: xr.Dataset | None = None
    adaptive_factors_: np.ndarray | None = None
    cv_adaptive_factors_: np.ndarray | None = None
    gammas_: np.ndarray | None = None
    gamma_: np.ndarray | None = None
    relaxed_coef_path_: np.ndarray | None = None
    relaxed_intercept_path_: np.ndarray | None = None
    relaxed_gap_: np.ndarray | None = None
    relaxed_family_parameters_path_: dict[str, np.ndarray]
    cv_relaxed_coef_path_: np.ndarray | None = None
    cv_relaxed_intercept_path_: np.ndarray | None = None
    cv_relaxed_gap_: np.ndarray | None = None
    cv_relaxed_family_parameters_path_: dict[str, np.ndarray]
    cv_relaxed_deviance_: np.ndarray | None = None
    fitted_with_offset_: bool | None
    fitted_with_sample_weight_: bool | None
    loss_: Family
    penalty_: Penalty
    lambdas_: np.ndarray
    lambda_path_: np.ndarray
    lambda_index_: np.ndarray
    null_fitted_: np.ndarray
    deviance_parameters_: dict[str, np.ndarray]
    timings_: dict[str, float]
    _one_neuron: bool
    _far_from_zero: bool
    # arrays; None, or not there, after a cross-validation without a fit to all rows
    coef_path_: Any
    intercept_path_: Any
    coef_: Any
    intercept_: Any
    # what cross-validation alone leaves; no splits where they were read from a file that does not tell them
    se_fraction: float
    min_lambda: float
    relaxed: Any
    selection_rule_: tuple[float, float]
    cv_deviance_explained_: np.ndarray
    fold_: np.ndarray
    splits_: list[tuple[np.ndarray, np.ndarray]] | None
    cv_deviance_: np.ndarray

    def offset_values(self, offset: Any, n_samples: int, rows: Rows | None) -> np.ndarray | None:
        """An offset as the model adds it to its predictors, one finite number per sample; None for none.

        Raises
        ------
        ValueError
        """
        return check_vector(offset, "offset", n_samples, rows=rows)

    # methods of the whole estimator
    get_params: Callable[..., dict[str, Any]]
    set_params: Callable[..., Any]
    _keep: Callable[[np.ndarray], None]
    _penalty: Callable[[], tuple[Penalty, np.ndarray | None]]


def penalty_with(model: Attributes, factors: np.ndarray | None) -> Penalty:
    """A model's penalty with the factors (n_groups,) of a neuron."""
    bounds = check_bounds(model.constraints, model.feature_group_names_, model.feature_group_sizes_)
    penalty = _unbounded(model, factors, turns=bounds is None)
    return penalty if bounds is None else replace(penalty, bounds=bounds)


def _unbounded(model: Attributes, factors: np.ndarray | None, turns: bool) -> Penalty:
    """The same without bounds on weights; ``turns``: whether axes of a group may be turned."""
    if model.penalty in CONCAVE:
        return ConcavePenalty.of_kind(
            model.penalty, model.concavity, model.smoothness, model.feature_group_sizes_, factors,
            shapes=model.feature_shapes_,
        )  # fmt: skip
    if model.penalty == SPARSE_GROUPS:
        return SparseGroupPenalty.of_share(model.l1_ratio, model.feature_group_sizes_, factors, model.feature_shapes_)
    if model.penalty == "group_lasso" and not turns:
        plain = SparseGroupPenalty.of_share(0.0, model.feature_group_sizes_, factors, model.feature_shapes_)
        return plain if model.l1_ratio is None else replace(plain, l1_ratio=float(model.l1_ratio))
    return Penalty.make(
        model.penalty, model.l1_ratio, model.smoothness, model.feature_group_sizes_, factors,
        shapes=model.feature_shapes_,
    )  # fmt: skip


def no_attribute(model: Any, name: str) -> AttributeError:
    """What to raise where a model lacks an attribute."""
    if name in ("coef_", "intercept_") and vars(model).get("coef_path_", model) is None:
        return AttributeError(
            f"{name} does not exist: the model was fitted with refit=False, to its folds alone. Their weights are "
            f"in cv_{name.removesuffix('_')}_path_; use refit=True for weights of all rows."
        )
    if name == "predict_held_out" and hasattr(type(model), "predict_proba_held_out"):
        return AttributeError(
            f"{type(model).__name__} has no predict_held_out; predict_proba_held_out has the probabilities of classes, "
            "whose largest is that of the class predicted."
        )
    return AttributeError(f"{type(model).__name__!r} object has no attribute {name!r}")

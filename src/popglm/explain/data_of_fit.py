"""What a model was fitted to, given again to explain it; and an estimator that fits it again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from popglm.estimators import GLM, GLMCV
from popglm.estimators.again import Again
from popglm.estimators.base import PopulationGLM
from popglm.estimators.cross_validated import CrossValidated
from popglm.estimators.validation import check_as_in_fit, check_offset
from popglm.explain.contributions import check_data_of_fit, check_design_matrix, rows_of
from popglm.explain.fitted_objective import check_objective
from popglm.explain.given_models import check_activity, check_model
from popglm.labels import Rows
from popglm.numbers import shape_of
from popglm.solve.sparse.rows import some_rows
from popglm.statistics.concave import CONCAVE
from popglm.warnings import PopglmWarning, warn

__all__ = [
    "DataOfFit",
    "check_refittable",
    "check_test",
    "data_of_fit",
    "has_one_minimum",
    "has_stages",
    "in_stages",
    "unfitted",
    "way_down",
]


class DataOfFit(NamedTuple):
    """X, or a stream of it, Y (NaN where unknown) and what else there is, in the order of the fit; and its labels."""

    X: Any
    Y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    labels: Rows


def data_of_fit(
    model: Any, X: Any, Y: Any, sample_weight: Any, offset: Any, who: str, whole: bool = True, strict: bool = True
) -> DataOfFit:
    """The arguments of a statistic, if they are those of the fit; ``who`` asks, for the complaints.

    Parameters
    ----------
    whole : bool
        Whether X must be an array, and no stream.
    strict : bool
        Without folds that hold a row out once, other data are refused; else a warning tells of them, and a single
        number for weights or offset asks on purpose to do without.

    Raises
    ------
    TypeError, ValueError
        If they are not, by number, labels, held-out deviance or, without folds that hold a row out once, the objective.
    """
    check_model(model, who)
    # as many rows as the fit had are taken for its own
    others = not strict and model.sample_labels_ is not None and shape_of(X)[:1] != (len(model.sample_labels_),)
    labels = rows_of(model, X, held_out=not others)
    order = labels.given
    X = check_design_matrix(model, X, who, held_out=False, whole=whole)
    X = X if order is None else some_rows(X, order)
    Y = check_activity(model, Y, len(X), labels)
    weight, offset = check_as_in_fit(model, sample_weight, offset, len(X), labels, who, refits=strict)
    if isinstance(model, CrossValidated) and getattr(model, "held_out_once_", False):
        check_data_of_fit(model, X, Y, weight, offset, who)
    else:
        try:
            check_objective(model, X, Y, weight, offset, who)
        except ValueError as error:
            if strict:
                raise
            warn(str(error), PopglmWarning)
    return DataOfFit(X, Y, weight, offset, labels)


def check_refittable(model: Any, who: str) -> None:
    """Refuse models that are not fitted again.

    Raises
    ------
    TypeError
    """
    if isinstance(model, PopulationGLM) and not isinstance(model, GLM | GLMCV):
        raise TypeError(f"{who}: re-fits of a {type(model).__name__} are not made; give a popglm.GLM or popglm.GLMCV.")


def check_test(model: PopulationGLM, test: Any, who: str) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """X_test, Y_test and the offset as arrays, in the order of the model's columns and neurons.

    Raises
    ------
    TypeError, ValueError
        If they are none, or not of this model; ``who`` asks, for the complaints.
    """
    if not isinstance(test, tuple | list) or len(test) not in (2, 3):
        found = f"a {type(test).__name__} of {len(test)}" if isinstance(test, tuple | list) else type(test).__name__
        raise ValueError(f"{who}: test must be (X_test, Y_test) or (X_test, Y_test, offset_test); found {found}.")
    X, labels = check_design_matrix(model, test[0], who, False), rows_of(model, test[0], held_out=False)
    offset = check_offset(model, test[2] if len(test) == 3 else None, len(X), labels, f"{who}: test")
    return X, check_activity(model, test[1], len(X), labels), offset


def has_stages(model: PopulationGLM) -> bool:
    """Whether more was fitted than a path: first fits for adaptive factors, or relaxed ones."""
    return isinstance(model, GLMCV) and (model.gamma_ is not None or model.adaptive_factors_ is not None)


def has_one_minimum(model: PopulationGLM) -> bool:
    """Whether where a fit begins changes nothing of where it ends; under a concave penalty it may."""
    return model.penalty not in CONCAVE


def is_plain(model: GLMCV) -> bool:
    """Whether a model was fitted on the host, and has no smoothness, factors, bounds or mask."""
    penalty, on_host = model.penalty_, model.schedule != "device" and model.device in (None, "cpu")
    unheld = penalty.R is None and penalty.factors is None and penalty.bounds is None
    return on_host and unheld and model.feature_mask_ is None


def may_close_groups(model: GLMCV, X: Any) -> bool:
    """Whether neurons may go without some feature groups each in one fit: see `OwnPaths`.

    Fits to second moments are so short that a batch of them takes no less time.
    """
    penalty = model.penalty_
    norms = penalty.l1_ratio > 0 and not penalty.blocks.nested and bool((model.lambda_path_ > 0).all())
    one_stage = has_one_minimum(model) and not has_stages(model)
    return is_plain(model) and norms and one_stage and not model.loss_.is_least_squares and isinstance(X, np.ndarray)


def way_down(model: PopulationGLM, index: np.ndarray, neurons: np.ndarray | None = None) -> np.ndarray:
    """Strengths (n, m) by which a fit comes to those of the numbers ``index`` (m,), of some neurons or of all.

    Those alone, or all from the strongest on where the way there says at which minimum a fit ends.
    """
    path = model.lambda_path_ if neurons is None else model.lambda_path_[:, neurons]
    first = index.max(initial=0) * has_one_minimum(model)
    steps = np.minimum(np.arange(first, index.max(initial=0) + 1)[:, None], index)
    return np.take_along_axis(path, steps, axis=0)


def in_stages(model: GLMCV, blend: np.ndarray | None = None, rows: np.ndarray | None = None) -> Again:
    """`unfitted` for fits to all of some ``rows`` that go through the model's stages; ``blend`` as in `Again`."""
    settings = unfitted(model, GLM).get_params()
    if model.adaptive_factors_ is not None:
        settings["penalty_factors"] = model.penalty_factors
    return Again.of(model, rows, blend).set_params(**settings)


def unfitted(model: PopulationGLM, kind: type[GLM] | type[GLMCV]) -> Any:
    """An estimator that fits as a model was, with its groups, mask and factors as they were found there."""
    given = model.get_params()
    return kind(**{name: given[name] for name in GLM().get_params()}).set_params(
        feature_groups=np.repeat(model.feature_group_names_, model.feature_group_sizes_).tolist(),
        feature_shapes=model.feature_shapes_,
        feature_mask=model.feature_mask_,
        penalty_factors=model.penalty_factors_,
        verbose=0,
    )

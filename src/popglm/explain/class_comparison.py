"""Deviances of a classifier with and without variables, by fitting again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.estimators.validation import check_offset
from popglm.explain.binning import check_bins
from popglm.explain.class_ablation import ClassActivity, ClassPredictor, check_class_matrix
from popglm.explain.class_refits import ClassRefits, class_data_of_fit
from popglm.explain.contributions import Tally, neuron_blocks, rows_of
from popglm.explain.reduced_models import warn_of_late_refits
from popglm.messages import shown
from popglm.variables import group_columns, resolve_variables

__all__ = ["tally_of_class_refits"]


def tally_of_class_refits(
    model: ClassifierGLMCV,
    data: tuple[Any, Any, Any, Any],
    test: Any,
    variables: Any,
    by: Any,
    method: str,
    reselect: bool,
    map: Callable[..., Iterable[Any]],
) -> tuple[Tally, np.ndarray]:
    """What `compare` finds: deviances, and the strengths of re-fits (n_responses, n_variables).

    Parameters
    ----------
    data : tuple
        X, Y, sample weights and offset, as `compare` is given them.
    test, variables, by, method, reselect, map
        As in `compare`.
    """
    X, Y, sample_weight, offset = data
    own = class_data_of_fit(model, X, Y, sample_weight, offset, "compare")
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, groups)
    X_scored, y_scored, weight, shift, labels = own.X, own.y, own.weight, own.offset, own.labels
    if test is not None:
        if not isinstance(test, tuple | list) or len(test) not in (2, 3):
            raise ValueError(
                f"compare: test must be (X_test, Y_test) or (X_test, Y_test, offset_test); found {shown(test)}."
            )
        X_scored = check_class_matrix(model, test[0], "compare", held_out=False)
        y_scored, weight, labels = test[1], None, rows_of(model, test[0], held_out=False)
        given = test[2] if len(test) == 3 else None
        shift = check_offset(model, given, len(X_scored), labels, "compare: test")
    full = ClassPredictor.make(model, X_scored, shift, test is None)
    axis = check_bins(by, len(X_scored), labels)
    of_fit = test is None
    scored = ClassActivity.make(
        model, y_scored, len(X_scored), full.rows, weight, axis, None if of_fit else labels,
        model.fold_ if of_fit else None,
    )  # fmt: skip
    tally, blocks = Tally(scored, list(chosen)), list(neuron_blocks(len(X_scored), len(model.neuron_names_)))
    for responses in blocks:
        tally.add_models(responses, full.eta(responses))
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    kept = columns if method == "add" else [np.setdiff1d(np.arange(X_scored.shape[1]), one) for one in columns]
    refits = ClassRefits(model, own, not of_fit, reselect)
    strengths, late = np.zeros(tally.reduced.shape), {}
    for v, fitted in enumerate(map(refits.fit, list(chosen), kept)):
        reduced, strengths[:, v], late[fitted.variable] = fitted.predictor(full), fitted.strength, fitted.late
        for responses in blocks:
            tally.add_reduced(responses, v, reduced.eta(responses))
    warn_of_late_refits(model, late)
    return tally, strengths

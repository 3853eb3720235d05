"""Signs that the weights of some feature groups must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popglm.estimators.arguments import check_group_names
from popglm.messages import shown
from popglm.statistics.concave import CONCAVE
from popglm.statistics.penalties import Penalty

__all__ = ["check_signed_fit", "check_signs"]

SIGNS = {"positive": 1.0, "negative": -1.0}


def check_signs(given: Any, groups: Sequence[str], sizes: np.ndarray) -> np.ndarray | None:
    """Sign of every column, shape (n_features,): 1, −1, and 0 for those that may have any; None where all may.

    Raises
    ------
    ValueError
        If ``given`` is no mapping, a name is no group, or what it says is neither "positive" nor "negative".
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError(
            f"constraints={shown(given)} must be a mapping from names of feature groups to 'positive' or 'negative'."
        )
    check_group_names("constraints", given, groups, "constraints")
    signs = np.zeros(len(groups))
    for name, kind in given.items():
        if not isinstance(kind, str) or kind not in SIGNS:
            raise ValueError(
                f"constraints of group {str(name)!r} must be 'positive' or 'negative'; found {shown(kind)}. A "
                "SmoothGLM has curves that rise or fall."
            )
        signs[list(groups).index(str(name))] = SIGNS[kind]
    return np.repeat(signs, sizes) if signs.any() else None


def check_signed_fit(model: Any, penalty: Penalty, lambdas: np.ndarray | None, searched: bool) -> None:
    """Complain of what is not fitted under signs; ``searched``: whether a `FactorSearch` finds penalty factors.

    Raises
    ------
    ValueError
    """
    why, named = None, "constraints"
    if model.penalty == "none" or (lambdas is not None and not np.all(lambdas > 0)):
        why = "a penalty with strengths above 0; one of 1e-6 hardly matters"
    elif model.smoothness > 0:
        why = "smoothness=0; a SmoothGLM has both"
    elif model.penalty in CONCAVE:
        why = "a convex penalty, such as 'lasso' or 'group_lasso'"
    elif searched:
        why = "given penalty_factors; a FactorSearch does not know of them"
    elif penalty.free is not None and (penalty.signs * penalty.free).any():
        starts = penalty.starts[:-1]
        group = model.feature_group_names_[int(np.argmax((penalty.signs * penalty.free)[starts] != 0))]
        why, named = "a penalty factor above 0", f"constraints of group {group!r}"
    if why is not None:
        raise ValueError(f"{named} need {why}.")

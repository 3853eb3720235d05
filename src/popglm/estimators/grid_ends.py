"""Strengths selected at an end of their grid, where a longer one may explain more."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.messages import counted
from popglm.warnings import PopglmWarning, warn

__all__ = ["at_ends", "warn_of_ends"]


def at_ends(model: Any, explained: np.ndarray, strongest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neurons that selected the weakest strength of their grid, and the strongest one where it is no null model.

    Parameters
    ----------
    model : fitted estimator
    explained : ndarray, shape (n_neurons,)
        Fraction of deviance that the selected strengths explain.
    strongest : ndarray, shape (n_fits, n_neurons, ..., n_features)
        Coefficients at the first strength.
    """
    grid, index = model.lambda_path_, model.lambda_index_
    fitted = ~model.null_fitted_ & (len(grid) > 1)
    weighs = (model.penalty_.penalised(strongest) != 0).any(axis=(0, *range(2, strongest.ndim)))
    first = fitted & (index == 0) & (explained > 0) & weighs
    # nothing is weaker than no penalty
    last = fitted & (index == len(grid) - 1) & (grid[-1] > 0)
    return np.flatnonzero(last), np.flatnonzero(first)


def warn_of_ends(model: Any, explained: np.ndarray, strongest: np.ndarray) -> None:
    """One line about the neurons of `at_ends`, whose arguments it has."""
    weakest, first = at_ends(model, explained, strongest)
    smaller = "smaller lambdas" if model.lambdas is not None else "a smaller lambda_min_ratio"
    said = [f"{len(weakest)} took the weakest ({smaller} may explain more)"] if len(weakest) else []
    said += [f"{len(first)} took the strongest (larger lambdas may)"] if len(first) else []
    if said:
        many = counted(len(explained), model.noun)
        warn(f"The selected strength lies at an end of its grid: of {many} {' and '.join(said)}.", PopglmWarning)

"""Neurons whose likelihood may have no maximum, since weights can pass through all of their events."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.estimators.validation import warn_neurons
from popglm.solve.passes.samples import FitData
from popglm.solve.settings import Settings

__all__ = ["warn_of_collapse"]


def warn_of_collapse(model: Any, settings: Settings, data: FitData) -> None:
    """Name neurons with fewer events than columns in some fit, under a family whose σ can run to 0 then.

    Warns
    -----
    PopglmWarning
    """
    if not settings.loss.can_collapse:
        return
    events = data.Y > 0
    if data.weights is not None:
        events &= np.reshape(data.weights > 0, (len(data.Y), -1))
    found = np.stack([events.sum(axis=0), *(events[train].sum(axis=0) for train, _ in data.splits)])
    n_columns = data.X.shape[1] if settings.allowed is None else settings.allowed.sum(axis=0)
    # of neurons with hardly any event the null model is fitted
    few = ((found >= 2) & (found < n_columns + settings.fit_intercept)).any(axis=0)
    warn_neurons(
        f"Fewer samples above 0 than weights, in all rows or in a fold, so that family={settings.loss.name!r} may have "
        "no best weights under weak strengths: they pass through all of these samples, sigma runs to 0, and fits are "
        "slow and end outside tol (use a larger lambda_min_ratio, such as 0.05, fewer columns, or leave these out)",
        np.flatnonzero(few),
        model.neuron_names_,
    )

"""What the fit of a session takes, from its clocks and variables: no activity is read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

from popglm.analysis.expected import expected_fit
from popglm.analysis.recipe import Recipe
from popglm.analysis.running import grid_of
from popglm.design.past import Past
from popglm.recording import Session
from popglm.recording.regridding import thinned

__all__ = ["Estimate", "estimate"]

#: Rows from which columns of the design are counted.
ROWS = 1_000
#: Bytes of a Python process with popglm and its libraries; numbers of 8 bytes that reading, the grid and predictions
#: hold for every sample and neuron, and the design for every sample and column.
PROCESS, PER_RESPONSE, PER_ENTRY = 4e8, 13, 2


@dataclass(frozen=True)
class Estimate:
    """What a session takes.

    Attributes
    ----------
    n_samples, n_features, n_neurons : int
        Of the fit: samples of the grid, columns of the design, neurons that meet the recipe's query.
    memory : float
        Bytes of a process that fits all of it, about.
    flops : float
        Of the matrix products of the fit, about.
    """

    n_samples: int
    n_features: int
    n_neurons: int
    memory: float
    flops: float


def estimate(recipe: Recipe, session: Session) -> Estimate:
    """What a session takes by a recipe.

    Parameters
    ----------
    recipe : Recipe
    session : Session
        From `popglm.analysis.running.session_of`.

    Raises
    ------
    ValueError, TypeError
        If the recipe cannot be carried out on it: what a fit would say, but for what only activity tells.
    """
    content = recipe.content
    thin, n_neurons = thinned(session, content.data.activity, content.neurons)
    data = grid_of(replace(recipe, content=content.model_copy(update={"neurons": None})), thin)
    n_samples = data.sizes["time"]
    with warnings.catch_warnings():
        # of columns that do not vary in these few rows
        warnings.simplefilter("ignore")
        design = recipe.design(float(data.attrs["bin_width"]))
        past = [term for term in design.terms if isinstance(term, Past)]
        design.terms = [term for term in design.terms if not isinstance(term, Past)]
        n_features = n_neurons * sum(len(term.feature_names()) for term in past)
        if design.terms:
            design.fit(data.isel(time=slice(None, None, max(n_samples // ROWS, 1))))
            n_features += len(design.columns_)
    return of_shape(recipe, n_samples, n_features, n_neurons)


def of_shape(recipe: Recipe, n_samples: int, n_features: int, n_neurons: int) -> Estimate:
    """What a session of known shape takes, or some of its neurons."""
    fit = expected_fit(recipe, n_samples, n_features, n_neurons)
    held = 8.0 * n_samples * (PER_RESPONSE * n_neurons + PER_ENTRY * n_features)
    return Estimate(n_samples, n_features, n_neurons, PROCESS + held + fit.memory, fit.flops)

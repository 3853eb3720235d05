"""What the fit of a session takes, from its clocks and variables: no activity is read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

from popglm.analysis.cost import FitShape, cpu_seconds
from popglm.analysis.recipe import Recipe
from popglm.analysis.running import grid_of
from popglm.design.past import Past
from popglm.recording import Session
from popglm.recording.regridding import thinned

__all__ = ["Estimate", "estimate", "memory_of_task", "of_shape"]

#: Rows from which columns of the design are counted.
ROWS = 1_000
#: Bytes of a Python process with popglm and its libraries; numbers of 8 bytes that reading, the grid and predictions
#: hold for every sample and neuron, the design for every sample and column, and reading for neurons that others fit.
PROCESS, PER_RESPONSE, PER_ENTRY, READ = 4e8, 13, 2, 2


@dataclass(frozen=True)
class Estimate:
    """What a session takes.

    Attributes
    ----------
    shape : FitShape
        Samples of the grid, columns of the design, and neurons that meet the recipe's query.
    memory : float
        Bytes of a process that fits all of it, about.
    seconds : float
        Of a core, about.
    """

    shape: FitShape
    memory: float
    seconds: float

    @property
    def n_neurons(self) -> int:
        """Neurons that are fitted."""
        return self.shape.n_neurons

    def of_neurons(self, n_neurons: int) -> Estimate:
        """What a task takes that fits some of the neurons: it reads the activity of all of them."""
        shape = self.shape.of_neurons(n_neurons)
        return Estimate(shape, memory_of_task(shape, self.n_neurons), cpu_seconds(shape))


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
    return of_shape(FitShape.of_recipe(recipe, n_samples, n_features, len(content.fit.responses) or n_neurons))


def of_shape(shape: FitShape) -> Estimate:
    """What a session of known shape takes."""
    return Estimate(shape, memory_of_task(shape, shape.n_neurons), cpu_seconds(shape))


def memory_of_task(shape: FitShape, n_read: int) -> float:
    """Bytes of a process that fits the neurons of a shape, and reads the activity of ``n_read``."""
    responses = PER_RESPONSE * shape.n_neurons + READ * (n_read - shape.n_neurons)
    held = 8.0 * shape.n_samples * (responses + PER_ENTRY * shape.n_features)
    return PROCESS + held + shape.memory

"""What a fit takes, about, before it is begun: products, seconds and memory, from shapes alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from popglm.analysis.recipe import Recipe

__all__ = ["SHARE_OF_PRODUCTS", "expected_fit", "products_per_second"]

#: Evaluations of a problem at one strength, about; each is a pair of matrix products, less than half of the time.
EVALUATIONS, SHARE_OF_PRODUCTS = 6, 0.4


@dataclass(frozen=True)
class Expected:
    """What a fit takes.

    Attributes
    ----------
    flops : float
        Multiplications and additions of its matrix products.
    memory : float
        Bytes of the arrays of the fit.
    """

    flops: float
    memory: float


def expected_fit(recipe: Recipe, n_samples: int, n_features: int, n_neurons: int) -> Expected:
    """What the fit of a recipe takes for data of a shape."""
    model = recipe.content.model
    strengths = len(model["lambdas"]) if isinstance(model.get("lambdas"), list) else model.get("n_lambdas", 20)
    fits = model.get("cv", 5) + 1 if isinstance(model.get("cv", 5), int) else 6
    size = 4 if model.get("precision", "float32") != "float64" else 8
    arrays = 2 * size * n_samples * (n_features + n_neurons) + 8 * fits * strengths * n_neurons * n_features
    return Expected(4.0 * n_samples * n_features * n_neurons * fits * strengths * EVALUATIONS, float(arrays))


def products_per_second() -> float:
    """Multiplications and additions per second of a product of the shapes of a fit, on this machine."""
    A, B = np.ones((64, 512), np.float32), np.ones((512, 1024), np.float32)
    A @ B
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < 0.05:
        A @ B
        n += 1
    return 2.0 * A.size * B.shape[1] * n / (time.perf_counter() - began)

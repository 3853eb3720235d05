"""What a fit takes, before it is begun: evaluations, seconds of CPU, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from popglm.analysis.recipe import Recipe
from popglm.checks import is_number
from popglm.engines.threads import at_most_threads
from popglm.messages import shown

__all__ = [
    "PARTS",
    "FitShape",
    "Rates",
    "cpu_seconds",
    "evaluations_per_strength",
    "parts_of_cost",
    "units_of_cost",
    "with_threads",
]

#: What `parts_of_cost` tells apart.
PARTS = ("products", "samples", "evaluations", "curvature", "steps")
#: Seconds of a core for a unit of each part (`units_of_cost`). The Gaussian family has its own: it meets its samples
#: once, in Gram matrices. All numbers from here on are measured by benchmarks/costs.py.
SECONDS = np.array([1.27e-11, 2.49e-8, 2.40e-4, 6.69e-8, 3.93e-5])
SECONDS_GAUSSIAN = np.array([1.27e-11, 0.0, 7.55e-5, 0.0, 5.09e-5])
#: Share of the multiplications with columns that a problem meets in an evaluation.
MET = 0.2
#: Evaluations: a factor, and powers of columns, samples and strengths; then how many times those of a Poisson model
#: with group lasso others take; binomial ones have the loss of Bernoulli.
EVALUATIONS, COLUMNS, SAMPLES, STRENGTHS = 1.36, 0.536, -0.060, -0.501
OF_FAMILY = {
    "bernoulli": 0.53,
    "binomial": 0.53,
    "gaussian": 0.3,
    "gamma": 0.5,
    "inverse_gaussian": 0.6,
    "negative_binomial": 1.5,
    "censored_gaussian": 1.8,
}
OF_PENALTY = {"lasso": 1.4, "elastic_net": 1.3, "ridge": 0.78}
#: How many times as long an evaluation takes.
SLOWER = {"gamma": 0.9, "inverse_gaussian": 0.8, "tweedie": 1.05, "negative_binomial": 1.5, "censored_gaussian": 16.0}
#: Parts that threads share, and how much of each further core these make use of.
SHARED, USED = ("products", "samples", "curvature"), 0.7


@dataclass(frozen=True)
class FitShape:
    """What the cost of a fit depends on.

    Attributes
    ----------
    n_samples, n_features, n_neurons : int
    n_strengths : int
    n_fits : int
        Folds, and the fit to all samples.
    family, penalty : str
    itemsize : int
        Bytes of a number: 4, or 8 in double precision.
    """

    n_samples: int
    n_features: int
    n_neurons: int
    n_strengths: int = 20
    n_fits: int = 6
    family: str = "poisson"
    penalty: str = "group_lasso"
    itemsize: int = 4

    @classmethod
    def of_recipe(cls, recipe: Recipe, n_samples: int, n_features: int, n_neurons: int) -> FitShape:
        """Of the fit of a recipe to data of a shape.

        Raises
        ------
        ValueError
            If the recipe's strengths are none.
        """
        model = recipe.content.model
        # of a model of two parts that of the amounts stands for both
        model = model.get("amounts", model)
        given, folds, number = model.get("lambdas"), model.get("cv", 5), model.get("n_lambdas", 20)
        n_strengths = len(given) if isinstance(given, list) else number
        if not is_number(n_strengths, whole=True) or n_strengths < 1:
            name = "lambdas" if isinstance(given, list) else "n_lambdas"
            what = "holds no strength" if name == "lambdas" else "must be a whole number, 1 or more"
            raise ValueError(f"{recipe.place(('model', name))}: {name}={shown(model[name])} {what}")
        return cls(
            n_samples,
            n_features,
            n_neurons,
            n_strengths,
            folds + 1 if isinstance(folds, int) else 6,
            model.get("family", "poisson"),
            model.get("penalty", "ridge"),
            8 if model.get("precision") == "float64" else 4,
        )

    @property
    def n_problems(self) -> int:
        """Problems at all strengths: neurons x strengths x fits."""
        return self.n_neurons * self.n_strengths * self.n_fits

    @property
    def rows_per_fit(self) -> float:
        """Samples of a fit, on average over the folds and the fit to all samples."""
        folds = self.n_fits - 1
        return self.n_samples * folds / self.n_fits if folds else float(self.n_samples)

    @property
    def memory(self) -> float:
        """Bytes of the arrays of the fit: X and activity, and the weights of all strengths."""
        arrays = 2 * self.itemsize * self.n_samples * (self.n_features + self.n_neurons)
        return float(arrays + 8 * self.n_problems * self.n_features)

    def of_neurons(self, n_neurons: int) -> FitShape:
        """The same for another number of neurons."""
        return replace(self, n_neurons=n_neurons)


@dataclass(frozen=True)
class Rates:
    """How fast a core is.

    Attributes
    ----------
    products : float
        Multiplications and additions of matrix products in float32, per second.
    exponentials : float
        Exponentials of float32 numbers, per second.
    """

    products: float
    exponentials: float

    @classmethod
    def here(cls) -> Rates:
        """Of this machine, measured within a fifth of a second."""
        A, B = np.ones((64, 512), np.float32), np.ones((512, 1024), np.float32)
        values = np.linspace(-3, 3, 2**16, dtype=np.float32)
        with at_most_threads(1):
            return cls(
                2.0 * A.size * B.shape[1] * _calls_per_second(lambda: A @ B),
                values.size * _calls_per_second(lambda: np.exp(values)),
            )


def _calls_per_second(call: Callable[[], object]) -> float:
    """Calls in a second of CPU."""
    call()
    began, n = time.process_time(), 0
    while time.process_time() - began < 0.05:
        call()
        n += 1
    return n / (time.process_time() - began)


#: The cores on which the seconds of `SECONDS` were measured.
REFERENCE = Rates(7.9e10, 2.1e9)


def evaluations_per_strength(shape: FitShape) -> float:
    """Evaluations of loss and gradient that a problem takes at a strength, on average over the path.

    They are those of simulated sessions, fitted by a power law in columns, samples and strengths. A recording's own
    number is known from a fit of some of its neurons: `popglm.plan`.

    Examples
    --------
    >>> round(evaluations_per_strength(FitShape(n_samples=30_000, n_features=300, n_neurons=100)), 1)
    3.5
    """
    law = EVALUATIONS * shape.n_features**COLUMNS * shape.n_samples**SAMPLES * shape.n_strengths**STRENGTHS
    return max(law * OF_FAMILY.get(shape.family, 1.0) * OF_PENALTY.get(shape.penalty, 1.0), 1.0)


def parts_of_cost(shape: FitShape, evaluations: float | None = None, rates: Rates | None = None) -> dict[str, float]:
    """Seconds of a core that the parts of a fit take.

    With E evaluations of each of K problems at all strengths, over n samples and p columns:

    - products: X times weights and residuals, 4npEK multiplications and additions, of which some are of columns
      without a weight;
    - samples: the inverse link, the loss and its derivatives, nEK;
    - evaluations: what every evaluation of a problem takes, whatever its size, EK;
    - curvature: the penalised model of a problem, EKp³/n: its Gram matrix is renewed the more often the fewer samples
      there are for each column;
    - steps: what all neurons of a fit share in a step, proportional to p.

    Parameters
    ----------
    shape : FitShape
    evaluations : float, optional
        Of a problem per strength; by default `evaluations_per_strength`.
    rates : Rates, optional
        How fast a core is; by default as those on which the model was measured (benchmarks/costs.py).

    Examples
    --------
    >>> parts = parts_of_cost(FitShape(n_samples=30_000, n_features=300, n_neurons=100))
    >>> max(parts, key=parts.get)
    'samples'
    """
    units = units_of_cost(shape, evaluations or evaluations_per_strength(shape))
    rates = rates or REFERENCE
    products = REFERENCE.products / rates.products
    others = REFERENCE.exponentials / rates.exponentials
    slower = np.array([products, others, others, products, others]) * shape.itemsize / 4 * SLOWER.get(shape.family, 1.0)
    seconds = SECONDS_GAUSSIAN if shape.family == "gaussian" else SECONDS
    return dict(zip(PARTS, (units * seconds * slower).tolist(), strict=True))


def units_of_cost(shape: FitShape, evaluations: float) -> np.ndarray:
    """How much there is of each of `PARTS`, for so many evaluations of a problem per strength."""
    n, p, q = shape.n_samples, shape.n_features, shape.n_neurons
    rows, all_evaluations = shape.rows_per_fit, evaluations * shape.n_problems
    products = 2.0 * n * p * (p + q) if shape.family == "gaussian" else 4.0 * MET * p * rows * all_evaluations
    return np.array(
        [
            products,
            rows * all_evaluations,
            all_evaluations,
            all_evaluations * p**3 / n,
            evaluations * shape.n_strengths * shape.n_fits * p,
        ]
    )


def cpu_seconds(shape: FitShape, evaluations: float | None = None, rates: Rates | None = None) -> float:
    """Seconds of a core that a fit takes: the sum of `parts_of_cost`."""
    return sum(parts_of_cost(shape, evaluations, rates).values())


def with_threads(parts: dict[str, float], n_threads: int) -> dict[str, float]:
    """The seconds of a clock that the parts of a fit take with several threads: latency stays what it was.

    Examples
    --------
    >>> with_threads({"samples": 10.0, "steps": 1.0}, 2)
    {'samples': 5.88..., 'steps': 1.0}
    """
    divided = 1 + USED * (n_threads - 1)
    return {part: seconds / (divided if part in SHARED else 1.0) for part, seconds in parts.items()}

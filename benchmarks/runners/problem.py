"""What every runner shares: the arrays of a job, the clock, and the file of results. NumPy only.

A runner is one script in one library's environment::

    python with_adelie.py arrays.npz result.npz --budget 300

`result.npz` holds, over T tolerances, L strengths and K compared neurons, ``tolerance`` (T,), ``intercept_path``
(T, L, K), ``coef_path`` (T, L, K, p; NaN where a library has no fit), ``seconds`` (T,) of the whole job, ``how`` they
came about, and ``peak``, the largest resident memory in MB.
"""

import argparse
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

Fit = tuple[np.ndarray, np.ndarray]  # intercepts (L,) or (L, K), coefficients (L, p) or (L, K, p)


@dataclass
class Problem:
    """The arrays of one job (see `jobs.write_arrays`), and where the result goes."""

    X: np.ndarray
    Y: np.ndarray
    fold: np.ndarray
    sizes: np.ndarray
    lambdas: np.ndarray
    family: str
    penalty: str
    l1_ratio: float
    n_compared: int
    one_neuron: bool
    options: argparse.Namespace

    @property
    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(train, test) rows of every fold."""
        return [(np.flatnonzero(self.fold != f), np.flatnonzero(self.fold == f)) for f in np.unique(self.fold)]

    @property
    def full_fits(self) -> float:
        """Full-data equivalents of the folds and the fit to all rows."""
        return sum(len(train) for train, _ in self.splits) / len(self.X) + 1

    @property
    def population(self) -> int:
        """Neurons of the job."""
        return 1 if self.one_neuron else self.Y.shape[1]


def read_problem(*arguments: tuple[str, dict[str, Any]]) -> Problem:
    """The job named on the command line; ``arguments``: further options of a runner."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays")
    parser.add_argument("result")
    parser.add_argument("--budget", type=float, default=np.inf, help="seconds after which no further neuron begins")
    parser.add_argument("--threads", type=int, default=2)
    for name, settings in arguments:
        parser.add_argument(name, **settings)
    options = parser.parse_args()
    with np.load(options.arrays) as data:
        fields = {name: data[name] if data[name].ndim else data[name].item() for name in data.files}
    return Problem(**fields, options=options)


def write_result(
    problem: Problem, tolerances: Sequence[float], fits: Sequence[Fit], seconds: Sequence[float], how: str
) -> None:
    """Save the fits of the compared neurons, and the seconds of the whole job."""
    np.savez(
        problem.options.result,
        tolerance=np.array(tolerances, float),
        intercept_path=np.stack([b for b, _ in fits]),
        coef_path=np.stack([W for _, W in fits]),
        seconds=np.array(seconds),
        how=how,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def loop_over_neurons(
    problem: Problem, fit_path: Callable[[np.ndarray, float], Fit], tolerances: Sequence[float], shared: float = 0.0
) -> None:
    """Fit a few neurons one after the other, and scale the median to the population and its folds.

    ``fit_path(y, tolerance)`` returns intercepts (L,) and coefficients (L, p) of one neuron, all strengths, all rows.
    ``shared``: seconds of what is done once for all neurons. What is done is saved after every tolerance; nothing
    begins after the budget is spent. A neuron whose path ends early, with NaN, does not count among the times.
    """
    began = perf_counter()
    L, p, K = len(problem.lambdas), problem.X.shape[1], problem.n_compared
    fits, seconds, fewest = [], [], K
    for tolerance in tolerances:
        if fits and perf_counter() - began > problem.options.budget:
            break
        b, W, times, stopped = np.full((L, K), np.nan), np.full((L, K, p), np.nan), [], 0
        for j in range(K):
            if times and perf_counter() - began > problem.options.budget:
                break
            y = np.ascontiguousarray(problem.Y[:, j], dtype=float)
            start = perf_counter()
            b[:, j], W[:, j] = fit_path(y, tolerance)
            if np.isnan(b[:, j]).any():
                stopped += 1
                continue
            times.append(perf_counter() - start)
        if not times:
            raise RuntimeError(f"all of {stopped} neurons stopped before the last strength")
        fits.append((b, W))
        seconds.append((np.median(times) * problem.population + shared) * problem.full_fits)
        fewest = min(fewest, len(times))
        part = f"{fewest} neuron{'s' * (fewest > 1)}"
        part = f"median of {part}" if problem.one_neuron else f"{part} of {problem.population}"
        part += f" ({stopped} more stopped early)" if stopped else ""
        write_result(problem, tolerances[: len(fits)], fits, seconds, f"{part}, all rows, scaled")

"""What the runners of `sparse_design.py` share: the arrays, the clock and the memory. NumPy and SciPy only."""

import argparse
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, load_npz

Paths = tuple[np.ndarray, np.ndarray]  # intercepts (L, K), coefficients (L, K, p)


class Job:
    """X, Y and strengths in a folder, and where the result goes."""

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("folder", type=Path)
        parser.add_argument("result", type=Path)
        parser.add_argument("--neurons", type=int, required=True)
        parser.add_argument("--penalty", default="lasso")
        parser.add_argument("--lambdas", type=float, nargs="+")
        parser.add_argument("--tolerances", type=float, nargs="+")
        self.options = parser.parse_args()
        self.X: csr_matrix = load_npz(self.options.folder / "X.npz")
        self.Y = np.load(self.options.folder / "Y.npy", mmap_mode="r")[:, : self.options.neurons]
        self.lambdas = np.array(self.options.lambdas)

    def columns(self) -> csc_matrix:
        """X as solvers by columns take it, in float64."""
        return self.X.astype(float).tocsc()

    def run(self, fit: Callable[[float], Paths], tolerances: Sequence[float], shared: float = 0.0) -> None:
        """Fit at every tolerance, and save what came of it."""
        found = []
        for tolerance in self.options.tolerances or tolerances:
            wall, cpu = perf_counter(), process_time()
            b, W = fit(tolerance)
            found.append((tolerance, perf_counter() - wall + shared, process_time() - cpu + shared, b, W))
            names = ("tolerance", "seconds", "cpu", "intercept_path", "coef_path")
            arrays = {name: np.array(values) for name, values in zip(names, zip(*found, strict=True), strict=True)}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            np.savez(self.options.result, peak=peak, **arrays)

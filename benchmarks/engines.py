"""One fit with every engine that is installed, on one device, twice: the first fit includes what a library compiles.

Run in an environment with popglm and the libraries::

    python benchmarks/engines.py [--engines numpy torch jax tensorflow] [--device cpu] [--neurons 100]

Poisson group lasso of a simulated session of 27,396 samples × 318 columns, 11 strengths.
"""

import argparse
import time
import warnings

import numpy as np

import popglm as pg


def main(engines: list[str], device: str, n_neurons: int) -> None:
    """Fit twice with each, print seconds and the second fit's over that of the first engine."""
    session = pg.maze_session(n_neurons=n_neurons)
    X = pg.maze_design().fit_transform(session.behavior)
    base = None
    for engine in engines:
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pg.GLM(
                    penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -6, 11), engine=engine, device=device
                ).fit(X, session.activity)
            seconds.append(time.perf_counter() - began)
        base = base or seconds[1]
        print(f"{engine}: first fit {seconds[0]:.1f} s, second {seconds[1]:.1f} s, ratio {seconds[1] / base:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["numpy", "torch", "jax", "tensorflow"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--neurons", type=int, default=100)
    options = parser.parse_args()
    main(options.engines, options.device, options.neurons)

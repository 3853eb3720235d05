"""The same Poisson group lasso by adelie, one neuron after the other.

Runs in an environment of its own, because adelie wants numpy < 2::

    python benchmarks/adelie_loop.py problem.npz adelie.npz --neurons 10

`problem.npz` holds ``X`` (n, p), ``Y`` (n, q), ``sizes`` (columns of each group, in order) and ``lambdas``
(descending). `adelie.npz` gets, for the first K neurons, ``coef_path`` (n_lambdas, K, p),
``intercept_path`` and ``objective`` (n_lambdas, K; in float64) and ``seconds`` (K,).

adelie minimises (1/n) Σ [exp(η) − yη] + λ Σ_g √p_g ‖w_g‖ as popglm does: nothing standardised, intercept
unpenalised, its own default tolerances, the whole path (no early exit). In float64, because adelie's block
Newton stops in float32 before it reaches its default tolerance.
"""

import argparse
from time import perf_counter

import adelie
import numpy as np
from adelie_objective import poisson_group_lasso_objective


def fit_neuron(X, y, sizes, lambdas, n_threads) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts (n_lambdas,) and coefficients (n_lambdas, p) of one neuron."""
    state = adelie.grpnet(
        X=X,
        glm=adelie.glm.poisson(y=y),
        groups=np.cumsum((0, *sizes[:-1])),
        lmda_path=lambdas,
        n_threads=n_threads,
        early_exit=False,
        progress_bar=False,
    )
    if len(state.intercepts) < len(lambdas):
        raise RuntimeError(f"adelie stopped after {len(state.intercepts)} of {len(lambdas)} strengths")
    return state.intercepts, state.betas.toarray()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem")
    parser.add_argument("result")
    parser.add_argument("--neurons", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    with np.load(arguments.problem) as problem:
        X = np.asfortranarray(problem["X"], dtype=float)
        Y = problem["Y"][:, : arguments.neurons].astype(float)
        sizes, lambdas = problem["sizes"], problem["lambdas"].astype(float)

    fits, objectives, seconds = [], [], []
    for j, y in enumerate(Y.T):
        start = perf_counter()
        intercepts, coefs = fit_neuron(X, np.ascontiguousarray(y), sizes, lambdas, arguments.threads)
        seconds.append(perf_counter() - start)
        fits.append((intercepts, coefs))
        objectives.append(poisson_group_lasso_objective(X, y, sizes, lambdas, intercepts, coefs))
        print(
            f"neuron {j}: {seconds[-1]:.2f} s, objective {objectives[-1][-1]:.8f} at the last strength",
            flush=True,
        )

    np.savez(
        arguments.result,
        coef_path=np.stack([coefs for _, coefs in fits], axis=1),
        intercept_path=np.stack([intercepts for intercepts, _ in fits], axis=1),
        objective=np.stack(objectives, axis=1),
        seconds=seconds,
    )
    median = np.median(seconds)
    print(f"median {median:.2f} s per neuron over {len(seconds)} neurons, adelie {adelie.__version__}")


if __name__ == "__main__":
    main()

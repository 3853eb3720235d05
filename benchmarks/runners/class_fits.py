"""A path of softmax regressions to a few tolerances, with popglm or, with --peer, with another library.

`arrays.npz` holds X, codes, sizes of the groups, strengths and the penalty. `result.npz` gets, for each tolerance,
seconds by the clock and of CPU, intercepts (n_lambdas, n_classes) and coefficients (n_lambdas, n_classes, n_features).
"""

import argparse
import warnings
from collections.abc import Callable
from time import perf_counter, process_time

import numpy as np

Arrays = dict[str, np.ndarray]
Fit = Callable[[float], tuple[np.ndarray, np.ndarray]]  # from a tolerance


def with_popglm(arrays: Arrays) -> tuple[Fit, list[float]]:
    """How popglm fits, and its tolerances, from loose to tight."""
    import popglm as pg

    settings = {"penalty": str(arrays["penalty"]), "feature_groups": arrays["sizes"], "lambdas": arrays["strengths"]}

    def fit(tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        model = pg.ClassifierGLM(**settings, tol=tolerance).fit(arrays["X"], arrays["codes"])
        return model.intercept_path_[:, 0], model.coef_path_[:, 0]

    return fit, [1e-2, 1e-3, 1e-4, 1e-5]


def with_adelie(arrays: Arrays) -> tuple[Fit, list[float]]:
    """The same of adelie, whose loss is divided by the number of classes."""
    import adelie

    n_classes, starts = int(arrays["codes"].max()) + 1, np.cumsum(arrays["sizes"]) - arrays["sizes"]
    X, Y = np.asfortranarray(arrays["X"], dtype=float), np.eye(n_classes)[arrays["codes"]]

    def fit(tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        state = adelie.grpnet(
            X=X, glm=adelie.glm.multinomial(y=Y), groups=starts, lmda_path=arrays["strengths"] / n_classes,
            tol=tolerance, irls_tol=tolerance, early_exit=False, progress_bar=False, n_threads=arrays["threads"].item(),
        )  # fmt: skip
        coef = state.betas.toarray().reshape(len(arrays["strengths"]), -1, n_classes)
        return np.asarray(state.intercepts), np.swapaxes(coef, 1, 2)

    return fit, [1e-4, 1e-5, 1e-6, 1e-7]


def with_scikit_learn(arrays: Arrays) -> tuple[Fit, list[float]]:
    """The same of scikit-learn's L-BFGS, each strength from the last one's weights."""
    from sklearn.linear_model import LogisticRegression

    X, codes = arrays["X"], arrays["codes"]

    def fit(tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        model, path = LogisticRegression(warm_start=True, tol=tolerance, max_iter=5000), []
        for strength in arrays["strengths"]:
            model.set_params(C=1 / (len(X) * strength)).fit(X, codes)
            path.append((model.intercept_.copy(), model.coef_.copy()))
        return np.stack([b for b, _ in path]), np.stack([W for _, W in path])

    return fit, [1e-2, 1e-3, 1e-4, 1e-5]


PEERS = {"popglm": with_popglm, "adelie": with_adelie, "scikit-learn": with_scikit_learn}


def timed(fit: Fit, tolerance: float) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Seconds by the clock and of CPU, and what was fitted."""
    began, cpu = perf_counter(), process_time()
    found = fit(tolerance)
    return perf_counter() - began, process_time() - cpu, *found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays")
    parser.add_argument("result")
    parser.add_argument("--peer", default="popglm")
    # what every runner is given
    parser.add_argument("--threads", type=int)
    parser.add_argument("--budget", type=float)
    options = parser.parse_args()
    with np.load(options.arrays) as file:
        arrays = dict(file)
    arrays["threads"] = np.array(options.threads)
    fit, tolerances = PEERS[options.peer](arrays)
    fit(tolerances[0])  # what the first fit of a process compiles is no part of the others
    found, began = [], perf_counter()
    for tolerance in tolerances:
        found.append(timed(fit, tolerance))
        if perf_counter() - began > options.budget:
            break
    names = ("seconds", "cpu", "intercept", "coef")
    values = {name: np.stack([one[k] for one in found]) for k, name in enumerate(names)}
    np.savez(options.result, tolerance=tolerances[: len(found)], **values)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # fits that were not let go on are compared by the objective they reached
    main()

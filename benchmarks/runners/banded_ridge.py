"""Banded ridge by a search over given weights of feature spaces, with popglm or, with --himalaya, with himalaya.

`arrays.npz` holds X, Y, sizes (of the spaces), weights (n_candidates, n_spaces), lambdas and n_folds. `result.npz` gets
the seconds of the whole job, by the clock and of CPU, and per neuron the least mean held-out error of a fold and the
candidate that has it.
"""

import argparse
from time import perf_counter, process_time

import numpy as np
from sklearn.model_selection import KFold


def with_popglm(data: dict[str, np.ndarray]) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Seconds, those of CPU, errors and candidates of popglm; what a first fit compiles is no part of it."""
    import popglm as pg

    def fit(rows: slice) -> pg.GLMCV:
        model = pg.GLMCV(
            "gaussian", feature_groups=data["sizes"].tolist(), lambdas=data["lambdas"], cv=KFold(int(data["n_folds"])),
            penalty_factors=pg.FactorSearch(candidates=data["weights"]),
        )  # fmt: skip
        return model.fit(data["X"][rows], data["Y"][rows])

    fit(slice(0, 2 * data["X"].shape[1]))
    began, cpu = perf_counter(), process_time()
    found = fit(slice(None)).factor_search_
    seconds, cpu = perf_counter() - began, process_time() - cpu
    error = found["deviance"].min("candidate").values / (len(data["X"]) / int(data["n_folds"]))
    return seconds, cpu, error, found["chosen"].values


def with_himalaya(data: dict[str, np.ndarray], kernels: bool) -> tuple[float, float, np.ndarray, np.ndarray]:
    """The same of himalaya, which sums over samples where popglm takes means: α = n λ / n_spaces."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import ColumnKernelizer, Kernelizer, MultipleKernelRidgeCV
    from himalaya.ridge import GroupRidgeCV
    from himalaya.scoring import l2_neg_loss
    from sklearn.pipeline import make_pipeline

    set_backend("numpy")
    X, Y, sizes, n_folds = data["X"], data["Y"], data["sizes"], int(data["n_folds"])
    n_train = len(X) - len(X) // n_folds
    given = {"alphas": n_train * data["lambdas"][::-1] / len(sizes), "n_iter": data["weights"], "progress_bar": False}
    given |= {"score_func": l2_neg_loss, "n_targets_batch": 250, "n_alphas_batch": 10}
    stops = np.cumsum(sizes)
    began, cpu = perf_counter(), process_time()
    if kernels:
        columns = [
            (str(s), Kernelizer("linear"), slice(int(stop - size), int(stop)))
            for s, (stop, size) in enumerate(zip(stops, sizes, strict=True))
        ]
        ridge = MultipleKernelRidgeCV(
            kernels="precomputed", solver="random_search", solver_params=given, cv=KFold(n_folds), fit_intercept=True
        )
        make_pipeline(ColumnKernelizer(columns), ridge).fit(X, Y)
    else:
        ridge = GroupRidgeCV(
            groups=np.repeat(np.arange(len(sizes)), sizes), solver="random_search", solver_params=given,
            cv=KFold(n_folds), fit_intercept=True,
        )  # fmt: skip
        ridge.fit(X, Y)
    seconds, cpu = perf_counter() - began, process_time() - cpu
    return seconds, cpu, -ridge.cv_scores_.max(axis=0), ridge.cv_scores_.argmax(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays")
    parser.add_argument("result")
    parser.add_argument("--himalaya", action="store_true")
    parser.add_argument("--kernels", action="store_true")
    # what every runner is given
    parser.add_argument("--threads", type=int)
    parser.add_argument("--budget", type=float)
    options = parser.parse_args()
    with np.load(options.arrays) as file:
        data = dict(file)
    found = with_himalaya(data, options.kernels) if options.himalaya else with_popglm(data)
    np.savez(options.result, **dict(zip(("seconds", "cpu", "error", "chosen"), found, strict=True)))


if __name__ == "__main__":
    main()

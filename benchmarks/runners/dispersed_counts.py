"""Negative binomial models with popglm or, with --peer, neuron by neuron with another library.

`arrays.npz` is that of a job (see `jobs.write_arrays`); for glum with ``alpha``, shape (n_lambdas, n_compared).
`result.npz` gets seconds of CPU: with popglm of the whole job (``cpu``), and with a peer of each compared neuron's fit
to all rows. Of the compared neurons it gets ``intercept``, ``coef`` and ``alpha`` of the lasso, with a row for each
strength, and of fits without a penalty, ``bare_intercept``, ``bare_coef`` and ``bare_alpha``.
"""

import argparse
import warnings
from time import process_time

import numpy as np

Arrays = dict[str, np.ndarray]


def with_popglm(arrays: Arrays) -> Arrays:
    """The whole job, and the fits that peers are held to."""
    import popglm as pg

    X, Y, lambdas, fold = arrays["X"], arrays["Y"], arrays["lambdas"], arrays["fold"]
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in np.unique(fold)]
    job = {"family": "negative_binomial", "penalty": "group_lasso", "feature_groups": arrays["sizes"].tolist()}
    # what is compiled at first is no part of it
    pg.GLMCV(lambdas=lambdas[::2], tol=1e-2, cv=2, **job).fit(X[:1000], Y[:1000, :3])
    began = process_time()
    pg.GLMCV(lambdas=lambdas, cv=splits, **job).fit(X, Y)
    cpu = process_time() - began
    few = Y[:, : int(arrays["n_compared"])]
    lasso = pg.GLM("negative_binomial", penalty="lasso", lambdas=lambdas, tol=1e-6, precision="float64").fit(X, few)
    bare = pg.GLM("negative_binomial", penalty="none", tol=1e-8, precision="float64").fit(X, few)
    return {
        "cpu": np.array(cpu),
        "intercept": lasso.intercept_path_,
        "coef": lasso.coef_path_,
        "alpha": lasso.family_parameters_path_["alpha"],
        "bare_intercept": bare.intercept_,
        "bare_coef": bare.coef_,
        "bare_alpha": bare.family_parameters_["alpha"],
    }


def with_glum(arrays: Arrays) -> Arrays:
    """A path of lassos for each neuron; glum takes the dispersion as given, here that of popglm's lasso."""
    from glum import GeneralizedLinearRegressor, NegativeBinomialDistribution

    X, L, K = np.asfortranarray(arrays["X"], dtype=float), len(arrays["lambdas"]), int(arrays["n_compared"])
    cpu, b, W = np.zeros(K), np.zeros((L, K)), np.zeros((L, K, X.shape[1]))
    for j in range(K):
        y, began = arrays["Y"][:, j].astype(float), process_time()
        model = GeneralizedLinearRegressor(l1_ratio=1.0, gradient_tol=1e-4, max_iter=1000, warm_start=True)
        for k, strength in enumerate(arrays["lambdas"]):
            family = NegativeBinomialDistribution(arrays["alpha"][k, j])
            model.set_params(family=family, alpha=strength).fit(X, y)
            b[k, j], W[k, j] = model.intercept_, model.coef_
        cpu[j] = process_time() - began
    return {"cpu": cpu, "intercept": b, "coef": W}


def with_statsmodels(arrays: Arrays) -> Arrays:
    """One fit for each neuron, without a penalty, with its dispersion, from the null model."""
    import statsmodels.api as sm

    X, K = sm.add_constant(arrays["X"].astype(float)), int(arrays["n_compared"])
    cpu, found = np.zeros(K), np.zeros((K, X.shape[1] + 1))
    for j in range(K):
        y, began = arrays["Y"][:, j].astype(float), process_time()
        # by itself it would begin with Newton's steps of a Poisson fit and end with the Hessian, which collinear
        # columns make singular
        start = np.concatenate([[np.log(y.mean())], np.zeros(X.shape[1] - 1), [1.0]])
        model = sm.NegativeBinomial(y, X)
        found[j] = model.fit(start, method="bfgs", maxiter=1000, gtol=1e-4, disp=0, skip_hessian=True).params
        cpu[j] = process_time() - began
    return {"cpu": cpu, "bare_intercept": found[:, 0], "bare_coef": found[:, 1:-1], "bare_alpha": found[:, -1]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays")
    parser.add_argument("result")
    parser.add_argument("--peer", choices=["glum", "statsmodels"])
    # what every runner is given
    parser.add_argument("--threads", type=int)
    parser.add_argument("--budget", type=float)
    options = parser.parse_args()
    with np.load(options.arrays) as file:
        arrays = dict(file)
    runs = {None: with_popglm, "glum": with_glum, "statsmodels": with_statsmodels}
    np.savez(options.result, **runs[options.peer](arrays))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # fits that were not let go on are compared by what they reached
    main()

"""A weight that a norm holds at zero is 0, and not what rounding has left of it: coef_ != 0 says what was selected."""

import numpy as np
import pytest

from popglm import GLM, goodness_of_fit


@pytest.mark.thorough(keep=7)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("penalty", ["lasso", "elastic_net", "group_lasso"])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_no_weight_is_left_over(family, penalty, precision):
    rng = np.random.default_rng(11)
    n, p = 60, 50
    X = rng.normal(size=(n, p))
    for j in range(1, p):
        X[:, j] = 0.6 * X[:, j - 1] + 0.8 * X[:, j]
    eta = X @ np.where(rng.permutation(p) < 10, rng.choice([-0.5, 0.5], p), 0)
    draws = rng.normal(size=(n, 6)), rng.poisson(np.exp(eta)[:, None], (n, 6)), rng.random((n, 6))
    Y = {"gaussian": eta[:, None] + draws[0], "poisson": draws[1]}.get(family)
    Y = (draws[2] < 1 / (1 + np.exp(-eta))[:, None]).astype(float) if Y is None else Y
    tol = 1e-4 if precision == "float32" else 1e-12
    model = GLM(
        family, penalty=penalty, feature_groups=[5] * 10, n_lambdas=6, lambda_min_ratio=0.03, precision=precision,
        tol=tol, max_iter=1_000,
    ).fit(X, Y)  # fmt: skip
    size = np.abs(model.coef_path_)
    if penalty == "group_lasso":
        size = np.linalg.norm(model.coef_path_.reshape(6, 6, 10, 5), axis=3)
    assert (size == 0).mean() > 0.1
    assert not ((size > 0) & (size < 1e-7)).any()
    if penalty == "lasso":
        freedom = goodness_of_fit(model, X, Y)["degrees_of_freedom"]
        kept = (size[-1] > 1e-7).sum(axis=1) + 1 + (family == "gaussian")
        assert (freedom <= kept + 1e-6).all()

"""Search the weights of feature spaces with himalaya, and freeze what it found in `banded.npz`.

Run in an environment of its own::

    python3 -m venv reference && reference/bin/pip install himalaya==0.4.11 packaging
    reference/bin/python tests/reference/make_banded.py

himalaya minimises ‖y − Σ_s √γ_s X_s v_s‖² + α‖v‖², in the folds and over all rows with the same α. As banded ridge and
as multiple-kernel ridge it must find the same.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
from himalaya.ridge import solve_group_ridge_random_search
from sklearn.model_selection import KFold

SIZES, N, Q, FOLDS = [4, 5, 3], 120, 5, 4


def main() -> None:
    rng = np.random.default_rng(11)
    p = sum(SIZES)
    X = rng.normal(size=(N, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p))) + rng.normal(size=p)
    sizes = np.repeat(rng.dirichlet(np.full(3, 0.3), Q).T, SIZES, axis=0)
    Y = X @ (np.sqrt(sizes) * rng.normal(size=(p, Q))) + 2 * rng.normal(size=(N, Q)) + 4
    weights = np.concatenate([np.full((1, 3), 1 / 3), rng.dirichlet(np.full(3, 0.5), 11)])
    alphas = 10.0 ** np.arange(-1, 4)
    spaces = np.split(X, np.cumsum(SIZES)[:-1], axis=1)
    given = {"alphas": alphas, "n_iter": weights, "cv": KFold(FOLDS), "progress_bar": False}
    deltas, coef, scores, intercept = solve_group_ridge_random_search(
        spaces, Y, **given, fit_intercept=True, return_weights=True
    )
    kernels = np.stack([one @ one.T for one in spaces])
    again = solve_multiple_kernel_ridge_random_search(
        kernels, Y, **given, fit_intercept=True, return_weights="dual", return_alphas=True
    )
    np.testing.assert_allclose(again[2], scores, rtol=1e-8)
    np.testing.assert_allclose(again[0], deltas, rtol=1e-8)
    path = Path(__file__).parent / "banded.npz"
    np.savez_compressed(
        path, X=X, Y=Y, sizes=SIZES, weights=weights, alphas=alphas, n_folds=FOLDS, scores=scores, best_alphas=again[3],
        chosen_weights=np.exp(deltas) * again[3], coef=coef.T, intercept=intercept, version=version("himalaya"),
    )  # fmt: skip
    print(f"{path.name}: {path.stat().st_size} bytes, himalaya {version('himalaya')}")


if __name__ == "__main__":
    main()

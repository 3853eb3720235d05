"""Fit a response of several classes with adelie and scikit-learn, and freeze the data and what they found.

Run in the environment of `make.py`::

    reference/bin/python tests/reference/make_multinomial.py

It writes `multinomial.npz`: columns in groups, classes of which the last is rare, strengths, and at each the weights
(features × classes) and the objective of adelie's group lasso, groups over all classes, and of scikit-learn's ridge.
adelie divides its loss by the number of classes K, so that its strength is that of the mean loss over K.
"""

from pathlib import Path

import adelie
import numpy as np
from sklearn.linear_model import LogisticRegression

FILE = Path(__file__).parent / "multinomial.npz"
SIZES = np.array([4, 3, 3, 1, 1])


def loss(X: np.ndarray, codes: np.ndarray, W: np.ndarray, b: np.ndarray) -> float:
    """Mean of −log p of the samples' classes."""
    eta = X @ W + b
    most = eta.max(axis=1)
    return float(np.mean(most + np.log(np.exp(eta - most[:, None]).sum(axis=1)) - eta[np.arange(len(X)), codes]))


def group_lasso(X: np.ndarray, codes: np.ndarray, strength: float) -> np.ndarray:
    """Weights, flat, and the objective."""
    n_classes, starts = codes.max() + 1, np.cumsum(SIZES) - SIZES
    state = adelie.grpnet(
        X=np.asfortranarray(X), glm=adelie.glm.multinomial(y=np.eye(n_classes)[codes]), groups=starts,
        lmda_path=strength / n_classes * np.geomspace(100, 1, 9), tol=1e-15, irls_tol=1e-15, newton_tol=1e-14,
        early_exit=False, progress_bar=False,
    )  # fmt: skip
    W, b = state.betas[-1].toarray().reshape(-1, n_classes), state.intercepts[-1]
    norms = [np.sqrt(n_classes * size) * np.linalg.norm(W[a : a + size]) for a, size in zip(starts, SIZES, strict=True)]
    return np.append(W, loss(X, codes, W, b) + strength * sum(norms))


def ridge(X: np.ndarray, codes: np.ndarray, strength: float) -> np.ndarray:
    """Weights, flat, and the objective."""
    model = LogisticRegression(C=1 / (len(X) * strength), tol=1e-12, max_iter=10_000).fit(X, codes)
    W = model.coef_.T
    return np.append(W, loss(X, codes, W, model.intercept_) + strength / 2 * np.sum(W**2))


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(5)
    n, p, n_classes = 500, int(SIZES.sum()), 4
    X = (
        (rng.standard_normal((n, p)) @ (np.eye(p) + 0.25 * rng.standard_normal((p, p))))
        .astype(np.float32)
        .astype(float)
    )
    W = 0.6 * rng.standard_normal((p, n_classes)) * np.repeat([1, 0, 1, 0, 1], SIZES)[:, None]
    codes = (X @ W + [0.5, 0, 0, -2] + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    strengths = np.array([0.05, 0.02, 0.005])
    found = {"group_lasso": group_lasso, "ridge": ridge}
    paths = {name: [solve(X, codes, lam) for lam in strengths] for name, solve in found.items()}
    np.savez_compressed(FILE, X=X.astype(np.float32), codes=codes, sizes=SIZES, strengths=strengths, **paths)


if __name__ == "__main__":
    main()

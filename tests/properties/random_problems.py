"""Random problems: shapes, families, links, penalties, weights, offsets and gaps, drawn by hypothesis."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from independent import CONVEX, LINKS

from popglm import GLM, GLMCV

__all__ = ["Problem", "cross_validated", "problems", "quietly"]

#: Names of penalties, and α where it is not the default.
PENALTIES = [
    ("none", None), ("ridge", None), ("lasso", None), ("elastic_net", 0.3), ("group_lasso", None), ("group_lasso", 0.6),
]  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """A population to fit; everything random follows from ``seed``.

    Attributes
    ----------
    n_samples, n_neurons : int
    sizes : tuple of int
        Columns of each feature group.
    penalty : tuple of (str, float or None)
    strengths : tuple of float
        Descending, in units of a strength that matters for the problem (`lambdas`).
    weights : {"none", "random", "with zeros", "integers"}
    offset : {"none", "random", "large"}
    missing : float
        Share of the samples of each neuron that were not recorded.
    column_scales : {"even", "uneven"}
        "uneven": standard deviations from 0.1 to 10.
    collinear : bool
        Whether the last column nearly is the sum of the others.
    """

    seed: int
    n_samples: int
    n_neurons: int
    sizes: tuple[int, ...]
    family: str
    link: str
    penalty: tuple[str, float | None]
    smoothness: float
    strengths: tuple[float, ...]
    weights: str
    offset: str
    missing: float
    column_scales: str
    collinear: bool
    fit_intercept: bool = True
    precision: str = "float32"
    engine: str = "numpy"

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return sum(self.sizes)

    @property
    def groups(self) -> list[str]:
        """Name of the feature group of every column."""
        return [f"group {i}" for i, size in enumerate(self.sizes) for _ in range(size)]

    @lru_cache(maxsize=16)  # noqa: B019 - few small problems are alive at a time
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
        """X (n_samples, n_features), Y (n_samples, n_neurons), sample weights and offset (n_samples,), in float64."""
        rng = np.random.default_rng(self.seed)
        n, p, q = self.n_samples, self.n_features, self.n_neurons
        X = rng.standard_normal((n, p)) @ (np.eye(p) + 0.4 * rng.standard_normal((p, p)) / np.sqrt(p))
        if self.collinear and p > 1:
            X[:, -1] = X[:, :-1].sum(axis=1) / np.sqrt(p) + 0.02 * rng.standard_normal(n)
        effect = 0.6 * rng.standard_normal((q, p)) * (rng.random((q, p)) < 0.6) / np.sqrt(p)
        eta = X @ effect.T + rng.normal(0, 0.3, q)
        if self.column_scales == "uneven":
            X = X * 10.0 ** rng.uniform(-1, 1, p) + rng.normal(0, 1, p)
        if self.family == "poisson" and self.link == "identity":
            eta = 2 + 0.3 * np.tanh(eta)
        mu = LINKS[self.link](eta)
        if self.family == "gaussian":
            Y = mu + rng.standard_normal((n, q))
        elif self.family == "poisson":
            Y = rng.poisson(np.minimum(mu, 50)).astype(float)
        else:
            Y = (rng.random((n, q)) < mu).astype(float)
        weights = {
            "none": None,
            "random": rng.uniform(0.2, 2, n),
            "with zeros": rng.uniform(0.2, 2, n) * (rng.random(n) < 0.8),
            "integers": rng.integers(0, 4, n).astype(float),
        }[self.weights]
        # under the identity a rate must stay above 0 whatever the offset
        offset = {
            "none": None,
            "random": 0.3 * rng.uniform(0, 1, n),
            "large": (1.0 if self.link == "identity" else 4.0) + 0.3 * rng.uniform(0, 1, n),
        }[self.offset]
        if self.missing:
            Y[rng.random((n, q)) < self.missing] = np.nan
        return X, Y, weights, offset

    @property
    def lambdas(self) -> np.ndarray | None:
        """The strengths, or None without a penalty."""
        return None if self.penalty[0] == "none" else np.array(self.strengths)

    def settings(self) -> dict[str, Any]:
        """Arguments of `GLM` and `GLMCV`."""
        kind, l1_ratio = self.penalty
        return {
            "family": self.family, "inverse_link": self.link, "penalty": kind, "l1_ratio": l1_ratio,
            "smoothness": self.smoothness, "feature_groups": self.groups, "lambdas": self.lambdas,
            "fit_intercept": self.fit_intercept, "precision": self.precision, "engine": self.engine,
        }  # fmt: skip

    def weighted(self, weights: np.ndarray) -> Problem:
        """The same problem with these sample weights."""
        problem = self

        class Weighted(Problem):
            def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
                X, Y, _, offset = problem.arrays()
                return X, Y, weights, offset

        return Weighted(**{name: getattr(self, name) for name in self.__dataclass_fields__})

    def fit(self, **more: Any) -> GLM:
        """A path fitted to all rows."""
        X, Y, weights, offset = self.arrays()
        return quietly(GLM(**{**self.settings(), **more}), X, Y, sample_weight=weights, offset=offset)


def quietly(model: Any, *args: Any, **kwargs: Any) -> Any:
    """Fit without warnings: examples are drawn at random, silent neurons and all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*args, **kwargs)


@st.composite
def problems(draw: Any, **fixed: Any) -> Problem:
    """Problems with some attributes fixed.

    Names of strategies in ``fixed`` are attributes of `Problem`, values are strategies or plain values.
    """
    family, link = draw(st.sampled_from(CONVEX))
    penalty = draw(st.sampled_from(PENALTIES))
    strongest = draw(st.sampled_from([0.3, 0.05, 0.01]))
    # without an intercept a rate that is its own predictor starts at the kink of its loss, at 0
    fit_intercept = link == "identity" or draw(st.integers(0, 4)) > 0
    own = {
        "seed": draw(st.integers(0, 10**6)),
        "n_samples": draw(st.integers(40, 200)),
        "n_neurons": draw(st.integers(1, 3)),
        "sizes": tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))),
        "family": family,
        "link": link,
        "penalty": penalty,
        "smoothness": 0.0 if penalty[0] == "none" else draw(st.sampled_from([0.0, 0.0, 0.05])),
        "strengths": tuple(strongest * 0.2**k for k in range(draw(st.integers(1, 3)))),
        "weights": draw(st.sampled_from(["none", "none", "random", "with zeros", "integers"])),
        "offset": draw(st.sampled_from(["none", "none", "random", "large"])),
        "missing": draw(st.sampled_from([0.0, 0.0, 0.2])),
        "column_scales": draw(st.sampled_from(["even", "uneven"])),
        "collinear": draw(st.booleans()),
        "fit_intercept": fit_intercept,
        "precision": draw(st.sampled_from(["float32", "float32", "float64"])),
    }
    for name, value in fixed.items():
        own[name] = draw(value) if isinstance(value, st.SearchStrategy) else value
    return Problem(**own)


def cross_validated(problem: Problem, splits: list, **more: Any) -> GLMCV:
    """The problem's `GLMCV` on given splits; ``Y`` among ``more`` takes the place of the problem's own."""
    X, Y, weights, offset = problem.arrays()
    Y = more.pop("Y", Y)
    model = GLMCV(**{**problem.settings(), "cv": splits, **more})
    return quietly(model, X, Y, sample_weight=weights, offset=offset)

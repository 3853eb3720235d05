"""The fitting problems whose solutions by other libraries are frozen in `solutions.json`.

`make.py` solves them, `tests/estimators/test_reference.py` fits them with popglm; both build the arrays and
evaluate the objective here, in plain NumPy float64. Simulated arrays lie in `simulated.npz`, recordings in
``../shared/data`` next to the repository. Every array is rounded to float32 first, so that a float32 fit
sees exactly the problem that was solved.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import xlogy

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "data"
L1_RATIO = 0.5  # of every elastic net here


@dataclass(frozen=True)
class Problem:
    """Arrays and model of one problem: X (n, p), Y (n, q), optional (n,) weights and offset."""

    X: np.ndarray
    Y: np.ndarray
    family: str
    inverse_link: str
    sizes: tuple[int, ...]
    sample_weight: np.ndarray | None = None
    offset: np.ndarray | None = None

    @property
    def s(self) -> np.ndarray:
        """Sample weights (n,), summing to one."""
        s = np.ones(len(self.X)) if self.sample_weight is None else self.sample_weight
        return s / s.sum()

    @property
    def shift(self) -> np.ndarray:
        """Offset (n,), zero where the problem has none."""
        return np.zeros(len(self.X)) if self.offset is None else self.offset


def loss(problem: Problem, j: int, eta: np.ndarray) -> np.ndarray:
    """ℓ(y_t, η_t) of neuron `j` at every sample."""
    y = problem.Y[:, j]
    match problem.family, problem.inverse_link:
        case "gaussian", "identity":
            return 0.5 * (y - eta) ** 2
        case "poisson", "exp":
            return np.exp(eta) - y * eta
        case "poisson", "softplus":
            mu = np.logaddexp(0, eta)
            return mu - xlogy(y, mu)
        case "poisson", "identity":
            return np.where(eta >= 0, eta - xlogy(y, np.maximum(eta, 0)), np.inf)
        case "bernoulli", "sigmoid":
            return np.logaddexp(0, eta) - y * eta
    raise ValueError(f"no loss for {problem.family} with {problem.inverse_link}")


def saturated_loss(problem: Problem, j: int) -> np.ndarray:
    """ℓ(y_t, y_t), the loss of a model that predicts every sample."""
    y = problem.Y[:, j]
    if problem.family == "poisson":
        return y - xlogy(y, y)
    if problem.family == "bernoulli":
        return -xlogy(y, y) - xlogy(1 - y, 1 - y)
    return np.zeros(len(y))


def penalty_value(problem: Problem, penalty: str, w: np.ndarray) -> float:
    """P(w) for the weights of one neuron."""
    match penalty:
        case "none":
            return 0.0
        case "ridge":
            return 0.5 * w @ w
        case "lasso":
            return np.abs(w).sum()
        case "elastic_net":
            return L1_RATIO * np.abs(w).sum() + (1 - L1_RATIO) / 2 * w @ w
        case "group_lasso":
            blocks = np.split(w, np.cumsum(problem.sizes)[:-1])
            return sum(np.sqrt(len(w_g)) * np.linalg.norm(w_g) for w_g in blocks)
    raise ValueError(f"no penalty {penalty!r}")


def objective(problem: Problem, j: int, penalty: str, strength: float, b: float, w: np.ndarray) -> float:
    """(1/Σs) Σ_t s_t ℓ(y_t, η_t + offset_t) + λ P(w) for neuron `j`."""
    eta = b + problem.X @ w + problem.shift
    return float(problem.s @ loss(problem, j, eta) + strength * penalty_value(problem, penalty, w))


def null_deviance(problem: Problem, j: int) -> float:
    """Deviance per unit weight of the weighted mean as the prediction for every sample."""
    mean = problem.s @ problem.Y[:, j]
    match problem.inverse_link:
        case "identity":
            eta = mean
        case "exp":
            eta = np.log(mean)
        case "softplus":
            eta = np.log(np.expm1(mean))
        case "sigmoid":
            eta = np.log(mean / (1 - mean))
    return 2 * problem.s @ (loss(problem, j, np.full(len(problem.X), eta)) - saturated_loss(problem, j))


def _bumps(x: np.ndarray, n: int, low: float, high: float) -> np.ndarray:
    """Raised cosines (len(x), n), centres evenly from low to high, four spacings wide."""
    centres, spacing = np.linspace(low, high, n, retstep=True)
    phase = (np.asarray(x, float)[:, None] - centres) / (4 * spacing)
    return np.where(np.abs(phase) < 0.5, 0.5 * np.cos(2 * np.pi * phase) + 0.5, 0.0)


def _zscore(X: np.ndarray) -> np.ndarray:
    return (X - X.mean(0)) / X.std(0)


def _recording(name: str) -> dict[str, np.ndarray]:
    with np.load(SHARED / f"{name}.npz") as file:
        return dict(file)


def _place_cells() -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Two place cells in 20 ms bins; position in raw units, bumps per running direction as they are."""
    d = _recording("kramer_eden")
    bins = len(d["ch9_x_cm"]) // 20
    x = d["ch9_x_cm"][: bins * 20].reshape(bins, 20).mean(1)
    counts = np.c_[d["ch9_spikes_1"], d["ch9_spikes_2"]][: bins * 20].reshape(bins, 20, 2).sum(1)
    outbound = (np.gradient(x) > 0).astype(float)[:, None]
    bumps = _bumps(x, 8, 0, 100)
    X = np.c_[x / 100, bumps * outbound, bumps * (1 - outbound), outbound]
    return X[::2], counts[::2], (1, 8, 8, 1)


def _reach() -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Three somatosensory units in 50 ms bins; hand position, velocity, speed, direction tuning, z-scored."""
    d = _recording("s1_reach")
    rows = slice(2000, 5000)
    vx, vy = d["hand_vel"][rows].T
    speed, angle = np.hypot(vx, vy), np.arctan2(vy, vx)
    tuning = np.exp(np.cos(angle[:, None] - np.arange(6) * np.pi / 3)) * np.tanh(speed / 10)[:, None]
    X = _zscore(np.c_[d["hand_pos"][rows], vx, vy, speed, tuning])
    busiest = np.argsort(-d["counts"].sum(0, dtype=float), kind="stable")
    return X, d["counts"][rows][:, busiest[[3, 12, 25]]], (2, 2, 1, 6)


def _track() -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Two CA1 units on a linear track, every sixth frame; bumps per running direction, z-scored."""
    d = _recording("ca1_lineartrack_nelpy")
    run = np.flatnonzero(d["time_s"] < d["time_s"][0] + 1000)
    x = d["x_px"][run].astype(float)
    rightward = (np.gradient(x) > 0).astype(float)[:, None]
    bumps = _bumps(x, 10, *np.quantile(x, [0.01, 0.99]))
    X = _zscore(np.c_[bumps * rightward, bumps * (1 - rightward), rightward][::6])
    counts = d["counts"][run][::6]
    busiest = np.argsort(-counts.sum(0, dtype=float), kind="stable")
    return X, counts[:, busiest[[4, 10]]], (10, 10, 1)


def _simulated(family: str, inverse_link: str, weighted: bool = False) -> Callable[[], Problem]:
    def build() -> Problem:
        with np.load(HERE / "simulated.npz") as d:
            X = np.abs(d["X"]) if (family, inverse_link) == ("poisson", "identity") else d["X"]
            extra = (d["sample_weight"], d["offset"]) if weighted else ()
            return Problem(X, d[f"Y_{family}_{inverse_link}"], family, inverse_link, tuple(d["sizes"]), *extra)

    return build


def _recorded(
    arrays: Callable,
    family: str,
    inverse_link: str,
    response: Callable = np.asarray,
    n_groups: int | None = None,
) -> Callable[[], Problem]:
    def build() -> Problem:
        X, Y, sizes = arrays()
        sizes = sizes[:n_groups]
        X, Y = (np.asarray(A, np.float32).astype(float) for A in (X[:, : sum(sizes)], response(Y)))
        return Problem(X, Y, family, inverse_link, sizes)

    return build


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "simulated gaussian": _simulated("gaussian", "identity"),
    "simulated poisson": _simulated("poisson", "exp"),
    "simulated bernoulli": _simulated("bernoulli", "sigmoid"),
    "simulated gaussian, weights and offset": _simulated("gaussian", "identity", weighted=True),
    "simulated poisson, weights and offset": _simulated("poisson", "exp", weighted=True),
    "simulated bernoulli, weights and offset": _simulated("bernoulli", "sigmoid", weighted=True),
    "simulated poisson, softplus": _simulated("poisson", "softplus"),
    "simulated poisson, identity": _simulated("poisson", "identity"),
    "place cells poisson": _recorded(_place_cells, "poisson", "exp"),
    "place cells bernoulli": _recorded(_place_cells, "bernoulli", "sigmoid", lambda Y: Y > 0),
    "reach poisson": _recorded(_reach, "poisson", "exp"),
    "reach gaussian": _recorded(_reach, "gaussian", "identity", np.sqrt),
    "reach poisson, five columns": _recorded(_reach, "poisson", "exp", n_groups=3),
    "track poisson": _recorded(_track, "poisson", "exp"),
}
PENALISED = ("ridge", "lasso", "elastic_net", "group_lasso")
PENALTIES: dict[str, tuple[str, ...]] = {
    name: ("none", *PENALISED) if name.startswith("simulated") else PENALISED for name in PROBLEMS
} | {
    "simulated poisson, softplus": ("none", "ridge", "lasso", "elastic_net"),
    "simulated poisson, identity": ("none", "ridge", "lasso", "elastic_net"),
    "reach poisson, five columns": ("none",),
}


def solutions() -> dict:
    """The frozen solutions: per problem and penalty, `lambdas`, `objective`, `intercept`, `coef`."""
    return json.loads((HERE / "solutions.json").read_text())

"""The minimum of a problem, found without popglm: accelerated proximal gradients and Newton's method in float64."""

from __future__ import annotations

import numpy as np
from independent import LINKS, objective, penalty_value, unit_loss
from random_problems import Problem
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

__all__ = ["lowest_objective", "problem_objective", "unit_of_gap"]


def problem_objective(problem: Problem, j: int, lam: float, b: float, w: np.ndarray) -> float:
    """The objective of neuron j, written in μ and in float64."""
    X, Y, weights, offset = problem.arrays()
    kind, l1_ratio = problem.penalty
    y = Y[:, j]
    s = np.ones(len(y)) if weights is None else weights
    # a sample without weight may have an infinite loss
    kept = s > 0
    offset = np.zeros(len(y)) if offset is None else offset
    with np.errstate(all="ignore"):
        value = objective(
            X[kept], y[kept], float(b), np.asarray(w, float), lam, problem.family, loss_link(problem), kind, l1_ratio,
            problem.smoothness, list(problem.sizes), s[kept], offset[kept],
        )  # fmt: skip
    return value if np.isfinite(value) else np.inf


def loss_link(problem: Problem) -> str:
    """The inverse link of the loss: a Poisson rate below 0 counts as 0."""
    return "relu" if (problem.family, problem.link) == ("poisson", "identity") else problem.link


def unit_of_gap(problem: Problem, j: int) -> float:
    """Half the mean null deviance, the null model being the best intercept beside the offset."""
    null = null_objective(problem, j)
    _, Y, weights, _ = problem.arrays()
    y = Y[:, j]
    s = np.where(np.isnan(y), 0, 1.0 if weights is None else weights)
    kept = s > 0
    y, s = y[kept], s[kept]
    with np.errstate(all="ignore"):
        saturated = {
            "gaussian": np.zeros_like(y),
            "poisson": y - np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0),
            "bernoulli": -np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0)
            - np.where(y < 1, (1 - y) * np.log(np.where(y < 1, 1 - y, 1)), 0),
        }[problem.family]
    return null - s @ saturated / s.sum()


def null_objective(problem: Problem, j: int) -> float:
    """The mean loss at w = 0 and the best intercept."""
    w = np.zeros(problem.n_features)
    if not problem.fit_intercept:
        return problem_objective(problem, j, 0.0, 0.0, w)
    return minimize_scalar(
        lambda b: min(problem_objective(problem, j, 0.0, b, w), 1e9), bounds=(-30, 30), method="bounded",
        options={"xatol": 1e-8},
    ).fun  # fmt: skip


def lowest_objective(problem: Problem, j: int, lam: float, starts: list[tuple[float, np.ndarray]]) -> float:
    """The lowest objective of neuron j that this solver finds from any of some points (b, w).

    Proximal gradient steps with Nesterov's extrapolation and restarts (O'Donoghue & Candès 2015), in columns scaled to
    unit variance. What it returns is a value that some weights have; so what lies further above it than a certificate
    breaks the certificate.
    """
    X, Y, weights, offset = problem.arrays()
    kind, l1_ratio = problem.penalty
    y = Y[:, j]
    s = np.where(np.isnan(y), 0, 1.0 if weights is None else weights)
    kept = s > 0
    X, y, s = X[kept], y[kept], s[kept] / s[kept].sum()
    o = np.zeros(len(y)) if offset is None else offset[kept]
    alpha = {"none": 0.0, "ridge": 0.0, "lasso": 1.0, "group_lasso": 1.0, "elastic_net": 0.5}[kind]
    alpha = alpha if l1_ratio is None else l1_ratio
    scale = np.maximum(X.std(axis=0), 1e-9)
    centre = X.mean(axis=0) if problem.fit_intercept else np.zeros(X.shape[1])
    if kind == "group_lasso":
        # one scale for a group, so that its norm stays a norm
        parts = np.split(scale, np.cumsum(problem.sizes)[:-1])
        scale = np.concatenate([np.full(len(part), part.mean()) for part in parts])
    Z = (X - centre) / scale
    groups = np.split(np.arange(X.shape[1]), np.cumsum(problem.sizes)[:-1])

    def total(theta: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            loss = s @ unit_loss(problem.family, loss_link(problem), theta[0] + Z @ theta[1:] + o, y)
        value = loss + penalty_value(theta[1:] / scale, lam, kind, l1_ratio, problem.smoothness, problem.sizes)
        return value if np.isfinite(value) else np.inf

    def smooth_gradient(theta: np.ndarray) -> np.ndarray:
        eta = theta[0] + Z @ theta[1:] + o
        residual = s * _residual(problem, eta, y)
        w = theta[1:] / scale
        ridge = lam * (1 - alpha) * w
        for group in groups if problem.smoothness else []:
            padded = np.concatenate([[0], w[group], [0]])
            rough = w[group] if len(group) == 1 else 2 * w[group] - padded[:-2] - padded[2:]
            ridge[group] += problem.smoothness * rough
        intercept = residual.sum() if problem.fit_intercept else 0.0
        return np.concatenate([[intercept], Z.T @ residual + ridge / scale])

    def norm(theta: np.ndarray) -> float:
        w = theta[1:] / scale
        if kind == "group_lasso":
            return lam * alpha * sum(np.sqrt(len(g)) * np.linalg.norm(w[g]) for g in groups)
        return lam * alpha * np.abs(w).sum()

    def prox(theta: np.ndarray, step: float) -> np.ndarray:
        out = theta.copy()
        if lam * alpha == 0:
            return out
        if kind == "group_lasso":
            for g in groups:
                size = np.linalg.norm(theta[1 + g])
                cut = step * lam * alpha * np.sqrt(len(g)) / scale[g[0]]
                out[1 + g] *= max(0.0, 1 - cut / size) if size > 0 else 0.0
            return out
        cut = step * lam * alpha / scale
        out[1:] = np.sign(theta[1:]) * np.maximum(np.abs(theta[1:]) - cut, 0)
        return out

    def descend(theta: np.ndarray) -> float:
        best, value = theta, total(theta)
        here, ahead, t, step = theta, theta, 1.0, 1.0
        quiet = 0
        for _ in range(400):
            gradient, at = smooth_gradient(ahead), total(ahead) - norm(ahead)
            while True:
                new = prox(ahead - step * gradient, step)
                d = new - ahead
                after = total(new)
                if after - norm(new) <= at + gradient @ d + d @ d / (2 * step) + 1e-15 * abs(at) or step < 1e-14:
                    break
                step /= 2
            quiet = quiet + 1 if value - after < 1e-14 * (1 + abs(value)) else 0
            if after < value:
                best, value = new, after
            if (ahead - new) @ (new - here) > 0:
                t, ahead = 1.0, new
            else:
                t, before = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
                ahead = new + (before - 1) / t * (new - here)
            here = new
            step *= 1.1
            if quiet > 20:
                break
        if lam * alpha == 0:
            # nothing has a kink: quasi-Newton goes on where gradients alone crawl
            polished = minimize(
                total, best, jac=smooth_gradient, method="BFGS", options={"maxiter": 200, "gtol": 1e-12}
            )
            value = min(value, float(polished.fun))
        return value

    points = [np.concatenate([[b + centre @ w], np.asarray(w, float) * scale]) for b, w in starts]
    if not problem.fit_intercept:
        points = [np.concatenate([[0.0], point[1:]]) for point in points]
    return min(descend(point) for point in points)


def _residual(problem: Problem, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dℓ/dη per sample."""
    with np.errstate(all="ignore"):
        mu = LINKS[problem.link](eta)
        match problem.family, problem.link:
            case "gaussian", _:
                return mu - y
            case "poisson", "exp":
                return mu - y
            case "poisson", "softplus":
                return expit(eta) * (1 - y / mu)
            case "poisson", _:
                return np.where(eta > 0, 1 - y / np.where(eta > 0, eta, 1), 0)
        return mu - y

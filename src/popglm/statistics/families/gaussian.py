"""Gaussian activity: any number, its deviations from the mean alike everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.statistics.families.contract import Chunks, Family
from popglm.statistics.families.links import Exp, Identity, Relu, Sigmoid, Softplus
from popglm.statistics.families.units import Units

__all__ = ["GAUSSIAN"]

Array = Any


@dataclass(frozen=True)
class Gaussian(Family):
    """ℓ = (y − μ)²/2."""

    name = "gaussian"

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        return 0.5 * (y - self.link.mean(xp, eta)) ** 2

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        return self.value(xp, eta, y)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        slope = self.link.slope(xp, eta)
        return (self.link.mean(xp, eta) - y) * slope, slope * slope

    def saturated(self, y: np.ndarray) -> np.ndarray:
        return np.zeros_like(np.asarray(y, float))

    def constant(self, y: np.ndarray | float) -> np.ndarray | float:
        return 0.5 * y * y

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        return (np.asarray(y, float) - np.asarray(mu, float)) ** 2

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        return np.full(np.shape(y), -0.5 * np.log(2 * np.pi * dispersion))

    def variance(self, mu: np.ndarray) -> np.ndarray:
        return np.ones_like(mu)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        return rng.normal(mu, np.sqrt(dispersion))

    def saturated_mean(self, mean: np.ndarray, null: np.ndarray) -> np.ndarray:
        return np.zeros_like(mean)


@dataclass(frozen=True)
class GaussianIdentity(Gaussian):
    """Least squares."""

    is_convex = True
    is_canonical = True
    is_least_squares = True
    has_dispersion = True
    scale = "linear"

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        # a power of two: no digit changes. The ridge part of a penalty knows no unit, its norm has that of the activity
        size = np.full(len(shift), np.exp2(np.round(decade * np.log2(10))))
        strength = size if has_norm else np.ones(len(size))
        return Units.of(
            len(size), size=size, shift=shift, weight=size, intercept=shift, loss=size**2, strength=strength
        )


@dataclass(frozen=True)
class GaussianExp(Gaussian):
    """Under h = exp the mean is a multiple of exp(offset): a regression through the origin."""

    def offset_intercept(self, chunks: Chunks, inside: np.ndarray, total: np.ndarray) -> np.ndarray:
        # from the largest offset down, so that nothing overflows
        top = max((o.max() for _, _, o in chunks()), default=0.0)
        squared, seen = np.zeros(len(inside)), np.zeros(len(inside))
        for y, s, o in chunks():
            rate = np.exp(o - top)
            squared += s @ rate**2
            seen += (s * y) @ rate
        usable = (seen > 0) & (squared > 0)
        closed = np.log(np.where(usable, seen, 1)) - np.log(np.where(usable, squared, 1)) - top
        return np.where(usable, closed, np.log(inside) - top)


GAUSSIAN = (
    GaussianIdentity(Identity()),
    GaussianExp(Exp()),
    Gaussian(Sigmoid()),
    Gaussian(Softplus()),
    Gaussian(Relu()),
)

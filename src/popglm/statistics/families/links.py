"""Inverse links h: the mean μ = h(η) of a response with the linear predictor η."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from popglm.statistics.families.elementary import sigmoid, softplus

__all__ = ["INVERSE_LINKS", "Exp", "Identity", "InverseLink", "Relu", "Sigmoid", "Softplus"]

Array = Any


@dataclass(frozen=True)
class InverseLink(ABC):
    """h(η), its derivative and its inverse.

    Attributes
    ----------
    name : str
        As users write it.
    means : (float, float)
        Open interval in which `link` is defined.
    is_smooth : bool
        Whether h has a continuous derivative.
    in_units : bool
        Whether η has the unit of the activity; a model of it then holds however far η goes.
    is_multiplicative : bool
        Whether what is added to η multiplies the mean.
    """

    name: ClassVar[str]
    means: ClassVar[tuple[float, float]]
    is_smooth: ClassVar[bool] = True
    in_units: ClassVar[bool] = False
    is_multiplicative: ClassVar[bool] = False

    @abstractmethod
    def mean(self, xp: Any, eta: Array) -> Array:
        """Mean response h(η)."""

    @abstractmethod
    def slope(self, xp: Any, eta: Array) -> Array:
        """Derivative h'(η)."""

    @abstractmethod
    def link(self, mu: np.ndarray) -> np.ndarray:
        """Linear predictor at which the mean is ``mu``."""


@dataclass(frozen=True)
class Identity(InverseLink):
    """h(η) = η."""

    name = "identity"
    means = (-np.inf, np.inf)
    in_units = True

    def mean(self, xp: Any, eta: Array) -> Array:
        return eta

    def slope(self, xp: Any, eta: Array) -> Array:
        return xp.ones_like(eta)

    def link(self, mu: np.ndarray) -> np.ndarray:
        return mu


@dataclass(frozen=True)
class Exp(InverseLink):
    """h(η) = exp(η)."""

    name = "exp"
    means = (0.0, np.inf)
    is_multiplicative = True

    def mean(self, xp: Any, eta: Array) -> Array:
        return xp.exp(eta)

    def slope(self, xp: Any, eta: Array) -> Array:
        return xp.exp(eta)

    def link(self, mu: np.ndarray) -> np.ndarray:
        return np.log(mu)


@dataclass(frozen=True)
class Sigmoid(InverseLink):
    """h(η) = 1/(1 + exp(−η))."""

    name = "sigmoid"
    means = (0.0, 1.0)

    def mean(self, xp: Any, eta: Array) -> Array:
        return sigmoid(xp, eta)

    def slope(self, xp: Any, eta: Array) -> Array:
        mu = sigmoid(xp, eta)
        return mu * (1 - mu)

    def link(self, mu: np.ndarray) -> np.ndarray:
        return np.log(mu) - np.log1p(-mu)


@dataclass(frozen=True)
class Softplus(InverseLink):
    """h(η) = log(1 + exp(η))."""

    name = "softplus"
    means = (0.0, np.inf)

    def mean(self, xp: Any, eta: Array) -> Array:
        return softplus(xp, eta)

    def slope(self, xp: Any, eta: Array) -> Array:
        return sigmoid(xp, eta)

    def link(self, mu: np.ndarray) -> np.ndarray:
        return mu + np.log(-np.expm1(-mu))


@dataclass(frozen=True)
class Relu(InverseLink):
    """h(η) = max(η, 0)."""

    name = "relu"
    means = (-np.inf, np.inf)
    is_smooth = False
    in_units = True

    def mean(self, xp: Any, eta: Array) -> Array:
        return xp.maximum(eta, 0)

    def slope(self, xp: Any, eta: Array) -> Array:
        return xp.where(eta > 0, xp.ones_like(eta), xp.zeros_like(eta))

    def link(self, mu: np.ndarray) -> np.ndarray:
        return mu


#: Inverse links by name.
INVERSE_LINKS: dict[str, InverseLink] = {link.name: link for link in (Identity(), Exp(), Sigmoid(), Softplus(), Relu())}

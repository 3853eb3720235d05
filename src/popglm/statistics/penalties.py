"""Elastic-net and group-lasso penalties, with optional smoothness over neighbouring features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from popglm.shapes import Shape
from popglm.statistics import norms
from popglm.statistics.blockwise import NEAR, HostBlocks, block_norms, from_zero, settled, unstopped, within
from popglm.statistics.roughness import smoothness_matrix

__all__ = ["PENALTIES", "Penalty", "inward"]

#: Largest strength of a ridge, over the largest curvature of the loss: weights keep a tenth there, at most.
STRONGEST = 10.0
#: Root of the variance that columns without a penalty get, over that of all penalised columns together. The ridge part
#: holds a step along them by the inverse of its square: steps are short for a small number, and rounding along the
#: penalised columns grows with a large one.
FREEDOM = 30.0
#: Of a step that ends at a bound, at most.
ROUNDINGS = 8
PENALTIES = ("none", "ridge", "lasso", "elastic_net", "group_lasso")


def inward(bounds: np.ndarray, dtype: Any) -> np.ndarray:
    """Bounds in float64 that are numbers of a precision too, rounded towards 0."""
    with np.errstate(over="ignore"):
        rounded = bounds.astype(dtype)
        beyond = np.abs(rounded.astype(float)) > np.abs(bounds)
        return np.where(beyond, np.nextafter(rounded, rounded.dtype.type(0)), rounded).astype(float)


@dataclass(frozen=True)
class Penalty:
    """λ Σ_b c_b (α ω_b‖w_b‖₂ + (1−α)/2‖w_b‖²) + (σ/2) wᵀRw over blocks b of columns.

    A block is one column (lasso, elastic net) or one feature group (group lasso, ω = √size); ridge is α = 0.

    What a solver may ask, with W (n_neurons, n_features) a row of weights per neuron and λ (n_neurons,) its strength:

    - ``value``, ``norm_value`` and ``norm``: the whole penalty, that without the smoothness, its norms alone;
    - ``prox``: the proximal operator of the norms;
    - ``smooth_gradient``, ``ridge_strength`` and ``norm_strengths``: gradient of the smoothness, curvature of the ridge
      part, and what each norm is multiplied by;
    - ``dual_norm`` and ``lambda_max``: at which strengths nothing has a weight;
    - ``subgradient_distance``: how far a point is from stationary;
    - ``masked`` and ``evened``: the same penalty for some columns, and with factors moved into the units of columns;
    - ``within`` and ``limits``: weights brought within their bounds, and these;
    - ``free`` and ``penalised``: the columns that are never penalised, and weights without them.

    On a device the arithmetic is that of `popglm.statistics.norms`, in any array namespace, with the same strengths.
    Compiled kernels for NumPy have it inlined, with strengths from here.

    Attributes
    ----------
    l1_ratio : float
        α, the share of the norm term.
    smoothness : float
        σ.
    block_sizes : ndarray of int, shape (n_blocks,)
    block_weights : ndarray, shape (n_blocks,)
        ω.
    R : ndarray, shape (n_features, n_features) or None
        Present where σ > 0.
    product : callable
        Matrix product for rows of neurons; the solver puts its engine's here.
    factors : ndarray, shape (n_blocks,), or None
        c, what the strength of every block is multiplied by: 1 for None. Blocks with 0 are never penalised.
    mask : ndarray of bool, shape (n_features,), or None
        Columns that may have a weight: all for None. ω counts these alone.
    bounds : ndarray, shape (2, n_features), or None
        Smallest and largest weight of every column, on both sides of 0 or at it; infinite for columns without.
    """

    l1_ratio: float
    smoothness: float
    block_sizes: np.ndarray
    block_weights: np.ndarray
    R: np.ndarray | None
    product: Callable = np.matmul
    factors: np.ndarray | None = None
    mask: np.ndarray | None = None
    bounds: np.ndarray | None = None

    @classmethod
    def make(
        cls,
        kind: str,
        l1_ratio: float | None,
        smoothness: float,
        group_sizes: np.ndarray,
        group_factors: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        shapes: Sequence[Shape] | None = None,
    ) -> Penalty:
        """Penalty of a name in `PENALTIES` over features that come in groups of ``group_sizes``.

        Parameters
        ----------
        kind : str
        l1_ratio : float or None
            That of an elastic net or a group lasso; the usual one for None.
        smoothness : float
        group_sizes : ndarray of int, shape (n_groups,)
        group_factors : ndarray, shape (n_groups,), optional
            Factors of the groups, 1 unless given.
        mask : ndarray of bool, shape (n_features,), optional
            Columns that may have a weight.
        shapes : sequence of Shape, one per group, optional
            Where the columns of each group have their neighbours: along a line unless given.

        Examples
        --------
        >>> penalty = Penalty.make("group_lasso", None, 0.0, [4, 1], group_factors=[1.0, 3.0])
        >>> penalty.value(np.array([[3.0, 0, 0, 4, 1]]), np.array([0.1]))
        array([1.3])
        """
        grouped = kind == "group_lasso"
        sizes = np.asarray(group_sizes if grouped else np.ones(int(np.sum(group_sizes))), int)
        alpha = {"none": 0.0, "ridge": 0.0, "lasso": 1.0}.get(kind, l1_ratio)
        alpha = {"elastic_net": 0.5, "group_lasso": 1.0}[kind] if alpha is None else float(alpha)
        R = smoothness_matrix(group_sizes, shapes) if smoothness > 0 else None
        factors = None if group_factors is None else np.asarray(group_factors, float)
        if factors is not None and not grouped:
            factors = np.repeat(factors, group_sizes)
        penalty = cls(alpha, float(smoothness), sizes, np.sqrt(sizes), R, factors=factors)
        return penalty if mask is None else penalty.masked(mask)

    @classmethod
    def beside(cls, plain: Penalty, **more: Any) -> Self:
        """A penalty of this class that has all that a plain one has, and ``more``."""
        return cls(**{field.name: getattr(plain, field.name) for field in fields(Penalty)}, **more)

    def masked(self, mask: np.ndarray) -> Penalty:
        """The penalty where only the columns of a mask (n_features,) of bool may have a weight."""
        sizes = np.add.reduceat(mask.astype(float), self.starts[:-1])
        weights = self.block_weights * np.sqrt(np.maximum(sizes, 1) / self.block_sizes)
        return replace(self, block_weights=weights, mask=mask)

    def evened(self, variance: np.ndarray) -> tuple[Penalty, np.ndarray | None]:
        """The same penalty of the weights d∘w, with one ridge part for all of them; and d (n_features,), None for 1.

        With d = √c, Σ c‖w‖² is the plain square of the norm, and c ω‖w_b‖ is √c ω‖d∘w_b‖. Without a ridge part the
        factors may stay with the norms, and columns as they are. Columns that are never penalised keep a factor of 0.
        Their units must not matter, and they get one of a size: with a ridge part so small that this part in the metric
        of a step hardly holds them.

        Parameters
        ----------
        variance : ndarray, shape (n_features,)
            Of the columns.
        """
        free, has_ridge = self.free, self.l1_ratio < 1
        if self.factors is None or not (has_ridge or free is not None):
            return self, None
        root = np.sqrt(self.factors) if has_ridge else np.ones(len(self.factors))
        units, factors = root[self.block_of_column], None if has_ridge else self.factors
        if free is not None:
            root = np.where(root > 0, root, 1)
            held = ~free & (variance > 0)
            variances = variance[held] / units[held] ** 2 if held.any() else variance
            level = FREEDOM**2 * variances.sum() if has_ridge else variances.mean()
            size = np.sqrt(variance / (level if level > 0 else 1))
            units = np.where(free, np.where(size > 0, size, 1), units)
            factors = (self.factors > 0).astype(float) if has_ridge else self.factors
        R = None if self.R is None else self.R / np.outer(units, units)
        return self.rebounded(units, block_weights=self.block_weights * root, R=R, factors=factors), units

    def rebounded(self, unit: np.ndarray | float, **more: Any) -> Self:
        """With bounds on weights that are ``unit`` times those here, and ``more``."""
        return replace(self, **more) if self.bounds is None else replace(self, bounds=self.bounds * unit, **more)

    def representable(self, dtype: Any) -> Self:
        """With the nearest bounds of a precision that no weight within is beyond."""
        return self if self.bounds is None else replace(self, bounds=inward(self.bounds, dtype))

    @cached_property
    def free(self) -> np.ndarray | None:
        """Columns (n_features,) that are never penalised; None where there are none."""
        if self.factors is None or self.factors.all():
            return None
        return (self.factors == 0)[self.block_of_column]

    @cached_property
    def free_columns(self) -> np.ndarray:
        """Numbers of the columns that are never penalised."""
        return np.empty(0, int) if self.free is None else np.flatnonzero(self.free)

    def penalised(self, W: np.ndarray) -> np.ndarray:
        """The rows of W with 0 for columns that are never penalised."""
        return W if self.free is None else np.where(self.free, 0, W)

    @cached_property
    def starts(self) -> np.ndarray:
        """First column of every block, and the number of columns at the end."""
        return np.concatenate([[0], np.cumsum(self.block_sizes)])

    @cached_property
    def block_of_column(self) -> np.ndarray:
        """Block of every column, shape (n_features,)."""
        return np.repeat(np.arange(len(self.block_sizes)), self.block_sizes)

    @cached_property
    def blocks(self) -> HostBlocks:
        """How columns form blocks."""
        return HostBlocks(self.starts[:-1], self.block_of_column, False, *self.limits)

    @property
    def limits(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Lower and upper bounds (n_features,); None where there are none."""
        return (None, None) if self.bounds is None else (self.bounds[0], self.bounds[1])

    @property
    def has_norm(self) -> bool:
        """Whether a step has no closed form: there are norms, or bounds on weights."""
        return self.l1_ratio > 0 or self.bounds is not None

    @property
    def turning_sizes(self) -> np.ndarray:
        """Numbers of neighbouring columns whose axes may be turned without a change of the penalty."""
        return self.block_sizes

    @property
    def shrinks_columns(self) -> bool:
        """Whether every column has a norm of its own."""
        return self.has_norm and len(self.block_sizes) == len(self.block_of_column)

    def block_norms(self, W: np.ndarray) -> np.ndarray:
        """‖w_b‖₂ for rows of W, shape (n_neurons, n_blocks)."""
        return block_norms(np, self.blocks, W)

    def close_blocks(self, W: np.ndarray, D: np.ndarray, landed: np.ndarray) -> None:
        """Take −W for the step D in blocks where ``landed`` is 0, all of shape (n_neurons, n_features).

        That is w + d as the minimiser saw it, in its precision and its axes within each block. On the way back rounding
        would be left over, which counts as a weight.
        """
        closed = landed == 0 if self.blocks.nested else (self.block_norms(landed) == 0)[:, self.block_of_column]
        D[closed] = -W[closed]
        if self.bounds is not None:
            # so it is at bounds: a weight beside its bound would count as one that is free to move
            D[:] = settled(np, self.blocks, W + D, D, ROUNDINGS * float(np.finfo(landed.dtype).eps)) - W

    def allow(self, W: np.ndarray, D: np.ndarray) -> np.ndarray:
        """Steps D from W (n_neurons, n_features) that go no further than the bounds of the weights."""
        return D if self.bounds is None else self.within(W + D) - W

    def is_inside(self, w: np.ndarray) -> np.ndarray:
        """Which weights (n_features,) lie between their bounds, by more than the rounding of single precision."""
        lower, upper = (-np.inf, np.inf) if self.bounds is None else self.bounds
        near = NEAR * np.abs(w)
        return (w - lower > near) & (upper - w > near)

    def pressed(self, W: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Signs of the forces that press weights W (n_neurons, n_features) against their bounds; 0 for the others."""
        return np.sign(-gradient) - np.sign(unstopped(np, self.blocks, -gradient, W))

    def within(self, W: np.ndarray) -> np.ndarray:
        """Rows of W (n_neurons, n_features), at the bound where they are beyond it."""
        return within(np, self.blocks, W)

    @cached_property
    def norm_weights(self) -> np.ndarray:
        """c ω, shape (n_blocks,)."""
        return self.block_weights if self.factors is None else self.factors * self.block_weights

    def of(self, neurons: np.ndarray) -> Penalty:
        """The penalty of some neurons."""
        return self

    def at_null(self, curvature: np.ndarray) -> Penalty:
        """The penalty of problems whose loss has these mean curvatures (n_problems,) at their null models."""
        return self

    def joined(self, parts: Sequence[Self]) -> Self:
        """The penalty of the problems of several fits, each with its part, one after the other."""
        return self

    def norm_strengths(
        self, lam: np.ndarray, W: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """λαcω, what the norm of every block is multiplied by, shape (n_neurons, n_blocks).

        Of a penalty that is concave in the norms, in its tangent at the weights W of some ``problems``.
        """
        return self.l1_ratio * lam[:, None] * self.norm_weights

    def ridge_strength(self, lam: np.ndarray) -> np.ndarray:
        """λ(1−α), the curvature of the ridge part where factors are `evened`, shape (n_neurons,)."""
        return (1 - self.l1_ratio) * lam

    def smooth_gradient(self, W: np.ndarray) -> np.ndarray:
        """σRw, zero without smoothness; W (n_neurons, n_features)."""
        return self.smoothness * self.product(W, self.R) if self.R is not None else np.zeros_like(W)

    def norm_value(
        self, W: np.ndarray, lam: np.ndarray, at: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """λP(w) of every neuron; W (n_neurons, n_features), lam (n_neurons,). For ``at`` see `norm`."""
        V = W if self.factors is None else W * self._factors_of_columns
        total = 0.5 * self.ridge_strength(lam) * np.einsum("ij,ij->i", V, W)
        if self.l1_ratio > 0:
            total = total + self.norm(W, lam, at, problems)
        return total

    def norm(
        self, W: np.ndarray, lam: np.ndarray, at: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """Σ_b λαcω‖w_b‖ of every neuron, shape (n_neurons,).

        Of a concave penalty, with the strengths of its tangent at the weights ``at`` of some ``problems``.
        """
        # row by row: of a product with a vector, bits may depend on other rows
        return self.l1_ratio * lam * np.einsum("ij,j->i", self.block_norms(W), self.norm_weights)

    def curvature(self, w: np.ndarray, lam: float) -> np.ndarray:
        """Second derivative (n_features, n_features) of λP(w) at weights (n_features,), 0 for norms that are 0.

        Of a concave penalty, that of its tangent there.
        """
        n = len(w)
        factors = np.ones(n) if self.factors is None else self._factors_of_columns
        found = np.diag((1 - self.l1_ratio) * lam * factors)
        if self.R is not None:
            found += self.smoothness * self.R
        (strengths,), (sizes,) = self.norm_strengths(np.array([lam]), w[None]), self.block_norms(w[None])
        # a norm of a single column has none
        strengths = strengths[len(strengths) - len(sizes) :]
        for first, last, strength, size in zip(self.starts[:-1], self.starts[1:], strengths, sizes, strict=True):
            if size > 0:
                own = w[first:last] / size
                found[first:last, first:last] += strength / size * (np.eye(last - first) - np.outer(own, own))
        return found

    def prox(self, V: np.ndarray, step: np.ndarray, lam: np.ndarray) -> np.ndarray:
        """argmin_z ½‖z − v‖² + step·Σ_b λαcω‖z_b‖ of every neuron, without masked columns; step (n_neurons, n_blocks).

        The ridge part and the smoothness are smooth, and part of the gradient that leads to v.
        """
        V = self._open(V)
        return norms.shrink(np, self.blocks, V, step * self.norm_strengths(lam)) if self.has_norm else V

    def dual_norm(self, gradient: np.ndarray) -> np.ndarray:
        """max_b ‖g_b‖/(αcω) over penalised blocks, shape (n_neurons,): w = 0 is a minimum where λ is no less.

        Infinite without a norm; blocks that are never penalised do not count.
        """
        if self.l1_ratio == 0:
            return np.full(len(gradient), np.inf)
        held = self.norm_weights > 0
        forces = self.block_norms(from_zero(np, self.blocks, -self._open(gradient)))[:, held]
        return (forces / self.norm_weights[held]).max(axis=1, initial=0) / self.l1_ratio

    def subgradient_distance(
        self, W: np.ndarray, gradient: np.ndarray, lam: np.ndarray, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """Least ‖g + s‖ over subgradients s at w, shape (n_neurons,); 0 at a minimum of loss and penalty.

        Parameters
        ----------
        gradient : ndarray, shape (n_neurons, n_features)
            Of the loss.
        """
        ridge = self.ridge_strength(lam)[:, None] * (W if self.factors is None else W * self._factors_of_columns)
        smooth = self._open(gradient + ridge + self.smooth_gradient(W))
        tau = self.norm_strengths(lam, W, problems)
        return np.linalg.norm(norms.least_subgradient(np, self.blocks, W, smooth, tau), axis=1)

    def _open(self, A: np.ndarray) -> np.ndarray:
        """Rows of A, 0 in masked columns."""
        return A if self.mask is None else np.where(self.mask, A, 0)

    @cached_property
    def _factors_of_columns(self) -> np.ndarray:
        factors = np.ones(len(self.block_sizes)) if self.factors is None else self.factors
        return factors[self.block_of_column]

    def value(self, W: np.ndarray, lam: np.ndarray, problems: np.ndarray | None = None) -> np.ndarray:
        """λP(w) + (σ/2) wᵀRw of every neuron.

        At an infinite λ, that of null models, P adds nothing where no penalised block has a weight.
        """
        never = np.isinf(lam)
        total = self._penalised(W, np.where(never, 1.0, lam), problems)
        total = np.where(never & (total > 0), np.inf, total)
        return total + 0.5 * np.einsum("ij,ij->i", W, self.smooth_gradient(W))

    def _penalised(self, W: np.ndarray, lam: np.ndarray, problems: np.ndarray | None) -> np.ndarray:
        """λP(w) of every neuron, at finite strengths."""
        return self.norm_value(W, lam)

    @property
    def is_isotropic(self) -> bool:
        """Whether it is a function of ‖w‖ alone."""
        return not self.has_norm and self.R is None and self.factors is None

    def lambda_max(self, gradient: np.ndarray, curvature: np.ndarray | float = np.inf) -> np.ndarray:
        """Smallest strength at which one part of the penalty alone leaves the null model, per neuron.

        For a norm that is where w = 0 is optimal, the largest force |g_b|/(c_b ω_b) of a block. A ridge never gets
        there. It shrinks weights by h/(h + λ) along an axis of curvature h, and is taken to leave nothing where λ is
        `STRONGEST` times the largest curvature. Forces have the unit of the activity, curvatures of a Gaussian have
        not: so the grid of each part is free of units, and so is the smaller one of both.

        Parameters
        ----------
        gradient : ndarray, shape (n_neurons, n_features)
            Of the loss where all penalised weights are 0.
        curvature : ndarray, shape (n_neurons,), or float
            Largest eigenvalue of the Hessian of the loss there, which limits the ridge part; no limit unless given.
        """
        top = self.dual_norm(gradient)
        if self.l1_ratio < 1:
            top = np.minimum(top, STRONGEST * curvature / (1 - self.l1_ratio))
        return top

"""The local model of a neuron's loss, B = cG + L-BFGS correction, and the step that minimises it with the penalty.

Three ways lead to that minimum: `splitting` for norms of single weights; for norms of groups `newton` where nearly all
are in use and `blocks` where few are, or where there is a smoothness penalty. Without a norm it has a closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular

from popglm.engines.protocol import Engine
from popglm.solve.curvature.compact import row_dots, thin_product
from popglm.solve.curvature.curvature_memory import CurvatureMemory, plain_step
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.local_models.ridge_inverses import RidgeInverses
from popglm.solve.local_models.split_model import Deviations, SplitModel, deviations
from popglm.solve.passes.coordinates import Coordinates, principal_axes
from popglm.solve.step_solvers.blocks import Places, descent
from popglm.solve.step_solvers.newton import newton_steps
from popglm.statistics.penalties import Penalty

__all__ = ["QuadraticModel", "decrease", "inverse_diagonal", "pays_workers"]

#: Curvature pairs of every problem. Fewer make shorter steps and more evaluations, and each takes two rows of memory.
PAIRS = 18
#: Of problems with more features than the first number: there memory counts, and more evaluations cost less than it.
WIDE, WIDE_PAIRS = 512, 12
#: Products with G that the steps of `newton_steps` are worth, when they are chosen for a neuron.
PRODUCTS = 240
#: Problems × features² of a step that workers take faster together than one by itself: each of its calls holds Python's
#: lock for a time.
LEAST_SHARED = 2**20
#: Problems × features of a portion that a worker takes at a time, about: a step makes some twenty arrays of that size.
PORTION = 2**17
#: Strengths for which a metric with a smoothness penalty is kept at a time.
MAX_SPECTRA = 8


class QuadraticModel(SplitModel):
    """Minimiser of gᵀd + ½dᵀBd + penalty(w + d), for a batch of neurons.

    Without a norm in the penalty that is the two-loop recursion (Nocedal & Wright 2006,
    alg. 7.4) around (cG + λ₂I + σR)⁻¹, which one eigendecomposition of G serves for all neurons and strengths.

    Parameters
    ----------
    engine : engine
    G : ndarray, shape (n_features, n_features), or (n_features,)
        In solver coordinates; its diagonal where they are its principal axes and the penalty has no norm.
    penalty : Penalty
        Its R in solver coordinates.
    thin : bool
        Whether it serves few problems, those of one neuron.
    n_parts : int, optional
        Parts that the problems of a step are shared out in; one for every worker unless given.
    coordinates : Coordinates, optional
        Those that G is in; the user's own unless given.
    diagonal : bool
        Whether G is the diagonal of the Gram matrix alone: `popglm.solve.local_models.diagonal` models problems then.

    Attributes
    ----------
    inverses : RidgeInverses or None
        What inverts the metric of a ridge where its strengths are few; the axes of G elsewhere.
    """

    inverses: RidgeInverses | None = None

    def __init__(
        self,
        engine: Engine,
        G: np.ndarray,
        penalty: Penalty,
        thin: bool = False,
        n_parts: int | None = None,
        coordinates: Coordinates | None = None,
        diagonal: bool = False,
    ) -> None:
        """Scale G where the model is split, and keep it in the engine's precision."""
        self.engine, self.G, self.penalty, self.thin, self.coordinates = engine, G, penalty, thin, coordinates
        self.n_parts, self.diagonal = n_parts or engine.n_workers, diagonal
        #: Norms of single weights: the model is split, and everything about it kept in the eigenbasis of G.
        self.split = G.ndim > 1 and penalty.shrinks_columns and penalty.R is None
        if self.split:
            self.deviations = deviations(np.diag(G), penalty)
            G = G / np.outer(self.deviations.columns, self.deviations.columns)
        self.G_fast = np.ascontiguousarray(G, dtype=engine.dtype)
        self._spectrum: dict[float | None, tuple[np.ndarray, np.ndarray | None]] = {}

    @property
    def variances(self) -> np.ndarray:
        """The diagonal of G, shape (n_features,)."""
        return self.G if self.G.ndim == 1 else np.diag(self.G)

    @property
    def shares_out(self) -> bool:
        """Whether `step` shares its problems out itself, and so must not run in one of the workers."""
        return not self.split and not self.thin and self.n_parts > 1

    def memory(self, n_neurons: int, size: int | None = None) -> CurvatureMemory:
        """An empty memory for each of ``n_neurons``, of as many pairs as problems of this width have, or ``size``."""
        if size is None:
            size = PAIRS if len(self.G) <= WIDE else WIDE_PAIRS
        return CurvatureMemory(n_neurons, size, len(self.G), self.engine.dtype, self.penalty.has_norm or self.diagonal)

    def portions(self, problems: np.ndarray) -> list[np.ndarray]:
        """Problems for every worker that may call `step`; all, where that shares them out itself."""
        if not self.split:
            return [problems]
        return _portions(problems, self._even(len(problems)))

    def remember(self, memory: CurvatureMemory, neurons: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs."""
        if self.split:
            values, vectors, _ = self.fast_spectrum
            s, y = s * self.deviations.columns, y / self.deviations.columns
            # in float64 this took a twentieth of the whole time; the pairs are kept in the engine's precision anyway
            s, y = np.split(self._times(np.concatenate([s, y]).astype(vectors.dtype), vectors).astype(float), 2)
            memory.push(neurons, s, y, lambda _, rotated: rotated * values)
        else:
            memory.push(neurons, s, y, lambda _, s: self.times_G(s))

    def times_G(self, A: np.ndarray) -> np.ndarray:
        """AG for rows A (n_neurons, n_features), in float64: along a direction without variance little else is left."""
        return A * self.G if self.G.ndim == 1 else self._times(A, self.G)

    def _times(self, A: np.ndarray, M: np.ndarray) -> np.ndarray:
        """AM, every worker some of the rows."""
        if self.thin:
            return thin_product(A, M)
        M = M.astype(A.dtype, copy=False)
        parts = _portions(np.arange(len(A)), -(-len(A) // self.n_parts))
        return np.concatenate(self.engine.map(lambda at: self.engine.product(A[at], M), [(at,) for at in parts]))

    def step(
        self,
        memory: CurvatureMemory,
        neurons: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Step d (n_neurons, n_features) from W, and the decrease (n_neurons,) that the model promises for it.

        ``grad`` is the gradient of the loss, ``c`` the mean curvature weight and ``lam`` the strength per neuron; a
        promise of no more than ``most`` (n_neurons,) is worth knowing well.
        """
        grad = grad + self.penalty.smooth_gradient(W)
        if self.penalty.l1_ratio < 1:
            # the ridge part of a model has all columns: those that are never penalised it holds where they stand
            W = self.penalty.penalised(W)
        if self.penalty.has_norm:
            if self.split:
                return self.split_step(memory, neurons, W, grad, c, lam, most)
            d, promise = np.zeros_like(grad), np.zeros(len(grad))
            # norms of no strength are none: without them the step has a closed form, which leaves flat directions alone
            for way, at in ((self._norm_step, lam > 0), (self._plain_step, lam == 0)):
                if at.any():
                    d[at], promise[at] = way(memory, neurons[at], W[at], grad[at], c[at], lam[at])
            return d, promise
        return self._plain_step(memory, neurons, W, grad, c, lam)

    def _plain_step(self, memory, neurons, W, grad, c, lam) -> tuple[np.ndarray, np.ndarray]:
        """`step` without a norm in the penalty."""
        lam2 = self.penalty.ridge_strength(lam)

        def solve(r: np.ndarray) -> np.ndarray:
            each = [model.solve_metric(r[at], c[at], lam2[at]) for model, at in self._each(neurons)]
            return each[0] if len(each) == 1 else np.concatenate(each)

        return plain_step(self.penalty, memory, neurons, grad + lam2[:, None] * W, lam2, solve)

    def _each(self, neurons: np.ndarray) -> Iterator[tuple[QuadraticModel, slice]]:
        """The models with one Gram matrix, and where their problems are among ``neurons``, which ascend."""
        yield self, slice(None)

    def deviations_of(self, neurons: np.ndarray) -> Deviations:
        """See `SplitModel`: one Gram matrix has one."""
        return self.deviations

    def share_out_splits(self, work: Callable[[np.ndarray], None], n: int) -> None:
        """See `SplitModel`: `portions` has shared them out."""
        work(np.arange(n))

    def _norm_step(self, memory, neurons, W, grad, c, lam) -> tuple[np.ndarray, np.ndarray]:
        """`step` with norms of groups, or with norms and a smoothness."""
        point = self.point(W, grad, c, self.penalty.norm_strengths(lam, W, neurons), lam)
        # step, gradient of the model after it, and what the model can still decrease, about
        D, slope = np.zeros((2, *W.shape), self.engine.dtype)
        left = np.zeros(len(W))
        wide = self._uses_nearly_all(*(point[i] for i in (0, 1, 3)))
        self._by_newton(np.flatnonzero(wide), memory, neurons, point, D, slope, left)
        failed = np.flatnonzero(~np.isfinite(D).all(axis=1) | np.isnan(left))
        memory.forget(neurons[failed])
        wide[failed] = False
        self._by_descent(np.flatnonzero(~wide), memory, neurons, point, D, slope, left)
        landed, D = point[0] + D, D.astype(float)
        self.penalty.close_blocks(W, D, landed)
        return D, decrease(self.penalty, W, D, grad + slope, lam, neurons) + left

    def _uses_nearly_all(self, W, grad, tau) -> np.ndarray:
        """Neurons with so many columns in use that Newton steps cost less than packed matrices."""
        working = (W != 0) | (self.penalty.block_norms(grad) > tau)[:, self.penalty.block_of_column]
        n = working.sum(axis=1)
        # multiplications of packing and of three Cholesky factors, against those of products with all of G
        return (n**2 * (n + 120.0) > PRODUCTS * W.shape[1] ** 2) & (self.penalty.R is None)

    def local(self, at, memory, neurons, c, tau, lam2) -> LocalModel:
        """See `SplitModel`."""
        # pairs and G are in the eigenbasis of G where single weights are penalised
        values, vectors, transposed = self.fast_spectrum
        product = thin_product if self.thin else self.engine.product
        return LocalModel(
            product, None if self.split else self.G_fast[None], values[None], vectors[None], transposed,
            np.zeros(len(at), int), self.penalty, c[at], lam2[at], tau[at], neurons[at], memory.pairs,
        )  # fmt: skip

    def _by_newton(self, which, memory, neurons, point, D, slope, left) -> None:
        """Rows ``which`` of D, slope and left, by `newton_steps`."""
        W, grad, c, tau, lam2 = point

        def newton(at: np.ndarray) -> None:
            """Minimise the models of the rows ``at``."""
            model = self.local(at, memory, neurons, c, tau, lam2)
            D[at], slope[at], left[at] = newton_steps(model, W[at], grad[at])

        self._share_out(newton, which)

    def _by_descent(self, which, memory, neurons, point, D, slope, left) -> None:
        """Rows ``which`` of D, slope and left, by `block_descent`."""
        minimise = descent(self.penalty, self.engine.dtype)

        def descend(at: np.ndarray) -> None:
            """Minimise the models of the rows ``at``."""
            for model, some in self._each(neurons[at]):
                own = at[some]
                places = Places(np.zeros(len(own), int), neurons[own])
                D[own], slope[own] = minimise(model.G_fast[None], memory.pairs, places, *(a[own] for a in point))
            left[at] = 0

        # small portions, so that neurons with many active blocks do not all fall to one worker
        self._share_out(descend, which, 8)

    def _share_out(self, work: Callable, which: np.ndarray, portion: int | None = None) -> None:
        """Call ``work`` on equal portions of the neurons ``which``, `n_parts` or of at most ``portion``."""
        if len(which) and not pays_workers(len(which), len(self.G)):
            work(which)
            return
        fine = max(len(which) // (2 * self.n_parts), 1)
        size = self._even(len(which)) if portion is None else min(portion, fine)
        self.engine.map(work, [(at,) for at in _portions(which, size)])

    def _even(self, n: int) -> int:
        """Size of equal portions of n problems: `n_parts` of them, or some times as many, of `PORTION` numbers."""
        n_parts = self.n_parts * max(-(-n * len(self.G) // (self.n_parts * PORTION)), 1)
        # products take as long for one row as for a tile of four
        return max(-(-n // n_parts), 4)

    @cached_property
    def fast_spectrum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of G, and the latter's transpose, in the engine's precision.

        The last is one matrix in an array of its own, or none in a thin model: a few problems go back from the axes by
        the eigenvectors themselves, and there may be many such models.
        """
        G, dtype = self.G_fast.astype(float), self.engine.dtype
        if self.thin:
            # in two matrices of room; NumPy takes five, and workers make such models at the same time
            values, axes = eigh(G.T, driver="evr", overwrite_a=True, check_finite=False)
            vectors = np.ascontiguousarray(axes, dtype)
            return np.maximum(values.astype(dtype), 0), vectors, np.zeros((0, *vectors.shape), dtype)
        values, vectors = (a.astype(dtype) for a in np.linalg.eigh(G))
        # an array of its own: with few neurons, products with a transposed view take far longer
        return np.maximum(values, 0), np.ascontiguousarray(vectors), np.ascontiguousarray(vectors.T)[None]

    def solve_metric(self, r: np.ndarray, c: np.ndarray, lam2: np.ndarray) -> np.ndarray:
        """(cG + λ₂I + σR)⁻¹r, directions without variance or penalty left alone."""
        if self.penalty.R is None:
            d, free = np.empty_like(r), lam2 == 0
            if self.inverses is not None and not free.any():
                d, free = self.inverses.solve(r, c, lam2)
                if free.any():
                    d[free] = self._solve(r[free], c[free], lam2[free], 0.0)
                return d
            # without a penalty the units of the columns do not matter, and no column may fall below rounding by them
            for at, key in ((free, None), (~free, 0.0)):
                if at.any():
                    d[at] = self._solve(r[at], c[at], lam2[at], key)
            return d
        # with σR a spectrum serves one λ₂; where neurons have too many of their own, the curvature pairs say λ₂
        each = np.unique(lam2)
        if len(each) > MAX_SPECTRA:
            return self._solve(r, c, np.ones(len(r)), 0.0)
        d = np.empty_like(r)
        for fixed in each:
            at = lam2 == fixed
            d[at] = self._solve(r[at], c[at], np.ones(at.sum()), float(fixed))
        return d

    def _solve(self, r: np.ndarray, c: np.ndarray, rest: np.ndarray, fixed: float | None) -> np.ndarray:
        """T(cΛ + rest)⁻¹Tᵀr."""
        if fixed not in self._spectrum:
            # the strengths that were met longest ago go first
            for oldest in list(self._spectrum)[: len(self._spectrum) + 1 - MAX_SPECTRA]:
                del self._spectrum[oldest]
            self._spectrum[fixed] = self.eigen(self.penalty.smoothness, fixed)
        values, vectors = self._spectrum[fixed]
        # with R the vectors are scaled so that λ₂I + σR is the identity
        inverse = inverse_diagonal(np.outer(c, values) + rest[:, None])
        if vectors is None:
            return r * inverse
        return self.engine.product(self.engine.product(r, vectors) * inverse, vectors.T)

    def eigen(self, sigma: float, fixed: float | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Values Λ and vectors T with TᵀGT = Λ and Tᵀ(fixed·I + σR)T = I, or TᵀT = I without R; None for T = I.

        For none ``fixed`` Tᵀdiag(G)T = I.
        """
        if self.G.ndim == 1:
            return self.G, None
        if fixed is None:
            # in the user's columns: among principal axes those of hardly any variance would be scaled up
            own = self.coordinates
            G = self.G if own is None else own.unrotate_matrix(self.G)
            deviation = np.sqrt(np.diag(G))
            deviation = np.where(deviation > 0, deviation, 1)
            values, vectors = principal_axes(G / np.outer(deviation, deviation))
            vectors = vectors / deviation[:, None]
            return values, vectors if own is None else own.rotate(np.ascontiguousarray(vectors.T)).T
        if self.penalty.R is None:
            return principal_axes(self.G)
        L = cholesky(fixed * np.eye(len(self.G)) + sigma * self.penalty.R, lower=True)
        half = solve_triangular(L, self.G, lower=True)
        values, Q = eigh(solve_triangular(L, half.T, lower=True))
        return np.maximum(values, 0), solve_triangular(L.T, Q)


def pays_workers(n_problems: int, n_features: int) -> bool:
    """Whether workers take the steps of some problems faster together than one by itself."""
    return n_problems * n_features**2 >= LEAST_SHARED


def inverse_diagonal(diagonal: np.ndarray) -> np.ndarray:
    """1/d for rows d of the spectra of metrics, 0 where there is neither variance nor penalty."""
    # of a scaled G: a direction below rounding has no variance at all
    flat = diagonal <= 1e-12 * diagonal.max(axis=1, keepdims=True)
    return np.where(flat, 0.0, 1 / np.where(flat, 1.0, diagonal))


def decrease(
    penalty: Penalty, W: np.ndarray, D: np.ndarray, slopes: np.ndarray, lam: np.ndarray, problems: np.ndarray
) -> np.ndarray:
    """Of the problems' models by steps D, never below 0; ``slopes`` is the sum of their gradients before and after."""
    before, after = (penalty.norm_value(V, lam, W, problems) for V in (W, W + D))
    return np.maximum(before - after - 0.5 * row_dots(D, slopes), 0)


def _portions(index: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive parts of at most ``size`` entries."""
    return [index[a : a + size] for a in range(0, len(index), size)]

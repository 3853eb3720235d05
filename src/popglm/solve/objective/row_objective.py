"""The smooth part of the objective, with the intercept solved out, for a batch of neurons.

``evaluate(columns, W, b)`` answers with an `Evaluation`: the mean loss at the best intercept, above that of the
saturated model, its gradient in w (that of the profiled loss, so dloss/db = 0), the mean curvature weight and
Pearson's χ².
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.objective.beside import BesideNodes, BesideSamples
from popglm.solve.objective.distinct import DistinctResponses
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.objective.nuisance import Nuisance, renew_parameters
from popglm.solve.objective.sampled import sampled_gradient
from popglm.solve.passes.curvature_grams import weighted_grams, weighted_variances
from popglm.solve.passes.gathering import Bins
from popglm.solve.passes.hessian import derivatives
from popglm.solve.passes.remote_sums import RemoteSums
from popglm.solve.passes.row_sums import RowSums
from popglm.solve.passes.samples import Samples
from popglm.solve.remote.rows import RemoteRows
from popglm.statistics.families import Family, Units
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps, slope_at_kink
from popglm.statistics.responses import ResponseSums, response_sums

__all__ = ["RowObjective"]

#: Rows with a mean weight this many times as large or small as that of all rows do not stand for these.
UNLIKE = 3.0
#: A null loss below this many roundings of the mean response is summed from terms that vanish where a model is right.
FINE = 1e5


class RowObjective:
    """Any loss, streamed over row chunks: matrix product, one elementwise pass in cache, matrix product.

    The fits to all rows and to every fold's training rows are evaluated together: column i·n_neurons + j is neuron j in
    fit i, and a window of rows is read once for all fits that count it.

    Parameters
    ----------
    engine : engine
    loss : Family
    samples : Samples
        X in solver coordinates and the engine's precision. What only gives rows for ``X[first:last]`` is read chunk by
        chunk in every pass; over `RemoteRows` workers sum.
    fits : list of list of (first, last)
        Rows that each fit counts.
    fit_intercept : bool
    sums : ResponseSums, optional
        Of the rows of every fit, one after the other; taken from Y unless given.
    units : Units, optional
        Of Y, where these are not the recording's.

    Attributes
    ----------
    rows : RowSums or RemoteSums
    nuisance : Nuisance or None
        Parameters of the family, where it has some.
    by_sums : ndarray of bool, shape (n_columns,)
        Where the loss is the difference of a few sums over samples.
    at_nodes : ndarray of bool, shape (n_columns,)
        Where it is summed at nodes of the predictors; elsewhere it is sample by sample.
    """

    #: What sums over rows in this process.
    row_sums: type[RowSums] = RowSums

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        samples: Samples,
        fits: list[list[tuple[int, int]]],
        fit_intercept: bool = True,
        sums: ResponseSums | None = None,
        units: Units | None = None,
    ) -> None:
        self.engine, self.loss, self.fits, self.fit_intercept = engine, loss, fits, fit_intercept
        self.X, self.Y, self.weights, self.offset = samples
        kind = RemoteSums if isinstance(self.X, RemoteRows) else self.row_sums
        self.rows: Any = kind(engine, loss, samples, fits, fit_intercept)
        self.total, y_sum, YX = self.rows.moments()
        safe = np.where(self.total > 0, self.total, 1)
        self.y_mean, self.YX = y_sum / safe, self._means(YX, safe)
        self.by_sums, self.at_nodes = np.zeros((2, len(self.total)), bool)
        self.floor = np.zeros(len(self.total))
        self.nuisance: Nuisance | None = None
        self.distinct: DistinctResponses | None = None
        by_sums = loss.has_exp_sums and fit_intercept
        # float64 asks for all its digits
        at_nodes = loss.gathers and not by_sums and self.rows.gathers and engine.dtype == np.float32
        if loss.parameters or by_sums or at_nodes:
            every = (response_sums(loss, self.Y, self.weights, rows, self.offset, units) for rows in fits)
            sums = sums or ResponseSums.join(list(every))
            rough, self.floor = ~is_fine(sums, engine.dtype), sums.saturated
            self.by_sums, self.at_nodes = rough & by_sums, rough & at_nodes
        if sums is not None and loss.parameters:
            self.nuisance = Nuisance.of_null_models(sums, units)
        if loss.parameters and self.at_nodes.any():
            self.distinct = DistinctResponses(self.Y, self.weights, fits)

    def evaluate(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See the module. A point outside the loss's domain, or one that overflows, has loss +inf."""
        by_sums, at_nodes = self.by_sums[columns], self.at_nodes[columns]
        ways = (self._poisson_exp, by_sums), (self._by_nodes, at_nodes), (self._general, ~(by_sums | at_nodes))
        out = self._each_way(ways, columns, W, b)
        bad = ~(np.isfinite(out.loss) & np.isfinite(out.grad).all(axis=1) & np.isfinite(out.b))
        out.loss[bad] = np.inf
        return out

    def _each_way(
        self, ways: Sequence[tuple[Callable[..., Evaluation], np.ndarray]], columns: np.ndarray, W: np.ndarray,
        b: np.ndarray,
    ) -> Evaluation:  # fmt: skip
        """Points of some columns, each the way that was chosen for it."""
        parts = [(way, np.flatnonzero(chosen)) for way, chosen in ways if chosen.any() or not len(columns)]
        found = []
        for way, at in parts:
            batches = self.rows.batches(columns[at], W[at].astype(self.engine.dtype), self.parameters(columns[at]))
            with np.errstate(all="ignore"):
                found.append(way(columns[at], batches, W[at], b[at]))
        out = found[0]
        if len(found) > 1:
            out = Evaluation.join(found).take(np.argsort(np.concatenate([at for _, at in parts])))
        return out

    def parameters(self, columns: np.ndarray) -> np.ndarray | None:
        """Parameters of the family of some columns, shape (n_columns, n_parameters)."""
        return None if self.nuisance is None else self.nuisance.values[columns]

    def theta(self, columns: np.ndarray) -> Any:
        """The same in the engine's library."""
        return None if self.nuisance is None else self.engine.asarray(self.nuisance.values[columns])

    def loss_of(self, fit: int, neurons: np.ndarray) -> Family:
        """The loss of some neurons of a fit, at their parameters."""
        columns = fit * len(self.Y) + neurons
        return self.loss.at(None if self.nuisance is None else self.nuisance.values[columns].astype(self.engine.dtype))

    def _poisson_exp(self, columns: np.ndarray, batches: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        # One pass: with μ = exp(η + b) the best intercept is b + log κ, κ = ȳ/mean(μ), and every sum that is
        # needed there is κ times the one taken here; Σ y η is W·(Xᵀy), known without touching the samples.
        b = b.astype(self.engine.dtype)
        (mu_sum, chi, MX, y_offset), parts = self.rows.exp(batches, b)
        total, y_mean, YX = self.total[columns], self.y_mean[columns], self._products(columns)
        # the intercept in the engine's precision is the one that μ was computed with
        b_used = b.astype(float)
        kappa = y_mean / (mu_sum / total)
        b_best = b_used + np.log(kappa)
        loss = y_mean - self._inner(W, YX) - b_best * y_mean - y_offset / total - self.floor[columns]
        grad = self._scaled(kappa / total, MX) - YX
        chi2 = chi / (kappa * total) - y_mean
        spread, n = spread_of(parts, mu_sum / total), len(W)
        return Evaluation(loss, b_best, grad, y_mean.copy(), chi2, spread, np.ones(n, bool), np.zeros(n))

    def _general(self, columns: np.ndarray, batches: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        etas = self.rows.predict(batches, len(W))
        b = self._settled(columns, BesideSamples(self, columns, batches, etas), b)
        sums, parts = self.rows.losses(batches, etas, b)
        return self._evaluation(columns, b, sums[0], sums[1:], parts)

    def _by_nodes(self, columns: np.ndarray, batches: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        # intercepts, parameters and losses from nodes of the predictors; the rest is one pass over samples
        etas = self.rows.predict(batches, len(W))
        ends = self.rows.ends(batches, etas, len(W))
        suit = Bins.suit(*ends)
        if not suit.all():
            return self._each_way(((self._by_nodes, suit), (self._general, ~suit)), columns, W, b)
        nodes = self.rows.gathered(batches, etas, Bins.between(*ends))
        beside = BesideNodes(self, columns, nodes)
        b = self._settled(columns, beside, b)
        if self.nuisance is not None:
            self.rows.with_parameters(batches, self.nuisance.values[columns])
        sums, parts = self.rows.losses(batches, etas, b, valued=False)
        return self._evaluation(columns, b, beside.losses(b.astype(float)), sums, parts)

    def _settled(self, columns: np.ndarray, beside: BesideSamples | BesideNodes, b: np.ndarray) -> np.ndarray:
        """Intercepts in the engine's precision, the best where they are fitted, beside new parameters that are due."""
        b = beside.intercepts(np.arange(len(b)), b)
        if self.nuisance is not None and self.nuisance.due[columns].any():
            b = renew_parameters(self, columns, beside, b)
        return b.astype(self.engine.dtype)

    def _evaluation(
        self, columns: np.ndarray, b: np.ndarray, loss: np.ndarray, sums: list[Any], parts: Any
    ) -> Evaluation:
        """From Σsℓ and the other sums of `popglm.solve.passes.window_passes.loss_sums`."""
        weight, chi, beyond, slope, along = sums
        loss, weight, chi, slope = (v / self.total[columns] for v in (loss, weight, chi, slope))
        grad = self._scaled(1 / self.total[columns], along)
        slope = slope_at_kink(self.loss, self.fit_intercept, slope, self.engine.dtype)
        spread = spread_of(parts, weight)
        return Evaluation(loss, b.astype(float), grad, weight, chi, spread, beyond == 0, slope)

    def best_intercept(
        self,
        columns: np.ndarray,
        sums: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]],
        b: np.ndarray,
        moving: np.ndarray | None = None,
        lowest: np.ndarray | None = None,
    ) -> np.ndarray:
        """Best intercepts of columns that are ``moving``, from ``sums(b, moving)``: see `InterceptSteps`.

        ``lowest`` is where the domain of the loss ends.
        """
        lowest = np.full(len(b), -np.inf) if lowest is None else lowest
        steps = InterceptSteps(self.loss, self.engine.dtype, b, lowest, self.y_mean[columns], self.total[columns])
        if moving is not None:
            steps.moving &= moving
        for _ in range(MAX_STEPS):
            steps.take(*sums(steps.b, steps.moving))
            if not steps.moving.any():
                break
        return steps.b

    # what is done to arrays over features, here in NumPy and in float64

    def _means(self, YX: Any, total: np.ndarray) -> Any:
        """Σsyx/Σs of all columns."""
        return YX / total[:, None]

    def _products(self, columns: np.ndarray) -> np.ndarray:
        """Σsyx/Σs of some columns."""
        return self.YX[columns]

    def _inner(self, W: np.ndarray, YX: np.ndarray) -> np.ndarray:
        """Inner products of rows, of weights as the passes see them."""
        return np.einsum("ij,ij->i", W.astype(self.engine.dtype).astype(float), YX)

    def _scaled(self, factor: np.ndarray, A: np.ndarray) -> np.ndarray:
        """Rows of A times a factor each."""
        return factor[:, None] * A

    def weighted_grams(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `popglm.solve.passes.curvature_grams`; the columns are of one fit."""
        return weighted_grams(self, int(columns[0]) // len(self.Y), columns % len(self.Y), W, b)

    def weighted_variances(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The diagonals of `weighted_grams`, of a sparse X, shape (n_columns, n_features)."""
        return weighted_variances(self, int(columns[0]) // len(self.Y), columns % len(self.Y), W, b)

    def derivatives(self, column: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `popglm.solve.passes.hessian.derivatives`."""
        fit, neuron = divmod(int(column), len(self.Y))
        loss = self.loss if self.nuisance is None else self.loss.given(*self.nuisance.values[column])
        return derivatives(*self.rows.derivatives(loss, fit, neuron, w, float(b)))

    def sampled_gradient(
        self, columns: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """Gradient from ``size`` random rows, with one Newton step of the intercept; from all rows for None.

        Of columns of one fit.
        """
        if size is None or not len(columns):
            return self.evaluate(columns, W, b)
        return sampled_gradient(self, columns, W, b, size, rng)


def is_fine(sums: ResponseSums, dtype: np.dtype) -> np.ndarray:
    """Whether a null loss is so far below the mean response that a difference of sums would be rounding."""
    return sums.null < FINE * np.finfo(dtype).eps * sums.mean


def spread_of(parts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Mean of mean(h)/h of columns whose h has a ``mean``, from what `window_passes.spread_sums` says of some rows.

    Infinite where these rows are unlike the rest: in a task with a period they may all lie in one phase of it.
    """
    count, average, inverse = parts
    unlike = ~((average > mean / UNLIKE) & (average < mean * UNLIKE))
    # a neuron none of whose sampled rows count has 1
    return np.where(count > 0, np.where(unlike, np.inf, np.maximum(average * inverse, 1)), 1.0)

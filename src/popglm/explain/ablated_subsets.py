"""Held-out deviance of a fitted model with the weights of some variables alone, for every subset of variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.estimators import GLMCV
from popglm.estimators.deviance_loss import deviance_loss
from popglm.solve.passes.coordinates import product64
from popglm.statistics.families.contract import Family
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps

__all__ = ["AblatedSubsets"]

#: Numbers (samples × variables × neurons) that are held at a time: 128 MB.
BLOCK = 2**24


@dataclass(frozen=True, eq=False)
class AblatedSubsets:
    """The model's folds, and the data that they are scored on.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
    y, weights : ndarray, shape (n_samples, n_neurons)
        Activity, 0 where it is not known, and the weight of every entry, 0 there.
    offset : ndarray, shape (n_samples,), or None
    splits : list of (training rows, held-out rows)
    columns : list of ndarray of int
        Of every variable.
    """

    model: GLMCV
    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    offset: np.ndarray | None
    splits: list[tuple[np.ndarray, np.ndarray]]
    columns: list[np.ndarray]

    def deviances(self) -> np.ndarray:
        """Of every subset, summed over held-out samples: (2**n_variables, n_neurons)."""
        q = self.y.shape[1]
        found = np.zeros((2 ** len(self.columns), q))
        width = max(1, BLOCK // (len(self.X) * (len(self.columns) + 1)))
        for f, (train, test) in enumerate(self.splits):
            rows = np.concatenate([train, test])
            is_test = np.arange(len(rows)) >= len(train)
            for first in range(0, q, width):
                neurons = np.arange(first, min(first + width, q))
                base, parts = self._predictors(f, neurons)
                for i, j in enumerate(neurons):
                    known = self.weights[rows, j] > 0
                    if not (known & is_test).any() or not (known & ~is_test).any():
                        continue
                    own, loss = rows[known], deviance_loss(self.model, j, f)
                    samples = _Samples(
                        loss, self.y[own, j], self.weights[own, j], is_test[known], self.model.fit_intercept
                    )
                    scorer = _ExpSums if loss.has_exp_sums else _AnyLoss
                    found[:, j] += scorer(samples, base[i, own], parts[:, i, own]).deviances()
        return found

    def products(self) -> np.ndarray:
        r"""What each variable adds to the explained squares: (n_variables + 1, n_neurons), the last what is left.

        With centred parts :math:`p_v` and the residual r of the null model, :math:`\sum p_v (2 r - \sum_u p_u)`: the
        product measure of Hoffman and of Pratt, and the Shapley value of this game, since every product of two parts is
        shared by both.
        """
        found = np.zeros((len(self.columns) + 1, self.y.shape[1]))
        for f, (train, test) in enumerate(self.splits):
            base, parts = self._predictors(f, np.arange(self.y.shape[1]))
            s, y = self.weights.T, self.y.T
            total = np.maximum(s[:, train].sum(axis=1), np.finfo(float).tiny)
            if self.model.fit_intercept:
                shift = (s * parts)[:, :, train].sum(axis=2) / total
                # the intercept goes with what no variable has
                base, parts = base + shift.sum(axis=0)[:, None], parts - shift[..., None]
            # a fold that was trained on nothing of a neuron is not scored
            held = s[:, test] * np.any(s[:, train] > 0, axis=1, keepdims=True)
            residual, parts = (y - base)[:, test], parts[..., test]
            found[:-1] += (held * parts * (2 * residual - parts.sum(axis=0))).sum(axis=2)
            found[-1] += (held * residual**2).sum(axis=1)
        return found

    def _predictors(self, f: int, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By a fold's weights: what no variable has (n_neurons, n_samples), and each variable's part, one dim more."""
        coef = self.model.cv_coef_[f][neurons]
        rest = np.setdiff1d(np.arange(self.X.shape[1]), np.concatenate(self.columns))
        base = product64(self.X[:, rest], coef[:, rest]) + self.model.cv_intercept_[f][neurons]
        if self.offset is not None:
            base += self.offset[:, None]
        parts = [np.ascontiguousarray(product64(self.X[:, own], coef[:, own]).T) for own in self.columns]
        return np.ascontiguousarray(base.T), np.stack(parts)


@dataclass(frozen=True, eq=False)
class _Samples:
    """Samples of a neuron: those that a fold was trained on, and those that it holds out."""

    loss: Family
    y: np.ndarray
    s: np.ndarray
    is_test: np.ndarray
    has_intercept: bool


class _ExpSums:
    """Under the exponential link a part is a factor, and Σμ of both kinds of samples says everything."""

    def __init__(self, samples: _Samples, base: np.ndarray, parts: np.ndarray) -> None:
        self.samples, s, y, test = samples, samples.s, samples.y, samples.is_test
        with np.errstate(over="ignore"):
            self.base, self.factors = s * np.exp(base), np.exp(parts)
        self.kinds = np.stack([~test, test]).astype(float)
        self.events = self.kinds @ (s * y)
        # Σ s y η of what is held out, of what no variable has and of each part
        weighted = s * y * test
        self.base_events, self.part_events = weighted @ base, parts @ weighted
        self.least = (s * test) @ samples.loss.saturated(y)

    def deviances(self) -> np.ndarray:
        n = len(self.factors)
        found = np.zeros(2**n)

        def visit(v: int, subset: int, mean: np.ndarray, with_events: float) -> None:
            if v == n:
                found[subset] = self._deviance(mean, with_events, subset == 2**n - 1)
                return
            visit(v + 1, subset, mean, with_events)
            with np.errstate(over="ignore"):
                visit(v + 1, subset | 1 << v, mean * self.factors[v], with_events + self.part_events[v])

        visit(0, 0, self.base, float(self.base_events))
        return found

    def _deviance(self, mean: np.ndarray, with_events: float, is_full: bool) -> float:
        expected, shift = self.kinds @ mean, 0.0
        # the intercept of the whole model is the best one already
        if self.samples.has_intercept and not is_full and self.events[0] > 0 and 0 < expected[0] < np.inf:
            shift = np.log(self.events[0] / expected[0])
        loss = expected[1] * np.exp(shift) - with_events - shift * self.events[1]
        return 2 * (loss - self.least)


class _AnyLoss:
    """Every subset's predictor, and the intercept that goes with it, from the predictor of a smaller one."""

    def __init__(self, samples: _Samples, base: np.ndarray, parts: np.ndarray) -> None:
        self.samples, self.base, self.parts = samples, base, parts
        train = ~samples.is_test
        self.y, self.s = samples.y[train], samples.s[train]
        self.total = np.atleast_1d(self.s.sum())
        self.mean = np.atleast_1d(self.s @ self.y) / np.maximum(self.total, np.finfo(float).tiny)

    def deviances(self) -> np.ndarray:
        n = len(self.parts)
        found = np.zeros(2**n)

        def visit(v: int, subset: int, eta: np.ndarray, shift: float) -> None:
            if v == n:
                shift = 0.0 if subset == 2**n - 1 else self._shift(eta, shift)
                test = self.samples.is_test
                unit = self.samples.loss.deviance(eta[test] + shift, self.samples.y[test])
                found[subset] = self.samples.s[test] @ unit
                return
            visit(v + 1, subset, eta, shift)
            visit(v + 1, subset | 1 << v, eta + self.parts[v], shift)

        visit(0, 0, self.base, 0.0)
        return found

    def _shift(self, eta: np.ndarray, start: float) -> float:
        """What goes to the intercept: it has no penalty, and is the best for the training samples."""
        if not self.samples.has_intercept or not len(self.y):
            return 0.0
        loss, eta = self.samples.loss, eta[~self.samples.is_test]
        lowest = np.array([-np.inf])
        steps = InterceptSteps(loss, np.dtype(float), np.array([start]), lowest, self.mean, self.total)
        for _ in range(MAX_STEPS):
            r, h = loss.derivatives(np, eta + steps.b, self.y)
            steps.take(*(np.atleast_1d(self.s @ part) for part in (r, h, np.abs(r))))
            if not steps.moving.any():
                break
        return float(steps.b[0]) if np.isfinite(steps.b[0]) else 0.0

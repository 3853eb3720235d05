"""What a fitted population predicts, and how well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_fitted
from popglm.engines import Engine, get_engine, library_of, like
from popglm.engines.memory import in_halves
from popglm.estimators.attributes import Attributes
from popglm.estimators.deviance_loss import deviance_loss, fitted_loss
from popglm.estimators.features import check_features
from popglm.estimators.validation import (
    check_offset,
    check_responses,
    check_weights,
    name_neurons,
    over_neurons,
)
from popglm.labels import Rows, column_text, row_labels
from popglm.solve.passes.coordinates import product64
from popglm.solve.sparse.rows import SparseRows, parts_of, some_rows
from popglm.solve.stream import RowStream, read_rows
from popglm.statistics.families import Family
from popglm.statistics.responses import response_sums
from popglm.statistics.selection import fraction_explained
from popglm.warnings import PopglmWarning, warn

__all__ = ["Predictions", "means_on_device"]

#: Rows that are predicted at a time.
ROWS = 4096


class Predictions(Attributes):
    """What `GLM` and `GLMCV` do with new data."""

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """Mean response μ.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
            Columns with names may stand in any order.
        offset : float or array-like, shape (n_samples,), optional
            Added to the linear predictor. A model that was fitted with one needs it; 0 asks for none.

        Returns
        -------
        ndarray, shape (n_samples, n_neurons), or (n_samples,) after a fit to a 1-D response
            In the units of Y, in the type of X; in float64 if that is float32 and Gaussian activity lies so far from 0
            that float32 would round it by more than 1e-4 of its deviation. For a tensor of PyTorch, TensorFlow or JAX,
            one of the same kind and device.
            A neuron that the fit knew in no sample has no mean to predict: that of its null model is an arbitrary
            number, and `null_fitted_` says which neurons these models stand for.

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, or holds NaN or inf; if the model was fitted with an offset and none
            is given.

        Warns
        -----
        PopglmWarning
            If a mean is infinite: X or the offset is far outside of what was fitted. It stays in the result.
        """
        self._check_weights("predict")
        values = check_features(self, X, reset=False)
        offset = check_offset(self, offset, len(values), Rows(row_labels(X)), "predict")
        coef = np.atleast_2d(self.coef_)
        mu = self._mean(X, values, coef, np.atleast_1d(self.intercept_), offset)
        self._warn_of_infinite(mu, values, coef, offset, "predict")
        return like(mu[:, 0] if self._one_neuron else mu, X, exact=mu.dtype != values.dtype)

    def _check_weights(self, who: str) -> None:
        check_fitted(self, "lambda_index_", who)
        if self.coef_path_ is None:
            raise ValueError(
                f"{who}: this model was fitted with refit=False and has no weights for new data; use refit=True."
            )

    def evaluate(self, X: Any, Y: Any, sample_weight: Any = None, offset: Any = None) -> pd.DataFrame:
        """Deviance of every neuron on data.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features)
        Y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            NaN samples are left out. Neurons with names may stand in any order.
        sample_weight, offset : array-like, optional
            As in `fit`, of these samples. An offset is needed if the model was fitted with one; 0 asks for none.

        Returns
        -------
        DataFrame
            Indexed by neuron: ``deviance_explained`` (fraction, 0 where the null deviance is 0), ``deviance`` and
            ``null_deviance`` (summed over samples; the null model is the mean of these samples). NaN where a neuron was
            recorded in no sample that counts. Of a family with parameters both are at ``deviance_parameters_``.

        Raises
        ------
        TypeError, ValueError
            If X has other columns, Y other neurons than in `fit`, or the rows of the arguments other labels.
        """
        return self._evaluate("evaluate", X, Y, sample_weight, offset)

    def _evaluate(self, who: str, X: Any, Y: Any, sample_weight: Any, offset: Any) -> pd.DataFrame:
        """`evaluate` for ``who`` asks, in whose name it complains."""
        self._check_weights(who)
        values = check_features(self, X, reset=False)
        rows = Rows(row_labels(X))
        offset = check_offset(self, offset, len(values), rows, who)
        eta = self._predictor(values, np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_), offset)
        deviance, null = self._deviances(eta[None], Y, sample_weight, rows)
        return pd.DataFrame(
            {
                "deviance_explained": fraction_explained(deviance[0], null),
                "deviance": deviance[0],
                "null_deviance": null,
            },
            index=pd.Index(self.neuron_names_, name="neuron"),
        )

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Fraction deviance explained, averaged over the neurons recorded there; arguments as in `evaluate`."""
        return float(self._evaluate("score", X, y, sample_weight, offset)["deviance_explained"].mean())

    def _mean(self, X: Any, values: np.ndarray, coef: np.ndarray, intercept: np.ndarray, offset: Any) -> np.ndarray:
        """Mean response of checked ``values``, in the library of X; X as it was given."""
        if isinstance(values, RowStream) and not isinstance(values, SparseRows):
            blocks = (
                self._mean(rows, rows, coef, intercept, None if offset is None else offset[first:last])
                for first, last, rows in read_rows(values)
            )
            return np.concatenate(list(blocks))
        device = self.device[0] if isinstance(self.device, list | tuple) else self.device
        engine = get_engine(self.engine, device, values.dtype.name, X)
        if isinstance(values, SparseRows) or not engine.is_accelerator:
            mu, link = np.empty((len(values), len(coef)), self._type_of_means(values)), fitted_loss(self).link
            for a in range(0, len(values), ROWS):
                at = slice(a, a + ROWS)
                eta = self._eta(some_rows(values, at), coef, intercept, None if offset is None else offset[at])
                with np.errstate(over="ignore"):
                    mu[at] = link.mean(np, eta)
            return mu
        # in float32 the columns are centred first: the large parts of two terms must not be left to cancel
        center = values.mean(axis=0, dtype=float).astype(values.dtype)
        intercept = intercept + coef.astype(float) @ center.astype(float)
        # where X is in the engine's library already, it need not travel again
        data = X if library_of(X) == engine.name else values
        exact = self._type_of_means(values) != values.dtype
        return means_on_device(engine, fitted_loss(self), data, center, coef, intercept, offset, exact)

    def _type_of_means(self, X: np.ndarray) -> np.dtype:
        """Type of predictions: that of X, unless float32 cannot tell the values of the activity apart."""
        return np.dtype(float) if getattr(self, "_far_from_zero", False) else X.dtype

    def _eta(self, X: np.ndarray, coef: np.ndarray, intercept: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
        """η (n_samples, n_neurons) in float64: a column of large mean would leave float32 none of its digits."""
        eta = product64(X, coef) + intercept
        return eta if offset is None else eta + offset[:, None]

    def _predictor(self, X: Any, coef: np.ndarray, intercept: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
        """`_eta`, block by block where X is a stream."""
        blocks = (
            self._eta(rows, coef, intercept, None if offset is None else offset[first:last])
            for first, last, rows in parts_of(X)
        )
        return np.concatenate(list(blocks))

    def _warn_of_infinite(self, mu: np.ndarray, X: Any, coef: np.ndarray, offset: np.ndarray | None, who: str) -> None:
        """Count infinite means, and name what the first of them comes from."""
        infinite = np.isinf(mu)
        if not infinite.any():
            return
        row, neuron = (int(index) for index in np.argwhere(infinite)[0])
        x = np.asarray(X[row : row + 1])[0].astype(float)
        parts = x * coef[neuron]
        column = int(np.abs(parts).argmax())
        cause = f"column {column} of X is {x[column]:g}"
        if (names := getattr(self, "feature_names_in_", None)) is not None:
            cause = f"column {column_text(names[column])!r} of X is {x[column]:g}"
        if offset is not None and abs(offset[row]) > abs(parts[column]):
            cause = f"the offset is {offset[row]:g}"
        warn(
            f"{who}: the mean is infinite in {infinite.any(axis=1).sum()} of {len(mu)} samples, for "
            f"{infinite.any(axis=0).sum()} of {mu.shape[1]} neurons, first in row {row} for "
            f"{self.neuron_names_[neuron]}, where {cause}: far outside of what was fitted.",
            PopglmWarning,
        )

    def _deviances(self, etas: Any, Y: Any, sample_weight: Any, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Deviance (n_etas, n_neurons) of every linear predictor, and null deviance (n_neurons,)."""
        etas = iter(etas)
        first = next(etas)
        responses = check_responses(Y, len(first), self.loss_, name_neurons(Y), rows, self)
        weights = check_weights(sample_weight, len(first), self.neuron_names_, rows)
        counted = ~np.isnan(responses)
        s = counted * over_neurons(weights)
        y = np.where(counted, responses, 0.0)
        total = []
        loss = deviance_loss(self)
        for eta in (first, *etas):
            unit = loss.deviance(eta, y)
            total.append(np.where(s > 0, s * np.where(s > 0, unit, 0), 0).sum(axis=0))
        parameters = np.stack([*self.deviance_parameters_.values()], axis=1) if self.loss_.parameters else None
        sums = response_sums(self.loss_, y.T, s.T, [(0, len(y))], parameters=parameters)
        known = (s > 0).any(axis=0)
        return np.where(known, total, np.nan), np.where(known, 2 * sums.null * sums.total, np.nan)


def means_on_device(
    engine: Engine,
    loss: Family,
    X: Any,
    center: np.ndarray,
    coef: np.ndarray,
    intercept: np.ndarray,
    offset: np.ndarray | None,
    exact: bool,
) -> np.ndarray:
    """Means (n_samples, n_neurons) at (X − center) coefᵀ + intercept + offset, in parts where the device has no room.

    ``exact``: in float64, but for the products.
    """
    xp, place = engine.xp, engine.asarray
    placed = loss.given(*(place(np.asarray(getattr(loss, own.name))) for own in loss.parameters)).link

    def mean(rows: np.ndarray) -> np.ndarray:
        at = slice(rows[0], rows[-1] + 1)
        eta = xp.matmul(place(X[at]) - place(center), xp.matrix_transpose(place(coef)))
        if exact:
            eta = engine.to_numpy(eta).astype(float) + intercept
            return loss.link.mean(np, eta if offset is None else eta + offset[at, None])
        eta += place(intercept)
        if offset is not None:
            eta += place(offset[at, None])
        return engine.to_numpy(placed.mean(xp, eta))

    with engine.exact_products(), np.errstate(over="ignore"):
        return in_halves(mean, np.arange(len(X)), "rows")

"""What `GLM` and `GLMCV` share: parameters to solver settings, prediction, evaluation, labelled export."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from popglm.checks import check_fitted, is_number
from popglm.engines import as_numpy, get_engine, library_of, like
from popglm.engines.memory import in_halves, memory_of_machine
from popglm.labels import Rows, column_text, row_labels
from popglm.messages import shown
from popglm.model.arguments import check_lambdas, check_verbose, feature_group_sizes
from popglm.model.convergence import late_fits
from popglm.model.leaks import warn_of_copies
from popglm.model.losses import Loss, get_loss
from popglm.model.null import FEW_EVENTS, null_models
from popglm.model.penalties import PENALTIES, Penalty
from popglm.model.progress import fit_progress
from popglm.model.selection import at_strengths, fraction_explained
from popglm.model.validation import (
    check_features,
    check_offset,
    check_reach,
    check_responses,
    check_vector,
    far_from_zero,
    has_effect,
    name_neurons,
    shape_of,
    warn_neurons,
)
from popglm.solve.coordinates import product64
from popglm.solve.first_order import FirstOrder
from popglm.solve.population import PopulationFit, Settings, fit_population
from popglm.solve.responses import response_sums
from popglm.solve.separation import can_separate, separated
from popglm.solve.stream import RowStream, read_rows
from popglm.warnings import ConvergenceWarning, PopglmWarning, warn

__all__ = ["PopulationGLM"]

SOLVERS = "'auto', 'quasi-newton', 'adam', 'sgd'"
PRECISIONS = ("float32", "tf32", "float64")
#: Rows that are predicted at a time.
ROWS = 4096


class PopulationGLM(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of `GLM` and `GLMCV`; see there."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.positive_only = self.family != "gaussian"
        # a plain regressor's score on arbitrary data says little about a model of counts or events
        tags.regressor_tags.poor_score = self.family != "gaussian"
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        # the training data is kept by reference for predict_held_out(); a pickle need not carry it
        state.pop("_X_fit", None)
        return state

    def _settings(self, X: Any, n_features: int, n_neurons: int) -> Settings:
        loss = get_loss(self.family, self.inverse_link)
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty={self.penalty!r} is unknown; use one of {', '.join(PENALTIES)}.")
        self._check_number("smoothness", 0)
        self._check_number("tol", 0, strict=True)
        self._check_number("max_iter", 1, whole=True)
        self._check_number("n_lambdas", 1, whole=True)
        self._check_number("lambda_min_ratio", 0, strict=True)
        if self.lambda_min_ratio >= 1:
            raise ValueError(f"lambda_min_ratio={shown(self.lambda_min_ratio)} must lie between 0 and 1.")
        if self.l1_ratio is not None:
            self._check_number("l1_ratio", 0)
            if self.l1_ratio > 1:
                raise ValueError(f"l1_ratio={shown(self.l1_ratio)} must lie between 0 and 1.")
            if self.penalty in ("none", "ridge", "lasso"):
                raise ValueError(
                    f"l1_ratio={shown(self.l1_ratio)} has no effect under penalty={self.penalty!r}; use "
                    "penalty='elastic_net' or 'group_lasso'."
                )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
        grouped = self.penalty == "group_lasso" or self.smoothness > 0
        sizes, names = feature_group_sizes(self.feature_groups, X, n_features, grouped)
        self.feature_group_sizes_, self.feature_group_names_ = sizes, names
        penalty = Penalty.make(self.penalty, self.l1_ratio, self.smoothness, sizes)
        if self.penalty == "none":
            if self.lambdas is not None and check_lambdas(self.lambdas, self.neuron_names_).any():
                raise ValueError("lambdas has no effect under penalty='none'; leave it None or choose a penalty.")
            lambdas = np.zeros((1, n_neurons))
        else:
            lambdas = None if self.lambdas is None else check_lambdas(self.lambdas, self.neuron_names_)
        return Settings(
            loss, penalty, lambdas, self.n_lambdas, self.lambda_min_ratio, bool(self.fit_intercept), self.tol,
            self.max_iter, self._first_order(loss),
        )  # fmt: skip

    def _check_memory(self, settings: Settings, n_features: int, n_neurons: int, n_fits: int) -> None:
        """Complain of paths that no memory holds, before they are walked."""
        n_lambdas = settings.n_lambdas if settings.lambdas is None else len(settings.lambdas)
        needed = 4 * n_lambdas * n_neurons * (n_features + 8) * max(n_fits, 1)
        memory = memory_of_machine()
        if needed > memory:
            raise ValueError(
                f"n_lambdas={n_lambdas} strengths of {n_neurons} neurons and {n_features} columns in {n_fits} fits "
                f"take {needed / 1e9:.3g} GB of weights; this machine has {memory / 1e9:.3g} GB. Use fewer strengths."
            )

    def _check_number(self, name: str, low: float, strict: bool = False, whole: bool = False) -> None:
        value = getattr(self, name)
        if not is_number(value, whole):
            raise ValueError(f"{name}={shown(value)} must be {'an integer' if whole else 'a finite number'}.")
        if value < low or (strict and value == low):
            raise ValueError(f"{name}={shown(value)} must be {'above' if strict else 'at least'} {low}.")

    def _check_names(self) -> None:
        """Complain of settings that are no names; whether there is such a name is asked where it is used."""
        for name in ("family", "penalty", "precision", "inverse_link"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "inverse_link" and value is None):
                raise ValueError(f"{name}={shown(value)} is unknown; it must be the name of one, as text.")
        check_verbose(self.verbose)

    def _check_flag(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, bool | np.bool_ | int | np.integer) or value not in (0, 1):
            raise ValueError(f"{name}={shown(value)} must be True or False.")

    def _first_order(self, loss: Loss) -> FirstOrder | None:
        """The optimiser asked for; quasi-Newton (None) for ``"auto"`` unless the loss has kinks."""
        if not isinstance(self.solver, str | FirstOrder):
            raise ValueError(f"solver={shown(self.solver)} is unknown; use {SOLVERS} or a popglm.FirstOrder.")
        match self.solver:
            case "auto":
                return None if loss.smooth else FirstOrder("adam")
            case "quasi-newton" if loss.smooth:
                return None
            case "adam" | "sgd":
                return FirstOrder(self.solver)
            case FirstOrder():
                return self.solver
        if self.solver == "quasi-newton":
            raise ValueError(
                "solver='quasi-newton' needs a smooth loss; with inverse_link='relu' use 'auto' or 'adam'."
            )
        raise ValueError(f"solver={shown(self.solver)} is unknown; use {SOLVERS} or a popglm.FirstOrder.")

    def _fit(self, X, Y, splits_of, sample_weight, offset, refit, start=None) -> tuple[PopulationFit, np.ndarray]:
        """Check, fit, warn; sets the attributes that both estimators have. For ``start`` see `fit_population`."""
        began = time.perf_counter()
        if Y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        self._check_names()
        self._check_flag("fit_intercept")
        values = check_features(self, X, reset=True)
        rows = Rows(row_labels(X))
        self.neuron_names_ = name_neurons(Y)
        self._one_neuron = len(shape_of(Y)) == 1
        responses = check_responses(Y, len(values), self.family, self.neuron_names_, rows)
        if len(values) < 2:
            raise ValueError(f"Found n_samples={len(values)}: a fit needs at least 2 samples.")
        warn_of_copies(X, values, responses, self.neuron_names_)
        weights = check_vector(sample_weight, "sample_weight", len(values), non_negative=True, rows=rows)
        offset = check_vector(offset, "offset", len(values), rows=rows)
        settings = self._settings(X, values.shape[1], responses.shape[1])
        check_reach(offset, responses, settings.loss, settings.fit_intercept)
        splits = splits_of(len(values), rows, responses)
        self.fitted_with_offset_ = has_effect("offset", offset)
        self.fitted_with_sample_weight_ = has_effect("sample_weight", weights)
        self._far_from_zero = self.family == "gaussian" and far_from_zero(responses)
        self._row_labels = rows.labels
        self._check_memory(settings, values.shape[1], responses.shape[1], len(splits) + int(refit))
        n_lambdas = settings.n_lambdas if settings.lambdas is None else len(settings.lambdas)
        devices = self.device if isinstance(self.device, list | tuple) else [self.device]
        if not devices:
            raise ValueError("device is an empty list; name at least one device, or None.")
        engine, *shares = (
            get_engine(self.engine, name, self.precision, [X, Y, sample_weight, offset])
            for name in (devices[0], *(devices if len(devices) > 1 else ()))
        )
        checked = time.perf_counter()
        n_fits = len(splits) + int(refit)
        # what overflows on the way shows in a certificate, and so in a warning that names the neuron
        quiet = np.errstate(all="ignore")
        with quiet, engine.session(), fit_progress(self.verbose, responses.shape[1], n_lambdas, n_fits) as advance:
            fit = fit_population(
                engine, values, responses, weights, offset, splits, settings, refit, advance, start, shares
            )
        self.timings_ = {"check": checked - began, **fit.seconds, "total": time.perf_counter() - began}
        shared = self.penalty == "none" or (self.lambdas is not None and np.ndim(as_numpy(self.lambdas)) < 2)
        self.lambdas_ = fit.lambdas[:, 0].copy() if shared else fit.lambdas
        self._lambda_grid = fit.lambdas
        self.coef_path_, self.intercept_path_ = (fit.coef, fit.intercept) if refit else (None, None)
        self.gap_, self.n_iter_ = fit.gap, fit.n_iter
        self.loss_path_ = fit.objective
        self.null_fitted_ = ~fit.fittable
        null = null_models(settings.loss, responses, weights, offset, splits, settings.fit_intercept)
        self.null_intercept_, self.n_events_, self.null_margin_ = null.intercept, null.n_events, null.margin
        if splits:
            self.cv_null_intercept_, self.cv_null_model_deviance_ = null.cv_intercept, null.cv_deviance
        self.trace_ = pd.DataFrame(
            [(k, total / max(fit.fittable.sum(), 1)) for k, totals in enumerate(fit.trace) for total in totals],
            columns=["strength", "objective"],
        )
        self._warn(fit)
        self._warn_separated(settings, values, responses, weights, fit, splits, refit)
        self._X_fit = X
        return fit, responses

    def _warn(self, fit: PopulationFit) -> None:
        names = self.neuron_names_
        null = np.flatnonzero(~fit.fittable)
        warn_neurons(
            "Fitted as the null model, since their activity is missing, constant, silent or a single event",
            null,
            names,
        )
        in_fold = np.flatnonzero(fit.fittable & ~fit.cv_fittable.all(axis=0)) if len(fit.cv_fittable) else null[:0]
        warn_neurons(
            "Fitted as the null model in some fold, where they are constant, silent or fire once",
            in_fold,
            names,
        )
        few = np.flatnonzero(fit.fittable & (self.n_events_ < FEW_EVENTS) & (self.family != "gaussian"))
        if len(few):
            warn(
                f"{len(few)} of {len(names)} neurons have fewer than {FEW_EVENTS} samples with activity (at least "
                f"{self.n_events_[few].min()}): too few to say much about what drives them.",
                PopglmWarning,
            )

    def _warn_of_late_fits(self, fit: PopulationFit, refit: bool) -> None:
        """Tell of fits that are not certified, once strengths are selected."""
        gaps = np.concatenate([fit.gap[None], fit.cv_gap])
        counted = np.arange(gaps.shape[1])[:, None] < fit.n_fitted
        late = ~(gaps <= self.tol) & counted
        late[0] &= refit
        if late.any():
            sentence = late_fits(late, gaps, self._lambda_grid, self.lambda_index_, self.neuron_names_)
            warn(
                f"Not within tol={self.tol:g} of the minimum after max_iter={self.max_iter} steps, or as far as "
                f"precision='{self.precision}' goes: {sentence} Raise max_iter or tol, or use precision='float64'.",
                ConvergenceWarning,
            )

    def _warn_separated(self, settings: Settings, X, Y, weights, fit: PopulationFit, splits, refit: bool) -> None:
        """Name neurons that have no best weights without a penalty."""
        free = (fit.lambdas == 0).any(axis=0) & fit.fittable
        if not free.any() or settings.penalty.R is not None or not can_separate(settings.loss):
            return
        neurons = np.flatnonzero(free)
        counted = ~np.isnan(Y[:, neurons])
        if weights is not None:
            counted &= weights[:, None] > 0
        parts = [np.arange(len(Y)), *(train for train, _ in splits)]
        found = np.zeros(len(neurons), bool)
        for rows, coef in list(zip(parts, [fit.coef, *fit.cv_coef], strict=True))[not refit :]:
            inside = np.zeros((len(Y), 1), bool)
            inside[rows] = True
            found |= separated(
                settings.loss, X, Y[:, neurons], counted & inside, coef[-1, neurons].astype(float),
                settings.fit_intercept,
            )  # fmt: skip
        warn_neurons(
            "Without a penalty no finite weights are best, in the fit or in a fold: a column, or a combination, tells "
            "samples with events from those without, and its weight grows with every step (use penalty='ridge' or "
            "another, or leave out what separates them)",
            neurons[found],
            self.neuron_names_,
        )

    def __getattr__(self, name: str) -> Any:
        # only where there is no such attribute
        if name in ("coef_", "intercept_") and vars(self).get("coef_path_", self) is None:
            raise AttributeError(
                f"{name} does not exist: the model was fitted with refit=False, to its folds alone. Their weights are "
                f"in cv_{name.removesuffix('_')}_path_; use refit=True for weights of all rows."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _keep(self, index: np.ndarray) -> None:
        """Take strength ``index[j]`` for neuron j, the null model where that is the number of strengths."""
        self.lambda_index_, self.lambda_ = index, at_strengths(self._lambda_grid, index, np.inf)
        if self.coef_path_ is None:
            # those of an earlier fit
            for name in ("coef_", "intercept_"):
                vars(self).pop(name, None)
            return
        coef = at_strengths(self.coef_path_, index, 0.0)
        intercept = at_strengths(self.intercept_path_, index, self.null_intercept_)
        self.coef_ = coef[0] if self._one_neuron else coef
        self.intercept_ = float(intercept[0]) if self._one_neuron else intercept

    def _at_ends(self, explained: np.ndarray, strongest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Neurons that selected the weakest strength of their grid, and the strongest one where it is no null model.

        ``explained`` (n_neurons,) is the fraction of deviance that the selected strengths explain, ``strongest``
        (n_fits, n_neurons, n_features) has the coefficients at the first one.
        """
        grid, index = self._lambda_grid, self.lambda_index_
        fitted = ~self.null_fitted_ & (len(grid) > 1)
        first = fitted & (index == 0) & (explained > 0) & (strongest != 0).any(axis=(0, 2))
        # nothing is weaker than no penalty
        last = fitted & (index == len(grid) - 1) & (grid[-1] > 0)
        return np.flatnonzero(last), np.flatnonzero(first)

    def _warn_of_ends(self, explained: np.ndarray, strongest: np.ndarray) -> None:
        """One line about the neurons of `_at_ends`."""
        weakest, strongest = self._at_ends(explained, strongest)
        smaller = "smaller lambdas" if self.lambdas is not None else "a smaller lambda_min_ratio"
        said = [f"{len(weakest)} took the weakest ({smaller} may explain more)"] if len(weakest) else []
        said += [f"{len(strongest)} took the strongest (larger lambdas may)"] if len(strongest) else []
        if said:
            warn(
                f"The selected strength lies at an end of its grid: of {len(explained)} neurons {' and '.join(said)}.",
                PopglmWarning,
            )

    def _warn_of_floor(self, min_lambda: float) -> None:
        """Name neurons whose whole grid lies below `min_lambda`, which has no effect on them then."""
        largest = self._lambda_grid[0]
        below = np.flatnonzero(~self.null_fitted_ & (largest < min_lambda))
        if len(below):
            warn_neurons(
                f"min_lambda={min_lambda:g} lies above all strengths, the largest of which is "
                f"{largest[below].max():g}, and only that one or the null model could be selected; use larger lambdas",
                below,
                self.neuron_names_,
            )

    @property
    def _loss(self) -> Loss:
        return get_loss(self.family, self.inverse_link)

    def _mean(self, X: Any, values: np.ndarray, coef: np.ndarray, intercept: np.ndarray, offset: Any) -> np.ndarray:
        """Mean response of checked ``values``, in the library of X; X as it was given."""
        if isinstance(values, RowStream):
            blocks = (
                self._mean(rows, rows, coef, intercept, None if offset is None else offset[first:last])
                for first, last, rows in read_rows(values)
            )
            return np.concatenate(list(blocks))
        device = self.device[0] if isinstance(self.device, list | tuple) else self.device
        engine = get_engine(self.engine, device, values.dtype.name, X)
        if not engine.is_accelerator:
            mu = np.empty((len(values), len(coef)), self._type_of_means(values))
            for a in range(0, len(values), ROWS):
                at = slice(a, a + ROWS)
                eta = self._eta(values[at], coef, intercept, None if offset is None else offset[at])
                with np.errstate(over="ignore"):
                    mu[at] = self._loss.link.mean(np, eta)
            return mu
        # where X is in the engine's library already, it need not travel again
        data = X if library_of(X) == engine.name else values
        xp, place = engine.xp, engine.asarray
        # in float32 the columns are centred first: the large parts of two terms must not be left to cancel
        center = values.mean(axis=0, dtype=float).astype(values.dtype)
        intercept = intercept + coef.astype(float) @ center.astype(float)

        exact = self._type_of_means(values) != values.dtype

        def mean(rows: np.ndarray) -> np.ndarray:
            at = slice(rows[0], rows[-1] + 1)
            eta = xp.matmul(place(data[at]) - place(center), xp.matrix_transpose(place(coef)))
            if exact:
                eta = engine.to_numpy(eta).astype(float) + intercept
                return self._loss.link.mean(np, eta if offset is None else eta + offset[at, None])
            eta += place(intercept)
            if offset is not None:
                eta += place(offset[at, None])
            return engine.to_numpy(self._loss.link.mean(xp, eta))

        with engine.exact_products(), np.errstate(over="ignore"):
            return in_halves(mean, np.arange(len(values)), "rows")

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
            for first, last, rows in read_rows(X)
        )
        return np.concatenate(list(blocks))

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """Mean response μ.

        Parameters
        ----------
        X : array-like, DataFrame or tensor, shape (n_samples, n_features)
            Columns with names may stand in any order.
        offset : float or array-like, shape (n_samples,), optional
            Added to the linear predictor. A model that was fitted with one needs it; 0 asks for none.

        Returns
        -------
        ndarray, shape (n_samples, n_neurons), or (n_samples,) after a fit to a 1-D response
            In the units of Y, in the type of X; in float64 if that is float32 and Gaussian activity lies so far from 0
            that float32 would round it by more than 1e-4 of its deviation. For a tensor of PyTorch, TensorFlow or JAX,
            one of the same kind and device.

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
        sample_weight, offset : array-like, shape (n_samples,), optional
            An offset is needed if the model was fitted with one; 0 asks for none.

        Returns
        -------
        DataFrame
            Indexed by neuron: ``deviance_explained`` (fraction, 0 where the null deviance is 0), ``deviance`` and
            ``null_deviance`` (summed over samples; the null model is the mean of these samples). NaN where a neuron was
            recorded in no sample that counts.

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

    def _deviances(self, etas: Any, Y: Any, sample_weight: Any, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Deviance (n_etas, n_neurons) of every linear predictor, and null deviance (n_neurons,)."""
        etas = iter(etas)
        first = next(etas)
        responses = check_responses(Y, len(first), self.family, name_neurons(Y), rows, self.neuron_names_)
        if responses.shape[1] != len(self.neuron_names_):
            raise ValueError(f"Y has {responses.shape[1]} neurons; the model was fitted to {len(self.neuron_names_)}.")
        weights = check_vector(sample_weight, "sample_weight", len(first), non_negative=True, rows=rows)
        counted = ~np.isnan(responses)
        s = counted * (1.0 if weights is None else weights[:, None])
        y = np.where(counted, responses, 0.0)
        total = []
        for eta in (first, *etas):
            unit = self._loss.deviance(eta, y)
            total.append(np.where(s > 0, s * np.where(s > 0, unit, 0), 0).sum(axis=0))
        sums = response_sums(self._loss, y.T, s.T, [(0, len(y))])
        known = (s > 0).any(axis=0)
        return np.where(known, total, np.nan), np.where(known, 2 * sums.null * sums.total, np.nan)

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Fraction deviance explained, averaged over the neurons recorded there; arguments as in `evaluate`."""
        return float(self._evaluate("score", X, y, sample_weight, offset)["deviance_explained"].mean())

    def to_xarray(self):
        """Everything fitted as an `xarray.Dataset` with named dimensions.

        Returns
        -------
        xarray.Dataset
            Dimensions ``neuron``, ``feature``, ``strength`` and, after cross-validation, ``fold`` and ``sample``.
        """
        from popglm.io import to_dataset

        check_fitted(self, "lambda_index_", "to_xarray")
        return to_dataset(self)

    def save(self, path: Any) -> None:
        """Write the fitted model to one netCDF file, which `popglm.load` reads.

        Parameters
        ----------
        path : path-like
        """
        from popglm.io import save

        check_fitted(self, "lambda_index_", "save")
        save(self, path)

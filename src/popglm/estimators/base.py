"""What `GLM` and `GLMCV` share: the fit and its warnings, and the choice of a strength."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from popglm.checks import check_fitted
from popglm.engines import as_numpy, get_engine
from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.arguments import check_strength_index
from popglm.estimators.attributes import no_attribute
from popglm.estimators.checkpoints import about_arrays, about_folds, about_settings, kept_in
from popglm.estimators.collapse import warn_of_collapse
from popglm.estimators.convergence import late_fits
from popglm.estimators.factor_search import FactorSearch
from popglm.estimators.features import check_features
from popglm.estimators.leaks import warn_of_copies
from popglm.estimators.parameters import Parameters
from popglm.estimators.predictions import Predictions
from popglm.estimators.progress import fit_progress
from popglm.estimators.sparse_features import check_smoothness
from popglm.estimators.starts import OwnPaths, check_start
from popglm.estimators.storage import Storage
from popglm.estimators.validation import (
    as_given,
    check_reach,
    check_responses,
    check_vector,
    check_weights,
    far_from_zero,
    has_effect,
    name_neurons,
    over_neurons,
    warn_neurons,
)
from popglm.io.checkpoints import CheckpointFolder
from popglm.labels import Rows, neuron_labels, row_labels
from popglm.numbers import shape_of
from popglm.solve.factors.own_factors import fit_neurons
from popglm.solve.passes.samples import FitData
from popglm.solve.population import PopulationFit, Settings
from popglm.solve.separation import separated
from popglm.solve.snapshot import concluded
from popglm.solve.stream import RowStream, released
from popglm.statistics.closed_groups import ClosingPenalty
from popglm.statistics.families import FAMILIES, Family, get_family
from popglm.statistics.null import FEW_EVENTS, NullModels, null_models
from popglm.statistics.selection import at_strengths
from popglm.warnings import ConvergenceWarning, PopglmWarning, warn

__all__ = ["PopulationGLM"]

#: How far a number of successes may lie from a whole one, in its own size: shares of them may come in float32.
PARTS = 1e-4


class PopulationGLM(Parameters, Predictions, Storage, MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of `GLM` and `GLMCV`; see there."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        known = isinstance(self.family, str) and self.family in FAMILIES
        bounded = not (known and get_family(self.family).is_unbounded)
        tags.target_tags.positive_only = bounded
        # a plain regressor's score on arbitrary data says little about a model of counts or events
        tags.regressor_tags.poor_score = bounded
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        # the training data is kept by reference for predict_held_out(); a pickle need not carry it
        state.pop("_X_fit", None)
        return state

    def _fit(
        self, X, Y, splits_of, sample_weight, offset, refit, start=None, checkpoint=None
    ) -> tuple[PopulationFit, np.ndarray]:
        """Check, fit, warn; sets the attributes that both estimators have. For ``start`` see `check_start`."""
        began = time.perf_counter()
        folder = None if checkpoint is None else CheckpointFolder(checkpoint)
        # what a fit sets it must not find in its start
        start = copy(start) if start is self else start
        values, responses, weights, offset, rows = self._checked(X, Y, sample_weight, offset)
        check_smoothness(values, self.smoothness)
        settings = self._settings(X, values.shape[1], responses.shape[1])
        again = isinstance(start, OwnPaths)
        if again:
            settings = replace(settings, ends=start.ends, models=start.models)
            if start.closed is not None:
                settings = replace(settings, penalty=ClosingPenalty.beside(settings.penalty, closed=start.closed))
        self._keep_about(X, (values, responses, weights, offset, rows), settings.loss, told=again)
        splits = splits_of(len(values), rows, responses)
        self._check_size(settings, values.shape[1], responses.shape[1], len(splits) + int(refit))
        n_lambdas = settings.n_lambdas if settings.lambdas is None else len(settings.lambdas)
        devices = self.device if isinstance(self.device, list | tuple) else [self.device]
        if not devices:
            raise ValueError("device is an empty list; name at least one device, or None.")
        engine, *shares = (
            get_engine(self.engine, name, self.precision, [X, Y, sample_weight, offset])
            for name in (devices[0], *(devices if len(devices) > 1 else ()))
        )
        null = start.null if again else None
        if null is None:
            null = null_models(settings.loss, responses, weights, offset, splits, settings.fit_intercept)
        start = check_start(start, self, settings.loss, n_lambdas, splits, refit, null.cv_deviance)
        checked = time.perf_counter()
        n_fits = len(splits) + int(refit)
        # what overflows on the way shows in a certificate, and so in a warning that names the neuron
        quiet = np.errstate(all="ignore")
        data = FitData(engine, values, responses, weights, offset, splits)

        warn_of_collapse(self, settings, data)
        self.factor_search_ = self.adaptive_factors_ = self.cv_adaptive_factors_ = None
        settings = self._searched(settings, data, shares)
        # the fits have arrays of their own: what was made of the user's activity is not held beside these
        responses = as_given(Y, responses)
        data = data.with_activity(responses)

        def about() -> dict[str, str]:
            return self._about(settings, data, start, len(shares))

        with (
            quiet,
            released(values),
            engine.session(),
            fit_progress(self.verbose, responses.shape[1], n_lambdas, n_fits) as advance,
            kept_in(folder, about) as kept,
        ):
            more = refit, advance, start, shares, self.schedule, kept
            fit = concluded(kept, PopulationFit, lambda: self._fitted(data, settings, more))
        responses = responses.astype(float, copy=False)
        data = data.with_activity(responses)
        self.timings_ = {"check": checked - began, **fit.seconds, "total": time.perf_counter() - began}
        shared = self.penalty == "none" or (self.lambdas is not None and np.ndim(as_numpy(self.lambdas)) < 2)
        self.lambdas_ = fit.lambdas[:, 0].copy() if shared else fit.lambdas
        self.lambda_path_ = fit.lambdas
        self.loss_, self.penalty_ = settings.loss, settings.penalty
        self.coef_path_, self.intercept_path_ = (fit.coef, fit.intercept) if refit else (None, None)
        self.gap_, self.n_iter_ = fit.gap, fit.n_iter
        self.loss_path_ = fit.objective
        self.null_fitted_ = ~fit.fittable
        self._keep_null_models(null, fit.bare)
        self._keep_parameters(fit, null, refit)
        self._relax(settings, data, fit, refit)
        self.trace_ = pd.DataFrame(
            [(k, total / max(fit.fittable.sum(), 1)) for k, totals in enumerate(fit.trace) for total in totals],
            columns=["strength", "objective"],
        )
        self._warn(fit)
        self._warn_separated(settings, values, responses, weights, fit, splits, refit)
        self._X_fit = X
        return fit, responses

    def _checked(
        self, X, Y, sample_weight, offset
    ) -> tuple[Any, np.ndarray, np.ndarray | None, np.ndarray | None, Rows]:
        """X, Y, weights and offset of a fit as the solver takes them, and the labels of its rows."""
        if Y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        self._check_names()
        self._check_flag("fit_intercept")
        values = check_features(self, X, reset=True)
        rows = Rows(row_labels(X))
        self.neuron_names_, self.neurons_are_named_ = name_neurons(Y), neuron_labels(Y) is not None
        self._one_neuron = len(shape_of(Y)) == 1
        responses = check_responses(Y, len(values), self._loss(), self.neuron_names_, rows)
        if len(values) < 2:
            raise ValueError(f"Found n_samples={len(values)}: a fit needs at least 2 samples.")
        weights = check_weights(sample_weight, len(values), self.neuron_names_, rows)
        return values, responses, weights, check_vector(offset, "offset", len(values), rows=rows), rows

    def _keep_about(self, X, data: tuple, loss: Family, told: bool = False) -> None:
        """Set what is known of the data of a fit, and tell of what cannot be meant.

        ``told``: of neurons that are columns of X another fit has told already.
        """
        values, responses, weights, offset, rows = data
        if not told:
            warn_of_copies(X, values, responses, self.neuron_names_, self.feature_mask_)
        check_reach(offset, responses, loss, bool(self.fit_intercept))
        if loss.has_trials:
            self._warn_of_parts(responses, weights)
        self.fitted_with_offset_ = has_effect("offset", offset)
        self.fitted_with_sample_weight_ = has_effect("sample_weight", weights, loss.has_trials)
        self._far_from_zero = loss.is_unbounded and far_from_zero(responses)
        self.sample_labels_ = rows.labels

    def _searched(self, settings: Settings, data: FitData, shares: list) -> Settings:
        """The settings with the penalty factors that are still to be searched for; only cross-validation has some."""
        if isinstance(self.penalty_factors, FactorSearch | AdaptiveFactors):
            kind = type(self.penalty_factors).__name__
            raise ValueError(f"penalty_factors: {kind} chooses by held-out activity, which a GLM has not; use GLMCV.")
        return settings

    def _relax(self, settings: Settings, data: FitData, fit: PopulationFit, refit: bool) -> None:
        """Fit without a penalty to what was chosen; only cross-validation can tell how much of that is good."""

    def _fitted(self, data: FitData, settings: Settings, more: tuple) -> PopulationFit:
        """The fits of all neurons over all strengths; ``more`` are the other arguments of `fit_neurons`, in order."""
        return fit_neurons(data, settings, *more)

    def _about(self, settings: Settings, data: FitData, start: np.ndarray | None, n_devices: int) -> dict[str, str]:
        """What a fit is of: two of which all that is the same end with the same bits on machines of one kind."""
        engine, X, Y, weights, offset, splits = data
        arrays = {"X": X, "y": Y.astype(float, copy=False), "sample_weight": weights, "offset": offset, "start": start}
        arrays |= {"feature_groups": self.feature_group_sizes_}
        arrays |= {"feature_mask": self.feature_mask_, "penalty_factors": self.penalty_factors_}
        arrays |= {"lambdas": settings.lambdas}
        if self.feature_shapes_ is not None:
            arrays |= {"feature_shapes": settings.penalty.R}
        shares: dict[str, Any] = {"l1_ratio": settings.penalty.l1_ratio, "smoothness": settings.penalty.smoothness}
        if settings.penalty.bounds is not None:
            # as text, long arrays would be cut
            shares |= about_arrays(engine, {"constraints": settings.penalty.bounds})
        settled = about_settings(self, settings.loss, engine, n_devices, **shares)
        return about_arrays(engine, arrays) | about_folds(engine, splits) | settled

    def _keep_null_models(self, null: NullModels, bare: PopulationFit | None) -> None:
        """Set what is known of the null models, which have the columns that are never penalised where there are any."""
        self.n_events_, self.null_margin_ = null.n_events, null.margin
        self.null_intercept_, self.null_coef_ = null.intercept, None
        folds = len(null.cv_intercept) > 0
        if folds:
            self.cv_null_intercept_, self.cv_null_model_deviance_ = null.cv_intercept, null.cv_deviance
            self.cv_constant_deviance_, self.cv_null_coef_ = null.cv_deviance, None
        if bare is None:
            return
        self.null_coef_, self.null_intercept_ = bare.coef[0], bare.intercept[0]
        if folds:
            self.cv_null_coef_, self.cv_null_intercept_ = bare.cv_coef[:, 0], bare.cv_intercept[:, 0]
            self.cv_null_model_deviance_ = np.where(bare.cv_fittable, bare.cv_deviance[:, 0], null.cv_deviance)

    def _keep_parameters(self, fit: PopulationFit, null: NullModels, refit: bool) -> None:
        """Set the parameters of the family, by their names, where it has some."""

        def named(values: np.ndarray) -> dict[str, np.ndarray]:
            return {own.name: values[..., i].copy() for i, own in enumerate(self.loss_.parameters)}

        bare = fit.bare
        self.family_parameters_path_ = named(fit.parameters) if refit else {}
        self.deviance_parameters_ = named(null.parameters)
        self.null_family_parameters_ = named(null.parameters if bare is None else bare.parameters[0])
        if len(null.cv_intercept):
            self.cv_family_parameters_path_ = named(fit.cv_parameters)
            self.cv_deviance_parameters_ = named(null.cv_parameters)
            self.cv_null_family_parameters_ = named(null.cv_parameters if bare is None else bare.cv_parameters[:, 0])

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
        self._warn_of_few_events(fit.fittable)

    def _warn_of_few_events(self, fittable: np.ndarray) -> None:
        few = np.flatnonzero(fittable & (self.n_events_ < FEW_EVENTS) & self.loss_.has_events)
        if len(few):
            warn(
                f"{len(few)} of {len(self.neuron_names_)} neurons have fewer than {FEW_EVENTS} samples with activity "
                f"(at least {self.n_events_[few].min()}): too few to say much about what drives them.",
                PopglmWarning,
            )

    def _warn_of_late_fits(self, fit: PopulationFit, refit: bool) -> None:
        """Tell of fits that are not certified, once strengths are selected."""
        gaps = np.concatenate([fit.gap[None], fit.cv_gap])
        counted = np.arange(gaps.shape[1])[:, None] < fit.n_fitted
        late = ~(gaps <= self.tol) & counted
        late[0] &= refit
        if late.any():
            sentence = late_fits(late, gaps, self.lambda_path_, self.lambda_index_, self.neuron_names_)
            precise = "" if self.precision == "float64" else ", or use precision='float64'"
            warn(
                f"Not within tol={self.tol:g} of the minimum after max_iter={self.max_iter} steps, or as far as "
                f"precision='{self.precision}' goes: {sentence} Raise max_iter or tol{precise}.",
                ConvergenceWarning,
            )

    def _warn_of_parts(self, responses: np.ndarray, weights: np.ndarray | None) -> None:
        """Name neurons whose shares of successes are not of whole numbers of trials."""
        successes = np.nan_to_num(responses * over_neurons(weights))
        parts = np.abs(successes - np.round(successes)) > PARTS * np.maximum(successes, 1)
        warn_neurons(
            "Y times sample_weight is no whole number of successes in some samples; give successes / trials as Y and "
            "trials as sample_weight",
            np.flatnonzero(parts.any(axis=0)),
            self.neuron_names_,
        )

    def _warn_separated(self, settings: Settings, X, Y, weights, fit: PopulationFit, splits, refit: bool) -> None:
        """Name neurons that have no best weights without a penalty."""
        if settings.penalty.R is not None or not settings.loss.can_separate:
            return
        unpenalised = (fit.lambdas == 0).any(axis=0)
        data = X, Y, weights, fit, splits, refit
        self._name_separated(settings, np.flatnonzero(unpenalised & fit.fittable), None, *data)
        if settings.penalty.free is not None:
            self._name_separated(settings, np.flatnonzero(~unpenalised & fit.fittable), settings.penalty.free, *data)

    def _name_separated(self, settings: Settings, neurons, columns, X, Y, weights, fit, splits, refit: bool) -> None:
        """Name those neurons whose events some columns (n_features,) separate, or any of them for None."""
        if not len(neurons):
            return
        allowed, everywhere = None if settings.allowed is None else settings.allowed[:, neurons], columns is None
        bounds = settings.penalty.bounds
        if columns is not None:
            X = X.with_columns(np.flatnonzero(columns)) if isinstance(X, RowStream) else X[:, columns]
            allowed = None if allowed is None else allowed[columns]
            bounds = None if bounds is None else bounds[:, columns]
        columns = slice(None) if columns is None else columns
        counted = ~np.isnan(Y[:, neurons])
        if weights is not None:
            counted &= (weights[:, neurons] if weights.ndim == 2 else weights[:, None]) > 0
        parts = [np.arange(len(Y)), *(train for train, _ in splits)]
        found = np.zeros(len(neurons), bool)
        for rows, coef in list(zip(parts, [fit.coef, *fit.cv_coef], strict=True))[not refit :]:
            inside = np.zeros((len(Y), 1), bool)
            inside[rows] = True
            found |= separated(
                settings.loss, X, Y[:, neurons], counted & inside, coef[-1, neurons][:, columns].astype(float),
                settings.fit_intercept, allowed, bounds,
            )  # fmt: skip
        remedy = "use penalty='ridge' or another" if everywhere else "give the groups a penalty factor above 0"
        warn_neurons(
            f"Without a penalty no finite weights are best, in the fit or in a fold: a column, or a combination, tells "
            f"samples with events from those without, and its weight grows with every step ({remedy}, or leave out "
            "what separates them)",
            neurons[found],
            self.neuron_names_,
        )

    def __getattr__(self, name: str) -> Any:
        # only where there is no such attribute
        raise no_attribute(self, name)

    def take_strengths(self, lambda_index: Any) -> Self:
        """Take given strengths in place of those that were selected, without fitting.

        Parameters
        ----------
        lambda_index : int, or array-like of int, shape (n_neurons,)
            Rows of `lambda_path_`, for all neurons or for each; ``n_lambdas`` stands for the null model. A Series that
            is indexed by neurons, or a mapping from their names, may have them in any order.

        Returns
        -------
        GLM or GLMCV
            Itself, with new `coef_`, `intercept_`, `lambda_`, `lambda_index_`; after cross-validation `cv_coef_`,
            `cv_intercept_` and `cv_deviance_explained_` too.

        Raises
        ------
        ValueError
            If it is no such index.

        Examples
        --------
        >>> import numpy as np
        >>> from popglm import GLM
        >>> model = GLM(family="gaussian", lambdas=[1.0, 0.1]).fit(np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0))
        >>> model.lambda_, model.take_strengths(0).lambda_
        (array([0.1]), array([1.]))
        """
        check_fitted(self, "lambda_index_", "take_strengths")
        self._keep(check_strength_index(lambda_index, len(self.lambda_path_), self))
        return self

    def _keep(self, index: np.ndarray) -> None:
        """Take strength ``index[j]`` for neuron j, the null model where that is the number of strengths."""
        self.lambda_index_, self.lambda_ = index, at_strengths(self.lambda_path_, index, np.inf)
        if self.coef_path_ is None:
            # those of an earlier fit
            for name in ("coef_", "intercept_", "family_parameters_"):
                self.__dict__.pop(name, None)
            return
        coef = at_strengths(self.coef_path_, index, 0.0 if self.null_coef_ is None else self.null_coef_)
        intercept = at_strengths(self.intercept_path_, index, self.null_intercept_)
        self.coef_ = coef[0] if self._one_neuron else coef
        self.intercept_ = float(intercept[0]) if self._one_neuron else intercept
        self.family_parameters_ = {
            name: at_strengths(path, index, self.null_family_parameters_[name])
            for name, path in self.family_parameters_path_.items()
        }

    def _warn_of_floor(self, min_lambda: float) -> None:
        """Name neurons whose whole grid lies below `min_lambda`, which has no effect on them then."""
        largest = self.lambda_path_[0]
        below = np.flatnonzero(~self.null_fitted_ & (largest < min_lambda))
        if len(below):
            warn_neurons(
                f"min_lambda={min_lambda:g} lies above all strengths, the largest of which is "
                f"{largest[below].max():g}, and only that one or the null model could be selected; use larger lambdas",
                below,
                self.neuron_names_,
            )

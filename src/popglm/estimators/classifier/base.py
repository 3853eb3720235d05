"""What `ClassifierGLM` and `ClassifierGLMCV` share: the fit and its warnings, and the choice of a strength."""

from __future__ import annotations

import time
from copy import copy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from popglm.checks import check_fitted
from popglm.engines import Engine, get_engine
from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.arguments import check_strength_index
from popglm.estimators.attributes import no_attribute
from popglm.estimators.checkpoints import about_arrays, about_folds, about_settings, kept_in
from popglm.estimators.classifier.adaptive import adaptive_penalties, class_first_factors
from popglm.estimators.classifier.labels import check_class_weight, check_classes, weights_by_class
from popglm.estimators.classifier.offsets import check_class_offset, check_class_reach
from popglm.estimators.classifier.predictions import ClassPredictions, class_predictors
from popglm.estimators.classifier.starts import check_class_start
from popglm.estimators.classifier.storage import ClassStorage
from popglm.estimators.convergence import late_fits
from popglm.estimators.factor_search import FactorSearch
from popglm.estimators.features import check_features, check_on_one_machine
from popglm.estimators.parameters import Parameters
from popglm.estimators.progress import fit_progress
from popglm.estimators.sparse_features import check_smoothness
from popglm.estimators.validation import check_weights, has_effect, name_neurons, over_neurons, warn_neurons
from popglm.io.checkpoints import CheckpointFolder
from popglm.labels import Rows, neuron_labels, row_labels
from popglm.messages import counted, listed
from popglm.numbers import shape_of
from popglm.solve.categorical.population import CategoricalFits, Choices, fit_categorical
from popglm.solve.settings import Settings
from popglm.solve.sparse.rows import parts_of
from popglm.solve.stream import released
from popglm.statistics.categorical import SOFTMAX
from popglm.statistics.null import FEW_EVENTS
from popglm.statistics.penalties import PENALTIES, Penalty
from popglm.statistics.selection import at_strengths
from popglm.warnings import ConvergenceWarning, PopglmWarning, warn

__all__ = ["CategoricalGLM"]


class CategoricalGLM(Parameters, ClassPredictions, ClassStorage, ClassifierMixin, BaseEstimator):
    """Base of `ClassifierGLM` and `ClassifierGLMCV`; see there."""

    # what the checks of parameters ask of an estimator, and is no choice here
    family, inverse_link, power = "categorical", None, None
    solver, schedule = "auto", "host"
    # of models that were pickled before there was an offset
    fitted_with_offset_: bool | None = False
    _far_from_zero = False
    noun = "response"

    class_weight: Any
    has_class_: np.ndarray

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        # the training data is kept by reference for predict_proba_held_out(); a pickle need not carry it
        state.pop("_X_fit", None)
        return state

    def _loss(self) -> Any:
        """See `Parameters._loss`."""
        return SOFTMAX

    def _known_penalties(self) -> tuple[str, ...]:
        """See `Parameters._known_penalties`."""
        return PENALTIES

    def _fit(
        self, X: Any, y: Any, splits_of: Any, beside: tuple[Any, Any], refit: bool, start: Any, checkpoint: Any
    ) -> tuple[CategoricalFits, tuple]:
        """Check, fit, warn; sets the attributes that both estimators have. Returns codes and weights, too.

        ``beside`` are sample weights and offset.
        """
        began = time.perf_counter()
        folder = None if checkpoint is None else CheckpointFolder(checkpoint)
        # what a fit sets it must not find in its start
        start = copy(start) if start is self else start
        values, codes, weights, offset, rows = self._checked(X, y, *beside)
        check_smoothness(values, self.smoothness)
        settings = self._settings(X, values.shape[1], codes.shape[1])
        splits = splits_of(len(values), rows, codes)
        n_classes = len(self.classes_)
        self._check_size(settings, values.shape[1], codes.shape[1] * n_classes, len(splits) + int(refit))
        self.loss_ = settings.loss
        self.penalty_ = settings.penalty
        engine = self._engine([X, *beside])
        check_class_reach(offset, engine.dtype, self.classes_, self.neuron_names_)
        penalties = self._penalties_of_fits(values, (codes, weights, offset), settings, splits)
        grouped = self.penalty == "group_lasso"
        choices = Choices(values, codes, n_classes, weights, offset, splits, penalties, grouped)
        n_lambdas = settings.n_lambdas if settings.lambdas is None else len(settings.lambdas)
        n_fits = len(splits) + int(refit)
        self.sample_labels_ = rows.labels
        s = np.broadcast_to(over_neurons(weights), codes.shape)
        near = check_class_start(start, self, n_lambdas, splits, refit, codes, s)
        with (
            np.errstate(all="ignore"),
            released(values),
            engine.session(),
            fit_progress(self.verbose, codes.shape[1], n_lambdas, n_fits) as advance,
            kept_in(folder, lambda: self._about(engine, choices, settings, near)) as kept,
        ):
            fits = fit_categorical(engine, choices, settings, refit, advance, near, kept)
        self._keep_fits(fits, engine, refit)
        self.timings_ = {"total": time.perf_counter() - began}
        counted = s > 0
        self.class_samples_ = np.stack(
            [np.bincount(own[(own >= 0) & c], minlength=n_classes) for own, c in zip(codes.T, counted.T, strict=True)]
        )
        self._warn_of_classes(fits)
        parts = [np.arange(len(values)), *(train for train, _ in splits)]
        self._warn_of_separation(values, np.where(counted, codes, -1), parts, fits, refit)
        self._X_fit = X
        return fits, (codes, weights)

    def _penalties_of_fits(
        self, values: Any, labels: tuple[np.ndarray, Any, Any], settings: Settings, splits: list
    ) -> list[list[Penalty]]:
        """The penalties of all responses, in the fit to all rows and in those of the folds.

        ``labels`` are numbers of classes, weights and the offset.
        """
        codes, weights, offset = labels
        self.adaptive_factors_ = self.cv_adaptive_factors_ = None
        if not isinstance(self.penalty_factors, AdaptiveFactors):
            return [[self.penalty_of(j) for j in range(codes.shape[1])]] * (1 + len(splits))
        kinds = np.array([*self.classes_.tolist(), None], object)
        factors = class_first_factors(self, settings, values, (kinds[codes], weights, offset), splits)
        self.adaptive_factors_, self.cv_adaptive_factors_ = factors[0], factors[1:]
        return [adaptive_penalties(self.penalty_, own, self.feature_mask_) for own in factors]

    def _about(self, engine: Engine, choices: Choices, settings: Settings, start: np.ndarray | None) -> dict[str, str]:
        """What a fit is of: two of which all that is the same end with the same bits on machines of one kind."""
        arrays = {"X": choices.X, "y": choices.codes, "sample_weight and class_weight": choices.weights, "start": start}
        arrays |= {"offset": choices.offset}
        arrays |= {"feature_groups": self.feature_group_sizes_}
        arrays |= {"feature_mask": self.feature_mask_, "penalty_factors": self.penalty_factors_}
        arrays |= {"lambdas": settings.lambdas, "adaptive factors": self.adaptive_factors_}
        arrays |= {"adaptive factors of folds": self.cv_adaptive_factors_}
        if self.feature_shapes_ is not None:
            arrays |= {"feature_shapes": settings.penalty.R}
        shares = {"l1_ratio": settings.penalty.l1_ratio, "smoothness": settings.penalty.smoothness}
        settled = about_settings(self, settings.loss, engine, 1, **shares)
        return about_arrays(engine, arrays) | about_folds(engine, choices.splits) | settled

    def _engine(self, given: list[Any]) -> Engine:
        if isinstance(self.device, list | tuple):
            raise ValueError(
                f"device={self.device!r}: {type(self).__name__} works on one device; give its name, or None."
            )
        return get_engine(self.engine, self.device, self.precision, given)

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, offset: Any
    ) -> tuple[Any, np.ndarray, np.ndarray | None, np.ndarray | None, Rows]:
        """X, numbers of classes, weights and offset as the solver takes them, and the labels of the rows."""
        who = type(self).__name__
        if y is None:
            raise ValueError(f"{who} requires y to be passed, but the target y is None.")
        self._check_names()
        self._check_flag("fit_intercept")
        check_class_weight(self.class_weight)
        if isinstance(self.penalty_factors, FactorSearch):
            raise ValueError(f"penalty_factors: {who} does not search for factors; give one for every feature group.")
        if isinstance(self.penalty_factors, AdaptiveFactors) and not hasattr(self, "cv"):
            raise ValueError(
                f"penalty_factors: AdaptiveFactors choose by held-out labels, which a {who} has not; use "
                "ClassifierGLMCV."
            )
        values = check_features(self, X, reset=True)
        check_on_one_machine(values, who)
        rows = Rows(row_labels(X))
        codes, self.classes_ = check_classes(y, len(values), rows)
        self._one_neuron = len(shape_of(y)) == 1
        self.neuron_names_, self.neurons_are_named_ = name_neurons(y, "y", "response"), neuron_labels(y) is not None
        if len(values) < 2:
            raise ValueError(f"Found n_samples={len(values)}: a fit needs at least 2 samples.")
        weights = check_weights(sample_weight, len(values), self.neuron_names_, rows, "response")
        self.fitted_with_sample_weight_ = has_effect("sample_weight", weights)
        if not len(self.classes_):
            raise ValueError("y holds no label at all; give the class of some samples.")
        shift = self.offset_values(offset, len(values), rows)
        self.fitted_with_offset_ = has_effect("offset", shift)
        shift = shift if self.fitted_with_offset_ else None
        return values, codes, weights_by_class(self.class_weight, codes, self.classes_, weights), shift, rows

    def offset_values(self, offset: Any, n_samples: int, rows: Rows | None) -> np.ndarray | None:
        """See `Attributes.offset_values`; shape (n_samples, n_classes) or (n_samples, n_responses, n_classes)."""
        return check_class_offset(offset, n_samples, rows, self.classes_, self.neuron_names_)

    def _keep_fits(self, fits: CategoricalFits, engine: Engine, refit: bool) -> None:
        """Set what the solver found."""
        shared = self.penalty == "none" or (self.lambdas is not None and np.ndim(np.asarray(self.lambdas)) < 2)
        self.lambdas_ = fits.lambdas[:, 0].copy() if shared else fits.lambdas
        self.lambda_path_ = fits.lambdas
        coef = fits.coef.astype(engine.dtype)
        self.coef_path_, self.intercept_path_ = (coef[0], fits.intercept[0]) if refit else (None, None)
        self.gap_, self.n_iter_, self.loss_path_ = fits.gap[0], fits.n_iter[0], fits.objective[0]
        self.class_counts_, self.has_class_ = fits.counts[0], fits.counts[0] > 0
        self.null_fitted_ = ~fits.fittable[0]
        self.null_intercept_, self.null_coef_ = fits.null_intercept[0], fits.null_coef[0].astype(engine.dtype)

    def _warn_of_classes(self, fits: CategoricalFits) -> None:
        """Name responses with nothing to tell apart, and those whose classes are few or lacking in a fold."""
        names, fittable, there = self.neuron_names_, fits.fittable, fits.counts > 0
        warn_neurons(
            "Fitted as the null model, since they are of one class, or known nowhere",
            np.flatnonzero(~fittable[0]),
            names,
        )
        lacking = there[0] & ~there[1:].all(axis=0) if len(there) > 1 else np.zeros_like(there[0])
        if lacking.any():
            some = listed(f"{self.classes_[k]!s} of {names[j]}" for j, k in np.argwhere(lacking))
            lost = counted(int(lacking.sum()), "class", "classes")
            warn(
                f"Some fold has no training sample of {lost}, and does not score such samples: {some}. Use fewer "
                "folds, folds that all have every class, or merge rare classes.",
                PopglmWarning,
            )
        rare = there[0] & (self.class_samples_ < FEW_EVENTS) & fittable[0][:, None]
        if rare.any():
            j, k = np.argwhere(rare)[0]
            few = counted(int(rare.sum()), "class has", "classes have")
            warn(
                f"{few} fewer than {FEW_EVENTS} samples, such as {self.classes_[k]!s} of {names[j]}: too few to say "
                "much about what predicts them.",
                PopglmWarning,
            )

    def _warn_of_separation(
        self, X: Any, codes: np.ndarray, parts: list[np.ndarray], fits: CategoricalFits, refit: bool
    ) -> None:
        """Name responses whose classes a fit without a penalty tells apart in all of its rows."""
        free = np.flatnonzero((fits.lambdas[-1] == 0) & fits.fittable[0])
        if not len(free):
            return
        right = fits.fittable[:, free].copy()
        right[0] &= refit
        inside = np.zeros((len(parts), len(codes)), bool)
        for f, rows in enumerate(parts):
            inside[f, rows] = True
        for first, last, block in parts_of(X):
            own = codes[first:last, free]
            for f, counts in enumerate(inside[:, first:last]):
                most = class_predictors(block, fits.coef[f, -1, free], fits.intercept[f, -1, free]).argmax(axis=2)
                right[f] &= ((most == own) | (own < 0) | ~counts[:, None]).all(axis=0)
        found = right.any(axis=0)
        warn_neurons(
            "Without a penalty no finite weights are best, in the fit or in a fold: some tell all samples of unlike "
            "classes apart, and grow with every step (use penalty='ridge' or another, or leave out what separates "
            "them)",
            free[found],
            self.neuron_names_,
        )

    def _warn_of_late_fits(self, fits: CategoricalFits, refit: bool) -> None:
        """Tell of fits that are not certified."""
        gaps = fits.gap
        late = ~(gaps <= self.tol) & (np.arange(gaps.shape[1])[:, None] < fits.n_fitted)
        late[0] &= refit
        if late.any():
            sentence = late_fits(late, gaps, self.lambda_path_, self.lambda_index_, self.neuron_names_, "response")
            precise = "" if self.precision == "float64" else ", or use precision='float64'"
            warn(
                f"Not within tol={self.tol:g} of the minimum after max_iter={self.max_iter} steps, or as far as "
                f"precision='{self.precision}' goes: {sentence} Raise max_iter or tol{precise}.",
                ConvergenceWarning,
            )

    def __getattr__(self, name: str) -> Any:
        # only where there is no such attribute
        raise no_attribute(self, name)

    def take_strengths(self, lambda_index: Any) -> Self:
        """Take given strengths in place of those that were selected, without fitting.

        Parameters
        ----------
        lambda_index : int, or array-like of int, shape (n_responses,)
            Rows of `lambda_path_`, for all responses or for each; ``n_lambdas`` stands for the null model.

        Returns
        -------
        ClassifierGLM or ClassifierGLMCV
            Itself, with new `coef_`, `intercept_`, `lambda_`, `lambda_index_`.

        Raises
        ------
        ValueError
            If it is no such index.
        """
        check_fitted(self, "lambda_index_", "take_strengths")
        self._keep(check_strength_index(lambda_index, len(self.lambda_path_), self))
        return self

    def _keep(self, index: np.ndarray) -> None:
        """Take strength ``index[j]`` for response j, the null model where that is the number of strengths."""
        self.lambda_index_, self.lambda_ = index, at_strengths(self.lambda_path_, index, np.inf)
        if self.coef_path_ is None:
            # those of an earlier fit
            for name in ("coef_", "intercept_"):
                self.__dict__.pop(name, None)
            return
        coef = at_strengths(self.coef_path_, index, self.null_coef_)
        intercept = at_strengths(self.intercept_path_, index, self.null_intercept_)
        self.coef_, self.intercept_ = (coef[0], intercept[0]) if self._one_neuron else (coef, intercept)

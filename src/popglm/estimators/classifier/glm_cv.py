"""`ClassifierGLMCV`: paths of all rows and of every fold, and a strength per response."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_fitted
from popglm.engines import like
from popglm.estimators.arguments import check_rule
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.classifier.predictions import class_predictors, null_class_deviances, shares_of
from popglm.estimators.features import check_features
from popglm.estimators.grid_ends import at_ends, warn_of_ends
from popglm.estimators.splits import check_folds
from popglm.estimators.validation import check_offset, over_neurons, warn_neurons
from popglm.labels import Rows
from popglm.solve.settings import Settings
from popglm.solve.sparse.rows import parts_of, some_rows
from popglm.statistics.ends import Patience
from popglm.statistics.selection import at_strengths, fraction_explained, select_strengths

__all__ = ["ClassifierGLMCV"]


class ClassifierGLMCV(CategoricalGLM):
    """Softmax regression of categorical responses, with a strength per response by cross-validation over trials.

    Every response takes the strength with the least held-out deviance, −2 log likelihood of its labels, or the null
    model where none is better than the classes' frequencies.

    Parameters
    ----------
    penalty, l1_ratio, smoothness, feature_groups, feature_mask, lambdas, n_lambdas, lambda_min_ratio
        As in `ClassifierGLM`.
    penalty_factors : optional
        As in `ClassifierGLM`; or `AdaptiveFactors`, which each fit has from a first fit to its own rows.
    fit_intercept, class_weight, tol, max_iter, engine, device, precision, verbose, feature_shapes
        As in `ClassifierGLM`. Held-out samples count by their weights and those of their classes, too, also in
        `breakdown`; not in `evaluate` and `score`.
    cv : int, scikit-learn splitter, or iterable of (train, test)
        As in `GLMCV`. A splitter is given the numbers of the classes as y, so that ``StratifiedGroupKFold`` works for a
        single response.
    se_fraction, min_lambda : float
        As in `GLMCV`: 1 for the one-standard-error rule.
    refit : bool
        Whether to fit all rows, too.
    patience : int, optional
        As in `GLMCV`: a response goes down to so many strengths in a row whose held-out deviance is above the best one
        by more than its standard error, and no further. Unless given it goes down the whole path. All fits of a
        response descend together then, and their local models lie in memory side by side.

    Attributes
    ----------
    cv_deviance_ : ndarray, shape (n_folds, n_lambdas, n_responses)
        Of held-out samples. A fold does not score samples of a class that none of its training rows has: their
        probability would be 0. A warning names these.
    cv_deviance_explained_ : ndarray, shape (n_responses,)
        Fraction of the held-out deviance that the selected strengths explain. The null model has the frequencies of the
        scored samples.
    cv_deviance_explained_path_ : ndarray, shape (n_lambdas, n_responses)
    cv_null_deviance_ : ndarray, shape (n_responses,)
    cv_null_model_deviance_, cv_constant_deviance_ : ndarray, shape (n_folds, n_responses)
        Of the folds' null models, and of the frequencies in their training rows, which know of no offset.
    cv_coef_path_ : ndarray, shape (n_folds, n_lambdas, n_responses, n_classes, n_features)
    cv_intercept_path_ : ndarray, shape (n_folds, n_lambdas, n_responses, n_classes)
    cv_coef_, cv_intercept_ : ndarray
        At the selected strengths.
    cv_class_counts_ : ndarray, shape (n_folds, n_responses, n_classes)
        Summed weights of the training samples of every class.
    cv_gap_, cv_n_iter_ : ndarray, shape (n_folds, n_lambdas, n_responses)
    adaptive_factors_, cv_adaptive_factors_ : ndarray, or None
        With `AdaptiveFactors`, penalty factors of every column, (n_features, n_responses), of all rows, and of the
        folds; infinite where a column was left out.
    n_lambdas_fitted_ : ndarray of int, shape (n_responses,)
        Strengths that a response went down to: all of them without `patience`.
    fold_ : ndarray of int, shape (n_samples,)
        Fold that holds a sample out; −1 for none.
    classes_, coef_, intercept_, lambda_, and the others
        As in `ClassifierGLM`.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((900, 3))
    >>> drive = np.column_stack([2 * X[:, 0], -2 * X[:, 0], 0 * X[:, 0]]) + rng.gumbel(size=(900, 3))
    >>> choice = np.array(["left", "right", "none"])[drive.argmax(axis=1)]
    >>> model = pg.ClassifierGLMCV(penalty="group_lasso", feature_groups=["cue", "speed", "time"])
    >>> model.fit(X, choice, groups=np.arange(900) // 10).cv_deviance_explained_.round(1)
    array([0.4])
    >>> pg.breakdown(model, X, choice).fraction_explained_deviance.sel(neuron="neuron0").to_series().round(1) + 0
    variable
    cue      1.0
    speed    0.0
    time     0.0
    Name: fraction_explained_deviance, dtype: float64
    """

    def __init__(
        self,
        penalty: str = "ridge",
        l1_ratio: float | None = None,
        smoothness: float = 0.0,
        feature_groups: Any = None,
        feature_mask: Any = None,
        penalty_factors: Any = None,
        lambdas: Any = None,
        n_lambdas: int = 20,
        lambda_min_ratio: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-4,
        max_iter: int = 200,
        engine: str = "auto",
        device: str | None = None,
        precision: str = "float32",
        verbose: int = 0,
        cv: Any = 5,
        se_fraction: float = 0.0,
        min_lambda: float = 0.0,
        refit: bool = True,
        feature_shapes: Any = None,
        patience: int | None = None,
    ) -> None:
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.smoothness = smoothness
        self.feature_groups = feature_groups
        self.feature_mask = feature_mask
        self.penalty_factors = penalty_factors
        self.lambdas = lambdas
        self.n_lambdas = n_lambdas
        self.lambda_min_ratio = lambda_min_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.engine = engine
        self.device = device
        self.precision = precision
        self.verbose = verbose
        self.cv = cv
        self.se_fraction = se_fraction
        self.min_lambda = min_lambda
        self.refit = refit
        self.feature_shapes = feature_shapes
        self.patience = patience

    def _settings(self, X: Any, n_features: int, n_neurons: int) -> Settings:
        if self.patience is not None:
            self._check_number("patience", 1, whole=True)
        ends = Patience(self.patience) if self.patience else None
        return replace(super()._settings(X, n_features, n_neurons), ends=ends)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        start: ClassifierGLMCV | None = None,
        checkpoint: Any = None,
    ) -> ClassifierGLMCV:
        """Fit, cross-validate and select.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples,) or (n_samples, n_responses)
            Labels, as in `ClassifierGLM.fit`.
        groups : array-like, shape (n_samples,), optional
            Trial of every sample, by labels of any kind; a trial is never split between folds.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_responses), optional
        offset : array-like, DataFrame, DataArray or mapping, optional
            As in `ClassifierGLM.fit`, shape (n_samples, n_classes) or (n_samples, n_responses, n_classes). The null
            model of a fold has the best intercepts beside it.
        start : ClassifierGLMCV, optional
            Where to begin: a model that was fitted to the same folds of the same labels, with the same sample and class
            weights, as before a smaller `tol` or beside another penalty. Each fold begins at that fold's path, as in
            `GLMCV.fit`. Nothing else can be a start. Strengths, features, responses and classes as in
            `ClassifierGLM.fit`.
        checkpoint : path-like, optional
            As in `GLM.fit`. A splitter that shuffles needs a ``random_state``, so that its folds are the same again.

        Returns
        -------
        ClassifierGLMCV

        Raises
        ------
        TypeError, ValueError, OSError, KeyboardInterrupt
            As in `ClassifierGLM.fit`; sentences name the argument and the place.

        Warns
        -----
        PopglmWarning
            Names responses of one class, classes that a fold does not train on, and responses that have no finite best
            weights without a penalty; counts classes of fewer than ten samples, and responses whose selected strength
            lies at an end of its grid.
        ConvergenceWarning
            Names responses that did not reach `tol`, with their certificates.
        """
        splits: list = []
        self._check_flag("refit")
        check_rule(self.se_fraction, self.min_lambda)

        def split(n_samples: int, rows: Rows, codes: np.ndarray) -> list:
            splits.extend(check_folds(self.cv, n_samples, groups, rows, codes))
            check_rule(self.se_fraction, self.min_lambda, len(splits))
            return splits

        beside = sample_weight, offset
        fits, (codes, weights) = self._fit(X, y, split, beside, bool(self.refit), start, checkpoint)
        self.splits_, tested = splits, np.concatenate([test for _, test in splits])
        self.fold_ = np.full(len(codes), -1)
        for fold, (_, test) in enumerate(splits):
            self.fold_[test] = fold
        self.held_out_once_ = len(np.unique(tested)) == len(tested)
        self.cv_coef_path_, self.cv_intercept_path_ = fits.coef[1:].astype(self.null_coef_.dtype), fits.intercept[1:]
        self.cv_null_coef_ = fits.null_coef[1:].astype(self.null_coef_.dtype)
        self.cv_null_intercept_, self.cv_class_counts_ = fits.null_intercept[1:], fits.counts[1:]
        self.cv_gap_, self.cv_n_iter_ = fits.gap[1:], fits.n_iter[1:]
        self.cv_deviance_, self.cv_null_model_deviance_ = fits.deviance, fits.null_deviance
        self.cv_constant_deviance_, self.n_lambdas_fitted_ = fits.constant_deviance, fits.n_fitted
        folds = np.repeat(np.arange(len(splits)), [len(test) for _, test in splits])
        s = np.broadcast_to(over_neurons(weights), codes.shape)[tested] * self.is_scored(codes[tested], folds)
        known = (s > 0).any(axis=0)
        self.cv_null_deviance_ = np.where(known, null_class_deviances(codes[tested], s, len(self.classes_)), np.nan)
        explained = fraction_explained(np.nansum(self.cv_deviance_, axis=0), self.cv_null_deviance_)
        went = np.arange(len(explained))[:, None] < self.n_lambdas_fitted_
        self.cv_deviance_explained_path_ = np.where(went, explained, np.nan)
        self.select()
        self._warn_of_late_fits(fits, bool(self.refit))
        warn_of_ends(self, self.cv_deviance_explained_, self.cv_coef_path_[:, 0])
        return self

    def is_scored(self, codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Whether the fold that holds a sample out trains on its class, (n_samples, n_responses).

        Parameters
        ----------
        codes : ndarray of int, shape (n_samples, n_responses)
            Numbers of classes, −1 where a response is not known.
        folds : ndarray of int, shape (n_samples,)
            −1 for samples that no fold holds out.
        """
        there = np.append(self.cv_class_counts_ > 0, np.zeros((1, *self.cv_class_counts_.shape[1:]), bool), axis=0)
        return there[folds[:, None], np.arange(codes.shape[1]), np.maximum(codes, 0)] & (codes >= 0)

    def select(self, *, se_fraction: float | None = None, min_lambda: float | None = None) -> ClassifierGLMCV:
        """Choose the strengths again, without fitting.

        Parameters
        ----------
        se_fraction, min_lambda : float, optional
            In place of the constructor's.

        Returns
        -------
        ClassifierGLMCV
            Itself, with new `coef_`, `intercept_`, `lambda_`, `lambda_index_`, `cv_deviance_explained_`.

        Raises
        ------
        ValueError
            If one is no finite number of at least 0.
        """
        check_fitted(self, "cv_deviance_", "select")
        se_fraction = self.se_fraction if se_fraction is None else se_fraction
        min_lambda = self.min_lambda if min_lambda is None else min_lambda
        check_rule(se_fraction, min_lambda, len(self.cv_deviance_))
        self.selection_rule_ = float(se_fraction), float(min_lambda)
        nulls = self.cv_null_model_deviance_
        self._keep(select_strengths(self.cv_deviance_, self.lambda_path_, se_fraction, min_lambda, nulls))
        below = ~self.null_fitted_ & (self.lambda_path_[0] < min_lambda)
        warn_neurons(
            f"min_lambda={min_lambda:g} lies above all strengths, and only the largest or the null model could be "
            "selected; use larger lambdas",
            np.flatnonzero(below),
            self.neuron_names_,
        )
        return self

    def _keep(self, index: np.ndarray) -> None:
        super()._keep(index)
        self.cv_coef_ = at_strengths(self.cv_coef_path_, index, self.cv_null_coef_, axis=1)
        self.cv_intercept_ = at_strengths(self.cv_intercept_path_, index, self.cv_null_intercept_, axis=1)
        null = fraction_explained(np.nansum(self.cv_null_model_deviance_, axis=0), self.cv_null_deviance_)
        self.cv_deviance_explained_ = at_strengths(self.cv_deviance_explained_path_, index, null)

    def _restore_folds(self, about: dict[str, Any]) -> None:
        if not hasattr(self, "n_lambdas_fitted_"):
            self.n_lambdas_fitted_ = np.full(self.lambda_path_.shape[1], len(self.lambda_path_))
        self.held_out_once_ = about["held_out_once"]
        self.selection_rule_ = tuple(about["rule"])
        self.splits_ = None
        if about["folds_train_on_the_rest"]:
            tests = [self.fold_ == fold for fold in range(len(self.cv_deviance_))]
            self.splits_ = [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests]

    def predict_proba_held_out(self, X: Any = None, offset: Any = None) -> np.ndarray:
        """Probabilities of the classes for each training row, by the fold that did not see it.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features), optional
            The rows of `fit`, possibly with columns ablated; those of `fit` unless given. Rows with labels may stand in
            any order; the result has the order of `fit`.
        offset : array-like, optional
            As in `fit`, and needed if that had one; 0 asks for none.

        Returns
        -------
        ndarray, shape (n_samples, n_responses, n_classes) or (n_samples, n_classes)
            NaN in rows that no fold held out, and for responses that their fold knew in no sample; 0 for classes that a
            fold does not train on.

        Raises
        ------
        ValueError
            If rows are held out by more than one fold, X has other rows than in `fit`, or X is not given and the model
            comes from a file; if the model was fitted with an offset and none is given.
        """
        check_fitted(self, "fold_", "predict_proba_held_out")
        if not self.held_out_once_:
            raise ValueError("cv holds some rows out more than once, so their held-out prediction is not one number.")
        if X is None:
            X = vars(self).get("_X_fit")
            if X is None:
                raise ValueError("X is needed: a model from a file or a pickle does not carry its training data.")
        values = check_features(self, X, reset=False)
        if len(values) != len(self.fold_):
            raise ValueError(f"X has {len(values)} rows; the model was fitted to {len(self.fold_)}.")
        rows = Rows.of_fit(self.sample_labels_, X)
        order = rows.given
        values = values if order is None else some_rows(values, order)
        shift = check_offset(self, offset, len(values), rows, "predict_proba_held_out")
        p = np.full((len(values), *self.cv_intercept_.shape[1:]), np.nan)
        for first, last, block in parts_of(values):
            for fold, (coef, intercept) in enumerate(zip(self.cv_coef_, self.cv_intercept_, strict=True)):
                held = np.flatnonzero(self.fold_[first:last] == fold)
                own = None if shift is None else shift[first + held]
                eta = class_predictors(some_rows(block, held), coef, intercept, own)
                eta[:, ~(self.cv_class_counts_[fold] > 0).any(axis=1)] = np.nan
                p[first + held] = shares_of(eta)
        return like(p[:, 0] if self._one_neuron else p, X, exact=True)

    def summary(self) -> pd.Series:
        """The fit in a few numbers.

        Returns
        -------
        Series
            Responses at the weakest and the strongest strength as in `GLMCV`.

        Examples
        --------
        >>> import numpy as np
        >>> from popglm import ClassifierGLMCV
        >>> X = np.random.default_rng(0).standard_normal((200, 2))
        >>> int(ClassifierGLMCV().fit(X, X[:, 0] > 0.5).summary()["responses that beat the null"])
        1
        """
        check_fitted(self, "cv_deviance_explained_", "summary")
        explained = self.cv_deviance_explained_
        weakest, strongest = at_ends(self, explained, self.cv_coef_path_[:, 0])
        return pd.Series(
            {
                "responses": len(explained),
                "responses fitted as null": int(self.null_fitted_.sum()),
                "responses that beat the null": int((explained > 0).sum()),
                "responses at the weakest strength": len(weakest),
                "responses at the strongest strength": len(strongest),
                "held-out deviance explained, median": pd.Series(explained).median(),
                "strength, median": float(np.median(self.lambda_)),
                "largest gap": float(np.nanmax(np.concatenate([self.gap_[None], self.cv_gap_]))),
            },
            name=f"categorical, {self.penalty}",
        )

"""`GLMCV`: a path of fits to all rows and to those of every fold, and a strength chosen per neuron."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from popglm.checks import check_fitted
from popglm.estimators.adaptive_factors import AdaptiveFactors, first_factors, parts_with_folds
from popglm.estimators.arguments import check_rule
from popglm.estimators.cross_validated import CrossValidated
from popglm.estimators.deviance_loss import held_out_null_deviance
from popglm.estimators.factor_search import FactorSearch, run_search
from popglm.estimators.grid_ends import warn_of_ends
from popglm.estimators.relaxed import (
    blend_weights,
    check_relaxed,
    fit_relaxed,
    forget_relaxed,
    of_gammas,
    select_blends,
)
from popglm.estimators.splits import check_folds
from popglm.estimators.validation import check_weights, over_neurons
from popglm.labels import Rows
from popglm.solve.factors.own_columns import fit_each
from popglm.solve.passes.samples import FitData
from popglm.solve.result import PopulationFit
from popglm.solve.settings import Settings
from popglm.statistics.ends import Patience
from popglm.statistics.selection import at_strengths, fraction_explained, select_strengths

__all__ = ["GLMCV"]


class GLMCV(CrossValidated):
    """Generalized linear models of many neurons, with a regularisation strength per neuron by cross-validation.

    Fits all strengths to all rows and to the training rows of every fold in one descent, and keeps for each
    neuron the strength with the least held-out deviance.

    Parameters
    ----------
    cv : int, scikit-learn splitter, or iterable of (train, test)
        An integer deals whole trials to folds where `fit` gets ``groups``, else contiguous blocks of samples, in
        order of the row labels where these are times. A
        splitter is given Y, with shape (n_samples,) if there is a single neuron: for more, those that stratify by one
        label per sample are called beforehand, ``cv=list(splitter.split(X, label))``.
    se_fraction : float
        Choose the largest strength whose mean held-out deviance is within this many standard errors of the best: the
        standard deviation over folds (ddof 0) over the square root of their number.
    min_lambda : float
        No smaller strength is chosen; where all are smaller, the largest or the null model, with a warning.
    refit : bool
        Fit all rows too; without, there are held-out results but no weights for new data.
    patience : int, optional
        A neuron stops descending after this many strengths in a row whose mean held-out deviance lies more than one
        standard error above its best so far. None fits every neuron at all strengths. See the Notes.
    penalty_factors : mapping, array-like, AdaptiveFactors or FactorSearch, optional
        As in `GLM`; or `AdaptiveFactors`, which have them from the weights of a first fit: the adaptive lasso; or how
        to search for those of feature spaces, for every neuron: banded ridge. The search uses the folds of the fit.
        A ``checkpoint`` keeps neither: a fit that goes on finds them again. `AdaptiveFactors` refuse `patience`; a
        `FactorSearch` tries all strengths, and the fit with the factors that it found ends by `patience`.
    relaxed : bool or sequence of float
        Whether the columns that a strength has chosen are fitted again without a penalty, and weights are blends: γ of
        the penalised ones and 1 − γ of the others. Each neuron gets the pair of λ and γ that predicts held-out samples
        best, among the shares given, or 0, 0.25, 0.5, 0.75 and 1 for True. For penalties that choose: "lasso",
        "group_lasso", "sparse_group_lasso", "elastic_net", "mcp", "scad", "group_mcp" and "group_scad". Of a group that
        "group_lasso", "group_mcp" or "group_scad" has chosen, all columns are fitted again. See the Notes.
    family, inverse_link, penalty, l1_ratio, smoothness, feature_groups, feature_shapes, feature_mask, \
lambdas, n_lambdas, lambda_min_ratio, fit_intercept, tol, max_iter, solver, engine, device, \
schedule, precision, verbose, power, concavity, constraints
        As in `GLM`.

    Attributes
    ----------
    fold_ : ndarray of int, shape (n_samples,)
        The fold that holds a sample out; −1 for none.
    splits_ : list of (train, test), or None
        Rows that every fold is trained on, and those that it holds out. None for a model from a file whose folds were
        not trained on all the rest.
    held_out_once_ : bool
        Whether no sample is held out by two folds.
    selection_rule_ : (float, float)
        ``se_fraction`` and ``min_lambda`` by which `select` chose last.
    cv_coef_ : ndarray, shape (n_folds, n_neurons, n_features)
    cv_intercept_ : ndarray, shape (n_folds, n_neurons)
        Weights of the folds at the strengths in `lambda_`; those of their null models where that is infinite.
    cv_coef_path_ : ndarray, shape (n_folds, n_lambdas, n_neurons, n_features)
    cv_intercept_path_ : ndarray, shape (n_folds, n_lambdas, n_neurons)
    cv_family_parameters_path_ : dict of str to ndarray, shape (n_folds, n_lambdas, n_neurons)
    cv_family_parameters_, cv_null_family_parameters_, cv_deviance_parameters_ : dict of str to ndarray
        As in `GLM`, from the training rows of every fold; held-out deviances are taken at the last.
    cv_deviance_ : ndarray, shape (n_folds, n_lambdas, n_neurons)
        Summed over the fold's held-out samples; NaN where these hold no activity of a neuron, or no weight, and where
        the fold trains on none.
    cv_trained_ : ndarray of bool, shape (n_folds, n_neurons)
        Whether a fold trains on some sample of a neuron. One that does not predicts and scores none; a warning says so.
    cv_gap_, cv_n_iter_ : ndarray, shape (n_folds, n_lambdas, n_neurons)
    cv_null_deviance_ : ndarray, shape (n_neurons,)
        Of all held-out samples around their mean; NaN, as the fractions below, where no fold holds out a sample of a
        neuron.
    cv_deviance_explained_path_ : ndarray, shape (n_lambdas, n_neurons)
        Fraction over all held-out samples.
    cv_deviance_explained_ : ndarray, shape (n_neurons,)
        That at the chosen strength, or of the folds' null models.
    cv_null_intercept_, cv_null_model_deviance_ : ndarray, shape (n_folds, n_neurons)
        Intercept of the null model of a fold's training rows, and its deviance on the rows that the fold holds out.
    cv_null_coef_ : ndarray, shape (n_folds, n_neurons, n_features), or None
        Its weights, as in ``null_coef_``.
    cv_constant_deviance_ : ndarray, shape (n_folds, n_neurons)
        Deviance of the intercept alone on the rows that a fold holds out.
    n_lambdas_fitted_ : ndarray of int, shape (n_neurons,)
        Strengths that a neuron went down to: all of them without `patience`.
    gamma_ : ndarray, shape (n_neurons,), or None
        With `relaxed`, share of the penalised weights in `coef_`, `intercept_` and the same of folds; 1 for the null
        model. `cv_deviance_` and the fractions below are those at this share.
    gammas_ : ndarray, shape (n_gammas,), or None
        Shares that were tried, falling.
    relaxed_coef_path_, relaxed_intercept_path_, cv_relaxed_coef_path_, cv_relaxed_intercept_path_ : ndarray, or None
        Weights without a penalty, in shape those of the paths without ``relaxed`` in their names, which are penalised,
        as are `gap_`, `n_iter_` and `loss_path_`; ``relaxed_gap_`` and ``cv_relaxed_gap_`` have the certificates.
    cv_relaxed_deviance_ : ndarray, shape (n_gammas, n_folds, n_lambdas, n_neurons), or None
        `cv_deviance_` of all blends.
    adaptive_factors_ : ndarray, shape (n_features, n_neurons), or None
        Penalty factor of every column in the fit to all rows, with `AdaptiveFactors`; infinite where it was left out.
    cv_adaptive_factors_ : ndarray, shape (n_folds, n_features, n_neurons), or None
        Those of the folds.
    factor_search_ : xarray.Dataset, or None
        What a `FactorSearch` found: ``weight`` (candidate, space) of every candidate; ``chosen`` (neuron), the number
        of the one that a neuron keeps; ``deviance`` (candidate, neuron), the mean over folds at the best strength, and
        ``strength`` (candidate, neuron), that strength; both NaN where a candidate was not fitted. The factors are in
        ``penalty_factors_``, which a model from a file has as its ``penalty_factors``.
    others
        As in `GLM`.

    Notes
    -----
    A fold ends where a `GLM` of its training rows ends: it starts at its own null model and takes nothing from the fit
    to all rows or from other folds. Folds share X and its means, which hold no activity, and an automatic grid of
    strengths, which comes from all rows, as in glmnet.

    The null model is a candidate at every grid. In a fold that is the mean of the training rows (with offset and
    weights), without any weights of features but those of groups with a penalty factor of 0. A neuron whose best
    strength does not beat it on held-out rows ends there: all other weights in `coef_` are 0, `lambda_` is infinite,
    and `lambda_index_` the number of strengths, so that indexing a path by it raises an IndexError.
    `predict_held_out` and all of what explains a model take the folds' null models then.

    A neuron with fewer than ten samples with activity must beat it by a margin. Two events that fall by chance into
    like samples predict each other, and a strength is chosen among many; so held-out events must favour the model by a
    likelihood ratio of 100 at each of both: by 2 · 2 log 100 = 18.4 of deviance, times the mean size of an event.
    Under the null model a ratio of 100 has a probability of 1 % at most.

    A penalty that chooses columns shrinks the weights of those that it has chosen, and cross-validation then takes a
    weaker strength than choosing would need. A relaxed fit undoes this. Blends of weights are blends of the linear
    predictors of both fits, which is glmnet's definition. All fits of a fold, with or without a penalty, see its
    training rows alone. A ``smoothness`` stays in relaxed fits, which take λ for 0, and groups with a penalty factor of
    0 are in all of them. Where no finite weights are best, as for a neuron that is silent in a place, the penalised
    ones stay, with a warning. Parameters of a family are blended as the weights. Relaxed fits take place once the path
    has ended, on the host; a ``checkpoint`` does not keep them. `compare`,
    `bootstrap` and others that fit again relax in each fit.

    At strengths that a neuron did not go down to, the paths of coefficients and intercepts repeat those of the last one
    before; deviances, certificates and objectives are NaN, iterations 0; and `select` never takes them. Up to there all
    numbers are, to rounding, those of a fit without `patience`. Time is saved where all fits descend together. Gaussian
    fits to complete activity, accelerators and first-order solvers fit all strengths and forget the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from popglm import GLMCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((600, 4))
    >>> Y = rng.poisson(np.exp(X @ np.array([[0.8, 0], [0, 0], [0, -0.5], [0, 0]])))
    >>> trial = np.repeat(np.arange(60), 10)
    >>> model = GLMCV(penalty="lasso").fit(X, Y, groups=trial)
    >>> model.cv_deviance_explained_.round(1)
    array([0.4, 0.2])

    The same without the shrinkage of the columns that were chosen:

    >>> relaxed = GLMCV(penalty="lasso", relaxed=True).fit(X, Y, groups=trial)
    >>> relaxed.coef_.round(1) + 0
    array([[ 0.8,  0. ,  0. ,  0. ],
           [ 0. ,  0. , -0.4,  0. ]])
    >>> relaxed.gamma_
    array([0., 0.])

    References
    ----------
    Friedman, Hastie & Tibshirani (2010), *Journal of Statistical Software* 33. Meinshausen (2007), "Relaxed lasso",
    *Computational Statistics & Data Analysis* 52. Hastie, Tibshirani & Tibshirani (2020), "Best subset, forward
    stepwise or lasso?", *Statistical Science* 35: the blend.
    """

    def __init__(
        self,
        family: str = "poisson",
        inverse_link: str | None = None,
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
        tol: float = 1e-4,
        max_iter: int = 200,
        solver: Any = "auto",
        engine: str = "auto",
        device: str | list[str] | None = None,
        schedule: str = "auto",
        precision: str = "float32",
        verbose: int = 0,
        cv: Any = 5,
        se_fraction: float = 0.0,
        min_lambda: float = 0.0,
        refit: bool = True,
        patience: int | None = None,
        power: float | None = None,
        feature_shapes: Any = None,
        relaxed: Any = False,
        concavity: float | None = None,
        constraints: Any = None,
    ) -> None:
        self.family = family
        self.inverse_link = inverse_link
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
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.engine = engine
        self.device = device
        self.schedule = schedule
        self.precision = precision
        self.verbose = verbose
        self.cv = cv
        self.se_fraction = se_fraction
        self.min_lambda = min_lambda
        self.refit = refit
        self.patience = patience
        self.power = power
        self.feature_shapes = feature_shapes
        self.relaxed = relaxed
        self.concavity = concavity
        self.constraints = constraints

    def _settings(self, X: Any, n_features: int, n_neurons: int) -> Settings:
        if self.patience is not None:
            self._check_number("patience", 1, whole=True)
        ends = Patience(self.patience) if self.patience else None
        settings = replace(super()._settings(X, n_features, n_neurons), ends=ends)
        check_relaxed(self, settings)
        return settings

    def _fitted(self, data: FitData, settings: Settings, more: tuple) -> PopulationFit:
        """See `PopulationGLM._fitted`."""
        if self.adaptive_factors_ is None or self.cv_adaptive_factors_ is None:
            return super()._fitted(data, settings, more)
        factors = np.concatenate([self.adaptive_factors_[None], self.cv_adaptive_factors_])
        return fit_each(data, settings, factors[:, settings.penalty.starts[:-1]], *more[:3])

    def _relax(self, settings: Settings, data: FitData, fit: PopulationFit, refit: bool) -> None:
        """See `PopulationGLM._relax`."""
        forget_relaxed(self)
        if (gammas := check_relaxed(self, settings)) is not None:
            fit_relaxed(self, gammas, data, settings, fit, refit)

    def _searched(self, settings: Settings, data: FitData, shares: list) -> Settings:
        """See `PopulationGLM._searched`."""
        if isinstance(self.penalty_factors, AdaptiveFactors):
            with np.errstate(all="ignore"), data.engine.session():
                parts = parts_with_folds(len(data.Y), data.splits)
                factors = first_factors(self, self, settings, data, parts)[:, settings.penalty.block_of_column]
            self.adaptive_factors_, self.cv_adaptive_factors_ = factors[0], factors[1:]
            return settings
        if not isinstance(self.penalty_factors, FactorSearch):
            return super()._searched(settings, data, shares)
        self.factor_search_, factors, lambdas = run_search(self, settings, data, shares)
        self.penalty_factors_ = factors
        _, each = self._penalty()
        return replace(settings, factors=each, lambdas=lambdas)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        start: GLMCV | None = None,
        checkpoint: Any = None,
    ) -> GLMCV:
        """Fit, cross-validate and select.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity. NaN where a neuron was not recorded: the sample drops out for that neuron alone.
        groups : array-like, shape (n_samples,), optional
            Trial of every sample, by labels of any kind; a trial is never split between folds.
        sample_weight, offset : array-like, optional
            As in `GLM.fit`.
        start : GLMCV, optional
            Where to begin: a model that was fitted to the same folds of the same activity, with the same family,
            sample weights and offset, as before a smaller `tol` or beside another penalty. Each fold begins at that
            fold's path, and the fit to all rows at that of all rows, so that no fold learns of the activity that it
            holds out. Nothing else can be a start. Strengths, features and neurons as in `GLM.fit`.
        checkpoint : path-like, optional
            As in `GLM.fit`. A splitter that shuffles needs a ``random_state``, so that its folds are the same again.

        Returns
        -------
        GLMCV

        Raises
        ------
        ValueError, OSError, KeyboardInterrupt
            As in `GLM.fit`; sentences name the argument and the place.

        Warns
        -----
        PopglmWarning
            Names neurons that are fitted as the null model; counts those whose strength is at an end of its grid.
        ConvergenceWarning
            Names neurons that did not reach `tol`, with their certificates.
        """
        splits: list = []
        self._check_flag("refit")
        check_rule(self.se_fraction, self.min_lambda)

        def split(n_samples: int, rows: Rows, responses: np.ndarray) -> list:
            splits.extend(check_folds(self.cv, n_samples, groups, rows, responses))
            check_rule(self.se_fraction, self.min_lambda, len(splits))
            return splits

        fit, responses = self._fit(X, y, split, sample_weight, offset, bool(self.refit), start, checkpoint)
        self.splits_, tested = splits, np.concatenate([test for _, test in splits])
        self.fold_ = np.full(len(responses), -1)
        for fold, (_, test) in enumerate(splits):
            self.fold_[test] = fold
        self.held_out_once_ = len(np.unique(tested)) == len(tested)
        self.cv_coef_path_, self.cv_intercept_path_ = fit.cv_coef, fit.cv_intercept
        self.cv_gap_, self.cv_n_iter_ = fit.cv_gap, fit.cv_n_iter
        self.cv_deviance_, self.n_lambdas_fitted_ = fit.cv_deviance, fit.n_fitted
        scored = ~np.isnan(responses)
        weights = check_weights(sample_weight, len(responses), self.neuron_names_, Rows(self.sample_labels_))
        weighted = scored * over_neurons(weights)
        self._keep_trained(weighted, splits)
        folds = np.repeat(np.arange(len(splits)), [len(test) for _, test in splits])
        known = np.nan_to_num(responses[tested], nan=0.0)
        self.cv_null_deviance_ = held_out_null_deviance(self, known, weighted[tested].astype(float), folds)
        self.select()
        self._warn_of_late_fits(fit, bool(self.refit))
        warn_of_ends(self, self.cv_deviance_explained_, self.cv_coef_path_[:, 0])
        return self

    def select(self, *, se_fraction: float | None = None, min_lambda: float | None = None) -> GLMCV:
        """Choose the strengths again, without fitting.

        Parameters
        ----------
        se_fraction, min_lambda : float, optional
            In place of the constructor's. What selects again later (`compare`, `significance`) keeps to them.

        Returns
        -------
        GLMCV
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
        if self.gammas_ is None:
            rule = se_fraction, min_lambda, self.cv_null_model_deviance_, self.null_margin_
            index = select_strengths(self.cv_deviance_, self.lambda_path_, *rule)
        else:
            index, self.gamma_ = select_blends(self, se_fraction, min_lambda)
            self.cv_deviance_ = of_gammas(self)
        explained = fraction_explained(np.nansum(self.cv_deviance_, axis=0), self.cv_null_deviance_)
        went = np.arange(len(explained))[:, None] < self.n_lambdas_fitted_
        self.cv_deviance_explained_path_ = np.where(went, explained, np.nan)
        self._keep(index)
        self._warn_of_floor(min_lambda)
        return self

    def _keep(self, index: np.ndarray) -> None:
        super()._keep(index)
        bare = 0.0 if self.cv_null_coef_ is None else self.cv_null_coef_
        self.cv_coef_ = at_strengths(self.cv_coef_path_, index, bare, axis=1)
        self.cv_intercept_ = at_strengths(self.cv_intercept_path_, index, self.cv_null_intercept_, axis=1)
        self.cv_family_parameters_ = {
            name: at_strengths(path, index, self.cv_null_family_parameters_[name], axis=1)
            for name, path in self.cv_family_parameters_path_.items()
        }
        if self.gamma_ is not None:
            blend_weights(self)
        null = fraction_explained(np.nansum(self.cv_null_model_deviance_, axis=0), self.cv_null_deviance_)
        self.cv_deviance_explained_ = at_strengths(self.cv_deviance_explained_path_, index, null)

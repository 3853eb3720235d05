"""`ClassifierGLM`: one fit to all rows, over a path of strengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.checks import check_fitted
from popglm.estimators.arguments import check_rule
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.classifier.labels import check_known_classes
from popglm.estimators.classifier.predictions import class_deviances, class_predictors, null_class_deviances
from popglm.estimators.features import check_features
from popglm.estimators.grid_ends import warn_of_ends
from popglm.estimators.validation import check_offset, check_weights, over_neurons
from popglm.labels import Rows, row_labels
from popglm.statistics.selection import at_strengths, fraction_explained, select_strengths

__all__ = ["ClassifierGLM"]


class ClassifierGLM(CategoricalGLM):
    """Softmax regression of categorical responses, such as choices or states, on named groups of features.

    A response minimises over b, W the mean of log Σ_k exp(η_k) − η_y, where η = b + Wx has a linear predictor for each
    of the K classes and y is the sample's class, plus the penalty at every strength λ. A group of the group lasso holds
    the weights of its features for all classes: it is 0 for all of them or for none.

    Parameters
    ----------
    penalty : {"ridge", "lasso", "elastic_net", "group_lasso", "none"}
        As in `GLM`, of the weights of all classes: ½‖W‖², Σ|w|, their mixture, or Σ_g √(p_g K) ‖W_g‖ over groups g of
        p_g features.
    l1_ratio : float, optional
        As in `GLM`.
    smoothness : float
        As in `GLM`, of the weights of each class.
    feature_groups, feature_shapes, feature_mask, penalty_factors : optional
        As in `GLM`. A mask has a column for every response, and closes features for all of its classes.
    lambdas : array-like, shape (n_lambdas,) or (n_lambdas, n_responses), optional
        Strengths, descending; a grid from the strength at which a response leaves its null model unless given.
    n_lambdas, lambda_min_ratio
        Of that grid.
    fit_intercept : bool
        An intercept for every class, never penalised.
    class_weight : "balanced" or mapping, optional
        What the samples of each class are multiplied by: a mapping from labels, or weights that give all classes of a
        response the same sum. `evaluate`, `score` and `select` do not count samples by them.
    tol, max_iter, engine, device, precision, verbose
        As in `GLM`.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels of all responses together, sorted.
    coef_ : ndarray, shape (n_responses, n_classes, n_features), or (n_classes, n_features) for a 1-D response
        At the strength in `lambda_`, the smallest until `select` is called. 0 for classes that a response does not
        have.
    intercept_ : ndarray, shape (n_responses, n_classes), or (n_classes,)
        −inf for classes that a response does not have; 0 for a response that is known nowhere.
    has_class_ : ndarray of bool, shape (n_responses, n_classes)
        All False for a response that is known nowhere: its predictions are NaN, or None.
    class_counts_ : ndarray, shape (n_responses, n_classes)
        Summed weights of the samples of every class.
    class_samples_ : ndarray of int, shape (n_responses, n_classes)
    lambda_, lambda_index_ : ndarray, shape (n_responses,)
        Infinite, and the number of strengths, where the null model was selected.
    coef_path_ : ndarray, shape (n_lambdas, n_responses, n_classes, n_features)
    intercept_path_ : ndarray, shape (n_lambdas, n_responses, n_classes)
    null_coef_, null_intercept_ : ndarray, shape (n_responses, n_classes, n_features) and (n_responses, n_classes)
        Of the null model: the classes' frequencies, or the best intercepts beside an offset, and the groups whose
        penalty factor is 0.
    null_fitted_ : ndarray of bool, shape (n_responses,)
        Responses of one class, whose weights are 0.
    gap_ : ndarray, shape (n_lambdas, n_responses)
        Certificate, as in `GLM`: in units of half the mean null deviance.
    fitted_with_offset_ : bool
        Whether `fit` had an offset that differs between classes; predictions then need one.
    lambdas_, lambda_path_, n_iter_, loss_path_, feature_group_names_, feature_group_sizes_, feature_names_in_
        As in `GLM`.
    neuron_names_ : list of str
        Names of the responses, which popglm calls neurons wherever they stand beside those.

    Notes
    -----
    All classes have weights: none is a reference. What all classes' weights of a feature have in common changes no
    probability. A ridge or a group lasso, and no penalty too, leave weights with a mean of 0 over the classes. Under a
    lasso they are those of the limit of elastic nets, l1_ratio → 1, which have a median of 0.

    Two classes are the same model as ``GLM("bernoulli")`` with weights w, at ±w/2. The strength is then that of the
    GLM under a lasso or a group lasso, and twice that under a ridge. scikit-learn's ``LogisticRegression`` has
    C = 1/(nλ) for three classes and more, and for two under a lasso. For two under a ridge it has C = 2/(nλ), and under
    an elastic net no single factor. The strengths of glmnet's multinomial family are the same under ridge, lasso and
    elastic net. glmnet's grouped penalty has no √K: its λ is √K times this one, for groups of one feature.

    References
    ----------
    Friedman, Hastie & Tibshirani, "Regularization paths for generalized linear models via coordinate descent", *Journal
    of Statistical Software* 33 (2010), section 4; Simon, Friedman & Hastie, "A blockwise descent algorithm for
    group-penalized multiresponse and multinomial regression" (2013).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((900, 3))
    >>> drive = np.column_stack([2 * X[:, 0], -2 * X[:, 0], 0 * X[:, 0]]) + rng.gumbel(size=(900, 3))
    >>> choice = np.array(["left", "right", "none"])[drive.argmax(axis=1)]
    >>> model = pg.ClassifierGLM(penalty="group_lasso", feature_groups=["cue", "speed", "time"], lambdas=[0.03])
    >>> model.fit(X, choice).classes_
    array(['left', 'none', 'right'], dtype='<U5')
    >>> model.coef_.round(1) + 0
    array([[ 1.3,  0. ,  0. ],
           [ 0. ,  0. ,  0. ],
           [-1.3,  0. ,  0. ]], dtype=float32)
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
        feature_shapes: Any = None,
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
        self.feature_shapes = feature_shapes

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        start: Any = None,
        checkpoint: Any = None,
    ) -> ClassifierGLM:
        """Fit all responses over all strengths.

        Parameters
        ----------
        X : array-like, DataFrame, tensor or sparse matrix, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples,) or (n_samples, n_responses)
            Labels: whole numbers, text, flags, but no flags beside numbers. None, NaN or a mask where a response is not
            known: the sample drops out for that response alone.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_responses), optional
            How much a sample counts, ≥ 0: a weight of 2 counts as two samples.
        offset : array-like, DataFrame, DataArray or mapping, optional
            Added to the linear predictors of the classes, such as logarithms of what was known of them before: shape
            (n_samples, n_classes), the same for all responses, or (n_samples, n_responses, n_classes), in the order of
            `classes_`; columns that are named like the classes may stand in any order. A mapping has a column,
            (n_samples,), by the label of each class that has one, and 0 for the others. Finite; what all classes have
            in common changes nothing. Predictions then need one, too.
        start : ClassifierGLM, ClassifierGLMCV or array-like, optional
            Where to begin: a fitted model, whose `coef_path_` is taken, or coefficients of shape (n_lambdas,
            n_responses, n_classes, n_features), or those of a single strength for all of them, as `coef_` has them. A
            start near the minimum saves steps, and changes the result within `tol` alone. A model must have as many
            strengths and the same features, and every response and class of the fit; responses and features with names
            are matched by name, classes by their labels.
        checkpoint : path-like, optional
            As in `GLM.fit`: a folder that keeps the fit while it goes on. After a crash or Ctrl-C the same call goes on
            from there, and ends with the same bits.

        Returns
        -------
        ClassifierGLM

        Raises
        ------
        TypeError, ValueError
            For input that cannot be fitted; the sentence names the argument and the place. For a ``checkpoint`` of
            another fit, or a folder that holds something else.
        OSError, KeyboardInterrupt
            As in `GLM.fit`.

        Warns
        -----
        PopglmWarning
            Names responses of one class, and those that have no finite best weights without a penalty; counts classes
            of fewer than ten samples.
        ConvergenceWarning
            Names responses that did not reach `tol`, with their certificates.
        """
        fits, _ = self._fit(X, y, lambda n, rows, codes: [], (sample_weight, offset), True, start, checkpoint)
        self._keep(np.full(len(self.neuron_names_), len(self.lambda_path_) - 1))
        self._warn_of_late_fits(fits, refit=True)
        return self

    def select(
        self, X: Any, y: Any, *, min_lambda: float = 0.0, sample_weight: Any = None, offset: Any = None
    ) -> ClassifierGLM:
        """Take, per response, the strength that explains most deviance of validation data, or the null model.

        Parameters
        ----------
        X, y : array-like
            Validation data, as in `fit`.
        min_lambda : float
            No smaller strength is chosen; where all are smaller, the largest or the null model.
        sample_weight, offset : array-like, optional
            As in `fit`, of these samples. An offset is needed if the fit had one; 0 asks for none.

        Returns
        -------
        ClassifierGLM
            Itself, with new `coef_`, `intercept_`, `lambda_`, `lambda_index_` and ``deviance_explained_path_``
            (n_lambdas, n_responses) of the validation data.

        Raises
        ------
        TypeError, ValueError
            If X has other columns, y other responses or classes than in `fit`, or the rows of the arguments other
            labels; if the model was fitted with an offset and none is given.
        """
        check_fitted(self, "lambda_index_", "select")
        check_rule(0.0, min_lambda)
        values = check_features(self, X, reset=False)
        rows = Rows(row_labels(X))
        weights = check_weights(sample_weight, len(values), self.neuron_names_, rows, "response")
        codes = check_known_classes(y, len(values), rows, self, weights)
        shift = check_offset(self, offset, len(values), rows, "select")
        s = (codes >= 0) * over_neurons(weights)
        pairs = [*zip(self.coef_path_, self.intercept_path_, strict=True), (self.null_coef_, self.null_intercept_)]
        etas = (class_predictors(values, *own, shift) for own in pairs)
        deviance = np.stack([class_deviances(eta, codes, s).sum(axis=0) for eta in etas])
        deviance = np.where((s > 0).any(axis=0), deviance, np.nan)
        null = null_class_deviances(codes, s, len(self.classes_))
        self.deviance_explained_path_ = fraction_explained(deviance[:-1], null)
        self._keep(select_strengths(deviance[None, :-1], self.lambda_path_, 0.0, min_lambda, deviance[None, -1]))
        chosen = at_strengths(self.deviance_explained_path_, self.lambda_index_, 0.0)
        warn_of_ends(self, chosen, self.coef_path_[:1])
        return self

    def _restore_folds(self, about: dict[str, Any]) -> None:
        """See `Storage._restore_folds`."""

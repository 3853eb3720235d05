"""`GLM`: popglm's estimator behind the interface of GLM_Tensorflow_2."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popglm import estimators
from popglm.estimators.validation import check_responses, name_neurons
from popglm.glm_class.checks import (
    FACTORS,
    FAMILIES,
    LINKS,
    UsageError,
    as_features,
    as_matrix,
    check_initial,
    check_lambda_series,
    check_name,
    check_number,
    check_same_rows,
    check_sizes,
    check_whole,
)
from popglm.glm_class.deviances import make_prediction, null_deviance, recorded_sum
from popglm.glm_class.figures import draw_evaluation, draw_selection
from popglm.glm_class.series import at_strengths, series_of
from popglm.scaling import noted_scaling, of_other_session
from popglm.solve.first_order import FirstOrder
from popglm.solve.passes.coordinates import product64
from popglm.statistics.families import get_family, has_link
from popglm.statistics.selection import fraction_explained, select_strengths
from popglm.warnings import PopglmWarning

__all__ = ["GLM", "LAMBDA_SERIES"]

LAMBDA_SERIES = 10.0 ** np.linspace(-1, -8, 30)
MIN_TOL, MAX_TOL = 1e-10, 1e-4
SOLVER_VARIABLE = "POPGLM_GLM_CLASS_SOLVER"


class GLM:
    """Generalized linear models of many responses over a series of regularisation strengths.

    Parameters
    ----------
    activation : {"exp", "linear", "sigmoid", "relu", "softplus"}
        Inverse link.
    loss_type : {"poisson", "gaussian", "binominal"}
        Also spelled ``"binomial"``; its mean is a probability and needs ``activation="sigmoid"``.
    regularization : {"elastic_net", "group_lasso"}
        P(w) = l1_ratio·‖w‖₁ + (1 − l1_ratio)/2·‖w‖², or Σ_g √p_g ‖w_g‖₂.
    lambda_series : array-like, shape (n_lambdas,)
        Strengths λ ≥ 0 in any order; kept descending.
    l1_ratio : float
        Of the elastic net: 0 for ridge, 1 for lasso.
    smooth_strength : float
        Of the penalty wᵀRw on differences of neighbouring weights within feature groups.
    optimizer : {"adam", "sgdm"}
        With ``solver="first-order"``.
    learning_rate, momentum : float
        With ``solver="first-order"``, as in `popglm.FirstOrder`; momentum serves sgdm alone.
    min_iter_per_lambda : int
        Without effect: a response stops when its certificate says that it has arrived.
    max_iter_per_lambda : int
        Steps per strength, with ``solver="first-order"``.
    num_iter_check, convergence_tol
        A response is done when its objective is certified to lie within num_iter_check × convergence_tol null
        deviances of the minimum; at most 1e-4, and below that the fit is in double precision. With
        ``solver="first-order"`` the objective is looked at every num_iter_check steps.
    solver : {"auto", "first-order"}, optional
        popglm's solver, which takes none of the optimiser's arguments, or the optimiser asked for (relu is fitted by
        an optimiser either way). Unless given,
        the environment variable ``POPGLM_GLM_CLASS_SOLVER`` decides, and without that it is ``"auto"``.

    Attributes
    ----------
    fitted, selected : bool
        Whether `fit` and `select_model` have been called.
    n_features, n_responses, n_lambdas : int
    feature_group_size : list of int or None
    w_series : list over λ of [w0, w]
        Intercepts (1, n_responses) and weights (n_features, n_responses).
    loss_trace, lambda_trace : ndarray, shape (n_iterations,)
        Objective, averaged over responses, and λ: where the fit to all samples begins a strength and after each
        iteration, or every num_iter_check steps with ``solver="first-order"``.
    selected_w : ndarray, shape (n_features, n_responses)
    selected_w0, selected_lambda, selected_lambda_ind : ndarray, shape (n_responses,)
    selected_frac_dev_expl_val : ndarray, shape (n_responses,)
        Fraction deviance explained of the validation data.

    Raises
    ------
    UsageError
        For an unknown name or a number out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from popglm import glm_class as glm
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 3))
    >>> Y = X @ [[1.0, 0.0], [0.0, -2.0], [0.0, 0.0]] + rng.standard_normal((400, 2))
    >>> model = glm.GLM(activation="linear", loss_type="gaussian", lambda_series=10.0 ** np.linspace(1, -4, 6))
    >>> model.fit(X[:300], Y[:300], verbose=False)
    >>> model.select_model(X[300:], Y[300:], make_fig=False)
    >>> model.selected_w.round() + 0
    array([[ 1.,  0.],
           [ 0., -2.],
           [ 0.,  0.]], dtype=float32)
    """

    def __init__(
        self,
        activation: str = "exp",
        loss_type: str = "poisson",
        regularization: str = "elastic_net",
        lambda_series: ArrayLike = LAMBDA_SERIES,
        l1_ratio: float = 0.0,
        smooth_strength: float = 0.0,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        momentum: float = 0.5,
        min_iter_per_lambda: int = 100,
        max_iter_per_lambda: int = 10**4,
        num_iter_check: int = 100,
        convergence_tol: float = 1e-6,
        *,
        solver: str | None = None,
    ) -> None:
        self.activation = check_name("activation", activation, LINKS)
        self.loss_type = check_name("loss_type", loss_type, FAMILIES)
        if not has_link(FAMILIES[loss_type], LINKS[activation]):
            raise UsageError(
                f"activation={activation!r} lets the mean of a {loss_type} response leave [0, 1]; use "
                "activation='sigmoid'."
            )
        self.regularization = check_name("regularization", regularization, ("elastic_net", "group_lasso"))
        self.lambda_series = check_lambda_series(lambda_series)
        self.n_lambdas = len(self.lambda_series)
        self.l1_ratio = check_number("l1_ratio", l1_ratio, 0, 1)
        self.smooth_strength = check_number("smooth_strength", smooth_strength, 0)
        self.optimizer = check_name("optimizer", optimizer, ("adam", "sgdm"))
        self.learning_rate, self.momentum = learning_rate, momentum
        self.min_iter_per_lambda = check_whole("min_iter_per_lambda", min_iter_per_lambda)
        self.max_iter_per_lambda = check_whole("max_iter_per_lambda", max_iter_per_lambda)
        self.num_iter_check = check_whole("num_iter_check", num_iter_check)
        self.convergence_tol = check_number("convergence_tol", convergence_tol, 0)
        self._first_order = FirstOrder("sgd", learning_rate, momentum, check_every=self.num_iter_check)
        if optimizer == "adam":
            # momentum is sgdm's; Adam keeps its own decay of the gradient's running mean
            self._first_order = FirstOrder("adam", learning_rate, check_every=self.num_iter_check)
        name = "solver" if solver is not None else f"the environment variable {SOLVER_VARIABLE}"
        solver = solver if solver is not None else os.environ.get(SOLVER_VARIABLE, "auto")
        self.solver = check_name(name, solver, ("auto", "first-order"))
        self.fitted = self.selected = False

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        initial_w0: ArrayLike | None = None,
        initial_w: ArrayLike | None = None,
        feature_group_size: Sequence[int] | None = None,
        verbose: bool = True,
    ) -> None:
        """Fit all responses over all strengths.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features) or (n_samples,)
        Y : array-like, shape (n_samples, n_responses) or (n_samples,)
        initial_w0 : array-like, shape (n_responses,) or (1, n_responses), optional
        initial_w : array-like, shape (n_features, n_responses), optional
            Checked and left at that: the solver starts at the null model, and a convex objective has one minimum.
        feature_group_size : sequence of int, optional
            Columns per group, in order; needed by the group lasso and by smooth_strength > 0.
        verbose : bool
            Print a line per strength.

        Raises
        ------
        UsageError, ValueError
            For shapes that do not fit together, or values that cannot be fitted.

        Warns
        -----
        PopglmWarning
            As `popglm.GLM.fit` does: names responses with nothing to fit, or that did not converge.
        """
        X, Y = self._check_data(X, Y, initial_w0, initial_w, feature_group_size)
        self._keep_fit(estimators.GLM, X, Y, verbose)

    def select_model(self, X_val: ArrayLike, Y_val: ArrayLike, min_lambda: float = 0.0, make_fig: bool = True) -> None:
        """Take, per response, the strength with the highest fraction deviance explained of validation data.

        Parameters
        ----------
        X_val : array-like, shape (n_samples, n_features)
        Y_val : array-like, shape (n_samples, n_responses)
        min_lambda : float
            Above the smallest λ, no strength after the last one ≥ min_lambda is taken.
        make_fig : bool
            Draw the fraction deviance explained over the strengths, and its distribution.

        Raises
        ------
        UsageError, ValueError
            Before `fit`, or for shapes that do not fit the model.
        """
        self._require(self.fitted, "select_model", "fit")
        X_val, Y_val = self._check_pair("X_val", X_val, "Y_val", Y_val)
        null = null_deviance(Y_val, self.loss_type)
        explained = np.array([fraction_explained(self._deviance(X_val, Y_val, w, w0), null) for w0, w in self.w_series])
        # the fraction, not the deviance: where nothing can be explained all strengths are equal
        best = select_strengths(-explained[None], self.lambda_series[:, None])
        self._take(self._not_below(best, min_lambda))
        self.selected_frac_dev_expl_val = explained[self.selected_lambda_ind, np.arange(self.n_responses)]
        if make_fig:
            draw_selection(self.lambda_series, self.selected_lambda_ind, explained)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Mean response at the selected strengths.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_responses)

        Raises
        ------
        UsageError
            Before `select_model`, or for another number of columns.
        """
        self._require(self.selected, "predict", "select_model")
        return make_prediction(self._check_features("X", X), self.selected_w, self.selected_w0, self.activation)

    def evaluate(
        self, X_test: ArrayLike, Y_test: ArrayLike, make_fig: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Deviance of every response at its selected strength; prints mean and median of the fraction explained.

        Parameters
        ----------
        X_test : array-like, shape (n_samples, n_features)
        Y_test : array-like, shape (n_samples, n_responses)
        make_fig : bool
            Draw the distribution of the fraction, and the explained against the null deviance.

        Returns
        -------
        frac_dev_expl, dev_model, dev_null, dev_expl : ndarray, shape (n_responses,)
            Fraction (0 where the null deviance is 0), and deviances summed over samples; dev_expl is their difference.

        Raises
        ------
        UsageError, ValueError
            Before `select_model`, or for shapes that do not fit the model.
        """
        self._require(self.selected, "evaluate", "select_model")
        X_test, Y_test = self._check_pair("X_test", X_test, "Y_test", Y_test)
        model = self._deviance(X_test, Y_test, self.selected_w, self.selected_w0)
        null = null_deviance(Y_test, self.loss_type)
        fraction = fraction_explained(model, null)
        print(f"Fraction deviance explained: mean = {fraction.mean():.4f}, median = {np.median(fraction):.4f}")
        if make_fig:
            draw_evaluation(fraction, model, null)
        return fraction, model, null, null - model

    def _check_data(self, X, Y, initial_w0, initial_w, feature_group_size) -> tuple[np.ndarray, np.ndarray]:
        check_same_rows("X", X, "Y", Y)
        self._scaling = noted_scaling(X)
        X, Y = as_matrix("X", X), as_matrix("Y", Y)
        if len(X) != len(Y):
            raise UsageError(f"X has {len(X)} samples and Y has {len(Y)}; both need one row per sample.")
        n_features, n_responses = X.shape[1], Y.shape[1]
        self.fitted = self.selected = False
        check_initial("initial_w0", initial_w0, (1, n_responses))
        check_initial("initial_w", initial_w, (n_features, n_responses))
        if feature_group_size is not None:
            feature_group_size = check_sizes(feature_group_size)
            if sum(feature_group_size) != n_features:
                raise UsageError(
                    f"feature_group_size sums to {sum(feature_group_size)}, but X has {n_features} columns; the groups "
                    "must cover every column once."
                )
        elif self.regularization == "group_lasso" or self.smooth_strength > 0:
            raise UsageError(
                "feature_group_size is needed by regularization='group_lasso' and by smooth_strength > 0; give the "
                "list of columns per group."
            )
        self.n_features, self.n_responses, self.feature_group_size = n_features, n_responses, feature_group_size
        return X, Y

    def _keep_fit(self, kind: Any, X: np.ndarray, Y: np.ndarray, verbose: bool, **more: Any) -> Any:
        """Fit popglm's estimator of this kind at the translated parameters and keep what it found."""
        factor = FACTORS[self.loss_type]
        tol = float(np.clip(self.num_iter_check * self.convergence_tol, MIN_TOL, MAX_TOL))
        # fifty steps of an optimiser count as one of popglm's iterations
        solvers: dict[str, dict[str, Any]] = {
            "auto": {"solver": "auto"},
            "first-order": {"solver": self._first_order, "max_iter": math.ceil(self.max_iter_per_lambda / 50)},
        }
        estimator = kind(
            family=FAMILIES[self.loss_type],
            inverse_link=LINKS[self.activation],
            penalty=self.regularization,
            l1_ratio=self.l1_ratio if self.regularization == "elastic_net" else None,
            smoothness=2 * self.smooth_strength / factor,
            # labels, since a size of 1 per column could be one label too
            feature_groups=None
            if self.feature_group_size is None
            else [f"group{g}" for g, size in enumerate(self.feature_group_size) for _ in range(size)],
            lambdas=self.lambda_series / factor,
            tol=tol,
            # single precision certifies little more than a ten-thousandth
            precision="float32" if np.isclose(tol, MAX_TOL) else "float64",
            verbose=int(verbose),
            **solvers[self.solver],
            **more,
        )
        began = time.perf_counter()
        with warnings.catch_warnings():
            # strengths are selected later, by another rule
            warnings.filterwarnings("ignore", "The selected strength lies at an end", PopglmWarning)
            estimator.fit(X, Y)
        self.w_series = series_of(estimator.coef_path_, estimator.intercept_path_)
        strength, objective = estimator.trace_["strength"].to_numpy(), estimator.trace_["objective"].to_numpy()
        self.loss_trace, self.lambda_trace = factor * objective, self.lambda_series[strength]
        self.fitted, self.selected = True, False
        if verbose:
            for k, lam in enumerate(self.lambda_series):
                print(f"lambda = {lam:.3e}: loss = {self.loss_trace[strength == k][-1]:.6f}")
            print(f"{self.n_responses} responses fitted in {time.perf_counter() - began:.2f} s")
        return estimator

    def _take(self, index: np.ndarray) -> None:
        self.selected_lambda_ind, self.selected_lambda = index, self.lambda_series[index]
        self.selected_w, self.selected_w0 = at_strengths(self.w_series, index)
        self.selected = True

    def _not_below(self, index: np.ndarray, min_lambda: float) -> np.ndarray:
        """Indices that go no further than the last λ ≥ min_lambda."""
        min_lambda = check_number("min_lambda", min_lambda, 0)
        return np.minimum(index, max(int(np.sum(self.lambda_series >= min_lambda)) - 1, 0))

    def _deviance(self, X: np.ndarray, Y: np.ndarray, w: np.ndarray, w0: np.ndarray) -> np.ndarray:
        # from the linear predictor: no rate is too small and no probability too close to 1
        loss = get_family(FAMILIES[self.loss_type], LINKS[self.activation])
        return recorded_sum(loss.deviance(product64(X, w.T) + w0, Y), Y)

    def _check_features(self, name: str, X: ArrayLike) -> np.ndarray:
        values = as_features(name, X)
        if values.shape[1] != self.n_features:
            raise UsageError(f"{name} has {values.shape[1]} columns; the model was fitted to {self.n_features}.")
        if complaint := of_other_session(self._scaling, X, name=name):
            raise UsageError(complaint)
        return values

    def _check_pair(self, name_X: str, X: ArrayLike, name_Y: str, Y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        check_same_rows(name_X, X, name_Y, Y)
        X, Y = self._check_features(name_X, X), as_matrix(name_Y, Y)
        if Y.shape != (len(X), self.n_responses):
            raise UsageError(
                f"{name_Y} has shape {Y.shape}; beside {name_X} with {len(X)} samples and a model of "
                f"{self.n_responses} responses it must have ({len(X)}, {self.n_responses})."
            )
        return X, check_responses(Y, len(X), get_family(FAMILIES[self.loss_type]), name_neurons(Y))

    def _require(self, done: bool, method: str, before: str) -> None:
        if not done:
            raise UsageError(f"{method} comes after {before}; call {before} first.")

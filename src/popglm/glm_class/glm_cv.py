"""`GLM_CV`: strengths selected by cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import GroupKFold, KFold

from popglm import estimators
from popglm.glm_class.checks import UsageError, check_flag, check_number, check_rows, check_whole
from popglm.glm_class.deviances import make_prediction
from popglm.glm_class.figures import draw_selection
from popglm.glm_class.glm import GLM, LAMBDA_SERIES
from popglm.glm_class.series import at_strengths, series_of
from popglm.statistics.selection import select_strengths
from popglm.warnings import PopglmWarning, warn

__all__ = ["GLM_CV"]


class GLM_CV(GLM):
    """`GLM` with strengths selected by cross-validation.

    Parameters
    ----------
    n_folds : int
    auto_split : bool
        Make the folds; otherwise `fit` is given them.
    split_by_group : bool
        Keep samples of one group (trial) in one fold, by scikit-learn's GroupKFold; otherwise shuffle samples
        into folds by its KFold.
    split_random_state : int, RandomState or None
        Of that shuffle.
    activation, loss_type, regularization, lambda_series, l1_ratio, smooth_strength, optimizer, learning_rate, \
momentum, min_iter_per_lambda, max_iter_per_lambda, num_iter_check, convergence_tol, solver
        As in `GLM`.

    Attributes
    ----------
    train_idx, val_idx : dict of ndarray of int
        Rows per fold; ``train_idx[n_folds]`` is all rows.
    w_series_dict : dict
        ``w_series`` of every fold; under ``n_folds`` that of the fit to all samples, which is ``w_series``.
    X_fit, Y_fit : ndarray
        The data of `fit`.
    all_prediction : list over λ of ndarray, shape (n_samples, n_responses)
        Held-out prediction of every sample, NaN where no fold holds it out; computed when first asked for.
    all_deviance : list over λ of ndarray, shape (n_folds, n_responses)
        Summed over the fold's held-out samples.
    min_lambda, min_lambda_ind : ndarray, shape (n_responses,)
        λ of the least average held-out deviance, and its index.
    selected_frac_dev_expl_cv : ndarray, shape (n_responses,)
        Fraction deviance explained over all held-out samples.
    **others**
        As in `GLM`, from the fit to all samples.

    Raises
    ------
    UsageError
        For an unknown name or a number out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from popglm import glm_class as glm
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((600, 3))
    >>> Y = rng.poisson(np.exp(X @ [[0.8, 0.0], [0.0, -0.5], [0.0, 0.0]]))
    >>> model = glm.GLM_CV(n_folds=3, regularization="group_lasso", lambda_series=10.0 ** np.linspace(0, -3, 4))
    >>> model.fit(X, Y, group_idx=np.repeat(np.arange(60), 10), feature_group_size=[1, 1, 1], verbose=False)
    >>> model.select_model(se_fraction=1.0, make_fig=False)
    >>> model.selected_frac_dev_expl_cv.round(1)
    array([0.4, 0.2])
    """

    def __init__(
        self,
        n_folds: int = 5,
        auto_split: bool = True,
        split_by_group: bool = True,
        split_random_state: Any = None,
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
        super().__init__(
            activation, loss_type, regularization, lambda_series, l1_ratio, smooth_strength, optimizer, learning_rate,
            momentum, min_iter_per_lambda, max_iter_per_lambda, num_iter_check, convergence_tol, solver=solver,
        )  # fmt: skip
        self.n_folds = check_whole("n_folds", n_folds)
        self.auto_split, self.split_by_group = (
            check_flag("auto_split", auto_split),
            check_flag("split_by_group", split_by_group),
        )
        self.split_random_state = split_random_state

    def fit(  # type: ignore[override]  # the interface of `glm_class`: folds come before starts
        self,
        X: ArrayLike,
        Y: ArrayLike,
        train_idx: Mapping[int, ArrayLike] | None = None,
        val_idx: Mapping[int, ArrayLike] | None = None,
        group_idx: ArrayLike | None = None,
        initial_w: ArrayLike | None = None,
        initial_w0: ArrayLike | None = None,
        feature_group_size: Sequence[int] | None = None,
        verbose: bool = True,
    ) -> None:
        """Fit all responses over all strengths, to the training samples of every fold and to all samples.

        Parameters
        ----------
        X, Y, initial_w, initial_w0, feature_group_size, verbose
            As in `GLM.fit`.
        train_idx, val_idx : mapping of fold to array of int, optional
            With ``auto_split=False``: rows to fit and rows to hold out, for folds 0 … n_folds − 1.
        group_idx : array-like, shape (n_samples,), optional
            Group (trial) of every sample, needed by ``auto_split=True`` with ``split_by_group=True``.

        Raises
        ------
        UsageError, ValueError
            For shapes that do not fit together, folds that are missing, or values that cannot be fitted.

        Warns
        -----
        PopglmWarning
            If folds are given under ``auto_split=True``; and as `popglm.GLMCV.fit` does.
        """
        X, Y = self._check_data(X, Y, initial_w0, initial_w, feature_group_size)
        self.train_idx, self.val_idx = self._split(len(X), train_idx, val_idx, group_idx)
        self.__dict__.pop("all_prediction", None)
        cv = [(self.train_idx[fold], self.val_idx[fold]) for fold in range(self.n_folds)]
        estimator = self._keep_fit(estimators.GLMCV, X, Y, verbose, cv=cv)
        # all_prediction is computed later, and the caller may ablate columns of X in place before
        self.X_fit, self.Y_fit = X.copy(), Y
        paths = zip(estimator.cv_coef_path_, estimator.cv_intercept_path_, strict=True)
        self.w_series_dict = {fold: series_of(*path) for fold, path in enumerate(paths)}
        self.w_series_dict[self.n_folds] = self.w_series
        self.all_deviance = list(estimator.cv_deviance_.swapaxes(0, 1))
        self._explained = estimator.cv_deviance_explained_path_

    def select_model(  # type: ignore[override]  # the interface of `glm_class`: no validation data
        self, se_fraction: float = 1.0, min_lambda: float = 0.0, make_fig: bool = True
    ) -> None:
        """Take, per response, the largest λ whose average held-out deviance is close enough to the least.

        Close enough is se_fraction times the standard error at the least: the standard deviation over folds (ddof 0)
        over √n_folds.

        Parameters
        ----------
        se_fraction : float
            0 for the least deviance, 1 for the one-standard-error rule.
        min_lambda : float
            Above the smallest λ, no strength after the last one ≥ min_lambda is taken.
        make_fig : bool
            Draw the held-out fraction deviance explained over the strengths, and its distribution.

        Raises
        ------
        UsageError
            Before `fit`, or for a negative number.
        """
        self._require(self.fitted, "select_model", "fit")
        se_fraction = check_number("se_fraction", se_fraction, 0)
        held_out, lambdas = np.stack(self.all_deviance, axis=1), self.lambda_series[:, None]
        self.min_lambda_ind = select_strengths(held_out, lambdas)
        self.min_lambda = self.lambda_series[self.min_lambda_ind]
        self._take(self._not_below(select_strengths(held_out, lambdas, se_fraction), min_lambda))
        self.selected_frac_dev_expl_cv = self._explained[self.selected_lambda_ind, np.arange(self.n_responses)]
        if make_fig:
            draw_selection(self.lambda_series, self.selected_lambda_ind, self._explained)

    def make_prediction_cv(self, X_ablated: ArrayLike) -> np.ndarray:
        """Mean response of each sample by the fold that held it out, at the selected strengths.

        Parameters
        ----------
        X_ablated : array-like, shape (n_samples, n_features)
            The samples of `fit`, possibly with columns set to zero or shuffled.

        Returns
        -------
        ndarray, shape (n_samples, n_responses)
            NaN where no fold holds the sample out; the last fold's where several do.

        Raises
        ------
        UsageError
            Before `select_model`, or for another shape than in `fit`.
        """
        self._require(self.selected, "make_prediction_cv", "select_model")
        X_ablated = self._check_features("X_ablated", X_ablated)
        if len(X_ablated) != len(self.Y_fit):
            raise UsageError(f"X_ablated has {len(X_ablated)} samples; the model was fitted to {len(self.Y_fit)}.")
        return self._held_out(X_ablated, self.selected_lambda_ind)

    @cached_property
    def all_prediction(self) -> list[np.ndarray]:
        """Held-out prediction at every λ; (n_samples, n_responses) each."""
        self._require(self.fitted, "all_prediction", "fit")
        return [self._held_out(self.X_fit, np.full(self.n_responses, k)) for k in range(self.n_lambdas)]

    def _held_out(self, X: np.ndarray, index: np.ndarray) -> np.ndarray:
        prediction = np.full((len(X), self.n_responses), np.nan, X.dtype)
        for fold, rows in self.val_idx.items():
            w, w0 = at_strengths(self.w_series_dict[fold], index)
            prediction[rows] = make_prediction(X[rows], w, w0, self.activation)
        return prediction

    def _split(self, n_samples, train_idx, val_idx, group_idx) -> tuple[dict, dict]:
        folds = range(self.n_folds)
        if self.auto_split:
            if train_idx is not None or val_idx is not None:
                warn(
                    "train_idx and val_idx have no effect under auto_split=True; use auto_split=False for these folds.",
                    PopglmWarning,
                )
            if self.split_by_group and group_idx is None:
                raise UsageError("group_idx is needed by split_by_group=True; give the group (trial) of every sample.")
            if self.split_by_group and np.shape(group_idx) != (n_samples,):
                raise UsageError(f"group_idx has shape {np.shape(group_idx)}; X has {n_samples} samples.")
            shuffled = KFold(self.n_folds, shuffle=True, random_state=self.split_random_state)
            splitter = GroupKFold(self.n_folds) if self.split_by_group else shuffled
            pairs = list(splitter.split(np.zeros(n_samples), groups=group_idx if self.split_by_group else None))
            train, val = ({fold: pairs[fold][part] for fold in folds} for part in (0, 1))
        else:
            train = {fold: check_rows("train_idx", train_idx, fold, n_samples) for fold in folds}
            val = {fold: check_rows("val_idx", val_idx, fold, n_samples) for fold in folds}
            if self.n_folds in train_idx:
                everything = check_rows("train_idx", train_idx, self.n_folds, n_samples)
                if not np.array_equal(np.sort(everything), np.arange(n_samples)):
                    raise UsageError(f"train_idx[{self.n_folds}], the last fit, must be all {n_samples} samples once.")
        train[self.n_folds] = np.arange(n_samples)
        return train, val

"""What a cross-validated fit says of held-out rows, in a few numbers, and after it was read from a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_fitted
from popglm.engines import like
from popglm.estimators.base import PopulationGLM
from popglm.estimators.deviance_loss import fitted_loss, known_in, scored_by_folds, trained_folds
from popglm.estimators.features import check_features
from popglm.estimators.grid_ends import at_ends
from popglm.estimators.validation import check_offset
from popglm.labels import Rows
from popglm.messages import listed
from popglm.solve.sparse.rows import parts_of, some_rows
from popglm.warnings import PopglmWarning, warn

__all__ = ["WITHOUT_FOLDS", "CrossValidated"]

#: What a fit without folds is, to messages.
WITHOUT_FOLDS = "a LowRankGLM without folds, which are fitted where low_rank, lambdas or ridge is a sequence"


class CrossValidated(PopulationGLM):
    """Base of `GLMCV` and of `LowRankGLM`; see there."""

    cv_trained_: np.ndarray

    def _keep_trained(self, s: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Set which folds train on anything of a neuron, whose samples ``s`` counts, and name those that do not."""
        # of a neuron that is known nowhere nothing is scored
        self.cv_trained_ = trained_folds(s, splits) | ~(s > 0).any(axis=0)
        held_out = known_in([test for _, test in splits], s)
        lost = np.argwhere(~self.cv_trained_ & held_out)
        if len(lost):
            some = listed(f"{self.neuron_names_[j]} (fold {fold})" for fold, j in lost)
            warn(
                f"Some fold trains on no sample of a neuron that it holds samples out of, and neither predicts nor "
                f"scores these: {some}. Use folds that all train on samples of every neuron, or leave it out.",
                PopglmWarning,
            )

    def _restore_folds(self, about: dict[str, Any]) -> None:
        if hasattr(self, "cv_trained_"):
            self.cv_trained_ = self.cv_trained_.astype(bool)
        self.held_out_once_ = about["held_out_once"]
        se_fraction, min_lambda = about.get("rule") or (self.se_fraction, self.min_lambda)
        self.selection_rule_ = float(se_fraction), float(min_lambda)
        # files of revisions that fitted every neuron at all strengths do not count these
        if not hasattr(self, "n_lambdas_fitted_"):
            self.n_lambdas_fitted_ = np.full(self.lambda_path_.shape[1], len(self.lambda_path_))
        self.splits_ = None
        if about["folds_train_on_the_rest"]:
            tests = [self.fold_ == fold for fold in range(len(self.cv_deviance_))]
            self.splits_ = [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests]

    def predict_held_out(self, X: Any = None, offset: Any = None) -> np.ndarray:
        """Mean response of each training row by the fold that did not see it.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_samples, n_features), optional
            The rows of `fit`, possibly with columns ablated; those of `fit` unless given.
            Rows with labels may stand in any order; the result has the order of `fit`.
            What has no labels, such as an array as `offset`, stands beside the rows of X.
        offset : float or array-like, shape (n_samples,), optional
            As in `fit`, and needed if that had one; 0 asks for none.

        Returns
        -------
        ndarray, shape (n_samples, n_neurons) or (n_samples,)
            NaN in rows that no fold held out, and where the fold that did trained on no sample of the neuron. Its
            type is that of `predict`.

        Raises
        ------
        ValueError
            If there are no folds, rows are held out by more than one of them, X has other rows than in `fit`, or X is
            not given and the model comes from a file; if the model was fitted with an offset and none is given.
        """
        if hasattr(self, "lambda_index_") and not hasattr(self, "fold_"):
            raise ValueError(f"predict_held_out: this is {WITHOUT_FOLDS}.")
        check_fitted(self, "fold_", "predict_held_out")
        if not self.held_out_once_:
            raise ValueError("cv holds some rows out more than once, so their held-out prediction is not one number.")
        if X is None:
            X = getattr(self, "_X_fit", None)
            if X is None:
                raise ValueError("X is needed: a model from a file or a pickle does not carry its training data.")
        values = check_features(self, X, reset=False)
        if len(values) != len(self.fold_):
            raise ValueError(f"X has {len(values)} rows; the model was fitted to {len(self.fold_)}.")
        rows = Rows.of_fit(self.sample_labels_, X)
        order = rows.given
        values = values if order is None else some_rows(values, order)
        offset = check_offset(self, offset, len(values), rows, "predict_held_out")
        mu = np.full((len(values), len(self.lambda_index_)), np.nan, self._type_of_means(values))
        links = [fitted_loss(self, folds=fold).link for fold in range(len(self.cv_coef_path_))]
        for first, last, block in parts_of(values):
            for fold, link in enumerate(links):
                held = np.flatnonzero(self.fold_[first:last] == fold)
                shift = None if offset is None else offset[first + held]
                eta = self._eta(some_rows(block, held), self.cv_coef_[fold], self.cv_intercept_[fold], shift)
                with np.errstate(over="ignore"):
                    mu[first + held] = link.mean(np, eta)
        mu[scored_by_folds(self, np.ones(mu.shape), self.fold_) == 0] = np.nan
        if np.isinf(mu).any():
            fold = self.fold_[np.flatnonzero(np.isinf(mu).any(axis=1))[0]]
            self._warn_of_infinite(mu, values, self.cv_coef_[fold], offset, "predict_held_out")
        return like(mu[:, 0] if self._one_neuron else mu, X, exact=mu.dtype != values.dtype)

    def summary(self) -> pd.Series:
        """The fit in a few numbers, among them how many neurons beat the null model on held-out samples.

        Returns
        -------
        Series
            Neurons at the weakest strength have selected the last one of their grid; those at the strongest its first
            one, though it has weights and beats the null model. A longer grid might serve both better.

        Examples
        --------
        >>> import numpy as np
        >>> from popglm import GLMCV
        >>> X = np.random.default_rng(0).standard_normal((200, 2))
        >>> y = np.random.default_rng(1).poisson(np.exp(X[:, 0]))
        >>> int(GLMCV(penalty="lasso").fit(X, y).summary()["neurons that beat the null"])
        1
        """
        check_fitted(self, "cv_deviance_explained_", "summary")
        explained = self.cv_deviance_explained_
        weakest, strongest = at_ends(self, explained, self.cv_coef_path_[:, 0])
        return pd.Series(
            {
                "neurons": len(explained),
                "neurons fitted as null": int(self.null_fitted_.sum()),
                "neurons selected as null": int((self.lambda_index_ == len(self.lambda_path_)).sum()),
                "neurons that beat the null": int((explained > 0).sum()),
                "neurons at the weakest strength": len(weakest),
                "neurons at the strongest strength": len(strongest),
                "held-out deviance explained, median": pd.Series(explained).median(),
                "held-out deviance explained, mean": pd.Series(explained).mean(),
                "strength, median": float(np.median(self.lambda_)),
                "largest gap": float(np.nanmax(np.concatenate([self.gap_[None], self.cv_gap_]))),
            },
            name=f"{self.family}, {self.penalty}",
        )

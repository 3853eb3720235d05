"""What a fit of low rank leaves on a `LowRankGLM`, what it says of itself, and how that gets into files and back."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_fitted
from popglm.engines import like
from popglm.estimators.cross_validated import CrossValidated
from popglm.estimators.deviance_loss import held_out_null_deviance
from popglm.estimators.features import check_features
from popglm.estimators.low_rank_folds import Candidates, ChosenFit
from popglm.estimators.validation import over_neurons, warn_neurons
from popglm.solve.low_rank.layout import Layout
from popglm.solve.low_rank.population import LowRankFit
from popglm.solve.passes.coordinates import product64
from popglm.solve.sparse.rows import parts_of
from popglm.statistics.null import NullModels
from popglm.statistics.penalties import Penalty
from popglm.statistics.selection import at_strengths, fraction_explained, mean_and_error
from popglm.warnings import ConvergenceWarning, PopglmWarning, warn

__all__ = ["LowRankResults"]

#: What folds leave, and a fit without has not.
_OF_FOLDS = (
    *(
        "fold_",
        "splits_",
        "held_out_once_",
        "cv_trained_",
        "selection_rule_",
        "cv_candidate_deviance_",
        "cv_coef_path_",
        "cv_coef_",
    ),
    *("cv_intercept_path_", "cv_intercept_", "cv_gap_", "cv_n_iter_", "cv_deviance_", "cv_null_deviance_"),
    *("cv_deviance_explained_", "cv_deviance_explained_path_", "n_lambdas_fitted_", "cv_family_parameters_path_"),
    *("cv_family_parameters_", "cv_null_family_parameters_", "cv_deviance_parameters_", "cv_null_intercept_"),
    *("cv_null_model_deviance_", "cv_constant_deviance_", "cv_null_coef_"),
)


class LowRankResults(CrossValidated):
    """Base of `LowRankGLM`; see there."""

    tol: float

    def _keep_fit(self, fit: LowRankFit, layout: Layout, null: NullModels) -> None:
        """Set weights and certificates."""
        q, dtype, found = len(self.neuron_names_), np.dtype(self.precision.replace("tf32", "float32")), fit.found
        self.coef_path_, self.intercept_path_ = fit.coef[None].astype(dtype), fit.intercept[None]
        self.gap_ = np.full((1, q), found.gap)
        self.n_iter_, self.loss_path_ = np.full((1, q), found.n_iter), fit.losses[None]
        self.slope_, self.is_global_ = float(found.slope), bool(found.gap <= self.tol)
        strength = float(self.candidates_["lambda"][self.candidate_])
        self.low_rank_ = int(self.candidates_["low_rank"][self.candidate_])
        self.ridge_ = float(self.candidates_["ridge"][self.candidate_])
        self.lambda_path_, self.lambdas_ = np.full((1, q), strength), np.array([strength])
        own = self.loss_.parameters
        self.family_parameters_path_ = {one.name: fit.parameters[None, :, i] for i, one in enumerate(own)}
        self.deviance_parameters_ = {one.name: null.parameters[:, i] for i, one in enumerate(own)}
        self.null_family_parameters_ = {name: value.copy() for name, value in self.deviance_parameters_.items()}
        self._keep_factors(fit, layout)

    def _keep_factors(self, fit: LowRankFit, layout: Layout) -> None:
        """Set singular vectors and values, by the names of columns and neurons."""
        q = len(self.neuron_names_)
        whole = fit.found.weights.__class__(fit.A, fit.B, np.zeros((q, 0)), np.zeros((q, 0)), np.zeros(q))
        U, self.singular_values_, V = whole.factored()
        largest = np.take_along_axis(V, np.abs(V).argmax(axis=0)[None], axis=0)[0] if V.shape[1] else np.ones(0)
        sign = np.where(largest < 0, -1.0, 1.0)
        self.low_rank_features_ = layout.low
        self._name_factors(U * sign + 0.0, V * sign + 0.0)

    def _name_factors(self, U: np.ndarray, V: np.ndarray) -> None:
        self.rank_ = len(self.singular_values_)
        dimensions = pd.RangeIndex(1, self.rank_ + 1, name="dimension")
        names = getattr(self, "feature_names_in_", None)
        some = list(self.low_rank_features_ if names is None else names[self.low_rank_features_])
        pairs = all(isinstance(name, tuple) and len(name) == 2 for name in some)
        named: Any = {"names": ["group", "feature"]} if pairs else {"name": "feature"}
        labels = pd.MultiIndex.from_tuples(some, **named) if pairs else pd.Index(some, tupleize_cols=False, **named)
        self.source_loadings_ = pd.DataFrame(U, index=labels, columns=dimensions)
        neurons = pd.Index(self.neuron_names_, name="neuron")
        self.target_loadings_ = pd.DataFrame(V, index=neurons, columns=dimensions)

    def _keep_candidates(
        self,
        candidates: Candidates,
        chosen: ChosenFit,
        splits: list[tuple[np.ndarray, np.ndarray]],
        responses: np.ndarray,
        weights: np.ndarray | None,
        null: NullModels,
    ) -> None:
        """Set what was tried, and what was taken."""
        for name in _OF_FOLDS:
            self.__dict__.pop(name, None)
        self.candidates_, self.candidate_ = candidates.table(), chosen.number
        if not chosen.folds:
            return
        self._keep_splits(splits, len(responses))
        own = self.loss_.parameters
        self.cv_null_intercept_, self.cv_null_model_deviance_ = null.cv_intercept, null.cv_deviance
        self.cv_constant_deviance_, self.cv_null_coef_ = null.cv_deviance, None
        self.cv_deviance_parameters_ = {one.name: null.cv_parameters[..., i] for i, one in enumerate(own)}
        self.cv_null_family_parameters_ = {name: v.copy() for name, v in self.cv_deviance_parameters_.items()}
        tested = np.concatenate([test for _, test in splits])
        weighted = (~np.isnan(responses) * over_neurons(weights)).astype(float)
        self._keep_trained(weighted, splits)
        folds = np.repeat(np.arange(len(splits)), [len(test) for _, test in splits])
        known = np.nan_to_num(responses[tested], nan=0.0)
        self.cv_null_deviance_ = held_out_null_deviance(self, known, weighted[tested], folds)
        self.cv_candidate_deviance_ = deviance = chosen.deviance
        mean, error = mean_and_error(np.nansum(deviance, axis=2)[:, :, None])
        total = np.nansum(deviance, axis=(0, 2))
        explained = fraction_explained(total, np.nansum(self.cv_null_deviance_))
        self.candidates_ = self.candidates_.assign(
            deviance=mean[:, 0],
            standard_error=error[:, 0] if len(splits) > 1 else np.nan,
            deviance_explained=explained,
        )

    def _keep_splits(self, splits: list[tuple[np.ndarray, np.ndarray]], n_samples: int) -> None:
        tested = np.concatenate([test for _, test in splits])
        self.splits_, self.fold_ = splits, np.full(n_samples, -1)
        for fold, (_, test) in enumerate(splits):
            self.fold_[test] = fold
        self.held_out_once_ = len(np.unique(tested)) == len(tested)

    def _keep_held_out(self, fits: list[LowRankFit]) -> None:
        """Set what the folds' fits at the chosen rank and strength are and say."""
        own, dtype = self.loss_.parameters, self.coef_path_.dtype
        self.cv_coef_path_ = np.stack([fit.coef.astype(dtype) for fit in fits])[:, None]
        self.cv_intercept_path_ = np.stack([fit.intercept for fit in fits])[:, None]
        self.cv_family_parameters_path_ = {
            one.name: np.stack([fit.parameters[:, i] for fit in fits])[:, None] for i, one in enumerate(own)
        }
        shape = len(fits), 1, len(self.neuron_names_)
        self.cv_gap_ = np.broadcast_to(np.array([fit.found.gap for fit in fits])[:, None, None], shape).copy()
        self.cv_n_iter_ = np.broadcast_to(np.array([fit.found.n_iter for fit in fits])[:, None, None], shape).copy()
        self.cv_deviance_ = self.cv_candidate_deviance_[:, self.candidate_][:, None]
        self.n_lambdas_fitted_ = np.ones(shape[2], int)
        self.selection_rule_ = float(self.se_fraction), 0.0
        total = np.nansum(self.cv_deviance_, axis=0)
        self.cv_deviance_explained_path_ = fraction_explained(total, self.cv_null_deviance_)
        self.cv_deviance_explained_ = self.cv_deviance_explained_path_[0]

    def _keep(self, index: np.ndarray) -> None:
        super()._keep(index)
        if not hasattr(self, "cv_coef_path_"):
            return
        self.cv_coef_, self.cv_intercept_ = self.cv_coef_path_[:, 0], self.cv_intercept_path_[:, 0]
        self.cv_family_parameters_ = {
            name: at_strengths(path, index, self.cv_null_family_parameters_[name], axis=1)
            for name, path in self.cv_family_parameters_path_.items()
        }

    def take_strengths(self, lambda_index: Any) -> Self:
        """Refuse: strengths of neurons that are fitted together are one."""
        raise TypeError(
            "take_strengths: all neurons of a LowRankGLM have one strength; fit again with lambdas= and low_rank= as "
            "they stand in candidates_."
        )

    def penalty_of(self, neuron: int) -> Penalty:
        """Refuse: there is no penalty of one neuron alone."""
        raise TypeError("penalty_of: the penalty of a LowRankGLM is of all neurons together; none has one of its own.")

    def latent_signals(self, X: Any) -> np.ndarray:
        """What the population tells all of its neurons: X times `source_loadings_`.

        The low-rank part of a neuron's linear predictor is these signals times `singular_values_` times its row of
        `target_loadings_`, to the digits of `coef_`. Beside a column with a large mean these show: standardise columns.

        Parameters
        ----------
        X : array-like, DataFrame, tensor, sparse matrix or RowStream, shape (n_samples, n_features)
            Columns as in the fit.

        Returns
        -------
        ndarray, shape (n_samples, rank)

        Raises
        ------
        ValueError
            If X has other columns than in the fit.

        Examples
        --------
        >>> import numpy as np
        >>> import popglm as pg
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((300, 4))
        >>> Y = np.outer(X[:, 0] - X[:, 1], [1.0, 2.0, 2.0]) + 0.1 * rng.standard_normal((300, 3))
        >>> model = pg.LowRankGLM("gaussian", low_rank=1, lambdas=0).fit(X, Y)
        >>> model.latent_signals(X).shape
        (300, 1)
        >>> model.target_loadings_[1].round(1).tolist()
        [0.3, 0.7, 0.7]
        """
        check_fitted(self, "lambda_index_", "latent_signals")
        values = check_features(self, X, reset=False, who="latent_signals")
        loadings = np.zeros((self.rank_, values.shape[1]))
        loadings[:, self.low_rank_features_] = self.source_loadings_.to_numpy().T
        found = np.concatenate([product64(rows, loadings) for _, _, rows in parts_of(values)])
        return like(found, X, exact=True)

    def summary(self) -> pd.Series:
        """The fit in a few numbers.

        Returns
        -------
        Series
            With folds, held-out deviances too.

        Examples
        --------
        >>> import numpy as np
        >>> import popglm as pg
        >>> X = np.random.default_rng(0).standard_normal((200, 3))
        >>> Y = X @ np.ones((3, 2)) + np.random.default_rng(1).standard_normal((200, 2))
        >>> int(pg.LowRankGLM("gaussian", low_rank=1, lambdas=0.1).fit(X, Y).summary()["rank"])
        1
        """
        check_fitted(self, "lambda_index_", "summary")
        found: dict[str, Any] = {
            "neurons": len(self.neuron_names_),
            "neurons fitted as null": int(self.null_fitted_.sum()),
            "rank, at most": self.low_rank_,
            "rank": self.rank_,
            "strength": float(self.lambdas_[0]),
            "ridge": self.ridge_,
            "gap": float(self.gap_[0, 0]),
            "slope": self.slope_,
        }
        if hasattr(self, "cv_deviance_explained_"):
            explained = pd.Series(self.cv_deviance_explained_)
            found |= {
                "neurons that beat the null": int((explained > 0).sum()),
                "held-out deviance explained, median": explained.median(),
                "held-out deviance explained, mean": explained.mean(),
            }
        return pd.Series(found, name=f"{self.family}, rank {self.rank_}")

    def _warn_of_fit(self, fit: LowRankFit) -> None:
        warn_neurons(
            "Fitted as the null model, since their activity is missing, constant, silent or a single event",
            np.flatnonzero(self.null_fitted_),
            self.neuron_names_,
        )
        self._warn_of_few_events(~self.null_fitted_)
        self._warn_of_ends()
        if not self.slope_ <= self.tol:
            precise = "" if self.precision == "float64" else ", or use precision='float64'"
            warn(
                f"The gradient is not within tol={self.tol:g} after {fit.found.n_iter} of max_iter={self.max_iter} "
                f"evaluations, or as far as precision={self.precision!r} goes: slope_ is {self.slope_:.2g}. Raise "
                f"max_iter or tol{precise}.",
                ConvergenceWarning,
            )

    def _warn_of_ends(self) -> None:
        """Tell of a choice at an end of what was tried, beyond which more might be gained."""
        if not hasattr(self, "fold_"):
            return
        ranks, strengths = self.candidates_["low_rank"], self.candidates_["lambda"]
        strength, found = self.lambdas_[0], []
        if ranks.nunique() > 1 and self.low_rank_ == ranks.max() and self.rank_ == self.low_rank_:
            found.append(f"the rank {self.low_rank_} is the largest of low_rank")
        if strengths.nunique() > 1 and self.rank_ and strength == strengths.min():
            found.append(f"the strength {strength:.3g} is the smallest that was tried")
        if strengths.nunique() > 1 and self.rank_ and strength == strengths.max():
            found.append(f"the strength {strength:.3g} is the largest that was tried")
        ridges = self.candidates_["ridge"]
        if ridges.nunique() > 1 and self.ridge_ in (ridges.min(), ridges.max()):
            found.append(f"the ridge {self.ridge_:.3g} is at an end of those tried")
        if found:
            warn(
                f"The best of candidates_ lies at an end: {' and '.join(found)}; others beyond may do better.",
                PopglmWarning,
            )

    def to_xarray(self) -> xr.Dataset:
        """Everything fitted as an `xarray.Dataset`, as of `GLM`, with dimensions ``latent``, ``loading`` and
        ``candidate`` too.
        """
        data = super().to_xarray()
        variables: dict[str, Any] = {
            "singular_values": ("latent", self.singular_values_),
            "source_loadings": (("loading", "latent"), self.source_loadings_.to_numpy()),
            "target_loadings": (("neuron", "latent"), self.target_loadings_.to_numpy()),
            "low_rank_features": ("loading", self.low_rank_features_),
        }
        for name, column in self.candidates_.items():
            variables[f"candidate_{name}"] = ("candidate", column.to_numpy())
        if hasattr(self, "cv_candidate_deviance_"):
            variables["cv_candidate_deviance"] = (("fold", "candidate", "neuron"), self.cv_candidate_deviance_)
        return data.assign(variables)

    def _description(self) -> dict[str, Any]:
        about = super()._description()
        # shapes are for smoothness, which there is not
        del about["parameters"]["feature_shapes"]
        return about | {"candidate": self.candidate_, "slope": self.slope_}

    def restore(self, data: xr.Dataset, about: dict[str, Any]) -> Self:
        self.candidate_, self.slope_ = int(about["candidate"]), float(about["slope"])
        super().restore(data, about)
        self.singular_values_ = data["singular_values"].to_numpy()
        self.low_rank_features_ = data["low_rank_features"].to_numpy()
        self._name_factors(data["source_loadings"].to_numpy(), data["target_loadings"].to_numpy())
        stored = {str(name): data[name].to_numpy() for name in data.data_vars if data[name].dims == ("candidate",)}
        self.candidates_ = pd.DataFrame({name.removeprefix("candidate_"): v for name, v in stored.items()})
        self.low_rank_ = int(self.candidates_["low_rank"][self.candidate_])
        self.ridge_ = float(self.candidates_["ridge"][self.candidate_])
        self.is_global_ = bool(self.gap_[0, 0] <= self.tol)
        if "cv_candidate_deviance" in data:
            self.cv_candidate_deviance_ = data["cv_candidate_deviance"].to_numpy()
        return self

    def _restored_penalty(self, about: dict[str, Any]) -> None:
        """There is no penalty of single neurons."""

    def _restore_folds(self, about: dict[str, Any]) -> None:
        if hasattr(self, "cv_deviance_"):
            super()._restore_folds(about)
            self.cv_deviance_explained_ = self.cv_deviance_explained_path_[0]

"""`LowRankGLM`: the past of a population acts on all of its neurons through a few latent signals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from popglm.checks import check_room, is_number
from popglm.engines import Engine, as_numpy, get_engine
from popglm.estimators.arguments import check_feature_mask, check_lambdas, check_rule, feature_group_sizes
from popglm.estimators.checkpoints import about_arrays, about_folds, about_settings, kept_in
from popglm.estimators.features import check_on_one_machine
from popglm.estimators.group_shapes import group_shapes
from popglm.estimators.low_rank_folds import Candidates, ChosenFit, Population
from popglm.estimators.low_rank_groups import check_ranks, check_ridges, layout_of, low_rank_columns
from popglm.estimators.low_rank_results import LowRankResults
from popglm.estimators.parameters import PRECISIONS
from popglm.estimators.splits import check_folds
from popglm.io.checkpoints import CheckpointFolder
from popglm.messages import shown
from popglm.solve.low_rank.layout import Layout
from popglm.solve.low_rank.population import Data, Settings
from popglm.solve.snapshot import concluded
from popglm.solve.sparse.limits import check_numpy
from popglm.solve.stream import released
from popglm.statistics.families import Family
from popglm.statistics.null import null_models

__all__ = ["LowRankGLM"]


class LowRankGLM(LowRankResults):
    """Generalized linear models of a population in which weights of some groups are together of low rank.

    With `coupling` from all neurons to all, the past of the population acts on everyone through ``low_rank`` latent
    signals: a communication subspace. Over the columns of these groups the weights are W = ABᵀ, and the fit minimises
    over intercepts b, factors A and B, and the weights V of all other columns

        Σ_j [mean of ℓ(y_j, b_j + Xw_j + Uv_j + offset)]  +  λ ‖ABᵀ‖_*  +  ½ ridge ‖V‖²,

    the sum of all neurons' losses. The nuclear norm ‖·‖_*, the sum of singular values, is half of ‖A‖² + ‖B‖² at its
    least. It shrinks latent signals and drops weak ones, so that the rank may end below ``low_rank``. With λ = 0,
    Gaussian activity and no other columns this is reduced-rank regression.

    Parameters
    ----------
    family, inverse_link, power
        As in `GLM`; the loss must be smooth. Neurons add up their losses: Gaussian activity of very different variances
        is better given as z-scores.
    low_rank : int, or sequence of int
        The rank, at most; or ranks that cross-validation chooses from, 0 among them for no coupling at all.
    low_rank_groups : str or sequence of str, optional
        Names, or shell patterns, of the feature groups whose weights are of low rank. Unless given those of `coupling`,
        whose names end with " coupling"; or all where there are none.
    own : {"free", "zero", "low_rank"}
        What becomes of weights from a neuron's past to itself, which are often the strongest and of full rank.
        "free" takes them out of the low-rank part and gives each neuron its own: of its `history` where X has one, else
        of the columns of its coupling. "zero" leaves them out, with `history` or without. "low_rank" treats a neuron as
        any other. Neurons are known by name: "n0 coupling" and "n0 history" are the past of the column "n0" of Y. The
        history of a neuron whose coupling X has, and which Y does not hold, explains nobody. A `history` that was given
        another name, or is of a neuron in neither, is a group like any other, for all neurons.
    lambdas : float, or sequence of float, optional
        λ, or strengths that cross-validation chooses from; 0 for none. One for all neurons: the nuclear norm is of
        their whole matrix of weights, and of none alone. Unless given ``n_lambdas`` between the strength
        from which on there is no coupling and ``lambda_min_ratio`` of it.
    n_lambdas : int
    lambda_min_ratio : float
    ridge : float, or sequence of float
        Strength of the penalty on all other weights, per neuron as of `GLM`; or strengths that cross-validation chooses
        from, one for all neurons.
    feature_groups : optional
        As in `GLM`.
    feature_mask : array-like of bool, optional
        As in `GLM`: what may explain whom. A `history` is for its own neuron without being told; see `own`.
    fit_intercept : bool
    tol : float
        Of ``slope_``; and of ``gap_``, where the rank allows.
    max_iter : int
        Evaluations of all neurons together, in a descent.
    detours : int
        How often a fit whose rank binds takes up one signal more than it may, and drops the weakest again, as long as
        that leads to a better minimum. One doubles the time of such fits; 0 for none. See the Notes.
    cv, se_fraction
        As in `GLMCV`, for ranks and strengths. Folds are fitted where `low_rank`, `lambdas` or `ridge` is a sequence or
        there is a grid, and whole trials are dealt to them where `fit` gets ``groups``. Within ``se_fraction`` standard
        errors of the best, the smallest rank is chosen, and with it the largest strengths.
    engine, device, precision
        As in `GLM`.

    Attributes
    ----------
    low_rank_ : int
        The rank that was given or chosen; the fit has this many latent signals at most.
    rank_ : int
        How many it has.
    singular_values_ : ndarray, shape (rank,)
        Of the low-rank part, falling.
    low_rank_features_ : ndarray of int, shape (n_low_rank_features,)
        Columns of X in the low-rank part.
    source_loadings_ : DataFrame, shape (n_low_rank_features, rank)
        Orthonormal columns: how every column of the low-rank groups enters each latent signal.
    target_loadings_ : DataFrame, shape (n_neurons, rank)
        Orthonormal columns: how every neuron follows each of them; the largest entry is above 0.
    coef_ : ndarray, shape (n_neurons, n_features)
        All weights, those of low rank multiplied out; 0 where `own` or `feature_mask` closes a pair.
    intercept_ : ndarray, shape (n_neurons,)
    feature_mask_ : ndarray of bool, shape (n_features, n_neurons), or None
        What may explain whom, with what `own` and histories close.
    gap_ : ndarray, shape (1, n_neurons)
        How far the objective is, at most, above its least value over weights of any rank, in units of the null models'
        loss: one number for all, since they are fitted together. Far above `tol` where the rank binds. NaN without a
        bound: λ = 0, or a loss that is not convex.
    slope_ : float
        Norm of the gradient in all factors and weights, times their norm, in the same units. What `tol` bounds.
    is_global_ : bool
        Whether ``gap_`` is at most `tol`: then no other weights, of whatever rank, do better. Else the fit is a
        stationary point among weights of rank ``low_rank_``, and only a local minimum is certified.
    candidates_ : DataFrame
        ``low_rank``, ``lambda`` and ``ridge`` of all that was tried; and, with folds, ``deviance``, the mean over folds
        of all neurons' held-out deviance, its ``standard_error`` (the standard deviation over folds, with ddof 0, over
        the square root of their number; NaN for one fold), and ``deviance_explained``, the fraction over all. Rank 0 is
        the same model at every strength, and is fitted once.
    candidate_ : int
        The row that was taken.
    cv_candidate_deviance_ : ndarray, shape (n_folds, n_candidates, n_neurons)
        Summed over held-out samples.
    cv_coef_, cv_intercept_, cv_deviance_, cv_deviance_explained_, fold_, splits_
        With folds, as of `GLMCV` at the chosen rank and strength; not there without.
    lambda_ : ndarray, shape (n_neurons,)
        The strength, the same for all.
    ridge_ : float
        That of all other weights.
    null_intercept_, neuron_names_, feature_group_names_, loss_, null_fitted_, family_parameters_
        As in `GLM`.

    Notes
    -----
    A stationary point of the factored objective at which the gradient in the whole matrix W has no singular value
    above λ is a minimum of the convex problem over all ranks. So ranks above the one at which `is_global_` is true
    change nothing. Latent signals are added one direction of steepest descent at a time; all weights then move together
    by L-BFGS. Where the rank binds, there may be several local minima, the best of which no test finds for sure: in 48
    fits of small networks 6 were not at the best minimum known without `detours`, and 1 was with one.

    Pairs that are closed, as those of `own`, are left out of the loss alone: the low-rank matrix may be anything there,
    as in the completion of a matrix. The problem stays convex, and what is certified holds.

    Rank 0 is a candidate for all neurons together. No neuron for itself falls back on its null model, as in `GLMCV`.

    `predict`, `score`, `evaluate`, `kernels`, `connectivity`, `simulate`, `decode`, `breakdown`, `shapley` by ablation
    and all pictures of these take a `LowRankGLM`; with held-out predictions where there are folds. What fits a model
    again, or tests its weights, does not: `compare`, `significance`, `bootstrap`, `stability_selection`, `wald`,
    `likelihood_ratio`. X may lie on disk, and is read once in every evaluation of a fit; or be sparse.

    References
    ----------
    Semedo, Zandvakili, Machens, Yu & Kohn, "Cortical areas interact through a communication subspace", *Neuron* 102
    (2019). Izenman, "Reduced-rank regression for the multivariate linear model", *Journal of Multivariate Analysis* 5
    (1975). Yee & Hastie, "Reduced-rank vector generalized linear models", *Statistical Modelling* 3 (2003). Srebro,
    Rennie & Jaakkola, "Maximum-margin matrix factorization", *NIPS* 17 (2004). Burer & Monteiro, "Local minima and
    convergence in low-rank semidefinite programming", *Mathematical Programming* 103 (2005). Haeffele & Vidal,
    "Structured low-rank matrix factorization: global optimality, algorithms, and applications", *IEEE Transactions on
    Pattern Analysis and Machine Intelligence* 42 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> spikes = pd.DataFrame(rng.poisson(0.3, (8000, 6)), columns=[f"n{j}" for j in range(6)])
    >>> drive = spikes[["n0", "n1"]].sum(axis=1).shift(fill_value=0)
    >>> for name in ("n3", "n4", "n5"):
    ...     spikes[name] = rng.poisson(0.2 * np.exp(0.5 * drive))
    >>> basis = pg.bumps("lag", n=2, low=1, high=2, width=2)
    >>> X = pg.Design(pg.coupling(spikes.columns, basis)).fit_transform(spikes)
    >>> model = pg.LowRankGLM(low_rank=range(3), lambdas=[0.03]).fit(X, spikes, groups=np.arange(8000) // 50)
    >>> model.rank_, (model.target_loadings_[1].round(1) + 0.0).tolist()
    (1, [0.0, 0.0, 0.0, 0.6, 0.6, 0.6])
    """

    # what other estimators choose, and is no choice here
    penalty, l1_ratio, smoothness, feature_shapes = "low_rank", None, 0.0, None
    schedule, solver, verbose, penalty_factors = "host", "auto", 0, None

    def __init__(
        self,
        family: str = "poisson",
        inverse_link: str | None = None,
        low_rank: Any = 3,
        low_rank_groups: Any = None,
        own: str = "free",
        lambdas: Any = None,
        n_lambdas: int = 5,
        lambda_min_ratio: float = 1e-2,
        ridge: Any = 1e-2,
        feature_groups: Any = None,
        feature_mask: Any = None,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 2000,
        detours: int = 1,
        cv: Any = 5,
        se_fraction: float = 0.0,
        engine: str = "auto",
        device: str | None = None,
        precision: str = "float32",
        power: float | None = None,
    ) -> None:
        self.family = family
        self.inverse_link = inverse_link
        self.low_rank = low_rank
        self.low_rank_groups = low_rank_groups
        self.own = own
        self.lambdas = lambdas
        self.n_lambdas = n_lambdas
        self.lambda_min_ratio = lambda_min_ratio
        self.ridge = ridge
        self.feature_groups = feature_groups
        self.feature_mask = feature_mask
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.detours = detours
        self.cv = cv
        self.se_fraction = se_fraction
        self.engine = engine
        self.device = device
        self.precision = precision
        self.power = power

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        checkpoint: Any = None,
    ) -> LowRankGLM:
        """Choose rank and strength, and fit all neurons together.

        Parameters
        ----------
        X : array-like, DataFrame, tensor, sparse matrix or RowStream, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity. NaN where a neuron was not recorded: the sample drops out for that neuron alone.
        groups : array-like, shape (n_samples,), optional
            Trial of every sample; a trial is never split between folds.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
        offset : array-like, shape (n_samples,), optional
            As in `GLM.fit`.
        checkpoint : path-like, optional
            As in `GLM.fit`. ``se_fraction`` is part of the fit that is kept: what is fitted to all rows depends on it.

        Returns
        -------
        LowRankGLM

        Raises
        ------
        TypeError, ValueError, OSError, KeyboardInterrupt
            For input that cannot be fitted; the sentence names the argument and the place. Of ``checkpoint`` as in
            `GLM.fit`.

        Warns
        -----
        PopglmWarning
            Names neurons that are fitted as the null model; tells of a chosen rank or strength at an end of what was
            tried.
        ConvergenceWarning
            If the gradient of the fit is not within `tol`.
        """
        began = time.perf_counter()
        folder = None if checkpoint is None else CheckpointFolder(checkpoint)
        candidates, choose = self._check_settings()
        values, responses, weights, offset, rows = self._checked(X, y, sample_weight, offset)
        check_on_one_machine(values, "LowRankGLM")
        loss, layout = self._loss(), self._lay_out(X, values)
        self._keep_about(X, (values, responses, weights, offset, rows), loss)
        splits = check_folds(self.cv, len(values), groups, rows, responses) if choose else []
        check_rule(self.se_fraction, 0.0, len(splits))
        engine = self._engines([X, y, sample_weight, offset])
        check_numpy(values, engine())
        settings = Settings(bool(self.fit_intercept), float(self.tol), int(self.max_iter), int(self.detours))
        null = null_models(loss, responses, weights, offset, splits, settings.fit_intercept)
        population = Population(engine, loss, layout, Data(values, responses, weights, offset), null, settings)

        def about() -> dict[str, str]:
            return self._about_population(population, candidates, splits)

        with np.errstate(all="ignore"), released(values), kept_in(folder, about) as kept:
            chosen = concluded(
                kept, ChosenFit, lambda: population.choose(candidates, splits, float(self.se_fraction), kept)
            )
        self.loss_, self.null_fitted_ = loss, ~chosen.fittable
        self.n_events_, self.null_margin_ = null.n_events, null.margin
        self.null_intercept_, self.null_coef_ = null.intercept, None
        tried = replace(candidates, strengths=chosen.strengths)
        self._keep_candidates(tried, chosen, splits, responses, weights, null)
        self._keep_fit(chosen.fit, layout, null)
        if chosen.folds:
            self._keep_held_out([fold.fits[chosen.number] for fold in chosen.folds])
        self._keep(np.zeros(len(self.neuron_names_), int))
        self._X_fit = X
        self._warn_of_fit(chosen.fit)
        self.timings_ = {"total": time.perf_counter() - began}
        return self

    def _about_population(
        self, population: Population, candidates: Candidates, splits: list[tuple[np.ndarray, np.ndarray]]
    ) -> dict[str, str]:
        """What a fit is of: two of which all that is the same end with the same bits on machines of one kind."""
        engine, data, layout = population.engine(), population.data, population.layout
        arrays = {"X": data.X, "y": data.Y, "sample_weight": data.weights, "offset": data.offset}
        arrays |= {"feature_groups": self.feature_group_sizes_, "feature_mask": self.feature_mask_}
        arrays |= {"low_rank_groups and own": np.concatenate([layout.closed, layout.free[layout.low]])}
        arrays |= {"lambdas": candidates.strengths if len(candidates.strengths) else None}
        more = {"se_fraction": self.se_fraction, "low_rank": candidates.ranks, "ridge": candidates.ridges.tolist()}
        settled = about_settings(self, population.loss, engine, 1, **more)
        return about_arrays(engine, arrays) | about_folds(engine, splits) | settled

    def _check_settings(self) -> tuple[Candidates, bool]:
        """Candidates, without strengths where these are a grid; and whether folds have to choose."""
        ranks, choose = check_ranks(self.low_rank)
        for name in ("tol", "lambda_min_ratio"):
            self._check_number(name, 0, strict=True)
        if self.lambda_min_ratio >= 1:
            raise ValueError(f"lambda_min_ratio={shown(self.lambda_min_ratio)} must lie between 0 and 1.")
        for name in ("max_iter", "n_lambdas"):
            self._check_number(name, 1, whole=True)
        self._check_number("detours", 0, whole=True)
        ridges = check_ridges(self.ridge)
        choose |= not is_number(self.ridge)
        check_rule(self.se_fraction, 0.0)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r} is unknown; use one of {', '.join(PRECISIONS)}.")
        ratios = np.geomspace(1, self.lambda_min_ratio, int(self.n_lambdas))
        if self.lambdas is None:
            return Candidates(ranks, np.zeros(0), ridges, ratios), True
        if np.ndim(as_numpy(self.lambdas)) > 1:
            raise ValueError("lambdas must be a strength, or a sequence of them: all neurons of a LowRankGLM share it.")
        strengths = check_lambdas(self.lambdas, ["all"], False)[:, 0]
        return Candidates(ranks, strengths, ridges, ratios), choose or not is_number(self.lambdas)

    def _loss(self) -> Family:
        loss = super()._loss()
        if not loss.is_smooth or loss.has_barrier:
            raise ValueError(
                f"LowRankGLM does not fit family={self.family!r} with inverse_link={loss.link.name!r}, whose loss is "
                "not smooth everywhere; use another inverse link."
            )
        return loss

    def _lay_out(self, X: Any, values: Any) -> Layout:
        """Set groups and what may explain whom."""
        sizes, names = feature_group_sizes(self.feature_groups, X, values.shape[1])
        self.feature_group_sizes_, self.feature_group_names_ = sizes, names
        self.feature_shapes_ = group_shapes(None, X, sizes, names, False)
        self.penalty_factors_ = self.feature_mask_ = None
        mask = check_feature_mask(self.feature_mask, X, sizes, names, self)
        named = self.feature_groups is not None or names != [f"feature{k}" for k in range(values.shape[1])]
        low = low_rank_columns(self.low_rank_groups, names, sizes, named)
        layout = layout_of(self, low, mask, self.own)
        is_open = layout.free.copy()
        is_open[layout.low] |= ~layout.closed
        self.feature_mask_ = None if is_open.all() else is_open
        q, k = layout.columns.shape
        if isinstance(values, np.ndarray):
            check_room(
                f"LowRankGLM: X, with {k:,} columns for each of {q:,} neurons beside it",
                2.0 * values.itemsize * (values.size + q * k * len(values)),
            )
        check_room(f"LowRankGLM: second moments of {k:,} columns for each of {q:,} neurons", 24.0 * q * k * k)
        return layout

    def _engines(self, arrays: list[Any]) -> Callable[[], Engine]:
        """Engines of one kind, one for each fit: what it places is let go with it."""
        device: Any = self.device
        return lambda: get_engine(self.engine, device, self.precision, arrays)

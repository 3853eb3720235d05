"""`SmoothGLM`: curves and maps whose smoothness is chosen per term and neuron, without folds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_choice
from popglm.engines import Engine, get_engine
from popglm.estimators.arguments import check_feature_mask, feature_group_sizes
from popglm.estimators.base import PopulationGLM
from popglm.estimators.group_shapes import group_shapes
from popglm.estimators.smooth_constraints import (
    check_constraints,
    cone_on,
    constrained_columns,
    fill_orders,
    warn_of_orders,
)
from popglm.estimators.smooth_penalties import (
    check_order,
    check_penalties,
    check_smoothing,
    group_penalties,
    kinds_of_mask,
    live_penalties,
    penalty_on,
)
from popglm.estimators.smooth_storage import SmoothStorage
from popglm.estimators.validation import warn_neurons
from popglm.messages import listed
from popglm.shapes import Shape
from popglm.solve.curves.population import SmoothFits, determined_columns, fit_smooth
from popglm.solve.curves.shape_constrained import Cone
from popglm.solve.stream import RowStream
from popglm.statistics.curve_penalties import CurvePenalty
from popglm.statistics.families import FAMILIES, Family
from popglm.statistics.null import null_models
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import response_sums
from popglm.warnings import ConvergenceWarning

__all__ = ["SmoothGLM"]


class SmoothGLM(SmoothStorage, PopulationGLM):
    """Generalized additive models of many neurons: how smooth each curve is, is chosen for every neuron and term.

    A neuron minimises over b, w the mean of ℓ(y, b + Xw + offset) plus ½ Σ_k σ_k wᵀS_kw, and its strengths σ by
    restricted maximum likelihood or generalised cross-validation. Each feature group has a penalty on differences of
    neighbouring weights along each of its axes (two for a place map), and one on what these leave free, such as
    straight lines; so a term that explains nothing goes to 0. No strength is tried out, and nothing is held out.

    Parameters
    ----------
    family : {"poisson", "gaussian", "bernoulli", "binomial", "gamma", "tweedie", "negative_binomial", \
"censored_gaussian"}
        As in `GLM`. The dispersion of the negative binomial, and the standard deviation of the censored Gaussian, have
        the largest likelihood beside the curves, and strengths are chosen again at each, until both stay.
    inverse_link : {"identity", "exp", "sigmoid", "softplus"}, optional
        As in `GLM`; the loss must be convex.
    method : {"reml", "gcv"}
        Restricted (marginal) likelihood, by Laplace's approximation, or generalised cross-validation, which is UBRE
        for activity without an unknown dispersion. REML is less prone to undersmooth.
    order : int
        Of the differences: 1 for steps between neighbours, 2 for bends. Above 2, every line needs more columns than
        that; lines of two columns have steps alone.
    shrink : bool
        Whether what the differences leave free is penalised too, and single columns. Without, straight lines and
        `linear` terms are not held back at all.
    penalties : mapping, optional
        Matrices S of own penalties by the names of groups, ``{"speed": [S1, S2]}``, in place of those above, for the
        weights before z-scoring; an empty list leaves the group without.
    constraints : mapping, optional
        "positive", "negative", "increasing" or "decreasing" by the names of groups: signs of their weights before
        z-scoring, or their order along the group's line. A curve of `splines` whose weights rise does so throughout;
        one of `bumps` does between the second and the last but one centre. Strengths are chosen without constraints.
        Under an order, a column that is constant in X takes the weight of the nearest one that varies. Columns that a
        `Design` sets to 0 in all data keep a weight of 0; a warning tells where that breaks the order, which
        ``Design(..., standardize=False)`` avoids.
    smoothing : float or array-like, shape (n_penalties,) or (n_neurons, n_penalties), optional
        Strengths that are given, in the order of the columns of `smoothing_`; None chooses them. A DataFrame or Series
        with the labels of `smoothing_` may have another order. NaN where a neuron has no strength, as in `smoothing_`.
    feature_groups, feature_shapes, feature_mask : optional
        As in `GLM`. A term that is closed for a neuron has no strength there, and every neuron needs an open column.
    fit_intercept : bool
    tol : float
        Largest derivative of the criterion by the logarithm of a strength, in units of log-likelihood, at which a
        neuron is done.
    max_iter : int
        Steps of the search for strengths.
    power : float, optional
        As in `GLM`.

    Attributes
    ----------
    smoothing_ : DataFrame, shape (n_neurons, n_penalties)
        Strengths σ. Columns are (group, penalty): "axis 1", "axis 2", … in the order of the group's axes, "null space"
        of what their differences leave free, "ridge" of categories. NaN for neurons without a fit.
    edf_ : DataFrame, shape (n_neurons, n_groups)
        Effective degrees of freedom of every term: the part of its columns in the trace of (H + S)⁻¹H, H the Hessian
        of the loss. 0 for a term that was smoothed away.
    criterion_ : ndarray, shape (n_neurons,)
        Minus the restricted log-likelihood, or the score of GCV; both up to a constant of the neuron.
    dispersion_ : ndarray, shape (n_neurons,)
        Of the activity: the residual variance of Gaussian activity, 1 for counts and events.
    slope_ : ndarray, shape (n_neurons,)
        Certificate: what `tol` bounds.
    coef_, intercept_, null_intercept_, neuron_names_, feature_group_names_, feature_shapes_, loss_, null_fitted_, \
family_parameters_, deviance_parameters_
        As in `GLM`. `lambda_` is 0: there is no ridge beside the penalties.
    gap_ : ndarray, shape (1, n_neurons)
        How far the penalised objective can still fall at these strengths, and within the constraints, in units of half
        the mean null deviance: 0 where the conditions of Karush, Kuhn and Tucker hold.
    n_iter_ : ndarray of int, shape (1, n_neurons)
        Evaluations of the criterion.

    Notes
    -----
    The weights that are penalised are those of the basis functions as they were before z-scoring, where X is a
    DataFrame of `Design`, so that the curve is what is smooth; of other X those of its columns.

    `kernels`, `bootstrap`, `goodness_of_fit`, and with ``held_out=False`` `breakdown`, `calibration`,
    `predicted_tuning` and `decode`, take a `SmoothGLM`, and so do all pictures of these, and `compare` and
    `shapley` with ``test``: nothing is held out by the fit itself. `significance` moves X against the activity. What
    needs folds works with `GLMCV`. X has to fit in memory: a search for strengths goes through it hundreds of times.

    References
    ----------
    Wood, "Fast stable restricted maximum likelihood and marginal likelihood estimation of semiparametric generalized
    linear models", *Journal of the Royal Statistical Society B* 73 (2011). Marra & Wood, "Practical variable selection
    for generalized additive models", *Computational Statistics & Data Analysis* 55 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> session = {"phase": rng.uniform(0, 2 * np.pi, 1000), "speed": rng.uniform(0, 1, 1000)}
    >>> design = pg.Design([pg.cyclic_splines("phase", n=8), pg.splines("speed", n=8)])
    >>> Y = rng.poisson(np.exp(np.column_stack([np.sin(session["phase"]), session["speed"]])))
    >>> model = pg.SmoothGLM().fit(design.fit_transform(session), Y)
    >>> model.edf_.round(1) + 0.0  # a straight line is one
             phase  speed
    neuron...
    neuron0    4.6    0.5
    neuron1    0.0    1.3
    """

    # what predictions ask of an estimator, and is no choice here
    penalty, l1_ratio, smoothness = "smooth", None, 0.0
    engine, device, schedule, precision, solver, verbose = "numpy", None, "host", "float64", "auto", 0
    penalty_factors = lambdas = None

    def __init__(
        self,
        family: str = "poisson",
        inverse_link: str | None = None,
        method: str = "reml",
        order: int = 2,
        shrink: bool = True,
        penalties: Any = None,
        constraints: Any = None,
        smoothing: Any = None,
        feature_groups: Any = None,
        feature_shapes: Any = None,
        fit_intercept: bool = True,
        tol: float = 1e-3,
        max_iter: int = 200,
        power: float | None = None,
        feature_mask: Any = None,
    ) -> None:
        self.family = family
        self.inverse_link = inverse_link
        self.method = method
        self.order = order
        self.shrink = shrink
        self.penalties = penalties
        self.constraints = constraints
        self.smoothing = smoothing
        self.feature_groups = feature_groups
        self.feature_shapes = feature_shapes
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.power = power
        self.feature_mask = feature_mask

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, offset: Any = None) -> SmoothGLM:
        """Choose strengths and fit all neurons.

        Parameters
        ----------
        X : array-like, DataFrame or tensor, shape (n_samples, n_features)
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity. NaN where a neuron was not recorded: the sample drops out for that neuron alone.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
        offset : array-like, shape (n_samples,), optional
            As in `GLM.fit`.

        Returns
        -------
        SmoothGLM

        Raises
        ------
        ValueError
            For input that cannot be fitted; the sentence names the argument and the place.

        Warns
        -----
        PopglmWarning
            Names neurons that are fitted as the null model, and groups whose order does not hold where the session
            never was.
        ConvergenceWarning
            Names neurons whose strengths are not at a minimum of the criterion within `tol`.
        """
        began = time.perf_counter()
        self._check_settings()
        values, responses, weights, offset, rows = self._checked(X, y, sample_weight, offset)
        if isinstance(values, RowStream):
            raise ValueError("X is larger than memory, or large and sparse: SmoothGLM does not fit it; use GLMCV.")
        loss = self._loss()
        self._lay_out(X, values)
        self._keep_about(X, (values, responses, weights, offset, rows), loss)
        null = null_models(loss, responses, weights, offset, [], bool(self.fit_intercept))
        known = ~np.isnan(responses)
        s = known * (1.0 if weights is None else weights if weights.ndim == 2 else weights[:, None])
        sums = response_sums(loss, np.where(known, responses, 0.0).T, s.T, [(0, len(values))], offset)
        given = check_smoothing(self.smoothing, self._penalty_names, self._has_strength(sums.fittable(loss)), self)
        engine = get_engine("numpy", None, "float64", [])
        data = values, responses, weights, offset
        with np.errstate(all="ignore"), engine.session():
            fits = self._fit_kinds(loss, data, (sums.fittable(loss), null.intercept, null.parameters), given, engine)
        self.loss_, self.null_fitted_ = loss, np.isnan(fits.criterion)
        self.n_events_, self.null_margin_, self.null_intercept_ = null.n_events, null.margin, null.intercept
        self._keep_parameters_of(fits.parameters, null.parameters)
        self._keep_fits(fits, np.asarray(sums.null, float))
        self._warn_of_smoothing(fits, given is None)
        self.timings_ = {"total": time.perf_counter() - began}
        return self

    def _fit_kinds(
        self, loss: Family, data: tuple, null: tuple, given: np.ndarray | None, engine: Engine
    ) -> SmoothFits:
        """The fits of all neurons, of those with the same open columns at a time."""
        values, responses, weights, offset = data
        fits = SmoothFits.empty(responses.shape[1], values.shape[1], len(self._penalties), *null[1:])
        for neurons, columns in self._kinds:
            live = live_penalties(self._penalties, self.feature_group_sizes_, columns)
            s = weights if weights is None or weights.ndim == 1 else weights[:, neurons]
            strengths = None if given is None else given[np.ix_(neurons, live)]
            settings = self.method, self.tol, int(self.max_iter), bool(self.fit_intercept), strengths
            own = fit_smooth(
                loss, (values, responses[:, neurons], s, offset), tuple(own[neurons] for own in null),
                self._penalty_on(columns, live), settings, engine, columns, self._cone(columns),
            )  # fmt: skip
            self._order_constants(own, values, columns)
            fits.take(own, neurons, live)
        return fits

    def _check_settings(self) -> None:
        check_choice("SmoothGLM", "method", self.method, ("reml", "gcv"))
        self._check_number("order", 1, whole=True)
        self._check_number("tol", 0, strict=True)
        self._check_number("max_iter", 1, whole=True)
        self._check_flag("shrink")

    def _loss(self) -> Family:
        loss = super()._loss()
        if not _is_fitted(loss):
            links = [name for name, own in FAMILIES[self.family].items() if _is_fitted(own)]
            families = [name for name, own in FAMILIES.items() if any(map(_is_fitted, own.values()))]
            instead = f"use inverse_link={links[0]!r}, or" if links else f"it fits {listed(families)}. Or use"
            raise ValueError(
                f"SmoothGLM does not fit family={self.family!r} with inverse_link={loss.link.name!r}, whose loss is "
                f"not convex and smooth everywhere; {instead} GLMCV with smoothness."
            )
        return loss

    def _lay_out(self, X: Any, values: np.ndarray) -> None:
        """Set groups, shapes, penalties, and which columns may have a weight."""
        sizes, names = feature_group_sizes(self.feature_groups, X, values.shape[1])
        self.feature_group_sizes_, self.feature_group_names_ = sizes, names
        self.feature_shapes_ = group_shapes(self.feature_shapes, X, sizes, names, True)
        self.feature_mask_ = check_feature_mask(self.feature_mask, X, sizes, names, self)
        self.penalty_factors_ = None
        self._penalties = self._group_penalties()
        check_order(int(self.order), self._shapes, names, {str(group) for group in self.penalties or ()})
        centred = values.astype(float)
        if self.fit_intercept:
            centred = centred - centred.mean(axis=0)
        # a constant adds to an intercept alone, and stands for one where there is none
        tells = centred.std(axis=0) > 0 if self.fit_intercept else (centred != 0).any(axis=0)
        # what was never visited has no scale, and is 0
        usable = np.isfinite(self._scale) & tells
        self._kinds = [
            (neurons, self._determined(centred, np.flatnonzero(usable & open_)))
            for neurons, open_ in kinds_of_mask(self.feature_mask_, self.neuron_names_, values.shape[1])
        ]

    def _determined(self, centred: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Those of some columns that have a weight."""
        penalty = self._penalty_on(here, live_penalties(self._penalties, self.feature_group_sizes_, here))
        determined = here[determined_columns(centred[:, here], penalty)]
        # what moves along a direction that changes no prediction may still leave the constraints
        held = here[constrained_columns(self._constraints(), self.feature_group_sizes_)[here]]
        return np.union1d(determined, held)

    def _group_penalties(self) -> list[tuple[int, str, np.ndarray]]:
        names = self.feature_group_names_
        given = check_penalties(self.penalties, self.feature_group_sizes_, names)
        return group_penalties(self._shapes, names, given, int(self.order), bool(self.shrink))

    @property
    def _shapes(self) -> list[Shape]:
        return self.feature_shapes_ or [Shape.of("line", int(n)) for n in self.feature_group_sizes_]

    @property
    def _penalty_names(self) -> list[tuple[str, str]]:
        """Group and penalty of every strength."""
        return [(str(self.feature_group_names_[g]), name) for g, name, _ in self._penalties]

    def _has_strength(self, fittable: np.ndarray) -> np.ndarray:
        """Which penalties act on which neurons, (n_neurons, n_penalties)."""
        found = np.zeros((len(fittable), len(self._penalties)), bool)
        for neurons, columns in self._kinds:
            found[np.ix_(neurons, live_penalties(self._penalties, self.feature_group_sizes_, columns))] = True
        return found & fittable[:, None]

    def _constraints(self) -> dict[int, str]:
        return check_constraints(self.constraints, self._shapes, self.feature_group_names_)

    def _cone(self, columns: np.ndarray) -> Cone | None:
        found = self._constraints()
        sizes, scale = self.feature_group_sizes_, self._scale
        return cone_on(found, self._shapes, sizes, scale, columns) if found else None

    def _order_constants(self, fits: SmoothFits, values: np.ndarray, columns: np.ndarray) -> None:
        """Give columns that do not vary the weights of their neighbours where an order is asked; say where none can."""
        found, names = self._constraints(), self.feature_group_names_
        if not found:
            return
        layout = self._shapes, self.feature_group_sizes_, self._scale
        before = fits.coef.copy()
        fill_orders(fits.coef, found, layout, columns)
        if self.fit_intercept:
            # what a constant adds to every sample is the intercept's
            fits.intercept -= (fits.coef - before) @ values.mean(axis=0, dtype=float)
        warn_of_orders(fits.coef, found, layout, names)

    @property
    def _scale(self) -> np.ndarray:
        """What the columns were divided by."""
        return np.ones(self.n_features_in_) if self.feature_scaling_ is None else self.feature_scaling_[1]

    def _penalty_on(self, columns: np.ndarray, live: np.ndarray) -> CurvePenalty:
        penalties = [self._penalties[k] for k in live]
        return penalty_on(penalties, self.feature_group_sizes_, self._scale, columns)

    def _keep_fits(self, fits: SmoothFits, null: np.ndarray) -> None:
        neurons = pd.Index(self.neuron_names_, name="neuron")
        names = self._penalty_names
        columns = pd.MultiIndex.from_tuples(names, names=["group", "penalty"]) if names else None
        self.smoothing_ = pd.DataFrame(fits.strengths, index=neurons, columns=columns)
        starts = np.cumsum(self.feature_group_sizes_) - self.feature_group_sizes_
        degrees = np.add.reduceat(fits.degrees, starts, axis=1)
        self.edf_ = pd.DataFrame(degrees, index=neurons, columns=list(self.feature_group_names_))
        self.criterion_, self.dispersion_, self.slope_ = fits.criterion, fits.dispersion, fits.slope
        self.coef_path_, self.intercept_path_ = fits.coef[None], fits.intercept[None]
        scale = np.where(null > 0, null, 1.0)
        self.gap_, self.loss_path_ = (np.nan_to_num(fits.left) / scale)[None], fits.objective[None]
        self.n_iter_ = fits.n_evaluations[None]
        self.lambda_path_, self.lambdas_ = np.zeros((1, len(neurons))), np.zeros(1)
        self.null_coef_ = None
        self._keep(np.zeros(len(neurons), int))

    def _keep_parameters_of(self, fitted: np.ndarray, null: np.ndarray) -> None:
        """Set the parameters of the family, by their names, where it has some."""

        def named(values: np.ndarray) -> dict[str, np.ndarray]:
            return {own.name: values[..., i].copy() for i, own in enumerate(self.loss_.parameters)}

        self.family_parameters_path_, self.null_family_parameters_ = named(fitted[None]), named(null)
        self.deviance_parameters_ = named(null)

    def penalty_of(self, neuron: int) -> Penalty:
        """The penalty of one neuron, by its number."""
        p = self.n_features_in_
        R, columns = np.zeros((p, p)), next(own for neurons, own in self._kinds if neuron in neurons)
        live = live_penalties(self._penalties, self.feature_group_sizes_, columns)
        strengths = np.nan_to_num(self.smoothing_.to_numpy()[neuron, live])
        R[np.ix_(columns, columns)] = self._penalty_on(columns, live).total(strengths)
        return Penalty(0.0, 1.0, np.ones(p, int), np.ones(p), R)

    def _warn_of_smoothing(self, fits: SmoothFits, is_chosen: bool) -> None:
        names = self.neuron_names_
        warn_neurons(
            "Fitted as the null model, since their activity is missing, constant, silent or a single event",
            np.flatnonzero(self.null_fitted_ & ~fits.failed), names,
        )  # fmt: skip
        warn_neurons(
            "Fitted as the null model, since numbers overflowed or the curvature vanished; look at their activity, or "
            "give strengths by smoothing=",
            np.flatnonzero(fits.failed), names,
        )  # fmt: skip
        self._warn_of_few_events(~self.null_fitted_)
        warn_neurons(
            "Parameters of the family still changed from one fit to the next; look at their activity, or give "
            "strengths by smoothing=",
            np.flatnonzero(fits.unsettled), names, ConvergenceWarning,
        )  # fmt: skip
        if is_chosen:
            warn_neurons(
                f"Strengths are not at a minimum of the criterion within tol={self.tol:g} (slope_ has what is left); "
                "raise max_iter or tol",
                np.flatnonzero(fits.slope > self.tol), names, ConvergenceWarning,
            )  # fmt: skip


def _is_fitted(loss: Family) -> bool:
    """Whether a `SmoothGLM` takes it."""
    return loss.is_convex and loss.is_smooth and not loss.has_barrier

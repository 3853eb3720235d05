"""`SmoothGLM`: curves and maps whose smoothness is chosen per term and neuron, without folds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from popglm.checks import check_choice
from popglm.engines import Engine, get_engine
from popglm.estimators.checkpoints import about_arrays, about_settings, kept_in
from popglm.estimators.features import check_on_one_machine
from popglm.estimators.smooth_penalties import check_smoothing
from popglm.estimators.smooth_results import SmoothResults
from popglm.estimators.validation import over_neurons
from popglm.io.checkpoints import CheckpointFolder
from popglm.messages import listed
from popglm.solve.curves.population import SmoothFits, SmoothSettings, fit_smooth
from popglm.solve.curves.rows import SmoothData
from popglm.solve.snapshot import concluded
from popglm.solve.stream import released
from popglm.statistics.families import FAMILIES, Family
from popglm.statistics.null import null_models
from popglm.statistics.responses import ResponseSums, response_sums

__all__ = ["SmoothGLM"]


class SmoothGLM(SmoothResults):
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
    needs folds works with `GLMCV`.

    X may lie on disk, or be sparse with up to 2,000 columns. A search for strengths asks for sums over the rows
    hundreds of times. On disk the searches of up to 64 neurons wait for each other, and one pass over X answers all of
    them; Gaussian activity takes one pass in all.

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

    def fit(
        self, X: Any, y: Any, *, sample_weight: Any = None, offset: Any = None, checkpoint: Any = None
    ) -> SmoothGLM:
        """Choose strengths and fit all neurons.

        Parameters
        ----------
        X : array-like, DataFrame, tensor, sparse matrix or RowStream, shape (n_samples, n_features)
            One on disk is read once for all neurons whenever their searches wait for its rows.
        y : array-like or DataFrame, shape (n_samples, n_neurons) or (n_samples,)
            Y, the activity. NaN where a neuron was not recorded: the sample drops out for that neuron alone.
        sample_weight : array-like, shape (n_samples,) or (n_samples, n_neurons), optional
        offset : array-like, shape (n_samples,), optional
            As in `GLM.fit`.
        checkpoint : path-like, optional
            As in `GLM.fit`: kept are the neurons that are done, and what the searches of others have found.

        Returns
        -------
        SmoothGLM

        Raises
        ------
        TypeError, ValueError, OSError, KeyboardInterrupt
            For input that cannot be fitted; the sentence names the argument and the place. Of ``checkpoint`` as in
            `GLM.fit`.

        Warns
        -----
        PopglmWarning
            Names neurons that are fitted as the null model, and groups whose order does not hold where the session
            never was.
        ConvergenceWarning
            Names neurons whose strengths are not at a minimum of the criterion within `tol`.
        """
        began = time.perf_counter()
        folder = None if checkpoint is None else CheckpointFolder(checkpoint)
        self._check_settings()
        values, responses, weights, offset, rows = self._checked(X, y, sample_weight, offset)
        check_on_one_machine(values, "SmoothGLM")
        loss, engine = self._loss(), get_engine("numpy", None, "float64", [])
        with engine.session(), released(values):
            self._lay_out(X, values, engine)
            self._keep_about(X, (values, responses, weights, offset, rows), loss)
            null = null_models(loss, responses, weights, offset, [], bool(self.fit_intercept))
            sums = _sums(loss, responses, weights, offset)
            fittable = sums.fittable(loss)
            given = check_smoothing(self.smoothing, self._penalty_names, self._has_strength(fittable), self)
            data = SmoothData(values, responses, weights, offset, self._center, int(bool(self.fit_intercept)))
            settings = SmoothSettings(self.method, self.tol, int(self.max_iter), len(self._penalties))

            def about() -> dict[str, str]:
                return self._about_curves(data, loss, given, engine)

            with np.errstate(all="ignore"), kept_in(folder, about) as kept:
                start = fittable, null.intercept, null.parameters
                fits = concluded(
                    kept, SmoothFits,
                    lambda: fit_smooth(loss, data, start, self._kinds_of_fit(given), settings, engine, kept),
                )  # fmt: skip
        self._order_constants(fits)
        self.loss_, self.null_fitted_ = loss, np.isnan(fits.criterion)
        self.n_events_, self.null_margin_, self.null_intercept_ = null.n_events, null.margin, null.intercept
        self._keep_parameters_of(fits.parameters, null.parameters)
        self._keep_fits(fits, np.asarray(sums.null, float))
        self._warn_of_smoothing(fits, given is None)
        self.timings_ = {"total": time.perf_counter() - began}
        return self

    def _about_curves(self, data: SmoothData, loss: Family, given: np.ndarray | None, engine: Engine) -> dict[str, str]:
        """What a fit is of: two of which all that is the same end with the same bits on machines of one kind."""
        arrays = {"X": data.X, "y": data.Y, "sample_weight": data.weights, "offset": data.offset, "smoothing": given}
        arrays |= {"feature_groups": self.feature_group_sizes_, "feature_mask": self.feature_mask_}
        arrays |= {"the scales of X": self.feature_scaling_}
        arrays |= {
            "penalties, of feature_shapes": np.concatenate([np.zeros(0), *(S.ravel() for _, _, S in self._penalties)])
        }
        constraints = {self.feature_group_names_[g]: kind for g, kind in sorted(self._constraints().items())}
        settled = about_settings(self, loss, engine, 1, constraints=constraints or None)
        return about_arrays(engine, arrays) | settled

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


def _sums(loss: Family, responses: np.ndarray, weights: np.ndarray | None, offset: np.ndarray | None) -> ResponseSums:
    """What a fit needs of the activity before it starts."""
    known = ~np.isnan(responses)
    s = known * over_neurons(weights)
    return response_sums(loss, np.where(known, responses, 0.0).T, s.T, [(0, len(responses))], offset)


def _is_fitted(loss: Family) -> bool:
    """Whether a `SmoothGLM` takes it."""
    return loss.is_convex and loss.is_smooth and not loss.has_barrier

"""How sure the kernels are: re-fits to trials drawn with replacement."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import MOST_DRAWS, check_count, check_fitted, check_room, check_seed, is_number
from popglm.design import Design
from popglm.estimators import GLM, SmoothGLM, TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.part_arguments import PARTS, check_offset_given, offset_of
from popglm.explain.class_refits import class_samples_of_fit
from popglm.explain.class_resampling import refit_classes
from popglm.explain.data_of_fit import (
    check_refittable,
    data_of_fit,
    has_one_minimum,
    has_stages,
    in_stages,
    unfitted,
    way_down,
)
from popglm.explain.maps import check_map
from popglm.explain.part_kernels import kernels_of_parts
from popglm.explain.smooth_refits import curves_of_fit, refit_curves
from popglm.explain.trials import check_trials
from popglm.explain.tuning_kernels import check_design_of, group_slices, kernel_grid, kernels
from popglm.messages import listed, shown
from popglm.warnings import ConvergenceWarning, PopglmWarning, warn

__all__ = ["bootstrap"]

#: Strength, over the largest one, at which neurons are fitted that selected their null models.
ALMOST_NULL = 10.0
#: Re-fits start near their solution; within a looser tolerance they would stop before most of the spread is there.
LOOSEST_TOL = 3e-5
#: What a resample may lack.
_NOTHING = {
    "neuron": "had nothing to fit (silent, constant or a single event)",
    "response": "drew no sample of a class, and do not count there",
}


def bootstrap(
    model: PopulationGLM | CategoricalGLM | TwoPartGLM,
    design: Design,
    X: Any,
    Y: Any,
    *,
    trial: Any,
    n_resamples: int = 100,
    level: float = 0.95,
    seed: int = 0,
    n_points: int = 200,
    units: Mapping[str, str] | None = None,
    sample_weight: Any = None,
    offset: Any = None,
    map: Callable[..., Iterable[Any]] = map,
) -> dict[str, xr.Dataset]:
    """Kernels with bands: the spread of re-fits to trials drawn with replacement.

    Parameters
    ----------
    model : GLM, GLMCV, SmoothGLM or TwoPartGLM, or one of the classifiers
        Fitted to X and Y. Both parts of a `TwoPartGLM` have the same trials drawn.
    design : Design
        Made X.
    X : DataFrame, array-like or RowStream, shape (n_samples, n_features)
    Y : DataFrame or array-like, shape (n_samples, n_neurons) or (n_samples,)
        Those of the fit, or its labels.
    trial : array-like, shape (n_samples,)
        Trial of every sample. Whole trials are drawn, since samples within a trial are not independent.
    n_resamples : int
        Number of re-fits, at least 2.
    level : float
        Coverage of the bands, between 0 and 1.
    seed : int
        Of the generator ``numpy.random.default_rng(seed)``, whose ``integers(n_trials, size=(n_resamples, n_trials))``
        are the trials that are drawn, in order of first appearance; all neurons share them.
    n_points, units
        As in `kernels`.
    sample_weight, offset : array-like, optional
        Those of the fit; the offset of a `TwoPartGLM` is a mapping.
    map : callable, optional
        As Python's ``map``, which is taken unless given: `popglm.dask_map` has the re-fits done by workers of Dask.

    Returns
    -------
    dict of str to xarray.Dataset
        Those of `kernels`, and with the dimensions of ``kernel``: ``lower`` and ``upper``, the percentiles between
        which the given share of the re-fitted kernels lies at each grid point, and ``sem``, their standard deviation
        (ddof 1). The attributes ``level``, ``n_resamples`` and ``seed`` say how.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or as in `kernels`; if X or Y are not those of the fit by labels or, after
        `GLMCV`, by held-out deviance; if the fit had sample weights or an offset that are not given, or those given it
        did not have.

    Warns
    -----
    PopglmWarning
        Once, naming neurons whose re-fits did not all converge, and neurons that had nothing to fit in some resamples
        (weights 0 there). Of a classifier, responses that lacked one of their classes in some resamples, which are then
        left out of the bands.

    Notes
    -----
    A trial that is drawn k times enters with weight k, and re-fits start from the model's weights. Each neuron is
    re-fitted at the strength selected for it, or at its strengths of smoothing. So the bands hold the noise of the
    data, but neither that of the selection nor the bias of the penalty: they lie around the shrunken kernel, and a
    group that is without weights in almost every re-fit has a band of width 0, as all groups have of a neuron that
    ended at its null model. All re-fits are centred on the samples of the fit, as in `kernels`: the band of a straight
    line narrows to nothing at the variable's mean.

    References
    ----------
    Efron & Tibshirani, *An Introduction to the Bootstrap* (1993), sections 8.3 and 13.3.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> session = {"speed": rng.uniform(0, 10, 1000), "trial": np.repeat(np.arange(50), 20)}
    >>> Y = rng.poisson(np.exp(0.1 * session["speed"]))
    >>> design = pg.Design([pg.linear("speed")])
    >>> X = design.fit_transform(session)
    >>> model = pg.GLM(lambdas=[0.001]).fit(X, Y)
    >>> speed = pg.bootstrap(model, design, X, Y, trial=session["trial"], n_resamples=20)["speed"]
    >>> [round(speed[name].sel(speed=10, method="nearest").item(), 2) for name in ("lower", "kernel", "upper")]
    [0.44, 0.49, 0.55]
    """
    check_count("bootstrap", "n_resamples", n_resamples, least=2, most=MOST_DRAWS)
    check_seed(seed, "bootstrap")
    check_map("bootstrap", map, X)
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"bootstrap: level must lie between 0 and 1, as 0.95 does; found {shown(level)}.")
    if isinstance(model, TwoPartGLM):
        check_fitted(model, "cv_deviance_explained_", "bootstrap")
        check_offset_given(model, offset, "bootstrap", refits=True)
        parts = zip(PARTS, (model.events_, model.amounts_), model.split(Y), strict=True)
        each = (
            bootstrap(
                part, design, X, own, trial=trial, n_resamples=n_resamples, level=level, seed=seed, n_points=n_points,
                units=units, sample_weight=sample_weight, offset=offset_of(offset, name), map=map,
            )
            for name, part, own in parts
        )  # fmt: skip
        return kernels_of_parts(*each)
    check_design_of(model, design, "bootstrap", classes=True)
    results = kernels(model, design, n_points=n_points, units=units)
    given = X, Y, sample_weight, offset
    of_classes = isinstance(model, CategoricalGLM)
    prepare = _of_classes if of_classes else _of_curves if isinstance(model, SmoothGLM) else _of_activity
    codes, refit = prepare(model, given, trial)
    if not codes.any():
        raise ValueError("trial holds a single trial; at least 2 are needed to draw from.")
    n_trials, n_neurons, n_features = codes.max() + 1, len(model.neuron_names_), len(design.scales_)
    per_neuron = len(model.classes_) if of_classes else 1
    n_rows = n_neurons * per_neuron
    check_room(f"bootstrap: n_resamples={n_resamples:,} re-fits", 8.0 * n_resamples * (n_trials + n_rows * n_features))
    drawn = np.random.default_rng(seed).integers(n_trials, size=(n_resamples, n_trials))
    weights = np.empty((n_resamples, n_rows, n_features))
    selected = np.isfinite(model.lambda_)
    free = None if selected.all() else model.penalty_.free
    at_null = np.repeat(~selected, per_neuron)
    unfinished, null = np.zeros((2, n_resamples, n_neurons), bool)
    for i, (coef, gap, null_fitted) in enumerate(map(refit, drawn)):
        weights[i] = coef / design.scales_
        weights[i, at_null] *= 0.0 if free is None else free
        unfinished[i], null[i] = (gap > model.tol) & selected, null_fitted & selected
    _warn(model, unfinished.sum(axis=0), np.where(model.null_fitted_, 0, null.sum(axis=0)), n_resamples)

    for group, columns in group_slices(design).items():
        dataset = results[group]
        _, basis = kernel_grid(design, group, n_points)
        lower, upper, sem = _bands(weights[:, :, columns], basis, level)
        dims, shape = dataset["kernel"].dims, dataset["kernel"].shape
        bands = {"lower": lower, "upper": upper, "sem": sem}
        results[group] = dataset.assign({name: (dims, band.reshape(shape)) for name, band in bands.items()})
        results[group].attrs |= {"level": level, "n_resamples": n_resamples, "seed": seed}
    return results


#: Trial of every sample; and what fits again to trials that were drawn: coefficients, gaps, and what had nothing there.
Prepared = tuple[np.ndarray, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]]


def _of_activity(model: PopulationGLM, given: tuple[Any, Any, Any, Any], trial: Any) -> Prepared:
    """What draws again of models of activity, from X, Y, sample weights and offset as `bootstrap` is given them."""
    check_refittable(model, "bootstrap")
    X, Y, weight, offset, labels = data_of_fit(model, *given, "bootstrap", whole=False)
    codes = check_trials(trial, len(X), labels)
    weight = np.ones(len(X)) if weight is None else weight
    return codes, partial(_refit, model, X, Y, weight, offset, codes)


def _of_classes(model: Any, given: tuple[Any, Any, Any, Any], trial: Any) -> Prepared:
    """The same of classifiers."""
    if model.adaptive_factors_ is not None:
        raise ValueError(
            "bootstrap: the model has AdaptiveFactors, which a resample of trials would not find anew; give a "
            "classifier with penalty_factors=None."
        )
    data = class_samples_of_fit(model, *given, "bootstrap")
    codes = check_trials(trial, len(data.X), data.labels)
    return codes, partial(refit_classes, model, data, min(model.tol, LOOSEST_TOL), ALMOST_NULL, codes)


def _of_curves(model: Any, given: tuple[Any, Any, Any, Any], trial: Any) -> Prepared:
    """The same of models whose smoothness was chosen."""
    data = curves_of_fit(model, *given, "bootstrap", whole=False)
    codes = check_trials(trial, len(data.X), data.labels)
    return codes, partial(refit_curves, model, data, codes)


def _refit(
    model: PopulationGLM, X: Any, Y: np.ndarray, weight: np.ndarray, offset: Any, codes: np.ndarray, trials: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The model fitted to trials that were drawn, at each neuron's selected strength.

    Returns coefficients (n_neurons, n_features), gaps (n_neurons,), and which neurons had nothing to fit.
    """
    times = np.bincount(trials, minlength=codes.max() + 1)[codes]
    sample_weight = weight * (times if weight.ndim == 1 else times[:, None])
    selected = np.isfinite(model.lambda_)
    strengths = way_down(model, np.where(selected, model.lambda_index_, 0))
    refit = in_stages(model, model.gamma_) if has_stages(model) else unfitted(model, GLM)
    refit.set_params(
        # a neuron at its null model has no strength: nothing counts of it but what is never penalised
        lambdas=np.where(selected, strengths, ALMOST_NULL * strengths),
        tol=min(model.tol, LOOSEST_TOL),
    )
    start = np.atleast_2d(model.coef_)[None] if has_one_minimum(model) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PopglmWarning)  # `bootstrap` sums them up
        refit.fit(X, Y, sample_weight=sample_weight, offset=offset, start=start)
    return np.atleast_2d(refit.coef_), refit.gap_[-1], refit.null_fitted_


def _bands(weights: np.ndarray, basis: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Percentiles and standard deviation over resamples of weights (n_resamples, n_neurons, n_columns) @ basis.T."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    n_neurons = weights.shape[1]
    lower, upper, sem = np.empty((3, n_neurons, len(basis)))
    for j in range(n_neurons):
        kernel = weights[:, j] @ basis.T
        # of a class that a resample lacks, and of those that a response does not have
        kernel = kernel[~np.isnan(kernel).any(axis=1)]
        if not len(kernel):
            lower[j], upper[j], sem[j] = np.nan, np.nan, np.nan
            continue
        lower[j], upper[j] = np.quantile(kernel, tails, axis=0)
        sem[j] = kernel.std(axis=0, ddof=1) if len(kernel) > 1 else np.nan
    return lower, upper, sem


def _warn(model: Any, unfinished: np.ndarray, null: np.ndarray, n_resamples: int) -> None:
    """One warning for all re-fits."""
    parts = []
    for what, times in (
        (f"did not reach tol={model.tol:g} in max_iter={model.max_iter} steps", unfinished),
        (_NOTHING[model.noun], null),
    ):
        neurons = np.flatnonzero(times)
        if len(neurons):
            parts.append(f"{what}: {listed(f'{model.neuron_names_[j]} ({times[j]})' for j in neurons)}")
    if parts:
        category = ConvergenceWarning if unfinished.any() else PopglmWarning
        message = f"Of {n_resamples} re-fits, {model.noun}s (how often) {'; '.join(parts)}."
        warn(message, category)

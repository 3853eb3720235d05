"""Model breakdown: how much worse a fitted model predicts when a variable is taken out of its input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import check_seed
from popglm.estimators import TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.validation import check_as_in_fit, check_offset
from popglm.explain.binning import Bins, check_bins
from popglm.explain.class_ablation import ClassActivity, ClassPredictor, check_class_matrix
from popglm.explain.contributions import (
    Activity,
    Predictor,
    Tally,
    check_design_matrix,
    neuron_blocks,
    other_than_in_fit,
    rows_of,
)
from popglm.explain.two_parts import tally_of_parts
from popglm.messages import listed, shown
from popglm.solve.stream import read_rows
from popglm.variables import Variables, group_columns, resolve_variables
from popglm.warnings import PopglmWarning, warn

__all__ = ["breakdown", "shares_of_null_deviance"]

METHODS = ("zero", "shuffle", "keep")


def breakdown(
    model: PopulationGLM | CategoricalGLM | TwoPartGLM,
    X: Any,
    Y: Any,
    variables: Variables = None,
    by: Bins | Iterable[Bins] | None = None,
    *,
    method: str = "zero",
    seed: int | None = None,
    held_out: bool = True,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    """Deviance that each variable carries in a fitted model, without a new fit.

    A variable is ablated in the design matrix, the fitted weights predict from what is left, and the rise of the
    deviance is the variable's contribution. Correlated variables share what they explain as the weights share it.

    Parameters
    ----------
    model : GLMCV or TwoPartGLM, or GLM with ``held_out=False``; or one of the classifiers likewise
        Fitted. A `LowRankGLM` with folds is taken as a GLMCV, one without as a GLM.
        Of a `TwoPartGLM` the joint deviance is scored, with a variable ablated in both parts. Responses of a
        classifier stand in the place of neurons. What a variable adds to the predictors of all classes is ablated
        together, and a class weight counts with ``held_out=True``, as in the fit.
    X : array-like, DataFrame, RowStream or sparse matrix, shape (n_samples, n_features)
        The rows of the fit, or any others with ``held_out=False``. One on disk is read once per variable for every
        block of neurons.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
        Their activity, or their labels.
    variables : None, list of str, or mapping, optional
        What to ablate together: a mapping from a variable's name to a group, a shell pattern (``"* × cue"``), a
        callable from group name to bool, or a list of these. A list of groups makes each a variable; None takes every
        group.
    by : Bins or list of Bins, optional
        Bins made by `bins`, of the same rows: where in the task the deviance is carried.
    method : {"zero", "shuffle", "keep"}
        "zero": the variable's columns are set to 0, their mean in a standardised design. "shuffle": its rows are
        permuted over the scored samples, all columns by the same permutation. "keep": all columns *but* the variable's
        are set to 0, and its contribution is what the rest of the model still explains.
    seed : int, optional
        Of the permutations.
    held_out : bool
        Predict each row by the weights of the fold that held it out; else by the weights of the fit to all rows.
    sample_weight, offset : array-like, optional
        As in the fit, and needed if that had them; ``sample_weight=1`` and ``offset=0`` ask for none on purpose. With
        ``held_out=False`` those of the rows of X. The offset of a `TwoPartGLM` is a mapping, as in its fit.

    Returns
    -------
    xarray.Dataset
        Deviances summed over samples, ``null_deviance``, ``full_deviance`` (neuron) and ``reduced_deviance`` (neuron,
        variable); ``deviance_explained`` (neuron); ``fraction_null_deviance`` and ``fraction_explained_deviance``
        (neuron, variable), the contribution over the null and over the explained deviance, 1 at most; the latter is NaN
        where the full model explains nothing. All are NaN for a neuron that was recorded in no scored sample. With
        ``by`` also ``binned_…`` of each, over a dimension ``bin`` with coordinates ``axis``, ``center``, ``unit`` and
        ``n_samples``: deviances are means per sample of a bin, and fractions are ``min(reduced − full, cap)`` over the
        average null or explained deviance of *all* samples, where cap is the null deviance or the explained deviance of
        the bin (at least 0).

    Raises
    ------
    TypeError
        If X is a `RowStream` and ``method="shuffle"``, which permutes all of its rows.
    ValueError
        If the model is not cross-validated (unless ``held_out=False``), X comes from another design, a variable fits no
        group (the nearest are named), or variables overlap; if rows, columns or neurons have other labels than in the
        fit; if the fit had an offset and none is given; or if held-out predictions are scored without the weights of
        the fit, or with weights or an offset that it did not have.

    Warns
    -----
    PopglmWarning
        If ablated columns are far from centred, so that 0 is not their mean; if X and Y are as many samples as in the
        fit, but predicted worse or better than there.

    Notes
    -----
    For Gaussian models with groups that are orthogonal and centred in the scored samples, contributions add up to the
    explained deviance; for other links they need not.

    References
    ----------
    Tseng, Chettih, Arlt, Barroso-Luque & Harvey (2022), Neuron 110, 2484-2502.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> session = {"speed": rng.normal(size=900), "cue": rng.choice([-1, 1], 900), "trial": np.arange(900) // 10}
    >>> design = pg.Design([pg.linear("speed"), pg.linear("cue")], trial="trial")
    >>> X = design.fit_transform(session)
    >>> Y = rng.poisson(np.exp(0.8 * session["speed"]))[:, None]
    >>> model = pg.GLMCV(penalty="group_lasso", n_lambdas=5).fit(X, Y, groups=session["trial"])
    >>> pg.breakdown(model, X, Y).fraction_explained_deviance.sel(neuron="neuron0").to_series().round(1)
    variable
    speed    1.0
    cue     -0.0
    Name: fraction_explained_deviance, dtype: float64
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"breakdown: method={shown(method)} is unknown; use one of {', '.join(METHODS)}.")
    check_seed(seed, "breakdown")
    if method == "shuffle" and seed is None:
        # both parts of a model have the same permutations
        seed = int(np.random.default_rng().integers(2**31))

    def tally(part: PopulationGLM, activity: Any, own_offset: Any) -> Tally:
        return _tally(part, (X, activity, sample_weight, own_offset), variables, by, method, seed, held_out)

    if isinstance(model, TwoPartGLM):
        found = tally_of_parts(model, Y, offset, tally, "breakdown")
    else:
        found = tally(model, Y, offset)
    return found.dataset(method == "keep", kind="breakdown", method=method, held_out=int(held_out))


def shares_of_null_deviance(
    model: PopulationGLM | CategoricalGLM,
    data: tuple[Any, Any, Any, Any],
    variables: Variables,
    who: str,
    held_out: bool = True,
) -> np.ndarray:
    """What `breakdown` calls ``fraction_null_deviance``, shape (n_neurons, n_variables); ``who`` asks, for messages.

    ``data`` is X, Y, sample weights and offset.
    """
    tally = _tally(model, data, variables, None, "zero", None, held_out, who)
    return tally.dataset(False, kind="breakdown", method="zero", held_out=int(held_out)).fraction_null_deviance.values


def _tally(
    model: PopulationGLM,
    data: tuple[Any, Any, Any, Any],
    variables: Variables,
    by: Any,
    method: str,
    seed: int | None,
    held_out: bool,
    who: str = "breakdown",
) -> Tally:
    """Deviances of a model with and without each variable; ``data`` is X, Y, sample weights and offset."""
    X, Y, sample_weight, offset = data
    asks = f"{who} with method='shuffle'" if method == "shuffle" else who
    of_classes = isinstance(model, CategoricalGLM)
    check = check_class_matrix if of_classes else check_design_matrix
    values = check(model, X, asks, held_out, whole=method == "shuffle")
    labels = rows_of(model, X, held_out)
    # a single number asks on purpose for predictions without what the fit had
    as_in_fit = held_out and not any(np.isscalar(given) for given in (sample_weight, offset))
    if held_out:
        # the weights go on as they were given, for they are put in order with the activity
        _, offset = check_as_in_fit(model, sample_weight, offset, len(values), labels, who, refits=False)
    else:
        offset = check_offset(model, offset, len(values), labels, who)
    predictor = (ClassPredictor if of_classes else Predictor).make(model, values, offset, held_out)
    axis = check_bins(by, len(values), labels)
    fold = model.fold_ if held_out else None
    activity = (ClassActivity if of_classes else Activity).make(
        model, Y, len(values), predictor.rows, sample_weight, axis, labels, fold
    )
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, groups)
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    if method != "shuffle":
        _warn_unless_centred(values, chosen, columns, who)
    sources = _permutations(predictor.rows, len(values), len(columns), seed) if method == "shuffle" else None

    tally = Tally(activity, list(chosen))
    for neurons in neuron_blocks(len(values), len(model.neuron_names_)):
        constant = predictor.constant(neurons)
        eta = constant + predictor.part(slice(None), neurons)
        tally.add_models(neurons, eta)
        for v, own in enumerate(columns):
            part = predictor.part(own, neurons)
            reduced = constant + part if method == "keep" else eta - part
            if sources is not None:
                reduced += predictor.part(own, neurons, sources[v])
            tally.add_reduced(neurons, v, reduced)
    if as_in_fit and (said := other_than_in_fit(model, np.arange(len(tally.full)), tally.full, tally.null)):
        warn(
            f"{who}: X and Y are not those of the fit, or in another order, but are predicted row by row by the "
            f"folds of the fit: {said}. Use held_out=False for other samples.",
            PopglmWarning,
        )
    return tally


def _permutations(rows: np.ndarray, n_samples: int, n_variables: int, seed: int | None) -> list[np.ndarray]:
    """For every variable, the row that each scored row takes its columns from."""
    rng = np.random.default_rng(seed)
    sources = []
    for _ in range(n_variables):
        source = np.arange(n_samples)
        source[rows] = rng.permutation(rows)
        sources.append(source)
    return sources


def _warn_unless_centred(X: Any, chosen: dict[str, list[str]], columns: list[np.ndarray], who: str) -> None:
    # in test rows a centred column's mean is off by a little; a column that was never centred is off by much
    blocks = [
        (last - first, rows.mean(axis=0, dtype=float), rows.var(axis=0, dtype=float))
        for first, last, rows in read_rows(X)
    ]
    counts, means, variances = (np.array(values) for values in zip(*blocks, strict=True))
    mean = np.average(means, axis=0, weights=counts)
    spread = np.sqrt(np.average(variances + (means - mean) ** 2, axis=0, weights=counts))
    away = np.abs(mean) > 0.5 * spread + 1e-6
    far = [name for name, own in zip(chosen, columns, strict=True) if away[own].any()]
    if far:
        remedy = "Standardise the design (popglm.Design does)"
        if who == "breakdown":
            remedy += ", or use method='shuffle'"
        warn(
            f"{who}: columns of {listed(map(repr, far))} are not centred, and setting them to 0 also "
            f"shifts the baseline. {remedy}.",
            PopglmWarning,
        )

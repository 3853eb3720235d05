"""Deviance shared out among variables: the mean gain of each over all orders in which they can come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from popglm.checks import check_choice
from popglm.estimators import GLMCV, ClassifierGLMCV, SmoothGLM, TwoPartGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.estimators.validation import check_as_in_fit, over_neurons, warn_neurons
from popglm.explain.ablated_subsets import AblatedSubsets
from popglm.explain.class_refits import class_data_of_fit
from popglm.explain.class_subsets import AblatedClassSubsets, RefittedClassSubsets
from popglm.explain.coalitions import MOST_VARIABLES, shapley_of
from popglm.explain.contributions import check_data_of_fit, check_design_matrix, check_splits, rows_of
from popglm.explain.data_of_fit import check_refittable
from popglm.explain.given_models import check_activity
from popglm.explain.refitted_subsets import RefittedSubsets
from popglm.explain.smooth_subsets import SmoothSubsets
from popglm.explain.two_parts import shares_of_parts
from popglm.statistics.selection import fraction_explained
from popglm.variables import Variables, group_columns, resolve_variables
from popglm.warnings import ConvergenceWarning, warn

__all__ = ["shapley"]

#: Null deviances from which a model of some variables is worth telling of.
MOST_NULLS = 2.0


def shapley(
    model: GLMCV | ClassifierGLMCV | TwoPartGLM | SmoothGLM,
    X: Any,
    Y: Any,
    variables: Variables = None,
    *,
    method: str = "ablation",
    test: tuple[Any, ...] | None = None,
    sample_weight: Any = None,
    offset: Any = None,
) -> xr.Dataset:
    r"""Shapley values of held-out deviance: shares of the variables that add up to what the model explains.

    What a variable adds depends on which are there already: least with all others (`compare`), most alone. Its Shapley
    value is the mean over all orders in which the variables can come in. Variables that say the same share alike what
    they explain together.

    Parameters
    ----------
    model : GLMCV, ClassifierGLMCV or TwoPartGLM; or SmoothGLM with ``test``
        Fitted to X and Y. Of a `TwoPartGLM` the joint deviance is shared out, which is a sum over both parts. Responses
        of a classifier stand in the place of neurons; a variable has its weights of all classes or none, and the
        intercepts are those of the classes.
    X : array-like, DataFrame or, for ``method="refit"``, RowStream, shape (n_samples, n_features)
        The design matrix of the fit.
    Y : array-like or DataFrame, shape (n_samples, n_neurons)
        The activity of the fit, or its labels.
    variables : None, list of str, or mapping, optional
        As in `breakdown`; ten at most. Groups in none of them stay in the model throughout.
    method : {"ablation", "refit"}
        What a model of some variables is. "ablation": the fitted model with the weights of the others at 0, and the
        intercept that is then best for the training samples of each fold. "refit": a model that is fitted to these
        variables, with the folds and the strength of the full one; the others take over as far as they can.
    test : tuple of (X_test, Y_test) or (X_test, Y_test, offset_test), optional
        For a `SmoothGLM`, which holds nothing out: the rows that are scored, by the fit to all rows of X.
    sample_weight, offset : array-like, shape (n_samples,), optional
        As in the fit, and needed if that had them; the offset of a `TwoPartGLM` is a mapping.

    Returns
    -------
    xarray.Dataset
        ``shapley`` (neuron, variable), deviance summed over held-out samples; ``fraction_null_deviance`` and
        ``fraction_explained_deviance``, the same over the null and over the explained deviance, NaN where nothing is
        explained; ``null_deviance``, ``full_deviance``, ``deviance_explained`` (neuron); and ``rest`` (neuron), what is
        explained without any of the variables: by groups in none of them, by the offset, and, slightly below 0, by null
        models whose mean is that of a fold's training samples, where the null deviance is around the mean of all. All
        are NaN for a neuron that was recorded in no held-out sample.

    Raises
    ------
    TypeError
        If X is a `RowStream` and ``method="ablation"``.
    ValueError
        If there are more than ten variables, or one of `compare`'s reasons; with ``method="ablation"`` if the inverse
        link is relu, under which the model without a variable can rule out activity that happened.

    Warns
    -----
    ConvergenceWarning
        If re-fits ended outside the model's `tol`.
    PopglmWarning
        Names neurons of which a model of some variables is off by more than twice the null deviance on held-out
        samples. Their shares say how wrong such models are, and so does a mean over neurons with them.

    Notes
    -----
    With f(S) the deviance that a model of the variables S explains, beyond the rest,

    .. math:: \phi_v = \sum_{S \not\ni v} \frac{|S|! \, (n - |S| - 1)!}{n!} [f(S \cup v) - f(S)], \qquad
       \sum_v \phi_v + \text{rest} = D_0 - D ,

    exactly, for every neuron. All subsets are gone through. By ablation, Gaussian models under the identity link need
    none: the value is the product measure (Pratt), in closed form for any number of variables. Values can be below 0:
    a variable that overfits does harm, and one that merely corrects another is worth something only beside it.

    References
    ----------
    Shapley, "A value for n-person games" (1953). Lipovetsky & Conklin, "Analysis of regression in game theory
    approach", *Applied Stochastic Models in Business and Industry* 17 (2001). Pratt, "Dividing the indivisible" (1987),
    for the product measure.

    Examples
    --------
    A variable and its copy share what they explain, though each can do without the other:

    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> speed, touch, trial = rng.normal(size=900), rng.normal(size=900), np.arange(900) // 10
    >>> session = {"speed": speed, "pace": speed, "touch": touch}
    >>> X = pg.Design([pg.linear(v) for v in session]).fit_transform(session)
    >>> Y = rng.poisson(np.exp(0.5 * speed + 0.5 * touch))
    >>> model = pg.GLMCV(penalty="ridge", n_lambdas=5).fit(X, Y, groups=trial)
    >>> pg.shapley(model, X, Y, method="refit").fraction_explained_deviance[0].to_series().round(2).to_dict()
    {'speed': 0.21, 'pace': 0.21, 'touch': 0.58}
    """
    check_choice("shapley", "method", method, ("ablation", "refit"))
    if isinstance(model, SmoothGLM):
        return _of_curves(SmoothSubsets.make(model, X, Y, sample_weight, offset, test), variables, method)
    if test is not None:
        raise ValueError(
            "shapley: test is for a SmoothGLM, which holds nothing out; of this model each row is scored by the fold "
            "that did not see it. Leave it out."
        )
    if isinstance(model, TwoPartGLM):
        own: dict[str, Any] = {"method": method, "sample_weight": sample_weight}
        return shares_of_parts(model, lambda part, y, o: shapley(part, X, y, variables, offset=o, **own), Y, offset)
    if isinstance(model, CategoricalGLM):
        return _of_classes(model, X, Y, variables, method, sample_weight, offset)
    values = check_design_matrix(model, X, "shapley", held_out=True, whole=method == "ablation")
    splits = check_splits(model, "shapley")
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, groups)
    labels = rows_of(model, X, held_out=True)
    weight, offset = check_as_in_fit(model, sample_weight, offset, len(values), labels, "shapley", refits=True)
    y = check_activity(model, Y, len(values), labels)
    check_data_of_fit(model, values, y, weight, offset, "shapley")
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    in_closed_form = method == "ablation" and model.loss_.is_least_squares
    if not in_closed_form:
        _check_number_of(chosen)
    if method == "ablation" and model.loss_.has_barrier:
        raise ValueError(
            f"shapley: under inverse_link={model.loss_.link.name!r} a model without a variable can predict 0 where "
            "there is activity, which has no finite deviance; use method='refit'."
        )
    if method == "refit":
        check_refittable(model, "shapley")
        refits = RefittedSubsets(model, values, y, weight, offset, columns)
        deviances = refits.deviances()
        _warn_of_late(model, refits.late, refits.n_fitted)
        _warn_of_far_off(model, deviances)
        return _dataset(model, list(chosen), method, shapley_of(-deviances), deviances[0])
    known = ~np.isnan(y)
    weights = known * over_neurons(weight)
    ablated = AblatedSubsets(model, values, np.where(known, y, 0.0), weights, offset, splits, columns)
    if in_closed_form:
        *found, without = ablated.products()
        return _dataset(model, list(chosen), method, np.array(found), without)
    deviances = ablated.deviances()
    _warn_of_far_off(model, deviances)
    return _dataset(model, list(chosen), method, shapley_of(-deviances), deviances[0])


def _of_curves(subsets: SmoothSubsets, variables: Variables, method: str) -> xr.Dataset:
    """The values of a model whose smoothness was chosen."""
    model, null = subsets.model, subsets.null_deviance
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, groups)
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    if method == "ablation" and model.loss_.is_least_squares:
        *found, without = subsets.ablated(columns).products()
        return _dataset(model, list(chosen), method, np.array(found), without, null)
    _check_number_of(chosen)
    if method == "ablation":
        deviances = subsets.ablated(columns).deviances()
    else:
        deviances, late = subsets.refitted(columns)
        _warn_of_late(model, late, (len(deviances) - 1) * deviances.shape[1])
    _warn_of_far_off(model, deviances, null)
    return _dataset(model, list(chosen), method, shapley_of(-deviances), deviances[0], null)


def _of_classes(
    model: ClassifierGLMCV, X: Any, Y: Any, variables: Variables, method: str, sample_weight: Any, offset: Any
) -> xr.Dataset:
    """The values of a classifier."""
    data = class_data_of_fit(model, X, Y, sample_weight, offset, "shapley", whole=method == "ablation")
    groups, sizes = model.feature_group_names_, model.feature_group_sizes_
    chosen = resolve_variables(variables, groups)
    _check_number_of(chosen)
    columns = [group_columns(names, groups, sizes) for names in chosen.values()]
    if method == "ablation":
        deviances = AblatedClassSubsets(model, data, columns).deviances()
    else:
        deviances, late = RefittedClassSubsets(model, data, columns).deviances()
        _warn_of_late(model, late, (len(deviances) - 1) * deviances.shape[1])
    _warn_of_far_off(model, deviances)
    return _dataset(model, list(chosen), method, shapley_of(-deviances), deviances[0])


def _check_number_of(chosen: dict[str, list[str]]) -> None:
    """Complain of more variables than all subsets of which can be gone through."""
    if len(chosen) > MOST_VARIABLES:
        raise ValueError(
            f"shapley: variables must be {MOST_VARIABLES} at most, whose subsets are {2**MOST_VARIABLES:,}; found "
            f"{len(chosen)}. Put groups together, or leave some in none: those stay in the model."
        )


def _warn_of_late(model: Any, late: int, n_fitted: int) -> None:
    """Tell of re-fits outside the model's `tol`."""
    if late:
        warn(
            f"shapley: {late:,} of {n_fitted:,} re-fits, each of a {model.noun} to some variables, ended outside "
            f"tol={model.tol:g}. Fit the model with a larger max_iter or tol.",
            ConvergenceWarning,
        )


def _warn_of_far_off(model: Any, deviances: np.ndarray, null: np.ndarray | None = None) -> None:
    """Name neurons that models of some variables predict far worse than no variable at all; (n_subsets, n_neurons)."""
    null = model.cv_null_deviance_ if null is None else null
    silent = np.flatnonzero(null == 0)
    if len(silent):
        warn_neurons("shapley: activity does not vary in the samples that are scored, so there are no shares", silent,
                     model.neuron_names_)  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        worst = np.where(null > 0, np.max(deviances, axis=0) / null, 0.0)
    far_off = np.flatnonzero(worst > MOST_NULLS)
    if len(far_off):
        warn_neurons(
            f"shapley: models of some of the variables have up to {np.max(worst[far_off]):.3g} times the null model's "
            "deviance on held-out samples. Shares are ruled by these, and so are means over neurons; leave such "
            f"neurons out{'' if isinstance(model, SmoothGLM) else ', or fit with stronger lambdas'}",
            far_off,
            model.neuron_names_,
        )


def _dataset(
    model: GLMCV | ClassifierGLMCV | SmoothGLM,
    names: list[str],
    method: str,
    found: np.ndarray,
    without: np.ndarray,
    null: np.ndarray | None = None,
) -> xr.Dataset:
    """The values (n_variables, n_neurons), beside the deviance without any of the variables (n_neurons,).

    ``null`` is that of the scored rows; unless given, those that the folds held out.
    """
    null = model.cv_null_deviance_ if null is None else null
    unknown = np.isnan(null)
    found, without = np.where(unknown, np.nan, found).T, np.where(unknown, np.nan, without)
    full = without - found.sum(axis=1)
    dims = ("neuron", "variable")
    explained = (null - full)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        of_null = np.where(null[:, None] > 0, found / null[:, None], np.where(unknown[:, None], np.nan, 0.0))
        of_explained = np.where(explained > 0, found / explained, np.nan)
    return xr.Dataset(
        {
            "shapley": (dims, found),
            "fraction_null_deviance": (dims, of_null),
            "fraction_explained_deviance": (dims, of_explained),
            "rest": ("neuron", null - without),
            "null_deviance": ("neuron", null),
            "full_deviance": ("neuron", full),
            "deviance_explained": ("neuron", fraction_explained(full, null)),
        },
        coords={"neuron": model.neuron_names_, "variable": names},
        attrs={"kind": "shapley", "method": method, "held_out": 1},
    )

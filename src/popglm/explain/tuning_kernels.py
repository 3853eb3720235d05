"""Tuning kernels: what a fitted population says about each variable, in the variable's own units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import MOST_POINTS, check_count, check_fitted
from popglm.design import Design
from popglm.design.encoders import Categories
from popglm.design.lags import Kernel, Shifts
from popglm.design.past import Past
from popglm.design.terms import Product, Term
from popglm.design.variables import SessionVariables
from popglm.estimators import TwoPartGLM
from popglm.estimators.base import PopulationGLM
from popglm.estimators.classifier.base import CategoricalGLM
from popglm.explain.given_models import check_model
from popglm.explain.part_kernels import kernels_of_parts
from popglm.messages import shown
from popglm.scaling import other_scaling

__all__ = [
    "categorical_axes",
    "check_design_of",
    "check_units",
    "group_slices",
    "kernel_grid",
    "kernels",
    "mean_absolute",
]

#: Grid points × neurons of one group: 2 GB per variable of the result.
MOST_VALUES = 2**28

#: Names in the results that an axis cannot have.
_RESERVED = (
    *("neuron", "kernel", "total", "gain", "total_gain", "mean_absolute", "mean_absolute_sem", "baseline"),
    *("lower", "upper", "sem"),
)


def kernels(
    model: PopulationGLM | CategoricalGLM | TwoPartGLM,
    design: Design,
    *,
    n_points: int = 200,
    units: Mapping[str, str] | None = None,
) -> dict[str, xr.Dataset]:
    """Tuning kernels of every neuron, one Dataset per feature group.

    Parameters
    ----------
    model : GLM, GLMCV, LowRankGLM or TwoPartGLM, or one of the classifiers
        Fitted to what `design` makes; its weights at the selected strengths are taken. Kernels of a classifier have a
        dimension ``class`` after ``neuron``, its responses; those of a `TwoPartGLM` a dimension ``part`` before all
        others, "events" and "amounts", and gains are NaN where a part has none.
    design : Design
        Fitted.
    n_points : int
        Grid points along each continuous axis, at least 2; a variable that was constant in the fitted session has
        one. A term of k axes has ``n_points ** k``; more than 2²⁸ times neurons are refused.
    units : mapping of str to str, optional
        Units of variables, ``{"position": "cm"}``, for the coordinates of the axes that they span. Other variables
        may be among them. Those that the design has from its session need not be given.

    Returns
    -------
    dict of str to xarray.Dataset
        By group, in the order of the design. Dimensions are ``neuron`` and one per axis of the term: the variable's
        name, or ``lag``, in seconds or samples as the attribute ``units`` says; that of `categories` has the attribute
        ``categories``. A name that is taken gets a suffix:
        "position_2". Variables:

        - ``kernel`` (neuron, axes): what the group adds to the linear predictor, from its mean over the samples of the
          fitted session. For a product with a variable, that variable stands at +1: this is the interaction. Over
          lags it is the response to a unit of the variable, and is not centred.
        - ``total`` (neuron, axes), for products: the kernel and all other terms that depend on no other variables, the
          multiplying variable at +1: for "position × cue" with "position" and "cue", the tuning to position at cue +1.
          Terms over lags are left out. Products whose grid no sample can stand on (lags; a variable as two factors)
          have none.
        - ``gain``, ``total_gain`` (neuron, axes), where the inverse link is exp: ``exp(kernel)`` and ``exp(total)``,
          factors on the rate ``exp(baseline)``. Of a classifier the ratio of two classes' gains is the factor on their
          odds.
        - ``mean_absolute``, ``mean_absolute_sem`` (axes): mean over neurons of the absolute kernel, and its standard
          error (ddof 1; NaN for a single neuron); not of a classifier, whose responses have unlike classes.
        - ``baseline`` (neuron): the mean of the linear predictor over the samples of the fitted session; the same in
          all groups. Of a classifier (neuron, class). It is NaN for classes that a response does not have, and so are
          its kernels.

        The attributes ``group`` and ``variables`` say what the term is; those of a classifier have ``of_classes``.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model or the design is not fitted.
    TypeError, ValueError
        If an argument is not as above, the model was fitted to the columns of another design, or of the same one fitted
        to another session, which the DataFrames of a design tell but arrays do not; or with ``refit=False``.

    Notes
    -----
    With columns :math:`x_k` of mean :math:`m_k` over the samples that the design was fitted to, and scale :math:`s_k`,
    the linear predictor is

    .. math:: \\eta = b + \\sum_g f_g , \\qquad f_g = \\sum_{k \\in g} w_k \\frac{x_k - m_k}{s_k} .

    The baseline is :math:`b`, and the kernel of a group is :math:`f_g` on a grid. Its mean over the samples visited is
    0, as is usual for additive models (Wood 2017, section 4.3), so the split between kernel and baseline is not left to
    the penalty where a basis sums to a constant (B-splines; the inner part of raised cosines). Under exp the rate is
    :math:`e^b \\prod_g e^{f_g}`: a gain of 1 is the geometric mean over these samples. :math:`e^b` is that of
    the rate, which is below its mean, and far below it in neurons that are silent most of the time;
    `predicted_tuning` is in the units of the activity. A design with ``standardize=False`` knows no means: its
    baseline and kernels count from columns at 0.

    References
    ----------
    Wood, *Generalized Additive Models: An Introduction with R*, 2nd edition (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> session = {"position": rng.uniform(0, 100, 4000), "cue": rng.choice([-1, 1], 4000)}
    >>> Y = rng.poisson(np.exp(0.01 * session["cue"] * session["position"]))
    >>> position = pg.bumps("position", n=5, low=0, high=100)
    >>> design = pg.Design([position, position * "cue"])
    >>> model = pg.GLM(lambdas=[1e-3]).fit(design.fit_transform(session), Y)
    >>> interaction = pg.kernels(model, design, n_points=5, units={"position": "cm"})["position × cue"]
    >>> interaction["kernel"].sel(neuron="neuron0").round(1).to_series()
    position
    0.0      0.1
    25.0     0.2
    50.0     0.5
    75.0     0.8
    100.0    1.0
    Name: kernel, dtype: float64
    >>> interaction["position"].attrs["units"]
    'cm'
    """
    check_count("kernels", "n_points", n_points, least=2, most=MOST_POINTS)
    if isinstance(model, TwoPartGLM):
        check_fitted(model, "cv_deviance_explained_", "kernels")
        parts = (kernels(part, design, n_points=n_points, units=units) for part in (model.events_, model.amounts_))
        return kernels_of_parts(*parts)
    of_classes = isinstance(model, CategoricalGLM)
    weights, baseline = raw_weights(model, design, classes=True)
    head = {"neuron": len(model.neuron_names_)} | ({"class": len(model.classes_)} if of_classes else {})
    known = model.has_class_.ravel() if of_classes else np.ones(len(baseline), bool)
    own_classes = {"class": list(map(str, model.classes_.tolist()))} if of_classes else {}
    units = {**getattr(design, "units_", {}), **check_units(units)}
    columns = group_slices(design)
    rated = of_classes or model.loss_.link.is_multiplicative
    results = {}
    for group, term in design.terms_.items():
        _check_grid_size(group, term, n_points, len(baseline))
        coords, basis = kernel_grid(design, group, n_points, units, tuple(own_classes))
        shape = (*head.values(), *(len(values) for values in coords.values()))
        kernel = weights[:, columns[group]] @ basis.T
        by_neuron = {"kernel": kernel}
        session = _session_on_grid(term, n_points) if isinstance(term, Product) else None
        if session is not None:
            by_neuron["total"] = kernel + sum(
                weights[:, columns[name]] @ (other.transform(session) - design.means_[columns[name]]).T
                for name, other in design.terms_.items()
                if name != group and set(other.variables) <= set(term.variables) and not _reads_lags(other)
            )
        if rated:
            gains = {"kernel": "gain", "total": "total_gain"}
            by_neuron |= {gains[name]: np.exp(values) for name, values in by_neuron.items()}
        axes = tuple(coords)
        variables: dict[str, Any] = {
            name: ((*head, *axes), np.where(known[:, None], values, np.nan).reshape(shape))
            for name, values in by_neuron.items()
        }
        if not of_classes:
            for name, values in zip(("mean_absolute", "mean_absolute_sem"), mean_absolute(kernel), strict=True):
                variables[name] = axes, values.reshape(shape[1:])
        variables["baseline"] = tuple(head), np.where(known, baseline, np.nan).reshape(tuple(head.values()))
        results[group] = xr.Dataset(
            variables,
            coords={"neuron": list(model.neuron_names_), **own_classes, **coords},
            attrs={"group": group, "variables": list(term.variables)} | ({"of_classes": 1} if of_classes else {}),
        )
    return results


def raw_weights(
    model: Any, design: Design, who: str = "kernels", classes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the columns before z-scoring (n_neurons, n_features), and baselines (n_neurons,), in float64.

    With ``classes`` the model may be a classifier: its rows are responses × classes, responses slowest.
    """
    check_design_of(model, design, who, classes)
    # the scale of a constant column is infinite: it weighs nothing
    weights = np.asarray(model.coef_, float).reshape(-1, len(design.scales_)) / design.scales_
    return weights, np.array(model.intercept_, float).ravel()


def check_design_of(model: Any, design: Design, who: str = "kernels", classes: bool = False) -> None:
    """Complain, in the name of ``who``, unless the model has weights, and they are of the columns of the design.

    ``classes``: the model may be a classifier.
    """
    if classes and isinstance(model, CategoricalGLM):
        check_fitted(model, "lambda_index_", who)
    else:
        check_model(model, who)
    if not isinstance(design, Design):
        raise TypeError(f"{who}: design must be a popglm.Design; found {type(design).__name__}.")
    check_fitted(design, "columns_", who)
    if model.coef_path_ is None:
        raise ValueError("model was fitted with refit=False and has no weights of its own; use refit=True.")
    fitted = _describe(model.feature_group_names_, model.feature_group_sizes_)
    given = _describe(design.groups_, design.group_sizes_)
    if fitted == given:
        _check_scaling(model, design, who)
        return
    k = next((k for k, (a, b) in enumerate(zip(fitted, given, strict=False)) if a != b), min(len(fitted), len(given)))
    found, expected = (groups[k] if k < len(groups) else "nothing" for groups in (given, fitted))
    raise ValueError(
        f"design: group {k} is {found}, but the model was fitted to {expected} there. Give the design whose "
        "DataFrame the model was fitted to; a bare array does not carry its groups."
    )


def _check_scaling(model: Any, design: Design, who: str) -> None:
    """Complain of a design that was fitted again, to another session: its kernels would have other units."""
    other = other_scaling(model.feature_scaling_, np.stack([design.means_, design.scales_]), design.columns_)
    if other is not None:
        raise ValueError(
            f"{who}: design was fitted to another session than the one that made X for the fit: {other}. Give the "
            "design of the fit; new sessions go through transform, not fit_transform."
        )


def _describe(names: list[str], sizes: Any) -> list[str]:
    return [f"{name!r} of {size} columns" for name, size in zip(names, sizes, strict=True)]


def group_slices(design: Design) -> dict[str, slice]:
    """The columns of every group."""
    stops = np.cumsum(design.group_sizes_).tolist()
    return {
        g: slice(stop - size, stop) for g, size, stop in zip(design.groups_, design.group_sizes_, stops, strict=True)
    }


def kernel_grid(
    design: Design, group: str, n_points: int, units: Mapping[str, str] | None = None, taken: tuple[str, ...] = ()
) -> tuple[dict[str, xr.Variable], np.ndarray]:
    """Coordinates of a group's grid, by dimension, and its centred columns there: weights @ basis.T is the kernel.

    Names that are ``taken`` get a suffix.

    Returns
    -------
    coords : dict of str to xarray.Variable
        In the order of the axes, the first slowest.
    basis : ndarray, shape (n_grid_points, n_columns)
        Less the mean of each column in the fitted session; over lags as they are.
    """
    term = design.terms_[group]
    points, basis = _grid(term, n_points)
    coords: dict[str, xr.Variable] = {}
    for axis, (_, values) in zip(term.axes, points.items(), strict=True):
        name, unit = _lag_unit(term, axis) or (axis, (units or {}).get(axis))
        dim, count = name, 1
        while dim in coords or dim in _RESERVED or dim in taken:
            count += 1
            dim = f"{name}_{count}"
        attrs = ({"units": unit} if unit else {}) | ({"categories": 1} if axis in categorical_axes(term) else {})
        coords[dim] = xr.Variable(dim, values.drop_duplicates().to_numpy(), attrs)
    # a column over lags mixes the samples around it, so its mean is not that of any point of the grid
    return coords, basis if _reads_lags(term) else basis - design.means_[group_slices(design)[group]]


def _grid(term: Term, n_points: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Grid points, one column per axis, and the term's columns there; points that repeat are kept once."""
    values, basis = term.grid(n_points)
    # a DataFrame gives every axis its type back; one of a constant variable holds the same point n_points times
    points = pd.DataFrame(values).infer_objects().drop_duplicates()
    return points, basis[points.index]


def _lag_unit(term: Term, axis: str) -> tuple[str, str] | None:
    """Dimension and unit of an axis over lags, as `Shifts`, `Kernel` and `Past` name it."""
    if axis in ("lag (s)", "lag (samples)") and _reads_lags(term):
        return "lag", axis.removeprefix("lag (").removesuffix(")")
    return None


def _reads_lags(term: Term) -> bool:
    return isinstance(term, Shifts | Kernel | Past) or (
        isinstance(term, Product) and any(map(_reads_lags, term.factors))
    )


def categorical_axes(term: Term) -> set[str]:
    """Axes of a term whose values are levels, also where these are numbers: nothing lies between them."""
    match term:
        case Categories():
            return set(term.axes)
        case Product():
            first, second = term.factors
            return categorical_axes(first) | categorical_axes(second)
        case Shifts():
            return categorical_axes(term.shifted)
    return set()


def _session_on_grid(term: Product, n_points: int) -> SessionVariables | None:
    """A session whose samples are the grid points, with variables that span no axis at +1; None if there is none."""
    points, basis = _grid(term, n_points)
    on_axes = {axis: points.iloc[:, k] for k, axis in enumerate(term.axes)}
    ones = np.ones(len(points))
    session = SessionVariables({name: on_axes.get(name, ones) for name in term.variables}, term.variables)
    # a grid over lags, or with one variable at two values, is not what the term makes of such a session
    return session if np.allclose(term.transform(session), basis) else None


def mean_absolute(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over neurons of |kernel|, and its standard error."""
    size, n_neurons = np.abs(kernel), len(kernel)
    if n_neurons == 1:
        return size[0], np.full(kernel.shape[1], np.nan)
    return size.mean(axis=0), size.std(axis=0, ddof=1) / np.sqrt(n_neurons)


def _check_grid_size(group: str, term: Term, n_points: int, n_neurons: int) -> None:
    n_axes = sum(_lag_unit(term, axis) is None for axis in term.axes)
    if n_points**n_axes * n_neurons > MOST_VALUES:
        fewer = int((MOST_VALUES / n_neurons) ** (1 / n_axes))
        raise ValueError(
            f"n_points: a grid of {n_points} points along each of the {n_axes} axes of group {group!r} is too large "
            f"for {n_neurons} neurons; use n_points={fewer} or less."
        )


def check_units(units: Mapping[str, str] | None) -> Mapping[str, str]:
    """Units by variable; none for None."""
    units = {} if units is None else units
    if not isinstance(units, Mapping):
        raise TypeError(f"units must be a mapping such as {{'position': 'cm'}}; found {shown(units)}.")
    for variable, unit in units.items():
        if not isinstance(variable, str) or not isinstance(unit, str):
            raise TypeError(
                f"units must map names of variables to units, both text, as in {{'position': 'cm'}}; found "
                f"{variable!r}: {shown(unit)}."
            )
    return units

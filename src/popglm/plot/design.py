"""The design: the basis functions of a term, and the design matrix with its groups."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from scipy.optimize import isotonic_regression

from popglm.design import Design
from popglm.design.terms import Term
from popglm.explain.tuning_kernels import categorical_axes
from popglm.messages import listed
from popglm.plot.labelled import pick, with_unit
from popglm.plot.style import axes_or_new, entitle, whole_ticks

__all__ = ["basis_functions", "design_matrix"]


def basis_functions(term: Term | Design, ax: Axes | None = None, *, group: str | None = None, unit: str = "") -> Axes:
    """Draw the columns of a term as functions of its variable, before z-scoring.

    Parameters
    ----------
    term : Term or Design
        A term, such as ``popglm.bumps(...)``, or a fitted design. Terms that learn from a session (splines, categories,
        transformers) can only be drawn from a fitted design.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    group : str, optional
        Which group of a design; may be left out if it has only one.
    unit : str
        Unit of the variable, for the label of the horizontal axis.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `term` is neither a term nor a design, is not fitted, has several axes, the group is not there, or `ax` is
        not Axes.

    Examples
    --------
    >>> import popglm as pg
    >>> from popglm.plot import basis_functions
    >>> ax = basis_functions(pg.bumps("position", n=20, low=10, high=250), unit="cm")
    >>> len(ax.lines), ax.get_xlabel()
    (20, 'position (cm)')
    """
    if isinstance(term, Design):
        if not hasattr(term, "terms_"):
            raise ValueError(
                "the design has not been fitted; call fit(session) first, so that its terms know their range"
            )
        found = pick(group, term.groups_, "group")
        if len(found) > 1:
            raise ValueError(f"group must name one group to draw; there are {listed(map(repr, term.groups_))}")
        term = term.terms_[term.groups_[found[0]]]
    if not isinstance(term, Term):
        raise TypeError(
            f"term must be a term such as popglm.bumps(...) or a fitted Design; found {type(term).__name__}"
        )
    if len(term.axes) != 1:
        raise ValueError(
            f"basis_functions draws over one axis; {term.name!r} has {len(term.axes)} ({listed(term.axes)}): draw "
            "the terms that it is made of"
        )
    try:
        values, basis = term.grid()
    except AttributeError:
        raise ValueError(
            f"{term.name!r} has not been fitted; draw it from a fitted design: "
            f"basis_functions(design, group={term.name!r})"
        ) from None

    numeric = np.issubdtype(np.asarray(values).dtype, np.number) and not categorical_axes(term)
    x = np.asarray(values, dtype=float) if numeric else np.arange(len(values), dtype=float)
    order = np.argsort(x, kind="stable")  # lags may come in any order
    ax = axes_or_new(ax)
    colors = mpl.colormaps["viridis"](np.linspace(0, 0.9, basis.shape[1]))
    look: dict[str, Any] = {
        "linestyle": "-" if numeric else "",
        "marker": "o" if len(x) <= 30 else None,
        "markersize": 3 if numeric else 6,
    }
    for column, color, name in zip(basis.T, colors, term.feature_names(), strict=True):
        ax.plot(x[order], column[order], color=color, linewidth=1.3, label=name, **look)
    whole_ticks(ax, x)
    if not numeric:
        ax.set_xticks(x, [str(value) for value in values])
    ax.margins(x=0.05 if look["marker"] else 0)
    ax.set_xlabel(with_unit(term.axes[0], unit))
    ax.set_ylabel("Basis function")
    entitle(ax, str(term.name), f"{basis.shape[1]} column{'s' * (basis.shape[1] > 1)}")
    return ax


def design_matrix(X: pd.DataFrame, ax: Axes | None = None, *, unit: str = "s.d.") -> Axes:
    """Draw a design matrix as an image: samples to the right, columns downwards, with borders and names of the groups.

    Colours end at ±3, or at the largest value if that is less.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_features)
        From `popglm.Design`, with (group, feature) columns. Some hundred rows (``X[:600]``) show the most.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    unit : str
        Unit of the values, for the colour bar; give ``""`` if the columns are not z-scored.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `X` is not a DataFrame with (group, feature) columns, has no rows, or `ax` is not Axes.

    Examples
    --------
    >>> import popglm as pg
    >>> from popglm.plot import design_matrix
    >>> session = pg.maze_session(n_samples=500, n_neurons=1, n_task_variables=2)
    >>> X = pg.maze_design(2).fit_transform(session.behavior)
    >>> ax = design_matrix(X[:200])
    >>> [label.get_text() for label in ax.get_yticklabels()][:3]
    ['position', 'position × cue', 'position × cho']
    """
    if not isinstance(X, pd.DataFrame) or X.columns.nlevels != 2:
        raise TypeError("X must be the DataFrame that popglm.Design returns, with (group, feature) columns")
    if not X.size:
        raise ValueError(f"X has no {'columns' if len(X) else 'rows'} to draw")
    values = X.to_numpy(dtype=float)
    largest = np.fmax.reduce(np.abs(values), axis=None)
    if np.isnan(largest):
        raise ValueError("X is NaN in every sample and column; there is nothing to draw")
    label = X.columns.get_level_values(0)
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]])
    stops = np.r_[starts[1:], len(label)]
    n_features, n_groups = len(label), len(starts)

    ax = axes_or_new(ax, width=8.0, height=min(max(3.0, 0.6 + 0.22 * n_groups), 11.0))
    limit = min(largest, 3.0) or 1.0
    image = ax.imshow(
        values.T, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(0, len(values), n_features, 0)
    )
    beyond = "both" if largest > limit else "neither"
    ax.figure.colorbar(image, ax=ax, label=with_unit("Value", unit), extend=beyond, fraction=0.03, pad=0.02)
    points = ax.get_window_extent().height / ax.figure.dpi * 72  # of the Axes, in typographic points
    # names of groups of middling size fit beside them, with room to make way for those of small groups
    beside = 0.8 * points * np.median(stops - starts) / n_features
    size = min(7.5, points / n_groups / 1.05, max(5.0, beside))
    ax.hlines(starts[1:], 0, len(values), color="0.2", linewidth=0.06 * size)
    centers = (starts + stops) / 2
    places = _apart(centers, 1.05 * size / points * n_features, n_features)
    leaders = np.stack([np.zeros(n_groups), centers, np.full(n_groups, -0.015), places], axis=1).reshape(-1, 2, 2)
    outside: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    ax.add_collection(LineCollection(list(leaders), colors="0.4", linewidths=0.5, **outside), autolim=False)
    ax.set_yticks(places, label[starts], fontsize=size)
    ax.tick_params(axis="y", length=0, pad=8)
    ax.set_xlabel("Sample")
    entitle(ax, f"{len(values):,} samples × {n_features:,} columns in {n_groups} group{'s' * (n_groups > 1)}")
    return ax


def _apart(centers: np.ndarray, distance: float, stop: float) -> np.ndarray:
    """Places between 0 and `stop`, `distance` apart at least and as close to the centres as can be (least squares)."""
    # z_i+1 − z_i ≥ distance for all i says that z_i − i·distance does not fall
    steps = distance * np.arange(len(centers))
    places = isotonic_regression(centers - steps).x
    return np.clip(places, distance / 2, stop - distance / 2 - steps[-1]) + steps

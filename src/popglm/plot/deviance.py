"""How well a population is explained: over regularisation strengths, and over neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from popglm.messages import listed, shown
from popglm.numbers import holds_flags, numbers_of
from popglm.plot.style import MODEL, NEURON, SEVERAL, axes_or_new, dots, faint, label_height, legend_above

__all__ = ["deviance_cumulative", "deviance_histogram", "deviance_over_strengths", "explained_and_null_deviance"]

#: A neuron of which a smaller fraction of deviance is explained is as good as unexplained.
LEAST = 1e-3


def deviance_over_strengths(model: Any, ax: Axes | None = None) -> Axes:
    """Draw the held-out fraction deviance explained over the regularisation strengths.

    One faint line per neuron, down to where it was fitted, with a dot at its selected strength unless it ended at the
    null model, and the median over neurons, which counts those that stopped with their last value. The penalty
    weakens from left to right. Values far below 0, where a neuron is overfitted, run out of the picture.

    Parameters
    ----------
    model : GLMCV
        Fitted; read are ``lambdas_``, (n_lambdas,) or (n_lambdas, n_neurons), ``lambda_index_`` and
        ``cv_deviance_explained_path_``, (n_lambdas, n_neurons). With strengths of its own for every neuron the
        axis is λ / λ_max, relative to the strongest.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `model` is not a fitted cross-validated model, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> from popglm.plot import deviance_over_strengths
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))
    >>> Y = rng.poisson(np.exp(X[:, :2]))
    >>> model = pg.GLMCV(family="poisson", penalty="lasso", lambdas=[1, 0.1, 0.01], cv=3).fit(X, Y)
    >>> deviance_over_strengths(model).get_ylabel()
    'Held-out fraction\\ndeviance explained'
    """
    if not hasattr(model, "cv_deviance_explained_path_"):
        raise TypeError(
            "deviance_over_strengths needs a fitted, cross-validated model (popglm.GLMCV after fit); "
            f"found {type(model).__name__} without cv_deviance_explained_path_"
        )
    explained = _columns(model.cv_deviance_explained_path_)
    strengths = np.broadcast_to(_columns(model.lambdas_), explained.shape)
    index = np.atleast_1d(model.lambda_index_)
    # a neuron at its null model is at no strength
    chosen = np.flatnonzero(index < len(explained))
    selected = index[chosen], chosen
    label = "Regularisation strength λ"
    if np.ndim(model.lambdas_) == 2 and np.ptp(strengths, axis=1).any():
        strongest = strengths.max(axis=0)
        strengths = strengths / np.where(strongest > 0, strongest, 1)
        label = "Regularisation strength λ / λ$_{max}$"

    ax = axes_or_new(ax)
    n_neurons = explained.shape[1]
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    lines = np.stack([strengths.T, explained.T], axis=-1)
    only: dict[str, Any] = {"label": str(getattr(model, "neuron_names_", ["neuron"])[0])} if n_neurons == 1 else {}
    ax.add_collection(LineCollection(list(lines), colors=NEURON, **faint(n_neurons), **only))
    ax.scatter(
        strengths[selected], explained[selected], s=10, color=NEURON, linewidths=0,
        alpha=min(1.0, max(0.3, 2 * faint(n_neurons)["alpha"])), zorder=2.5, label="selected",
    )  # fmt: skip
    if n_neurons > 1:
        # the weights of a neuron that stopped (`GLMCV.patience`) are those of its last strength
        middle = np.median(strengths, axis=1), pd.DataFrame(explained).ffill().median(axis=1)
        ax.plot(*middle, color=MODEL, linewidth=2, zorder=3, label=f"median of {n_neurons:,} neurons")

    positive = strengths[strengths > 0]
    # logarithmic down to the weakest penalty, with room for none at all (λ = 0)
    if (strengths == 0).any():
        ax.set_xscale("symlog", linthresh=positive.min() if positive.size else 1)
    else:
        ax.set_xscale("log")
    ax.set_xlim(*_padded_log(positive) if positive.size == strengths.size else (None, None))
    ax.invert_xaxis()
    top = max(np.nanmax(explained), 0.05)
    ax.set_ylim(max(np.nanmin(explained), -0.3 * top) - 0.04 * top, 1.06 * top)
    ax.set_xlabel(label)
    ax.set_ylabel("Held-out fraction\ndeviance explained")
    legend_above(ax)
    return ax


def deviance_histogram(values: pd.DataFrame | ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw how the fraction deviance explained is distributed over neurons, with its median in red.

    Parameters
    ----------
    values : DataFrame or array_like, shape (n_neurons,)
        What `GLM.evaluate` returns (its column ``deviance_explained``), or the fractions themselves. NaN is
        left out. Neurons below -0.1 have no bar; a note in the picture counts them.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `values` holds no fraction deviance explained, or `ax` is not Axes.

    Examples
    --------
    >>> from popglm.plot import deviance_histogram
    >>> ax = deviance_histogram([0.1, 0.25, 0.3, -0.02])
    >>> ax.get_xlabel(), ax.get_title()
    ('Fraction deviance explained', '3 of 4 neurons beat the null model')
    """
    fractions = _fractions(values)

    ax = axes_or_new(ax)
    low = -0.1
    shown = fractions[fractions >= low]
    width = 0.05 if len(shown) < 200 else 0.025
    # 0 is an edge, so that no bar holds both neurons above and below the null model
    first = np.floor(shown.min(initial=0) / width + 1e-9)
    last = np.floor(shown.max(initial=0.1) / width + 1e-9) + 1
    heights, *_ = ax.hist(
        shown, bins=(width * np.arange(first, last + 1)).tolist(), color=NEURON, edgecolor="white", linewidth=0.5
    )
    ax.set_ylim(0, 1.25 * max(np.max(heights), 1))  # with room for notes above the bars
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    if len(shown) < len(fractions):
        ax.annotate(
            f"← {len(fractions) - len(shown):,} below {low:g}", (0, 0.9), xycoords="axes fraction", xytext=(2, 0),
            textcoords="offset points", va="top", color=NEURON, fontsize="small",
        )  # fmt: skip
    median = float(np.median(fractions))
    if median >= low:
        ax.axvline(median, color=MODEL, linewidth=2)
    note = f"median {median:.3f}" if len(fractions) > 1 else f"{median:.3f}"
    left = median > np.mean(ax.get_xlim())  # of its line, where there is more room
    ax.annotate(
        note, (np.clip(median, *ax.get_xlim()), 1), xycoords=("data", "axes fraction"),
        xytext=(-5 if left else 5, -2), textcoords="offset points", va="top", ha="right" if left else "left",
        color=MODEL, fontsize="small",
    )  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.set_xlabel("Fraction deviance explained")
    ax.set_ylabel("Neurons")
    n_better = int((fractions > 0).sum())
    neurons, beat = "neuron" if len(fractions) == 1 else "neurons", "beats" if n_better == 1 else "beat"
    ax.set_title(f"{n_better:,} of {len(fractions):,} {neurons} {beat} the null model", fontsize="medium")
    return ax


def deviance_cumulative(
    values: pd.DataFrame | ArrayLike | Mapping[str, pd.DataFrame | ArrayLike], ax: Axes | None = None
) -> Axes:
    """Draw the cumulative distribution of the fraction deviance explained over neurons.

    Parameters
    ----------
    values : DataFrame or array_like, shape (n_neurons,), or mapping
        What `GLM.evaluate` returns (its column ``deviance_explained``), or the fractions themselves; or a mapping from
        names, of models or data, to these: one curve each. NaN is left out; the curve of neurons below -0.1 is not
        shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `values` holds no fraction deviance explained, or `ax` is not Axes.

    Examples
    --------
    >>> from popglm.plot import deviance_cumulative
    >>> ax = deviance_cumulative({"training": [0.2, 0.3, 0.35], "test": [0.1, 0.25, 0.3]})
    >>> ax.get_xlabel(), ax.get_legend_handles_labels()[1]
    ('Fraction deviance explained', ['training', 'test'])
    """
    sets = values if isinstance(values, Mapping) else {"": values}
    curves = {str(name): _fractions(part) for name, part in sets.items()}
    if not curves:
        raise ValueError("values is empty; give at least one set of fractions deviance explained")

    ax = axes_or_new(ax)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for i, (name, fractions) in enumerate(curves.items()):
        ax.ecdf(fractions, color=SEVERAL[i % len(SEVERAL)], linewidth=1.8, label=name)
    low = max(min(fractions.min() for fractions in curves.values()), -0.1)
    ax.set_xlim(min(low, 0) - 0.01, max(*(fractions.max() for fractions in curves.values()), 0.1) + 0.02)
    ax.set_ylim(0, 1.02)
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("Fraction deviance explained")
    ax.set_ylabel("Cumulative fraction of neurons")
    if isinstance(values, Mapping):
        legend_above(ax)
    return ax


def explained_and_null_deviance(evaluation: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the deviance that the model explains against the null deviance, a dot per neuron.

    On logarithmic axes the fraction deviance explained is the distance from the diagonal, where all of the null
    deviance is explained; the red line is the median fraction. Neurons of which less than 0.1 % is explained stand as
    triangles at the bottom; those without null deviance are left out.

    Parameters
    ----------
    evaluation : DataFrame
        What `GLM.evaluate` returns; read are the columns ``deviance`` and ``null_deviance``, summed over samples.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `evaluation` is no such DataFrame, no neuron has a null deviance, or `ax` is not Axes.

    Examples
    --------
    >>> import pandas as pd
    >>> from popglm.plot import explained_and_null_deviance
    >>> evaluation = pd.DataFrame({"deviance": [60.0, 150.0], "null_deviance": [100.0, 200.0]})
    >>> explained_and_null_deviance(evaluation).get_xlabel()
    'Null deviance (sum over samples)'
    """
    if not isinstance(evaluation, pd.DataFrame):
        raise TypeError(f"evaluation must be the DataFrame that evaluate returns; found {type(evaluation).__name__}")
    for column in ("deviance", "null_deviance"):
        if column not in evaluation:
            raise ValueError(
                f"evaluation must have the column {column!r}, as evaluate returns it; "
                f"found {listed(map(repr, evaluation.columns)) or 'no columns'}"
            )
    null = evaluation["null_deviance"].to_numpy(dtype=float)
    explained = null - evaluation["deviance"].to_numpy(dtype=float)
    scored = (null > 0) & ~np.isnan(explained)
    if not scored.any():
        raise ValueError("evaluation holds no neuron with a null deviance above 0")
    null, explained = null[scored], explained[scored]
    some = explained >= LEAST * null

    ax = axes_or_new(ax, width=4.0, height=3.4)
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = _decades(null.min(), null.max())
    bottom, top = _decades(explained[some].min(initial=high), null.max())
    ends = np.array([low, high])
    ax.plot(ends, ends, color="0.6", linewidth=0.8, zorder=0, label="all explained")
    median = np.median(explained / null)
    if median >= LEAST:
        what = "median fraction" if len(null) > 1 else "fraction"
        ax.plot(ends, median * ends, color=MODEL, linewidth=1.5, label=f"{what} {median:.3f}")
    dots(ax, null[some], explained[some])
    if not some.all():
        floor = np.full((~some).sum(), 1.1 * bottom)
        dots(
            ax,
            null[~some],
            floor,
            marker="v",
            color="0.4",
            clip_on=False,
            label=f"below {100 * LEAST:g} % ({len(floor):,})",
        )
    ax.set_xlim(low, high)
    ax.set_ylim(bottom, top)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Null deviance (sum over samples)")
    label_height(ax, "Explained deviance (sum over samples)")
    legend_above(ax)
    return ax


def _fractions(values: pd.DataFrame | ArrayLike) -> np.ndarray:
    """Fractions deviance explained of the neurons where they are known, from what `evaluate` returns or an array."""
    if isinstance(values, pd.DataFrame):
        if "deviance_explained" not in values:
            raise ValueError(
                "values: a DataFrame must have the column 'deviance_explained', as evaluate returns it; "
                f"found {listed(map(repr, values.columns)) or 'no columns'}"
            )
        values = values["deviance_explained"]
    fractions = numbers_of(values, "values")
    if fractions.ndim != 1 or holds_flags(values):
        raise ValueError(
            f"values must be fractions deviance explained of shape (n_neurons,), one per neuron; found {shown(values)}"
        )
    fractions = fractions[~np.isnan(fractions)]
    if not fractions.size:
        raise ValueError("values holds no neuron with a known fraction deviance explained")
    if fractions.max() > 1:
        neuron = int(fractions.argmax())
        raise ValueError(
            f"values must be fractions deviance explained, 1 at most; found {fractions[neuron]:g} at neuron {neuron}"
        )
    return fractions


def _columns(values: ArrayLike) -> np.ndarray:
    """(n_lambdas,) -> (n_lambdas, 1): strengths shared by all neurons, or a model of a single neuron."""
    values = np.asarray(values, dtype=float)
    return values[:, None] if values.ndim == 1 else values


def _padded_log(values: np.ndarray) -> tuple[float, float]:
    low, high = np.log(values.min()), np.log(values.max())
    margin = 0.03 * (high - low) or 1.0
    return float(np.exp(low - margin)), float(np.exp(high + margin))


def _decades(low: float, high: float) -> tuple[float, float]:
    """The powers of ten around a range."""
    return 10.0 ** np.floor(np.log10(low) - 0.02), 10.0 ** np.ceil(np.log10(high) + 0.02)

"""What statistics say of fits: weights with their intervals, rescaled intervals between spikes, posteriors."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike

from popglm.explain.segments import gaps
from popglm.numbers import numbers_of
from popglm.plot.labelled import check_dataset, check_unit, count_neurons, edges, pick, pick_neurons, with_unit
from popglm.plot.style import MODEL, NEURON, SEVERAL, axes_or_new, entitle, faint, legend_beside, whole_times

__all__ = ["coefficients", "posterior", "time_rescaling"]


def coefficients(wald: xr.Dataset, ax: Axes | None = None, *, neurons: Any = None, features: Any = None) -> Axes:
    """Draw weights with their confidence intervals, a row for every column of the design.

    Parameters
    ----------
    wald : Dataset
        What `popglm.wald` or `popglm.debiased` returns. A weight that the samples do not determine has a ring, and no
        interval; penalised weights beside debiased ones are crosses.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    neurons, features : str or list of str, optional
        Names or shell patterns; all unless given. Of more than ten neurons the first ten have a colour; the others are
        grey dots.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `wald` is not what that returns, a neuron or feature is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> Y = np.random.default_rng(1).poisson(np.exp(X[:, :1] - 1))
    >>> ax = pg.plot.coefficients(pg.wald(pg.GLM(penalty="none").fit(X, Y), X, Y))
    >>> ax.get_xlabel(), ax.get_title()
    ('Weight', 'neuron0, 95 % intervals')
    """
    check_dataset(wald, ["coef", "lower", "upper"], "wald", "popglm.wald")
    data = pick_neurons(wald, neurons)
    data = data.isel(feature=pick(features, data["feature"].values, "features"))
    n, rows = data.sizes["neuron"], np.arange(data.sizes["feature"])
    shown = min(n, len(SEVERAL))
    ax = axes_or_new(ax, width=5.0 + (1.2 if n > 1 else 0), height=max(2.0, 0.8 + 0.22 * len(rows)))
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    for j in range(n - 1, -1, -1):
        own = data.isel(neuron=j)
        if j >= shown:
            ax.plot(own["coef"], rows, ".", color="0.8", markersize=3, zorder=1)
            continue
        place = rows + 0.6 * ((j + 0.5) / shown - 0.5)
        known = np.isfinite(own["upper"].values)
        ax.hlines(place[known], own["lower"][known], own["upper"][known], color=SEVERAL[j], linewidth=1.5)
        ax.plot(own["coef"][known], place[known], "o", color=SEVERAL[j], markersize=4, label=str(own["neuron"].item()))
        ax.plot(own["coef"][~known], place[~known], "o", color=SEVERAL[j], markersize=4, markerfacecolor="none")
        if "penalised" in own:
            ax.plot(own["penalised"], place, "x", color=SEVERAL[j], markersize=5, alpha=0.7)
    ax.set_yticks(rows, data["feature"].values.tolist(), fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("Weight")
    if n > 1:
        legend_beside(ax, reverse=True)
    level = f"{100 * wald.attrs['level']:g} % intervals" if "level" in wald.attrs else "intervals"
    entitle(ax, count_neurons(data["neuron"].values), level)
    return ax


def time_rescaling(quantiles: xr.Dataset, ax: Axes | None = None, *, neurons: Any = None) -> Axes:
    """Draw the Kolmogorov-Smirnov plot: the distribution of rescaled intervals over that of a right model.

    One neuron has its band, which 95 of 100 right models stay in. Of several the distance from the diagonal is drawn,
    in units of their own limits, since those with many spikes have a narrower band.

    Parameters
    ----------
    quantiles : Dataset
        What `popglm.rescaled_quantiles` returns. Neurons with fewer than 5 intervals are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    neurons : str or list of str, optional
        Names or shell patterns; all unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `quantiles` is not what that returns, a neuron is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> X = np.random.default_rng(0).normal(size=(2000, 1))
    >>> Y = np.random.default_rng(1).poisson(np.exp(X - 1))
    >>> ax = pg.plot.time_rescaling(pg.rescaled_quantiles(pg.GLM(penalty="none").fit(X, Y), X, Y))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Uniform distribution', 'Distribution of intervals')
    """
    check_dataset(quantiles, ["quantile", "limit"], "quantiles", "popglm.rescaled_quantiles")
    data = pick_neurons(quantiles, neurons)
    probability, limit = data["probability"].values, data["limit"].values
    u = data["quantile"].transpose("neuron", "probability").values
    known = np.isfinite(limit)
    ax = axes_or_new(ax, width=3.6, height=3.6)
    ends = np.array([0.0, 1.0])
    if len(u) == 1:
        ax.plot(ends, ends, color="0.6", linewidth=0.8)
        if known[0]:
            ax.fill_between(ends, ends - limit[0], ends + limit[0], color="0.9", linewidth=0, zorder=0)
        ax.plot(u[0], probability, color=NEURON, linewidth=1.8)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set_ylabel("Distribution of intervals")
    else:
        off = (probability - u[known]) / limit[known, None]
        ax.axhspan(-1, 1, color="0.9", linewidth=0, zorder=0)
        ax.axhline(0, color="0.6", linewidth=0.8)
        lines = np.stack([u[known], off], axis=-1)
        ax.add_collection(LineCollection(list(lines), colors=NEURON, **faint(int(known.sum()))))
        ax.set_xlim(0, 1)
        far = max(1.5, 1.1 * np.abs(off).max(initial=0))
        ax.set_ylim(-far, far)
        ax.set_ylabel("Distribution of intervals less\nthe uniform one (limits)")
    ax.set_xlabel("Uniform distribution")
    entitle(ax, count_neurons(data["neuron"].values, known))
    return ax


def posterior(
    decoded: xr.Dataset, time: ArrayLike | None = None, ax: Axes | None = None, *, unit: str | None = None
) -> Axes:
    """Draw the posterior of a decoded variable over time as an image, and what was recorded in red.

    Parameters
    ----------
    decoded : Dataset
        What `popglm.decode` returns, or some of its samples in a row: ``found.isel(sample=slice(0, 400))``.
    time : array_like, shape (n_samples,), optional
        Time of every sample in seconds, increasing. Gaps in it (steps above 1.5 × the median) stay empty. Unless given
        the axis counts samples.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    unit : str, optional
        Of the variable, for the label.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `decoded` is not what that returns, `time` has another length or does not increase, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from popglm.plot import posterior
    >>> decoded = xr.Dataset(
    ...     {
    ...         "posterior": (("sample", "value"), [[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]),
    ...         "recorded": ("sample", [0.0, 10.0, 10.0]),
    ...     },
    ...     coords={"value": [0.0, 10.0]},
    ...     attrs={"variable": "position"},
    ... )
    >>> ax = posterior(decoded, unit="cm")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Sample', 'position (cm)')
    """
    check_dataset(decoded, ["posterior", "recorded"], "decoded", "popglm.decode")
    check_unit(unit)
    P = decoded["posterior"].transpose("sample", "value").values
    x = np.arange(len(P), dtype=float) if time is None else numbers_of(time, "time")
    if x.shape != (len(P),) or not (np.diff(x) > 0).all() or np.isnan(x).any():
        raise ValueError(
            f"time must have a number for each of the {len(P)} samples, and increase; found shape {x.shape}"
        )
    values, recorded = decoded["value"].values, decoded["recorded"].values
    numeric = np.issubdtype(values.dtype, np.number)
    order = np.argsort(values, kind="stable") if numeric else np.arange(len(values))
    centers = values[order].astype(float) if numeric else np.arange(len(values), dtype=float)
    ax = axes_or_new(ax, width=7.0, height=3.0)
    step = np.median(np.diff(x)) if len(x) > 1 else 1.0
    after = gaps(x)
    # an empty sample in every gap
    left = np.insert(x - step / 2, after, x[after - 1] + step / 2)
    filled = np.insert(P[:, order], after, np.nan, axis=0)
    image = ax.pcolormesh(
        np.append(left, x[-1] + step / 2), edges(centers), filled.T, cmap="Greys", vmin=0,
        vmax=np.nanquantile(P.max(axis=1), 0.95), rasterized=True,
    )  # fmt: skip
    if not numeric:
        place = {str(value): k for k, value in enumerate(values)}
        recorded = np.array([place.get(str(one), np.nan) for one in recorded], dtype=float)
        ax.set_yticks(centers, [str(value) for value in values])
    ax.plot(x, recorded.astype(float), ".", color=MODEL, markersize=2.5, label="recorded")
    whole_times(ax)
    ax.set_xlabel("Sample" if time is None else "Time (s)")
    ax.set_ylabel(with_unit(str(decoded.attrs.get("variable", "value")), unit))
    ax.figure.colorbar(image, ax=ax, label="Posterior probability", pad=0.02)
    ax.legend(frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1.0, 1.0), borderpad=0, markerscale=3)
    return ax

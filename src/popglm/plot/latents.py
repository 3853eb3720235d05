"""Latent signals of a population: who sends each, and who hears it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from popglm.plot.kernels import MOST_NAMED
from popglm.plot.labelled import check_dataset, name_columns, name_rows, pick
from popglm.plot.style import axes_or_new, entitle

__all__ = ["latent_couplings"]

#: Of neurons whose past is not in the fit, or whose activity is not.
NOTHING = "0.82"


def latent_couplings(
    latent_couplings: xr.Dataset, ax: Axes | None = None, *, neurons: str | Iterable[str] | None = None
) -> Axes:
    """Draw who sends each latent signal, and who hears it: a row for every neuron, two columns for every signal.

    Columns are in shares of their largest entry. Red raises the signal, or is raised by it, blue lowers it, or is
    lowered; the sign of both columns together is arbitrary. Neurons that are no source, or no target, are grey there.

    Parameters
    ----------
    latent_couplings : Dataset
        What `popglm.latent_couplings` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons in the rows, in this order; all unless given, sources first.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `latent_couplings` is not what that returns, a neuron is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> import popglm as pg
    >>> found = xr.Dataset(
    ...     {"sends": (("dimension", "source"), [[0.5, 0.0]]), "hears": (("dimension", "target"), [[0.0, 0.2]])},
    ...     coords={"dimension": [1], "source": ["a", "b"], "target": ["a", "b"]},
    ... )
    >>> ax = pg.plot.latent_couplings(found)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['1 sends', '1 hears']
    """
    check_dataset(latent_couplings, ["sends", "hears"], "latent_couplings", "popglm.latent_couplings")
    sources, targets = (latent_couplings[name].values.tolist() for name in ("source", "target"))
    names = list(dict.fromkeys([*sources, *targets]))
    rows = [names[i] for i in pick(neurons, names, "neurons")]
    image, columns = np.full((len(rows), 2 * latent_couplings.sizes["dimension"]), np.nan), []
    for k, dimension in enumerate(latent_couplings["dimension"].values.tolist()):
        for i, (what, of) in enumerate((("sends", sources), ("hears", targets))):
            values = dict(zip(of, latent_couplings[what].values[k], strict=True))
            largest = max(map(abs, values.values())) or 1.0
            image[:, 2 * k + i] = [values.get(name, np.nan) / largest for name in rows]
            columns.append(f"{dimension} {what}")
    height = 5.4 if len(rows) > MOST_NAMED else max(2.8, 1.2 + 0.18 * len(rows))
    ax = axes_or_new(ax, width=max(3.2, 1.8 + 0.5 * len(columns)), height=height)
    ax.set_facecolor(NOTHING)
    edges = (np.arange(n + 1) + 0.5 for n in (len(columns), len(rows)))
    mesh = ax.pcolormesh(*edges, image, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True)
    ax.vlines(np.arange(2, len(columns), 2) + 0.5, 0.5, len(rows) + 0.5, color="black", linewidth=0.8)
    bar = ax.figure.colorbar(mesh, ax=ax, ticks=[-1, 0, 1])
    bar.ax.set_ylabel("Share of the largest")
    ax.invert_yaxis()
    name_rows(ax, rows, "Neuron")
    name_columns(ax, columns)
    ax.set_xlabel("Latent signal")
    grey = ["grey: not in the fit"] if np.isnan(image).any() else []
    n = latent_couplings.sizes["dimension"]
    entitle(ax, f"{n:,} latent signal{'s' * (n > 1)}", f"{len(rows):,} neuron{'s' * (len(rows) > 1)}", *grey)
    return ax

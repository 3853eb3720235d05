"""What neurons could be explained of, and how much of it a model explains."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from popglm.checks import check_choice
from popglm.messages import shown
from popglm.plot.labelled import count_neurons
from popglm.plot.style import MODEL, axes_or_new, dots, entitle

__all__ = ["noise_ceiling"]

#: By quantity: what is explained, its ceiling, and a label.
QUANTITIES = {
    "variance": ("variance_explained", "explainable", "Fraction of variance"),
    "deviance": ("deviance_explained", "deviance_ceiling", "Fraction of deviance"),
}


def noise_ceiling(ceiling: pd.DataFrame, ax: Axes | None = None, *, quantity: str = "variance") -> Axes:
    """Draw what a model explains of every neuron over what could be explained; the diagonal is the ceiling.

    Bars are one standard error of explainable variance, or reach from the low to the high ceiling of deviance. Without
    predictions the picture has the neurons in order of their ceilings. Values far below 0 run out of the picture.

    Parameters
    ----------
    ceiling : DataFrame
        What `popglm.noise_ceiling` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    quantity : {"variance", "deviance"}

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `ceiling` is not what that returns, or has no such quantity, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.normal(size=(60, 3)) + np.tile(np.arange(6), 10)[:, None]
    >>> ax = pg.plot.noise_ceiling(pg.noise_ceiling(Y, np.tile(np.arange(6), 10)))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Neuron', 'Fraction of variance\\nthat can be explained')
    """
    check_choice("noise_ceiling", "quantity", quantity, tuple(QUANTITIES))
    explained, most, label = QUANTITIES[quantity]
    if not isinstance(ceiling, pd.DataFrame):
        raise TypeError(f"ceiling must be the table that popglm.noise_ceiling returns; found {shown(ceiling)}")
    if most not in ceiling or not len(ceiling):
        raise ValueError(
            f"ceiling must be what popglm.noise_ceiling returns, with a column {most!r} and a neuron; found "
            f"{shown(list(ceiling))}"
        )
    table = ceiling[ceiling[most].notna()]
    low, high = _bars(table, quantity)
    ax = axes_or_new(ax, width=3.6, height=3.6) if explained in table else axes_or_new(ax, width=5.0)
    top = max(np.nanmax(high, initial=0.02), 0.02)
    if explained not in table:
        order = np.argsort(-table[most].to_numpy(), kind="stable")
        place = np.arange(len(table)) + 1
        ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        ax.vlines(place, low[order], high[order], color="0.7", linewidth=1, zorder=1)
        dots(ax, place, table[most].to_numpy()[order])
        ax.set_ylim(max(np.nanmin(low, initial=0), -0.3 * top) - 0.03 * top, 1.05 * top)
        ax.set_xlabel("Neuron")
        ax.set_ylabel(f"{label}\nthat can be explained")
        entitle(ax, count_neurons(ceiling.index, ceiling[most].notna()))
        return ax
    x, y = table[most].to_numpy(), table[explained].to_numpy()
    top = max(top, np.nanmax(y, initial=0))
    ends = max(np.nanmin(np.r_[low, y], initial=0), -0.3 * top) - 0.05 * top, 1.05 * top
    ax.plot(ends, ends, color=MODEL, linewidth=1, zorder=0)
    ax.hlines(y, low, high, color="0.75", linewidth=1, zorder=1)
    dots(ax, x, y)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set_xlabel(f"{label}\nthat can be explained")
    ax.set_ylabel(f"{label}\nexplained by the model")
    entitle(ax, count_neurons(ceiling.index, ceiling[most].notna() & (ceiling[explained] > ends[0])))
    return ax


def _bars(table: pd.DataFrame, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the bars of the ceilings."""
    if quantity == "deviance":
        return table["deviance_ceiling_low"].to_numpy(), table["deviance_ceiling_high"].to_numpy()
    error = table["explainable_error"].fillna(0)
    return (table["explainable"] - error).to_numpy(), (table["explainable"] + error).to_numpy()

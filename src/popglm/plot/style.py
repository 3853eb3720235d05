"""What the pictures have in common: colours, Axes, curves with bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from popglm.explain.segments import gaps

RECORDED = "0.62"  # grey: what was measured
MODEL = "#c8442d"  # red: what the model says
NEURON = "#2f6690"  # blue: one neuron among many
# as many curves as can be told apart, with red-green and blue-yellow blindness, too: variables, trial types, neurons
SEVERAL = (
    *("#2f6690", "#c8442d", "#64c175", "#6032aa", "#ec8f27"),
    *("#e987ee", "#732a37", "#827576", "#9270f2", "#830c0b"),
)
MOST_LINES = 60  # where trials begin, from top to bottom of the Axes; more would hide what is drawn


def axes_or_new(ax: Axes | None, width: float = 4.0, height: float = 3.0) -> Axes:
    """Return `ax`, or the Axes of a new figure (size in inches), without the upper and the right frame."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    elif not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib Axes or None; found {type(ax).__name__}")
    ax.spines[["top", "right"]].set_visible(False)
    _thin_out_ticks(ax)
    return ax


def _thin_out_ticks(ax: Axes) -> None:
    """Leave room for numbers as wide as −0.0025 between the ticks of the horizontal axis."""
    if isinstance(ax.xaxis.get_major_locator(), MaxNLocator):
        points = ax.get_window_extent().width / ax.figure.dpi * 72
        ax.locator_params(axis="x", nbins=int(np.clip(points / 40, 2, 8)))


def entitle(ax: Axes, *parts: str) -> None:
    """Write the parts over the Axes, in a new line where one line has no room for them."""
    title, room = ax.set_title(parts[0], fontsize="medium"), ax.get_window_extent().width
    if title.get_window_extent().width > room:
        title.set_text(parts[0].replace(" × ", " ×\n"))
    for part in parts[1:]:
        before = title.get_text()
        title.set_text(f"{before}, {part}")
        if title.get_window_extent().width > room:
            title.set_text(f"{before},\n{part}")


def label_height(ax: Axes, label: str) -> None:
    """Label the vertical axis, with what stands in brackets in a line of its own where one line has no room."""
    text = ax.set_ylabel(label)
    if text.get_window_extent().height > ax.get_window_extent().height:
        text.set_text(label.replace(" (", "\n(", 1))


def trial_marks(ax: Axes, starts: ArrayLike, **line: Any) -> None:
    """Mark where trials begin: lines from bottom to top, or short ones at the top where there are many."""
    bottom = 0.0 if len(np.atleast_1d(starts)) <= MOST_LINES else 0.97
    ax.vlines(starts, bottom, 1, transform=ax.get_xaxis_transform(), **{"zorder": 0, **line})


def faint(n_neurons: int) -> dict[str, Any]:
    """Width and opacity at which `n_neurons` curves over each other show where most of them run."""
    return {
        "linewidths": 0.6 if n_neurons > 10 else 1.5,
        "alpha": min(1.0, 3 / np.sqrt(n_neurons)),
        "rasterized": n_neurons > 300,
    }


def faint_curves(ax: Axes, x: ArrayLike, curves: np.ndarray, points: bool = False) -> None:
    """Draw one faint curve per neuron, or its points side by side; `curves` has shape (n_neurons, n_points)."""
    if points:
        place = np.asarray(x) + 0.5 * spread(len(curves))[:, None]
        dots(ax, place.ravel(), curves.ravel(), s=5, alpha=faint(len(curves))["alpha"], rasterized=curves.size > 2000)
        return
    lines = np.stack([np.broadcast_to(x, curves.shape), curves], axis=-1)
    ax.add_collection(LineCollection(list(lines), colors=NEURON, **faint(len(curves))))
    ax.autoscale_view()


def spread(n: int) -> np.ndarray:
    """Places between −0.5 and 0.5 for `n` dots side by side, evenly spread however many there are."""
    # the multiples of the golden ratio spread evenly, and every time the same
    return (np.arange(n) * 0.618034) % 1 - 0.5 if n > 1 else np.zeros(1)


def side_by_side(x: ArrayLike, k: int, n: int) -> np.ndarray:
    """Places of the k-th of `n` points at every x, where the next x is 1 away."""
    return np.asarray(x, dtype=float) + 0.5 * ((k + 0.5) / n - 0.5)


def curve(
    ax: Axes, x: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike, *, points: bool = False, **line: Any
) -> None:
    """Draw a curve and its band from `low` to `high`, or points with error bars; nothing where they are NaN.

    A point of the curve without neighbours has no line, and is a dot.
    """
    known = not np.isnan(np.asarray(low, dtype=float)).all()
    if points:
        (drawn,) = ax.plot(x, y, "o", **{"markersize": 5, **line})
        if known:
            # the band as it is: a percentile band need not hold the point
            ax.vlines(x, low, high, colors=drawn.get_color(), linewidth=1.5, zorder=drawn.get_zorder())
        return
    alone = _alone(y)
    look: dict[str, Any] = {"linewidth": 1.8} | ({"marker": ".", "markevery": alone} if alone else {})
    (drawn,) = ax.plot(x, y, **look, **line)
    if known:
        ax.fill_between(x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0, zorder=drawn.get_zorder() - 0.5)


def _alone(y: ArrayLike) -> list[int]:
    """Points between two that are not known."""
    known = np.concatenate([[False], ~np.isnan(np.asarray(y, dtype=float)), [False]])
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()


def named_curves(ax: Axes, curves: Mapping[str, tuple[np.ndarray, ...]], points: bool = False) -> None:
    """Draw a curve with its band (or points with error bars) for each name, from (x, mean, standard error).

    More curves than can be told apart: the highest on average are in colour, the others grey.
    """
    height = {
        name: np.nanmean(np.abs(mean)) if np.isfinite(mean).any() else 0.0 for name, (_, mean, _) in curves.items()
    }
    shown = sorted(height, key=height.__getitem__, reverse=True)[: len(SEVERAL)]
    shown = [name for name in curves if name in shown]
    for k, (name, color) in enumerate(zip(shown, SEVERAL, strict=False)):
        x, mean, sem = curves[name]
        place = side_by_side(x, k, len(shown)) if points else x
        curve(ax, place, mean, mean - sem, mean + sem, color=color, label=name, points=points)
    others = [name for name in curves if name not in shown]
    for i, name in enumerate(others):
        x, mean, _ = curves[name]
        label = None if i else f"{len(others)} other{'s' * (len(others) > 1)}"
        ax.plot(x, mean, "o" if points else "-", color="0.8", linewidth=1, zorder=1, label=label)


def dots(ax: Axes, x: ArrayLike, y: ArrayLike, **dot: Any) -> None:
    """Scatter one dot per neuron, fainter and smaller the more there are."""
    n = len(np.atleast_1d(x))
    look = {"s": 18 if n <= 100 else 8, "alpha": 0.9 if n <= 30 else 0.5, "rasterized": n > 2000}
    ax.scatter(x, y, **{"color": NEURON, "linewidths": 0, **look, **dot})


def edges_of_samples(t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Borders between samples with an empty one in each gap, where gaps are, and the times at which they begin."""
    step = np.median(np.diff(t)) if len(t) > 1 else 1.0
    after = gaps(t)
    ends = t[after - 1] + step / 2
    return np.append(np.insert(t - step / 2, after, ends), t[-1] + step / 2), after, ends


def whole_times(ax: Axes) -> None:
    """Write out the numbers of the horizontal axis: the clock of a day is 1048900, not 0 and + 1.0489e6."""
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    ax.locator_params(axis="x", nbins=6)


def from_end_to_end(ax: Axes, x: ArrayLike) -> None:
    """Let the horizontal axis span all of x, also where nothing is known."""
    ends = np.array([np.min(x), np.max(x)], dtype=float)
    ax.update_datalim(np.column_stack([ends, ends]), updatey=False)
    ax.margins(x=0.01)  # half a dot at either end
    whole_ticks(ax, x)


def whole_ticks(ax: Axes, x: ArrayLike) -> None:
    """Put no ticks between whole numbers, such as lags in samples, if x has no others."""
    locator = ax.xaxis.get_major_locator()
    if isinstance(locator, MaxNLocator) and np.equal(np.rint(x), x).all():
        locator.set_params(integer=True)


def legend_above(ax: Axes) -> None:
    """Put the legend over the Axes, where it hides nothing."""
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def legend_beside(ax: Axes, **more: Any) -> None:
    """Put the legend to the right of the Axes."""
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0), **more)

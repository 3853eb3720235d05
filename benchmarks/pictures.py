"""The pictures of the benchmarks."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from environments import PEERS, POPGLM
from jobs import Size
from matplotlib.ticker import LogLocator, NullFormatter

FLOOR = 1e-9  # of the excess: below, it is rounding
COLORS = {"popglm": "black"} | {name: f"C{k}" for k, name in enumerate(PEERS)}
MARKERS = {"popglm": "o"} | dict(zip(PEERS, "sD^vPXph", strict=True))


def draw_peers(curves: dict[str, dict[str, np.ndarray]], size: Size, path: Path) -> None:
    """Time to objective: a panel per job, a line per library, a point per tolerance."""
    n_columns = min(3, len(curves))
    n_rows = -(-len(curves) // n_columns)
    fig, axes = plt.subplots(
        n_rows, n_columns, figsize=(3.3 * n_columns, 2.6 * n_rows + 0.8), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    handles = {}
    for ax, (title, libraries) in zip(axes.flat, curves.items(), strict=False):
        for name, points in libraries.items():
            seconds, excess = points.T
            label = POPGLM.label if name == "popglm" else PEERS[name].label
            (handles[label],) = ax.loglog(
                seconds, np.maximum(excess, FLOOR), marker=MARKERS[name], color=COLORS[name], markersize=5,
                linewidth=1.2, zorder=3 if name == "popglm" else 2,
            )  # fmt: skip
        ax.axhline(1e-4, color="0.8", linewidth=0.8, zorder=0)
        ax.set_title(title, fontsize="medium")
        ax.set_ylim(FLOOR / 2, 2)
        ax.spines[["top", "right"]].set_visible(False)
        first, last = ax.get_xlim()
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if last < 20 * first else (1,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    for ax in axes.flat[len(curves) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("Seconds for the whole job")
    fig.supylabel("Largest excess of the objective / half the null deviance")
    fig.suptitle(
        f"{size.n_samples:,} samples × {33 * (size.n_task_variables + 1) + 21:,} columns, {size.n_neurons} neurons, "
        "11 strengths, 5 folds and refit",
        fontsize="medium",
    )
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def draw_growth(table: pd.DataFrame, path: Path) -> None:
    """Seconds against samples, neurons and columns, with a line of slope 1 through the first point."""
    kinds = table["varied"].unique()
    fig, axes = plt.subplots(1, len(kinds), figsize=(3.3 * len(kinds), 3), sharey=True, layout="constrained")
    for ax, kind in zip(axes, kinds, strict=True):
        part = table[table["varied"] == kind]
        x = part[kind].to_numpy(float)
        ax.loglog(x, part["seconds"], "o-", color="black")
        ax.loglog(x, part["seconds"].iloc[0] * x / x[0], "--", color="0.6", label="linear")
        ax.set_xticks(x, [f"{value:,.0f}" for value in x], fontsize="small")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(kind.capitalize())
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("Seconds")
    axes[0].legend(frameon=False)
    fig.savefig(path, dpi=120)
    plt.close(fig)

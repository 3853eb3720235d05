"""What the pictures have in common."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

RECORDED = "0.72"  # grey: what was measured
MODEL = "#c8442d"  # red: what the model says
NEURON = "#2f6690"  # blue: one neuron among many


def axes_or_new(ax: Axes | None, width: float = 4.0, height: float = 3.0) -> Axes:
    """Return `ax`, or the Axes of a new figure (size in inches), without the upper and the right frame."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    elif not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib Axes or None; found {type(ax).__name__}")
    ax.spines[["top", "right"]].set_visible(False)
    return ax

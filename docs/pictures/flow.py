"""How data flow through popglm: from a session to results. ``python docs/pictures/flow.py`` writes images/flow.png."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

WIDTH, HEIGHT = 10.0, 6.9
GIVEN, MADE, FITTED, SAID = "#e8e8e8", "#dbe9f6", "#fde3c8", "#dff0d8"

# left, bottom, width, height, colour, title, lines
BOXES = {
    "behaviour": (0.2, 5.5, 2.5, 1.15, GIVEN, "Behaviour", "variables, trials\none row per sample"),
    "activity": (0.2, 3.5, 2.5, 1.15, GIVEN, "Activity", "samples × neurons\nNaN: not recorded"),
    "design": (3.5, 5.5, 2.7, 1.15, MADE, "Design", "terms become groups\nof features"),
    "X": (7.0, 5.5, 2.8, 1.15, MADE, "X, the design matrix", "samples × features"),
    "fit": (3.5, 2.95, 6.3, 1.75, FITTED, "GLMCV", ""),
    "model": (0.2, 1.95, 9.6, 0.55, FITTED, "Fitted model: coef_, intercept_, gap_", ""),
    "kernels": (0.2, 0.2, 1.8, 1.2, SAID, "kernels", "which way,\nwhere, how much"),
    "contributions": (2.15, 0.2, 2.35, 1.2, SAID, "breakdown, compare", "what each variable\ncontributes"),
    "significance": (4.65, 0.2, 1.8, 1.2, SAID, "significance", "is it more\nthan chance"),
    "plot": (6.6, 0.2, 1.5, 1.2, SAID, "plot", "pictures"),
    "file": (8.25, 0.2, 1.55, 1.2, SAID, "save, load", "a file"),
}
STEPS = (
    ("paths", "all strengths λ,\nthe strongest first"),
    ("folds", "all rows, and those\nof every fold"),
    ("selection", "one λ per neuron by\nheld-out deviance"),
)


def box(ax, left, bottom, width, height, color, title, lines):
    """A box with its title in bold over its lines."""
    ax.add_patch(
        FancyBboxPatch((left, bottom), width, height, "round,pad=0,rounding_size=0.1", fc=color, ec="0.35", lw=1)
    )
    middle = left + width / 2
    if lines:
        ax.text(middle, bottom + height - 0.3, title, ha="center", va="center", weight="bold", size=10.5)
        ax.text(middle, bottom + (height - 0.42) / 2, lines, ha="center", va="center", size=9)
    elif height < 1:
        ax.text(middle, bottom + height / 2, title, ha="center", va="center", weight="bold", size=10.5)
    else:
        ax.text(middle, bottom + height - 0.28, title, ha="center", va="center", weight="bold", size=10.5)


def arrow(ax, start, end, text="", side=(0.0, 0.0)):
    """An arrow, and what flows along it."""
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.25", "lw": 1.4, "shrinkA": 2, "shrinkB": 2}
    )
    if text:
        middle = (start[0] + end[0]) / 2 + side[0], (start[1] + end[1]) / 2 + side[1]
        ax.text(*middle, text, ha="center", va="center", size=9, style="italic")


def draw(path: Path) -> None:
    """The whole picture."""
    fig = plt.figure(figsize=(WIDTH, HEIGHT))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    for spec in BOXES.values():
        box(ax, *spec)
    for k, (title, lines) in enumerate(STEPS):
        box(ax, 3.7 + 2.03 * k, 3.1, 1.87, 1.1, "white", title, lines)
    arrow(ax, (2.7, 6.07), (3.5, 6.07))
    arrow(ax, (6.2, 6.07), (7.0, 6.07))
    arrow(ax, (8.4, 5.5), (8.4, 4.7), "X", (0.18, 0))
    arrow(ax, (2.7, 4.07), (3.5, 4.07), "Y", (0, 0.18))
    arrow(ax, (2.2, 5.5), (3.6, 4.7), "trials", (0.38, 0.14))
    arrow(ax, (6.65, 2.95), (6.65, 2.5))
    for name in ("kernels", "contributions", "significance", "plot", "file"):
        left, bottom, width, height, *_ = BOXES[name]
        middle = left + width / 2
        arrow(ax, (middle, 1.95), (middle, bottom + height))
    fig.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(Path(__file__).parents[1] / "images" / "flow.png")

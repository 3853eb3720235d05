r"""
Place maps in two dimensions
============================

Place cells of an animal that walks about in a box: a product of two bases covers the floor, and ``smoothness`` takes
the columns of the map for neighbours along both of its axes. With little data per place, that finds the fields.
"""

# %%
# A walk, and cells with fields
# -----------------------------
# Ten minutes of bins of 200 ms in a box of 1 m, and twelve cells with a field each, of up to 0.85 spikes per bin. The
# walk is a random one, and leaves parts of the floor hardly visited.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter1d

import popglm as pg

rng = np.random.default_rng(3)
n_samples, n_cells = 3_000, 12
velocity = gaussian_filter1d(rng.standard_normal((n_samples, 2)), 4, axis=0)
path = np.cumsum(14 * velocity, axis=0)
x, y = 100 - np.abs(path % 200 - 100).T  # reflected at the walls
session = {"x": x, "y": y, "minute": np.arange(n_samples) // 300}


def field(x, y):
    """Rates of all cells, spikes per bin: 0.05 beside the fields, whose radius is 12 cm."""
    squares = (np.asarray(x)[:, None] - centers[:, 0]) ** 2 + (np.asarray(y)[:, None] - centers[:, 1]) ** 2
    return 0.05 + 0.8 * np.exp(-squares / (2 * 12**2))


centers = rng.uniform(10, 90, (n_cells, 2))
spikes = rng.poisson(field(x, y))

# %%
# A product of two bases
# ----------------------
# 12 bumps along each side make 144 columns. ``group_shapes_`` says that they have two axes; a `DataFrame` carries that
# to the model. Minutes in turn go to the folds.

design = pg.Design([pg.bumps("x", n=12, low=0, high=100) * pg.bumps("y", n=12, low=0, high=100)])
X = design.fit_transform(session)
{group: shape.axes for group, shape in zip(design.groups_, design.group_shapes_, strict=True)}

# %%
# Fits with one number for smoothness: a ridge alone, with smoothness along both axes, and with the columns taken for
# one line, as if the last column of a row of the map were next to the first one of the next row. The ridge chooses its
# strength for each cell from a grid; smoothness is chosen here by held-out deviance from a few.

fits = {}
for name, shapes, strengths in [
    ("ridge alone", None, [0.0]),
    ("one line", {"x × y": 144}, [0.1, 0.3, 1.0]),
    ("both axes", None, [0.1, 0.3, 1.0]),
]:
    of_strength = [
        pg.GLMCV(smoothness=strength, feature_shapes=shapes, lambdas=[0.3, 0.1, 0.03, 0.01], cv=5, tol=1e-3).fit(
            X, spikes, groups=session["minute"]
        )
        for strength in strengths
    ]
    fits[name] = max(of_strength, key=lambda model: model.cv_deviance_explained_.mean())
{name: (model.smoothness, float(model.cv_deviance_explained_.mean().round(3))) for name, model in fits.items()}

# %%
# `SmoothGLM` needs no folds: it chooses how smooth the map of each cell is along each axis by the likelihood of the
# data with the map integrated out (REML).

fits["REML"] = pg.SmoothGLM().fit(X, spikes)
fits["REML"].smoothing_.describe().loc[["min", "50%", "max"]].round(4)

# %%
# The maps of four cells
# ----------------------
# `kernels` evaluates the weights on a grid of places. Here they are as rates, beside the true ones.

side = np.linspace(0, 100, 41)
grid = {"x": np.repeat(side, 41), "y": np.tile(side, 41)}
true = field(grid["x"], grid["y"])
maps = {"truth": true} | {name: model.predict(design.transform(grid)) for name, model in fits.items()}

fig, axes = plt.subplots(4, 5, figsize=(8.4, 6.2), layout="constrained", sharex=True, sharey=True)
for row, cell in zip(axes, (0, 3, 5, 8), strict=True):
    for ax, (name, rates) in zip(row, maps.items(), strict=True):
        image = ax.imshow(rates[:, cell].reshape(41, 41).T, origin="lower", extent=(0, 100, 0, 100), vmin=0, vmax=0.85)
        ax.set_title(name if cell == 0 else "")
    row[0].set_ylabel(f"Cell {cell}\ny (cm)")
for ax in axes[-1]:
    ax.set_xlabel("x (cm)")
axes[0, 0].plot(x, y, color="w", linewidth=0.3, alpha=0.5)
fig.colorbar(image, ax=axes, label="Spikes per bin", shrink=0.5)
plt.show()

# %%
# The walk is drawn over the first map. How far the rates are from the true ones, over the whole floor and all cells:

{name: float(np.sqrt(np.mean((rates - true) ** 2)).round(3)) for name, rates in maps.items() if name != "truth"}

# %%
# How sure a map is
# -----------------
# `bootstrap` fits again to minutes that are drawn with replacement, at the strengths that were chosen. The standard
# error of this map is largest in the corners, where the animal hardly was, and small in the field.

map_of_cell = pg.bootstrap(
    fits["REML"], design, X, spikes, trial=session["minute"], n_resamples=30, n_points=41
)["x × y"]  # fmt: skip
fig, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained", sharex=True, sharey=True)
for ax, (quantity, label) in zip(axes, (("kernel", "log rate"), ("sem", "its standard error")), strict=True):
    values = map_of_cell[quantity].isel(neuron=0)
    image = ax.pcolormesh(values["x"], values["y"], values.transpose("y", "x"), rasterized=True)
    fig.colorbar(image, ax=ax, label=label.capitalize())
    ax.set_xlabel("x (cm)")
axes[1].plot(x, y, color="w", linewidth=0.3, alpha=0.5)
axes[0].set_ylabel("Cell 0\ny (cm)")
plt.show()

# %%
# Other shapes
# ------------
# A product with `cyclic_splines` closes along that axis, and one with `categories` is smooth within each category and
# not from one to the next. An array has no names of columns: give it ``feature_groups=[144]`` and
# ``feature_shapes=[(12, 12)]``. See :doc:`../../guide/models`.

"""Small Datasets as `popglm.explain` returns them, made of random numbers; and what is drawn in Axes."""

import numpy as np
import xarray as xr
from matplotlib.collections import LineCollection, PathCollection, PolyCollection

POSITIONS = np.linspace(10, 250, 25)
TIMES = np.linspace(0, 5, 14)


def neuron_names(n_neurons):
    return [f"neuron{j}" for j in range(n_neurons)]


def kernel_datasets(n_neurons, groups=("position", "position × cue"), seed=0):
    """What `kernels` returns for groups over position."""
    rng = np.random.default_rng(seed)
    return {
        group: one_kernel_dataset(rng.normal(size=(n_neurons, 25)), group, position=("cm", POSITIONS))
        for group in groups
    }


def one_kernel_dataset(kernel, group, **axes):
    dims = ("neuron", *axes)
    return xr.Dataset(
        {"kernel": (dims, kernel), "gain": (dims, np.exp(kernel)), "baseline": ("neuron", np.zeros(len(kernel)))},
        coords={"neuron": neuron_names(len(kernel))}
        | {name: xr.Variable(name, values, {"units": unit} if unit else {}) for name, (unit, values) in axes.items()},
        attrs={"group": group, "variables": [group]},
    )


def contribution_dataset(n_neurons, variables=("cue", "speed"), seed=0, method="zero"):
    """What `breakdown` returns with bins of position and of time; one bin is empty."""
    rng = np.random.default_rng(seed)
    shape = n_neurons, len(variables)
    null = rng.uniform(100, 200, n_neurons)
    full = null * rng.uniform(0.5, 0.9, n_neurons)
    reduced = full[:, None] + rng.uniform(-0.01, 0.1, shape) * null[:, None]
    binned = rng.normal(0.1, 0.05, (*shape, 39))
    binned[..., 3] = np.nan
    return xr.Dataset(
        {
            "null_deviance": ("neuron", null),
            "full_deviance": ("neuron", full),
            "reduced_deviance": (("neuron", "variable"), reduced),
            "deviance_explained": ("neuron", 1 - full / null),
            "fraction_null_deviance": (("neuron", "variable"), (reduced - full[:, None]) / null[:, None]),
            "fraction_explained_deviance": (("neuron", "variable"), (reduced - full[:, None]) / (null - full)[:, None]),
            "binned_fraction_null_deviance": (("neuron", "variable", "bin"), binned),
            "binned_fraction_explained_deviance": (("neuron", "variable", "bin"), 2 * binned),
        },
        coords={"neuron": neuron_names(n_neurons), "variable": list(variables), **bin_coordinates()},
        attrs={"kind": "breakdown", "method": method},
    )


def tuning_dataset(n_neurons, levels=(-1, 1), seed=0):
    """What `tuning` returns for a split by "cue"; one bin is empty."""
    rng = np.random.default_rng(seed)
    average = rng.uniform(0, 2, (len(levels), 39, n_neurons))
    average[:, 3] = np.nan
    return xr.Dataset(
        {"average": (("cue", "bin", "neuron"), average), "sem": (("cue", "bin", "neuron"), 0.1 * average)},
        coords={"cue": list(levels), "neuron": neuron_names(n_neurons), **bin_coordinates()},
    )


def bin_coordinates():
    return {
        "axis": ("bin", ["position"] * 25 + ["time_from_choice"] * 14),
        "center": ("bin", np.r_[POSITIONS, TIMES]),
        "unit": ("bin", ["cm"] * 25 + ["s"] * 14),
        "n_samples": ("bin", np.full(39, 10)),
    }


def labelled_line(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def bands(ax):
    """Bands in the order in which they were drawn: (x, low, high) each."""
    found = []
    for band in ax.collections:
        if isinstance(band, PolyCollection):
            corners = np.concatenate([path.vertices for path in band.get_paths()])
            x = np.unique(corners[:, 0])
            ends = [corners[corners[:, 0] == value, 1] for value in x]
            found.append((x, np.array([e.min() for e in ends]), np.array([e.max() for e in ends])))
    return found


def segments(ax):
    return [np.array(lines.get_segments()) for lines in ax.collections if isinstance(lines, LineCollection)]


def scatters(ax):
    return [np.asarray(dots.get_offsets()) for dots in ax.collections if isinstance(dots, PathCollection)]

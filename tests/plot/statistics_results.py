"""Statistics of fits, and of what is pooled over animals, as their functions return them."""

import numpy as np
import pandas as pd
import xarray as xr
from labelled_results import neuron_names


def calibration_dataset(n_neurons, low=0.1, seed=0):
    """What `popglm.calibration` returns."""
    rng = np.random.default_rng(seed)
    predicted = np.sort(rng.uniform(low, 1, (n_neurons, 6)), axis=1)
    predicted[:, 0] = low
    shapes = {"": (("neuron", "bin"), predicted), "pooled_": (("bin",), predicted[0])}
    of_bins = {}
    for prefix, (dims, values) in shapes.items():
        of_bins |= {
            prefix + "predicted": (dims, values),
            prefix + "observed": (dims, 1.2 * values),
            prefix + "standard_error": (dims, 0.1 * values),
            prefix + "n_samples": (dims, np.full(values.shape, 50)),
        }
    lines = {"slope": ("neuron", np.linspace(0.5, 1, n_neurons)), "pooled_slope": 0.876}
    return xr.Dataset(of_bins | lines, coords={"neuron": neuron_names(n_neurons)})


def ceiling_table(n_neurons, **columns):
    """What `popglm.noise_ceiling` returns."""
    ceiling = np.linspace(0.1, 0.5, n_neurons)
    table = {
        "explainable": ceiling,
        "explainable_error": 0.02,
        "variance_explained": 0.8 * ceiling,
        "deviance_ceiling": 0.9 * ceiling,
        "deviance_ceiling_low": 0.8 * ceiling,
        "deviance_ceiling_high": ceiling,
        "deviance_explained": 0.5 * ceiling,
    }
    return pd.DataFrame(table | columns, index=pd.Index(neuron_names(n_neurons), name="neuron"))


def averages(n_values=1, groups=("PPC", "V1")):
    """What `popglm.hierarchical_bootstrap` returns."""
    rng = np.random.default_rng(0)
    estimate = rng.normal(size=(n_values, len(groups)))
    parts = {"estimate": estimate, "lower": estimate - 1, "upper": estimate + 2}
    parts = {name: (("value", "group"), one) for name, one in parts.items()}
    coords = {"value": [f"value{k}" for k in range(n_values)], "group": list(groups)}
    if len(groups) > 1:
        apart = estimate[:, [0]] - estimate[:, [1]]
        pairs = {"": apart, "_lower": apart - 1, "_upper": apart + 1}
        parts |= {f"difference{name}": (("value", "pair"), one) for name, one in pairs.items()}
        parts["p_value"] = (("value", "pair"), np.linspace(0.01, 0.5, n_values)[:, None])
        coords["pair"] = ["PPC − V1"]
    return xr.Dataset(parts, coords=coords, attrs={"level": 0.95})


def types_dataset():
    """What `popglm.cell_types` returns."""
    values = np.array([[0.1, 0.0], [0.0, 0.4], [0.3, 0.0], [np.nan, 0.0], [0.2, 0.0]])
    return xr.Dataset(
        {
            "type": ("neuron", [0, 1, 0, -1, 0]),
            "contribution": (("neuron", "value"), values),
            "center": (("number", "value"), [[0.2, 0.0], [0.0, 0.4]]),
            "stability": ("n_types", [1.0, 0.5]),
            "chance": ("n_types", [0.6, 0.5]),
            "chance_sd": ("n_types", [0.1, 0.2]),
        },
        coords={"neuron": neuron_names(5), "value": ["cue", "speed"], "n_types": [2, 3]},
        attrs={"n_types": 2},
    )


def wald_dataset(n_neurons, n_features=4):
    """What `popglm.wald` returns; the last weight is not determined."""
    coef = np.random.default_rng(0).normal(size=(n_neurons, n_features))
    error = np.full(coef.shape, 0.5)
    error[:, -1] = np.inf
    parts = {"coef": coef, "lower": coef - error, "upper": coef + error}
    coords = {"neuron": neuron_names(n_neurons), "feature": [f"x{i}" for i in range(n_features)]}
    return xr.Dataset({k: (("neuron", "feature"), v) for k, v in parts.items()}, coords=coords, attrs={"level": 0.9})


def quantiles_dataset(n_neurons):
    """What `popglm.rescaled_quantiles` returns."""
    probability = np.linspace(0.05, 0.95, 10)
    quantile = np.stack([probability ** (1 + 0.1 * j) for j in range(n_neurons)])
    limit = np.linspace(0.1, 0.2, n_neurons)
    return xr.Dataset(
        {"quantile": (("neuron", "probability"), quantile), "limit": ("neuron", limit)},
        coords={"neuron": neuron_names(n_neurons), "probability": probability},
    )


def decoded_dataset(values=(0.0, 10.0, 20.0)):
    """What `popglm.decode` returns."""
    P = np.random.default_rng(0).dirichlet(np.ones(len(values)), 5)
    recorded = [values[0], values[1], values[1], values[2], values[0]]
    return xr.Dataset(
        {"posterior": (("sample", "value"), P), "recorded": ("sample", recorded)},
        coords={"value": list(values)},
        attrs={"variable": "position"},
    )


def connectivity_dataset(n_neurons, rated=True):
    """What `connectivity` returns; neurons hold themselves down, and the last has no term for the first."""
    values = np.random.default_rng(0).normal(0, 0.3, (n_neurons, n_neurons))
    np.fill_diagonal(values, -2.0)
    values[-1, 0] = np.nan
    found = {"net": values, "norm": 1.2 * np.abs(values), "peak": 0.7 * values}
    found |= {"gain": np.exp(0.7 * values)} if rated else {}
    names = [f"neuron{j}" for j in range(n_neurons)]
    return xr.Dataset(
        {name: (("source", "target"), one) for name, one in found.items()}, coords={"source": names, "target": names}
    )


def latent_dataset(n_neurons, rank=2):
    """What `latent_couplings` returns; the first source is no target, and the last target no source."""
    rng = np.random.default_rng(0)
    names = [f"neuron{j}" for j in range(n_neurons + 1)]
    sends, hears = rng.normal(size=(2, rank, n_neurons))
    return xr.Dataset(
        {"sends": (("dimension", "source"), sends), "hears": (("dimension", "target"), hears)},
        coords={"dimension": np.arange(rank) + 1, "source": names[:-1], "target": names[1:]},
    )

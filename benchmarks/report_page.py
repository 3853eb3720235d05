"""Size of a report, and the time to make it, to paint it and to draw a neuron; ``python benchmarks/report_page.py``.

The result is made up, in the shape of a session of the size ``headline``: 1,000 neurons, 27,396 bins in 300 trials,
21 feature groups with bands, 13 variables over 35 bins, explained both ways. Painting and drawing are measured in
Debian's chromium by playwright, where both are installed.
"""

import argparse
import json
import resource
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popglm import GLMCV
from popglm.analysis.result import Result, open_result
from popglm.io.netcdf import described, storable
from popglm.report.writing import write_report

CHROMIUM = Path("/usr/bin/chromium")
TASK = ("cue", "cho", "corr", "prevCorr", "rule_following", "bias_following", "belief", "dyn_cho")
SPINES = ("pitch", "roll", "yaw")
RECIPE = """
data.path = "session.nwb"
data.activity_scale = 10
test.fraction = 0.15
explain.bootstrap = 200
terms = [{basis = "linear", variable = "position"}]
"""


def groups_of() -> list[tuple[str, str, np.ndarray, int]]:
    """Name, axis, grid and columns of every feature group."""
    position, since = np.linspace(10, 250, 50), np.linspace(0, 5, 50)
    return [
        ("position", "position", position, 20),
        *((f"position × {name}", "position", position, 20) for name in TASK),
        ("time_from_choice", "time_from_choice", since, 13),
        *((f"time_from_choice × {name}", "time_from_choice", since, 13) for name in TASK),
        *((name, name, np.linspace(-3, 3, 50), 7) for name in SPINES),
    ]


def made_up_result(n_neurons: int, n_samples: int, n_trials: int, seed: int = 0) -> Result:
    """A result as `popglm explain` leaves it, with noise for numbers."""
    rng = np.random.default_rng(seed)
    names = [f"plane_{k % 4}/{k // 4}" for k in range(n_neurons)]
    trial = np.sort(rng.integers(0, n_trials, n_samples))
    since = np.arange(n_samples) / 5.3
    starts = np.searchsorted(trial, np.arange(n_trials))
    inside = np.clip((np.arange(n_samples) - starts[trial]) / 70, 0, 1)
    position, from_choice = 250 * inside, np.where(inside > 0.7, (inside - 0.7) * 15, np.nan)
    hidden = np.stack([np.cos(np.pi * k * inside + rng.uniform(0, 6)) for k in range(6)])
    hidden = np.concatenate([hidden, rng.normal(size=(6, n_trials))[:, trial], rng.normal(size=(4, n_samples))])
    predicted = np.exp(rng.normal(0, 0.4, (n_neurons, len(hidden))) @ hidden - 2).T.astype(np.float32)
    activity = np.where(rng.random(predicted.shape, np.float32) < 0.3, predicted, 0) * rng.gamma(
        1.5, 2, predicted.shape
    )
    folds = np.where(rng.random(n_trials) < 0.15, -1, np.arange(n_trials) % 5)[trial]
    groups = groups_of()
    explained = rng.beta(1.2, 6, n_neurons) - 0.02
    grid = xr.Dataset(
        {
            "position": ("time", position, {"units": "cm"}),
            "time_from_choice": ("time", from_choice, {"units": "s"}),
            "activity": (("time", "neuron"), activity.astype(np.float32)),
            "predicted": (("time", "neuron"), predicted),
            "fold": ("time", folds),
        },
        coords={"time": since, "trial": ("time", trial), "neuron": names},
        attrs={"bin_width": 1 / 5.3},
    )
    parts = {
        "/": xr.Dataset(attrs=_attributes()),
        "/grid": storable(grid),
        "/model": _model(rng, explained, [size for *_, size in groups]),
        "/neurons": _table(rng, names, explained),
        "/design": _design(groups),
        "/trials": xr.Dataset(),
    }
    parts |= {f"/{kind}": _contributions(rng, names, explained) for kind in ("contributions", "unique")}
    parts |= {f"/kernels/{k:03d}": _kernel(rng, names, *group[:3]) for k, group in enumerate(groups)}
    return Result(xr.DataTree.from_dict(parts))


def _attributes() -> dict[str, object]:
    about = {
        "versions": {"popglm": "0.1.0", "numpy": np.__version__, "xarray": xr.__version__},
        **{
            "made": "2026-01-01T00:00:00+00:00",
            "fingerprint": "none",
            "notes": "",
            "seconds": {},
            "data": "session.nwb",
        },
    }
    return {"result_revision": 1, "recipe": RECIPE, "recipe_path": "recipe.toml", "about": json.dumps(about)}


def _model(rng: np.random.Generator, explained: np.ndarray, sizes: list[int]) -> xr.Dataset:
    """What the report reads of a model."""
    path = explained * np.array([0, 0.3, 0.6, 0.8, 0.9, 1, 1, 0.95, 0.9, 0.8, 0.7])[:, None]
    lambdas = 10.0 ** np.linspace(-1, -6, 11)[:, None] * np.ones(len(explained))
    parameters = GLMCV(penalty="group_lasso").get_params()
    data = xr.Dataset(
        {
            "cv_deviance_explained_path": (("strength", "neuron"), path),
            "lambdas": (("strength", "neuron"), lambdas),
            "cv_null_deviance": (("fold", "neuron"), rng.random((5, len(explained)))),
            "coef": (("neuron", "feature"), rng.normal(size=(len(explained), sum(sizes))).astype(np.float32)),
        }
    )
    return described(data, {"class": "GLMCV", "parameters": parameters})


def _table(rng: np.random.Generator, names: list[str], explained: np.ndarray) -> xr.Dataset:
    n = len(names)
    columns = {
        "med_x": rng.uniform(0, 512, n),
        "med_y": rng.uniform(0, 512, n),
        "area": rng.choice(["V1", "PM", "AM", "RSC"], n).astype(object),
        "strength": 10.0 ** rng.integers(-6, -1, n),
        "deviance_explained": explained,
        "deviance_explained_test": explained + rng.normal(0, 0.02, n),
        "gap": 1e-4 * rng.random(n),
        "evaluations": rng.integers(50, 300, n),
        "mean_activity": rng.gamma(1, 0.2, n),
        "features_in_use": rng.integers(0, 318, n),
    }
    return xr.Dataset({name: ("neuron", values) for name, values in columns.items()}, coords={"neuron": names})


def _design(groups: list[tuple[str, str, np.ndarray, int]]) -> xr.Dataset:
    names = np.repeat([name for name, *_ in groups], [size for *_, size in groups]).astype(object)
    return storable(xr.Dataset({"group": ("column", names)}))


def _contributions(rng: np.random.Generator, names: list[str], explained: np.ndarray) -> xr.Dataset:
    variables = ["position", *TASK, "time_from_choice", *SPINES]
    leading = np.eye(len(variables))[rng.choice(5, len(names))]
    shares = 0.7 * leading + 0.3 * rng.dirichlet(np.full(len(variables), 0.3), len(names))
    along = {"position": np.linspace(10, 240, 24), "time_from_choice": np.linspace(0, 5, 11)}
    centers = np.concatenate(list(along.values()))
    axis = np.repeat(list(along), [len(values) for values in along.values()]).astype(object)
    over = shares[:, :, None] * rng.gamma(4, 0.25, (len(names), len(variables), len(centers)))
    null = rng.uniform(2e3, 2e4, len(names))
    data = xr.Dataset(
        {
            "null_deviance": ("neuron", null),
            "full_deviance": ("neuron", null * (1 - explained)),
            "deviance_explained": ("neuron", explained),
            "fraction_explained_deviance": (("neuron", "variable"), shares),
            "fraction_null_deviance": (("neuron", "variable"), shares * explained[:, None]),
            "binned_fraction_explained_deviance": (("neuron", "variable", "bin"), over),
            "binned_fraction_null_deviance": (("neuron", "variable", "bin"), over * explained[:, None, None]),
        },
        coords={
            **{"neuron": names, "variable": variables, "axis": ("bin", axis), "center": ("bin", centers)},
            "unit": ("bin", np.where(axis == "position", "cm", "s").astype(object)),
            "n_samples": ("bin", rng.integers(300, 900, len(centers))),
        },
    )
    return storable(data)


def _kernel(rng: np.random.Generator, names: list[str], group: str, axis: str, points: np.ndarray) -> xr.Dataset:
    """Sums of bumps; a third of the neurons do not use a group."""
    bumps = np.exp(-((np.linspace(0, 1, len(points)) - np.linspace(0, 1, 9)[:, None]) ** 2) / 0.01)
    kernel = rng.normal(0, 0.4, (len(names), 9)) @ bumps * (rng.random((len(names), 1)) > 1 / 3)
    width = np.abs(rng.normal(0, 0.1, (len(names), 9)) @ bumps) * (kernel != 0)
    size = np.abs(kernel)
    by_neuron = {"kernel": kernel, "gain": np.exp(kernel), "lower": kernel - width, "upper": kernel + width}
    return xr.Dataset(
        {name: (("neuron", axis), values) for name, values in by_neuron.items()}
        | {
            "mean_absolute": (axis, size.mean(axis=0)),
            "mean_absolute_sem": (axis, size.std(axis=0) / np.sqrt(len(names))),
        },
        coords={"neuron": names, axis: points},
        attrs={"group": group, "level": 0.95, "n_resamples": 200, "seed": 0},
    )


def in_browser(path: Path, n_drawn: int = 40) -> dict[str, float]:
    """Milliseconds to the first paint, to the whole population, and to draw a neuron, going through the list."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri())
        _wait(page, 1)
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        population = page.evaluate("performance.getEntriesByName('population drawn')[0].startTime")
        page.focus("#list")
        for n in range(n_drawn):
            page.keyboard.press("ArrowDown")
            _wait(page, n + 2)
        drawn = page.evaluate("performance.getEntriesByName('neuron').map((one) => one.duration)")
        browser.close()
    return {
        "first paint (ms)": paint,
        "population drawn (ms)": population,
        "first neuron (ms)": drawn[0],
        "a neuron, median (ms)": float(np.median(drawn[1:])),
        "a neuron, 95 % (ms)": float(np.percentile(drawn[1:], 95)),
    }


def _wait(page: Any, n_drawn: int) -> None:
    """Wait until so many neurons were drawn; the page's policy forbids playwright's own way of waiting."""
    while page.evaluate("performance.getEntriesByName('neuron').length") < n_drawn:
        time.sleep(0.01)


def main() -> None:
    """Make a result, its report, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=27_396)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="where the page is left")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, page = Path(folder) / "result.nc", options.keep or Path(folder) / "report.html"
        made_up_result(options.neurons, options.samples, options.trials).save(file)
        wall, cpu = time.perf_counter(), time.process_time()
        n_bytes = write_report(open_result(file), page)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        found = {
            "page (MB)": n_bytes / 1e6,
            "made in (s)": wall,
            "CPU (s)": cpu,
            "peak memory (MB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        }
        if find_spec("playwright") and CHROMIUM.is_file():
            found |= in_browser(page.resolve())
        else:
            print("playwright or /usr/bin/chromium is missing: nothing is painted")
    for name, value in found.items():
        print(f"{name:<24}{value:10.1f}")


if __name__ == "__main__":
    main()

"""Small recordings for many sessions, their recipe, and what is compared of stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from popglm.analysis.result import open_result

#: Why tests are skipped.
ABSENT = "distributed is not installed: pip install 'popglm[dask]'"
RECIPE = """\
trials.source = 2

[data]
path = "none.npz"
format = "arrays"
options = {activity = "spikes", signals = ["speed", "touch"], rate = 20}

[[terms]]
basis = "splines"
variable = "speed"
n = 6

[[terms]]
basis = "linear"
variable = "touch"

[model]
penalty = "group_lasso"
n_lambdas = 3
cv = 3
"""
#: Parts of a result that are the same, bit by bit, for the same fit.
PARTS = ("model", "grid", "neurons", "design", "contributions")


def write_session(path: Path, seed: int, n_samples: int = 1_200, n_neurons: int = 6) -> Path:
    """A file of arrays: counts that follow two variables, each neuron by its own weights."""
    rng = np.random.default_rng(seed)
    speed, touch = rng.normal(size=(2, n_samples)).astype(np.float32)
    weights = rng.normal(scale=0.5, size=(2, n_neurons))
    spikes = rng.poisson(np.exp(np.stack([speed, touch], axis=1) @ weights - 1))
    np.savez(path, spikes=spikes, speed=speed, touch=touch)
    return path


def write_sessions(folder: Path, n_sessions: int, **shape: int) -> tuple[list[Path], Path]:
    """Some of them in a folder, and the recipe beside them."""
    folder.mkdir(exist_ok=True)
    paths = [write_session(folder / f"day{k}.npz", k, **shape) for k in range(n_sessions)]
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return paths, recipe


def assert_same_store(found: Path, expected: Path) -> None:
    """Every number of two stores has the same bits; times and versions are not looked at."""
    one, other = open_result(found), open_result(expected)
    assert set(one.tree.children) == set(other.tree.children)
    for name in PARTS:
        mine, theirs = one.part(name).load().drop_attrs(), other.part(name).load().drop_attrs()
        xr.testing.assert_identical(mine, theirs.drop_attrs())
    for name, kernel in other.tree["kernels"].children.items():
        xr.testing.assert_identical(
            one.tree["kernels"][name].to_dataset().load().drop_attrs(), kernel.to_dataset().load().drop_attrs()
        )
    assert one.about["fingerprint"] == other.about["fingerprint"]
    one.tree.close()
    other.tree.close()


def complaint(call, *arguments: object, **more: object) -> str:
    """The one line that a call complains with."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_over(output: Path) -> set[str]:
    """What lies in an output folder beside stores and tables."""
    rest = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    return {name for name in rest if "/" in name or name.startswith(".") or name.endswith(".part")} - {".lock"}

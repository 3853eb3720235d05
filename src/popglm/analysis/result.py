"""What a recipe's fit leaves: one file that describes itself, and a table with a row per neuron beside it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from popglm.analysis.fitted import grid_with_predictions, is_held_out, parts_of_model, seconds_of, table_of_fits
from popglm.analysis.kinds import Model
from popglm.analysis.recipe import Recipe
from popglm.analysis.running import Matrices
from popglm.estimators.loading import model_from
from popglm.io.files import check_source, check_target, write_whole
from popglm.io.netcdf import description_of, storable, write_netcdf
from popglm.labels import column_text

__all__ = ["Result", "fingerprint", "has_table", "make_result", "open_result"]

#: Revision of the layout; files with a later one are refused.
REVISION = 1
#: What the libraries are called whose versions a result keeps.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "xarray")
_KEPT = ("model", "design", "grid", "neurons", "trials")


@dataclass(frozen=True)
class Result:
    """A fit, what it was fitted to, and what explains it.

    Attributes
    ----------
    tree : DataTree
        "/model" as its ``to_xarray`` gives it, with "/events" and "/amounts" beside that of a `TwoPartGLM`; "/grid":
        time, trial, variables, recorded and predicted activity, or of a classifier labels and their probabilities;
        "/neurons": a row per neuron; "/design": columns, means and scales; "/trials"; and after `explain`
        "/contributions", "/unique" and "/kernels". Its attributes hold the recipe, versions and the fingerprint of
        the data.
    folder : Path
        That paths in the result count from: the file's own.
    """

    tree: xr.DataTree
    folder: Path = Path()

    @property
    def recipe_text(self) -> str:
        """The recipe, word for word."""
        return str(self.tree.attrs["recipe"])

    @property
    def recipe_path(self) -> Path:
        """Where the recipe lies, if neither it nor the result was moved."""
        return (self.folder / self.tree.attrs["recipe_path"]).resolve()

    @property
    def about(self) -> dict[str, Any]:
        """Versions, fingerprint, notes and times."""
        return json.loads(self.tree.attrs["about"])

    @property
    def model(self) -> Model:
        """The fitted model, which predicts as the one that was saved."""

        def read(name: str | None) -> tuple[xr.Dataset, dict[str, Any]]:
            data = self.part(name or "model").load()
            return data, description_of(data, "the result")

        return model_from(read, "the result")

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments of the model as its file has them; those of the amounts of a model of two parts."""
        about = description_of(self.part("model"), "the result")
        if about["class"] == "TwoPartGLM":
            about = description_of(self.part("amounts"), "the result")
        return dict(about["parameters"])

    @property
    def kind(self) -> str:
        """The name of the model's class."""
        return str(description_of(self.part("model"), "the result")["class"])

    @property
    def is_held_out(self) -> bool:
        """Whether predictions of fitted rows are by folds that did not see them."""
        return bool(self.about.get("held_out", True))

    @property
    def neurons(self) -> pd.DataFrame:
        """A row per neuron, or response: its columns in the recording, strength, deviance explained, certificate."""
        return self.part("neurons").to_dataframe()

    def part(self, name: str) -> xr.Dataset:
        """A part of the tree, such as "grid" or "contributions".

        Raises
        ------
        ValueError
            If the result has no such part; popglm explain makes those that explain.
        """
        if name not in self.tree.children:
            raise ValueError(f"the result has no part {name!r}; popglm explain makes contributions and kernels")
        return self.tree.children[name].to_dataset(inherit=False)

    def with_parts(self, parts: Mapping[str, xr.Dataset]) -> Result:
        """The result with further parts, or others in the place of those of the same name."""
        return Result(xr.DataTree.from_dict({**self._parts(), **parts}), self.folder)

    def with_about(self, **more: Any) -> Result:
        """The result with further things said about it, as JSON can hold them, or others in their place."""
        tree = self.tree.copy()
        tree.attrs["about"] = json.dumps(self.about | more)
        return Result(tree, self.folder)

    def with_recipe(self, old: Recipe, new: Recipe) -> tuple[Result, Recipe]:
        """The result with another recipe, which differs in what is explained alone; and that recipe.

        Raises
        ------
        ValueError
            If it differs in more.
        """
        if old.content.model_copy(update={"explain": new.content.explain}) != new.content:
            raise ValueError(
                f"{new.path.name} differs from the recipe that was fitted in more than [explain]; fit again with "
                "popglm fit"
            )
        tree = self.tree.copy()
        tree.attrs |= {"recipe": new.text, "recipe_path": os.path.relpath(new.path, self.folder)}
        return Result(tree, self.folder), new

    def median_contributions(self) -> dict[str, float]:
        """Of every variable the median over neurons of its share of the explained deviance."""
        part = self.part("contributions")
        shares = part["fraction_explained_deviance"].to_series().groupby(level="variable", sort=False).median()
        return {str(name): float(value) for name, value in shares.items()}

    def save(self, path: str | Path) -> None:
        """Write the result to one netCDF file, and a table with a row per neuron beside it.

        Each is whole or not there: what was there before stays until the new one is written.

        Parameters
        ----------
        path : path-like
            A new file, or one to replace. The table has the same name and ends in ``.parquet``, or in ``.csv`` where
            pyarrow is not installed.

        Raises
        ------
        TypeError, ValueError
            If it is no path of a file, or its folder does not exist.
        OSError
            If it cannot be written.
        """
        target = check_target(path, "result.nc")
        encoding = {
            f"/{name}": {
                str(key): {"zlib": True, "complevel": 1}
                for key, one in node.data_vars.items()
                if one.ndim == 2 and one.dtype.kind == "f"
            }
            for name, node in self.tree.children.items()
        }
        parts = self._parts()
        # paths of a machine mean nothing on another
        parts["/"] = parts["/"].assign_attrs(recipe_path=os.path.relpath(self.recipe_path, target.parent))
        write_netcdf(target, parts, encoding)
        self.save_table(target)

    def save_table(self, path: Path) -> None:
        """Write the table with a row per neuron beside the file of the result.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        table = self.neurons.reset_index()
        if find_spec("pyarrow") is None:
            write_whole(path.with_suffix(".csv"), lambda beside: table.to_csv(beside, index=False), 1_000 * len(table))
        else:
            as_text = {name: table[name].astype(str) for name in table if table[name].dtype == object}
            write_whole(
                path.with_suffix(".parquet"),
                lambda beside: table.assign(**as_text).to_parquet(beside, index=False),
                1_000 * len(table),
            )

    def _parts(self) -> dict[str, xr.Dataset]:
        """All parts by their paths."""
        return {
            f"/{path}" if path != "." else "/": node.to_dataset(inherit=False)
            for path, node in self.tree.subtree_with_keys
        }


def has_table(path: Path) -> bool:
    """Whether a table with a row per neuron lies beside the file of a result, and can be read."""
    try:
        if path.with_suffix(".csv").exists():
            return "neuron" in pd.read_csv(path.with_suffix(".csv"), nrows=1)
        return path.with_suffix(".parquet").exists() and len(pd.read_parquet(path.with_suffix(".parquet"))) > 0
    except (OSError, ValueError):
        # what PyArrow raises for a damaged file is a ValueError
        return False


def open_result(path: str | Path) -> Result:
    """Open what `Result.save` wrote; large arrays are read when they are asked for.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If the file holds something else, or a later revision of a result.
    """
    source = check_source(path)
    try:
        with h5py.File(source) as file:
            is_result = "result_revision" in file.attrs
        if not is_result:
            raise ValueError("it was not written by popglm fit")
        tree = xr.open_datatree(source, engine="h5netcdf")
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} holds no result of popglm fit that can be read: {error}") from error
    if int(tree.attrs["result_revision"]) > REVISION:
        raise ValueError(f"{source} was written by a later popglm; update popglm to open it")
    missing = [name for name in _KEPT if name not in tree.children]
    if missing:
        raise ValueError(f"{source} holds a damaged result: it lacks {', '.join(missing)}")
    # files of earlier revisions have numbers for labels in some parts and their text in others
    for name in ("grid", "neurons"):
        part = tree.children[name].to_dataset(inherit=False)
        if "neuron" in part.coords and part["neuron"].dtype.kind not in "OUT":
            tree.children[name].dataset = _labelled_by_text(part)
    return Result(tree, source.parent)


def _labelled_by_text(data: xr.Dataset) -> xr.Dataset:
    """Neurons called by text, as models, contributions and kernels call them: parts of a result fit together."""
    names = np.array([column_text(label) for label in data["neuron"].values.tolist()], dtype=object)
    return data.assign_coords(neuron=("neuron", names, data["neuron"].attrs))


def make_result(
    recipe: Recipe, data: xr.Dataset, matrices: Matrices, model: Model, trials: pd.DataFrame | None
) -> Result:
    """A result from its parts."""
    about = {
        "versions": {"popglm": version("popglm"), "python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint(matrices),
        "notes": str(data.attrs.get("notes", "")),
        "seconds": seconds_of(model),
        "kind": type(model).__name__,
        "held_out": is_held_out(model),
        "data": recipe.content.data.path,
    }
    attrs = {
        "result_revision": REVISION,
        "recipe": recipe.text,
        "recipe_path": recipe.path.name,
        "about": json.dumps(about),
    }
    data = _labelled_by_text(data) if "neuron" in data.coords else data
    grid = grid_with_predictions(data, matrices, model)
    told = [name for name, at in grid.coords.items() if at.dims == ("neuron",) and name != "neuron"]
    grid = grid.reset_coords(told, drop=True)
    # the recipe says where the data are; a path of this machine means nothing on another
    grid.attrs.pop("source", None)
    parts = {
        "/": xr.Dataset(attrs=attrs),
        **parts_of_model(model),
        "/grid": storable(grid),
        "/neurons": storable(table_of_fits(data, matrices, model)),
        "/design": _design(matrices),
        "/trials": storable(xr.Dataset() if trials is None else xr.Dataset.from_dataframe(trials.rename_axis("trial"))),
    }
    return Result(xr.DataTree.from_dict(parts), recipe.path.parent)


def fingerprint(matrices: Matrices) -> str:
    """A hash of the design matrix, the activity and the trials, and of the mask, sample weights and offset, if any."""
    found = blake2b(digest_size=16)
    mask = [] if matrices.mask is None else [matrices.mask.to_numpy()]
    trial = np.unique(matrices.trial, return_inverse=True)[1]
    Y = matrices.Y.values
    # labels of a classifier
    Y = Y.astype(str) if Y.dtype == object else Y
    given = [one for value in matrices.given.values() for one in _arrays_of(value)]
    for array in (matrices.X.to_numpy(), Y, trial, *mask, *given):
        found.update(str((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


def _arrays_of(value: Any) -> list[np.ndarray]:
    """An array, or the arrays of parts between the names of these."""
    if not isinstance(value, dict):
        return [value]
    return [one for name, array in value.items() for one in (np.array(name), array)]


def _design(matrices: Matrices) -> xr.Dataset:
    """The columns of the design and what is taken from them, and its report."""
    design = matrices.design
    columns = {
        "group": ("column", design.columns_.get_level_values(0).to_numpy(dtype=object)),
        "feature": ("column", design.columns_.get_level_values(1).to_numpy(dtype=object)),
        "mean": ("column", design.means_),
        "scale": ("column", design.scales_),
    }
    report = design.report_
    columns |= {f"report_{name}": ("report_group", report[name].to_numpy()) for name in report}
    return storable(xr.Dataset(columns, coords={"report_group": report.index.to_numpy(dtype=object)}))

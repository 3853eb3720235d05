"""Folders of Kilosort and phy."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import listed, shown
from popglm.recording.delimited import read_delimited
from popglm.recording.files import path_of, read_npy
from popglm.recording.series import spike_trains
from popglm.recording.session import Session
from popglm.recording.spikes_by_unit import by_unit
from popglm.warnings import warn

__all__ = ["read_kilosort"]


def read_kilosort(folder: Any, *, rate: float | None = None) -> Session:
    """Read sorted spikes from a folder of Kilosort or phy.

    Parameters
    ----------
    folder : path
        With ``spike_times.npy`` (samples), ``spike_clusters.npy`` (or ``spike_templates.npy``), ``params.py`` and
        tables such as ``cluster_info.tsv``.
    rate : float, optional
        Samples per second, in place of the ``sample_rate`` of ``params.py``. With ``rate=1``, times are taken as
        seconds.

    Returns
    -------
    Session
        Activity "spikes": units are clusters, by their number. A unit without spikes stays where ``cluster_info.tsv``
        lists it. Coordinates: all columns of the ``cluster_*.tsv`` tables, such as group, KSLabel, depth and ch.

    Raises
    ------
    ValueError
        If the rate is not known; if files are damaged, do not have one entry per spike, or times are not in samples.
    FileNotFoundError
        If there is no such folder, or spike times or clusters are missing.

    Notes
    -----
    ``params.py`` is read as text: its assignments of plain values count, and it is never run.

    References
    ----------
    Pachitariu et al. (2024), Spike sorting with Kilosort4; phy, https://phy.readthedocs.io.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "spike_times.npy"), np.array([300, 900, 30_000]))
    ...     np.save(Path(folder, "spike_clusters.npy"), np.array([4, 2, 4], dtype="int32"))
    ...     _ = Path(folder, "params.py").write_text("sample_rate = 30000.0")
    ...     units = read_kilosort(folder).activity["spikes"]
    >>> units.neuron.values, units.n_spikes.values, units.spike_time.values
    (array([2, 4]), array([1, 2]), array([0.03, 0.01, 1.  ]))
    """
    root = path_of(folder, "read_kilosort", folder=True)
    if not (root / "spike_times.npy").is_file():
        inside = sorted(path.parent.name for path in root.glob("*/spike_times.npy"))
        hint = (
            f"give one of the folders in it: {listed(inside)}"
            if inside
            else "give the folder that Kilosort or phy wrote"
        )
        raise FileNotFoundError(f"read_kilosort: spike_times.npy is missing in {str(root)!r}; {hint}")
    samples, clusters = _spikes(root, rate)
    rate = _rate(root) if rate is None else float(rate)
    if not rate > 0:
        raise ValueError(f"read_kilosort: the rate must be above 0 samples per second; found {rate:g}")
    table, in_info = _table(root)
    units, times, counts = by_unit(samples / rate, clusters, in_info)
    _check_counts(table, units, counts)
    table = table.reindex(units).drop(columns="n_spikes", errors="ignore")
    attrs = {"source": str(root), "format": "Kilosort", "sampling_rate": rate}
    return Session(activity={"spikes": spike_trains(times, counts, neurons=table)}, attrs=attrs)


def _spikes(root: Path, rate: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Times in samples and clusters of all spikes."""
    name = next((n for n in ("spike_clusters.npy", "spike_templates.npy") if (root / n).is_file()), None)
    if name is None:
        raise FileNotFoundError(
            f"read_kilosort: {str(root)!r} has neither spike_clusters.npy nor spike_templates.npy, so spikes belong to "
            "no unit; copy one of them"
        )
    found = {}
    for file in ("spike_times.npy", name):
        array = read_npy(root / file, "read_kilosort")
        if array.size != len(array) or array.dtype.kind not in "iuf":
            raise ValueError(f"read_kilosort: {file} must hold one number per spike; found {array.dtype} {array.shape}")
        found[file] = np.asarray(array).reshape(-1)
    samples, clusters = found.values()
    if len(samples) != len(clusters):
        raise ValueError(
            f"read_kilosort: spike_times.npy has {len(samples):,} spikes, but {name} has {len(clusters):,}; they are "
            "from different runs, or one is cut short"
        )
    if clusters.dtype.kind == "f":
        if not np.array_equal(clusters, np.rint(clusters)):
            raise ValueError(f"read_kilosort: {name} must hold whole numbers; found {clusters[clusters % 1 != 0][0]:g}")
        clusters = clusters.astype(np.int64)
    if rate is None and samples.dtype.kind == "f" and not np.array_equal(samples, np.rint(samples)):
        raise ValueError(
            f"read_kilosort: spike_times.npy must count samples; found {samples[samples % 1 != 0][0]:g}: if these are "
            "seconds, give rate=1"
        )
    return samples, clusters


def _rate(root: Path) -> float:
    """The sampling rate that params.py assigns, read as text."""
    path, remedy = root / "params.py", "give rate= (samples per second)"
    if not path.is_file():
        raise ValueError(
            f"read_kilosort: params.py is missing in {str(root)!r}, so the sampling rate is not known; {remedy}"
        )
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # a path of Windows is often no valid Python: then line by line
        statements = [node for line in text.splitlines() for node in _parsed(line)]
    rate = None
    for node in statements:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["sample_rate"]:
            try:
                rate = ast.literal_eval(node.value)
            except (ValueError, TypeError):
                rate = ast.unparse(node.value)
    if rate is None:
        raise ValueError(f"read_kilosort: params.py assigns no sample_rate; {remedy}")
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise ValueError(f"read_kilosort: sample_rate in params.py must be a number; found {shown(rate)}: {remedy}")
    return float(rate)


def _parsed(line: str) -> list[ast.stmt]:
    """The statements of one line, none where it is not valid by itself."""
    try:
        return ast.parse(line).body
    except (SyntaxError, ValueError):
        return []


def _table(root: Path) -> tuple[pd.DataFrame, list[int]]:
    """All tables of clusters side by side, and the clusters that cluster_info lists."""
    paths = sorted(
        (path for path in root.glob("cluster_*") if path.suffix in (".tsv", ".csv")),
        key=lambda path: (path.stem != "cluster_info", path.suffix != ".tsv", path.name),
    )
    table, listed_there = pd.DataFrame(), []
    for path in paths:
        found = _one_table(path)
        if path.stem == "cluster_info":
            listed_there = found.index.tolist()
        new = [name for name in found if name not in table]
        table = found if table.empty and not len(table) else table.join(found[new], how="outer")
    return table, listed_there


def _one_table(path: Path) -> pd.DataFrame:
    """One table, indexed by cluster."""
    try:
        table = read_delimited(path, "\t")
        table = read_delimited(path, ",") if table.shape[1] == 1 and "," in str(table.columns[0]) else table
    except (ValueError, UnicodeDecodeError) as error:
        what = "is empty" if path.stat().st_size == 0 else "is not a table with tabs"
        raise ValueError(f"read_kilosort: {path.name} {what}; save it again from phy, or remove it") from error
    ids = next((name for name in ("cluster_id", "id") if name in table), None)
    if ids is None:
        raise ValueError(
            f"read_kilosort: {path.name} needs a column cluster_id; found {listed(table.columns)}: save it again from "
            "phy, or remove it"
        )
    if table[ids].isna().any() or table[ids].duplicated().any() or table[ids].dtype.kind not in "iu":
        raise ValueError(f"read_kilosort: {path.name} must name each cluster once, by a whole number; mend its {ids}")
    return table.set_index(ids).rename_axis(index=None)


def _check_counts(table: pd.DataFrame, units: np.ndarray, counts: np.ndarray) -> None:
    """Say where cluster_info counted other spikes: it was saved at another time than the clusters."""
    if "n_spikes" not in table:
        return
    said = table["n_spikes"].reindex(units).to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(np.isfinite(said) & (said != counts))
    if len(wrong):
        k = wrong[0]
        warn(
            f"read_kilosort: cluster_info.tsv counts {said[k]:,.0f} spikes of unit {units[k]}, but the spikes give "
            f"{counts[k]:,}, and {len(wrong) - 1} other units differ; the table was saved at another time, so its "
            "labels may belong to other units"
        )

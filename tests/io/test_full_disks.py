"""A disk that has no room, or a limit on files: a sentence, and nothing half written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forked import forked

import popglm as pg
from popglm.io.files import remove_abandoned, write_whole
from popglm.io.locks import Lock, held_lock
from popglm.maze_nwb import write_maze_nwb

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system has no limit on the size of files")


def fitted():
    """A model of some size."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(900, 40)), rng.poisson(1.0, (900, 30))
    return pg.GLMCV(penalty="lasso", n_lambdas=8, cv=3, max_iter=3).fit(X, Y)


def predicted():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(9000, 30)), np.arange(9000) / 10)


def to_nwb(folder, *source):
    pg.to_nwb(folder / "written.nwb", *source, predictions=predicted())


@pytest.mark.thorough(keep=1)
@pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")
@pytest.mark.parametrize(
    ("call", "limits"),
    [
        (lambda folder, model: model.save(folder / "model.nc"), (0, 2_000, 60_000, 150_000)),
        (lambda folder, _: to_nwb(folder), (600_000,)),
        (lambda folder, _: to_nwb(folder, folder / "small.nwb"), (900_000,)),
        (lambda folder, _: write_maze_nwb(folder / "maze.nwb", n_samples=2_000, n_neurons=10), (100_000,)),
    ],
    ids=["model", "predictions", "predictions beside a recording", "recording"],
)
def test_a_file_that_may_not_be_so_large(call, limits, tmp_path, request):
    nwb, model = request.node.callspec.id != "model", None
    if nwb:
        pytest.importorskip("pynwb")
        pg.to_nwb(tmp_path / "small.nwb", predictions=predicted()[:10])
    else:
        model = fitted()

    def told():
        import resource

        for limit in limits:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                call(tmp_path, model)
            except OSError as error:
                yield f"{error.errno} {error}"
            else:
                yield "written"

    # HDF5 ends the process where a write fails
    status, said = forked(lambda: "\n".join(told()))
    assert status == 0, said
    said = said.splitlines()
    assert len(said) == len(limits)
    for line in said:
        assert line.startswith("27 [Errno 27] the file takes about")
        assert "more than a file may have here (see ulimit -f); what was there before is unchanged" in line
    assert {path.name for path in tmp_path.iterdir()} == ({"small.nwb"} if nwb else set())


def test_what_a_process_left_half_written_is_removed(tmp_path):
    (tmp_path / "below").mkdir()
    for place in (tmp_path / "model.nc", tmp_path / "below" / "table.parquet"):
        assert forked(lambda place=place: write_whole(place, lambda beside: os._exit(9), 10)) == (9, "")
    others = [tmp_path / name for name in ("model.nc", ".hidden.part", "a.part", ".x.12345678.part.nc")]
    for path in others:
        path.write_text("kept")
    assert len(list(tmp_path.rglob(".*.part"))) == 3

    def write(beside):
        # another call begins while this process is at work
        remove_abandoned(tmp_path)
        Path(beside).write_text("whole")

    write_whole(tmp_path / "model.nc", write, 10)
    assert (tmp_path / "model.nc").read_text() == "whole"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(others)


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    half = tmp_path / ".model.nc.a1b2c3d4.part"
    half.write_text("half")
    monkeypatch.setattr("popglm.io.files.held_lock", lambda *_, **__: Lock(None))
    remove_abandoned(tmp_path)
    assert half.exists()


def test_a_lock_ends_where_another_process_has_its_file_open(tmp_path):
    lock = held_lock(tmp_path / "file", "taken")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock._handle])
    try:
        lock.close()
        held_lock(tmp_path / "file", "taken").close()
    finally:
        other.communicate(b"\n")

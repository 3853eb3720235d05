"""A disk that has no room, or a limit on files: a sentence, and nothing half written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from popglm.io.files import remove_abandoned, write_whole
from popglm.io.locks import Lock, held_lock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system has no limit on the size of files")

LIMITED = """
import resource, sys
import numpy as np
import pandas as pd
import popglm as pg
from popglm.maze_nwb import write_maze_nwb

folder, limits = sys.argv[1], [int(limit) for limit in sys.argv[2:]]
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(900, 40)), rng.poisson(1.0, (900, 30))
model = pg.GLMCV(penalty="lasso", n_lambdas=8, cv=3, max_iter=3).fit(X, Y)
predicted = pd.DataFrame(rng.normal(size=(9000, 30)), np.arange(9000) / 10)
if {nwb}:
    pg.to_nwb(folder + "/small.nwb", predictions={{"a": predicted[:10]}})
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        {call}
    except OSError as error:
        print(error.errno, error)
    else:
        print("written")
"""


@pytest.mark.thorough(keep=1)
@pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")
@pytest.mark.parametrize(
    ("call", "limits"),
    [
        ("model.save(folder + '/model.nc')", (0, 2_000, 60_000, 150_000)),
        ("pg.to_nwb(folder + '/new.nwb', predictions=predicted)", (600_000,)),
        ("pg.to_nwb(folder + '/copy.nwb', folder + '/small.nwb', predictions=predicted)", (900_000,)),
        ("write_maze_nwb(folder + '/maze.nwb', n_samples=2_000, n_neurons=10)", (100_000,)),
    ],
)
def test_a_file_that_may_not_be_so_large(call, limits, tmp_path):
    nwb = "nwb" in call
    if nwb:
        pytest.importorskip("pynwb")
    script = LIMITED.format(call=call, nwb=nwb)
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *map(str, limits)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, (found.returncode, found.stderr[-2000:])
    said = found.stdout.splitlines()
    assert len(said) == len(limits)
    for line in said:
        assert line.startswith("27 [Errno 27] the file takes about")
        assert "more than a file may have here (see ulimit -f); what was there before is unchanged" in line
    assert {path.name for path in tmp_path.iterdir()} == ({"small.nwb"} if nwb else set())


def test_what_a_process_left_half_written_is_removed(tmp_path):
    (tmp_path / "below").mkdir()
    script = """
import os, sys
from pathlib import Path
from popglm.io.files import write_whole
write_whole(Path(sys.argv[1]), lambda beside: os._exit(9), 10)
"""
    for place in (tmp_path / "model.nc", tmp_path / "below" / "table.parquet"):
        assert subprocess.run([sys.executable, "-c", script, str(place)], check=False).returncode == 9
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

"""Workers, schedulers, clients and disks that fail, on real processes: nothing finished is lost, bits stay the same."""

import errno
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from many import ABSENT, assert_same_store, left_over, write_sessions

import popglm as pg
from popglm.scale import jobs, sessions

distributed = pytest.importorskip("distributed", reason=ABSENT)
dask = pytest.importorskip("dask", reason=ABSENT)
faults = pytest.importorskip("faults", reason=ABSENT)

pytestmark = [
    pytest.mark.filterwarnings("ignore::popglm.PopglmWarning"),
    pytest.mark.skipif(os.name != "posix", reason="processes are ended by signals"),
]
#: Seconds of a round, so that there is time to disturb a fit.
PAUSE = 0.03


@pytest.fixture(autouse=True)
def _kept_from_the_start(monkeypatch):
    """Small fits are kept as large ones are."""
    monkeypatch.setattr(sessions, "KEPT_SECONDS", 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three recordings, and their stores as nothing disturbs them."""
    path = tmp_path_factory.mktemp("faults")
    paths, recipe = write_sessions(path / "data", 3)
    assert pg.fit_sessions(paths, recipe, path / "here", threads_per_task=1).is_complete
    return path


@pytest.fixture
def paths(folder):
    return sorted((folder / "data").glob("*.npz"))


@pytest.fixture
def recipe(folder):
    return folder / "data" / "recipe.toml"


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


@pytest.fixture
def workers(client):
    """The client, with two workers at the beginning that are mended at the end."""
    client.wait_for_workers(2, timeout=60)
    yield client
    client.wait_for_workers(2, timeout=60)
    client.run(faults.mend)


def assert_undisturbed(output, folder, names=("day0", "day1", "day2")):
    for name in names:
        assert_same_store(output / f"{name}.nc", folder / "here" / f"{name}.nc")
    assert left_over(output) == set()


def test_a_worker_that_is_killed_leaves_its_fit_to_another(folder, paths, recipe, workers, notes, tmp_path):
    workers.run(faults.slow, PAUSE, str(notes))
    whole = pg.fit_sessions(paths[:1], recipe, tmp_path / "whole", workers)
    (undisturbed,) = faults.rounds(notes).values()
    for path in notes.iterdir():
        path.unlink()
    killer = faults.AtWork(notes, undisturbed // 2, lambda pid: os.kill(pid, signal.SIGKILL))
    killer.start()
    found = pg.fit_sessions(paths[:1], recipe, tmp_path / "out", workers)
    killer.join(5)
    assert whole.is_complete
    assert found.is_complete, found.table["error"].tolist()
    # the other worker began where the first had kept the fit
    done = faults.rounds(notes)
    assert len(done) == 2
    assert done.pop(killer.pid) >= undisturbed // 2
    assert 0 < next(iter(done.values())) < undisturbed * 3 // 4
    assert_undisturbed(tmp_path / "out", folder, ["day0"])


def test_a_worker_that_stands_still_goes_on(folder, paths, recipe, workers, notes, tmp_path):
    workers.run(faults.slow, PAUSE, str(notes))

    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(pid, signal.SIGCONT)

    stopper = faults.AtWork(notes, 5, stop)
    stopper.start()
    found = pg.fit_sessions(paths, recipe, tmp_path / "out", workers)
    stopper.join(10)
    assert stopper.pid
    assert found.is_complete, found.table["error"].tolist()
    assert_undisturbed(tmp_path / "out", folder)


def test_a_full_disk_leaves_no_half_store(folder, paths, recipe, workers, tmp_path):
    workers.run(faults.full_disk, "day1.nc")
    found = pg.fit_sessions(paths, recipe, tmp_path / "out", workers)
    assert found.table["status"].tolist() == ["done", "failed", "done"]
    assert "the disk is full" in found.table.loc["day1", "error"]
    assert not [path for path in (tmp_path / "out").iterdir() if "day1" in path.name]
    workers.run(faults.mend)
    found = pg.fit_sessions(paths, recipe, tmp_path / "out", workers)
    assert found.table["status"].tolist() == ["finished", "done", "finished"]
    assert_undisturbed(tmp_path / "out", folder)


CLIENT = """
import sys
sys.path[:0] = {path!r}
import popglm as pg
from distributed import Client
from popglm.scale import sessions
sessions.KEPT_SECONDS = 0.0
if __name__ == "__main__":
    with Client({address!r}) as client:
        pg.fit_sessions({paths!r}, {recipe!r}, {output!r}, client)
"""


def test_a_client_that_is_killed_comes_back(folder, paths, recipe, workers, cluster, notes, tmp_path):
    output = tmp_path / "out"
    workers.run(faults.slow, PAUSE, str(notes))
    script = tmp_path / "client.py"
    script.write_text(
        CLIENT.format(
            path=sys.path, address=cluster.scheduler_address, paths=list(map(str, paths)), recipe=str(recipe),
            output=str(output),
        )
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: (output / "day0.nc").exists() or (output / "day1.nc").exists())
    # until then the folder is that client's
    with pytest.raises(OSError, match="another call writes its sessions here") as caught:
        pg.fit_sessions(paths, recipe, output, workers)
    assert caught.value.errno == errno.EBUSY
    process.kill()
    process.wait()
    workers.run(faults.mend)
    found = pg.fit_sessions(paths, recipe, output, workers)
    assert found.is_complete, found.table["error"].tolist()
    assert "finished" in found.table["status"].tolist()
    assert_undisturbed(output, folder)
    assert len(pd.read_parquet(found.neurons)) == 18


def wait_for(what, seconds=60):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_session_that_ends_its_workers_is_named_and_the_others_are_fitted(folder, paths, recipe, tmp_path):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 2}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(faults.Deadly("day1"))
        # two at a time in one process, so that the others are suspected at first
        found = pg.fit_sessions(paths, recipe, tmp_path / "out", client)
    assert found.table["status"].to_dict() == {"day0": "done", "day1": "failed", "day2": "done"}
    assert "session 'day1' ended its worker 3 times" in found.table.loc["day1", "error"]
    assert "GB" in found.table.loc["day1", "error"]
    for name in ("day0", "day2"):
        assert_same_store(tmp_path / "out" / f"{name}.nc", folder / "here" / f"{name}.nc")


def test_workers_that_are_killed_at_random_moments_leave_the_same_bits(tmp_path):
    killed_workers = pytest.importorskip("killed_workers", reason=ABSENT)
    n_killed, n_compared = killed_workers.main(3, 1, 2, 2, tmp_path)
    assert n_killed == 3
    assert n_compared >= 2


def start(module, *options):
    command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *options]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})


def test_a_scheduler_that_is_gone_is_told_and_stores_are_kept(folder, paths, recipe, notes, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "SILENCE", 2.0)
    output, file = tmp_path / "out", tmp_path / "scheduler.json"
    scheduler = start("dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", str(file))
    wait_for(file.exists)
    options = ("--nthreads", "1", "--no-nanny", "--death-timeout", "10", "--local-directory", str(tmp_path))
    worker = start("dask_worker", "--scheduler-file", str(file), *options)
    try:
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
            distributed.Client(scheduler_file=str(file), set_as_default=False, timeout=5) as client,
        ):
            client.wait_for_workers(1, timeout=60)
            client.run(faults.slow, PAUSE, str(notes))

            def tell(progress):
                if progress.n_ended == 1:
                    scheduler.kill()

            with pytest.raises(ConnectionError, match="1 of 3 sessions are finished and kept"):
                pg.fit_sessions(paths, recipe, output, client, tell=tell)
    finally:
        scheduler.kill()
        worker.kill()
        scheduler.wait()
        worker.wait()
    assert len(pd.read_parquet(output / "neurons.parquet")) >= 6
    found = pg.fit_sessions(paths, recipe, output, threads_per_task=1)
    assert found.is_complete
    assert "finished" in found.table["status"].tolist()
    assert_undisturbed(output, folder)

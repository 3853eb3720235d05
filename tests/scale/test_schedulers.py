"""Clients by address, of this machine and of SLURM, and the command that fits many sessions on them."""

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from many import ABSENT, assert_same_store, complaint, write_sessions
from typer.testing import CliRunner

import popglm as pg
from popglm.cli import app
from popglm.scale.schedulers import client_of, read_slurm, slurm_cluster

distributed = pytest.importorskip("distributed", reason=ABSENT)
quiet = pytest.importorskip("popglm.scale.quiet", reason=ABSENT).quiet

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")

SLURM = """\
jobs = 20
cores = 8
processes = 2
memory = "32 GiB"
walltime = "08:00:00"
queue = "cpu"
account = "lab"
job_extra_directives = ["--mail-type=FAIL"]
job_script_prologue = ["module load python"]
"""


def run(*arguments):
    return CliRunner().invoke(app, ["fit-many", *map(str, arguments)], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands")
    write_sessions(path / "data", 3)
    return path


def test_the_command_fits_on_workers_of_its_own_what_python_fits(folder, tmp_path):
    recipe = folder / "data" / "recipe.toml"
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    found = run(
        f"{folder}/data/day*.npz", tmp_path / "bad.npz", "--recipe", recipe, "-o", tmp_path / "out", "--local", 2
    )
    assert found.exit_code == 1
    assert "done: 3" in found.stdout
    assert "bad: recipe.toml" in found.stdout
    assert "bad.npz is no archive of NumPy" in found.stdout
    paths = sorted((folder / "data").glob("day*.npz"))
    assert pg.fit_sessions(paths, recipe, tmp_path / "here", threads_per_task=1).is_complete
    for path in paths:
        assert_same_store(tmp_path / "out" / f"{path.stem}.nc", tmp_path / "here" / f"{path.stem}.nc")
    again = run(f"{folder}/data/day*.npz", "--recipe", recipe, "-o", tmp_path / "out", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["sessions"] == {"finished": 3}
    assert len(pd.read_parquet(json.loads(again.stdout)["neurons"])) == 18


def test_recordings_of_one_name_are_told_by_their_folders(folder, tmp_path):
    recipe, paths = folder / "data" / "recipe.toml", []
    for k in range(2):
        paths.append(tmp_path / f"m{k}" / "x.npz")
        paths[-1].parent.mkdir()
        shutil.copy(folder / "data" / f"day{k}.npz", paths[-1])
    found = run(*paths, "--recipe", recipe, "-o", tmp_path / "out")
    assert found.exit_code == 1
    assert "two sessions are called 'x'" in found.output
    options = ("--recipe", recipe, "-o", tmp_path / "out", "--name", "{parent}_{name}", "--neurons-per-task", 4)
    found = run(*paths, paths[0].parent / ".." / "m0" / "x.npz", *options)
    assert found.exit_code == 0, found.output
    assert {path.name for path in (tmp_path / "out").glob("*.nc")} == {"m0_x.nc", "m1_x.nc"}


def test_a_running_scheduler_is_found_by_address_and_by_file(cluster, tmp_path):
    with client_of(cluster.scheduler_address) as (client, threads):
        assert client.submit(sum, [1, 2]).result() == 3
        assert threads is None
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    with client_of(str(file)) as (client, _):
        assert client.scheduler.address == cluster.scheduler_address
    with client_of() as found:
        assert found == (None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scheduler", "node1"], "'node1' is no address such as tcp://node1:8786"),
        (["--scheduler", "nofile.json"], "scheduler='nofile.json': there is no such file"),
        (["--scheduler", "no/file"], "scheduler='no/file': there is no such file"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no scheduler of Dask answers at 'tcp://127.0.0.1:1'"),
        (["--scheduler", "tcp://127.0.0.1:1", "--local", 2], "give one of scheduler, local and slurm"),
        (["--local", 10_000], "local=10000 workers must be 1 to"),
        (["--slurm", "none.toml"], "there is no file 'none.toml'"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_told(options, words, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("popglm.scale.schedulers.TIMEOUT", 2)
    recipe = folder / "data" / "recipe.toml"
    found = run(f"{folder}/data/day0.npz", "--recipe", recipe, "-o", tmp_path / "out", *options)
    assert found.exit_code == 1
    assert words in found.output
    assert "Traceback" not in found.output
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not list processes in files")
@pytest.mark.parametrize("is_killed", [False, True], ids=["Ctrl-C", "a killed worker"])
def test_ctrl_c_and_killed_workers_are_told_in_popglms_words_alone(is_killed, folder, tmp_path):
    text = (folder / "data" / "recipe.toml").read_text().replace("cv = 3", "cv = 3\n\n[explain]\nbootstrap = 3000")
    (folder / "data" / "long.toml").write_text(text)
    command = [sys.executable, "-m", "popglm", "fit-many", f"{folder}/data/day*.npz", "--local", "2"]
    command += ["--recipe", str(folder / "data" / "long.toml"), "-o", str(tmp_path / "out")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        # workers are there, and sessions go to them
        until(lambda: (tmp_path / "out" / ".lock").exists(), run)
        time.sleep(1)
        if is_killed:
            killed = workers_of(run.pid)[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda: len({*workers_of(run.pid)} - {killed}) == 2, run)
            os.kill(run.pid, signal.SIGINT)
        else:
            # as a terminal has it: Ctrl-C reaches the command and its workers
            os.killpg(run.pid, signal.SIGINT)
        told, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130
    assert told.strip().endswith("stopped")
    assert "distributed" not in told
    assert "Traceback" not in told


def until(happened, run):
    """Wait while a command goes on."""
    while not happened():
        time.sleep(0.05)
        assert run.poll() is None, run.stdout.read()


def workers_of(pid):
    """Worker processes of a command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            command = (path.parent / "cmdline").read_text()
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid and "spawn_main" in command:
                found.append(int(path.parent.name))
    return sorted(found)


def test_what_dask_says_of_memory_stays(caplog):
    nanny = logging.getLogger("distributed.nanny")
    with quiet():
        nanny.warning("Restarting worker")
        nanny.warning("Worker exceeded 95 % of memory budget. Restarting...")
    nanny.warning("Restarting worker")
    assert [record.getMessage() for record in caplog.records] == [
        "Worker exceeded 95 % of memory budget. Restarting...",
        "Restarting worker",
    ]


def test_connections_that_close_with_a_cluster_are_no_news():
    logger, told = logging.getLogger("distributed"), io.StringIO()
    logger.addHandler(handler := logging.StreamHandler(told))
    batched = logging.getLogger("distributed.batched")
    with quiet():
        batched.info("Batched Comm Closed")
        batched.warning("Error in batched write")
    batched.info("another")
    logger.removeHandler(handler)
    assert told.getvalue().splitlines() == ["Error in batched write", "another"]


def test_libraries_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'popglm\[dask\]'"), client_of(local=1):
        pass


class TestSlurm:
    @pytest.fixture(autouse=True)
    def _needs_jobqueue(self):
        pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'popglm[slurm]'")

    @pytest.fixture
    def file(self, tmp_path):
        (tmp_path / "slurm.toml").write_text(SLURM)
        return tmp_path / "slurm.toml"

    def test_the_job_script_asks_for_what_the_file_says(self, file):
        jobs = read_slurm(file)
        assert (jobs.jobs, jobs.threads) == (20, 4)
        with slurm_cluster(jobs) as cluster:
            script = cluster.job_script()
        lines = script.splitlines()
        for line in (
            "#SBATCH -p cpu", "#SBATCH -A lab", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=32G",
            "#SBATCH -t 08:00:00", "#SBATCH --mail-type=FAIL", "module load python",
        ):  # fmt: skip
            assert line in lines
        worker = next(line for line in lines if "dask_worker" in line)
        assert "--nthreads 4" in worker
        assert "--nworkers 2" in worker
        assert f"--resources memory={16 * 2**30}" in worker

    def test_a_byte_order_mark_is_no_part_of_the_file(self, file):
        file.write_text(SLURM, encoding="utf-8-sig")
        assert read_slurm(file).threads == 4

    def test_resources_of_the_user_stay(self, file):
        file.write_text(SLURM + 'worker_extra_args = ["--resources", "memory=5e9", "--lifetime", "7h"]\n')
        assert read_slurm(file).arguments["worker_extra_args"] == ["--resources", "memory=5e9", "--lifetime", "7h"]

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("queue", "quue", "slurm.toml: 'quue' is not known here; nearest names: 'queue'"),
            ("jobs = 20", "jobs = 0", "jobs must be a whole number from 1 to 10,000; found 0"),
            ("jobs = 20", "jobs = true", "jobs must be a whole number"),
            ("processes = 2", "processes = 9", "processes must be a whole number from 1 to 8; found 9"),
            ('"32 GiB"', '"much"', "memory must be text such as \"16 GB\"; found 'much'"),
            ('"32 GiB"', "[]", "memory must be text"),
            ('walltime = "08:00:00"\n', "", 'lacks walltime; for example jobs = 20, cores = 4, memory = "16 GB"'),
            ('account = "lab"', 'env_extra = ["export A=1"]', "'env_extra' is not known here"),
            ("jobs = 20", "jobs = ", "is no TOML"),
            ("jobs = 20", "jobs = 20\n" + "#" * 100_000, "far more than arguments of SLURM's jobs take"),
        ],
    )
    def test_a_file_that_is_wrong_is_told(self, old, new, words, file):
        assert old in SLURM
        file.write_text(SLURM.replace(old, new))
        assert words in complaint(read_slurm, file)

    @pytest.mark.skipif(shutil.which("sbatch") is not None, reason="SLURM is here")
    def test_a_machine_without_slurm_is_told(self, file, folder, tmp_path):
        recipe = folder / "data" / "recipe.toml"
        found = run(f"{folder}/data/day0.npz", "--recipe", recipe, "-o", tmp_path / "out", "--slurm", file)
        assert found.exit_code == 1
        assert "no sbatch on this machine" in found.output

    def test_jobs_are_submitted_and_become_workers(self, file, folder, tmp_path, monkeypatch):
        """A stand-in for sbatch starts the script of a job as a process."""
        scripts = tmp_path / "bin"
        scripts.mkdir()
        file.write_text(
            'jobs = 1\ncores = 1\nmemory = "2 GB"\nwalltime = "00:10:00"\n'
            f'log_directory = "{tmp_path}"\nlocal_directory = "{tmp_path}"\n'
            'scheduler_options = {host = "127.0.0.1"}\n'
        )
        pid = tmp_path / "pid"
        (scripts / "sbatch").write_text(
            f"#!/bin/bash\ncp $1 {tmp_path}/job.sh\nnohup bash {tmp_path}/job.sh > {tmp_path}/job.log 2>&1 &\n"
            f"echo $! > {pid}\necho Submitted batch job 7\n"
        )
        (scripts / "scancel").write_text(f"#!/bin/bash\necho $1 >> {tmp_path}/cancelled\n")
        for script in scripts.iterdir():
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{scripts}:{__import__('os').environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(Path(pg.__file__).parents[1]))
        recipe = folder / "data" / "recipe.toml"
        found = run(f"{folder}/data/day[01].npz", "--recipe", recipe, "-o", tmp_path / "out", "--slurm", file)
        assert found.exit_code == 0, found.output
        assert "done: 2" in found.output
        assert (tmp_path / "cancelled").read_text().split() == ["7"]

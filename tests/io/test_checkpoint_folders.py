"""Folders that keep a fit: what they hold is whole, whatever happens, and they serve nothing else."""

import errno
import json
import os
import warnings

import numpy as np
import pytest
from forked import forked

from popglm.io import checkpoints, locks
from popglm.io.checkpoints import CheckpointFolder
from popglm.warnings import PopglmWarning

ABOUT = {"X": "float32 (3, 2) #1a", "tol": "0.1"}


@pytest.fixture
def always(monkeypatch):
    """Keep a state at every pause."""
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


def opened(path, about=ABOUT):
    folder = CheckpointFolder(path)
    return folder, folder.open(about)


def files(path):
    return sorted(name for name in os.listdir(path) if name not in ("lock", "popglm_checkpoint.json"))


class TestStates:
    def test_come_back_as_they_were(self, tmp_path, always):
        state = {
            "a.b": np.arange(6.0).reshape(2, 3),
            "none": np.zeros((0, 2), np.float32),
            "text": np.array('{"inc": 123456789012345678901234567890}'),
            "nan": np.array([np.nan, -0.0]),
        }
        folder, fit = opened(tmp_path / "fit")
        fit.part("cohort0").pause(lambda: state)
        folder.close()
        found = opened(tmp_path / "fit")[1].part("cohort0").last()
        assert found.keys() == state.keys()
        for name, array in state.items():
            assert found[name].dtype == array.dtype
            assert found[name].tobytes() == array.tobytes()
        assert files(tmp_path / "fit") == ["fit.cohort0.a.npz"]

    def test_of_two_files_the_last_that_is_whole_counts(self, tmp_path, always):
        folder, fit = opened(tmp_path)
        part = fit.part("walk")
        for k in range(1, 4):
            part.pause(lambda k=k: {"k": np.array(k)})
        assert files(tmp_path) == ["fit.walk.a.npz", "fit.walk.b.npz"]
        assert fit.part("walk").last()["k"] == 3
        newest = tmp_path / "fit.walk.a.npz"
        whole = newest.read_bytes()
        # cut short, one bit that is another, and nothing at all
        changed = bytearray(whole)
        changed[whole.index(b"NUMPY") + 130] ^= 1
        for damaged in (whole[: len(whole) // 2], bytes(changed), b""):
            newest.write_bytes(damaged)
            assert fit.part("walk").last()["k"] == 2
        # and it goes on by writing over the damaged one
        again = fit.part("walk")
        again.last()
        again.pause(lambda: {"k": np.array(7)})
        assert fit.part("walk").last()["k"] == 7
        folder.close()

    def test_what_a_part_ended_with_takes_the_place_of_its_states(self, tmp_path, always):
        folder, fit = opened(tmp_path)
        for name in ("cohort1", "cohort10"):
            fit.part(name).pause(lambda: {"k": np.array(1)})
            fit.part(name).part("fit0").pause(lambda: {"k": np.array(1)})
        fit.part("cohort1").finish({"k": np.array(5)})
        assert files(tmp_path) == ["fit.cohort1.end.npz", "fit.cohort10.a.npz", "fit.cohort10.fit0.a.npz"]
        assert fit.part("cohort1").result()["k"] == 5
        fit.finish({"k": np.array(9)})
        assert files(tmp_path) == ["fit.end.npz"]
        folder.close()

    def test_writing_takes_a_share_of_the_time(self, tmp_path, monkeypatch):
        now, cost = [100.0], 3.0
        monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: now[0])
        folder, fit = opened(tmp_path)

        def write(name, state, times=[]):  # noqa: B006
            now[0] += cost
            times.append(now[0])
            return True

        monkeypatch.setattr(folder, "write", write)
        part, times = fit.part("walk"), write.__defaults__[0]
        # 0.2 s of writing at the speed that is taken for granted are worth 10 s; then 3 s are worth 150
        state = {"a": np.zeros(int(0.2 * checkpoints.SPEED), np.uint8)}
        for _ in range(1000):
            now[0] += 0.5
            part.pause(lambda: state)
        assert times[0] - 100 == pytest.approx(10 + cost, abs=0.6)
        np.testing.assert_allclose(np.diff(times), 150 + cost, atol=0.6)
        folder.close()


class TestFolders:
    def test_a_new_one_is_made_and_its_own_leftovers_go(self, tmp_path):
        for name in (".fit.cohort0.a.npz.abc.part", ".popglm_checkpoint.json.abc.part"):
            (tmp_path / name).write_bytes(b"half")
        folder, _ = opened(tmp_path)
        assert sorted(os.listdir(tmp_path)) == ["lock", "popglm_checkpoint.json"]
        folder.close()
        assert json.loads((tmp_path / "popglm_checkpoint.json").read_text()) == ABOUT

    @pytest.mark.parametrize("value", [3, "", b"x", ["a"], True], ids=repr)
    def test_no_path(self, value):
        with pytest.raises(TypeError, match=r"checkpoint must be the name of a folder"):
            CheckpointFolder(value)

    def test_what_is_no_folder_for_a_fit(self, tmp_path):
        (tmp_path / "file").write_text("notes")
        with pytest.raises(ValueError, match=r"checkpoint=.*file' is a file; give the name of a folder"):
            CheckpointFolder(tmp_path / "file")
        with pytest.raises(ValueError, match=r"holds 'file' and no fit; give a folder of its own"):
            CheckpointFolder(tmp_path)
        with pytest.raises(ValueError, match=r"the folder .*none' does not exist; make it first"):
            CheckpointFolder(tmp_path / "none" / "fit")
        with pytest.raises(ValueError, match="null character"):
            CheckpointFolder("a\0b")
        assert os.listdir(tmp_path) == ["file"]

    def test_of_another_fit(self, tmp_path):
        opened(tmp_path)[0].close()
        folder = CheckpointFolder(tmp_path)
        with pytest.raises(ValueError, match=r"X had other values, tol was 0\.1 \(now 1\), cv was unknown \(now 3\)\."):
            folder.open({"X": "float32 (3, 2) #1b", "tol": "1", "cv": "3"})
        folder.close()
        with pytest.raises(ValueError, match=r"X was float32 \(3, 2\) \(now float64 \(3, 2\)\)"):
            CheckpointFolder(tmp_path).open(ABOUT | {"X": "float64 (3, 2) #1a"})
        (tmp_path / "popglm_checkpoint.json").write_text('{"X": ')
        with pytest.raises(ValueError, match=r"is damaged: popglm_checkpoint.json cannot be read"):
            CheckpointFolder(tmp_path).open(ABOUT)

    @pytest.mark.skipif(locks.fcntl is None, reason="no locks")
    def test_of_a_fit_that_is_going_on(self, tmp_path):
        folder, _ = opened(tmp_path)
        with pytest.raises(OSError, match="another fit keeps its checkpoint here"):
            CheckpointFolder(tmp_path).open(ABOUT)
        folder.close()
        opened(tmp_path)[0].close()

    def test_that_cannot_be_written(self, tmp_path, monkeypatch):
        with pytest.raises(OSError, match=r"checkpoint=.*this folder cannot be made or written to"):
            CheckpointFolder("/proc/popglm")
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(OSError, match=r"this folder cannot be made or written to \(Permission denied\)"):
            CheckpointFolder(tmp_path)


class TestFullDisks:
    def test_warn_once_and_leave_what_was_there(self, tmp_path, always, monkeypatch):
        folder, fit = opened(tmp_path)
        part = fit.part("walk")
        part.pause(lambda: {"k": np.array(1)})
        real = checkpoints.write_whole

        def full(*arguments):
            raise OSError(errno.ENOSPC, "the disk is full: …", "walk")

        monkeypatch.setattr(checkpoints, "write_whole", full)
        with pytest.warns(PopglmWarning, match=r"goes on without being kept, and tries again later: the disk is full"):
            part.pause(lambda: {"k": np.array(2)})
        part.pause(lambda: {"k": np.array(3)})
        fit.part("other").finish({"k": np.array(8)})
        assert fit.part("walk").last()["k"] == 1
        monkeypatch.setattr(checkpoints, "write_whole", real)
        part.pause(lambda: {"k": np.array(4)})
        assert fit.part("walk").last()["k"] == 4
        assert fit.part("other").result()["k"] == 8
        folder.close()

    def test_a_file_may_not_grow(self, tmp_path, always):
        # a limit of the system on the size of files: what is written stops in the middle of a file
        def work():
            import resource

            fit = opened(tmp_path)[1]
            part = fit.part("walk")
            for k in (1, 2):
                part.pause(lambda k=k: {"k": np.array(k), "a": np.zeros(1000)})
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            with warnings.catch_warnings(record=True) as caught:
                part.pause(lambda: {"k": np.array(3), "a": np.zeros(1000)})
            return f"{len(caught)} {caught[0].message} {int(fit.part('walk').last()['k'])}"

        status, said = forked(work)
        assert status == 0, said
        assert "more than a file may have here" in said
        assert said.split()[0] == "1"
        assert said.split()[-1] == "2"
        assert files(tmp_path) == ["fit.walk.a.npz", "fit.walk.b.npz"]

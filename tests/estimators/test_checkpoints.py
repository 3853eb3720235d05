"""`fit(checkpoint=...)`: the same call goes on where it was ended, and ends with the same bits; no other does."""

import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from popglm import GLM, GLMCV
from popglm.io import checkpoints
from popglm.solve import population
from popglm.solve.stream import RowStream
from popglm.solve.walk.walk import Walk

RNG = np.random.default_rng(11)
X = RNG.standard_normal((300, 6))
Y = RNG.poisson(np.exp(0.5 * X[:, :3]))
WEIGHTS = RNG.uniform(0.5, 1.5, 300)
SETTINGS = {"penalty": "group_lasso", "feature_groups": [3, 3], "n_lambdas": 4}


def model(**more):
    return GLMCV(**{**SETTINGS, "cv": 3, **more})


@pytest.fixture
def always(monkeypatch):
    """Keep a state after every round."""
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


def arrays(fitted):
    return {name: value for name, value in vars(fitted).items() if isinstance(value, np.ndarray)}


def assert_same(one, other):
    assert arrays(one).keys() == arrays(other).keys()
    for name, value in arrays(one).items():
        np.testing.assert_array_equal(value, arrays(other)[name], name)
    assert one.trace_.equals(other.trace_)


def stopping_at(number, monkeypatch, error=KeyboardInterrupt):
    """End fits in a round."""
    count, accept = [0], Walk.accept_or_stay

    def counted(self, *arguments):
        count[0] += 1
        if count[0] == number:
            raise error
        return accept(self, *arguments)

    monkeypatch.setattr(Walk, "accept_or_stay", counted)


class TestTheSameCall:
    def test_returns_what_a_fit_ended_with(self, tmp_path, monkeypatch):
        plain = model().fit(X, Y)
        first = model().fit(X, Y, checkpoint=tmp_path / "fit")
        assert_same(plain, first)
        # not one round
        stopping_at(1, monkeypatch, AssertionError)
        again = model(verbose=1).fit(X, Y, checkpoint=str(tmp_path / "fit"))
        assert_same(plain, again)
        np.testing.assert_array_equal(plain.predict_held_out(), again.predict_held_out())
        # a rule of selection is none of the fit's
        assert model(se_fraction=1.0).fit(X, Y, checkpoint=tmp_path / "fit").lambda_index_.shape == (3,)

    @pytest.mark.parametrize("number", [1, 3, 5])
    def test_goes_on_after_an_error(self, tmp_path, monkeypatch, always, number):
        plain = model().fit(X, Y)
        with monkeypatch.context() as patch:
            stopping_at(number, patch, RuntimeError)
            with pytest.raises(RuntimeError):
                model().fit(X, Y, checkpoint=tmp_path)
        assert_same(plain, model().fit(X, Y, checkpoint=tmp_path))

    def test_with_every_kind_of_input(self, tmp_path, always, monkeypatch):
        def fit(checkpoint=None):
            Z = Y.astype(float)
            Z[:40, 1] = np.nan
            own = model(penalty_factors=[0, 1], refit=False)
            return own.fit(
                X, Z, sample_weight=WEIGHTS, offset=WEIGHTS, groups=np.arange(300) // 9, checkpoint=checkpoint
            )

        plain = fit()
        with monkeypatch.context() as patch:
            stopping_at(4, patch, RuntimeError)
            with pytest.raises(RuntimeError):
                fit(tmp_path)
        assert_same(plain, fit(tmp_path))

    def test_of_a_stream(self, tmp_path, always, monkeypatch):
        def stream(memory=20_000):
            return RowStream(X.astype(np.float32), memory=memory)

        plain = GLM(**SETTINGS).fit(stream(), Y)
        with monkeypatch.context() as patch:
            stopping_at(2, patch, RuntimeError)
            with pytest.raises(RuntimeError):
                GLM(**SETTINGS).fit(stream(), Y, checkpoint=tmp_path)
        assert_same(plain, GLM(**SETTINGS).fit(stream(), Y, checkpoint=tmp_path))
        with pytest.raises(ValueError, match=r"X was .* in blocks of .* rows \(now .* rows\)"):
            GLM(**SETTINGS).fit(stream(30_000), Y, checkpoint=tmp_path)

    def test_of_one_neuron_and_a_start(self, tmp_path):
        start = GLM(**SETTINGS).fit(X, Y[:, 0])
        plain = GLM(**SETTINGS, tol=1e-6).fit(X, Y[:, 0], start=start)
        for _ in range(2):
            assert_same(plain, GLM(**SETTINGS, tol=1e-6).fit(X, Y[:, 0], start=start, checkpoint=tmp_path))
        with pytest.raises(ValueError, match=r"start was float\d+ \(1, 4, 1, 6\) \(now none\)"):
            GLM(**SETTINGS, tol=1e-6).fit(X, Y[:, 0], checkpoint=tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of a fit that has ended."""
    path = tmp_path_factory.mktemp("fits") / "fit"
    model().fit(X, Y, checkpoint=path)
    return path


class TestAnotherCall:
    @pytest.mark.parametrize(
        ("what", "settings", "data"),
        [
            ("X had other values", {}, {"X": np.where(X[299, 5] == X, 0, X)}),
            (r"X was float64 \(300, 6\) \(now float32", {}, {"X": X.astype("f")}),
            ("y had other values", {}, {"y": Y[::-1]}),
            (r"y was float64 \(300, 3\) \(now float64 \(300, 2\)\)", {}, {"y": Y[:, 1:]}),
            ("sample_weight was none", {}, {"sample_weight": WEIGHTS}),
            ("offset was none", {}, {"offset": WEIGHTS}),
            (r"the folds \(cv and groups\) were \d folds \(now 4 folds\)", {"cv": 4}, {}),
            (r"the folds \(cv and groups\) had other values", {}, {"groups": np.arange(300) % 7}),
            ("tol was 0.0001 .now 1e-05", {"tol": 1e-5}, {}),
            ("n_lambdas was 4 .now 5", {"n_lambdas": 5}, {}),
            ("lambdas was none", {"lambdas": [0.1]}, {}),
            ("inverse_link was exp .now softplus", {"inverse_link": "softplus"}, {}),
            ("l1_ratio was 1 .now 0.5", {"l1_ratio": 0.5}, {}),
            ("feature_groups had", {"feature_groups": [2, 4]}, {}),
            ("penalty_factors was none", {"penalty_factors": [1, 2]}, {}),
            ("feature_mask was none", {"feature_mask": np.arange(18).reshape(6, 3) > 0}, {}),
            ("precision was float32", {"precision": "float64"}, {}),
            ("schedule was auto", {"schedule": "device"}, {}),
            ("refit was True", {"refit": False}, {}),
            ("patience was None", {"patience": 2}, {}),
        ],
    )
    def test_is_refused_with_what_differs(self, kept, what, settings, data):
        before = (kept / "fit.end.npz").read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=rf"holds another fit, in which .*{what}.*give another folder"):
                model(**settings).fit(**{"X": X, "y": Y, **data}, checkpoint=kept)
        assert (kept / "fit.end.npz").read_bytes() == before

    def test_of_another_class_is_refused(self, kept):
        with pytest.raises(ValueError, match=r"kind of model was GLMCV .now GLM"):
            GLM(**SETTINGS).fit(X, Y, checkpoint=kept)

    def test_bad_folders_are_told_before_anything_is_fitted(self, tmp_path):
        for value in (3, ["a"], b"a"):
            with pytest.raises(TypeError, match="checkpoint must be the name of a folder"):
                GLM().fit(X, Y, checkpoint=value)
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match=r"holds 'notes\.txt' and no fit"):
            GLM().fit(X, Y, checkpoint=tmp_path)


@pytest.fixture
def interrupt(monkeypatch):
    """A call that presses Ctrl-C, and returns when the main thread has met it."""
    met, stopping = threading.Event(), threading.Event()

    def stop(self):
        stopping.set()
        met.set()

    def is_stopping(self):
        if stopping.is_set() and threading.current_thread() is threading.main_thread():
            met.set()
        return stopping.is_set()

    def press():
        met.clear()
        for _ in range(10):
            os.kill(os.getpid(), signal.SIGINT)
            # Python leaves a signal that comes just before its main thread begins to wait until another one comes
            for _ in range(60):
                if met.wait(0.05):
                    return
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        raise AssertionError("the main thread met no Ctrl-C")

    # as in a large fit, the main thread waits for workers
    monkeypatch.setattr(population, "LEAST_SHARED", 0)
    monkeypatch.setattr(checkpoints.CheckpointFolder, "stop", stop)
    monkeypatch.setattr(
        checkpoints.CheckpointFolder, "is_stopping", property(is_stopping, lambda *_: None), raising=False
    )
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield press
    signal.signal(signal.SIGUSR1, before)


class TestInterrupts:
    @pytest.mark.parametrize(
        ("presses", "told"),
        [
            (1, r"the fit is kept in .*; the same call goes on from there"),
            (2, r"what .* kept of the fit is whole; the same call goes on from there"),
        ],
    )
    def test_the_first_ends_a_fit_where_it_can_be_kept_and_the_second_at_once(
        self, tmp_path, monkeypatch, capsys, interrupt, presses, told
    ):
        plain = model().fit(X, Y)
        accept, turn, count = Walk.accept_or_stay, threading.Lock(), [0]

        def interrupted(self, *arguments):
            with turn:
                count[0] += 1
                if count[0] == 6:
                    for _ in range(presses):
                        interrupt()
            return accept(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Walk, "accept_or_stay", interrupted)
            with pytest.raises(KeyboardInterrupt, match=told):
                model().fit(X, Y, checkpoint=tmp_path)
        assert "press Ctrl-C again to end it at once" in capsys.readouterr().err
        assert (tmp_path / "fit.cohort0.a.npz").exists() == (presses == 1)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        monkeypatch.undo()
        stopping_at(10**9, monkeypatch)
        assert_same(plain, model().fit(X, Y, checkpoint=tmp_path))

    def test_a_fit_that_has_ended_meanwhile_is_kept(self, tmp_path, monkeypatch):
        end = checkpoints.CheckpointFolder.end

        def interrupted(self, name, state):
            end(self, name, state)
            os.kill(os.getpid(), signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints.CheckpointFolder, "end", interrupted)
            with pytest.raises(KeyboardInterrupt, match=r"has ended and is kept in .*: the same call returns it"):
                model().fit(X, Y, checkpoint=tmp_path)
        assert (tmp_path / "fit.end.npz").exists()


def test_a_full_disk_ends_in_a_warning_and_not_the_fit(tmp_path, monkeypatch, always):
    plain = model().fit(X, Y)
    write = checkpoints.write_whole

    def full(path, *arguments):
        if path.name.endswith(".npz"):
            raise OSError(28, "the disk is full", str(path))
        write(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", full)
        with pytest.warns(UserWarning, match="goes on without being kept, and tries again later: the disk is full"):
            assert_same(plain, model().fit(X, Y, checkpoint=tmp_path))
    assert_same(plain, model().fit(X, Y, checkpoint=tmp_path))


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("at", ["round", "write"])
def test_killed_fits_end_with_the_same_bits(at):
    script = Path(__file__).parents[1] / "killed.py"
    size = ["--samples", "200", "--neurons", "2", "--columns", "1"]
    done = subprocess.run(
        [sys.executable, script, "--kills", "3", "--at", at, *size], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.splitlines()[-1].startswith("3 kills")

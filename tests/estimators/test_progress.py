"""What a terminal sees of a fit: nothing of a short one, a bar of a long one, and that kernels are compiled."""

import io
import threading
import warnings
from contextlib import contextmanager, redirect_stderr
from typing import ClassVar

import numba
import numpy as np
import pytest
from rich.progress import Progress

import popglm as pg
from popglm.estimators import base
from popglm.estimators.progress import COMPILING, _TimeLeft, fit_progress
from popglm.io import checkpoints


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """In place of `threading.Timer`: rings when told to."""

    made: ClassVar = []

    def __init__(self, seconds, function):
        self.seconds, self.ring, self.cancelled = seconds, function, False
        Clock.made.append(self)

    def start(self):
        pass

    def cancel(self):
        self.cancelled = True

    def join(self):
        pass


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(threading, "Timer", Clock)
    Clock.made = []
    return Terminal()


def test_a_bar_with_the_time_left_after_ten_seconds_without_being_asked(terminal):
    with redirect_stderr(terminal), fit_progress(0, 3, 5, 2) as advance:
        (clock,) = Clock.made
        assert clock.seconds == 10
        advance(0, -1)
        assert terminal.getvalue() == ""
        clock.ring()
        advance(1, 0)
    shown = terminal.getvalue()
    assert "3 neurons · strength 2/5 · fold 1" in shown
    assert "0:00:0" in shown  # elapsed, and left
    assert clock.cancelled


def test_a_short_fit_shows_nothing(terminal):
    rng = np.random.default_rng(0)
    with redirect_stderr(terminal):
        pg.GLMCV(lambdas=[0.1, 0.01], cv=2).fit(rng.normal(size=(60, 2)), rng.poisson(1.0, 60))
    assert len(Clock.made) == 1
    assert Clock.made[0].cancelled
    assert terminal.getvalue().replace(COMPILING + "\n", "") == ""


def test_asked_for_the_bar_is_there_at_once(terminal):
    with redirect_stderr(terminal), fit_progress(1, 3, 5, 2) as advance:
        advance(0, 1)
    assert not Clock.made
    assert "3 neurons · strength 1/5 · fold 2" in terminal.getvalue()


@pytest.mark.parametrize("verbose", [0, 1])
def test_where_nobody_looks_nothing_is_shown(verbose):
    file = io.StringIO()
    before = threading.active_count()
    with redirect_stderr(file), fit_progress(verbose, 3, 5, 2) as advance:
        assert advance is None
        assert threading.active_count() == before
        compiled(1)
    assert file.getvalue() == ""


def test_one_bar_at_a_time(terminal):
    with redirect_stderr(terminal), fit_progress(1, 3, 5, 2) as outer:
        with fit_progress(1, 99, 5, 2) as inner:
            assert inner is None
        outer(0, 0)
    assert "99 neurons" not in terminal.getvalue()
    with redirect_stderr(terminal), fit_progress(1, 99, 5, 2) as again:
        assert again is not None


def compiled(value, module="popglm.solve.step_solvers.blocks"):
    """Compile a function that passes for one of `module`."""

    def double(x):
        return x + x

    double.__module__ = module
    numba.njit(double)(value)


def test_compiling_is_said_once_and_only_while_it_happens(terminal):
    with redirect_stderr(terminal), fit_progress(0, 3, 5, 2):
        assert terminal.getvalue() == ""
        compiled(1, module="elsewhere")
        assert terminal.getvalue() == ""
        compiled(1)
        compiled(1.0)
    assert terminal.getvalue() == COMPILING + "\n"
    compiled(1)
    assert terminal.getvalue() == COMPILING + "\n"


class Counted:
    """In place of the bar: how much of a fit is told of, and how much of that an earlier call did."""

    def __init__(self, stop_at=np.inf):
        self.calls, self.share, self.kept, self.stop_at = 0, 0.0, 0.0, stop_at

    def __call__(self, strength, fold, kept=False, share=1.0):
        self.calls += 1
        self.share += share
        self.kept += share * kept
        if self.calls >= self.stop_at:
            raise KeyboardInterrupt

    def follow(self, monkeypatch):
        """Follow the next fits."""

        @contextmanager
        def progress(*_):
            yield self

        monkeypatch.setattr(base, "fit_progress", progress)
        return self


@pytest.mark.parametrize(
    "more", [{}, {"schedule": "device"}, {"family": "gaussian"}, {"solver": "adam", "max_iter": 2}]
)
def test_neurons_with_other_features_or_samples_are_their_share_of_the_bar(more, monkeypatch):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(90, 2)), rng.poisson(1.0, (90, 4)).astype(float)
    Y[:20, 1] = np.nan
    mask = np.array([[True, True, True, False], [True, True, False, True]])
    counted = Counted().follow(monkeypatch)
    model = pg.GLMCV(**{"penalty": "lasso", "lambdas": [0.1, 0.01], "cv": 2, "feature_mask": mask} | more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, Y)
    assert counted.share == pytest.approx(2 * 3)
    assert counted.kept == 0


# cohorts of other columns are told of together where they walk together
@pytest.mark.parametrize(("more", "stop_at"), [({}, 7), ({"schedule": "device"}, 20), ({"family": "gaussian"}, 20)])
def test_what_was_kept_is_told_of_as_kept(more, stop_at, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1e9)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(90, 2)), rng.poisson(1.0, (90, 4))
    mask = np.array([[True, True, True, False], [True, True, False, True]])
    model = pg.GLMCV(**{"penalty": "lasso", "lambdas": [0.1, 0.03, 0.01, 0.003], "cv": 2, "feature_mask": mask} | more)
    first = Counted(stop_at=stop_at).follow(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, checkpoint=tmp_path)
    second = Counted().follow(monkeypatch)
    model.fit(X, Y, checkpoint=tmp_path)
    assert second.share == pytest.approx(4 * 3)
    # what lies between the last moment that was kept and the stop is done again
    assert 0.5 * first.share <= second.kept <= first.share


def test_the_time_left_is_by_the_pace_of_this_call():
    bar = Progress(get_time=lambda: now)
    now = 0.0
    bar.add_task("", total=12, kept=6.0, completed=6)
    (task,) = bar.tasks
    now = 30.0
    assert str(_TimeLeft().render(task)) == "-:--:--"
    # 3 in 30 s, and 3 are left
    bar.update(task.id, advance=3)
    assert str(_TimeLeft().render(task)) == "0:00:30"
    now = 30_000.0
    assert str(_TimeLeft().render(task)) == "8:20:00"
    bar.update(task.id, advance=3)
    assert str(_TimeLeft().render(task)) == "0:00:00"

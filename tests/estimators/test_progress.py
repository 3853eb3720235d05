"""What a terminal sees of a fit: nothing of a short one, a bar of a long one, and that kernels are compiled."""

import io
import threading
from contextlib import redirect_stderr
from typing import ClassVar

import numba
import numpy as np
import pytest

import popglm as pg
from popglm.estimators.progress import COMPILING, fit_progress


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


def compiled(value, module="popglm.solve.blocks"):
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

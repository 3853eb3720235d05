"""What a terminal sees of popglm fit, and what a pipe gets."""

import contextlib
import json
import os
import re
import sys
import threading

import pytest
from analysis_helpers import run

from popglm.cli import _finite, app

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")


def in_terminal(monkeypatch, *arguments):
    """What a command writes to a terminal on its error output, without colours, a line for every state of the bar."""
    ours, its = pty.openpty()
    parts = []

    def read():
        # the terminal is closed: an error on Linux, nothing elsewhere
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65_536):
                parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    try:
        with os.fdopen(its, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal)
            assert terminal.isatty()
            app([str(argument) for argument in arguments], standalone_mode=False)
    finally:
        reader.join()
        os.close(ours)
    text = b"".join(parts).decode()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")


@pytest.mark.parametrize("kept", [False, True])
def test_a_terminal_sees_the_time_that_is_left(kept, folder, tmp_path, monkeypatch, capsys):
    more = ["--checkpoint", tmp_path / "so-far"] if kept else []
    shown = in_terminal(monkeypatch, "fit", folder / "recipe.toml", "-o", tmp_path / "result.nc", "--no-explain", *more)
    states = re.findall(r"4 neurons · strength (\d)/4 · (all rows|fold \d).*?(\d+:\d\d:\d\d) (\d+:\d\d:\d\d)", shown)
    assert states, shown
    assert states[-1][0] == "4"
    assert states[-1][3] == "0:00:00"
    assert "deviance explained median" in capsys.readouterr().out


def test_a_pipe_gets_json_alone_while_a_terminal_looks(folder, tmp_path, monkeypatch, capsys):
    in_terminal(monkeypatch, "fit", folder / "recipe.toml", "-o", tmp_path / "result.nc", "--json")
    assert json.loads(capsys.readouterr().out)["neurons"] == 4


def test_json_holds_no_number_that_json_does_not_know(folder, tmp_path):
    assert _finite({"a": [float("nan"), 1.0], "b": {"c": float("inf")}}) == {"a": [None, 1.0], "b": {"c": None}}
    # a column that is 0 all the time has no condition number
    text = (folder / "recipe.toml").read_text(encoding="utf-8").replace('"session.nwb"', f'"{folder}/session.nwb"')
    text = text.replace("[variables]\n", '[variables]\nflat = {source = "trials.is_cueB", scale = 0.001}\n')
    text = text.replace("[model]", '[[terms]]\nbasis = "bumps"\nvariable = "flat"\nn = 2\nlow = 5\nhigh = 9\n\n[model]')
    (tmp_path / "flat.toml").write_text(text, encoding="utf-8")
    found = run("check", tmp_path / "flat.toml", "--json")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    facts = json.loads(found.stdout, parse_constant=refuse)
    assert facts["condition_numbers"]["flat"] is None

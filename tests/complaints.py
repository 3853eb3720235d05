"""What every complaint about an argument has to be."""

import os
import traceback

import pytest


def assert_complaint(name, call, value):
    """``call(value)`` ends in one sentence of popglm's own, on one line, that names the argument."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert f"{os.sep}popglm{os.sep}" in last.filename
    assert last.line.startswith("raise ")

"""What `import popglm` brings, and what only comes when it is asked for."""

import subprocess
import sys

import pytest

import popglm


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_library_comes_when_it_is_asked_for():
    assert not imported_by("import popglm") & {"numpy", "numba", "sklearn", "matplotlib"}
    fitting = imported_by("import popglm; popglm.GLM")
    assert {"numba", "sklearn"} <= fitting
    assert "matplotlib" not in fitting


def test_help_needs_no_solver():
    assert not imported_by("import popglm.cli") & {"numpy", "numba", "sklearn", "matplotlib"}


def test_every_name_is_there():
    for name in popglm.__all__:
        assert getattr(popglm, name).__module__.startswith("popglm.")
    assert popglm.plot.__name__ == "popglm.plot"
    with pytest.raises(AttributeError, match="glmcv"):
        _ = popglm.glmcv

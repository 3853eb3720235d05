"""What `import popglm` brings, and what only comes when it is asked for."""

import subprocess
import sys

import pytest

import popglm

#: Statements that one fresh interpreter runs, and what it has imported of these after each.
STEPS = {
    "import popglm": set(),
    "import popglm.cli": set(),
    "popglm.GLM": {"numpy", "numba", "sklearn"},
    "popglm.plot.psth": {"numpy", "numba", "sklearn", "matplotlib"},
}


def test_each_part_comes_when_it_is_asked_for():
    code = "import sys\n" + "\n".join(f"{step}\nprint(*{{n.split('.')[0] for n in sys.modules}})" for step in STEPS)
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    watched = {"numpy", "numba", "sklearn", "matplotlib"}
    for (step, expected), line in zip(STEPS.items(), lines, strict=True):
        assert set(line.split()) & watched == expected, step


def test_every_name_is_there():
    for name in popglm.__all__:
        assert getattr(popglm, name).__module__.startswith("popglm.")
    assert popglm.plot.__name__ == "popglm.plot"
    with pytest.raises(AttributeError, match="glmcv"):
        _ = popglm.glmcv

"""Numba has no folder for compiled functions where neither popglm's own nor the home can be written to."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import popglm as pg
from popglm.estimators import progress
from popglm.solve.compiled.compiling import HAS_CACHE

SCRIPT = """
from numba.core.caching import CacheImpl
# as where no folder can be written to
CacheImpl._locator_classes = []
import numpy as np
import popglm as pg
from popglm.solve.compiled.compiling import HAS_CACHE
assert not HAS_CACHE
X = np.random.default_rng(0).normal(size=(90, 3))
print(pg.GLM("gaussian", penalty="ridge", lambdas=[0.1], precision="float64").fit(X, X[:, 0] ** 2).coef_.tolist())
"""


@pytest.mark.thorough
def test_fits_are_the_same_without_a_cache():
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert HAS_CACHE
    X = np.random.default_rng(0).normal(size=(90, 3))
    expected = pg.GLM("gaussian", penalty="ridge", lambdas=[0.1], precision="float64").fit(X, X[:, 0] ** 2).coef_
    assert found.stdout.strip() == str(expected.tolist())


def test_a_terminal_is_told_what_to_set(monkeypatch, capsys):
    event = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=pg.GLM.fit)})
    for cache, words in ((True, "later fits start at once"), (False, "Set NUMBA_CACHE_DIR to a folder that lasts")):
        monkeypatch.setattr(progress, "HAS_CACHE", cache)
        progress._CompileNotice().on_start(event)
        assert words in capsys.readouterr().err

"""Arrays that are made and thrown away again and again do not cost a page fault for every page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import popglm

SCRIPT = """
import resource
import numpy as np
from popglm.scale.allocation import keep_freed_memory
changed = keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for k in range(300):
    np.ones(50_000)
print(changed, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
#: Pages of all arrays: 400 kB each.
PAGES = 300 * 400_000 // 4096


def faults(threshold: str | None) -> tuple[str, int]:
    """Whether anything was changed, and page faults."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    own |= {"PYTHONPATH": str(Path(popglm.__file__).parents[1])}
    own |= {"MALLOC_TRIM_THRESHOLD_": threshold} if threshold else {}
    found = subprocess.run([sys.executable, "-c", SCRIPT], env=own, capture_output=True, text=True, check=True)
    changed, number = found.stdout.split()
    return changed, int(number)


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_what_nannies_set_is_undone_and_what_users_set_is_not():
    changed, number = faults("65536")
    if changed == "False":
        pytest.skip("another C library than glibc")
    assert number < PAGES / 20
    assert faults(None)[0] == "False"
    # a threshold of the user's own freezes the other, too
    assert faults("65537") == ("False", pytest.approx(PAGES, rel=0.2))

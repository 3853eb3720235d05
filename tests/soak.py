"""The property suite over many examples, by hand: ``python -m tests.soak --examples 10000``.

Examples are dealt to the properties in turn. Prints per property how many were tried, how many broke it, how many ended
in another error, and the first few of these as they can be made again.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "solve"), str(HERE / "properties")]

from test_certificate_properties import PROPERTIES as CERTIFICATES  # noqa: E402
from test_engine_properties import PROPERTIES as ENGINES  # noqa: E402
from test_fold_properties import PROPERTIES as FOLDS  # noqa: E402
from test_invariances import PROPERTIES as INVARIANCES  # noqa: E402

PROPERTIES = {**CERTIFICATES, **FOLDS, **INVARIANCES, **ENGINES}


def soak(name: str, n_examples: int, start: int, n_shown: int) -> tuple[int, int, int]:
    """Try one property; counts of examples, of broken ones, and of other errors."""
    check, strategies = PROPERTIES[name]
    counts = np.zeros(3, int)

    @seed(start)
    @settings(
        max_examples=n_examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.tuples(*strategies))
    def run(example: tuple) -> None:
        counts[0] += 1
        try:
            check(*example)
        except AssertionError as error:
            counts[1] += 1
            if counts[1:].sum() <= n_shown:
                print(f"  broken: {' '.join(str(error).split())[:300]}\n    {example}", flush=True)
        except Exception:
            counts[2] += 1
            if counts[1:].sum() <= n_shown:
                print(f"  error: {traceback.format_exc(limit=-2)}\n    {example}", flush=True)

    run()
    return tuple(counts)


def main(names: list[str], n_examples: int, start: int, n_shown: int) -> None:
    """All properties, one after the other."""
    warnings.simplefilter("ignore")
    each = -(-n_examples // len(names))
    for name in names:
        began = time.process_time()
        tried, broken, failed = soak(name, each, start, n_shown)
        seconds = time.process_time() - began
        print(f"{name}: {tried} examples, {broken} broken, {failed} other errors, {seconds:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000, help="over all properties")
    parser.add_argument("--properties", nargs="+", choices=list(PROPERTIES), default=list(PROPERTIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=3, help="how many broken examples of a property are printed")
    options = parser.parse_args()
    main(options.properties, options.examples, options.seed, options.show)

"""How many examples the property suite draws: few in the test suite, many by ``python -m tests.soak``."""

import os

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    # the tests of this folder skip then
    pass
else:
    settings.register_profile(
        "popglm",
        max_examples=int(os.environ.get("POPGLM_EXAMPLES", "10")),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("popglm")

"""What a fitted population says: tuning kernels, contributions of variables, where in the task, and how surely."""

from popglm.explain.bins import bins
from popglm.explain.breakdown import breakdown
from popglm.explain.compare import compare

__all__ = ["bins", "breakdown", "compare"]

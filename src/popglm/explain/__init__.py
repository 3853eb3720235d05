"""What a fitted population says: tuning kernels, contributions of variables, where in the task, and how surely."""

from popglm.explain.bins import bins
from popglm.explain.bootstrap import bootstrap
from popglm.explain.breakdown import breakdown
from popglm.explain.compare import compare
from popglm.explain.kernels import kernels
from popglm.explain.psth import psth
from popglm.explain.significance import significance
from popglm.explain.tuning import predicted_tuning, tuning

__all__ = [
    "bins",
    "bootstrap",
    "breakdown",
    "compare",
    "kernels",
    "predicted_tuning",
    "psth",
    "significance",
    "tuning",
]

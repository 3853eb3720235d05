"""popglm: generalized linear encoding models for whole neural populations."""

from importlib import import_module
from types import ModuleType

from popglm.design import (
    Design,
    bumps,
    categories,
    coupling,
    cyclic_splines,
    history,
    kernel,
    linear,
    log_bumps,
    product,
    shifts,
    splines,
    transformed,
)
from popglm.explain import (
    bins,
    bootstrap,
    breakdown,
    compare,
    kernels,
    predicted_tuning,
    psth,
    significance,
    tuning,
)
from popglm.io import load
from popglm.model.estimators import GLM, GLMCV
from popglm.simulate import maze_design, maze_session
from popglm.solve.first_order import FirstOrder
from popglm.solve.stream import RowStream
from popglm.warnings import ConvergenceWarning, PopglmWarning

__version__ = "0.1.0"

__all__ = [
    "GLM",
    "GLMCV",
    "ConvergenceWarning",
    "Design",
    "FirstOrder",
    "PopglmWarning",
    "RowStream",
    "bins",
    "bootstrap",
    "breakdown",
    "bumps",
    "categories",
    "compare",
    "coupling",
    "cyclic_splines",
    "history",
    "kernel",
    "kernels",
    "linear",
    "load",
    "log_bumps",
    "maze_design",
    "maze_session",
    "predicted_tuning",
    "product",
    "psth",
    "shifts",
    "significance",
    "splines",
    "transformed",
    "tuning",
]


def __getattr__(name: str) -> ModuleType:
    # pictures bring matplotlib, which a fit has no need of
    if name == "plot":
        return import_module("popglm.plot")
    raise AttributeError(f"module 'popglm' has no attribute {name!r}")

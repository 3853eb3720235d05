"""From a recording to the design matrix: terms, their bases and lags, and the Design transformer."""

from popglm.design.bsplines import CyclicSplines as cyclic_splines
from popglm.design.bsplines import Splines as splines
from popglm.design.cosines import Bumps as bumps
from popglm.design.cosines import LogBumps as log_bumps
from popglm.design.design import Design
from popglm.design.encoders import Categories as categories
from popglm.design.encoders import Transformed as transformed
from popglm.design.formulas import formula
from popglm.design.lags import Kernel as kernel
from popglm.design.lags import Shifts as shifts
from popglm.design.past import coupling, history
from popglm.design.terms import Linear as linear
from popglm.design.terms import Product as product

__all__ = [
    "Design",
    "bumps",
    "categories",
    "coupling",
    "cyclic_splines",
    "formula",
    "history",
    "kernel",
    "linear",
    "log_bumps",
    "product",
    "shifts",
    "splines",
    "transformed",
]

"""The warnings of popglm, so that they can be filtered by class."""

import sys
import warnings

from sklearn.exceptions import ConvergenceWarning as _SklearnConvergenceWarning

__all__ = ["ConvergenceWarning", "PopglmWarning", "warn"]


class PopglmWarning(UserWarning):
    """Something in the data or the fit that the user should know; the rest of the result stands."""


class ConvergenceWarning(PopglmWarning, _SklearnConvergenceWarning):
    """A fit stopped before it reached its tolerance."""


def warn(message: str, category: type[Warning] = PopglmWarning) -> None:
    """Warn at the line outside of the package that called into it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "popglm":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)

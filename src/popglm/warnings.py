"""The warnings of popglm, so that they can be filtered by class."""

from sklearn.exceptions import ConvergenceWarning as _SklearnConvergenceWarning

__all__ = ["ConvergenceWarning", "PopglmWarning"]


class PopglmWarning(UserWarning):
    """Something in the data or the fit that the user should know; the rest of the result stands."""


class ConvergenceWarning(PopglmWarning, _SklearnConvergenceWarning):
    """A fit stopped before it reached its tolerance."""

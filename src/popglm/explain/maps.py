"""What does the work of Python's ``map`` for re-fits: checked before the first of them."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from popglm.messages import shown
from popglm.solve.remote.rows import RemoteRows

__all__ = ["check_map"]


def check_map(who: str, mapper: Callable[..., Any], X: Any = None) -> None:
    """Refuse what does not do the work of Python's ``map``, or cannot where X lies.

    Parameters
    ----------
    who : str
        The function that is called.
    mapper : callable
        What it was given as ``map``.
    X : array-like, optional

    Raises
    ------
    TypeError
        If it is a client of Dask or its method, which gives no results, or nothing to call.
    ValueError
        If X lies on workers, and several re-fits would ask them at the same time.

    Examples
    --------
    >>> check_map("compare", map)
    >>> check_map("compare", 4)
    Traceback (most recent call last):
        ...
    TypeError: compare: map=4 must do the work of Python's map; popglm.dask_map(client) has it done by workers of Dask
    """
    owner = getattr(mapper, "__self__", mapper)
    if any((kind.__module__, kind.__name__) == ("distributed.client", "Client") for kind in type(owner).__mro__):
        raise TypeError(
            f"{who}: map is a client of Dask or its method, which gives promises in the place of results; give "
            "map=popglm.dask_map(client)"
        )
    if not callable(mapper):
        raise TypeError(
            f"{who}: map={shown(mapper)} must do the work of Python's map; popglm.dask_map(client) has it done by "
            "workers of Dask"
        )
    if isinstance(X, RemoteRows) and mapper is not builtins.map:
        raise ValueError(
            f"{who}: the rows of X lie on workers, which sum for one fit at a time, so that re-fits cannot be spread "
            "over workers as well; leave map out"
        )

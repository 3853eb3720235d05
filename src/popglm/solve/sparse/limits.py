"""What cannot be done with a sparse X."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from popglm.engines.protocol import Engine
from popglm.solve.sparse.rows import SparseRows
from popglm.statistics.concave import ConcavePenalty

__all__ = ["check_numpy", "check_sparse"]


def check_numpy(X: Any, engine: Engine) -> None:
    """Complain of a sparse X for another engine than NumPy's.

    Raises
    ------
    ValueError
    """
    if isinstance(X, SparseRows) and engine.name != "numpy":
        raise ValueError(
            "A sparse X is fitted by NumPy alone; use engine='numpy', or make X dense with X.toarray() if it is small "
            "enough."
        )


def check_sparse(X: SparseRows, settings: Any, engine: Engine, schedule: str, shares: Sequence[Any]) -> None:
    """Complain of what cannot be done.

    Parameters
    ----------
    settings : Settings
    engine, schedule, shares
        As for `popglm.solve.population.fit_population`.

    Raises
    ------
    ValueError
        For another engine than NumPy's; of a wide X, for what needs a matrix of columns × columns.
    """
    check_numpy(X, engine)
    if schedule == "device" or shares:
        raise ValueError(
            "A sparse X is fitted by NumPy alone; use engine='numpy' and schedule='auto', without devices, or make X "
            "dense with X.toarray() if it is small enough."
        )
    if not X.is_wide:
        return
    penalty, most = settings.penalty, X.WIDE
    found = f"X is sparse and has {X.shape[1]:,} columns; with more than {most:,} of them"
    if settings.lambdas is not None and (settings.lambdas == 0).any() and settings.first_order is None:
        raise ValueError(
            f"{found} a fit without a penalty has no certificate. Use a penalty with strengths above 0; a small one, "
            "such as 1e-6, hardly matters."
        )
    if penalty.bounds is not None and penalty.blocks.nested:
        raise ValueError(
            f"{found} norms of groups do not go with constraints. Use penalty='lasso' or 'ridge', or leave out the "
            "constraints, or columns."
        )
    if penalty.blocks.nested:
        raise ValueError(
            f"{found} a sparse group lasso is out of reach. Use penalty='lasso' or 'group_lasso', or leave columns out."
        )
    if isinstance(penalty, ConcavePenalty):
        raise ValueError(
            f"{found} fits under a concave penalty have no certificate. Use penalty='lasso' or 'group_lasso', or leave "
            "columns out."
        )
    if (n_free := len(penalty.free_columns)) > most:
        raise ValueError(
            f"{found} at most {most:,} may have penalty factor 0; {n_free:,} have. Give the others a factor above 0."
        )

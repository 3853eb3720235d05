"""What kind of table a transformer returns, as scikit-learn's ``set_output`` says it."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd
from sklearn import get_config

from popglm.checks import check_choice
from popglm.frames import as_polars

__all__ = ["OutputOfChoice"]

KINDS = ("default", "pandas", "polars")


class OutputOfChoice:
    """A transformer whose table is one of pandas with columns (group, feature), or one of polars with their texts."""

    #: Where scikit-learn's `clone` looks for it.
    _sklearn_output_config: dict[str, str]

    def set_output(self, *, transform: str | None = None) -> Self:
        """Say what `transform` and `fit_transform` return, as of scikit-learn's transformers.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None
            By default, and with "pandas", a DataFrame of pandas whose columns are (group, feature). With "polars" one
            of polars, whose columns are named as `get_feature_names_out` says: it knows no groups, so give a fit their
            names, ``feature_groups=[group for group, _ in design.columns_]``. None leaves it as it is.
            ``sklearn.set_config(transform_output=)`` counts where this was never called.

        Returns
        -------
        The object itself.

        Raises
        ------
        ValueError
            For another kind of table.

        Examples
        --------
        >>> from popglm.design import Design, bumps
        >>> design = Design([bumps("position", n=3, low=0, high=100)]).set_output(transform="polars")
        >>> design.fit_transform({"position": [0.0, 50.0, 100.0]}).columns  # doctest: +SKIP
        ['position_bump0', 'position_bump1', 'position_bump2']
        """
        if transform is not None:
            check_choice(type(self).__name__, "transform", transform, KINDS)
            self._sklearn_output_config = {**getattr(self, "_sklearn_output_config", {}), "transform": transform}
        return self

    def as_chosen(self, table: pd.DataFrame) -> Any:
        """A table of the kind that was asked for."""
        own = getattr(self, "_sklearn_output_config", {}).get("transform")
        kind = own or get_config()["transform_output"]
        check_choice(type(self).__name__, "transform_output", kind, KINDS)
        if kind != "polars":
            return table
        return as_polars(table.to_numpy(), [f"{group}_{feature}" for group, feature in table.columns])

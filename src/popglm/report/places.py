"""Where neurons lie: columns of the table of units or ROIs that are places."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["Place", "place_of"]

#: Pairs of columns that are a place in a plane, the first that is there is taken: across, then down.
_PLANES = (
    *(("med_x", "med_y"), ("x", "y"), ("centroid_x", "centroid_y"), ("center_x", "center_y"), ("x_center", "y_center")),
    *(("pos_x", "pos_y"), ("pixel_x", "pixel_y"), ("ml", "ap")),
)
#: Columns that are a depth.
_DEPTHS = ("depth", "depths", "cluster_depth", "cluster_depths", "depth_um", "distance_from_tip", "z")


@dataclass(frozen=True)
class Place:
    """Columns of the table of neurons that say where these lie.

    Attributes
    ----------
    across : str or None
        None where depth alone is known.
    down : str
    """

    across: str | None
    down: str


def place_of(neurons: pd.DataFrame) -> Place | None:
    """The columns that say where neurons lie, by their names; None where none does.

    Examples
    --------
    >>> place_of(pd.DataFrame({"Depth": [100.0, 250.0], "quality": ["good", "mua"]}))
    Place(across=None, down='Depth')
    """
    numbers = {
        str(name).lower(): str(name)
        for name in neurons
        if pd.api.types.is_numeric_dtype(neurons[name]) and neurons[name].nunique() > 1
    }
    for across, down in _PLANES:
        if across in numbers and down in numbers:
            return Place(numbers[across], numbers[down])
    depth = next((numbers[name] for name in _DEPTHS if name in numbers), None)
    return None if depth is None else Place(None, depth)

"""What a `TwoPartGLM` is given for both of its parts: offsets, a start, a folder that keeps the fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from popglm.checks import is_number
from popglm.io.checkpoints import CheckpointFolder
from popglm.messages import listed, shown

__all__ = ["PARTS", "check_offset_given", "folders_of_parts", "offset_of", "plus"]

PARTS = ("events", "amounts")


def offset_of(offset: Any, part: str) -> Any:
    """The offset of a part.

    Parameters
    ----------
    offset : mapping, 0 or None
        From the names of parts to their offsets. 0 asks for none on purpose, in both.
    part : {"events", "amounts"}

    Raises
    ------
    TypeError, ValueError
        If it is something else.

    Examples
    --------
    >>> offset_of({"amounts": [0.1, 0.2]}, "amounts"), offset_of({"amounts": [0.1, 0.2]}, "events")
    ([0.1, 0.2], None)
    """
    if offset is None or (is_number(offset) and offset == 0):
        return offset
    if not isinstance(offset, Mapping):
        raise TypeError(
            "offset must be a mapping such as {'amounts': array}: a part of a TwoPartGLM has a linear predictor of its "
            f"own, log odds of an event or, under exp, the log of its amount; found {shown(offset)}."
        )
    if other := [name for name in offset if name not in PARTS]:
        raise ValueError(f"offset names {shown(other[0])}, which is no part; the parts are {listed(map(repr, PARTS))}.")
    return offset.get(part)


def check_offset_given(model: Any, offset: Any, who: str, refits: bool = False) -> None:
    """Complain where a part was fitted with an offset and none is given; what ``refits`` takes no 0 in its place.

    Raises
    ------
    ValueError
    """
    for name in PARTS:
        if getattr(model, f"{name}_").fitted_with_offset_ and offset_of(offset, name) is None:
            raise ValueError(
                f"{who} needs offset=: the {name} of this TwoPartGLM were fitted with an offset, and predictions "
                f"without would be others. Give offset={{{name!r}: array}}"
                f"{' as in the fit' if refits else ', or offset=0 to do without on purpose'}."
            )


def folders_of_parts(checkpoint: Any) -> tuple[Path | None, Path | None]:
    """The folders that keep the fits of the events and of the amounts, inside that of a whole model.

    Raises
    ------
    TypeError, ValueError, OSError
        As of `popglm.io.checkpoints.CheckpointFolder`; if the folder keeps the fit of one model alone.
    """
    if checkpoint is None:
        return None, None
    is_path = isinstance(checkpoint, str | os.PathLike)
    names = set(os.listdir(checkpoint)) if is_path and os.path.isdir(checkpoint) else set()
    if not names or not names <= set(PARTS):
        # makes the folder, or says why it cannot be one
        CheckpointFolder(checkpoint)
        if names:
            raise ValueError(
                f"checkpoint={str(checkpoint)!r} holds the fit of one model, and a TwoPartGLM has two; give a folder "
                "of its own, empty or new."
            )
    events, amounts = (Path(checkpoint) / name for name in PARTS)
    return events, amounts


def plus(eta: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Linear predictors (n_samples, n_neurons) with an offset (n_samples,), or as they are for None."""
    return eta if offset is None else eta + offset[:, None]

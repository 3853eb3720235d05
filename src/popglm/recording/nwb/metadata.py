"""What a file says of the whole session: who, when, and the parameters of the task."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.recording.nwb.arrays import read_text, shape_of

__all__ = ["metadata_of"]

#: Fields of the file that are handed on as they are.
FIELDS = (
    "session_id", "identifier", "session_description", "session_start_time", "timestamps_reference_time",
    "institution", "lab", "experiment_description", "experimenter", "keywords", "protocol",
)  # fmt: skip
#: Fields of the subject.
SUBJECT = ("subject_id", "species", "sex", "age", "strain", "genotype", "date_of_birth", "description", "weight")
#: Entries of an array of metadata that is read.
LONGEST = 1_000


def metadata_of(nwb: Any) -> dict[str, Any]:
    """Fields of the file and its subject, and of each object of lab metadata, those that are there."""
    found = _fields(nwb, FIELDS)
    if nwb.subject is not None:
        found["subject"] = _fields(nwb.subject, SUBJECT)
    labs = {name: _fields(one, tuple(one.fields)) for name, one in (nwb.lab_meta_data or {}).items()}
    return found | ({"lab_meta_data": labs} if labs else {})


def _fields(one: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Those fields of an object that are set to text, a number, a date or a short list."""
    found = {}
    for name in names:
        value = getattr(one, name, None)
        if value is None or hasattr(value, "object_id"):
            continue
        if hasattr(value, "shape") or isinstance(value, list | tuple):
            if np.prod(shape_of(value)) > LONGEST:
                continue
            value = read_text(value[()] if hasattr(value, "shape") else value).tolist()
        found[name] = value
    return found

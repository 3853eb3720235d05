"""The first recipe of a recording: read as it is, or with guesses of what is what, or left open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popglm.analysis.guessing import bare_recipe, guess_recipe
from popglm.analysis.naming import OPEN, guess_names
from popglm.recording import Session
from popglm.recording.reading import format_of, read

__all__ = ["first_recipe"]

#: Formats whose readers must be told what is what.
NAMED = ("arrays", "matlab", "table")
#: A rate (Hz) by which a file is looked at where nobody knows its own.
SOME_RATE = 30.0


def first_recipe(
    recording: str, format: str | None, path: str, given: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """The text of a first recipe, and what the recording holds.

    Parameters
    ----------
    recording : str
        A file or folder, or the URL of one.
    format : str, optional
        Told by it unless given.
    path : str
        As the recipe shall name it.
    given : mapping, optional
        Options of the reader; guessed for files of named arrays unless given.

    Raises
    ------
    ValueError, FileNotFoundError
        If the recording cannot be read, or holds no activity.
    """
    kind = format or format_of(recording)
    options, remarks = dict(given or {}), []
    if given:
        session = read(recording, kind, **given)
    elif kind in NAMED:
        found = guess_names(recording, kind)
        options, remarks = found.options, [f"there is {one}" for one in found.there_is]
        events = list(read(recording, kind, **options).events) if "activity" not in options else []
        if events or options["activity"] == OPEN:
            return bare_recipe(path, kind, options, remarks, events), "\n".join(remarks)
        session = read(recording, kind, **(options | ({"rate": SOME_RATE} if "rate" in options else {})))
    elif kind == "kilosort":
        session, options, remarks = _sorted(recording)
    else:
        session = read(recording, kind)
    if not session.activity:
        raise ValueError(f"{recording} holds no activity of neurons; add it from another file in a recipe of yours")
    return guess_recipe(session, path, kind, options, remarks), repr(session)


def _sorted(recording: str) -> tuple[Session, dict[str, Any], list[str]]:
    """A folder of Kilosort; where it does not say its rate, that is left open."""
    try:
        return read(recording, "kilosort"), {}, []
    except ValueError as error:
        if "give rate=" not in str(error):
            raise
        remark = f"{str(error).removeprefix('read_kilosort: ').partition(';')[0]}: the samples per second of the probe"
        return read(recording, "kilosort", rate=SOME_RATE), {"rate": OPEN}, [remark]

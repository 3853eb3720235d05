"""The folder that many sessions are written to: names of files, what a store was made of, and the table of all neurons.

A store is the result of one session. Beside the stores lie ``neurons.parquet``, and while sessions are fitted
``.checkpoints`` and ``.blocks``, with a folder for each session that has not ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from glob import glob
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import xarray as xr

from popglm.analysis.recipe import NAME, Recipe
from popglm.io.files import remove_abandoned, write_whole
from popglm.messages import listed, shown
from popglm.recording import Session

__all__ = [
    "Place",
    "check_further_files",
    "check_name",
    "clear_rests",
    "ingredients",
    "key_of",
    "made_of",
    "matched",
    "named_sessions",
    "output_folder",
    "recipe_of_session",
    "write_table",
]

#: Sessions of one call, at most; a name in UTF-8, at most, which temporary names still lengthen.
MOST_SESSIONS, LONGEST_NAME = 100_000, 150
#: Characters that are no letters, but stand in the names of files everywhere.
OTHER_CHARACTERS = "._- +@=,~#&%()[]{}"
#: The table of all neurons, so that no session may be called like it.
TABLE = "neurons"
#: What parts the folders of a path: a backslash is a letter like others where it does not.
SLASHES = r"[/\\]+" if os.sep == "\\" else "/+"
#: Sessions with a fault of their name that are told.
MOST_TOLD = 5
#: What patterns of names call the folders around a recording.
_FOLDERS = ("{parent}", "{grandparent}")
#: Endings of a recording's name that say of what format it is.
_ENDINGS = re.compile(r"(\.nwb)?(\.(nwb|zarr|mat|npz|npy|csv|tsv|gz|parquet|pqt|hdf5|h5))+$", re.IGNORECASE)


def check_name(name: Any) -> str:
    """The name of a session, if a file can be called so, in this folder and no other.

    Raises
    ------
    TypeError, ValueError
        If not.

    Examples
    --------
    >>> check_name("mouse 1, day 3")
    'mouse 1, day 3'
    >>> check_name("../day 3")
    Traceback (most recent call last):
        ...
    ValueError: the session '../day 3' cannot be called so: a name that begins with '.' would be hidden; give \
it another name
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a session must be text; found {shown(name)}")
    fault = _fault_of_name(name)
    if fault:
        raise ValueError(f"the session {shown(name)} cannot be called so: {fault}; give it another name")
    return name


def _fault_of_name(name: str) -> str:
    """Why no session can be called so; nothing where one can."""
    strange = sorted({one for one in name if not (one.isalnum() or one in OTHER_CHARACTERS)})
    if not name.strip():
        return "it is empty"
    if name.startswith("."):
        return "a name that begins with '.' would be hidden"
    if strange:
        return f"no file may hold {listed(map(repr, strange))}"
    if len(name.encode()) > LONGEST_NAME:
        return f"it has more than {LONGEST_NAME} bytes"
    if name.casefold() == TABLE:
        return "that is the table of all neurons"
    if name != name.strip() or name.endswith("."):
        return "it ends in a space or a point"
    return ""


def matched(patterns: Iterable[str]) -> list[str]:
    """Paths of files and folders that patterns match, in order, each once, whatever it is called; URLs as they are.

    Raises
    ------
    ValueError
        If a pattern matches nothing.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        is_path = "://" in pattern or Path(pattern).exists()
        paths = [pattern] if is_path else sorted(glob(pattern, recursive=True))
        if not paths:
            raise ValueError(f"no file or folder matches {shown(pattern)}")
        for path in paths:
            whole = _resolved(path)
            # a file gives its name, whatever links to it
            if os.path.abspath(found.setdefault(whole, path)) != whole == os.path.abspath(path):
                found[whole] = path
    return list(found.values())


def named_sessions(sessions: Any, pattern: str = NAME) -> dict[str, str | Session]:
    """Sessions by name: those of a mapping, or paths by the name of their file or folder, told from the root on.

    Parameters
    ----------
    sessions : list or mapping
    pattern : str
        How those of a list are called: ``{name}`` is the name of the file or folder without its ending, ``{parent}``
        that of the folder around it, ``{grandparent}`` that of the folder around that.

    Raises
    ------
    TypeError, ValueError
        If something is no session or path, there is none or more than there may be, a name is no name of a file, two
        are called alike, or two of a list are one file.

    Examples
    --------
    >>> named_sessions(["/data/m1.nwb", "/data/m2"])
    {'m1': '/data/m1.nwb', 'm2': '/data/m2'}
    >>> named_sessions(["/data/m1/day1/suite2p"], "{grandparent}_{parent}")
    {'m1_day1': '/data/m1/day1/suite2p'}
    """
    if isinstance(sessions, str | os.PathLike | Session) or not isinstance(sessions, Iterable):
        raise TypeError(f"sessions must be a list of paths, or a mapping of names to paths; found {shown(sessions)}")
    given = list(sessions.items() if isinstance(sessions, Mapping) else ((None, one) for one in sessions))
    if not given:
        raise ValueError("sessions holds no session; does the pattern match any file?")
    if len(given) > MOST_SESSIONS:
        raise ValueError(f"sessions has {len(given):,} sessions, but {MOST_SESSIONS:,} are the most; give fewer a call")
    if not isinstance(sessions, Mapping):
        _check_names_of_paths(given, pattern)
    found: dict[str, str | Session] = {}
    seen: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for name, one in given:
        if not isinstance(one, str | os.PathLike | Session):
            raise TypeError(f"sessions must be paths or Session objects; found {shown(one)}")
        own = check_name(_name_of(one, pattern) if name is None else name)
        if name is None and not isinstance(one, Session):
            path = _resolved(os.fspath(one))
            if path in files:
                raise ValueError(f"{shown(files[path])} and {shown(one)} are one file, given twice; leave one out")
            files[path] = one
        # some file systems tell no case apart
        if own.casefold() in seen:
            raise ValueError(
                f"two sessions are called {own!r}: {shown(seen[own.casefold()])} and {shown(one)}; give a mapping of "
                "names to paths, or the command --name '{parent}_{name}'"
            )
        seen[own.casefold()] = one
        if not isinstance(one, Session) and "\0" in str(one):
            raise ValueError(f"the path of session {own!r} holds a null character, which no file name can have")
        found[own] = one if isinstance(one, Session) else _whole_path(os.fspath(one))
    return found


def _check_names_of_paths(given: list[tuple[Any, Any]], pattern: str) -> None:
    """Complain of all paths at once that can give no name."""
    names = {_name_of(one, pattern): one for _, one in given if isinstance(one, str | os.PathLike)}
    faults = {name: fault for name in names if (fault := _fault_of_name(name))}
    if not faults:
        return
    told = "; ".join(f"{shown(name)}: {fault}" for name, fault in list(faults.items())[:MOST_TOLD])
    more = f"; and {len(faults) - MOST_TOLD:,} more" if len(faults) > MOST_TOLD else ""
    raise ValueError(
        f"{len(faults):,} of {len(given):,} sessions cannot be called as their files are: {told}{more}. Rename the "
        "files, give the command --name '{parent}', or in Python a mapping of names to paths"
    )


def distinct_names(sessions: Any) -> dict[str, str | Session]:
    """`named_sessions`, with folders before the names of a list where two would be called alike."""
    for pattern in (NAME, "{parent}_{name}"):
        try:
            return named_sessions(sessions, pattern)
        except ValueError as error:
            if isinstance(sessions, Mapping) or "are called" not in str(error):
                raise
    return named_sessions(sessions, "{grandparent}_{parent}_{name}")


def _whole_path(path: str) -> str:
    """A path as other processes find it; a URL as it is."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _resolved(path: str) -> str:
    """One text for all spellings of a path, and for links to it."""
    return path if "://" in path or "\0" in path else os.path.realpath(os.path.expanduser(path))


def _name_of(one: Any, pattern: str) -> str:
    """What a session is called that comes without a name."""
    if isinstance(one, Session):
        if "session_id" not in one.attrs:
            raise TypeError('a Session without attrs["session_id"] has no name; give a mapping of names to sessions')
        return str(one.attrs["session_id"])
    path = str(os.fspath(one))
    *folders, last = re.split(SLASHES, _whole_path(path).partition("?")[0].rstrip("/" + os.sep))
    known = {NAME: _ENDINGS.sub("", last) or last}
    known |= {place: folders[-k] if len(folders) >= k else "" for k, place in enumerate(_FOLDERS, 1)}
    strange = sorted({*re.findall(r"\{\w*\}", pattern)} - {*known})
    if strange:
        raise ValueError(f"the pattern {pattern!r} of names holds {strange[0]}; known are {listed(known)}")
    return re.sub(r"\{\w*\}", lambda found: known[found.group()], pattern)


def recipe_of_session(recipe: Recipe, name: str, one: str | Session) -> Recipe:
    """The recipe for one session; paths below the recipe's folder are told from there, as they then may move together.

    Raises
    ------
    ValueError
        If the recipe cannot be written for another path.
    """
    if isinstance(one, Session):
        return recipe.with_recording(recipe.content.data.path, name)
    if "://" in one:
        return recipe.with_recording(one, name)
    path, folder = Path(one).resolve(), recipe.path.parent
    return recipe.with_recording(
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path), name
    )


def check_further_files(recipe: Recipe, n_sessions: int) -> None:
    """Refuse a recipe that would join one and the same further file to every session."""
    files = [one for one in recipe.further_files().splitlines() if NAME not in one]
    if files and n_sessions > 1:
        raise ValueError(
            f"{recipe.place(('data', 'also'))}: {shown(files[0])} would be joined to all {n_sessions:,} sessions; "
            f"write {NAME} where the name of the session stands, such as 'behaviour/{NAME}.csv'"
        )


def output_folder(output: Any) -> Path:
    """The folder for all stores, made where there is none.

    Raises
    ------
    TypeError, ValueError
        If it is no path, a file, or its own folder does not exist.
    OSError
        If it cannot be made.
    """
    if not isinstance(output, str | os.PathLike) or not str(output) or "\0" in str(output):
        raise TypeError(f"output must be the name of a folder; found {shown(output)}")
    path = Path(output).absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"output={str(output)!r} is a file; give the name of a folder")
    if not path.parent.is_dir():
        raise ValueError(f"output={str(output)!r}: the folder {str(path.parent)!r} does not exist; make it first")
    path.mkdir(exist_ok=True)
    return path


class Place:
    """Where the files of one session lie.

    Parameters
    ----------
    output : Path
    name : str
        From `check_name`.
    """

    def __init__(self, output: Path, name: str) -> None:
        self.store = output / f"{name}.nc"
        self.checkpoints = output / ".checkpoints" / name
        self.blocks = output / ".blocks" / name

    def block(self, key: str, bounds: tuple[int, int]) -> Path:
        """The store of some neurons, until all are merged."""
        return self.blocks / f"{key}-{bounds[0]:08d}-{bounds[1]:08d}.nc"

    def plan(self, key: str) -> Path:
        """The blocks that the session is fitted in."""
        return self.blocks / f"{key}.json"


def clear_rests(output: Path, names: Iterable[str]) -> None:
    """Remove what is left of sessions that are finished, and of calls that were ended while they wrote."""
    for place in (Place(output, name) for name in names):
        for rest in (place.blocks, place.checkpoints):
            shutil.rmtree(rest, ignore_errors=True)
    for folder in (output / ".blocks", output / ".checkpoints"):
        # others are not finished
        with contextlib.suppress(OSError):
            folder.rmdir()
    remove_abandoned(output)


def made_of(path: Path) -> dict[str, Any] | None:
    """What a store was made of, as `fit_sessions` noted it; None where there is no store, {} where it does not say.

    Of a file that cannot be read it has the error, under "damage".
    """
    if not path.exists():
        return None
    try:
        with h5py.File(path) as file:
            return dict(json.loads(file.attrs["about"])["session"])
    except OSError as error:
        return {"damage": str(error)}
    except (KeyError, ValueError, TypeError):
        return {}


def ingredients(recipe: Recipe, session: Session | None) -> dict[str, Any]:
    """What a store is made of: a hash of the recipe, and path, size and time of change of every file of the recording.

    A `Session` in memory has no files; its matrices are hashed where they are made.
    """
    content = recipe.content.model_dump(mode="json")
    if content["fit"]["response"] is None:
        # stores of revisions without classifiers stay those of their recipe
        del content["fit"]["response"]
    own, files = content["data"], recipe.further_files().splitlines()
    path = own.pop("path")
    own["also"] = [{**one, "path": ""} if isinstance(one, dict) else "" for one in own["also"]]
    return {
        "recipe": blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest(),
        "files": [_stat(recipe, one) for one in ([path] if session is None else []) + files],
    }


def key_of(about: Any) -> str:
    """A short name for what a store, or a state of a fit, is made of."""
    return blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=6).hexdigest()


def _stat(recipe: Recipe, path: str) -> list[Any]:
    """A file's path, size and time of change (ns); of a folder the sum of sizes, the latest change and the number."""
    if "://" in path:
        return [path]
    whole = (recipe.path.parent / path).resolve()
    if not whole.is_dir():
        found = whole.stat() if whole.exists() else None
        return [path, found.st_size, found.st_mtime_ns] if found else [path]
    stats = [one.stat() for one in sorted(whole.rglob("*")) if one.is_file()]
    return [path, sum(one.st_size for one in stats), max((one.st_mtime_ns for one in stats), default=0), len(stats)]


def write_table(output: Path, names: Iterable[str]) -> Path | None:
    """A row per neuron of every store that is there, with the session in the first column; None where there is none.

    Parquet, or CSV without pyarrow. Columns that a session lacks are missing there.
    """
    tables = []
    for name in names:
        path = output / f"{name}.nc"
        if made_of(path):
            with xr.open_dataset(path, group="neurons", engine="h5netcdf") as part:
                own = part.to_dataframe().reset_index()
            # column names of a recording stay; the session's is first
            own.insert(0, "session" if "session" not in own else "session_name", name)
            tables.append(own)
    if not tables:
        return None
    table = pd.concat(tables, ignore_index=True)
    mixed = {name: table[name].map(str, na_action="ignore") for name in table if table[name].dtype == object}
    table = table.assign(**mixed)
    if find_spec("pyarrow") is None:
        target = output / f"{TABLE}.csv"
        write_whole(target, lambda beside: table.to_csv(beside, index=False), 100 * table.size)
    else:
        target = output / f"{TABLE}.parquet"
        write_whole(target, lambda beside: table.to_parquet(beside, index=False), 100 * table.size)
    return target

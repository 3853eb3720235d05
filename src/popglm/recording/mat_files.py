"""Variables in files of MATLAB, of any version, as arrays, lists and mappings.

Files before version 7.3 are read by scipy; those of 7.3 are HDF5, and read by h5py, so that large matrices stay in
them. Numbers keep the class that they have in MATLAB: doubles are doubles and logicals are bool, however few bytes the
file gives them.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatlabFunction, MatlabOpaque, MatReadError
from scipy.sparse import csc_array, issparse

from popglm.recording.files import Hdf5File, Turned, open_hdf5

__all__ = ["MatFile", "StructArray"]

#: Matrices of more entries stay in files of version 7.3 until they are asked for.
SMALL = 100_000
#: What scipy, h5py and NumPy raise where bytes are missing or wrong.
DAMAGE = (ValueError, TypeError, LookupError, OSError, RuntimeError, OverflowError, MemoryError, zlib.error)
#: What to do in MATLAB with objects that only MATLAB reads.
REMEDY = {
    "table": "table2struct(x, 'ToScalar', true)",
    "timetable": "table2struct(timetable2table(x), 'ToScalar', true)",
    "string": "cellstr(x)",
    "categorical": "cellstr(x)",
    "datetime": "posixtime(x)",
    "duration": "seconds(x)",
    "containers.Map": "cell2struct(values(x)', keys(x)')",
}


class StructArray(dict):
    """Fields of a struct array: each a list, with a value per element."""


class _Opaque:
    """An object that only MATLAB reads."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class MatFile:
    """Variables of a file by name; fields of structs as ``trials.start``, elements as ``session(2).F``.

    Parameters
    ----------
    path : Path
    reader : str
        Who reads, for messages.

    Raises
    ------
    ValueError
        If the file is damaged or not of MATLAB.
    """

    def __init__(self, path: Path, reader: str) -> None:
        self.path, self.reader = path, reader
        self.is_hdf5 = h5py.is_hdf5(path)
        self.variables: dict[str, Any] = {}
        self.classes = self._classes()

    def _classes(self) -> dict[str, str]:
        """The class of every variable."""
        if self.is_hdf5:
            with open_hdf5(self.path, self.reader) as file:
                try:
                    classes = {name: _class_of(file[name]) for name in file if not name.startswith("#")}
                except DAMAGE as error:
                    raise ValueError(
                        f"{self.reader}: {self.path.name} is cut short or damaged; copy it again"
                    ) from error
            if not any(classes.values()):
                raise ValueError(
                    f"{self.reader}: {self.path.name} is an HDF5 file, but not of MATLAB: its arrays may lie either "
                    "way; read it with h5py, and give the arrays to read_arrays"
                )
            return classes
        try:
            classes = {name: kind for name, _, kind in whosmat(self.path)}
            if not _is_whole(self.path):
                # scipy leaves out the variables that are missing
                raise ValueError("cut short")
            return classes
        except (*DAMAGE, MatReadError, NotImplementedError) as error:
            raise ValueError(f"{self.reader}: {self.path.name} {self._fault()}") from error

    def _fault(self) -> str:
        """What keeps the file from being read."""
        if self.path.stat().st_size == 0:
            return "is empty; copy it again"
        with self.path.open("rb") as file:
            is_matlab = file.read(6) == b"MATLAB"
        return "is cut short or damaged; copy it again" if is_matlab else "is not a file of MATLAB"

    def names(self) -> list[str]:
        """All variables, and the fields of structs."""
        return [name for top in self.classes for name in _names_in(top, self._variable(top))]

    def get(self, name: str) -> Any:
        """What has a name: an array, a text, a list (of a cell array) or a mapping (of a struct).

        Raises
        ------
        KeyError
            If nothing has it.
        ValueError
            If it is an object that only MATLAB reads.
        """
        steps = re.findall(r"([^.(){}]+)|[({](\d+)[)}]", name)
        if not steps or steps[0][0] not in self.classes:
            raise KeyError(name)
        value = self._variable(steps[0][0])
        for field, number in steps[1:]:
            value = _element(value, int(number), name) if number else _field(value, field)
        if isinstance(value, _Opaque):
            remedy = REMEDY.get(value.kind, "struct(x), or its parts")
            raise ValueError(
                f"{self.reader}: {name!r} is of MATLAB's class {value.kind!r}, which no other program reads; save "
                f"{remedy} in its place"
            )
        return value

    def _variable(self, top: str) -> Any:
        """A variable, read once."""
        if top not in self.variables:
            if self.is_hdf5:
                with open_hdf5(self.path, self.reader) as file:
                    try:
                        self.variables[top] = self._of_hdf5(file, file[top])
                    except DAMAGE as error:
                        raise ValueError(self._damaged(top)) from error
            else:
                self.variables[top] = _plain(self._of_scipy(top))
        return self.variables[top]

    def _damaged(self, top: str) -> str:
        """What is said of a variable that cannot be read."""
        return f"{self.reader}: {top!r} in {self.path.name} is damaged; copy the file again"

    def _of_scipy(self, top: str) -> Any:
        """A variable of a version before 7.3."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                return loadmat(self.path, variable_names=[top], mat_dtype=True)[top]
        except np.exceptions.ComplexWarning:
            # with their MATLAB class, scipy drops imaginary parts
            return loadmat(self.path, variable_names=[top])[top]
        except KeyError:
            return _Opaque("unknown")
        except (*DAMAGE, MatReadError) as error:
            raise ValueError(self._damaged(top)) from error

    def _of_hdf5(self, file: h5py.File, found: h5py.Group | h5py.Dataset) -> Any:
        """A variable of version 7.3. Its axes lie the other way round than in MATLAB."""
        if not isinstance(found, h5py.Group | h5py.Dataset):
            raise TypeError(f"{found.name} is neither an array nor a group of arrays")
        kind = _class_of(found)
        if "MATLAB_sparse" in found.attrs:
            parts = [np.asarray(found[part]) if part in found else np.zeros(0) for part in ("data", "ir", "jc")]
            matrix = csc_array(tuple(parts), shape=(int(found.attrs["MATLAB_sparse"]), len(parts[2]) - 1)).toarray()
            return matrix.astype(bool) if kind == "logical" else matrix
        if "MATLAB_object_decode" in found.attrs or kind not in _CLASSES:
            return _Opaque(kind)
        if isinstance(found, h5py.Group):
            # fields of struct arrays are references to the elements, and have no class of their own
            is_array = [_is_reference(item) and "MATLAB_class" not in item.attrs for item in found.values()]
            fields = {name: self._of_hdf5(file, item) for name, item in found.items()}
            return StructArray(fields) if is_array and all(is_array) else fields
        if "MATLAB_empty" in found.attrs:
            dims = tuple(int(n) for n in np.asarray(found[()]).reshape(-1))
            empty: dict[str, Any] = {"cell": [], "char": "", "struct": StructArray()}
            return empty.get(kind, np.zeros(dims if 0 in dims else (0, 0)))
        if _is_reference(found):
            return [self._of_hdf5(file, file[reference]) for reference in np.asarray(found[()]).reshape(-1)]
        if kind == "char":
            rows = np.atleast_2d(np.asarray(found[()]).T).astype("<u2")
            texts = [row.tobytes().decode("utf-16-le", errors="replace") for row in rows]
            return texts[0] if len(texts) == 1 else [text.rstrip() for text in texts]
        if found.dtype.names == ("real", "imag"):
            return (found["real"] + 1j * found["imag"]).T
        dtype = np.dtype(bool) if kind == "logical" else found.dtype
        if found.size <= SMALL:
            return np.asarray(found[()]).astype(dtype, copy=False).T
        return Turned(Hdf5File(self.path, found.name, self.reader, dtype))


def _class_of(found: Any) -> str:
    """The class that MATLAB gave what lies in a file of version 7.3."""
    kind = found.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _is_whole(path: Path) -> bool:
    """Whether a file of version 5 ends with its last variable; true of version 4, which has no header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(128)
        if not header.startswith(b"MATLAB"):
            return True
        order, at = ("<" if header[126:128] == b"IM" else ">"), 128
        while at < size:
            file.seek(at)
            tag = file.read(8)
            at += 8 + (struct.unpack(f"{order}I", tag[4:])[0] if len(tag) == 8 else size)
    return at == size


_CLASSES = ("", "double", "single", "logical", "char", "cell", "struct",
            *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))  # fmt: skip


def _is_reference(item: Any) -> bool:
    """Whether a dataset holds references to others."""
    return isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is not None


def _plain(value: Any) -> Any:
    """What scipy read, as arrays, texts, lists and mappings."""
    if isinstance(value, MatlabOpaque):
        kinds = (
            [field for field in value.reshape(-1)[0].tolist() if isinstance(field, bytes | str)] if value.size else []
        )
        return _Opaque(_text(kinds[-1]) if kinds else "unknown")
    if isinstance(value, MatlabFunction):
        return _Opaque("function_handle")
    if issparse(value):
        return value.toarray()
    if not isinstance(value, np.ndarray):
        return value
    elements = value.ravel(order="F")
    if value.dtype.names is not None:
        if value.size == 1:
            return {name: _plain(elements[0][name]) for name in value.dtype.names}
        return StructArray({name: [_plain(element[name]) for element in elements] for name in value.dtype.names})
    if value.dtype.kind == "O":
        return [_plain(element) for element in elements]
    if value.dtype.kind == "U":
        texts = [str(text).rstrip() if value.size > 1 else str(text) for text in elements]
        return texts if len(texts) > 1 else "".join(texts)
    return value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _field(value: Any, field: str) -> Any:
    """A field of a struct."""
    if isinstance(value, dict):
        return value[field]
    raise KeyError(field)


def _element(value: Any, number: int, name: str) -> Any:
    """An element of a struct array, or of a cell array, counted from 1 as in MATLAB."""
    if isinstance(value, StructArray):
        if all(1 <= number <= len(each) for each in value.values()):
            return {field: each[number - 1] for field, each in value.items()}
    elif isinstance(value, list) and 1 <= number <= len(value):
        return value[number - 1]
    elif isinstance(value, dict) and number == 1:
        return value
    raise KeyError(name)


def _names_in(name: str, value: Any) -> Iterator[str]:
    """A name, and those of the fields below it."""
    yield name
    if isinstance(value, dict):
        for field, inner in value.items():
            yield from _names_in(f"{name}.{field}", inner)

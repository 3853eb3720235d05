"""Writes variables into HDF5 as MATLAB 7.3 does: axes the other way round, cells and struct arrays by reference."""

import h5py
import numpy as np
from scipy.sparse import csc_array, issparse

CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}


class Struct(list):
    """A struct array: mappings of the same fields."""


class Object:
    """An object of a class that only MATLAB reads."""

    def __init__(self, kind):
        self.kind = kind


def write_mat73(path, variables):
    """Write a file, with the header that MATLAB puts into the user block."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _write(file, file, name, value)
    with path.open("r+b") as file:
        header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan 01 00:00:00 2026 HDF5 schema 1.00 ."
        file.write(header.ljust(124) + b"\x00\x02IM")
    return path


def _reference(file, value):
    references = file.require_group("#refs#")
    name = f"r{len(references)}"
    _write(file, references, name, value)
    return references[name].ref


def _references(file, group, name, values, shape):
    held = np.empty(len(values), dtype=object)
    for k, value in enumerate(values):
        held[k] = _reference(file, value)
    return group.create_dataset(name, data=held.reshape(shape[::-1]), dtype=h5py.ref_dtype)


def _marked(item, kind, **attrs):
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    for name, value in attrs.items():
        item.attrs[f"MATLAB_{name}"] = value
    return item


def _write(file, group, name, value):
    if isinstance(value, Struct) and len(value) != 1:
        if not value:
            return _marked(group.create_dataset(name, data=np.array([0, 0], "uint64")), "struct", empty=np.uint8(1))
        made = _marked(group.create_group(name), "struct")
        for field in value[0]:
            _references(file, made, field, [one[field] for one in value], (1, len(value)))
        return made
    if isinstance(value, dict | Struct):
        made = _marked(group.create_group(name), "struct")
        for field, inner in (value[0] if isinstance(value, Struct) else value).items():
            _write(file, made, field, inner)
        return made
    if isinstance(value, Object):
        return _marked(
            group.create_dataset(name, data=np.zeros((1, 6), "uint32")), value.kind, object_decode=np.int32(3)
        )
    if isinstance(value, list):
        if not value:
            return _marked(group.create_dataset(name, data=np.array([0, 0], "uint64")), "cell", empty=np.uint8(1))
        return _marked(_references(file, group, name, value, (1, len(value))), "cell")
    if issparse(value):
        matrix = csc_array(value)
        made = _marked(group.create_group(name), CLASSES[str(matrix.dtype)], sparse=np.uint64(matrix.shape[0]))
        for part, data in (("data", matrix.data), ("ir", matrix.indices), ("jc", matrix.indptr)):
            made[part] = data.astype("uint8") if data.dtype == bool else data
        return made
    if isinstance(value, str):
        codes = np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None]
        if not len(codes):
            return _marked(group.create_dataset(name, data=np.array([0, 0], "uint64")), "char", empty=np.uint8(1))
        return _marked(group.create_dataset(name, data=codes), "char", int_decode=np.int32(2))
    array = np.atleast_2d(np.asarray(value))
    kind = CLASSES.get(str(array.dtype), str(array.dtype))
    if not array.size:
        return _marked(group.create_dataset(name, data=np.array(array.shape, "uint64")), kind, empty=np.uint8(1))
    stored = array.astype("uint8") if array.dtype == bool else array
    return _marked(group.create_dataset(name, data=stored.T), kind)

"""Rows of HDF5 datasets that are read past HDF5 are those that h5py reads."""

import h5py
import numpy as np
import pytest

from popglm.recording.hdf5_rows import Hdf5Rows

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(103, 6))


def in_one_piece(file):
    return file.create_dataset("x", data=VALUES)


def in_chunks(file):
    return file.create_dataset("x", data=VALUES.astype(np.float32), chunks=(10, 6))


def in_chunks_out_of_order(file):
    dataset = file.create_dataset("x", VALUES.shape, chunks=(10, 6))
    for first in (50, 0, 100, 90, 10, 20, 40, 30, 80, 70, 60):
        dataset[first : first + 10] = VALUES[first : first + 10]
    return dataset


def other_byte_order(file):
    return file.create_dataset("x", data=VALUES.astype(">f4"))


def one_column(file):
    return file.create_dataset("x", data=np.arange(103, dtype=np.int16), chunks=(7,))


def after_other_data(file):
    file["other"] = np.arange(1_000)
    return file.create_dataset("x", data=VALUES.astype(np.uint8))


def in_narrow_chunks(file):
    return file.create_dataset("x", data=VALUES, chunks=(10, 2))


def compressed(file):
    return file.create_dataset("x", data=VALUES, chunks=(10, 6), compression="gzip")


def partly_written(file):
    dataset = file.create_dataset("x", (103, 6), chunks=(10, 6), fillvalue=7.0)
    dataset[:20] = VALUES[:20]
    return dataset


def never_written(file):
    return file.create_dataset("x", (103, 6), fillvalue=7.0)


def truth_values(file):
    return file.create_dataset("x", data=VALUES > 0)


def numbers_of_12_bits(file):
    kind = h5py.h5t.STD_I16LE.copy()
    kind.set_precision(12)
    space = h5py.h5s.create_simple((103, 6))
    dataset = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, space))
    dataset[...] = np.arange(618).reshape(103, 6)
    return dataset


def outside(file):
    place = [(file.filename + ".raw", 0, h5py.h5f.UNLIMITED)]
    dataset = file.create_dataset("x", VALUES.shape, "f8", external=place)
    dataset[...] = VALUES
    return dataset


STRAIGHT = [in_one_piece, in_chunks, in_chunks_out_of_order, other_byte_order, one_column, after_other_data]
BY_H5PY = [
    in_narrow_chunks, compressed, partly_written, never_written, truth_values, numbers_of_12_bits, outside,
]  # fmt: skip
PARTS = (np.s_[:], np.s_[3:58], np.s_[9:11], np.s_[-4:], np.s_[100:200], np.s_[5:5], np.s_[5], np.s_[-1], np.s_[3:40:4])


@pytest.mark.parametrize("make", [*STRAIGHT, *BY_H5PY])
def test_all_parts_are_those_that_h5py_reads(tmp_path, make):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        make(file)
    with h5py.File(tmp_path / "file.h5") as file:
        dataset = file["x"]
        rows = Hdf5Rows(dataset)
        assert (rows._stretches is not None) == (make in STRAIGHT)
        parts = [*PARTS, (slice(3, 58), slice(1, 3)), (slice(3, 58), 2), (slice(3, 58), slice(None))]
        for part in parts if dataset.ndim == 2 else PARTS:
            found, expected = rows[part], dataset[part]
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    # the file is closed, which every revision of h5py says in other words
    with pytest.raises((OSError, ValueError), match=r"not of specified type|not a dataset|dataset identifier"):
        rows[:3]


def test_a_file_that_may_change_and_one_with_a_block_before_it_are_left_to_h5py(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w", userblock_size=512) as file:
        assert Hdf5Rows(in_one_piece(file))._stretches is None
    with h5py.File(tmp_path / "file.h5") as file:
        assert Hdf5Rows(file["x"])._stretches is None
        np.testing.assert_array_equal(Hdf5Rows(file["x"])[2:5], VALUES[2:5])
    with (tmp_path / "file.h5").open("rb") as opened, h5py.File(opened) as file:
        assert Hdf5Rows(file["x"])._stretches is None


def test_a_file_that_lost_its_end_is_told(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        in_one_piece(file)
    with h5py.File(path) as file:
        rows = Hdf5Rows(file["x"])
        with path.open("r+b") as opened:
            opened.truncate(file["x"].id.get_offset() + 100)
        with pytest.raises(OSError, match="ends at byte"):
            rows[:]

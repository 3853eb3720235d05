"""Arrays that stay where they are until a part of them is read."""

import numpy as np
import pytest

from popglm.recording import Session, lazy, traces
from popglm.recording.lazy import StoredArray, lazily

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("transpose", [False, True])
def test_conversions_of_parts_are_those_of_the_whole(monkeypatch, kind, transpose):
    # a few rows at a time
    monkeypatch.setattr(lazy, "BLOCK", 10)
    array = RNG.integers(-50, 50, (23, 4)).astype(kind)
    factor, shift = np.array([1.0, 0.5, 2.0, -1.0]), 3.0
    expected = array * factor + shift
    stored = StoredArray(array.T if transpose else array, factor, shift, transpose)
    found = lazily(("sample", "column"), stored)
    assert found.dtype == np.result_type(kind, np.float32)
    for part in (np.s_[:], np.s_[3:20:2], np.s_[:, 2], np.s_[5], np.s_[5, 1], np.s_[::-1, [3, 0]], np.s_[[7, 2], 1:3]):
        np.testing.assert_allclose(found[part].values, expected[part], rtol=1e-6)


def test_the_array_itself_never_changes():
    array = RNG.random((5, 2))
    before = array.copy()
    found = lazily(("sample", "column"), StoredArray(array, 2.0, 1.0))
    np.testing.assert_array_equal(found.values, before * 2 + 1)
    np.testing.assert_array_equal(array, before)


class Chunked:
    """An array in chunks that notes which of them are read."""

    shape, dtype, chunks = (1_000, 8), np.dtype(float), (100, 2)

    def __init__(self):
        self.values, self.read = RNG.random(self.shape), []

    def __getitem__(self, key):
        rows, columns = (one.indices(n) for one, n in zip(key, self.shape, strict=True))
        across = range(columns[0] // 2, -(-columns[1] // 2))
        self.read += [(j, k) for j in range(rows[0] // 100, -(-rows[1] // 100)) for k in across]
        return self.values[key]


@pytest.mark.parametrize("dt", [None, 0.5])
def test_every_chunk_of_a_file_is_read_once(monkeypatch, dt):
    monkeypatch.setattr("popglm.recording.activity.BLOCK", 1_000)
    array = Chunked()
    session = Session(activity={"dff": traces(lazily(("sample", "column"), StoredArray(array)), rate=10)})
    found = session.regrid(dt)["activity"].values
    expected = array.values if dt is None else array.values.reshape(200, 5, 8).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert sorted(array.read) == [(j, k) for j in range(10) for k in range(4)]

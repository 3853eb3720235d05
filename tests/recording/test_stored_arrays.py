"""Arrays that stay where they are until a part of them is read."""

import numpy as np
import pytest

from popglm.recording import lazy
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

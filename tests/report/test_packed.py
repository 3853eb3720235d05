"""Arrays that were packed come back within what their levels promise."""

import base64
import zlib

import numpy as np
import pytest

from popglm.report.packed import Field, layout_of, pack, unpacked

RNG = np.random.default_rng(0)
ROUGH = RNG.normal(size=(5, 3, 40)) * 10.0 ** RNG.integers(-4, 5, (5, 1, 1))


def back(*fields):
    blocks = pack(fields)
    found = [unpacked(block, layout_of(fields)) for block in blocks]
    return [np.stack([one[field.name] for one in found]) for field in fields]


@pytest.mark.parametrize("levels", [20, 62, 254, 65_534])
@pytest.mark.parametrize("smooth", [False, True])
def test_the_error_is_half_a_step_at_most(levels, smooth):
    (found,) = back(Field("a", ROUGH, levels, smooth=smooth))
    span = np.ptp(ROUGH, axis=(1, 2), keepdims=True)
    # float32 holds the lowest value and the step
    bound = span / levels / 2 + 4e-7 * np.abs(ROUGH).max(axis=(1, 2), keepdims=True)
    assert (np.abs(found - ROUGH) <= bound).all()
    assert np.abs(found - ROUGH).max() > 0


def test_steps_are_even_in_the_root():
    values = np.abs(ROUGH)
    (found,) = back(Field("a", values, 62, root=True))
    root = np.sqrt(values)
    span = np.ptp(root, axis=(1, 2), keepdims=True)
    assert (np.abs(np.sqrt(np.abs(found)) - root) <= span / 62 / 2 + 1e-6 * root.max()).all()
    (signed,) = back(Field("a", ROUGH, 62, root=True))
    large = np.abs(ROUGH) > 0.2 * np.abs(ROUGH).max(axis=(1, 2), keepdims=True)
    assert (np.sign(signed) == np.sign(ROUGH))[large].all()


def test_plain_numbers_are_right_to_a_part_in_4096():
    values = np.array([[1.2345678, -3e-9, 7e12, np.nan, np.inf, -np.inf, 0.0]])
    (found,) = back(Field("a", values, 0))
    np.testing.assert_allclose(found, values, rtol=1 / 4096)
    whole = np.array([[54_321.0, 16_777_215.0, np.nan, -3.0]])
    np.testing.assert_array_equal(back(Field("a", whole, 0))[0], whole)


def test_what_is_not_known_comes_back_so():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [2.0, np.nan, 2.0], [5.0, 5.0, 5.0]])
    for smooth in (False, True):
        np.testing.assert_allclose(back(Field("a", values, smooth=smooth))[0], values, rtol=1e-6)


def test_fields_stand_one_after_the_other():
    fields = [Field("a", ROUGH, 254), Field("b", np.zeros((5, 7))), Field("c", ROUGH[:, 0], 65_534, smooth=True)]
    found = back(*fields, Field("d", np.arange(5.0)))
    assert [one.shape for one in found] == [(5, 3, 40), (5, 7), (5, 40), (5,)]
    np.testing.assert_allclose(found[2], ROUGH[:, 0], atol=1e-4 * np.abs(ROUGH).max())
    np.testing.assert_array_equal(found[3], np.arange(5))


def test_constants_take_eight_bytes():
    block = pack([Field("a", np.full((1, 1_000), 3.5))])[0]
    assert len(zlib.decompress(base64.b64decode(block))) == 8


def test_smooth_curves_take_fewer_bytes_as_differences():
    curves = np.sin(np.linspace(0, 6, 50) + RNG.uniform(0, 6, (200, 20, 1)))
    size = {smooth: sum(map(len, pack([Field("a", curves, smooth=smooth)]))) for smooth in (False, True)}
    assert size[True] < 0.8 * size[False]

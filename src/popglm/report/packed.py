"""Arrays as few bytes: whole numbers in place of fractions, compressed, one block per neuron.

`page/decode.js` reads what `pack` writes, and `unpacked` does so in Python.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Field", "layout_of", "pack", "unpacked"]

#: Bits of a float32 that are set to 0: what is left is right to one part in 4,096.
_DROPPED_BITS = 12


@dataclass(frozen=True, eq=False)
class Field:
    """Numbers of the same kind and shape in every block.

    Attributes
    ----------
    name : str
    values : ndarray, shape (n_blocks, ...)
        NaN where nothing is known; infinity is kept with 0 levels alone.
    levels : int
        Steps between the smallest and the largest value of a block: up to 254 take a byte, up to 65,534 two. With 0
        the numbers are kept as float32: whole ones as they are, others right to one part in 4,096.
    smooth : bool
        Whether neighbours along the last axis are alike; their differences are kept then, which compress better.
    root : bool
        Whether steps are even in the square root of the size: finer near 0.
    """

    name: str
    values: np.ndarray
    levels: int = 254
    smooth: bool = False
    root: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one block."""
        return self.values.shape[1:]


def layout_of(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """What a reader of blocks must know, as JSON can hold it."""
    return [
        {
            "name": field.name,
            "shape": list(field.shape),
            "bytes": 4 if not field.levels else 1 if field.levels <= 254 else 2,
            "smooth": field.smooth,
            "root": field.root,
        }
        for field in fields
    ]


def pack(fields: Sequence[Field]) -> list[str]:
    """Every block, deflated, as text in base64.

    A block holds its fields one after the other. A field begins with two float32, ``low`` and ``step``; a value is
    ``low + (code - 1) * step``, and a code of 0 is NaN. Where the step is 0 there are no codes: all values are ``low``.
    """
    pieces = [_pieces(field) for field in fields]
    return [
        base64.b64encode(zlib.compress(b"".join(block), 9)).decode("ascii")
        for block in (zip(*pieces, strict=True) if pieces else ())
    ]


def unpacked(block: str, layout: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays of a block, by name.

    Examples
    --------
    >>> import numpy as np
    >>> field = Field("kernel", np.array([[0.0, 0.5, np.nan, 1.0]]))
    >>> unpacked(pack([field])[0], layout_of([field]))["kernel"].round(2).tolist()
    [0.0, 0.5, nan, 1.0]
    """
    data, at, found = zlib.decompress(base64.b64decode(block)), 0, {}
    for part in layout:
        size, width = int(np.prod(part["shape"], dtype=int)), part["bytes"]
        low, step = np.frombuffer(data, "<f4", 2, at)
        at += 8
        if step == 0:
            found[part["name"]] = np.full(part["shape"], low)
            continue
        planes = np.frombuffer(data, np.uint8, size * width, at).reshape(width, size)
        at += size * width
        if width == 4:
            values = np.ascontiguousarray(planes.T).view("<f4").reshape(part["shape"]).copy()
        else:
            codes = np.ascontiguousarray(planes.T).view(f"<u{width}").reshape(part["shape"])
            if part["smooth"]:
                codes = np.cumsum(codes, axis=-1, dtype=codes.dtype)
            values = np.where(codes == 0, np.float32(np.nan), low + (codes.astype(np.float32) - 1) * step)
        found[part["name"]] = values * np.abs(values) if part["root"] else values
    return found


def _pieces(field: Field) -> list[bytes]:
    """The bytes of a field in every block."""
    values = np.asarray(field.values, dtype=np.float64)
    values = values.reshape(len(values), -1)
    if not field.levels:
        return [np.array([0, 1], "<f4").tobytes() + _planes(row) for row in _rounded(values)]
    values = np.where(np.isfinite(values), values, np.nan)
    if field.root:
        values = np.sign(values) * np.sqrt(np.abs(values))
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    nothing = ~known.any(axis=1)
    low = np.where(nothing, np.nan, low).astype("<f4").astype(np.float64)
    # a step of 1 where all known values are alike and others are not known: codes must tell which
    step = np.where(nothing, 0.0, (high - low) / field.levels)
    step = np.where((step <= 0) & ~nothing & ~known.all(axis=1), 1.0, np.maximum(step, 0)).astype("<f4")
    with np.errstate(invalid="ignore", divide="ignore"):
        codes = 1 + np.clip(np.rint((values - low[:, None]) / step[:, None].astype(np.float64)), 0, field.levels)
    codes = np.where(known & (step[:, None] > 0), codes, 0).astype("<u1" if field.levels <= 254 else "<u2")
    if field.smooth and field.shape:
        shaped = codes.reshape(-1, field.shape[-1])
        codes = np.diff(shaped, axis=-1, prepend=shaped.dtype.type(0)).reshape(codes.shape)
    heads = np.stack([low.astype("<f4"), step], axis=1)
    return [
        head.tobytes() + (_planes(row) if scale else b"") for head, scale, row in zip(heads, step, codes, strict=True)
    ]


def _rounded(values: np.ndarray) -> np.ndarray:
    """As float32, to the nearest that has zeros in its last bits; whole numbers stay."""
    known = values[np.isfinite(values)]
    if (known == np.rint(known)).all():
        return values.astype("<f4")
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4").astype(np.uint64)
    bits = np.where(np.isfinite(values), (bits + (1 << _DROPPED_BITS - 1)) >> _DROPPED_BITS << _DROPPED_BITS, bits)
    return bits.astype("<u4").view("<f4")


def _planes(row: np.ndarray) -> bytes:
    """First bytes of all numbers, then their second ones: like stands beside like."""
    return np.ascontiguousarray(row.view(np.uint8).reshape(len(row), -1).T).tobytes()

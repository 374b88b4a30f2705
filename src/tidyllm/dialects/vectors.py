"""Vectors as APIs write them, lists of numbers or base64, as 32-bit floats."""

import binascii
import sys
from array import array
from collections.abc import Sequence

_FLOAT_BYTES = 4
_FLOAT_MAX = 3.4028234e38


def packed(values: Sequence[float]) -> bytes:
    """Return numbers as 32-bit floats, little-endian, one after the other. Raises ValueError where one is too large."""
    if values and not max(map(abs, values)) <= _FLOAT_MAX:
        raise ValueError("one of their numbers is too large for 32 bits")
    floats = array("f", values)
    if sys.byteorder == "big":  # pragma: no cover - no machine that polars runs on
        floats.byteswap()
    return floats.tobytes()


def from_base64_floats(text: str) -> bytes:
    """Return what base64 of 32-bit floats, little-endian, holds. Raises ValueError where it is something else."""
    data = binascii.a2b_base64(text, strict_mode=True)
    if len(data) % _FLOAT_BYTES:
        raise ValueError(f"{len(data)} bytes are no 32-bit floats")
    return data


def from_base64_int8(text: str) -> bytes:
    """Return the whole numbers from -128 to 127 that base64 holds, as floats. Raises ValueError for other texts."""
    return packed(array("b", binascii.a2b_base64(text, strict_mode=True)))

"""Vectors as APIs write them."""

import base64
import struct

import pytest

from tidyllm.dialects.vectors import from_base64_floats, from_base64_int8, packed


def test_numbers_become_small_floats_with_the_low_byte_first() -> None:
    assert packed([1.0, -0.5, 3]) == struct.pack("<3f", 1.0, -0.5, 3)
    assert packed([]) == b""


def test_base64_of_floats_is_taken_as_it_is() -> None:
    floats = packed([0.25, 1e-3])
    assert from_base64_floats(base64.b64encode(floats).decode()) == floats


def test_base64_of_whole_numbers_becomes_floats() -> None:
    assert from_base64_int8(base64.b64encode(bytes([1, 127, 128, 255])).decode()) == packed([1, 127, -128, -1])


@pytest.mark.parametrize("text", ["AAA", "not base64!", "AAAA", "é"])
def test_what_is_no_base64_of_floats_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_base64_floats(text)


@pytest.mark.parametrize("figure", [1e39, -1e39, float("inf")])
def test_figures_that_32_bits_cannot_hold_are_refused(figure: float) -> None:
    with pytest.raises(ValueError, match="too large"):
        packed([0.5, figure])

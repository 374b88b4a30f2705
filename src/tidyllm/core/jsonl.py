"""Lines of a JSONL file, read as a stream with their numbers and places."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

BOM = b"\xef\xbb\xbf"


class Line(msgspec.Struct, frozen=True):
    """One line that is not blank."""

    number: int
    """1-based, blank lines counted."""
    offset: int
    """Of its first byte in the file; a byte order mark at the file's start is not part of the line."""
    data: bytes
    """Without the line end."""


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield each line that is not blank; at most one line is in memory at a time."""
    offset = 0
    for number, raw in enumerate(file, 1):
        start = offset
        offset += len(raw)
        if number == 1 and raw.startswith(BOM):
            start += len(BOM)
            raw = raw[len(BOM) :]  # noqa: PLW2901 - the mark is no part of the line
        data = raw.rstrip(b"\r\n")
        if data.strip():
            yield Line(number, start, data)

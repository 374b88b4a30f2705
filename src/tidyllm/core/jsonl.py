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


def read_lines(
    file: BinaryIO, *, line_bytes_max: int = -1, lines_before: int = 0, bytes_before: int = 0
) -> Iterator[Line]:
    """Yield each line that is not blank, from the file's start; at most one line is in memory at a time.

    Of a line longer than `line_bytes_max` the first bytes come, one or more above the limit, and nothing after it.
    Where `file` is a piece of another one, `lines_before` and `bytes_before` say what stands before it there.
    """
    number, offset = lines_before, bytes_before
    limit = -1 if line_bytes_max < 0 else line_bytes_max + len(BOM) + 2
    while raw := file.readline(limit):
        number += 1
        start = offset
        offset += len(raw)
        if number == 1 and raw.startswith(BOM):
            start += len(BOM)
            raw = raw[len(BOM) :]
        data = raw.removesuffix(b"\n").removesuffix(b"\r")
        if data.strip():
            yield Line(number, start, data)
        if 0 <= line_bytes_max < len(data):
            return

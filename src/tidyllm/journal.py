"""The durable append-only log of answers: what a record is, how it is written and read back.

A journal file has exactly one writer in its life. It begins with `MAGIC`; then records follow, each a header

    length u32 | crc32 u32 | shard u32 | epoch u32 | line u32 | kind u8        (little endian, 21 bytes)

and `length` bytes of data. The checksum covers the header after itself and the data. A reader stops at the first
record that is cut off or does not match: after a crash only the tail can be bad, as nothing is written behind it.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, Self

from tidyllm.core.errors import JournalError

MAGIC = b"tidyllm journal 1\n"
_HEADER = struct.Struct("<IIIIIB")
_CHECKED = struct.Struct("<IIIB")
DATA_BYTES_MAX = 1024 * 1024 * 1024
"""Longest data of one record: a length above it can only be garbage."""


class Kind(IntEnum):
    """What a record says of its line."""

    ANSWERED = 1
    """The data is the line's place in the output file."""
    FAILED = 2
    """The data is the line's place in the error file."""


_KINDS = {int(kind): kind for kind in Kind}


class Place(NamedTuple):
    """Where the data of one record lies."""

    epoch: int
    offset: int
    """Of the data's first byte, in its file."""
    length: int
    kind: Kind
    file: Path
    shard: int


class Reader:
    """Reads the data of places; keeps each file open until it is closed."""

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}

    def read(self, place: Place) -> bytes:
        """Return the data of a record."""
        file = self._files.get(place.file)
        if file is None:
            file = self._files[place.file] = place.file.open("rb")
        return os.pread(file.fileno(), place.length, place.offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()


class Journal(Protocol):
    """One journal as its only writer sees it."""

    def append(self, *, shard: int, epoch: int, line: int, kind: Kind, data: bytes) -> None:
        """Write a record: it survives this process from now on, a power cut only after the next `sync`.

        Raises JournalError; the journal is then of no more use to its writer, and what was written before stays good.
        """
        ...

    def sync(self) -> None:
        """Return when all that was appended before the call survives a power cut; may run on any thread."""
        ...

    def close(self) -> None:
        """Close the file; does not sync."""
        ...


def encode(*, shard: int, epoch: int, line: int, kind: Kind, data: bytes) -> bytes:
    """Return a record's bytes."""
    crc = zlib.crc32(data, zlib.crc32(_CHECKED.pack(shard, epoch, line, kind)))
    return _HEADER.pack(len(data), crc, shard, epoch, line, kind) + data


def scan(path: Path) -> Iterator[tuple[int, Place]]:
    """Yield (line, place of its data) for each good record of a journal file, in the order they were written.

    Raises JournalError if the file is not a journal; one that is cut off within `MAGIC` is an empty journal.
    """
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                return
            raise JournalError(f"{path} is not a journal of this version: it begins with {magic!r}.")
        yield from _records(file, path)


def _records(file: BinaryIO, path: Path) -> Iterator[tuple[int, Place]]:
    offset = len(MAGIC)
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, crc, shard, epoch, line, kind = _HEADER.unpack(header)
        if length > DATA_BYTES_MAX or kind not in _KINDS:
            return
        data = file.read(length)
        if len(data) < length or zlib.crc32(data, zlib.crc32(_CHECKED.pack(shard, epoch, line, kind))) != crc:
            return
        offset += _HEADER.size
        yield line, Place(epoch, offset, length, _KINDS[kind], path, shard)
        offset += length


def first_answers(paths: Iterable[Path]) -> dict[int, Place]:
    """Return, for each line, the place of its first answer over several journals: by epoch, then position.

    An epoch of a shard belongs to one worker, so two files never hold the same epoch of a line.
    """
    first: dict[int, Place] = {}
    for path in paths:
        for line, place in scan(path):
            known = first.get(line)
            if known is None or (place.epoch, place.offset) < (known.epoch, known.offset):
                first[line] = place
    return first

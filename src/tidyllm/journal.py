"""The durable append-only log of answers: what a record is, how it is written and read back.

A journal file has exactly one writer in its life. It begins with `MAGIC`; then records follow, each a header

    length u32 | crc32 u32 | shard u32 | epoch u32 | line u32 | kind u8        (little endian, 21 bytes)

and `length` bytes of data. The checksum covers the header after itself and the data. A reader stops at the first
record that is cut off or does not match: after a crash only the tail can be bad, as nothing is written behind it.

Answers are made durable. Records of sending are not: they are there to be read after a process died, and a power cut
takes them with the requests in flight that they tell of.
"""

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import msgspec

from tidyllm.core.errors import JournalError
from tidyllm.core.wire import MIB

MAGIC = b"tidyllm journal 1\n"
_FAMILY = MAGIC[:-2]
"""What the journals of all versions begin with."""
_HEADER = struct.Struct("<IIIIIB")
_SIZE_AND_CRC = struct.Struct("<II")
_CHECKED = struct.Struct("<IIIB")
"""The header after its checksum."""
DATA_BYTES_MAX = 1024 * MIB
"""Longest data of one record: a length above it can only be garbage."""
NEAR_BYTES = 128 * 1024
"""So much is read at once, and kept, where a record is not longer."""


class Kind(IntEnum):
    """What a record says of its line."""

    ANSWERED = 1
    """The data is the line's place in the output file."""
    FAILED = 2
    """The data is the line's place in the error file."""
    SENT = 3
    """The line is about to be sent; no data."""
    RETURNED = 4
    """That exchange is over, or was given up in good order, and brought no result; no data."""


_KINDS = {int(kind): kind for kind in Kind}


class Place(msgspec.Struct, frozen=True):
    """Where the data of one record lies."""

    epoch: int
    offset: int
    """Of the data's first byte, in its file."""
    length: int
    kind: Kind
    file: Path
    shard: int


class Reader:
    """Reads the data of places; keeps each file open until it is closed, and what lies around the last place in it.

    The next place is likely to lie there too: lines are answered nearly in their order.
    """

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}
        self._near: dict[Path, tuple[int, bytes]] = {}
        """Of each file some bytes, and where they begin."""

    def read(self, place: Place) -> bytes:
        """Return the data of a record."""
        start, near = self._near.get(place.file, (0, b""))
        if place.offset < start or place.offset + place.length > start + len(near):
            file = self._files.get(place.file)
            if file is None:
                file = self._files[place.file] = place.file.open("rb")
            if place.length > NEAR_BYTES:
                return os.pread(file.fileno(), place.length, place.offset)
            start = max(place.offset - (NEAR_BYTES - place.length) // 2, 0)
            near = os.pread(file.fileno(), NEAR_BYTES, start)
            self._near[place.file] = start, near
        return near[place.offset - start : place.offset - start + place.length]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()


class Journal(Protocol):
    """A journal as its only writer sees it; only `sync` and `close` wait for the disk, and may do so on any thread."""

    @property
    def writable(self) -> bool:
        """Whether records can be written; if not, the next `sync` may mend it."""
        ...

    @property
    def unsynced_bytes(self) -> int:
        """Size of the records that are kept in memory until a `sync` has made them durable."""
        ...

    def append(self, record: bytes) -> None:
        """Take a record that must not be lost."""
        ...

    def note(self, record: bytes) -> None:
        """Take a record that may be lost: the next `flush` says whether it was."""
        ...

    def flush(self) -> bool:
        """Write all that was taken, so that it survives this process, and return whether every note was written.

        Those that were not are forgotten; what was appended is not, and a later `sync` writes it.
        """
        ...

    def sync(self) -> None:
        """Return when all that was appended before the call survives a power cut.

        Raises JournalError if it does not; nothing appended is forgotten, and a later call begins anew elsewhere.
        """
        ...

    def close(self) -> None:
        """Let go of the files, for good; does not sync."""
        ...


def encode(*, shard: int, epoch: int, line: int, kind: Kind, data: bytes = b"") -> bytes:
    """Return a record's bytes."""
    checked = _CHECKED.pack(shard, epoch, line, kind)
    return _SIZE_AND_CRC.pack(len(data), zlib.crc32(data, zlib.crc32(checked))) + checked + data


def scan(path: Path, *, start: int = len(MAGIC)) -> Iterator[tuple[int, Place]]:
    """Yield (line, place of its data) for each good record of a journal file, in the order they were written.

    `start` is where a record begins. A file without `MAGIC` was never made durable by its writer, and is empty.
    Raises JournalError if the file is a journal of another version.
    """
    with path.open("rb", buffering=MIB) as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if magic.startswith(_FAMILY) and len(magic) == len(MAGIC):
                raise JournalError(f"{path} is a journal of another version of tidyllm: it begins with {magic!r}.")
            return
        file.seek(start)
        yield from _records(file, path, start=start)


def _records(file: BinaryIO, path: Path, *, start: int) -> Iterator[tuple[int, Place]]:
    offset = start
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, crc, shard, epoch, line, kind = _HEADER.unpack(header)
        if length > DATA_BYTES_MAX or kind not in _KINDS:
            return
        data = file.read(length)
        if len(data) < length or zlib.crc32(data, zlib.crc32(header[_SIZE_AND_CRC.size :])) != crc:
            return
        offset += _HEADER.size
        yield line, Place(epoch, offset, length, _KINDS[kind], path, shard)
        offset += length


class Replay:
    """What several journals say of each line; as journals only grow, each `update` reads only what is new in them."""

    def __init__(self) -> None:
        self.answers: dict[int, Place] = {}
        """The place of each line's first answer: by epoch, then position. An epoch of a shard belongs to one worker;
        where that worker had to write a record again, into its next file, the two hold the same data."""
        self._sent: Counter[int] = Counter()
        self._read_to: dict[Path, int] = {}

    def update(self, paths: Iterable[Path]) -> None:
        """Read on in these journals; raises JournalError, and OSError."""
        for path in paths:
            read_to = self._read_to.get(path, len(MAGIC))
            try:
                for line, place in scan(path, start=read_to):
                    read_to = place.offset + place.length
                    if place.kind is Kind.SENT:
                        self._sent[line] += 1
                    elif place.kind is Kind.RETURNED:
                        self._sent[line] -= 1
                    else:
                        known = self.answers.get(line)
                        if known is None or (place.epoch, place.offset) < (known.epoch, known.offset):
                            self.answers[line] = place
            finally:
                self._read_to[path] = read_to

    def deaths(self, line: int) -> int:
        """Return how many workers died while they waited for the answer of a line that has none yet."""
        return self._sent[line]


def first_answers(paths: Iterable[Path]) -> dict[int, Place]:
    """Return, for each line, the place of its first answer over several journals."""
    replay = Replay()
    replay.update(paths)
    return replay.answers

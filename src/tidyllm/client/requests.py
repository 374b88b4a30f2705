"""The requests of a job on disk, in files as large as one batch of the provider may be, and read back from there."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, TypeAlias

import msgspec

from tidyllm.client.jobs import JobFolder, Remote
from tidyllm.core.disk import sync_data, sync_folder
from tidyllm.core.errors import JobError, SettingError
from tidyllm.dialect import Framing

BYTES_PER_TOKEN = 4
"""Of a prompt as it stands in a request, about."""
LINES = Framing(b"", b"\n", b"\n")
"""How requests stand in a file that is uploaded: one a line."""
_TOKEN_BYTES = 16


def lines_framing(_token: str, _file: Path) -> Framing:
    """Return how the requests stand in any file that is uploaded."""
    return LINES


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How much one batch may hold."""

    requests: int
    size: int
    """Bytes of the whole file."""
    tokens: int | None = None
    """Of its prompts, where somebody said so."""
    who: str
    """Whose limits they are, for messages."""


class Cut(msgspec.Struct, kw_only=True):
    """The requests of one batch, counted while they come."""

    token: str
    file: Path
    framing: Framing
    requests: int = 0
    size: int
    """Bytes of the whole file."""
    tokens: int = 0
    rows: list[tuple[int, int]] = []

    def takes(self, line: bytes, room: Room) -> bool:
        """Whether there is room for one more."""
        return (
            self.requests < room.requests
            and self.size + len(self.framing.between) + len(line) <= room.size
            and (room.tokens is None or self.tokens + tokens_of(line) <= room.tokens)
        )

    def add(self, number: int, line: bytes) -> None:
        """Count the request of a row."""
        self.size += len(line) + (len(self.framing.between) if self.requests else 0)
        self.requests += 1
        self.tokens += tokens_of(line)
        if self.rows and self.rows[-1][1] == number - 1:
            self.rows[-1] = (self.rows[-1][0], number)
        else:
            self.rows.append((number, number))

    def remote(self, *, inline: bool, again: bool) -> Remote:
        """Return the batch that is to be."""
        return Remote(
            token=self.token,
            requests=self.requests,
            file=self.file.name,
            rows=tuple(self.rows),
            tokens=self.tokens,
            inline=inline,
            again=again,
        )


Cuts: TypeAlias = Iterator[tuple[Cut, bytes]]
"""Requests, each with the batch that it belongs to."""


def new_token() -> str:
    """Return a word that no other batch has."""
    return token_hex(_TOKEN_BYTES)


def tokens_of(line: bytes) -> int:
    """Return how many tokens a request's prompt has, about."""
    return len(line) // BYTES_PER_TOKEN + 1


def cut(
    numbered: Iterable[tuple[int, bytes]],
    room: Room,
    *,
    place: Callable[[], Path],
    framing: Callable[[str, Path], Framing],
) -> Cuts:
    """Yield each request with the batch that it belongs to; `numbered` has the rows' numbers, ascending.

    `place` says where the next file is to stand, and `framing`, given a batch's token and file, what stands around its
    requests. Raises SettingError for a request that no batch has room for.
    """
    now: Cut | None = None
    for number, line in numbered:
        if now is None or not now.takes(line, room):
            token, file = new_token(), place()
            frame = framing(token, file)
            now = Cut(token=token, file=file, framing=frame, size=len(frame.head) + len(frame.tail))
            if not now.takes(line, room):
                raise _too_large(number, line, room=room)
        now.add(number, line)
        yield now, line


def places(folder: JobFolder) -> Callable[[], Path]:
    """Return what says where the next file of requests stands, which none has been at yet."""
    with folder.usable():
        taken = set(_files(folder))
    free = (path for number in count(1) if (path := folder.path / f"requests-{number}.jsonl") not in taken)
    return lambda: next(free)


def clear(folder: JobFolder) -> None:
    """Remove the files of an attempt that was broken off before the job was one."""
    for path in _files(folder):
        path.unlink()


def write(cuts: Cuts) -> list[Cut]:
    """Write each batch's file, durably, and return the batches; at most one file is open at a time."""
    done: list[Cut] = []
    file: BinaryIO | None = None
    try:
        for one, line in cuts:
            if not done or done[-1] is not one:
                if file is not None:
                    _end(file, done[-1])
                file = one.file.open("wb")
                file.write(one.framing.head)
                done.append(one)
            else:
                assert file is not None  # noqa: S101 - the first request of a batch has opened it
                file.write(one.framing.between)
            file.write(line)
        if file is not None:
            _end(file, done[-1])
            sync_folder(done[-1].file.parent)
    finally:
        if file is not None:
            file.close()
    return done


def numbered(folder: JobFolder, remote: Remote) -> Iterator[tuple[int, bytes]]:
    """Yield the requests of a batch as they were sent, with the numbers of their rows.

    Raises JobError where its file is gone, or has fewer or more than there were.
    """
    path = folder.path / remote.file
    if not path.exists():
        raise JobError(f"{path} is gone: put it back as it was. Nothing was sent again.", name=folder.name)
    numbers, count = remote.numbers, 0
    for line in _lines(path, inline=remote.inline):
        count += 1
        if (number := next(numbers, None)) is not None:
            yield number, line
    if count != remote.requests:
        raise JobError(
            f"{path} has {count:,} requests, and the job says {remote.requests:,}: put it back as it was. Nothing was "
            "sent again.",
            name=folder.name,
        )


def _files(folder: JobFolder) -> Iterator[Path]:
    return folder.path.glob("requests-*.jsonl")


def _lines(path: Path, *, inline: bool) -> Iterator[bytes]:
    """Yield the requests of a file, each without its line end, in their order."""
    with path.open("rb") as file:
        if inline:
            next(file)
        for line in file:
            if inline and not line.startswith(b"{"):
                return
            yield line.rstrip(b"\n").removesuffix(b",") if inline else line.rstrip(b"\n")


def _end(file: BinaryIO, one: Cut) -> None:
    file.write(one.framing.tail)
    file.flush()
    sync_data(file.fileno())
    file.close()


def _too_large(number: int, line: bytes, *, room: Room) -> SettingError:
    if room.tokens is not None and tokens_of(line) > room.tokens:
        return SettingError(f"Row {number:,} has about {tokens_of(line):,} tokens, more than queue_tokens= allows.")
    return SettingError(
        f"The request of row {number:,} has {len(line):,} bytes; a batch of {room.who} may have {room.size:,}."
    )

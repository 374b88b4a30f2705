"""File bodies in a folder of this machine: written aside, renamed when they are durable."""

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tidyllm.core.disk import Disk
from tidyllm.core.wire import MIB
from tidyllm.server.locks import is_at, take

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
BUFFER_BYTES = MIB
"""As much is gathered before it is written: result files are made of short lines."""


class DiskBlobs:
    """`Blobs` in a folder, which is made with mode 0700 if it is not there: `kept/<key>` and `incoming/<random>`."""

    def __init__(self, folder: Path, *, disk: Disk) -> None:
        self._disk = disk
        self._kept = folder / "kept"
        self._incoming = folder / "incoming"
        for place in (folder, self._kept, self._incoming):
            disk.make_folder(place)
            disk.sync_folder(place.parent)

    def create(self) -> "DiskWriter":
        """Start writing a new blob."""
        return DiskWriter(self._incoming, self, disk=self._disk)

    def path(self, key: str) -> Path:
        """Return where the bytes can be read; raises ValueError for what cannot be a key."""
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"{key!r} is not the key of a blob.")
        return self._kept / key

    def open(self, key: str) -> BinaryIO:
        """Open a blob for reading; raises FileNotFoundError."""
        return self.path(key).open("rb")

    def delete(self, key: str) -> None:
        """Remove a blob; one that is not there is no error."""
        self._disk.remove(self.path(key))

    def keys(self) -> Iterator[str]:
        """Yield the keys of all blobs; what else somebody has put into the folder is none."""
        with os.scandir(self._kept) as entries:
            for entry in entries:
                if _KEY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield entry.name

    @contextlib.contextmanager
    def abandoned(self, key: str) -> Iterator[bool]:
        """Say whether no living writer holds a blob; its key is not used a second time."""
        with _locked(self.path(key)) as free:
            yield free

    def sweep(self) -> int:
        """Remove what writers that died left behind, and return how many; a living writer's file is locked."""
        removed = 0
        for leftover in (path for path in self._incoming.iterdir() if path.is_file()):
            with _locked(leftover) as free:
                if free:
                    self._disk.remove(leftover)
                    removed += 1
        return removed


class DiskWriter:
    """`BlobWriter` into a file of its own, which it keeps locked as long as it lives."""

    def __init__(self, incoming: Path, blobs: DiskBlobs, *, disk: Disk) -> None:
        self._blobs = blobs
        self._disk = disk
        self._path, self._fd = _create_locked(incoming, disk)
        self._buffer = bytearray()
        self._committed = self._closed = False

    def write(self, data: bytes) -> None:
        """Append bytes; raises OSError where the disk is full."""
        self._buffer += data
        if len(self._buffer) >= BUFFER_BYTES:
            self._drain()

    def commit(self, key: str) -> None:
        """Make the bytes durable under a key that is used this once."""
        target = self._blobs.path(key)
        self._drain()
        self._disk.sync(self._fd)
        self._disk.rename(self._path, target)
        self._committed = True
        self._disk.sync_folder(target.parent)

    def close(self) -> None:
        """Throw the bytes away, unless they were committed, and let go of them; doing it twice is no error."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._committed:
                self._disk.remove(self._path)
        finally:
            os.close(self._fd)

    def _drain(self) -> None:
        waiting, self._buffer = memoryview(bytes(self._buffer)), bytearray()
        while waiting:
            waiting = waiting[self._disk.write(self._fd, bytes(waiting)) :]


def _create_locked(incoming: Path, disk: Disk) -> tuple[Path, int]:
    while True:
        path = incoming / secrets.token_hex(16)
        fd = disk.create(path)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # A sweep may have come between the two calls and removed the file.
        if is_at(path, fd):
            return path, fd
        os.close(fd)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file in the block, and yield True; False if a writer holds it, or there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        # Its writer has committed or closed it since the folder was read.
        yield False
        return
    try:
        yield take(fd) and is_at(path, fd)
    finally:
        os.close(fd)

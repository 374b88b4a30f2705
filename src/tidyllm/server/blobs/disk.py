"""File bodies in a folder of this machine: written aside, renamed when they are durable."""

import contextlib
import fcntl
import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

from tidyllm.core.disk import sync_folder

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class DiskBlobs:
    """`Blobs` in a folder, which is made with mode 0700 if it is not there: `kept/<key>` and `incoming/<random>`."""

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "kept"
        self._incoming = folder / "incoming"
        for place in (folder, self._kept, self._incoming):
            place.mkdir(mode=0o700, exist_ok=True)
            sync_folder(place.parent)
        folder.chmod(0o700)

    def create(self) -> "DiskWriter":
        """Start writing a new blob."""
        return DiskWriter(self._incoming, self)

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
        self.path(key).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what writers that died left behind, and return how many; a living writer's file is locked."""
        return sum(_remove_unlocked(leftover) for leftover in self._incoming.iterdir())


class DiskWriter:
    """`BlobWriter` into a file of its own, which it keeps locked as long as it lives."""

    def __init__(self, incoming: Path, blobs: DiskBlobs) -> None:
        self._blobs = blobs
        self._path, self._file = _create_locked(incoming)

    def write(self, data: bytes) -> None:
        """Append bytes; raises OSError where the disk is full."""
        self._file.write(data)

    def commit(self, key: str) -> None:
        """Make the bytes durable under `key`, in place of what was there."""
        target = self._blobs.path(key)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.replace(target)
        sync_folder(target.parent)
        self._file.close()

    def discard(self) -> None:
        """Throw the bytes away; does nothing after `commit`."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            # Closing writes what is still buffered, and what a full disk says to that is of no interest any more.
            with contextlib.suppress(OSError):
                self._file.close()


def _create_locked(incoming: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = incoming / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # A sweep may have come between the two calls and removed the file.
        if os.fstat(descriptor).st_nlink:
            return path, os.fdopen(descriptor, "wb")
        os.close(descriptor)


def _remove_unlocked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # Its writer has committed or discarded it since the folder was read.
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except (BlockingIOError, FileNotFoundError):
        # Its writer lives, or has just finished with it.
        return False
    finally:
        os.close(descriptor)
    return True

"""A journal in files of this machine, each created by its one writer and never touched by another."""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tidyllm.core.disk import Disk
from tidyllm.core.errors import JournalError
from tidyllm.journal import MAGIC

log = logging.getLogger(__name__)


class DiskJournal:
    """`Journal` in one file, or in several where one after the other failed; `next_place` names a new one each time.

    The kernel may drop what it could not write and then call a second try a success. So a file that failed once is
    left as it is, and all that it may lack is written again, from memory, into the next. The first is made by the
    first `sync`.
    """

    def __init__(self, next_place: Callable[[], Path], *, disk: Disk) -> None:
        self._next_place = next_place
        self._disk = disk
        self._path: Path | None = None
        self._fd: int | None = None
        self._fresh = False
        """Whether no sync has succeeded since the file was begun."""
        self._outdated: Path | None = None
        """A file that failed before any sync, until the next holds all that stands in it."""
        self._failure: str | None = None
        """What is wrong with the file at hand."""
        self._closed = False
        self._unsynced: list[bytes] = []
        """Records that must not be lost, until they are durable."""
        self._written = 0
        """How many of them the file at hand holds."""
        self._notes: list[bytes] = []
        """Records that may be lost, until they are written."""
        self._unsynced_bytes = 0
        self._memory = threading.Lock()
        """Held for moments: by the writer, and by whoever syncs."""
        self._syncing = threading.Lock()
        """Held by whoever waits for the disk: one at a time."""

    @property
    def writable(self) -> bool:
        """See `Journal`."""
        return self._fd is not None and self._failure is None

    @property
    def unsynced_bytes(self) -> int:
        """See `Journal`."""
        return self._unsynced_bytes

    def append(self, record: bytes) -> None:
        """See `Journal`."""
        with self._memory:
            self._unsynced.append(record)
            self._unsynced_bytes += len(record)

    def note(self, record: bytes) -> None:
        """See `Journal`."""
        with self._memory:
            self._notes.append(record)

    def flush(self) -> bool:
        """See `Journal`."""
        with self._memory:
            self._write()
            # To ask afterwards whether the journal is writable would not tell: a sync may have mended it meanwhile.
            written = not self._notes
            self._notes.clear()
            return written

    def sync(self) -> None:
        """See `Journal`."""
        with self._syncing:
            if self._closed:
                return
            fd, count = self._all_written() or self._begin()
            try:
                self._disk.sync(fd)
            except OSError as error:
                self._failure = f"cannot be made durable: {error}"
                raise _error(self._path, error) from error
            self._fresh = False
            with self._memory:
                self._unsynced_bytes -= sum(map(len, self._unsynced[:count]))
                del self._unsynced[:count]
                self._written -= count

    def close(self) -> None:
        """See `Journal`."""
        with self._syncing, self._memory:
            self._closed = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _all_written(self) -> tuple[int, int] | None:
        """Return the file at hand and how many of the records in memory it holds: all, or it is of no more use."""
        with self._memory:
            self._write()
            if self._fd is None or self._failure is not None:
                return None
            return self._fd, len(self._unsynced)

    def _write(self) -> None:
        """Write all that is not in the file yet, with one call of the system."""
        if self._fd is None or self._failure is not None:
            return  # A record behind a torn one would never be read.
        data = b"".join((*self._unsynced[self._written :], *self._notes))
        if not data:
            return
        try:
            taken = self._disk.write(self._fd, data)
        except OSError as error:
            self._failure = f"cannot be written: {error}"
        else:
            if taken < len(data):
                self._failure = f"took {taken} of {len(data)} bytes: the disk is full"
            else:
                self._written = len(self._unsynced)
                self._notes.clear()

    def _begin(self) -> tuple[int, int]:
        """Make the next file, with all that is not known to be durable in it, and return what `_all_written` does."""
        self._leave()
        path = self._next_place()
        fd = None
        try:
            self._disk.make_folder(path.parent)
            fd = self._disk.create(path)
            count = self._fill(fd, path)
        except OSError as error:
            with contextlib.suppress(OSError):  # Nobody has read from it, and it may stand in the way of the next.
                if fd is not None:
                    os.close(fd)
                self._disk.remove(path)
            raise _error(path, error) from error
        self._remove_outdated()
        return fd, count

    def _leave(self) -> None:
        """Close the file that failed, for good: what is durable in it stays."""
        with self._memory:
            fd, self._fd = self._fd, None
        if fd is None:
            return
        if self._fresh:
            self._outdated = self._path
        else:
            log.warning("The journal %s %s. A new one is begun.", self._path, self._failure)
        with contextlib.suppress(OSError):  # It has said already what is wrong with it.
            os.close(fd)

    def _remove_outdated(self) -> None:
        """Remove a file of which no byte is known to be durable, now that all of it stands in the next one."""
        outdated, self._outdated = self._outdated, None
        if outdated is not None:
            with contextlib.suppress(OSError):  # It does no harm.
                self._disk.remove(outdated)

    def _fill(self, fd: int, path: Path) -> int:
        self._write_all(fd, MAGIC)
        # A reader must find the file after a power cut, and in it the word that it is a journal: its name is an entry
        # of the folder, and the folder's one of its own.
        self._disk.sync(fd)
        self._disk.sync_folder(path.parent)
        self._disk.sync_folder(path.parent.parent)
        written = 0
        while True:
            with self._memory:
                rest = self._unsynced[written:]
                if not rest:
                    self._fd, self._path, self._failure, self._fresh = fd, path, None, True
                    self._written = written
                    return written
            for record in rest:
                self._write_all(fd, record)
            written += len(rest)

    def _write_all(self, fd: int, data: bytes) -> None:
        taken = self._disk.write(fd, data)
        if taken < len(data):
            raise OSError(errno.ENOSPC, f"it took {taken} of {len(data)} bytes")


def _error(path: Path | None, error: OSError) -> JournalError:
    return JournalError(f"The journal {path} cannot be written: {error}.")

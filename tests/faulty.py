"""A disk that fails when a test tells it to."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tidyllm.core.disk import LocalDisk


class FaultyDisk(LocalDisk):
    """A real disk with a real disk's misfortunes."""

    def __init__(self) -> None:
        self.room = 10**12
        """Bytes that it still takes."""
        self.read_only = False
        self.gone = False
        """Whether it does not even say how much room it has."""
        self.syncs_left: int | None = None
        """How many syncs succeed before all fail."""
        self.broken = False
        """Whether no sync succeeds."""
        self.after_remove: Callable[[], object] = lambda: None
        """Called when a file has been removed."""
        self.fast = threading.Event()
        """Syncs wait while it is not set."""
        self.fast.set()

    def create(self, path: Path) -> int:
        self._refuse_to_change()
        return super().create(path)

    def write(self, fd: int, data: bytes) -> int:
        self._refuse_to_change()
        if not self.room:
            raise _error(errno.ENOSPC)
        taken = super().write(fd, data[: self.room])
        self.room -= taken
        return taken

    def sync(self, fd: int) -> None:
        if self.syncs_left is not None:
            self.broken, self.syncs_left = self.syncs_left == 0, max(self.syncs_left - 1, 0)
        if self.broken:
            raise _error(errno.EIO)
        assert self.fast.wait(60)
        super().sync(fd)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.after_remove()

    def free_bytes(self, folder: Path) -> int:
        assert super().free_bytes(folder) >= 0
        if self.gone:
            raise _error(errno.EIO)
        return 0 if self.read_only else self.room

    def _refuse_to_change(self) -> None:
        if self.read_only:
            raise _error(errno.EROFS)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))

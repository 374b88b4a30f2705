"""Having what was written survive a power cut: the few file operations that decide it, as an argument."""

import errno
import os
import sys
from pathlib import Path
from typing import Protocol

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Return whether more space, or the permission to write, would cure an error."""
    return error.errno in _FULL


class Disk(Protocol):
    """The operations on which it depends what of our files survives; crash tests put themselves in between.

    All raise OSError. What was written survives a power cut only after `sync`, and a name only after `sync_folder`.
    """

    def create(self, path: Path) -> int:
        """Create a file that is not there yet, for its owner alone, and return a descriptor that appends to it."""
        ...

    def write(self, fd: int, data: bytes) -> int:
        """Append bytes and return how many were taken: fewer than given where the disk is just about full."""
        ...

    def sync(self, fd: int) -> None:
        """Return when a file's bytes are durable; after an error a second try proves nothing."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, in place of what had it."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def make_folder(self, folder: Path) -> None:
        """Make a folder for its owner alone; one that is there is no error."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder, unless somebody has put something into it."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in a folder are durable."""
        ...

    def free_bytes(self, folder: Path) -> int:
        """Return how much may still be written there: 0 where the disk is read-only."""
        ...


class LocalDisk:
    """`Disk` as the system has it."""

    def create(self, path: Path) -> int:
        """See `Disk`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)

    def write(self, fd: int, data: bytes) -> int:
        """See `Disk`."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """See `Disk`."""
        sync_data(fd)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        path.unlink(missing_ok=True)

    def make_folder(self, folder: Path) -> None:
        """See `Disk`."""
        folder.mkdir(mode=0o700, exist_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """See `Disk`."""
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        sync_folder(folder)

    def free_bytes(self, folder: Path) -> int:
        """See `Disk`; what the system keeps for root alone is not counted."""
        if sys.platform == "win32":
            import shutil  # noqa: PLC0415 - only there is the call below missing

            return shutil.disk_usage(folder).free
        state = os.statvfs(folder)
        return 0 if state.f_flag & os.ST_RDONLY else state.f_bavail * state.f_frsize


_BINARY: int = getattr(os, "O_BINARY", 0)
"""Without it Windows writes two bytes for each line feed."""


def sync_data(fd: int) -> None:
    """Return when a file's bytes, and its length, are on the disk; what else is known of it may come later.

    Raises OSError; a second try could then be called a success though the bytes are lost.
    """
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - Windows has no such module

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # There fsync stops at the drive's own memory; see its man page.
    elif sys.platform == "win32":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk; Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

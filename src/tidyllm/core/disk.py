"""Having what was written survive a power cut, on every system in its own way."""

import os
import sys
from pathlib import Path


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

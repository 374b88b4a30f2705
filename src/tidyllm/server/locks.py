"""Lock files that a process holds as long as it lives, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def hold(lock: Path) -> int | None:
    """Take a lock file for as long as this process lives; None if another process holds it.

    The file's text becomes this process's id. The returned descriptor must stay open.
    """
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(fd):
            os.close(fd)
            return None
        # Whoever removes free locks may have come between the two calls.
        if os.fstat(fd).st_nlink:
            break
        os.close(fd)
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


@contextlib.contextmanager
def free(lock: Path) -> Iterator[bool]:
    """Say whether no living process holds a lock file; if so, nobody can take it within the block."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _lock(fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

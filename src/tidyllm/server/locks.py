"""Locks on files, which a process holds until it closes the file or ends, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def hold(lock: Path) -> int | None:
    """Take a lock file for as long as this process lives; None if another process holds it.

    The file's text becomes this process's id. The returned descriptor must stay open.
    """
    while True:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not take(fd):
            os.close(fd)
            return None
        # Whoever removes free locks may have come between the two calls.
        if is_at(lock, fd):
            break
        os.close(fd)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
    except OSError:
        os.close(fd)
        raise
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
        yield take(fd)
    finally:
        os.close(fd)


def take(fd: int) -> bool:
    """Take the lock of an open file, unless another descriptor has it; return whether it could be had."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(path: Path, fd: int) -> bool:
    """Return whether a name is still, or already, that of an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False

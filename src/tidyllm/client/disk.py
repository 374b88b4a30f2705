"""Files that survive a crash: written whole or not at all, and a lock that dies with its process."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tidyllm.core.disk import sync_data, sync_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def write_durably(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file so that it holds either what it held before or all of the new, whatever happens meanwhile."""
    with replacing(path) as part, part.open("wb") as file:
        file.writelines(pieces)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write what is to stand at `path`; it takes that name, durably, once the block has succeeded."""
    part = path.with_name(f".{path.name}.part")
    yield part
    with part.open("rb+") as file:
        sync_data(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


@contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a lock on a file while the block runs; what is yielded says whether it could be had.

    It does not wait, and the system lets go of it when the process ends, however it ends.
    """
    with path.open("ab") as file:
        yield _try_lock(file)


def _try_lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

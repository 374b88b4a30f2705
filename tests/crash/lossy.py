"""A disk that remembers what was made durable, and the power cut that takes the rest away.

The memory is a folder of its own, the *shadow*, so that several processes can use such a disk at once and be killed:

lock                  held while the shadow is changed
files/<inode>         a hard link to every file, which keeps its bytes when its name is gone
sizes/<inode>         how many of its bytes are durable
folders/<path>        the durable names in a folder, each with its inode
adopted               there once all that was found at the start is noted

Only `journals/` and `blobs/` are played with. SQLite looks after its own durability, and locks need none.
"""

import contextlib
import fcntl
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tidyllm.core.disk import LocalDisk

PLAYED_WITH = ("journals", "blobs")
GARBAGE_BYTES_MAX = 200


class LossyDisk(LocalDisk):
    """`Disk` in a data folder; nothing is really synced, only noted in the shadow."""

    def __init__(self, data: Path, shadow: Path) -> None:
        self._data = data
        self._shadow = shadow
        with _locked(shadow):
            if not (shadow / "adopted").exists():
                _adopt(data, shadow)

    def create(self, path: Path) -> int:
        fd = super().create(path)
        # The link keeps the inode's number from being given to another file. A sweep may have removed the file already.
        with contextlib.suppress(FileNotFoundError):
            os.link(path, self._shadow / "files" / str(os.fstat(fd).st_ino))
        return fd

    def sync(self, fd: int) -> None:
        with _locked(self._shadow):
            # Not before the lock is held: whoever held it may have noted more.
            state = os.fstat(fd)
            _note_size(self._shadow, state.st_ino, state.st_size)

    def sync_folder(self, folder: Path) -> None:
        with _locked(self._shadow):
            if folder.is_relative_to(self._data):
                _note_names(self._data, self._shadow, folder)


def cut_power(data: Path, shadow: Path, rng: random.Random, *, harsh: bool) -> None:
    """Leave in a data folder only what was durable; every process that used it must be dead.

    A harsh cut takes all that was not synced, and brings back what was removed without a sync. Another one decides
    of each name and each tail by chance, and may leave garbage behind what was durable.
    """
    with _locked(shadow):
        kept: dict[Path, int] = {}
        for name in PLAYED_WITH:
            if (data / name).exists():
                _survivors(data, shadow, data / name, kept=kept, rng=rng, harsh=harsh)
        for inode in set(kept.values()) - {0}:
            _cut_tail(shadow / "files" / str(inode), _durable_size(shadow, inode), rng=rng, harsh=harsh)
        for name in PLAYED_WITH:
            _rebuild(data / name, kept=kept, shadow=shadow)
        _adopt(data, shadow)


def _survivors(
    data: Path, shadow: Path, folder: Path, *, kept: dict[Path, int], rng: random.Random, harsh: bool
) -> None:
    """Collect the files that are found below a folder after the cut, and their inodes; a folder has inode 0."""
    kept[folder] = 0
    durable = _durable_names(data, shadow, folder)
    now = _names(folder) if folder.exists() else {}
    for name in durable.keys() | now.keys():
        before, after = durable.get(name), now.get(name)
        found = before if harsh or rng.random() < 0.5 else after
        if before == after:
            found = before
        if found is None:
            continue
        if found:
            # A file whose creator was killed before it was linked never had a byte.
            if (shadow / "files" / str(found)).exists():
                kept[folder / name] = found
        else:
            _survivors(data, shadow, folder / name, kept=kept, rng=rng, harsh=harsh)


def _cut_tail(file: Path, durable: int, *, rng: random.Random, harsh: bool) -> None:
    size = file.stat().st_size
    left = durable if harsh else rng.randint(durable, size)
    with file.open("r+b") as opened:
        opened.truncate(left)
        if not harsh and size > left and rng.random() < 0.5:
            # What a file system leaves where it had the length and not the bytes: zeros, or what was there before.
            length = rng.randint(1, min(size - left, GARBAGE_BYTES_MAX))
            opened.seek(left)
            opened.write(bytes(length) if rng.random() < 0.5 else rng.randbytes(length))


def _rebuild(root: Path, *, kept: dict[Path, int], shadow: Path) -> None:
    if root not in kept:
        return
    shutil.rmtree(root, ignore_errors=True)
    for path, inode in sorted(kept.items()):
        if not path.is_relative_to(root):
            continue
        if inode:
            os.link(shadow / "files" / str(inode), path)
        else:
            path.mkdir(mode=0o700)


def _adopt(data: Path, shadow: Path) -> None:
    """Take all that is there for durable, and forget what was known before."""
    (shadow / "adopted").unlink(missing_ok=True)
    for part in ("files", "sizes", "folders"):
        shutil.rmtree(shadow / part, ignore_errors=True)
        (shadow / part).mkdir()
    for name in PLAYED_WITH:
        for folder, _, files in os.walk(data / name):
            _note_names(data, shadow, Path(folder))
            for file in files:
                state = (Path(folder) / file).stat()
                link = shadow / "files" / str(state.st_ino)
                if not link.exists():
                    os.link(Path(folder) / file, link)
                _note_size(shadow, state.st_ino, state.st_size)
    (shadow / "adopted").touch()


def _note_size(shadow: Path, inode: int, size: int) -> None:
    _note(shadow / "sizes" / str(inode), str(size))


def _durable_size(shadow: Path, inode: int) -> int:
    note = shadow / "sizes" / str(inode)
    return int(note.read_text()) if note.exists() else 0


def _note_names(data: Path, shadow: Path, folder: Path) -> None:
    names = _names(folder)
    for gone in _durable_names(data, shadow, folder).keys() - names.keys():
        # A folder that is made anew under this name is another, and has nothing of the one that is gone for good.
        (shadow / "folders" / _note_of(data, folder / gone)).unlink(missing_ok=True)
    _note(shadow / "folders" / _note_of(data, folder), json.dumps(names))


def _note(place: Path, text: str) -> None:
    """Write a note whole or not at all: its writer may be killed."""
    part = place.with_name(f"{place.name}.part")
    part.write_text(text)
    part.replace(place)


def _durable_names(data: Path, shadow: Path, folder: Path) -> dict[str, int]:
    note = shadow / "folders" / _note_of(data, folder)
    return json.loads(note.read_text()) if note.exists() else {}


def _note_of(data: Path, folder: Path) -> str:
    # Not "." alone, which is what the data folder is to itself, and no name of a file.
    return quote(f"/{folder.relative_to(data)}", safe="")


def _names(folder: Path) -> dict[str, int]:
    """Return the names in a folder, each with its inode; 0 for a folder."""
    with os.scandir(folder) as entries:
        return {entry.name: 0 if entry.is_dir() else entry.inode() for entry in entries}


@contextlib.contextmanager
def _locked(shadow: Path) -> Iterator[None]:
    shadow.mkdir(parents=True, exist_ok=True)
    with (shadow / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

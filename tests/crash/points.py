"""Failpoints: every durable operation of a server has a name, and the process can be killed right after or before it.

All that the server makes durable passes through two arguments, a `Disk` and a `Store`. So a wrapper around each sees
every such operation, and one that is new has a point by itself. A name is what is done and where:

store.publish                a method of the store that changed something; reading has no point
disk.sync journals           the operation, and the part of the data folder of its file or folder
disk.make_folder journals/*  the folder of one batch
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from tidyllm.core.disk import Disk
from tidyllm.server.store import Store

T = TypeVar("T")

READS = frozenset(
    {
        "batch",
        "close",
        "ended_batches",
        "file",
        "finishable_batches",
        "learned_limit",
        "list_batches",
        "list_files",
        "live_workers",
        "purgeable_blobs",
        "shards",
        "stopping_batches",
        "unknown_blobs",
        "unread_batches",
        "upstream_states",
        "version",
    }
)
"""Methods of `Store` that change nothing; whatever else it has, has a point."""


class Crash(NamedTuple):
    """Where a process is killed."""

    name: str
    nth: int = 1
    """At which of the times that it comes there."""
    before: bool = False


class Points:
    """Writes down the names that are reached, a line each, and kills this process at one of them."""

    def __init__(self, record: Path, crash: Crash | None = None) -> None:
        self._fd = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._crash = crash
        self._times: Counter[str] = Counter()
        self._counting = threading.Lock()

    def begun(self, name: str) -> None:
        """Hear that an operation is about to be tried."""
        if self._crash is not None and self._crash.before and self._crash.name == name:
            self._count(name)

    def done(self, name: str) -> None:
        """Hear that an operation has been done."""
        if self._crash is not None and not self._crash.before and self._crash.name == name:
            self._count(name)
        # One call of the system, so that it is whole and outlives this process.
        os.write(self._fd, f"{name}\n".encode())

    def _count(self, name: str) -> None:
        with self._counting:
            self._times[name] += 1
            if self._crash is not None and self._times[name] == self._crash.nth:
                os.write(self._fd, f"{name}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


def reached(record: Path) -> list[str]:
    """Return the names that were reached, in order, over all processes that wrote them down there."""
    return record.read_text().splitlines()


class PointedDisk:
    """A `Disk` around another, with a point at each operation that changes something."""

    def __init__(self, disk: Disk, points: Points, *, data: Path) -> None:
        self._disk = disk
        self._points = points
        self._data = data
        self._places: dict[tuple[int, int], str] = {}
        """Of each file that was created here."""

    def create(self, path: Path) -> int:
        fd = self._do("create", self._place(path.parent), act=lambda: self._disk.create(path))
        state = os.fstat(fd)
        self._places[state.st_dev, state.st_ino] = self._place(path.parent)
        return fd

    def write(self, fd: int, data: bytes) -> int:
        return self._do("write", self._place_of(fd), act=lambda: self._disk.write(fd, data))

    def sync(self, fd: int) -> None:
        self._do("sync", self._place_of(fd), act=lambda: self._disk.sync(fd))

    def rename(self, source: Path, target: Path) -> None:
        self._do("rename", self._place(target.parent), act=lambda: self._disk.rename(source, target))

    def remove(self, path: Path) -> None:
        self._do("remove", self._place(path.parent), act=lambda: self._disk.remove(path))

    def make_folder(self, folder: Path) -> None:
        if folder.exists():
            self._disk.make_folder(folder)
        else:
            self._do("make_folder", self._place(folder), act=lambda: self._disk.make_folder(folder))

    def remove_folder(self, folder: Path) -> None:
        self._do("remove_folder", self._place(folder), act=lambda: self._disk.remove_folder(folder))

    def sync_folder(self, folder: Path) -> None:
        self._do("sync_folder", self._place(folder), act=lambda: self._disk.sync_folder(folder))

    def free_bytes(self, folder: Path) -> int:
        return self._disk.free_bytes(folder)

    def _do(self, operation: str, place: str, *, act: Callable[[], T]) -> T:
        name = f"disk.{operation} {place}"
        self._points.begun(name)
        result = act()
        self._points.done(name)
        return result

    def _place(self, folder: Path) -> str:
        """Return the name of a folder, the same for every batch."""
        if not folder.is_relative_to(self._data):
            return "beside the data"
        parts = folder.relative_to(self._data).parts
        if parts[:1] == ("journals",):
            parts = (*parts[:1], *("*" for _ in parts[1:]))
        return "/".join(parts) or "data"

    def _place_of(self, fd: int) -> str:
        state = os.fstat(fd)
        return self._places.get((state.st_dev, state.st_ino), "of another life")


class _PointedStore:
    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points

    def __getattr__(self, method: str) -> Callable[..., object]:
        ask: Callable[..., object] = getattr(self._store, method)
        if method in READS:
            return ask
        name = f"store.{method}"

        def pointed(*given: object, **named: object) -> object:
            self._points.begun(name)
            result = ask(*given, **named)
            if _changed(method, result, given=given):
                self._points.done(name)
            return result

        return pointed


def pointed_store(store: Store, points: Points) -> Store:
    """Return a store around another, with a point at each method that changes something."""
    return cast("Store", _PointedStore(store, points))


def _changed(method: str, result: object, *, given: tuple[object, ...]) -> bool:
    """Return whether a transaction wrote: most methods say so, and nobody has been told of an empty list."""
    if method == "bury_worker":
        return True  # It returns how many shards the worker had.
    return [] not in given and (result is None or bool(result))

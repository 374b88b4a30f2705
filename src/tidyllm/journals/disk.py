"""A journal in a file of its own, created by its one writer and never touched by another."""

import os
from pathlib import Path

from tidyllm.core.disk import sync_data, sync_folder
from tidyllm.core.errors import JournalError
from tidyllm.journal import MAGIC, Kind, encode


class DiskJournal:
    """A journal file; raises JournalError if it exists already or cannot be created."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._write(MAGIC)
            # The file must still be found after a power cut: its name is an entry of the folder, the folder's of its.
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
        except OSError as error:
            raise JournalError(f"The journal {path} cannot be created: {error}.") from error

    def append(self, *, shard: int, epoch: int, line: int, kind: Kind, data: bytes) -> None:
        """Write a record with one call of the system, so that it outlives this process."""
        self._write(encode(shard=shard, epoch=epoch, line=line, kind=kind, data=data))

    def sync(self) -> None:
        """Return when all that was appended before the call is on the disk."""
        try:
            sync_data(self._fd)
        except OSError as error:
            # The kernel may have dropped the pages and would call a second try a success.
            raise JournalError(f"The journal {self.path} cannot be made durable: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise JournalError(f"The journal {self.path} cannot be written: {error}.") from error
        if written < len(data):
            # A record behind a torn one would never be read, so this journal is over.
            raise JournalError(f"The journal {self.path} took {written} of {len(data)} bytes: the disk is full.")


def make_durable(path: Path) -> None:
    """Have a journal that another worker wrote survive a power cut: its last records may not have been synced.

    Raises JournalError.
    """
    try:
        with path.open("rb") as file:
            sync_data(file.fileno())
    except OSError as error:
        raise JournalError(f"The journal {path} cannot be made durable: {error}.") from error

"""What the server asks of the place where file bodies live; one implementation per file of `blobs/`."""

from pathlib import Path
from typing import BinaryIO, Protocol


class BlobWriter(Protocol):
    """Bytes on their way to becoming a blob: nobody sees them before `commit`."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        ...

    def commit(self, key: str) -> None:
        """Make the bytes durable under `key`, in place of what was there; returns when a power cut cannot undo it."""
        ...

    def discard(self) -> None:
        """Throw the bytes away; does nothing after `commit`."""
        ...


class Blobs(Protocol):
    """The bytes of files, by key. Keys are our own words, never a user's."""

    def create(self) -> BlobWriter:
        """Start writing a new blob."""
        ...

    def path(self, key: str) -> Path:
        """Return where the bytes can be read."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open a blob for reading; raises FileNotFoundError."""
        ...

    def delete(self, key: str) -> None:
        """Remove a blob; one that is not there is no error."""
        ...

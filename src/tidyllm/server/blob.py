"""What the server asks of the place where file bodies live; one implementation per file of `blobs/`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol


class BlobWriter(Protocol):
    """Bytes on their way to becoming a blob: nobody sees them before `commit`."""

    def write(self, data: bytes) -> None:
        """Append bytes; raises OSError where the disk is full."""
        ...

    def commit(self, key: str) -> None:
        """Make the bytes durable under a key that is used this once; returns when a power cut cannot undo it."""
        ...

    def close(self) -> None:
        """Throw the bytes away, unless they were committed: then nobody takes them for abandoned before this."""
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

    def keys(self) -> Iterator[str]:
        """Yield the keys of all blobs, in no order."""
        ...

    def sweep(self) -> int:
        """Remove what writers that died left behind before they had committed, and return how many."""
        ...

    def abandoned(self, key: str) -> AbstractContextManager[bool]:
        """Say whether the writer of a blob is done with it, or dead; if so, that stays true within the block."""
        ...

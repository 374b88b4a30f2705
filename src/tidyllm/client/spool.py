"""Conversations that a user's function made, kept so that it need not make them again."""

import tempfile
import weakref
from collections.abc import Iterable, Iterator

import msgspec

from tidyllm.core.message import Conversation

IN_MEMORY_BYTES_MAX = 64 * 1024 * 1024
"""Above this they are kept in a file without a name, which is gone with them."""


class Spool:
    """Conversations, which are made once, and can be looked at as often as need be."""

    def __init__(self, talks: Iterable[Conversation]) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES_MAX)  # noqa: SIM115 - closed with this
        weakref.finalize(self, self._file.close)
        for talk in talks:
            self._file.write(msgspec.json.encode(talk) + b"\n")

    def each(self) -> Iterator[Conversation]:
        """Yield them, from the first one on."""
        place = 0
        while True:
            self._file.seek(place)  # Others may have looked meanwhile.
            line = self._file.readline()
            if not line:
                return
            place += len(line)
            yield msgspec.json.decode(line, type=Conversation)

"""Bytes of a stream into the texts it consists of: server-sent events, or one JSON text a line.

Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html, of which the APIs use `data:` alone;
what kind of event one is stands in its JSON as well. Both readers bear any cut between two bytes.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Reply

DONE = b"[DONE]"
"""The last event of OpenAI's streams, and of many a server that speaks the dialect."""


class Splitter(Protocol):
    """Cuts a stream into its texts."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the texts that these bytes complete."""
        ...


class JsonLines:
    """One text a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that these bytes complete, without line ends; empty ones are left out."""
        if b"\n" not in data:
            self._rest += data
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [stripped for line in lines if (stripped := line.strip())]


class ServerEvents:
    """The data of each server-sent event; lines may end with CR LF, LF or CR, and comments are keep-alives."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of the events that these bytes complete."""
        self._rest += data
        # A CR at the very end may be the first half of a CR LF: it waits for what follows.
        held = b"\r" if self._rest.endswith(b"\r") else b""
        text = self._rest[: len(self._rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> bytes | None:
        """Return the data of the event that this line ends."""
        if line:
            name, _, value = line.partition(b":")
            # Old llama.cpp tells its errors in lines of that name; spec/llamacpp 2.
            if name in (b"data", b"error"):
                self._data.append(value.removeprefix(b" "))
            # Not every server ends its last event with an empty line.
            if self._data[-1:] != [DONE]:
                return None
        event, self._data = b"\n".join(self._data), []
        return event or None


class PieceDecoder:
    """Takes the texts of a streamed answer, until one says that nothing follows; each dialect says what they mean."""

    def __init__(self, read: Callable[[bytes], Reply], *, take: Callable[[bytes], str], splitter: Splitter) -> None:
        self._read = read
        """Reads the whole answer that the pieces are put together into."""
        self._take_in = take
        """Takes in one text of the stream, and returns what it adds to the answer's; may raise one of `UNREADABLE`."""
        self._splitter = splitter
        self.problem: bytes | None = None
        """The error that the stream told of, as JSON."""

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self.problem is not None

    def feed(self, data: bytes) -> list[str]:
        """Return the pieces of text that these bytes complete."""
        return [piece for event in self._splitter.feed(data) if not self.ended and (piece := self._taken(event))]

    def _taken(self, event: bytes) -> str:
        try:
            return self._take_in(event)
        except UNREADABLE:
            self.problem = msgspec.json.encode({"error": f"A piece of the stream is broken: {event[:200]!r}"})
            return ""

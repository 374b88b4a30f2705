"""A streamed message: its events put together into the message that they are pieces of; spec/anthropic 4."""

from collections.abc import Callable

import msgspec

from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Reply
from tidyllm.dialects.events import ServerEvents

_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""Which field of its block each kind of delta adds to."""


class Event(msgspec.Struct, frozen=True):
    """One event; each kind has fields of its own."""

    type: str
    index: int = 0
    message: dict[str, object] = {}
    content_block: dict[str, object] = {}
    delta: dict[str, object] = {}
    usage: dict[str, object] = {}


class EventDecoder:
    """Reads the events of one answer."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        self._read = read
        self._events = ServerEvents()
        self._message: dict[str, object] = {}
        self._usage: dict[str, object] = {}
        self._blocks: dict[int, dict[str, object]] = {}
        self._stopped = False
        self.problem: bytes | None = None

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self._stopped or self.problem is not None

    @property
    def whole(self) -> bool:
        """Return whether the message came to its end."""
        return self._stopped

    def feed(self, data: bytes) -> list[str]:
        """Return the pieces of text that these bytes complete."""
        return [piece for event in self._events.feed(data) if not self.ended and (piece := self._take(event))]

    def reply(self) -> Reply:
        """Return the answer that came."""
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return self._read(msgspec.json.encode({**self._message, "usage": self._usage, "content": content}))

    def _take(self, data: bytes) -> str:
        try:
            event = msgspec.json.decode(data, type=Event)
        except UNREADABLE:
            self.problem = msgspec.json.encode({"error": f"A piece of the stream is broken: {data[:200]!r}"})
            return ""
        if event.type == "error":
            self.problem = data
        elif event.type == "message_start":
            self._message = event.message
            self._count(event.message.get("usage"))
        elif event.type == "content_block_start":
            self._blocks[event.index] = dict(event.content_block)
        elif event.type == "content_block_delta":
            return self._add(self._blocks.setdefault(event.index, {"type": "text"}), event.delta)
        elif event.type == "message_delta":
            self._message = self._message | event.delta
            self._count(event.usage)
        elif event.type == "message_stop":
            self._stopped = True
        return ""

    def _count(self, usage: object) -> None:
        """Take in tokens: each report counts from the beginning, and may leave out what has not changed."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _add(self, block: dict[str, object], delta: dict[str, object]) -> str:
        field = _DELTAS.get(str(delta.get("type")))
        if field is not None and isinstance(text := delta.get(field), str):
            block[field] = f"{block.get(field) or ''}{text}"
            return text if field == "text" else ""
        if delta.get("type") == "citations_delta":
            before = block.get("citations")
            block["citations"] = [*(before if isinstance(before, list) else []), delta.get("citation")]
        return ""

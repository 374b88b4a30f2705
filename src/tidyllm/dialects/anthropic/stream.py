"""A streamed message: its events put together into the message that they are pieces of; spec/anthropic 4."""

from collections.abc import Callable

import msgspec

from tidyllm.core.reply import Reply
from tidyllm.dialects.events import PieceDecoder, ServerEvents

_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""Which field of its block each kind of delta adds to."""


class Event(msgspec.Struct, frozen=True):
    """One event; each kind has fields of its own."""

    type: str
    index: int = 0
    message: dict[str, object] = {}
    content_block: dict[str, object] = {}
    delta: dict[str, object] = {}
    usage: object = None


class EventDecoder(PieceDecoder):
    """Reads the events of one answer."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        super().__init__(read, take=self._take, splitter=ServerEvents())
        self._message: dict[str, object] = {}
        self._usage: dict[str, object] = {}
        self._blocks: dict[int, dict[str, object]] = {}
        self._inputs: dict[int, str] = {}
        """What a tool is given, in JSON that comes in pieces."""
        self._stopped = False

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self._stopped or super().ended

    @property
    def whole(self) -> bool:
        """Return whether the message came to its end."""
        return self._stopped

    def reply(self) -> Reply:
        """Return the answer that came."""
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return self._read(msgspec.json.encode({**self._message, "usage": self._usage, "content": content}))

    def _take(self, data: bytes) -> str:
        event = msgspec.json.decode(data, type=Event)
        if event.type == "error":
            self.problem = data
        elif event.type == "message_start":
            self._message = event.message
            self._count(event.message.get("usage"))
        elif event.type == "content_block_start":
            self._blocks[event.index] = dict(event.content_block)
        elif event.type == "content_block_delta":
            return self._add(event.index, event.delta)
        elif event.type == "content_block_stop" and (told := self._inputs.pop(event.index, "")):
            self._blocks[event.index]["input"] = msgspec.json.decode(told)
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

    def _add(self, index: int, delta: dict[str, object]) -> str:
        block = self._blocks.setdefault(index, {"type": "text"})
        field = _DELTAS.get(str(delta.get("type")))
        if field is not None and isinstance(text := delta.get(field), str):
            block[field] = f"{block.get(field) or ''}{text}"
            return text if field == "text" else ""
        if delta.get("type") == "citations_delta":
            before = block.get("citations")
            block["citations"] = [*(before if isinstance(before, list) else []), delta.get("citation")]
        elif delta.get("type") == "input_json_delta":
            self._inputs[index] = f"{self._inputs.get(index, '')}{delta.get('partial_json') or ''}"
        return ""

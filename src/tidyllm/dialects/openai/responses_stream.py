"""A streamed answer of the Responses API: its events, the last of which holds the whole; spec/openai-chat 5.2."""

from collections.abc import Callable
from typing import TypeGuard

import msgspec

from tidyllm.core.reply import Reply
from tidyllm.dialects.events import DONE, PieceDecoder, ServerEvents

_ENDS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""The last events, and the status that each of them means."""
_BEGINS = ("response.created", "response.in_progress", "response.queued")
_TEXT = "response.output_text.delta"
_ITEM = "response.output_item.done"
_BARE = ("error", None)
"""Types of an event that is an error itself; a server may send one in a form of its own."""
_FACTS = ("code", "message", "param")


class Event(msgspec.Struct, frozen=True):
    """One event; what its fields hold depends on its type, and unknown types pass."""

    type: str | None = None
    delta: object = None
    item: object = None
    response: object = None
    error: object = None
    code: object = None
    message: object = None
    param: object = None

    def whole(self) -> dict[str, object]:
        """Return what it tells of the answer as a whole."""
        told = self.response if isinstance(self.response, dict) else {}
        return {name: value for name, value in told.items() if value is not None}

    def problem(self) -> bytes | None:
        """Return the error that it tells of, as JSON."""
        error = None
        if self.type in _ENDS or self.type in _BARE:
            error = self.error or self.whole().get("error")
        if error is None and self.type == "error":
            error = {name: getattr(self, name) for name in _FACTS}
        return msgspec.json.encode({"error": error}) if error is not None else None


class EventDecoder(PieceDecoder):
    """Reads the events of one answer."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        super().__init__(read, take=self._take, splitter=ServerEvents())
        self._done = False
        self._pieces: list[str] = []
        self._items: list[dict[str, object]] = []
        self._told: dict[str, object] = {}
        self.whole = False

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self._done or self.whole or super().ended

    def reply(self) -> Reply:
        """Return the answer that came. Raises BadAnswerError where it is none."""
        return self._read(msgspec.json.encode({**self._told, "output": self._output()}))

    def _take(self, data: bytes) -> str:
        if data == DONE:
            self._done = True
            return ""
        event = msgspec.json.decode(data, type=Event)
        self.problem = event.problem()
        if event.type == _TEXT and isinstance(event.delta, str):
            self._pieces.append(event.delta)
            return event.delta
        if event.type == _ITEM and isinstance(event.item, dict):
            self._items.append(event.item)
        elif event.type in _BEGINS:
            self._told |= event.whole()
        elif event.type in _ENDS and self.problem is None:
            self._told |= {"status": _ENDS[event.type], **event.whole()}
            self.whole = True
        return ""

    def _output(self) -> list[object]:
        """Return the answer's items: those of the last event, or where it has none, those that came before it.

        Thoughts are said to be whole in the event of their own, and need not be in the last one; spec/openai-chat 5.2.
        """
        told = self._told.get("output")
        if isinstance(told, list) and told:
            thoughts = {item["id"]: item for item in self._items if _is_thought(item)}
            return [thoughts.get(item["id"], item) if _is_thought(item) else item for item in told]
        if self._pieces and not any(item.get("type") == "message" for item in self._items):
            text = {"type": "output_text", "text": "".join(self._pieces)}
            return [*self._items, {"type": "message", "role": "assistant", "content": [text]}]
        return [*self._items]


def _is_thought(item: object) -> TypeGuard[dict[str, object]]:
    """Return whether an item holds thoughts, and has a name by which it is found again."""
    return isinstance(item, dict) and item.get("type") == "reasoning" and isinstance(item.get("id"), str)

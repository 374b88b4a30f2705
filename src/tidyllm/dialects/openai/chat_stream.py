"""A streamed chat completion: its chunks put together into the whole that they are pieces of; spec/openai-chat 5.1."""

from collections.abc import Callable, Mapping

import msgspec

from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Reply
from tidyllm.dialects.events import DONE, ServerEvents
from tidyllm.dialects.openai.chat_shapes import Part

_TEXTS = ("content", "refusal", "reasoning", "reasoning_content")
_LISTS = ("annotations", "reasoning_details")


class Delta(msgspec.Struct, frozen=True):
    """What a chunk adds to a choice; of a message's fields some servers send one that says nothing."""

    delta: dict[str, object] = {}
    finish_reason: str | None = None
    logprobs: dict[str, object] | None = None
    index: int = 0
    error: object = None


class Chunk(msgspec.Struct, frozen=True):
    """One chunk of an answer."""

    choices: list[Delta] | None = None
    id: str | None = None
    model: str | None = None
    usage: dict[str, object] | None = None
    error: object = None
    x_groq: dict[str, object] | None = None


class ChunkDecoder:
    """Reads the chunks of one answer; only the first choice counts, for no other is asked for."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        self._read = read
        self._events = ServerEvents()
        self._done = False
        self._finish: str | None = None
        self._message: dict[str, object] = {}
        self._logprobs: list[object] = []
        self._rest: dict[str, object] = {}
        self.problem: bytes | None = None

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self._done or self.problem is not None

    @property
    def whole(self) -> bool:
        """Return whether the model has finished; some servers do not say `[DONE]` besides."""
        return self._finish is not None

    def feed(self, data: bytes) -> list[str]:
        """Return the pieces of text that these bytes complete."""
        return [piece for event in self._events.feed(data) if not self.ended and (piece := self._take(event))]

    def reply(self) -> Reply:
        """Return the answer that came."""
        logprobs = {"content": self._logprobs} if self._logprobs else None
        choice = {"message": self._message, "finish_reason": self._finish, "logprobs": logprobs}
        return self._read(msgspec.json.encode({**self._rest, "choices": [choice]}))

    def _take(self, event: bytes) -> str:
        if event == DONE:
            self._done = True
            return ""
        try:
            chunk = msgspec.json.decode(event, type=Chunk)
        except UNREADABLE:
            self.problem = msgspec.json.encode({"error": f"A piece of the stream is broken: {event[:200]!r}"})
            return ""
        error = chunk.error or next((one.error for one in chunk.choices or [] if one.error), None)
        error = error or (chunk.x_groq or {}).get("error")
        if error:
            self.problem = msgspec.json.encode({"error": error})
            return ""
        self._note(chunk)
        return "".join(self._add(one) for one in (chunk.choices or [])[:1] if one.index == 0)

    def _note(self, chunk: Chunk) -> None:
        """Keep what belongs to the answer as a whole."""
        usage = chunk.usage or (chunk.x_groq or {}).get("usage")
        told = {"id": chunk.id, "model": chunk.model, "usage": usage, "x_groq": chunk.x_groq}
        self._rest |= {name: value for name, value in told.items() if value}

    def _add(self, one: Delta) -> str:
        # OpenRouter repeats the reason in its last chunk; spec/openrouter 3.
        self._finish = one.finish_reason or self._finish
        if one.logprobs and isinstance(tokens := one.logprobs.get("content"), list):
            self._logprobs += tokens
        said = _flat(one.delta)
        for name in _TEXTS:
            if isinstance(text := said.get(name), str) and text:
                self._message[name] = f"{self._message.get(name) or ''}{text}"
        for name in _LISTS:
            if isinstance(items := one.delta.get(name), list):
                before = self._message.get(name)
                self._message[name] = [*(before if isinstance(before, list) else []), *items]
        return str(said.get("content") or "")


def _flat(delta: Mapping[str, object]) -> Mapping[str, object]:
    """Return a delta whose content is in parts with its text and its thoughts as texts; spec/mistral 4."""
    if not isinstance(delta.get("content"), list):
        return delta
    parts = msgspec.convert(delta["content"], list[Part])
    said = "".join(part.text or "" for part in parts)
    return {**delta, "content": said, "reasoning_content": "".join(text for part in parts for text in part.thoughts())}

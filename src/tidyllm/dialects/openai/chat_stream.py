"""A streamed chat completion: its chunks put together into the whole that they are pieces of; spec/openai-chat 5.1."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from tidyllm.core.reply import Reply
from tidyllm.dialects.events import DONE, PieceDecoder, ServerEvents
from tidyllm.dialects.openai.chat_shapes import Part

_Detail: TypeAlias = dict[str, object]


class DeltaMessage(msgspec.Struct, frozen=True):
    """What a chunk adds to the message."""

    content: str | list[Part] | None = None
    refusal: object = None
    reasoning: object = None
    reasoning_content: object = None
    annotations: list[object] | None = None
    reasoning_details: list[_Detail] | None = None

    def parts(self) -> list[Part]:
        """Return the pieces that it adds to the content; spec/mistral 4."""
        if isinstance(self.content, list):
            return self.content
        return [Part(text=self.content)] if self.content else []

    def texts(self) -> dict[str, str]:
        """Return what it adds to the texts apart from the content, by their fields."""
        told = {"refusal": self.refusal, "reasoning": self.reasoning, "reasoning_content": self.reasoning_content}
        return {name: text for name, text in told.items() if isinstance(text, str) and text}


class Delta(msgspec.Struct, frozen=True):
    """What a chunk adds to a choice; some servers send one that says nothing."""

    delta: DeltaMessage | None = None
    finish_reason: str | None = None
    logprobs: dict[str, object] | None = None
    index: int | None = None
    error: object = None


class Chunk(msgspec.Struct, frozen=True):
    """One chunk of an answer."""

    choices: list[Delta] | None = None
    id: str | None = None
    model: str | None = None
    usage: object = None
    error: object = None
    message: object = None
    """Of an error that is not wrapped in `error`; spec/mistral 12, spec/vllm 6, spec/llamacpp 2."""
    x_groq: dict[str, object] | None = None

    def problem(self, event: bytes) -> bytes | None:
        """Return the error that it tells of, as JSON; `event` is the chunk as it came."""
        if self.choices is None and self.error is None and self.message:
            return event
        error = self.error or next((one.error for one in self.choices or [] if one.error), None)
        error = error or (self.x_groq or {}).get("error")
        return msgspec.json.encode({"error": error}) if error else None


class ChunkDecoder(PieceDecoder):
    """Reads the chunks of one answer; only the first choice counts, for no other is asked for."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        super().__init__(read, take=self._take, splitter=ServerEvents())
        self._done = False
        self._finish: str | None = None
        self._parts: list[Part] = []
        self._blank = False
        """Whether a content came that says nothing: an empty answer is one, but no content is none."""
        self._texts: dict[str, list[str]] = {}
        self._annotations: list[object] = []
        self._details: list[_Detail] = []
        self._logprobs: list[object] = []
        self._rest: dict[str, object] = {}

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self._done or super().ended

    @property
    def whole(self) -> bool:
        """Return whether the model has finished; some servers do not say `[DONE]` besides."""
        return self._finish is not None

    def reply(self) -> Reply:
        """Return the answer that came."""
        message: dict[str, object] = {name: "".join(pieces) for name, pieces in self._texts.items()}
        blank = "" if self._blank and self._finish in _ANSWERED and "refusal" not in message else None
        message |= {"content": self._parts or blank}
        message |= {"annotations": self._annotations, "reasoning_details": self._details}
        logprobs = {"content": self._logprobs} if self._logprobs else None
        choice = {"message": message, "finish_reason": self._finish, "logprobs": logprobs}
        return self._read(msgspec.json.encode({**self._rest, "choices": [choice]}))

    def _take(self, event: bytes) -> str:
        if event == DONE:
            self._done = True
            return ""
        chunk = msgspec.json.decode(event, type=Chunk)
        self.problem = chunk.problem(event)
        if self.problem is not None:
            return ""
        self._note(chunk)
        return "".join(self._add(one) for one in (chunk.choices or [])[:1] if not one.index)

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
        said = one.delta or DeltaMessage()
        for name, text in said.texts().items():
            self._texts.setdefault(name, []).append(text)
        self._annotations += said.annotations or []
        for detail in said.reasoning_details or []:
            self._add_detail(detail)
        self._blank = self._blank or said.content == ""
        self._parts += said.parts()
        return "".join(part.text or "" for part in said.parts())

    def _add_detail(self, detail: _Detail) -> None:
        """Keep a piece of reasoning, or the next words of the one before; spec/openrouter 3."""
        if self._details and _goes_on(self._details[-1], detail):
            self._details[-1] = _grown(self._details[-1], detail)
        else:
            self._details.append(detail)


def _goes_on(before: Mapping[str, object], detail: Mapping[str, object]) -> bool:
    """Return whether a piece of reasoning is the next words of the one before, and not one of its own."""
    same = all(before.get(name) == detail.get(name) for name in ("type", "index"))
    return same and detail.get("type") in _GROWING and detail.get("id") in (None, before.get("id"))


def _grown(before: _Detail, detail: _Detail) -> _Detail:
    """Return a piece of reasoning with its next words; what only the later one tells, as a signature, is added."""
    words = _GROWING[str(detail["type"])]
    told = {name: value for name, value in detail.items() if value is not None}
    return {**before, **told, words: f"{before.get(words) or ''}{detail.get(words) or ''}"}


_ANSWERED = ("stop", "length")
"""Reasons for stopping of a model that had its say, be it an empty one."""
_GROWING = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""The kinds of pieces that come a few words at a time, and the fields that hold them; encrypted ones come whole."""

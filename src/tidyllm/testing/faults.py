"""What a fault makes of a good answer of the simulated model."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from tidyllm.testing import answers
from tidyllm.testing.answers import JSON, Answer, Stream
from tidyllm.testing.behavior import Behavior, Fault

DRIPS = 10
PIECE_BYTES = 64 * 1024
_HALF = 0.5
_GZIP = 31
"""What zlib calls gzip with its largest window."""


class Faults:
    """Spoils answers, or only makes them odd. A bomb is packed when this is made, for that takes a moment."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior
        self._bomb = packed(behavior.huge_bytes) if behavior.bomb_rate else b""
        self._spoilers: Mapping[Fault, Callable[[Answer, float], Answer]] = {
            Fault.ERROR: lambda answer, _: answers.server_error(answer.request_id),
            Fault.BROKEN: self._break,
            Fault.RESET: lambda answer, _: msgspec.structs.replace(answer, reset=True),
            Fault.CUT: lambda answer, _: _cut(answer),
            Fault.PRETTY: lambda answer, _: _pretty(answer),
            Fault.WRONG_TYPE: lambda answer, _: msgspec.structs.replace(answer, content_type="text/plain"),
            Fault.HUGE: self._inflate,
            Fault.BOMB: self._mine,
            Fault.DRIP: self._drip,
            Fault.DECLINE: lambda answer, _: _said(answer, _decline),
            Fault.TRUNCATE: lambda answer, _: _said(answer, _truncate),
        }

    def spoil(self, answer: Answer, fault: Fault, *, chance: float) -> Answer:
        """Return what becomes of a good answer; `chance` in [0, 1) decides where a fault has variants."""
        return self._spoilers[fault](answer, chance)

    def _break(self, answer: Answer, chance: float) -> Answer:
        return answers.not_json(answer.request_id) if chance < _HALF else _cut(answer)

    def _inflate(self, answer: Answer, chance: float) -> Answer:
        size = self._behavior.huge_bytes
        stream = Stream(pieces=Padded(size), length=size if chance < _HALF else None)
        return Answer(body=b"", stream=stream, request_id=answer.request_id, broken=True)

    def _mine(self, answer: Answer, _chance: float) -> Answer:
        headers = (("content-encoding", "gzip"),)
        return Answer(body=self._bomb, headers=headers, request_id=answer.request_id, broken=True)

    def _drip(self, answer: Answer, _chance: float) -> Answer:
        body = answer.body
        step = -(-len(body) // DRIPS)
        pieces = [body[start : start + step] for start in range(0, len(body), step)]
        stream = Stream(pieces=pieces, length=len(body), pause_s=self._behavior.drip_s / (len(pieces) - 1))
        return msgspec.structs.replace(answer, stream=stream)


def _said(answer: Answer, change: Callable[[dict[str, Any]], None]) -> Answer:
    """Return a chat completion with another choice; anything else as it is."""
    completion = msgspec.json.decode(answer.body) if answer.content_type == JSON else {}
    for choice in completion.get("choices", ()):
        change(choice)
    return msgspec.structs.replace(answer, body=msgspec.json.encode(completion)) if completion else answer


def _decline(choice: dict[str, Any]) -> None:
    choice["message"] |= {"content": None, "refusal": "I cannot help with that."}


def _truncate(choice: dict[str, Any]) -> None:
    text = choice["message"]["content"]
    choice["message"]["content"], choice["finish_reason"] = text[: len(text) // 2], "length"


class Padded(msgspec.Struct, frozen=True):
    """A JSON text of so many bytes, of which no more than a piece is in memory."""

    size: int

    def __iter__(self) -> Iterator[bytes]:
        """Give it piece by piece."""
        start, end = b'{"object":"chat.completion","padding":"', b'"}'
        filling = b"x" * PIECE_BYTES
        pieces, rest = divmod(self.size - len(start) - len(end), PIECE_BYTES)
        yield start + filling[:rest]
        for _ in range(pieces):
            yield filling
        yield end


def packed(size: int) -> bytes:
    """Return the gzip of a JSON text of so many bytes."""
    packer = zlib.compressobj(wbits=_GZIP)
    return b"".join([*map(packer.compress, Padded(size)), packer.flush()])


def _cut(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, cut=True, broken=True)


def _pretty(answer: Answer) -> Answer:
    """Return the same JSON on many lines, or events with other line ends, which are as good."""
    text = msgspec.json.format(answer.body, indent=2) if answer.content_type == JSON else answer.body
    return msgspec.structs.replace(answer, body=text.replace(b"\n", b"\r\n"))

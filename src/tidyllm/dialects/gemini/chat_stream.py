"""A streamed answer: its chunks put together into the whole that they are pieces of; spec/gemini 4."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from tidyllm.core.reply import Reply
from tidyllm.dialects.events import PieceDecoder, ServerEvents
from tidyllm.dialects.gemini.chat_shapes import (
    Candidate,
    Content,
    Generated,
    LogprobsResult,
    Part,
    is_thought,
    said,
    told,
)
from tidyllm.dialects.gemini.grounding import CitationMetadata, Grounding

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

_MERE_TEXT = frozenset({"text", "thought"})


class ChunkDecoder(PieceDecoder):
    """Reads the chunks of one answer, each of them a small answer; nothing marks the last but the stream's end."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        super().__init__(read, take=self._take, splitter=ServerEvents())
        self._said = Generated()

    @property
    def whole(self) -> bool:
        """Return whether the model has finished, or never begins."""
        candidate = self._said.candidate() or Candidate()
        return told(candidate.finish_reason) is not None or self._said.refusal() is not None

    def reply(self) -> Reply:
        """Return the answer that came."""
        return self._read(msgspec.json.encode(self._said))

    def _take(self, event: bytes) -> str:
        chunk = msgspec.json.decode(event, type=Generated)
        if chunk.error:
            self.problem = msgspec.json.encode({"error": chunk.error})
            return ""
        self._said = _joined(self._said, chunk)
        return (chunk.candidate() or Candidate()).text() or ""


def _joined(before: Generated, chunk: Generated) -> Generated:
    one, other = before.candidate(), chunk.candidate()
    candidate = one or other if one is None or other is None else _joined_candidate(one, other)
    return msgspec.structs.replace(
        _updated(before, chunk),
        candidates=None if candidate is None else [candidate],
        usage_metadata=_joined_usage(before.usage_metadata, chunk.usage_metadata),
    )


def _joined_candidate(before: Candidate, later: Candidate) -> Candidate:
    return msgspec.structs.replace(
        _updated(before, later),
        content=Content(_joined_parts(before.parts(), later.parts())),
        grounding_metadata=_joined_grounding(
            before.grounding_metadata or Grounding(), later.grounding_metadata or Grounding()
        ),
        citation_metadata=_joined_citations(
            before.citation_metadata or CitationMetadata(), later.citation_metadata or CitationMetadata()
        ),
        logprobs_result=_joined_logprobs(
            before.logprobs_result or LogprobsResult(), later.logprobs_result or LogprobsResult()
        ),
    )


def _joined_parts(before: Sequence[dict[str, object]], later: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return all pieces; those that flow into each other become one, but what is signed stays as it was signed."""
    parts = list(before)
    for part in later:
        last = parts[-1] if parts else {}
        if _is_mere_text(last) and _is_mere_text(part) and is_thought(last) == is_thought(part):
            parts[-1] = {**last, "text": f"{last['text']}{part['text']}"}
        else:
            parts.append(part)
    return parts


def _is_mere_text(part: Part) -> bool:
    return part.keys() <= _MERE_TEXT and said(part) is not None


def _joined_grounding(before: Grounding, later: Grounding) -> Grounding:
    """Return what the later chunk says, which repeats the earlier ones', with the sources that it does not repeat.

    Passages name sources by their number in the list that came with them: it stays in front.
    """
    one, other = before.grounding_chunks or [], later.grounding_chunks or []
    if later.grounding_supports:
        return Grounding(_united(other, one), later.grounding_supports)
    return Grounding(_united(one, other), before.grounding_supports)


def _joined_citations(before: CitationMetadata, later: CitationMetadata) -> CitationMetadata:
    return CitationMetadata(_united(before.citation_sources or [], later.citation_sources or []))


def _joined_logprobs(before: LogprobsResult, later: LogprobsResult) -> LogprobsResult:
    return LogprobsResult(
        [*(before.chosen_candidates or []), *(later.chosen_candidates or [])],
        [*(before.top_candidates or []), *(later.top_candidates or [])],
    )


def _joined_usage(before: object, later: object) -> dict[str, object]:
    """Return the counts of both; where both have one, the later is right."""
    one, other = (told if isinstance(told, dict) else {} for told in (before, later))
    return one | {name: count for name, count in other.items() if count is not None}


def _united(one: Sequence[T], other: Sequence[T]) -> list[T]:
    """Return one list, followed by what the other has besides."""
    return [*one, *(item for item in other if item not in one)]


def _updated(before: S, later: S) -> S:
    """Return a value with the fields that the later one tells."""
    news = {name: value for name in later.__struct_fields__ if (value := getattr(later, name)) is not None}
    return msgspec.structs.replace(before, **news)

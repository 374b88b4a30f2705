"""The Responses API on the wire, as OpenAI and Perplexity answer; unknown fields and unknown kinds of items pass."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from tidyllm.core.reply import Citation, TokenLikelihood
from tidyllm.dialects.openai.chat_shapes import TokenChance
from tidyllm.dialects.openai.shapes import OutputDetails
from tidyllm.dialects.usage import Count

T = TypeVar("T")


class Remark(msgspec.Struct, frozen=True):
    """An annotation of a text: a source on the web, or a file; other kinds have fields of their own."""

    url: str | None = None
    title: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    index: int | None = None
    """Of a file that the answer drew upon: where its mark would stand."""

    def citations(self, at: int) -> Iterator[Citation]:
        """Yield the source that it names, if it does; `at` is where its text begins in the whole answer."""
        if self.url or self.filename:
            start, end = (self.index if place is None else place for place in (self.start_index, self.end_index))
            yield Citation(
                url=self.url or None,
                title=self.title or self.filename or None,
                start=None if start is None else start + at,
                end=None if end is None else end + at,
            )


class Piece(msgspec.Struct, frozen=True):
    """A part of a message's content or of a summary: a text, or a refusal."""

    text: str | None = None
    refusal: str | None = None
    annotations: list[Remark] | None = None
    logprobs: list[TokenChance] | None = None

    def likelihoods(self) -> Iterator[TokenLikelihood]:
        """Yield how likely each token was."""
        for one in self.logprobs or []:
            yield TokenLikelihood(token=one.token, logprob=one.logprob, alternatives=tuple(one.top_logprobs or ()))


class MessageItem(msgspec.Struct, frozen=True):
    """What the model said; there may be several, as of comments before the answer."""

    content: list[Piece] | None = None


class ReasoningItem(msgspec.Struct, frozen=True):
    """What the model thought: told in whole, in a summary, or in a form that its provider alone can read."""

    summary: list[Piece] | None = None
    content: list[Piece] | None = None
    encrypted_content: str | None = None

    def thoughts(self) -> list[str]:
        """Return what is told of them, in whole where that is told."""
        return _texts(self.content or []) or _texts(self.summary or [])


class SearchResult(msgspec.Struct, frozen=True):
    """A page that was found; spec/perplexity 3."""

    url: str | None = None
    title: str | None = None
    snippet: str | None = None

    def citation(self) -> Citation:
        """Return it as a source."""
        return Citation(url=self.url or None, title=self.title or None, quote=self.snippet or None)


class SearchItem(msgspec.Struct, frozen=True):
    """What a search found, which is what Perplexity's answers rest on; spec/perplexity 3."""

    results: list[SearchResult] | None = None


class InputDetails(msgspec.Struct, frozen=True):
    """What the input tokens were, with the words of OpenAI and those of Perplexity."""

    cached_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None


class Cost(msgspec.Struct, frozen=True):
    """What the answer cost, in US dollars; spec/perplexity 3."""

    total_cost: float | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens, and what they cost where that is told."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    cost: Cost | None = None

    def cached(self) -> int | None:
        """Return how many of the input tokens had been kept."""
        told = self.input_tokens_details or InputDetails()
        return told.cache_read_input_tokens if told.cached_tokens is None else told.cached_tokens

    def reasoning(self) -> int | None:
        """Return how many of the output tokens were thoughts."""
        return (self.output_tokens_details or OutputDetails()).reasoning_tokens

    def total_cost(self) -> float | None:
        """Return what the answer cost."""
        return (self.cost or Cost()).total_cost


class Incomplete(msgspec.Struct, frozen=True):
    """Why an answer was broken off."""

    reason: str | None = None


class ResponseObject(msgspec.Struct, frozen=True):
    """An answer; spec/openai-chat 4.5, spec/perplexity 3."""

    output: list[dict[str, object]] | None = None
    id: str | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: Incomplete | None = None
    usage: object = None
    error: object = None

    def items(self, kind: str, shape: type[T]) -> list[T]:
        """Return its items of one kind. Raises ValidationError where they are not as documented."""
        return [msgspec.convert(item, shape) for item in self.output or [] if item.get("type") == kind]

    def kinds(self) -> list[str]:
        """Return the kinds of its items, in their order."""
        return [str(item.get("type")) for item in self.output or []]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of an answer's items."""

    pieces: list[Piece]
    reasoning: list[ReasoningItem]
    found: list[SearchItem]

    def text(self) -> str | None:
        """Return what the answer says; null where it says nothing."""
        texts = _texts(self.pieces)
        return "".join(texts) if texts else None

    def refusal(self) -> str | None:
        """Return why the model declined."""
        return "".join(piece.refusal or "" for piece in self.pieces) or None

    def thoughts(self) -> str | None:
        """Return what is told of the model's thoughts, section by section."""
        return "\n\n".join(text for item in self.reasoning for text in item.thoughts() if text) or None

    def citations(self) -> tuple[Citation, ...]:
        """Return the sources that the text names, and then each page that was found, once."""
        results = (result for item in self.found for result in item.results or [])
        return (*self._cited(), *dict.fromkeys(result.citation() for result in results))

    def likelihoods(self) -> tuple[TokenLikelihood, ...]:
        """Return how likely each token was."""
        return tuple(one for piece in self.pieces for one in piece.likelihoods())

    def is_encrypted(self) -> bool:
        """Return whether there are thoughts, all of them in the form that can be given back."""
        return bool(self.reasoning) and all(item.encrypted_content for item in self.reasoning)

    def _cited(self) -> Iterator[Citation]:
        at = 0
        for piece in self.pieces:
            for remark in piece.annotations or []:
                yield from remark.citations(at)
            at += len(piece.text or "")


def output_of(said: ResponseObject) -> Output:
    """Return what the items of an answer say. Raises ValidationError where they are not as documented."""
    messages = said.items("message", MessageItem)
    return Output(
        pieces=[piece for message in messages for piece in message.content or []],
        reasoning=said.items("reasoning", ReasoningItem),
        found=said.items("search_results", SearchItem),
    )


def _texts(pieces: Sequence[Piece]) -> list[str]:
    return [piece.text for piece in pieces if piece.text is not None]

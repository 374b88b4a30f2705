"""Messages on the wire; unknown fields and kinds of blocks pass; spec/anthropic 2e and 3."""

from collections.abc import Iterator

import msgspec

from tidyllm.core.reply import Citation
from tidyllm.dialects.usage import Count


class Source(msgspec.Struct, frozen=True):
    """What a text cites: a page of the web, a document, a search result."""

    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


class Block(msgspec.Struct, frozen=True):
    """A piece of an answer; each kind has fields of its own."""

    type: str
    text: str | None = None
    thinking: str | None = None
    citations: list[Source] | None = None

    def is_plain(self) -> bool:
        """Return whether it is text and nothing besides."""
        return self.type == "text" and not self.citations


class StopDetails(msgspec.Struct, frozen=True):
    """Why the model declined."""

    category: str | None = None
    explanation: str | None = None


class OutputDetails(msgspec.Struct, frozen=True):
    """What the output tokens were."""

    thinking_tokens: Count | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens; those that were or are being cached are no part of `input_tokens`."""

    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None
    output_tokens_details: OutputDetails | None = None

    def tokens_in(self) -> int | None:
        """Return all tokens of the prompt."""
        if self.input_tokens is None:
            return None
        return self.input_tokens + (self.cache_creation_input_tokens or 0) + (self.cache_read_input_tokens or 0)

    def reasoning(self) -> int | None:
        """Return how many of the answer's tokens were thoughts."""
        return None if self.output_tokens_details is None else self.output_tokens_details.thinking_tokens


class Message(msgspec.Struct, frozen=True):
    """An answer."""

    content: list[dict[str, object]]
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: object = None

    def blocks(self) -> list[Block]:
        """Return the pieces of the answer. Raises msgspec.ValidationError where one is none."""
        return msgspec.convert(self.content, list[Block])

    def refusal(self) -> str | None:
        """Return why the model declined, where it did."""
        if self.stop_reason != "refusal":
            return None
        told = self.stop_details or StopDetails()
        return told.explanation or f"The model declined{f' ({told.category})' if told.category else ''}."


def citations(blocks: list[Block]) -> Iterator[Citation]:
    """Yield the sources that an answer names, each with the place of the text that cites it."""
    at = 0
    for block in blocks:
        text = block.text or ""
        for source in block.citations or []:
            yield Citation(
                url=source.url or source.source,
                title=source.title or source.document_title,
                quote=source.cited_text,
                start=at,
                end=at + len(text),
            )
        at += len(text)

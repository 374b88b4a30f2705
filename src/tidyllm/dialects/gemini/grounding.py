"""Where an answer's words come from: bytes of the API's parts into characters of our text; spec/gemini 3.

A segment names a part and bytes of it. What it names need not hold, as where thoughts stand before the answer or a
stream cuts its parts another way: a place counts only where the words that the segment quotes stand there.
"""

from collections.abc import Iterator, Sequence

import msgspec

from tidyllm.core.reply import Citation


class Source(msgspec.Struct, frozen=True):
    """A page, a place on a map or a document."""

    uri: str | None = None
    title: str | None = None
    text: str | None = None


class GroundingChunk(msgspec.Struct, frozen=True, rename="camel"):
    """A source, under the name of its kind."""

    web: Source | None = None
    maps: Source | None = None
    retrieved_context: Source | None = None

    def source(self) -> Source:
        """Return what it names; nothing where it is of another kind."""
        return self.web or self.maps or self.retrieved_context or Source()


class Segment(msgspec.Struct, frozen=True, rename="camel"):
    """A passage of the answer, in bytes of UTF-8; zeros are left out."""

    part_index: int | None = None
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class GroundingSupport(msgspec.Struct, frozen=True, rename="camel"):
    """A passage, and which sources it rests on."""

    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class Grounding(msgspec.Struct, frozen=True, rename="camel"):
    """All sources, and what rests on them."""

    grounding_chunks: list[GroundingChunk] | None = None
    grounding_supports: list[GroundingSupport] | None = None


class CitationSource(msgspec.Struct, frozen=True, rename="camel"):
    """What a passage was recited from, in bytes of the whole answer."""

    uri: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class CitationMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """All that was recited."""

    citation_sources: list[CitationSource] | None = None


def grounded(grounding: Grounding, texts: Sequence[str | None]) -> Iterator[Citation]:
    """Yield a citation for each passage and source of it, and one for each source that no passage rests on.

    `texts` has the answer's parts, null for one that is not of its text.
    """
    sources = [chunk.source() for chunk in grounding.grounding_chunks or []]
    used: set[int] = set()
    for support in grounding.grounding_supports or []:
        start, end = _place(support.segment or Segment(), texts)
        for number in support.grounding_chunk_indices or []:
            if 0 <= number < len(sources):
                used.add(number)
                yield _citation(sources[number], start=start, end=end)
    for number, source in enumerate(sources):
        if number not in used and (source.uri or source.title):
            yield _citation(source)


def recited(metadata: CitationMetadata, text: str) -> Iterator[Citation]:
    """Yield a citation for each passage that was recited."""
    for source in metadata.citation_sources or []:
        segment = Segment(start_index=source.start_index, end_index=source.end_index)
        start, end = _place(segment, [text])
        yield _citation(Source(uri=source.uri, title=source.title), start=start, end=end)


def _citation(source: Source, *, start: int | None = None, end: int | None = None) -> Citation:
    return Citation(url=source.uri, title=source.title, quote=source.text, start=start, end=end)


def _place(segment: Segment, texts: Sequence[str | None]) -> tuple[int | None, int | None]:
    """Return where in the answer's text a passage is, in characters; nulls where that cannot be told."""
    first, last = segment.start_index or 0, segment.end_index or 0
    for before, text in _readings(segment.part_index or 0, texts):
        told = text.encode()
        passage = told[first:last]
        if 0 <= first < last <= len(told) and (segment.text is None or passage == segment.text.encode()):
            start, end = (len(told[:at].decode(errors="ignore")) for at in (first, last))
            return before + start, before + end
    return None, None


def _readings(part: int, texts: Sequence[str | None]) -> Iterator[tuple[int, str]]:
    """Yield the texts whose bytes may be meant, with the characters before them: the part's own, and the whole."""
    if 0 <= part < len(texts) and (own := texts[part]) is not None:
        yield sum(len(text or "") for text in texts[:part]), own
    yield 0, "".join(text or "" for text in texts)

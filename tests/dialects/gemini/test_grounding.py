"""Bytes of the API's parts into characters of our text."""

import json

import pytest

from tidyllm.core.reply import Citation
from tidyllm.dialects.gemini.chat import GenerateContent

THOUGHT: dict[str, object] = {"text": "Überlegung", "thought": True}
TEXTS: list[dict[str, object]] = [{"text": "Grüße. "}, {"text": "Ähnlich: 🙂 gut."}]
WEB = {"web": {"uri": "https://a.example", "title": "a"}}


def citations(parts: list[dict[str, object]], **candidate: object) -> tuple[Citation, ...]:
    body = {"candidates": [{"content": {"parts": parts}} | candidate]}
    return GenerateContent().read(json.dumps(body).encode()).citations


def cited(segment: object, *parts: dict[str, object]) -> str | None:
    """Return the words of the answer that a citation of that segment names."""
    supports = [{"segment": segment, "groundingChunkIndices": [0]}]
    (source,) = citations([*parts], groundingMetadata={"groundingChunks": [WEB], "groundingSupports": supports})
    assert source.url == "https://a.example"
    text = "".join(str(part["text"]) for part in parts if "thought" not in part)
    return None if source.start is None else text[source.start : source.end]


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ({"endIndex": 7, "text": "Grüße"}, "Grüße"),
        ({"startIndex": 0, "endIndex": 7}, "Grüße"),
        ({"partIndex": 1, "startIndex": 10, "endIndex": 14, "text": "🙂"}, "🙂"),
        ({"partIndex": 1, "startIndex": 15, "endIndex": 19}, "gut."),
        # Counted in the whole text, although a part is named, or none.
        ({"partIndex": 1, "startIndex": 9, "endIndex": 17, "text": "Ähnlich"}, "Ähnlich"),
        ({"startIndex": 9, "endIndex": 17, "text": "Ähnlich"}, "Ähnlich"),
        ({"partIndex": 7, "startIndex": 9, "endIndex": 17}, "Ähnlich"),
        # Nowhere.
        ({"startIndex": 1, "endIndex": 4, "text": "gut"}, None),
        ({"startIndex": 1, "endIndex": 4000}, None),
        ({"startIndex": 5, "endIndex": 5}, None),
        ({"startIndex": -5, "endIndex": 2}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_passage_is_found_by_its_bytes(segment: object, words: str | None) -> None:
    assert cited(segment, *TEXTS) == words


def test_thoughts_before_the_answer_do_not_shift_it() -> None:
    assert cited({"partIndex": 1, "endIndex": 7, "text": "Grüße"}, THOUGHT, *TEXTS) == "Grüße"
    assert cited({"partIndex": 0, "endIndex": 7, "text": "Grüße"}, THOUGHT, *TEXTS) == "Grüße"
    assert cited({"partIndex": 2, "endIndex": 9}, THOUGHT, *TEXTS) == "Ähnlich:"


def test_a_source_of_any_kind_is_named() -> None:
    sources = [
        {"maps": {"uri": "https://maps.example", "title": "Café", "placeId": "p"}},
        {"retrievedContext": {"title": "notes.pdf", "text": "As it was."}},
        {"image": {"sourceUri": "https://of.tomorrow.example"}},
        {"web": None},
    ]
    assert citations(TEXTS, groundingMetadata={"groundingChunks": sources}) == (
        Citation(url="https://maps.example", title="Café"),
        Citation(title="notes.pdf", quote="As it was."),
    )


def test_a_passage_that_names_no_source_is_passed_over() -> None:
    supports = [{"groundingChunkIndices": [3, -1]}, {"segment": {"endIndex": 2}, "groundingChunkIndices": None}]
    assert citations(TEXTS, groundingMetadata={"groundingSupports": supports}) == ()
    assert citations(TEXTS, groundingMetadata={}, citationMetadata={}) == ()


def test_what_was_recited_is_a_citation() -> None:
    sources = [{"uri": "https://b.example", "startIndex": 2, "endIndex": 6, "license": "mit"}, {"title": "A book"}]
    assert citations(TEXTS, citationMetadata={"citationSources": sources}) == (
        Citation(url="https://b.example", start=2, end=4),
        Citation(title="A book"),
    )

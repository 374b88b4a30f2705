"""Chunks put together; whole streams are played by tests/conformance."""

import json

import pytest

from tidyllm.core.reply import Opaque, Reply
from tidyllm.dialects.gemini.chat import GenerateContent
from tidyllm.dialects.gemini.chat_stream import ChunkDecoder


def fed(*chunks: object) -> ChunkDecoder:
    decoder = GenerateContent().decoder()
    decoder.feed(b"".join(b"data: %s\r\n\r\n" % json.dumps(chunk).encode() for chunk in chunks))
    return decoder


def chunk(*parts: dict[str, object], **candidate: object) -> dict[str, object]:
    return {"candidates": [{"content": {"role": "model", "parts": parts}} | candidate]}


def test_a_streamed_answer_is_the_answer_that_would_have_come_at_once() -> None:
    whole = chunk(
        {"text": "Hm.", "thought": True},
        {"text": "Hello."},
        finishReason="STOP",
        citationMetadata={"citationSources": [{"uri": "https://a.example", "startIndex": 0, "endIndex": 5}]},
        logprobsResult={
            "chosenCandidates": [{"token": "Hel", "logProbability": -1.0}, {"token": "lo.", "logProbability": -2.0}],
            "topCandidates": [{"candidates": [{"token": "Hel", "logProbability": -1.0}]}, {}],
        },
    ) | {"modelVersion": "m-1", "responseId": "r", "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 3}}
    chosen, top = whole["candidates"][0]["logprobsResult"].values()  # type: ignore[index]
    source = whole["candidates"][0]["citationMetadata"]  # type: ignore[index]
    pieces = [
        {"modelVersion": "m-1", "responseId": "r", "usageMetadata": {"promptTokenCount": 2}},
        chunk({"text": "H", "thought": True}),
        chunk({"text": "m.", "thought": True}),
        chunk(
            {"text": "Hel"},
            logprobsResult={"chosenCandidates": chosen[:1], "topCandidates": top[:1]},
            citationMetadata=source,
        ),
        chunk({"text": "lo."}, logprobsResult={"chosenCandidates": chosen[1:], "topCandidates": top[1:]}),
        {"candidates": [{"finishReason": "STOP", "citationMetadata": source}]},
        {"usageMetadata": {"candidatesTokenCount": 3}},
    ]
    decoder = fed(*pieces)
    assert (decoder.whole, decoder.ended) == (True, False)
    assert decoder.reply() == GenerateContent().read(json.dumps(whole).encode())


def test_signed_pieces_stay_as_they_were_signed() -> None:
    parts: list[dict[str, object]] = [
        {"text": "Hel"},
        {"text": "lo", "thoughtSignature": "a"},
        {"text": "."},
        {"executableCode": {"code": "1"}},
        {"text": ""},
    ]
    decoder = fed(*(chunk(part) for part in parts))
    assert decoder.reply().opaque == Opaque("generate_content", parts)


@pytest.mark.parametrize(
    ("last", "whole"),
    [
        (chunk(finishReason="STOP"), True),
        (chunk(finishReason="FINISH_REASON_UNSPECIFIED"), False),
        (chunk(), False),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
        (chunk({"text": "no"}, index=1, finishReason="STOP"), False),
    ],
)
def test_an_answer_is_whole_when_the_model_has_finished(last: object, *, whole: bool) -> None:
    decoder = fed(chunk({"text": "Hello."}), last)
    assert decoder.whole is whole
    assert decoder.reply().text == "Hello."


def test_a_stream_of_nothing_is_not_whole() -> None:
    assert not fed().whole


def test_an_error_ends_the_stream() -> None:
    decoder = fed(chunk({"text": "Hel"}), {"error": {"code": 503}}, chunk({"text": "lo."}))
    assert decoder.ended
    assert decoder.problem == b'{"error":{"code":503}}'
    assert decoder.reply().text == "Hel"


@pytest.mark.parametrize("event", [b"<html>", b"[DONE]", b'{"candidates": 1}', b"\xff"])
def test_a_broken_chunk_is_a_problem_and_no_exception(event: bytes) -> None:
    decoder = GenerateContent().decoder()
    assert decoder.feed(b"data: " + event + b"\n\n") == []
    assert b"A piece of the stream is broken" in (decoder.problem or b"")


def grounding(*sources: str, supports: list[dict[str, object]] | None = None) -> dict[str, object]:
    chunks = [{"web": {"uri": source}} for source in sources]
    return {"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": supports}}


def told(reply: Reply) -> list[tuple[str | None, int | None]]:
    return [(source.url, source.start) for source in reply.citations]


def test_sources_of_earlier_chunks_are_kept() -> None:
    first = grounding("a", supports=[{"segment": {"endIndex": 3, "text": "Hel"}, "groundingChunkIndices": [0]}])
    then = grounding("b", supports=[{"segment": {"startIndex": 3, "endIndex": 6}, "groundingChunkIndices": [0]}])
    later = fed(chunk({"text": "Hel"}, **first), chunk({"text": "lo."}, **then))
    assert told(later.reply()) == [("b", 3), ("a", None)]
    silent = fed(chunk({"text": "Hel"}, **first), chunk({"text": "lo."}, **grounding("b", "a")))
    assert told(silent.reply()) == [("a", 0), ("b", None)]

"""A streamed chat completion: what servers send that is not as OpenAI has it."""

import json

import pytest

from tidyllm.core.problem import read_problem
from tidyllm.core.reply import Citation, Reply
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.chat_stream import ChunkDecoder

REPLAYS = ChatCompletions(replays="reasoning_details")


def fed(*chunks: object) -> ChunkDecoder:
    """Return a decoder that was given these chunks."""
    decoder = REPLAYS.decoder()
    for chunk in chunks:
        decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    return decoder


def chunk(finish: str | None = None, /, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def reply(*chunks: object) -> Reply:
    decoder = fed(*chunks)
    assert decoder.problem is None
    assert decoder.whole
    return decoder.reply()


def opaque(*details: dict[str, object]) -> object:
    """Return the pieces of reasoning that are kept of those that came, each in a chunk of its own."""
    kept = reply(*(chunk(reasoning_details=[detail]) for detail in details), chunk("stop")).opaque
    assert kept is not None
    return kept.data


def test_nulls_say_nothing() -> None:
    nothing = {"content": None, "refusal": None, "annotations": None, "reasoning_details": None, "reasoning": None}
    said = reply(
        {"choices": None, "usage": None, "error": None},
        {"choices": [{"index": None, "delta": None}]},
        chunk(**nothing),
        chunk("stop", content="Hello."),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]},
    )
    assert (said.text, said.refusal, said.thoughts, said.citations, said.opaque) == ("Hello.", None, None, (), None)


def test_how_likely_the_tokens_were_is_told_of_all_of_them() -> None:
    def chances(**delta: object) -> dict[str, object]:
        logprobs = {"content": [{"token": delta["content"], "logprob": -0.5, "top_logprobs": None}], "refusal": None}
        return {"choices": [{"index": 0, "delta": delta, "logprobs": logprobs}]}

    said = reply(chances(content="Hel"), chances(content="lo."), chunk("stop"))
    assert [one.token for one in said.logprobs] == ["Hel", "lo."]


@pytest.mark.parametrize(
    ("finish", "delta", "text"),
    [
        ("stop", {"content": ""}, ""),
        ("length", {"content": "", "reasoning": "Hm."}, ""),
        ("stop", {"content": "", "refusal": "No."}, None),
        ("content_filter", {"content": ""}, None),
        ("stop", {"content": None}, None),
    ],
)
def test_an_empty_answer_is_one_and_none_is_none(finish: str, delta: dict[str, object], text: str | None) -> None:
    assert reply(chunk(**delta), chunk(finish)).text == text


def test_of_several_answers_the_first_counts() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "Bye."}, "finish_reason": "length"}]}
    said = reply(other, chunk("stop", content="Hello."), other)
    assert (said.text, said.finish) == ("Hello.", "stop")


def test_text_and_parts_may_take_turns() -> None:
    said = reply(
        chunk(content="Hel"),
        chunk(content=[{"type": "text", "text": "lo"}, {"type": "reference", "reference_ids": [1]}]),
        chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "of tomorrow"}]),
        chunk("stop", content="."),
    )
    assert (said.text, said.thoughts) == ("Hello.", "Hm.")
    assert said.citations == (Citation(title="reference 1", start=5, end=5),)


@pytest.mark.parametrize("broken", [chunk(content=[1]), chunk(content=[{"text": 1}]), chunk(annotations=1), "x", [1]])
def test_a_chunk_of_another_shape_is_a_problem(broken: object) -> None:
    decoder = fed(chunk(content="Hel"), broken, chunk("stop", content="lo."))
    assert decoder.ended
    assert decoder.problem is not None
    assert "is broken" in (read_problem(decoder.problem).message or "")


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        ({"error": {"message": "It broke.", "code": 500}}, "It broke.", 500),
        ({"error": "It broke."}, "It broke.", None),
        ({"x_groq": {"id": "r", "error": "It broke."}, "choices": []}, "It broke.", None),
        ({"choices": [{"index": 0, "delta": {}, "error": {"message": "It broke.", "code": 502}}]}, "It broke.", 502),
        ({"object": "error", "message": "It broke.", "raw_status_code": 503, "code": "3000"}, "It broke.", 503),
        ({"code": 500, "message": "It broke.", "type": "server_error"}, "It broke.", 500),
    ],
)
def test_an_error_in_mid_stream_is_told_in_whichever_shape(
    error: dict[str, object], message: str, status: int | None
) -> None:
    decoder = fed(chunk(content="Hel"), error)
    assert decoder.problem is not None
    problem = read_problem(decoder.problem)
    assert (problem.message, problem.status) == (message, status)


def test_a_piece_of_reasoning_grows_word_by_word() -> None:
    start: dict[str, object] = {"type": "reasoning.text", "text": "17 + 25", "signature": None, "id": "r", "index": 0}
    more: dict[str, object] = {"type": "reasoning.text", "text": ": 42.", "index": 0}
    signed: dict[str, object] = {"type": "reasoning.text", "text": None, "signature": "c2ln", "id": "r", "index": 0}
    assert opaque(start, more, signed) == [{**start, "text": "17 + 25: 42.", "signature": "c2ln"}]
    summary: dict[str, object] = {"type": "reasoning.summary", "summary": "A"}
    assert opaque(summary, {**summary, "summary": " sum."}) == [{**summary, "summary": "A sum."}]


@pytest.mark.parametrize(
    "other",
    [
        {"type": "reasoning.text", "text": "b", "id": "r", "index": 1},
        {"type": "reasoning.text", "text": "b", "id": "s", "index": 0},
        {"type": "reasoning.summary", "summary": "b", "id": "r", "index": 0},
    ],
)
def test_pieces_of_reasoning_of_their_own_stay_apart(other: dict[str, object]) -> None:
    first: dict[str, object] = {"type": "reasoning.text", "text": "a", "id": "r", "index": 0}
    assert opaque(first, other) == [first, other]


def test_encrypted_reasoning_is_kept_as_it_came() -> None:
    one: dict[str, object] = {"type": "reasoning.encrypted", "data": "YQ==", "id": None, "index": 0}
    assert opaque(one, one) == [one, one]

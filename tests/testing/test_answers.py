import base64
import json
import math
import struct

import pytest

from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.testing.answers import (
    CREATED,
    DIMENSIONS_MAX,
    INPUTS_MAX,
    ChatQuestion,
    EmbeddingsQuestion,
    RefusedError,
    models,
    read,
    vector,
)


def chat(**fields: object) -> ChatQuestion:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    question = read(json.dumps(body).encode(), ChatQuestion)
    assert isinstance(question, ChatQuestion)
    return question


def embeddings(**fields: object) -> EmbeddingsQuestion:
    question = read(json.dumps({"model": "m", **fields}).encode(), EmbeddingsQuestion)
    assert isinstance(question, EmbeddingsQuestion)
    return question


def vectors(**fields: object) -> list[list[float]]:
    answer = json.loads(embeddings(**fields).answer(b""))
    return [one["embedding"] for one in answer["data"]]


def test_a_completion_echoes_the_last_user_message_and_the_model() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "x" * 100},
        {"role": "assistant", "content": "so far"},
    ]
    answer = json.loads(chat(model="gpt-any", messages=messages, temperature=0).answer(b"\x01\x02"))
    assert answer == {
        "id": "chatcmpl-0102",
        "object": "chat.completion",
        "created": CREATED,
        "model": "gpt-any",
        "system_fingerprint": "simulated",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": f"Simulated answer to: {'x' * 60}", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3 + 2 + 0 + 25 + 2, "completion_tokens": 21, "total_tokens": 53},
    }


def test_text_parts_are_read_and_other_parts_passed_over() -> None:
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "this?"},
    ]
    assert chat(messages=[{"role": "user", "content": parts}]).text() == "What is this?"


def test_a_conversation_without_a_user_has_an_empty_text() -> None:
    assert chat(messages=[{"role": "system", "content": "x"}]).text() == ""


def test_embeddings_are_unit_vectors_that_follow_from_the_text_alone() -> None:
    first, second = vectors(input=["a", "b"])
    assert len(first) == 1536
    assert math.hypot(*first) == pytest.approx(1)
    assert first != second
    assert vectors(input="b") == [second]


def test_a_shorter_embedding_is_the_rescaled_start_of_a_longer_one() -> None:
    short, long = vector(b"a", 8), vector(b"a", 64)
    assert [number / short[0] for number in short] == pytest.approx([number / long[0] for number in long[:8]])
    assert vectors(input="a", dimensions=8) == [short]


def test_base64_embeddings_hold_the_same_numbers() -> None:
    (packed,) = json.loads(embeddings(input="a", dimensions=3, encoding_format="base64").answer(b""))["data"]
    numbers = struct.unpack("<3f", base64.b64decode(packed["embedding"]))
    assert numbers == pytest.approx(vector(b"a", 3))


def test_tokens_are_inputs_too() -> None:
    one = embeddings(input=[1, 2, 3], dimensions=2)
    two = json.loads(embeddings(input=[[1, 2, 3], [4]], dimensions=2).answer(b""))
    assert [entry["index"] for entry in two["data"]] == [0, 1]
    assert two["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert two["data"][0] == json.loads(one.answer(b""))["data"][0]


def test_embeddings_are_counted_by_their_one_text_or_their_whole_input() -> None:
    assert embeddings(input="a").text() == embeddings(input=["a"]).text() == "a"
    assert embeddings(input=["a", "b"]).text() == '["a","b"]'


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"model": 3}, None),
        ({"messages": "hi"}, None),
        ({"messages": [{"content": "no role"}]}, None),
    ],
)
def test_chat_requests_that_are_wrong_are_refused(fields: dict[str, object], param: str | None) -> None:
    with pytest.raises(RefusedError) as refused:
        chat(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": ["a", [1]]}, "input"),
        ({"input": ["a"] * (INPUTS_MAX + 1)}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": DIMENSIONS_MAX + 1}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({}, None),
    ],
)
def test_embeddings_requests_that_are_wrong_are_refused(fields: dict[str, object], param: str | None) -> None:
    with pytest.raises(RefusedError) as refused:
        embeddings(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"no json", b'{"model": "\xff"}'])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError, match="parse"):
        read(body, ChatQuestion)


def test_the_list_of_models_names_one() -> None:
    listed = json.loads(models().body)
    assert [entry["id"] for entry in listed["data"]] == ["simulated"]


@pytest.mark.parametrize("usage", [True, False])
def test_a_streamed_answer_is_the_same_answer_in_pieces(usage: bool) -> None:  # noqa: FBT001 - a case
    body = {"model": "m", "messages": [{"role": "user", "content": "Who  was\nKonrad Zuse?"}]}
    whole = read(json.dumps(body).encode(), ChatQuestion)
    asked = body | {"stream": True, "stream_options": {"include_usage": usage}}
    pieces = read(json.dumps(asked).encode(), ChatQuestion)
    assert (whole.content_type, pieces.content_type) == ("application/json", "text/event-stream")
    decoder = ChatCompletions().decoder()
    said = decoder.feed(pieces.answer(b"digest"))
    plain, streamed = ChatCompletions().read(whole.answer(b"digest")), decoder.reply()
    assert len(said) > 3
    assert ("".join(said), decoder.ended, decoder.whole) == (plain.text, True, True)
    assert streamed.finish == plain.finish
    assert streamed.tokens_out == (plain.tokens_out if usage else None)

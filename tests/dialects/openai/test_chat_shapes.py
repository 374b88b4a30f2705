"""Chat Completions on the wire: what its shapes tell."""

import json

import msgspec
import pytest

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.reply import Citation
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.chat_shapes import Message, Usage


def message(**fields: object) -> Message:
    return msgspec.json.decode(json.dumps(fields), type=Message)


def usage(**fields: object) -> Usage:
    return msgspec.json.decode(json.dumps(fields), type=Usage)


@pytest.mark.parametrize(
    ("annotation", "citation"),
    [
        (
            {"document_citation": {"document_id": "d", "start_index": 1, "end_index": 2}},
            Citation(title="d", start=1, end=2),
        ),
        ({"function_citation": {"tool_call_id": "c", "start_index": None}}, Citation(title="c")),
        (
            {"url_citation": {"url": "https://a.example", "content": "So."}},
            Citation(url="https://a.example", quote="So."),
        ),
    ],
)
def test_every_kind_of_citation_is_read(annotation: dict[str, object], citation: Citation) -> None:
    assert message(annotations=[annotation, {"type": "of tomorrow"}]).citations() == (citation,)


def test_a_reference_tells_where_it_stands_in_the_text() -> None:
    said = message(
        content=[
            {"type": "reference", "reference_ids": ["a"]},
            {"type": "thinking", "thinking": "Hm."},
            {"type": "text", "text": "Grüße."},
            {"type": "reference", "reference_ids": [0, 3]},
            {"type": "reference", "reference_ids": None},
        ]
    )
    assert (said.text(), said.told_thoughts()) == ("Grüße.", "Hm.")
    assert said.citations() == (
        Citation(title="reference a", start=0, end=0),
        Citation(title="reference 0", start=6, end=6),
        Citation(title="reference 3", start=6, end=6),
    )


@pytest.mark.parametrize(
    ("fields", "cached"),
    [
        ({}, None),
        ({"prompt_tokens_details": None, "prompt_token_details": {"cached_tokens": 3}}, 3),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 4}, 0),
        ({"prompt_tokens_details": {}, "num_cached_tokens": 5}, 5),
        ({"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 1}, 6),
    ],
)
def test_kept_tokens_are_read_however_they_are_called(fields: dict[str, object], cached: int | None) -> None:
    assert usage(**fields).cached() == cached


@pytest.mark.parametrize(
    ("cost", "dollars"), [(0.5, 0.5), (0, 0), ({"total_cost": 0.01}, None), ("1", None), (True, None)]
)
def test_a_cost_that_is_no_sum_is_unknown(cost: object, dollars: float | None) -> None:
    assert usage(cost=cost).dollars() == dollars


@pytest.mark.parametrize("content", [[1], [{"text": 1}], 1])
def test_a_content_of_another_shape_is_a_bad_answer(content: object) -> None:
    body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
    with pytest.raises(BadAnswerError):
        ChatCompletions().read(body)


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "A Ger"}, "finish_reason": "error"},
        {"message": {"content": ""}, "finish_reason": "error", "error": {"code": 502}},
    ],
)
def test_an_answer_that_broke_off_is_no_answer(choice: dict[str, object]) -> None:
    with pytest.raises(BadAnswerError, match="error"):
        ChatCompletions().read(json.dumps({"choices": [choice]}).encode())


@pytest.mark.parametrize(("said", "finish"), [("model_length", "length"), ("function_call", "tool_calls")])
def test_other_words_for_the_same_reason_are_told_as_one(said: str, finish: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": "A"}, "finish_reason": said}]}).encode()
    assert ChatCompletions().read(body).finish == finish

"""What answers say of their tokens: whole floats are counts, and nonsense costs no answer."""

import json
from collections.abc import Callable

import pytest

from tidyllm.core.reply import Reply
from tidyllm.dialects.anthropic.chat import Messages
from tidyllm.dialects.gemini.chat import GenerateContent
from tidyllm.dialects.ollama.chat import OllamaChat
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.responses import Responses
from tidyllm.dialects.openai.shapes import BatchObject


def openai(tokens_in: object, tokens_out: object, cached: object) -> Reply:
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return chat(usage)


def chat(usage: object) -> Reply:
    choice = {"message": {"content": "Hi."}, "finish_reason": "stop"}
    return ChatCompletions().read(json.dumps({"choices": [choice], "usage": usage}).encode())


def responses(tokens_in: object, tokens_out: object, cached: object) -> Reply:
    item = {"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}
    usage = {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "input_tokens_details": {"cached_tokens": cached},
    }
    return Responses().read(json.dumps({"output": [item], "status": "completed", "usage": usage}).encode())


def anthropic(tokens_in: object, tokens_out: object, cached: object) -> Reply:
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out, "cache_read_input_tokens": cached}
    body = {"content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn", "usage": usage}
    return Messages().read(json.dumps(body).encode())


def gemini(tokens_in: object, tokens_out: object, cached: object) -> Reply:
    usage = {
        "promptTokenCount": tokens_in,
        "candidatesTokenCount": tokens_out,
        "cachedContentTokenCount": cached,
    }
    candidate = {"content": {"parts": [{"text": "Hi."}]}, "finishReason": "STOP"}
    return GenerateContent().read(json.dumps({"candidates": [candidate], "usageMetadata": usage}).encode())


def ollama(tokens_in: object, tokens_out: object, cached: object) -> Reply:
    del cached
    body = {"message": {"content": "Hi."}, "done": True, "done_reason": "stop"}
    return OllamaChat().read(json.dumps(body | {"prompt_eval_count": tokens_in, "eval_count": tokens_out}).encode())


DIALECTS = (openai, responses, anthropic, gemini, ollama)


@pytest.mark.parametrize("read", DIALECTS)
def test_a_count_may_be_written_as_a_whole_float(read: Callable[[object, object, object], Reply]) -> None:
    reply = read(5.0, 4.0, 0.0)
    assert reply.text == "Hi."
    assert (reply.tokens_in, reply.tokens_out) == (5, 4)
    assert isinstance(reply.tokens_in, int)
    assert reply.tokens_cached in (0, None)


@pytest.mark.parametrize("read", DIALECTS)
@pytest.mark.parametrize("odd", ["four", 4.5, -1, True, [4], {"a": 4}])
def test_a_count_that_is_none_is_not_told_and_the_answer_is_kept(
    read: Callable[[object, object, object], Reply], odd: object
) -> None:
    reply = read(odd, 4, odd)
    assert reply.text == "Hi."
    assert reply.tokens_out == 4
    assert reply.tokens_in is None
    assert reply.tokens_cached is None


@pytest.mark.parametrize("usage", [None, "much", 7, [1], {"prompt_tokens_details": 3}, {"prompt_tokens": None}])
def test_usage_that_is_none_costs_no_answer(usage: object) -> None:
    reply = chat(usage)
    assert (reply.text, reply.tokens_in, reply.tokens_cached) == ("Hi.", None, None)


def test_odd_counts_within_are_read_as_far_as_they_go() -> None:
    reply = chat({"prompt_tokens": "x", "prompt_tokens_details": {"cached_tokens": 3.0}, "cost": 0.25})
    assert (reply.tokens_in, reply.tokens_cached, reply.cost) == (None, 3, 0.25)


def test_streamed_usage_is_read_likewise() -> None:
    decoder = ChatCompletions().decoder()
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": "much"}
    decoder.feed(b'data: {"choices": [{"delta": {"content": "Hi."}}]}\n\ndata: ' + json.dumps(last).encode() + b"\n\n")
    assert decoder.reply().text == "Hi."
    chunks = GenerateContent().decoder()
    for usage in ({"promptTokenCount": 2.0}, {"candidatesTokenCount": 3.0}, "much"):
        candidate = {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
        chunks.feed(b"data: " + json.dumps({"candidates": [candidate], "usageMetadata": usage}).encode() + b"\n\n")
    reply = chunks.reply()
    assert (reply.tokens_in, reply.tokens_out) == (2, 3)


def test_the_usage_of_a_batch_is_read_likewise() -> None:
    body = {"id": "b", "status": "completed", "created_at": 1, "usage": {"input_tokens": 4.0, "output_tokens": "x"}}
    usage = BatchObject(**body).read().usage  # type: ignore[arg-type]
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (4, 0)

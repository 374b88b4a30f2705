"""Chat Completions: bodies and answers."""

import json

import pytest

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import Message, Role
from tidyllm.core.params import Params
from tidyllm.core.reply import Outcome
from tidyllm.dialects.openai.chat import ChatCompletions

ASK = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi"))
BARE = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}


def answer(**changes: object) -> bytes:
    body: dict[str, object] = {
        "id": "chatcmpl-1",
        "model": "m-2026",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        "a field of tomorrow": {},
    }
    return json.dumps(body | changes).encode()


def test_a_request_says_nothing_that_was_not_asked() -> None:
    assert ChatCompletions().body("m", ASK, params=Params()) == BARE


def test_every_parameter_has_its_field() -> None:
    params = Params(temperature=0.0, max_tokens=5, top_p=0.5, seed=1, stop=("a", "b"), extra={"verbosity": "low"})
    said = {"temperature": 0.0, "top_p": 0.5, "seed": 1, "stop": ("a", "b"), "verbosity": "low"}
    assert ChatCompletions().body("m", ASK, params=params) == BARE | said | {"max_completion_tokens": 5}
    older = ChatCompletions(max_tokens_field="max_tokens")
    assert older.body("m", ASK, params=params) == BARE | said | {"max_tokens": 5}


def test_extra_fields_never_replace_what_the_request_says() -> None:
    with pytest.raises(SettingError, match=r"repeats .* messages, temperature"):
        ChatCompletions().body("m", ASK, params=Params(temperature=1, extra={"temperature": 0, "messages": []}))


def test_several_answers_to_one_row_are_refused() -> None:
    with pytest.raises(SettingError, match="several answers"):
        ChatCompletions().body("m", ASK, params=Params(extra={"n": 2}))
    assert ChatCompletions().body("m", ASK, params=Params(extra={"n": 1}))["n"] == 1


def test_an_answer_is_read() -> None:
    reply = ChatCompletions().read(answer())
    assert (reply.text, reply.refusal, reply.finish, reply.model) == ("Hello.", None, "stop", "m-2026")
    assert (reply.tokens_in, reply.tokens_out, reply.id) == (9, 2, "chatcmpl-1")
    assert reply.outcome is Outcome.OK


def test_an_answer_without_usage_or_id_is_an_answer() -> None:
    reply = ChatCompletions().read(answer(usage=None, id=None, model=None))
    assert (reply.tokens_in, reply.tokens_out, reply.id, reply.model) == (None, None, None, None)


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [
        ({"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}, Outcome.REFUSED),
        ({"message": {"content": None}, "finish_reason": "content_filter"}, Outcome.REFUSED),
        ({"message": {"content": "Hel"}, "finish_reason": "length"}, Outcome.TRUNCATED),
        ({"message": {"content": None}, "finish_reason": "tool_calls"}, Outcome.INVALID),
        ({"message": {"content": ""}, "finish_reason": None}, Outcome.OK),
    ],
)
def test_how_an_answer_ended_is_told(choice: dict[str, object], outcome: Outcome) -> None:
    assert ChatCompletions().read(answer(choices=[choice])).outcome is outcome


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"\xff", b'{"a":' + b"[" * 100_000, answer(choices=[]), answer(choices=[{"message": 1}])],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_answer_is_an_error_that_keeps_it(body: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        ChatCompletions().read(body)
    assert caught.value.body == body

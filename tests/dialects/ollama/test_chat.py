"""Ollama's chat: bodies and answers, whole and line by line."""

import json

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.reply import Likely, Reply, TokenLikelihood
from tidyllm.dialects.ollama.chat import OllamaChat


def answer(**changes: object) -> bytes:
    body = {"model": "m", "message": {"content": "Hello."}, "done": True, "done_reason": "stop"}
    return json.dumps(body | changes).encode()


def test_nothing_is_cut_off_unless_the_user_says_so() -> None:
    assert said("ollama") == {"stream": False, "truncate": False, "shift": False}
    assert said("ollama", extra={"truncate": True}) == {"stream": False, "truncate": True, "shift": False}


def test_parameters_are_options() -> None:
    told = said("ollama", temperature=0, max_tokens=5, top_k=3, top_p=1, seed=1, stop="a", presence_penalty=1)
    assert told["options"] == {
        "temperature": 0,
        "num_predict": 5,
        "top_k": 3,
        "top_p": 1,
        "seed": 1,
        "stop": ("a",),
        "presence_penalty": 1,
    }


@pytest.mark.parametrize(
    ("options", "think"),
    [
        ({"effort": "none"}, False),
        ({"effort": "max"}, "max"),
        ({"thoughts": True}, True),
        ({"thoughts": True, "effort": "low"}, "low"),
    ],
)
def test_thinking_is_a_word_or_a_switch(options: dict[str, object], think: object) -> None:
    assert said("ollama", **options)["think"] == think


def test_what_it_cannot_be_told_names_what_is_near() -> None:
    with pytest.raises(SettingError, match='effort="none"'):
        said("ollama", thoughts=False)
    with pytest.raises(SettingError, match="It takes: 'none', 'low'"):
        said("ollama", effort="minimal")


def test_a_conversation_is_told_from_its_beginning() -> None:
    turns = (UserTurn("Hi"), AssistantTurn(Reply(text="Hello.")), UserTurn("And?"))
    body = OllamaChat().body("m", Conversation(system="Be brief.", turns=turns), params=Params(), streamed=True)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
    ]
    assert body["stream"] is True


def test_how_likely_the_words_were_is_read() -> None:
    told = [{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}]
    reply = OllamaChat().read(answer(logprobs=told))
    assert reply.logprobs == (TokenLikelihood(token="Hi", logprob=-0.5, alternatives=(Likely("Hi", -0.5),)),)  # noqa: S106
    assert (reply.tokens_in, reply.tokens_out) == (0, 0)


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", answer(done=False, done_reason=None), answer(done_reason="load"), answer(message=3)]
)
def test_what_is_no_answer_is_an_error_that_keeps_it(body: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        OllamaChat().read(body)
    assert caught.value.body == body


def test_a_broken_line_is_a_problem() -> None:
    decoder = OllamaChat().decoder()
    assert decoder.feed(b"{\n" + answer() + b"\n") == []
    assert decoder.ended
    assert not decoder.whole
    assert decoder.problem is not None
    assert b"broken" in decoder.problem

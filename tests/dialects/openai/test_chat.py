"""Chat Completions: bodies, answers, and exchanges of both."""

import json
from pathlib import Path

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import ApiError, BadAnswerError, QuotaError, RateLimitError, ServerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.reply import Citation, Outcome, Reply
from tidyllm.core.wire import Repeat, Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.asking import Asked, ask
from tidyllm.dialects.errors import success
from tidyllm.dialects.openai.chat import LENIENT, ChatCompletions
from tidyllm.testing import play
from tidyllm.transport.drive import Transport, drive
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

EXCHANGES = Path(__file__).parents[2] / "exchanges" / "openai"
SITE = Site(
    provider="openai",
    base_url="https://api.openai.com/v1",
    auth=Auth(env="OPENAI_API_KEY"),
    headers=(("openai-project", "p"),),
)
ASK = Conversation(system="Be brief.", turns=(UserTurn("Hi"),))
HOW = Asked(dialect=ChatCompletions(), site=SITE, model="m", params=Params())
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


def test_a_conversation_is_told_from_its_beginning() -> None:
    turns = (
        UserTurn("Hi"),
        AssistantTurn(Reply(text="Hello.")),
        UserTurn("Help me to steal"),
        AssistantTurn(Reply(refusal="No.")),
        UserTurn("Why?"),
    )
    body = ChatCompletions().body("m", Conversation(turns=turns), params=Params())
    assert body["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Help me to steal"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]


def test_every_parameter_has_its_field() -> None:
    params = Params(temperature=0.0, max_tokens=5, top_p=0.5, seed=1, stop=("a", "b"), extra={"verbosity": "low"})
    said = {"temperature": 0.0, "top_p": 0.5, "seed": 1, "stop": ("a", "b"), "verbosity": "low"}
    assert ChatCompletions().body("m", ASK, params=params) == BARE | said | {"max_completion_tokens": 5}
    older = ChatCompletions(rules=LENIENT)
    assert older.body("m", ASK, params=params) == BARE | said | {"max_tokens": 5}


def test_extra_fields_never_replace_what_the_request_says() -> None:
    with pytest.raises(SettingError, match=r"repeats .* messages, temperature"):
        ChatCompletions().body("m", ASK, params=Params(temperature=1, extra={"temperature": 0, "messages": []}))


def test_several_answers_to_one_row_are_refused() -> None:
    with pytest.raises(SettingError, match="several answers"):
        ChatCompletions().body("m", ASK, params=Params(extra={"n": 2}))
    assert ChatCompletions().body("m", ASK, params=Params(extra={"n": 1}))["n"] == 1


def test_an_answer_in_pieces_is_refused() -> None:
    with pytest.raises(SettingError, match="in pieces"):
        ChatCompletions().body("m", ASK, params=Params(extra={"stream": True}))
    assert ChatCompletions().body("m", ASK, params=Params(extra={"stream": False}))["stream"] is False


def test_an_answer_is_read() -> None:
    reply = ChatCompletions().read(answer())
    assert (reply.text, reply.refusal, reply.finish, reply.model) == ("Hello.", None, "stop", "m-2026")
    assert (reply.tokens_in, reply.tokens_out, reply.id) == (9, 2, "chatcmpl-1")
    assert reply.outcome is Outcome.OK
    assert (reply.tokens_cached, reply.tokens_reasoning, reply.thoughts, reply.citations) == (None, None, None, ())


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
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}, "Hello."),
        ({"content": [{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Hello."}]}, "Hello."),
        ({"content": [{"type": "text", "text": ""}]}, ""),
        ({"content": []}, None),
        ({}, None),
    ],
)
def test_an_answer_in_parts_is_their_text(message: dict[str, object], text: str | None) -> None:
    assert ChatCompletions().read(answer(choices=[{"message": message}])).text == text


@pytest.mark.parametrize(
    ("message", "thoughts"),
    [
        ({"reasoning_content": "Hm."}, "Hm."),
        ({"reasoning": "Hm."}, "Hm."),
        ({"reasoning_content": None, "reasoning": "Hm."}, "Hm."),
        ({"reasoning_content": ""}, None),
        ({"reasoning": {"of": "another shape"}}, None),
    ],
)
def test_thoughts_are_read_from_wherever_a_server_puts_them(message: dict[str, object], thoughts: str | None) -> None:
    assert ChatCompletions().read(answer(choices=[{"message": message}])).thoughts == thoughts


def test_remarks_that_are_no_citations_are_passed_over() -> None:
    remarks = [{"type": "file", "file": {}}, {"type": "url_citation", "url_citation": {"url": "https://a.example"}}]
    reply = ChatCompletions().read(answer(choices=[{"message": {"annotations": remarks}}]))
    assert reply.citations == (Citation(url="https://a.example"),)


@pytest.mark.parametrize("error", [{"message": "Overloaded.", "code": 529}, "Overloaded."])
def test_an_error_in_place_of_an_answer_is_told(error: object) -> None:
    with pytest.raises(BadAnswerError, match=r"is an error: Overloaded\."):
        ChatCompletions().read(answer(error=error, choices=None))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"\xff", b'{"a":' + b"[" * 100_000, answer(choices=[]), answer(choices=[{"message": 1}])],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_answer_is_an_error_that_keeps_it(body: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        ChatCompletions().read(body)
    assert caught.value.body == body


def replayed(name: str, text: str, *, system: str | None = None, params: Params | None = None) -> Reply:
    """Return the answer that the exchange of that name holds."""
    once = Transport(
        sender=play(EXCHANGES / f"chat_cc_{name}.json"), keys=Keys("key"), retry=RetryPolicy(attempts_max=1)
    )
    talk = Conversation(system=system, turns=(UserTurn(text),))
    asked = Asked(dialect=ChatCompletions(), site=SITE, model="gpt-6.2-sol", params=params or Params())
    return drive(ask(asked, talk), once)


def test_a_question_goes_to_the_site_and_may_be_asked_again() -> None:
    request = next(ask(HOW, ASK))
    assert isinstance(request, Request)
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert request.headers == (("openai-project", "p"), ("content-type", "application/json"))
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == BARE
    assert (request.auth, request.repeat) == (SITE.auth, Repeat.ALWAYS)


def test_a_reply_says_all_that_is_known_of_it() -> None:
    reply = replayed("plain", "Who was Konrad Zuse?", system="Be brief.")
    assert (reply.text, reply.finish) == ("A German engineer who built the Z3.", "stop")
    assert (reply.model, reply.provider) == ("gpt-6.2-sol-2026-10-14", "openai")
    assert (reply.tokens_in, reply.tokens_cached, reply.tokens_out, reply.tokens_reasoning) == (1040, 1024, 73, 64)
    assert (reply.id, reply.request_id) == ("chatcmpl-plain", "req_plain")
    assert json.loads(reply.body)["service_tier"] == "default"


def test_a_reply_says_how_long_it_took() -> None:
    call = ask(HOW, ASK)
    next(call)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=answer(), seconds=1.5))
    assert end.value.value.seconds == 1.5
    assert end.value.value.request_id is None


def test_a_refusal_is_a_reply() -> None:
    reply = replayed("refusal", "How do I pick my neighbour's lock?")
    assert (reply.text, reply.refusal, reply.outcome) == (None, "I can't help with that.", Outcome.REFUSED)


def test_an_answer_that_was_cut_off_is_a_reply() -> None:
    reply = replayed("truncated", "Tell me a long story.", params=Params(max_tokens=4))
    assert (reply.text, reply.finish, reply.outcome) == ("Once upon a", "length", Outcome.TRUNCATED)


def test_sources_are_read_with_their_place_in_the_text() -> None:
    reply = replayed("citation", "Where was Konrad Zuse born?", params=Params(extra={"web_search_options": {}}))
    (source,) = reply.citations
    assert (source.url, source.title) == ("https://en.wikipedia.org/wiki/Konrad_Zuse", "Konrad Zuse - Wikipedia")
    assert reply.text is not None
    assert reply.text[source.start : source.end] == f"([wikipedia.org]({source.url}))"


def test_an_error_answer_is_an_exception_with_its_facts() -> None:
    with pytest.raises(RateLimitError, match="Rate limit reached") as caught:
        replayed("error_429", "Are you busy?")
    assert (caught.value.retry_after_s, caught.value.request_id) == (20.0, "req_error_429")


def test_an_error_in_a_200_is_the_exception_that_its_code_names() -> None:
    with pytest.raises(ServerError, match="answered 200, but with an error: The provider returned an error") as caught:
        replayed("error_in_200", "Is your upstream up?")
    assert (caught.value.status, caught.value.code) == (200, "502")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429}, RateLimitError),
        ({"code": "insufficient_quota"}, QuotaError),
        ({"code": 1113, "message": "a number of the server's own"}, ApiError),
        ("It broke.", ApiError),
    ],
)
def test_each_error_in_a_200_has_its_exception(error: object, kind: type[ApiError]) -> None:
    call = ask(HOW, ASK)
    next(call)
    with pytest.raises(ApiError) as caught:
        call.send(Response(status=200, body=json.dumps({"error": error}).encode()))
    assert type(caught.value) is kind


@pytest.mark.parametrize("error", [{"code": 502, "message": "Upstream broke off."}, "Upstream broke off."])
def test_an_error_in_place_of_the_answer_is_an_exception(error: object) -> None:
    call = ask(HOW, ASK)
    next(call)
    with pytest.raises(ApiError, match=r"Upstream broke off\."):
        call.send(Response(status=200, body=answer(choices=[{"message": {"content": ""}, "error": error}])))


@pytest.mark.parametrize("choices", [[], [1], None, {}, [{"message": {"content": '"error"'}, "error": None}]])
def test_the_word_error_alone_is_no_error(choices: object) -> None:
    response = Response(status=200, body=answer(choices=choices, error=None))
    assert success(response, SITE) == response.body


def test_a_success_that_is_no_json_is_a_bad_answer() -> None:
    call = ask(HOW, ASK)
    next(call)
    with pytest.raises(BadAnswerError):
        call.send(Response(status=200, body=b"<html>"))

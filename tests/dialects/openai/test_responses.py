"""Responses: bodies and answers."""

import json

import pytest

from tidyllm.core.errors import ApiError, BadAnswerError, ServerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, Turn, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.reply import Citation, Likely, Opaque, Outcome, Reply
from tidyllm.core.rules import Family, Rule
from tidyllm.core.wire import Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.asking import Asked, ask
from tidyllm.dialects.openai.responses import Responses

SITE = Site(provider="openai", base_url="https://api.openai.com/v1")
ASK = Conversation(system="Be brief.", turns=(UserTurn("Hi"),))
HI = {"type": "message", "role": "user", "content": "Hi"}
BARE = {"model": "m", "input": [HI], "instructions": "Be brief.", "store": False}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ZW5j"}
SAID = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hello."}]}
REFUSED = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
CALLED = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}


def answer(*output: object, **changes: object) -> bytes:
    body: dict[str, object] = {
        "id": "resp_1",
        "object": "response",
        "model": "m-2026",
        "status": "completed",
        "error": None,
        "output": list(output),
        "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
        "a field of tomorrow": {},
    }
    return json.dumps(body | changes).encode()


def text(words: str, **more: object) -> dict[str, object]:
    return {"type": "output_text", "text": words, **more}


def message(*content: object) -> dict[str, object]:
    return {"type": "message", "content": list(content)}


def input_of(*turns: Turn, dialect: Responses | None = None) -> object:
    return (dialect or Responses()).body("m", Conversation(turns=turns), params=Params())["input"]


def test_a_request_says_nothing_that_was_not_asked_and_leaves_nothing_behind() -> None:
    assert Responses().body("m", ASK, params=Params()) == BARE
    assert Responses().body("m", ASK, params=Params(), streamed=True) == BARE | {"stream": True}
    assert "instructions" not in Responses().body("m", Conversation(turns=ASK.turns), params=Params())


def test_a_user_may_have_answers_stored() -> None:
    assert Responses().body("m", ASK, params=Params(extra={"store": True}))["store"] is True


def test_a_dialect_that_keeps_no_thoughts_says_nothing_of_storing() -> None:
    assert "store" not in Responses(keeps_reasoning=False).body("m", ASK, params=Params())


def test_a_conversation_is_told_from_its_beginning() -> None:
    said = input_of(
        UserTurn("Hi"),
        AssistantTurn(Reply(text="Hello.")),
        UserTurn("Help me to steal"),
        AssistantTurn(Reply(refusal="No.")),
        UserTurn("Why?"),
    )
    assert said == [
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "message", "role": "assistant", "content": "Hello."},
        {"type": "message", "role": "user", "content": "Help me to steal"},
        {"type": "message", "role": "assistant", "content": "No."},
        {"type": "message", "role": "user", "content": "Why?"},
    ]


def test_an_answer_with_thoughts_goes_back_as_it_came() -> None:
    reply = Responses().read(answer(THOUGHT, SAID))
    assert reply.opaque == Opaque("responses", [THOUGHT, SAID])
    assert input_of(UserTurn("Hi"), AssistantTurn(reply), UserTurn("And?")) == [
        HI,
        THOUGHT,
        SAID,
        {"type": "message", "role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize("opaque", [Opaque("chat_completions", [THOUGHT]), Opaque("responses", {"of": "tomorrow"})])
def test_what_is_opaque_and_not_of_this_api_stays_behind(opaque: Opaque) -> None:
    said = input_of(UserTurn("Hi"), AssistantTurn(Reply(text="Hello.", opaque=opaque)))
    assert said == [HI, {"type": "message", "role": "assistant", "content": "Hello."}]


@pytest.mark.parametrize(
    "output",
    [
        [SAID],
        [THOUGHT],
        [THOUGHT, REFUSED],
        [THOUGHT, CALLED],
        [THOUGHT, CALLED, SAID],
        [{**THOUGHT, "encrypted_content": None}, SAID],
        [THOUGHT, {"type": "reasoning", "id": "rs_2", "summary": []}, SAID],
    ],
)
def test_what_the_api_would_not_take_back_is_not_kept(output: list[object]) -> None:
    assert Responses().read(answer(*output)).opaque is None


def test_an_api_that_takes_no_thoughts_back_is_given_none() -> None:
    assert Responses(keeps_reasoning=False).read(answer(THOUGHT, SAID)).opaque is None


def test_every_parameter_has_its_field() -> None:
    params = Params(temperature=0.0, max_tokens=16, top_p=0.5, effort="high", thoughts=True, extra={"metadata": {}})
    assert Responses().body("m", ASK, params=params) == BARE | {
        "temperature": 0.0,
        "max_output_tokens": 16,
        "top_p": 0.5,
        "reasoning": {"effort": "high", "summary": "auto"},
        "metadata": {},
    }
    assert Responses().body("m", ASK, params=Params(thoughts=False)) == BARE


def test_what_is_to_be_included_is_put_together() -> None:
    family = Family(models=("m",), sends={"include": ["reasoning.encrypted_content"]})
    params = Params(logprobs=2, extra={"include": ["web_search_call.action.sources"]})
    body = Responses(families=(family,)).body("m", ASK, params=params)
    assert body["top_logprobs"] == 2
    assert body["include"] == [
        "reasoning.encrypted_content",
        "message.output_text.logprobs",
        "web_search_call.action.sources",
    ]


@pytest.mark.parametrize(
    ("params", "nearest"),
    [
        (Params(stop=("END",)), 'api="chat_completions"'),
        (Params(seed=1), 'api="chat_completions"'),
        (Params(frequency_penalty=1), 'api="chat_completions"'),
        (Params(presence_penalty=1), 'api="chat_completions"'),
        (Params(top_k=1), "top_p="),
        (Params(max_tokens=15), "max_tokens= from 16"),
        (Params(logprobs=21), "logprobs= up to 20"),
    ],
)
def test_what_the_api_does_not_have_is_refused_with_what_is_nearest(params: Params, nearest: str) -> None:
    with pytest.raises(SettingError, match=nearest):
        Responses().body("m", ASK, params=params)


def test_a_dialect_may_have_rules_of_its_own() -> None:
    own = Responses(rules={"seed": Rule(field="seed")})
    assert own.body("m", ASK, params=Params(seed=1))["seed"] == 1


def test_extra_fields_never_replace_what_the_request_says() -> None:
    with pytest.raises(SettingError, match=r"repeats .* input, instructions"):
        Responses().body("m", ASK, params=Params(extra={"instructions": "Rant.", "input": []}))


def test_a_field_that_the_api_would_refuse_is_refused_here() -> None:
    strict = Responses(known_fields=frozenset({"model", "input", "instructions", "tools"}), keeps_reasoning=False)
    assert strict.body("m", ASK, params=Params(extra={"tools": []}))["tools"] == []
    with pytest.raises(SettingError, match=r"refuses: include, metadata\. It knows: input, instructions, model, tools"):
        strict.body("m", ASK, params=Params(extra={"metadata": {}, "tools": [], "include": []}))


def test_a_question_goes_to_the_site() -> None:
    request = next(ask(Asked(dialect=Responses(), site=SITE, model="m", params=Params()), ASK))
    assert isinstance(request, Request)
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")
    assert request.headers == (("content-type", "application/json"),)


def test_an_answer_is_read() -> None:
    reply = Responses().read(answer(SAID))
    assert (reply.text, reply.refusal, reply.finish, reply.model) == ("Hello.", None, "stop", "m-2026")
    assert (reply.tokens_in, reply.tokens_out, reply.id) == (9, 2, "resp_1")
    assert reply.outcome is Outcome.OK
    assert (reply.tokens_cached, reply.tokens_reasoning, reply.thoughts, reply.citations) == (None, None, None, ())
    assert (reply.cost, reply.logprobs, reply.opaque) == (None, (), None)


def test_an_answer_without_usage_or_id_is_an_answer() -> None:
    reply = Responses().read(answer(SAID, usage=None, id=None, model=None, status=None))
    assert (reply.text, reply.tokens_in, reply.id, reply.model, reply.finish) == ("Hello.", None, None, None, None)


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 7}, 7),
        ({"cached_tokens": 0, "cache_read_input_tokens": 5}, 0),
        ({"cache_creation_input_tokens": 1, "cache_read_input_tokens": 5}, 5),
        ({}, None),
        (None, None),
    ],
)
def test_what_was_kept_is_counted_in_either_word(details: object, cached: int | None) -> None:
    usage = {"input_tokens": 9, "input_tokens_details": details, "cost": {"total_cost": 0.5}}
    reply = Responses().read(answer(SAID, usage=usage))
    assert (reply.tokens_cached, reply.tokens_reasoning, reply.cost) == (cached, None, 0.5)


@pytest.mark.parametrize(
    ("output", "changes", "finish", "outcome"),
    [
        ([SAID], {}, "stop", Outcome.OK),
        ([message(text(""))], {}, "stop", Outcome.OK),
        ([], {}, "stop", Outcome.INVALID),
        ([message()], {}, "stop", Outcome.INVALID),
        ([{"type": "message", "content": None}], {}, "stop", Outcome.INVALID),
        ([CALLED], {}, "tool_calls", Outcome.INVALID),
        ([CALLED], {"status": "requires_action"}, "tool_calls", Outcome.INVALID),
        ([REFUSED], {}, "content_filter", Outcome.REFUSED),
        ([], {"status": "queued"}, "queued", Outcome.INVALID),
        ([SAID], {"status": "incomplete"}, "length", Outcome.TRUNCATED),
        ([SAID], {"status": "incomplete", "incomplete_details": {}}, "length", Outcome.TRUNCATED),
        ([], {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", None),
        ([CALLED], {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", None),
        ([SAID], {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter", None),
        ([SAID], {"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "steered", Outcome.OK),
    ],
)
def test_how_an_answer_ended_is_told(
    output: list[object], changes: dict[str, object], finish: str, outcome: Outcome | None
) -> None:
    reply = Responses().read(answer(*output, **changes))
    assert reply.finish == finish
    expected = {"length": Outcome.TRUNCATED, "content_filter": Outcome.REFUSED}.get(finish, outcome)
    assert reply.outcome is expected


def test_sources_stand_where_they_stand_in_the_whole_text() -> None:
    web = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2}
    file = {"type": "file_citation", "file_id": "file-1", "filename": "b.pdf", "index": 3}
    made = {"type": "file_path", "file_id": "file-2", "index": 0}
    first = message(text("One. ", annotations=[web]), text("Two. ", annotations=[web, made]))
    second = message(text("Three.", annotations=[file]), {"type": "refusal", "refusal": ""})
    reply = Responses().read(answer(first, second))
    assert reply.text == "One. Two. Three."
    assert reply.citations == (
        Citation(url="https://a.example", title="A", start=0, end=2),
        Citation(url="https://a.example", title="A", start=5, end=7),
        Citation(title="b.pdf", start=13, end=13),
    )


def test_pages_that_were_found_are_sources_once_each() -> None:
    page = {"id": 1, "url": "https://a.example", "title": "A", "snippet": "It says so.", "date": None}
    cited = {"type": "citation", "url": "https://a.example", "title": None, "start_index": None, "end_index": None}
    found = {"type": "search_results", "queries": ["q"], "results": [page, {"url": "https://b.example"}]}
    again = {"type": "search_results", "results": [page]}
    nothing = {"type": "search_results", "results": None}
    reply = Responses().read(answer(found, again, nothing, message(text("So.", annotations=[cited]))))
    assert reply.citations == (
        Citation(url="https://a.example"),
        Citation(url="https://a.example", title="A", quote="It says so."),
        Citation(url="https://b.example"),
    )


def test_items_of_other_kinds_are_passed_over() -> None:
    other = {"type": "code_interpreter_call", "results": "text", "content": 3, "summary": {}}
    assert Responses().read(answer(other, {"no": "type"}, SAID)).text == "Hello."


@pytest.mark.parametrize(
    ("items", "thoughts"),
    [
        ([THOUGHT], None),
        ([{"type": "reasoning"}], None),
        ([{"type": "reasoning", "summary": [{"text": "One."}, {"text": "Two."}]}], "One.\n\nTwo."),
        ([{"type": "reasoning", "summary": [{"text": "A."}]}, {"type": "reasoning", "summary": []}], "A."),
        ([{"type": "reasoning", "summary": [{"text": "Short."}], "content": [{"text": "In full."}]}], "In full."),
    ],
)
def test_thoughts_are_told_as_fully_as_they_came(items: list[object], thoughts: str | None) -> None:
    assert Responses().read(answer(*items, SAID)).thoughts == thoughts


def test_each_token_says_how_likely_it_was() -> None:
    other = {"token": "Ho", "logprob": -2.5, "bytes": [72, 111]}
    first = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [other]}
    last = {"token": "!", "logprob": -0.1}
    reply = Responses().read(answer(message(text("Hi", logprobs=[first]), text("!", logprobs=[last]))))
    assert [(one.token, one.logprob, one.alternatives) for one in reply.logprobs] == [
        ("Hi", -0.5, (Likely("Ho", -2.5),)),
        ("!", -0.1, ()),
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "failed"}, "is failed: no message"),
        ({"status": "cancelled"}, "is cancelled: no message"),
        ({"status": "failed", "error": {"message": "It broke."}}, r"is failed: It broke\."),
        ({"status": None, "error": {"message": "It broke."}}, r"is an error: It broke\."),
        ({"output": None}, "output is missing"),
    ],
)
def test_an_answer_that_is_none_says_so(changes: dict[str, object], told: str) -> None:
    with pytest.raises(BadAnswerError, match=told):
        Responses().read(answer(SAID, **changes))


@pytest.mark.parametrize(("error", "kind"), [({"code": "server_error"}, ServerError), ("It broke.", ApiError)])
def test_an_error_in_a_200_has_its_exception(error: object, kind: type[ApiError]) -> None:
    call = ask(Asked(dialect=Responses(), site=SITE, model="m", params=Params()), ASK)
    next(call)
    with pytest.raises(kind):
        call.send(Response(status=200, body=answer(status="failed", error=error)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"\xff",
        b'{"a":' + b"[" * 100_000,
        answer(None),
        answer({"type": "message", "content": 1}),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_answer_is_an_error_that_keeps_it(body: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        Responses().read(body)
    assert caught.value.body == body

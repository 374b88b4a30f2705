"""GenerateContent: bodies and answers; the exchanges are played by tests/conformance."""

import json

import pytest

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.reply import Likely, Opaque, Outcome, Reply
from tidyllm.dialect import Site
from tidyllm.dialects.asking import Asked, ask
from tidyllm.dialects.gemini.chat import GenerateContent
from tidyllm.dialects.gemini.chat_shapes import FILTERS

SITE = Site(provider="gemini", base_url="https://host.example/v1beta")
ASK = Conversation(system="Be brief.", turns=(UserTurn("Hi"),))
BARE = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
}
SIGNED = [{"text": "Hm.", "thought": True}, {"text": "Hello.", "thoughtSignature": "c2ln", "of tomorrow": 1}]


def answer(*parts: dict[str, object], **candidate: object) -> bytes:
    said = {"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": parts}, "of tomorrow": {}}
    return json.dumps({"candidates": [said | candidate], "of tomorrow": {}}).encode()


def read(*parts: dict[str, object], **candidate: object) -> Reply:
    return GenerateContent().read(answer(*parts, **candidate))


def test_a_request_says_nothing_that_was_not_asked() -> None:
    assert GenerateContent().body("m", ASK, params=Params()) == BARE
    assert GenerateContent().body("m", ASK, params=Params(), streamed=True) == BARE


def test_the_model_and_the_way_to_answer_stand_in_the_url() -> None:
    chat = GenerateContent()
    assert chat.url(SITE, "m", streamed=False) == "https://host.example/v1beta/models/m:generateContent"
    assert chat.url(SITE, "tunedModels/m", streamed=True) == (
        "https://host.example/v1beta/tunedModels/m:streamGenerateContent?alt=sse"
    )
    assert (chat.headers, chat.api, chat.path) == ((), "generate_content", "/v1beta/models:generateContent")


def test_every_parameter_has_its_field() -> None:
    params = Params(
        temperature=0.0,
        max_tokens=5,
        top_p=0.5,
        top_k=3,
        seed=1,
        stop=("a", "b"),
        frequency_penalty=0.1,
        presence_penalty=0.2,
        thoughts=True,
        effort="low",
        logprobs=2,
        extra={"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW", "candidateCount": 1}},
    )
    assert GenerateContent().body("m", ASK, params=params) == BARE | {
        "generationConfig": {
            "temperature": 0.0,
            "maxOutputTokens": 5,
            "topP": 0.5,
            "topK": 3,
            "seed": 1,
            "stopSequences": ("a", "b"),
            "frequencyPenalty": 0.1,
            "presencePenalty": 0.2,
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"},
            "responseLogprobs": True,
            "logprobs": 2,
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "candidateCount": 1,
        }
    }


@pytest.mark.parametrize(
    ("params", "why"),
    [
        (Params(temperature=2.1), "temperature= up to 2"),
        (Params(top_k=0), "top_k= from 1"),
        (Params(seed=2**31), "seed= up to"),
        (Params(stop=("a",) * 6), "at most 5 texts"),
        (Params(logprobs=21), "logprobs= up to 20"),
        (Params(effort="none"), "m takes no effort='none'. It takes: 'minimal'"),
        (Params(extra={"generationConfig": {"candidateCount": 2}}), "several answers"),
        (Params(temperature=1, extra={"generationConfig": {"temperature": 0}}), r"repeats .*generationConfig\.temp"),
    ],
)
def test_what_cannot_be_honoured_is_told_before_anything_is_sent(params: Params, why: str) -> None:
    with pytest.raises(SettingError, match=why):
        GenerateContent().body("models/m", ASK, params=params)


def test_a_conversation_is_told_from_its_beginning() -> None:
    turns = (UserTurn("Hi"), AssistantTurn(Reply(text="Hello.")), UserTurn("Why?"))
    assert GenerateContent().body("m", Conversation(turns=turns), params=Params()) == {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hello."}]},
            {"role": "user", "parts": [{"text": "Why?"}]},
        ]
    }


def sent_parts(earlier: Reply) -> object:
    """Return how an earlier answer is told to the model `m`."""
    asked = Asked(dialect=GenerateContent(), site=SITE, model="m", params=Params())
    request = next(ask(asked, Conversation(turns=(UserTurn("Hi"), AssistantTurn(earlier), UserTurn("Why?")))))
    return json.loads(request.body)["contents"][1]["parts"]  # type: ignore[arg-type,union-attr]


def test_signed_pieces_go_back_as_they_came_to_their_own_model_alone() -> None:
    reply = read(*SIGNED)
    assert (reply.text, reply.thoughts) == ("Hello.", "Hm.")
    assert reply.opaque == Opaque("generate_content", SIGNED)
    own = {"text": "Hello.", "provider": "gemini", "opaque": reply.opaque}
    assert sent_parts(Reply(**own, asked="m")) == SIGNED  # type: ignore[arg-type]
    assert sent_parts(Reply(**own, asked="another")) == [{"text": "Hello."}]  # type: ignore[arg-type]
    assert sent_parts(Reply(**{**own, "opaque": Opaque("interactions", [1])}, asked="m")) == [  # type: ignore[arg-type]
        {"text": "Hello."}
    ]


def test_pieces_without_a_signature_are_not_kept() -> None:
    assert read({"text": "Hm.", "thought": True}, {"text": "Hello."}).opaque is None


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"text": "Hel"}, {"text": "lo."}], "Hello."),
        ([{"executableCode": {"code": "1"}}, {"text": "Hello.", "thought": None}], "Hello."),
        ([{"text": ""}], ""),
        ([{"text": None}, {"inlineData": {}}], None),
        ([], None),
    ],
)
def test_an_answer_is_the_text_of_its_parts(parts: list[dict[str, object]], text: str | None) -> None:
    assert read(*parts).text == text


@pytest.mark.parametrize("content", [None, {}, {"role": "model", "parts": None}])
def test_an_answer_may_have_no_content(content: object) -> None:
    reply = read(content=content, finishReason="MAX_TOKENS")
    assert (reply.text, reply.finish, reply.outcome) == (None, "length", Outcome.TRUNCATED)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        ("OTHER", "OTHER"),
        ("FINISH_REASON_UNSPECIFIED", None),
        (None, None),
        *((reason, "content_filter") for reason in FILTERS),
    ],
)
def test_why_an_answer_ended_is_told(reason: str | None, finish: str | None) -> None:
    reply = read({"text": "Hello."}, finishReason=reason)
    assert reply.finish == finish
    assert reply.refusal == (f"A filter ended the answer: {reason}." if finish == "content_filter" else None)


def test_a_filter_that_explains_itself_is_quoted() -> None:
    reply = read({"text": "Hel"}, finishReason="SAFETY", finishMessage="It was unsafe.")
    assert (reply.text, reply.refusal, reply.outcome) == ("Hel", "It was unsafe.", Outcome.REFUSED)


def test_a_call_of_a_tool_is_told_by_its_part() -> None:
    assert read({"functionCall": {"name": "f", "args": {}}}).finish == "tool_calls"


def test_a_prompt_that_was_blocked_is_an_answer() -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "It was unsafe."}
    reply = GenerateContent().read(json.dumps({"promptFeedback": feedback}).encode())
    assert (reply.text, reply.refusal, reply.finish) == (None, "It was unsafe.", "content_filter")


@pytest.mark.parametrize(
    "usage",
    [
        (None, None, None, None, None),
        ({}, None, None, None, None),
        ({"promptTokenCount": 5}, 5, None, None, None),
        ({"promptTokenCount": 5, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 3}, 7, 3, None, None),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 4, "thoughtsTokenCount": 9}, 5, 9, 4, 9),
    ],
)
def test_tokens_are_the_totals(usage: tuple[object, ...]) -> None:
    body = json.loads(answer({"text": "Hello."})) | {"usageMetadata": usage[0]}
    reply = GenerateContent().read(json.dumps(body).encode())
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached, reply.tokens_reasoning) == usage[1:]


def test_likelihoods_are_read_with_what_else_could_have_been() -> None:
    told = {
        "chosenCandidates": [{"token": "Hel", "tokenId": 1, "logProbability": -0.5}, {"token": "lo"}],
        "topCandidates": [{"candidates": [{"token": "Hel", "logProbability": -0.5}, {"token": "Bye"}]}],
    }
    first, second = read({"text": "Hello"}, logprobsResult=told).logprobs
    assert (first.token, first.logprob) == ("Hel", -0.5)
    assert first.alternatives == (Likely("Hel", -0.5), Likely("Bye", 0.0))
    assert (second.token, second.logprob, second.alternatives) == ("lo", 0.0, ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"\xff",
        b'{"a":' + b"[" * 100_000,
        b'{"candidates": []}',
        b'{"candidates": null, "promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}',
        b'{"candidates": [{"index": 1}]}',
        b'{"candidates": [{"content": 1}]}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_answer_is_an_error_that_keeps_it(body: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        GenerateContent().read(body)
    assert caught.value.body == body

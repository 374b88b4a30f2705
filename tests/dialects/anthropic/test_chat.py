"""Messages: bodies and answers, plain and in pieces."""

import json

import pytest

from tidyllm import chat, claude
from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, Turn, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.reply import Citation, Opaque, Outcome, Reply
from tidyllm.dialects.anthropic.chat import Messages

THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def messages(*turns: Turn) -> object:
    return Messages().body("m", Conversation(turns=turns), params=Params())["messages"]


def answer(*content: object, **changes: object) -> Reply:
    return Messages().read(json.dumps({"id": "msg_1", "model": "m", "content": content, **changes}).encode())


def fed(*events: object) -> tuple[list[str], "Reply | bytes | None"]:
    decoder = Messages().decoder()
    pieces = decoder.feed(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events))
    return pieces, decoder.problem or (decoder.reply() if decoder.whole else None)


def test_an_answer_is_told_as_its_text_and_an_empty_one_not_at_all() -> None:
    said = messages(
        UserTurn("Hi"),
        AssistantTurn(Reply(text="Hello.")),
        UserTurn("And?"),
        AssistantTurn(Reply(text=" \n")),
        UserTurn("Steal."),
        AssistantTurn(Reply(refusal="No.")),
        UserTurn("Why?"),
    )
    assert said == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
        {"role": "user", "content": "Steal."},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]


def test_signed_thoughts_go_back_as_they_came() -> None:
    reply = answer(THOUGHT, {"type": "text", "text": "Yes."}, stop_reason="end_turn")
    assert reply.opaque == Opaque("messages", [THOUGHT, {"type": "text", "text": "Yes."}])
    said = messages(UserTurn("Hi"), AssistantTurn(reply), UserTurn("And?"))
    assert said == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "Yes."}]},
        {"role": "user", "content": "And?"},
    ]


def test_what_another_api_of_the_provider_wrote_goes_as_text() -> None:
    other = Reply(text="Yes.", opaque=Opaque("responses", []))
    assert messages(UserTurn("Hi"), AssistantTurn(other))[1] == {"role": "assistant", "content": "Yes."}  # type: ignore[index]


def test_an_answer_that_waits_for_a_tool_is_not_given_back() -> None:
    reply = answer(THOUGHT, {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}, stop_reason="tool_use")
    assert (reply.finish, reply.opaque, reply.text, reply.outcome) == ("tool_calls", None, None, Outcome.INVALID)


def test_a_source_in_a_document_is_a_citation() -> None:
    source = {"type": "page_location", "document_title": "notes.pdf", "cited_text": "So.", "start_page_number": 1}
    result = {"type": "search_result_location", "source": "https://a.example", "title": "A"}
    reply = answer({"type": "text", "text": "Yes: "}, {"type": "text", "text": "so.", "citations": [source, result]})
    assert reply.citations == (
        Citation(title="notes.pdf", quote="So.", start=5, end=8),
        Citation(url="https://a.example", title="A", start=5, end=8),
    )


@pytest.mark.parametrize(
    ("details", "refusal"),
    [
        ({"category": "cyber", "explanation": None}, "The model declined (cyber)."),
        (None, "The model declined."),
        ({"explanation": "No."}, "No."),
    ],
)
def test_a_refusal_says_why(details: object, refusal: str) -> None:
    reply = answer({"type": "text", "text": "Well"}, stop_reason="refusal", stop_details=details)
    assert (reply.refusal, reply.text, reply.outcome) == (refusal, "Well", Outcome.REFUSED)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop_sequence", "stop"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
        (None, None),
    ],
)
def test_each_reason_for_stopping_has_its_word(word: str | None, finish: str | None) -> None:
    assert answer({"type": "text", "text": "a"}, stop_reason=word).finish == finish


def test_an_answer_without_usage_is_an_answer() -> None:
    reply = answer({"type": "text", "text": "a"})
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached, reply.tokens_reasoning) == (None, None, None, None)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"content": [{}]}', b'{"content": [3]}'])
def test_what_is_no_message_is_an_error_that_keeps_it(body: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        Messages().read(body)
    assert caught.value.body == body


def test_a_broken_event_is_a_problem() -> None:
    decoder = Messages().decoder()
    assert decoder.feed(b"data: {\n\ndata: {}\n\n") == []
    assert decoder.ended
    assert decoder.problem is not None
    assert b"broken" in decoder.problem


def test_what_is_unknown_in_a_stream_passes() -> None:
    pieces, reply = fed(
        {"type": "message_start", "message": {"model": "m", "usage": None}},
        {"type": "tomorrow"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "tomorrow_delta", "text": "?"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"title": "A"}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    )
    assert pieces == ["Hel"]
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish, reply.tokens_out) == ("Hel", "stop", 3)
    assert reply.citations == (Citation(title="A", start=0, end=3),)


def test_what_a_tool_of_the_servers_was_given_comes_in_pieces() -> None:
    def piece(text: str) -> object:
        delta = {"type": "input_json_delta", "partial_json": text}
        return {"type": "content_block_delta", "index": 0, "delta": delta}

    tool = {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}
    _, reply = fed(
        {"type": "message_start", "message": {"model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": tool},
        *map(piece, ["", '{"que', 'ry": "Zuse"}']),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {**tool, "id": "u"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_stop"},
    )
    assert isinstance(reply, Reply)
    assert reply.opaque == Opaque("messages", [{**tool, "input": {"query": "Zuse"}}, {**tool, "id": "u"}])


def test_a_tools_input_that_is_broken_is_a_problem() -> None:
    delta = {"type": "input_json_delta", "partial_json": "{"}
    _, problem = fed(
        {"type": "content_block_delta", "index": 0, "delta": delta}, {"type": "content_block_stop", "index": 0}
    )
    assert isinstance(problem, bytes)


def test_thoughts_longer_than_the_longest_answer_are_refused() -> None:
    for params in ({"effort": "high"}, {"thoughts": True}):
        with pytest.raises(SettingError, match="max_tokens=1000 must be more than that"):
            chat("Hi", claude("claude-haiku-4-5", max_tokens=1000, **params), dry_run=True)
    chat("Hi", claude("claude-haiku-4-5", max_tokens=20_000, effort="high"), dry_run=True)


def test_what_a_user_says_in_a_header_goes_before_what_the_dialect_does() -> None:
    shown = chat("Hi", claude("m", headers={"Anthropic-Version": "2099-01-01"}), dry_run=True)
    assert [value for name, value in shown.headers if name.lower() == "anthropic-version"] == ["…"]

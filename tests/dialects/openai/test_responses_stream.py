"""Responses that come in pieces: what is passed on, and the whole in the end."""

import json

import pytest

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.problem import read_problem
from tidyllm.core.reply import Opaque
from tidyllm.dialects.openai.responses import Responses
from tidyllm.dialects.openai.responses_stream import EventDecoder

THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ZW5j"}
SAID = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hello."}]}
BEGUN = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress", "output": []}}
ERROR = {"code": "server_error", "message": "It broke."}


def fed(*events: object) -> tuple[EventDecoder, list[str]]:
    """Return a decoder that has read these events, and what it passed on."""
    decoder = Responses().decoder()
    return decoder, decoder.feed("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())


def delta(words: object) -> dict[str, object]:
    return {"type": "response.output_text.delta", "delta": words}


def done(item: object) -> dict[str, object]:
    return {"type": "response.output_item.done", "item": item}


def end(how: str = "completed", **response: object) -> dict[str, object]:
    return {"type": f"response.{how}", "response": {"status": how, **response}}


def test_the_last_event_holds_the_answer() -> None:
    decoder, pieces = fed(BEGUN, delta("Hel"), delta("lo."), end(id="resp_1", output=[THOUGHT, SAID]))
    assert pieces == ["Hel", "lo."]
    assert (decoder.whole, decoder.ended, decoder.problem) == (True, True, None)
    assert decoder.reply() == Responses().read(
        json.dumps({"id": "resp_1", "model": "m", "status": "completed", "output": [THOUGHT, SAID]}).encode()
    )


@pytest.mark.parametrize("last", [{"type": "response.completed"}, {"type": "response.completed", "response": None}])
def test_an_answer_without_a_last_word_is_put_together_from_its_items(last: dict[str, object]) -> None:
    decoder, _ = fed(BEGUN, done(THOUGHT), delta("Hello."), done(SAID), last)
    reply = decoder.reply()
    assert (reply.text, reply.finish, reply.id, reply.model) == ("Hello.", "stop", "resp_1", "m")
    assert reply.opaque == Opaque("responses", [THOUGHT, SAID])


def test_an_answer_without_a_last_word_or_items_is_what_was_passed_on() -> None:
    decoder, pieces = fed(BEGUN, delta("Hel"), delta("lo."), {"type": "response.incomplete"})
    reply = decoder.reply()
    assert (reply.text, reply.finish) == ("".join(pieces), "length")


def test_an_answer_that_says_nothing_at_all_is_empty() -> None:
    decoder, _ = fed(BEGUN, {"type": "response.completed"})
    assert (decoder.reply().text, decoder.reply().finish) == (None, "stop")


def test_thoughts_are_whole_in_the_event_of_their_own() -> None:
    half = {**THOUGHT, "encrypted_content": None}
    decoder, _ = fed(BEGUN, done(THOUGHT), done(SAID), end(output=[half, SAID]))
    assert decoder.reply().opaque == Opaque("responses", [THOUGHT, SAID])


def test_thoughts_without_a_name_are_those_of_the_last_event() -> None:
    nameless = {"type": "reasoning", "encrypted_content": "ZW5j"}
    decoder, _ = fed(done({"type": "reasoning", "id": 3}), done(SAID), end(output=[nameless, SAID]))
    assert decoder.reply().opaque == Opaque("responses", [nameless, SAID])


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_failure_that_says_no_more_is_no_answer(how: str) -> None:
    decoder, _ = fed(BEGUN, delta("Hel"), end(how))
    assert (decoder.whole, decoder.problem) == (True, None)
    with pytest.raises(BadAnswerError, match=f"is {how}"):
        decoder.reply()


@pytest.mark.parametrize(
    "event",
    [
        end("failed", error=ERROR),
        {"type": "response.failed", "error": ERROR},
        {"type": "error", "sequence_number": 3, **ERROR, "param": None},
        {"type": "error", "error": ERROR},
        {"error": ERROR},
    ],
)
def test_an_error_in_whatever_shape_ends_the_stream(event: object) -> None:
    decoder, pieces = fed(BEGUN, delta("Hel"), event, delta("lo."))
    assert pieces == ["Hel"]
    assert (decoder.ended, decoder.whole) == (True, False)
    assert decoder.problem is not None
    problem = read_problem(decoder.problem)
    assert (problem.code, problem.message, problem.status) == ("server_error", "It broke.", 500)


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b'{"type": []}'])
def test_a_broken_piece_is_an_error(data: bytes) -> None:
    decoder = Responses().decoder()
    assert decoder.feed(b"data: " + data + b"\n\n") == []
    assert decoder.problem is not None
    assert "is broken" in str(read_problem(decoder.problem).message)


def test_events_of_other_kinds_are_passed_over() -> None:
    decoder, pieces = fed(
        {"type": "response.of_tomorrow", "delta": {}, "item": "text", "response": 3, "error": "of its own"},
        {"type": "response.refusal.delta", "delta": "No."},
        {"type": "response.reasoning_summary_text.delta", "delta": "Hm."},
        {"type": "response.in_progress", "response": 3},
        {},
        delta(3),
        delta(""),
        done("text"),
    )
    assert pieces == []
    assert not decoder.ended


def test_the_end_of_the_events_is_not_the_end_of_the_answer() -> None:
    decoder = Responses().decoder()
    assert decoder.feed(b"data: [DONE]\n\n") == []
    assert (decoder.ended, decoder.whole, decoder.problem) == (True, False, None)


def test_a_last_event_of_odd_items_is_no_answer() -> None:
    decoder, _ = fed(end(output=["text", SAID]))
    with pytest.raises(BadAnswerError):
        decoder.reply()

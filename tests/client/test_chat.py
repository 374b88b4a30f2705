"""Conversations: the value, and the verb that has it answered."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any, assert_type

import polars as pl
import pytest

from tests.transport.scripted import Wire, served_aside
from tidyllm import LLMMessage, achat, chat, llm_message, local, openai, using
from tidyllm.client.preview import Preview
from tidyllm.core.errors import (
    ApiError,
    BadAnswerError,
    BadRequestError,
    PartlyFailedError,
    RateLimitError,
    SettingError,
)
from tidyllm.core.message import AssistantTurn, UserTurn
from tidyllm.core.reply import Reply
from tidyllm.core.wire import Request, Response
from tidyllm.testing import Player, play, simulated_model
from tidyllm.transport.concurrency import LIMIT_FIRST
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

EXCHANGES = Path(__file__).parents[1] / "exchanges" / "openai"
METADATA = {
    "model": pl.String,
    "provider": pl.String,
    "finish": pl.String,
    "tokens_in": pl.Int64,
    "tokens_out": pl.Int64,
    "tokens_cached": pl.Int64,
    "tokens_reasoning": pl.Int64,
    "cost": pl.Float64,
    "seconds": pl.Float64,
    "request_id": pl.String,
}
ANSWERED = LLMMessage(turns=(UserTurn("Hi"), AssistantTurn(Reply(text="Hello."))))


def recorded(name: str) -> Player:
    return play(EXCHANGES / f"chat_{name}.json")


class Answering:
    """A sender that has one answer."""

    def __init__(self, response: Response) -> None:
        self._response = response

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del request, headers
        return self._response


class Shouter:
    """A model that answers in capitals, once so many questions are there; what begins with `bad` it will not take."""

    def __init__(self, *, waits_for: int = 1) -> None:
        self.asked: list[str] = []
        self.in_flight_max = 0
        self._in_flight = 0
        self._waits_for = waits_for
        self._enough = asyncio.Event()

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        said = json.loads(request.body)["messages"][-1]["content"]
        self.asked.append(said)
        self._in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self._in_flight)
        if len(self.asked) >= self._waits_for:
            self._enough.set()
        await self._enough.wait()
        await asyncio.sleep(0)
        self._in_flight -= 1
        if said.startswith("bad"):
            return Response(status=400, body=json.dumps({"error": {"message": said}}).encode())
        return Response(status=200, body=json.dumps({"choices": [{"message": {"content": said.upper()}}]}).encode())


def test_each_turn_is_a_new_value() -> None:
    first = llm_message("Hi", system="Be brief.")
    second = first.message("And more")
    assert first.turns == (UserTurn("Hi"),)
    assert second == LLMMessage(system="Be brief.", turns=(UserTurn("Hi"), UserTurn("And more")))


@pytest.mark.parametrize("text", [None, 3, "half \ud800"])
def test_what_no_request_can_hold_is_an_error_when_it_is_said(text: str) -> None:
    with pytest.raises(SettingError, match=r"What is said (must be a text|holds half a character)"):
        llm_message(text)
    with pytest.raises(SettingError, match=r"What is said (must be a text|holds half a character)"):
        llm_message("Hi").message(text)
    if text is not None:
        with pytest.raises(SettingError, match=r"What is said (must be a text|holds half a character)"):
            llm_message("Hi", system=text)


def test_a_conversation_is_answered() -> None:
    with using(recorded("plain")):
        talk = llm_message("Who was Konrad Zuse?", system="Be brief.").chat(openai())
    assert talk.reply() == "A German engineer who built the Z3."
    assert talk.turns[0] == UserTurn("Who was Konrad Zuse?")
    assert str(talk).splitlines() == [
        *("[system]", "Be brief.", ""),
        *("[user]", "Who was Konrad Zuse?", ""),
        *("[assistant, gpt-6.2-sol-2026-10-14]", "A German engineer who built the Z3."),
    ]
    assert "<strong>assistant, gpt" in talk._repr_html_()


def test_metadata_has_a_row_an_answer() -> None:
    with using(recorded("plain")):
        talk = llm_message("Who was Konrad Zuse?", system="Be brief.").chat(openai())
    table = talk.message("And when?").metadata()
    assert dict(table.schema) == METADATA
    assert table.rows() == [("gpt-6.2-sol-2026-10-14", "openai", "stop", 1040, 73, 1024, 64, None, 0.0, "req_plain")]


def test_metadata_has_its_types_before_the_first_answer() -> None:
    table = llm_message("Hi").metadata()
    assert dict(table.schema) == METADATA
    assert table.height == 0
    assert dict(ANSWERED.metadata().schema) == METADATA


def test_there_is_no_reply_before_the_first_answer() -> None:
    with pytest.raises(SettingError, match="Nothing was answered yet"):
        llm_message("Hi").reply()


def test_the_reply_stays_while_the_user_speaks_on() -> None:
    assert ANSWERED.message("And?").reply() == "Hello."


def test_an_answer_without_text_says_why() -> None:
    with using(recorded("refusal")):
        talk = chat("How do I pick my neighbour's lock?", openai())
    with pytest.raises(BadAnswerError, match="declined: I can't help with that") as caught:
        talk.reply()
    assert b"resp_refusal" in caught.value.body
    with pytest.raises(BadAnswerError, match="finish is 'tool_calls'"):
        LLMMessage(turns=(AssistantTurn(Reply(finish="tool_calls")),)).reply()


def test_a_conversation_survives_json_and_goes_on() -> None:
    with using(recorded("plain")):
        talk = llm_message("Who was Konrad Zuse?", system="Be brief.").chat(openai())
    again = LLMMessage.from_json(talk.to_json())
    assert again == talk
    with using(Shouter()):
        assert again.message("And when?").chat(local("m")).reply() == "AND WHEN?"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"a": 1}', None, '{"turns": [{"role": "nobody"}]}', b"\xff", "[" * 100_000]
)
def test_what_is_no_conversation_is_refused(text: Any) -> None:
    with pytest.raises(SettingError, match="no conversation"):
        LLMMessage.from_json(text)


def test_a_list_is_answered_in_its_order_and_at_the_same_time() -> None:
    asked: list[str | LLMMessage] = ["a", llm_message("b"), "c"]
    with using(Shouter(waits_for=3)):
        talks = chat(asked, local("m"))
    assert [talk.reply() for talk in talks] == ["A", "B", "C"]
    assert chat([], local("m")) == []


def test_a_long_list_is_answered_some_at_a_time() -> None:
    shouter = Shouter(waits_for=LIMIT_FIRST)
    texts = [f"text {number}" for number in range(3 * LIMIT_FIRST)]
    with using(shouter):
        talks = chat(texts, local("m"))
    assert [talk.reply() for talk in talks] == [text.upper() for text in texts]
    assert shouter.in_flight_max == LIMIT_FIRST


def test_a_failure_in_a_list_is_told_after_all_are_done_and_costs_no_answer() -> None:
    shouter = Shouter()
    with using(shouter), pytest.raises(PartlyFailedError, match=r"2 of 5 .* number 2: .*bad 1") as caught:
        chat(["a", "bad 1", "b", "bad 2", "c"], local("m"))
    assert sorted(shouter.asked) == ["a", "b", "bad 1", "bad 2", "c"]
    results = caught.value.results
    assert [one.reply() for one in results if isinstance(one, LLMMessage)] == ["A", "B", "C"]
    assert [type(one) for one in results if isinstance(one, Exception)] == [BadRequestError, BadRequestError]
    assert caught.value.__cause__ is results[1]


def test_where_all_of_a_list_failed_it_is_the_first_failure_that_is_raised() -> None:
    with using(Shouter()), pytest.raises(BadRequestError, match="bad 1"):
        chat(["bad 1", "bad 2"], local("m"))


def test_ctrl_c_in_a_list_keeps_what_has_come() -> None:
    async def answer(wire: Wire) -> None:
        while True:
            asked = await wire.request()
            if b"wait" in asked.body:
                interrupt()
                await wire.until_closed()
                return
            body = b'{"choices": [{"message": {"content": "Hello."}}]}'
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with served_aside(answer) as server, pytest.raises(KeyboardInterrupt) as caught:
        chat(["a"] * LIMIT_FIRST + ["wait"], local("m", base_url=server.url))
    *answered, waited = caught.value.results  # type: ignore[attr-defined]
    # The last one was only sent when another had been answered.
    assert waited is None
    assert {talk.reply() for talk in answered if talk is not None} == {"Hello."}
    assert "The exception's `results` has what came" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, r"local at http.*no chat completion.*It begins: <html>"), (307, "points to http://y")],
)
def test_an_answer_of_something_else_says_where_it_came_from(status: int, told: str) -> None:
    sender = Answering(Response(status=status, headers={"location": "http://y"}, body=b"<html>"))
    with using(sender), pytest.raises((BadAnswerError, ApiError), match=told):
        chat("Hi", local("m"))


def test_numbers_that_no_column_holds_are_unknown() -> None:
    reply = Reply(text="Hello.", tokens_in=2**70, tokens_out=3)
    talk = LLMMessage(turns=(AssistantTurn(reply),))
    for table in (talk.metadata(), talk.to_frame()):
        assert table["tokens_in"].to_list() == [None]
        assert table["tokens_out"].to_list() == [3]


def test_a_failure_is_one_exception() -> None:
    once = Transport(sender=recorded("error_429"), keys=Keys("key"), retry=RetryPolicy(attempts_max=1))
    with using(once), pytest.raises(RateLimitError) as caught:
        chat("Are you busy?", openai())
    assert caught.value.request_id == "req_error_429"


@pytest.mark.parametrize("talk", [ANSWERED, LLMMessage()])
def test_a_conversation_that_waits_for_no_answer_is_refused_before_anything_is_sent(talk: LLMMessage) -> None:
    shouter = Shouter()
    with using(shouter):
        with pytest.raises(SettingError, match="The conversation does not end with the user's turn"):
            chat(talk, local("m"))
        with pytest.raises(SettingError, match="Conversation 2 of the list"):
            chat([llm_message("a"), talk], local("m"))
    assert shouter.asked == []


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(SettingError, match=r'as in prompt="Explain: \{text\}"'):
        chat(pl.DataFrame({"text": ["a"]}), local("m"))  # type: ignore[call-overload]
    with pytest.raises(SettingError, match="no table of polars, pandas or Arrow, but"):
        chat(3, local("m"), prompt="{text}")  # type: ignore[call-overload]
    with pytest.raises(SettingError, match="prompt= is for tables"):
        chat("a", local("m"), prompt="{text}")  # type: ignore[call-overload]
    with pytest.raises(SettingError, match="not int"):
        chat([3], local("m"))  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="local has no model of its own choice"):
        chat("a", local())


def test_a_dry_run_shows_what_would_be_sent_and_no_secret() -> None:
    shouter = Shouter()
    provider = openai("m", api_key="sk-secret", headers={"x-token": "secret"})
    with using(shouter):
        request = assert_type(chat("Hi", provider, dry_run=True), Preview)
        several = assert_type(chat(["Hi", "Ho"], provider, dry_run=True), list[Preview])
    assert shouter.asked == []
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")
    said = {"type": "message", "role": "user", "content": "Hi"}
    assert request.body == {"model": "m", "input": [said], "store": False}
    hidden = (("authorization", "Bearer …"), ("x-token", "…"))
    assert request.headers == (*hidden, ("content-type", "application/json"))
    assert "secret" not in repr(request) + str(request)
    assert str(request).startswith("POST https://api.openai.com/v1/responses\nauthorization: Bearer …\n")
    assert several[0] == request
    assert len(several) == 2


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        with using(Shouter()):
            one = assert_type(await achat("a", local("m")), LLMMessage)
            two = assert_type(await achat(["a", "b"], local("m")), list[LLMMessage])
            request = assert_type(await achat("a", local("m"), dry_run=True), Preview)
            several = assert_type(await achat(["a"], local("m"), dry_run=True), list[Preview])
        assert one.reply() == "A"
        assert [talk.reply() for talk in two] == ["A", "B"]
        assert several == [request]

    asyncio.run(main())


def test_a_conversation_with_a_running_model_in_a_script_and_inside_a_loop() -> None:
    with simulated_model() as model:
        provider = local("pretender", base_url=model.base_url)
        talk = chat("Who was Konrad Zuse?", provider)
        assert talk.reply() == "Simulated answer to: Who was Konrad Zuse?"

        async def inside() -> None:
            assert talk.message("And when?").chat(provider).reply() == "Simulated answer to: And when?"
            assert [one.reply()[-1] for one in await achat(["1", "2", "3"], provider)] == ["1", "2", "3"]

        asyncio.run(inside())
    (row,) = talk.metadata().rows(named=True)
    assert (row["model"], row["provider"], row["finish"]) == ("pretender", "local", "stop")
    assert row["seconds"] > 0
    assert row["request_id"].startswith("req_")

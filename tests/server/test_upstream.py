"""Whose fault a failure is, told by what the upstream is asked next and by the line that is written."""

import asyncio
import json
import random
from collections.abc import Sequence

import msgspec
import pytest

from tidyllm.core.clock import Clock, SystemClock
from tidyllm.core.errors import AnswerTimeoutError, BrokenConnectionError, ConnectError, TransportError
from tidyllm.core.wire import Request, Response
from tidyllm.journal import Kind
from tidyllm.server.lines import RequestLine
from tidyllm.server.settings import Settings
from tidyllm.server.upstream import Question, Result, Upstream
from tidyllm.testing.clock import ManualClock

Answer = Response | TransportError
GOOD = Response(status=200, headers={"x-request-id": "req_up"}, body=b'{"usage":{"prompt_tokens":3}}')
REFUSED = ConnectError("refused", url="http://model")
QUESTION = Question(
    batch_id="batch_1",
    line=5,
    endpoint="/v1/chat/completions",
    request=RequestLine("row-5", msgspec.Raw(b'{"model":"m"}')),
)


class Script:
    """A sender that gives the answers of a script in turn, and keeps what it was sent."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.sent: list[Request] = []

    async def send(self, request: Request, headers: Sequence[tuple[str, str]] = ()) -> Response:
        assert not headers
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        return answer


class HastyClock(SystemClock):
    """A clock on which every sleep is over at once, and is written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Noted:
    """A trail that always says yes, and notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def may_send(self) -> bool:
        self.heard.append("sent")
        return True

    def returned(self) -> None:
        self.heard.append("returned")


def upstream(script: Script, clock: Clock) -> Upstream:
    headers = (("authorization", "Bearer k"),)
    settings = Settings(upstream="http://model/v1/")
    return Upstream(sender=script, headers=headers, clock=clock, rng=random.Random(1), settings=settings)


async def ask(script: Script, *, stop: asyncio.Event | None = None) -> tuple[Result | None, list[float]]:
    """Return the outcome, and how long it waited before each further attempt."""
    clock = HastyClock()
    return await upstream(script, clock).ask(QUESTION, stop=stop or asyncio.Event(), trail=Noted()), clock.slept


def outcome_of(*answers: Answer) -> tuple[Kind, dict[str, object], list[float]]:
    script = Script(answers)
    outcome, waits = asyncio.run(ask(script))
    assert outcome is not None
    assert not script.answers
    return outcome.kind, json.loads(outcome.data), waits


def test_a_good_answer_goes_to_the_output_file_with_its_usage() -> None:
    script = Script([GOOD])
    outcome, _ = asyncio.run(ask(script))
    assert outcome is not None
    assert (outcome.kind, outcome.usage.input_tokens) == (Kind.ANSWERED, 3)
    assert json.loads(outcome.data)["response"]["request_id"] == "req_up"
    (request,) = script.sent
    assert (request.method, request.url, request.body) == (
        "POST",
        "http://model/v1/chat/completions",
        b'{"model":"m"}',
    )
    assert dict(request.headers) == {"content-type": "application/json", "authorization": "Bearer k"}


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 301])
def test_a_refused_request_is_not_asked_again(status: int) -> None:
    kind, line, _ = outcome_of(Response(status=status, body=b'{"error":{"message":"no"}}'))
    assert kind is Kind.FAILED
    assert line["response"]["status_code"] == status  # type: ignore[index]
    assert line["response"]["body"] == {"error": {"message": "no"}}  # type: ignore[index]
    assert line["error"] is None


@pytest.mark.parametrize("status", [408, 500, 501, 502, 504, 507, 524])
def test_a_failing_request_is_asked_three_times(status: int) -> None:
    failure = Response(status=status, body=b"oops")
    kind, line, waits = outcome_of(failure, failure, failure)
    assert kind is Kind.FAILED
    assert line["response"]["body"]["error"]["message"] == "oops"  # type: ignore[index]
    assert len(waits) == 2
    assert outcome_of(failure, failure, GOOD)[0] is Kind.ANSWERED


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (AnswerTimeoutError("too slow", url="http://model"), "request_timeout"),
        (BrokenConnectionError("broke off", url="http://model"), "server_error"),
        (Response(status=200, body=b'{"cut'), "server_error"),
    ],
)
def test_a_request_without_an_answer_ends_in_an_error_line(failure: Answer, code: str) -> None:
    kind, line, _ = outcome_of(failure, failure, failure)
    assert kind is Kind.FAILED
    assert line["response"] is None
    assert line["error"]["code"] == code  # type: ignore[index]


@pytest.mark.parametrize("failure", [REFUSED, *[Response(status=status) for status in (401, 429, 503, 529)]])
def test_the_upstreams_own_failures_cost_no_attempt(failure: Answer) -> None:
    kind, _, waits = outcome_of(*[failure] * 8, GOOD)
    assert kind is Kind.ANSWERED
    assert len(waits) == 8
    assert waits[0] <= 0.5
    assert 15 <= waits[-1] <= 30


def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    slow, slower = (Response(status=429, headers={"retry-after": seconds}) for seconds in ("7", "3600"))
    assert outcome_of(slow, slower, GOOD)[2] == [7.0, 30.0]


def test_a_stop_ends_the_waiting_without_an_outcome() -> None:
    async def scenario() -> Result | None:
        stop, clock = asyncio.Event(), ManualClock()
        asking = asyncio.create_task(upstream(Script([REFUSED]), clock).ask(QUESTION, stop=stop, trail=Noted()))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        stop.set()
        return await asking

    assert asyncio.run(scenario()) is None


def test_a_stopped_batch_sends_nothing() -> None:
    async def scenario() -> Result | None:
        stop = asyncio.Event()
        stop.set()
        return (await ask(Script([]), stop=stop))[0]

    assert asyncio.run(scenario()) is None


def test_a_byte_order_mark_does_not_break_the_result_line() -> None:
    kind, line, _ = outcome_of(Response(status=200, body=b'\xef\xbb\xbf{"a": 1}'))
    assert kind is Kind.ANSWERED
    assert line["response"]["body"] == {"a": 1}  # type: ignore[index]


def test_whoever_runs_the_server_is_told_once_why_requests_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    outcome_of(*[Response(status=401)] * 3, Response(status=429), *[REFUSED] * 2, GOOD)
    assert [record.message.partition(": ")[2] or record.message for record in caplog.records] == [
        "it answers 401. Requests wait until it is solved.",
        "refused. Requests wait until it is solved.",
        "The upstream http://model/v1 answers again.",
    ]


def test_a_trouble_that_comes_and_goes_is_not_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    caplog.set_level("INFO")

    async def scenario() -> None:
        asked = upstream(Script([]), clock)
        for _ in range(3):
            asked._note("it answers 503")
            asked._note(None)
        clock.advance(60)
        asked._note("it answers 503")

    asyncio.run(scenario())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


def test_the_trail_hears_of_every_send_and_of_every_exchange_without_a_result() -> None:
    async def scenario() -> list[str]:
        trail = Noted()
        script = Script([REFUSED, Response(status=500), GOOD])
        await upstream(script, HastyClock()).ask(QUESTION, stop=asyncio.Event(), trail=trail)
        return trail.heard

    assert asyncio.run(scenario()) == ["sent", "returned", "sent", "returned", "sent"]


def test_nothing_is_sent_that_the_trail_forbids() -> None:
    class Forbidding(Noted):
        async def may_send(self) -> bool:
            return False

    script = Script([GOOD])
    asking = upstream(script, HastyClock()).ask(QUESTION, stop=asyncio.Event(), trail=Forbidding())
    assert asyncio.run(asking) is None
    assert script.sent == []

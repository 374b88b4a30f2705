"""Whose fault a failure is, told by what the upstream is asked next and by the line that is written."""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest

from tidyllm.core.clock import Clock
from tidyllm.core.errors import (
    AnswerTimeoutError,
    BodyTooLargeError,
    BrokenConnectionError,
    ConnectError,
    TransportError,
)
from tidyllm.core.wire import Request, Response
from tidyllm.journal import Kind
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.health import PAUSED_PROBE_S, PROBE_PATIENCE_S, UNASKED_S, WINDOW_MIN, State
from tidyllm.server.lines import RequestLine
from tidyllm.server.settings import Settings
from tidyllm.server.upstream import Again, Upstream
from tidyllm.server.verdict import Question, Result
from tidyllm.testing.clock import ManualClock
from tidyllm.transport.pace import Ceilings

Answer = Response | TransportError
GOOD = Response(status=200, headers={"x-request-id": "req_up"}, body=b'{"usage":{"prompt_tokens":3}}')
REFUSED = ConnectError("refused", url="http://model")
QUESTION = Question(
    batch_id="batch_1",
    line=5,
    endpoint="/v1/chat/completions",
    model="m",
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


class Asked(NamedTuple):
    """What became of a request, and how long it waited before each further attempt."""

    result: Result
    waits: list[float]
    tries: int


def upstream(script: Script, *, clock: Clock | None = None, **declared: object) -> Upstream:
    made = UpstreamSettings(**{"name": "gpu", "base_url": "http://model/v1/", **declared})  # type: ignore[arg-type]
    return Upstream(
        made,
        sender=script,
        headers=(("authorization", "Bearer k"),),
        clock=clock or ManualClock(),
        rng=random.Random(1),
        settings=Settings(),
    )


async def ask(asked: Upstream, question: Question = QUESTION) -> Asked:
    """Ask until there is a result, as a worker would, but without waiting."""
    tries = attempts = 0
    waits: list[float] = []
    while True:
        outcome = await asked.begin(question, tries=tries, attempts=attempts, now=asked.clock.monotonic()).ask()
        if isinstance(outcome, Result):
            return Asked(outcome, waits, tries + 1)
        tries, attempts = tries + 1, attempts + outcome.costs
        waits.append(outcome.after_s)


def outcome_of(*answers: Answer) -> tuple[Kind, dict[str, object], list[float]]:
    script = Script(answers)
    outcome = asyncio.run(ask(upstream(script)))
    assert not script.answers
    return outcome.result.kind, json.loads(outcome.result.data), outcome.waits


def test_a_good_answer_goes_to_the_output_file_with_its_usage() -> None:
    script = Script([GOOD])
    outcome = asyncio.run(ask(upstream(script))).result
    assert (outcome.kind, outcome.usage.input_tokens) == (Kind.ANSWERED, 3)
    assert json.loads(outcome.data)["response"]["request_id"] == "req_up"
    (request,) = script.sent
    assert (request.method, request.url, request.body) == (
        "POST",
        "http://model/v1/chat/completions",
        b'{"model":"m"}',
    )
    assert dict(request.headers) == {"content-type": "application/json", "authorization": "Bearer k"}


@pytest.mark.parametrize("status", [400, 409, 413, 422])
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


def test_an_answer_that_is_too_large_is_not_asked_for_again() -> None:
    kind, line, _ = outcome_of(BodyTooLargeError("The answer's body passed 5 bytes.", url="http://model"))
    assert kind is Kind.FAILED
    assert "passed 5 bytes" in line["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize("failure", [REFUSED, *[Response(status=status) for status in (401, 404, 429, 503, 529)]])
def test_the_upstreams_own_failures_cost_no_attempt(failure: Answer) -> None:
    kind, _, waits = outcome_of(*[failure] * 8, GOOD)
    assert kind is Kind.ANSWERED
    assert len(waits) == 8
    assert waits[0] <= 0.5
    assert 15 <= waits[-1] <= 30


def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    slow, slower = (Response(status=429, headers={"retry-after": seconds}) for seconds in ("7", "3600"))
    assert outcome_of(slow, slower, GOOD)[2] == [7.0, 30.0]


def test_a_byte_order_mark_does_not_break_the_result_line() -> None:
    kind, line, _ = outcome_of(Response(status=200, body=b'\xef\xbb\xbf{"a": 1}'))
    assert kind is Kind.ANSWERED
    assert line["response"]["body"] == {"a": 1}  # type: ignore[index]


def other(line: int) -> Question:
    return msgspec.structs.replace(QUESTION, line=line)


def test_what_fails_while_most_fails_is_the_upstream_s_fault_until_it_answers_again() -> None:
    oops = Response(status=500)
    script = Script([GOOD] * 3 + [oops] * 30 + [GOOD])
    asked = upstream(script)

    async def scenario() -> None:
        for line in range(3):
            await ask(asked, other(line))
        outcomes = [
            await asked.begin(other(line), tries=0, attempts=0, now=asked.clock.monotonic()).ask() for line in range(30)
        ]
        again = [outcome for outcome in outcomes if isinstance(outcome, Again)]
        assert len(again) == 30
        # Only the first ones could have been the lines' own.
        assert sum(outcome.costs for outcome in again) < 10
        assert asked.trouble == (State.DOWN, "it answers 500")
        await ask(asked, other(99))
        assert asked.health.reason is None

    asyncio.run(scenario())


def test_an_upstream_that_answers_200_with_a_page_is_said_to_do_so() -> None:
    asked = upstream(Script([Response(status=200, body=b"<html>welcome</html>")] * WINDOW_MIN))

    async def scenario() -> None:
        for number in range(WINDOW_MIN):
            await asked.begin(other(number), tries=0, attempts=0, now=asked.clock.monotonic()).ask()

    asyncio.run(scenario())
    assert asked.trouble == (State.DOWN, "it answers 200 with a body that is not JSON")


def test_a_model_that_nobody_asks_for_any_more_does_not_make_it_look_paused() -> None:
    # Found with a cancelled batch of a mistyped model: `tidyllm upstreams` called the upstream paused ever after.
    clock = ManualClock()
    asked = upstream(Script([Response(status=404), GOOD]), clock=clock)

    async def scenario() -> list[tuple[State, str | None]]:
        await asked.begin(QUESTION, tries=0, attempts=0, now=clock.monotonic()).ask()
        found = [asked.trouble]
        fine = msgspec.structs.replace(QUESTION, model="fine")
        await asked.begin(fine, tries=0, attempts=0, now=clock.monotonic()).ask()
        clock.advance(PAUSED_PROBE_S + UNASKED_S)
        found.append(asked.trouble)
        clock.advance(1)
        return [*found, asked.trouble]

    paused = (State.PAUSED, "it answers 404 for the model m")
    assert asyncio.run(scenario()) == [paused, paused, (State.WELL, None)]


def test_while_it_is_down_one_request_at_a_time_finds_out_how_it_is() -> None:
    clock = ManualClock()
    asked = upstream(Script([REFUSED, REFUSED, GOOD]), clock=clock)

    async def scenario() -> list[float]:
        waits = [asked.wait_s("m", now=clock.monotonic())]
        for _ in range(3):
            flight = asked.begin(QUESTION, tries=0, attempts=0, now=asked.clock.monotonic())
            waits.append(asked.wait_s("m", now=clock.monotonic()))
            await flight.ask()
            waits.append(asked.wait_s("m", now=clock.monotonic()))
        return waits

    assert asyncio.run(scenario()) == [0, 0, 0.5, PROBE_PATIENCE_S, 1, PROBE_PATIENCE_S, 0]


@pytest.mark.parametrize("status", [403, 404, 405, 307])
def test_a_model_that_it_does_not_know_is_paused_and_no_other(status: int) -> None:
    clock = ManualClock()
    asked = upstream(Script([Response(status=status), GOOD, Response(status=status)]), clock=clock)
    known = msgspec.structs.replace(QUESTION, model="n")

    async def scenario() -> None:
        assert isinstance(await asked.begin(QUESTION, tries=0, attempts=0, now=asked.clock.monotonic()).ask(), Again)
        assert asked.trouble == (State.PAUSED, f"it answers {status} for the model m")
        assert (asked.wait_s("m", now=clock.monotonic()), asked.wait_s("n", now=clock.monotonic())) == (60.0, 0.0)
        await ask(asked, known)
        # Where others were answered, it is the request that it does not take.
        outcome = (await ask(asked, known)).result
        assert json.loads(outcome.data)["response"]["status_code"] == status

    asyncio.run(scenario())


def test_a_wrong_key_pauses_it_as_a_whole() -> None:
    clock = ManualClock()
    asked = upstream(Script([Response(status=401), GOOD]), clock=clock)

    async def scenario() -> None:
        assert isinstance(await asked.begin(QUESTION, tries=0, attempts=0, now=asked.clock.monotonic()).ask(), Again)
        assert asked.wait_s("n", now=clock.monotonic()) == 60.0
        clock.advance(60)
        assert asked.wait_s("n", now=clock.monotonic()) == 0.0
        assert (await ask(asked)).tries == 1
        assert asked.trouble == (State.WELL, None)

    asyncio.run(scenario())


def test_a_place_that_was_given_back_is_not_given_back_twice() -> None:
    asked = upstream(Script([GOOD]))

    async def scenario() -> None:
        flight = asked.begin(QUESTION, tries=0, attempts=0, now=asked.clock.monotonic())
        flight.give_place()
        flight.give_place()
        assert asked.pace.concurrency.in_flight == 0
        await flight.ask()
        assert asked.pace.concurrency.in_flight == 0
        asked.begin(QUESTION, tries=0, attempts=0, now=asked.clock.monotonic()).not_sent()
        assert (asked.pace.concurrency.in_flight, asked.load) == (0, 0.0)

    asyncio.run(scenario())


def test_ceilings_are_shared_by_the_workers() -> None:
    settings = Settings(workers=3, concurrency=50)
    declared = UpstreamSettings(name="gpu", base_url="http://model/v1", max_concurrency=100, rpm=600, tpm=9_000)
    asked = Upstream(
        declared, sender=Script([]), headers=(), clock=ManualClock(), rng=random.Random(1), settings=settings
    )
    assert asked.pace.ceilings == Ceilings(concurrency=33, requests_per_minute=200, tokens_per_minute=3_000)
    assert [upstream(Script([]), models=("a*", "b")).takes(model) for model in ("alpha", "b", "bb")] == [
        True,
        True,
        False,
    ]


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
    asked = upstream(Script([REFUSED, GOOD] * 4), clock=clock)
    for _ in range(3):
        asyncio.run(ask(asked))
    clock.advance(60)
    asyncio.run(ask(asked))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING", "INFO"]

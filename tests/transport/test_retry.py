"""Whether a request is sent again, and after how long."""

import pytest

from tidyllm.core.errors import (
    AnswerTimeoutError,
    BodyTooLargeError,
    BrokenConnectionError,
    ConnectError,
    TransportError,
)
from tidyllm.core.wire import Repeat, Request, Response
from tidyllm.transport.retry import RetryPolicy, delay_s, should_retry

NOW = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT


def ask(repeat: Repeat = Repeat.ALWAYS) -> Request:
    return Request(method="POST", url="http://x", repeat=repeat)


def failure(kind: type[TransportError]) -> TransportError:
    return kind("no", url="http://x")


@pytest.mark.parametrize("status", [408, 424, 429, 498, 500, 502, 503, 529])
def test_passing_troubles_are_tried_again(status: int) -> None:
    assert should_retry(ask(), Response(status=status))


def test_an_error_that_a_stream_told_of_counts_as_one_in_a_whole_answer() -> None:
    stream = Response(status=200, body=b'data: {"error":{"code":503}}\n\n')
    assert not should_retry(ask(), stream)
    assert should_retry(ask(), stream, told=b'{"error":{"code":503}}')
    assert not should_retry(ask(), stream, told=b'{"error":{"code":400}}')


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 409, 422])
def test_other_answers_are_final(status: int) -> None:
    assert not should_retry(ask(), Response(status=status))


@pytest.mark.parametrize(
    ("status", "said", "again"), [(409, "true", True), (503, "false", False), (200, "true", False)]
)
def test_x_should_retry_overrides_the_status(status: int, said: str, *, again: bool) -> None:
    assert should_retry(ask(), Response(status=status, headers={"x-should-retry": said})) is again


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"])
@pytest.mark.parametrize("field", ["code", "type"])
def test_refusal_that_waiting_does_not_cure_is_final(code: str, field: str) -> None:
    answer = Response(status=429, headers={"x-should-retry": "true"}, body=b'{"error":{"%s":"%s"}}' % (
        field.encode(), code.encode(),
    ))  # fmt: skip
    assert not should_retry(ask(), answer)


def test_a_budget_that_requests_under_way_hold_is_waited_for_although_the_status_says_otherwise() -> None:
    metadata = b'{"limit_source":"%s"}'
    body = b'{"error":{"code":402,"metadata":' + metadata + b"}}"
    assert should_retry(ask(), Response(status=402, body=body % b"openrouter_in_flight_budget"))
    assert not should_retry(ask(), Response(status=402, body=body % b"openrouter_credits"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"busy",
        b"[]",
        b'{"error":"busy"}',
        b'{"error":{"code":null}}',
        b'{"error":{"code":"rate_limit"}}',
        b'{"error":"occup\xe9"}',
        b'{"error":' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_other_429s_are_tried_again(body: bytes) -> None:
    assert should_retry(ask(), Response(status=429, body=body))


@pytest.mark.parametrize(
    ("kind", "always", "if_not_sent"),
    [
        (ConnectError, True, True),
        (AnswerTimeoutError, True, False),
        (BrokenConnectionError, True, False),
        (BodyTooLargeError, False, False),
    ],
)
def test_failures_are_tried_again_where_that_is_allowed(
    kind: type[TransportError], *, always: bool, if_not_sent: bool
) -> None:
    assert should_retry(ask(), failure(kind)) is always
    assert should_retry(ask(Repeat.IF_NOT_SENT), failure(kind)) is if_not_sent
    assert not should_retry(ask(Repeat.NEVER), failure(kind))


@pytest.mark.parametrize(("status", "again"), [(429, True), (500, False), (408, False)])
def test_request_to_be_sent_once_is_repeated_only_after_a_429(status: int, *, again: bool) -> None:
    assert should_retry(ask(Repeat.IF_NOT_SENT), Response(status=status)) is again
    assert not should_retry(ask(Repeat.IF_NOT_SENT), Response(status=500, headers={"x-should-retry": "true"}))
    assert not should_retry(ask(Repeat.NEVER), Response(status=429))


def delays(outcome: Response | TransportError, draw: float, policy: RetryPolicy | None = None) -> list[float | None]:
    policy = policy or RetryPolicy(attempts_max=7)
    return [delay_s(policy, outcome, attempt=number, now=NOW, random=lambda: draw) for number in range(1, 8)]


def test_delay_doubles_up_to_its_limit() -> None:
    assert delays(Response(status=500), 0.0) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, None]


def test_jitter_takes_up_to_a_quarter_off() -> None:
    assert delays(failure(ConnectError), 1.0)[:2] == [0.375, 0.75]


def test_wait_that_was_asked_for_is_kept() -> None:
    answer = Response(status=429, headers={"retry-after": "7"})
    assert delays(answer, 0.0)[0] == 7.0
    assert delays(answer, 1.0)[0] == 7.125


def test_wait_that_is_too_long_ends_the_attempts() -> None:
    answer = Response(status=429, headers={"retry-after": "121"})
    assert delays(answer, 0.0)[0] is None
    assert delays(answer, 0.0, RetryPolicy(retry_after_max_s=200))[0] == 121.0

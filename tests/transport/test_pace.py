"""Pauses that follow from what an API says of its limits."""

import asyncio
import json

import pytest

from tidyllm.core.wire import Call, Lane, Request, Response
from tidyllm.testing import ManualClock
from tidyllm.transport.drive import Transport, adrive
from tidyllm.transport.pace import PAUSE_MAX_S, Pace
from tidyllm.transport.retry import RetryPolicy

NOW = 1_795_000_000.0
LANE = Lane("openai", "m", "http://a.example")


def noted(status: int, *, body: bytes = b"", **headers: str) -> float:
    """Return the pause after such an answer, in seconds."""
    pace = Pace()
    answer = Response(
        status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body
    )
    pace.note(LANE, answer, now=NOW)
    return pace.wait_s(LANE, now=NOW)


def test_what_an_api_asks_for_holds_the_whole_lane_and_no_other() -> None:
    pace = Pace()
    pace.note(LANE, Response(status=429, headers={"retry-after": "7"}), now=NOW)
    assert pace.wait_s(LANE, now=NOW + 2) == 5.0
    assert pace.wait_s(LANE, now=NOW + 8) == 0.0
    assert pace.wait_s(Lane("openai", "other", "http://a.example"), now=NOW) == 0.0
    assert pace.wait_s(Lane("openai", "m", "http://b.example"), now=NOW) == 0.0
    assert pace.wait_s(None, now=NOW) == 0.0


def test_a_clock_that_is_set_back_makes_no_pause_longer_than_the_longest() -> None:
    pace = Pace()
    pace.note(LANE, Response(status=429, headers={"retry-after": "100"}), now=NOW)
    assert pace.wait_s(LANE, now=NOW - 8000) == PAUSE_MAX_S


def test_a_wait_in_the_body_counts_as_one_in_a_header() -> None:
    error = {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.5s"}]}
    assert noted(429, body=json.dumps({"error": error}).encode()) == 45.5


def test_the_last_request_of_a_window_is_followed_by_a_pause() -> None:
    assert noted(200, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="3s") == 3.0
    assert noted(200, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="4s") == 4.0
    assert noted(200, x_ratelimit_remaining_requests="1", x_ratelimit_reset_requests="3s") == 0.0
    assert noted(200, x_ratelimit_remaining_requests="0") == 0.0


@pytest.mark.parametrize("status", [200, 429])
def test_a_quota_of_the_day_is_not_waited_for(status: int) -> None:
    day = str(PAUSE_MAX_S + 1)
    assert (
        noted(status, retry_after=day, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests=f"{day}s") == 0.0
    )


def test_an_answer_that_tells_nothing_changes_nothing() -> None:
    pace = Pace()
    pace.note(LANE, Response(status=200, headers={"retry-after": "9"}), now=NOW)
    pace.note(LANE, Response(status=500), now=NOW)
    pace.note(None, Response(status=429, headers={"retry-after": "7"}), now=NOW)
    assert (pace.wait_s(LANE, now=NOW), pace.seen) == (0.0, {})


def test_calls_wait_for_each_others_pause(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()

    class Api:
        """Answers once, and has then nothing left for ten seconds."""

        def __init__(self) -> None:
            self.times: list[float] = []

        async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
            del request, headers
            self.times.append(clock.monotonic())
            return Response(
                status=200, headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "10s"}
            )

    def call() -> Call[int]:
        return (yield Request(method="GET", url="http://a.example", lane=LANE)).status

    caplog.set_level("INFO", logger="tidyllm")

    async def main() -> None:
        transport = Transport(sender=api, clock=clock, retry=RetryPolicy(attempts_max=1))
        await adrive(call(), transport)
        second = asyncio.create_task(adrive(call(), transport))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        clock.advance(10)
        await second
        assert "openai/m takes nothing more for 10.0 s." in caplog.text

    api = Api()
    asyncio.run(main())
    first, then = api.times
    assert then - first == 10.0

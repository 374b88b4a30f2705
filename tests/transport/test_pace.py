"""Pauses that follow from what an API says of its limits."""

import asyncio
import itertools
import json
import math

import pytest

from tidyllm.core.wire import Call, Lane, Request, Response
from tidyllm.testing import ManualClock
from tidyllm.transport.drive import Transport, adrive
from tidyllm.transport.pace import PAUSE_MAX_S, Ceilings, LanePace, Pace
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


def went(pace: LanePace, *, until: float, tokens: float = 0.0, answer: Response | None = None) -> list[float]:
    """Return when requests go out that are sent as soon as they may be, and are answered at once."""
    now, times = 0.0, []
    while now < until:
        if wait_s := pace.wait_s(now=now, tokens=tokens):
            now += wait_s
            continue
        pace.began(now=now, tokens=tokens)
        pace.ended(answer or Response(status=200), now=now, seconds=0.001, work=1.0)
        if answer is not None:
            pace.hear(answer, now=now, wall=NOW + now)
        times.append(now)
    return times


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(begin <= at < begin + 60 for at in times) for begin in times)


def test_a_ceiling_of_requests_by_the_minute_holds_in_every_minute() -> None:
    times = went(LanePace(now=0.0, ceilings=Ceilings(requests_per_minute=120)), until=180)
    assert 110 <= most_in_a_minute(times) <= 120


def test_a_ceiling_of_tokens_by_the_minute_holds_in_every_minute() -> None:
    times = went(LanePace(now=0.0, ceilings=Ceilings(tokens_per_minute=6_000)), until=180, tokens=100)
    assert 50 <= most_in_a_minute(times) <= 60


def test_tokens_that_were_guessed_wrong_are_put_right() -> None:
    pace = LanePace(now=0.0, ceilings=Ceilings(tokens_per_minute=600))
    pace.began(now=0.0, tokens=1)
    pace.ended(Response(status=200), now=0.0)
    pace.correct(60, now=0.0)
    assert pace.wait_s(now=0.0, tokens=1) > 5


def test_what_is_left_of_a_window_is_spread_over_it() -> None:
    headers = {"x-ratelimit-remaining-requests": "30", "x-ratelimit-reset-requests": "60s"}
    pace = LanePace(now=0.0)
    pace.hear(Response(status=200, headers=headers), now=0.0, wall=NOW)
    times = went(pace, until=59)
    assert 28 <= len(times) <= 31
    assert max(after - before for before, after in itertools.pairwise(times)) < 3


def test_nothing_goes_before_a_window_s_end_when_nothing_is_left() -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "30s"}
    pace = LanePace(now=0.0)
    pace.hear(Response(status=200, headers=headers), now=0.0, wall=NOW)
    assert (pace.wait_s(now=1.0), pace.wait_s(now=31.0)) == (29.0, 0.0)


def test_where_all_is_refused_all_wait_as_long_as_is_asked() -> None:
    pace = LanePace(now=0.0)
    times = went(pace, until=100, answer=Response(status=429, headers={"retry-after": "10"}))
    assert times == [10.0 * number for number in range(10)]


def test_a_refusal_leaves_its_place_resting_where_many_are_refused() -> None:
    pace = LanePace(now=0.0)
    for _ in range(pace.concurrency.limit):
        pace.began(now=0.0)
    assert pace.wait_s(now=0.0) == math.inf
    for _ in range(4):
        pace.ended(Response(status=429), now=0.1)
        assert pace.hear(Response(status=429), now=0.1, wall=NOW) is None
    assert pace.wait_s(now=0.1) == 1.0
    assert pace.wait_s(now=1.1) == 0.0


def test_other_ceilings_hold_from_then_on() -> None:
    pace = LanePace(now=0.0, ceilings=Ceilings(concurrency=2))
    pace.began(now=0.0)
    pace.keep(Ceilings(concurrency=1, requests_per_minute=60), now=0.0)
    assert pace.wait_s(now=0.0) == math.inf

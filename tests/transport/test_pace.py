"""How fast requests of one lane may follow, by ceilings, by what was found and by what answers say."""

import itertools
import math

from tidyllm.core.wire import Response
from tidyllm.transport.pace import Ceilings, LanePace

NOW = 1_795_000_000.0


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


def test_a_ceiling_that_is_set_again_and_again_does_not_begin_anew() -> None:
    # Each run of a loop sets the ceiling and lifts it; each had its own burst, so that none held.
    pace, now = LanePace(now=0.0), 0.0
    for _ in range(61):
        pace.keep(Ceilings(requests_per_minute=60), now=now)
        now += pace.wait_s(now=now)
        pace.began(now=now)
        pace.ended(Response(status=200), now=now, seconds=0.001, work=1.0)
        pace.keep(Ceilings(), now=now)
    assert now >= 60

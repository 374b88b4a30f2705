"""Whether an upstream can be asked, by what came of asking it."""

from tidyllm.server.health import (
    OUTAGE_MAX_S,
    PAUSED_PROBE_S,
    PROBE_MAX_S,
    PROBE_PATIENCE_S,
    WINDOW_MIN,
    Health,
    State,
)


def test_a_few_failures_among_many_answers_are_the_lines_own() -> None:
    health = Health()
    for number in range(100):
        if number % 3 == 0:
            assert not health.failed("it answers 500", first=True, now=number)
        else:
            health.answered()
    assert health.state is State.WELL


def test_where_most_fails_it_is_the_upstream_s_fault() -> None:
    health = Health()
    blamed = [health.failed("it answers 500", first=True, now=0) for _ in range(WINDOW_MIN)]
    assert blamed == [False] * (WINDOW_MIN - 1) + [True]
    assert (health.state, health.reason) == (State.DOWN, "it answers 500")


def test_a_line_that_fails_again_and_again_says_nothing_of_the_upstream() -> None:
    health = Health()
    assert not any(health.failed("it answers 500", first=False, now=0) for _ in range(100))


def test_one_request_at_a_time_is_let_through_later_and_later() -> None:
    health, now, gaps = Health(), 0.0, []
    health.fell(State.DOWN, "refused", now=now)
    for _ in range(9):
        gaps.append(health.wait_s(now=now))
        now += gaps[-1]
        assert health.began(now=now)
        assert health.wait_s(now=now) == PROBE_PATIENCE_S
        health.probed(now=now)
        health.fell(State.DOWN, "refused", now=now)
    assert gaps == [0.5, 1, 2, 4, 8, 16, PROBE_MAX_S, PROBE_MAX_S, PROBE_MAX_S]
    health.answered()
    assert (health.wait_s(now=now), health.began(now=now), health.reason) == (0, False, None)


def test_a_request_that_is_never_answered_does_not_keep_the_next_one_from_finding_out() -> None:
    # Found by reading: one that hung kept everything waiting for as long as a request may take, ten minutes.
    health = Health()
    health.fell(State.DOWN, "refused", now=0)
    assert health.began(now=1)
    health.fell(State.DOWN, "refused", now=2)  # So failed one that had been sent before.
    assert health.wait_s(now=2) == PROBE_PATIENCE_S - 1
    assert health.wait_s(now=1 + PROBE_PATIENCE_S) == 0
    assert health.began(now=1 + PROBE_PATIENCE_S)
    health.answered()
    health.probed(now=600)
    assert (health.state, health.wait_s(now=600)) == (State.WELL, 0)


def test_a_pause_is_looked_at_now_and_then_or_when_somebody_says_so() -> None:
    health = Health()
    health.fell(State.PAUSED, "it answers 401", now=5)
    assert health.wait_s(now=5) == PAUSED_PROBE_S
    health.try_at(6)
    assert health.wait_s(now=6) == 0
    # Whatever the request finds out but that all is well, the next one has to wait again.
    health.began(now=6)
    health.probed(now=7)
    health.failed("it answers 500", first=True, now=7)
    assert (health.state, health.wait_s(now=7)) == (State.PAUSED, PAUSED_PROBE_S)


def test_what_fails_for_hours_may_be_the_lines_fault_after_all() -> None:
    health = Health()
    for _ in range(WINDOW_MIN):
        health.failed("it answers 500", first=True, now=0)
    assert health.failed("it answers 500", first=True, now=OUTAGE_MAX_S - 1)
    assert not health.failed("it answers 500", first=True, now=OUTAGE_MAX_S)

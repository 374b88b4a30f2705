"""Where requests wait for their turn: by what an API says of its limits, by ceilings, and by how many it takes."""

import asyncio
import contextlib
import json
import logging
import threading

import pytest

from tidyllm.core.wire import Call, Lane, Request, Response
from tidyllm.testing import ManualClock
from tidyllm.transport.concurrency import LIMIT_FIRST
from tidyllm.transport.drive import Transport, adrive
from tidyllm.transport.gate import Gate, Pace
from tidyllm.transport.pace import PAUSE_MAX_S, Ceilings
from tidyllm.transport.retry import RetryPolicy

LANE = Lane("openai", "m", "http://a.example")
OK = Response(status=200)


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def enters_after(gate: Gate, clock: ManualClock, *, bulk: bool = False) -> float:
    """Return after how many seconds a request is let in, to a tenth."""
    began = clock.monotonic()
    entering = asyncio.create_task(gate.enter(clock, body_bytes=0, bulk=bulk))
    await turns()
    while not entering.done():
        clock.advance(0.1)
        await turns()
    return round(clock.monotonic() - began, 1)


def pause_s(status: int, body: bytes = b"", /, **headers: str) -> float:
    """Return how long the next request waits after such an answer to the first one."""
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())

    async def main() -> float:
        await gate.enter(clock, body_bytes=0, bulk=False)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        gate.leave(Response(status=status, headers=told, body=body), clock, seconds=1.0)
        return await enters_after(gate, clock)

    return asyncio.run(main())


def test_what_an_api_asks_for_is_waited_for() -> None:
    assert pause_s(429, retry_after="7") == 7.0
    assert pause_s(200, retry_after="7") == 0.0
    assert pause_s(500) == 0.0


def test_a_wait_in_the_body_counts_as_one_in_a_header() -> None:
    error = {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.5s"}]}
    assert pause_s(429, json.dumps({"error": error}).encode()) == 45.5


def test_the_last_request_of_a_window_is_followed_by_a_pause() -> None:
    assert pause_s(200, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="3s") == 3.0
    assert pause_s(200, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="4s") == 4.0
    assert pause_s(200, x_ratelimit_remaining_requests="0") == 0.0


@pytest.mark.parametrize("status", [200, 429])
def test_a_quota_of_the_day_is_not_waited_for(status: int) -> None:
    day = str(PAUSE_MAX_S + 1)
    reset = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": f"{day}s"}
    # What is asked for beyond the longest pause is waited for no longer than that.
    assert pause_s(status, retry_after=day, **reset) == (PAUSE_MAX_S if status == 429 else 0.0)


def test_each_lane_and_key_has_a_gate_of_its_own() -> None:
    pace, clock = Pace(), ManualClock()
    gate = pace.gate(LANE, key="a", clock=clock)
    assert pace.gate(Lane("openai", "m", "http://a.example"), key="a", clock=clock) is gate
    assert pace.gate(LANE, key="b", clock=clock) is not gate
    assert pace.gate(Lane("openai", "other", "http://a.example"), key="a", clock=clock) is not gate
    assert pace.gate(Lane("openai", "m", "http://b.example"), key="a", clock=clock) is not gate


def test_what_was_told_last_is_known_of_a_lane_whatever_the_key() -> None:
    pace, clock = Pace(), ManualClock()
    for key, left in (("a", "5"), ("b", "7")):
        gate = pace.gate(LANE, key=key, clock=clock)
        gate.leave(Response(status=200, headers={"x-ratelimit-remaining-requests": left}), clock)
        clock.advance(1)
    pace.gate(Lane("openai", "silent", ""), key="a", clock=clock).leave(OK, clock)
    assert [(lane, seen.limit.requests_remaining) for lane, seen in pace.seen.items()] == [(LANE, 7)]


def test_some_of_many_wait_for_a_place_and_one_alone_does_not() -> None:
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())

    async def main() -> None:
        for _ in range(LIMIT_FIRST):
            await gate.enter(clock, body_bytes=0, bulk=True)
        third = [asyncio.create_task(gate.enter(clock, body_bytes=0, bulk=True)) for _ in range(2)]
        await turns()
        assert not any(task.done() for task in third)
        await gate.enter(clock, body_bytes=0, bulk=False)
        gate.leave(OK, clock)
        gate.leave(OK, clock)
        await turns()
        assert [task.done() for task in third] == [True, False]
        gate.leave(OK, clock)
        await turns()
        assert third[1].done()

    asyncio.run(main())


def test_who_no_longer_waits_is_not_woken_in_place_of_others() -> None:
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())

    async def main() -> None:
        for _ in range(LIMIT_FIRST):
            await gate.enter(clock, body_bytes=0, bulk=True)
        gone, stays = (asyncio.create_task(gate.enter(clock, body_bytes=0, bulk=True)) for _ in range(2))
        await turns()
        gate.leave(OK, clock)  # It wakes the first one, which is cancelled in the same moment.
        gone.cancel()
        await turns()
        assert gone.cancelled()
        assert stays.done()

    asyncio.run(main())


def test_the_lowest_ceilings_of_those_who_keep_some_hold_for_all() -> None:
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())

    async def main() -> None:
        with gate.keeping(Ceilings(concurrency=3), clock), gate.keeping(Ceilings(concurrency=1), clock):
            await gate.enter(clock, body_bytes=0, bulk=True)
            second = asyncio.create_task(gate.enter(clock, body_bytes=0, bulk=True))
            await turns()
            assert not second.done()
        await turns()
        assert second.done()
        with gate.keeping(Ceilings(requests_per_minute=60), clock):
            assert await enters_after(gate, clock) == 0.0
            assert await enters_after(gate, clock) == pytest.approx(1.0, abs=0.2)

    asyncio.run(main())


def test_a_ceiling_of_tokens_counts_what_was_used_in_truth() -> None:
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())

    async def main() -> None:
        with gate.keeping(Ceilings(tokens_per_minute=6000), clock):
            await gate.enter(clock, body_bytes=40, bulk=False)
            gate.correct(310, clock, body_bytes=40)
            assert await enters_after(gate, clock) == pytest.approx(2.0, abs=0.3)

    asyncio.run(main())


def test_those_of_another_thread_s_loop_are_woken_too() -> None:
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())
    asyncio.run(_fill(gate, clock))
    entered = threading.Event()

    def enter() -> None:
        asyncio.run(gate.enter(clock, body_bytes=0, bulk=True))
        entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    gate.leave(OK, clock)
    assert entered.wait(10)
    thread.join()


async def _fill(gate: Gate, clock: ManualClock) -> None:
    for _ in range(LIMIT_FIRST):
        await gate.enter(clock, body_bytes=0, bulk=True)


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
        assert "openai/m takes nothing more for 10.0 s." in caplog.text
        clock.advance(10)
        await second

    api = Api()
    asyncio.run(main())
    first, then = api.times
    assert then - first == 10.0


class _Meanwhile(logging.Handler):
    """Does something in the moment in which a wait is told of."""

    def __init__(self, act: contextlib.ExitStack) -> None:
        super().__init__(logging.INFO)
        self._act = act

    def emit(self, record: logging.LogRecord) -> None:
        if "takes nothing more" in record.getMessage():
            self._act.close()


def test_what_falls_free_in_the_moment_of_joining_the_waiting_is_not_missed() -> None:
    clock = ManualClock()
    gate = Gate(LANE, now=clock.monotonic())
    logger = logging.getLogger("tidyllm.transport")
    ceilings = contextlib.ExitStack()
    ceilings.enter_context(gate.keeping(Ceilings(requests_per_minute=6), clock))
    meanwhile = _Meanwhile(ceilings)

    async def main() -> float:
        await gate.enter(clock, body_bytes=0, bulk=False)
        return await enters_after(gate, clock)

    level = logger.level
    logger.addHandler(meanwhile)
    logger.setLevel(logging.INFO)
    try:
        assert asyncio.run(main()) == 0.0
    finally:
        logger.removeHandler(meanwhile)
        logger.setLevel(level)

"""How many calls are performed at once: in order, at their model's pace, and to their true ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator

import pytest

from tests.transport.scripted import say_hello, served_aside
from tidyllm.core.auth import Auth
from tidyllm.core.errors import MissingKeyError
from tidyllm.core.wire import Call, Lane, Request, Response
from tidyllm.testing import ManualClock
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.concurrency import LIMIT_FIRST
from tidyllm.transport.drive import Sender, Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.many import Begun, adrive_all, adrive_many, drive_all

LANE = Lane("a", "m", "http://model/v1")
ASK = Request(method="POST", url="http://model/v1", body=b"1", lane=LANE)


class Held:
    """A sender that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del request, headers
        self.waiting += 1
        await self.open.wait()
        return Response(status=200, body=b"late")


class Echo:
    """A sender that answers with what it was sent."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        await asyncio.sleep(0)
        assert isinstance(request.body, bytes)
        return Response(status=200, body=request.body)


def transport(sender: Sender, *, key: str | None = "sk-1") -> Transport:
    return Transport(sender=sender, keys=Keys(key, environment={}), clock=ManualClock(), random=lambda: 0.0)


def ask(body: bytes = b"1", *, ends: list[bytes] | None = None) -> Call[bytes]:
    """Ask once; `ends` is told how it ended."""
    how = b"closed"
    try:
        how = (yield Request(method="POST", url=ASK.url, body=body, lane=LANE)).body
        return how
    finally:
        if ends is not None:
            ends.append(how)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - senders and calls set no event
            await asyncio.sleep(0)


def test_many_calls_give_their_results_in_order_and_failures_in_place() -> None:
    def call(number: int) -> Call[int]:
        if number == 4:
            raise ValueError("four")
        answer = yield Request(method="POST", url="http://model/v1", body=b"%d" % number)
        if number == 3:
            raise ZeroDivisionError("three")
        return int(answer.body)

    results = asyncio.run(adrive_all((call(n) for n in range(10)), transport(Echo())))
    assert [r for r in results if not isinstance(r, Exception)] == [0, 1, 2, 5, 6, 7, 8, 9]
    assert isinstance(results[3], ZeroDivisionError)
    assert isinstance(results[4], ValueError)


def test_no_more_are_in_flight_than_the_model_takes_and_one_is_taken_ahead() -> None:
    async def main() -> None:
        held, taken = Held(), 0

        def calls() -> Generator[Call[bytes], None, None]:
            nonlocal taken
            for _ in range(50):
                taken += 1
                yield ask()

        running = asyncio.create_task(adrive_all(calls(), transport(held)))
        await eventually(lambda: held.waiting == LIMIT_FIRST)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (held.waiting, taken) == (LIMIT_FIRST, LIMIT_FIRST + 1)
        held.open.set()
        assert await running == [b"late"] * 50

    asyncio.run(main())


def test_cancelled_many_begin_nothing_more_and_what_was_sent_comes_to_its_end() -> None:
    async def main() -> None:
        held, ends = Held(), list[bytes]()
        calls = [ask(ends=ends) for _ in range(50)]
        running = asyncio.create_task(adrive_all(calls, transport(held)))
        await eventually(lambda: held.waiting == LIMIT_FIRST)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ends == [b"closed"]
        held.open.set()
        await eventually(lambda: len(ends) == LIMIT_FIRST + 1)
        assert ends == [b"closed", *[b"late"] * LIMIT_FIRST]
        assert held.waiting == LIMIT_FIRST

    asyncio.run(main())


def test_places_of_calls_that_were_cancelled_are_free_again() -> None:
    async def main() -> None:
        held = Held()
        there = transport(held)
        calls = [ask() for _ in range(50)]
        running = asyncio.create_task(adrive_all(calls, there))
        # Cancelled when calls were let in of which none has begun.
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        held.open.set()
        assert await adrive_all([ask() for _ in range(LIMIT_FIRST)], there) == [b"late"] * LIMIT_FIRST

    asyncio.run(main())


def test_failure_to_name_the_next_call_is_raised() -> None:
    def calls() -> Generator[Call[bytes], None, None]:
        yield ask()
        raise ZeroDivisionError("rows")

    with pytest.raises(ZeroDivisionError, match="rows"):
        asyncio.run(adrive_all(calls(), transport(Echo())))


def test_failure_to_take_what_has_ended_is_raised_and_ends_the_others() -> None:
    async def begun() -> AsyncIterator[Begun[bytes]]:
        for number in range(50):
            call = ask()
            first = next(call)
            assert isinstance(first, Request)
            yield Begun(number, call, first)

    def refuse(_number: int, _result: bytes | Exception) -> None:
        raise ZeroDivisionError("full")

    with pytest.raises(ZeroDivisionError, match="full"):
        asyncio.run(adrive_many(begun(), transport(Echo()), ended=refuse))


def test_calls_without_a_key_fail_and_nothing_is_sent() -> None:
    def call() -> Call[bytes]:
        request = Request(method="POST", url=ASK.url, body=b"1", lane=LANE, auth=Auth(env="KEY"))
        return (yield request).body

    held = Held()
    results = asyncio.run(adrive_all([call() for _ in range(3)], transport(held, key=None)))
    assert [type(result) for result in results] == [MissingKeyError] * 3
    assert held.waiting == 0


def test_two_thousand_calls_that_count_against_no_limits_run_at_once() -> None:
    def call() -> Call[bytes]:
        return (yield Request(method="POST", url=ASK.url, body=b"1")).body

    async def main() -> None:
        held = Held()
        calls = [call() for _ in range(2000)]
        running = asyncio.create_task(adrive_all(calls, transport(held)))
        await eventually(lambda: held.waiting == 2000)
        held.open.set()
        assert await running == [b"late"] * 2000

    asyncio.run(main())


def test_sync_verbs_perform_many_on_the_background_loop() -> None:
    with served_aside(say_hello) as server:
        ready = transport(BACKGROUND)
        request = Request(method="POST", url=server.url)

        def call() -> Call[bytes]:
            return (yield request).body

        assert drive_all([], ready) == []
        assert drive_all([call() for _ in range(5)], ready) == [b"hello"] * 5

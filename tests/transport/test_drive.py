"""How calls are performed: their requests, pauses, retries, failures and ends."""

import asyncio
import threading
from collections.abc import Callable, Generator

import pytest

from tests.transport.scripted import DEADLINE_S, say_hello, served_aside
from tidyllm.core.auth import Auth
from tidyllm.core.errors import AnswerTimeoutError, ConnectError, MissingKeyError, TransportError
from tidyllm.core.wire import SLEPT, Call, Repeat, Request, Response, Sleep
from tidyllm.testing import ManualClock
from tidyllm.transport.background import Background
from tidyllm.transport.drive import Sender, Transport, adrive, drive
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

AUTH = Auth(env="KEY")
ASK = Request(method="POST", url="http://model/v1", body=b"1", auth=AUTH)

Outcome = Response | TransportError


class Script:
    """A sender that gives prepared outcomes in turn, then 200 for ever."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[tuple[Request, tuple[tuple[str, str], ...]]] = []

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self.sent.append((request, headers))
        outcome = self.outcomes.pop(0) if self.outcomes else Response(status=200, body=request.body or b"")  # type: ignore[arg-type]  # bodies here are bytes
        await asyncio.sleep(0)
        if isinstance(outcome, Response):
            return outcome
        raise outcome


class Gate:
    """A sender that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self.arrived = asyncio.Event()

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:  # noqa: ARG002 - the protocol's
        self.waiting += 1
        self.arrived.set()
        await self.open.wait()
        return Response(status=200, body=b"late")


def transport(sender: Sender, **changes: object) -> Transport:
    given = {"sender": sender, "keys": Keys("sk-1"), "clock": ManualClock(), "random": lambda: 0.0} | changes
    return Transport(**given)  # type: ignore[arg-type]  # the fields are given by name


def call_once(request: Request = ASK) -> Call[bytes]:
    answer = yield request
    return answer.body


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - a generator's progress has no event
            await asyncio.sleep(0)


async def with_time(clock: ManualClock, running: "asyncio.Task[bytes]", waits: list[float]) -> bytes:
    """Let the clock pass each of `waits` in turn: no less would wake the sleeper."""
    for wait in waits:
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        clock.advance(wait - 0.001)
        await asyncio.sleep(0)
        assert not running.done()
        clock.advance(0.001)
    return await running


def test_call_gets_its_answers_and_gives_its_result() -> None:
    def call() -> Call[bytes]:
        first = yield ASK
        second = yield Request(method="POST", url="http://model/v1", body=first.body + b"2")
        return second.body

    sender = Script()
    assert asyncio.run(adrive(call(), transport(sender))) == b"12"
    assert [headers for _, headers in sender.sent] == [(("authorization", "Bearer sk-1"),), ()]


def test_call_without_requests_gives_its_result() -> None:
    def call() -> Call[bytes]:
        if ASK.body == b"1":
            return b"known"
        return (yield ASK).body

    sender = Script()
    assert asyncio.run(adrive(call(), transport(sender))) == b"known"
    assert sender.sent == []


def test_pause_is_taken_on_the_clock_and_answered() -> None:
    def call() -> Call[bytes]:
        answer = yield Sleep(60.0)
        assert answer is SLEPT
        return b"woken"

    async def main() -> None:
        clock = ManualClock()
        running = asyncio.create_task(adrive(call(), transport(Script(), clock=clock)))
        assert await with_time(clock, running, [60.0]) == b"woken"

    asyncio.run(main())


def test_passing_trouble_is_waited_out() -> None:
    async def main() -> None:
        clock = ManualClock()
        trouble = (
            Response(status=500),
            ConnectError("no", url=ASK.url),
            Response(status=429, headers={"retry-after": "9"}),
        )
        sender = Script(*trouble)
        running = asyncio.create_task(adrive(call_once(), transport(sender, clock=clock)))
        assert await with_time(clock, running, [0.5, 1.0, 9.0]) == b"1"
        assert len(sender.sent) == 4

    asyncio.run(main())


def test_last_attempt_counts() -> None:
    def call() -> Call[int]:
        return (yield ASK).status

    sender = Script(Response(status=503), Response(status=503))
    policy = RetryPolicy(attempts_max=1)
    assert asyncio.run(adrive(call(), transport(sender, retry=policy))) == 503
    assert len(sender.sent) == 1


def test_each_attempt_is_signed_anew() -> None:
    async def main() -> None:
        clock, fresh = ManualClock(), iter(("sk-1", "sk-2"))
        sender = Script(Response(status=500))
        keys = Keys(lambda: next(fresh))
        running = asyncio.create_task(adrive(call_once(), transport(sender, clock=clock, keys=keys)))
        await with_time(clock, running, [0.5])
        assert [headers[0][1] for _, headers in sender.sent] == ["Bearer sk-1", "Bearer sk-2"]

    asyncio.run(main())


def test_call_can_heal_a_failure() -> None:
    def call() -> Call[str]:
        try:
            yield Request(method="POST", url="http://model/v1", repeat=Repeat.NEVER)
        except AnswerTimeoutError as error:
            found = yield Request(method="GET", url="http://model/v1/list")
            return f"{found.status} after {error.url}"
        return "not needed"

    sender = Script(AnswerTimeoutError("late", url="http://model/v1"))
    assert asyncio.run(adrive(call(), transport(sender))) == "200 after http://model/v1"


def test_failure_that_the_call_does_not_heal_is_raised() -> None:
    request = Request(method="POST", url="http://model/v1", repeat=Repeat.NEVER)
    with pytest.raises(AnswerTimeoutError):
        asyncio.run(adrive(call_once(request), transport(Script(AnswerTimeoutError("late", url="x")))))


def test_missing_key_ends_the_call_before_anything_is_sent() -> None:
    ended = False

    def call() -> Call[bytes]:
        nonlocal ended
        try:
            return (yield ASK).body
        finally:
            ended = True

    sender = Script()
    with pytest.raises(MissingKeyError, match="KEY"):
        asyncio.run(adrive(call(), transport(sender, keys=Keys(environment={}))))
    assert (sender.sent, ended) == ([], True)


def saving(saved: list[bytes]) -> Generator[Request | Sleep, Response, bytes]:
    try:
        saved.append((yield ASK).body)
        yield ASK
        saved.append(b"more")
    finally:
        saved.append(b"closed")
    return b""


def test_cancelled_call_still_gets_the_answer_under_way_and_no_other() -> None:
    async def main() -> None:
        gate, saved = Gate(), list[bytes]()
        running = asyncio.create_task(adrive(saving(saved), transport(gate)))
        await gate.arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert saved == []
        gate.open.set()
        await eventually(lambda: len(saved) == 2)
        assert (saved, gate.waiting) == ([b"late", b"closed"], 1)

    asyncio.run(main())


def test_cancelled_call_that_then_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Call[bytes]:
        yield ASK
        raise ZeroDivisionError("nobody waits for this")

    async def main() -> None:
        gate = Gate()
        running = asyncio.create_task(adrive(fail(), transport(gate)))
        await gate.arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        gate.open.set()
        await eventually(lambda: "nobody waits" in caplog.text)

    caplog.set_level("DEBUG", "tidyllm.transport")
    asyncio.run(main())


def test_call_cancelled_in_a_pause_is_closed() -> None:
    async def main() -> None:
        clock, saved = ManualClock(), list[bytes]()
        sender = Script(Response(status=500))
        running = asyncio.create_task(adrive(saving(saved), transport(sender, clock=clock)))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert saved == [b"closed"]

    asyncio.run(main())


def test_sync_verbs_work_in_a_script_and_inside_a_running_loop() -> None:
    with served_aside(say_hello) as server:
        background = Background()
        ready = transport(background)
        request = Request(method="POST", url=server.url)

        async def inside() -> bytes:
            return drive(call_once(request), ready)

        assert drive(call_once(request), ready) == b"hello"
        assert asyncio.run(inside()) == b"hello"
        assert asyncio.run(adrive(call_once(request), ready)) == b"hello"
        background.close()


def test_sync_verbs_work_from_several_threads() -> None:
    results = list[bytes]()

    def work() -> None:
        results.extend(drive(call_once(), transport(Script())) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"1"] * 80

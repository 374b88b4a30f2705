import asyncio

from tidyllm.core.batch import BatchUsage
from tidyllm.core.jsonl import Line
from tidyllm.journal import Kind
from tidyllm.server.held import Held
from tidyllm.server.loops.dispatcher import Dispatcher, Ready
from tidyllm.server.records import Lease, Shard


def held(requests: int, batch_id: str = "batch_1") -> Held:
    shard = Shard(number=0, line_first=1, requests=requests, offset=0, length=0)
    lease = Lease(batch_id=batch_id, endpoint="/v1/embeddings", input_blob="b", epoch=1, shard=shard)
    return Held(lease, waiting=requests, stop=asyncio.Event())


def lines(of: Held) -> list[Ready]:
    return [Ready(of, Line(number, 0, b"")) for number in range(1, of.waiting + 1)]


def taken(ready: Ready | None) -> int:
    assert ready is not None
    return ready.line.number


def test_lines_go_in_the_order_they_came_and_count_as_in_flight() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=1, hungry=asyncio.Event())
        shard = held(3)
        dispatcher.add(lines(shard))
        assert [taken(await dispatcher.next()) for _ in range(2)] == [1, 2]
        assert (shard.waiting, shard.in_flight) == (1, 2)

    asyncio.run(scenario())


def test_idle_slots_wake_as_lines_come_one_each() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=1, hungry=asyncio.Event())
        slots = [asyncio.create_task(dispatcher.next()) for _ in range(3)]
        await asyncio.sleep(0)
        dispatcher.add(lines(held(2)))
        done, waiting = await asyncio.wait(slots, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (2, 1)
        dispatcher.close()
        assert await waiting.pop() is None

    asyncio.run(scenario())


def test_it_asks_for_more_when_it_runs_low() -> None:
    async def scenario() -> None:
        hungry = asyncio.Event()
        dispatcher = Dispatcher(low=2, hungry=hungry)
        seen = [dispatcher.wants_more]
        dispatcher.add(lines(held(3)))
        for _ in range(2):
            seen.append(dispatcher.wants_more)
            await dispatcher.next()
            seen.append(hungry.is_set())
        assert seen == [True, False, False, False, True]
        assert dispatcher.wants_more

    asyncio.run(scenario())


def test_a_stopped_batch_loses_its_waiting_lines_and_no_other_does() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=1, hungry=asyncio.Event())
        stopped, other = held(3, "stopped"), held(2, "other")
        dispatcher.add([*lines(stopped), *lines(other)])
        await dispatcher.next()
        dispatcher.drop("stopped")
        assert (stopped.waiting, stopped.in_flight) == (0, 1)
        assert [taken(await dispatcher.next()) for _ in range(2)] == [1, 2]

    asyncio.run(scenario())


def test_a_closed_dispatcher_hands_out_nothing() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=5, hungry=asyncio.Event())
        shard = held(2)
        dispatcher.add(lines(shard))
        dispatcher.close()
        assert await dispatcher.next() is None
        assert shard.waiting == 0
        assert not dispatcher.wants_more

    asyncio.run(scenario())


def test_a_shard_is_done_when_all_is_answered_or_its_batch_has_stopped() -> None:
    shard = held(2)
    shard.waiting, shard.in_flight = 0, 1
    shard.count(Kind.ANSWERED, BatchUsage(input_tokens=3))
    seen = [shard.done]
    for in_flight, abandoned in ((0, False), (1, True), (0, True), (0, False)):
        shard.in_flight, shard.abandoned = in_flight, abandoned
        seen.append(shard.done)
    assert seen == [False, False, False, True, False]
    shard.count(Kind.FAILED, BatchUsage())
    report = shard.report()
    assert (report.done, report.completed, report.failed, report.usage.input_tokens) == (True, 1, 1, 3)

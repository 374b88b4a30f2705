import asyncio
from pathlib import Path

from tidyllm.core.batch import BatchUsage
from tidyllm.core.disk import LocalDisk
from tidyllm.core.jsonl import Line
from tidyllm.journal import Kind, Replay
from tidyllm.journals.disk import DiskJournal
from tidyllm.server.held import Held, HeldBatch
from tidyllm.server.loops.dispatcher import Dispatcher, Ready
from tidyllm.server.records import Lease, Shard


def held(requests: int, batch_id: str = "batch_1") -> Held:
    shard = Shard(number=0, line_first=1, requests=requests, offset=0, length=0)
    lease = Lease(
        batch_id=batch_id,
        endpoint="/v1/embeddings",
        input_blob="b",
        epoch=1,
        shard=shard,
        model="m",
        project_id="p",
        expires_at=0,
        remaining=requests,
    )
    journal = DiskJournal(lambda: Path("never made"), disk=LocalDisk())
    return Held(lease, HeldBatch(batch_id, journal, Replay()), waiting=requests)


def add(dispatcher: Dispatcher, *shards: Held, alone: bool = False) -> None:
    for shard in shards:
        for number in range(1, shard.waiting + 1):
            dispatcher.add(Ready(shard, Line(number, 0, b""), alone=alone))


def taken(ready: Ready | None) -> int:
    assert ready is not None
    return ready.line.number


def test_lines_go_in_the_order_they_came_and_count_as_in_flight() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=1, hungry=asyncio.Event())
        shard = held(3)
        add(dispatcher, shard)
        assert [taken(await dispatcher.next()) for _ in range(2)] == [1, 2]
        assert (shard.waiting, shard.in_flight) == (1, 2)

    asyncio.run(scenario())


def test_idle_slots_wake_as_lines_come_one_each() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=1, hungry=asyncio.Event())
        slots = [asyncio.create_task(dispatcher.next()) for _ in range(3)]
        await asyncio.sleep(0)
        add(dispatcher, held(2))
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
        add(dispatcher, held(3))
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
        add(dispatcher, stopped, other)
        await dispatcher.next()
        dispatcher.drop(stopped.batch)
        assert (stopped.waiting, stopped.in_flight) == (0, 1)
        assert [taken(await dispatcher.next()) for _ in range(2)] == [1, 2]

    asyncio.run(scenario())


def test_lines_under_suspicion_are_in_flight_one_at_a_time_beside_others() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=1, hungry=asyncio.Event())
        suspect, other = held(3), held(1, "other")
        add(dispatcher, suspect, alone=True)
        add(dispatcher, other)
        first, second = await dispatcher.next(), await dispatcher.next()
        assert first is not None
        assert second is not None
        assert (first.held, second.held) == (suspect, other)
        third = asyncio.create_task(dispatcher.next())
        await asyncio.sleep(0)
        assert not third.done()
        dispatcher.ended(first)
        assert taken(await third) == 2
        dispatcher.drop(suspect.batch)
        assert (suspect.waiting, suspect.in_flight) == (0, 2)

    asyncio.run(scenario())


def test_a_closed_dispatcher_hands_out_nothing() -> None:
    async def scenario() -> None:
        dispatcher = Dispatcher(low=5, hungry=asyncio.Event())
        shard = held(2)
        add(dispatcher, shard)
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

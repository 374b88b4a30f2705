"""A worker over a real store, real journals and a simulated model that is held and counted."""

import asyncio
import contextlib
import gc

import pytest

from tests.server.loops.conftest import DEADLINE_S, House, Killed
from tidyllm.core.batch import BatchStatus
from tidyllm.journal import Kind, first_answers
from tidyllm.server.loops.worker import BATCHES_MAX, STOCK_MIN
from tidyllm.server.places import batch_journals, worker_lock
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.testing import SimulatedModel
from tidyllm.transport.pace import Ceilings


def test_every_line_is_asked_once_and_journaled(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(100, between="\n")
        async with house.worker():
            batch = await house.until(lambda batch: batch.counts.completed == 100)
        assert (batch.counts.total, batch.counts.failed, batch.usage.output_tokens > 100) == (100, 0, True)
        assert await house.ask(lambda store: store.finalize_batches(now=house.now)) == 1

    asyncio.run(scenario())
    answers = first_answers(batch_journals(house.settings.data, "batch_1"))
    assert sorted(answers) == list(range(1, 200, 2))
    assert {place.kind for place in answers.values()} == {Kind.ANSWERED}
    assert model.witness.counts().received == 100


def test_no_more_is_in_flight_than_was_set(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(100)
        model.hold()
        async with house.worker():
            await asyncio.to_thread(model.witness.wait, received=8)
            model.release()
            await house.until(lambda batch: batch.counts.completed == 100)

    asyncio.run(scenario())
    assert model.witness.counts().in_flight_peak == 8


@pytest.mark.parametrize("in_order", [False, True])
def test_requests_that_share_a_system_prompt_go_together_unless_the_batch_is_to_go_in_order(
    house: House, model: SimulatedModel, *, in_order: bool
) -> None:
    async def scenario() -> None:
        house.change(concurrency=1)
        await house.start(16, systems=2, in_order=in_order)
        async with house.worker():
            await house.until(lambda batch: batch.counts.completed == 16)

    asyncio.run(scenario())
    order = [*range(16)] if in_order else [*range(0, 16, 2), *range(1, 16, 2)]
    assert [*model.witness.keys()] == [f"question {number} of batch_1" for number in order]


def test_a_worker_that_is_cancelled_begins_nothing_more(house: House, model: SimulatedModel) -> None:
    # Found by random lives: lines that it still took were refused by its tasks' group, and left an unused coroutine.
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        await house.start(60)
        model.hold()
        with contextlib.suppress(Killed):
            async with house.worker() as worker:
                await asyncio.to_thread(model.witness.wait, received=8)
                worker._upstreams.all[0].pace.keep(Ceilings(concurrency=16), now=loop.time())
                loop.call_soon(loop.call_soon, worker._stirred.set)  # When it has been cancelled, and not ended yet.
                raise Killed
        gc.collect()
        assert model.witness.counts().received == 8
        model.release()

    asyncio.run(scenario())


def test_after_a_kill_only_what_was_in_flight_is_asked_again(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        with contextlib.suppress(Killed):
            async with house.worker("worker_1"):
                await asyncio.to_thread(model.witness.wait, answered=20)
                model.hold()
                received = model.witness.counts().answered + 8
                await asyncio.to_thread(model.witness.wait, received=min(received, 60))
                raise Killed
        await house.rescuer.run_once()
        assert not worker_lock(house.settings.data, "worker_1").exists()
        model.release()
        async with house.worker("worker_2"):
            await house.until(lambda batch: batch.counts.completed == 60)

    asyncio.run(scenario())
    assert 60 <= model.witness.counts().received <= 60 + 8
    assert len(first_answers(batch_journals(house.settings.data, "batch_1"))) == 60


def test_a_worker_that_was_taken_for_dead_makes_room_for_another(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(20)
        model.hold()
        async with house.worker("worker_1") as worker:
            await asyncio.to_thread(model.witness.wait, received=8)
            worker_lock(house.settings.data, "worker_1").unlink()
            await house.rescuer.run_once()
            await worker._stopping.wait()
            model.release()
        async with house.worker("worker_2"):
            await house.until(lambda batch: batch.counts.completed == 20)

    asyncio.run(scenario())
    assert model.witness.counts().received == 20  # Its answers were written before it left.


def test_a_living_worker_is_not_rescued(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(20)
        model.hold()
        async with house.worker():
            await asyncio.to_thread(model.witness.wait, received=8)
            await house.rescuer.run_once()
            assert await house.ask(lambda store: store.live_workers()) == ["worker_1"]
            model.release()
            await house.until(lambda batch: batch.counts.completed == 20)

    asyncio.run(scenario())
    assert model.witness.counts().received == 20


def test_a_cancelled_batch_sends_nothing_more_and_keeps_what_was_in_flight(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        async with house.worker() as worker:
            await asyncio.to_thread(model.witness.wait, received=8)
            await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
            await worker._ledger.batches["batch_1"].stop.wait()
            assert not await house.finisher.run_once()
            model.release()
            await house.until(lambda batch: batch.counts.completed == 8)
            assert await house.finisher.run_once()
        assert (await house.batch()).status is BatchStatus.CANCELLED

    asyncio.run(scenario())
    assert model.witness.counts().received == 8


def test_a_stopped_worker_gives_its_shards_back_with_what_was_done(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        async with house.worker() as worker:
            await asyncio.to_thread(model.witness.wait, received=8)
            worker.stop()
            model.release()
        assert (await house.batch()).counts.completed == 8
        assert await house.ask(lambda store: store.live_workers()) == []
        async with house.worker("worker_2"):
            await house.until(lambda batch: batch.counts.completed == 60)

    asyncio.run(scenario())
    assert model.witness.counts().received == 60


def test_two_workers_share_a_batch_even_if_one_of_them_comes_late(house: House, model: SimulatedModel) -> None:
    # A worker leased 512 lines before it sent the first: of a smaller batch the other one got none.
    async def scenario() -> None:
        await house.start(300)
        model.hold()
        async with contextlib.AsyncExitStack() as stack:
            for number, worker_id in enumerate(("worker_1", "worker_2"), 1):
                await stack.enter_async_context(house.worker(worker_id))
                await asyncio.to_thread(model.witness.wait, received=8 * number)
            model.release()
            await house.until(lambda batch: batch.counts.completed == 300)
        assert (await house.batch()).status is BatchStatus.IN_PROGRESS

    asyncio.run(scenario())
    assert model.witness.counts().received == 300


def test_a_batch_that_cannot_be_read_holds_up_no_other(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(20)
        await house.start(20, batch_id="batch_2")
        house.blobs.delete("file-batch1")
        async with house.worker():
            await house.until(lambda batch: batch.counts.completed == 20, "batch_2")
            await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
            house.clock.advance(house.settings.cancel_grace_s + 1)
            while await house.finisher.run_once():
                pass
        assert (await house.batch("batch_2")).status is BatchStatus.COMPLETED
        # Its input is gone, and with it what its requests were called; it ends all the same.
        assert (await house.batch()).status is BatchStatus.CANCELLED
        lines = await house.lines((await house.batch()).error_file_id)
        assert [(line["custom_id"], line["error"]["code"]) for line in lines] == [(None, "batch_cancelled")] * 20  # type: ignore[index]

    asyncio.run(scenario())
    assert model.witness.counts().received == 20


def test_of_very_many_batches_as_many_are_held_as_keep_the_upstream_busy_and_all_of_them_end(
    house: House, model: SimulatedModel
) -> None:
    # Found with an upstream that was away: each batch that came was held, with a journal and its lines, until files or
    # memory ran out. Then none could end any more.
    batches, lines = BATCHES_MAX + 24, STOCK_MIN // BATCHES_MAX + 1

    async def scenario() -> None:
        for number in range(batches):
            await house.start(lines, batch_id=f"batch_{number}")
        model.hold()
        async with house.worker() as worker:
            await asyncio.to_thread(model.witness.wait, received=8)
            async with asyncio.timeout(DEADLINE_S):
                while len(worker._ledger.batches) < BATCHES_MAX:  # noqa: ASYNC110 - a worker sets no event for that
                    await asyncio.sleep(0.005)
            await worker._look_around()
            assert len(worker._ledger.batches) < batches
            model.release()
            await house.until(lambda batch: batch.counts.completed == lines, f"batch_{batches - 1}")
            async with asyncio.timeout(DEADLINE_S):
                while worker._ledger.batches:  # noqa: ASYNC110 - a worker sets no event for that
                    await asyncio.sleep(0.005)
        assert await house.ask(lambda store: store.finalize_batches(now=house.now)) == batches

    asyncio.run(scenario())
    assert model.witness.counts().received == batches * lines

"""A worker and the clerk's duties on a disk that is full, slow, read-only or failing."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.loops.conftest import DEADLINE_S, House
from tidyllm.core.batch import BatchStatus
from tidyllm.journal import Kind, encode, first_answers
from tidyllm.journals.disk import DiskJournal
from tidyllm.server.loops.worker import Worker
from tidyllm.server.places import batch_journals, journals_folder, worker_journal, worker_lock
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.testing import SimulatedModel

CONCURRENCY = 8


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what the worker does inside sets no event of ours
            await asyncio.sleep(0.005)


async def answers_wait(house: House, worker: Worker, model: SimulatedModel) -> None:
    """Have every request in flight answered while the disk takes nothing."""
    await asyncio.to_thread(model.witness.wait, received=CONCURRENCY)
    house.disk.room = 0
    model.release()
    await asyncio.to_thread(model.witness.wait, answered=CONCURRENCY)
    await until(lambda: not worker._ledger.open and not worker._ledger._out)


def test_a_full_disk_costs_no_answer_and_nothing_is_sent_meanwhile(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        async with house.worker() as worker:
            await answers_wait(house, worker, model)
            assert model.witness.counts().received == CONCURRENCY
            assert (await house.batch()).counts.completed == 0
            house.disk.room = 10**12
            await house.until(lambda batch: batch.counts.completed == 60)
            await house.finisher.run_once()
        assert len(await house.lines((await house.batch()).output_file_id)) == 60

    asyncio.run(scenario())
    assert model.witness.counts().received == 60
    assert len(batch_journals(house.settings.data, "batch_1")) == 2


def test_lines_that_were_leased_are_sent_though_there_is_no_room_for_more(house: House) -> None:
    async def scenario() -> None:
        await house.start(60)
        house.change(claim_shards_max=1)
        house.disk.room = house.settings.disk_free_min_bytes  # The journal of the first shard takes some of it.
        async with house.worker():
            batch = await house.until(lambda batch: batch.counts.completed > 0)
            assert batch.counts.completed < 60

    asyncio.run(scenario())


def test_a_cancel_is_heard_while_the_disk_is_full(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        async with house.worker() as worker:
            await answers_wait(house, worker, model)
            await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
            await worker._ledger.batches["batch_1"].stop.wait()
            house.disk.room = 10**12
            await house.until(lambda batch: batch.counts.completed == CONCURRENCY)
            assert await house.finisher.run_once()

    asyncio.run(scenario())
    assert model.witness.counts().received == CONCURRENCY


def test_a_stop_on_a_full_disk_waits_for_space_as_long_as_it_may(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        async with house.worker() as worker:
            await answers_wait(house, worker, model)
            worker.stop()
            house.disk.room = 10**12
        assert (await house.batch()).counts.completed == CONCURRENCY

    asyncio.run(scenario())


def test_a_stop_on_a_disk_that_stays_full_ends_and_tells_the_database_nothing(
    house: House, model: SimulatedModel, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        house.change(cancel_grace_s=0)
        async with house.worker() as worker:
            await answers_wait(house, worker, model)
        assert (await house.batch()).counts.completed == 0
        house.disk.room = 10**12
        async with house.worker("worker_2"):
            await house.until(lambda batch: batch.counts.completed == 60)

    asyncio.run(scenario())
    assert "could not wait longer for the disk" in caplog.text
    assert model.witness.counts().received == 60 + CONCURRENCY


def test_answers_of_a_failed_sync_are_written_into_the_next_file(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(60)
        model.hold()
        async with house.worker() as worker:
            await asyncio.to_thread(model.witness.wait, received=CONCURRENCY)
            house.disk.broken = True
            model.release()
            await until(lambda: not worker._ledger.open)
            assert (await house.batch()).counts.completed == 0
            house.disk.broken = False
            await house.until(lambda batch: batch.counts.completed == 60)

    asyncio.run(scenario())
    assert model.witness.counts().received == 60
    old, new = batch_journals(house.settings.data, "batch_1")
    old.unlink()  # All of its answers that nobody had seen durable are in the new one.
    assert len(read(house)) == 60
    assert new.exists()


def read(house: House) -> dict[int, object]:
    return dict(first_answers(batch_journals(house.settings.data, "batch_1")))


def test_a_slow_disk_counts_late_and_holds_the_sending_back(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(200)
        model.hold()
        async with house.worker() as worker:
            await asyncio.to_thread(model.witness.wait, received=CONCURRENCY)
            house.disk.fast.clear()
            model.release()
            await until(lambda: not worker._ledger.open and not worker._ledger._out)
            assert model.witness.counts().received < 200
            assert (await house.batch()).counts.completed == 0
            house.disk.fast.set()
            await house.until(lambda batch: batch.counts.completed == 200)

    house.change(unsynced_bytes_max=10_000)
    asyncio.run(scenario())
    assert model.witness.counts().received == 200


def test_no_shard_is_leased_while_the_disk_is_low(
    house: House, model: SimulatedModel, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        await house.start(20)
        house.disk.room = house.settings.disk_free_min_bytes - 1
        async with house.worker():
            await until(lambda: "no more work is taken on" in caplog.text)
            assert model.witness.counts().received == 0
            house.disk.room = 10**12
            await house.until(lambda batch: batch.counts.completed == 20)

    with caplog.at_level("INFO"):
        asyncio.run(scenario())
    assert "has room again" in caplog.text


def test_a_journal_that_cannot_be_begun_is_begun_later(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(20)
        house.disk.broken = True
        async with house.worker() as worker:
            await until(lambda: "batch_1" in worker._unread)
            assert model.witness.counts().received == 0
            house.disk.broken = False
            await house.until(lambda batch: batch.counts.completed == 20)

    asyncio.run(scenario())
    assert model.witness.counts().received == 20


def test_answers_of_a_dead_worker_are_written_again_before_they_count(house: House, model: SimulatedModel) -> None:
    # They may not be durable, and once a sync of theirs has failed, another's success would prove nothing.
    left = worker_journal(house.settings.data, "batch_1", worker_id="worker_1", number=1)

    async def scenario() -> None:
        await house.start(16)
        await leave_behind(house, "worker_1", answered=range(1, 5))
        async with house.worker("worker_2"):
            await house.until(lambda batch: batch.counts.completed == 16)

    asyncio.run(scenario())
    assert model.witness.counts().received == 12
    left.unlink()
    assert len(read(house)) == 16


async def leave_behind(
    house: House, worker_id: str, *, answered: range = range(0), sent: range = range(0), returned: range = range(0)
) -> None:
    """Have a worker lease everything, write records of some lines, and die."""
    await house.ask(lambda store: store.add_worker(worker_id, pid=1, now=house.now))
    leases = await house.ask(lambda store: store.claim_shards(worker_id, limit=9))
    path = worker_journal(house.settings.data, "batch_1", worker_id=worker_id, number=1)
    journal = DiskJournal(lambda: path, disk=house.disk)
    journal.sync()
    for kind, lines in ((Kind.ANSWERED, answered), (Kind.SENT, sent), (Kind.RETURNED, returned)):
        for line in lines:
            (lease,) = [one for one in leases if 0 <= line - one.shard.line_first < one.shard.requests]
            data = b'{"custom_id":"row"}\n' if kind is Kind.ANSWERED else b""
            journal.append(encode(shard=lease.shard.number, epoch=lease.epoch, line=line, kind=kind, data=data))
    journal.flush()
    journal.close()
    await house.rescuer.run_once()


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_line_that_was_in_flight_when_three_workers_died_is_given_up(
    house: House, model: SimulatedModel, deaths: int
) -> None:
    async def scenario() -> None:
        await house.start(40)
        for number in range(deaths):
            await leave_behind(house, f"worker_{number}", sent=range(20, 23), returned=range(21, 23))
        async with house.worker("worker_9"):
            batch = await house.until(lambda batch: batch.counts.completed + batch.counts.failed == 40)
        assert batch.counts.failed == (deaths == 3)
        await house.finisher.run_once()
        batch = await house.batch()
        if deaths == 3:
            (line,) = await house.lines(batch.error_file_id)
            assert line["custom_id"] == "row-19"
            assert line["error"] == {
                "code": "worker_died",
                "message": "The server's worker process died 3 times while this request was in flight.",
            }

    asyncio.run(scenario())
    assert model.witness.counts().received == 40 - (deaths == 3)


def test_lines_that_two_workers_died_with_are_in_flight_one_at_a_time(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(16)
        for number in range(2):
            await leave_behind(house, f"worker_{number}", sent=range(1, 17))
        async with house.worker("worker_9"):
            await house.until(lambda batch: batch.counts.completed == 16)

    asyncio.run(scenario())
    assert model.witness.counts().in_flight_peak == 1


def test_a_send_that_a_stop_cut_off_is_no_death(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(16)
        model.hold()
        house.change(cancel_grace_s=0)
        for number in range(3):
            model.witness.reset()
            async with house.worker(f"worker_{number}"):
                await asyncio.to_thread(model.witness.wait, received=CONCURRENCY)
        model.release()
        async with house.worker("worker_9"):
            batch = await house.until(lambda batch: batch.counts.completed + batch.counts.failed == 16)
        assert batch.counts.failed == 0

    asyncio.run(scenario())


def test_results_that_cannot_be_written_are_tried_again_and_hold_up_no_other(
    house: House, model: SimulatedModel
) -> None:
    async def scenario() -> None:
        await house.start(16)
        async with house.worker():
            await house.until(lambda batch: batch.counts.completed == 16)
        house.disk.room = 0
        assert await house.finisher.run_once()
        assert not await house.finisher.run_once()
        assert (await house.batch()).status is BatchStatus.FINALIZING
        assert list((house.settings.data / "blobs" / "incoming").iterdir()) == []
        house.disk.room = 10**12
        await house.start(1, batch_id="batch_2")
        await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_2", now=house.now))
        assert await house.finisher.run_once()
        assert (await house.batch("batch_2")).status is BatchStatus.CANCELLED
        assert not await house.finisher.run_once()
        house.clock.advance(1)
        assert await house.finisher.run_once()
        assert (await house.batch()).status is BatchStatus.COMPLETED

    asyncio.run(scenario())
    assert model.witness.counts().received == 16


def test_an_input_that_cannot_be_read_now_is_read_later_and_holds_up_no_other(house: House) -> None:
    async def scenario() -> None:
        await house.send(4)
        await house.send(4, batch_id="batch_2")
        path = house.blobs.path("file-batch1")
        data = path.read_bytes()
        path.unlink()
        path.mkdir()  # Opening it fails, and not because it is not there.
        assert await house.intake.run_once()
        assert await house.intake.run_once()
        assert not await house.intake.run_once()
        statuses = [(await house.batch(one)).status for one in ("batch_1", "batch_2")]
        assert statuses == [BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS]
        path.rmdir()
        path.write_bytes(data)
        house.clock.advance(1)
        assert await house.intake.run_once()
        assert (await house.batch()).status is BatchStatus.IN_PROGRESS

    asyncio.run(scenario())


def test_bytes_without_a_file_go_unless_their_writer_is_about_to_tell(house: House) -> None:
    async def scenario() -> None:
        await house.send(1)
        dead, living = house.blobs.create(), house.blobs.create()
        dead.commit("file-dead")
        living.commit("file-living")
        dead.close()
        await house.pruner.run_once()
        assert sorted(house.blobs.keys()) == ["file-batch1", "file-living"]
        living.close()
        await house.pruner.run_once()
        assert sorted(house.blobs.keys()) == ["file-batch1", "file-living"]
        house.clock.advance(3600)
        await house.pruner.run_once()
        assert sorted(house.blobs.keys()) == ["file-batch1"]

    asyncio.run(scenario())


def test_a_lock_of_a_worker_that_nobody_knows_goes_when_it_is_free(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        stray = worker_lock(house.settings.data, "worker_never_announced")
        stray.touch()
        async with house.worker():
            await house.rescuer.run_once()
            assert not stray.exists()
            assert worker_lock(house.settings.data, "worker_1").exists()

    asyncio.run(scenario())
    assert model.witness.counts().received == 0


def test_what_is_not_ours_among_the_journals_is_left_alone(house: House, tmp_path: Path) -> None:
    async def scenario() -> None:
        await house.start(1)
        await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
        assert await house.finisher.run_once()
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "mine.log").touch()
        journals = journals_folder(house.settings.data)
        (journals / "notes").mkdir()
        (journals / "notes" / "mine.log").touch()
        (journals / "batch_1").symlink_to(outside)
        await house.pruner.run_once()
        assert (outside / "mine.log").exists()
        assert (journals / "notes" / "mine.log").exists()
        (journals / "batch_1").unlink()
        (journals / "batch_1" / "folder.log").mkdir(parents=True)
        await house.pruner.run_once()
        assert (journals / "batch_1" / "folder.log").exists()

    asyncio.run(scenario())


def test_answers_that_are_gone_from_the_journals_are_told_of(
    house: House, model: SimulatedModel, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        await house.start(16)
        async with house.worker():
            await house.until(lambda batch: batch.counts.completed == 16)
        for journal in batch_journals(house.settings.data, "batch_1"):
            journal.unlink()
        assert await house.finisher.run_once()
        assert (await house.batch()).counts.failed == 16

    asyncio.run(scenario())
    assert "16 answers of batch_1 are not in its journals any more" in caplog.text
    assert model.witness.counts().received == 16


def test_journals_to_which_a_paused_worker_adds_while_they_are_removed_go_the_next_time(house: House) -> None:
    async def scenario() -> None:
        await house.start(1)
        await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
        assert await house.finisher.run_once()
        folder = journals_folder(house.settings.data) / "batch_1"
        folder.mkdir()
        (folder / "worker.1.log").touch()
        house.disk.after_remove = (folder / "worker.2.log").touch
        await house.pruner.run_once()
        assert [path.name for path in folder.iterdir()] == ["worker.2.log"]
        house.disk.after_remove = lambda: None
        await house.pruner.run_once()
        assert not folder.exists()

    asyncio.run(scenario())

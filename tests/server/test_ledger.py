"""A worker's books by themselves: a real journal on a disk that can be slow, and a clock that stands still."""

import asyncio
from pathlib import Path

import pytest

from tests.faulty import FaultyDisk
from tidyllm.core.errors import JournalError
from tidyllm.journal import Kind, Replay
from tidyllm.server.held import Held
from tidyllm.server.ledger import Ledger
from tidyllm.server.places import batch_journals, make_folders
from tidyllm.server.records import Lease, Shard
from tidyllm.server.settings import Settings
from tidyllm.server.store import Store
from tidyllm.server.thread import StoreThread
from tidyllm.server.verdict import Result
from tidyllm.testing import ManualClock

DEADLINE_S = 20


def never() -> Store:
    raise AssertionError("These tests do not come to the database.")


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def ledger(tmp_path: Path, disk: FaultyDisk) -> Ledger:
    make_folders(tmp_path, disk)
    return Ledger("w", store=StoreThread(never), disk=disk, clock=ManualClock(), settings=Settings(data=tmp_path))


async def hold(ledger: Ledger) -> Held:
    shard = Shard(number=0, line_first=1, requests=2, offset=0, length=0)
    lease = Lease(
        batch_id="batch_1",
        endpoint="/v1/embeddings",
        input_blob="b",
        epoch=1,
        shard=shard,
        model="m",
        project_id="p",
        expires_at=0,
        in_order=False,
        remaining=2,
    )
    return await ledger.hold(lease, Replay(), waiting=0)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_batch_without_a_journal_is_not_held_and_no_file_stays_open(
    ledger: Ledger, disk: FaultyDisk, tmp_path: Path
) -> None:
    async def scenario() -> None:
        disk.syncs_left = 1  # The file is made durable, and what is to come into it is not.
        before = open_files()
        with pytest.raises(JournalError):
            await hold(ledger)
        assert open_files() == before
        assert ledger.batches == {}
        disk.syncs_left, disk.broken = None, False
        await hold(ledger)

    asyncio.run(scenario())
    assert list(ledger.batches) == ["batch_1"]
    assert len(batch_journals(tmp_path, "batch_1")) == 2


def test_nothing_is_sent_whose_sending_could_not_be_written_down_until_the_disk_takes_it(
    ledger: Ledger, disk: FaultyDisk
) -> None:
    async def scenario() -> None:
        held = await hold(ledger)
        disk.room = 0
        ledger.sent(held, 1)
        assert ledger.write() == {held.batch.journal}
        opened = asyncio.Event()
        committing = asyncio.create_task(ledger.commit(opened=opened.set))
        disk.room = 10**12
        clock = ledger._clock
        assert isinstance(clock, ManualClock)
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        clock.advance(1)
        await opened.wait()  # It is heard only by those who were told to wait.
        assert ledger.open
        ledger.sent(held, 1)
        assert ledger.write() == set()
        committing.cancel()

    asyncio.run(scenario())


def test_a_return_that_could_not_be_written_is_written_later(ledger: Ledger, disk: FaultyDisk, tmp_path: Path) -> None:
    async def scenario() -> None:
        held = await hold(ledger)
        ledger.sent(held, 1)
        ledger.write()
        disk.room = 0
        ledger.returned(held, 1)
        ledger.write()
        disk.room = 10**12
        await ledger._sync()

    asyncio.run(scenario())
    replay = Replay()
    replay.update(batch_journals(tmp_path, "batch_1"))
    assert replay.deaths(1) == 0


def test_too_many_returns_that_are_not_durable_are_synced_though_no_answer_is(tmp_path: Path, disk: FaultyDisk) -> None:
    make_folders(tmp_path, disk)
    settings = Settings(data=tmp_path, unsynced_bytes_max=1)
    ledger = Ledger("w", store=StoreThread(never), disk=disk, clock=ManualClock(), settings=settings)

    async def scenario() -> None:
        held = await hold(ledger)
        ledger.returned(held, 1)
        ledger.write()
        assert not ledger.open
        await ledger._sync()
        assert held.batch.journal.unsynced_bytes == 0

    asyncio.run(scenario())


def test_too_many_answers_that_are_not_durable_are_followed_by_no_more(ledger: Ledger) -> None:
    async def scenario() -> None:
        held = await hold(ledger)
        ledger.enter(held, 1, result=Result(Kind.ANSWERED, bytes(Settings().unsynced_bytes_max)))
        ledger.write()
        assert held.batch.journal.writable
        assert not ledger.open

    asyncio.run(scenario())


def test_returns_that_no_answer_follows_do_not_end_the_sending(ledger: Ledger) -> None:
    # Found by reading: only journals with answers were synced, so that of a model that was refused for hours, beside
    # one that was answered, the returns piled up until nothing more was sent, for ever.
    async def scenario() -> None:
        held = await hold(ledger)
        batch = ledger.batches["batch_1"]
        batch.journal.append(bytes(Settings().unsynced_bytes_max))
        ledger.returned(held, 1)
        ledger.write()
        assert not ledger.open
        opened = asyncio.Event()
        committing = asyncio.create_task(ledger.commit(opened=opened.set))
        clock = ledger._clock
        assert isinstance(clock, ManualClock)
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        clock.advance(1)
        async with asyncio.timeout(DEADLINE_S):
            await opened.wait()
        assert batch.journal.unsynced_bytes == 0
        committing.cancel()

    asyncio.run(scenario())


def test_a_disk_that_takes_long_is_told_of(ledger: Ledger, disk: FaultyDisk, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = ledger._clock
        assert isinstance(clock, ManualClock)
        held = await hold(ledger)
        ledger.enter(held, 1, result=Result(Kind.ANSWERED, b"{}"))
        disk.fast.clear()
        syncing = asyncio.create_task(ledger._sync())
        await asyncio.sleep(0)
        clock.advance(6)
        disk.fast.set()
        (report,) = await syncing
        assert report.completed == 1

    asyncio.run(scenario())
    assert "took 6.0 s to keep answers" in caplog.text

"""A worker's books by themselves: a real journal on a disk that can be slow, and a clock that stands still."""

import asyncio
from pathlib import Path

import pytest

from tests.faulty import FaultyDisk
from tidyllm.core.errors import JournalError
from tidyllm.journal import Kind
from tidyllm.server.held import Held, HeldBatch
from tidyllm.server.ledger import Ledger
from tidyllm.server.places import batch_journals, make_folders
from tidyllm.server.records import Lease, Shard
from tidyllm.server.settings import Settings
from tidyllm.server.store import Store
from tidyllm.server.thread import StoreThread
from tidyllm.server.upstream import Result
from tidyllm.testing import ManualClock


def never() -> Store:
    raise AssertionError("These tests do not come to the database.")


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def ledger(tmp_path: Path, disk: FaultyDisk) -> Ledger:
    make_folders(tmp_path, disk)
    return Ledger("w", store=StoreThread(never), disk=disk, clock=ManualClock(), settings=Settings(data=tmp_path))


def hold(batch: HeldBatch) -> Held:
    shard = Shard(number=0, line_first=1, requests=2, offset=0, length=0)
    lease = Lease(batch_id=batch.id, endpoint="/v1/embeddings", input_blob="b", epoch=1, shard=shard)
    batch.shards[0] = Held(lease, batch, waiting=0)
    return batch.shards[0]


def test_a_batch_of_which_nothing_comes_to_be_held_is_let_go(ledger: Ledger, tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(OSError, match="unreadable"):
            async with ledger.taking("batch_1"):
                raise OSError("unreadable")
        assert ledger.batches == {}
        async with ledger.taking("batch_1") as batch:
            hold(batch)
        assert ledger.batches == {"batch_1": batch}

    asyncio.run(scenario())
    assert len(batch_journals(tmp_path, "batch_1")) == 2


def test_a_batch_without_a_journal_is_not_held(ledger: Ledger, disk: FaultyDisk) -> None:
    async def scenario() -> None:
        disk.read_only = True
        with pytest.raises(JournalError):
            async with ledger.taking("batch_1"):
                pytest.fail("there is no journal")
        assert ledger.batches == {}

    asyncio.run(scenario())


def test_who_waits_for_the_disk_hears_of_a_stop(ledger: Ledger, disk: FaultyDisk) -> None:
    async def scenario() -> None:
        async with ledger.taking("batch_1") as batch:
            held = hold(batch)
        disk.room = 0
        ledger.enter(held, 1, result=Result(Kind.ANSWERED, b"{}"))
        waiting = asyncio.create_task(ledger.trail(held, 2).may_send())
        await asyncio.sleep(0)
        assert not waiting.done()
        batch.stop.set()
        assert await waiting is False

    asyncio.run(scenario())


def test_a_disk_that_takes_long_is_told_of(ledger: Ledger, disk: FaultyDisk, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = ledger._clock
        assert isinstance(clock, ManualClock)
        async with ledger.taking("batch_1") as batch:
            held = hold(batch)
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

"""A worker's books: every answer goes into a journal, is made durable, and only then is told to the database.

Answers are written as they come, those that come at once together. *commit* syncs the journals, the answers of a short
while together; *tell* then reports to the database what is durable. While a journal cannot be written nothing is sent,
and the answers that still arrive wait in memory: no more of them than were in flight.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.core.errors import JournalError
from tidyllm.journal import Journal, Kind, Replay, encode
from tidyllm.journals.disk import DiskJournal
from tidyllm.server.held import Held, HeldBatch
from tidyllm.server.patience import patiently
from tidyllm.server.places import worker_journal
from tidyllm.server.records import Lease, ShardReport
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread
from tidyllm.server.verdict import Result

log = logging.getLogger(__name__)

SLOW_SYNC_S = 5.0
"""A disk that takes longer to keep a few answers is told of: sending will have to wait for it."""
LEAVE_S_MIN = 3.0
"""How long a worker that leaves waits for the disk at least."""


class Ledger:
    """What one worker holds, and what has been done of it."""

    def __init__(self, worker_id: str, *, store: StoreThread, disk: Disk, clock: Clock, settings: Settings) -> None:
        self.worker_id = worker_id
        self.batches: dict[str, HeldBatch] = {}
        """Those of which shards are held."""
        self._store = store
        self._disk = disk
        self._clock = clock
        self._settings = settings
        self._journal_numbers = itertools.count(1)
        self._out: dict[tuple[str, int], Held] = {}
        """The lines that are with the upstream now."""
        self._dirty: set[Held] = set()
        self._untold: dict[tuple[str, int], ShardReport] = {}
        self._written = asyncio.Event()
        self._durable = asyncio.Event()
        self._batch_done = asyncio.Event()
        self._unwritten: set[Journal] = set()
        self.open = True
        """Whether answers can be kept, so that lines may be sent."""
        self._had_room = True

    def has_room(self) -> bool:
        """Return whether there is space enough on the disk to take on more work."""
        room = self._disk.free_bytes(self._settings.data) >= self._settings.disk_free_min_bytes
        if room != self._had_room:
            self._had_room = room
            least = f"{self._settings.disk_free_min_bytes:,}"
            said = "has room again" if room else f"has less than {least} bytes free: no more work is taken on"
            log.log(logging.INFO if room else logging.WARNING, "The disk of %s %s.", self._settings.data, said)
        return room

    async def hold(self, lease: Lease, replay: Replay, *, waiting: int) -> Held:
        """Return the account of a shard from now on; its batch has a journal. Raises JournalError."""
        batch = self.batches.get(lease.batch_id) or await self._begin(lease, replay)
        batch.remaining = lease.remaining
        held = batch.shards[lease.shard.number] = Held(lease, batch, waiting=waiting)
        return held

    async def _begin(self, lease: Lease, replay: Replay) -> HeldBatch:
        numbers, data = self._journal_numbers, self._settings.data
        journal = DiskJournal(
            lambda: worker_journal(data, lease.batch_id, worker_id=self.worker_id, number=next(numbers)),
            disk=self._disk,
        )
        try:
            await asyncio.to_thread(journal.sync)
        except BaseException:
            await asyncio.to_thread(journal.close)
            raise
        batch = self.batches[lease.batch_id] = HeldBatch(lease, journal, replay)
        return batch

    def sent(self, held: Held, line: int) -> None:
        """Note that a line is about to be sent: it may be, unless the next `write` says that the note is lost."""
        self._out[held.batch.id, line] = held
        held.batch.journal.note(_record(held, line, kind=Kind.SENT))
        self._unwritten.add(held.batch.journal)

    def unsent(self, held: Held, line: int) -> None:
        """Hear that a line was not sent after all, as that could not be noted."""
        del self._out[held.batch.id, line]

    def returned(self, held: Held, line: int) -> None:
        """Note that a line that was sent has come back without a result. No blame for a death may stay on it."""
        self._out.pop((held.batch.id, line), None)
        self._append(held.batch.journal, _record(held, line, kind=Kind.RETURNED))

    def enter(self, held: Held, line: int, *, result: Result) -> None:
        """Take the result of a line."""
        self._out.pop((held.batch.id, line), None)
        self._append(held.batch.journal, _record(held, line, kind=result.kind, data=result.data))
        held.count(result.kind, result.usage)
        self.touch(held)

    def write(self) -> set[Journal]:
        """Write what was noted and entered since the last time, so that it survives this process; return the journals
        of which the notes are lost.
        """
        lost = {journal for journal in self._unwritten if not journal.flush()}
        if not all(self._is_well(journal) for journal in self._unwritten):
            self._close()
        self._unwritten.clear()
        return lost

    def touch(self, held: Held) -> None:
        """Have a shard reported, because something of it has changed."""
        self._dirty.add(held)
        self._written.set()

    def _all_done(self, batch_id: str) -> bool:
        batch = self.batches.get(batch_id)
        return batch is None or all(held.done for held in batch.shards.values())

    def _append(self, journal: Journal, record: bytes) -> None:
        journal.append(record)
        self._unwritten.add(journal)

    def _close(self) -> None:
        """Have nothing more sent, because its answer could not be kept; the next sync that succeeds opens again."""
        self.open = False
        self._written.set()

    def _is_well(self, journal: Journal) -> bool:
        return journal.writable and journal.unsynced_bytes <= self._settings.unsynced_bytes_max

    async def commit(self, *, opened: Callable[[], None]) -> None:
        """Make written answers durable, those of a short while together, until cancelled.

        `opened` hears when lines may be sent again.
        """
        while True:
            await self._written.wait()
            await self._clock.sleep(self._settings.commit_interval_s)
            reports = await patiently(self._sync, what="Keeping answers", clock=self._clock)
            for report in reports:
                self._untold[report.batch_id, report.number] = report
            if any(report.done and self._all_done(report.batch_id) for report in reports):
                self._batch_done.set()
            self._durable.set()
            if not self.open and all(self._is_well(batch.journal) for batch in self.batches.values()):
                self.open = True
                opened()

    async def tell(self) -> None:
        """Tell the database what is durable, until cancelled: at once if it may end a batch, else now and then."""
        while True:
            await self._durable.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.count_interval_s):
                    await self._batch_done.wait()
            self._durable.clear()
            self._batch_done.clear()
            reports = list(self._untold.values())
            self._untold.clear()
            await patiently(lambda: self._report(reports), what="Counting", clock=self._clock)  # noqa: B023

    async def _sync(self) -> list[ShardReport]:
        """Return what is durable now of the shards touched since the last call."""
        self._written.clear()
        dirty, self._dirty = self._dirty, set()
        reports = [held.report() for held in dirty]
        journals = {held.batch.journal for held in dirty}
        journals |= {batch.journal for batch in self.batches.values() if not self._is_well(batch.journal)}
        began = self._clock.monotonic()
        try:
            await asyncio.to_thread(_sync_all, journals)
        except BaseException:
            self._dirty |= dirty
            raise
        if (took := self._clock.monotonic() - began) > SLOW_SYNC_S:
            log.warning("The disk of %s took %.1f s to keep answers.", self._settings.data, took)
        return reports

    async def _report(self, reports: Sequence[ShardReport]) -> None:
        await self._store.run(lambda store: store.report(self.worker_id, reports))
        for report in reports:
            batch = self.batches.get(report.batch_id)
            if not report.done or batch is None:
                continue
            batch.shards.pop(report.number, None)  # It may have been reported before, and touched again meanwhile.
            if not batch.shards:
                del self.batches[batch.id]
                await asyncio.to_thread(batch.journal.close)

    async def leave(self, *, within_s: float) -> None:
        """Give back all that is held, with what was done of it. Where the disk does not let it, within that time,
        what is durable is left to whoever buries this worker.
        """
        for (_, line), held in list(self._out.items()):
            self.returned(held, line)
        journals = [batch.journal for batch in self.batches.values()]
        reports = [held.report() for batch in self.batches.values() for held in batch.shards.values()]
        unfinished = [report for report in reports if not report.done]

        async def settle() -> None:
            await asyncio.to_thread(_sync_all, journals)
            await self._store.run(lambda store: store.report(self.worker_id, [one for one in reports if one.done]))
            await self._store.run(lambda store: store.release_shards(self.worker_id, unfinished))

        try:
            async with asyncio.timeout(max(within_s, LEAVE_S_MIN)):
                await patiently(settle, what="Leaving", clock=self._clock)
        except TimeoutError:
            lost = sum(journal.unsynced_bytes for journal in journals)
            log.exception("The stop could not wait longer for the disk: %d bytes of answers are lost.", lost)


def _record(held: Held, line: int, *, kind: Kind, data: bytes = b"") -> bytes:
    return encode(shard=held.lease.shard.number, epoch=held.lease.epoch, line=line, kind=kind, data=data)


def _sync_all(journals: Iterable[Journal]) -> None:
    """Sync each of them, whatever becomes of the others; raises the last JournalError."""
    failure = None
    for journal in journals:
        try:
            journal.sync()
        except JournalError as error:
            failure = error
    if failure is not None:
        raise failure

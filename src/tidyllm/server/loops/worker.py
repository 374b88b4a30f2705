"""The worker: leases shards, keeps the upstream busy with their lines, and makes every answer durable.

Its tasks: *attend* leases shards when lines run low and stops batches that were cancelled; one task per *slot* asks
the upstream a line at a time; *commit* syncs the journals, and *tell* then, only then, tells the database what is done.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from tidyllm.core.errors import JournalError
from tidyllm.core.jsonl import Line
from tidyllm.journal import Journal, Place, Reader, first_answers
from tidyllm.journals.disk import DiskJournal, make_durable
from tidyllm.server.blob import Blobs
from tidyllm.server.held import Held
from tidyllm.server.lines import read_request, read_shard, usage_of_line
from tidyllm.server.loops.dispatcher import Dispatcher, Ready
from tidyllm.server.places import batch_journals, worker_journal
from tidyllm.server.records import Lease, ShardReport
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread
from tidyllm.server.upstream import Question, Upstream

log = logging.getLogger(__name__)


class Worker:
    """One worker's life, from its first lease to its last report."""

    def __init__(
        self,
        worker_id: str,
        *,
        store: StoreThread,
        blobs: Blobs,
        upstream: Upstream,
        settings: Settings,
        changed: asyncio.Event,
    ) -> None:
        self.id = worker_id
        self._store = store
        self._blobs = blobs
        self._upstream = upstream
        self._settings = settings
        self._changed = changed
        self._dispatcher = Dispatcher(low=settings.concurrency, hungry=changed)
        self._held: dict[tuple[str, int], Held] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self._journals: dict[str, Journal] = {}
        self._journals_opened = 0
        self._dirty: dict[tuple[str, int], Held] = {}
        self._work_written = asyncio.Event()
        self._work_durable = asyncio.Event()
        self._shard_done = asyncio.Event()
        self._untold: dict[tuple[str, int], ShardReport] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; then give what is in flight a grace time, and give the shards back.

        Raises JournalError, and what the database raises, as they come: the process is then to end, and the next
        worker goes on from the journals.
        """
        async with asyncio.TaskGroup() as tasks:
            slots = [tasks.create_task(self._slot()) for _ in range(self._settings.concurrency)]
            accounting = [tasks.create_task(self._commit()), tasks.create_task(self._tell())]
            attend = tasks.create_task(self._attend())
            await self._stopping.wait()
            attend.cancel()
            self._dispatcher.close()
            for stop in self._stops.values():
                stop.set()
            await asyncio.wait(slots, timeout=self._settings.cancel_grace_s)
            for task in (*accounting, *slots):
                task.cancel()
        await self._leave()

    def stop(self) -> None:
        """Send nothing more and come home; returns at once."""
        self._stopping.set()

    async def _attend(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._held:
                for batch_id in await self._store.run(lambda store: store.stopping_batches(self.id)):
                    self._abandon(batch_id)
            while self._dispatcher.wants_more:
                limit = self._settings.claim_shards_max
                leases = await self._store.run(lambda store: store.claim_shards(self.id, limit=limit))  # noqa: B023
                for lease in leases:
                    await self._take(lease)
                if not leases:
                    break

    async def _take(self, lease: Lease) -> None:
        """Queue the lines of a new lease that no earlier worker has had answered."""
        try:
            lines, answers = await asyncio.to_thread(self._load, lease)
        except (OSError, JournalError):
            # It stays leased, so that it is not taken again at once, and other batches go on.
            log.exception(
                "Shard %d of %s cannot be read and waits for another start.", lease.shard.number, lease.batch_id
            )
            return
        stop = self._stops.setdefault(lease.batch_id, asyncio.Event())
        held = Held(lease, waiting=len(lines), stop=stop)
        for place, data in answers:
            held.count(place.kind, usage_of_line(data))
        self._held[held.key] = held
        self._dispatcher.add(Ready(held, line) for line in lines)
        if held.done:
            self._written(held)

    def _load(self, lease: Lease) -> tuple[list[Line], list[tuple[Place, bytes]]]:
        """Return the lines still to ask, and the answers that earlier leases of the shard left in the journals."""
        shard = lease.shard
        with self._blobs.open(lease.input_blob) as file:
            file.seek(shard.offset)
            lines = list(read_shard(shard, file.read(shard.length)))
        if lease.epoch == 1:
            return lines, []
        journals = batch_journals(self._settings.data, lease.batch_id)
        first = first_answers(journals)
        for journal in journals:
            make_durable(journal)  # What is counted must be on the disk, and nobody else will see to it.
        answered = {line: place for line, place in first.items() if place.shard == shard.number}
        with Reader() as reader:
            answers = [(place, reader.read(place)) for place in answered.values()]
        return [line for line in lines if line.number not in answered], answers

    def _abandon(self, batch_id: str) -> None:
        """Stop sending a batch's lines; what is in flight goes on."""
        if (stop := self._stops.get(batch_id)) is None or stop.is_set():
            return
        stop.set()
        self._dispatcher.drop(batch_id)
        for held in self._held.values():
            if held.lease.batch_id == batch_id:
                held.abandoned = True
                if held.done:
                    self._written(held)

    async def _slot(self) -> None:
        while (ready := await self._dispatcher.next()) is not None:
            held, line = ready
            lease = held.lease
            request = read_request(line.data)
            question = Question(batch_id=lease.batch_id, line=line.number, endpoint=lease.endpoint, request=request)
            outcome = await self._upstream.ask(question, stop=held.stop)
            held.in_flight -= 1
            if outcome is not None:
                self._journal(lease.batch_id).append(
                    shard=lease.shard.number, epoch=lease.epoch, line=line.number, kind=outcome.kind, data=outcome.data
                )
                held.count(outcome.kind, outcome.usage)
            self._written(held)

    def _journal(self, batch_id: str) -> Journal:
        journal = self._journals.get(batch_id)
        if journal is None:
            self._journals_opened += 1
            path = worker_journal(self._settings.data, batch_id, worker_id=self.id, opened=self._journals_opened)
            journal = self._journals[batch_id] = DiskJournal(path)
        return journal

    def _written(self, held: Held) -> None:
        self._dirty[held.key] = held
        self._work_written.set()

    async def _commit(self) -> None:
        """Make written answers durable, those of a short while together."""
        while True:
            await self._work_written.wait()
            await asyncio.sleep(self._settings.commit_interval_s)
            for report in await self._sync():
                self._untold[report.batch_id, report.number] = report
                if report.done:
                    self._shard_done.set()
            self._work_durable.set()

    async def _tell(self) -> None:
        """Tell the database what is durable: ends at once, counts now and then."""
        while True:
            await self._work_durable.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.count_interval_s):
                    await self._shard_done.wait()
            self._work_durable.clear()
            self._shard_done.clear()
            reports = list(self._untold.values())
            self._untold.clear()
            await self._report(reports)

    async def _sync(self) -> list[ShardReport]:
        """Return what is durable now of the shards written to since the last call."""
        self._close_journals()
        self._work_written.clear()
        reports = [held.report() for held in self._dirty.values()]
        self._dirty.clear()
        batch_ids = {report.batch_id for report in reports}
        await asyncio.to_thread(_sync_all, [self._journals[one] for one in batch_ids if one in self._journals])
        return reports

    def _close_journals(self) -> None:
        """Close the journals of batches of which no shard is held; never while another thread syncs them."""
        for batch_id in self._stops.keys() - {batch_id for batch_id, _ in self._held}:
            del self._stops[batch_id]
            if journal := self._journals.pop(batch_id, None):
                journal.close()

    async def _report(self, reports: Sequence[ShardReport]) -> None:
        await self._store.run(lambda store: store.report(self.id, reports))
        for report in reports:
            if report.done:
                self._held.pop((report.batch_id, report.number), None)

    async def _leave(self) -> None:
        """Give back what is held, with all that is durable of it."""
        reports = [held.report() for held in self._held.values()]
        await asyncio.to_thread(_sync_all, list(self._journals.values()))
        await self._report([report for report in reports if report.done])
        unfinished = [report for report in reports if not report.done]
        await self._store.run(lambda store: store.release_shards(self.id, unfinished))


def _sync_all(journals: Sequence[Journal]) -> None:
    for journal in journals:
        journal.sync()

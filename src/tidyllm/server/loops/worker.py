"""The worker: leases shards, and keeps the upstream busy with their lines.

Its tasks: *attend* leases shards when lines run low, and stops batches that were cancelled; one task per *slot* asks
the upstream a line at a time; what comes of it is the ledger's.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from functools import partial

from tidyllm.core.clock import Clock
from tidyllm.core.jsonl import Line
from tidyllm.journal import Kind, Replay
from tidyllm.server.held import Held, HeldBatch
from tidyllm.server.ledger import Ledger
from tidyllm.server.leftovers import Leftovers, Rest
from tidyllm.server.lines import error_line, read_request, usage_of_line
from tidyllm.server.loops.dispatcher import Dispatcher, Ready
from tidyllm.server.on_disk import on_disk
from tidyllm.server.patience import RETRY_S, PutOff, patiently
from tidyllm.server.records import Lease
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread
from tidyllm.server.upstream import Question, Result, Upstream

log = logging.getLogger(__name__)

DEATHS_MAX = 3
"""Workers that may die while they wait for a line's answer; then it is not sent again, as it may be what kills them."""
DEATHS_SUSPECT = DEATHS_MAX - 1
"""From here on such lines are in flight one at a time, so that the next death tells which it was."""


class Worker:
    """One worker's life, from its first lease to its last report."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        store: StoreThread,
        upstream: Upstream,
        leftovers: Leftovers,
        clock: Clock,
        settings: Settings,
        changed: asyncio.Event,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._upstream = upstream
        self._leftovers = leftovers
        self._clock = clock
        self._settings = settings
        self._changed = changed
        self._dispatcher = Dispatcher(low=settings.concurrency, hungry=changed)
        self._put_off = PutOff(clock)
        self._unread: dict[str, list[Lease]] = {}
        """Leases whose input or journals could not be read yet, by batch."""
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; then give what is in flight a grace time, and give the shards back."""
        async with asyncio.TaskGroup() as tasks:
            slots = [tasks.create_task(self._slot()) for _ in range(self._settings.concurrency)]
            accounting = [tasks.create_task(self._ledger.commit()), tasks.create_task(self._ledger.tell())]
            attend = tasks.create_task(self._attend())
            await self._stopping.wait()
            deadline = self._clock.monotonic() + self._settings.cancel_grace_s
            attend.cancel()
            self._dispatcher.close()
            for batch in self._ledger.batches.values():
                batch.stop.set()
            await asyncio.wait(slots, timeout=self._settings.cancel_grace_s)
            for task in (*accounting, *slots):
                task.cancel()
        await self._ledger.leave(within_s=deadline - self._clock.monotonic())

    def stop(self) -> None:
        """Send nothing more and come home; returns at once."""
        self._stopping.set()

    async def _attend(self) -> None:
        while True:
            waits = await patiently(self._look_around, what="Leasing", clock=self._clock)
            with contextlib.suppress(TimeoutError):
                # What waits for the disk is told by no change of the database.
                async with asyncio.timeout(RETRY_S if waits else None):
                    await self._changed.wait()
            self._changed.clear()

    async def _look_around(self) -> bool:
        """Stop what is to stop, then lease what can be sent soon; return whether something waits for the disk."""
        worker_id = self._ledger.worker_id
        if worker_id not in await self._store.run(lambda store: store.live_workers()):
            log.error("This worker was taken for dead, as its lock file is gone: it ends, and another begins.")
            self.stop()
            return False
        for batch_id in await self._store.run(lambda store: store.stopping_batches(worker_id)):
            self._unread.pop(batch_id, None)
            self._put_off.settle(batch_id)
            if batch := self._ledger.batches.get(batch_id):
                self._abandon(batch)
        for batch_id in self._unread.keys() - self._put_off.waiting():
            await self._take(self._unread.pop(batch_id))
        while self._dispatcher.wants_more:
            if not self._ledger.has_room():
                return True
            limit, unread = self._settings.claim_shards_max, frozenset(self._unread)
            leases = await self._store.run(lambda store: store.claim_shards(worker_id, limit=limit, leaving=unread))  # noqa: B023
            await self._take(leases)
            if not leases:
                break
        return bool(self._unread)

    async def _take(self, leases: Sequence[Lease]) -> None:
        """Queue the lines of leases that no earlier worker has had answered."""
        for lease in leases:
            if unread := self._unread.get(lease.batch_id):
                unread.append(lease)
                continue
            try:
                batch = self._ledger.batches.get(lease.batch_id)
                replay = batch.replay if batch else Replay()
                rest = await on_disk(partial(self._leftovers.read, lease, replay))
                held = await self._ledger.hold(lease, replay, waiting=len(rest.lines))
            except Exception as error:  # noqa: BLE001 - it is told, and other batches go on
                # They stay leased, and are read again after a while.
                self._unread[lease.batch_id] = [lease]
                self._put_off.put_off(lease.batch_id, error, what="A shard")
            else:
                self._put_off.settle(lease.batch_id)
                self._queue(held, rest)

    def _queue(self, held: Held, rest: Rest) -> None:
        for answer in rest.answers:
            result = Result(answer.kind, answer.data, usage_of_line(answer.data))
            self._ledger.enter(held, answer.line, result=result)
        for line in rest.lines:
            deaths = rest.deaths.get(line.number, 0)
            if deaths < DEATHS_MAX:
                self._dispatcher.add(Ready(held, line, alone=deaths >= DEATHS_SUSPECT))
            else:
                held.waiting -= 1
                self._ledger.enter(held, line.number, result=_given_up(held, line, deaths=deaths))
        if held.done:
            self._ledger.touch(held)

    def _abandon(self, batch: HeldBatch) -> None:
        """Stop sending a batch's lines; what is in flight goes on."""
        if batch.stop.is_set():
            return
        batch.stop.set()
        self._dispatcher.drop(batch)
        for held in batch.shards.values():
            held.abandoned = True
            if held.done:
                self._ledger.touch(held)

    async def _slot(self) -> None:
        while (ready := await self._dispatcher.next()) is not None:
            held, line = ready.held, ready.line
            lease = held.lease
            request = read_request(line.data)
            question = Question(batch_id=lease.batch_id, line=line.number, endpoint=lease.endpoint, request=request)
            trail = self._ledger.trail(held, line.number)
            result = await self._upstream.ask(question, stop=held.batch.stop, trail=trail)
            held.in_flight -= 1
            self._dispatcher.ended(ready)
            if result is not None:
                self._ledger.enter(held, line.number, result=result)
            else:
                self._ledger.touch(held)


def _given_up(held: Held, line: Line, *, deaths: int) -> Result:
    log.error("Line %d of %s was in flight when %d workers died; it is given up.", line.number, held.batch.id, deaths)
    data = error_line(
        batch_id=held.batch.id,
        line=line.number,
        custom_id=read_request(line.data).custom_id,
        code="worker_died",
        message=f"The server's worker process died {deaths} times while this request was in flight.",
    )
    return Result(Kind.FAILED, data)

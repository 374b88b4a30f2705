"""The worker: leases shards, and keeps the upstreams busy with their lines.

*Attend* leases shards where lines run low, and stops batches that were cancelled. *Pump* sends what may go now, each
line in a task of its own; it runs whenever that may have changed, and nothing else looks at a clock. Answers that come
at once are heard first, so that the records of them and of what is sent in their places are one write. What comes of a
line is the ledger's.
"""

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial

from tidyllm.core.clock import Clock
from tidyllm.core.jsonl import Line
from tidyllm.core.wire import MIB
from tidyllm.journal import Kind, Replay
from tidyllm.server.held import Held, HeldBatch
from tidyllm.server.ledger import Ledger
from tidyllm.server.leftovers import Leftovers, Rest
from tidyllm.server.lines import error_line, read_request, usage_of_line
from tidyllm.server.loops.dispatcher import Dispatcher, Ready
from tidyllm.server.on_disk import on_disk
from tidyllm.server.patience import RETRY_S, PutOff, patiently
from tidyllm.server.records import SHARD_REQUESTS_MAX, Lease
from tidyllm.server.settings import Settings
from tidyllm.server.store import Store
from tidyllm.server.thread import StoreThread
from tidyllm.server.upstream import Flight, Upstream
from tidyllm.server.upstreams import Upstreams, Way
from tidyllm.server.verdict import Question, Result

log = logging.getLogger(__name__)

DEATHS_MAX = 3
"""Workers that may die while they wait for a line's answer; then it is not sent again, as it may be what kills them."""
DEATHS_SUSPECT = DEATHS_MAX - 1
"""From here on such lines are in flight one at a time, so that the next death tells which it was."""
STOCK_MIN = 64
"""Lines of a batch that wait at least, as far as there are any: so many are sent while the next ones are leased."""
STOCK_S = 0.5
"""For upstreams that are fast, as many as they take in that time."""
WAITING_BYTES_MAX = 64 * MIB
"""Of lines that wait; beyond it only batches of which none wait are leased from."""
BATCHES_MAX = 256
"""Batches of one model that are held at the same time, if lines enough of it wait: each has a file and an account."""
BATCHES_FULL = 16
"""With so many bytes waiting, that many: the next line of each may be long."""


class Worker:
    """One worker's life, from its first lease to its last report."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        store: StoreThread,
        upstreams: Upstreams,
        leftovers: Leftovers,
        clock: Clock,
        settings: Settings,
        changed: asyncio.Event,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._upstreams = upstreams
        self._leftovers = leftovers
        self._clock = clock
        self._settings = settings
        self._changed = changed
        self._dispatcher = Dispatcher()
        self._put_off = PutOff(clock)
        self._unread: dict[str, list[Lease]] = {}
        """Leases whose input or journals could not be read yet, by batch."""
        self._flights: set[Flight] = set()
        """What is in flight."""
        self._bytes_in_flight = 0
        """Of requests, and of their answers as far as they can be guessed."""
        self._stirred = asyncio.Event()
        """Set when more may go than could before."""
        self._wake: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; then give what is in flight a grace time, and give the shards back."""
        async with asyncio.TaskGroup() as tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as grace, asyncio.TaskGroup() as asking:
                    duties = (self._ledger.commit(opened=self._stirred.set), self._ledger.tell(), self._pump(asking))
                    accounting = [tasks.create_task(duty) for duty in duties]
                    attend = tasks.create_task(self._attend())
                    try:
                        await self._stopping.wait()
                    finally:
                        self.stop()  # If it is cancelled nothing more may be sent either.
                    deadline = self._clock.monotonic() + self._settings.cancel_grace_s
                    grace.reschedule(asyncio.get_running_loop().time() + self._settings.cancel_grace_s)
                    attend.cancel()
                    self._dispatcher.close()
                    for batch in self._ledger.batches.values():
                        batch.stop.set()
            for task in accounting:
                task.cancel()
        await self._ledger.leave(within_s=deadline - self._clock.monotonic())

    def stop(self) -> None:
        """Send nothing more and come home; returns at once."""
        self._stopping.set()

    async def _attend(self) -> None:
        while True:
            waits = await patiently(self._look_around_and_stir, what="Leasing", clock=self._clock)
            with contextlib.suppress(TimeoutError):
                # What waits for the disk, or for others to end, is told by no change of the database.
                async with asyncio.timeout(RETRY_S if waits else None):
                    await self._changed.wait()
            self._changed.clear()

    async def _look_around_and_stir(self) -> bool:
        try:
            return await self._look_around()
        finally:
            # Not before: what goes out soon makes lines run low, and the database would be asked for each few of them.
            self._stirred.set()

    async def _look_around(self) -> bool:
        """Stop what is to stop, then lease what can be sent soon; return whether something waits that could be."""
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
        self._upstreams.refresh()
        self._dispatcher.stock = max(STOCK_MIN, self._upstreams.takes(within_s=STOCK_S))
        self._dispatcher.hungry = False
        limit = max(self._settings.claim_shards_max, self._dispatcher.stock // SHARD_REQUESTS_MAX)
        while not self._stopping.is_set():
            if not self._ledger.has_room():
                return True
            claim = partial(self._claim, limit=limit, leaving=self._leaving(), crowded=self._crowded())
            leases = await self._store.run(claim)
            await self._take(leases)
            if not leases:
                break
        return bool(self._unread or self._crowded())

    def _claim(self, store: Store, *, limit: int, leaving: frozenset[str], crowded: frozenset[str]) -> Sequence[Lease]:
        return store.claim_shards(self._ledger.worker_id, limit=limit, leaving=leaving, crowded=crowded)

    @property
    def _full(self) -> bool:
        return self._dispatcher.bytes_waiting > WAITING_BYTES_MAX

    def _leaving(self) -> frozenset[str]:
        """Return the batches of which nothing more is to be leased now."""
        return frozenset(self._unread) | self._dispatcher.stocked(1 if self._full else self._dispatcher.stock)

    def _crowded(self) -> frozenset[str]:
        """Return the models of which no more batches are to be begun: as long as they cannot be asked, none end."""
        batches: Counter[str] = Counter()
        lines: Counter[str] = Counter()
        for batch in self._ledger.batches.values():
            batches[batch.model] += 1
            lines[batch.model] += sum(held.waiting for held in batch.shards.values())
        if self._full:
            return frozenset(model for model, held in batches.items() if held >= BATCHES_FULL)
        enough = self._dispatcher.stock
        return frozenset(model for model, held in batches.items() if held >= BATCHES_MAX and lines[model] >= enough)

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
        # What hangs must not take the places of those that come.
        asyncio.get_running_loop().call_later(self._settings.cancel_grace_s, self._let_go, batch)
        for held in batch.shards.values():
            held.abandoned = True
            if held.done:
                self._ledger.touch(held)

    def _let_go(self, batch: HeldBatch) -> None:
        for flight in self._flights:
            if flight.question.batch_id == batch.id:
                flight.give_place()
        self._stirred.set()

    async def _pump(self, asking: asyncio.TaskGroup) -> None:
        """Send all that may go, each time that this may have changed, and wake again when more may."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            taken = self._take_all() if self._ledger.open and not self._stopping.is_set() else []
            lost = self._ledger.write()
            for ready, flight in taken:
                if ready.held.batch.journal in lost:
                    self._put_back(ready, flight)
                else:
                    asking.create_task(self._ask(ready, flight))

    def _take_all(self) -> list[tuple[Ready, Flight]]:
        """Return the lines that go now, noted as sent and on their way."""
        now, wall = self._clock.monotonic(), self._clock.now()
        waits = [self._dispatcher.next_due(now)]
        ways: dict[str, Way] = {}
        room = math.inf
        """So many lines can go before the ways have to be looked for again."""

        def fits(model: str) -> bool:
            nonlocal room
            way = ways.get(model)
            if way is None:
                way = ways[model] = self._upstreams.way(model, now=now)
                room = min(room, way.room)
            return way.upstream is not None

        taken: list[tuple[Ready, Flight]] = []
        # Beyond so many bytes the next answer makes room.
        while self._bytes_in_flight < self._settings.in_flight_bytes_max:
            ready = self._dispatcher.take(fits, now=wall)
            upstream = None if ready is None else ways[ready.held.batch.model].upstream
            if ready is None or upstream is None:
                waits += [way.wait_s for way in ways.values() if way.upstream is None]
                break
            taken.append((ready, self._begin(ready, upstream, now=now)))
            room -= 1
            if not room:
                ways.clear()
                room = math.inf
        if self._dispatcher.hungry:
            self._changed.set()
        self._wake_in(min(waits))
        return taken

    def _wake_in(self, seconds: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if seconds < math.inf:
            self._wake = asyncio.get_running_loop().call_later(seconds, self._stirred.set)

    def _begin(self, ready: Ready, upstream: Upstream, *, now: float) -> Flight:
        held, line = ready.held, ready.line
        lease = held.lease
        request = read_request(line.data)
        question = Question(
            batch_id=lease.batch_id, line=line.number, endpoint=lease.endpoint, model=lease.model, request=request
        )
        flight = upstream.begin(question, tries=ready.tries, attempts=ready.attempts, now=now)
        flight.bytes = len(line.data) + round(held.batch.answer_bytes)
        self._bytes_in_flight += flight.bytes
        self._flights.add(flight)
        self._ledger.sent(held, line.number)
        return flight

    def _put_back(self, ready: Ready, flight: Flight) -> None:
        flight.not_sent()
        self._ledger.unsent(ready.held, ready.line.number)
        self._landed(ready, flight)
        self._ask_later(ready, 0.0)

    async def _ask(self, ready: Ready, flight: Flight) -> None:
        outcome = await flight.ask()
        self._landed(ready, flight)
        held, line = ready.held, ready.line
        if isinstance(outcome, Result):
            held.batch.heard(seconds=flight.seconds, size=len(outcome.data))
            self._ledger.enter(held, line.number, result=outcome)
            return
        self._ledger.returned(held, line.number)
        again = ready._replace(tries=ready.tries + 1, attempts=ready.attempts + outcome.costs)
        self._ask_later(again, outcome.after_s)

    def _landed(self, ready: Ready, flight: Flight) -> None:
        self._flights.discard(flight)
        self._bytes_in_flight -= flight.bytes
        self._dispatcher.ended(ready)
        self._stirred.set()

    def _ask_later(self, ready: Ready, after_s: float) -> None:
        held = ready.held
        if held.batch.stop.is_set():
            self._ledger.touch(held)
        else:
            held.waiting += 1
            self._dispatcher.add_later(ready, self._clock.monotonic() + after_s)


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

"""A house with its API and workers; each asks a model that answers when told to, and between steps all is at rest."""

import asyncio
import contextlib
import itertools
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.properties.in_process import Caller
from tests.server.loops.conftest import DEADLINE_S, House, Killed
from tidyllm.journals.disk import DiskJournal
from tidyllm.server.api.app import create_app
from tidyllm.server.loops.finisher import Finisher
from tidyllm.server.loops.worker import Worker
from tidyllm.server.places import journals_folder, worker_locks
from tidyllm.server.records import Ending, ShardReport
from tidyllm.server.stores.sql.engine import database_path, open_store, sqlite_engine
from tidyllm.server.stores.sql.store import SqlStore
from tidyllm.server.thread import StoreThread
from tidyllm.testing import Behavior, ManualClock, SimulatedModel, Witness, simulated_model

SETTINGS = {
    "attempts_max": 1,  # Only what was lost with a worker is to be sent again.
    "claim_shards_max": 1,  # Two workers share even a small batch.
    "count_interval_s": 0.001,
}
MODEL = Behavior(error_rate=0.1)
LEASED = """
select batch.id, shard.number, shard.worker_id, batch.status
from shard join batch on batch.seq = shard.batch_seq where shard.state = 'leased'
"""
QUEUED = """
select distinct batch.id from shard join batch on batch.seq = shard.batch_seq
where shard.state = 'queued' and batch.status = 'in_progress'
"""
InFlight = Counter[tuple[str, int]]
"""Lines, by batch and number, whose answers a worker waited for when it ended."""


class Living:
    """A worker that lives, and the ways in which its life can end."""

    def __init__(self, worker: Worker, model: SimulatedModel, *, life: contextlib.AsyncExitStack) -> None:
        self.worker = worker
        self._model = model
        self._life = life

    def answer(self) -> None:
        """Answer what the model has received, and nothing that comes later."""

        def once() -> None:
            self._model._release()
            self._model._hold()

        self._model._order(once)

    @property
    def in_flight(self) -> InFlight:
        return Counter(list(self.worker._ledger._out))

    @property
    def _unwritten(self) -> InFlight:
        """Lines whose records are to be written in the loop's next turn: they die with the worker."""
        found: InFlight = Counter()
        for batch in self.worker._ledger.batches.values():
            journal = batch.journal
            assert isinstance(journal, DiskJournal)
            for record in journal._unsynced[journal._written :]:
                found[batch.id, int.from_bytes(record[16:20], "little")] += 1
        return found

    def reports(self) -> list[ShardReport]:
        """What it could say last, and more: that all it held is done."""
        held = [one for batch in self.worker._ledger.batches.values() for one in batch.shards.values()]
        return [msgspec.structs.replace(one.report(), done=True) for one in held]

    def is_at_rest(self, *, queued: set[str], leased: Iterable[tuple[str, int, str, str]]) -> bool:
        """Whether the worker has seen what is in the database, and waits for its model alone."""
        ledger, dispatcher = self.worker._ledger, self.worker._dispatcher
        batches = ledger.batches
        held = {(batch.id, number): one for batch in batches.values() for number, one in batch.shards.items()}
        stopping = {batch_id for batch_id, _, _, status in leased if status != "in_progress"}
        in_flight = len(ledger._out)
        alone = not dispatcher._alone_in_flight
        ready = any(queue.lines or (alone and queue.alone) for queue in dispatcher._queues.values())
        (upstream,) = self.worker._upstreams.all
        full = upstream.load >= 1
        return (
            {(batch_id, number) for batch_id, number, _, _ in leased} == held.keys()
            and all(batches[batch_id].stop.is_set() for batch_id in stopping)
            and not any(one.done for one in held.values())
            and self._model.witness.counts().in_flight == in_flight == dispatcher.in_flight
            and (not ready or full)
            and queued <= dispatcher.stocked(dispatcher.stock)
        )

    def state(self) -> str:
        """What it is about, for the failure of a test."""
        dispatcher = self.worker._dispatcher
        queues = {batch_id: len(queue) for batch_id, queue in dispatcher._queues.items()}
        held = [one.report() for batch in self.worker._ledger.batches.values() for one in batch.shards.values()]
        return f"{self._model.witness.counts()} {queues} {sorted(self.in_flight)} {self.worker._unread} {held}"

    async def die(self) -> InFlight:
        """End without ceremony: its lock is free, and nobody is told."""
        await self._life.__aexit__(Killed, Killed(), None)
        left = self.in_flight + self._unwritten
        for batch in self.worker._ledger.batches.values():
            batch.journal.close()
        return left

    async def stop(self, *, patient: bool) -> InFlight:
        """End in good order; only a patient worker waits for the answers to what is in flight."""
        self.worker.stop()
        if patient:
            self.answer()
        else:
            self.worker._settings = msgspec.structs.replace(self.worker._settings, cancel_grace_s=0)
        left = Counter() if patient else self.in_flight
        await self._life.aclose()
        return left


class UnpublishingStore(SqlStore):
    """The store of a finisher that dies, or is held up, when its files are written and its batch is not published."""

    def __init__(self, data: Path, endings: list[Ending]) -> None:
        super().__init__(sqlite_engine(database_path(data)))
        self._endings = endings

    def publish(self, ending: Ending, *, now: int) -> bool:  # noqa: ARG002 - as the store has it
        self._endings.append(ending)
        raise Killed


class Troubles(logging.Handler):
    """Errors that were told to nobody but the log, and what a task left behind."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "it is given up" not in record.getMessage():
            self.told.append(self.format(record))

    def hear(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.told.append(str(context))


class Estate:
    """All parts of a server over one folder and one clock, in one process and one loop."""

    def __init__(self, data: Path) -> None:
        self.clock = ManualClock()
        self.living: dict[str, Living] = {}
        self.unpublished: set[str] = set()
        """Names of bodies that finishers wrote who died before they could publish them; the next sweep takes them."""
        self._witnesses: list[Witness] = []
        self._data = data
        self._numbers = itertools.count(1)
        self.open()
        self._looking = sqlite3.connect(database_path(data), isolation_level=None)

    def open(self) -> None:
        """Start the API and the clerk."""
        self.house = House(self._data, "http://127.0.0.1:9/v1", clock=self.clock, **SETTINGS)
        self.house.blobs.sweep()
        self._api_store = StoreThread(lambda: open_store(self._data))
        house = self.house
        app = create_app(house.settings, self._api_store, blobs=house.blobs, disk=house.disk, clock=self.clock)
        self.api = Caller(app)

    def close(self) -> None:
        """End the API and the clerk; the workers live on."""
        self._api_store.close()
        self.house.store.close()

    async def pull_down(self) -> None:
        """Let go of everything, in whatever state it is."""
        for worker_id in list(self.living):
            await self.living.pop(worker_id).die()
        self.close()
        self._looking.close()

    async def start_worker(self) -> str:
        """Start a worker and return its id."""
        worker_id = f"worker_{next(self._numbers)}"
        life = contextlib.AsyncExitStack()
        # Of its own, so that its connections end with it, as those of a process do.
        model = life.enter_context(simulated_model(MODEL))
        model.hold()
        self._witnesses.append(model.witness)
        worker = await life.enter_async_context(self.house.worker(worker_id, upstream=model.base_url))
        self.living[worker_id] = Living(worker, model, life=life)
        return worker_id

    def received(self) -> Counter[str]:
        """How often the models have received each question."""
        received: Counter[str] = Counter()
        for witness in self._witnesses:
            received.update({question: counts.received for question, counts in witness.keys().items()})
        return received

    async def rest(self) -> None:
        """Wait until every worker has seen what has changed, and has sent, told and leased all that it can."""
        for living in self.living.values():
            living.worker._changed.set()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not self._is_at_rest():  # noqa: ASYNC110 - neither a database nor a socket sets an event
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise AssertionError(self._unrest()) from None

    def leases(self) -> list[tuple[str, int, str, str]]:
        """Return the leased shards: batch, number, worker and the batch's status."""
        return list(self._looking.execute(LEASED))

    def _is_at_rest(self) -> bool:
        leased = self.leases()
        queued = {batch_id for (batch_id,) in self._looking.execute(QUEUED)}
        return all(
            living.is_at_rest(queued=queued, leased=[row for row in leased if row[2] == worker_id])
            for worker_id, living in self.living.items()
        )

    def _unrest(self) -> str:
        states = "\n".join(f"{worker_id}: {living.state()}" for worker_id, living in self.living.items())
        return f"The workers do not come to rest. Leased: {self.leases()}\n{states}"

    async def finish_without_publishing(self) -> list[Ending]:
        """Have a finisher write the files of the next batch, if there is one, and publish nothing."""
        house = self.house
        endings: list[Ending] = []
        store = StoreThread(lambda: UnpublishingStore(self._data, endings))
        finisher = Finisher(store=store, blobs=house.blobs, clock=self.clock, settings=house.settings)
        with contextlib.suppress(Killed):
            await finisher.run_once()
        store.close()
        self.unpublished.update(file.blob for ending in endings for file in ending.files)
        return endings

    def die_in_an_upload(self, *, committed: bool) -> None:
        """Leave what an API leaves that dies before it has told the store of a file."""
        writer = self.house.blobs.create()
        writer.write(b"half of it")
        if committed:
            writer.commit(f"file-nobody{next(self._numbers)}")
        os.close(writer._fd)

    def blobs(self) -> set[str]:
        """Return the names of all bodies, those that are being written too."""
        return {path.name for path in (self._data / "blobs").rglob("*") if path.is_file()}

    def leavings(self) -> list[Path]:
        """Return the journals and locks that are there."""
        return [*journals_folder(self._data).iterdir(), *worker_locks(self._data).values()]

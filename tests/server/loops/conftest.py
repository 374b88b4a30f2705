"""A server's data folder without its processes: the duties are run by hand, a step at a time."""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from tests.faulty import FaultyDisk
from tidyllm.core.clock import Clock, SystemClock
from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.changes import Changes
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.ledger import Ledger
from tidyllm.server.leftovers import Leftovers
from tidyllm.server.locks import hold
from tidyllm.server.loops.expirer import Expirer
from tidyllm.server.loops.finisher import Finisher
from tidyllm.server.loops.intake import Intake
from tidyllm.server.loops.pruner import Pruner
from tidyllm.server.loops.rescuer import Rescuer
from tidyllm.server.loops.worker import Worker
from tidyllm.server.places import blobs_folder, make_folders, worker_lock
from tidyllm.server.process import UpstreamsNow
from tidyllm.server.records import BatchRecord, FileRecord
from tidyllm.server.settings import Settings
from tidyllm.server.store import DEFAULT_PROJECT, Store
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.server.thread import StoreThread
from tidyllm.server.upstream import Upstream
from tidyllm.server.upstreams import Upstreams
from tidyllm.testing import ManualClock, SimulatedModel, simulated_model
from tidyllm.transport.http import HttpClient

T = TypeVar("T")
DEADLINE_S = 20


class House:
    """The data folder, its store and blobs, a clock that stands still, and one of each duty."""

    def __init__(self, data: Path, upstream: str, *, clock: ManualClock | None = None, **changes: object) -> None:
        settings = Settings(
            data=data,
            upstream=upstream,
            concurrency=8,
            count_interval_s=0.05,
            commit_interval_s=0.001,
            cancel_grace_s=5,
        )
        self.settings = msgspec.structs.replace(settings, **changes)
        self.clock = clock or ManualClock()
        migrate(data)
        self.store = StoreThread(lambda: open_store(data))
        self.disk = FaultyDisk()
        make_folders(data, self.disk)
        self.blobs = DiskBlobs(blobs_folder(data), disk=self.disk)
        self.upstreams = UpstreamsNow(self.settings.upstreams)
        self.intake = Intake(
            store=self.store, blobs=self.blobs, clock=self.clock, settings=self.settings, upstreams=self.upstreams
        )
        self.finisher = Finisher(store=self.store, blobs=self.blobs, clock=self.clock, settings=self.settings)
        self.expirer = Expirer(store=self.store, clock=self.clock)
        self.rescuer = Rescuer(store=self.store, clock=self.clock, settings=self.settings)
        self.pruner = Pruner(
            store=self.store, blobs=self.blobs, disk=self.disk, clock=self.clock, settings=self.settings
        )

    def change(self, **settings: object) -> None:
        """Change settings for the workers that come."""
        self.settings = msgspec.structs.replace(self.settings, **settings)

    @property
    def now(self) -> int:
        return int(self.clock.now())

    async def ask(self, question: Callable[[Store], T]) -> T:
        return await self.store.run(question)

    async def send(
        self, lines: int, *, batch_id: str = "batch_1", between: str = "", systems: int = 0, in_order: bool = False
    ) -> None:
        """Upload a file of so many requests, with so many system prompts in turn, and create a batch of it."""
        body = {"model": "m", "messages": [{"role": "user", "content": ""}]}
        texts = []
        for n in range(lines):
            system = [{"role": "system", "content": f"prompt {n % systems}"}] if systems else []
            body["messages"] = [*system, {"role": "user", "content": f"question {n} of {batch_id}"}]
            request = {"custom_id": f"row-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            texts.append(json.dumps(request) + "\n")
        data = between.join(texts).encode()
        writer = self.blobs.create()
        writer.write(data)
        key = f"file-{batch_id.replace('_', '')}"
        writer.commit(key)
        writer.close()
        file = FileRecord(
            id=key,
            project_id=DEFAULT_PROJECT,
            blob=key,
            purpose="batch",
            filename="in.jsonl",
            bytes=len(data),
            created_at=self.now,
        )
        batch = BatchRecord(
            id=batch_id,
            project_id=DEFAULT_PROJECT,
            endpoint="/v1/chat/completions",
            input_file_id=key,
            completion_window="24h",
            created_at=self.now,
            expires_at=self.now + 86_400,
            in_order=in_order,
        )
        await self.ask(lambda store: store.add_file(file))
        await self.ask(lambda store: store.add_batch(batch))

    async def start(
        self, lines: int, *, batch_id: str = "batch_1", between: str = "", systems: int = 0, in_order: bool = False
    ) -> None:
        """Send a batch and read its input."""
        await self.send(lines, batch_id=batch_id, between=between, systems=systems, in_order=in_order)
        assert await self.intake.run_once()

    async def batch(self, batch_id: str = "batch_1") -> BatchRecord:
        record = await self.ask(lambda store: store.batch(DEFAULT_PROJECT, batch_id))
        assert record is not None
        return record

    async def file(self, file_id: str | None) -> FileRecord:
        assert file_id is not None
        record = await self.ask(lambda store: store.file(DEFAULT_PROJECT, file_id, now=self.now))
        assert record is not None
        return record

    async def lines(self, file_id: str | None) -> list[dict[str, object]]:
        """Return the lines of a result file."""
        record = await self.file(file_id)
        data = self.blobs.path(record.blob).read_bytes()
        assert len(data) == record.bytes
        return [json.loads(line) for line in data.splitlines()]

    @contextlib.asynccontextmanager
    async def worker(
        self, worker_id: str = "worker_1", *, upstream: str | None = None, clock: Clock | None = None
    ) -> AsyncIterator[Worker]:
        """Run a worker as its process would, with an upstream or a clock of its own if need be; a test that cancels it
        has killed it.
        """
        settings = msgspec.structs.replace(self.settings, upstream=upstream or self.settings.upstream)
        lock = hold(worker_lock(self.settings.data, worker_id))
        assert lock is not None
        await self.ask(lambda store: store.add_worker(worker_id, pid=1, now=self.now))
        client = HttpClient()
        clock = clock or SystemClock()
        # A connection of its own, as in its own process: nobody is told of the changes that they made themselves.
        store = StoreThread(lambda: open_store(self.settings.data))
        changes = Changes(store, clock)
        declared = (UpstreamSettings(name="default", base_url=settings.upstream),)

        def make(one: UpstreamSettings) -> Upstream:
            return Upstream(one, sender=client, headers=(), clock=clock, rng=random.Random(1), settings=settings)

        worker = Worker(
            Ledger(worker_id, store=store, disk=self.disk, clock=clock, settings=settings),
            store=store,
            upstreams=Upstreams(lambda: declared, make),
            leftovers=Leftovers(blobs=self.blobs, settings=settings),
            clock=clock,
            settings=settings,
            changed=changes.event(),
        )
        watching = asyncio.create_task(changes.watch())
        working = asyncio.create_task(worker.run())
        try:
            yield worker
            worker.stop()
            await working
            await store.run(lambda store: store.bury_worker(worker_id, now=self.now))
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.wait((working, watching))
            await client.close(wait_s=0)
            store.close()
            os.close(lock)

    async def until(self, condition: Callable[[BatchRecord], bool], batch_id: str = "batch_1") -> BatchRecord:
        """Wait until a batch is as the condition says."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition(batch := await self.batch(batch_id)):  # noqa: ASYNC110 - a database sets no event
                await asyncio.sleep(0.005)
        return batch


class Killed(BaseException):
    """Somebody dies here; nothing of ours may take it for an error, and mend it."""


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, model: SimulatedModel) -> Iterator[House]:
    made = House(tmp_path, model.base_url)
    yield made
    made.store.close()

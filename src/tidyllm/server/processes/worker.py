"""The worker process: one worker, from the lock that shows that it lives to its burial."""

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Coroutine
from typing import TypeVar

from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.changes import Changes
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.ledger import Ledger
from tidyllm.server.leftovers import Leftovers
from tidyllm.server.locks import hold
from tidyllm.server.loops.reporter import Reporter
from tidyllm.server.loops.worker import Worker
from tidyllm.server.patience import TROUBLE, patiently
from tidyllm.server.places import blobs_folder, worker_lock
from tidyllm.server.process import Life, UpstreamsNow
from tidyllm.server.upstream import Upstream
from tidyllm.server.upstreams import Upstreams
from tidyllm.transport.http import HttpClient
from tidyllm.transport.keys import Keys

log = logging.getLogger(__name__)

T = TypeVar("T")


async def run(life: Life) -> None:
    """Work until the process is to stop."""
    clock = life.clock
    worker_id = await _unless_stopped(life, _be_born(life))
    if worker_id is None:
        return
    changes = Changes(life.store, clock)
    client = HttpClient()
    changed = changes.event()
    upstreams = await patiently(lambda: _upstreams(life, client), what="The start of a worker", clock=clock)
    worker = _worker(life, worker_id, upstreams=upstreams, changed=changed)
    reporter = Reporter(worker_id, upstreams, store=life.store, clock=clock)
    await patiently(reporter.run_once, what="The start of a worker", clock=clock)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(changes.watch())
        working = tasks.create_task(worker.run())
        beside = [tasks.create_task(reporter.run()), tasks.create_task(_heed(life.upstreams, changed))]
        life.ready()
        tasks.create_task(_stop_with(life.stop, worker))
        await working
        life.stop.set()
        for task in (watching, *beside):
            task.cancel()
    try:
        await life.store.run(lambda store: store.bury_worker(worker_id, now=int(clock.now())))
        worker_lock(life.orders.settings.data, worker_id).unlink(missing_ok=True)
    except TROUBLE as error:
        log.warning("This worker is left for the clerk to bury: %s", error)
    await client.close(wait_s=0)  # What is still in flight has had its grace, and no journal to go to.


async def _be_born(life: Life) -> str:
    """Return the id of a new worker that is known to the database, as soon as the disk lets it be."""
    worker_id = await patiently(lambda: _hold_new(life), what="The start of a worker", clock=life.clock)
    # Not before it holds its lock: a worker that is known and holds none is dead.
    await patiently(lambda: _announce(life, worker_id), what="The start of a worker", clock=life.clock)
    return worker_id


async def _unless_stopped(life: Life, work: Coroutine[object, object, T]) -> T | None:
    """Return what comes of some work; None if the process is to stop before it is done."""
    working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(life.stop.wait())
    await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopped):
        task.cancel()
    return working.result() if working.done() and not working.cancelled() else None


async def _hold_new(life: Life) -> str:
    """Return the id of a new worker, whose lock this process holds until it ends."""
    worker_id = f"worker_{secrets.token_hex(8)}"
    if hold(worker_lock(life.orders.settings.data, worker_id)) is None:
        raise BlockingIOError(f"The lock of {worker_id} was looked at in the moment of its making.")
    return worker_id


async def _announce(life: Life, worker_id: str) -> None:
    now = int(life.clock.now())
    await life.store.run(lambda store: store.add_worker(worker_id, pid=os.getpid(), now=now))


async def _upstreams(life: Life, client: HttpClient) -> Upstreams:
    """Return the upstreams, each with the limit that was found for it the last time."""
    names = [declared.name for declared in life.upstreams.now]
    learned = await life.store.run(lambda store: {name: store.learned_limit(name) for name in names})
    clock, settings, rng = life.clock, life.orders.settings, random.Random()

    def made(declared: UpstreamSettings) -> Upstream:
        return Upstream(
            declared,
            sender=client,
            headers=Keys().sign(declared.auth),
            clock=clock,
            rng=rng,
            settings=settings,
            learned=learned.get(declared.name),
        )

    return Upstreams(lambda: life.upstreams.now, made)


async def _heed(upstreams: UpstreamsNow, changed: asyncio.Event) -> None:
    """Have the worker look around when its upstreams are declared anew."""
    while True:
        await upstreams.changed.wait()
        upstreams.changed.clear()
        changed.set()


def _worker(life: Life, worker_id: str, *, upstreams: Upstreams, changed: asyncio.Event) -> Worker:
    store, disk, clock, settings = life.store, life.disk, life.clock, life.orders.settings
    return Worker(
        Ledger(worker_id, store=store, disk=disk, clock=clock, settings=settings),
        store=store,
        upstreams=upstreams,
        leftovers=Leftovers(blobs=DiskBlobs(blobs_folder(settings.data), disk=disk), settings=settings),
        clock=clock,
        settings=settings,
        changed=changed,
    )


async def _stop_with(stop: asyncio.Event, worker: Worker) -> None:
    await stop.wait()
    worker.stop()

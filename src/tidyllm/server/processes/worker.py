"""The worker process: one worker, from the lock that shows that it lives to its burial."""

import asyncio
import os
import random
import secrets

from tidyllm.core.auth import Auth
from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.changes import Changes
from tidyllm.server.locks import hold
from tidyllm.server.loops.worker import Worker
from tidyllm.server.places import blobs_folder, worker_lock
from tidyllm.server.process import Life
from tidyllm.server.upstream import Upstream
from tidyllm.transport.http import HttpClient
from tidyllm.transport.keys import Keys


async def run(life: Life) -> None:
    """Work until the process is to stop."""
    settings, clock = life.orders.settings, life.clock
    worker_id = f"worker_{secrets.token_hex(8)}"
    lock = worker_lock(settings.data, worker_id)
    hold(lock)  # Before the worker is known: one that is known and holds no lock is dead.
    await life.store.run(lambda store: store.add_worker(worker_id, pid=os.getpid(), now=int(clock.now())))
    changes = Changes(life.store)
    client = HttpClient()
    auth = Auth(env=settings.upstream_key_env, required=False)
    upstream = Upstream(sender=client, headers=Keys().sign(auth), clock=clock, rng=random.Random(), settings=settings)
    worker = Worker(
        worker_id,
        store=life.store,
        blobs=DiskBlobs(blobs_folder(settings.data)),
        upstream=upstream,
        settings=settings,
        changed=changes.event(),
    )
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(changes.watch())
        working = tasks.create_task(worker.run())
        life.ready()
        tasks.create_task(_stop_with(life.stop, worker))
        await working
        life.stop.set()
        watching.cancel()
    await life.store.run(lambda store: store.bury_worker(worker_id, now=int(clock.now())))
    lock.unlink()
    await client.close(wait_s=0)  # What is still in flight has had its grace, and no journal to go to.


async def _stop_with(stop: asyncio.Event, worker: Worker) -> None:
    await stop.wait()
    worker.stop()

"""The clerk: does every background duty that is not asking the upstream."""

import asyncio
import contextlib

from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.changes import Changes
from tidyllm.server.loop import Loop
from tidyllm.server.loops.expirer import Expirer
from tidyllm.server.loops.finisher import Finisher
from tidyllm.server.loops.intake import Intake
from tidyllm.server.loops.pruner import Pruner
from tidyllm.server.loops.rescuer import Rescuer
from tidyllm.server.patience import patiently
from tidyllm.server.places import blobs_folder
from tidyllm.server.process import Life


async def run(life: Life) -> None:
    """Do the duties until the process is to stop."""
    store, disk, clock, settings = life.store, life.disk, life.clock, life.orders.settings
    blobs = DiskBlobs(blobs_folder(settings.data), disk=disk)
    duties: tuple[Loop, ...] = (
        Intake(store=store, blobs=blobs, clock=clock, settings=settings, upstreams=life.upstreams),
        Finisher(store=store, blobs=blobs, clock=clock, settings=settings),
        Rescuer(store=store, clock=clock, settings=settings),
        Expirer(store=store, clock=clock),
        Pruner(store=store, blobs=blobs, disk=disk, clock=clock, settings=settings),
    )
    changes = Changes(store, clock)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(changes.watch())]
        running += [tasks.create_task(_repeat(duty, changes.event(), life=life)) for duty in duties]
        life.ready()
        await life.stop.wait()
        for task in running:
            task.cancel()


async def _repeat(duty: Loop, changed: asyncio.Event, *, life: Life) -> None:
    """Do a duty at every change, and now and then without one: time itself makes work."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(life.orders.settings.tick_s):
                await changed.wait()
        changed.clear()
        while await patiently(duty.run_once, what=f"The {type(duty).__name__.lower()}", clock=life.clock):
            pass

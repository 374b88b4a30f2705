"""Noticing that another process has changed the database: what wakes a clerk's duties and a worker."""

import asyncio

from tidyllm.core.clock import Clock
from tidyllm.server.patience import patiently
from tidyllm.server.thread import StoreThread

LOOK_EVERY_S = 0.05
"""How soon a change is seen; asking SQLite costs a few microseconds."""


class Changes:
    """Sets every event that was asked for, each time another process has committed a change."""

    def __init__(self, store: StoreThread, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._events: list[asyncio.Event] = []

    def event(self) -> asyncio.Event:
        """Return a new event that each change sets, and that its owner clears; it begins set."""
        event = asyncio.Event()
        event.set()
        self._events.append(event)
        return event

    async def watch(self) -> None:
        """Look for changes until cancelled."""
        known = None
        while True:
            version = await patiently(
                lambda: self._store.run(lambda store: store.version()), what="Watching the database", clock=self._clock
            )
            if version != known:
                known = version
                for event in self._events:
                    event.set()
            await self._clock.sleep(LOOK_EVERY_S)

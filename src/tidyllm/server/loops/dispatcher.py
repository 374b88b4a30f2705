"""Which line goes next: for now the lines of the oldest batch, in input order."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from tidyllm.core.jsonl import Line
from tidyllm.server.held import Held


class Ready(NamedTuple):
    """A line that may be sent."""

    held: Held
    line: Line


class Dispatcher:
    """A queue of lines from which idle slots take the next; it wakes the worker when it runs low."""

    def __init__(self, *, low: int, hungry: asyncio.Event) -> None:
        self._ready: deque[Ready] = deque()
        self._idle_slots: deque[asyncio.Future[None]] = deque()
        self._low = low
        self._hungry = hungry
        self._closed = False

    @property
    def wants_more(self) -> bool:
        """Whether fewer lines wait than would keep the slots busy for a round."""
        return not self._closed and len(self._ready) < self._low

    def add(self, lines: Iterable[Ready]) -> None:
        """Queue lines behind those that wait."""
        before = len(self._ready)
        self._ready.extend(lines)
        self._wake(len(self._ready) - before)

    def drop(self, batch_id: str) -> None:
        """Forget the waiting lines of a batch."""
        kept = [ready for ready in self._ready if ready.held.lease.batch_id != batch_id]
        for ready in self._ready:
            if ready.held.lease.batch_id == batch_id:
                ready.held.waiting -= 1
        self._ready = deque(kept)

    def close(self) -> None:
        """Forget all waiting lines and send every slot home."""
        self._closed = True
        for ready in self._ready:
            ready.held.waiting -= 1
        self._ready.clear()
        self._wake(len(self._idle_slots))

    async def next(self) -> Ready | None:
        """Wait for a line to send and take it, counted as in flight; None when there will be no more."""
        while not self._ready:
            if self._closed:
                return None
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_slots.append(turn)
            await turn
        ready = self._ready.popleft()
        ready.held.waiting -= 1
        ready.held.in_flight += 1
        if len(self._ready) == self._low - 1:
            self._hungry.set()
        return ready

    def _wake(self, slots: int) -> None:
        while slots > 0 and self._idle_slots:
            turn = self._idle_slots.popleft()
            if not turn.done():
                turn.set_result(None)
                slots -= 1

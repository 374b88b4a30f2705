"""Which line goes next: for now the lines of the oldest batch, in input order."""

import asyncio
from collections import deque
from typing import NamedTuple

from tidyllm.core.jsonl import Line
from tidyllm.server.held import Held, HeldBatch


class Ready(NamedTuple):
    """A line that may be sent."""

    held: Held
    line: Line
    alone: bool = False
    """Whether no other such line may be in flight beside it: workers have died while they waited for its answer."""


class Dispatcher:
    """A queue of lines from which idle slots take the next; it wakes the worker when it runs low."""

    def __init__(self, *, low: int, hungry: asyncio.Event) -> None:
        self._ready: deque[Ready] = deque()
        self._alone: deque[Ready] = deque()
        self._alone_in_flight = False
        self._idle_slots: deque[asyncio.Future[None]] = deque()
        self._low = low
        self._hungry = hungry
        self._closed = False

    @property
    def wants_more(self) -> bool:
        """Whether fewer lines wait than would keep the slots busy for a round."""
        return not self._closed and len(self._ready) < self._low

    def add(self, ready: Ready) -> None:
        """Queue a line behind those that wait."""
        (self._alone if ready.alone else self._ready).append(ready)
        self._wake(1)

    def drop(self, batch: HeldBatch) -> None:
        """Forget the waiting lines of a batch."""
        for queue in (self._ready, self._alone):
            kept = [ready for ready in queue if ready.held.batch is not batch]
            for ready in queue:
                ready.held.waiting -= ready.held.batch is batch
            queue.clear()
            queue.extend(kept)

    def close(self) -> None:
        """Forget all waiting lines and send every slot home."""
        self._closed = True
        for queue in (self._ready, self._alone):
            for ready in queue:
                ready.held.waiting -= 1
            queue.clear()
        self._wake(len(self._idle_slots))

    async def next(self) -> Ready | None:
        """Wait for a line to send and take it, counted as in flight; None when there will be no more."""
        while (ready := self._pop()) is None:
            if self._closed:
                return None
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_slots.append(turn)
            await turn
        ready.held.waiting -= 1
        ready.held.in_flight += 1
        if len(self._ready) == self._low - 1:
            self._hungry.set()
        return ready

    def ended(self, ready: Ready) -> None:
        """Hear that a line is no longer in flight."""
        if ready.alone:
            self._alone_in_flight = False
            self._wake(1)

    def _pop(self) -> Ready | None:
        if self._alone and not self._alone_in_flight:
            self._alone_in_flight = True
            return self._alone.popleft()
        return self._ready.popleft() if self._ready else None

    def _wake(self, slots: int) -> None:
        while slots > 0 and self._idle_slots:
            turn = self._idle_slots.popleft()
            if not turn.done():
                turn.set_result(None)
                slots -= 1

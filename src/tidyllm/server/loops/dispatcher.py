"""Which line goes next: decided anew for each, so that nobody waits behind somebody else's long batch.

The next line is one of the project that has the fewest in flight, and there of the batch that has the fewest; among
equals, of the one that has waited longest for its turn. Equal shares of what is in flight are equal shares of time at
the upstream, whatever the requests cost. A batch that would miss its deadline goes before the others, up to half.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tidyllm.core.jsonl import Line
from tidyllm.server.held import Held, HeldBatch

URGENT_SHARE = 0.5
"""Of what is in flight, how much batches may have that would miss their deadline otherwise."""


class Ready(NamedTuple):
    """A line that may be sent."""

    held: Held
    line: Line
    alone: bool = False
    """Whether no other such line may be in flight beside it: workers have died while they waited for its answer."""
    tries: int = 0
    """How often this worker has sent it."""
    attempts: int = 0
    """How often it failed by its own fault."""


class _Queue:
    """What waits of one batch."""

    def __init__(self, batch: HeldBatch) -> None:
        self.batch = batch
        self.lines: deque[Ready] = deque()
        self.alone: deque[Ready] = deque()
        self.in_flight = 0
        self.turn = 0
        """The number of its last turn."""
        self.asked = False
        """Whether more lines were asked for since the last ones came."""

    def __len__(self) -> int:
        return len(self.lines) + len(self.alone)


Fits = Callable[[str], bool]
"""Whether a model can be asked now."""


class Dispatcher:
    """The lines that wait, batch by batch."""

    def __init__(self) -> None:
        self.stock = 1
        """Of fewer lines than that of a batch, more are asked for."""
        self.hungry = False
        """Whether more lines are asked for; whoever brings them takes it back."""
        self.in_flight = 0
        self.bytes_waiting = 0
        self._queues: dict[str, _Queue] = {}
        self._later: list[tuple[float, int, Ready]] = []
        """Lines to be asked again, by the time from which on they may be."""
        self._numbers = itertools.count(1)
        self._alone_in_flight = False

    def add(self, ready: Ready) -> None:
        """Queue a line behind those of its batch."""
        queue = self._queue(ready)
        (queue.alone if ready.alone else queue.lines).append(ready)
        queue.asked = False
        self.bytes_waiting += len(ready.line.data)

    def add_later(self, ready: Ready, at: float) -> None:
        """Queue a line again, at the head of its batch, from that time on."""
        heapq.heappush(self._later, (at, next(self._numbers), ready))

    def next_due(self, now: float) -> float:
        """Queue the lines whose time has come; return after how many seconds the next ones come."""
        due: list[Ready] = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[2])
        for ready in reversed(due):  # What came first stays in front.
            queue = self._queue(ready)
            (queue.alone if ready.alone else queue.lines).appendleft(ready)
            self.bytes_waiting += len(ready.line.data)
        return self._later[0][0] - now if self._later else math.inf

    def drop(self, batch: HeldBatch) -> None:
        """Forget the waiting lines of a batch."""
        queue = self._queues.get(batch.id)
        waiting = [] if queue is None else [*queue.lines, *queue.alone]
        later = [entry for entry in self._later if entry[2].held.batch is batch]
        if queue is not None:
            queue.lines.clear()
            queue.alone.clear()
            self._forget_if_idle(queue)
        self._later = [entry for entry in self._later if entry[2].held.batch is not batch]
        heapq.heapify(self._later)
        self.bytes_waiting -= sum(len(ready.line.data) for ready in waiting)
        for ready in (*waiting, *(entry[2] for entry in later)):
            ready.held.waiting -= 1

    def close(self) -> None:
        """Forget all waiting lines; there will be no more."""
        for batch in {ready.held.batch for ready in self._all()}:
            self.drop(batch)

    def stocked(self, enough: int) -> set[str]:
        """Return the ids of batches of which at least so many lines wait."""
        stocked = {batch_id: queue for batch_id, queue in self._queues.items() if len(queue) >= enough}
        for queue in stocked.values():
            queue.asked = False  # Nothing is brought for it now.
        return set(stocked)

    def take(self, fits: Fits, *, now: float) -> Ready | None:
        """Return the line that goes next, counted as in flight; none where nothing waits that fits."""
        alone = not self._alone_in_flight
        queues = [
            queue
            for queue in self._queues.values()
            if (queue.lines or (alone and queue.alone)) and fits(queue.batch.model)
        ]
        if not queues:
            return None
        queue = queues[0] if len(queues) == 1 else self._fairest(queues, now)
        ready = (queue.lines or queue.alone).popleft()
        self._alone_in_flight = self._alone_in_flight or ready.alone
        self.bytes_waiting -= len(ready.line.data)
        queue.in_flight += 1
        self.in_flight += 1
        queue.turn = next(self._numbers)
        ready.held.waiting -= 1
        ready.held.in_flight += 1
        if not queue.asked and len(queue) < self.stock:
            queue.asked = self.hungry = True
        return ready

    def ended(self, ready: Ready) -> None:
        """Hear that a line is no longer in flight."""
        queue = self._queues[ready.held.batch.id]
        queue.in_flight -= 1
        self.in_flight -= 1
        ready.held.in_flight -= 1
        if ready.alone:
            self._alone_in_flight = False
        if not queue.in_flight:
            self._forget_if_idle(queue)

    def _fairest(self, queues: list[_Queue], now: float) -> _Queue:
        urgent = [queue for queue in queues if queue.batch.is_late(now=now, in_flight=queue.in_flight)]
        if urgent and sum(queue.in_flight for queue in urgent) < URGENT_SHARE * max(self.in_flight, 1):
            return min(urgent, key=lambda queue: queue.batch.expires_at)
        of_project: dict[str, int] = {}
        for queue in self._queues.values():
            project = queue.batch.project_id
            of_project[project] = of_project.get(project, 0) + queue.in_flight
        turns: dict[str, int] = {}
        for queue in self._queues.values():
            project = queue.batch.project_id
            turns[project] = max(turns.get(project, 0), queue.turn)
        return min(
            queues,
            key=lambda queue: (
                of_project[queue.batch.project_id],
                turns[queue.batch.project_id],
                queue.in_flight,
                queue.turn,
            ),
        )

    def _queue(self, ready: Ready) -> _Queue:
        batch = ready.held.batch
        queue = self._queues.get(batch.id)
        if queue is None:
            queue = self._queues[batch.id] = _Queue(batch)
        return queue

    def _forget_if_idle(self, queue: _Queue) -> None:
        if not len(queue) and not queue.in_flight:
            self._queues.pop(queue.batch.id, None)
            self.hungry = True

    def _all(self) -> Iterator[Ready]:
        for queue in self._queues.values():
            yield from queue.lines
            yield from queue.alone
        yield from (entry[2] for entry in self._later)

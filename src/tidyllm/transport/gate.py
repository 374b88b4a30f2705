"""Where the client's requests wait for their turn: those to one model with one key keep one pace, from any thread."""

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from tidyllm.core.clock import Clock
from tidyllm.core.rate_limit import RateLimit
from tidyllm.core.wire import Lane, Response
from tidyllm.transport.concurrency import LIMIT_MAX
from tidyllm.transport.open_files import allow_open_files
from tidyllm.transport.pace import NO_CEILINGS, Ceilings, LanePace

_LOG = logging.getLogger("tidyllm.transport")

TOLD_S = 1.0
"""A wait for an API that is longer is told in the log."""
BYTES_PER_TOKEN = 4
"""About so many of a request, until its answer says how many tokens there were."""


class Seen(msgspec.Struct, frozen=True):
    """What an API last said of its limits."""

    limit: RateLimit
    at: float
    """When, in seconds since 1970 UTC."""


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    thread: int
    """Where `loop` runs."""
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]
    wait_s: float
    """After which it tries again by itself."""

    def wake(self) -> None:
        if threading.get_ident() == self.thread:
            self._wake()
        else:
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class Gate:
    """The pace of one lane with one key, and those who wait for it."""

    def __init__(self, lane: Lane, *, now: float) -> None:
        self._lane = lane
        self._lock = threading.Lock()
        self._most = _most_at_once(allow_open_files())
        self._pace = LanePace(now=now, ceilings=self._most)
        self._waiting: deque[_Waiting] = deque()
        self._kept: list[Ceilings] = []
        self.seen: Seen | None = None

    @contextmanager
    def keeping(self, ceilings: Ceilings, clock: Clock) -> Iterator[None]:
        """Let no request pass these ceilings while the block runs, whoever sends it; of several, the lowest hold."""
        self._keep([*self._kept, ceilings], clock)
        try:
            yield
        finally:
            self._keep([one for one in self._kept if one is not ceilings], clock)

    async def enter(self, clock: Clock, *, body_bytes: int, bulk: bool) -> None:
        """Wait until a request may be sent, and count it as under way: whoever enters leaves.

        One of many takes its turn, with no more under way than was found to be good; one that somebody waits for waits
        only while the API takes nothing, or a ceiling by the minute holds.
        """
        while (waiting := self._try(clock, body_bytes=body_bytes, bulk=bulk)) is not None:
            if TOLD_S < waiting.wait_s < math.inf:
                _LOG.info("%s takes nothing more for %.1f s.", self._lane, waiting.wait_s)
            await self._wait(waiting, clock)

    async def _wait(self, waiting: _Waiting, clock: Clock) -> None:
        """Wait as long as was said, or until it is our turn to try again."""
        gone = True
        try:
            await _either(waiting.woken, clock, wait_s=waiting.wait_s)
            gone = False
        finally:
            with self._lock:
                self._waiting.remove(waiting)
                if gone:
                    self._wake_next()  # There may be room for one in our place.

    def leave(self, answer: Response | None, clock: Clock, *, seconds: float = 0.0) -> None:
        """Hear how a request ended; null where no answer came."""
        now, wall = clock.monotonic(), clock.now()
        with self._lock:
            self._pace.ended(answer, now=now, seconds=seconds, work=float(answer is not None and answer.ok))
            if answer is not None:
                self._pace.hear(answer, now=now, wall=wall)
                if self._pace.told is not None:
                    self.seen = Seen(self._pace.told, wall)
            self._wake_next()

    def correct(self, tokens: int, clock: Clock, *, body_bytes: int) -> None:
        """Hear how many tokens a request and its answer had in truth."""
        with self._lock:
            self._pace.correct(tokens - body_bytes / BYTES_PER_TOKEN, now=clock.monotonic())

    def _try(self, clock: Clock, *, body_bytes: int, bulk: bool) -> _Waiting | None:
        """Enter if that may be now, else become one of those who wait, and return which."""
        now, tokens = clock.monotonic(), body_bytes / BYTES_PER_TOKEN
        with self._lock:
            wait = self._pace.wait_s if bulk else self._pace.rate_wait_s
            if (wait_s := wait(now=now, tokens=tokens)) > 0:
                loop = asyncio.get_running_loop()
                waiting = _Waiting(threading.get_ident(), loop, loop.create_future(), wait_s)
                self._waiting.append(waiting)
                return waiting
            self._pace.began(now=now, tokens=tokens)
            self._wake_next()  # There may be room for one more.
        return None

    def _keep(self, kept: list[Ceilings], clock: Clock) -> None:
        with self._lock:
            self._kept = kept
            self._pace.keep(_lowest([self._most, *kept]), now=clock.monotonic())
            self._wake_next()

    def _wake_next(self) -> None:
        """Let the first one who waits try again; the lock is held."""
        if self._waiting:
            self._waiting[0].wake()


class Pace:
    """The gates of all lanes; one for all calls of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: dict[tuple[Lane, object], Gate] = {}

    @property
    def seen(self) -> dict[Lane, Seen]:
        """Return what each lane last told."""
        with self._lock:
            told = [(lane, gate.seen) for (lane, _), gate in self._gates.items() if gate.seen is not None]
        return dict(sorted(told, key=lambda each: each[1].at))

    def gate(self, lane: Lane, *, key: object, clock: Clock) -> Gate:
        """Return where the requests of a lane with a key wait; `key` tells the keys apart."""
        with self._lock:
            gate = self._gates.get((lane, key))
            if gate is None:
                gate = self._gates[lane, key] = Gate(lane, now=clock.monotonic())
            return gate


async def _either(woken: asyncio.Future[None], clock: Clock, *, wait_s: float) -> None:
    """Wait until somebody wakes us, or so much time has passed."""
    if wait_s == math.inf:
        await woken
        return
    sleeping = asyncio.ensure_future(clock.sleep(wait_s))
    try:
        await asyncio.wait((woken, sleeping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()


def _most_at_once(files: int | None) -> Ceilings:
    """Return the ceiling that a process has which may have so many files open: each connection is one.

    Half of them are for other lanes, for connections that wait to be used again, and for the program itself.
    """
    return NO_CEILINGS if files is None or files // 2 >= LIMIT_MAX else Ceilings(concurrency=max(files // 2, 1))


def _lowest(kept: list[Ceilings]) -> Ceilings:
    names = Ceilings.__struct_fields__
    given = {name: [value for each in kept if (value := getattr(each, name)) is not None] for name in names}
    return Ceilings(**{name: min(values, default=None) for name, values in given.items()})

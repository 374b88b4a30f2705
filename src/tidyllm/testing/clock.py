"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import threading
from itertools import count

from tidyllm.core.errors import SettingError

_NS = 1_000_000_000


class ManualClock:
    """A `Clock` whose time passes only in `advance`; it may be shared by threads and their loops.

    clock = ManualClock()
    task = asyncio.create_task(job(clock))      # which sleeps for a minute
    await asyncio.to_thread(clock.wait_for_sleepers, 1)
    clock.advance(60)
    await task
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        """Begin at `start`, in seconds since 1970 UTC: 2026-01-01 unless told otherwise."""
        self._start = start
        self._passed_ns = 0
        """Whole nanoseconds, so that ten steps of 0.1 s are a second."""
        self._changed = threading.Condition()
        self._numbers = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap of who wakes when; the number keeps the order of those that wake at the same moment."""

    def now(self) -> float:
        """Return the wall clock, in seconds since 1970 UTC."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Return the seconds that passed since the clock was made."""
        return self._passed_ns / _NS

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved that far; not at all, but for a turn of the loop, for 0 or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        with self._changed:
            sleeper = (self._passed_ns + round(seconds * _NS), next(self._numbers), woken)
            heapq.heappush(self._sleepers, sleeper)
            self._changed.notify_all()
        try:
            await woken
        finally:
            self._forget(sleeper)

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake the sleepers whose time has come, in the order of their moments.

        They run when their loops next do, and read the time at which this ends, not the moment they asked for.
        """
        if seconds < 0:
            raise SettingError("Time cannot be turned back.")
        with self._changed:
            self._passed_ns += round(seconds * _NS)
            while self._sleepers and self._sleepers[0][0] <= self._passed_ns:
                _, _, woken = heapq.heappop(self._sleepers)
                woken.get_loop().call_soon_threadsafe(_wake, woken)

    def wait_for_sleepers(self, number: int, *, timeout_s: float = 10.0) -> None:
        """Block until so many sleep at the same time; raise TimeoutError after `timeout_s` real seconds.

        It blocks its thread: inside a loop, call it with `asyncio.to_thread`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._sleepers) >= number, timeout_s):
                raise TimeoutError(f"After {timeout_s:g} s only {len(self._sleepers)} of {number} sleep.")

    def _forget(self, sleeper: tuple[int, int, asyncio.Future[None]]) -> None:
        """Take out a sleeper that was cancelled; one that was woken is out already."""
        with self._changed:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)

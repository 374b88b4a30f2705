"""The process's one background event loop and HTTP client, on which the sync verbs wait."""

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.transport.fork import refuse_fork
from tidyllm.transport.gate import Pace
from tidyllm.transport.loops import new_loop

if TYPE_CHECKING:
    from tidyllm.transport.http import HttpClient

T = TypeVar("T")

EXIT_WAIT_S = 10.0
"""How long the interpreter's end waits for exchanges that are still in flight."""

LOOK_UP_S = 0.1
"""How often a wait looks up: one without end is deaf to Ctrl-C on Windows, and everywhere once polars is imported,
whose own handler of the signal has interrupted system calls go on."""


class _Running(msgspec.Struct, frozen=True):
    """What runs once the first request was made."""

    pid: int
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    client: "HttpClient"


class Background:
    """An event loop in a thread of its own, started at the first use and closed at the interpreter's end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False
        self._let_go: set[Future[object]] = set()
        """What nobody waits for any more when the interpreter ends."""
        self.pace = Pace()
        """What the process knows of the limits of those whom it asks."""

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """Return what `coroutine` returns, once it has run on the background loop; raise what it raises.

        Ctrl-C is raised here at once, and cancels `coroutine` over there.
        """
        future = self.start(coroutine)
        return _result(future)

    def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Coroutine[object, object, Response]:
        """Return the answer, by the process's HTTP client, from whichever loop this is awaited in.

        Exchanges run on the background loop alone, because the loop of an async caller may end right after an
        answer, and the client with it would abort the interpreter.
        """
        running = self._started()
        sending = running.client.send(request, headers)
        return sending if self.is_running_here else _elsewhere(sending, running.loop)

    @property
    def is_running_here(self) -> bool:
        """Whether this is its thread."""
        return self._running is not None and threading.get_ident() == self._running.thread.ident

    def close(self, wait_s: float = EXIT_WAIT_S) -> None:
        """Wait up to `wait_s` seconds for what is in flight, then end the loop; every later use is an error."""
        if self._running is not None and self._running.pid != os.getpid():
            return
        with self._lock:
            running, self._running, self._closed = self._running, None, True
        if running is None:
            return
        atexit.unregister(self._close_at_exit)
        try:
            self._end(running, wait_s)
        except KeyboardInterrupt:
            self._end(running, 0.0)
            raise
        finally:
            running.loop.call_soon_threadsafe(running.loop.stop)
            running.thread.join()

    def _end(self, running: _Running, wait_s: float) -> None:
        for future in tuple(self._let_go):
            future.cancel()
        ending = asyncio.run_coroutine_threadsafe(_end_all(running.client, wait_s), running.loop)
        _result(ending)

    def _close_at_exit(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # Whoever presses Ctrl-C again wants no more waiting, and has it.
            self.close()

    def refuse_fork(self) -> None:
        """Raise SettingError in a process that was forked from one that had used the network; `start` does so too.

        For work that comes before a request and would wait there for other threads that did not come along.
        """
        if self._running is not None:
            refuse_fork(self._running.pid)

    def start_watched(self, coroutine: Coroutine[object, object, T]) -> "Future[T]":
        """Do what `start` does, for what is of no use once the interpreter ends, which then does not wait for it."""
        future = self.start(coroutine)
        self._let_go.add(future)  # type: ignore[arg-type]  # whatever its result is
        future.add_done_callback(self._let_go.discard)
        return future

    def start(self, coroutine: Coroutine[object, object, T]) -> "Future[T]":
        """Let `coroutine` run on the background loop, and return what will have its result."""
        try:
            running = self._started()
            if self.is_running_here:
                raise SettingError("A verb that waits was used inside a request; use its async twin there.")
        except SettingError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, running.loop)

    def _started(self) -> _Running:
        running = self._running
        if running is None:
            with self._lock:
                running = self._running = self._running or self._start()
        refuse_fork(running.pid)
        return running

    def _start(self) -> _Running:
        if self._closed:
            raise SettingError("The interpreter is ending: there can be no more requests.")
        # Imported at the first request, because pyreqwest's library is large and many a process makes none.
        from tidyllm.transport.http import HttpClient  # noqa: PLC0415

        client = HttpClient()
        loop = new_loop()
        thread = threading.Thread(target=_run, args=(loop,), name="tidyllm-background", daemon=True)
        thread.start()
        atexit.register(self._close_at_exit)
        return _Running(os.getpid(), loop, thread, client)


async def _elsewhere(sending: Coroutine[object, object, Response], loop: asyncio.AbstractEventLoop) -> Response:
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sending, loop))


def _result(future: "Future[T]") -> T:
    """Return a result once it is there, and cancel the future if this is interrupted."""
    try:
        while wait((future,), timeout=LOOK_UP_S).not_done:
            pass
    except BaseException:
        future.cancel()
        raise
    return future.result()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    ended = False
    while not ended:
        # A task that meets one of these keeps it for whoever awaits it, but throws it through the loop as well.
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            loop.run_forever()
            ended = True
    loop.close()


async def _end_all(client: "HttpClient", wait_s: float) -> None:
    """End what runs on this loop: by itself within `wait_s` seconds, then by force."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=wait_s)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.close(0.0)
    await asyncio.get_running_loop().shutdown_default_executor()


BACKGROUND = Background()
"""The one of this process: a second loop and client would share no connections. Nothing runs until it is used."""

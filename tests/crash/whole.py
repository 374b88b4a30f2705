"""The whole server in one process, to be killed: api, clerk and worker in one event loop, with failpoints.

Processes are forked from one that has loaded everything, so that a start takes milliseconds.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests.crash.lossy import LossyDisk
from tests.crash.points import Crash, PointedDisk, Points, pointed_store
from tidyllm.core.clock import SystemClock
from tidyllm.server.places import make_folders
from tidyllm.server.process import Life, Orders, Role, UpstreamsNow
from tidyllm.server.processes import api, clerk, worker
from tidyllm.server.settings import Settings
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.thread import StoreThread

log = logging.getLogger(__name__)

CONCURRENCY = 8
DEADLINE_S = 30
LOOK_EVERY_S = 0.01


class GoneError(Exception):
    """The server was killed."""


class Home(NamedTuple):
    """The folder of a server and of what is told about it."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def shadow(self) -> Path:
        return self.folder / "shadow"

    @property
    def record(self) -> Path:
        return self.folder / "points"

    @property
    def ahead(self) -> Path:
        """Holds how many seconds the server's clock is ahead."""
        return self.folder / "ahead"

    @property
    def log(self) -> Path:
        return self.folder / "log"


class Start(NamedTuple):
    """What a server is told."""

    home: Home
    upstream: str
    crash: Crash | None = None


class Server:
    """A server process as its parent sees it."""

    def __init__(self, process: multiprocessing.context.ForkServerProcess, told: Connection) -> None:
        self._process = process
        self._told = told
        self.port = 0

    def wait_ready(self) -> None:
        """Return when the server has said where it listens; raises GoneError."""
        wait([self._told, self._process.sentinel], DEADLINE_S)
        try:
            if not self._told.poll():
                raise EOFError
            self.port = self._told.recv()
        except EOFError:
            raise GoneError from None

    def pause(self) -> None:
        """Let a moment pass before the next look at something; raises GoneError."""
        if wait([self._process.sentinel], LOOK_EVERY_S):
            raise GoneError

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), DEADLINE_S).close()
        except ConnectionError:
            return False
        return True

    def terminate(self) -> None:
        self._process.terminate()

    def exit_code(self) -> int | None:
        """Return how it ended, as soon as it has."""
        self._process.join(DEADLINE_S)
        return self._process.exitcode


@contextlib.contextmanager
def serving(start: Start) -> Iterator[Server]:
    """Start a server, and end it however the block ends."""
    there, here = forkserver().Pipe(duplex=False)
    process = forkserver().Process(target=live, args=(start, here))
    process.start()
    here.close()
    try:
        yield Server(process, there)
    finally:
        process.kill()
        process.join()
        process.close()
        there.close()


def forkserver() -> ForkServerContext:
    """Return how processes are made here: forked from one that has loaded this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def live(start: Start, ready: Connection) -> None:
    """Be the server, until SIGTERM or death."""
    logging.basicConfig(
        filename=start.home.log, level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    os.umask(0o077)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(start, ready))
    except BaseException:
        log.exception("The server ends.")
        raise


async def _serve(start: Start, ready: Connection) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Whoever started it may be killed too, and nobody would ever stop it.
    parent = multiprocessing.parent_process()
    assert parent is not None
    loop.add_reader(parent.sentinel, os._exit, 1)
    home = start.home
    points = Points(home.record, start.crash)
    disk = PointedDisk(LossyDisk(home.data, home.shadow), points, data=home.data)
    make_folders(home.data, disk)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    unready = [api, clerk, worker]

    def one_ready() -> None:
        unready.pop()
        if not unready:
            ready.send(port)

    # A store for each, as each has a process of its own in real life: SQLite tells nobody of their own changes.
    stores = [StoreThread(lambda: pointed_store(open_store(home.data), points)) for _ in Role]
    lives = [
        Life(
            orders=Orders(role=role, settings=_settings(start), socket_fds=fds),
            store=store,
            disk=disk,
            clock=AheadClock(home.ahead),
            upstreams=UpstreamsNow(_settings(start).upstreams),
            ready=one_ready,
            stop=stop,
        )
        for role, store, fds in zip(Role, stores, [(listening.detach(),), (), ()], strict=True)
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for life, role in zip(lives, [api, worker, clerk], strict=True):
                tasks.create_task(role.run(life))
    finally:
        for store in stores:
            store.close()


class AheadClock(SystemClock):
    """A clock that a test puts ahead, by a number in a file."""

    def __init__(self, ahead: Path) -> None:
        self._ahead = ahead

    def now(self) -> float:
        return super().now() + (float(self._ahead.read_text()) if self._ahead.exists() else 0.0)


def _settings(start: Start) -> Settings:
    return Settings(
        data=start.home.data,
        upstream=start.upstream,
        concurrency=CONCURRENCY,
        commit_interval_s=0.002,
        count_interval_s=0.05,
        cancel_grace_s=5,
        tick_s=0.02,
    )

"""The main program of each process of the server: `python -m tidyllm.server.child`, as `serve` starts it.

Standard input brings lines of JSON: first the orders, and then, each time that they are declared anew, the upstreams.
It stays open as long as `serve` lives, and when it ends the process ends too. One line on standard output says that the
process is ready.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from tidyllm.core.clock import SystemClock
from tidyllm.core.disk import Disk, LocalDisk
from tidyllm.server.process import Life, Orders, Role, UpstreamsNow, decode_orders, decode_upstreams
from tidyllm.server.processor import keep_to_one
from tidyllm.server.store import Store
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.thread import StoreThread
from tidyllm.transport.open_files import allow_open_files

log = logging.getLogger(__name__)

READY = b"ready\n"
GC_THRESHOLD = 50_000
PIECE_BYTES = 65_536


def main(disk: Disk, opening: Callable[[Path], Store]) -> None:
    """Read the orders, and live by them; `opening` opens the store of a data folder."""
    allow_open_files()
    told = _Told(sys.stdin.fileno())
    orders = _read_orders(told)
    if orders is None:
        return
    if orders.role is Role.WORKER:
        keep_to_one(orders.number)
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s {orders.role.value}[{os.getpid()}] %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(orders, told, disk=disk, opening=opening))
    except Exception as error:
        # Every slot of a worker may have met the same error: the first of them says it all.
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        log.critical("This process cannot go on.", exc_info=error)
        sys.exit(1)


class _Told:
    """What `serve` writes to a pipe: lines, which come in pieces."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def read(self) -> list[bytes]:
        """Read a piece, and return the lines that end in it. Raises EOFError where there will be no more."""
        try:
            piece = os.read(self.fd, PIECE_BYTES)
        except BlockingIOError:  # The loop may call for nothing.
            return []
        except ConnectionError:
            piece = b""
        if not piece:
            raise EOFError
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return lines


def _read_orders(told: _Told) -> Orders | None:
    """Wait for the orders, and return them with the newest upstreams; None if `serve` is gone before it gave any."""
    lines: list[bytes] = []
    while not lines:
        try:
            lines = told.read()
        except EOFError:
            return None
    orders = decode_orders(lines[0])
    if len(lines) == 1:
        return orders
    settings = msgspec.structs.replace(orders.settings, upstreams=decode_upstreams(lines[-1]))
    return msgspec.structs.replace(orders, settings=settings)


def _spare_the_collector() -> None:
    """Have the collector of cycles come seldom: next to none are made here, and it would take a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])


async def _live(orders: Orders, told: _Told, *, disk: Disk, opening: Callable[[Path], Store]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    upstreams = UpstreamsNow(orders.settings.upstreams)
    if orders.role is not Role.API:
        _log_upstreams(upstreams)

    def hear() -> None:
        try:
            for line in told.read():
                upstreams.replace(decode_upstreams(line))
                _log_upstreams(upstreams)
        except EOFError:
            loop.remove_reader(told.fd)
            stop.set()

    loop.add_reader(told.fd, hear)
    store = StoreThread(lambda: opening(orders.settings.data))
    # Each role has its own heavy imports, and no use for those of the others.
    process = importlib.import_module(f"tidyllm.server.processes.{orders.role.value}")
    _spare_the_collector()
    life = Life(
        orders=orders,
        store=store,
        disk=disk,
        clock=SystemClock(),
        upstreams=upstreams,
        ready=_announce_ready,
        stop=stop,
    )
    try:
        await process.run(life)
    finally:
        loop.remove_reader(told.fd)
        store.close()


def _log_upstreams(upstreams: UpstreamsNow) -> None:
    log.info("The upstreams are now: %s.", ", ".join(f"{each.name} ({each.base_url})" for each in upstreams.now))


def _announce_ready() -> None:
    # Where `serve` is gone nobody hears it, and standard input says so: the process ends in good order.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), READY)


if __name__ == "__main__":
    main(LocalDisk(), open_store)

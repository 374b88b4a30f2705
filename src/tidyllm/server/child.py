"""The main program of each process of the server: `python -m tidyllm.server.child`, as `serve` starts it.

Standard input brings the orders as one line of JSON, and then nothing; it stays open as long as `serve` lives, and
when it ends the process ends too. One line on standard output says that the process is ready.
"""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from tidyllm.core.clock import SystemClock
from tidyllm.core.disk import Disk, LocalDisk
from tidyllm.server.process import Life, Orders, decode_orders
from tidyllm.server.store import Store
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.thread import StoreThread

log = logging.getLogger(__name__)

READY = b"ready\n"


def main(disk: Disk, opening: Callable[[Path], Store]) -> None:
    """Read the orders, and live by them; `opening` opens the store of a data folder."""
    orders = decode_orders(sys.stdin.buffer.readline())
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s {orders.role.value}[{os.getpid()}] %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(orders, disk, opening=opening))
    except Exception as error:
        # Every slot of a worker may have met the same error: the first of them says it all.
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        log.critical("This process cannot go on.", exc_info=error)
        sys.exit(1)


async def _live(orders: Orders, disk: Disk, *, opening: Callable[[Path], Store]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def end() -> None:  # Nothing more is ever written to it, so readable means ended; and that it stays.
        loop.remove_reader(sys.stdin.fileno())
        stop.set()

    loop.add_reader(sys.stdin.fileno(), end)
    store = StoreThread(lambda: opening(orders.settings.data))
    # Each role has its own heavy imports, and no use for those of the others.
    process = importlib.import_module(f"tidyllm.server.processes.{orders.role.value}")
    life = Life(orders=orders, store=store, disk=disk, clock=SystemClock(), ready=_announce_ready, stop=stop)
    try:
        await process.run(life)
    finally:
        loop.remove_reader(sys.stdin.fileno())
        store.close()


def _announce_ready() -> None:
    # Where `serve` is gone nobody hears it, and standard input says so: the process ends in good order.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), READY)


if __name__ == "__main__":
    main(LocalDisk(), open_store)

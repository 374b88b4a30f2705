"""The api: answers HTTP requests on the socket it inherits."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from tidyllm.server.api.app import create_app
from tidyllm.server.api.protocol import server_config
from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.places import blobs_folder
from tidyllm.server.process import Life


async def run(life: Life) -> None:
    """Answer requests until the process is to stop."""
    settings = life.orders.settings
    blobs = DiskBlobs(blobs_folder(settings.data), disk=life.disk)
    app = create_app(settings, life.store, blobs=blobs, disk=life.disk, clock=life.clock)
    server = _Server(server_config(app), life.ready)
    (fd,) = life.orders.socket_fds
    with socket.socket(fileno=fd) as listening:
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        stopped = asyncio.ensure_future(life.stop.wait())
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that says when it is ready, and leaves signals to the process."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

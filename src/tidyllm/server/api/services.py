"""What the routes work with, and whose things a request may see."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.server.blob import Blobs
from tidyllm.server.settings import Settings
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.thread import StoreThread

T = TypeVar("T")


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the routes need, made by whoever starts the server."""

    settings: Settings
    store: StoreThread
    blobs: Blobs
    disk: Disk
    clock: Clock

    def now(self) -> int:
        """Return the time in whole seconds since 1970 UTC, as the API tells it."""
        return int(self.clock.now())


def project_of(request: Request) -> str:  # noqa: ARG001 - keys will be read from the request here, and nowhere else
    """Return the project whose files and batches the request may see; without keys there is one."""
    return DEFAULT_PROJECT


async def on_disk(operation: Callable[[], T]) -> T:
    """Return what a blocking file operation returns, run off the event loop and always to its end.

    A cancelled caller waits for the thread too: nobody discards or closes a file that is still being written.
    """
    task = asyncio.ensure_future(asyncio.to_thread(operation))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
